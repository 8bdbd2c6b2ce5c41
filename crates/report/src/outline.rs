//! What a report says, in words and tables: every form for people shows this and decides nothing.

use restore_proof_core::report::{
    BadNews, Capped, Coverage, DataAges, Excerpt, Failing, LONGEST_LIST, Left, Moment,
    RecoveryTimes, Report, Resource, Standing, Totals,
};
use restore_proof_core::verdict::Verdict;

/// A report in words.
pub struct Outline {
    /// What it is, and over which days.
    pub title: String,
    /// What to know first.
    pub lead: Vec<String>,
    /// The few numbers that matter most.
    pub figures: Vec<Figure>,
    /// The rest, in order.
    pub sections: Vec<Section>,
}

/// A number that matters.
pub struct Figure {
    /// What it counts.
    pub label: &'static str,
    /// The number, with its unit.
    pub value: String,
    /// How it is meant.
    pub tone: Tone,
    /// What it is a part of.
    pub about: String,
}

/// A table, or that there is nothing for it.
pub struct Section {
    /// A name for links.
    pub id: &'static str,
    /// What stands above it.
    pub title: &'static str,
    /// What the table means, a sentence each.
    pub says: Vec<String>,
    /// The columns of its table; none for words alone.
    pub columns: Vec<Column>,
    /// The rows of its table.
    pub rows: Vec<Row>,
    /// Whether it is for looking things up rather than for reading.
    pub is_appendix: bool,
}

/// A column of a table.
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Whether its fields are numbers.
    pub is_number: bool,
}

/// A row of a table.
pub struct Row {
    /// Its fields, one for each column.
    pub cells: Vec<Cell>,
    /// More about the row: names and values.
    pub detail: Vec<(String, String)>,
}

/// A field of a table.
#[derive(Clone)]
pub struct Cell {
    /// The part before the text that repeats in every row, such as the head of an ARN.
    pub head: String,
    /// The text that is shown.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
    /// What it is sorted by, when not by its text.
    pub sort: Option<f64>,
}

/// How a text is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad.
    Plain,
    /// As it should be.
    Good,
    /// Not known.
    Open,
    /// Somebody must act.
    Bad,
}

impl Cell {
    fn text(text: impl Into<String>) -> Cell {
        Cell {
            head: String::new(),
            text: text.into(),
            tone: Tone::Plain,
            sort: None,
        }
    }

    fn maybe(text: Option<&str>) -> Cell {
        Cell::text(text.unwrap_or(NOTHING))
    }

    fn number(number: u64) -> Cell {
        Cell {
            sort: Some(number as f64),
            ..Cell::text(number.to_string())
        }
    }

    /// A number that should be 0.
    fn trouble(number: u64, tone: Tone) -> Cell {
        Cell {
            tone: if number == 0 { Tone::Plain } else { tone },
            ..Cell::number(number)
        }
    }

    fn minutes(minutes: Option<f64>) -> Cell {
        Cell {
            sort: minutes,
            ..Cell::text(minutes.map_or(NOTHING.to_owned(), span))
        }
    }

    fn percent(share: Option<f64>) -> Cell {
        Cell {
            sort: share,
            ..Cell::text(share.map_or(NOTHING.to_owned(), percent))
        }
    }

    fn moment(at: Option<Moment>) -> Cell {
        Cell::text(at.map_or(NOTHING.to_owned(), to_the_minute))
    }

    fn verdict(verdict: Verdict) -> Cell {
        Cell::text(verdict.as_str()).of(tone(verdict))
    }

    /// An ARN: its head is the same for many.
    fn arn(arn: Option<&str>) -> Cell {
        let Some(arn) = arn else {
            return Cell::maybe(None);
        };
        let mut colons = arn.match_indices(':').map(|(at, _)| at + 1);
        let head = colons.nth(4).filter(|_| arn.starts_with("arn:"));
        let (head, text) = arn.split_at(head.filter(|at| *at < arn.len()).unwrap_or(0));
        Cell {
            head: head.to_owned(),
            ..Cell::text(text)
        }
    }

    fn of(self, tone: Tone) -> Cell {
        Cell { tone, ..self }
    }

    fn sorted_by(self, sort: Option<f64>) -> Cell {
        Cell { sort, ..self }
    }

    /// All of it.
    pub fn full(&self) -> String {
        format!("{}{}", self.head, self.text)
    }
}

/// What stands where nothing is known.
const NOTHING: &str = "–";

impl Outline {
    /// The words of a report.
    pub fn of(report: &Report) -> Outline {
        let sections = vec![
            proofs(report),
            totals(report),
            recovery_times(report),
            data_ages(report),
            coverage(report),
            failing(report),
            flapping(report),
            failed(report),
            untold(report),
            trend(report),
            copy_failures(report),
            left_behind(report),
            cost(report),
            days(report),
            read(report),
        ];
        Outline {
            title: format!(
                "Recovery tests from {} to {}",
                report.period.from, report.period.to
            ),
            lead: lead(report),
            figures: figures(report),
            sections,
        }
    }
}

