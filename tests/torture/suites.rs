//! The fault suites of `make test`: a sample of the single harms at every call, and a bounded part of the rest. `make torture`
//! does all of it.

use std::time::Instant;

use restore_proof_tests::torture::paths::PATHS;
use restore_proof_tests::torture::run::Plan;
use restore_proof_tests::torture::shop::Shop;
use restore_proof_tests::torture::suites::{
    Sample, calls_of, doubled, forgotten_tokens, missed_singles, outages, pairs, random_from,
    run_all, some_singles,
};

#[track_caller]
fn assert_holds(shop: &Shop, plans: impl IntoIterator<Item = Plan, IntoIter: Send>) {
    let began = Instant::now();
    let summary = run_all(shop, plans.into_iter(), None);
    println!("{summary:#?} in {:?}", began.elapsed());
    assert!(summary.runs > 0);
    assert!(summary.violations.is_empty(), "{:#?}", summary.violations);
}

#[test]
fn undisturbed_every_way_ends_as_it_is_called() {
    let shop = Shop::open();
    for path in PATHS {
        let outcome = calls_of(&shop, path);
        println!("{}: {} calls", path.name, outcome.calls.len());
        assert!(
            outcome.violations.is_empty(),
            "{}: {:#?}",
            path.name,
            outcome.violations
        );
        for name in path.makes {
            let mut calls = outcome.calls.iter();
            assert!(
                calls.any(|call| call.name() == *name),
                "{}: {name}",
                path.name
            );
        }
    }
}

#[test]
fn whatever_fails_once_everything_ends_as_if_it_had_not() {
    let shop = Shop::open();
    assert_holds(&shop, some_singles(&shop, Sample::of_this_run()));
}

#[test]
fn ten_turns_in_a_row_make_every_single_strike() {
    let shop = Shop::open();
    assert!(!missed_singles(&shop, &[7, 8, 9, 10, 11, 12, 13, 14, 15]).is_empty());
    assert!(missed_singles(&shop, &[7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).is_empty());
}

#[test]
fn two_invocations_at_once_do_the_work_of_one() {
    assert_holds(&Shop::open(), doubled());
}

#[test]
fn a_restore_whose_start_was_not_answered_is_found_when_its_token_is_forgotten() {
    let shop = Shop::open();
    assert_holds(&shop, forgotten_tokens(&shop));
}

#[test]
fn what_is_down_for_an_hour_is_waited_for() {
    let shop = Shop::open();
    assert_holds(&shop, outages(&shop));
}

#[test]
fn whatever_fails_twice_the_promises_hold() {
    let shop = Shop::open();
    let some = pairs(&shop, 1).into_iter().take(150);
    assert_holds(&shop, some);
}

#[test]
fn whatever_happens_at_once_the_promises_hold() {
    assert_holds(&Shop::open(), random_from(1).take(100));
}
