//! Whose fault a failed restore is, by what AWS says of it.
//!
//! A broken validator is not a broken backup: only a sentence that AWS is known to say of backups, in full, speaks against
//! one. What AWS is known to say of an account or a request does not, and a sentence nobody knows proves nothing.
//! `known.rs` holds all that is known, with where it is said.

mod known;

use jiff::SignedDuration;

use known::{CODES, SENTENCES};

use crate::validation::RestoreJob;
use crate::verdict::{FaultClass, Verdict};

/// What AWS's words about a failed restore are evidence of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The backup: it is gone, not whole, or its data cannot be read back.
    Backup,
    /// The key that the copy is encrypted with: it is disabled, pending deletion or gone. Nobody can restore this copy.
    Key,
    /// Our account, our request or AWS itself.
    Ours(FaultClass, Passes),
    /// Nothing: these words are not known.
    Nothing,
}

/// Whether the same restore may succeed later without anybody doing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Somebody must do something first.
    No,
    /// In minutes: too many calls, an internal error.
    Soon,
    /// In hours: capacity, or an account that AWS looks into.
    InHours,
}

impl Evidence {
    /// The verdict that it supports.
    pub fn verdict(self) -> Verdict {
        match self {
            Evidence::Backup | Evidence::Key => Verdict::RestoreFailed,
            Evidence::Ours(..) | Evidence::Nothing => Verdict::Inconclusive,
        }
    }

    /// The class of the fault.
    pub fn class(self) -> FaultClass {
        match self {
            Evidence::Backup => FaultClass::Backup,
            Evidence::Key => FaultClass::Key,
            Evidence::Ours(class, _) => class,
            Evidence::Nothing => FaultClass::Unknown,
        }
    }

    /// How long to wait before the attempts that follow; empty when there is to be no other.
    pub fn waits(self) -> &'static [SignedDuration] {
        const SOON: [SignedDuration; 2] =
            [SignedDuration::from_mins(15), SignedDuration::from_hours(1)];
        const IN_HOURS: [SignedDuration; 2] =
            [SignedDuration::from_hours(1), SignedDuration::from_hours(4)];
        match self {
            Evidence::Ours(_, Passes::Soon) => &SOON,
            Evidence::Ours(_, Passes::InHours) => &IN_HOURS,
            // Once: it may have been one of those.
            Evidence::Nothing => &IN_HOURS[..1],
            Evidence::Ours(_, Passes::No) | Evidence::Backup | Evidence::Key => &[],
        }
    }
}

/// What the words of a restore job that failed are evidence of. `copy_key_arn`: the key that the copy is encrypted with, as
/// far as it is known; another key's fault is that of our request.
pub fn of_message(message: &str, copy_key_arn: Option<&str>) -> Evidence {
    judge(&Said::of(message), copy_key_arn, SENTENCES.iter(), |_| true)
}

/// What a restore job that ended without a restore is evidence of.
pub fn of_failed_job(job: &RestoreJob, copy_key_arn: Option<&str>) -> Evidence {
    let evidence = of_message(
        job.status_message.as_deref().unwrap_or_default(),
        copy_key_arn,
    );
    match (job.status.as_str(), evidence) {
        // Somebody stopped it; that says nothing of the backup, and they will not want it tried again.
        ("ABORTED", evidence) => match evidence {
            Evidence::Ours(class, _) => Evidence::Ours(class, Passes::No),
            Evidence::Backup | Evidence::Key | Evidence::Nothing => {
                Evidence::Ours(FaultClass::Unknown, Passes::No)
            }
        },
        (_, evidence) => evidence,
    }
}

/// What a refusal to start a restore is evidence of. Unlike a job, it was looked up right before, and is not tried again.
pub fn of_refused_start(message: &str, copy_key_arn: Option<&str>) -> Evidence {
    match of_message(message, copy_key_arn) {
        Evidence::Ours(class, _) => Evidence::Ours(class, Passes::No),
        evidence => evidence,
    }
}

/// Why the verdict is what the evidence supports, with AWS's own words.
pub fn reason(evidence: Evidence, job: &RestoreJob) -> String {
    let said = job.status_message.as_deref();
    let said = said.unwrap_or("AWS Backup gives no reason");
    match evidence {
        Evidence::Backup => format!("AWS Backup could not restore it: {said}"),
        Evidence::Key => format!(
            "the key that the copy is encrypted with cannot be used, so that nobody can restore it: {said}"
        ),
        Evidence::Ours(..) if job.status == "ABORTED" => {
            format!("the restore was stopped: {said}")
        }
        Evidence::Ours(..) => format!("the restore could not be done here: {said}"),
        Evidence::Nothing => format!(
            "the restore failed with words that are not known to speak of the backup: {said}"
        ),
    }
}

