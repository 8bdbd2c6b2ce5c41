//! Lambda, EventBridge and the Scheduler in simulated time: invocations run side by side, fail, die and are made again.
//!
//! **How an invocation dies.** At a call that the world never answers ([`restore_proof_local_aws::FaultKind::Hang`]), or at its
//! deadline, its future is put away: never polled again, and not dropped until the run is over and has been looked at. So none of
//! its code runs any more, no destructor either, and what it holds stays held; all that is left of it is in the world. That is
//! what the end of a process looks like from outside. Nothing else of an invocation lives on: the function spawns tasks
//! in checks only, on a thread of their own that ends with the check, and no invocation dies in the middle of a check.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use jiff::{SignedDuration, Timestamp};
use restore_proof_function::failure;
use restore_proof_function::{App, handle};
use serde_json::{Value, json};

use super::time::Time;
use crate::{LEDGER, Scene, TIMEOUT, due_sweep_every};

/// A run that is not quiet after this long never will be.
const GIVE_UP: SignedDuration = SignedDuration::from_hours(8 * 24);
/// The longest step of time: so late, at most, the world tells what has happened in it.
const STEP: SignedDuration = SignedDuration::from_secs(15);
/// When all that is open waits for longer, as for another attempt at a restore, the sweeps until then are left out.
const LONG_SLEEP: SignedDuration = SignedDuration::from_mins(14);
/// Lambda makes a failed asynchronous invocation again after one minute, and after two more.
const TRIES: u32 = 3;
/// An event that failed three times lies in a queue, about which people are told: they deliver it again.
const SEEN_BY_PEOPLE: SignedDuration = SignedDuration::from_hours(6);
/// An invocation or event needs so long to arrive.
pub(super) const ARRIVES_AFTER: SignedDuration = SignedDuration::from_millis(300);

type Invoked = Pin<Box<dyn Future<Output = failure::Result<Value>>>>;

/// What becomes of a delivery: when its copies arrive. None, when it is lost.
pub type Mail = Box<dyn FnMut(&Value, Timestamp) -> Vec<Timestamp>>;

/// Every delivery arrives, once and soon.
pub fn reliable() -> Mail {
    Box::new(|_, now| vec![now + ARRIVES_AFTER])
}

/// The function's invocations in a scene.
pub struct Lambda {
    scene: Arc<Scene>,
    time: Time,
    mail: Mail,
    /// Set when the attempt that was just made is one at which the function dies.
    dies: Arc<AtomicBool>,
    root: Arc<AtomicWaker>,
    /// What runs one invocation at a time each and has none now; empty when [`Lambda::has_environments`] is not set.
    idle: Vec<Arc<App>>,
    has_environments: bool,
    running: BTreeMap<u64, Invocation>,
    queue: BTreeMap<(Timestamp, u64), Delivery>,
    next: u64,
    next_due_sweep: Timestamp,
    next_lost_sweep: Timestamp,
    /// Something has happened since the ledger was looked at.
    changed: bool,
    dead: Vec<Invoked>,
    /// How many invocations were made.
    pub invocations: usize,
    /// How many of them died.
    pub deaths: usize,
    /// How many failed.
    pub failures: usize,
}

struct Delivery {
    payload: Value,
    tries: u32,
}

struct Invocation {
    future: Invoked,
    awake: Arc<Awake>,
    delivery: Delivery,
    deadline: Timestamp,
    environment: Option<Arc<App>>,
}

struct Awake {
    is: AtomicBool,
    root: Arc<AtomicWaker>,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.is.store(true, Ordering::SeqCst);
        self.root.wake();
    }
}

impl Lambda {
    /// Lambda for the function of this scene. `dies` is set by whoever decides that the function dies at an attempt.
    pub fn new(scene: Arc<Scene>, time: Time, mail: Mail, dies: Arc<AtomicBool>) -> Lambda {
        let now = time.now();
        Lambda {
            scene,
            time,
            mail,
            dies,
            root: Arc::default(),
            idle: Vec::new(),
            has_environments: false,
            running: BTreeMap::new(),
            queue: BTreeMap::new(),
            next: 0,
            next_due_sweep: now + due_sweep_every(),
            next_lost_sweep: now + SignedDuration::from_mins(13),
            changed: true,
            dead: Vec::new(),
            invocations: 0,
            deaths: 0,
            failures: 0,
        }
    }

