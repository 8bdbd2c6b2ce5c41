//! Hundreds of copies land at once, and sweeps have ever more to do. `make burst` does the same with 10,000.

use restore_proof_tests::torture::backlog::{Backlog, Cost, cost};
use restore_proof_tests::torture::burst::{BUDGET, burst};
use restore_proof_tests::torture::shop::Shop;

#[test]
fn whatever_lands_at_once_is_validated_once_and_within_the_budget() {
    let burst = burst(&Shop::open(), 120);
    println!("{burst}");
    let wrong = &burst.violations[..burst.violations.len().min(20)];
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        (
            burst.records,
            burst.restores,
            burst.restored_twice,
            burst.recorded_twice
        ),
        (120, burst.to_restore, 0, 0)
    );
    // A budget that is not used up would prove nothing.
    assert_eq!((burst.most_restored, burst.most_held), (BUDGET, BUDGET));
    // Nor would a Backup that takes all it is asked.
    assert!(burst.services()["Backup"].1 > 0, "{burst}");
}

/// A page of the index.
const PAGE: usize = 100;

#[test]
fn a_sweep_calls_each_that_is_due_once_and_asks_for_nothing_else_of_it() {
    let few = cost(Backlog::Due, 60, PAGE);
    let many = cost(Backlog::Due, 660, PAGE);
    assert_eq!((few.called, many.called), (60, 660));
    for cost in [&few, &many] {
        assert_eq!(cost.of("Lambda.Invoke"), cost.size, "{cost:?}");
    }
    // Six more pages, and what counts the overdue sees but one of them.
    let beside = |cost: &Cost| cost.all() - cost.size;
    assert_eq!(beside(&many), beside(&few) + 600 / PAGE, "{few:?} {many:?}");
}

#[test]
fn the_hourly_sweep_looks_a_hundred_recovery_points_up_with_a_call() {
    let few = cost(Backlog::Known, 60, PAGE);
    let many = cost(Backlog::Known, 660, PAGE);
    assert_eq!((few.called, many.called), (0, 0));
    for (cost, calls) in [(&few, 1), (&many, 7)] {
        assert_eq!(cost.of("DynamoDB.BatchGetItem"), calls, "{cost:?}");
    }
    assert_eq!(many.beside(PAGE), few.beside(PAGE), "{few:?} {many:?}");
}

#[test]
fn a_sweep_costs_the_same_however_many_wait() {
    for (backlog, called) in [
        (Backlog::WaitingForFreeSlots, BUDGET),
        (Backlog::WaitingForHeldSlots, 0),
    ] {
        let few = cost(backlog, 60, PAGE);
        let many = cost(backlog, 660, PAGE);
        assert_eq!((few.called, many.called), (called, called), "{backlog:?}");
        assert_eq!(few.calls, many.calls, "{backlog:?}");
    }
}
