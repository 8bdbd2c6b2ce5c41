//! The life of a restore job and of the instance it makes, driven by the world's clock.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpStream;

use crate::engine::Server;
use crate::wire::ServiceError;

use super::aurora::{self, ClusterState, Data};
use super::behaviour::RestoreOutcome;
use super::seed::{DbCluster, DbInstance, RestoreJob};
use super::state::{
    Effect, Instance, Job, Launch, LaunchOf, LaunchState, LaunchWhat, Plan, Started, State, later,
};
use super::{StartRestore, ec2, events, metadata};

/// Idempotency tokens: AWS's reference once said they time out after one hour.
const TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// Whether a vault exists and lets callers in.
pub(crate) fn admits(state: &State, vault: &str) -> bool {
    state.vaults.get(vault).is_some_and(|vault| !vault.refuses)
}

/// What AWS Backup answers for a vault whose access policy refuses, and, even to an administrator, for one that does
/// not exist (words: boto3 #2269, aws-sdk-js #2625; status 403: steampipe-plugin-aws #1156).
pub(crate) fn insufficient_privileges() -> ServiceError {
    ServiceError::new(
        "AccessDeniedException",
        403,
        "Insufficient privileges to perform this action.",
    )
}

/// StartRestoreJob. Accepts nearly anything: bad metadata only dooms the job.
pub(crate) fn start(state: &mut State, request: &StartRestore) -> Result<String, ServiceError> {
    if let Some(token) = &request.idempotency_token {
        let now = state.now;
        let spent = state.spent_tokens.get(token);
        if let Some((_, answer)) = spent.filter(|(at, _)| now.duration_since(*at) < TOKEN_LIFE) {
            return Err(answer.clone());
        }
        let mut known = state.jobs.by_token(token);
        let known = known.find(|job| now.duration_since(job.job.created_at) < TOKEN_LIFE);
        if let Some(Job { job, .. }) = known {
            // Not documented for AWS Backup, which says only that a repeated successful request is answered and nothing
            // done ("StartRestoreJob", API reference). Whoever asks for something else by a known token relies on what
            // nobody promises.
            if job.recovery_point_arn != request.recovery_point_arn
                || job.iam_role_arn != request.iam_role_arn
                || job.metadata != request.metadata
            {
                let words = "The idempotency token was used with another request";
                return Err(ServiceError::new("InvalidRequestException", 400, words));
            }
            return Ok(job.id.clone());
        }
    }
    let point = state.recovery_points.get(&request.recovery_point_arn);
    let Some(point) = point.cloned() else {
        let message = format!("Recovery point not found: {}", request.recovery_point_arn);
        return Err(ServiceError::new(
            "ResourceNotFoundException",
            400,
            &message,
        ));
    };
    if !admits(state, &point.vault) {
        return Err(insufficient_privileges());
    }
    if !matches!(point.resource_type.as_str(), "RDS" | "Aurora" | "EC2") {
        let message = format!(
            "local-aws restores RDS, Aurora and EC2 only, not {}",
            point.resource_type
        );
        return Err(ServiceError::new("InvalidRequestException", 400, &message));
    }
    if !matches!(point.status.as_str(), "COMPLETED" | "AVAILABLE" | "PARTIAL") {
        let message = format!(
            "Recovery point {} is in status {} and cannot be restored",
            point.arn, point.status
        );
        return Err(ServiceError::new("InvalidRequestException", 400, &message));
    }
    if !request.iam_role_arn.starts_with("arn:") {
        return Err(ServiceError::new(
            "InvalidParameterValueException",
            400,
            "Invalid IAM role ARN",
        ));
    }

    let mut behaviour = point.behaviour.clone();
    let jobs = state.jobs.of_point(&point.arn);
    let earlier = jobs.filter(|job| job.source.is_some()).count();
    if let Some(outcome) = behaviour.first_outcomes.get(earlier) {
        behaviour.outcome = outcome.clone();
    }
    if let Some(words) = &behaviour.refused {
        let answer = ServiceError::new("InvalidParameterValueException", 400, words);
        let token = request.idempotency_token.clone();
        let spent = token.map(|token| (token, (state.now, answer.clone())));
        state.spent_tokens.extend(spent);
        return Err(answer);
    }
    let (mut instance, mut cluster, mut machine) = (None, None, None);
    let given = &request.metadata;
    let planned = match point.resource_type.as_str() {
        "EC2" => ec2::metadata::plan(state, &point, given).map(|made| machine = Some(made)),
        "Aurora" => aurora::metadata::plan(state, &point, given).map(|made| cluster = Some(made)),
        _ => metadata::plan_instance(state, &point, given).map(|made| instance = Some(made)),
    };
    let doom = planned.err();
    let creates = matches!(
        behaviour.outcome,
        RestoreOutcome::Completes
            | RestoreOutcome::CompletesWithMessage { .. }
            | RestoreOutcome::FailsLeaving { .. }
            | RestoreOutcome::NeverEnds
    );
    let instance = instance.filter(|_| creates);
    let cluster = cluster.filter(|_| creates);
    let machine = machine.filter(|_| creates);
    let takes = if doom.is_some() {
        state.options.restore_rejected_after
    } else {
        behaviour.takes
    };
    let launch = match (&instance, &behaviour.database, &state.options.rds_endpoint) {
        _ if machine.is_some() => machine_launch(state, machine.as_ref()),
        (Some(instance), _, Some(endpoint)) => LaunchState::Wanted(LaunchWhat::Remote {
            endpoint: endpoint.clone(),
            form: remote_form(state, instance),
        }),
        (Some(instance), Some(dump), None) => LaunchState::Wanted(LaunchWhat::Database {
            dump: dump.clone(),
            master_user: instance.master_username.clone(),
            takes_tokens: instance.iam_authentication,
        }),
        (None, _, Some(endpoint)) => cluster.as_ref().map_or(LaunchState::NotNeeded, |cluster| {
            LaunchState::Wanted(LaunchWhat::Remote {
                endpoint: endpoint.clone(),
                form: remote_cluster_form(state, cluster),
            })
        }),
        _ => LaunchState::NotNeeded,
    };
    let job = RestoreJob {
        id: state.new_uuid("restore-job").to_uppercase(),
        recovery_point_arn: point.arn.clone(),
        vault: point.vault.clone(),
        iam_role_arn: request.iam_role_arn.clone(),
        metadata: request.metadata.clone(),
        status: "PENDING".to_owned(),
        status_message: None,
        created_at: state.now,
        completed_at: None,
        created_resource_arn: None,
        resource_type: point.resource_type.clone(),
        source_resource_arn: Some(point.source_resource_arn.clone()),
        idempotency_token: request.idempotency_token.clone(),
        restore_testing_plan_arn: None,
    };
    let id = job.id.clone();
    let mut runs_at = later(state.now, (takes / 10).min(Duration::from_secs(1)));
    let mut ends_at = later(state.now, takes);
    if machine.is_some() {
        // A machine is launched after its job began and before it ends, also in a world faster than life: by more
        // than what is lost of the times on their way as numbers of seconds.
        let tick = Duration::from_millis(1);
        runs_at = runs_at.max(later(state.now, tick));
        ends_at = ends_at.max(later(runs_at, tick));
    }
    let plan = Plan {
        events: behaviour.events.unwrap_or(state.options.events),
        size_bytes: point.size_bytes,
        point_created_at: point.created_at,
        runs_at,
        ends_at,
        doom,
        instance,
        cluster,
        machine,
        launch,
        behaviour,
    };
    let job = Job {
        job,
        source: Some(plan),
    };
    events::restore_job(state, &job);
    state.jobs.push(job);
    Ok(id)
}

