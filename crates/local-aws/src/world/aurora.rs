//! The life of Aurora's DB clusters and of the instances in them, driven by the world's clock.
//!
//! AWS Backup restores a cluster without an instance. Its data lies at rest until somebody makes an instance in it: that
//! becomes the writer, and the data a running server.

pub(crate) mod metadata;

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::engine::{Dump, Server};
use crate::service::rds::modify::{Database, NewPassword, Reset};

use super::behaviour::InstanceBehaviour;
use super::seed::{DbCluster, DbInstance};
use super::state::{Effect, Instance, Launch, LaunchOf, LaunchWhat, State, later};

/// A DB cluster and what will become of it.
pub(crate) struct ClusterState {
    pub db: DbCluster,
    pub data: Data,
    /// Statuses still to hold, each until then.
    pub phases: VecDeque<(String, Timestamp)>,
    pub hidden_describes: u32,
    /// A new password of the master user, on its way.
    pub reset: Option<Reset>,
    /// A password that the engine is still to get, since it did not run.
    password: Option<String>,
    /// The instance that writes.
    pub writer: Option<String>,
    /// What instances do that are made in it.
    pub instance_behaviour: InstanceBehaviour,
    pub gone_at: Option<Timestamp>,
}

/// The data of a cluster.
pub(crate) enum Data {
    /// There is none: it exists in the API only.
    None,
    /// Somebody else's server has it.
    Elsewhere(String, u16),
    /// It waits for a writer.
    AtRest(Dump),
    Starting(Dump),
    Failed,
    Running(Dump, Box<Server>),
}

impl ClusterState {
    pub fn new(db: DbCluster) -> ClusterState {
        ClusterState {
            hidden_describes: db.behaviour.hidden_describes,
            db,
            data: Data::None,
            phases: VecDeque::new(),
            reset: None,
            password: None,
            writer: None,
            instance_behaviour: InstanceBehaviour::default(),
            gone_at: None,
        }
    }

    /// Whether it will change by time alone.
    pub fn is_pending(&self) -> bool {
        self.gone_at.is_some() || !self.phases.is_empty() || self.reset.is_some()
    }

    /// The restored cluster is there: its statuses begin.
    pub fn bring_up(&mut self, now: Timestamp) {
        let mut until = now;
        for phase in &self.db.behaviour.statuses {
            until = later(until, phase.lasts);
            self.phases.push_back((phase.status.clone(), until));
        }
        self.db.status = "available".to_owned();
    }

    /// The engine has the new password, or has refused it.
    pub fn has_password(&mut self) {
        self.password = None;
        if let Some(reset) = &mut self.reset {
            reset.applied();
        }
    }

    /// Host and port of the server that has its data. None as long as there is none.
    fn address(&self) -> Option<(String, u16)> {
        match &self.data {
            Data::None => Some((format!("{}.rds.invalid", self.db.identifier), self.db.port)),
            Data::Elsewhere(host, port) => Some((host.clone(), *port)),
            Data::Running(_, server) if self.password.is_none() => {
                Some((server.host().to_owned(), server.port()))
            }
            Data::Running(..) | Data::AtRest(_) | Data::Starting(_) | Data::Failed => None,
        }
    }

    fn set_password(&self, password: &str) -> Option<Effect> {
        let Data::Running(_, server) = &self.data else {
            return None;
        };
        Some(Effect::SetPassword(NewPassword {
            of: Database::Cluster(self.db.identifier.clone()),
            admin: server.admin(),
            user: self.db.master_username.clone(),
            password: password.to_owned(),
        }))
    }
}

/// The name of a cluster's endpoint, which leads nowhere.
pub(crate) fn endpoint(identifier: &str) -> String {
    format!("{identifier}.cluster-c0ffee.rds.invalid")
}

