//! What is restored: found, looked at, deleted, confirmed gone. One file for each resource type.

pub mod rds;
