//! Servers that do not keep to the rules, and listeners that nobody may call.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What a server does with a connection after it has read the request. An error ends the connection: the client left.
pub type Behaviour = Box<dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync>;

/// A server on an address of a restored machine. It takes no more connections when it is dropped.
pub struct Server {
    /// Its port.
    pub port: u16,
    socket: SocketAddr,
    ended: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Listens on a free port; what it does may depend on the port.
    pub fn start(address: &str, behaviour: impl FnOnce(u16) -> Behaviour) -> Server {
        Server::on(&format!("{address}:0"), behaviour).unwrap()
    }

    /// Listens where it is told to.
    pub fn on(socket: &str, behaviour: impl FnOnce(u16) -> Behaviour) -> io::Result<Server> {
        let listener = TcpListener::bind(socket)?;
        let socket = listener.local_addr()?;
        let port = socket.port();
        let ended = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&ended);
        let behaviour: Arc<Behaviour> = Arc::new(behaviour(port));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::SeqCst) {
                    break;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let behaviour = Arc::clone(&behaviour);
                let Ok(mut stream) = stream else { continue };
                thread::spawn(move || {
                    let _ = behaviour(&mut stream);
                });
            }
        });
        Ok(Server {
            port,
            socket,
            ended,
            connections,
        })
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.socket);
    }
}

/// Reads a request; what its head says. Its body is read as well: a connection that is closed with something unread is
/// reset, and the answer may be lost with it.
pub fn request(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        length.then(|| value.trim().parse().ok())?
    });
    io::copy(&mut stream.take(length.unwrap_or(0)), &mut io::sink())?;
    Ok(head)
}

/// Answers with these bytes and closes.
pub fn says(bytes: impl Into<Vec<u8>>) -> Behaviour {
    let bytes = bytes.into();
    Box::new(move |stream| {
        request(stream)?;
        stream.write_all(&bytes)
    })
}

/// A whole answer of status 200 with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Behaviour {
    answers("", body)
}

/// A whole answer of status 200 with further headers.
pub fn answers(headers: &str, body: impl AsRef<[u8]>) -> Behaviour {
    let body = body.as_ref();
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    says(bytes)
}

/// Redirects to there.
pub fn redirects(to: impl AsRef<str>) -> Behaviour {
    let to = to.as_ref();
    says(format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// Says the first, then the second for ever, as fast as it is read.
pub fn floods(first: &'static str, second: impl Into<Vec<u8>>) -> Behaviour {
    let mut chunk: Vec<u8> = second.into();
    while chunk.len() < 32 << 10 {
        chunk.extend_from_within(..);
    }
    Box::new(move |stream| {
        request(stream)?;
        stream.write_all(first.as_bytes())?;
        loop {
            stream.write_all(&chunk)?;
        }
    })
}

/// Says the first, then one byte of the second a second.
pub fn drips(first: &'static str, second: &'static str) -> Behaviour {
    Box::new(move |stream| {
        request(stream)?;
        stream.write_all(first.as_bytes())?;
        for byte in second.bytes().cycle() {
            stream.write_all(&[byte])?;
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    })
}

/// Never says anything.
pub fn is_silent() -> Behaviour {
    Box::new(|stream| {
        io::copy(stream, &mut io::sink())?;
        Ok(())
    })
}

/// Closes at once.
pub fn closes() -> Behaviour {
    Box::new(|_| Ok(()))
}

/// A gzip file of a mebibyte that unpacks to more than 160 MiB of NUL bytes (RFC 1951, a block of fixed codes: a literal
/// and its repetitions).
pub fn gzip_bomb() -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let (mut held, mut count) = (0_u64, 0);
    let mut put = |bits: &str, bytes: &mut Vec<u8>| {
        for bit in bits.bytes() {
            held |= u64::from(bit == b'1') << count;
            count += 1;
            if count == 8 {
                bytes.push(held as u8);
                (held, count) = (0, 0);
            }
        }
    };
    // The last block, of fixed codes; the literal 0.
    put("1", &mut bytes);
    put("10", &mut bytes);
    put("00110000", &mut bytes);
    while bytes.len() < 1 << 20 {
        // 258 bytes, from one byte back.
        put("1100010100000", &mut bytes);
    }
    put("0000000", &mut bytes);
    put("0000000", &mut bytes);
    bytes.extend_from_slice(&[0; 8]);
    bytes
}
