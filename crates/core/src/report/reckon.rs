//! How the report is reckoned.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::civil::Date;

use super::line::Line;
use super::{
    BadNews, Before, Capped, CheckNotPassed, Cost, Coverage, DataAges, Day, Excerpt, FORMAT,
    Failing, Flapping, LONGEST_LIST, LONGEST_TEXT, Left, Listed, Moment, Period, Proof, Read,
    RecoveryTimes, Report, Resource, Standing, Totals, TypeTimes, TypeTotals, Untold, Usage,
    prices,
};
use crate::record::record_key;
use crate::runbook::command;
use crate::verdict::Verdict;

/// How many places of unreadable lines are named.
const PLACES: usize = 20;
/// How many checks and findings of a validation are taken over.
const OF_A_VALIDATION: usize = 10;

/// The reckoning of a report, one record after the other, in any order. It keeps a little of each record and all of none.
#[derive(Debug)]
pub struct Reckoning {
    period: Period,
    before: Option<Period>,
    inventory: Option<Vec<Listed>>,
    function: Option<String>,
    read: Read,
    resources: HashMap<Key, Seen>,
    /// ARNs of the inventory of which no record was read yet.
    unseen: HashSet<String>,
    by_type: BTreeMap<Option<String>, Tally>,
    total: Tally,
    earlier: Tally,
    times: BTreeMap<(Option<String>, Option<String>), Times>,
    ages: Ages,
    failed: Shelf<(Moment, String), BadNews>,
    copy_failures: Shelf<(Moment, String), BadNews>,
    left: Shelf<(Moment, String), Left>,
    untold: BTreeMap<(&'static str, Option<String>, Option<String>), UntoldTally>,
    usage: BTreeMap<UsageKey, (u64, f64)>,
    days: BTreeMap<Date, DayTally>,
}

/// Account, type and ARN.
type Key = (Option<String>, Option<String>, String);
/// What, type, class and unit.
type UsageKey = (String, Option<String>, Option<String>, String);

impl Reckoning {
    /// Nothing read yet. `looked_from` is the day before which the reader does not look for records; none when it reads all.
    pub fn new(
        period: Period,
        looked_from: Option<Date>,
        inventory: Option<Vec<Listed>>,
    ) -> Reckoning {
        let unseen = inventory.iter().flatten().map(|one| one.arn.clone());
        Reckoning {
            period,
            before: period.before(),
            unseen: unseen.collect(),
            inventory,
            function: None,
            read: Read {
                looked_from,
                ..Read::default()
            },
            resources: HashMap::new(),
            by_type: BTreeMap::new(),
            total: Tally::default(),
            earlier: Tally::default(),
            times: BTreeMap::new(),
            ages: Ages::default(),
            failed: Shelf::newest_first(),
            copy_failures: Shelf::newest_first(),
            left: Shelf::oldest_first(),
            untold: BTreeMap::new(),
            usage: BTreeMap::new(),
            days: BTreeMap::new(),
        }
    }

    /// Notes in whose results bucket the records lie: of the stack whose function is called so.
    pub fn of_function(&mut self, name: &str) {
        self.function = Some(name.to_owned());
    }

    /// Notes that there is an inventory that could not be used, and why.
    pub fn without_inventory(&mut self, why: &str) {
        self.read.inventory_error = Some(short(why));
    }

    /// How many resources are known by now, those that the inventory lists among them: what the report's size and memory grow
    /// with.
    pub fn resources(&self) -> usize {
        self.resources.len() + self.unseen.len()
    }

    /// How many records up to the period's last day were taken by now.
    pub fn records(&self) -> u64 {
        self.read.records
    }

    /// Takes a text of JSON lines. A line that is no record is counted and named by its place, and stops nothing.
    pub fn read(&mut self, place: &str, text: &[u8]) {
        let lines = text.split(|byte| *byte == b'\n').enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            match serde_json::from_slice(line) {
                Ok(line) => self.add(line),
                Err(error) => {
                    self.unreadable(&format!("{place}, line {}", number + 1), &error.to_string());
                }
            }
        }
    }