/// What is to be done outside of the world before a machine can be there.
fn machine_launch(state: &State, machine: Option<&ec2::PlannedMachine>) -> LaunchState {
    match (machine, &state.options.ec2_endpoint) {
        (Some(machine), Some(endpoint)) => LaunchState::Wanted(LaunchWhat::RemoteMachine {
            endpoint: endpoint.clone(),
            form: ec2::remote_form(state, machine),
        }),
        _ => LaunchState::NotNeeded,
    }
}

/// Lets everything happen that is due.
pub(crate) fn settle(state: &mut State) {
    let mut jobs = std::mem::take(&mut state.jobs);
    jobs.advance(|job| advance(state, job));
    state.jobs = jobs;
    aurora::settle(state);
    settle_instances(state);
    crate::service::rds::modify::settle(state);
    ec2::settle(state);
    let now = state.now;
    let (due, still_late) = std::mem::take(&mut state.late_events)
        .into_iter()
        .partition(|(at, _)| *at <= now);
    state.late_events = still_late;
    let due: Vec<(Timestamp, serde_json::Value)> = due;
    state
        .outbox
        .extend(due.into_iter().map(|(_, event)| Effect::Event(event)));
}

fn advance(state: &mut State, job: &mut Job) {
    if job.has_ended() {
        return;
    }
    let Some(plan) = &mut job.source else { return };
    if job.job.status == "PENDING" && state.now >= plan.runs_at {
        let machine = plan.machine.as_ref();
        if machine.is_some_and(ec2::PlannedMachine::waits_for_a_runtime) {
            return;
        }
        job.job.status = "RUNNING".to_owned();
        if plan.behaviour.names_early {
            let instance = plan.instance.as_ref();
            let cluster = plan.cluster.as_ref();
            job.job.created_resource_arn = instance
                .map(|instance| state.instance_arn(&instance.identifier))
                .or_else(|| Some(state.cluster_arn(&cluster?.identifier)));
        }
        if let (Some(instance), None) = (&plan.instance, &state.options.rds_endpoint) {
            state.instances.insert(
                instance.identifier.clone(),
                Instance::seeded(instance.clone()),
            );
        }
        if let (Some(cluster), None) = (&mut plan.cluster, &state.options.rds_endpoint) {
            // Unlike an instance, a cluster tells when it was made while it is being made.
            cluster.created_at = made(job.job.created_at, plan.runs_at);
            let identifier = cluster.identifier.clone();
            let cluster = ClusterState::new(cluster.clone());
            state.clusters.insert(identifier, cluster);
        }
        if let LaunchState::Wanted(what) =
            std::mem::replace(&mut plan.launch, LaunchState::NotNeeded)
        {
            plan.launch = LaunchState::Running;
            let instance = plan.instance.as_ref();
            let name = instance.map(|planned| planned.identifier.clone());
            state.outbox.push(Effect::Launch(Launch {
                of: LaunchOf::Job(job.job.id.clone()),
                name: name.unwrap_or_default(),
                what,
            }));
        }
        if let (Some(machine), LaunchState::NotNeeded) = (&plan.machine, &plan.launch)
            && let Err(error) = ec2::create(state, machine, made(job.job.created_at, plan.runs_at))
        {
            plan.launch = LaunchState::Failed(format!("local-aws could not restore: {error:#}"));
        }
        events::restore_job(state, job);
    }
    let Some(plan) = &mut job.source else { return };
    if job.job.status != "RUNNING" || state.now < plan.ends_at {
        return;
    }
    let mut server = None;
    let (status, message) = match (&plan.doom, &plan.behaviour.outcome) {
        (Some(message), _) => ("FAILED", Some(message.clone())),
        (None, RestoreOutcome::NeverEnds) => return,
        (
            None,
            RestoreOutcome::Fails { message } | RestoreOutcome::FailsLeaving { message, .. },
        ) => ("FAILED", Some(message.clone())),
        (None, RestoreOutcome::Aborts { message }) => ("ABORTED", Some(message.clone())),
        (None, outcome) => match std::mem::replace(&mut plan.launch, LaunchState::NotNeeded) {
            waiting @ (LaunchState::Running | LaunchState::Wanted(_)) => {
                plan.launch = waiting;
                return;
            }
            LaunchState::Failed(message) => ("FAILED", Some(message)),
            ready => {
                if let LaunchState::Done(started) = ready {
                    server = started;
                }
                match outcome {
                    RestoreOutcome::CompletesWithMessage { message } => {
                        ("COMPLETED", Some(message.clone()))
                    }
                    _ => ("COMPLETED", None),
                }
            }
        },
    };
    let named = match &plan.behaviour.outcome {
        RestoreOutcome::NamesExisting { instance } => Some(instance.clone()),
        _ => plan
            .instance
            .as_ref()
            .map(|planned| planned.identifier.clone())
            .or_else(|| Some(plan.cluster.as_ref()?.identifier.clone()))
            .or_else(|| Some(plan.machine.as_ref()?.instance.id.clone())),
    };
    let (leaves, names) = match plan.behaviour.outcome {
        RestoreOutcome::FailsLeaving { named, .. } => (true, named),
        _ => (false, status == "COMPLETED"),
    };
    if !names {
        job.job.created_resource_arn = None;
    } else {
        job.job.created_resource_arn = named.map(|name| match job.job.resource_type.as_str() {
            "EC2" => state.machine_arn(&name),
            "Aurora" => state.cluster_arn(&name),
            _ => state.instance_arn(&name),
        });
    }
    if status == "COMPLETED" || leaves {
        if let Some(machine) = plan.machine.take() {
            ec2::bring_up(state, &machine, &plan.behaviour.instance);
        }
        let planned = plan.cluster.take();
        let cluster = planned.and_then(|planned| state.clusters.get_mut(&planned.identifier));
        if let Some(cluster) = cluster {
            let behaviour = &plan.behaviour;
            cluster.instance_behaviour = behaviour.instance.clone();
            cluster.data = match (&behaviour.database, &behaviour.server) {
                (Some(dump), _) => Data::AtRest(dump.clone()),
                (None, Some((host, port))) => Data::Elsewhere(host.clone(), *port),
                (None, None) => Data::None,
            };
            cluster.bring_up(state.now);
        }
        if let Some(planned) = plan.instance.take() {
            let created_at = made(job.job.created_at, state.now);
            let elsewhere = plan.behaviour.server.clone();
            bring_up(state, planned, created_at, server, elsewhere);
        }
    } else {
        if let Some(planned) = plan.instance.take() {
            state.instances.remove(&planned.identifier);
        }
        if let Some(planned) = plan.cluster.take() {
            state.clusters.remove(&planned.identifier);
        }
    }
    job.job.status = status.to_owned();
    job.job.status_message = message;
    job.job.completed_at = Some(state.now);
    events::restore_job(state, job);
}