/// An instance of a cluster, without what it has of its own.
pub(crate) fn member(db: &DbCluster) -> DbInstance {
    DbInstance {
        cluster: Some(db.identifier.clone()),
        status: "creating".to_owned(),
        created_at: None,
        host: None,
        port: db.port,
        engine: db.engine.clone(),
        engine_version: db.engine_version.clone(),
        master_username: db.master_username.clone(),
        database_name: db.database_name.clone(),
        // As RDS shows it of every instance of Aurora.
        allocated_storage: 1,
        storage_type: "aurora".to_owned(),
        kms_key_arn: db.kms_key_arn.clone(),
        subnet_group: db.subnet_group.clone(),
        security_groups: db.security_groups.clone(),
        network_type: db.network_type.clone(),
        parameter_group: default_group(&db.engine, &db.engine_version),
        option_group: default_group(&db.engine, &db.engine_version)
            .replacen("default.", "default:", 1)
            .replace("postgresql", "postgresql-")
            .replace("mysql", "mysql-")
            .replace('.', "-"),
        backup_retention_days: db.backup_retention_days,
        ..DbInstance::default()
    }
}

/// `default.aurora-postgresql16`, `default.aurora-mysql8.0`: of clusters and of instances.
pub(crate) fn default_group(engine: &str, version: &str) -> String {
    let parts = if engine == "aurora-mysql" { 2 } else { 1 };
    let version: Vec<&str> = version.split('.').take(parts).collect();
    format!("default.{engine}{}", version.join("."))
}

/// The instances of a cluster.
pub(crate) fn members<'a>(
    state: &'a State,
    cluster: &'a str,
) -> impl Iterator<Item = &'a Instance> {
    let instances = state.instances.values();
    instances.filter(move |instance| instance.db.cluster.as_deref() == Some(cluster))
}

/// Begins the making of an instance in its cluster.
pub(crate) fn add_member(state: &mut State, db: DbInstance, now: Timestamp) {
    let cluster = db
        .cluster
        .as_ref()
        .and_then(|name| state.clusters.get_mut(name));
    let Some(cluster) = cluster else { return };
    let identifier = db.identifier.clone();
    cluster.writer.get_or_insert_with(|| identifier.clone());
    if let Data::AtRest(dump) = &cluster.data {
        let dump = dump.clone();
        state.outbox.push(Effect::Launch(Launch {
            of: LaunchOf::Cluster(cluster.db.identifier.clone()),
            name: identifier.clone(),
            what: LaunchWhat::Database {
                dump: dump.clone(),
                master_user: cluster.db.master_username.clone(),
                takes_tokens: cluster.db.iam_authentication,
            },
        }));
        cluster.data = Data::Starting(dump);
    }
    let ready_at = later(now, cluster.db.behaviour.writer.takes);
    let mut instance = Instance::seeded(db);
    instance.ready_at = Some(ready_at);
    state.instances.insert(identifier, instance);
}

/// The making of a cluster's server has ended.
pub(crate) fn launched(state: &mut State, cluster: &str, started: anyhow::Result<Box<Server>>) {
    let Some(cluster) = state.clusters.get_mut(cluster) else {
        return;
    };
    let Data::Starting(dump) = std::mem::replace(&mut cluster.data, Data::Failed) else {
        return;
    };
    match started {
        Ok(server) => {
            cluster.data = Data::Running(dump, server);
            let password = cluster.password.clone();
            let told = password.and_then(|password| cluster.set_password(&password));
            state.outbox.extend(told);
        }
        Err(error) => tracing::error!(cluster.db.identifier, "no server: {error:#}"),
    }
}

