//! A new password of the master user: ModifyDBInstance, as far as it is played, and that part of ModifyDBCluster.
//!
//! RDS applies it on its own time, "asynchronously as soon as possible" whatever `ApplyImmediately`
//! says (API reference, ModifyDBInstance): for a while an instance looks as if nothing were asked of
//! it, then the password is pending, then the instance is `resetting-master-credentials`, and only
//! when it is `available` again the new password is the one that works.

use jiff::Timestamp;

use serde_json::json;

use crate::wire::{Request, ServiceError};
use crate::world::behaviour::PasswordReset;
use crate::world::state::{Effect, State, later};

use super::super::Answer;
use super::{bad_combination, identifier_of, instance_json, needed, not_found, only, reply};

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
    /// A password that was asked for now, and how long it takes.
    pub(super) fn new(now: Timestamp, behaviour: &PasswordReset, password: &str) -> Reset {
        let shows_at = later(now, behaviour.unseen_for);
        let starts_at = later(shows_at, behaviour.pending_for);
        Reset {
            password: password.to_owned(),
            shows_at,
            starts_at,
            ends_at: later(starts_at, behaviour.takes),
            engine: Engine::Nothing,
        }
    }

    /// Whether a describe shows it as pending.
    pub(super) fn shows(&self, now: Timestamp) -> bool {
        now >= self.shows_at
    }

    /// The engine has the password, or has refused it; RDS shows neither but by the status's end.
    pub(crate) fn applied(&mut self) {
        self.engine = Engine::Done;
    }

    /// Goes on, with the status of what it is of. Returns the password when it is the engine's turn; `runs` tells
    /// whether there is an engine that [`Reset::applied`] will be said of.
    pub(crate) fn advance(
        of: &mut Option<Reset>,
        status: &mut String,
        now: Timestamp,
        runs: bool,
    ) -> Option<String> {
        let reset = of.as_mut()?;
        if !matches!(status.as_str(), "available" | RESETTING) {
            // It is being deleted.
            *of = None;
            return None;
        }
        if now < reset.starts_at {
            return None;
        }
        let mut password = None;
        if let Engine::Nothing = reset.engine {
            *status = RESETTING.to_owned();
            password = Some(std::mem::take(&mut reset.password));
            reset.engine = if runs { Engine::Working } else { Engine::Done };
        }
        if matches!(reset.engine, Engine::Done) && now >= reset.ends_at {
            *status = "available".to_owned();
            *of = None;
        }
        password
    }
}

/// A password for the engine, see [`Effect::SetPassword`].
pub(crate) struct NewPassword {
    pub of: Database,
    pub admin: crate::engine::Admin,
    pub user: String,
    pub password: String,
}

/// What a password is of, by its identifier.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Instance(String),
    Cluster(String),
}

pub(super) fn modify(state: &mut State, request: &Request) -> Answer {
    let identifier = identifier_of(needed(request, "DBInstanceIdentifier")?);
    only(
        request,
        &[
            "DBInstanceIdentifier",
            "MasterUserPassword",
            "ApplyImmediately",
        ],
    )?;
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
        if instance.db.cluster.is_some() {
            // Words: as of other settings that are the cluster's (Optum/dce #244).
            return Err(bad_combination(
                "The specified DB Instance is a member of a cluster. Modify master user password for the DB Cluster using \
                 the ModifyDbCluster API",
            ));
        }
        check(&instance.db.engine, password)?;
        // A password that is still pending gives way to the newer one.
        let behaviour = &instance.db.behaviour.master_password;
        instance.reset = Some(Reset::new(now, behaviour, password));
    }
    let instance = state.instances.get(&identifier);
    // The answer itself names what was asked for.
    let shown = instance.map(|instance| instance_json(state, instance, instance.reset.is_some()));
    Ok(reply(
        state,
        "ModifyDBInstance",
        &json!({ "DBInstance": shown }),
    ))
}

/// The rules of the API reference (ModifyDBInstance, MasterUserPassword), in RDS's words.
pub(super) fn check(engine: &str, password: &str) -> Result<(), ServiceError> {
    let longest = match engine {
        "postgres" | "aurora-postgresql" => 128,
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

/// Moves on the passwords of instances that are on their way.
pub(crate) fn settle(state: &mut State) {
    let now = state.now;
    for (identifier, instance) in &mut state.instances {
        // Nobody can log in to an instance that exists in the API only.
        let fails = instance.db.behaviour.master_password.fails;
        let server = instance.server.as_ref().filter(|_| !fails);
        let status = &mut instance.db.status;
        let password = Reset::advance(&mut instance.reset, status, now, server.is_some());
        if let (Some(password), Some(server)) = (password, server) {
            state.outbox.push(Effect::SetPassword(NewPassword {
                of: Database::Instance(identifier.clone()),
                admin: server.admin(),
                user: instance.db.master_username.clone(),
                password,
            }));
        }
    }
}

/// The engine has the password, or has refused it.
pub(crate) fn applied(state: &mut State, of: &Database) {
    match of {
        Database::Instance(identifier) => {
            let instance = state.instances.get_mut(identifier);
            if let Some(reset) = instance.and_then(|instance| instance.reset.as_mut()) {
                reset.applied();
            }
        }
        Database::Cluster(identifier) => {
            if let Some(cluster) = state.clusters.get_mut(identifier) {
                cluster.has_password();
            }
        }
    }
}
