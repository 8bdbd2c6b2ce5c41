use serde_json::{Value, json};

use super::*;
use crate::ceiling::Ceiling;
use crate::event::CopyState;

const STACK: &str = "stack";
const VAULT: &str = "arn:aws:backup:eu-central-1:111122223333:backup-vault:central";
const POINT: &str = "arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1";
const SOURCE: &str = "arn:aws:rds:eu-central-1:222233334444:snapshot:awsbackup:job-1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number")
}

fn opened() -> Validation {
    Validation::open(STACK, POINT, VAULT, None, at(0))
}

fn copy(state: CopyState) -> CopyJobEvent {
    CopyJobEvent {
        state,
        account: Some("222233334444".to_owned()),
        source_vault_arn: None,
        event_time: None,
        copy_job_id: Some("copy-1".to_owned()),
        created_at: None,
        completed_at: Some(at(7)),
        destination_vault_arn: VAULT.to_owned(),
        recovery_point_arn: Some(POINT.to_owned()),
        source_recovery_point_arn: Some(SOURCE.to_owned()),
        resource_arn: Some("arn:aws:rds:eu-central-1:222233334444:db:orders".to_owned()),
        resource_type: Some("RDS".to_owned()),
        size_bytes: Some(9),
        status_message: Some("the key is gone".to_owned()),
    }
}

#[test]
fn words_are_those_the_ledger_keeps() {
    use Stage::*;
    for stage in [
        Landed, Restoring, Restored, Checked, Recorded, Deleting, Closed,
    ] {
        assert_eq!(json!(stage), json!(stage.as_str()));
    }
    use Cleanup::*;
    for cleanup in [
        Pending,
        Deleted,
        AlreadyGone,
        NothingToDelete,
        KeptUntil,
        LeftBehind,
    ] {
        assert_eq!(json!(cleanup), json!(cleanup.as_str()));
    }
}

#[test]
fn what_is_kept_or_left_behind_still_exists() {
    for gone in [
        Cleanup::Deleted,
        Cleanup::AlreadyGone,
        Cleanup::NothingToDelete,
    ] {
        assert!(gone.is_final(), "{gone:?}");
    }
    for there in [Cleanup::Pending, Cleanup::KeptUntil, Cleanup::LeftBehind] {
        assert!(!there.is_final(), "{there:?}");
    }
}

#[test]
fn a_restore_job_has_ended_in_three_ways_and_no_other() {
    let ended = |status: &str| {
        let job = json!({ "id": "job-1", "status": status });
        serde_json::from_value::<RestoreJob>(job).map(|job| job.has_ended())
    };
    for (status, has_ended) in [
        ("COMPLETED", true),
        ("FAILED", true),
        ("ABORTED", true),
        ("PENDING", false),
        ("RUNNING", false),
        ("completed", false),
        ("", false),
    ] {
        assert_eq!(ended(status).ok(), Some(has_ended), "{status}");
    }
}

#[test]
fn a_continuous_backup_is_known_by_its_arn() {
    let continuous = is_continuous;
    let backup = "arn:aws:backup:eu-central-1:111122223333:recovery-point";
    assert!(continuous(&format!("{backup}:continuous:db-1")));
    assert!(!continuous(&format!("{backup}:1EB3B5E7")));
    assert!(!continuous(POINT));
    assert!(!continuous("recovery-point:continuous:db-1"));
}

#[test]
fn the_source_account_is_that_of_the_backed_up_resource() {
    let account = |arn: Option<&str>| {
        RecoveryPoint {
            resource_arn: arn.map(str::to_owned),
            ..opened().recovery_point
        }
        .source_account()
    };
    let database = "arn:aws:rds:eu-central-1:222233334444:db:orders";
    assert_eq!(account(Some(database)).as_deref(), Some("222233334444"));
    assert_eq!(account(Some("arn:aws:ec2:eu-central-1::image/ami-1")), None);
    assert_eq!(account(Some("orders")), None);
    assert_eq!(account(None), None);
}

/// Ledger, records and names of resources stand on the ids: no version may make others.
/// By `printf 'stack\0VAULT\0POINT\0\0' | sha256sum | cut -c1-20`, and with `again` before the last zero.
#[test]
fn ids_are_for_ever() {
    let id = |request: Option<&str>| validation_id(STACK, VAULT, POINT, request);
    assert_eq!(id(None), "7202bea7dbbd9194a072");
    assert_eq!(id(Some("again")), "0615097360c7cc29ab1b");
    assert_eq!(opened().id, id(None));
}