    /// Lets invocations run in these execution environments only, one at a time in each; what arrives besides waits.
    pub fn run_in(&mut self, environments: Vec<App>) {
        self.idle = environments.into_iter().map(Arc::new).collect();
        self.has_environments = true;
    }

    fn has_room(&self) -> bool {
        !self.has_environments || !self.idle.is_empty()
    }

    /// Sends an event or an invocation on its way.
    pub fn send(&mut self, payload: Value) {
        for at in (self.mail)(&payload, self.time.now()) {
            let payload = payload.clone();
            self.enqueue(at, Delivery { payload, tries: 0 });
        }
    }

    /// Sends an event later.
    pub fn send_at(&mut self, at: Timestamp, payload: Value) {
        self.enqueue(at, Delivery { payload, tries: 0 });
    }

    /// Lets time pass until all is quiet: nothing is under way, and every one of `validations` validations is closed, or left
    /// behind and tried again daily.
    ///
    /// # Errors
    /// When it never is, in words.
    pub async fn run(&mut self, validations: usize) -> Result<(), String> {
        let end = self.time.now() + GIVE_UP;
        loop {
            while let Some(id) = self.first_awake() {
                self.poll(id).await;
            }
            let idle = self.running.is_empty() && self.queue.is_empty();
            if idle && std::mem::take(&mut self.changed) && self.open(validations).is_none() {
                return Ok(());
            }
            if self.time.now() > end {
                let open = self.open(validations);
                return Err(format!(
                    "not quiet after {GIVE_UP:#}: {} invocations under way; {}",
                    self.running.len(),
                    open.unwrap_or_default()
                ));
            }
            self.pass();
        }
    }

    /// What keeps the ledger from being quiet; the index tells first, since what is closed is not in it.
    fn open(&self, validations: usize) -> Option<String> {
        let open = self.scene.world.find_indexed(LEDGER, "due", |item| {
            let document = item["document"]["S"].as_str().unwrap_or_default();
            let validation: Value = serde_json::from_str(document).unwrap_or_default();
            let is_left = validation["cleanup"] == "left_behind";
            (!is_left).then(|| format!("{} is {}", item["id"], validation["stage"]))
        });
        open.or_else(|| self.scene.open_validations(validations))
    }

    fn enqueue(&mut self, at: Timestamp, delivery: Delivery) {
        self.next += 1;
        self.queue.insert((at, self.next), delivery);
    }

    fn first_awake(&self) -> Option<u64> {
        let mut running = self.running.iter();
        let awake = running.find(|(_, one)| one.awake.is.load(Ordering::SeqCst));
        awake.map(|(id, _)| *id)
    }

