//! What the hourly sweep sees of the vaults: how long ago the newest recovery point landed in each, how old the oldest
//! without a verdict is, how many are not tested; and vaults that cannot be read or that nobody names. The alarms rest on
//! these gauges, which depend on no event.

use jiff::{SignedDuration, Timestamp};
use restore_proof_core::message;
use restore_proof_core::policy::VALIDATED_TYPES;
use serde_json::json;
use tracing::warn;

use crate::aws::AwsError;
use crate::backup::{self, DescribedPoint};
use crate::ledger::Outcome;
use crate::publish::{self, Metric};
use crate::App;

/// The share of today's recovery points that are not tested is compared with that of the days before.
const TODAY: SignedDuration = SignedDuration::from_hours(24);
/// Of fewer recovery points a share says nothing.
const FEWEST_FOR_A_SHARE: usize = 4;

/// The vaults as they were seen.
#[derive(Debug)]
pub(crate) struct Vaults {
    /// Those that this stack watches.
    pub watched: Vec<Watched>,
    /// Names of those that received recovery points and that no parameter names.
    unnamed: Vec<String>,
    since: Timestamp,
}

/// A vault that this stack watches.
#[derive(Debug)]
pub(crate) struct Watched {
    pub name: String,
    /// What landed in it.
    pub points: Result<Vec<DescribedPoint>, AwsError>,
    created_at: Option<Timestamp>,
    /// Whether AWS Backup lists it; none when it lists none to us.
    exists: Option<bool>,
}

/// Whether AWS Backup's answer says something of the vault, and not only that it could not be asked.
pub(crate) fn is_finding(error: &AwsError) -> bool {
    error.is_access_denied() || error.is(&["ResourceNotFoundException"])
}

/// Looks through the vaults for recovery points that were created since a point in time.
pub(crate) async fn look(app: &App, since: Timestamp) -> Vaults {
    let listed = backup::vaults(&app.aws).await;
    if let Err(error) = &listed {
        warn!("the vaults of this account cannot be listed: {error:#}");
    }
    let mut watched = Vec::new();
    for name in app.config.watched_vaults() {
        let points = backup::recovery_points_since(&app.aws, name, since).await;
        let known = listed.as_ref().ok();
        let known = known.map(|all| all.iter().find(|vault| vault.name == name));
        watched.push(Watched {
            name: name.to_owned(),
            points,
            created_at: known.flatten().and_then(|vault| vault.created_at),
            exists: known.map(|vault| vault.is_some()),
        });
    }
    let mut unnamed = Vec::new();
    for vault in listed.unwrap_or_default() {
        let is_named = watched.iter().any(|watched| watched.name == vault.name)
            || app.config.unwatched_vaults.contains(&vault.name);
        if is_named || vault.points == 0 {
            continue;
        }
        match backup::has_points_since(&app.aws, &vault.name, since).await {
            Ok(true) => unnamed.push(vault.name),
            Ok(false) => {}
            Err(error) => warn!("whether vault {} received anything: {error:#}", vault.name),
        }
    }
    Vaults {
        watched,
        unnamed,
        since,
    }
}

/// Measures, and tells people once of each vault that is not as it should be. `landed` is when each recovery point landed
/// since this stack works, and how its validation stands. Answers of how many vaults there is something to tell.
///
/// # Errors
/// When the ledger, CloudWatch Logs or SNS does not answer.
pub(crate) async fn report(
    app: &App,
    vaults: &Vaults,
    landed: &[(Timestamp, Outcome)],
    now: Timestamp,
) -> anyhow::Result<usize> {
    let (mut unreadable, mut stalest) = (0, None);
    let mut findings = Vec::new();
    for vault in &vaults.watched {
        let newest = match &vault.points {
            Ok(points) => points.iter().filter_map(crate::sweep::landed_at).max(),
            Err(error) => {
                // What does not answer now may answer in an hour, but cannot be told from what never will.
                unreadable += 1;
                if is_finding(error) {
                    findings.push((vault.name.as_str(), unreadable_words(vault), UNREADABLE));
                }
                warn!("vault {} cannot be read: {error:#}", vault.name);
                continue;
            }
        };
        // An empty vault is as old as it is, as far as was looked back.
        let since = newest.or(vault.created_at.filter(|at| *at > vaults.since));
        let age = now.duration_since(since.unwrap_or(vaults.since));
        stalest = stalest.max(Some(age));
        let measured = [Metric::hours("NewestPointHours", age)];
        let facts = json!({ "vault": vault.name, "newest_point": newest });
        let (aws, config) = (&app.aws, &app.config);
        publish::log_event_by(aws, config, "vault", facts, &measured, &["vault"], now).await?;
    }
    for name in &vaults.unnamed {
        let words = "received recovery points in the last seven days and nobody validates them";
        findings.push((name, words.to_owned(), UNNAMED));
    }
    let untested = Untested::of(landed, now);
    let mut measured = vec![
        Metric::count("UnreadableVaults", unreadable),
        Metric::count("UnnamedVaults", vaults.unnamed.len()),
        Metric::hours("OldestWithoutVerdictHours", oldest(app, landed, now).await?),
        Metric::percent("UntestedShare", untested.today),
        Metric::percent("UntestedGrowth", untested.growth()),
    ];
    // Of no vault at all there is nothing to measure, and an alarm is to notice that.
    measured.extend(stalest.map(|age| Metric::hours("StalestVaultHours", age)));
    publish::log_event(&app.aws, &app.config, "vaults", json!({}), &measured, now).await?;
    for (vault, words, to_do) in &findings {
        tell(app, vault, words, to_do, now).await?;
    }
    Ok(findings.len())
}

