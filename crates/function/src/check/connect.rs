//! `connect` checks: a port takes connections, and perhaps says who it is.

use std::net::SocketAddr;
use std::time::Duration;

use restore_proof_core::expectation::{CheckOutcome, Judgement, compile_regex};
use restore_proof_core::policy::ConnectCheck;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Target, Trouble, address, ruling};

/// The most of a greeting that is read, bytes.
const LONGEST_GREETING: usize = 1024;

/// Connects, and reads the greeting when one is expected.
pub(super) async fn run(
    check: &ConnectCheck,
    target: &Target,
    limit: Duration,
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
            Err(_) => break "nothing more in time",
            Ok(Err(_)) => break "then the connection broke off",
            Ok(Ok(0)) => break "then the connection was closed",
            Ok(Ok(_)) => {}
        }
        if pattern.is_match(&String::from_utf8_lossy(&greeting)) {
            let detail = format!("port {port} greets as expected");
            return Ok(ruling(CheckOutcome::Passed, detail));
        }
        if greeting.len() >= LONGEST_GREETING {
            break "no more is read";
        }
    };
    match greeting.len() {
        0 => Err(cannot(format!(
            "port {port} takes connections and says nothing: {end}"
        ))),
        length => Err(Trouble::Wrong(format!(
            "port {port} greets with {length} bytes that do not match, {end}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use restore_proof_core::policy::Address;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// What becomes of a check against a server that sends these pieces, half a second apart, and then stays open or
    /// closes.
    async fn against(
        pieces: &'static [&'static [u8]],
        closes: bool,
        greeting: Option<&str>,
    ) -> (Result<Judgement, Trouble>, Duration) {
        let listener = TcpListener::bind("127.77.200.1:0").await.unwrap();
        let check = ConnectCheck {
            port: Some(listener.local_addr().unwrap().port()),
            address: Address::Private,
            greeting: greeting.map(str::to_owned),
            timeout: Duration::from_secs(2),
        };
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            if !closes {
                std::future::pending::<()>().await;
            }
        };
        let began = Instant::now();
        let machine = machine("127.77.200.1");
        let client = run(&check, &machine, check.timeout);
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
            Err(Trouble::Wrong(detail)) => detail,
            other => panic!("{other:?}"),
        }
    }

    fn cannot_tell(ran: Result<Judgement, Trouble>) -> String {
        match ran {
            Err(Trouble::CannotTell(detail)) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_port_that_listens_passes() {
        let (ran, _) = against(&[], false, None).await;
        assert_eq!(ran.unwrap().outcome, CheckOutcome::Passed);
    }

    #[tokio::test]
    async fn a_greeting_in_pieces_passes_as_soon_as_it_matches() {
        let (ran, took) = against(
            &[b"220 mail.exam", b"ple ESMTP\r\n"],
            false,
            Some("^220 .* ESMTP"),
        )
        .await;
        assert_eq!(ran.unwrap().outcome, CheckOutcome::Passed);
        assert!(took < Duration::from_millis(1500), "{took:?}");
    }

    #[tokio::test]
    async fn another_greeting_speaks_against_the_backup() {
        let (ran, _) = against(&[b"SSH-1.5-old\r\n"], true, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("13 bytes"));
        let (ran, took) = against(&[b"SSH-1.5-old\r\n"], false, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("in time"));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let (ran, _) = against(&[&[0xff; 4096]], false, Some("^SSH-2")).await;
        assert!(wrong(ran).contains("1024 bytes"));
    }

    #[tokio::test]
    async fn silence_cannot_tell() {
        let (ran, took) = against(&[], false, Some("^SSH-2")).await;
        assert!(cannot_tell(ran).contains("says nothing"));
        assert!(took <= Duration::from_secs(2), "{took:?}");
        let (ran, _) = against(&[], true, Some("^SSH-2")).await;
        assert!(cannot_tell(ran).contains("closed"));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_foreign_address_cannot_tell() {
        let free = TcpListener::bind("127.77.200.2:0").await.unwrap();
        let check = ConnectCheck {
            port: Some(free.local_addr().unwrap().port()),
            address: Address::Private,
            greeting: None,
            timeout: Duration::from_secs(2),
        };
        drop(free);
        let ran = run(&check, &machine("127.77.200.2"), check.timeout).await;
        assert!(cannot_tell(ran).contains("refused"));
        let ran = run(&check, &machine("127.0.0.1"), check.timeout).await;
        assert!(cannot_tell(ran).contains("isolated network"));
    }
}
