//! Why an invocation failed.

use crate::aws::AwsError;

/// What ends a run. The event is delivered again, and the sweep comes by in any case.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Another invocation wrote in between: whatever this one was about to do is not its to do any more.
    #[error("validation {0}: the lease was lost to another invocation")]
    LeaseLost(String),
    /// The ledger holds something that is no item of this program: its key, and what is wrong.
    #[error("ledger item {0} cannot be read: {1}")]
    Unreadable(String, String),
    /// The isolated network leads out: nothing is restored until somebody has mended it. What leads where, and what to do.
    #[error("{0}")]
    NotIsolated(String),
    /// Anything else, in words: what should not be, or what there was no time for.
    #[error("{0}")]
    Other(String),
}

/// What comes of work that may fail.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// What AWS answered, when that is the matter.
    pub fn aws(&self) -> Option<&AwsError> {
        match self {
            Failure::Aws(error) => Some(error),
            Failure::LeaseLost(_)
            | Failure::Unreadable(..)
            | Failure::NotIsolated(_)
            | Failure::Other(_) => None,
        }
    }
}
