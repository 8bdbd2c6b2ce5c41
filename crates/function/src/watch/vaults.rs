//! What the hourly sweep sees of the vaults: how long ago the newest recovery point landed in each, how old the oldest
//! without a verdict is, how many are not tested; and vaults that cannot be read, in which nothing lands, or that nobody
//! names. The alarms rest on these gauges, which depend on no event.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::message;
use serde_json::json;
use tracing::warn;

use crate::aws::AwsError;
use crate::backup::{self, DescribedPoint};
use crate::failure::{self, Failure};
use crate::ledger::Outcome;
use crate::publish::{self, Metric};
use crate::sweep::landed_at;
use crate::{App, queue};

/// The share of the newest recovery points that are not tested is compared with that of the days before. Where one day has
/// too few for a share, three are taken.
const NEWEST: [SignedDuration; 2] = [
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(72),
];
/// Of fewer recovery points a share says nothing.
const MIN_POINTS_FOR_SHARE: u32 = 4;

/// A vault that this stack watches.
#[derive(Debug)]
pub(crate) struct Watched {
    pub name: String,
    /// What lies in it.
    pub points: Result<Vec<DescribedPoint>, AwsError>,
    created_at: Option<Timestamp>,
    /// Whether AWS Backup lists it; none if the vaults cannot be listed.
    exists: Option<bool>,
}

/// Whether AWS Backup's answer says something of the vault, and not only that it could not be asked.
pub(crate) fn is_finding(error: &AwsError) -> bool {
    backup::is_refused_by_vault(error) || error.is(&["ResourceNotFoundException"])
}

/// Reads the vaults that this stack watches: their recovery points that were created since a point in time.
pub(crate) async fn read(app: &App, since: Timestamp) -> Vec<Watched> {
    // Of vaults that cannot be listed this says less; that they cannot, `report_unnamed` returns.
    let listed = backup::vaults(&app.aws).await.ok();
    let mut watched = Vec::new();
    for name in app.config.watched_vaults() {
        let points = backup::recovery_points_since(&app.aws, name, since).await;
        let known = listed
            .as_ref()
            .map(|all| all.iter().find(|vault| vault.name == name));
        watched.push(Watched {
            name: name.to_owned(),
            points,
            created_at: known.flatten().and_then(|vault| vault.created_at),
            exists: known.map(|vault| vault.is_some()),
        });
    }
    watched
}

/// Measures, and tells people of each vault that is not as it should be. `landed` is when each recovery point landed since
/// this stack works, and how its validation stands; recovery points were looked for that landed `since`. Returns the
/// number of findings.
///
/// # Errors
/// When the ledger, CloudWatch Logs or SNS does not answer.
pub(crate) async fn report(
    app: &App,
    watched: &[Watched],
    landed: &[(Timestamp, Outcome)],
    since: Timestamp,
    now: Timestamp,
) -> failure::Result<usize> {
    let (mut unreadable, mut stalest) = (0, None);
    let mut findings = Vec::new();
    for vault in watched {
        let newest = match &vault.points {
            Ok(points) => points.iter().filter_map(landed_at).max(),
            Err(error) => {
                warn!("vault {} cannot be read: {error:#}", vault.name);
                // What does not answer is the function's error. It may answer in an hour.
                if is_finding(error) {
                    unreadable += 1;
                    let words = unreadable_words(vault);
                    findings.push((vault.name.as_str(), Finding::Unreadable, words.to_owned()));
                }
                continue;
            }
        };
        // An empty vault is as old as it is, as far as was looked back.
        let Some(from) = newest.or(vault.created_at) else {
            continue;
        };
        let from = from.max(since);
        let age = now.duration_since(from);
        if app
            .config
            .nothing_lands_after
            .is_some_and(|limit| age > limit)
        {
            let hours = age.as_hours();
            let words = format!("has received no recovery point for {hours} hours");
            findings.push((vault.name.as_str(), Finding::Stale, words));
        }
        stalest = stalest.max(Some(age));
        let measured = [Metric::hours("NewestPointHours", age)];
        let facts = json!({ "vault": vault.name, "newest_point": newest });
        let (aws, config) = (&app.aws, &app.config);
        publish::log_event_by(aws, config, "vault", facts, &measured, &["vault"], now).await?;
    }
    let mut measured = vec![
        Metric::count("UnreadableVaults", unreadable),
        Metric::hours("OldestWithoutVerdictHours", oldest(app, landed, now).await?),
    ];
    // What is not known is not measured.
    measured.extend(stalest.map(|age| Metric::hours("StalestVaultHours", age)));
    if let Some(untested) = Untested::of(landed, now) {
        measured.push(Metric::percent("UntestedShare", untested.newest));
        measured.extend(
            untested
                .growth()
                .map(|by| Metric::percent("UntestedGrowth", by)),
        );
    }
    publish::log_event(&app.aws, &app.config, "vaults", json!({}), &measured, now).await?;
    for (vault, finding, words) in &findings {
        tell(app, vault, *finding, words, now).await?;
    }
    Ok(findings.len())
}

