//! Whether the account may have as much as the restores that run at one time need. AWS Backup has no quota of restore jobs of
//! the types that are validated ("AWS Backup quotas", AWS Backup developer guide).

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType};
use restore_proof_core::resource_type::ResourceType;
use restore_proof_function::aws::{AwsError, failed};

use super::Findings;
use super::stack::Stack;

/// "DB instances" of RDS ("Quotas for Amazon RDS", Amazon RDS User Guide): clusters' members among them.
const DATABASES: Quota = Quota {
    service: "rds",
    code: "L-7B6409FD",
    examined: "quota_databases",
    what: "DB instances",
    each: 1,
};
/// "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs ("Amazon EC2 instance type quotas").
const MACHINES: Quota = Quota {
    service: "ec2",
    code: "L-1216C47A",
    examined: "quota_machines",
    what: "vCPUs of on-demand instances",
    // The least that a machine of today takes.
    each: 2,
};

/// A quota, and how much of it a restore takes.
struct Quota {
    service: &'static str,
    code: &'static str,
    examined: &'static str,
    what: &'static str,
    each: u32,
}

pub(super) async fn examine(stack: &Stack, findings: &mut Findings) {
    if stack.config.calls_rds() {
        let used = databases(stack).await;
        examine_quota(stack, findings, &DATABASES, used).await;
    }
    if stack.config.types.contains(&ResourceType::Ec2) {
        let used = vcpus(stack).await;
        examine_quota(stack, findings, &MACHINES, used).await;
    }
}

async fn examine_quota(
    stack: &Stack,
    findings: &mut Findings,
    quota: &Quota,
    used: Result<u32, AwsError>,
) {
    let limit = stack.api.quota(quota.service, quota.code).await;
    if let (Ok(limit), Ok(used)) = (&limit, &used) {
        let restores = stack.config.max_concurrent_restores;
        judge(findings, quota, *limit, *used, restores);
    }
    if let Err(error) = &limit {
        let what = format!("the quota of {}", quota.what);
        findings.refused(quota.examined, &what, error);
    }
    if let Err(error) = &used {
        let what = format!("how many {} there are", quota.what);
        findings.refused(quota.examined, &what, error);
    }
}

async fn databases(stack: &Stack) -> Result<u32, AwsError> {
    let mut pages = stack
        .aws
        .rds
        .describe_db_instances()
        .into_paginator()
        .send();
    let mut number = 0_usize;
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("rds:DescribeDBInstances"))?;
        number += page.db_instances().len();
    }
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

async fn vcpus(stack: &Stack) -> Result<u32, AwsError> {
    let running = Filter::builder()
        .name("instance-state-name")
        .values("pending")
        .values("running")
        .build();
    let asked = stack.aws.ec2.describe_instances().filters(running);
    let mut pages = asked.into_paginator().send();
    let mut number = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed("ec2:DescribeInstances"))?;
        let machines = page.reservations().iter().flat_map(|one| one.instances());
        number += machines.map(counted_vcpus).sum::<u32>();
    }
    Ok(number)
}

/// What a machine takes of the quota of standard on-demand instances.
fn counted_vcpus(machine: &Instance) -> u32 {
    let family = machine.instance_type().map_or("", |one| one.as_str());
    let letters: String = family
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let has_its_own = matches!(letters.as_str(), "dl" | "hpc" | "inf" | "mac" | "trn");
    let is_standard = letters.starts_with(['a', 'c', 'd', 'h', 'i', 'm', 'r', 't', 'z']);
    if has_its_own
        || !is_standard
        || machine.instance_lifecycle() == Some(&InstanceLifecycleType::Spot)
    {
        return 0;
    }
    let options = machine.cpu_options();
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let cores = number(options.and_then(|options| options.core_count()));
    let threads = number(options.and_then(|options| options.threads_per_core()));
    cores.unwrap_or(1) * threads.unwrap_or(2)
}

fn judge(findings: &mut Findings, quota: &Quota, limit: f64, used: u32, restores: u32) {
    let Quota {
        service,
        code,
        examined,
        what,
        each,
    } = quota;
    let wanted = used.saturating_add(restores.saturating_mul(*each));
    if f64::from(wanted) <= limit {
        findings.fine(
            examined,
            format!(
                "{used} of {limit} {what} are in use, and {restores} restores take {} at least",
                restores * each
            ),
        );
        return;
    }
    findings.broken(
        examined,
        format!(
            "the quota allows {limit} {what}, of which {used} are in use: {restores} restores at one time, which take {} at \
             least, do not fit",
            restores * each
        ),
        format!(
            "lower MaxConcurrentRestores, or: aws service-quotas request-service-quota-increase --service-code {service} \
             --quota-code {code} --desired-value {wanted}"
        ),
    );
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{CpuOptions, InstanceType};

    use super::super::{Area, State};
    use super::*;

    #[test]
    fn the_restores_must_fit_beside_what_is_there() {
        let judged = |quota: &Quota, limit, used, restores| {
            let mut findings = Findings::of(Area::Quotas);
            judge(&mut findings, quota, limit, used, restores);
            findings.found.remove(0)
        };
        assert_eq!(judged(&DATABASES, 40.0, 36, 4).state, State::Fine);
        let full = judged(&DATABASES, 40.0, 37, 4);
        assert_eq!(full.state, State::Broken);
        assert!(
            full.remedy
                .is_some_and(|remedy| remedy.ends_with("--desired-value 41"))
        );
        assert_eq!(judged(&MACHINES, 5.0, 0, 3).state, State::Broken);
    }

    #[test]
    fn machines_count_by_their_family() {
        let machine = |kind: &str| {
            Instance::builder()
                .instance_type(InstanceType::from(kind))
                .cpu_options(
                    CpuOptions::builder()
                        .core_count(2)
                        .threads_per_core(2)
                        .build(),
                )
        };
        assert_eq!(counted_vcpus(&machine("m5.xlarge").build()), 4);
        assert_eq!(counted_vcpus(&machine("p3.2xlarge").build()), 0);
        assert_eq!(counted_vcpus(&machine("inf1.xlarge").build()), 0);
        let spot = machine("m5.xlarge").instance_lifecycle(InstanceLifecycleType::Spot);
        assert_eq!(counted_vcpus(&spot.build()), 0);
        let untold = Instance::builder().instance_type(InstanceType::from("t3.small"));
        assert_eq!(counted_vcpus(&untold.build()), 2);
    }
}
