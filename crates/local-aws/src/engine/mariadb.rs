//! MariaDB, for RDS's engines `mysql` and `mariadb`: what all servers share, and dumps.
//!
//! A dump is a copy of a data folder at rest, like the storage snapshot that a backup of RDS is: a
//! restored server starts with it in the time a copy takes.

mod front;
mod sample;
mod server;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

pub use server::{Admin, Server};

use super::{Authority, SUPERUSER};
use crate::process::{self, Signal, User, write_private};

/// The MariaDB of this machine: its programs, a prepared data folder that every server starts as a
/// copy of, and the certificate every server has. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MariaDb {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    programs: Programs,
    user: Option<User>,
    folder: PathBuf,
    dumps: AtomicU32,
}

#[derive(Debug, PartialEq, Eq)]
struct Programs {
    server: PathBuf,
    install: PathBuf,
    client: PathBuf,
}

/// A data folder at rest, with the names of its users.
#[derive(Clone, Debug)]
pub struct Dump {
    mariadb: MariaDb,
    pub(super) database: String,
    data: PathBuf,
    users: Arc<[String]>,
    pub(super) size: u64,
}

impl MariaDb {
    /// Finds MariaDB and prepares what all servers share, in a folder of its own below `state_dir`.
    /// Their certificate is `authority`'s.
    ///
    /// # Errors
    /// When MariaDB is not installed, or its data folder cannot be prepared.
    pub async fn new(state_dir: &Path, authority: &Authority) -> Result<MariaDb> {
        let programs = Programs::find(std::env::var_os("PATH").as_deref())?;
        let user = User::unprivileged()?;
        let folder = state_dir.join("my");
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Sockets of MariaDB are open to everybody: the folder keeps them to ourselves.
        fs::set_permissions(&folder, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {}", folder.display()))?;
        if let Some(user) = &user {
            user.give(&folder)?;
        }
        let mariadb = MariaDb {
            shared: Arc::new(Shared {
                programs,
                user,
                folder,
                dumps: AtomicU32::new(0),
            }),
        };
        mariadb.prepare(authority).await?;
        Ok(mariadb)
    }

    /// System tables and configuration, once.
    async fn prepare(&self, authority: &Authority) -> Result<()> {
        let folder = &self.shared.folder;
        let user = self.shared.user.as_ref();
        let place = folder.display();
        let configuration = format!(
            "[mysqld]\n\
             bind-address = 127.0.0.1\n\
             skip-name-resolve\n\
             # Below the data folder, which is a server's working directory.\n\
             socket = mysqld.sock\n\
             pid-file = mysqld.pid\n\
             tmpdir = {place}\n\
             ssl-cert = {place}/server.crt\n\
             ssl-key = {place}/server.key\n\
             require-secure-transport = on\n\
             default-time-zone = +00:00\n\
             character-set-server = utf8mb4\n\
             collation-server = utf8mb4_unicode_ci\n\
             skip-log-bin\n\
             max-connections = 20\n\
             table-open-cache = 400\n\
             open-files-limit = 1024\n\
             key-buffer-size = 1M\n\
             aria-pagecache-buffer-size = 1M\n\
             innodb-buffer-pool-size = 32M\n\
             innodb-log-file-size = 8M\n\
             innodb-log-buffer-size = 2M\n\
             innodb-data-file-path = ibdata1:4M:autoextend\n\
             innodb-autoextend-increment = 1\n\
             innodb-temp-data-file-path = ibtmp1:4M:autoextend\n\
             innodb-buffer-pool-dump-at-shutdown = off\n\
             innodb-buffer-pool-load-at-startup = off\n\
             # Many systems allow few of the kernel's, for all processes together.\n\
             innodb-use-native-aio = off\n\
             # A copy that lives for seconds: what is lost in a power cut is not missed.\n\
             innodb-flush-method = nosync\n\
             innodb-flush-log-at-trx-commit = 0\n\
             innodb-doublewrite = off\n"
        );
        // The installation's one user becomes the service's; by this name and `localhost` only
        // the socket is meant, since names of hosts are not resolved.
        let accounts = format!(
            "UPDATE mysql.global_priv SET User = '{SUPERUSER}' WHERE User = 'root' AND Host = 'localhost';\n\
             DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\n"
        );
        write_private(&self.configuration(), configuration.as_bytes(), user)?;
        write_private(
            &folder.join("server.crt"),
            authority.server_certificate().as_bytes(),
            user,
        )?;
        write_private(
            &folder.join("server.key"),
            authority.server_key().as_bytes(),
            user,
        )?;
        let extra = folder.join("accounts.sql");
        write_private(&extra, accounts.as_bytes(), user)?;
        let mut install = self.program(&self.shared.programs.install);
        install
            .arg(argument("--defaults-file=", &self.configuration()))
            .arg(argument("--datadir=", &self.template()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(argument("--extra-file=", &extra));
        process::run(install)
            .await
            .context("cannot prepare MariaDB's data folder")?;
        Ok(())
    }

    /// Starts an empty server; `name` is that of its folder and must be new.
    ///
    /// # Errors
    /// When the name is taken, or the server does not come up.
    pub async fn start_server(&self, name: &str) -> Result<Server> {
        self.start_from(&self.template(), name).await
    }

    async fn start_from(&self, data: &Path, name: &str) -> Result<Server> {
        Server::start(self, data, name)
            .await
            .with_context(|| format!("cannot start the MariaDB server `{name}`"))
    }

    /// Stops a server in good order; what it leaves is a dump of its data and users. `database` is
    /// the one that matters.
    ///
    /// # Errors
    /// When it has no such database, or does not stop.
    pub async fn dump(&self, server: Server, database: &str) -> Result<super::Dump> {
        let databases = server.execute("mysql", "SHOW DATABASES").await?;
        if !databases.lines().any(|known| known == database) {
            bail!("there is no database `{database}`");
        }
        let users = server
            .execute("mysql", "SELECT DISTINCT User FROM global_priv")
            .await?;
        let number = self.shared.dumps.fetch_add(1, Ordering::Relaxed);
        let data = self.shared.folder.join(format!("{number}.dump"));
        server.rest(&data).await?;
        Ok(super::Dump::MariaDb(Dump {
            mariadb: self.clone(),
            database: database.to_owned(),
            size: size(&data)?,
            data,
            users: users.lines().map(str::to_owned).collect(),
        }))
    }

    fn template(&self) -> PathBuf {
        self.shared.folder.join("template")
    }

    fn configuration(&self) -> PathBuf {
        self.shared.folder.join("my.cnf")
    }

    /// One of MariaDB's programs, ready for arguments. Nobody misses what a server had in memory, so
    /// that it is simply killed at our death.
    fn program(&self, program: &Path) -> tokio::process::Command {
        let mut command = process::command(program, self.shared.user.as_ref(), Signal::KILL);
        command
            .current_dir(&self.shared.folder)
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Dump {
    pub(super) async fn restore(
        &self,
        name: &str,
        master_user: &str,
        tokens_of: Option<&str>,
    ) -> Result<Server> {
        if !self.users.iter().any(|user| user == master_user) {
            bail!(
                "the dump of database `{}` has no user `{master_user}`",
                self.database
            );
        }
        let server = self.mariadb.start_from(&self.data, name).await?;
        match tokens_of {
            Some(region) => server.take_tokens(region).await,
            None => Ok(server),
        }
    }
}

impl Programs {
    /// In the folders of PATH and, since servers are not for everybody to call, those that hold them.
    fn find(path: Option<&OsStr>) -> Result<Programs> {
        let mut folders: Vec<PathBuf> = path
            .map(|path| std::env::split_paths(path).collect())
            .unwrap_or_default();
        folders.extend(["/usr/sbin", "/usr/local/sbin", "/usr/libexec"].map(PathBuf::from));
        let find = |name: &str| {
            let found = folders.iter().map(|folder| folder.join(name)).find(|file| {
                fs::metadata(file)
                    .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
            });
            found.with_context(|| {
                format!(
                    "MariaDB is not installed: no folder of PATH has {name}; on Debian and Ubuntu: \
                     apt-get install mariadb-server"
                )
            })
        };
        Ok(Programs {
            server: find("mariadbd")?,
            install: find("mariadb-install-db")?,
            client: find("mariadb")?,
        })
    }
}

/// `--option=path` in one argument.
fn argument(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}

/// What a folder's files take together, bytes.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let meta = entry.metadata()?;
        sum += if meta.is_dir() {
            size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