#[test]
fn ids_keep_their_parts_apart() {
    assert_ne!(
        validation_id("ab", "c", "", None),
        validation_id("a", "bc", "", None)
    );
}

#[test]
fn a_new_validation_has_everything_before_it() {
    let opened = opened();
    assert_eq!(opened.stage, Stage::Landed);
    assert_eq!(opened.attempt, 1);
    assert_eq!(opened.recovery_point.arn, POINT);
    assert_eq!(opened.recovery_point.vault_arn, VAULT);
    assert_eq!(opened.recovery_point.vault_name, "central");
    assert_eq!(opened.verdict, None);
    assert_eq!(opened.cleanup, Cleanup::Pending);
    assert_eq!(opened.due_at, Some(at(0)));
}

#[test]
fn a_vault_is_called_what_its_arn_says() {
    assert_eq!(vault_name(VAULT), "central");
    assert_eq!(vault_name("central"), "central");
}

#[test]
fn names_and_keys_are_made_of_the_id() {
    let mut validation = opened();
    validation.opened_at = at(86_400 - 1);
    validation.attempt = 2;
    assert_eq!(validation.target_name("rp"), "rp-r-7202bea7dbbd9194a072-2");
    let key = "records/dt=1970-01-01/7202bea7dbbd9194a072.json";
    assert_eq!(validation.record_key(), key);
}

#[test]
fn a_copy_that_landed_is_known_by_its_recovery_point() {
    let landed = Validation::of_copy(STACK, &copy(CopyState::Completed), at(8));
    assert_eq!(landed.id, opened().id);
    assert_eq!(landed.stage, Stage::Landed);
    assert_eq!(landed.verdict, None);
    let point = &landed.recovery_point;
    assert_eq!(point.resource_type.as_deref(), Some("RDS"));
    assert_eq!(point.source_account().as_deref(), Some("222233334444"));
    assert_eq!(point.size_bytes, Some(9));
    let job = CopyJob {
        id: Some("copy-1".to_owned()),
        completed_at: Some(at(7)),
        is_partial: false,
    };
    assert_eq!(landed.copy_job, Some(job));
}

#[test]
fn a_copy_that_failed_is_known_by_its_job_and_leaves_nothing_to_delete() {
    let id = |known_by: &str| validation_id(STACK, VAULT, known_by, None);
    let failed = |copy: CopyJobEvent| Validation::of_copy(STACK, &copy, at(8));
    let failed_copy = || copy(CopyState::Failed);

    let validation = failed(failed_copy());
    assert_eq!(validation.id, id("copy-job:copy-1"));
    assert_eq!(validation.recovery_point.arn, POINT);
    assert_eq!(validation.stage, Stage::Checked);
    assert_eq!(validation.verdict, Some(Verdict::CopyFailed));
    assert_eq!(
        validation.verdict_reason.at(Ceiling::None),
        "the copy failed: the key is gone"
    );
    assert_eq!(validation.verdict_at, Some(at(8)));
    assert_eq!(validation.cleanup, Cleanup::NothingToDelete);
    assert!(validation.copy_job.is_some());

    let silent = failed(CopyJobEvent {
        copy_job_id: None,
        recovery_point_arn: None,
        status_message: None,
        ..failed_copy()
    });
    assert_eq!(silent.id, id(&format!("copy-job:{SOURCE}")));
    assert_eq!(silent.recovery_point.arn, SOURCE);
    assert_eq!(
        silent.verdict_reason.at(Ceiling::None),
        "the copy failed: AWS Backup gives no reason"
    );
}

#[test]
fn what_aws_backup_keeps_itself_is_known_by_its_arn() {
    let kept = is_kept_by_aws_backup;
    let own = "arn:aws:backup:eu-central-1:111122223333:recovery-point";
    assert!(kept(&format!("{own}:55555555-2222-3333-4444-555555555555")));
    assert!(!kept(&format!("{own}:continuous:db-abc-1a2b3c4d")));
    for other in [
        POINT,
        "arn:aws:ec2:eu-central-1::image/ami-0a",
        "the latest",
    ] {
        assert!(!kept(other), "{other}");
    }
}

