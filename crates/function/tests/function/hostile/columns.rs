//! A server that speaks MySQL's protocol and announces more columns than anybody could want.

use restore_proof_core::ceiling::Ceiling;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use restore_proof_function::check::Login;

use super::*;

/// Sends one packet.
fn say(stream: &mut TcpStream, sequence: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    let header = [length[0], length[1], length[2], sequence];
    stream.write_all(&[&header, payload].concat())
}

/// Reads one packet; what it holds.
fn hear(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// Lets anybody in (MySQL's internals manual, "Protocol::HandshakeV10").
fn let_in(stream: &mut TcpStream) -> io::Result<()> {
    // LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH.
    let capabilities = 0x0008_a209_u32.to_le_bytes();
    let mut greeting = b"\x0a8.0.40\0\x07\0\0\0abcdefgh\0".to_vec();
    greeting.extend(&capabilities[..2]);
    greeting.extend([45, 2, 0]);
    greeting.extend(&capabilities[2..]);
    greeting.push(21);
    greeting.extend([0; 10]);
    greeting.extend(b"ijklmnopqrst\0mysql_native_password\0");
    say(stream, 0, &greeting)?;
    hear(stream)?;
    say(stream, 2, &[0, 0, 0, 2, 0, 0, 0])
}

/// Announces sixteen million columns, and sends them as fast as they are read: of one byte each.
fn flood(stream: &mut TcpStream) -> io::Result<()> {
    say(stream, 1, b"\xfd\xff\xff\xff")?;
    // Packets are numbered from 0 to 255 and round.
    let columns: Vec<u8> = (2..=255)
        .chain(0..=1)
        .flat_map(|sequence| [1, 0, 0, sequence, b'c'])
        .collect();
    loop {
        stream.write_all(&columns)?;
    }
}

fn column(stream: &mut TcpStream, sequence: u8) -> io::Result<()> {
    let mut column = b"\x03def\0\0\0\x01v\0\x0c\x2d\0\0\x10\0\0".to_vec();
    column.extend(b"\xfd\0\0\0\0\0");
    say(stream, sequence, &column)?;
    say(stream, sequence + 1, b"\xfe\0\0\x02\0")
}

/// Floods the first answer.
fn at_once(stream: &mut TcpStream) -> io::Result<()> {
    let_in(stream)?;
    hear(stream)?;
    flood(stream)
}

/// Floods the answer to the query itself.
fn at_last(stream: &mut TcpStream) -> io::Result<()> {
    until_asked(stream)?;
    flood(stream)
}

/// Answers the query with one value of 16 MB.
fn one_value(stream: &mut TcpStream) -> io::Result<()> {
    until_asked(stream)?;
    say(stream, 1, &[1])?;
    column(stream, 2)?;
    // In pieces: the memory of a server here is counted too.
    let packet = 16_000_004_u32.to_le_bytes();
    stream.write_all(&[packet[0], packet[1], packet[2], 4])?;
    let value = 16_000_000_u32.to_le_bytes();
    stream.write_all(&[0xfd, value[0], value[1], value[2]])?;
    for _ in 0..1000 {
        stream.write_all(&[b'x'; 16_000])?;
    }
    say(stream, 5, b"\xfe\0\0\x02\0")?;
    hear(stream).map(drop)
}

/// Answers as it should until the query itself is asked.
fn until_asked(stream: &mut TcpStream) -> io::Result<()> {
    let_in(stream)?;
    let mut is_prepared = false;
    loop {
        let command = hear(stream)?;
        match command.first() {
            // COM_STMT_PREPARE: statement 1, one column, no parameters.
            Some(0x16) => {
                say(stream, 1, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
                column(stream, 2)?;
                is_prepared = true;
            }
            // COM_QUERY.
            Some(0x03) if is_prepared => return Ok(()),
            Some(0x03) if command.ends_with(b"version()") => {
                say(stream, 1, &[1])?;
                column(stream, 2)?;
                say(stream, 4, b"\x068.0.40")?;
                say(stream, 5, b"\xfe\0\0\x02\0")?;
            }
            // COM_STMT_CLOSE has no answer.
            Some(0x19) => {}
            _ => say(stream, 1, &[0, 0, 0, 2, 0, 0, 0])?,
        }
    }
}

/// What a server does with a connection.
type Talk = fn(&mut TcpStream) -> io::Result<()>;

#[tokio::test]
async fn columns_without_an_end_cost_no_more_than_a_value() {
    let _alone = ALONE.lock().await;
    let login = Login::new(
        "reader".to_owned(),
        "sesame".to_owned(),
        Some("shop".to_owned()),
    );
    let access = Access::given(Some(login), Tls::Off, Certificates::BuiltIn).unwrap();
    let text = "version = \"1\"\n[[rules]]\nname = \"shop\"\nmatch = {}\nfrequency = \"every-copy\"\n\
        credentials = { secret = \"s\" }\n[[rules.checks]]\nname = \"v\"\nkind = \"sql\"\n\
        timeout = \"3s\"\nquery = \"select 1\"\nexpect = { not_empty = true }\n";
    let policy = policy::parse(text).unwrap();
    let cases: [(Talk, CheckOutcome, &str); 3] = [
        (one_value, CheckOutcome::Passed, "16000000 characters"),
        (at_once, CheckOutcome::Errored, "no answer within 3 s"),
        (at_last, CheckOutcome::Errored, "no answer within 3 s"),
    ];
    let before = memory::now();
    for (behaviour, outcome, words) in cases {
        let server = Server::start(MACHINE, |_| Box::new(behaviour));
        let target = Target::Database {
            host: MACHINE.to_owned(),
            port: server.port,
            engine: "mysql".to_owned(),
            database: None,
            settings_differ: false,
        };
        let now = Timestamp::now();
        let clocks = Clocks {
            recovery_point_created: now,
            now,
        };
        memory::forget_peak();
        let began = Instant::now();
        let left = Duration::from_secs(60);
        let ran = check::run(&policy.rules[0], &target, &access, clocks, left).await;
        let memory = memory::peak().saturating_sub(before);
        let result = &ran.results[0];
        println!(
            "{} in {:?}, {memory} KiB",
            result.detail.at(Ceiling::Text),
            began.elapsed()
        );
        assert_eq!(result.outcome, outcome, "{result:#?}");
        assert!(
            result.detail.at(Ceiling::Text).contains(words),
            "{}",
            result.detail.at(Ceiling::Text)
        );
        assert!(began.elapsed() <= Duration::from_secs(3) + MARGIN);
        assert!(memory <= MOST_MEMORY, "{memory} KiB");
    }
}
