//! Faults below the SDK: any operation can fail, before or after its effect, for one attempt,
//! for all retries of one call, or for good.

use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::Notify;

/// What a caller meets instead of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An error answer in the service's protocol.
    Error {
        /// Error code, e.g. `AccessDeniedException`.
        code: String,
        /// HTTP status.
        status: u16,
    },
    /// The service's own throttling answer.
    Throttle,
    /// No answer in time: the connector reports a timeout at once; the server stays silent for a
    /// minute and then closes.
    Timeout,
    /// The connection breaks.
    Reset,
    /// No answer, ever, in the connector: what a test needs to let a function die at this call
    /// ([`Faults::hung`]). The server treats it as `Timeout`.
    Hang,
}

/// Whether the operation takes effect although its caller sees it fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing happens in the world.
    BeforeEffect,
    /// The world changes; only the answer is lost.
    AfterEffect,
}

/// How often the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// One attempt.
    Once,
    /// So many attempts.
    Count(u32),
    /// Every attempt of the first call it strikes: the retries of one SDK call carry the same
    /// `amz-sdk-invocation-id`.
    OneCall,
    /// Always, until removed.
    Forever,
}

/// A fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the caller meets.
    pub kind: FaultKind,
    /// Before or after the effect.
    pub when: When,
    /// How often.
    pub times: Times,
    /// So many matching attempts pass first.
    pub skip: u32,
}

impl Fault {
    /// A fault that strikes once, before the effect.
    pub fn once(kind: FaultKind) -> Fault {
        Fault {
            kind,
            when: When::BeforeEffect,
            times: Times::Once,
            skip: 0,
        }
    }

    /// An error answer, given once, before the effect.
    pub fn error(code: &str, status: u16) -> Fault {
        Fault::once(FaultKind::Error {
            code: code.to_owned(),
            status,
        })
    }

    /// The same, after the effect.
    #[must_use]
    pub fn after_effect(mut self) -> Fault {
        self.when = When::AfterEffect;
        self
    }

    /// The same, so often.
    #[must_use]
    pub fn times(mut self, times: Times) -> Fault {
        self.times = times;
        self
    }

    /// The same, letting `skip` matching attempts pass first.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Fault {
        self.skip = skip;
        self
    }
}

/// The faults of a world. Cheap to clone.
#[derive(Clone, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rules: Mutex<Rules>,
    judge: Mutex<Option<Judge>>,
    hung: Notify,
}

/// One attempt at a call, before it has taken effect.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// As faults are named: `Backup`, `RDS`, …
    pub service: &'a str,
    /// Operation name as AWS spells it.
    pub operation: &'a str,
    /// The SDK's name of the call, which its retries share.
    pub call: Option<&'a str>,
}

/// Decides what becomes of an attempt.
pub type Judge = Box<dyn FnMut(Attempt) -> Option<(FaultKind, When)> + Send>;

#[derive(Default)]
struct Rules {
    next: usize,
    hits: usize,
    hung: bool,
    rules: Vec<Rule>,
}

struct Rule {
    id: usize,
    pattern: String,
    fault: Fault,
    struck: u32,
    invocation: Option<String>,
}

impl Faults {
    /// Lets `operation` fail. Named `Service.Operation` as in `RDS.DeleteDBInstance`; the services
    /// are Backup, RDS, EC2, DynamoDB, S3, SNS, Logs, SecretsManager, Lambda. `S3.*` means every
    /// operation of one service, `*` every operation. Case does not matter. Answers an id for
    /// [`Faults::remove`]. When several faults match, the first added strikes.
    pub fn fail(&self, operation: &str, fault: Fault) -> usize {
        let mut rules = self.lock();
        rules.next += 1;
        let id = rules.next;
        rules.rules.push(Rule {
            id,
            pattern: operation.to_ascii_lowercase(),
            fault,
            struck: 0,
            invocation: None,
        });
        id
    }

    /// Takes one fault away.
    pub fn remove(&self, id: usize) {
        self.lock().rules.retain(|rule| rule.id != id);
    }

