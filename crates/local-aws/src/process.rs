//! Child processes that never outlive us, and the folder they live in.
//!
//! Three things keep promise 3 of the design ("nothing is left running") on a developer's machine:
//! every child asks the kernel for a signal at its parent's death (`setpriv --pdeathsig`), a live
//! [`StateFolder`] is locked so that the next start can tell a dead one and remove it, and
//! [`processes_in`] finds whatever still runs in such a folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::process::Command;

/// How every state folder's name begins, below the system's folder for temporary files.
const FOLDER_PREFIX: &str = "restore-proof-";
/// The file in a state folder which its living owner keeps locked.
const LOCK: &str = "lock";
/// The file that says: its owner is gone, and it was asked to leave the folder.
const KEPT: &str = "kept";

/// A folder for everything a running local AWS needs on disk. Removed when dropped; that of a
/// process which died without dropping it is removed by the next [`StateFolder::create`].
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    /// Held for our whole life: the kernel releases the lock however we end.
    _lock: File,
    keep: bool,
}

impl StateFolder {
    /// Makes a new folder in the system's folder for temporary files and removes those of dead
    /// processes. The folder can be entered, but not listed, by other users: servers run as one.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn create() -> Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    /// [`StateFolder::create`] in a folder of the caller's choice.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn create_in(parent: &Path) -> Result<Self> {
        remove_stale(parent);
        let path = tempfile::Builder::new()
            .prefix(FOLDER_PREFIX)
            .permissions(fs::Permissions::from_mode(0o711))
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a state folder in {}", parent.display()))?
            .keep();
        // Locked under another name first: a folder with a `lock` file is one with an owner.
        let unlocked = path.join("lock.new");
        let lock = File::create(&unlocked)
            .with_context(|| format!("cannot write {}", unlocked.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", unlocked.display()))?;
        fs::rename(&unlocked, path.join(LOCK))
            .with_context(|| format!("cannot rename {}", unlocked.display()))?;
        Ok(Self {
            path,
            _lock: lock,
            keep: false,
        })
    }

    /// Where the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder on disk when this is dropped, and at later starts too.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if self.keep {
            // Nothing better can be done about an error here than to leave the folder, which is
            // what was asked for.
            let _ = File::create(self.path.join(KEPT));
        } else {
            remove_folder(&self.path);
        }
    }
}

/// Removes state folders whose owner is dead. Errors are left to the next start.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    let me = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let path = entry.path();
        let ours = entry
            .file_name()
            .to_string_lossy()
            .starts_with(FOLDER_PREFIX)
            && fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir() && meta.uid() == me);
        if ours && !path.join(KEPT).exists() && owner_is_dead(&path) {
            remove_folder(&path);
        }
    }
}

fn owner_is_dead(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // Without a lock it is being made this moment, unless it is old.
        Err(_) => fs::metadata(folder)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| {
                SystemTime::now()
                    .duration_since(at)
                    .is_ok_and(|age| age > Duration::from_secs(60))
            }),
    }
}

/// Servers that are just ending may still write, so that a folder fills while it is emptied.
fn remove_folder(path: &Path) {
    for _ in 0..20 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    tracing::warn!(folder = %path.display(), "the state folder could not be removed");
}

/// Sends a process of ours the signal that nobody can catch.
///
/// # Errors
/// When there is no such process any more.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    Ok(kill_process(pid, Signal::KILL)?)
}

/// The processes that run inside a folder (their working directory lies in it), as `pid name`.
#[must_use]
pub fn processes_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let inside =
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
        // One that has ended and waits to be reaped has no working directory any more.
        if inside && pid != std::process::id() {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("{pid} {}", command.trim()));
        }
    }
    found
}

/// A user of this machine to run servers as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its numeric id.
    pub uid: u32,
    /// Its group's numeric id.
    pub gid: u32,
}