/// When a restore job's resource was made, however quick this world is: after the job, also in milliseconds.
fn made(job_created_at: Timestamp, at: Timestamp) -> Timestamp {
    at.max(later(job_created_at, Duration::from_millis(1)))
}

/// The restored instance is there: its statuses begin.
fn bring_up(
    state: &mut State,
    planned: DbInstance,
    created_at: Timestamp,
    server: Option<Box<Server>>,
    elsewhere: Option<(String, u16)>,
) {
    let Some(instance) = state.instances.get_mut(&planned.identifier) else {
        return;
    };
    instance.db.created_at = Some(created_at);
    let (host, port) = match (&server, elsewhere) {
        (Some(server), _) => (server.host().to_owned(), server.port()),
        (None, Some(elsewhere)) => elsewhere,
        (None, None) => (format!("{}.rds.invalid", planned.identifier), planned.port),
    };
    instance.come_up(state.now, host, port);
    instance.server = server;
}

fn settle_instances(state: &mut State) {
    let now = state.now;
    for instance in state.instances.values_mut() {
        if instance.db.status == "deleting" || instance.db.created_at.is_none() {
            continue;
        }
        while instance
            .phases
            .front()
            .is_some_and(|(_, until)| *until <= now)
        {
            instance.phases.pop_front();
            instance.db.status = "available".to_owned();
        }
        if let Some((status, _)) = instance.phases.front() {
            instance.db.status = status.clone();
        }
    }
    let gone: Vec<String> = state
        .instances
        .iter()
        .filter(|(_, instance)| instance.gone_at.is_some_and(|at| at <= now))
        .map(|(identifier, _)| identifier.clone())
        .collect();
    for identifier in gone {
        state.instances.remove(&identifier);
    }
}

