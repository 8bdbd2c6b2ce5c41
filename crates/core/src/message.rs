//! The message people get: a subject and a body that is read at a glance; beside it the form for chats and the event for
//! programs. All are made of one record, under the message's ceiling.

pub mod chat;
pub mod event;
mod report;
mod standing;

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use chat::Chat;
use event::About;

use crate::ceiling::Ceiling;
use crate::check;
use crate::expectation::CheckOutcome;
use crate::policy::{Notify, readable_duration};
use crate::record::Record;
use crate::runbook::{command, command_for_all};
use crate::validation::{Cleanup, Validation};
use crate::verdict::{FaultClass, Verdict};

pub use report::{of_report, of_report_not_made};
pub use standing::{REMIND_AFTER, Standing, Weighed};

/// The longest message SNS takes, bytes, with its attributes and with all forms together (SNS `Publish`).
pub const LONGEST_MESSAGE: usize = 262_144;
/// The longest subject SNS takes is 100 characters, exclusive (SNS `Publish`).
const LONGEST_SUBJECT: usize = 99;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// ASCII in one line, under 100 characters.
    pub subject: String,
    /// The text. It is cut where all forms together are too long.
    pub body: String,
    /// The form for chats.
    pub chat: Chat,
    /// The form for programs; none if it is about no validation.
    pub event: Option<Event>,
    /// For subscription filters.
    pub attributes: BTreeMap<&'static str, String>,
    /// Whether somebody must look at once: a backup is bad, or something of ours is left or unknown. It goes to the topic of
    /// what is urgent.
    pub is_urgent: bool,
}

impl Message {
    /// The text of a `Publish` whose `MessageStructure` is `json`: for each protocol of subscriptions what it gets, and
    /// `default` for all others (SNS `Publish`). Amazon Q subscribes by https (`global.sns-api.chatbot.amazonaws.com`), and
    /// drops what is in no form of its own; the stack's queue of events by sqs.
    pub fn published(&self) -> String {
        let mut forms = serde_json::Map::new();
        forms.insert("https".to_owned(), self.chat.json().to_string().into());
        if let Some(event) = &self.event {
            forms.insert("sqs".to_owned(), event.text.clone().into());
        }
        forms.insert("default".to_owned(), "".into());
        let rest = json!(forms).to_string().len() + size_of_attributes(&self.attributes);
        let body = cut(&self.body, LONGEST_MESSAGE.saturating_sub(rest));
        forms.insert("default".to_owned(), body.into());
        json!(forms).to_string()
    }
}

/// An event for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// A JSON object, the `record` of [`event::schema`].
    pub text: String,
    /// For subscription filters.
    pub attributes: BTreeMap<&'static str, String>,
}

impl Event {
    /// The event about a verdict, for those of which people do not hear, too.
    pub fn of_verdict(record: &Record, records_uri: &str) -> Event {
        Event::of(About::Verdict, "verdict", record, records_uri)
    }

    fn of(about: About, kind: &'static str, record: &Record, records_uri: &str) -> Event {
        Event {
            text: event::of(about, record, records_uri).to_string(),
            attributes: attributes(record, kind),
        }
    }
}

/// A recovery point that was restored, and whose checks all passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedPoint {
    /// Its ARN.
    pub arn: String,
    /// When the data was backed up.
    pub created_at: Timestamp,
    /// When it had passed.
    pub proved_at: Timestamp,
    /// The key of its record in the results bucket; none if an older version proved it.
    pub record_key: Option<String>,
}

/// The newest recovery point of a resource that was restored and passed, and where its runbook is; the error says why that
/// cannot be told.
pub type Proved = Result<Option<(ProvedPoint, Runbook)>, String>;

/// Where the runbook of a proven restore is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runbook {
    /// In the results bucket.
    Written {
        /// `s3://bucket/key`.
        uri: String,
        /// Where the console shows it, if the partition's is known.
        console: Option<String>,
    },
    /// It is to be made.
    ToBeMade {
        /// Why it could not be written, as the end of a sentence.
        why: String,
        /// The command that makes it.
        command: String,
    },
}

/// What people need first of bad news, in one line each.
struct Opening {
    /// Is the backup bad, or could we not tell; and whose move it is.
    backup: &'static str,
    /// What to do now.
    to_do: &'static str,
}

impl Opening {
    /// Of a verdict; none where it is no bad news.
    fn of(validation: &Validation, record: &Record) -> Option<Opening> {
        let opening = |backup, to_do| Some(Opening { backup, to_do });
        match validation.verdict? {
            Verdict::Passed if missed_objective(validation) => opening(
                "The backup is good; an objective was missed. The owner of the resource decides what follows.",
                "Compare the recovery time and the data's age below with their targets: change the backup plan, the class \
                 to restore on, or the target.",
            ),
            Verdict::Passed | Verdict::NotTested => None,
            Verdict::Failed if any_looked_into_data(record, CheckOutcome::Failed) => opening(
                "The backup is bad: it restores, and its data is wrong. The owner of the resource must act.",
                "Do not rely on this recovery point. Compare the failed checks with the source; if the data is right, \
                 correct the check in the policy.",
            ),
            Verdict::Failed => opening(
                "The backup is bad: it restores, and does not answer as it should. The owner of the resource must act.",
                "Do not rely on this recovery point. Compare the failed checks with the source; if it answers so too, \
                 correct the check in the policy.",
            ),
            Verdict::RestoreFailed => {
                let class = validation.fault_class.unwrap_or(FaultClass::Backup);
                Some(Opening::of_fault(class))
            }
            Verdict::CopyFailed => opening(
                "The copy is bad: there is none, or a part of one. The source may be good. Whoever runs the backup plan \
                 must act.",
                "Remove the cause that AWS names below, and copy the source's recovery point again.",
            ),
            Verdict::Unchecked => opening(
                "We could not tell whether the data is good: it restores, and nothing was checked. The policy's author \
                 must act.",
                "Give the rule checks.",
            ),
            Verdict::Inconclusive => Some(Opening::of_inconclusive(validation)),
        }
    }

    fn of_inconclusive(validation: &Validation) -> Opening {
        if let Some(class) = validation.fault_class {
            return Opening::of_fault(class);
        }
        let mut checks = validation.checks.iter();
        let (backup, to_do) = if validation.replan {
            (
                "We could not tell whether the backup is good: the policy cannot be used. The policy's author must act.",
                "Correct the policy with `restore-proof policy check` and upload it; this copy is then planned again by \
                 itself.",
            )
        } else if checks.any(|check| check.outcome == CheckOutcome::Errored) {
            (
                "We could not tell whether the backup is good: it restores, and checks could not tell. The policy's author \
                 must act.",
                "Correct what the errored checks name below, such as login, query or timeout; then validate it again.",
            )
        } else {
            (
                "We could not tell whether the backup is good. Whoever runs Restore Proof must act.",
                "Remove the cause named below, then validate it again.",
            )
        };
        Opening { backup, to_do }
    }

