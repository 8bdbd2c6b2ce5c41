//! Lists that grow to tens of thousands of entries and are asked for one of them at every call.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Job;

/// Entries in the order in which they came, found by their key.
pub(crate) struct Listed<T> {
    all: Vec<T>,
    key: fn(&T) -> String,
    by_key: BTreeMap<String, usize>,
}

impl<T> Listed<T> {
    /// An empty list of entries that are known by this key.
    pub fn new(key: fn(&T) -> String) -> Listed<T> {
        Listed {
            all: Vec::new(),
            key,
            by_key: BTreeMap::new(),
        }
    }

    /// Adds an entry, or puts it in the place of the one with the same key.
    pub fn put(&mut self, entry: T) {
        let key = (self.key)(&entry);
        match self.by_key.get(&key) {
            Some(place) => self.all[*place] = entry,
            None => {
                self.by_key.insert(key, self.all.len());
                self.all.push(entry);
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&T> {
        self.by_key.get(key).map(|place| &self.all[*place])
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.by_key.get(key).map(|place| &mut self.all[*place])
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.all.iter()
    }
}

/// Restore jobs, oldest first; those that are not at their end are known apart, since they alone change with time.
#[derive(Default)]
pub(crate) struct Jobs {
    all: Vec<Job>,
    /// By id, in capitals.
    by_id: BTreeMap<String, usize>,
    by_token: BTreeMap<String, Vec<usize>>,
    by_point: BTreeMap<String, Vec<usize>>,
    open: BTreeSet<usize>,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        let place = self.all.len();
        self.by_id.insert(job.job.id.to_ascii_uppercase(), place);
        if let Some(token) = job.job.idempotency_token.clone() {
            self.by_token.entry(token).or_default().push(place);
        }
        let point = job.job.recovery_point_arn.clone();
        self.by_point.entry(point).or_default().push(place);
        if job.is_open() {
            self.open.insert(place);
        }
        self.all.push(job);
    }

    /// The job of an id, in whatever case.
    pub fn get(&self, id: &str) -> Option<&Job> {
        let place = self.by_id.get(&id.to_ascii_uppercase())?;
        Some(&self.all[*place])
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Job> {
        let place = self.by_id.get(&id.to_ascii_uppercase())?;
        Some(&mut self.all[*place])
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.all.iter()
    }

    /// The jobs that were started with this token.
    pub fn by_token(&self, token: &str) -> impl Iterator<Item = &Job> {
        self.at(self.by_token.get(token))
    }

    /// The jobs of this recovery point.
    pub fn of_point(&self, arn: &str) -> impl Iterator<Item = &Job> {
        self.at(self.by_point.get(arn))
    }

    /// The jobs that will change with time.
    pub fn open(&self) -> impl Iterator<Item = &Job> {
        self.at(Some(&self.open))
    }

    /// Lets each job that will change with time do so.
    pub fn advance(&mut self, mut step: impl FnMut(&mut Job)) {
        let all = &mut self.all;
        self.open.retain(|place| {
            step(&mut all[*place]);
            all[*place].is_open()
        });
    }

    fn at<'a>(
        &'a self,
        places: Option<impl IntoIterator<Item = &'a usize>>,
    ) -> impl Iterator<Item = &'a Job> {
        places.into_iter().flatten().map(|place| &self.all[*place])
    }
}
