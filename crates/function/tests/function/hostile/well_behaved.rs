//! Machines that answer as they should, or whose application does not.

use restore_proof_core::ceiling::Ceiling;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;

use super::server::request;
use super::*;

/// A small application; keeps the heads of the requests it got.
fn application(seen: Arc<Mutex<Vec<String>>>) -> Behaviour {
    Box::new(move |stream| {
        let head = request(stream)?;
        seen.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, headers, body) = match path {
            "/" => ("200 OK", "", "Welcome to the shop, 12 orders"),
            "/old" => ("301 Moved", "Location: /\r\n", ""),
            "/form" => ("303 See Other", "Location: /\r\n", ""),
            "/gone" => ("307 Temporary", "Location: ./old?x=1\r\n", ""),
            "/old?x=1" => ("308 Permanent", "Location: /\r\n", ""),
            "/health" => (
                "200 OK",
                "",
                "{\"status\": \"up\", \"orders\": {\"count\": 12000}}",
            ),
            "/slow" => {
                thread::sleep(Duration::from_millis(1200));
                ("200 OK", "", "at last")
            }
            _ => ("404 Not Found", "", "nothing here"),
        };
        let length = body.len();
        let body = if head.starts_with("HEAD") { "" } else { body };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nSet-Cookie: a=b\r\n{headers}\r\n{body}"
        )
    })
}

/// The result of these steps, and the requests that were sent for them.
async fn steps(settings: &str, steps: &str) -> (CheckResult, Vec<String>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start(MACHINE, |_| application(Arc::clone(&seen)));
    let check = format!(
        "kind = \"http\"\nport = {}\n{settings}\nsteps = [{steps}]",
        server.port
    );
    let result = run(&check, &access()).await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(server.connections(), seen.len());
    (result, seen)
}

#[track_caller]
fn failed(result: &CheckResult, detail: &str) {
    assert_eq!(result.outcome, CheckOutcome::Failed, "{result:#?}");
    assert!(
        result.detail.at(Ceiling::Text).contains(detail),
        "{}",
        result.detail.at(Ceiling::Text)
    );
}

#[tokio::test]
async fn steps_that_answer_as_expected_pass() {
    let _alone = ALONE.lock().await;
    let (result, seen) = steps(
        "host = \"shop.example\"",
        r#"{ path = "/", contains = "Welcome", matches = "\\d+ orders", within = "1s" },
           { path = "/health", json = "/status", expect = { equals = "up" } },
           { name = "orders", path = "/health", json = "/orders/count", expect = { min = 10000 } },
           { path = "/old", status = 301 },
           { path = "/none", status = [404, 410], method = "HEAD" },
           { name = "order", path = "/", method = "POST", body = "a=1", headers = { "Content-Type" = "application/x-www-form-urlencoded", "X-Token" = "t" } }"#,
    )
    .await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
    assert_eq!(result.expectation, "6 steps answer as expected");
    assert_eq!(result.value.as_deref(), Some("12000"));
    assert_eq!(result.value_number, Some(12000.0));
    assert!(
        result
            .detail
            .at(Ceiling::Text)
            .starts_with("6 steps answered as expected, the slowest")
    );
    assert_eq!(seen.len(), 6);
    for head in &seen {
        let head = head.to_lowercase();
        assert!(head.contains("\r\nhost: shop.example:"), "{head}");
        assert!(!head.contains("cookie"), "{head}");
        assert!(!head.contains("accept-encoding"), "{head}");
    }
    assert!(seen[4].starts_with("HEAD /none "));
    assert!(seen[5].starts_with("POST / "));
    assert!(seen[5].to_lowercase().contains("x-token: t\r\n"));
    assert!(seen[5].to_lowercase().contains("content-length: 3\r\n"));
}

#[tokio::test]
async fn the_first_step_that_does_not_decides_and_is_named() {
    let _alone = ALONE.lock().await;
    let (result, seen) = steps(
        "",
        "{ path = \"/\" }, { name = \"login page\", path = \"/login.php\" }, { path = \"/health\" }",
    )
    .await;
    failed(
        &result,
        "step \"login page\": status 404; expected: status 200",
    );
    assert_eq!(seen.len(), 2);
    let (result, _) = steps("", "{ path = \"/\", contains = \"Goodbye\" }").await;
    failed(
        &result,
        "step \"/\": the body of 30 bytes does not hold the text \"Goodbye\"",
    );
    assert!(!result.detail.at(Ceiling::Text).contains("Welcome"));
    let (result, _) = steps("", "{ path = \"/\", matches = \"^orders\" }").await;
    failed(&result, "does not match /^orders/");
    let (result, _) = steps(
        "",
        "{ path = \"/health\", json = \"/orders/count\", expect = { max = 5 } }",
    )
    .await;
    failed(
        &result,
        "step \"/health\": at \"/orders/count\" the value is 12000",
    );
    assert_eq!(result.value.as_deref(), Some("12000"));
    let (result, _) = steps("", "{ path = \"/slow\", within = \"1s\" }").await;
    failed(&result, "expected: at most 1000 ms");
}

#[tokio::test]
async fn redirects_on_the_machine_are_followed_when_told() {
    let _alone = ALONE.lock().await;
    let (result, seen) = steps(
        "redirects = 3",
        "{ path = \"/gone\", contains = \"Welcome\" }",
    )
    .await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
    let paths: Vec<_> = seen
        .iter()
        .filter_map(|head| head.split(' ').nth(1))
        .collect();
    assert_eq!(paths, ["/gone", "/old?x=1", "/"]);
    let (result, seen) = steps(
        "redirects = 2",
        "{ path = \"/form\", method = \"POST\", body = \"a=1\" }",
    )
    .await;
    assert_eq!(result.outcome, CheckOutcome::Passed, "{result:#?}");
    assert!(seen[1].starts_with("GET / "), "{}", seen[1]);
    let (result, seen) = steps("redirects = 1", "{ path = \"/gone\" }").await;
    failed(&result, "redirects = 1");
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn machines_that_cannot_be_reached_are_no_verdict() {
    let _alone = ALONE.lock().await;
    let server = std::net::TcpListener::bind(format!("{MACHINE}:0")).unwrap();
    let port = server.local_addr().unwrap().port();
    drop(server);
    let check = format!("kind = \"http\"\nport = {port}\nsteps = [{{ path = \"/\" }}]");
    let result = run(&check, &access()).await;
    assert_eq!(result.outcome, CheckOutcome::Errored);
    assert!(
        result.detail.at(Ceiling::Text).contains("refused"),
        "{}",
        result.detail.at(Ceiling::Text)
    );
    // The address that is asked for is not there.
    let result = run(&format!("{check}\naddress = \"public\""), &access()).await;
    assert_eq!(result.outcome, CheckOutcome::Errored);
    assert!(
        result
            .detail
            .at(Ceiling::Text)
            .contains("no public address"),
        "{}",
        result.detail.at(Ceiling::Text)
    );
    // A name that is another address in disguise.
    for host in ["127.0.0.1", "0x7f.1", "169.254.169.254", "2130706433"] {
        let result = run(&format!("{check}\nhost = \"{host}\""), &access()).await;
        assert_eq!(result.outcome, CheckOutcome::Errored);
        assert!(
            result.detail.at(Ceiling::Text).contains("host"),
            "{}",
            result.detail.at(Ceiling::Text)
        );
    }
}
