//! `connect` checks: a port takes connections, and perhaps says who it is.

use std::net::SocketAddr;
use std::time::Duration;

use restore_proof_core::ceiling::number;
use restore_proof_core::check::{Target, Trouble, address, ruling};
use restore_proof_core::expectation::{CheckOutcome, Judgement, compile_regex};
use restore_proof_core::policy::ConnectCheck;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The most of a greeting that is read, bytes.
const LONGEST_GREETING: usize = 1024;

/// Connects, and reads the greeting when one is expected. `cut_short` says that the limit is not the check's own.
pub(super) async fn run(
    check: &ConnectCheck,
    target: &Target,
    limit: Duration,
    cut_short: bool,
) -> Result<Judgement, Trouble> {
    // A little is left to tell what came in time.
    let deadline = Instant::now() + limit.mul_f64(0.98);
    let cannot = Trouble::CannotTell;
    let (connecting, port) = match target {
        Target::Database { host, port, .. } => {
            let port = check.port.unwrap_or(*port);
            (TcpStream::connect((host.as_str(), port)).await, port)
        }
        Target::Machine { .. } | Target::Site { .. } => {
            let port = check
                .port
                .ok_or_else(|| cannot("the check names no port".to_owned()))?;
            let address = SocketAddr::new(address::of(target, check.address)?, port);
            (TcpStream::connect(address).await, port)
        }
    };
    let mut stream = connecting
        .map_err(|error| cannot(format!("port {port} cannot be connected to: {error}")))?;
    let Some(pattern) = &check.greeting else {
        return Ok(ruling(
            CheckOutcome::Passed,
            format!("port {port} takes connections"),
        ));
    };

    let pattern = compile_regex(pattern).map_err(cannot)?;
    let mut greeting = Vec::with_capacity(LONGEST_GREETING);
    let end = loop {
        let mut rest = (&mut stream).take((LONGEST_GREETING - greeting.len()) as u64);
        match tokio::time::timeout_at(deadline, rest.read_buf(&mut greeting)).await {
            Err(_) => break End::Time,
            Ok(Err(_)) => break End::Broken,
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) => {}
        }
        if pattern.is_match(&String::from_utf8_lossy(&greeting)) {
            let detail = format!("port {port} greets as expected");
            return Ok(ruling(CheckOutcome::Passed, detail));
        }
        if greeting.len() >= LONGEST_GREETING {
            break End::Full;
        }
    };
    let length = greeting.len();
    let so_far = match length {
        0 => format!("port {port} takes connections and says nothing"),
        _ => format!(
            "port {port} greets with {} bytes that do not match",
            number(length)
        ),
    };
    // Half a greeting would perhaps have become the right one.
    let is_whole = match end {
        End::Full => true,
        End::Closed => length > 0,
        End::Broken => greeting.contains(&b'\n'),
        End::Time => greeting.contains(&b'\n') && !cut_short,
    };
    let words = match end {
        End::Full => "no more is read",
        End::Closed => "then the connection was closed",
        End::Broken => "then the connection broke off",
        End::Time if cut_short => "the function's time was used up",
        End::Time => "nothing more in time",
    };
    let detail = format!("{so_far}: {words}");
    Err(if is_whole {
        Trouble::Wrong(detail)
    } else {
        cannot(detail)
    })
}

/// How the reading of a greeting that does not match ended.
enum End {
    /// All was read that ever is.
    Full,
    /// The server closed in good order.
    Closed,
    /// The connection was reset.
    Broken,
    /// The time was up.
    Time,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use restore_proof_core::ceiling::{Ceiling, Marked};
    use restore_proof_core::policy::Address;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// What a server does when it has said all.
    #[derive(Clone, Copy)]
    enum Then {
        Stays,
        Closes,
        Resets,
    }
    use Then::{Closes, Resets, Stays};