const UNREADABLE: &str = "Nothing that lands there is validated. Compare the parameters BackupVaultNames and \
    BackupJobVaultNames with `aws backup list-backup-vaults`, and look at the vault's access policy with `aws backup \
    get-backup-vault-access-policy`. An alarm rings as long as it is so.";

const UNNAMED: &str = "Add the vault to the parameter BackupVaultNames (or BackupJobVaultNames, if it receives backups and no \
    copies) and deploy again. If another stack validates it, or nobody is to, add it to UnwatchedVaultNames.";

fn unreadable_words(vault: &Watched) -> String {
    match vault.exists {
        Some(true) => "exists, and its access policy refuses to let this function read it",
        Some(false) => "does not exist in this account and Region",
        None => "does not exist in this account and Region, or its access policy refuses",
    }
    .to_owned()
}

/// How old the oldest recovery point without a verdict is. Those that wait for a slot may be older than what was looked
/// through.
async fn oldest(
    app: &App,
    landed: &[(Timestamp, Outcome)],
    now: Timestamp,
) -> anyhow::Result<SignedDuration> {
    let open = landed.iter().filter(|(_, outcome)| *outcome == Outcome::Open);
    let mut oldest = open.map(|(at, _)| *at).min();
    for resource_type in VALIDATED_TYPES {
        let first = app.ledger.waiting(resource_type, 1, None).await?;
        let waits = first.listed.first().map(|first| first.at);
        oldest = [oldest, waits].into_iter().flatten().min();
    }
    Ok(oldest.map_or(SignedDuration::ZERO, |at| now.duration_since(at)))
}

/// The share of recovery points that were not tested, percent: of those that landed today and of those of the days before.
/// What the rule itself left out, by its frequency or sample, is in neither.
#[derive(Debug, PartialEq)]
struct Untested {
    today: f64,
    before: f64,
}

impl Untested {
    fn of(landed: &[(Timestamp, Outcome)], now: Timestamp) -> Untested {
        let share = |is_today: bool| {
            let of_then = |at: Timestamp| (now.duration_since(at) < TODAY) == is_today;
            let (mut untested, mut all) = (0_u32, 0_u32);
            for (at, outcome) in landed {
                match outcome {
                    Outcome::Untested if of_then(*at) => (untested, all) = (untested + 1, all + 1),
                    Outcome::Tested if of_then(*at) => all += 1,
                    Outcome::Untested | Outcome::Tested | Outcome::Open | Outcome::LeftOut => {}
                }
            }
            let enough = all as usize >= FEWEST_FOR_A_SHARE;
            if enough { f64::from(untested) * 100.0 / f64::from(all) } else { 0.0 }
        };
        Untested {
            today: share(true),
            before: share(false),
        }
    }

    /// By how many percentage points the share has grown; never negative.
    fn growth(&self) -> f64 {
        (self.today - self.before).max(0.0)
    }
}

/// Tells people, unless they were told.
async fn tell(app: &App, vault: &str, words: &str, to_do: &str, now: Timestamp) -> anyhow::Result<()> {
    let what = format!("{}#{words}", app.config.vault_arn(vault));
    if app.ledger.was_told_of(&what).await? {
        return Ok(());
    }
    warn!("vault {vault} {words}");
    let facts = json!({ "vault": vault, "finding": words });
    publish::log_event(&app.aws, &app.config, "vault_finding", facts, &[], now).await?;
    publish::send(&app.aws, &app.config, &message::of_vault(vault, words, to_do)).await?;
    app.ledger.remember_told_of(&what, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landed(hours_ago: i64, outcome: Outcome, many: usize) -> Vec<(Timestamp, Outcome)> {
        vec![(now() - SignedDuration::from_hours(hours_ago), outcome); many]
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    #[test]
    fn a_share_is_of_what_was_tested_or_could_not_be() {
        let all = [
            landed(1, Outcome::Untested, 3),
            landed(2, Outcome::Tested, 1),
            landed(3, Outcome::LeftOut, 50),
            landed(3, Outcome::Open, 50),
            landed(30, Outcome::Untested, 1),
            landed(30, Outcome::Tested, 3),
        ]
        .concat();
        let untested = Untested::of(&all, now());
        let expected = Untested { today: 75.0, before: 25.0 };
        assert_eq!(untested, expected);
        assert!((untested.growth() - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn of_a_few_there_is_no_share_and_less_than_before_is_no_growth() {
        let few = landed(1, Outcome::Untested, FEWEST_FOR_A_SHARE - 1);
        assert_eq!(Untested::of(&few, now()).growth(), 0.0);
        let better = [
            landed(1, Outcome::Tested, 9),
            landed(30, Outcome::Untested, 9),
        ];
        assert_eq!(Untested::of(&better.concat(), now()).growth(), 0.0);
    }
}
