//! Lets users of IAM into a MariaDB server by a token, as RDS's plugin `AWSAuthenticationPlugin` does, which MariaDB itself
//! has not: a front takes connections, speaks TLS, asks such a user for the token by `mysql_clear_password`, and lets the
//! server go on. Whoever else comes logs in at the server, as without it.
//!
//! Source of the packets: MariaDB's documentation, "Connecting", "Connection Phase".

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::super::{HOST, iam};

/// Capabilities, by MariaDB's names.
mod capability {
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const SSL: u32 = 1 << 11;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
}
/// What a packet from the server is.
const OK: u8 = 0x00;
const ERROR: u8 = 0xff;
const AUTH_SWITCH: u8 = 0xfe;
/// The client's plugin that sends a password as it is.
const CLEAR: &[u8] = b"mysql_clear_password\0";
/// The plugin by which the front logs users of IAM in at the server. They have no password there, and no client learns the
/// server's own port.
const NATIVE: &[u8] = b"mysql_native_password\0";
/// Where the user's name stands in a login: behind capabilities, largest packet, character set and filler.
const NAME_AT: usize = 4 + 4 + 1 + 23;

/// A front; gone when dropped.
#[derive(Debug)]
pub(super) struct Front {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// Opens a front to the server of this data folder, for these users of IAM, under the certificate in another folder.
    pub async fn open(
        folder: &Path,
        users: BTreeSet<String>,
        certificate: &Path,
        region: &str,
    ) -> Result<Front> {
        let pem = fs::read(certificate.join("server.crt"))?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&fs::read(certificate.join("server.key"))?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let socket = Socket::of(folder)?;
        let shared = Arc::new((socket, users, acceptor, region.to_owned()));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (socket, users, acceptor, region) = &*shared;
                    // Who goes away in the middle is no news.
                    let _ = serve(client, socket, users, acceptor, (region, port)).await;
                });
            }
        });
        Ok(Front { port, task })
    }
}

/// The server's socket. The path of one may be too long for the system; that through the open folder is not.
struct Socket {
    _folder: File,
    path: PathBuf,
}

impl Socket {
    fn of(folder: &Path) -> Result<Socket> {
        let file = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/mysqld.sock", file.as_raw_fd()));
        Ok(Socket {
            _folder: file,
            path,
        })
    }
}

/// A packet: its number in the exchange, and what it holds.
struct Packet {
    number: u8,
    content: Vec<u8>,
}

impl Packet {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Packet> {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let [a, b, c, number] = head;
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let mut content = vec![0; length];
        stream.read_exact(&mut content).await?;
        Ok(Packet { number, content })
    }

    async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let length = u32::try_from(self.content.len())?.to_le_bytes();
        let bytes = [&length[..3], &[self.number], &self.content].concat();
        stream.write_all(&bytes).await?;
        Ok(stream.flush().await?)
    }
}

