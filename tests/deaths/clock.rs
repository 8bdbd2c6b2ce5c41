//! A clock that runs like the machine's and can be moved ahead, for a world and for processes that know nothing of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::Clock;
use restore_proof_tests::root;

/// The library that shows a process the world's time.
pub struct Library(PathBuf);

impl Library {
    /// Compiles `clock.c` into this folder.
    ///
    /// # Errors
    /// When there is no C compiler, or it does not like the file.
    pub fn build(folder: &Path) -> Result<Library> {
        let library = folder.join("clock.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(root().join("tests/deaths/clock.c"))
            .status()
            .context("there is no C compiler `cc`: install build-essential")?;
        ensure!(status.success(), "cc does not compile tests/deaths/clock.c");
        Ok(Library(library))
    }
}

/// A world's clock.
pub struct WorldClock {
    file: File,
    path: PathBuf,
    library: PathBuf,
    ahead: Arc<AtomicI64>,
}

impl WorldClock {
    /// A clock that goes right; its file lies in this folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(library: &Library, folder: &Path) -> Result<WorldClock> {
        let path = folder.join("clock");
        let clock = WorldClock {
            file: File::create(&path).with_context(|| format!("write {}", path.display()))?,
            path,
            library: library.0.clone(),
            ahead: Arc::default(),
        };
        clock.pass(SignedDuration::ZERO)?;
        Ok(clock)
    }

    /// The clock for the world.
    pub fn reader(&self) -> Clock {
        let ahead = Arc::clone(&self.ahead);
        Arc::new(move || {
            Timestamp::now() + SignedDuration::from_millis(ahead.load(Ordering::SeqCst))
        })
    }

    /// What a process must find in its environment to have the same time.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("WORLD_CLOCK".to_owned(), text(&self.path)),
        ]
        .into()
    }

    /// Lets time pass, for everybody.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pass(&self, time: SignedDuration) -> Result<()> {
        let ahead = self.ahead.load(Ordering::SeqCst) + i64::try_from(time.as_millis())?;
        // Eight bytes at the beginning of a page are written as one.
        self.file
            .write_all_at(&ahead.to_ne_bytes(), 0)
            .with_context(|| format!("write {}", self.path.display()))?;
        self.ahead.store(ahead, Ordering::SeqCst);
        Ok(())
    }
}