    /// Counts something that is no record.
    pub fn unreadable(&mut self, place: &str, why: &str) {
        self.read.unreadable += 1;
        if self.read.unreadable_places.len() < PLACES {
            let place = short(&format!("{place}: {why}"));
            self.read.unreadable_places.push(place);
        }
    }

    /// Takes a record.
    pub fn add(&mut self, line: Line) {
        let day = line.opened_time.day();
        if day > self.period.to {
            self.read.later += 1;
            return;
        }
        self.read.records += 1;
        self.read.oldest = Some(self.read.oldest.map_or(day, |oldest| oldest.min(day)));
        let now = self.period.has(day);
        if self.before.is_some_and(|before| before.has(day)) {
            self.earlier.add(&line);
        }
        if now {
            self.add_to_period(&line, day);
        }
        if line.is_left() {
            self.left.put(at(&line), || Left {
                source_account: line.source_account.clone(),
                resource_type: line.resource_type.clone(),
                source_resource_arn: line.source_resource_arn.clone(),
                restored_instance_id: line.restored_instance_id.clone(),
                kept_until: line.kept_until,
                record: excerpt(&line),
            });
        }
        let Some(arn) = line.source_resource_arn.clone() else {
            self.read.without_resource += 1;
            return;
        };
        self.unseen.remove(&arn);
        let key = (line.source_account.clone(), line.resource_type.clone(), arn);
        let seen = self.resources.entry(key).or_default();
        seen.add(&line, now, self.function.as_deref());
    }

    fn add_to_period(&mut self, line: &Line, day: Date) {
        self.total.add(line);
        let of_type = self.by_type.entry(line.resource_type.clone()).or_default();
        of_type.add(line);
        let today = self.days.entry(day).or_default();
        *today.verdicts.entry(line.verdict.as_str()).or_default() += 1;
        if let (true, Some(minutes)) = (line.is_proof(), line.recovery_time) {
            let kind = (line.resource_type.clone(), line.scenario.clone());
            self.times.entry(kind).or_default().add(line, minutes);
            today.minutes.push(minutes);
        }
        self.ages.add(line);
        for usage in &line.usage {
            let key = (
                usage.what.clone(),
                line.resource_type.clone(),
                line.restored_class.clone(),
                usage.unit.clone(),
            );
            let (times, amount) = self.usage.entry(key).or_default();
            *times += 1;
            *amount += usage.amount;
        }
        match line.verdict {
            Verdict::Passed => {}
            Verdict::Failed | Verdict::RestoreFailed => {
                self.failed.put(at(line), || bad_news(line));
            }
            Verdict::CopyFailed => {
                self.failed.put(at(line), || bad_news(line));
                self.copy_failures.put(at(line), || bad_news(line));
            }
            Verdict::Inconclusive | Verdict::Unchecked | Verdict::NotTested => {
                let key = (
                    line.verdict.as_str(),
                    line.fault_class.clone(),
                    line.resource_type.clone(),
                );
                let untold = self.untold.entry(key).or_insert_with(|| UntoldTally {
                    verdict: line.verdict,
                    validations: 0,
                    resources: HashSet::new(),
                    newest: at(line),
                    reason: short(&line.verdict_reason),
                });
                untold.add(line);
            }
        }
    }

