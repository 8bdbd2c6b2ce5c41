//! PostgreSQL: what all servers share, dumps (`pg_dump`) and servers made of them (`pg_restore`).

mod cluster;
mod directory;
mod sample;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};

pub use cluster::{Admin, Server};

use super::{Authority, SUPERUSER};
use crate::process::{self, Signal, User, write_private};

/// The PostgreSQL of this machine: its programs, a prepared cluster that every server starts as a
/// copy of, and the certificate authority that signs every server's certificate. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Postgres {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    programs: PathBuf,
    user: Option<User>,
    folder: PathBuf,
    authority: Arc<Authority>,
    /// The port of the directory that knows tokens of IAM.
    directory: u16,
    dumps: AtomicU32,
}

/// A dump of one database, and the server's roles as SQL.
#[derive(Clone, Debug)]
pub struct Dump {
    postgres: Postgres,
    pub(super) database: String,
    data: PathBuf,
    roles: Arc<str>,
    pub(super) size: u64,
}

impl Postgres {
    /// Finds PostgreSQL and prepares what all servers share, in a folder of its own below `state_dir`.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or `initdb` fails.
    pub async fn new(state_dir: &Path) -> Result<Postgres> {
        let programs = find_programs(
            std::env::var_os("PATH").as_deref(),
            Path::new("/usr/lib/postgresql"),
        )?;
        let user = User::unprivileged()?;
        let folder = state_dir.join("pg");
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if let Some(user) = &user {
            user.give(&folder)?;
        }
        let authority = Arc::new(Authority::create()?);
        let postgres = Postgres {
            shared: Arc::new(Shared {
                programs,
                user,
                folder,
                authority,
                directory: directory::start()?,
                dumps: AtomicU32::new(0),
            }),
        };
        postgres.prepare().await?;
        Ok(postgres)
    }

    /// The certificate (PEM) of the authority that signed every server's certificate.
    #[must_use]
    pub fn ca_certificate_pem(&self) -> &str {
        self.shared.authority.certificate_pem()
    }