impl User {
    /// The user that servers must run as which refuse to be root (PostgreSQL does): `postgres`, else
    /// `nobody`, when we are root; nobody in particular (`None`) when we are not.
    ///
    /// # Errors
    /// When we are root and neither user exists.
    pub fn unprivileged() -> Result<Option<User>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        match ["postgres", "nobody"]
            .iter()
            .find_map(|name| find_user(&users, name))
        {
            Some(user) => Ok(Some(user)),
            None => bail!(
                "we run as root, PostgreSQL refuses to, and /etc/passwd has neither `postgres` nor `nobody`: run as another user, or add one"
            ),
        }
    }

    /// Gives a file or folder to this user.
    ///
    /// # Errors
    /// When the owner cannot be changed.
    pub fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to user {}", path.display(), self.name))
    }
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        found.then(|| User {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

/// A command for [`spawn`] or [`run`]: with an empty environment, no standard input, in a process
/// group of its own (so that Ctrl-C reaches only us, and we end things in order), as `user` if there
/// is one, and sent `at_our_death` by the kernel when we die, however we die.
#[must_use]
pub fn command(program: &Path, user: Option<&User>, at_our_death: Signal) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.arg("--reuid").arg(user.uid.to_string());
        command.arg("--regid").arg(user.gid.to_string());
        command.arg("--clear-groups");
    }
    // By name: `setpriv` takes no numbers here.
    command
        .arg("--pdeathsig")
        .arg(if at_our_death == Signal::QUIT {
            "QUIT"
        } else {
            "KILL"
        });
    command.arg("--").arg(program);
    command.env_clear().env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// A running child. Dropping it sends the signal that ends it at once.
#[derive(Debug)]
pub struct Child {
    inner: tokio::process::Child,
    stop: Signal,
}

impl Child {
    /// The process id, while it has not been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.inner.id()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When the system cannot say how it ended.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.inner.wait().await
    }

    /// Whether it has ended by itself, without waiting.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.inner.try_wait(), Ok(None))
    }

    /// Ends it: its own signal first, and after `patience` the one that cannot be ignored.
    pub async fn stop(&mut self, patience: Duration) {
        self.signal(self.stop);
        if tokio::time::timeout(patience, self.inner.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            // Killed processes end; an error here means that it is gone already.
            let _ = self.inner.wait().await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self
            .inner
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
        {
            // With what it may have started itself: it leads a process group. An error only means
            // that it ended in between.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(self.stop);
    }
}

/// Starts a [`command`]; `stop` is the signal that ends it in good order.
///
/// # Errors
/// When it cannot be started, for example because `setpriv` (package util-linux) is missing.
pub async fn spawn(command: Command, stop: Signal) -> Result<Child> {
    let name = describe(&command);
    let inner = on_spawner_thread(command).await.with_context(|| {
        format!(
            "cannot start `{name}` (it is started through `setpriv`, of the package util-linux)"
        )
    })?;
    Ok(Child { inner, stop })
}

/// Runs a [`command`] to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; the message holds what it wrote to standard error.
pub async fn run(mut command: Command) -> Result<Vec<u8>> {
    let name = describe(&command);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = on_spawner_thread(command).await.with_context(|| {
        format!(
            "cannot start `{name}` (it is started through `setpriv`, of the package util-linux)"
        )
    })?;
    let Output {
        status,
        stdout,
        stderr,
    } = child
        .wait_with_output()
        .await
        .with_context(|| format!("cannot wait for `{name}`"))?;
    if !status.success() {
        bail!(
            "`{name}` failed ({status}): {}",
            String::from_utf8_lossy(&stderr).trim()
        );
    }
    Ok(stdout)
}

/// The program's name, without the `setpriv` around it.
fn describe(command: &Command) -> String {
    let words: Vec<_> = command
        .as_std()
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let program = words
        .iter()
        .position(|word| word == "--")
        .and_then(|at| words.get(at + 1));
    program.map_or_else(
        || "setpriv".to_owned(),
        |path| path.rsplit('/').next().unwrap_or(path).to_owned(),
    )
}

/// The kernel sends the parent-death signal when the *thread* that forked ends, and threads of an
/// async runtime come and go: one thread that lives as long as the process forks all children.
async fn on_spawner_thread(mut command: Command) -> io::Result<tokio::process::Child> {
    type Job = Box<dyn FnOnce() + Send>;
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job()))
            .expect("a process that runs can start one more thread");
        jobs
    });
    let runtime = tokio::runtime::Handle::current();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let job: Job = Box::new(move || {
        let _entered = runtime.enter();
        // The asker may have gone meanwhile, and nobody knows of the child then.
        if let Err(Ok(mut unwanted)) = answer.send(command.spawn()) {
            let _ = unwanted.start_kill();
        }
    });
    spawner.send(job).expect("the spawner's thread never ends");
    answered.await.expect("the spawner answers every job")
}

