//! YAML with CloudFormation's tags → JSON with its long forms.

use anyhow::{Context as _, Result, bail};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// One YAML document as JSON; `!Sub x` becomes `{"Fn::Sub": "x"}`, as CloudFormation itself reads it.
pub(super) fn to_json(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text).context("it is not YAML")?;
    match documents.as_slice() {
        [document] => convert(document),
        documents => bail!("it holds {} YAML documents instead of one", documents.len()),
    }
}

fn convert(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => Value::Array(items.iter().map(convert).collect::<Result<_>>()?),
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                // Keys that look like numbers or booleans are text in a template, too.
                let key = match convert(key)? {
                    Value::String(key) => key,
                    other @ (Value::Number(_) | Value::Bool(_)) => other.to_string(),
                    other => bail!("a mapping's key is no text: {other}"),
                };
                map.insert(key, convert(value)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, inner) if tag.handle == "!" => {
            let inner = convert(inner)?;
            match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => json!({ name: inner }),
                // `!GetAtt A.B.C` is short for `["A", "B.C"]`.
                "GetAtt" => match inner.as_str().and_then(|text| text.split_once('.')) {
                    Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
                    None => json!({ "Fn::GetAtt": inner }),
                },
                name => {
                    let name = format!("Fn::{name}");
                    json!({ name: inner })
                }
            }
        }
        other => bail!("YAML of a kind no template has: {other:?}"),
    })
}