    /// What becomes of a check against a server that sends these pieces, half a second apart.
    async fn against(
        pieces: &'static [&'static [u8]],
        then: Then,
        greeting: Option<&str>,
    ) -> (Result<Judgement, Trouble>, Duration) {
        against_within(Duration::from_secs(2), pieces, then, greeting).await
    }

    /// The same when the function has no more than this time for the check, which may take two seconds.
    async fn against_within(
        limit: Duration,
        pieces: &'static [&'static [u8]],
        then: Then,
        greeting: Option<&str>,
    ) -> (Result<Judgement, Trouble>, Duration) {
        let listener = TcpListener::bind("127.77.200.1:0").await.unwrap();
        let check = ConnectCheck {
            port: Some(listener.local_addr().unwrap().port()),
            address: Address::Private,
            greeting: greeting.map(str::to_owned),
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            match then {
                Stays => std::future::pending().await,
                Closes => {}
                // Closing with nothing left to send tells the other side at once.
                Resets => stream.set_zero_linger().unwrap(),
            }
        };
        let began = Instant::now();
        let machine = machine("127.77.200.1");
        let client = run(&check, &machine, limit, limit < Duration::from_secs(2));
        tokio::pin!(client);
        let ran = tokio::select! {
            biased;
            ran = &mut client => ran,
            () = server => client.await,
        };
        (ran, began.elapsed())
    }

    fn machine(address: &str) -> Target {
        Target::Machine {
            private: Some(address.parse().unwrap()),
            public: None,
            network: "127.77.0.0/16".parse().unwrap(),
        }
    }

    fn wrong(ran: Result<Judgement, Trouble>) -> String {
        match ran {
            Err(Trouble::Wrong(detail)) => Marked::from(detail).at(Ceiling::Text),
            other => panic!("{other:?}"),
        }
    }

    fn cannot_tell(ran: Result<Judgement, Trouble>) -> String {
        match ran {
            Err(Trouble::CannotTell(detail)) => Marked::from(detail).at(Ceiling::Text),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_port_that_listens_passes() {
        let (ran, _) = against(&[], Stays, None).await;
        assert_eq!(ran.unwrap().outcome, CheckOutcome::Passed);
    }

    #[tokio::test]
    async fn a_greeting_in_pieces_passes_as_soon_as_it_matches() {
        let (ran, took) = against(
            &[b"220 mail.exam", b"ple ESMTP\r\n"],
            Stays,
            Some("^220 .* ESMTP"),
        )
        .await;
        assert_eq!(ran.unwrap().outcome, CheckOutcome::Passed);
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }

    #[tokio::test]
    async fn another_greeting_speaks_against_the_backup() {
        let (ran, _) = against(&[b"SSH-1.5-old\r\n"], Closes, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("13 bytes"));
        let (ran, took) = against(&[b"SSH-1.5-old\r\n"], Stays, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("in time"));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let (ran, _) = against(&[&[0xff; 4096]], Stays, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("1024 bytes"));
    }

    #[tokio::test]
    async fn a_whole_line_or_all_that_is_said_speaks_against_the_backup() {
        let (ran, _) = against(&[b"SSH-1.5"], Closes, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("closed"));
        let (ran, _) = against(&[b"SSH-1.5-old\r\n"], Resets, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("broke off"));
    }

    #[tokio::test]
    async fn half_a_greeting_cannot_tell() {
        let (ran, took) = against(&[b"220 mail.exam"], Stays, Some("ESMTP")).await;
        assert!(cannot_tell(ran).contains("in time"));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let (ran, _) = against(&[b"220 mail.exam"], Resets, Some("ESMTP")).await;
        assert!(cannot_tell(ran).contains("broke off"));
    }

    #[tokio::test]
    async fn a_function_without_time_cannot_tell() {
        let limit = Duration::from_millis(800);
        let line: &[&[u8]] = &[b"220-wait\r\n"];
        let (ran, took) = against_within(limit, line, Stays, Some("ESMTP")).await;
        assert!(cannot_tell(ran).contains("the function's time"));
        assert!(took <= limit, "{took:?}");
    }

    #[tokio::test]
    async fn silence_cannot_tell() {
        let (ran, took) = against(&[], Stays, Some("^SSH-2")).await;
        assert!(cannot_tell(ran).contains("says nothing"));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let (ran, _) = against(&[], Closes, Some("^SSH-2")).await;
        assert!(cannot_tell(ran).contains("closed"));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_foreign_address_cannot_tell() {
        let free = TcpListener::bind("127.77.200.2:0").await.unwrap();
        let check = ConnectCheck {
            port: Some(free.local_addr().unwrap().port()),
            address: Address::Private,
            greeting: None,
        };
        drop(free);
        let ran = run(
            &check,
            &machine("127.77.200.2"),
            Duration::from_secs(2),
            false,
        )
        .await;
        assert!(cannot_tell(ran).contains("refused"));
        let ran = run(&check, &machine("127.0.0.1"), Duration::from_secs(2), false).await;
        assert!(cannot_tell(ran).contains("isolated network"));
    }
}
