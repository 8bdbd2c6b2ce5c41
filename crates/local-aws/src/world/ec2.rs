//! The life of EC2 instances and their volumes, driven by the world's clock.

pub(crate) mod metadata;
pub(crate) mod types;

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::machine::{Content, Web};

use super::Clock;
use super::inspect::{DeletedBy, Deletion};
use super::seed::{Ec2Instance, RecoveryPoint, Volume, WebBehaviour};
use super::state::{State, later};

/// How long EC2 still describes an instance that is terminated.
const SHOWN_AFTER_TERMINATION: Duration = Duration::from_secs(60 * 60);

/// A machine that a restore will make.
pub(crate) struct PlannedMachine {
    pub instance: Ec2Instance,
    /// Attached to it, in the order of its devices.
    pub volumes: Vec<Volume>,
    /// Ports that a server of ours listens on; none for a machine that needs no server.
    pub ports: Vec<u16>,
    pub content: Content,
    pub boot_takes: Duration,
}

/// An EC2 instance and what will become of it.
pub(crate) struct MachineState {
    pub instance: Ec2Instance,
    pub web: Option<Web>,
    /// States still to hold before it runs, each until then.
    pub phases: VecDeque<(String, Timestamp)>,
    /// Its server is still to begin.
    pub boot: Option<Boot>,
    pub hidden_describes: u32,
    /// From TerminateInstances to `terminated`; `None`: as the world's options say.
    pub deletion_takes: Option<Duration>,
    /// Terminated then.
    pub ends_at: Option<Timestamp>,
    /// Not described from then.
    pub gone_at: Option<Timestamp>,
}

/// When a machine's server begins.
pub(crate) struct Boot {
    pub content: Content,
    pub listens_at: Timestamp,
    pub ready_at: Timestamp,
}

/// A volume and what will become of it.
pub(crate) struct VolumeState {
    pub volume: Volume,
    pub gone_at: Option<Timestamp>,
}

impl MachineState {
    pub fn seeded(instance: Ec2Instance) -> MachineState {
        MachineState {
            instance,
            web: None,
            phases: VecDeque::new(),
            boot: None,
            hidden_describes: 0,
            deletion_takes: None,
            ends_at: None,
            gone_at: None,
        }
    }

    /// Whether it will change by time alone, other than by vanishing an hour after its end.
    pub fn is_pending(&self) -> bool {
        !self.phases.is_empty()
            || self.boot.is_some()
            || (self.ends_at.is_some() && self.gone_at.is_none())
    }

    /// Goes on with its way to `running`, and with its boot.
    fn advance(&mut self, now: Timestamp, clock: &Clock) {
        while self.phases.front().is_some_and(|(_, until)| *until <= now) {
            self.phases.pop_front();
            self.instance.state = "running".to_owned();
        }
        if let Some((state, _)) = self.phases.front() {
            self.instance.state = state.clone();
            return;
        }
        let due = self.boot.take_if(|boot| boot.listens_at <= now);
        if let (Some(boot), Some(web)) = (due, &mut self.web)
            && let Err(error) = web.listen(&boot.content, Clock::clone(clock), boot.ready_at)
        {
            tracing::error!(instance = self.instance.id, "{error:#}");
        }
    }
}

/// The image that a recovery point of EC2 is: the id in its ARN.
pub(crate) fn image_id(point: &RecoveryPoint) -> Option<&str> {
    point.arn.split_once(":image/").map(|(_, id)| id)
}

impl PlannedMachine {
    /// Whether it gets a server and there is no tokio runtime to run it just now.
    pub fn waits_for_a_runtime(&self) -> bool {
        !self.ports.is_empty() && tokio::runtime::Handle::try_current().is_err()
    }
}

/// Launches the restored instance with its volumes, at the time when that was due. Takes its address at once,
/// which needs no waiting.
///
/// # Errors
/// When no address has its ports free.
pub(crate) fn create(
    state: &mut State,
    planned: &PlannedMachine,
    launched_at: Timestamp,
) -> anyhow::Result<()> {
    let web = match planned.ports.as_slice() {
        [] => None,
        ports => Some(Web::reserve(ports)?),
    };
    let mut instance = planned.instance.clone();
    // EC2 tells whole seconds. A world may be faster than life, and must not turn the order of things round.
    instance.launched_at = launched_at;
    if let Some(web) = &web {
        instance.private_address = web.address();
    }
    for volume in &planned.volumes {
        let mut volume = volume.clone();
        volume.created_at = launched_at;
        state.volumes.insert(
            volume.id.clone(),
            VolumeState {
                volume,
                gone_at: None,
            },
        );
    }
    let id = instance.id.clone();
    let mut machine = MachineState::seeded(instance);
    machine.web = web;
    state.machines.insert(id, machine);
    Ok(())
}

/// Its restore job is complete: its states begin, and after them its boot.
pub(crate) fn bring_up(
    state: &mut State,
    planned: &PlannedMachine,
    behaviour: &super::behaviour::InstanceBehaviour,
) {
    let now = state.now;
    let Some(machine) = state.machines.get_mut(&planned.instance.id) else {
        return;
    };
    let mut until = now;
    for phase in &behaviour.statuses {
        until = later(until, phase.lasts);
        machine.phases.push_back((phase.status.clone(), until));
    }
    machine.instance.state = "running".to_owned();
    machine.hidden_describes = behaviour.hidden_describes;
    machine.deletion_takes = behaviour.deletion_takes;
    if machine.web.is_some() {
        machine.boot = Some(Boot {
            content: planned.content.clone(),
            listens_at: later(until, planned.boot_takes / 3 * 2),
            ready_at: later(until, planned.boot_takes),
        });
    }
}

