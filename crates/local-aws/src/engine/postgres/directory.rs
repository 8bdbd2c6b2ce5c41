//! Where a PostgreSQL server asks whether a token of IAM is good. RDS has a PAM module of its own, which would have to be
//! installed in the system; a server can as well ask a directory on this machine, by LDAP's simple bind (RFC 4511), and
//! the user is let in when the bind succeeds.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::engine::iam;

/// Tags of BER that a bind has (RFC 4511, section 4.2).
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTETS: u8 = 0x04;
    pub const ENUMERATED: u8 = 0x0a;
    pub const SEQUENCE: u8 = 0x30;
    pub const BIND_REQUEST: u8 = 0x60;
    pub const BIND_RESPONSE: u8 = 0x61;
    pub const SIMPLE: u8 = 0x80;
}
/// LDAP's result codes (RFC 4511, section 4.1.9).
const SUCCESS: u8 = 0;
const INVALID_CREDENTIALS: u8 = 49;
/// The longest message that is read, bytes: PostgreSQL takes passwords of 64 KiB.
const LONGEST_MESSAGE: usize = 128 << 10;

/// Starts the directory; returns its port. It ends with this process.
pub(super) fn start() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    let port = listener.local_addr()?.port();
    std::thread::Builder::new()
        .name("directory".to_owned())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who says nothing sensible is hung up on.
                let _ = answer(stream);
            }
        })?;
    Ok(port)
}

/// The line of `pg_hba.conf` that lets members of the role in by a token, at a server of this port and Region.
pub(super) fn rule(directory: u16, port: u16, region: &str) -> String {
    format!(
        "hostssl all +{} all ldap ldapserver=127.0.0.1 ldapport={directory} ldapprefix=\"{region}:{port}:\"\n",
        iam::ROLE
    )
}

/// Answers one bind.
fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let message = read_message(&mut stream)?;
    let (id, result) = judge(&message).context("not a simple bind")?;
    let response = ber(
        tag::BIND_RESPONSE,
        &[
            ber(tag::ENUMERATED, &[result]),
            ber(tag::OCTETS, &[]),
            ber(tag::OCTETS, &[]),
        ]
        .concat(),
    );
    let message = ber(tag::SEQUENCE, &[ber(tag::INTEGER, id), response].concat());
    stream.write_all(&message)?;
    // The server hangs up, after an unbind.
    let _ = stream.read_to_end(&mut Vec::new());
    Ok(())
}

/// The bind's id, and what comes of it. The name is the server's Region and port, and the user.
fn judge(message: &[u8]) -> Option<(&[u8], u8)> {
    let (id, rest) = part(message, tag::INTEGER)?;
    let (bind, _) = part(rest, tag::BIND_REQUEST)?;
    let (_version, rest) = part(bind, tag::INTEGER)?;
    let (name, rest) = part(rest, tag::OCTETS)?;
    let (token, _) = part(rest, tag::SIMPLE)?;
    let (name, token) = (str::from_utf8(name).ok()?, str::from_utf8(token).ok()?);
    let (region, rest) = name.split_once(':')?;
    let (port, user) = rest.split_once(':')?;
    let verified = iam::verify(token, region, crate::engine::HOST, port.parse().ok()?, user);
    let result = if verified.is_ok() {
        SUCCESS
    } else {
        INVALID_CREDENTIALS
    };
    Some((id, result))
}

/// The content of a message.
fn read_message(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    anyhow::ensure!(head[0] == tag::SEQUENCE, "not LDAP");
    let length = match head[1] {
        short if short < 0x80 => usize::from(short),
        long => {
            let mut bytes = vec![0; usize::from(long & 0x7f).min(4)];
            stream.read_exact(&mut bytes)?;
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
    };
    anyhow::ensure!(length <= LONGEST_MESSAGE, "{length} bytes are too many");
    let mut content = vec![0; length];
    stream.read_exact(&mut content)?;
    Ok(content)
}

/// The content of what comes first, which must have this tag, and what follows.
fn part(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let length = length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        (length, rest)
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// One value, of at most 127 bytes.
fn ber(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag, content.len().try_into().unwrap_or(0x7f)];
    bytes.extend_from_slice(content);
    bytes
}