fn lead(report: &Report) -> Vec<String> {
    let mut lead = Vec::new();
    if report.totals.recovery_points == 0 {
        lead.push(
            "No record was found for this period: nothing landed, or the records are elsewhere."
                .to_owned(),
        );
    }
    lead.push(match report.coverage.not_listed {
        None => {
            "This report knows only resources whose backups ever landed in the vaults. What was never backed up or never \
             copied has no record. An inventory adds it."
        }
        Some(_) => {
            "This report knows resources whose backups ever landed in the vaults, and those that the inventory names. It \
             knows no others."
        }
    }
    .to_owned());
    if let Some(why) = &report.read.inventory_error {
        lead.push(format!("The inventory could not be used: {why}"));
    }
    lead.push("A backup counts as proved when it was restored and all its checks passed. One that was only read where it lies does not.".to_owned());
    if let Some(from) = report.read.looked_from {
        lead.push(format!(
            "Records before {from} were not read: \"never\" means not since then."
        ));
    }
    if report.read.unreadable > 0 {
        lead.push(format!(
            "{} could not be read and {} not in any figure; see the end.",
            counted(report.read.unreadable, "line"),
            if report.read.unreadable == 1 {
                "is"
            } else {
                "are"
            },
        ));
    }
    lead
}

fn figures(report: &Report) -> Vec<Figure> {
    let Report {
        totals, coverage, ..
    } = report;
    let bad = totals.failed + totals.restore_failed + totals.copy_failed;
    let Coverage {
        never_proved,
        never_landed,
        ..
    } = coverage;
    let share = |share: Option<f64>| share.map_or(NOTHING.to_owned(), percent);
    let all = |share: Option<f64>| match share {
        Some(100.0..) => Tone::Good,
        Some(_) => Tone::Open,
        None => Tone::Plain,
    };
    let trouble = |count: u64| if count == 0 { Tone::Good } else { Tone::Bad };
    let target = report
        .recovery_time
        .as_ref()
        .map_or(0, |times| times.missed);
    let mut figures = vec![
        Figure {
            label: "Without a proven restore",
            value: (never_proved + never_landed).to_string(),
            tone: trouble(never_proved + never_landed),
            about: format!("of {}", counted(coverage.resources, "resource")),
        },
        Figure {
            label: "Proved in this period",
            value: share(coverage.share),
            tone: all(coverage.share),
            about: format!(
                "{} of {}",
                coverage.proved_in_period,
                counted(coverage.resources, "resource")
            ),
        },
        Figure {
            label: "Success rate",
            value: share(totals.success_rate),
            tone: all(totals.success_rate),
            about: format!(
                "{} of {} passed",
                totals.proved,
                counted(totals.judged, "restore")
            ),
        },
        Figure {
            label: "Average recovery time",
            value: totals
                .average_recovery_time
                .map_or(NOTHING.to_owned(), span),
            tone: if target > 0 { Tone::Open } else { Tone::Plain },
            about: report.recovery_time.as_ref().map_or(
                "nothing was measured".to_owned(),
                |times| {
                    format!(
                        "worst {}; {} missed the target",
                        span(times.longest),
                        times.missed
                    )
                },
            ),
        },
        Figure {
            label: "Verdicts against a backup",
            value: bad.to_string(),
            tone: trouble(bad),
            about: format!("of {}", counted(totals.recovery_points, "recovery point")),
        },
        Figure {
            label: "Not deleted",
            value: report.left_behind.count.to_string(),
            tone: if report.left_behind.count == 0 {
                Tone::Good
            } else {
                Tone::Open
            },
            about: "restored resources left behind or kept".to_owned(),
        },
    ];
    if coverage.overdue > 0 {
        figures.insert(
            1,
            Figure {
                label: "Overdue",
                value: coverage.overdue.to_string(),
                tone: Tone::Bad,
                about: "by the inventory's targets".to_owned(),
            },
        );
    }
    figures
}

fn section(id: &'static str, title: &'static str, says: &[&str]) -> Section {
    Section {
        id,
        title,
        says: says.iter().map(|words| (*words).to_owned()).collect(),
        columns: Vec::new(),
        rows: Vec::new(),
        is_appendix: false,
    }
}