    /// Of a fault that kept the restore from being made.
    fn of_fault(class: FaultClass) -> Opening {
        let (backup, to_do) = match class {
            FaultClass::Account => (
                "We could not tell whether the backup is good: the AWS account refuses. Whoever administers this account \
                 must act.",
                "Look at the account's state, and at the types and Regions it has opted in to; then validate it again.",
            ),
            FaultClass::Permission => (
                "We could not tell whether the backup is good: a permission is missing. Whoever administers roles and keys \
                 of this account must act.",
                "Give the restore role the permission that AWS names below, on the key as well; then validate it again.",
            ),
            FaultClass::Quota => (
                "We could not tell whether the backup is good: a quota of the account is used up. Whoever administers this \
                 account must act.",
                "Ask AWS for a higher quota, or let fewer restores run at one time; then validate it again.",
            ),
            FaultClass::Capacity => (
                "We could not tell whether the backup is good: AWS had no capacity for the restore. Nobody need act unless \
                 it goes on.",
                "Validate it again later. If it goes on, name a more common class in the rule, or another zone.",
            ),
            FaultClass::Request => (
                "We could not tell whether the backup is good: AWS refuses the restore as it was asked for. The policy's \
                 author must act.",
                "Correct the rule's overrides as AWS says below; without any, report it to the authors of Restore Proof.",
            ),
            FaultClass::Network => (
                "We could not tell whether the backup is good: the network it is restored into does not fit. Whoever runs \
                 Restore Proof must act.",
                "Correct the subnets, groups or endpoints that AWS names below; then validate it again.",
            ),
            FaultClass::Licence => (
                "We could not tell whether the backup is good: the restore lacks a licence. The owner of the resource must \
                 act.",
                "Grant this account the licence, or accept the product's terms here; then validate it again.",
            ),
            FaultClass::Backup => (
                "The backup is bad: AWS Backup cannot restore it. The owner of the resource must act.",
                "Make a new backup and a new copy now, and have it validated. Ask AWS Support about this one, with AWS's \
                 words below.",
            ),
            FaultClass::Key => (
                "The copy is lost unless its key comes back: nobody can restore it. Whoever administers the keys of this \
                 account must act at once.",
                "Cancel the key's deletion or enable it again, and find out who did it: ransomware does, too. A key that is \
                 deleted cannot come back; then make a new backup and copy now.",
            ),
            FaultClass::Unknown => (
                "We could not tell whether the backup is good: AWS's words are not among those we know. Whoever runs Restore \
                 Proof must act.",
                "Read AWS's words below. If they speak against the backup, make a new one now; else validate it again.",
            ),
        };
        Opening { backup, to_do }
    }

    /// The four lines.
    fn lines(&self, proved: &LastProved) -> String {
        let arn = proved.arn.as_ref();
        let arn = arn.map_or_else(String::new, |arn| format!(": {}", one_line(arn)));
        format!(
            "BACKUP: {}\nLAST PROVED: {}{arn}\nDO NOW: {}\nRUNBOOK: {}\n",
            self.backup,
            proved.words,
            self.to_do,
            proved.runbook.text()
        )
    }

    /// The same in a chat.
    fn in_chat(&self, proved: &LastProved, chat: Chat) -> Chat {
        let words = format!("LAST PROVED: {}", proved.words);
        let chat = chat.line(&format!("BACKUP: {}", self.backup));
        let chat = match &proved.arn {
            Some(arn) => chat.line_with(&words, arn),
            None => chat.line(&words),
        };
        proved.runbook.in_chat(chat).next_step(self.to_do)
    }
}

/// The newest recovery point that was restored and passed, in words.
struct LastProved {
    words: String,
    arn: Option<String>,
    runbook: HowTo,
}

impl LastProved {
    /// `function` is whose stack it is of, for the command that makes the runbook.
    fn of(proved: &Proved, record: &Record, function: &str) -> LastProved {
        let (words, arn) = match proved {
            Ok(Some((point, _))) => {
                let words = format!(
                    "the recovery point of {} UTC, restored and passed on {} UTC{}",
                    readable_time(point.created_at),
                    readable_time(point.proved_at),
                    if point.arn == record.recovery_point_arn {
                        ", this one"
                    } else {
                        ""
                    },
                );
                (words, Some(point.arn.clone()))
            }
            Ok(None) => {
                let words =
                    "none is known: no recovery point of this resource was restored and passed";
                (words.to_owned(), None)
            }
            Err(why) => (
                format!("it could not be looked up: {}", one_line(why)),
                None,
            ),
        };
        LastProved {
            words,
            arn,
            runbook: HowTo::of(proved, record, function),
        }
    }

    /// Of news that is about no single resource.
    fn of_no_resource(function: &str) -> LastProved {
        LastProved {
            words: NO_RESOURCE.to_owned(),
            arn: None,
            runbook: HowTo {
                words: NO_RUNBOOK.to_owned(),
                copy: Some(one_line(&command_for_all(function))),
                link: None,
            },
        }
    }
}

/// How to restore by hand what was proved last, in one line.
struct HowTo {
    words: String,
    /// What to copy: the runbook's place, or the command that makes it.
    copy: Option<String>,
    /// Where a browser shows it.
    link: Option<String>,
}

impl HowTo {
    fn of(proved: &Proved, record: &Record, function: &str) -> HowTo {
        let of_resource = record.source_resource_arn.as_deref();
        let any = of_resource.map_or_else(
            || command_for_all(function),
            |arn| command(Some(function), None, arn),
        );
        let (words, copy, link) = match proved {
            Ok(Some((_, Runbook::Written { uri, console }))) => (
                "how that restore is done by hand".to_owned(),
                Some(uri.as_str()),
                console.as_deref(),
            ),
            Ok(Some((_, Runbook::ToBeMade { why, command }))) => (
                format!("it could not be written: {}. Make it with", one_line(why)),
                Some(command.as_str()),
                None,
            ),
            Ok(None) => {
                let words = "there is none, since no restore of this resource has passed";
                (words.to_owned(), None, None)
            }
            Err(_) => {
                let words = "if a restore has passed, make it with";
                (words.to_owned(), Some(any.as_str()), None)
            }
        };
        HowTo {
            words,
            copy: copy.map(one_line),
            link: link.map(one_line),
        }
    }

