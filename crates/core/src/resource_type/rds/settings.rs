//! The source's own settings: parameter and option groups belong to its account, and a restored copy runs with the
//! defaults of its engine unless the rule names groups of this account.
//!
//! Sources: RDS user guide, "Working with DB parameter groups" and "Working with option groups"; AWS Backup developer guide,
//! "Restore testing inferred metadata", which lists both groups among what a restore takes.

use serde_json::json;

use crate::keys::Own;
use crate::reader::Item;
use crate::resource_type::Request;

/// The name of a parameter or option group.
pub(in crate::resource_type) const GROUP: Own<String> = Own {
    read: read_group,
    schema: || json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9.:-]{0,254}$", "examples": ["orders-mysql80"] }),
};

fn read_group(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
    if begins && name.len() <= 255 && name.bytes().all(sound) {
        return Some(name.to_owned());
    }
    item.mistake(
        "must be the name of a group of the account that restores, such as \"orders-mysql80\"",
    );
    None
}

/// Settles the key of a parameter group: the one that the rule names, or the engine's default. A group of the source's own
/// that the copy does not get is a finding. Returns what RDS would refuse.
pub(in crate::resource_type) fn settle_parameter_group(
    request: &mut Request<'_>,
    key: &'static str,
    (rule_key, chosen): (&'static str, Option<&str>),
) -> Option<String> {
    if let Some(chosen) = chosen {
        request.set(
            key,
            Some(chosen),
            "the group of this account that the rule names",
        );
    }
    let (engine, version) = (request.said("Engine"), request.said("EngineVersion"));
    let default = default_parameter_group(engine, version);
    if let Some(name) = chosen.or(request.asked(key)) {
        let is_another = |default: &String| name.starts_with("default.") && name != default;
        return default.filter(is_another).map(|default| {
            format!(
                "the policy asks for the parameter group {name}, which is not one of {engine} {version}; its default is \
                 {default}. Change or remove it"
            )
        });
    }
    let own = request.said(key);
    if !own.is_empty() && !own.starts_with("default.") {
        request.settings_differ = true;
        let what = match engine {
            "mysql" | "mariadb" | "aurora-mysql" => {
                "lower_case_table_names, sql_mode and collations"
            }
            "postgres" | "aurora-postgresql" => "preloaded libraries and defaults of sessions",
            _ => "settings",
        };
        request.findings.push(format!(
            "the source had a parameter group of its own, {own}; the restored copy runs with its engine's default, so that \
             {what} may differ. If checks depend on them, let the rule name a group of this account: {rule_key} = \"…\""
        ));
    }
    None
}

/// Settles the option group. One of the source's own is bound to its account and VPC, and RDS takes it from the snapshot
/// unless it is told another: "The option group … is associated with a different VPC than the request." (boto #2917).
/// Where the source has its engine's default, so has the copy, unasked. Returns what RDS would refuse.
pub(super) fn settle_option_group(request: &mut Request<'_>) -> Option<String> {
    const KEY: &str = "OptionGroupName";
    let chosen = request.types.rds.option_group.as_deref();
    if let Some(chosen) = chosen {
        request.set(
            KEY,
            Some(chosen),
            "the group of this account that the rule names",
        );
    }
    let (engine, version) = (request.said("Engine"), request.said("EngineVersion"));
    let default = default_option_group(engine, version);
    if let Some(name) = chosen.or(request.asked(KEY)) {
        let is_another = |default: &String| name.starts_with("default:") && name != default;
        return default.filter(is_another).map(|default| {
            format!(
                "the policy asks for the option group {name}, which is not one of {engine} {version}; its default is \
                 {default}. Change or remove it"
            )
        });
    }
    match request.said(KEY) {
        "" => {}
        own if own.starts_with("default:") => {
            let reason = "the default of the backup's engine, which RDS gives unasked";
            request.set(KEY, None, reason);
        }
        own => {
            let reason = match default {
                Some(_) => {
                    "the source's own is bound to its account and VPC: its engine's default instead"
                }
                None => "the source's own is bound to its account and VPC",
            };
            request.set(KEY, default.as_deref(), reason);
            request.findings.push(format!(
                "the source had an option group of its own, {own}; the restored copy has its engine's default, without those \
                 options. If checks depend on them, let the rule name a group of this account: rds.option_group = \"…\""
            ));
        }
    }
    None
}

/// The name of an engine's default option group, for example `default:mysql-8-0`; none if the version does not tell.
fn default_option_group(engine: &str, version: &str) -> Option<String> {
    let major = major(engine, version)?.join("-");
    Some(format!("default:{engine}-{major}"))
}

/// The name of an engine's default parameter group, for example `default.mysql8.0`; none of engines whose families are
/// called otherwise, and if the version does not tell. Those of clusters are called the same.
fn default_parameter_group(engine: &str, version: &str) -> Option<String> {
    match engine {
        "mysql" | "mariadb" | "postgres" | "aurora-mysql" | "aurora-postgresql" => Some(format!(
            "default.{engine}{}",
            major(engine, version)?.join(".")
        )),
        _ => None,
    }
}

/// The numbers of a version that name its major version.
fn major<'v>(engine: &str, version: &'v str) -> Option<Vec<&'v str>> {
    let parts: Vec<&str> = version.split('.').collect();
    let first: u32 = parts.first()?.parse().ok()?;
    let one_names_it = match engine {
        "postgres" | "aurora-postgresql" => first >= 10,
        "mysql" | "mariadb" | "aurora-mysql" => false,
        _ if engine.starts_with("oracle-") => first >= 18,
        _ if engine.starts_with("sqlserver-") || engine.starts_with("db2-") => false,
        _ => return None,
    };
    if one_names_it {
        return Some(vec![parts[0]]);
    }
    let second = *parts.get(1)?;
    second
        .parse::<u32>()
        .is_ok()
        .then(|| vec![parts[0], second])
}
