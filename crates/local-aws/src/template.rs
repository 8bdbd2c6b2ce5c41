//! What the deployment template says, as far as a local run needs it: parameters with their defaults,
//! the function's environment, time-out and retries, its event patterns and its schedules.
//!
//! The demo and the tests take these values from `template.yaml` alone, so that they fail when the
//! template would not work. Whatever the template uses and is not known here is an error that names
//! it, never a guess.

mod intrinsics;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use crate::alarm::{Alarm, MetricFilter};
use crate::event_bus::Pattern;
use intrinsics::Scope;

/// A read template. Nothing in it is resolved yet: see [`Template::function`].
#[derive(Clone, Debug)]
pub struct Template {
    body: Value,
}

/// What the references in a template stand for in a local run.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Values of the template's parameters, where they differ from the default or have none.
    pub parameters: BTreeMap<String, String>,
    /// `AWS::AccountId`, `AWS::Region`, `AWS::StackName`, … The partition is `aws` and the URL
    /// suffix `amazonaws.com` when they are not given.
    pub pseudo_parameters: BTreeMap<String, String>,
    /// What `Ref` and `GetAtt` give of a resource: `Ledger` is `!Ref Ledger`, `Ledger.Arn` is
    /// `!GetAtt Ledger.Arn`.
    pub resources: BTreeMap<String, String>,
}

/// The function as a deployment would make it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `Handler`.
    pub handler: String,
    /// Its environment variables, without those Lambda gives itself.
    pub environment: BTreeMap<String, String>,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// Its memory in MB.
    pub memory_mb: u32,
    /// How often a failed asynchronous invocation is tried again.
    pub retries: u32,
    /// The ARN of the queue that gets what failed for good, if there is one.
    pub on_failure: Option<String>,
    /// The EventBridge rules that start it.
    pub rules: Vec<Rule>,
    /// The schedules that start it.
    pub schedules: Vec<Schedule>,
    /// The topics it is subscribed to.
    pub subscriptions: Vec<Subscription>,
}

/// A subscription of the function to a topic (`AWS::SNS::Subscription`).
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its logical id.
    pub name: String,
    /// The topic.
    pub topic_arn: String,
    /// What the attributes of a message must be like (`FilterPolicy`); `None`: as they like.
    pub filter: Option<Pattern>,
}

impl Subscription {
    /// Whether it takes what SNS gives a function: a message of its topic that passes its filter.
    #[must_use]
    pub fn takes(&self, notification: &Value) -> bool {
        let Some([record]) = notification["Records"].as_array().map(Vec::as_slice) else {
            return false;
        };
        let message = &record["Sns"];
        // A filter is about the attributes' values.
        let attributes: Map<String, Value> = message["MessageAttributes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, attribute)| (name.clone(), attribute["Value"].clone()))
            .collect();
        let passes = |filter: &Pattern| filter.matches(&Value::Object(attributes));
        message["TopicArn"] == self.topic_arn.as_str() && self.filter.as_ref().is_none_or(passes)
    }
}

/// An EventBridge rule of the function.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its logical id below the function's `Events`.
    pub name: String,
    /// Name of the bus it listens to; [`DEFAULT_BUS`] is the one that AWS's own services put events on.
    pub bus: String,
    /// What it matches.
    pub pattern: Pattern,
    /// ARN of the queue that gets what it could not deliver, if there is one.
    pub dead_letters: Option<String>,
}

/// The bus that every account has.
pub const DEFAULT_BUS: &str = "default";

/// A schedule of the function (EventBridge Scheduler).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its logical id below the function's `Events`.
    pub name: String,
    /// Time between two runs.
    pub every: Duration,
    /// What the function is given.
    pub input: Value,
}