    fn text(&self) -> String {
        let copy = self.copy.as_ref();
        let copy = copy.map_or_else(String::new, |copy| format!(": {copy}"));
        let link = self.link.as_ref();
        let link = link.map_or_else(String::new, |link| format!(" {link}"));
        format!("{}{copy}{link}", self.words)
    }

    /// The same in a chat. What a chat quotes is no link.
    fn in_chat(&self, chat: Chat) -> Chat {
        let words = format!("RUNBOOK: {}", self.words);
        match &self.copy {
            Some(copy) => chat.line_with(&words, copy),
            None => chat.line(&words),
        }
    }
}

/// Whether the message about the verdict is bad news, and says which recovery point was proved last.
pub fn is_bad_news(validation: &Validation) -> bool {
    Record::of(validation, Ceiling::None)
        .is_some_and(|record| Opening::of(validation, &record).is_some())
}

/// Whether the verdict speaks against a backup or a copy, or the key of one is gone.
fn is_urgent(validation: &Validation) -> bool {
    match validation.verdict {
        Some(Verdict::Failed | Verdict::RestoreFailed | Verdict::CopyFailed) => true,
        Some(Verdict::Passed | Verdict::Inconclusive | Verdict::Unchecked | Verdict::NotTested)
        | None => validation.fault_class == Some(FaultClass::Key),
    }
}

/// Whether people are to hear of the verdict. What the policy chose not to test is in the records alone: it would
/// drown the rest.
pub fn is_wanted(validation: &Validation) -> bool {
    let notify = validation
        .rule
        .as_ref()
        .map_or(Notify::Always, |rule| rule.notify);
    match (validation.verdict, notify) {
        (None | Some(Verdict::NotTested), _) | (_, Notify::Never) => false,
        (_, Notify::Always) => true,
        (Some(verdict), Notify::Problems) => {
            verdict != Verdict::Passed || missed_objective(validation)
        }
        // What could not be weighed is told: once too often is better than never.
        (Some(_), Notify::Changes) => validation.tells_change.unwrap_or(true),
    }
}

fn missed_objective(validation: &Validation) -> bool {
    Record::of(validation, Ceiling::None).is_some_and(|record| {
        [record.recovery_time_objective, record.data_age_objective].contains(&Some("missed"))
    })
}

/// The message about the verdict. `proved` is told if it is bad news, with the runbook of the stack whose function is called
/// so.
pub fn of_verdict(
    validation: &Validation,
    record: &Record,
    records_uri: &str,
    proved: &Proved,
    function: &str,
) -> Message {
    let word = match validation.verdict {
        Some(Verdict::Passed) => "PASSED",
        Some(Verdict::Failed) => "FAILED",
        Some(Verdict::Inconclusive) => "INCONCLUSIVE",
        Some(Verdict::Unchecked) => "UNCHECKED",
        Some(Verdict::RestoreFailed) => "RESTORE FAILED",
        Some(Verdict::CopyFailed) => "COPY FAILED",
        Some(Verdict::NotTested) | None => "NOT TESTED",
    };
    let source = source_name(record);
    let about = match validation.verdict {
        Some(Verdict::Passed) if missed_objective(validation) => {
            format!("backup of {source} is good, objective missed")
        }
        Some(Verdict::Passed) if any_looked_into_data(record, CheckOutcome::Passed) => {
            format!("backup of {source} restores and holds its data")
        }
        Some(Verdict::Passed) => format!("backup of {source} restores and answers as it should"),
        Some(Verdict::Failed) if any_looked_into_data(record, CheckOutcome::Failed) => {
            format!("backup of {source} restores with wrong data")
        }
        Some(Verdict::Failed) => {
            format!("backup of {source} restores but does not answer as it should")
        }
        Some(Verdict::Inconclusive) => format!("backup of {source} could not be judged"),
        Some(Verdict::Unchecked) => format!("backup of {source} restores, nothing checked"),
        Some(Verdict::RestoreFailed) => format!("backup of {source} does not restore"),
        Some(Verdict::CopyFailed) => format!("backup of {source} was not copied"),
        Some(Verdict::NotTested) | None => format!("backup of {source}"),
    };
    let subject = subject(&format!("{word}: {about}"));
    let headline = format!("{word}: {}", one_line(&record.verdict_reason));
    let mut chat = chat_about(record, "verdict", &subject).line(&headline);
    let mut text = String::new();
    if let Some(opening) = Opening::of(validation, record) {
        let proved = LastProved::of(proved, record, function);
        chat = opening.in_chat(&proved, chat);
        text = format!("{}\n", opening.lines(&proved));
    }
    Message {
        chat: with_facts(chat, record, records_uri),
        subject,
        body: body(record, &format!("{text}{headline}"), records_uri),
        event: Some(Event::of_verdict(record, records_uri)),
        attributes: attributes(record, "verdict"),
        is_urgent: is_urgent(validation),
    }
}

/// The beginning of a chat's message about a validation. It belongs to the thread of the backed-up resource.
fn chat_about(record: &Record, kind: &'static str, title: &str) -> Chat {
    let source = record.source_resource_arn.as_deref();
    let about = source.unwrap_or(&record.recovery_point_arn);
    let id = format!("{}-{}-{kind}", record.validation_id, record.attempt);
    Chat::new(kind, title, about)
        .id(id)
        .keyword(Some(record.verdict))
        .keyword(record.resource_type.as_deref())
        .keyword(record.policy_rule.as_deref())
        .resource(source)
        .resource(record.restored_resource_arn.as_deref())
}

/// Adds what the text says below its headline; of the checks those that did not pass.
fn with_facts(mut chat: Chat, record: &Record, records_uri: &str) -> Chat {
    for (name, value) in facts(record) {
        chat = chat.line_with(name, &value);
    }
    for check in &record.checks {
        if check.outcome != CheckOutcome::Passed.as_str() {
            let (outcome, name) = (check.outcome, &check.name);
            chat = chat.line_with(&format!("check {outcome}, {name}"), &check.detail);
        }
    }
    chat.line_with("record", records_uri)
}

/// In place of the recovery point that was proved last.
const NO_RESOURCE: &str = "this is about no single resource";

/// In place of the runbook of a resource.
const NO_RUNBOOK: &str = "those of all resources whose restores have passed";

