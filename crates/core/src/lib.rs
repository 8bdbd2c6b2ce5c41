//! What Restore Proof decides: no AWS SDK, no I/O.
//!
//! The modules stand in the order in which an event meets them.

pub mod admission;
pub mod arn;
pub mod ceiling;
pub mod check;
pub mod cidr;
pub mod console;
pub mod event;
pub mod evidence;
pub mod expectation;
mod keys;
pub mod message;
pub mod name;
pub mod ownership;
pub mod plan;
pub mod policy;
mod reader;
pub mod record;
pub mod report;
pub mod resource_type;
pub mod routes;
pub mod runbook;
pub mod validation;
pub mod verdict;
mod wire;