impl Template {
    /// Reads a template file.
    ///
    /// # Errors
    /// When the file cannot be read or is not one YAML mapping.
    pub fn read(path: &Path) -> Result<Template> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the template {}", path.display()))?;
        Template::parse(&text)
            .with_context(|| format!("the template {} cannot be used", path.display()))
    }

    /// [`Template::read`] of a text.
    ///
    /// # Errors
    /// When the text is not one YAML mapping.
    pub fn parse(text: &str) -> Result<Template> {
        let body = yaml::to_json(text)?;
        if !body.is_object() {
            bail!("a template is a mapping");
        }
        Ok(Template { body })
    }

    /// The function with a logical id, all references resolved.
    ///
    /// # Errors
    /// When there is no such function, when it uses something a local run does not know (an event
    /// source, an intrinsic function, an operator of a pattern) or refers to what the deployment
    /// does not give. The message names the place.
    pub fn function(&self, logical_id: &str, deployment: &Deployment) -> Result<Function> {
        let scope = Scope::new(&self.body, deployment)?;
        let resource = &self.body["Resources"][logical_id];
        if resource["Type"] != "AWS::Serverless::Function" {
            bail!("it has no function `{logical_id}` (AWS::Serverless::Function)");
        }
        // As SAM does: the function's own value wins, and variables of both are joined.
        let globals = &self.body["Globals"]["Function"];
        let own = &resource["Properties"];
        let property = |name: &str| -> Result<Value> {
            let raw = [&own[name], &globals[name]]
                .into_iter()
                .find(|value| !value.is_null());
            let value = raw.map_or(Ok(Value::Null), |raw| scope.resolve(raw));
            value.with_context(|| format!("{logical_id}.Properties.{name}"))
        };
        let name = match property("FunctionName")? {
            Value::Null => logical_id.to_owned(),
            name => text(&name, "FunctionName")?,
        };
        let mut environment = BTreeMap::new();
        for place in [globals, own] {
            for (key, raw) in mapping(&place["Environment"]["Variables"], "Environment.Variables")?
            {
                let value = scope.resolve(raw).and_then(|value| text(&value, key));
                let value = value.with_context(|| format!("{logical_id}: variable {key}"))?;
                environment.insert(key.clone(), value);
            }
        }
        let invoke = property("EventInvokeConfig")?;
        let on_failure = &invoke["DestinationConfig"]["OnFailure"];
        if !on_failure.is_null() && on_failure["Type"] != "SQS" {
            bail!("{logical_id}: an on-failure destination that is no queue is not known here");
        }
        let mut rules = Vec::new();
        let mut schedules = Vec::new();
        for (name, event) in mapping(&own["Events"], "Events")? {
            let place = || format!("{logical_id}.Events.{name}");
            let properties = scope.resolve(&event["Properties"]).with_context(place)?;
            if properties["State"] == "DISABLED" {
                continue;
            }
            match event["Type"].as_str() {
                Some("EventBridgeRule") => rules.push(rule(name, &properties).with_context(place)?),
                Some("ScheduleV2") => {
                    schedules.push(schedule(name, &properties).with_context(place)?)
                }
                other => bail!("{}: event source {other:?} is not known here", place()),
            }
        }
        Ok(Function {
            name,
            handler: text(&property("Handler")?, "Handler")?,
            environment,
            // Lambda's and SAM's own defaults where the template says nothing.
            timeout: Duration::from_secs(number(&property("Timeout")?, "Timeout")?.unwrap_or(3)),
            memory_mb: u32::try_from(
                number(&property("MemorySize")?, "MemorySize")?.unwrap_or(128),
            )
            .context("MemorySize")?,
            retries: u32::try_from(
                number(&invoke["MaximumRetryAttempts"], "MaximumRetryAttempts")?.unwrap_or(2),
            )
            .context("MaximumRetryAttempts")?,
            on_failure: match &on_failure["Destination"] {
                Value::Null => None,
                arn => Some(text(arn, "OnFailure.Destination")?),
            },
            rules,
            schedules,
            subscriptions: self.subscriptions(logical_id, &scope)?,
        })
    }

    /// The EventBridge rules that stand in the template by themselves (`AWS::Events::Rule`), whatever their targets.
    ///
    /// # Errors
    /// When a rule's pattern uses something that is not known here; the message names it.
    pub fn event_rules(&self, deployment: &Deployment) -> Result<Vec<Rule>> {
        let scope = Scope::new(&self.body, deployment)?;
        let mut rules = Vec::new();
        for (name, resource) in mapping(&self.body["Resources"], "Resources")? {
            if resource["Type"] == "AWS::Events::Rule" {
                let pattern = scope.resolve(&resource["Properties"]["EventPattern"]);
                let pattern = pattern.with_context(|| name.clone())?;
                let properties = serde_json::json!({ "Pattern": pattern });
                rules.push(rule(name, &properties).with_context(|| name.clone())?);
            }
        }
        Ok(rules)
    }

    /// The alarms of the template, as far as their conditions hold.
    ///
    /// # Errors
    /// When an alarm uses something that is not known here; the message names it.
    pub fn alarms(&self, deployment: &Deployment) -> Result<Vec<Alarm>> {
        let scope = Scope::new(&self.body, deployment)?;
        let mut alarms = Vec::new();
        for (name, resource) in mapping(&self.body["Resources"], "Resources")? {
            if resource["Type"] != "AWS::CloudWatch::Alarm" {
                continue;
            }
            if let Value::String(condition) = &resource["Condition"]
                && !scope.condition(condition)?
            {
                continue;
            }
            // Whether it has actions is enough; which topic they go to does not matter here.
            let mut properties = resource["Properties"].clone();
            for actions in ["AlarmActions", "InsufficientDataActions", "OKActions"] {
                let has = properties[actions]
                    .as_array()
                    .is_some_and(|all| !all.is_empty());
                properties[actions] = Value::Bool(has);
            }
            let properties = scope.resolve(&properties).with_context(|| name.clone())?;
            alarms.push(Alarm::read(name, &properties).with_context(|| name.clone())?);
        }
        Ok(alarms)
    }

    /// What the template counts in log groups by filters.
    ///
    /// # Errors
    /// When a filter uses something that is not known here; the message names it.
    pub fn metric_filters(&self, deployment: &Deployment) -> Result<Vec<MetricFilter>> {
        let scope = Scope::new(&self.body, deployment)?;
        let mut filters = Vec::new();
        for (name, resource) in mapping(&self.body["Resources"], "Resources")? {
            if resource["Type"] == "AWS::Logs::MetricFilter" {
                let properties = scope.resolve(&resource["Properties"]);
                let filter = properties.and_then(|properties| MetricFilter::read(&properties));
                filters.push(filter.with_context(|| name.clone())?);
            }
        }
        Ok(filters)
    }

    /// The topics a function is subscribed to, as far as the conditions hold.
    fn subscriptions(&self, function: &str, scope: &Scope<'_>) -> Result<Vec<Subscription>> {
        let mut found = Vec::new();
        for (name, resource) in mapping(&self.body["Resources"], "Resources")? {
            let properties = &resource["Properties"];
            let endpoint = serde_json::json!({ "Fn::GetAtt": [function, "Arn"] });
            if resource["Type"] != "AWS::SNS::Subscription" || properties["Endpoint"] != endpoint {
                continue;
            }
            if let Value::String(condition) = &resource["Condition"]
                && !scope.condition(condition)?
            {
                continue;
            }
            let property = |key: &str| {
                let value = scope.resolve(&properties[key]);
                value.with_context(|| format!("{name}.Properties.{key}"))
            };
            for unknown in ["FilterPolicyScope", "RawMessageDelivery"] {
                if !properties[unknown].is_null() {
                    bail!("{name}: `{unknown}` of a subscription is not known here");
                }
            }
            let filter = match property("FilterPolicy")? {
                Value::Null => None,
                filter => {
                    let filter = Pattern::parse(&filter);
                    Some(filter.with_context(|| format!("{name}.Properties.FilterPolicy"))?)
                }
            };
            found.push(Subscription {
                name: name.clone(),
                topic_arn: text(&property("TopicArn")?, "TopicArn")?,
                filter,
            });
        }
        Ok(found)
    }
}

