//! A restored machine is hostile until proved otherwise: whatever it answers, a check ends in time, takes little memory,
//! reaches no other address, and its outcome is that of the table in the README.

mod columns;
mod database;
mod memory;
mod server;
mod tls;
mod well_behaved;

use restore_proof_core::ceiling::Ceiling;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self, Tls};
use restore_proof_core::validation::CheckResult;
use restore_proof_function::check::{self, Access, Certificates, Target};
use server::{
    Behaviour, Server, answers, closes, drips, floods, gzip_bomb, is_silent, ok, redirects, says,
};

/// The machine under test.
const MACHINE: &str = "127.77.201.1";
/// Another machine of the same network.
const NEIGHBOUR: &str = "127.77.201.2";
/// The time-out of checks whose answer does not end.
const SHORT: Duration = Duration::from_secs(2);
/// The time-out of checks whose answer is judged: a busy machine needs more than one that is not.
const LONG: Duration = Duration::from_secs(10);
/// What a check may take longer.
const MARGIN: Duration = Duration::from_millis(500);
/// The most memory a check may take, KiB: that of the servers here included.
const MOST_MEMORY: u64 = 64 << 10;

/// The tests measure the whole process, so that they take turns.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs one check, given as lines of the policy, against the machine.
async fn run(check: &str, access: &Access) -> CheckResult {
    run_within(LONG, check, access).await
}

async fn run_within(timeout: Duration, check: &str, access: &Access) -> CheckResult {
    let timeout = timeout.as_secs();
    let text = format!(
        "version = \"1\"\n[[rules]]\nname = \"machines\"\nfrequency = \"every-copy\"\n\
         match = {{ resource_type = \"EC2\" }}\n[[rules.checks]]\nname = \"site\"\ntimeout = \"{timeout}s\"\n{check}\n"
    );
    let policy = policy::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{text}"));
    let target = Target::Machine {
        private: Some(MACHINE.parse().unwrap()),
        public: None,
        network: "127.77.0.0/16".parse().unwrap(),
    };
    let now = Timestamp::now();
    let clocks = Clocks {
        recovery_point_created: now,
        now,
    };
    let left = Duration::from_secs(60);
    let mut ran = check::run(&policy.rules[0], &target, access, clocks, left).await;
    ran.results.remove(0)
}

fn access() -> Access {
    Access::given(None, Tls::Verify, Certificates::BuiltIn).unwrap()
}

/// What a machine does, what the check asks of it, what must become of it, and words of the detail.
struct Case {
    name: &'static str,
    behaviour: Box<dyn FnOnce(u16) -> Behaviour>,
    check: &'static str,
    outcome: CheckOutcome,
    words: &'static str,
}

fn case(
    name: &'static str,
    behaviour: impl FnOnce(u16) -> Behaviour + 'static,
    check: &'static str,
    outcome: CheckOutcome,
    words: &'static str,
) -> Case {
    Case {
        name,
        behaviour: Box::new(behaviour),
        check,
        outcome,
        words,
    }
}

/// Runs the cases one after the other, with listeners on every address that a redirect may name.
async fn try_all(timeout: Duration, cases: Vec<Case>) {
    let _alone = ALONE.lock().await;
    let access = access();
    // What is allocated once is not the cases'.
    let warm = Server::start(MACHINE, |_| ok("warm"));
    let check = format!(
        "kind = \"http\"\nport = {}\nsteps = [{{ path = \"/\" }}]",
        warm.port
    );
    assert_eq!(run(&check, &access).await.outcome, CheckOutcome::Passed);
    let before = memory::now();

    for case in cases {
        let server = Server::start(MACHINE, case.behaviour);
        let port = server.port;
        let bystanders: Vec<Server> = [
            format!("127.0.0.1:{port}"),
            format!("{NEIGHBOUR}:{port}"),
            format!("[::1]:{port}"),
            // Where `redirects` below sends to another port.
            format!("{MACHINE}:{}", other_port(port)),
        ]
        .iter()
        // A port may be taken; the other listeners are there still.
        .filter_map(|socket| Server::on(socket, |_| ok("gotcha")).ok())
        .collect();
        assert!(bystanders.len() >= 2, "{}: too few listeners", case.name);

        memory::forget_peak();
        let began = Instant::now();
        let check = format!("port = {port}\n{}", case.check);
        let result = run_within(timeout, &check, &access).await;
        let took = began.elapsed();
        let memory = memory::peak().saturating_sub(before);

        println!(
            "{:<44} {:>7} {:>6} ms {:>6} KiB  {}",
            case.name,
            result.outcome,
            took.as_millis(),
            memory,
            result.detail.at(Ceiling::Text)
        );
        assert_eq!(result.outcome, case.outcome, "{}: {result:#?}", case.name);
        assert!(
            result.detail.at(Ceiling::Text).contains(case.words),
            "{}: {:?} lacks {:?}",
            case.name,
            result.detail.at(Ceiling::Text),
            case.words
        );
        // What a machine says stays in its answer.
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
        assert!(took <= timeout + MARGIN, "{} took {took:?}", case.name);
        assert!(memory <= MOST_MEMORY, "{} took {memory} KiB", case.name);
        for bystander in bystanders {
            assert_eq!(bystander.connections(), 0, "{}", case.name);
        }
    }
}

