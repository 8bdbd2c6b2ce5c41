//! Servers that speak MySQL's protocol and mean no good: no file of ours is read, no password is told to somebody who has not
//! shown who they are, and every check ends in time.

use restore_proof_core::ceiling::Ceiling;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self, Tls};
use restore_proof_core::validation::CheckResult;
use restore_proof_function::check::{self, Access, Certificates, Login, Target};

use super::*;

/// What a server does with a connection. An error ends it: the client left.
type Behaviour = fn(&mut Talk) -> io::Result<()>;

/// A connection, and all that the client said on it.
struct Talk {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Talk {
    fn says(&mut self, sequence: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let header = [length[0], length[1], length[2], sequence];
        self.stream.write_all(&[&header, payload].concat())
    }

    /// Reads one packet.
    fn hears(&mut self) -> io::Result<()> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload)?;
        self.heard.extend(payload);
        Ok(())
    }

    /// The server's first packet (MySQL's internals manual, "Protocol::HandshakeV10"); it cannot encrypt.
    fn greets(&mut self) -> io::Result<()> {
        // LONG_PASSWORD, CONNECT_WITH_DB, LOCAL_FILES, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
        let capabilities = (0x0008_a289_u32).to_le_bytes();
        let mut greeting = b"\x0a8.0.40\0\x07\0\0\0abcdefgh\0".to_vec();
        greeting.extend(&capabilities[..2]);
        greeting.extend([45, 2, 0]);
        greeting.extend(&capabilities[2..]);
        greeting.push(21);
        greeting.extend([0; 10]);
        greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
        self.says(0, &greeting)
    }

    /// Lets anybody in.
    fn lets_in(&mut self) -> io::Result<()> {
        self.greets()?;
        self.hears()?;
        self.says(2, &[0, 0, 0, 2, 0, 0, 0])?;
        self.hears()
    }

    fn listens(&mut self) -> io::Result<()> {
        self.stream.read_to_end(&mut self.heard).map(drop)
    }
}

/// A server of one behaviour. Answers its port, and what each connection's client said.
fn serve(behaviour: Behaviour) -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (say, heard) = channel();
    thread::spawn(move || {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        let mut talk = Talk {
            stream,
            heard: Vec::new(),
        };
        let _ = behaviour(&mut talk);
        let _ = talk.stream.set_read_timeout(Some(Duration::from_secs(10)));
        let _ = talk.listens();
        let _ = say.send(talk.heard);
    });
    (port, heard)
}

/// Runs one check of two seconds against such a server. Answers what became of it, and what the server heard.
async fn ask(tls: Tls, behaviour: Behaviour) -> (CheckResult, Vec<u8>) {
    let (port, heard) = serve(behaviour);
    let text = policy(
        "",
        &[(
            "one",
            "query = \"select 1\"\ntimeout = \"2s\"\nexpect = { min = 1 }",
        )],
    );
    let policy = policy::parse(&text).unwrap();
    let target = Target::Database {
        host: "localhost".to_owned(),
        port,
        engine: "mysql".to_owned(),
        database: Some(SAMPLE_DATABASE.to_owned()),
        settings_differ: false,
    };
    let login = Login::new(READER_USER.to_owned(), PASSWORD.to_owned(), None);
    let access = Access::given(Some(login), tls, Certificates::BuiltIn).unwrap();
    let now = Timestamp::now();
    let clocks = Clocks {
        recovery_point_created: now,
        now,
    };
    let began = Instant::now();
    let left = Duration::from_secs(60);
    let mut ran = check::run(&policy.rules[0], &target, &access, clocks, left).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    let heard = tokio::task::spawn_blocking(move || heard.recv().unwrap());
    (ran.results.remove(0), heard.await.unwrap())
}

fn holds(heard: &[u8], words: &str) -> bool {
    heard
        .windows(words.len())
        .any(|window| window == words.as_bytes())
}

#[track_caller]
fn assert_errored(result: &CheckResult, words: &str) {
    assert_eq!(result.outcome, CheckOutcome::Errored, "{result:#?}");
    assert!(
        result.detail.at(Ceiling::Text).contains(words),
        "{}",
        result.detail.at(Ceiling::Text)
    );
}