/// Whether one of the checks with this outcome read data: a machine that answers wrongly may well hold its data.
fn any_looked_into_data(record: &Record, outcome: CheckOutcome) -> bool {
    let mut checks = record.checks.iter();
    checks.any(|check| check::reads_data(&check.kind) && check.outcome == outcome.as_str())
}

/// The message about a resource that was left behind, with what was proved last as [`of_verdict`] tells it.
pub fn of_left_behind(
    record: &Record,
    records_uri: &str,
    proved: &Proved,
    function: &str,
) -> Message {
    let name = record
        .restored_instance_id
        .as_deref()
        .unwrap_or("a restored resource");
    let reason = record
        .cleanup_reason
        .as_deref()
        .unwrap_or("the reason is not known");
    let opening = Opening {
        backup: "This says nothing against the backup: what was restored is not all deleted. Whoever runs Restore Proof must \
                 act.",
        to_do: "Delete by hand what is named below, or remove what keeps it from being deleted.",
    };
    let proved = LastProved::of(proved, record, function);
    // Of a machine, volumes alone may be left.
    let headline = format!("LEFT BEHIND: not all of {name} was deleted: {reason}");
    let why = "What is left costs money and holds production data. Deletion is tried again daily.";
    let subject = subject(&format!(
        "LEFT BEHIND: not all of {name} was deleted, a restore of {}",
        source_name(record)
    ));
    let chat = chat_about(record, "left_behind", &subject).line(&headline);
    let chat = opening.in_chat(&proved, chat.line(why));
    let text = format!("{}\n{headline}\n{why}", opening.lines(&proved));
    Message {
        chat: with_facts(chat, record, records_uri),
        subject,
        body: body(record, &text, records_uri),
        event: Some(Event::of(
            About::Cleanup,
            "left_behind",
            record,
            records_uri,
        )),
        attributes: attributes(record, "left_behind"),
        is_urgent: true,
    }
}

/// The message about something in the isolated network that no open validation accounts for. `function` is that of the stack.
pub fn of_unknown_resource(
    arn: &str,
    resource_type: &str,
    created: &str,
    reason: &str,
    function: &str,
) -> Message {
    let name = arn.parse().map_or_else(
        |_| arn.to_owned(),
        |arn: crate::arn::Arn| arn.name().to_owned(),
    );
    let headline = format!(
        "UNKNOWN: {} lies in the isolated network: {}",
        one_line(arn),
        one_line(reason)
    );
    let opening = Opening {
        backup: "This says nothing about any backup. Whoever made the resource must act.",
        to_do: "Find out who made it, and have it deleted: Restore Proof never touches it.",
    };
    let proved = LastProved::of_no_resource(function);
    let why = format!(
        "It was created at {created}. It costs money, and if it was restored it holds production data. Restore Proof does \
         not touch it: whoever made it must delete it."
    );
    let subject = subject(&format!("UNKNOWN: {name} lies in the isolated network"));
    let chat = Chat::new("unknown_resource", &subject, arn)
        .line(&headline)
        .line(&why)
        .line_with("resource", arn)
        .keyword(Some(resource_type))
        .resource(Some(arn));
    Message {
        chat: opening.in_chat(&proved, chat),
        event: None,
        subject,
        body: format!("{}\n{headline}\n\n{why}\n", opening.lines(&proved)),
        attributes: BTreeMap::from([
            ("kind", "unknown_resource".to_owned()),
            ("resource_type", resource_type.to_owned()),
        ]),
        is_urgent: true,
    }
}

/// The message about a vault that cannot be read, or whose recovery points nobody validates. `what` ends the sentence
/// that begins with the vault's name; `function` is that of the stack.
pub fn of_vault(vault: &str, what: &str, to_do: &str, function: &str) -> Message {
    let headline = format!("VAULT: {} {}", one_line(vault), one_line(what));
    let opening = Opening {
        backup: "We cannot tell whether the backups of this vault are good: none is validated. Whoever runs the backups, or \
                 Restore Proof, must act.",
        to_do: "Do what stands at the end of this message.",
    };
    let proved = LastProved::of_no_resource(function);
    let subject = subject(&format!("VAULT: {vault} {what}"));
    let about = format!("vault {vault}");
    let chat = Chat::new("vault", &subject, &about).line(&headline);
    Message {
        chat: opening.in_chat(&proved, chat).line(to_do),
        event: None,
        subject,
        body: format!("{}\n{headline}\n\n{to_do}\n", opening.lines(&proved)),
        attributes: BTreeMap::from([("kind", "vault".to_owned())]),
        is_urgent: true,
    }
}

fn source_name(record: &Record) -> String {
    let arn = record
        .source_resource_arn
        .as_deref()
        .unwrap_or(&record.recovery_point_arn);
    arn.parse().map_or_else(
        |_| arn.to_owned(),
        |arn: crate::arn::Arn| arn.name().to_owned(),
    )
}

fn subject(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .take(LONGEST_SUBJECT)
        .collect()
}