    /// Lets `judge` decide of each attempt that none of the faults above strikes.
    pub fn judge_by(&self, judge: Judge) {
        *self.judge() = Some(judge);
    }

    /// Takes all faults away, and forgets that a call hung.
    pub fn clear(&self) {
        *self.judge() = None;
        let mut rules = self.lock();
        rules.rules.clear();
        rules.hung = false;
    }

    /// How many attempts have been struck so far.
    pub fn hits(&self) -> usize {
        self.lock().hits
    }

    /// Waits until a call hangs ([`FaultKind::Hang`]). Answers at once when one has hung already.
    pub async fn hung(&self) {
        loop {
            let notified = self.0.hung.notified();
            if self.lock().hung {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn report_hang(&self) {
        self.lock().hung = true;
        self.0.hung.notify_waiters();
        self.0.hung.notify_one();
    }

    /// The fault that strikes this attempt, counting it.
    pub(crate) fn strike(
        &self,
        service: &str,
        operation: &str,
        invocation: Option<&str>,
    ) -> Option<(FaultKind, When)> {
        let name = format!("{service}.{operation}").to_ascii_lowercase();
        let wide = format!("{service}.*").to_ascii_lowercase();
        let mut rules = self.lock();
        let rule = rules
            .rules
            .iter_mut()
            .filter(|rule| rule.pattern == name || rule.pattern == wide || rule.pattern == "*")
            .find_map(|rule| rule.take(invocation));
        let fault = rule.or_else(|| {
            let attempt = Attempt {
                service,
                operation,
                call: invocation,
            };
            self.judge().as_mut()?(attempt)
        })?;
        rules.hits += 1;
        Some(fault)
    }

    fn judge(&self) -> std::sync::MutexGuard<'_, Option<Judge>> {
        self.0
            .judge
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.0
            .rules
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Rule {
    fn take(&mut self, invocation: Option<&str>) -> Option<(FaultKind, When)> {
        let retry_of_struck = self.invocation.is_some() && self.invocation.as_deref() == invocation;
        let spent = match self.fault.times {
            Times::Once => self.struck >= 1,
            Times::Count(count) => self.struck >= count,
            Times::OneCall => self.struck >= 1 && !retry_of_struck,
            Times::Forever => false,
        };
        if spent {
            return None;
        }
        if self.fault.skip > 0 {
            self.fault.skip -= 1;
            return None;
        }
        self.struck += 1;
        self.invocation = invocation.map(str::to_owned);
        Some((self.fault.kind.clone(), self.fault.when))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn strikes_once_and_by_wildcard() {
        let faults = Faults::default();
        faults.fail("RDS.DeleteDBInstance", Fault::error("X", 500));
        assert!(faults.strike("RDS", "DescribeDBInstances", None).is_none());
        assert!(faults.strike("RDS", "DeleteDBInstance", None).is_some());
        assert!(faults.strike("RDS", "DeleteDBInstance", None).is_none());
        faults.fail(
            "s3.*",
            Fault::once(FaultKind::Throttle)
                .times(Times::Count(2))
                .skip(1),
        );
        assert!(faults.strike("S3", "PutObject", None).is_none());
        assert!(faults.strike("S3", "GetObject", None).is_some());
        assert!(faults.strike("S3", "GetObject", None).is_some());
        assert!(faults.strike("S3", "GetObject", None).is_none());
        assert_eq!(faults.hits(), 3);
    }

    #[test]
    fn one_call_means_all_its_retries() {
        let faults = Faults::default();
        faults.fail(
            "*",
            Fault::once(FaultKind::Reset).times(Times::OneCall).skip(1),
        );
        assert!(faults.strike("S3", "GetObject", Some("a")).is_none());
        assert!(faults.strike("S3", "GetObject", Some("b")).is_some());
        assert!(faults.strike("S3", "GetObject", Some("b")).is_some());
        assert!(faults.strike("S3", "GetObject", Some("c")).is_none());
    }
}