#[tokio::test]
async fn a_server_that_cannot_encrypt_is_told_nothing() {
    for tls in [Tls::Verify, Tls::EncryptOnly] {
        let (result, heard) = ask(tls, |talk| {
            talk.greets()?;
            talk.hears()?;
            talk.says(2, &[0, 0, 0, 2, 0, 0, 0])?;
            talk.hears()
        })
        .await;
        assert_errored(&result, "");
        assert!(!holds(&heard, PASSWORD), "{heard:?}");
        assert!(!holds(&heard, READER_USER), "{heard:?}");
        assert!(!holds(&heard, "select"), "{heard:?}");
    }
}

#[tokio::test]
async fn no_file_is_read_for_a_server() {
    // The certificates of this very package: a file that there is.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let (result, heard) = ask(Tls::Off, |talk| {
        talk.lets_in()?;
        talk.says(1, &[b"\xfb", FILE.as_bytes()].concat())?;
        // What would be the file, in packets, and the packet that ends it.
        talk.listens()
    })
    .await;
    assert_errored(&result, "");
    assert!(holds(&heard, READER_USER), "it was let in");
    assert!(!holds(&heard, "restore-proof-tests"), "a file was sent");
}

#[tokio::test]
async fn the_password_is_not_said_in_clear() {
    let plugins: [Behaviour; 3] = [
        |talk| {
            talk.greets()?;
            talk.hears()?;
            talk.says(2, b"\xfemysql_clear_password\0")
        },
        // Hashed as before MySQL 4.1, which is as good as clear.
        |talk| {
            talk.greets()?;
            talk.hears()?;
            talk.says(2, b"\xfe")
        },
        |talk| {
            talk.greets()?;
            talk.hears()?;
            talk.says(2, b"\xfedialog\0Password: ")
        },
    ];
    for plugin in plugins {
        let (result, heard) = ask(Tls::Off, plugin).await;
        assert_errored(&result, "");
        assert!(!holds(&heard, PASSWORD), "the password was said in clear");
    }
}

#[tokio::test]
async fn whatever_a_server_says_the_check_ends() {
    let cases: [(&str, Behaviour); 7] = [
        ("closes", |_| Ok(())),
        ("is silent", |talk| talk.listens()),
        ("is a web server", |talk| {
            let page = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\nsesame";
            talk.stream.write_all(page)
        }),
        ("lets in and is silent", |talk| {
            talk.lets_in()?;
            talk.listens()
        }),
        ("one packet without an end", |talk| {
            talk.lets_in()?;
            let chunk = vec![b'x'; 0xff_ffff];
            for sequence in (0..=255).cycle() {
                talk.says(sequence, &chunk)?;
            }
            Ok(())
        }),
        ("more columns than there are", |talk| {
            talk.lets_in()?;
            // 2^62 of them.
            talk.says(1, b"\xfe\0\0\0\0\0\0\0\x40")
        }),
        ("rows without an end", |talk| {
            talk.lets_in()?;
            talk.says(1, &[1])?;
            let mut column = b"\x03def\0\0\0\x01v\0\x0c\x2d\0\0\x10\0\0".to_vec();
            column.extend(b"\xfd\0\0\0\0\0");
            talk.says(2, &column)?;
            talk.says(3, b"\xfe\0\0\x02\0")?;
            let mut row = vec![0xfc, 0xff, 0x7f];
            row.extend([b'x'; 0x7fff]);
            for sequence in (0..=255).cycle().skip(4) {
                talk.says(sequence, &row)?;
            }
            Ok(())
        }),
    ];
    for (name, behaviour) in cases {
        let (result, _) = ask(Tls::Off, behaviour).await;
        assert_eq!(result.outcome, CheckOutcome::Errored, "{name}: {result:#?}");
        assert!(
            !result.detail.at(Ceiling::Text).contains("sesame"),
            "{}",
            result.detail.at(Ceiling::Text)
        );
        assert!(
            result.detail.at(Ceiling::Text).len() < 600,
            "{}",
            result.detail.at(Ceiling::Text)
        );
    }
}
