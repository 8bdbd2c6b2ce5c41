//! `restore-proof check` as people run it: against a site, a PostgreSQL and a MariaDB server that are really there.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use crate::common::{Ran, file, on_terminal, program, ran, run};
use jiff::{SignedDuration, Timestamp};
use restore_proof_local_aws::engine::{
    Dump, MASTER_USER, MariaDb, Postgres, READER_USER, SAMPLE_DATABASE, SampleVariant, Server,
};
use restore_proof_local_aws::process::StateFolder;

/// Of all users of the sample database.
const PASSWORD: &str = "correct horse/battery@staple";
/// The same in a URL.
const IN_URL: &str = "correct%20horse%2Fbattery%40staple";

const POLICY: &str = r#"
version = "1"

[[rules]]
name = "site"
match = { resource_type = "EC2" }
frequency = "weekly"
[[rules.checks]]
name = "home"
kind = "http"
steps = [ { path = "/", contains = "Welcome" }, { path = "/health", json = "/database", expect = { equals = "up" } } ]
[[rules.checks]]
name = "style"
kind = "http"
steps = [ { path = "/missing.css" } ]
[[rules.checks]]
name = "shell"
kind = "connect"
port = 1
timeout = "2s"

[[rules]]
name = "nothing"
match = { resource_type = "EBS" }
frequency = "weekly"

[[rules]]
name = "port"
match = { resource_type = "RDS" }
frequency = "weekly"
[[rules.checks]]
name = "takes connections"
kind = "connect"

[[rules]]
name = "shop"
match = {}
frequency = "weekly"
credentials = "reset"
[[rules.checks]]
name = "orders are there"
kind = "sql"
query = "select count(*) from orders"
expect = { equals = 12000 }
[[rules.checks]]
name = "orders are recent"
kind = "sql"
query = "select max(created_at) from orders"
expect = { max_age = "15m" }
[[rules.checks]]
name = "home"
kind = "http"
steps = [ { path = "/" } ]
"#;

fn policy(test: &str) -> String {
    file(&format!("{test}.toml"), POLICY)
}