    /// What came of it.
    pub fn finish(self) -> Report {
        let Reckoning { period, .. } = self;
        let complete = |before: Period| {
            let from = self.read.looked_from.or(self.read.oldest);
            from.is_some_and(|from| from <= before.from)
        };
        let before = self
            .before
            .filter(|_| self.earlier.totals.recovery_points > 0)
            .map(|before| Before {
                period: before,
                complete: complete(before),
                totals: self.earlier.finish(),
            });
        let mut all_times = Times::default();
        for times in self.times.values() {
            all_times.merge(times);
        }
        let mut failing = Vec::new();
        let mut flapping = Vec::new();
        let mut resources = Vec::new();
        let mut owners: BTreeMap<&str, &Listed> = BTreeMap::new();
        for listed in self.inventory.iter().flatten() {
            owners.insert(&listed.arn, listed);
        }
        let mut landed = BTreeSet::new();
        for (key, mut seen) in self.resources {
            let listed = owners.get(key.2.as_str()).copied();
            if let Some(listed) = listed {
                landed.insert(listed.arn.as_str());
            }
            // Two of one moment have no order of their own: the bad one counts as the later.
            seen.telling.sort_by_key(|one| (one.at, !one.is_good));
            failing.extend(seen.failing(&key));
            flapping.extend(seen.flapping(&key));
            resources.push(seen.finish(key, period, listed));
        }
        let not_listed = self.inventory.as_ref().map(|_| {
            let unknown = |one: &&Resource| !owners.contains_key(one.source_resource_arn.as_str());
            resources.iter().filter(unknown).count() as u64
        });
        let never = owners
            .values()
            .filter(|one| !landed.contains(one.arn.as_str()));
        resources.extend(never.map(|listed| never_landed(listed)));
        resources.sort_by(|a, b| {
            // Nothing known comes before all days, and what never landed before what landed.
            let rank = |one: &Resource| match (one.standing, one.days) {
                (Standing::NeverLanded, _) => (0, 0),
                (_, None) => (1, 0),
                (_, Some(days)) => (2, -i64::from(days)),
            };
            rank(a).cmp(&rank(b)).then_with(|| name(a).cmp(&name(b)))
        });
        failing.sort_by(|a: &Failing, b| {
            let place = |one: &Failing| (one.since, one.source_resource_arn.clone());
            place(a).cmp(&place(b))
        });
        flapping.sort_by(|a: &Flapping, b| {
            let by_changes = b.changes.cmp(&a.changes);
            by_changes.then_with(|| a.source_resource_arn.cmp(&b.source_resource_arn))
        });
        let mut untold: Vec<Untold> = self
            .untold
            .into_iter()
            .map(|((_, fault_class, resource_type), tally)| Untold {
                verdict: tally.verdict,
                fault_class,
                resource_type,
                validations: tally.validations,
                resources: tally.resources.len() as u64,
                newest_reason: tally.reason,
                newest: tally.newest.0,
                newest_record_key: record_key(tally.newest.0.day(), &tally.newest.1),
                newest_validation_id: tally.newest.1,
            })
            .collect();
        // The order of the keys stays among equals.
        untold.sort_by_key(|one| std::cmp::Reverse(one.validations));
        let usage: Vec<Usage> = self.usage.into_iter().map(priced).collect();
        Report {
            report_format: FORMAT,
            period,
            coverage: coverage(&resources, period, not_listed),
            resources,
            totals: self.total.finish(),
            by_type: self
                .by_type
                .into_iter()
                .map(|(resource_type, tally)| TypeTotals {
                    resource_type,
                    totals: tally.finish(),
                })
                .collect(),
            recovery_time: all_times.finish(),
            recovery_time_by_type: self
                .times
                .into_iter()
                .filter_map(|((resource_type, scenario), times)| {
                    Some(TypeTimes {
                        resource_type,
                        scenario,
                        times: times.finish()?,
                    })
                })
                .collect(),
            data_age: self.ages.finish(),
            failing,
            flapping,
            failed: self.failed.finish(),
            copy_failures: self.copy_failures.finish(),
            untold,
            before,
            left_behind: self.left.finish(),
            cost: Cost {
                estimate: usage.iter().filter_map(|usage| usage.estimate).sum(),
                currency: prices::CURRENCY,
                prices_of: prices::AS_OF,
                basis: prices::BASIS,
                // What checks read has no price of its own: it takes running time.
                without_price: usage
                    .iter()
                    .filter(|one| one.estimate.is_none() && one.what != "scanned_data")
                    .count() as u64,
            },
            usage,
            days: self
                .days
                .into_iter()
                .map(|(day, mut tally)| {
                    tally.minutes.sort_by(f64::total_cmp);
                    Day {
                        day,
                        median: percentile(&tally.minutes, 50),
                        longest: tally.minutes.last().copied(),
                        verdicts: tally.verdicts,
                    }
                })
                .collect(),
            read: self.read,
        }
    }
}

