//! The bootstrap as a program: how it starts.

use std::process::{Command, Output};

/// Starts the bootstrap with nothing in its environment but this.
fn start(variables: &[(&str, &str)]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn what_is_missing_stops_the_start_and_is_named() {
    let (output, said) = start(&[]);
    assert!(!output.status.success());
    assert!(said.contains("LEDGER_TABLE is missing"), "{said}");
    assert!(!said.contains("SSL_CERT_FILE"), "{said}");
}

/// Without certificates no AWS call would get through: it starts anew without the variable, once, and goes on.
#[test]
fn a_missing_file_of_certificates_is_no_end() {
    let (_, said) = start(&[("SSL_CERT_FILE", "/nowhere/ca-bundle.crt")]);
    assert_eq!(said.matches("which does not exist").count(), 1, "{said}");
    assert!(said.contains("/nowhere/ca-bundle.crt"), "{said}");
    assert!(
        said.contains("LEDGER_TABLE is missing"),
        "it went on: {said}"
    );
    let there = env!("CARGO_BIN_EXE_bootstrap");
    let (_, said) = start(&[("SSL_CERT_FILE", there)]);
    assert!(!said.contains("which does not exist"), "{said}");
}