fn judge(
    said: &Said,
    copy_key_arn: Option<&str>,
    mut sentences: impl Iterator<Item = &'static Row>,
    is_known: impl Fn(&str) -> bool,
) -> Evidence {
    let by_sentence = sentences.find(|row| row.fits(said)).map(|row| row.means);
    let by_code = || {
        let codes = said.codes.iter().filter(|code| is_known(code));
        codes.filter_map(|code| of_code(code)).next()
    };
    let evidence = by_sentence.or_else(by_code).unwrap_or(Evidence::Nothing);
    if evidence == Evidence::Key
        && let (Some(named), Some(known)) = (&said.key, copy_key_arn)
        && !known.eq_ignore_ascii_case(named)
    {
        return Evidence::Ours(FaultClass::Request, Passes::No);
    }
    evidence
}

fn of_code(code: &str) -> Option<Evidence> {
    let mut groups = CODES.iter();
    let group = groups.find(|(_, _, codes)| codes.contains(&code))?;
    Some(group.0)
}

/// One thing that AWS is known to say.
struct Row {
    /// The error code; empty when the words are enough.
    code: &'static str,
    words: &'static str,
    /// Whether the words are the whole sentence.
    whole: bool,
    means: Evidence,
    /// Where AWS, or somebody who heard it, says so.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for those who read the table, and its test")
    )]
    source: &'static str,
}

impl Row {
    fn fits(&self, said: &Said) -> bool {
        let has_code = self.code.is_empty() || said.codes.iter().any(|code| code == self.code);
        has_code && said.holds(self.words, self.whole)
    }
}

/// A message, taken apart.
struct Said {
    /// Its sentences, each in words, in lower case and without the marks around them.
    sentences: Vec<Vec<String>>,
    /// What may be error codes, without what differs between AWS's services.
    codes: Vec<String>,
    /// The ARN of the key that it names, in lower case.
    key: Option<String>,
}

impl Said {
    fn of(message: &str) -> Said {
        let (mut sentences, mut sentence) = (Vec::new(), Vec::new());
        let (mut codes, mut after_code) = (Vec::new(), false);
        for token in message
            .replace(['\u{2018}', '\u{2019}'], "'")
            .split_whitespace()
        {
            if token.starts_with('(') {
                sentences.push(std::mem::take(&mut sentence));
            }
            let word = token.trim_matches(|c: char| c.is_ascii_punctuation() && c != '*');
            if after_code || looks_like_code(word) {
                codes.push(plain_code(word).to_owned());
            }
            after_code = word.eq_ignore_ascii_case("code");
            if !word.is_empty() {
                sentence.push(word.to_lowercase());
            }
            // A dash or an arrow alone ends one, too.
            if word.is_empty() || token.ends_with(['.', ':', ';', ')', '!', '?']) {
                sentences.push(std::mem::take(&mut sentence));
            }
        }
        sentences.push(sentence);
        for sentence in &mut sentences {
            // "The KMS key", and then which.
            let named = sentence.iter().position(|word| is_key_arn(word));
            let leads = |word: &String| ["the", "aws", "kms", "key"].contains(&word.as_str());
            if let Some(place) = named.filter(|place| sentence[..*place].iter().all(leads)) {
                sentence.drain(..place);
            }
        }
        let words = sentences.iter().flatten();
        let mut keys = words.filter(|word| is_key_arn(word));
        Said {
            key: keys.next().cloned(),
            sentences,
            codes,
        }
    }

    /// Whether a sentence is these words, or holds them one after the other.
    fn holds(&self, words: &str, whole: bool) -> bool {
        let words: Vec<&str> = words.split(' ').collect();
        let is = |said: &[String]| {
            let mut pairs = said.iter().zip(&words);
            pairs.all(|(said, word)| match *word {
                "*" => true,
                "KEY" => is_key_arn(said),
                word => said == word,
            })
        };
        self.sentences.iter().any(|sentence| match whole {
            true => sentence.len() == words.len() && is(sentence),
            false => sentence.windows(words.len()).any(is),
        })
    }
}

fn is_key_arn(word: &str) -> bool {
    word.starts_with("arn:") && word.contains(":key/")
}

/// Whether a word may be an error code: `InvalidAMIID.NotFound`, `AccessDenied`.
fn looks_like_code(word: &str) -> bool {
    let letters = word.chars().all(|c| c.is_ascii_alphabetic() || c == '.');
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    letters && word.starts_with(|c: char| c.is_ascii_uppercase()) && capitals > 1
}

/// An error code as [`CODES`] has it: the same one is an exception to one service and a fault to another.
fn plain_code(code: &str) -> &str {
    let code = code.strip_prefix("Client.").unwrap_or(code);
    let code = code.strip_prefix("Server.").unwrap_or(code);
    let code = code.strip_suffix("Exception").unwrap_or(code);
    code.strip_suffix("Fault").unwrap_or(code)
}

#[cfg(test)]
mod tests;