/// The value that at least so many of a hundred do not exceed, by nearest rank; the values are sorted.
fn percentile(sorted: &[f64], of_a_hundred: usize) -> Option<f64> {
    let rank = (sorted.len() * of_a_hundred).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A text that is not too long.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Where a record stands among all.
fn at(line: &Line) -> (Moment, String) {
    (line.opened_time, line.validation_id.clone())
}

fn bad_news(line: &Line) -> BadNews {
    let failed = line.checks.iter().filter(|check| check.outcome == "failed");
    BadNews {
        source_account: line.source_account.clone(),
        resource_type: line.resource_type.clone(),
        source_resource_arn: line.source_resource_arn.clone(),
        failed_checks: failed.map(|check| short(&check.name)).collect(),
        copy_job_id: line.copy_job_id.clone(),
        record: excerpt(line),
    }
}

fn name(one: &Resource) -> (&Option<String>, &Option<String>, &str) {
    (
        &one.source_account,
        &one.resource_type,
        &one.source_resource_arn,
    )
}

fn never_landed(listed: &Listed) -> Resource {
    Resource {
        source_account: None,
        resource_type: None,
        source_resource_arn: listed.arn.clone(),
        owner: listed.owner.clone(),
        target_days: listed.target_days,
        standing: Standing::NeverLanded,
        proof: None,
        last_proved: None,
        days: None,
        overdue: listed.target_days.is_some(),
        latest: None,
        validations: 0,
        recovery_time: None,
        data_age: None,
    }
}

fn priced(
    ((what, resource_type, restored_class, unit), (times, amount)): (UsageKey, (u64, f64)),
) -> Usage {
    let per_hour = restored_class.as_deref().and_then(prices::per_hour);
    let estimate = per_hour
        .filter(|_| what == "restored_resource" && unit == "minutes")
        .map(|per_hour| amount / 60.0 * per_hour);
    Usage {
        what,
        resource_type,
        restored_class,
        unit,
        times,
        amount,
        estimate,
    }
}

fn coverage(resources: &[Resource], period: Period, not_listed: Option<u64>) -> Coverage {
    let mut coverage = Coverage {
        resources: resources.len() as u64,
        not_listed,
        ..Coverage::default()
    };
    for one in resources {
        coverage.overdue += u64::from(one.overdue);
        let counted = match (one.standing, one.last_proved) {
            (Standing::NeverLanded, _) => &mut coverage.never_landed,
            (_, None) if one.proof.is_none() => &mut coverage.never_proved,
            (_, Some(last)) if last.day() >= period.from => &mut coverage.proved_in_period,
            (_, Some(_) | None) => &mut coverage.proved_before,
        };
        *counted += 1;
    }
    coverage.share = percent(coverage.proved_in_period, coverage.resources);
    coverage
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

/// An average that does not overflow before its values do.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: u64,
    mean: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let count = self.count as f64;
        self.mean += value / count - self.mean / count;
    }

    fn finish(self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }
}

/// What is told of one resource.
#[derive(Debug, Default)]
struct Seen {
    proof: Option<Proof>,
    last_proved: Option<Moment>,
    latest: Option<Excerpt>,
    validations: u64,
    /// Verdicts of the period that speak for or against the backup.
    telling: Vec<Telling>,
    /// The newest of them that speaks against it.
    newest_bad: Option<Excerpt>,
    times: Times,
    ages: Ages,
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    at: Moment,
    is_good: bool,
}

