#![allow(clippy::unwrap_used)]
use super::*;
use crate::process::processes_in;
use jiff::Timestamp;
use std::os::unix::fs::PermissionsExt as _;

/// A function in bash: it answers, fails, crashes or hangs as its input says.
const SCRIPT: &str = r#"#!/bin/bash
call() {
    exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
    printf '%s /2018-06-01/runtime/%s HTTP/1.1\r\nHost: api\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' \
        "$1" "$2" "${#3}" "$3" >&3
    cat <&3
    exec 3>&-
}
[[ $INIT == broken ]] && { call POST init/error '{"errorType":"Config","errorMessage":"no table"}'; exit 1; }
while true; do
    reply=$(call GET invocation/next '')
    id=$(grep -i '^lambda-runtime-aws-request-id' <<<"$reply" | tr -d '\r' | cut -d' ' -f2)
    deadline=$(grep -i '^lambda-runtime-deadline-ms' <<<"$reply" | tr -d '\r' | cut -d' ' -f2)
    case ${reply##*$'\n'} in
        *die*) exit 7 ;;
        *hang*) exec sleep 600 ;;
        *fail*) call POST "invocation/$id/error" '{"errorType":"Oops","errorMessage":"as asked"}' ;;
        *slow*) sleep 0.5 ;&
        *) call POST "invocation/$id/response" "{\"pid\":$$,\"deadline\":$deadline,\"table\":\"$LEDGER_TABLE\",\"home\":\"$HOME\"}" ;;
    esac
done
"#;

fn lambda(folder: &Path, extra: &[(&str, &str)], timeout: Duration) -> Lambda {
    let bootstrap = folder.join("bootstrap");
    fs::write(&bootstrap, SCRIPT).unwrap();
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
    let mut environment = BTreeMap::from([("LEDGER_TABLE".to_owned(), "ledger".to_owned())]);
    environment.extend(
        extra
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    Lambda::new(LambdaOptions {
        function: Function {
            name: "restore-proof".into(),
            handler: "bootstrap".into(),
            environment,
            timeout,
            memory_mb: 256,
            retries: 2,
            on_failure: None,
            rules: Vec::new(),
            schedules: Vec::new(),
            subscriptions: Vec::new(),
        },
        bootstrap,
        folder: folder.to_owned(),
        endpoint_url: "http://127.0.0.1:1".into(),
        account: "111122223333".into(),
        region: "eu-central-1".into(),
        max_processes: 2,
        retry_delay: Duration::from_millis(1),
        clock: crate::system_clock(),
    })
    .unwrap()
}

/// The killed leader of a process group is waited for; the others of its group need a moment.
async fn assert_all_gone(folder: &Path) {
    for _ in 0..100 {
        if processes_in(folder).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", processes_in(folder));
}

const LONG: Duration = Duration::from_secs(30);

async fn answer(lambda: &Lambda, payload: Value) -> Value {
    match lambda.invoke(&payload).await.unwrap() {
        Outcome::Answer(answer) => answer,
        failed @ Outcome::Failed { .. } => panic!("{failed:?}"),
    }
}

async fn error(lambda: &Lambda, payload: Value) -> (String, String) {
    match lambda.invoke(&payload).await.unwrap() {
        Outcome::Failed {
            error_type,
            message,
        } => (error_type, message),
        answer @ Outcome::Answer(_) => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn one_process_serves_one_invocation_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], LONG);
    let before = Timestamp::now().as_millisecond();
    let first = answer(&lambda, json!({ "n": 1 })).await;
    assert_eq!(
        (&first["table"], &first["home"]),
        (&json!("ledger"), &json!(""))
    );
    let remaining = first["deadline"].as_i64().unwrap() - before;
    assert!((29_000..31_000).contains(&remaining), "{remaining}");
    assert_eq!(
        answer(&lambda, json!({ "n": 2 })).await["pid"],
        first["pid"]
    );
    // An error is an answer, too: the process stays.
    assert_eq!(
        error(&lambda, json!("fail")).await,
        ("Oops".into(), "as asked".into())
    );
    assert_eq!(
        answer(&lambda, json!({ "n": 3 })).await["pid"],
        first["pid"]
    );
    lambda.stop().await;
    assert_all_gone(folder.path()).await;
    assert!(lambda.invoke(&json!(1)).await.is_err());
}

#[tokio::test]
async fn invocations_at_one_time_get_processes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], LONG);
    let (a, b) = tokio::join!(
        answer(&lambda, json!("slow")),
        answer(&lambda, json!("slow"))
    );
    assert_ne!(a["pid"], b["pid"]);
    lambda.stop().await;
}

#[tokio::test]
async fn a_crashed_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], LONG);
    let first = answer(&lambda, json!(1)).await;
    let (error_type, message) = error(&lambda, json!("die")).await;
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(message.contains("exit status: 7"), "{message}");
    assert_ne!(answer(&lambda, json!(2)).await["pid"], first["pid"]);
    lambda.stop().await;
}

#[tokio::test]
async fn a_process_that_is_killed_at_work_fails_its_invocation_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], LONG);
    let idle = answer(&lambda, json!({ "n": 1 })).await["pid"].clone();
    assert_eq!(lambda.busy(), Vec::<String>::new());
    assert!(!lambda.kill("ASIALOCAL00000000000"), "it has no invocation");
    let kill = async {
        while lambda.busy().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lambda.kill(&lambda.busy()[0])
    };
    let ((error_type, message), killed) = tokio::join!(error(&lambda, json!("hang")), kill);
    assert!(killed && message.contains("signal: 9"), "{message}");
    assert_eq!(error_type, "Runtime.ExitError");
    assert_eq!(lambda.busy(), Vec::<String>::new());
    let fresh = answer(&lambda, json!({ "n": 2 })).await;
    assert_ne!(fresh["pid"], idle);
    lambda.stop().await;
    assert_all_gone(folder.path()).await;
}

#[tokio::test]
async fn what_takes_too_long_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], Duration::from_millis(500));
    let (error_type, message) = error(&lambda, json!("hang")).await;
    assert_eq!(
        (error_type.as_str(), message.as_str()),
        ("Sandbox.Timedout", "Task timed out after 0.50 seconds")
    );
    assert_all_gone(folder.path()).await;
}

#[tokio::test]
async fn an_init_error_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[("INIT", "broken")], LONG);
    assert_eq!(
        error(&lambda, json!(1)).await,
        ("Config".into(), "no table".into())
    );
}

#[tokio::test]
async fn an_asynchronous_invocation_is_tried_three_times_and_then_queued() {
    let folder = tempfile::tempdir().unwrap();
    let lambda = lambda(folder.path(), &[], LONG);
    lambda.invoke_later(json!("fail"));
    lambda.invoke_later(json!("fine"));
    while lambda.pending() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lambda.invocations(), 4);
    assert_eq!(lambda.failures().len(), 3);
    let queued = lambda.exhausted();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0]["requestPayload"], "fail");
    assert_eq!(queued[0]["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(queued[0]["responsePayload"]["errorType"], "Oops");
    lambda.stop().await;
}