/// Begins the deletion of an instance: its server stops at once, it is gone a while later.
pub(crate) fn begin_deletion(state: &mut State, identifier: &str) {
    let takes = state.options.deletion_takes;
    let now = state.now;
    let Some(instance) = state.instances.get_mut(identifier) else {
        return;
    };
    instance.db.status = "deleting".to_owned();
    instance.phases.clear();
    instance.gone_at = Some(later(
        now,
        instance.db.behaviour.deletion_takes.unwrap_or(takes),
    ));
    instance.ready_at = None;
    if let Some(server) = instance.server.take() {
        state.outbox.push(Effect::Stop(server));
    }
    if let Some(cluster) = instance.db.cluster.clone() {
        aurora::left(state, &cluster);
    }
}

/// The making of a database has ended.
pub(crate) fn launched(state: &mut State, of: &LaunchOf, started: anyhow::Result<Started>) {
    let job = match of {
        LaunchOf::Job(job) => job,
        LaunchOf::Cluster(cluster) => {
            let server = started.and_then(|started| match started {
                Started::Database(server) => Ok(server),
                Started::Nothing | Started::RemoteMachine(_) => bail!("no server was started"),
            });
            return aurora::launched(state, cluster, server);
        }
    };
    let mut jobs = std::mem::take(&mut state.jobs);
    let plan = jobs.get_mut(job).and_then(|job| job.source.as_mut());
    if let Some(plan) = plan {
        plan.launch = match started {
            Ok(Started::Database(server)) => LaunchState::Done(Some(server)),
            Ok(Started::Nothing) => LaunchState::Done(None),
            Ok(Started::RemoteMachine(id)) => {
                if let Some(machine) = &mut plan.machine {
                    machine.instance.id = id;
                }
                LaunchState::Done(None)
            }
            Err(error) => LaunchState::Failed(format!("local-aws could not restore: {error:#}")),
        };
    }
    state.jobs = jobs;
}