impl Seen {
    fn add(&mut self, line: &Line, now: bool, function: Option<&str>) {
        if line.is_proof() {
            self.last_proved = self.last_proved.max(line.verdict_time);
            let rank = |proof: &Proof| {
                (
                    proof.recovery_point_created,
                    proof.verdict_time,
                    proof.validation_id.clone(),
                )
            };
            let proof = Proof {
                on_another_class: line.is_on_another_class(),
                recovery_point_arn: line.recovery_point_arn.clone(),
                backup_vault_name: line.backup_vault_name.clone(),
                recovery_point_created: line.recovery_point_created,
                verdict_time: line.verdict_time,
                recovery_time: line.recovery_time,
                restored_class: line.restored_class.clone(),
                source_class: line.source_class.clone(),
                record_key: line.record_key(),
                validation_id: line.validation_id.clone(),
                runbook: line
                    .source_resource_arn
                    .as_deref()
                    .map_or_else(String::new, |arn| {
                        command(function, Some(line.opened_time.day()), arn)
                    }),
            };
            if self
                .proof
                .as_ref()
                .is_none_or(|known| rank(known) < rank(&proof))
            {
                self.proof = Some(proof);
            }
        }
        if now {
            self.validations += 1;
            let is_good = match line.verdict {
                Verdict::Passed => Some(true),
                Verdict::Failed | Verdict::RestoreFailed | Verdict::CopyFailed => Some(false),
                Verdict::Inconclusive | Verdict::Unchecked | Verdict::NotTested => None,
            };
            if let Some(is_good) = is_good {
                self.telling.push(Telling {
                    at: line.opened_time,
                    is_good,
                });
            }
            if is_good == Some(false) && is_newer(line, self.newest_bad.as_ref()) {
                self.newest_bad = Some(excerpt(line));
            }
            if let (true, Some(minutes)) = (line.is_proof(), line.recovery_time) {
                self.times.add(line, minutes);
            }
            self.ages.add(line);
        }
        if is_newer(line, self.latest.as_ref()) {
            self.latest = Some(excerpt(line));
        }
    }

    /// That it fails, if its newest telling verdict is bad.
    fn failing(&self, (account, resource_type, arn): &Key) -> Option<Failing> {
        let in_a_row = self.telling.iter().rev().take_while(|one| !one.is_good);
        let first = in_a_row.clone().last()?;
        Some(Failing {
            source_account: account.clone(),
            resource_type: resource_type.clone(),
            source_resource_arn: arn.clone(),
            since: first.at,
            in_a_row: in_a_row.count() as u64,
            newest: self.newest_bad.clone()?,
        })
    }

    /// That it comes and goes, if it changed to bad and back, or back and to bad.
    fn flapping(&self, (account, resource_type, arn): &Key) -> Option<Flapping> {
        let changes = self.telling.windows(2);
        let changes = changes
            .filter(|two| two[0].is_good != two[1].is_good)
            .count();
        let good = self.telling.iter().filter(|one| one.is_good).count();
        (changes >= 2).then(|| Flapping {
            source_account: account.clone(),
            resource_type: resource_type.clone(),
            source_resource_arn: arn.clone(),
            changes: changes as u64,
            good: good as u64,
            bad: (self.telling.len() - good) as u64,
        })
    }

    fn finish(
        self,
        (source_account, resource_type, source_resource_arn): Key,
        period: Period,
        listed: Option<&Listed>,
    ) -> Resource {
        let is_failing = self.telling.last().is_some_and(|last| !last.is_good);
        let days = self
            .last_proved
            .map(|last| (period.to - last.day()).get_days());
        let target_days = listed.and_then(|listed| listed.target_days);
        let overdue = target_days
            .is_some_and(|target| days.is_none_or(|days| i64::from(days) > i64::from(target)));
        let in_period = self
            .last_proved
            .is_some_and(|last| last.day() >= period.from);
        let standing = if self.proof.is_none() {
            Standing::NeverProved
        } else if is_failing {
            Standing::Failing
        } else if overdue || !in_period {
            Standing::Stale
        } else {
            Standing::Proved
        };
        Resource {
            source_account,
            resource_type,
            source_resource_arn,
            owner: listed.and_then(|listed| listed.owner.clone()),
            target_days,
            standing,
            proof: self.proof,
            last_proved: self.last_proved,
            days,
            overdue,
            latest: self.latest,
            validations: self.validations,
            recovery_time: self.times.finish(),
            data_age: self.ages.finish(),
        }
    }
}

