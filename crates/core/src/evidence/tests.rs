#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use super::*;

/// Messages as AWS sent or documents them: verdict, class, whether it passes, source, message.
const CORPUS: &str = include_str!("../../tests/restore-messages.tsv");
/// Verdict and message, after public reports.
const CASES: &str = include_str!("../../../../tests/cases/status-messages.tsv");

struct Heard {
    verdict: &'static str,
    class: &'static str,
    passes: bool,
    source: &'static str,
    message: &'static str,
}

fn corpus() -> Vec<Heard> {
    let lines = CORPUS.lines().skip(1);
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [verdict, class, passes, source, message] = columns[..] else {
                panic!("five columns: {line}");
            };
            Heard {
                verdict,
                class,
                passes: passes == "yes",
                source,
                message,
            }
        })
        .collect()
}

#[test]
fn what_aws_says_is_judged_as_people_judged_it() {
    let mut wrong = Vec::new();
    let corpus = corpus();
    for heard in &corpus {
        let evidence = of_message(heard.message, None);
        let passes = !evidence.waits().is_empty();
        let is = (
            evidence.verdict().as_str(),
            evidence.class().as_str(),
            passes,
        );
        if is != (heard.verdict, heard.class, heard.passes) {
            wrong.push(format!(
                "{is:?} and not {} {} {}: {}",
                heard.verdict, heard.class, heard.passes, heard.message
            ));
        }
        assert!(!heard.source.is_empty(), "{}", heard.message);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
    let messages: BTreeSet<&str> = corpus.iter().map(|heard| heard.message).collect();
    assert!(messages.len() >= 120 && messages.len() == corpus.len());
}

#[test]
fn the_reported_cases_are_judged_right() {
    for line in CASES.lines() {
        let (verdict, message) = line.split_once('\t').unwrap();
        assert_eq!(
            of_message(message, None).verdict().as_str(),
            verdict,
            "{message}"
        );
    }
}

/// Without any one of them a message of the corpus would be judged otherwise.
#[test]
fn each_row_and_each_code_decides_something() {
    let corpus: Vec<(Said, Evidence)> = corpus()
        .iter()
        .map(|heard| (Said::of(heard.message), of_message(heard.message, None)))
        .collect();
    let differs = |without: &dyn Fn(&Said) -> Evidence| {
        corpus
            .iter()
            .any(|(said, evidence)| without(said) != *evidence)
    };
    let mut useless = Vec::new();
    for row in SENTENCES {
        assert!(!row.source.is_empty(), "{}", row.words);
        let others = || SENTENCES.iter().filter(|other| !std::ptr::eq(*other, row));
        if !differs(&|said| judge(said, None, others(), |_| true)) {
            useless.push(row.words);
        }
    }
    for code in CODES.iter().flat_map(|(_, _, codes)| codes.iter()) {
        if !differs(&|said| judge(said, None, SENTENCES.iter(), |known| known != *code)) {
            useless.push(code);
        }
    }
    assert_eq!(useless, [""; 0], "decide nothing");
}

/// Only a sentence, or a sentence with its code, speaks against a backup.
#[test]
fn a_code_alone_is_never_evidence_against_a_backup() {
    for (means, _, codes) in CODES {
        assert!(matches!(means, Evidence::Ours(..)), "{codes:?}");
    }
    for row in SENTENCES
        .iter()
        .filter(|row| !matches!(row.means, Evidence::Ours(..)))
    {
        let words = row.words.split(' ').count();
        assert!(row.whole, "{}", row.words);
        assert!(
            words >= 5 || !row.code.is_empty() || row.words.contains("KEY"),
            "{}",
            row.words
        );
    }
}

#[test]
fn shuffled_words_never_speak_against_a_backup() {
    let corpus = corpus();
    let mut words: Vec<&str> = corpus
        .iter()
        .flat_map(|heard| heard.message.split_whitespace())
        .collect();
    // Numerical Recipes' linear congruential generator: the same words each time.
    let mut state: u64 = 20_261_128;
    let mut below = |end: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    for _ in 0..10_000 {
        // As many words as a message has, drawn without putting back.
        let length = 4 + below(24);
        for place in 0..length {
            let other = place + below(words.len() - place);
            words.swap(place, other);
        }
        let sentence = words[..length].join(" ");
        assert_eq!(
            of_message(&sentence, None).verdict(),
            Verdict::Inconclusive,
            "{sentence}"
        );
    }
}

#[test]
fn another_keys_fault_is_that_of_the_request() {
    let key = |id: &str| format!("arn:aws:kms:eu-central-1:111122223333:key/{id}");
    let message = format!("KMS key {} is pending deletion.", key("ab-1"));
    assert_eq!(of_message(&message, None), Evidence::Key);
    assert_eq!(of_message(&message, Some(&key("AB-1"))), Evidence::Key);
    let ours = Evidence::Ours(FaultClass::Request, Passes::No);
    assert_eq!(of_message(&message, Some(&key("cd-2"))), ours);
}

fn job(status: &str, message: Option<&str>) -> RestoreJob {
    RestoreJob {
        id: "job-1".to_owned(),
        recovery_point_arn: None,
        role_arn: None,
        created_at: None,
        completed_at: None,
        status: status.to_owned(),
        status_message: message.map(str::to_owned),
        created_resource_arn: None,
        size_bytes: None,
    }
}

#[test]
fn what_was_stopped_and_what_gives_no_reason_prove_nothing() {
    let damaged = "Recovery point exceeded the number of damaged blocks that can be repaired";
    let of = |status, message| of_failed_job(&job(status, message), None);
    assert_eq!(of("FAILED", Some(damaged)), Evidence::Backup);
    assert_eq!(of("FAILED", None), Evidence::Nothing);
    for message in [
        None,
        Some(damaged),
        Some("Rate exceeded"),
        Some("stopped by an operator"),
    ] {
        let evidence = of("ABORTED", message);
        assert_eq!(evidence.verdict(), Verdict::Inconclusive);
        assert!(evidence.waits().is_empty(), "{evidence:?}");
        let reason = reason(evidence, &job("ABORTED", message));
        assert!(reason.starts_with("the restore was stopped"), "{reason}");
    }
    assert!(
        of_refused_start("ThrottlingException: Rate exceeded", None)
            .waits()
            .is_empty()
    );
}
