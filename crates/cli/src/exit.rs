//! How the program ends: exit codes, and what could not be done.

use std::fmt;

use restore_proof_core::verdict::Verdict;

/// All is well: the check passed, the policy has no mistakes, the verdict is `passed`.
pub(crate) const FINE: u8 = 0;
/// Bad news: a check failed, a policy has mistakes, the verdict speaks against the backup.
pub(crate) const BAD_NEWS: u8 = 1;
/// What was given on the command line, or a file named there, cannot be used.
pub(crate) const USAGE: u8 = 2;
/// It could not be told: a check errored, nothing was checked, the verdict is neither good nor bad.
pub(crate) const CANNOT_TELL: u8 = 3;
/// It could not be done: no network, no credentials, AWS refuses.
pub(crate) const CANNOT_RUN: u8 = 4;
/// The stack that is looked at has something that keeps it from working.
pub(crate) const BROKEN: u8 = 5;
/// Nothing broken was found in the stack, but not all of it could be seen.
pub(crate) const UNSEEN: u8 = 6;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Of the help of every command.
pub(crate) const CODES: &str = "\
Exit codes:
  0  all is well
  1  bad news: a check failed, a policy has mistakes, a verdict speaks against the backup
  2  the command line, or a file named there, cannot be used
  3  it cannot be told: a check errored, nothing was checked, a verdict is neither good nor bad
  4  it cannot be done: no network, no credentials, AWS refuses
  5  doctor: something in the stack is broken
  6  doctor: nothing is broken, but not everything could be seen
  130  interrupted";

/// What could not be done, where, and what to do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong and where.
    pub(crate) what: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

impl Problem {
    /// Something that was given cannot be used.
    pub(crate) fn usage(what: impl Into<String>) -> Problem {
        Problem {
            code: USAGE,
            what: what.into(),
            help: None,
        }
    }

    /// Something outside keeps us from it.
    pub(crate) fn cannot_run(what: impl Into<String>) -> Problem {
        Problem {
            code: CANNOT_RUN,
            ..Problem::usage(what)
        }
    }

    /// With what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) -> Problem {
        Problem {
            help: Some(help.into()),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

/// The exit code of a verdict.
pub(crate) fn of_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Passed => FINE,
        Verdict::Failed | Verdict::RestoreFailed | Verdict::CopyFailed => BAD_NEWS,
        Verdict::Inconclusive | Verdict::Unchecked | Verdict::NotTested => CANNOT_TELL,
    }
}