/// Whether it stands behind what is known so far.
fn is_newer(line: &Line, known: Option<&Excerpt>) -> bool {
    known.is_none_or(|known| {
        (known.opened_time, &known.validation_id) < (line.opened_time, &line.validation_id)
    })
}

fn excerpt(line: &Line) -> Excerpt {
    let passed = |outcome: &str| outcome == "passed";
    let not_passed = line.checks.iter().filter(|check| !passed(&check.outcome));
    Excerpt {
        validation_id: line.validation_id.clone(),
        record_key: line.record_key(),
        opened_time: line.opened_time,
        verdict: line.verdict,
        verdict_reason: short(&line.verdict_reason),
        fault_class: line.fault_class.clone(),
        proof: line.proof.clone(),
        recovery_point_arn: line.recovery_point_arn.clone(),
        recovery_point_created: line.recovery_point_created,
        backup_vault_name: line.backup_vault_name.clone(),
        policy_rule: line.policy_rule.clone(),
        restores: line.attempts.len() as u64,
        restore_job_id: line.restore_job_id.clone(),
        restored_resource_arn: line.restored_resource_arn.clone(),
        restored_class: line.restored_class.clone(),
        recovery_time: line.recovery_time,
        recovery_time_target: line.recovery_time_target,
        recovery_time_objective: line.recovery_time_objective.clone(),
        data_age: line.data_age,
        data_age_target: line.data_age_target,
        data_age_objective: line.data_age_objective.clone(),
        checks_passed: (line.checks.len() - not_passed.clone().count()) as u64,
        checks_not_passed: not_passed
            .take(OF_A_VALIDATION)
            .map(|check| CheckNotPassed {
                name: short(&check.name),
                outcome: short(&check.outcome),
                detail: short(&check.detail),
            })
            .collect(),
        findings: line
            .findings
            .iter()
            .take(OF_A_VALIDATION)
            .map(|finding| short(finding))
            .collect(),
        cleanup: line.cleanup.clone(),
        cleanup_reason: line.cleanup_reason.as_deref().map(short),
        verdict_time: line.verdict_time,
    }
}

/// Validations in numbers.
#[derive(Debug, Default)]
struct Tally {
    totals: Totals,
    resources: HashSet<String>,
    recovery_time: Mean,
}

impl Tally {
    fn add(&mut self, line: &Line) {
        let totals = &mut self.totals;
        totals.recovery_points += 1;
        if let Some(arn) = &line.source_resource_arn
            && !self.resources.contains(arn)
        {
            self.resources.insert(arn.clone());
        }
        totals.restored += u64::from(line.is_restored());
        totals.read_without_restore += u64::from(line.proof.as_deref() == Some("read"));
        totals.judged += u64::from(line.is_judged());
        match line.verdict {
            Verdict::Passed => totals.proved += u64::from(line.is_proof()),
            Verdict::Failed => totals.failed += 1,
            Verdict::RestoreFailed => totals.restore_failed += 1,
            Verdict::CopyFailed => totals.copy_failed += 1,
            Verdict::Inconclusive => totals.inconclusive += 1,
            Verdict::Unchecked => totals.unchecked += 1,
            Verdict::NotTested => totals.not_tested += 1,
        }
        let missed = |objective: &Option<String>| u64::from(objective.as_deref() == Some("missed"));
        totals.recovery_time_missed += missed(&line.recovery_time_objective);
        totals.data_age_missed += missed(&line.data_age_objective);
        totals.left_behind += u64::from(line.cleanup == "left_behind");
        totals.retried += u64::from(line.attempts.len() > 1);
        if let (true, Some(minutes)) = (line.is_proof(), line.recovery_time) {
            self.recovery_time.add(minutes);
        }
    }

    fn finish(self) -> Totals {
        Totals {
            resources: self.resources.len() as u64,
            success_rate: percent(self.totals.proved, self.totals.judged),
            average_recovery_time: self.recovery_time.finish(),
            ..self.totals
        }
    }
}