/// Columns by their titles; those of numbers begin with `#`.
fn columns<const N: usize>(titles: [&'static str; N]) -> Vec<Column> {
    titles
        .into_iter()
        .map(|title| Column {
            title: title.strip_prefix('#').unwrap_or(title),
            is_number: title.starts_with('#'),
        })
        .collect()
}

fn row<const N: usize>(cells: [Cell; N]) -> Row {
    Row {
        cells: cells.into(),
        detail: Vec::new(),
    }
}

/// That a list is cut, if it is.
fn cut<T>(of: &Capped<T>, says: &mut Vec<String>) {
    if of.count > of.listed.len() as u64 {
        says.push(format!(
            "The first {LONGEST_LIST} of {} are listed.",
            of.count
        ));
    }
}

fn proofs(report: &Report) -> Section {
    let has_owners = report.coverage.not_listed.is_some();
    let mut columns = columns([
        "resource",
        "standing",
        "last proved",
        "#days ago",
        "backup of",
        "#recovery time",
        "newest verdict",
    ]);
    if has_owners {
        columns.push(Column {
            title: "owner",
            is_number: false,
        });
    }
    let rows = report.resources.iter().map(|one| {
        let proof = one.proof.as_ref();
        let time = proof.and_then(|proof| proof.recovery_time);
        let class = proof.filter(|proof| proof.on_another_class);
        let mut time = Cell::minutes(time);
        if class.is_some() {
            time.text += " on another class";
            time.tone = Tone::Open;
        }
        let days = one.days.map(f64::from);
        let mut cells = vec![
            Cell::arn(Some(&one.source_resource_arn)),
            standing(one),
            match proof {
                Some(_) => Cell::moment(one.last_proved),
                None => Cell::text("never").of(Tone::Bad),
            },
            Cell::maybe(one.days.map(|days| days.to_string()).as_deref())
                // Sorted by days, gaps come first.
                .sorted_by(Some(days.unwrap_or(f64::from(i32::MAX))))
                .of(if one.overdue { Tone::Bad } else { Tone::Plain }),
            Cell::moment(proof.and_then(|proof| proof.recovery_point_created)),
            time,
            one.latest
                .as_ref()
                .map_or(Cell::maybe(None), newest_verdict),
        ];
        if has_owners {
            cells.push(Cell::maybe(one.owner.as_deref()));
        }
        Row {
            cells,
            detail: detail(one),
        }
    });
    Section {
        rows: rows.collect(),
        columns,
        ..section(
            "proofs",
            "Last proven restore of each resource",
            &[
                "For each resource the newest recovery point that was restored and passed: what to restore from. Gaps come first, then whoever waits longest.",
            ],
        )
    }
}

/// The newest verdict; that it passed without a restore is said.
fn newest_verdict(latest: &Excerpt) -> Cell {
    match (latest.verdict, latest.proof.as_deref()) {
        (Verdict::Passed, Some("read")) => Cell::text("passed, only read").of(Tone::Open),
        (verdict, _) => Cell::verdict(verdict),
    }
}

fn standing(one: &Resource) -> Cell {
    let (text, tone) = match one.standing {
        Standing::NeverLanded => ("never landed", Tone::Bad),
        Standing::NeverProved => ("never proved", Tone::Bad),
        Standing::Failing => ("failing", Tone::Bad),
        Standing::Stale if one.overdue => ("overdue", Tone::Bad),
        Standing::Stale => ("not in this period", Tone::Open),
        Standing::Proved => ("proved", Tone::Good),
    };
    Cell::text(text).of(tone)
}

fn detail(one: &Resource) -> Vec<(String, String)> {
    let mut detail = Vec::new();
    let mut fact = |name: &str, value: String| detail.push((name.to_owned(), value));
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or(NOTHING.to_owned());
    fact("account", or_nothing(&one.source_account));
    fact("type", or_nothing(&one.resource_type));
    if let Some(owner) = &one.owner {
        fact("owner", owner.clone());
    }
    if let Some(days) = one.target_days {
        fact("to be proved every", counted(days.into(), "day"));
    }
    match &one.proof {
        None => fact("last proven restore", "none is known".to_owned()),
        Some(proof) => {
            fact("proven recovery point", proof.recovery_point_arn.clone());
            fact("in vault", proof.backup_vault_name.clone());
            if let Some(at) = proof.recovery_point_created {
                fact("backed up at", at.to_string());
            }
            if let Some(at) = proof.verdict_time {
                fact("proved at", at.to_string());
            }
            if let Some(minutes) = proof.recovery_time {
                fact("recovery time", span(minutes));
            }
            if let Some(class) = &proof.restored_class {
                let source = proof.source_class.as_deref().unwrap_or("not known");
                fact("restored on class", format!("{class} (source: {source})"));
            }
            fact("proved by validation", proof.validation_id.clone());
            fact("its record", proof.record_key.clone());
            fact("runbook of this restore", proof.runbook.clone());
        }
    }
    if let Some(times) = &one.recovery_time {
        fact("recovery times in the period", in_words(times));
    }
    if let Some(ages) = &one.data_age {
        let words = format!(
            "average {}, oldest {}, latest {}{}",
            span(ages.average),
            span(ages.oldest),
            span(ages.latest),
            ages.target.map_or(String::new(), |target| format!(
                "; target {}, missed {} of {}",
                span(target),
                ages.missed,
                ages.measured
            )),
        );
        fact("data age in the period", words);
    }
    fact("validations in the period", one.validations.to_string());
    if let Some(latest) = &one.latest {
        fact("newest validation", latest.validation_id.clone());
        of_record(latest, &mut fact);
    }
    detail
}

/// A record of which the row does not say all: which validation it is of, of what, and what is in it.
fn opened(
    record: &Excerpt,
    account: Option<&str>,
    resource_type: Option<&str>,
    more: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Vec<(String, String)> {
    let mut detail = Vec::new();
    let mut fact = |name: &str, value: String| detail.push((name.to_owned(), value));
    fact("validation", record.validation_id.clone());
    fact("account", account.unwrap_or(NOTHING).to_owned());
    fact("type", resource_type.unwrap_or(NOTHING).to_owned());
    for (name, value) in more {
        if let Some(value) = value {
            fact(name, value);
        }
    }
    of_record(record, &mut fact);
    detail
}

/// What is in a record, and where it lies.
fn of_record(record: &Excerpt, fact: &mut impl FnMut(&str, String)) {
    let mut maybe = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            fact(name, value);
        }
    };
    let moment = |at: Option<Moment>| at.map(|at| at.to_string());
    maybe("its record", Some(record.record_key.clone()));
    maybe("opened at", Some(record.opened_time.to_string()));
    let verdict = record.verdict.as_str();
    maybe(
        "verdict",
        Some(format!("{verdict}: {}", record.verdict_reason)),
    );
    maybe("told at", moment(record.verdict_time));
    maybe("kind of fault", record.fault_class.clone());
    let proof = record.proof.as_deref();
    let proof = proof.unwrap_or("neither restored nor read");
    maybe("how", Some(proof.to_owned()));
    maybe("recovery point", Some(record.recovery_point_arn.clone()));
    maybe("backed up at", moment(record.recovery_point_created));
    maybe("in vault", filled(&record.backup_vault_name));
    maybe("policy rule", record.policy_rule.clone());
    maybe(
        "restore jobs",
        (record.restores > 1).then(|| record.restores.to_string()),
    );
    maybe("restore job", record.restore_job_id.clone());
    maybe("restored as", record.restored_resource_arn.clone());
    maybe("restored on class", record.restored_class.clone());
    let measured = |minutes: Option<f64>, target: Option<f64>, objective: &Option<String>| {
        let target = target.map(|target| format!("; target {}", span(target)));
        let met = match objective.as_deref() {
            Some(objective @ ("met" | "missed")) => format!(", {objective}"),
            Some(_) | None => String::new(),
        };
        minutes.map(|minutes| format!("{}{}{met}", span(minutes), target.unwrap_or_default()))
    };
    maybe(
        "recovery time",
        measured(
            record.recovery_time,
            record.recovery_time_target,
            &record.recovery_time_objective,
        ),
    );
    maybe(
        "data age",
        measured(
            record.data_age,
            record.data_age_target,
            &record.data_age_objective,
        ),
    );
    maybe("checks passed", Some(record.checks_passed.to_string()));
    for check in &record.checks_not_passed {
        let why = match check.detail.as_str() {
            "" => check.name.clone(),
            detail => format!("{}: {detail}", check.name),
        };
        maybe(&format!("check {}", check.outcome), Some(why));
    }
    for finding in &record.findings {
        maybe("finding", Some(finding.clone()));
    }
    maybe("cleanup", filled(&record.cleanup));
    maybe("why it is left", record.cleanup_reason.clone());
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn in_words(times: &RecoveryTimes) -> String {
    format!(
        "{}: average {}, median {}, 95 % within {}, worst {}{}{}",
        counted(times.restores, "restore"),
        span(times.average),
        span(times.median),
        span(times.p95),
        span(times.longest),
        times.target.map_or(String::new(), |target| {
            format!("; target {}, missed {}", span(target), times.missed)
        }),
        match times.other_class {
            0 => String::new(),
            count => format!("; {count} on another class than the source's"),
        },
    )
}

fn totals(report: &Report) -> Section {
    type Column = (&'static str, fn(&Totals) -> Cell, bool);
    // Whether a column is shown when it is 0 everywhere stands at its end.
    let known: [Column; 14] = [
        (
            "#recovery points",
            |t| Cell::number(t.recovery_points),
            true,
        ),
        ("#resources", |t| Cell::number(t.resources), true),
        ("#restored", |t| Cell::number(t.restored), true),
        ("#restored and passed", |t| Cell::number(t.proved), true),
        ("#failed", |t| Cell::trouble(t.failed, Tone::Bad), true),
        (
            "#restore failed",
            |t| Cell::trouble(t.restore_failed, Tone::Bad),
            true,
        ),
        (
            "#copy failed",
            |t| Cell::trouble(t.copy_failed, Tone::Bad),
            false,
        ),
        (
            "#inconclusive",
            |t| Cell::trouble(t.inconclusive, Tone::Open),
            false,
        ),
        (
            "#unchecked",
            |t| Cell::trouble(t.unchecked, Tone::Open),
            false,
        ),
        ("#not tested", |t| Cell::number(t.not_tested), false),
        (
            "#only read",
            |t| Cell::number(t.read_without_restore),
            false,
        ),
        ("#tried again", |t| Cell::number(t.retried), false),
        ("#success rate", |t| Cell::percent(t.success_rate), true),
        (
            "#average recovery time",
            |t| Cell::minutes(t.average_recovery_time),
            true,
        ),
    ];
    let shown: Vec<Column> = known
        .into_iter()
        .filter(|(_, cell, always)| *always || cell(&report.totals).text != "0")
        .collect();
    let line = |name: Cell, totals: &Totals| Row {
        cells: std::iter::once(name)
            .chain(shown.iter().map(|(_, cell, _)| cell(totals)))
            .collect(),
        detail: Vec::new(),
    };
    let mut titles = columns(["type"]);
    for (title, _, _) in &shown {
        titles.extend(columns([*title]));
    }
    let mut rows = vec![line(Cell::text("all"), &report.totals)];
    rows.extend(report.by_type.iter().map(|of_type| {
        line(
            Cell::maybe(of_type.resource_type.as_deref()),
            &of_type.totals,
        )
    }));
    Section {
        columns: titles,
        rows,
        ..section(
            "totals",
            "Totals and success rate",
            &[
                "The success rate is the share of \"restored and passed\" among what was restored and passed or failed, or could not be restored. Inconclusive, unchecked and untested ones are not in it.",
            ],
        )
    }
}

fn recovery_times(report: &Report) -> Section {
    let line = |kind: Option<&str>, scenario: Option<&str>, times: &RecoveryTimes| {
        row([
            Cell::maybe(kind),
            Cell::maybe(scenario),
            Cell::number(times.restores),
            Cell::minutes(Some(times.average)),
            Cell::minutes(Some(times.median)),
            Cell::minutes(Some(times.p95)),
            Cell::minutes(Some(times.longest)),
            Cell::minutes(times.target),
            Cell::trouble(times.missed, Tone::Bad),
            Cell::trouble(times.other_class, Tone::Open),
        ])
    };
    let all = report
        .recovery_time
        .iter()
        .map(|times| line(Some("all"), None, times));
    let by_type = report.recovery_time_by_type.iter().map(|one| {
        line(
            one.resource_type.as_deref(),
            one.scenario.as_deref(),
            &one.times,
        )
    });
    Section {
        columns: columns([
            "type",
            "scenario",
            "#restores",
            "#average",
            "#median",
            "#95 % within",
            "#worst",
            "#target",
            "#missed",
            "#on another class",
        ]),
        rows: all.chain(by_type).collect(),
        ..section(
            "recovery-time",
            "Recovery time",
            &[
                "From the start of the restore job to the first check that passed, of what was restored and passed. \"On another class\" counts restores on \
               another class than the source's: there the source itself would take another time. The target is the longest that a rule sets.",
            ],
        )
    }
}

fn data_ages(report: &Report) -> Section {
    let line = |name: Cell, ages: &DataAges| {
        row([
            name,
            Cell::number(ages.measured),
            Cell::minutes(Some(ages.average)),
            Cell::minutes(Some(ages.oldest)),
            Cell::minutes(ages.target),
            Cell::trouble(ages.missed, Tone::Bad),
            Cell::minutes(Some(ages.latest)),
        ])
    };
    let mut measured: Vec<(&Resource, &DataAges)> = report
        .resources
        .iter()
        .filter_map(|one| Some((one, one.data_age.as_ref()?)))
        .collect();
    measured.sort_by_key(|(_, ages)| std::cmp::Reverse(ages.missed));
    let all = report
        .data_age
        .iter()
        .map(|ages| line(Cell::text("all"), ages));
    let each = measured
        .into_iter()
        .map(|(one, ages)| line(Cell::arn(Some(&one.source_resource_arn)), ages));
    Section {
        columns: columns([
            "resource",
            "#measured",
            "#average",
            "#oldest",
            "#target",
            "#missed",
            "#latest",
        ]),
        rows: all.chain(each).collect(),
        ..section(
            "data-age",
            "Data age",
            &["How old the newest data was when the backup was made: what a recovery would lose."],
        )
    }
}

fn coverage(report: &Report) -> Section {
    let Coverage {
        resources,
        proved_in_period,
        proved_before,
        never_proved,
        never_landed,
        overdue,
        not_listed,
        share: _,
    } = report.coverage;
    let line = |name: &str, count: u64, tone: Tone| {
        let share = (resources > 0).then(|| 100.0 * count as f64 / resources as f64);
        row([
            Cell::text(name),
            Cell::trouble(count, tone),
            Cell::percent(share),
        ])
    };
    let mut rows = vec![
        line("known", resources, Tone::Plain),
        line(
            "restored and passed in this period",
            proved_in_period,
            Tone::Good,
        ),
        line("restored and passed only before", proved_before, Tone::Open),
        line("landed, never restored and passed", never_proved, Tone::Bad),
    ];
    if let Some(not_listed) = not_listed {
        rows.push(line(
            "in the inventory, never landed",
            never_landed,
            Tone::Bad,
        ));
        rows.push(line(
            "proved longer ago than the inventory wants, or never",
            overdue,
            Tone::Bad,
        ));
        rows.push(line("landed, not in the inventory", not_listed, Tone::Open));
    }
    Section {
        columns: columns(["resources", "#number", "#share"]),
        rows,
        ..section("coverage", "Coverage", &[])
    }
}

fn failing(report: &Report) -> Section {
    let rows = report.failing.iter().map(|one: &Failing| Row {
        detail: opened(
            &one.newest,
            one.source_account.as_deref(),
            one.resource_type.as_deref(),
            [],
        ),
        ..row([
            Cell::arn(Some(&one.source_resource_arn)),
            Cell::verdict(one.newest.verdict),
            Cell::moment(Some(one.since)),
            Cell::number(one.in_a_row),
            Cell::text(&one.newest.verdict_reason),
            Cell::text(&one.newest.validation_id),
        ])
    });
    Section {
        columns: columns([
            "resource",
            "verdict",
            "since",
            "#in a row",
            "reason",
            "validation",
        ]),
        rows: rows.collect(),
        ..section(
            "failing",
            "Failing",
            &[
                "Resources whose newest verdict that speaks for or against the backup speaks against it.",
            ],
        )
    }
}

fn flapping(report: &Report) -> Section {
    let rows = report.flapping.iter().map(|one| {
        row([
            Cell::arn(Some(&one.source_resource_arn)),
            Cell::number(one.changes),
            Cell::number(one.good),
            Cell::trouble(one.bad, Tone::Bad),
        ])
    });
    Section {
        columns: columns(["resource", "#changes", "#good verdicts", "#bad verdicts"]),
        rows: rows.collect(),
        ..section(
            "flapping",
            "Flapping",
            &[
                "Resources whose verdicts changed between good and bad at least twice in this period.",
            ],
        )
    }
}

fn failed(report: &Report) -> Section {
    let mut failed = Section {
        columns: columns([
            "opened",
            "verdict",
            "resource",
            "failed checks",
            "kind of fault",
            "reason",
            "validation",
        ]),
        rows: report.failed.listed.iter().map(bad_news).collect(),
        ..section(
            "failed",
            "All verdicts against a backup",
            &[
                "Newest first: wrong data, restores that failed because of the backup, copies that failed.",
            ],
        )
    };
    cut(&report.failed, &mut failed.says);
    failed
}

fn bad_news(one: &BadNews) -> Row {
    Row {
        detail: opened_bad_news(one),
        ..row([
            Cell::moment(Some(one.record.opened_time)),
            Cell::verdict(one.record.verdict),
            source(one),
            Cell::maybe(filled(&one.failed_checks.join(", ")).as_deref()),
            Cell::maybe(one.record.fault_class.as_deref()),
            Cell::text(&one.record.verdict_reason),
            Cell::text(&one.record.validation_id),
        ])
    }
}

/// What was backed up; a copy that failed may name its recovery point alone.
fn source(one: &BadNews) -> Cell {
    let named = one.source_resource_arn.as_deref();
    Cell::arn(Some(named.unwrap_or(&one.record.recovery_point_arn)))
}

fn opened_bad_news(one: &BadNews) -> Vec<(String, String)> {
    opened(
        &one.record,
        one.source_account.as_deref(),
        one.resource_type.as_deref(),
        [("copy job", one.copy_job_id.clone())],
    )
}

fn untold(report: &Report) -> Section {
    let rows = report.untold.iter().map(|one| Row {
        detail: vec![
            (
                "newest validation".to_owned(),
                one.newest_validation_id.clone(),
            ),
            ("its record".to_owned(), one.newest_record_key.clone()),
            ("opened at".to_owned(), one.newest.to_string()),
        ],
        ..row([
            Cell::verdict(one.verdict),
            Cell::maybe(one.fault_class.as_deref()),
            Cell::maybe(one.resource_type.as_deref()),
            Cell::number(one.validations),
            Cell::number(one.resources),
            Cell::text(&one.newest_reason),
        ])
    });
    Section {
        columns: columns([
            "verdict",
            "kind of fault",
            "type",
            "#validations",
            "#resources",
            "newest reason",
        ]),
        rows: rows.collect(),
        ..section(
            "untold",
            "Inconclusive, unchecked or not tested",
            &["Verdicts that speak neither for nor against the backup, by kind."],
        )
    }
}

fn trend(report: &Report) -> Section {
    let mut trend = section("trend", "Trend", &[]);
    let Some(before) = &report.before else {
        trend
            .says
            .push("The period before has no records: there is nothing to compare with.".to_owned());
        return trend;
    };
    trend.says.push(format!(
        "Against the {} before, {} to {}.",
        counted(before.period.days().into(), "day"),
        before.period.from,
        before.period.to
    ));
    if !before.complete {
        trend
            .says
            .push("Its records do not reach back to its first day: compare with care.".to_owned());
    }
    let (now, then) = (&report.totals, &before.totals);
    let count = |name: &str, of: fn(&Totals) -> u64, good: Option<bool>| {
        let (now, then) = (of(now), of(then));
        let change = now as f64 - then as f64;
        row([
            Cell::text(name),
            Cell::number(now),
            Cell::number(then),
            Cell::text(format!("{change:+}"))
                .sorted_by(Some(change))
                .of(better(change, good)),
        ])
    };
    let measure = |name: &str, of: fn(&Totals) -> Option<f64>, words: fn(f64) -> String, good| {
        let cell = |value: Option<f64>| Cell {
            sort: value,
            ..Cell::text(value.map_or(NOTHING.to_owned(), words))
        };
        let change = of(now).zip(of(then)).map(|(now, then)| now - then);
        let words = change.map(|change| {
            let sign = if change < 0.0 { "−" } else { "+" };
            format!("{sign}{}", words(change.abs()))
        });
        row([
            Cell::text(name),
            cell(of(now)),
            cell(of(then)),
            Cell::maybe(words.as_deref())
                .sorted_by(change)
                .of(better(change.unwrap_or_default(), Some(good))),
        ])
    };
    trend.columns = columns(["measure", "#this period", "#before", "#change"]);
    trend.rows = vec![
        count("recovery points", |t| t.recovery_points, None),
        count("resources", |t| t.resources, None),
        count("restored and passed", |t| t.proved, Some(true)),
        count("failed", |t| t.failed, Some(false)),
        count("restore failed", |t| t.restore_failed, Some(false)),
        count("copy failed", |t| t.copy_failed, Some(false)),
        count("inconclusive", |t| t.inconclusive, Some(false)),
        measure("success rate", |t| t.success_rate, percent, true),
        measure(
            "average recovery time",
            |t| t.average_recovery_time,
            span,
            false,
        ),
        count(
            "recovery time targets missed",
            |t| t.recovery_time_missed,
            Some(false),
        ),
        count(
            "data age targets missed",
            |t| t.data_age_missed,
            Some(false),
        ),
    ];
    trend
}

/// Whether a change is for the better; `good` says whether more is better.
fn better(change: f64, good: Option<bool>) -> Tone {
    match good {
        Some(more) if change != 0.0 => {
            if (change > 0.0) == more {
                Tone::Good
            } else {
                Tone::Bad
            }
        }
        Some(_) | None => Tone::Plain,
    }
}

fn copy_failures(report: &Report) -> Section {
    let rows = report.copy_failures.listed.iter().map(|one| Row {
        detail: opened_bad_news(one),
        ..row([
            Cell::moment(Some(one.record.opened_time)),
            Cell::maybe(one.resource_type.as_deref()),
            source(one),
            Cell::maybe(one.copy_job_id.as_deref()),
            Cell::text(&one.record.verdict_reason),
        ])
    });
    let mut failures = Section {
        columns: columns(["opened", "type", "source", "copy job", "reason"]),
        rows: rows.collect(),
        ..section(
            "copies",
            "Copies that failed",
            &[
                "Only an event of the copy job tells of them; where source accounts do not forward those, none are known.",
            ],
        )
    };
    cut(&report.copy_failures, &mut failures.says);
    failures
}

fn left_behind(report: &Report) -> Section {
    let rows = report.left_behind.listed.iter().map(|one: &Left| {
        let record = &one.record;
        let what = record.restored_resource_arn.as_deref();
        let is_left = record.cleanup == "left_behind";
        let tone = if is_left { Tone::Bad } else { Tone::Open };
        Row {
            detail: opened(
                record,
                one.source_account.as_deref(),
                one.resource_type.as_deref(),
                [("backup of", one.source_resource_arn.clone())],
            ),
            ..row([
                Cell::moment(Some(record.opened_time)),
                Cell::text(&record.cleanup).of(tone),
                Cell::maybe(one.resource_type.as_deref()),
                Cell::arn(what.or(one.restored_instance_id.as_deref())),
                Cell::maybe(record.restore_job_id.as_deref()),
                Cell::moment(one.kept_until),
                Cell::maybe(record.cleanup_reason.as_deref()),
            ])
        }
    });
    let mut left = Section {
        columns: columns([
            "opened",
            "cleanup",
            "type",
            "what",
            "restore job",
            "kept until",
            "reason",
        ]),
        rows: rows.collect(),
        ..section(
            "left-behind",
            "Left behind",
            &[
                "What was restored and is not known to be deleted, oldest first, from whatever day. Each costs money every hour, and holds production data.",
            ],
        )
    };
    cut(&report.left_behind, &mut left.says);
    left
}

fn cost(report: &Report) -> Section {
    let cost = &report.cost;
    let money = |estimate: f64| format!("{estimate:.2} {}", cost.currency);
    let rows = report.usage.iter().map(|one| {
        row([
            Cell::text(one.what.replace('_', " ")),
            Cell::maybe(one.resource_type.as_deref()),
            Cell::maybe(one.restored_class.as_deref()),
            Cell::number(one.times),
            if one.unit == "minutes" {
                Cell::minutes(Some(one.amount))
            } else {
                Cell::text(format!("{} {}", one.amount, one.unit)).sorted_by(Some(one.amount))
            },
            Cell::maybe(one.estimate.map(money).as_deref()).sorted_by(one.estimate),
        ])
    });
    let mut says = vec![format!(
        "An estimate: {} in this period, by {} of {}.",
        money(cost.estimate),
        cost.basis,
        cost.prices_of
    )];
    if cost.without_price > 0 {
        says.push(format!(
            "{} in the table {} no price here and {} not in it.",
            counted(cost.without_price, "line"),
            if cost.without_price == 1 {
                "has"
            } else {
                "have"
            },
            if cost.without_price == 1 { "is" } else { "are" },
        ));
    }
    Section {
        columns: columns(["what", "type", "class", "#times", "#amount", "#estimate"]),
        rows: rows.collect(),
        says,
        ..section("cost", "Cost", &[])
    }
}

fn days(report: &Report) -> Section {
    let rows = report.days.iter().map(|day| {
        let of = |verdict: Verdict| day.verdicts.get(verdict.as_str()).copied().unwrap_or(0);
        row([
            Cell::text(day.day.to_string()),
            Cell::number(of(Verdict::Passed)),
            Cell::trouble(of(Verdict::Failed), Tone::Bad),
            Cell::trouble(of(Verdict::RestoreFailed), Tone::Bad),
            Cell::trouble(of(Verdict::CopyFailed), Tone::Bad),
            Cell::trouble(of(Verdict::Inconclusive), Tone::Open),
            Cell::trouble(of(Verdict::Unchecked), Tone::Open),
            Cell::number(of(Verdict::NotTested)),
            Cell::minutes(day.median),
            Cell::minutes(day.longest),
        ])
    });
    Section {
        columns: columns([
            "day",
            "#passed",
            "#failed",
            "#restore failed",
            "#copy failed",
            "#inconclusive",
            "#unchecked",
            "#not tested",
            "#median recovery",
            "#worst recovery",
        ]),
        rows: rows.collect(),
        is_appendix: true,
        ..section(
            "days",
            "Day by day",
            &["The days on which validations were opened."],
        )
    }
}

fn read(report: &Report) -> Section {
    let read = &report.read;
    let day =
        |day: Option<jiff::civil::Date>| day.map_or(NOTHING.to_owned(), |day| day.to_string());
    // Numbers, days and words: all are sorted as words.
    let fact = |name: &str, value: Cell| row([Cell::text(name), value.sorted_by(None)]);
    let mut rows = vec![
        fact("records read", Cell::number(read.records)),
        fact("oldest record of", Cell::text(day(read.oldest))),
        fact(
            "looked for records from",
            Cell::text(match read.looked_from {
                Some(from) => from.to_string(),
                None => "the beginning".to_owned(),
            }),
        ),
        fact("records of later days, left out", Cell::number(read.later)),
        fact(
            "records that name no resource",
            Cell::number(read.without_resource),
        ),
        fact(
            "lines that are no record",
            Cell::trouble(read.unreadable, Tone::Bad),
        ),
    ];
    rows.extend(
        read.unreadable_places
            .iter()
            .map(|place| fact("no record", Cell::text(place))),
    );
    Section {
        columns: columns(["fact", "value"]),
        rows,
        is_appendix: true,
        ..section(
            "read",
            "What was read",
            &[
                "Days and times are UTC. A record belongs to the day on which its validation was opened. Percentiles are by nearest rank on all values.",
            ],
        )
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Passed => Tone::Good,
        Verdict::Failed | Verdict::RestoreFailed | Verdict::CopyFailed => Tone::Bad,
        Verdict::Inconclusive | Verdict::Unchecked => Tone::Open,
        Verdict::NotTested => Tone::Plain,
    }
}

/// Minutes for people: `42 s`, `7.5 min`, `3.2 h`, `4.0 days`.
pub(super) fn span(minutes: f64) -> String {
    let size = minutes.abs();
    if size < 1.0 {
        format!("{:.0} s", minutes * 60.0)
    } else if size < 90.0 {
        format!("{minutes:.1} min")
    } else if size < 48.0 * 60.0 {
        format!("{:.1} h", minutes / 60.0)
    } else if size < 1e9 {
        format!("{:.1} days", minutes / 60.0 / 24.0)
    } else {
        format!("{minutes:.1e} min")
    }
}

fn percent(share: f64) -> String {
    // 100 % is said of all alone.
    let rounded = if share < 100.0 {
        share.min(99.9)
    } else {
        share
    };
    format!("{rounded:.1} %")
}

fn to_the_minute(at: Moment) -> String {
    let text = at.to_string();
    text.get(..16).unwrap_or(&text).to_owned()
}

fn counted(number: u64, what: &str) -> String {
    crate::words::count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_told_in_a_fitting_unit() {
        for (minutes, words) in [
            (0.0, "0 s"),
            (0.7, "42 s"),
            (7.46, "7.5 min"),
            (192.0, "3.2 h"),
            (5760.0, "4.0 days"),
            (-3.0, "-3.0 min"),
            (1e300, "1.0e300 min"),
        ] {
            assert_eq!(span(minutes), words);
        }
    }

    #[test]
    fn only_all_are_a_hundred_percent() {
        assert_eq!(percent(99.999), "99.9 %");
        assert_eq!(percent(100.0), "100.0 %");
    }

    #[test]
    fn an_arn_is_its_head_and_its_name() {
        let whole = "arn:aws:rds:eu-central-1:222233334444:db:orders";
        let cell = Cell::arn(Some(whole));
        assert_eq!(
            (cell.text.as_str(), cell.full().as_str()),
            ("db:orders", whole)
        );
        for odd in ["", "arn:", "arn:rds:orders", "arn:a:b:c:d:", "crm ü 🦀"] {
            assert_eq!(Cell::arn(Some(odd)).full(), odd);
        }
    }
}
