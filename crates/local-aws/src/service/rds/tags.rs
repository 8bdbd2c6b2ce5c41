//! Tags of DB instances and clusters.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::wire::{Request, ServiceError};
use crate::world::state::State;

use super::super::Answer;
use super::{bad_value, cluster, identifier_of, needed, not_found, only, reply, tags_json};

/// How many tags a resource may have (RDS user guide, "Tagging Amazon RDS resources").
const MOST_TAGS: usize = 50;

pub(super) fn add(state: &mut State, request: &Request) -> Answer {
    only(request, &["ResourceName", "Tags.*"])?;
    let given = given(request)?;
    if given.is_empty() {
        return Err(bad_value(
            "The parameter Tags must be provided and must not be blank.",
        ));
    }
    let tags = tags_of(state, request)?;
    let mut all = tags.clone();
    all.extend(given);
    if all.len() > MOST_TAGS {
        return Err(bad_value("The number of tags exceeds the limit of 50."));
    }
    *tags = all;
    Ok(reply(state, "AddTagsToResource", &Value::Null))
}

pub(super) fn list(state: &mut State, request: &Request) -> Answer {
    only(request, &["ResourceName"])?;
    let tags = tags_json(tags_of(state, request)?);
    Ok(reply(
        state,
        "ListTagsForResource",
        &json!({ "TagList": tags }),
    ))
}

/// The tags of the request, which the API reference calls `Tags.Tag.N` and older clients `Tags.member.N`.
pub(super) fn given(request: &Request) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut tags = BTreeMap::new();
    for index in 1.. {
        let part = |name: &str| {
            let tag = request.param(&format!("Tags.Tag.{index}.{name}"));
            tag.or_else(|| request.param(&format!("Tags.member.{index}.{name}")))
        };
        let Some(key) = part("Key") else { break };
        let value = part("Value").unwrap_or_default();
        if key.is_empty() || key.len() > 128 || value.len() > 256 {
            return Err(bad_value(
                "Tag keys have 1 to 128 characters and tag values at most 256.",
            ));
        }
        if key.starts_with("aws:") || key.starts_with("rds:") {
            return Err(bad_value(&format!(
                "Tag keys can't start with a reserved prefix: {key}"
            )));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

fn tags_of<'a>(
    state: &'a mut State,
    request: &Request,
) -> Result<&'a mut BTreeMap<String, String>, ServiceError> {
    let arn = needed(request, "ResourceName")?;
    if arn.contains(":cluster:") {
        let identifier = cluster::identifier_of(arn);
        let found = state.clusters.get_mut(&identifier);
        return found
            .map(|cluster| &mut cluster.db.tags)
            .ok_or_else(|| cluster::not_found(&identifier));
    }
    if !arn.contains(":db:") {
        return Err(bad_value(&format!("Invalid resource name: {arn}")));
    }
    let identifier = identifier_of(arn);
    let found = state.instances.get_mut(&identifier);
    found
        .map(|instance| &mut instance.db.tags)
        .ok_or_else(|| not_found(&identifier))
}