/// As much of a text as fits into so many bytes of JSON.
fn cut(text: &str, most: usize) -> String {
    const CUT: &str = "\n… cut: too long for a message; the record has it all\n";
    let in_json = |text: &str| text.chars().map(size_in_json).sum::<usize>();
    if in_json(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(in_json(CUT));
    let fits = |c: &char| {
        let rest = left.checked_sub(size_in_json(*c));
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let mut body: String = text.chars().take_while(fits).collect();
    body.push_str(CUT);
    body
}

/// The bytes of a character in a JSON string, as serde_json writes it.
fn size_in_json(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

/// What SNS counts of attributes: names, types and values.
fn size_of_attributes(attributes: &BTreeMap<&'static str, String>) -> usize {
    let sizes = attributes.iter();
    sizes
        .map(|(name, value)| name.len() + "String".len() + value.len())
        .sum()
}

fn attributes(record: &Record, kind: &str) -> BTreeMap<&'static str, String> {
    let given = [
        ("kind", Some(kind.to_owned())),
        ("verdict", Some(record.verdict.to_owned())),
        (
            "recovery_time_objective",
            record.recovery_time_objective.map(str::to_owned),
        ),
        (
            "data_age_objective",
            record.data_age_objective.map(str::to_owned),
        ),
        ("cleanup", Some(record.cleanup.to_owned())),
        ("resource_type", record.resource_type.clone()),
        ("rule", record.policy_rule.clone()),
        ("source_account", record.source_account.clone()),
    ];
    // SNS refuses empty attribute values.
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect()
}

/// What is known of a validation beside its checks, by name.
fn facts(record: &Record) -> Vec<(&'static str, String)> {
    let source = record.source_resource_arn.as_deref();
    let mut facts = vec![("source", source.unwrap_or("not known").to_owned())];
    let created = record.recovery_point_created.as_ref();
    facts.extend(created.map(|created| ("backed up", format!("{created} UTC"))));
    facts.push(("recovery point", record.recovery_point_arn.clone()));
    facts.push(("vault", record.backup_vault_name.clone()));
    if let Some(arn) = &record.restored_resource_arn {
        let class = record.restored_class.iter();
        let restored = class.fold(arn.clone(), |arn, class| format!("{arn}, {class}"));
        facts.push(("restored as", restored));
    }
    let objective = |measured: Option<f64>, target: Option<f64>, objective: Option<&str>| {
        // What was compared with a target was measured, and may not leave.
        let unseen = match objective {
            Some("met" | "missed") => "withheld",
            _ => "not measured",
        };
        let measured = measured.map_or(unseen.to_owned(), readable_minutes);
        match (target, objective) {
            (Some(target), Some(word)) => {
                format!("{measured}, target {}: {word}", readable_minutes(target))
            }
            (Some(target), None) => format!("{measured}, target {}", readable_minutes(target)),
            _ => measured,
        }
    };
    if record.restore_job_id.is_some() {
        facts.push((
            "recovery time",
            objective(
                record.recovery_time,
                record.recovery_time_target,
                record.recovery_time_objective,
            ),
        ));
        let queried = record
            .checks
            .iter()
            .any(|check| check::reads_data(&check.kind));
        if queried || record.data_age.is_some() || record.data_age_target.is_some() {
            facts.push((
                "data age",
                objective(
                    record.data_age,
                    record.data_age_target,
                    record.data_age_objective,
                ),
            ));
        }
    }
    let cleanup = match (
        &record.cleanup_reason,
        &record.kept_until,
        &record.restored_instance_id,
    ) {
        (_, Some(until), Some(name)) if record.cleanup == Cleanup::KeptUntil.as_str() => {
            format!("{name} is kept until {until} UTC")
        }
        (Some(reason), _, _) => format!("{}: {reason}", record.cleanup.replace('_', " ")),
        (None, _, Some(name)) if record.cleanup == Cleanup::Pending.as_str() => {
            format!("{name} is deleted next")
        }
        _ => record.cleanup.replace('_', " "),
    };
    facts.push(("cleanup", cleanup));
    facts
}

fn body(record: &Record, headline: &str, records_uri: &str) -> String {
    let mut out = format!("{headline}\n\n");
    for (name, value) in facts(record) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<16}{value}");
    }
    if !record.checks.is_empty() {
        out.push_str("\nchecks\n");
        for check in &record.checks {
            let mark = match check.outcome {
                "passed" => "ok     ",
                "failed" => "FAILED ",
                _ => "ERRORED",
            };
            let _ = write!(out, "  {mark}  {}: {}", check.name, one_line(&check.detail));
            if !check.expectation.is_empty() {
                let _ = write!(out, " (expected: {})", one_line(&check.expectation));
            }
            out.push('\n');
        }
    }
    if !record.findings.is_empty() {
        out.push_str("\nnoticed\n");
        for finding in &record.findings {
            let _ = writeln!(out, "  - {}", one_line(finding));
        }
    }
    out.push('\n');
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<16}{value}");
    };
    if let Some(rule) = &record.policy_rule {
        line("policy rule", rule);
    }
    line(
        "validation",
        &format!("{}, attempt {}", record.validation_id, record.attempt),
    );
    line("record", records_uri);
    out
}