async fn serve(
    mut client: TcpStream,
    socket: &Socket,
    users: &BTreeSet<String>,
    acceptor: &TlsAcceptor,
    (region, port): (&str, u16),
) -> Result<()> {
    let mut server = UnixStream::connect(&socket.path).await?;
    let mut greeting = Packet::read(&mut server).await?;
    offer_tls(&mut greeting.content)?;
    greeting.write(&mut client).await?;
    let asked = Packet::read(&mut client).await?;
    let wants_tls = capabilities(&asked.content)? & capability::SSL != 0;
    ensure!(
        wants_tls && asked.content.len() == NAME_AT,
        "no TLS is asked for"
    );
    let mut client = acceptor.accept(client).await?;

    let mut login = Packet::read(&mut client).await?;
    let mut said = Login::read(&login.content)?;
    // The request for TLS was a packet more for the client than there is for the server.
    let mut ahead = 1;
    if users.contains(&said.user) {
        let ask = Packet {
            number: login.number + 1,
            content: [&[AUTH_SWITCH], CLEAR].concat(),
        };
        ask.write(&mut client).await?;
        let token = Packet::read(&mut client).await?;
        let text = token.content.strip_suffix(b"\0").unwrap_or(&token.content);
        let text = String::from_utf8_lossy(text);
        if iam::verify(&text, region, HOST, port, &said.user).is_err() {
            return refuse(&mut client, &said.user, token.number + 1).await;
        }
        said.password.clear();
        said.plugin = NATIVE.to_vec();
        ahead += 2;
    }
    login.content = said.written();
    login.number = 1;
    login.write(&mut server).await?;
    // Until the server has let the user in, or has not.
    loop {
        let mut answer = Packet::read(&mut server).await?;
        answer.number += ahead;
        let is_last = matches!(answer.content.first(), Some(&OK | &ERROR) | None);
        answer.write(&mut client).await?;
        if is_last {
            break;
        }
        let mut more = Packet::read(&mut client).await?;
        more.number -= ahead;
        more.write(&mut server).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// What RDS says when the token is not good.
async fn refuse(client: &mut (impl AsyncWrite + Unpin), user: &str, number: u8) -> Result<()> {
    let words = format!("#28000Access denied for user '{user}'@'localhost' (using password: YES)");
    let content = [&[ERROR], &1045_u16.to_le_bytes()[..], words.as_bytes()].concat();
    Packet { number, content }.write(client).await
}

/// Sets the capability in a greeting: after the protocol's and the server's version come the thread's id (4 bytes), the
/// first part of the scramble (8) and a zero.
fn offer_tls(greeting: &mut [u8]) -> Result<()> {
    let version = greeting.iter().skip(1).position(|byte| *byte == 0);
    let at = version.context("the server says no version")? + 2 + 4 + 8 + 1;
    let [low, high] = greeting
        .get_mut(at..at + 2)
        .context("the greeting is short")?
    else {
        unreachable!("a range of two")
    };
    let offered = u16::from_le_bytes([*low, *high]) | capability::SSL as u16;
    [*low, *high] = offered.to_le_bytes();
    Ok(())
}

fn capabilities(login: &[u8]) -> Result<u32> {
    let bytes = login.first_chunk().context("the login is short")?;
    Ok(u32::from_le_bytes(*bytes))
}

/// What a client says to log in.
struct Login {
    /// Up to the user's name.
    head: Vec<u8>,
    user: String,
    password: Vec<u8>,
    /// The database, with the zero that ends it; empty if none.
    database: Vec<u8>,
    /// The plugin's name, with the zero that ends it.
    plugin: Vec<u8>,
    /// What follows.
    rest: Vec<u8>,
}

impl Login {
    fn read(content: &[u8]) -> Result<Login> {
        let flags = capabilities(content)?;
        let is_new = flags & capability::PLUGIN_AUTH != 0;
        ensure!(is_new, "the client knows no plugins");
        let (head, rest) = content
            .split_at_checked(NAME_AT)
            .context("the login is short")?;
        let (user, rest) = to_zero(rest)?;
        let (length, rest) = rest.split_first().context("there is no password")?;
        // Longer ones are not sent at first.
        ensure!(*length < 0xfb, "the password is too long");
        let (password, rest) = rest
            .split_at_checked((*length).into())
            .context("the password is short")?;
        let (database, rest) = if flags & capability::CONNECT_WITH_DB != 0 {
            to_zero(rest)?
        } else {
            (&[][..], rest)
        };
        let (plugin, rest) = to_zero(rest)?;
        let mut head = head.to_vec();
        // The way to the server is a socket of this machine.
        let flags = flags & !capability::SSL;
        head[..4].copy_from_slice(&flags.to_le_bytes());
        Ok(Login {
            head,
            user: String::from_utf8(user.strip_suffix(b"\0").unwrap_or(user).to_vec())?,
            password: password.to_vec(),
            database: database.to_vec(),
            plugin: plugin.to_vec(),
            rest: rest.to_vec(),
        })
    }

    fn written(&self) -> Vec<u8> {
        let length = self.password.len() as u8;
        [
            &self.head[..],
            self.user.as_bytes(),
            b"\0",
            &[length],
            &self.password,
            &self.database,
            &self.plugin,
            &self.rest,
        ]
        .concat()
    }
}

/// Up to and with the first zero, and what follows.
fn to_zero(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0);
    Ok(bytes.split_at(end.context("a text does not end")? + 1))
}
