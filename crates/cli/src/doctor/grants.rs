//! Whom a resource's policy lets do something, as far as that can be told from here ("Policy evaluation logic", IAM User
//! Guide). What depends on something unknown is neither yes nor no.

use serde_json::Value;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Principal<'a> {
    /// A role, by its ARN.
    Role(&'a str),
    /// A service of AWS on behalf of something in an account.
    Service {
        /// For example `cloudwatch.amazonaws.com`.
        name: &'a str,
        /// 12 digits.
        account: &'a str,
        /// An ARN such as that of the something; none if it is not known what the service names.
        source: Option<&'a str>,
    },
}

/// What a policy says of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Denied, by the statement of this name.
    Denied(String),
    /// Allowed by name.
    Allowed,
    /// Left to the policies of the account's own roles and users.
    ByAccount,
    /// Depends on what cannot be known here: the statement's name.
    Unclear(String),
    /// Not mentioned.
    Silent,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    No,
    Maybe,
    Yes,
}

impl Holds {
    fn of(holds: bool) -> Holds {
        if holds { Holds::Yes } else { Holds::No }
    }

    fn not(self) -> Holds {
        match self {
            Holds::No => Holds::Yes,
            Holds::Maybe => Holds::Maybe,
            Holds::Yes => Holds::No,
        }
    }
}

/// What a policy says of an action of a principal. Whatever resource a statement names counts as the one asked about: the
/// policy belongs to it.
pub(super) fn grant(policy: &Value, principal: Principal<'_>, action: &str) -> Grant {
    let mut allowed = None;
    let mut unclear = None;
    for statement in list(&policy["Statement"]) {
        let (named, by_account) = names(statement, principal);
        let about = named
            .min(is_about(statement, action))
            .min(holds(statement, principal));
        let sid = || {
            statement["Sid"]
                .as_str()
                .unwrap_or("without a Sid")
                .to_owned()
        };
        match (statement["Effect"].as_str(), about) {
            (_, Holds::No) => {}
            (Some("Deny"), Holds::Yes) => return Grant::Denied(sid()),
            (Some("Allow"), Holds::Yes) if by_account => {
                allowed.get_or_insert(Grant::ByAccount);
            }
            (Some("Allow"), Holds::Yes) => allowed = Some(Grant::Allowed),
            // An allowance that only may hold matters where there is no other.
            (Some("Allow"), Holds::Maybe) => unclear = unclear.or(Some((false, sid()))),
            (_, Holds::Yes | Holds::Maybe) => unclear = Some((true, sid())),
        }
    }
    match (allowed, unclear) {
        (_, Some((true, sid))) | (None, Some((false, sid))) => Grant::Unclear(sid),
        (Some(grant), _) => grant,
        (None, None) => Grant::Silent,
    }
}

/// Whether a statement names the principal, and whether as one of its account.
fn names(statement: &Value, principal: Principal<'_>) -> (Holds, bool) {
    if !statement["NotPrincipal"].is_null() {
        let (named, by_account) = is_named(&statement["NotPrincipal"], principal);
        return (Holds::of(!named), by_account);
    }
    let (named, by_account) = is_named(&statement["Principal"], principal);
    (Holds::of(named), by_account)
}

fn is_named(named: &Value, principal: Principal<'_>) -> (bool, bool) {
    if named == "*" {
        return (true, false);
    }
    match principal {
        Principal::Service { name, .. } => {
            (list(&named["Service"]).any(|named| named == name), false)
        }
        Principal::Role(arn) => {
            let account = account_of(arn);
            let is_account = |name: &str| {
                name == account
                    || name.starts_with("arn:")
                        && name.ends_with(":root")
                        && account_of(name) == account
            };
            let mut by_account = false;
            for name in list(&named["AWS"]).filter_map(Value::as_str) {
                if name == "*" || name == arn {
                    return (true, false);
                }
                by_account |= is_account(name);
            }
            (by_account, by_account)
        }
    }
}

fn is_about(statement: &Value, action: &str) -> Holds {
    let any = |key: &str| {
        let mut patterns = list(&statement[key]).filter_map(Value::as_str);
        patterns.any(|pattern| is_like(&action.to_lowercase(), &pattern.to_lowercase()))
    };
    if statement["NotAction"].is_null() {
        Holds::of(any("Action"))
    } else {
        Holds::of(!any("NotAction"))
    }
}

/// Whether the conditions of a statement hold: all of them must.
fn holds(statement: &Value, principal: Principal<'_>) -> Holds {
    let Some(operators) = statement["Condition"].as_object() else {
        return Holds::Yes;
    };
    let mut all = Holds::Yes;
    for (operator, keys) in operators {
        for (key, values) in keys.as_object().into_iter().flatten() {
            all = all.min(condition(operator, key, values, principal));
        }
    }
    all
}

fn condition(operator: &str, key: &str, values: &Value, principal: Principal<'_>) -> Holds {
    let Some(known) = known(key, principal) else {
        return Holds::Maybe;
    };
    let operator = operator.strip_suffix("IfExists").unwrap_or(operator);
    let is_negated = operator.contains("Not");
    let is_one = match operator.replace("Not", "").as_str() {
        "StringEquals" | "Bool" => |value: &str, known: &str| value == known,
        "StringLike" | "ArnEquals" | "ArnLike" => |value: &str, known: &str| is_like(known, value),
        _ => return Holds::Maybe,
    };
    // Numbers and booleans may stand there without quotes.
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let any = Holds::of(list(values).any(|value| is_one(&text(value), known)));
    if is_negated { any.not() } else { any }
}