    /// Lets an invocation work until it waits for a point in time, ends or dies. What it waits for besides happens
    /// on this machine, in real time; nobody else works meanwhile, so that a run is the same every time.
    async fn poll(&mut self, id: u64) {
        loop {
            let Some(invocation) = self.running.get_mut(&id) else {
                return;
            };
            invocation.awake.is.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(&invocation.awake));
            self.time.polls(id);
            let polled = invocation
                .future
                .as_mut()
                .poll(&mut Context::from_waker(&waker));
            if self.dies.swap(false, Ordering::SeqCst) {
                return self.bury(id);
            }
            if let Poll::Ready(answer) = polled {
                return self.finish(id, answer);
            }
            if self.time.is_awaited_by(id) {
                return;
            }
            let (root, awake) = (&self.root, &invocation.awake);
            poll_fn(|context| {
                root.register(context.waker());
                match awake.is.load(Ordering::SeqCst) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }

    fn finish(&mut self, id: u64, answer: failure::Result<Value>) {
        self.changed = true;
        let Some(invocation) = self.running.remove(&id) else {
            return;
        };
        self.idle.extend(invocation.environment);
        if answer.is_err() {
            self.failures += 1;
            self.again(invocation.delivery);
        }
    }

    fn bury(&mut self, id: u64) {
        self.changed = true;
        let Some(invocation) = self.running.remove(&id) else {
            return;
        };
        self.idle.extend(invocation.environment);
        self.deaths += 1;
        self.dead.push(invocation.future);
        self.again(invocation.delivery);
    }

    fn again(&mut self, mut delivery: Delivery) {
        let wait = if delivery.tries < TRIES {
            SignedDuration::from_mins(i64::from(delivery.tries))
        } else if delivery.payload.get("detail-type").is_some() {
            delivery.tries = 0;
            SEEN_BY_PEOPLE
        } else {
            return;
        };
        self.enqueue(self.time.now() + wait, delivery);
    }

    /// Goes to the next point in time at which something may happen.
    fn pass(&mut self) {
        let now = self.time.now();
        let deadline = self.running.values().map(|one| one.deadline).min();
        let next = [
            self.time.next(),
            deadline,
            self.queue
                .keys()
                .next()
                .map(|key| key.0)
                .filter(|_| self.has_room()),
        ];
        let sweeps = [self.next_due_sweep, self.next_lost_sweep, now + STEP];
        let next = next.into_iter().flatten().chain(sweeps).min();
        self.time.go_to(next.unwrap_or(now));
        self.scene.world.settle();

        let now = self.time.now();
        let over = self.running.iter().filter(|(_, one)| one.deadline <= now);
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.bury(id);
        }
        let invoked = self.scene.world.take_invocations().into_iter();
        let mut told = self.scene.world.take_events();
        told.extend(invoked.map(|(_, payload)| payload));
        for payload in told {
            self.send(payload);
        }
        if now >= self.next_due_sweep {
            self.next_due_sweep = now + due_sweep_every();
            match self.all_sleep_until() {
                // Hundreds of sweeps that find nothing would be one and the same.
                Some(until) if until > now + LONG_SLEEP => self.next_due_sweep = until,
                Some(_) | None => self.send_at(now, json!({ "sweep": "due" })),
            }
        }
        if now >= self.next_lost_sweep {
            self.next_lost_sweep = now + SignedDuration::from_hours(1);
            self.send_at(now, json!({ "sweep": "lost" }));
        }
        while self.has_room()
            && let Some(first) = self.queue.first_entry()
            && first.key().0 <= now
        {
            let delivery = first.remove();
            self.invoke(delivery);
        }
    }

    /// When the first validation is due, if nothing runs or is on its way, and each waits for its time; none otherwise.
    fn all_sleep_until(&self) -> Option<Timestamp> {
        if !self.running.is_empty() || !self.queue.is_empty() {
            return None;
        }
        let items = self.scene.world.table_items(LEDGER);
        let open = items.iter().filter(|item| item["stage"]["S"] != "closed");
        let due = open.filter(|item| !item["document"].is_null()).map(|item| {
            let due = item["due_at"]["N"].as_str()?.parse().ok()?;
            Timestamp::from_second(due).ok()
        });
        due.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    fn invoke(&mut self, mut delivery: Delivery) {
        delivery.tries += 1;
        self.invocations += 1;
        self.next += 1;
        let (scene, payload) = (Arc::clone(&self.scene), delivery.payload.clone());
        let deadline = self.time.now() + TIMEOUT;
        let environment = self.idle.pop();
        let app = environment.clone();
        let work = async move {
            let app = app.as_deref().unwrap_or(&scene.app);
            handle(app, &payload, deadline).await
        };
        let invocation = Invocation {
            // Tokio would have it pause now and then, for the sake of others.
            future: Box::pin(tokio::task::unconstrained(work)),
            awake: Arc::new(Awake {
                is: AtomicBool::new(true),
                root: Arc::clone(&self.root),
            }),
            delivery,
            deadline,
            environment,
        };
        self.running.insert(self.next, invocation);
    }
}
