//! The program `restore-proof` as people run it.

#![allow(clippy::unwrap_used)]

mod agreement;
mod check;
mod common;
mod explain;
mod operate;
mod policy_check;
mod report;
mod runbook;
mod validate;