fn remote_form(state: &State, instance: &DbInstance) -> Vec<(String, String)> {
    let mut form = vec![
        ("Action", "CreateDBInstance".to_owned()),
        ("Version", "2014-10-31".to_owned()),
        ("DBInstanceIdentifier", instance.identifier.clone()),
        ("DBInstanceClass", instance.instance_class.clone()),
        ("Engine", instance.engine.clone()),
        ("EngineVersion", instance.engine_version.clone()),
        ("AllocatedStorage", instance.allocated_storage.to_string()),
        ("StorageType", instance.storage_type.clone()),
        ("MasterUsername", instance.master_username.clone()),
        ("MasterUserPassword", "as-in-the-backup".to_owned()),
        ("Port", instance.port.to_string()),
        (
            "PubliclyAccessible",
            instance.publicly_accessible.to_string(),
        ),
        ("MultiAZ", instance.multi_az.to_string()),
        (
            "DeletionProtection",
            instance.deletion_protection.to_string(),
        ),
        (
            "StorageEncrypted",
            instance.kms_key_arn.is_some().to_string(),
        ),
        (
            "BackupRetentionPeriod",
            instance.backup_retention_days.to_string(),
        ),
    ];
    if let Some(key) = &instance.kms_key_arn {
        form.push(("KmsKeyId", key.clone()));
    }
    if instance.subnet_group != "default" {
        form.push(("DBSubnetGroupName", instance.subnet_group.clone()));
    }
    let mut form: Vec<_> = form
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for (index, group) in (1..).zip(&instance.security_groups) {
        form.push((
            format!("VpcSecurityGroupIds.VpcSecurityGroupId.{index}"),
            group.clone(),
        ));
    }
    form.push(("region".to_owned(), state.options.region.clone()));
    form
}

