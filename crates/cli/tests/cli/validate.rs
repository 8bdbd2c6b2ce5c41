//! `restore-proof validate` as people run it, against the function itself in an AWS in memory: only the way to it, Lambda's
//! Invoke and its configuration, is played by this test.

use std::process::Command;
use std::time::Duration;

use crate::common::{self, Ran, on_terminal, program};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use restore_proof_local_aws::RestoreBehaviour;
use restore_proof_tests::{BUCKET, PREFIX, REGION, Scene, UNCHECKED, VAULT};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Lambda with the scene's function in it.
async fn answer(
    scene: &Scene,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let payload = request.into_body().collect().await?.to_bytes();
    let name = path
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|rest| rest.strip_suffix("/invocations"));
    let error = |status: u16, code: &str, message: &str| {
        let body = json!({ "Type": "User", "Message": message }).to_string();
        Response::builder()
            .status(status)
            .header("x-amzn-errortype", code)
            .body(Full::from(body))
            .unwrap()
    };
    let configured = path
        .strip_prefix("/2015-03-31/functions/")
        .and_then(|rest| rest.strip_suffix("/configuration"));
    if let Some(name) = configured {
        let configuration = |variables: Value| {
            let told = json!({ "FunctionName": name, "Environment": { "Variables": variables } });
            Response::new(Full::from(told.to_string()))
        };
        return Ok(match name {
            PREFIX => configuration(json!({ "RESULTS_BUCKET": BUCKET })),
            "another" => configuration(json!({})),
            "forbidden" => error(403, "AccessDeniedException", "User u is not authorized"),
            _ => error(404, "ResourceNotFoundException", "Function not found"),
        });
    }
    Ok(match name {
        Some(PREFIX) => {
            let payload: Value = serde_json::from_slice(&payload).unwrap();
            match scene.try_invoke(payload).await {
                Ok(answer) => Response::new(Full::from(answer.to_string())),
                Err(why) => Response::builder()
                    .header("x-amz-function-error", "Unhandled")
                    .body(Full::from(
                        json!({ "errorMessage": format!("{why:#}") }).to_string(),
                    ))
                    .unwrap(),
            }
        }
        Some("another") => Response::new(Full::from(json!({ "hello": "world" }).to_string())),
        Some("forbidden") => error(403, "AccessDeniedException", "User u is not authorized"),
        Some("stale") => error(
            403,
            "ExpiredTokenException",
            "The security token is expired",
        ),
        _ => error(404, "ResourceNotFoundException", "Function not found"),
    })
}

/// Runs the program while the function answers, and time, events and sweeps pass.
pub async fn run(scene: &Scene, arguments: &[&str]) -> Ran {
    ran(scene, program(arguments)).await
}

/// The same for three seconds and a half, then Ctrl-C (`timeout` is of coreutils).
pub async fn interrupted(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut line = Command::new("/usr/bin/timeout");
    line.args(["--preserve-status", "--signal=INT", "3.5"])
        .arg(env!("CARGO_BIN_EXE_restore-proof"))
        .args(arguments)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", env!("CARGO_TARGET_TMPDIR"));
    ran(scene, line).await
}

/// Runs this program so.
pub async fn ran(scene: &Scene, mut program: Command) -> Ran {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    program
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        );
    let running = tokio::task::spawn_blocking(move || common::ran(program));
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| answer(scene, request));
            // A connection for each request, so that one after the other is served.
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    };
    let moving = async {
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            scene.deliver().await;
            scene.sweep().await;
        }
    };
    tokio::select! {
        ran = running => ran.unwrap(),
        () = serving => unreachable!(),
        () = moving => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_is_followed_to_its_end() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let watch = [
        "validate", &point, "--vault", VAULT, "--watch", "--every", "1s",
    ];
    let watched = run(&scene, &watch).await;
    watched.assert(
        3,
        &[
            "Validation ",
            "restoring  AWS Backup restores it",
            "closed ",
            "unchecked",
            "deleted",
        ],
    );
    assert!(
        !watched.out.contains('\u{1b}'),
        "no colours and no bar into a pipe"
    );
    scene.assert_clean();
    let id = scene.records()[0]["validation_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(watched.out.contains(&id));

    // The same again is the same validation; another request is another one.
    let again = run(&scene, &["validate", &point, "--vault", VAULT, "--json"]).await;
    assert_eq!(
        (again.code, &again.json()["validation_id"]),
        (3, &json!(id))
    );
    let watch = [&watch[..], &["--request-id", "again", "--json"]].concat();
    let another = run(&scene, &watch).await;
    assert_eq!(another.code, 3, "{}", another.all());
    let lines: Vec<Value> = another
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() > 1, "{}", another.out);
    let last = lines.last().unwrap();
    assert_ne!(last["validation_id"], id);
    assert_eq!(
        (&last["stage"], &last["cleanup"]),
        (&json!("closed"), &json!("deleted"))
    );
    assert!(
        lines.windows(2).all(|two| two[0] != two[1]),
        "only changes are told"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_bar_fills() {
    let scene = Scene::set(UNCHECKED).await;
    let point = scene.backup("orders", RestoreBehaviour::bare());
    let watch = [
        "validate", &point, "--vault", VAULT, "--watch", "--every", "1s",
    ];
    let watched = ran(&scene, on_terminal(&watch)).await;
    watched.assert(3, &["AWS Backup restores it", "█", "closed", "unchecked"]);
    assert!(watched.out.contains("\u{1b}["), "{}", watched.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_that_of_the_verdict() {
    let scene = Scene::set(UNCHECKED).await;
    let fails = RestoreBehaviour::fails(
        Duration::from_secs(1),
        "Recovery point exceeded the number of damaged blocks that can be repaired",
    );
    let point = scene.backup("damaged", fails);
    let started = run(&scene, &["validate", &point, "--vault", VAULT]).await;
    started.assert(0, &["stage       restoring", "It goes on by itself"]);
    let watch = [
        "validate", &point, "--vault", VAULT, "--watch", "--every", "1s",
    ];
    run(&scene, &watch).await.assert(
        1,
        &[
            "restore_failed",
            "Recovery point exceeded the number of damaged blocks that can be repaired",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_us_from_the_function_is_said_with_what_to_do() {
    let scene = Scene::set(UNCHECKED).await;
    for (function, parts) in [
        (
            "nowhere",
            ["there is no function nowhere in eu-central-1", "--function"],
        ),
        (
            "forbidden",
            [
                "AWS refuses to invoke forbidden: User u is not authorized",
                "lambda:InvokeFunction",
            ],
        ),
        (
            "stale",
            ["AWS does not take the credentials", "log in again"],
        ),
        (
            "another",
            ["answers as no Restore Proof function does", "NamePrefix"],
        ),
    ] {
        let arguments = [
            "validate",
            "arn:x",
            "--vault",
            VAULT,
            "--function",
            function,
        ];
        run(&scene, &arguments).await.assert(4, &parts);
    }
    run(&scene, &["validate", "", "--vault", VAULT])
        .await
        .assert(2, &["the function will not do it: validate needs"]);
}

#[test]
fn without_region_or_credentials_nothing_is_tried() {
    let arguments = ["validate", "arn:x", "--vault", VAULT];
    common::ran(program(&arguments)).assert(4, &["no AWS Region is given", "AWS_REGION"]);
    let mut here: Command = program(&arguments);
    here.env("AWS_REGION", REGION);
    common::ran(here).assert(4, &["there are no AWS credentials", "AWS_PROFILE"]);
}