/// Whichever comes first, the event of the copy job, that of the recovery point or the sweep: it is one validation, and
/// AWS Backup says what has landed.
#[test]
fn a_copy_that_is_there_in_part_is_known_by_its_recovery_point() {
    let partial = Validation::of_copy(STACK, &copy(CopyState::Partial), at(8));
    assert_eq!((&partial.id, partial.verdict), (&opened().id, None));
    assert_eq!(
        partial.findings,
        ["the copy job is PARTIAL: the key is gone"]
    );
    assert!(partial.copy_job.is_some_and(|job| job.is_partial));
    let nameless = CopyJobEvent {
        recovery_point_arn: None,
        status_message: None,
        ..copy(CopyState::Partial)
    };
    let nameless = Validation::of_copy(STACK, &nameless, at(8));
    let by_job = validation_id(STACK, VAULT, "copy-job:copy-1", None);
    assert_eq!(nameless.id, by_job, "there is nothing else to know it by");
    assert_eq!(nameless.verdict, Some(Verdict::CopyFailed));
    assert_eq!(
        nameless.verdict_reason.at(Ceiling::None),
        "the copy is PARTIAL: AWS Backup gives no reason"
    );
    assert_eq!(nameless.cleanup, Cleanup::NothingToDelete);
}

#[test]
fn what_is_heard_later_is_added_to_what_is_known() {
    let told = Validation::of_copy(STACK, &copy(CopyState::Completed), at(8));
    let heard = || Heard {
        copy_job: told.copy_job.clone(),
        findings: told.findings.clone(),
    };
    let mut known = opened();
    for _ in 0..2 {
        known.add(heard());
    }
    assert_eq!(known.copy_job, told.copy_job);
    assert_eq!(
        known.findings,
        ["the copy job is COMPLETED with a message: the key is gone"]
    );
    known.add(Heard {
        copy_job: Some(CopyJob {
            id: Some("another".to_owned()),
            completed_at: None,
            is_partial: true,
        }),
        findings: Vec::new(),
    });
    assert_eq!(known.copy_job, told.copy_job, "the first that was told");
}

#[test]
fn a_cleanup_found_the_same_again_keeps_its_time() {
    let mut validation = opened();
    validation.settle(Cleanup::Pending, None, at(1));
    assert_eq!(validation.cleanup_at, Some(at(1)));
    let reason = Some("denied".to_owned());
    validation.settle(Cleanup::LeftBehind, reason.clone(), at(2));
    assert_eq!(validation.cleanup, Cleanup::LeftBehind);
    assert_eq!(validation.cleanup_reason, reason);
    assert_eq!(validation.cleanup_at, Some(at(2)));
    validation.settle(Cleanup::LeftBehind, None, at(3));
    assert_eq!(validation.cleanup_at, Some(at(2)));
    assert_eq!(validation.cleanup_reason, None);
}

#[test]
fn what_was_noticed_is_noted_once() {
    let mut validation = opened();
    for finding in ["one", "two", "one"] {
        validation.find(finding);
    }
    assert_eq!(validation.findings, ["one", "two"]);
}

/// What a version before this one wrote: each field that came later has a meaning when it is not there.
#[test]
fn a_validation_comes_back_from_the_ledger_as_it_was() {
    let mut validation = Validation::of_copy(STACK, &copy(CopyState::Completed), at(8));
    validation.decide(Verdict::Failed, "orders: too few", at(9));
    let mut kept: Value = serde_json::to_value(&validation).expect("JSON");
    let back = |kept: &Value| serde_json::from_value::<Validation>(kept.clone()).ok();
    assert_eq!(back(&kept).as_ref(), Some(&validation));
    for later in ["trouble", "suspected_jobs", "parts", "steps", "tagged"] {
        kept.as_object_mut().expect("an object").remove(later);
    }
    assert_eq!(back(&kept), Some(validation));
}

#[test]
fn a_token_is_bound_to_what_is_asked_for() {
    let open = |arn: &str| Validation::open(STACK, arn, VAULT, None, at(0));
    let metadata = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    };
    let planned = metadata(&[("DBInstanceClass", "db.t4g.small"), ("Port", "5432")]);
    let mut validation = open("point");
    let token = validation.idempotency_token("RDS", "role", &planned);
    assert_eq!(validation.idempotency_token("RDS", "role", &planned), token);
    assert!(
        token.starts_with(&format!("{}-1-", validation.id)) && token.len() <= 46,
        "{token}"
    );
    validation.attempt = 2;
    let others = [
        validation.idempotency_token("RDS", "role", &planned),
        open("point").idempotency_token("Aurora", "role", &planned),
        open("point").idempotency_token("RDS", "another", &planned),
        open("another").idempotency_token("RDS", "role", &planned),
        open("point").idempotency_token("RDS", "role", &metadata(&[("Port", "5432")])),
        open("point").idempotency_token(
            "RDS",
            "role",
            &metadata(&[("DBInstanceClass", "db.t4g.large"), ("Port", "5432")]),
        ),
    ];
    assert!(!others.contains(&token), "{token} {others:?}");
}