/// Lets everything happen that is due.
pub(crate) fn settle(state: &mut State) {
    let now = state.now;
    let clock = Clock::clone(&state.options.clock);
    let mut ended = Vec::new();
    for machine in state.machines.values_mut() {
        match (machine.ends_at, machine.gone_at) {
            (None, _) => machine.advance(now, &clock),
            (Some(at), None) if at <= now => {
                machine.instance.state = "terminated".to_owned();
                machine.gone_at = Some(later(at, SHOWN_AFTER_TERMINATION));
                ended.push((machine.instance.id.clone(), at));
            }
            _ => {}
        }
    }
    for (id, at) in ended {
        let_go_of_volumes(state, &id, at);
    }
    state
        .machines
        .retain(|_, machine| machine.gone_at.is_none_or(|at| at > now));
    state
        .volumes
        .retain(|_, volume| volume.gone_at.is_none_or(|at| at > now));
}

/// What is to go with a machine goes; what is not becomes available.
fn let_go_of_volumes(state: &mut State, instance_id: &str, at: Timestamp) {
    let mut went = Vec::new();
    for (id, volume) in &mut state.volumes {
        let attached = volume
            .volume
            .attachment
            .take_if(|attachment| attachment.instance_id == instance_id);
        match attached {
            Some(attachment) if attachment.delete_on_termination => went.push(id.clone()),
            Some(_) => volume.volume.state = "available".to_owned(),
            None => {}
        }
    }
    for id in went {
        state.volumes.remove(&id);
        state.deletions.push(Deletion {
            id,
            by: DeletedBy::Instance(instance_id.to_owned()),
            at,
        });
    }
}

/// Begins the termination of an instance: its server stops at once. One that is terminated already stays so.
pub(crate) fn terminate(state: &mut State, id: &str, caller: Option<String>) {
    let now = state.now;
    let takes = state.options.deletion_takes;
    let Some(machine) = state.machines.get_mut(id) else {
        return;
    };
    if matches!(
        machine.instance.state.as_str(),
        "shutting-down" | "terminated"
    ) {
        return;
    }
    machine.instance.state = "shutting-down".to_owned();
    machine.phases.clear();
    machine.boot = None;
    machine.web = None;
    machine.ends_at = Some(later(now, machine.deletion_takes.unwrap_or(takes)));
    state.deletions.push(Deletion {
        id: id.to_owned(),
        by: DeletedBy::Caller(caller),
        at: now,
    });
}

/// Begins the deletion of a volume.
pub(crate) fn delete_volume(state: &mut State, id: &str, caller: Option<String>) {
    let now = state.now;
    let takes = state.options.deletion_takes;
    let Some(volume) = state.volumes.get_mut(id) else {
        return;
    };
    volume.volume.state = "deleting".to_owned();
    volume.gone_at = Some(later(now, takes));
    state.deletions.push(Deletion {
        id: id.to_owned(),
        by: DeletedBy::Caller(caller),
        at: now,
    });
}

/// RunInstances as AWS Backup calls it, for another AWS stand-in.
pub(crate) fn remote_form(state: &State, planned: &PlannedMachine) -> Vec<(String, String)> {
    let instance = &planned.instance;
    let mut form = Vec::new();
    let mut put = |name: &str, value: String| form.push((name.to_owned(), value));
    put("Action", "RunInstances".to_owned());
    put("Version", crate::wire::reply::EC2_VERSION.to_owned());
    put("ImageId", instance.image_id.clone());
    put("MinCount", "1".to_owned());
    put("MaxCount", "1".to_owned());
    put("InstanceType", instance.instance_type.clone());
    put("SubnetId", instance.subnet_id.clone());
    for (index, group) in (1..).zip(&instance.security_groups) {
        put(&format!("SecurityGroupId.{index}"), group.clone());
    }
    put(
        "DisableApiTermination",
        instance.disable_api_termination.to_string(),
    );
    put(
        "InstanceInitiatedShutdownBehavior",
        instance.shutdown_behaviour.clone(),
    );
    put("EbsOptimized", instance.ebs_optimized.to_string());
    put("Monitoring.Enabled", instance.monitoring.to_string());
    let tokens = if instance.requires_imds_v2 {
        "required"
    } else {
        "optional"
    };
    put("MetadataOptions.HttpTokens", tokens.to_owned());
    if let Some(profile) = &instance.instance_profile {
        put("IamInstanceProfile.Name", profile.clone());
    }
    for (index, volume) in (1..).zip(&planned.volumes) {
        let Some(attachment) = &volume.attachment else {
            continue;
        };
        let mut put =
            |name: &str, value: String| put(&format!("BlockDeviceMapping.{index}.{name}"), value);
        put("DeviceName", attachment.device.clone());
        put(
            "Ebs.DeleteOnTermination",
            attachment.delete_on_termination.to_string(),
        );
        put("Ebs.VolumeSize", volume.size_gib.to_string());
        put("Ebs.VolumeType", volume.volume_type.clone());
        put("Ebs.Encrypted", volume.kms_key_arn.is_some().to_string());
        if let Some(key) = &volume.kms_key_arn {
            put("Ebs.KmsKeyId", key.clone());
        }
    }
    put("region", state.options.region.clone());
    form
}

/// The ports a server of ours listens on for a behaviour.
fn ports_of(behaviour: &WebBehaviour, ports: &[u16]) -> Vec<u16> {
    match behaviour {
        WebBehaviour::External(_) => Vec::new(),
        WebBehaviour::Files | WebBehaviour::RedirectTo(_) => ports.to_vec(),
    }
}
