//! Simulated time: one clock for the function, the SDK's waits, the world and Lambda.
//!
//! Nobody waits in real time for a point in simulated time. Whoever drives the scene looks for the next one at which
//! something happens and goes there. Tokio's own clock is left alone: what really happens on this machine, a check that talks
//! to a server, takes real time, and simulated time stands still meanwhile.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use jiff::Timestamp;

/// The clock of a scene. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Time(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    next: u64,
    /// Who is being polled just now.
    running: u64,
    /// When, in the order of asking; who waits, and how they are told.
    timers: BTreeMap<(Timestamp, u64), (u64, Waker)>,
}

impl Time {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Time {
        Time(Arc::new(Mutex::new(State {
            now,
            next: 0,
            running: 0,
            timers: BTreeMap::new(),
        })))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Who is polled from now on: timers that are asked for are theirs.
    pub fn polls(&self, task: u64) {
        self.lock().running = task;
    }

    /// Whether this task waits for a point in time.
    pub fn is_awaited_by(&self, task: u64) -> bool {
        self.lock().timers.values().any(|(by, _)| *by == task)
    }

    /// The next point in time that somebody waits for.
    pub fn next(&self) -> Option<Timestamp> {
        let state = self.lock();
        state.timers.keys().next().map(|(at, _)| *at)
    }

    /// Goes to a point in time, and wakes who waited for it. Never back.
    pub fn go_to(&self, at: Timestamp) {
        let due = {
            let mut state = self.lock();
            let now = state.now.max(at);
            state.now = now;
            let later = state.timers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.timers, later)
        };
        for (_, waker) in due.into_values() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncSleep for Time {
    fn sleep(&self, time: Duration) -> Sleep {
        let at = self.now() + time;
        let mut timer = Timer {
            time: self.clone(),
            at,
            key: None,
        };
        Sleep::new(poll_fn(move |context| timer.poll(context.waker())))
    }
}

impl TimeSource for Time {
    fn now(&self) -> SystemTime {
        SystemTime::from(Time::now(self))
    }
}

struct Timer {
    time: Time,
    at: Timestamp,
    key: Option<(Timestamp, u64)>,
}

impl Timer {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let mut state = self.time.lock();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            state.next += 1;
            (self.at, state.next)
        });
        let running = state.running;
        state.timers.insert(key, (running, waker.clone()));
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.time.lock().timers.remove(&key);
        }
    }
}