/// A web server with two pages, for as long as the test runs. Answers its port.
fn site() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(read @ 1..) => request.extend_from_slice(&part[..read]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let (status, body) = match request.split(' ').nth(1) {
                Some("/") => ("200 OK", "<h1>Welcome</h1>".to_owned()),
                Some("/health") => ("200 OK", r#"{"database": "up"}"#.to_owned()),
                _ => ("404 Not Found", "nothing".to_owned()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    port
}

#[test]
fn a_site_on_this_machine_is_checked_by_its_name() {
    let (policy, port) = (policy("site"), site());
    let target = format!("http://localhost:{port}");
    let arguments = [
        "check", "--policy", &policy, "--rule", "site", "--target", &target,
    ];
    run(&arguments).assert(
        1,
        &[
            "home   http     passed",
            "style  http     failed",
            "shell  connect  errored",
            "style: step \"/missing.css\": status 404; expected: status 200",
            &format!("http checks go to http port {port}, where the rule says http port 80"),
            "failed: 1 of 3 checks failed",
        ],
    );
    let only = |names: &[&str]| {
        let mut all = arguments.to_vec();
        for name in names {
            all.extend(["--only", name]);
        }
        all.push("--json");
        run(&all)
    };
    let home = only(&["home"]);
    assert_eq!((home.code, &home.json()["verdict"]), (0, &"passed".into()));
    assert_eq!(home.json()["checks"].as_array().unwrap().len(), 1);
    let shell = only(&["home", "shell"]);
    assert_eq!(
        (shell.code, &shell.json()["verdict"]),
        (3, &"inconclusive".into())
    );
    only(&["hime"]).assert(
        2,
        &[
            "the rule \\\"site\\\" has no check \\\"hime\\\"",
            "its checks are",
        ],
    );
}

#[test]
fn what_does_not_fit_the_target_is_skipped_and_never_passed() {
    let (policy, port) = (policy("skipped"), site());
    let target = format!("http://127.0.0.1:{port}");
    let arguments = [
        "check", "--policy", &policy, "--rule", "shop", "--target", &target,
    ];
    run(&arguments).assert(
        0,
        &[
            "orders are there   sql      skipped",
            "sql checks need a database",
            "home               http     passed",
            "passed: the check passed; 2 checks skipped",
        ],
    );
    run(&[&arguments[..], &["--only", "orders are there"]].concat())
        .assert(3, &["unchecked: no check of the rule fits the target"]);
    let nothing = [
        "check", "--policy", &policy, "--rule", "nothing", "--target", &target,
    ];
    run(&nothing).assert(3, &["unchecked: the rule has no checks"]);
}

#[test]
fn what_cannot_be_run_is_said() {
    let policy = policy("unusable");
    let check = |rule: &str, target: &str, more: &[&str]| {
        let arguments = [
            "check", "--policy", &policy, "--rule", rule, "--target", target,
        ];
        run(&[&arguments[..], more].concat())
    };
    check("site", "http://no-such-host.invalid", &[])
        .assert(4, &["the host no-such-host.invalid is not found", "help: "]);
    check("sight", "http://localhost", &[])
        .assert(2, &["no rule \"sight\"", "its rules are \"site\", "]);
    check("site", "ftp://localhost", &[]).assert(2, &["neither a database nor a site"]);
    check("shop", "postgres://localhost/shop", &[]).assert(2, &["the target names no user"]);
    check("site", "http://localhost", &["--ca", "nowhere.pem"])
        .assert(2, &["cannot read the certificates nowhere.pem"]);
    check("site", "http://localhost", &["--ca", "README.md"])
        .assert(2, &["the CA bundle holds no certificate"]);
}

/// Checks a database; `url` holds no password. Answers what was printed, in which there is none either.
fn check(policy: &str, url: &str, password: Option<&str>, more: &[&str]) -> Ran {
    let arguments = [
        "check", "--policy", policy, "--rule", "shop", "--target", url,
    ];
    let mut program = program(&[&arguments[..], more].concat());
    if let Some(password) = password {
        program.env("RESTORE_PROOF_PASSWORD", password);
    }
    let ran = ran(program);
    for secret in [PASSWORD, IN_URL, "hunter2"] {
        assert!(
            !ran.all().contains(secret),
            "a password shows: {}",
            ran.all()
        );
    }
    ran
}

/// What holds for any engine: healthy data passes, and each thing that can be wrong is told for what it is.
fn check_database(server: &Server, scheme: &str, ca: &str, backed_up_at: Timestamp) {
    let policy = policy(scheme);
    let (ca, at) = (
        file(&format!("{scheme}-ca.pem"), ca),
        backed_up_at.to_string(),
    );
    let place = format!("localhost:{}/{SAMPLE_DATABASE}", server.port());
    let url = format!("{scheme}://{READER_USER}@{place}");
    let ours = ["--ca", &ca, "--backed-up-at", &at];

    let good = check(&policy, &url, Some(PASSWORD), &ours);
    good.assert(
        0,
        &[
            "12000",
            "orders are recent  sql      passed",
            "1 check skipped",
        ],
    );
    let with_password = format!("{scheme}://{READER_USER}:{IN_URL}@{place}");
    let good = check(
        &policy,
        &with_password,
        None,
        &[&ours[..], &["--json"]].concat(),
    );
    let document = good.json();
    assert_eq!(
        (good.code, &document["verdict"]),
        (0, &"passed".into()),
        "{document:#}"
    );
    assert_eq!(document["target"], url);
    assert_eq!(document["checks"][2]["outcome"], "skipped");

    // What needs no login asks for none, and goes to the database's own port.
    let arguments = [
        "check", "--policy", &policy, "--rule", "port", "--target", &url,
    ];
    run(&arguments).assert(0, &["takes connections  connect  passed"]);

    // Days later: the same data is too old for a backup made now.
    let later = (backed_up_at + SignedDuration::from_hours(72)).to_string();
    check(
        &policy,
        &url,
        Some(PASSWORD),
        &["--ca", &ca, "--backed-up-at", &later],
    )
    .assert(
        1,
        &[
            "orders are recent  sql      failed",
            "failed: 1 of 2 checks failed",
        ],
    );
    check(&policy, &url, Some("hunter2"), &ours)
        .assert(3, &["orders are there   sql      errored"]);
    // Amazon's certificates vouch for no server of ours.
    check(&policy, &url, Some(PASSWORD), &[]).assert(
        3,
        &["note: give the certificates to verify by with --ca FILE"],
    );
    check(
        &policy,
        &url,
        Some(PASSWORD),
        &["--tls", "encrypt-only", "--backed-up-at", &at],
    )
    .assert(
        0,
        &["tls = \"encrypt-only\" by --tls, not \"verify\" as the rule says"],
    );
    asked_for_its_password(&policy, &url, &ours);
    // Nobody can be asked here.
    check(&policy, &url, None, &ours)
        .assert(2, &["there is no password", "RESTORE_PROOF_PASSWORD"]);
}

/// On a terminal the password is asked for, and not shown while it is typed.
fn asked_for_its_password(policy: &str, url: &str, more: &[&str]) {
    let arguments = [
        "check", "--policy", policy, "--rule", "shop", "--target", url,
    ];
    let mut terminal = on_terminal(&[&arguments[..], more].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (
        terminal.stdin.take().unwrap(),
        terminal.stdout.take().unwrap(),
    );
    let mut shown = Vec::new();
    let mut part = [0; 1024];
    let mut typed = false;
    while let Ok(read @ 1..) = output.read(&mut part) {
        shown.extend_from_slice(&part[..read]);
        if !typed && String::from_utf8_lossy(&shown).contains("Password of restore_check: ") {
            input.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
            typed = true;
        }
    }
    let shown = String::from_utf8_lossy(&shown);
    assert!(typed && terminal.wait().unwrap().success(), "{shown}");
    assert!(
        shown.contains("12000") && !shown.contains(PASSWORD),
        "{shown}"
    );
    assert!(shown.contains('\u{1b}'), "a terminal gets colours");
}

/// Starts a server with healthy data in it, and looks into it from a thread of its own.
async fn look_into(dumps: Vec<Dump>, scheme: &'static str, ca: String, backed_up_at: Timestamp) {
    let server = dumps[0]
        .restore("checked", MASTER_USER, None)
        .await
        .unwrap();
    let looking = tokio::task::spawn_blocking(move || {
        check_database(&server, scheme, &ca, backed_up_at);
        server
    });
    looking.await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_server_is_checked() {
    let folder = StateFolder::create().unwrap();
    let postgres = Postgres::new(folder.path()).await.unwrap();
    let newest = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let dumps = postgres
        .sample(newest, PASSWORD, &[SampleVariant::Fresh])
        .await
        .unwrap();
    let at = newest + SignedDuration::from_mins(4);
    look_into(
        dumps,
        "postgres",
        postgres.ca_certificate_pem().to_owned(),
        at,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_server_is_checked() {
    let folder = StateFolder::create().unwrap();
    let authority = restore_proof_local_aws::engine::Authority::create().unwrap();
    let mariadb = MariaDb::new(folder.path(), &authority).await.unwrap();
    let newest = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let dumps = mariadb
        .sample(newest, PASSWORD, &[SampleVariant::Fresh])
        .await
        .unwrap();
    let at = newest + SignedDuration::from_mins(4);
    look_into(dumps, "mysql", authority.certificate_pem().to_owned(), at).await;
}