fn rule(name: &str, properties: &Value) -> Result<Rule> {
    for unknown in ["Input", "InputPath", "InputTransformer"] {
        if !properties[unknown].is_null() {
            bail!("`{unknown}` of an EventBridgeRule is not known here");
        }
    }
    let bus = match &properties["EventBusName"] {
        Value::Null => DEFAULT_BUS.to_owned(),
        bus => text(bus, "EventBusName")?,
    };
    Ok(Rule {
        name: name.to_owned(),
        bus,
        pattern: Pattern::parse(&properties["Pattern"])?,
        dead_letters: match &properties["DeadLetterConfig"]["Arn"] {
            Value::Null => None,
            arn => Some(text(arn, "DeadLetterConfig.Arn")?),
        },
    })
}

fn schedule(name: &str, properties: &Value) -> Result<Schedule> {
    let expression = text(&properties["ScheduleExpression"], "ScheduleExpression")?;
    let input = text(&properties["Input"], "Input")?;
    Ok(Schedule {
        name: name.to_owned(),
        every: crate::schedule::interval(&expression)?,
        input: serde_json::from_str(&input).context("Input is not JSON")?,
    })
}

/// A mapping's entries; none when it is left out.
fn mapping<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    match value {
        Value::Null => Ok(&NONE),
        Value::Object(entries) => Ok(entries),
        _ => bail!("{name} is no mapping"),
    }
}

/// A scalar as CloudFormation hands it on: numbers and booleans become their text.
fn text(value: &Value, name: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => bail!("{name} is no text: {value}"),
    }
}

fn number(value: &Value, name: &str) -> Result<Option<u64>> {
    match value {
        Value::Null => Ok(None),
        _ => {
            let text = text(value, name)?;
            let number = text
                .parse()
                .with_context(|| format!("{name} is no number: {text}"))?;
            Ok(Some(number))
        }
    }
}

#[cfg(test)]
mod tests;
