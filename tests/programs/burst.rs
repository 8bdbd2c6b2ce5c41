//! `make burst`: thousands of copies land within a minute and are worked off in simulated time; and what sweeps cost with
//! ever more to do. Ends with 1 when anything does not hold.
//!
//! - `COPIES`: so many; 10,000 when it says nothing.

use std::process::ExitCode;

use restore_proof_tests::torture::backlog::{Backlog, cost};
use restore_proof_tests::torture::burst::{BACKUP_CALLS_PER_SECOND, burst};
use restore_proof_tests::torture::shop::Shop;

/// How many copies when nobody says otherwise.
const COPIES: usize = 10_000;
/// Entries of an index that a page has: DynamoDB shows 1 MB, some ten thousand entries without their documents.
const PAGE: usize = 10_000;
/// How many of those that are shown are told.
const SHOWN: usize = 50;

fn main() -> ExitCode {
    let copies = match std::env::var("COPIES").ok().filter(|text| !text.is_empty()) {
        None => COPIES,
        Some(text) => match text.parse() {
            Ok(copies) if copies > 0 => copies,
            _ => {
                eprintln!("COPIES is a number of copies, from 1 on");
                return ExitCode::from(2);
            }
        },
    };
    let mut wrong = sweeps(copies);
    println!();
    println!("AWS Backup takes {BACKUP_CALLS_PER_SECOND} calls a second");
    let burst = burst(&Shop::open(), copies);
    print!("{burst}");
    wrong.extend(burst.violations);
    for what in wrong.iter().take(SHOWN) {
        println!("  {what}");
    }
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Shows what sweeps cost with ever more to do. Answers what does not hold.
fn sweeps(copies: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "one sweep finds", "so many", "calls them", "queries", "other", "AWS calls"
    );
    for backlog in Backlog::ALL {
        let mut least = None;
        for size in [copies.div_ceil(100), copies.div_ceil(10), copies] {
            let cost = cost(backlog, size, PAGE);
            let queries = cost.of("DynamoDB.Query");
            let invokes = cost.of("Lambda.Invoke");
            println!(
                "{:<24} {size:>10} {:>10} {queries:>10} {:>10} {:>10}",
                backlog.name(),
                cost.called,
                cost.all() - queries - invokes,
                cost.all()
            );
            let beside = cost.beside(PAGE);
            let least = *least.get_or_insert(beside);
            if beside != least {
                let name = backlog.name();
                wrong.push(format!("a sweep makes {least} calls beside what there must be, and {beside} with {size} {name}"));
            }
        }
    }
    wrong
}