/// Recovery times.
#[derive(Debug, Default)]
struct Times {
    minutes: Vec<f64>,
    target: Option<f64>,
    missed: u64,
    other_class: u64,
}

impl Times {
    fn add(&mut self, line: &Line, minutes: f64) {
        self.minutes.push(minutes);
        self.target = larger(self.target, line.recovery_time_target);
        let missed = line.recovery_time_objective.as_deref() == Some("missed");
        self.missed += u64::from(missed);
        self.other_class += u64::from(line.is_on_another_class());
    }

    fn merge(&mut self, other: &Times) {
        self.minutes.extend(&other.minutes);
        self.target = larger(self.target, other.target);
        self.missed += other.missed;
        self.other_class += other.other_class;
    }

    fn finish(mut self) -> Option<RecoveryTimes> {
        self.minutes.sort_by(f64::total_cmp);
        let mut average = Mean::default();
        self.minutes.iter().for_each(|value| average.add(*value));
        Some(RecoveryTimes {
            restores: self.minutes.len() as u64,
            average: average.finish()?,
            median: percentile(&self.minutes, 50)?,
            p95: percentile(&self.minutes, 95)?,
            longest: *self.minutes.last()?,
            target: self.target,
            missed: self.missed,
            other_class: self.other_class,
        })
    }
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

/// Ages of the newest data.
#[derive(Debug, Default)]
struct Ages {
    average: Mean,
    oldest: Option<f64>,
    target: Option<f64>,
    missed: u64,
    latest: Option<((Moment, String), f64)>,
}

impl Ages {
    fn add(&mut self, line: &Line) {
        let Some(age) = line.data_age else {
            return;
        };
        self.average.add(age);
        self.oldest = larger(self.oldest, Some(age));
        self.target = larger(self.target, line.data_age_target);
        self.missed += u64::from(line.data_age_objective.as_deref() == Some("missed"));
        if self
            .latest
            .as_ref()
            .is_none_or(|(known, _)| *known < at(line))
        {
            self.latest = Some((at(line), age));
        }
    }

    fn finish(self) -> Option<DataAges> {
        Some(DataAges {
            measured: self.average.count,
            average: self.average.finish()?,
            oldest: self.oldest?,
            target: self.target,
            missed: self.missed,
            latest: self.latest?.1,
        })
    }
}

#[derive(Debug)]
struct UntoldTally {
    verdict: Verdict,
    validations: u64,
    resources: HashSet<String>,
    newest: (Moment, String),
    reason: String,
}

impl UntoldTally {
    fn add(&mut self, line: &Line) {
        self.validations += 1;
        self.resources.extend(line.source_resource_arn.clone());
        if self.newest < at(line) {
            self.newest = at(line);
            self.reason = short(&line.verdict_reason);
        }
    }
}

#[derive(Debug, Default)]
struct DayTally {
    verdicts: BTreeMap<&'static str, u64>,
    minutes: Vec<f64>,
}

/// The first of many things in an order; the others are only counted.
#[derive(Debug)]
struct Shelf<K, T> {
    things: BTreeMap<K, T>,
    count: u64,
    newest_first: bool,
}

impl<K: Ord, T> Shelf<K, T> {
    fn newest_first() -> Shelf<K, T> {
        Shelf {
            things: BTreeMap::new(),
            count: 0,
            newest_first: true,
        }
    }

    fn oldest_first() -> Shelf<K, T> {
        Shelf {
            newest_first: false,
            ..Shelf::newest_first()
        }
    }

    fn put(&mut self, key: K, thing: impl FnOnce() -> T) {
        self.count += 1;
        self.things.insert(key, thing());
        if self.things.len() > LONGEST_LIST {
            let surplus = if self.newest_first {
                self.things.pop_first()
            } else {
                self.things.pop_last()
            };
            drop(surplus);
        }
    }

    fn finish(self) -> Capped<T> {
        let mut listed: Vec<T> = self.things.into_values().collect();
        if self.newest_first {
            listed.reverse();
        }
        Capped {
            count: self.count,
            listed,
        }
    }
}