/// Lets everything happen that is due.
pub(crate) fn settle(state: &mut State) {
    let now = state.now;
    let mut joining = Vec::new();
    for cluster in state.clusters.values_mut() {
        if matches!(cluster.db.status.as_str(), "creating" | "deleting") {
            continue;
        }
        while cluster
            .phases
            .front()
            .is_some_and(|(_, until)| *until <= now)
        {
            cluster.phases.pop_front();
            cluster.db.status = "available".to_owned();
        }
        if let Some((status, _)) = cluster.phases.front() {
            cluster.db.status.clone_from(status);
            continue;
        }
        let fails = cluster.db.behaviour.master_password.fails;
        let runs = matches!(cluster.data, Data::Running(..)) && !fails;
        let waits = matches!(cluster.data, Data::AtRest(_) | Data::Starting(_)) && !fails;
        let status = &mut cluster.db.status;
        if let Some(password) = Reset::advance(&mut cluster.reset, status, now, runs) {
            state
                .outbox
                .extend(cluster.set_password(&password).filter(|_| runs));
            cluster.password = Some(password).filter(|_| runs || waits);
        }
    }
    for instance in state.instances.values_mut() {
        if instance.ready_at.is_none_or(|at| at > now) || instance.db.status != "creating" {
            continue;
        }
        let cluster = instance.db.cluster.as_ref();
        let cluster = cluster.and_then(|name| state.clusters.get_mut(name));
        let Some(cluster) = cluster else { continue };
        let ends_in = cluster.db.behaviour.writer.ends_in.clone();
        let failed = matches!(cluster.data, Data::Failed).then(|| "failed".to_owned());
        if let Some(status) = ends_in.or(failed) {
            instance.db.status = status;
            instance.ready_at = None;
            continue;
        }
        let Some((host, port)) = cluster.address() else {
            continue;
        };
        instance.ready_at = None;
        instance.db.created_at = Some(now);
        instance.come_up(now, host.clone(), port);
        if cluster.writer.as_ref() == Some(&instance.db.identifier) {
            (cluster.db.host, cluster.db.port) = (host, port);
        }
        if let Some(colleague) = cluster.db.behaviour.joined_by.take() {
            joining.push(DbInstance {
                identifier: colleague,
                status: "available".to_owned(),
                created_at: Some(now),
                host: instance.db.host.clone(),
                port: instance.db.port,
                instance_class: "db.r6g.large".to_owned(),
                ..member(&cluster.db)
            });
        }
    }
    for instance in joining {
        let identifier = instance.identifier.clone();
        state
            .instances
            .insert(identifier, Instance::seeded(instance));
    }
    let ended = |cluster: &&ClusterState| cluster.gone_at.is_some_and(|at| at <= now);
    let gone: Vec<String> = (state.clusters.values().filter(ended))
        .map(|cluster| cluster.db.identifier.clone())
        .filter(|name| members(state, name).next().is_none())
        .collect();
    for name in gone {
        state.clusters.remove(&name);
    }
}

/// An instance of a cluster is being deleted: another one becomes the writer, and without any the data rests.
pub(crate) fn left(state: &mut State, cluster: &str) {
    let stays = |instance: &&Instance| instance.db.status != "deleting";
    let next = members(state, cluster).find(stays);
    let next = next.map(|instance| instance.db.identifier.clone());
    let is_there = |name: &String| {
        let instance = state.instances.get(name);
        instance.is_some_and(|instance| instance.db.status != "deleting")
    };
    let Some(found) = state.clusters.get_mut(cluster) else {
        return;
    };
    if found.writer.as_ref().is_some_and(is_there) {
        return;
    }
    found.writer = next;
    if found.writer.is_some() {
        return;
    }
    found.db.host = endpoint(cluster);
    found.data = match std::mem::replace(&mut found.data, Data::None) {
        Data::Running(dump, server) => {
            state.outbox.push(Effect::Stop(server));
            Data::AtRest(dump)
        }
        other @ (Data::None
        | Data::Elsewhere(..)
        | Data::AtRest(_)
        | Data::Starting(_)
        | Data::Failed) => other,
    };
}

/// Begins the deletion of a cluster without instances: it is gone a while later.
pub(crate) fn begin_deletion(state: &mut State, identifier: &str) {
    let takes = state.options.deletion_takes;
    let now = state.now;
    let Some(cluster) = state.clusters.get_mut(identifier) else {
        return;
    };
    let takes = cluster.db.behaviour.deletion_takes.unwrap_or(takes);
    cluster.db.status = "deleting".to_owned();
    cluster.phases.clear();
    cluster.reset = None;
    cluster.gone_at = Some(later(now, takes));
    if let Data::Running(_, server) = std::mem::replace(&mut cluster.data, Data::None) {
        state.outbox.push(Effect::Stop(server));
    }
}
