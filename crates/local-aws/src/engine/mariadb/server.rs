//! One running server.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::super::{START_PATIENCE, SUPERUSER, check_name, free_port, iam, tail};
use super::front::Front;
use super::{MariaDb, argument};
use crate::process::{self, Child, Signal};

/// A running MariaDB server of our own. Stopped at once when dropped.
#[derive(Debug)]
pub struct Server {
    admin: Admin,
    child: Child,
    /// Lets users of IAM in; none where nobody logs in by a token.
    front: Option<Front>,
}

/// The superuser's way into a server.
#[derive(Clone, Debug)]
pub struct Admin {
    mariadb: MariaDb,
    folder: PathBuf,
    pub(in crate::engine) port: u16,
}

impl Server {
    pub(super) async fn start(mariadb: &MariaDb, data: &Path, name: &str) -> Result<Server> {
        check_name(name, &["template"])?;
        let folder = mariadb.shared.folder.join(name);
        if folder.exists() {
            bail!("the folder {} exists already", folder.display());
        }
        let mut copy = mariadb.program(Path::new("cp"));
        copy.args(["--archive", "--reflink=auto"])
            .arg(data)
            .arg(&folder);
        process::run(copy).await?;
        // Between our finding a free port and the server's taking it somebody else may have it.
        for _ in 0..5 {
            let port = free_port()?;
            let child = launch(mariadb, &folder, port).await?;
            let admin = Admin {
                mariadb: mariadb.clone(),
                folder: folder.clone(),
                port,
            };
            let mut server = Server {
                admin,
                child,
                front: None,
            };
            if server.wait_until_ready().await? {
                return Ok(server);
            }
        }
        bail!(
            "five ports that were free a moment ago were all taken; the server's log: {}",
            tail(&log_path(&folder))
        )
    }

    /// Whether it accepts connections; `false` when its port was taken.
    async fn wait_until_ready(&mut self) -> Result<bool> {
        let started = Instant::now();
        let path = log_path(&self.admin.folder);
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if log.contains("ready for connections") {
                return Ok(true);
            }
            if self.child.has_ended() {
                if log.contains("Address already in use") {
                    return Ok(false);
                }
                bail!("it ended at once; its log: {}", tail(&path));
            }
            if started.elapsed() > START_PATIENCE {
                bail!(
                    "it is not ready after {} s; its log: {}",
                    START_PATIENCE.as_secs(),
                    tail(&path)
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets users of IAM in, by a front of its own.
    pub(super) async fn take_tokens(mut self, region: &str) -> Result<Server> {
        let of_iam = format!(
            "SELECT User FROM mysql.roles_mapping WHERE Role = {} AND Host = '%'",
            quoted(iam::ROLE)
        );
        let users: BTreeSet<String> = self
            .execute("mysql", &of_iam)
            .await?
            .lines()
            .map(str::to_owned)
            .collect();
        for user in &users {
            let unlock = format!("ALTER USER {}@'%' ACCOUNT UNLOCK", quoted(user));
            self.execute("mysql", &unlock).await?;
        }
        let certificate = &self.admin.mariadb.shared.folder;
        self.front = Some(Front::open(&self.admin.folder, users, certificate, region).await?);
        Ok(self)
    }

    /// The TCP port to connect to.
    pub(in crate::engine) fn port(&self) -> u16 {
        self.front
            .as_ref()
            .map_or(self.admin.port, |front| front.port)
    }

    /// The superuser's way in.
    pub(in crate::engine) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Runs SQL as the superuser in a database, stopping at the first error, and returns the rows:
    /// one per line, columns separated by `|`.
    ///
    /// # Errors
    /// MariaDB's message.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<String> {
        self.admin.execute(database, sql).await
    }

    /// Stops the server in good order and moves its data to `folder`.
    pub(super) async fn rest(mut self, folder: &Path) -> Result<()> {
        self.execute("mysql", "SHUTDOWN").await?;
        let ended = tokio::time::timeout(START_PATIENCE, self.child.wait()).await;
        if !ended.is_ok_and(|status| status.is_ok_and(|status| status.success())) {
            bail!(
                "the server does not stop in good order; its log: {}",
                tail(&log_path(&self.admin.folder))
            );
        }
        fs::rename(&self.admin.folder, folder)
            .with_context(|| format!("cannot move the data to {}", folder.display()))
    }

    /// Stops the server and removes its data.
    pub async fn stop(mut self) {
        self.child.stop(Duration::from_secs(10)).await;
        let folder = self.admin.folder;
        // What cannot be removed now goes with the state folder.
        let _ = tokio::task::spawn_blocking(move || fs::remove_dir_all(folder)).await;
    }
}

impl Admin {
    pub(in crate::engine) async fn execute(&self, database: &str, sql: &str) -> Result<String> {
        // By a file that has no name: other users of the machine can read command lines, while SQL
        // may hold a password.
        let mut script = tempfile::tempfile().context("no file for SQL")?;
        script
            .write_all(sql.as_bytes())
            .and_then(|()| script.rewind())
            .context("cannot write SQL")?;
        let mut client = self.mariadb.program(&self.mariadb.shared.programs.client);
        client.args([
            "--no-defaults",
            // From the server's folder: a socket's whole path may be too long for the system.
            "--socket=mysqld.sock",
            &format!("--user={SUPERUSER}"),
            "--default-character-set=utf8mb4",
            "--batch",
            "--raw",
            "--skip-column-names",
            database,
        ]);
        client.current_dir(&self.folder).stdin(Stdio::from(script));
        let printed = process::run(client).await?;
        let rows = String::from_utf8_lossy(&printed).replace('\t', "|");
        Ok(rows.trim_end().to_owned())
    }

    pub(in crate::engine) async fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let sql = format!(
            "ALTER USER {}@'%' IDENTIFIED BY {};",
            quoted(user),
            quoted(password)
        );
        self.execute("mysql", &sql).await?;
        Ok(())
    }
}

/// A text as a literal of SQL, with the default `sql_mode`.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

async fn launch(mariadb: &MariaDb, folder: &Path, port: u16) -> Result<Child> {
    // Anew at every start: it says when the server is ready.
    let log = File::create(log_path(folder))
        .with_context(|| format!("cannot write {}", log_path(folder).display()))?;
    let mut command = mariadb.program(&mariadb.shared.programs.server);
    command
        .arg(argument("--defaults-file=", &mariadb.configuration()))
        .arg(argument("--datadir=", folder))
        .arg(format!("--port={port}"))
        // Also for the moment before the server goes there itself.
        .current_dir(folder);
    command.stdout(log.try_clone()?).stderr(Stdio::from(log));
    process::spawn(command, Signal::KILL).await
}

/// The server's log lies beside its data folder, and outlives it.
fn log_path(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::Authority;
    use super::*;
    use crate::process::StateFolder;

    #[tokio::test]
    async fn a_port_that_somebody_else_took_is_noticed() {
        let state = StateFolder::create().unwrap();
        let authority = Authority::create().unwrap();
        let mariadb = MariaDb::new(state.path(), &authority).await.unwrap();
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let folder = mariadb.shared.folder.join("second");
        let mut copy = mariadb.program(Path::new("cp"));
        copy.arg("--archive").arg(mariadb.template()).arg(&folder);
        process::run(copy).await.unwrap();
        let child = launch(&mariadb, &folder, port).await.unwrap();
        let admin = Admin {
            mariadb,
            folder,
            port,
        };
        let mut server = Server {
            admin,
            child,
            front: None,
        };
        assert!(!server.wait_until_ready().await.unwrap());
    }
}