/// Tells people of vaults that received recovery points since a point in time and that no parameter names, as far as
/// there is time. Returns how many there are.
///
/// # Errors
/// When AWS Backup, the ledger, CloudWatch Logs or SNS does not answer.
pub(crate) async fn report_unnamed(
    app: &App,
    since: Timestamp,
    until: Timestamp,
) -> failure::Result<usize> {
    let watched = app.config.watched_vaults();
    let mut unnamed = Vec::new();
    for vault in backup::vaults(&app.aws).await? {
        let is_named = watched.contains(vault.name.as_str())
            || app.config.unwatched_vaults.contains(&vault.name);
        if is_named || vault.points == 0 {
            continue;
        }
        if app.now() >= until {
            let words = "there was no time for all vaults that no parameter names: name those that are not to be validated in UnwatchedVaultNames";
            return Err(Failure::Other(words.to_owned()));
        }
        match backup::has_points_since(&app.aws, &vault.name, since).await {
            Ok(true) => unnamed.push(vault.name),
            Ok(false) => {}
            // Into a vault that refuses us nobody asks us to look.
            Err(error) if is_finding(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let now = app.now();
    let measured = [Metric::count("UnnamedVaults", unnamed.len())];
    publish::log_event(
        &app.aws,
        &app.config,
        "unnamed_vaults",
        json!({}),
        &measured,
        now,
    )
    .await?;
    for name in &unnamed {
        let words =
            "received recovery points in the last seven days, and nobody validates them here";
        tell(app, name, Finding::Unnamed, words, now).await?;
    }
    Ok(unnamed.len())
}

/// What is to be said of a vault.
#[derive(Clone, Copy, Debug)]
enum Finding {
    Unreadable,
    Stale,
    Unnamed,
}

impl Finding {
    fn name(self) -> &'static str {
        match self {
            Finding::Unreadable => "unreadable",
            Finding::Stale => "stale",
            Finding::Unnamed => "unnamed",
        }
    }

    /// What people can do.
    fn to_do(self) -> &'static str {
        match self {
            Finding::Unreadable => {
                "Nothing that lands there is validated. Compare the parameters BackupVaultNames and BackupJobVaultNames with \
                 `aws backup list-backup-vaults`. If the vault is there, look at its access policy with `aws backup \
                 get-backup-vault-access-policy`. An alarm rings as long as it is so."
            }
            Finding::Stale => {
                "Look at the copy jobs and backup jobs that should have filled it, in the accounts where they run, and at \
                 the vault's access policy. The parameter HoursWithoutPoint says after how many hours this is reported."
            }
            Finding::Unnamed => {
                "Add the vault to the parameter BackupVaultNames (or BackupJobVaultNames, if it receives backups and no \
                 copies) and deploy again. If another stack validates it, or nobody is to, add it to UnwatchedVaultNames."
            }
        }
    }
}

fn unreadable_words(vault: &Watched) -> &'static str {
    match vault.exists {
        Some(true) => "exists, and its access policy refuses to let this function read it",
        Some(false) => "does not exist in this account and Region",
        None => "does not exist in this account and Region, or its access policy refuses",
    }
}