fn remote_cluster_form(state: &State, cluster: &DbCluster) -> Vec<(String, String)> {
    let mut form = vec![
        ("Action", "CreateDBCluster".to_owned()),
        ("Version", "2014-10-31".to_owned()),
        ("DBClusterIdentifier", cluster.identifier.clone()),
        ("Engine", cluster.engine.clone()),
        ("EngineVersion", cluster.engine_version.clone()),
        ("EngineMode", cluster.engine_mode.clone()),
        ("MasterUsername", cluster.master_username.clone()),
        ("MasterUserPassword", "as-in-the-backup".to_owned()),
        ("Port", cluster.port.to_string()),
        ("DBSubnetGroupName", cluster.subnet_group.clone()),
        (
            "DeletionProtection",
            cluster.deletion_protection.to_string(),
        ),
        (
            "StorageEncrypted",
            cluster.kms_key_arn.is_some().to_string(),
        ),
        ("region", state.options.region.clone()),
    ];
    form.extend(cluster.kms_key_arn.clone().map(|key| ("KmsKeyId", key)));
    let named = form
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let groups = (1..).zip(&cluster.security_groups);
    let groups = groups.map(|(index, group)| {
        let name = format!("VpcSecurityGroupIds.VpcSecurityGroupId.{index}");
        (name, group.clone())
    });
    named.chain(groups).collect()
}

/// Creates the restored instance at another AWS stand-in, by the operation the form names. Answers what it answers.
pub(crate) async fn create_remote(
    service: &str,
    endpoint: &str,
    form: &[(String, String)],
) -> anyhow::Result<String> {
    let of_form = |wanted: &str| {
        form.iter()
            .find(|(name, _)| name == wanted)
            .map_or("", |(_, value)| value.as_str())
    };
    let (region, operation) = (of_form("region"), of_form("Action"));
    let parameters = form.iter().filter(|(name, _)| name != "region");
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    // Stand-ins route by the service named in the signature; they do not verify it.
    let scope = format!("local-aws/20260101/{region}/{service}/aws4_request");
    let signature =
        format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00000000");
    let (status, text) = post_form(endpoint, &signature, body)
        .await
        .with_context(|| format!("{operation} at {endpoint}"))?;
    if !status.is_success() {
        bail!("{operation} at {endpoint} answered {status}: {text}");
    }
    Ok(text)
}

/// Posts a form over plain HTTP: a stand-in is on this machine.
async fn post_form(
    endpoint: &str,
    signature: &str,
    form: String,
) -> anyhow::Result<(http::StatusCode, String)> {
    let uri: http::Uri = endpoint.parse().context("an endpoint is a URL")?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        bail!("an endpoint is like http://127.0.0.1:5000");
    };
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host(), port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the answer is read and the sender is gone; what goes wrong shows in the answer.
    tokio::spawn(connection);
    let request = http::Request::post("/")
        .header(http::header::HOST, authority.as_str())
        .header(
            http::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded",
        )
        .header(http::header::AUTHORIZATION, signature)
        .body(Full::new(Bytes::from(form)))?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((head.status, String::from_utf8_lossy(&body).into_owned()))
}

/// The id of the one instance that RunInstances answers.
pub(crate) fn remote_instance_id(answer: &str) -> anyhow::Result<String> {
    answer
        .split_once("<instanceId>")
        .and_then(|(_, rest)| rest.split_once("</instanceId>"))
        .map(|(id, _)| id.trim().to_owned())
        .with_context(|| format!("RunInstances answered without an instance: {answer}"))
}