/// What a restored machine had a hand in must not look like more lines of ours.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn readable_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn readable_minutes(minutes: f64) -> String {
    readable_duration(SignedDuration::from_secs((minutes * 60.0).round() as i64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::validation::{CheckResult, RestoreJob};
    use crate::verdict::of_checks;

    const MACHINE: &str = "arn:aws:ec2:eu-central-1:111122223333:instance/i-0123456789abcdef0";
    const DATABASE: &str = "arn:aws:rds:eu-central-1:111122223333:db:orders";

    fn check(name: &str, kind: &str, outcome: CheckOutcome, detail: &str) -> CheckResult {
        CheckResult {
            name: name.to_owned(),
            kind: kind.to_owned(),
            outcome,
            value: None,
            value_number: None,
            datum: None,
            is_expected: false,
            expectation: "what it should be".to_owned(),
            detail: detail.into(),
            duration_minutes: 0.1,
            age_at_backup_minutes: None,
            age_against_now_minutes: None,
            measured: Vec::new(),
            group: None,
        }
    }

    /// The message about a restore of `source` with these checks.
    fn message(source: &str, checks: Vec<CheckResult>) -> Message {
        let validation = validation(source, checks);
        let record = Record::of(&validation, Ceiling::Text).unwrap();
        of_verdict(
            &validation,
            &record,
            "s3://results/records",
            &Ok(None),
            "rp",
        )
    }

    /// A restore of `source` with these checks.
    fn validation(source: &str, checks: Vec<CheckResult>) -> Validation {
        let now = "2026-11-21T06:00:00Z".parse().unwrap();
        let vault = "arn:aws:backup:eu-central-1:111122223333:backup-vault:central";
        let mut validation =
            Validation::open("stack", "arn:aws:ec2:::image/ami-1", vault, None, now);
        validation.recovery_point.resource_arn = Some(source.to_owned());
        validation.intent = Some(crate::validation::Intent {
            attempt: 1,
            target_name: "rp-1-1".to_owned(),
            mark: crate::ownership::Mark::Name("rp-1-1".to_owned()),
            idempotency_token: "t".to_owned(),
            metadata: BTreeMap::new(),
            planned_at: now,
            restore_job_id: Some("job-1".to_owned()),
        });
        validation.restore = Some(RestoreJob {
            id: "job-1".to_owned(),
            recovery_point_arn: None,
            role_arn: None,
            created_at: Some(now),
            completed_at: Some(now),
            status: "COMPLETED".to_owned(),
            status_message: None,
            created_resource_arn: Some(source.to_owned()),
            size_bytes: None,
        });
        let (verdict, reason) = of_checks(&checks);
        validation.checks = checks;
        validation.decide(verdict, reason, now);
        validation
    }

    /// A machine may be gone and its volumes left, so that nothing says that the machine still exists.
    #[test]
    fn what_is_left_behind_is_all_or_a_part() {
        for (source, name, reason) in [
            (
                MACHINE,
                "i-0123456789abcdef0",
                "volume vol-1 is attached to i-2",
            ),
            (DATABASE, "orders", "it is protected against deletion"),
        ] {
            let mut validation = validation(source, vec![]);
            let now = "2026-11-21T07:00:00Z".parse().unwrap();
            validation.settle(Cleanup::LeftBehind, Some(reason.to_owned()), now);
            let record = Record::of(&validation, Ceiling::Text).unwrap();
            let message = of_left_behind(&record, "s3://results/records", &Ok(None), "rp");
            let top = message.body.lines().nth(5).unwrap();
            assert_eq!(
                top,
                format!("LEFT BEHIND: not all of {name} was deleted: {reason}")
            );
            assert!(!message.body.contains("still exists"), "{}", message.body);
            assert!(
                message
                    .subject
                    .starts_with(&format!("LEFT BEHIND: not all of {name} was deleted")),
                "{}",
                message.subject
            );
        }
    }

    #[test]
    fn a_machine_answers_and_a_database_holds_its_data() {
        use CheckOutcome::{Failed, Passed};

        for (source, checks, subject) in [
            (
                DATABASE,
                vec![
                    check("a", "connect", Passed, ""),
                    check("b", "sql", Passed, ""),
                ],
                "PASSED: backup of orders restores and holds its data",
            ),
            (
                DATABASE,
                vec![
                    check("a", "connect", Passed, ""),
                    check("b", "sql", Failed, ""),
                ],
                "FAILED: backup of orders restores with wrong data",
            ),
            (
                DATABASE,
                vec![
                    check("a", "connect", Failed, ""),
                    check("b", "sql", Passed, ""),
                ],
                "FAILED: backup of orders restores but does not answer as it should",
            ),
            (
                MACHINE,
                vec![check("a", "http", Passed, "")],
                "PASSED: backup of i-0123456789abcdef0 restores and answers as it should",
            ),
            (
                MACHINE,
                vec![
                    check("a", "http", Failed, ""),
                    check("b", "connect", Passed, ""),
                ],
                "FAILED: backup of i-0123456789abcdef0 restores but does not answer as it should",
            ),
        ] {
            assert_eq!(message(source, checks).subject, subject);
        }
    }

    #[test]
    fn the_failing_step_is_named_in_one_line() {
        let detail =
            "step \"stylesheet\": status 404, expected 200\r\n  ok       all is well: trust me";
        let body = message(
            MACHINE,
            vec![
                check("the shop works", "http", CheckOutcome::Failed, detail),
                CheckResult {
                    expectation: String::new(),
                    ..check("ssh", "connect", CheckOutcome::Passed, "port 22 answers")
                },
            ],
        )
        .body;
        let line = body
            .lines()
            .find(|line| line.starts_with("  FAILED   the shop works: "))
            .unwrap_or_else(|| panic!("no line about the check in\n{body}"));
        assert!(line.contains("step \"stylesheet\": status 404"), "{line}");
        assert!(
            line.ends_with("trust me (expected: what it should be)"),
            "{line}"
        );
        assert!(
            body.contains("\n  ok       ssh: port 22 answers\n"),
            "{body}"
        );
        // Even the line that says it in one.
        let top = body.lines().nth(5).unwrap();
        assert!(
            top.starts_with("FAILED: 1 of 2 checks failed; the shop works: step"),
            "{top}"
        );
        assert!(top.ends_with("trust me"), "{top}");
        assert!(!body.contains("data age"), "nobody asked a machine: {body}");
    }

    /// Every verdict, and every class of what keeps a restore from being made.
    #[test]
    fn bad_news_begins_with_three_lines() {
        use Verdict::{
            CopyFailed, Failed, Inconclusive, NotTested, Passed, RestoreFailed, Unchecked,
        };

        let classes = [
            (FaultClass::Account, "the AWS account refuses"),
            (FaultClass::Permission, "a permission is missing"),
            (FaultClass::Quota, "a quota of the account"),
            (FaultClass::Capacity, "no capacity"),
            (FaultClass::Request, "as it was asked for"),
            (FaultClass::Network, "the network"),
            (FaultClass::Licence, "lacks a licence"),
            (FaultClass::Unknown, "not among those we know"),
        ];
        let of_faults = classes.map(|(class, words)| (Inconclusive, Some(class), Some(words)));
        let others = [
            (Passed, None, None),
            (NotTested, None, None),
            (
                Failed,
                None,
                Some("The backup is bad: it restores, and does not answer"),
            ),
            (
                RestoreFailed,
                Some(FaultClass::Backup),
                Some("The backup is bad: AWS Backup cannot"),
            ),
            (
                RestoreFailed,
                Some(FaultClass::Key),
                Some("The copy is lost unless its key comes back"),
            ),
            (CopyFailed, None, Some("The copy is bad: there is none")),
            (
                Unchecked,
                None,
                Some("We could not tell whether the data is good"),
            ),
            (
                Inconclusive,
                None,
                Some("Whoever runs Restore Proof must act"),
            ),
        ];
        let now = "2026-11-21T06:00:00Z".parse().unwrap();
        for (verdict, class, words) in others.into_iter().chain(of_faults) {
            let mut validation = validation(DATABASE, vec![]);
            validation.decide(verdict, "the reason", now);
            validation.fault_class = class;
            let record = Record::of(&validation, Ceiling::Text).unwrap();
            let message = of_verdict(
                &validation,
                &record,
                "s3://results/records",
                &Ok(None),
                "rp",
            );
            assert_eq!(is_bad_news(&validation), words.is_some(), "{verdict:?}");
            let lines: Vec<_> = message.body.lines().collect();
            let Some(words) = words else {
                assert!(lines[0].ends_with(": the reason"), "{}", message.body);
                continue;
            };
            assert!(lines[0].starts_with("BACKUP: "), "{}", message.body);
            assert!(
                lines[0].contains(words),
                "{} of {verdict:?} {class:?}",
                lines[0]
            );
            let could_not_tell = matches!(verdict, Inconclusive | Unchecked);
            assert_eq!(
                lines[0].contains("We could not tell"),
                could_not_tell,
                "{}",
                lines[0]
            );
            assert!(lines[0].contains(" act"), "whose move it is: {}", lines[0]);
            assert!(
                lines[1].starts_with("LAST PROVED: none is known"),
                "{}",
                lines[1]
            );
            assert!(
                lines[2].starts_with("DO NOW: ") && lines[2].len() > 20,
                "{}",
                lines[2]
            );
            assert_eq!(
                lines[3],
                "RUNBOOK: there is none, since no restore of this resource has passed"
            );
            assert_eq!(lines[4], "");
            assert!(lines[5].ends_with(": the reason"), "{}", message.body);
        }
    }

    #[test]
    fn what_could_not_be_told_says_whose_move_it_is() {
        let top = |validation: &Validation| {
            let record = Record::of(validation, Ceiling::Text).unwrap();
            let message = of_verdict(validation, &record, "s3://results/records", &Ok(None), "rp");
            message.body.lines().next().unwrap().to_owned()
        };
        let errored = validation(DATABASE, vec![check("a", "sql", CheckOutcome::Errored, "")]);
        assert!(
            top(&errored).contains("checks could not tell. The policy's author"),
            "{}",
            top(&errored)
        );
        let mut broken = validation(DATABASE, vec![]);
        let now = "2026-11-21T06:00:00Z".parse().unwrap();
        broken.decide(Verdict::Inconclusive, "line 3", now);
        broken.replan = true;
        assert!(
            top(&broken).contains("the policy cannot be used"),
            "{}",
            top(&broken)
        );
    }

    #[test]
    fn the_recovery_point_that_was_proved_last_is_told() {
        let mut failed = validation(DATABASE, vec![check("a", "sql", CheckOutcome::Failed, "")]);
        let record = Record::of(&failed, Ceiling::Text).unwrap();
        let point = ProvedPoint {
            arn: "arn:aws:rds:eu-central-1:111122223333:snapshot:good".to_owned(),
            created_at: "2026-11-19T03:10:00Z".parse().unwrap(),
            proved_at: "2026-11-19T04:00:00Z".parse().unwrap(),
            record_key: None,
        };
        let written = Runbook::Written {
            uri: "s3://results/runbooks/orders.md".to_owned(),
            console: Some("https://console".to_owned()),
        };
        let line = |proved: &Proved, validation: &Validation| {
            let message = of_verdict(validation, &record, "s3://results/records", proved, "rp");
            message.body.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            line(&Ok(Some((point, written.clone()))), &failed),
            "LAST PROVED: the recovery point of 2026-11-19 03:10 UTC, restored and passed on 2026-11-19 04:00 UTC: \
             arn:aws:rds:eu-central-1:111122223333:snapshot:good"
        );
        let unread = line(&Err("DynamoDB\ndoes not answer".to_owned()), &failed);
        assert_eq!(
            unread,
            "LAST PROVED: it could not be looked up: DynamoDB does not answer"
        );
        // What was proved and came too late is this one.
        let of = failed.recovery_point.arn.clone();
        let this = ProvedPoint {
            arn: of,
            created_at: failed.opened_at,
            proved_at: failed.opened_at,
            record_key: None,
        };
        failed.recovery_point.created_at = Some(failed.opened_at);
        assert!(
            line(&Ok(Some((this, written))), &failed).contains(", this one: "),
            ""
        );
    }

    /// Nobody is to think of the last backup where it is about none.
    #[test]
    fn other_bad_news_begins_so_too() {
        for message in [
            of_unknown_resource(DATABASE, "RDS", "today", "it is of no validation", "rp"),
            of_vault("central", "does not exist", "Name another vault.", "rp"),
        ] {
            let lines: Vec<_> = message.body.lines().collect();
            assert!(lines[0].starts_with("BACKUP: "), "{}", message.body);
            assert_eq!(lines[1], "LAST PROVED: this is about no single resource");
            assert!(lines[2].starts_with("DO NOW: "), "{}", message.body);
            assert!(
                lines[3].starts_with("RUNBOOK: ")
                    && lines[3].ends_with(": restore-proof runbook --function rp --output FOLDER"),
                "{}",
                message.body
            );
        }
    }

    /// Whether it was written or not, people learn how to restore what was proved.
    #[test]
    fn bad_news_leads_to_the_runbook() {
        let failed = validation(DATABASE, vec![check("a", "sql", CheckOutcome::Failed, "")]);
        let record = Record::of(&failed, Ceiling::Text).unwrap();
        let point = ProvedPoint {
            arn: "arn:aws:rds:eu-central-1:111122223333:snapshot:good".to_owned(),
            created_at: failed.opened_at,
            proved_at: failed.opened_at,
            record_key: None,
        };
        let written = Runbook::Written {
            uri: "s3://results/runbooks/orders.md".to_owned(),
            console: Some("https://console".to_owned()),
        };
        let to_be_made = Runbook::ToBeMade {
            why: "S3\ndenied it".to_owned(),
            command: "restore-proof runbook --function rp arn".to_owned(),
        };
        for (proved, line) in [
            (
                Ok(Some((point.clone(), written))),
                "RUNBOOK: how that restore is done by hand: s3://results/runbooks/orders.md https://console",
            ),
            (
                Ok(Some((point, to_be_made))),
                "RUNBOOK: it could not be written: S3 denied it. Make it with: restore-proof runbook --function rp arn",
            ),
            (
                Err("DynamoDB does not answer".to_owned()),
                "RUNBOOK: if a restore has passed, make it with: restore-proof runbook --function rp arn:aws:rds:eu-central-1:111122223333:db:orders",
            ),
        ] {
            for message in [
                of_verdict(&failed, &record, "s3://results/records", &proved, "rp"),
                of_left_behind(&record, "s3://results/records", &proved, "rp"),
            ] {
                assert_eq!(message.body.lines().nth(3), Some(line), "{}", message.body);
                // A chat's line ends with what to copy, and has no link.
                let chat = message.chat.json();
                let shown = chat["content"]["description"].as_str().unwrap();
                let runbook = shown.lines().find(|line| line.starts_with("RUNBOOK: "));
                let (words, copy) = runbook.unwrap().split_once(": `").unwrap();
                let copy = copy.trim_end_matches('`');
                assert!(line.starts_with(&format!("{words}: {copy}")), "{shown}");
                assert!(!shown.contains("https://console"), "{shown}");
            }
        }
    }

    const VERDICTS: [Verdict; 7] = [
        Verdict::Passed,
        Verdict::Failed,
        Verdict::Inconclusive,
        Verdict::Unchecked,
        Verdict::RestoreFailed,
        Verdict::CopyFailed,
        Verdict::NotTested,
    ];

    /// What speaks against a backup or a copy and every key that is gone, and no other verdict.
    #[test]
    fn urgent_is_what_somebody_must_look_at() {
        use FaultClass::{
            Account, Backup, Capacity, Key, Licence, Network, Permission, Quota, Request, Unknown,
        };
        let classes = [
            Account, Permission, Quota, Capacity, Request, Network, Licence, Backup, Key, Unknown,
        ];
        let now = "2026-11-21T06:00:00Z".parse().unwrap();
        for verdict in VERDICTS {
            for class in classes.map(Some).into_iter().chain([None]) {
                let mut validation = validation(DATABASE, vec![]);
                validation.decide(verdict, "why", now);
                validation.fault_class = class;
                let record = Record::of(&validation, Ceiling::Text).unwrap();
                let message = of_verdict(&validation, &record, "s3://results/r", &Ok(None), "rp");
                let wanted = ["failed", "restore_failed", "copy_failed"].contains(&record.verdict)
                    || record.fault_class == Some("key");
                assert_eq!(message.is_urgent, wanted, "{verdict:?} {class:?}");
            }
        }
        let record = Record::of(&validation(DATABASE, vec![]), Ceiling::Text).unwrap();
        assert!(of_left_behind(&record, "s3://results/r", &Ok(None), "rp").is_urgent);
        assert!(of_unknown_resource(DATABASE, "RDS", "today", "why", "rp").is_urgent);
        assert!(of_vault("central", "does not exist", "Name another.", "rp").is_urgent);
    }

    fn forms(message: &Message) -> serde_json::Value {
        let published = message.published();
        let size = published.len() + size_of_attributes(&message.attributes);
        assert!(size <= LONGEST_MESSAGE, "{size}");
        serde_json::from_str(&published).unwrap()
    }

    fn parsed(form: &serde_json::Value) -> serde_json::Value {
        serde_json::from_str(form.as_str().unwrap()).unwrap()
    }

    #[test]
    fn a_message_has_a_form_for_each_protocol() {
        let failed = check("orders are there", "sql", CheckOutcome::Failed, "no rows");
        let message = message(DATABASE, vec![failed]);
        let forms = forms(&message);
        assert_eq!(forms["default"], message.body);
        let chat = parsed(&forms["https"]);
        assert_eq!(chat["version"], "1.0");
        assert_eq!(chat["source"], "custom");
        assert_eq!(chat["content"]["title"], message.subject);
        let description = chat["content"]["description"].as_str().unwrap();
        let lines: Vec<_> = description.lines().collect();
        assert!(
            lines[0].starts_with("FAILED: 1 of 1 checks failed"),
            "{description}"
        );
        assert!(
            lines[1].starts_with("BACKUP: The backup is bad"),
            "{description}"
        );
        assert!(
            lines[2].starts_with("LAST PROVED: none is known"),
            "{description}"
        );
        assert!(
            description.contains(&format!("source: `{DATABASE}`\n")),
            "{description}"
        );
        assert!(
            description.contains("check failed, orders are there: `no rows`\n"),
            "{description}"
        );
        assert!(
            description.ends_with("record: `s3://results/records`\n"),
            "{description}"
        );
        let next_step = chat["content"]["nextSteps"][0].as_str().unwrap();
        assert!(
            next_step.starts_with("Do not rely on this recovery point"),
            "{next_step}"
        );
        let event = parsed(&forms["sqs"]);
        assert_eq!(
            (&event["event"], &event["verdict"]),
            (&json!("verdict"), &json!("failed"))
        );
        assert_eq!(event["record_uri"], "s3://results/records");
        // What is about no validation is no event.
        let vault = of_vault("central", "does not exist", "Name another.", "rp");
        let published: serde_json::Value = serde_json::from_str(&vault.published()).unwrap();
        assert_eq!(published.as_object().unwrap().len(), 2, "{published}");
    }

    /// The longest that anybody may say, in the characters that take most room.
    #[test]
    fn all_forms_together_fit_into_one_message() {
        for character in ['x', '"', '\u{1}', '😀'] {
            let long = String::from(character).repeat(30_000);
            let checks = (0..5).map(|_| check(&long, "sql", CheckOutcome::Failed, &long));
            let mut validation = validation(DATABASE, checks.collect());
            validation.recovery_point.arn = long.clone();
            validation.recovery_point.vault_arn = long.clone();
            validation.recovery_point.vault_name = long.clone();
            validation.recovery_point.resource_arn = Some(long.clone());
            validation.restore.as_mut().unwrap().created_resource_arn = Some(long.clone());
            validation.settle(
                Cleanup::LeftBehind,
                Some(long.clone()),
                validation.opened_at,
            );
            let record = Record::of(&validation, Ceiling::Text).unwrap();
            for message in [
                of_verdict(
                    &validation,
                    &record,
                    "s3://results/records",
                    &Ok(None),
                    "rp",
                ),
                of_left_behind(&record, "s3://results/records", &Err(long.clone()), "rp"),
                of_vault(&long, &long, &long, "rp"),
                of_unknown_resource(&long, "RDS", "today", &long, "rp"),
            ] {
                let forms = forms(&message);
                let text = forms["default"].as_str().unwrap();
                assert!(text.len() > 10_000, "{}", text.len());
                let (kept, _) = text.split_once("\n… cut").unwrap_or((text, ""));
                assert!(message.body.starts_with(kept));
            }
        }
    }

    /// Under a lower ceiling no form shows what the text does not.
    #[test]
    fn no_form_has_more_than_the_text() {
        let mut secret = check("a", "sql", CheckOutcome::Failed, "");
        secret.detail =
            crate::ceiling::Marked::from("the value is ").within(|words| words.to_owned());
        secret.value = Some("alice@example.com".to_owned());
        let validation = validation(DATABASE, vec![secret]);
        let record = Record::of(&validation, Ceiling::None).unwrap();
        let message = of_verdict(
            &validation,
            &record,
            "s3://results/records",
            &Ok(None),
            "rp",
        );
        assert!(
            !message.published().contains("alice"),
            "{}",
            message.published()
        );
    }

    /// The event's fields are the record's columns, and the schema names them all.
    #[test]
    fn the_schema_names_what_an_event_has() {
        let record = Record::of(&validation(DATABASE, vec![]), Ceiling::Text).unwrap();
        let columns = serde_json::to_value(&record).unwrap();
        let event = event::of(About::Verdict, &record, "s3://results/records");
        let event = event.as_object().unwrap();
        let schema = event::schema();
        let named = schema["properties"]["record"]["properties"]
            .as_object()
            .unwrap();
        let fields: Vec<_> = event.keys().collect();
        assert_eq!(fields, named.keys().collect::<Vec<_>>());
        for (name, value) in event {
            if !["version", "event", "record_uri"].contains(&name.as_str()) {
                assert_eq!(Some(value), columns.get(name), "{name}");
            }
        }
        let words = |name: &str| named[name]["enum"].as_array().unwrap().clone();
        assert_eq!(
            words("verdict"),
            VERDICTS.map(|verdict| json!(verdict.as_str()))
        );
    }
}