/// How old the oldest recovery point without a recorded verdict is. Those that wait for a slot may be older than what was
/// looked through.
async fn oldest(
    app: &App,
    landed: &[(Timestamp, Outcome)],
    now: Timestamp,
) -> failure::Result<SignedDuration> {
    let open = landed
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Open);
    let oldest = open.map(|(at, _)| *at).min();
    let waits = queue::longest_waiting(app).await?;
    let oldest = [oldest, waits].into_iter().flatten().min();
    Ok(oldest.map_or(SignedDuration::ZERO, |at| now.duration_since(at)))
}

/// The share of recovery points that were not tested, percent: of the newest, and of those of the days before. What the
/// rule itself left out, by its frequency or sample, is in neither.
#[derive(Debug, PartialEq)]
struct Untested {
    newest: f64,
    /// None if there were too few.
    before: Option<f64>,
}

impl Untested {
    /// None if there are too few for a share.
    fn of(landed: &[(Timestamp, Outcome)], now: Timestamp) -> Option<Untested> {
        NEWEST.into_iter().find_map(|newest| {
            let share = |is_new: bool| {
                let of_then = |at: Timestamp| (now.duration_since(at) < newest) == is_new;
                let (mut untested, mut all) = (0_u32, 0_u32);
                for (_, outcome) in landed.iter().filter(|(at, _)| of_then(*at)) {
                    match outcome {
                        Outcome::Untested => (untested, all) = (untested + 1, all + 1),
                        Outcome::Tested => all += 1,
                        Outcome::Open | Outcome::LeftOut => {}
                    }
                }
                let share = f64::from(untested) * 100.0 / f64::from(all.max(1));
                (all >= MIN_POINTS_FOR_SHARE).then_some(share)
            };
            Some(Untested {
                newest: share(true)?,
                before: share(false),
            })
        })
    }

    /// By how many percentage points the share has grown; never negative, and none if there is nothing to compare with.
    fn growth(&self) -> Option<f64> {
        self.before.map(|before| (self.newest - before).max(0.0))
    }
}

/// Tells people once a week as long as it is so.
async fn tell(
    app: &App,
    vault: &str,
    finding: Finding,
    words: &str,
    now: Timestamp,
) -> failure::Result<()> {
    let week = now.to_zoned(TimeZone::UTC).date().iso_week_date();
    let what = format!(
        "{}#{}#{}-W{}",
        app.config.vault_arn(vault),
        finding.name(),
        week.year(),
        week.week()
    );
    if app.ledger.was_told_of(&what).await? {
        return Ok(());
    }
    warn!("vault {vault} {words}");
    let facts = json!({ "vault": vault, "finding": finding.name(), "reason": words });
    publish::log_event(&app.aws, &app.config, "vault_finding", facts, &[], now).await?;
    let message = message::of_vault(vault, words, finding.to_do(), &app.config.name_prefix);
    publish::send(&app.aws, &app.config, &message).await?;
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

    fn growth(all: &[Vec<(Timestamp, Outcome)>]) -> Option<f64> {
        Untested::of(&all.concat(), now())?.growth()
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
        ];
        let expected = Untested {
            newest: 75.0,
            before: Some(25.0),
        };
        assert_eq!(Untested::of(&all.concat(), now()), Some(expected));
        assert_eq!(growth(&all), Some(50.0));
    }

    #[test]
    fn a_few_a_day_are_compared_by_three_days() {
        let few = |hours_ago, outcome| landed(hours_ago, outcome, 2);
        let all = [
            few(1, Outcome::Untested),
            few(30, Outcome::Untested),
            few(50, Outcome::Tested),
            landed(100, Outcome::Tested, 4),
        ];
        let share = growth(&all).expect("enough in three days");
        assert!((66.0..67.0).contains(&share), "{share}");
    }

    /// On the first day all that landed may be of types that nobody validates: that is no growth.
    #[test]
    fn without_enough_to_compare_there_is_no_growth() {
        let few = landed(1, Outcome::Untested, 3);
        assert_eq!(Untested::of(&few, now()), None);
        assert_eq!(growth(&[landed(1, Outcome::Untested, 9)]), None);
        let better = [
            landed(1, Outcome::Tested, 9),
            landed(30, Outcome::Untested, 9),
        ];
        assert_eq!(growth(&better), Some(0.0));
    }
}