    /// That authority, for servers of another engine beside these.
    #[must_use]
    pub fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.shared.authority)
    }

    /// `initdb`, once: servers start as a copy of its result, which takes a tenth of the time.
    async fn prepare(&self) -> Result<()> {
        let template = self.template();
        let mut initdb = self.program("initdb");
        initdb
            .arg("--pgdata")
            .arg(&template)
            .args([
                "--username",
                SUPERUSER,
                "--auth",
                "trust",
                "--encoding",
                "UTF8",
                "--no-locale",
            ])
            // One megabyte instead of sixteen: less to copy for every server.
            .args(["--wal-segsize", "1", "--no-sync", "--no-instructions"]);
        process::run(initdb).await?;
        let configuration = format!(
            "listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = '{}'\n\
             unix_socket_permissions = 0700\n\
             ssl = on\n\
             ssl_cert_file = 'server.crt'\n\
             ssl_key_file = 'server.key'\n\
             password_encryption = 'scram-sha-256'\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             log_connections = on\n\
             # A statement that fails may hold a password.\n\
             log_min_error_statement = panic\n\
             max_connections = 20\n\
             shared_buffers = '32MB'\n\
             min_wal_size = '2MB'\n\
             max_wal_size = '64MB'\n\
             wal_level = minimal\n\
             max_wal_senders = 0\n\
             jit = off\n\
             # A copy that lives for seconds: what is lost in a power cut is not missed.\n\
             fsync = off\n\
             synchronous_commit = off\n\
             full_page_writes = off\n",
            self.shared.folder.display(),
        );
        let user = self.shared.user.as_ref();
        let authority = &self.shared.authority;
        write_private(
            &template.join("postgresql.conf"),
            configuration.as_bytes(),
            user,
        )?;
        write_private(
            &template.join("server.crt"),
            authority.server_certificate().as_bytes(),
            user,
        )?;
        write_private(
            &template.join("server.key"),
            authority.server_key().as_bytes(),
            user,
        )
    }

    /// Starts an empty server; `name` is that of its folder and must be new.
    ///
    /// # Errors
    /// When the name is taken, or the server does not come up.
    pub async fn start_server(&self, name: &str) -> Result<Server> {
        self.start(name, None).await
    }

    async fn start(&self, name: &str, tokens_of: Option<&str>) -> Result<Server> {
        Server::start(self, name, tokens_of)
            .await
            .with_context(|| format!("cannot start the PostgreSQL server `{name}`"))
    }

    /// Dumps a database of a running server, with the server's roles.
    ///
    /// # Errors
    /// When `pg_dump` fails, for example because there is no such database.
    pub async fn dump(&self, server: &Server, database: &str) -> Result<super::Dump> {
        let number = self.shared.dumps.fetch_add(1, Ordering::Relaxed);
        let data = self.shared.folder.join(format!("{number}.dump"));
        let mut pg_dump = self.program("pg_dump");
        // Compressing costs more time than it saves on files that live for a minute.
        pg_dump
            .args(["--format", "custom", "--compress", "0", "--file"])
            .arg(&data);
        pg_dump
            .args(server.admin().connection_arguments())
            .arg(database);
        let mut pg_dumpall = self.program("pg_dumpall");
        pg_dumpall
            .args(["--roles-only", "--no-comments"])
            .args(server.admin().connection_arguments());
        let (dumped, roles) = tokio::join!(process::run(pg_dump), process::run(pg_dumpall));
        dumped.with_context(|| format!("cannot dump database `{database}`"))?;
        let roles = String::from_utf8(roles.context("cannot dump the roles")?)
            .context("roles are not UTF-8")?;
        let size = fs::metadata(&data)
            .with_context(|| format!("cannot read {}", data.display()))?
            .len();
        Ok(super::Dump::Postgres(Dump {
            postgres: self.clone(),
            database: database.to_owned(),
            data,
            roles: without_superuser(&roles).into(),
            size,
        }))
    }

    fn template(&self) -> PathBuf {
        self.shared.folder.join("template")
    }

    /// One of PostgreSQL's programs, ready for arguments. Servers get SIGQUIT at our death, which
    /// ends a server and all its processes at once and in order.
    fn program(&self, name: &str) -> tokio::process::Command {
        let mut command = process::command(
            &self.shared.programs.join(name),
            self.shared.user.as_ref(),
            Signal::QUIT,
        );
        command
            .current_dir(&self.shared.folder)
            .env("LC_ALL", "C.UTF-8")
            .env("PGTZ", "UTC");
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
        if !self.roles.contains(&format!("CREATE ROLE {master_user};")) {
            bail!(
                "the dump of database `{}` has no role `{master_user}`",
                self.database
            );
        }
        let server = self.postgres.start(name, tokens_of).await?;
        let load = async {
            server
                .execute("postgres", &self.roles)
                .await
                .context("cannot create the roles")?;
            let create = format!(
                "CREATE DATABASE \"{}\" OWNER \"{master_user}\";",
                self.database
            );
            server.execute("postgres", &create).await?;
            let mut pg_restore = self.postgres.program("pg_restore");
            pg_restore.args(["--exit-on-error", "--jobs", "2", "--dbname", &self.database]);
            pg_restore
                .args(server.admin().connection_arguments())
                .arg(&self.data);
            process::run(pg_restore).await
        };
        match load.await {
            Ok(_) => Ok(server),
            Err(error) => {
                server.stop().await;
                Err(error.context(format!(
                    "cannot restore database `{}` into server `{name}`",
                    self.database
                )))
            }
        }
    }
}

/// What `pg_dumpall --roles-only` says of the superuser is left out: every server has one already.
fn without_superuser(roles: &str) -> String {
    let about_it = [
        format!("CREATE ROLE {SUPERUSER};"),
        format!("ALTER ROLE {SUPERUSER} "),
    ];
    let kept = roles.lines().filter(|line| {
        !about_it
            .iter()
            .any(|start| line.starts_with(start.as_str()))
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// The folder with PostgreSQL's programs: one of PATH, else the newest version where Debian has them.
fn find_programs(path: Option<&std::ffi::OsStr>, versions: &Path) -> Result<PathBuf> {
    let needed = [
        "initdb",
        "postgres",
        "pg_dump",
        "pg_dumpall",
        "pg_restore",
        "psql",
    ];
    let complete = |folder: &PathBuf| {
        needed.iter().all(|name| {
            fs::metadata(folder.join(name))
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    };
    if let Some(found) = path.and_then(|path| std::env::split_paths(path).find(complete)) {
        return Ok(found);
    }
    let mut installed: Vec<(u32, PathBuf)> = fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    installed.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    match installed
        .into_iter()
        .map(|(_, folder)| folder)
        .find(complete)
    {
        Some(found) => Ok(found),
        None => bail!(
            "PostgreSQL is not installed: no folder of PATH and none below {} has all of {}; on Debian and Ubuntu: apt-get install postgresql",
            versions.display(),
            needed.join(", "),
        ),
    }
}

#[cfg(test)]
mod tests;
