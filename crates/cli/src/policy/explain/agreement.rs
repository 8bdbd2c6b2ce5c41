//! `policy explain` and the function say the same of ten thousand recovery points and policies.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use clap::Parser;
use restore_proof_core::event::{self, Trigger};
use restore_proof_core::policy::{self, Method, MethodKind, Policy};
use restore_proof_core::validation::Validation;
use restore_proof_function::advance;
use restore_proof_tests::agreement::Case;
use restore_proof_tests::{Scene, UNCHECKED};

use super::*;

const CASES: u64 = 10_000;

/// The options that say which stack is asked. Of another one the answer may be another.
const STACK: [&str; 3] = ["--account", "--region", "--types"];

fn is_of_stack([name, _]: &[String; 2]) -> bool {
    STACK.contains(&name.as_str())
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// What is said of a recovery point: the outcome, and why nothing is restored.
type Said = (String, Option<String>);

/// What `policy explain --json` says when it is given these options.
fn explained(case: &Case, policy: &Policy, options: &[[String; 2]]) -> Said {
    let words = ["explain", "policy.toml", "--event", "event.json"].map(str::to_owned);
    let line = Line::parse_from(words.into_iter().chain(options.iter().flatten().cloned()));
    let (about, point) = point::of(&event::read(&case.event));
    let document = show::document(&explain(&line.args, policy, about, point, None)).unwrap();
    let text = |key: &str| document[key].as_str().map(str::to_owned);
    (text("outcome").unwrap(), text("left_out"))
}

/// What the function decides when AWS Backup has told what it knows.
fn decided(case: &Case, policy: &Policy, scene: &Scene) -> Said {
    let mut config = scene.app.config.clone();
    config.types = case
        .types
        .iter()
        .filter_map(|name| ResourceType::from_name(name))
        .collect();
    let now = scene.now();
    let mut validation = match event::read(&case.event) {
        Trigger::Copy(copy) => Validation::of_copy(&config.name_prefix, &copy, now),
        Trigger::Validate(request) => Validation::open(
            &config.name_prefix,
            &request.recovery_point_arn,
            &config.vault_arn(&request.backup_vault_name),
            request.request_id.as_deref(),
            now,
        ),
        other => panic!("{other:?}"),
    };
    let decision = match advance::elsewhere(&config, &validation) {
        Some(reason) => Decision::NotTested(reason),
        None => {
            let known = &mut validation.recovery_point;
            known.resource_type = Some(case.resource_type.clone()).filter(|name| !name.is_empty());
            known.resource_arn = Some(case.source_arn.clone());
            known.size_bytes = Some(case.size);
            advance::admit(&config, &validation, &case.tags, policy).decision
        }
    };
    match decision {
        Decision::Restored(_) => ("restored".to_owned(), None),
        Decision::NotTested(reason) => ("not_tested".to_owned(), Some(reason.to_string())),
        Decision::Undecided(open) => panic!("the function knows everything, but {open:?}"),
    }
}

/// The first words of a reason tell which one it is.
fn kind(reason: &str) -> String {
    let words = reason.split_whitespace().take(3);
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn explain_and_the_function_agree() {
    let scene = Scene::set(UNCHECKED).await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..CASES {
        let case = Case::of(number);
        let mut policy = policy::parse(&case.policy).unwrap();
        if case.reads_only {
            for rule in &mut policy.rules {
                let frequency = rule.methods[0].frequency;
                let method = MethodKind::Read;
                rule.methods = vec![Method { method, frequency }];
            }
        }
        let options = case.options();
        let decided = decided(&case, &policy, &scene);
        assert_eq!(
            explained(&case, &policy, &options),
            decided,
            "{number}: {case:#?}"
        );
        // Whoever is told less hears the same outcome, or that it cannot be told.
        let mut chance = number;
        let some: Vec<_> = options
            .into_iter()
            .filter(|option| {
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                chance >> 63 == 0 && !is_of_stack(option)
            })
            // Half of the tags would be other tags.
            .filter(|[name, _]| name != "--tag")
            .chain(case.options().into_iter().filter(is_of_stack))
            .collect();
        let guessed = explained(&case, &policy, &some);
        assert!(
            guessed.0 == decided.0 || guessed.0 == "undecided",
            "{number}: {guessed:?}, not {decided:?}, by {some:?}: {case:#?}"
        );
        let what = decided.1.as_deref().map_or(decided.0, kind);
        *seen.entry(what).or_default() += 1;
    }
    let kinds = [
        "AWS Backup does",
        "AWS Backup keeps",
        "Multi-AZ DB clusters",
        "a continuous backup",
        "it lies in",
        "no rule of",
        "not drawn: the",
        "resources of type",
        "restored",
        "the recovery point",
        "the rule restores",
        "the stack's parameter",
    ];
    assert!(seen.keys().eq(kinds), "{seen:#?}");
    assert!(seen.values().all(|times| *times >= 100), "{seen:#?}");
}