/// What a request of the principal carries for a key, if that can be known; keys are written in any case.
fn known<'a>(key: &str, principal: Principal<'a>) -> Option<&'a str> {
    match (key.to_lowercase().as_str(), principal) {
        ("aws:principalarn", Principal::Role(arn)) => Some(arn),
        ("aws:principalaccount" | "kms:calleraccount", Principal::Role(arn)) => {
            Some(account_of(arn))
        }
        ("aws:sourceaccount", Principal::Service { account, .. }) => Some(account),
        ("aws:sourcearn", Principal::Service { source, .. }) => source,
        // Nobody calls AWS in plain text.
        ("aws:securetransport", _) => Some("true"),
        _ => None,
    }
}

fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// One or many.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let many = value.as_array().map(Vec::as_slice);
    let one = (!value.is_null()).then(|| std::slice::from_ref(value));
    many.or(one).unwrap_or_default().iter()
}

/// Whether a text is what a pattern with `*` and `?` says.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut wanted) = (0, 0);
    // Where the last star stood, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(wanted) {
            Some(b'*') => {
                star = Some((wanted, at));
                wanted += 1;
            }
            Some(&one) if one == b'?' || one == text[at] => {
                at += 1;
                wanted += 1;
            }
            Some(_) | None => match star {
                None => return false,
                Some((place, reached)) => {
                    star = Some((place, reached + 1));
                    (at, wanted) = (reached + 1, place + 1);
                }
            },
        }
    }
    pattern[wanted..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ROLE: &str = "arn:aws:iam::111122223333:role/restore";

    fn says(statements: Value) -> Grant {
        let policy = json!({ "Statement": statements });
        grant(&policy, Principal::Role(ROLE), "kms:Decrypt")
    }

    #[test]
    fn an_account_gives_on_what_it_is_allowed() {
        let root = "arn:aws:iam::111122223333:root";
        let by = |principal: Value| {
            says(
                json!({ "Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*" }),
            )
        };
        assert_eq!(by(json!({ "AWS": root })), Grant::ByAccount);
        assert_eq!(by(json!({ "AWS": ["111122223333"] })), Grant::ByAccount);
        assert_eq!(by(json!({ "AWS": [root, ROLE] })), Grant::Allowed);
        assert_eq!(by(json!("*")), Grant::Allowed);
        let other = "arn:aws:iam::999999999999:root";
        assert_eq!(by(json!({ "AWS": other })), Grant::Silent);
    }

    #[test]
    fn a_denial_wins_unless_it_makes_an_exception() {
        let allow = json!({ "Effect": "Allow", "Principal": "*", "Action": "kms:*" });
        let deny = |condition: Value| {
            says(json!([allow, {
                "Sid": "No", "Effect": "Deny", "Principal": { "AWS": "*" }, "Action": ["kms:decrypt"],
                "Condition": condition,
            }]))
        };
        assert_eq!(deny(json!({})), Grant::Denied("No".to_owned()));
        let other = json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/admin*" } });
        assert_eq!(deny(other), Grant::Denied("No".to_owned()));
        let ours =
            json!({ "ArnNotEquals": { "aws:PrincipalArn": ["arn:aws:iam::1:role/x", ROLE] } });
        assert_eq!(deny(ours), Grant::Allowed);
        let unknown = json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-1" } });
        assert_eq!(deny(unknown), Grant::Unclear("No".to_owned()));
    }

    #[test]
    fn what_a_statement_leaves_out_it_is_not_about() {
        let deny = |key: &str, value: Value| {
            says(json!({ "Effect": "Deny", "Principal": "*", key: value }))
        };
        assert_eq!(deny("Action", json!("kms:Enc*")), Grant::Silent);
        assert_eq!(deny("NotAction", json!("kms:Decrypt")), Grant::Silent);
        let denied = Grant::Denied("without a Sid".to_owned());
        assert_eq!(deny("NotAction", json!(["kms:Encrypt"])), denied);
        let not_us = json!({ "Effect": "Deny", "NotPrincipal": { "AWS": ROLE }, "Action": "*" });
        assert_eq!(says(not_us), Grant::Silent);
    }

    #[test]
    fn a_service_asks_for_an_account() {
        let policy = json!({ "Statement": {
            "Effect": "Allow", "Principal": { "Service": ["cloudwatch.amazonaws.com"] }, "Action": "kms:GenerateDataKey*",
            "Condition": {
                "StringEquals": { "aws:SourceAccount": "111122223333" },
                "ArnLike": { "aws:SourceArn": "arn:aws:cloudwatch:*:*:alarm:*" },
                "Bool": { "aws:SecureTransport": true },
            },
        } });
        let cloudwatch = "cloudwatch.amazonaws.com";
        let asks = |name, account| {
            let source = Some("arn:aws:cloudwatch:eu-central-1:111122223333:alarm:a");
            let principal = Principal::Service {
                name,
                account,
                source,
            };
            grant(&policy, principal, "kms:GenerateDataKey")
        };
        let unknown = Principal::Service {
            name: cloudwatch,
            account: "111122223333",
            source: None,
        };
        let unclear = Grant::Unclear("without a Sid".to_owned());
        assert_eq!(grant(&policy, unknown, "kms:GenerateDataKey"), unclear);
        assert_eq!(asks(cloudwatch, "111122223333"), Grant::Allowed);
        assert_eq!(asks(cloudwatch, "999999999999"), Grant::Silent);
        assert_eq!(asks("backup.amazonaws.com", "111122223333"), Grant::Silent);
    }

    #[test]
    fn patterns() {
        for (text, pattern, is) in [
            ("kms:decrypt", "kms:*", true),
            ("kms:decrypt", "*crypt", true),
            ("kms:decrypt", "kms:?ecrypt", true),
            ("kms:decrypt", "kms:de*t*", true),
            ("kms:decrypt", "kms:decryp", false),
            ("kms:decrypt", "", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(text, pattern), is, "{text} {pattern}");
        }
    }
}