fn other_port(port: u16) -> u16 {
    port ^ 1
}

/// A request for the root.
const ROOT: &str = "kind = \"http\"\nsteps = [{ path = \"/\" }]";
/// The same, and redirects may be followed.
const FOLLOW: &str = "kind = \"http\"\nredirects = 5\nsteps = [{ name = \"home\", path = \"/\" }]";
/// The same, and the body must hold something.
const HOLDS: &str = "kind = \"http\"\nsteps = [{ path = \"/\", contains = \"Welcome\" }]";
/// The same, and the body must be JSON with something in it.
const JSON: &str = "kind = \"http\"\n\
    steps = [{ path = \"/\", json = \"/status\", expect = { not_empty = true } }]";

#[tokio::test]
async fn redirects_lead_nowhere_else() {
    use CheckOutcome::Failed;
    try_all(
        LONG,
        vec![
            case(
                "redirect to loopback",
                |port| redirects(format!("http://127.0.0.1:{port}/2018-06-01/runtime")),
                FOLLOW,
                Failed,
                "step \"home\": status 302, a redirect off the machine, to http 127.0.0.1",
            ),
            case(
                "redirect to loopback in hexadecimal",
                |port| redirects(format!("http://0x7f000001:{port}/")),
                FOLLOW,
                Failed,
                "127.0.0.1",
            ),
            case(
                "redirect to localhost",
                |port| redirects(format!("http://localhost:{port}/")),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to IPv6 loopback",
                |port| redirects(format!("http://[::1]:{port}/")),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to the machine as IPv6",
                |port| redirects(format!("http://[::ffff:{MACHINE}]:{port}/")),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to the metadata service",
                |_| redirects("http://169.254.169.254/latest/meta-data/?sesame"),
                FOLLOW,
                Failed,
                "to http 169.254.169.254, which is not followed",
            ),
            case(
                "redirect to a neighbour",
                |port| redirects(format!("http://{NEIGHBOUR}:{port}/")),
                FOLLOW,
                Failed,
                NEIGHBOUR,
            ),
            case(
                "protocol-relative redirect",
                |port| redirects(format!("//{NEIGHBOUR}:{port}/")),
                FOLLOW,
                Failed,
                NEIGHBOUR,
            ),
            case(
                "redirect with backslashes",
                |port| redirects(format!("\\\\{NEIGHBOUR}:{port}\\")),
                FOLLOW,
                Failed,
                NEIGHBOUR,
            ),
            case(
                "redirect to another port",
                |port| redirects(format!("http://{MACHINE}:{}/", other_port(port))),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to another protocol",
                |port| redirects(format!("https://{MACHINE}:{port}/")),
                FOLLOW,
                Failed,
                "to https",
            ),
            case(
                "redirect with a login",
                |port| redirects(format!("http://ali:sesame@{MACHINE}:{port}/")),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to a neighbour with our name as login",
                |port| redirects(format!("http://{MACHINE}:{port}@{NEIGHBOUR}:{port}/")),
                FOLLOW,
                Failed,
                NEIGHBOUR,
            ),
            case(
                "redirect to a file",
                |_| redirects("file:///etc/sesame"),
                FOLLOW,
                Failed,
                "to file",
            ),
            case(
                "redirect to a name of 10000 letters",
                |_| redirects(format!("http://{}/", "a".repeat(10_000))),
                FOLLOW,
                Failed,
                "off the machine",
            ),
            case(
                "redirect to no URL",
                |_| redirects("http://[sesame"),
                FOLLOW,
                Failed,
                "no URL",
            ),
            case(
                "redirect to bytes",
                |_| says(b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\n\r\n".as_slice()),
                FOLLOW,
                Failed,
                "no URL",
            ),
            case(
                "redirect without a target",
                |_| says("HTTP/1.1 302 Found\r\n\r\n"),
                FOLLOW,
                Failed,
                "status 302; expected: status 200",
            ),
            case(
                "redirect to itself for ever",
                |_| redirects("/again"),
                FOLLOW,
                Failed,
                "redirects = 5",
            ),
            case(
                "redirect though none is allowed",
                |_| redirects("/login"),
                ROOT,
                Failed,
                "redirects = 0",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn answers_that_do_not_end_cost_no_more_than_their_limits() {
    use CheckOutcome::{Errored, Failed};
    try_all(
        SHORT,
        vec![
            case(
                "endless body",
                |_| floods("HTTP/1.1 200 OK\r\n\r\n", "sesame"),
                ROOT,
                Errored,
                "larger than 4 MiB",
            ),
            case(
                "endless body of another status",
                |_| floods("HTTP/1.1 500 Oh\r\n\r\n", "sesame"),
                ROOT,
                Failed,
                "status 500",
            ),
            case(
                "endless chunked body",
                |_| {
                    floods(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                        format!("1000\r\n{}\r\n", "s".repeat(4096)),
                    )
                },
                ROOT,
                Errored,
                "larger than 4 MiB",
            ),
            case(
                "endless chunk extension",
                |_| {
                    floods(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                        "sesame",
                    )
                },
                ROOT,
                Errored,
                "no readable answer",
            ),
            case(
                "endless trailers",
                |_| {
                    floods(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                        "a: sesame\r\n",
                    )
                },
                ROOT,
                Errored,
                "no readable answer",
            ),
            case(
                "body of 100 GB announced",
                |_| says("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n"),
                ROOT,
                Errored,
                "larger than 4 MiB",
            ),
            case(
                "body that drips",
                |_| drips("HTTP/1.1 200 OK\r\n\r\n", "sesame"),
                ROOT,
                Errored,
                "no answer within 2 s",
            ),
            case(
                "head that drips",
                |_| drips("HTTP/1.1 200 OK\r\n", "a: sesame\r\n"),
                ROOT,
                Errored,
                "no answer within 2 s",
            ),
            case(
                "header of 10 MB",
                |_| {
                    says(format!(
                        "HTTP/1.1 200 OK\r\nA: {}\r\n\r\n",
                        "x".repeat(10_000_000)
                    ))
                },
                ROOT,
                Errored,
                "too large",
            ),
            case(
                "endless header",
                |_| floods("HTTP/1.1 200 OK\r\nA: ", "sesame"),
                ROOT,
                Errored,
                "too large",
            ),
            case(
                "endless headers",
                |_| floods("HTTP/1.1 200 OK\r\n", "A: sesame\r\n"),
                ROOT,
                Errored,
                "no readable answer",
            ),
            case(
                "endless status line",
                |_| floods("HTTP/1.1 200 ", "sesame"),
                ROOT,
                Errored,
                "too large",
            ),
            case(
                "endless 100 Continue",
                |_| floods("", "HTTP/1.1 100 Continue\r\n\r\n"),
                ROOT,
                Errored,
                "no answer within 2 s",
            ),
            case(
                "endless 103 Early Hints",
                |_| floods("", "HTTP/1.1 103 Early Hints\r\nLink: sesame\r\n\r\n"),
                ROOT,
                Errored,
                "no answer within 2 s",
            ),
            case(
                "endless nothing",
                |_| floods("", "\r\n"),
                ROOT,
                Errored,
                "no",
            ),
            case(
                "accepts and is silent",
                |_| is_silent(),
                ROOT,
                Errored,
                "step \"/\": no answer within 2 s",
            ),
            case(
                "endless greeting",
                |_| {
                    Box::new(|stream| {
                        loop {
                            std::io::Write::write_all(stream, &[b's'; 4096])?
                        }
                    })
                },
                "kind = \"connect\"\ngreeting = \"^SSH-2\"",
                Failed,
                "1024 bytes",
            ),
            case(
                "greeting that drips",
                |_| {
                    Box::new(|stream| {
                        loop {
                            std::io::Write::write_all(stream, b"s")?;
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    })
                },
                "kind = \"connect\"\ngreeting = \"^SSH-2\"",
                Errored,
                "nothing more in time",
            ),
            case(
                "no greeting",
                |_| is_silent(),
                "kind = \"connect\"\ngreeting = \"^SSH-2\"",
                Errored,
                "says nothing",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_no_verdict() {
    use CheckOutcome::{Errored, Failed};
    try_all(LONG, vec![
        case("closes at once", |_| closes(), ROOT, Errored, "no readable answer"),
        case("garbage", |_| floods("", b"sesame \x00\xff\x16\x03".as_slice()), ROOT, Errored, "no readable answer"),
        case("another protocol", |_| says("SSH-2.0-sesame\r\n"), ROOT, Errored, "no readable answer"),
        case("status of four digits", |_| says("HTTP/1.1 2000 OK\r\n\r\n"), ROOT, Errored, "no readable answer"),
        case("header with NUL", |_| says("HTTP/1.1 200 OK\r\nA: ses\0ame\r\n\r\n"), ROOT, Errored, "no readable answer"),
        case("less than announced", |_| says("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsesame"), ROOT, Errored, "no readable answer"),
        case("more than announced", |_| says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nsesame Welcome"), HOLDS, Failed, "body of 2 bytes"),
        case("two lengths", |_| says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), ROOT, Errored, "no readable answer"),
        case("length that is no number", |_| says("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc"), ROOT, Errored, "no readable answer"),
        case("chunks that are none", |_| says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsesame\r\n"), ROOT, Errored, "no readable answer"),
        case("chunk of 16 EiB", |_| floods("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "sesame"), ROOT, Errored, "larger than 4 MiB"),
        case("switches protocols", |_| floods("HTTP/1.1 101 Switching Protocols\r\nUpgrade: sesame\r\nConnection: upgrade\r\n\r\n", "sesame"), ROOT, Failed, "status 101"),
        case("no TLS where it is expected", |_| Box::new(|stream| std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\n\r\n")), "kind = \"http\"\nscheme = \"https\"\nsteps = [{ path = \"/\" }]", Errored, "no readable answer"),
        case("gzip bomb", |_| answers("Content-Encoding: gzip\r\n", gzip_bomb()), "kind = \"http\"\nsteps = [{ path = \"/\", contains = \"\\u0001\\u0001\\u0001\" }]", Errored, "the answer is compressed (gzip), which was not asked for"),
        case("gzip bomb of which nothing is expected", |_| answers("Content-Encoding: gzip\r\n", gzip_bomb()), ROOT, CheckOutcome::Passed, ""),
        case("compressed again and again", |_| answers("Content-Encoding: identity, ,BR\r\nContent-Encoding: gzip\r\n", "sesame"), JSON, Errored, "compressed (br)"),
        case("compressed in its own way", |_| answers("Content-Encoding: sesame\r\n", "sesame"), HOLDS, Errored, "compressed (in a way unknown)"),
        case("not compressed, as it says", |_| answers("Content-Encoding: Identity\r\n", "Welcome"), HOLDS, CheckOutcome::Passed, ""),
        case("NUL and bytes that are no text", |_| ok([0, 0xff, 0xfe, 0, b'W'].repeat(100_000)), HOLDS, Failed, "does not hold"),
        case("4 MiB that are no text", |_| ok(vec![0xff; 4 << 20]), "kind = \"http\"\nsteps = [{ path = \"/\", matches = \"(a|b)+[^x]{50}c$\" }]", Failed, "does not match"),
        case("JSON of lists in lists, not closed", |_| ok("[".repeat(4 << 20)), JSON, Failed, "is not JSON"),
        case("JSON of lists in lists", |_| ok(format!("{{\"status\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20))), JSON, Errored, "too large or too deep"),
        case("JSON of many lists", |_| ok(format!("[{}0]", "[],".repeat(1 << 20))), JSON, Failed, "nothing at \"/status\""),
        case("JSON of many objects", |_| ok(format!("{{\"status\":[{}0]}}", "{\"\":0},".repeat(500_000))), JSON, Errored, "too large or too deep"),
        case("JSON of many keys", |_| ok(format!("{{{}\"status\":\"\"}}", "\"a\":0,".repeat(600_000))), JSON, Failed, "an empty text"),
        case("JSON that is a page", |_| ok("<html>sesame</html>"), JSON, Failed, "is not JSON"),
        case("JSON with bytes that are no text", |_| ok(b"{\"status\": \"\xff\"}"), JSON, CheckOutcome::Passed, ""),
    ])
    .await;
}
