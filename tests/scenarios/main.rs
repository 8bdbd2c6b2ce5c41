//! The function in an AWS in memory, one small scene for each thing that it must do. All scenes are tests of one program.

#![allow(clippy::unwrap_used)]

mod alarms;
mod calls;
mod canaries;
mod clusters;
mod doctor;
mod engine;
mod events;
mod formats;
mod limits;
mod machines;
mod ownership;
mod patience;
mod planned;
mod promises;
mod reports;
mod reset;
mod routes;
mod runbook;
mod triggers;
mod verdicts;
mod watcher;
