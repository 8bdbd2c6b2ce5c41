//! The fault suites and the burst, in simulated time.

#![allow(clippy::unwrap_used)]

mod burst;
mod suites;