/// Writes a file that only its owner may read, and gives it to `owner` if there is one.
///
/// # Errors
/// When it cannot be written or given away.
pub fn write_private(path: &Path, content: &[u8], owner: Option<&User>) -> Result<()> {
    let mut file =
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(content))
        .with_context(|| format!("cannot write {}", path.display()))?;
    owner.map_or(Ok(()), |owner| owner.give(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_dead_owners_folder_is_removed_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let alive = StateFolder::create_in(parent.path()).unwrap();
        let dead = parent.path().join("restore-proof-dead");
        fs::create_dir(&dead).unwrap();
        File::create(dead.join(LOCK)).unwrap();
        let young = parent.path().join("restore-proof-young");
        fs::create_dir(&young).unwrap();
        let foreign = parent.path().join("something-else");
        fs::create_dir(&foreign).unwrap();

        let next = StateFolder::create_in(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(
            alive.path().exists() && next.path().exists() && young.exists() && foreign.exists()
        );
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_folder_stays() {
        let parent = tempfile::tempdir().unwrap();
        let mut folder = StateFolder::create_in(parent.path()).unwrap();
        folder.keep();
        let path = folder.path().to_owned();
        drop(folder);
        remove_stale(parent.path());
        assert!(path.exists());
    }

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "postgres2:x:1:2::/:/bin/sh\npostgres:x:101:104:PostgreSQL administrator,,,:/var:/bin/bash\n";
        let user = find_user(passwd, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert_eq!(find_user(passwd, "nobody"), None);
    }

    #[tokio::test]
    async fn a_child_runs_where_it_was_told_and_ends_when_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut sleep = command(Path::new("sleep"), None, Signal::KILL);
        sleep.arg("600").current_dir(folder.path());
        let mut child = spawn(sleep, Signal::TERM).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..200 {
            seen = processes_in(folder.path());
            if seen.iter().any(|line| line.ends_with(" sleep")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(seen, [format!("{} sleep", child.id().unwrap())]);
        child.stop(Duration::from_secs(5)).await;
        assert_eq!(processes_in(folder.path()), Vec::<String>::new());
    }

    /// The parent in the next test: this test binary once more, running only this.
    #[tokio::test]
    #[ignore = "run by the next test, as a process of its own"]
    async fn a_parent_that_waits_to_be_killed() {
        let Some(folder) = std::env::var_os("RESTORE_PROOF_TEST_FOLDER") else {
            return;
        };
        let mut sleep = command(Path::new("sleep"), None, Signal::KILL);
        sleep.arg("600").current_dir(folder);
        let _child = spawn(sleep, Signal::KILL).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }

    #[test]
    fn children_die_with_a_parent_that_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "process::tests::a_parent_that_waits_to_be_killed",
            ])
            .env("RESTORE_PROOF_TEST_FOLDER", folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sleeps = || {
            processes_in(folder.path())
                .iter()
                .any(|line| line.ends_with(" sleep"))
        };
        let until = |wanted: bool| {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                sleeps() == wanted
            })
        };
        assert!(until(true), "the child never ran");
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(until(false), "the child outlived its parent");
    }

    #[tokio::test]
    async fn a_failing_command_says_why() {
        let mut list = command(Path::new("ls"), None, Signal::KILL);
        list.arg("/no/such/folder").current_dir("/");
        let error = run(list).await.unwrap_err().to_string();
        assert!(
            error.starts_with("`ls` failed") && error.contains("/no/such/folder"),
            "{error}"
        );
    }
}
