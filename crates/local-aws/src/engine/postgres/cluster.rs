//! One running server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::super::{START_PATIENCE, SUPERUSER, check_name, free_port, iam, tail};
use super::{Postgres, directory};
use crate::process::{self, Child, Signal};

/// A running PostgreSQL server of our own. Stopped at once when dropped.
#[derive(Debug)]
pub struct Server {
    admin: Admin,
    child: Child,
}

/// The superuser's way into a server.
#[derive(Clone, Debug)]
pub struct Admin {
    postgres: Postgres,
    folder: PathBuf,
    pub(in crate::engine) port: u16,
}

impl Server {
    pub(super) async fn start(
        postgres: &Postgres,
        name: &str,
        tokens_of: Option<&str>,
    ) -> Result<Server> {
        check_name(name, &["template"])?;
        let folder = postgres.shared.folder.join(name);
        if folder.exists() {
            bail!("the folder {} exists already", folder.display());
        }
        let mut copy =
            process::command(Path::new("cp"), postgres.shared.user.as_ref(), Signal::KILL);
        copy.args(["--archive", "--reflink=auto"])
            .arg(postgres.template())
            .arg(&folder);
        copy.current_dir(&postgres.shared.folder);
        process::run(copy).await?;
        // Between our finding a free port and the server's taking it somebody else may have it.
        for _ in 0..5 {
            let port = free_port()?;
            write_access(postgres, &folder, port, tokens_of)?;
            let child = launch(postgres, &folder, port).await?;
            let admin = Admin {
                postgres: postgres.clone(),
                folder: folder.clone(),
                port,
            };
            let mut server = Server { admin, child };
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
        let folder = &self.admin.folder;
        let status = folder.join("postmaster.pid");
        loop {
            // Its eighth line says `ready` (PostgreSQL, src/include/utils/pidfile.h).
            let ready = fs::read_to_string(&status).is_ok_and(|text| {
                text.lines()
                    .nth(7)
                    .is_some_and(|line| line.trim() == "ready")
            });
            if ready {
                return Ok(true);
            }
            if self.child.has_ended() {
                let log = tail(&log_path(folder));
                if log.contains("could not create any TCP/IP sockets")
                    || log.contains("Address already in use")
                {
                    return Ok(false);
                }
                bail!("it ended at once; its log: {log}");
            }
            if started.elapsed() > START_PATIENCE {
                bail!(
                    "it is not ready after {} s; its log: {}",
                    START_PATIENCE.as_secs(),
                    tail(&log_path(folder))
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The superuser's way in.
    pub(in crate::engine) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Runs SQL as the superuser in a database, stopping at the first error, and returns the rows:
    /// one per line, columns separated by `|`.
    ///
    /// # Errors
    /// PostgreSQL's message.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<String> {
        self.admin.execute(database, sql).await
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
        self.execute_with(database, sql, &[]).await
    }

    pub(in crate::engine) async fn set_password(&self, user: &str, password: &str) -> Result<()> {
        let sql = "ALTER ROLE :\"user\" PASSWORD :'password';";
        let variables = [("user", user), ("password", password)];
        self.execute_with("postgres", sql, &variables).await?;
        Ok(())
    }

    /// [`Admin::execute`] with variables for psql's `:'name'` notation.
    pub(super) async fn execute_with(
        &self,
        database: &str,
        sql: &str,
        variables: &[(&str, &str)],
    ) -> Result<String> {
        // By a file, not on the command line: psql reads variables only there, and other users of
        // the machine can read command lines, while SQL may hold a password.
        let script = tempfile::Builder::new()
            .prefix("sql-")
            .tempfile_in(&self.folder)?;
        let mut content = String::new();
        for (name, value) in variables {
            content.push_str(&format!(
                "\\set {name} '{}'\n",
                value.replace('\\', "\\\\").replace('\'', "''")
            ));
        }
        content.push_str(sql);
        process::write_private(
            script.path(),
            content.as_bytes(),
            self.postgres.shared.user.as_ref(),
        )?;
        let mut psql = self.postgres.program("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set",
            "ON_ERROR_STOP=1",
        ]);
        psql.args(["--dbname", database])
            .args(self.connection_arguments());
        psql.arg("--file").arg(script.path());
        let printed = process::run(psql).await?;
        Ok(String::from_utf8_lossy(&printed).trim_end().to_owned())
    }

    /// For PostgreSQL's own programs: how to reach this server as the superuser.
    pub(super) fn connection_arguments(&self) -> [String; 6] {
        let folder = self.postgres.shared.folder.display().to_string();
        [
            "--host".into(),
            folder,
            "--port".into(),
            self.port.to_string(),
            "--username".into(),
            SUPERUSER.into(),
        ]
    }
}

/// Who may log in, and how. As on RDS, members of `rds_iam` have no password.
fn write_access(
    postgres: &Postgres,
    folder: &Path,
    port: u16,
    tokens_of: Option<&str>,
) -> Result<()> {
    let by_token = match tokens_of {
        Some(region) => directory::rule(postgres.shared.directory, port, region),
        None => format!("hostssl all +{} all reject\n", iam::ROLE),
    };
    let access = format!(
        "local   all all                trust\n\
         hostssl all {SUPERUSER} all reject\n\
         {by_token}\
         hostssl all all      all       scram-sha-256\n"
    );
    let user = postgres.shared.user.as_ref();
    process::write_private(&folder.join("pg_hba.conf"), access.as_bytes(), user)
}

async fn launch(postgres: &Postgres, folder: &Path, port: u16) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log_path(folder))
        .with_context(|| format!("cannot write {}", log_path(folder).display()))?;
    let mut command = postgres.program("postgres");
    command
        .arg("-D")
        .arg(folder)
        .args(["-p", &port.to_string()]);
    command.stdout(log.try_clone()?).stderr(Stdio::from(log));
    process::spawn(command, Signal::QUIT).await
}

/// The server's log lies beside its data folder, and outlives it.
fn log_path(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::process::StateFolder;

    #[tokio::test]
    async fn a_port_that_somebody_else_took_is_noticed() {
        let state = StateFolder::create().unwrap();
        let postgres = Postgres::new(state.path()).await.unwrap();
        let first = Server::start(&postgres, "first", None).await.unwrap();
        assert!(Server::start(&postgres, "first", None).await.is_err());
        let folder = postgres.shared.folder.join("second");
        let mut copy =
            process::command(Path::new("cp"), postgres.shared.user.as_ref(), Signal::KILL);
        copy.arg("--archive")
            .arg(postgres.template())
            .arg(&folder)
            .current_dir("/");
        process::run(copy).await.unwrap();

        let port = first.admin.port;
        let child = launch(&postgres, &folder, port).await.unwrap();
        let admin = Admin {
            postgres: postgres.clone(),
            folder,
            port,
        };
        let mut second = Server { admin, child };
        assert!(!second.wait_until_ready().await.unwrap());
        first.stop().await;
    }
}
