//! What needs a process that runs nothing else: checks whose memory is measured, and the bootstrap as a program.

#![allow(clippy::unwrap_used)]

mod hostile;
mod start;
