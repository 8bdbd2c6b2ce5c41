//! CloudFormation's references, functions and conditions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};

use super::{Deployment, mapping, text};

/// What can be referred to.
pub(super) struct Scope<'a> {
    conditions: &'a Map<String, Value>,
    parameters: BTreeMap<String, String>,
    /// The parameters whose `Ref` is a list (`CommaDelimitedList`).
    lists: BTreeSet<&'a str>,
    deployment: &'a Deployment,
}

/// `AWS::NoValue`, which takes away the key or item that holds it, while a value is resolved.
const NO_VALUE: &str = "AWS::NoValue";

impl<'a> Scope<'a> {
    pub(super) fn new(body: &'a Value, deployment: &'a Deployment) -> Result<Scope<'a>> {
        let declared = mapping(&body["Parameters"], "Parameters")?;
        if let Some(unknown) = deployment
            .parameters
            .keys()
            .find(|name| !declared.contains_key(*name))
        {
            bail!("it has no parameter `{unknown}`");
        }
        let mut parameters = BTreeMap::new();
        let lists = declared
            .iter()
            .filter(|(_, declaration)| declaration["Type"] == "CommaDelimitedList")
            .map(|(name, _)| name.as_str())
            .collect();
        for (name, declaration) in declared {
            let default = &declaration["Default"];
            if let Some(value) = deployment.parameters.get(name) {
                parameters.insert(name.clone(), value.clone());
            } else if !default.is_null() {
                parameters.insert(name.clone(), text(default, name)?);
            }
        }
        Ok(Scope {
            conditions: mapping(&body["Conditions"], "Conditions")?,
            parameters,
            lists,
            deployment,
        })
    }

    /// A value with everything in it resolved. `AWS::NoValue` alone becomes null.
    pub(super) fn resolve(&self, value: &Value) -> Result<Value> {
        Ok(self.some_or_none(value)?.unwrap_or(Value::Null))
    }

    /// `None` is `AWS::NoValue`.
    fn some_or_none(&self, value: &Value) -> Result<Option<Value>> {
        let entries = match value {
            Value::Object(entries) => entries,
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for item in items {
                    resolved.extend(self.some_or_none(item)?);
                }
                return Ok(Some(Value::Array(resolved)));
            }
            scalar => return Ok(Some(scalar.clone())),
        };
        if let (1, Some((name, argument))) = (entries.len(), entries.iter().next()) {
            if name == "Ref" && argument == NO_VALUE {
                return Ok(None);
            }
            if name == "Fn::If" {
                return self.choose(argument);
            }
            if name == "Ref" || name.starts_with("Fn::") {
                let result = self.call(name, argument);
                return result
                    .map(Some)
                    .with_context(|| format!("{name} of {argument}"));
            }
        }
        let mut resolved = Map::new();
        for (key, value) in entries {
            if let Some(value) = self.some_or_none(value)? {
                resolved.insert(key.clone(), value);
            }
        }
        Ok(Some(Value::Object(resolved)))
    }

    fn choose(&self, argument: &Value) -> Result<Option<Value>> {
        match argument.as_array().map(Vec::as_slice) {
            Some([Value::String(condition), yes, no]) => {
                self.some_or_none(if self.condition(condition)? { yes } else { no })
            }
            _ => bail!("Fn::If takes a condition's name and two values, not {argument}"),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Value> {
        let items = argument.as_array().map(Vec::as_slice);
        match (name, argument, items) {
            ("Ref", Value::String(target), _) if self.lists.contains(target.as_str()) => {
                let whole = self.reference(target)?;
                // CloudFormation takes the spaces away.
                Ok(whole.split(',').map(str::trim).map(Value::from).collect())
            }
            ("Ref", Value::String(target), _) => self.reference(target).map(Value::String),
            ("Fn::GetAtt", _, Some([Value::String(resource), Value::String(attribute)])) => self
                .reference(&format!("{resource}.{attribute}"))
                .map(Value::String),
            ("Fn::Sub", Value::String(pattern), _) => self.substitute(pattern, &Map::new()),
            ("Fn::Sub", _, Some([Value::String(pattern), Value::Object(values)])) => {
                self.substitute(pattern, values)
            }
            ("Fn::Join", _, Some([Value::String(separator), list])) => {
                let list = self.list(list)?;
                Ok(Value::String(list.join(separator)))
            }
            ("Fn::Split", _, Some([Value::String(separator), whole])) => {
                let whole = text(&self.resolve(whole)?, "the text to split")?;
                Ok(whole.split(separator.as_str()).map(Value::from).collect())
            }
            ("Fn::Select", _, Some([index, list])) => {
                let index: usize = text(index, "the index")?.parse().context("the index")?;
                let list = self.list(list)?;
                let chosen = list.into_iter().nth(index);
                chosen
                    .map(Value::String)
                    .ok_or_else(|| anyhow!("the list has no item {index}"))
            }
            _ => bail!("this is not known here"),
        }
    }

    fn list(&self, value: &Value) -> Result<Vec<String>> {
        match self.resolve(value)? {
            Value::Array(items) => items
                .iter()
                .map(|item| text(item, "an item of the list"))
                .collect(),
            other => bail!("{other} is no list"),
        }
    }

    /// A parameter, a pseudo parameter, a resource, or a resource's attribute.
    fn reference(&self, target: &str) -> Result<String> {
        let pseudo = match target {
            "AWS::Partition" => Some("aws"),
            "AWS::URLSuffix" => Some("amazonaws.com"),
            _ => None,
        };
        let places = [
            &self.parameters,
            &self.deployment.pseudo_parameters,
            &self.deployment.resources,
        ];
        let found = places
            .into_iter()
            .find_map(|place| place.get(target))
            .map(String::as_str);
        found
            .or(pseudo)
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("nothing here is called `{target}`"))
    }

    /// `${Name}`, `${Name.Attribute}`, and `${!Literal}`, which stands for `${Literal}`.
    fn substitute(&self, pattern: &str, values: &Map<String, Value>) -> Result<Value> {
        let mut result = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| anyhow!("`${{` without `}}` in {pattern}"))?;
            result.push_str(before);
            match (name.strip_prefix('!'), values.get(name)) {
                (Some(literal), _) => {
                    result.push_str("${");
                    result.push_str(literal);
                    result.push('}');
                }
                (None, Some(value)) => result.push_str(&text(&self.resolve(value)?, name)?),
                (None, None) => result.push_str(&self.reference(name)?),
            }
            rest = after;
        }
        result.push_str(rest);
        Ok(Value::String(result))
    }

    pub(super) fn condition(&self, name: &str) -> Result<bool> {
        let body = self
            .conditions
            .get(name)
            .ok_or_else(|| anyhow!("there is no condition `{name}`"))?;
        self.holds(body)
            .with_context(|| format!("condition {name}"))
    }

    fn holds(&self, body: &Value) -> Result<bool> {
        let (name, argument) = match body.as_object().and_then(|entries| entries.iter().next()) {
            Some(entry) => entry,
            None => bail!("{body} is no condition"),
        };
        match (
            name.as_str(),
            argument,
            argument.as_array().map(Vec::as_slice),
        ) {
            ("Condition", Value::String(name), _) => self.condition(name),
            ("Fn::Equals", _, Some([left, right])) => {
                let left = text(&self.resolve(left)?, "the left side")?;
                Ok(left == text(&self.resolve(right)?, "the right side")?)
            }
            ("Fn::Not", _, Some([inner])) => Ok(!self.holds(inner)?),
            ("Fn::And", _, Some(all)) => all
                .iter()
                .try_fold(true, |so_far, one| Ok(self.holds(one)? && so_far)),
            ("Fn::Or", _, Some(any)) => any
                .iter()
                .try_fold(false, |so_far, one| Ok(self.holds(one)? || so_far)),
            _ => bail!("{name} is not known here"),
        }
    }
}
