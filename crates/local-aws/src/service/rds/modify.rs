//! ModifyDBInstance, as far as it is played: a new password of the master user.
//!
//! RDS applies it on its own time, "asynchronously as soon as possible" whatever `ApplyImmediately`
//! says (API reference, ModifyDBInstance): for a while an instance looks as if nothing were asked of
//! it, then the password is pending, then the instance is `resetting-master-credentials`, and only
//! when it is `available` again the new password is the one that works.

use jiff::Timestamp;

use crate::wire::reply::RDS_NAMESPACE;
use crate::wire::{Reply, Request, ServiceError};
use crate::world::state::{Effect, State, later};

use super::super::Answer;
use super::{identifier_of, not_found, write_instance};

/// The status of an instance that gets its new password.
const RESETTING: &str = "resetting-master-credentials";

/// A new password on its way.
pub(crate) struct Reset {
    password: String,
    /// A describe shows it as pending from then.
    shows_at: Timestamp,
    /// The instance gets it from then.
    starts_at: Timestamp,
    /// The instance is `available` again then at the earliest.
    ends_at: Timestamp,
    engine: Engine,
}

/// What the engine was told.
enum Engine {
    Nothing,
    Working,
    Done,
}

impl Reset {
    /// Whether a describe shows it as pending.
    pub(super) fn shows(&self, now: Timestamp) -> bool {
        now >= self.shows_at
    }
}

/// A password for the engine, see [`Effect::SetPassword`].
pub(crate) struct NewPassword {
    pub instance: String,
    pub admin: crate::engine::Admin,
    pub user: String,
    pub password: String,
}

pub(super) fn modify(state: &mut State, request: &Request) -> Answer {
    let Some(name) = request.param("DBInstanceIdentifier") else {
        return Err(ServiceError::new(
            "InvalidParameterValue",
            400,
            "The parameter DBInstanceIdentifier must be provided and must not be blank.",
        ));
    };
    let identifier = identifier_of(name);
    let played = [
        "Action",
        "Version",
        "DBInstanceIdentifier",
        "MasterUserPassword",
        "ApplyImmediately",
    ];
    let other = request
        .params
        .iter()
        .find(|(name, _)| !played.contains(&name.as_str()));
    if let Some((other, _)) = other {
        let message = format!("local-aws does not play rds:ModifyDBInstance with {other}");
        return Err(ServiceError::new("NotImplemented", 501, &message));
    }
    let now = state.now;
    let instance = state
        .instances
        .get_mut(&identifier)
        .ok_or_else(|| not_found(&identifier))?;
    if instance.db.status != "available" || instance.db.created_at.is_none() {
        return Err(ServiceError::new(
            "InvalidDBInstanceState",
            400,
            "Database instance is not in available state.",
        ));
    }
    if let Some(password) = request.param("MasterUserPassword") {
        check(&instance.db.engine, password)?;
        let behaviour = &instance.db.behaviour.master_password;
        let shows_at = later(now, behaviour.unseen_for);
        let starts_at = later(shows_at, behaviour.pending_for);
        // A password that is still pending gives way to the newer one.
        instance.reset = Some(Reset {
            password: password.to_owned(),
            shows_at,
            starts_at,
            ends_at: later(starts_at, behaviour.takes),
            engine: Engine::Nothing,
        });
    }
    let request_id = state.new_uuid("request");
    Ok(Reply::query(
        "ModifyDBInstance",
        RDS_NAMESPACE,
        &request_id,
        |xml| {
            if let Some(instance) = state.instances.get(&identifier) {
                // The answer itself names what was asked for.
                write_instance(xml, state, &instance.db, instance.reset.is_some());
            }
        },
    ))
}

/// The rules of the API reference (ModifyDBInstance, MasterUserPassword), in RDS's words.
fn check(engine: &str, password: &str) -> Result<(), ServiceError> {
    let longest = match engine {
        "postgres" => 128,
        _ => 41,
    };
    let invalid = |reason: &str| {
        let message = format!("The parameter MasterUserPassword is not a valid password{reason}");
        Err(ServiceError::new("InvalidParameterValue", 400, &message))
    };
    let printable = password
        .chars()
        .all(|c| c.is_ascii_graphic() && !matches!(c, '/' | '@' | '"'));
    if !printable {
        return invalid(
            ". Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.",
        );
    }
    if password.len() < 8 {
        return invalid(" because it is shorter than 8 characters.");
    }
    if password.len() > longest {
        return invalid(&format!(" because it is longer than {longest} characters."));
    }
    Ok(())
}

/// Moves on the passwords that are on their way.
pub(crate) fn settle(state: &mut State) {
    let now = state.now;
    for (identifier, instance) in &mut state.instances {
        let Some(reset) = &mut instance.reset else {
            continue;
        };
        if !matches!(instance.db.status.as_str(), "available" | RESETTING) {
            // It is being deleted.
            instance.reset = None;
            continue;
        }
        if now < reset.starts_at {
            continue;
        }
        if let Engine::Nothing = reset.engine {
            instance.db.status = RESETTING.to_owned();
            reset.engine = match &instance.server {
                Some(server) if !instance.db.behaviour.master_password.fails => {
                    state.outbox.push(Effect::SetPassword(NewPassword {
                        instance: identifier.clone(),
                        admin: server.admin(),
                        user: instance.db.master_username.clone(),
                        password: std::mem::take(&mut reset.password),
                    }));
                    Engine::Working
                }
                // Nobody can log in to an instance that exists in the API only.
                _ => Engine::Done,
            };
        }
        if matches!(reset.engine, Engine::Done) && now >= reset.ends_at {
            instance.db.status = "available".to_owned();
            instance.reset = None;
        }
    }
}

/// The engine has the password, or has refused it; RDS shows neither but by the status's end.
pub(crate) fn applied(state: &mut State, identifier: &str) {
    if let Some(instance) = state.instances.get_mut(identifier)
        && let Some(reset) = &mut instance.reset
    {
        reset.engine = Engine::Done;
    }
}
