#![allow(clippy::unwrap_used)]
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::{MASTER_USER, READER_USER, SAMPLE_ROWS, SampleVariant};
use super::*;
use crate::process::{StateFolder, processes_in};

/// Connects as an ordinary client would, over TCP.
async fn connect(
    mariadb: &MariaDb,
    authority: &Authority,
    port: u16,
    user: &str,
    password: &str,
    tls: bool,
) -> Result<String> {
    let ca = mariadb.shared.folder.join("ca.pem");
    fs::write(&ca, authority.certificate_pem()).unwrap();
    let mut client = mariadb.program(&mariadb.shared.programs.client);
    client.args([
        "--no-defaults",
        "--batch",
        "--skip-column-names",
        "--protocol=tcp",
        "--host=localhost",
    ]);
    client.arg(format!("--port={port}"));
    client.arg(format!("--user={user}"));
    if tls {
        client.arg(argument("--ssl-ca=", &ca));
        client.arg("--ssl-verify-server-cert");
    } else {
        client.arg("--skip-ssl");
    }
    client.args(["--execute=select count(*) from orders", "shop"]);
    client.env("MYSQL_PWD", password);
    Ok(String::from_utf8(process::run(client).await?)
        .unwrap()
        .trim()
        .to_owned())
}

#[tokio::test]
async fn a_dump_of_the_sample_becomes_a_server_like_its_source() {
    let state = StateFolder::create().unwrap();
    let authority = Authority::create().unwrap();
    let started = Instant::now();
    let mariadb = MariaDb::new(state.path(), &authority).await.unwrap();
    println!("prepared in {:?}", started.elapsed());
    let newest: Timestamp = "2026-11-20T22:04:05Z".parse().unwrap();
    let password = "it's a \\ secret";
    let variants = [
        SampleVariant::Fresh,
        SampleVariant::Emptied,
        SampleVariant::Stale(72),
    ];
    let started = Instant::now();
    let dumps = mariadb.sample(newest, password, &variants).await.unwrap();
    println!("sampled in {:?}", started.elapsed());
    println!("a dump has {} MiB", dumps[0].size() >> 20);

    let started = Instant::now();
    let server = dumps[0].restore("fresh", MASTER_USER, None).await.unwrap();
    println!("restored in {:?}", started.elapsed());
    let admin = server.admin();
    let ask = async |sql: &str| admin.execute("shop", sql).await.unwrap();
    let tables = "select count(*) from information_schema.tables \
                  where table_schema = 'shop' and table_type = 'BASE TABLE'";
    assert_eq!(ask(tables).await, "22");
    let names = ask("show full tables where table_type = 'BASE TABLE'").await;
    let counts: Vec<_> = names
        .lines()
        .map(|line| line.split('|').next().unwrap())
        .map(|table| format!("(select count(*) from {table})"))
        .collect();
    let rows = format!("select {}", counts.join(" + "));
    assert_eq!(ask(&rows).await, SAMPLE_ROWS.to_string());
    let at = "select max(created_at) from orders";
    assert_eq!(ask(at).await, "2026-11-20 22:04:05");
    let later =
        "select count(*) from shipments where shipped_at > (select max(created_at) from orders)";
    assert_eq!(ask(later).await, "0");
    // What only MySQL's kind has.
    let zeros = "select sum(contract_until = '0000-00-00'), sum(last_visited_at = 0), \
                 max(hex(name) like '%4DFC6C6C6572%') from suppliers";
    assert_eq!(ask(zeros).await, "50|40|1");
    let four = "select hex(right(name, 1)) from customers where id = 7";
    assert_eq!(ask(four).await, "F09F9B92");
    let types = "select flags + 0, visible + 0, json_value(attributes, '$.size') from products where id = 50";
    assert_eq!(ask(types).await, "50|0|40");
    // References were not looked at while the rows came: none may lead nowhere.
    let lost = "select (select count(*) from order_lines l left join orders o on o.id = l.order_id where o.id is null) \
                + (select count(*) from payments p left join orders o on o.id = p.order_id where o.id is null) \
                + (select count(*) from refunds r left join payments p on p.id = r.payment_id where p.id is null)";
    assert_eq!(ask(lost).await, "0");

    // As on RDS: the source's password works, over verified TLS, and only so.
    let port = server.port();
    let user = async |user: &str, password: &str, tls: bool| {
        connect(&mariadb, &authority, port, user, password, tls).await
    };
    assert_eq!(user(MASTER_USER, password, true).await.unwrap(), "12000");
    assert_eq!(user(READER_USER, password, true).await.unwrap(), "12000");
    let refused = async |name: &str, password: &str, tls: bool| {
        user(name, password, tls).await.unwrap_err().to_string()
    };
    let wrong = refused(MASTER_USER, "guess", true).await;
    assert!(wrong.contains("Access denied"), "{wrong}");
    let plain = refused(MASTER_USER, password, false).await;
    // Which of the two depends on MariaDB's version.
    let told = ["Access denied", "insecure transport"];
    assert!(told.iter().any(|words| plain.contains(words)), "{plain}");
    for name in [SUPERUSER, "root", ""] {
        let nobody = refused(name, "", true).await;
        assert!(nobody.contains("Access denied"), "{name}: {nobody}");
    }
    let other = Authority::create().unwrap();
    let untrusted = connect(&mariadb, &other, port, MASTER_USER, password, true).await;
    let untrusted = untrusted.unwrap_err().to_string();
    assert!(untrusted.contains("certificate"), "{untrusted}");
    // The reader reads.
    let grants = ask("show grants for restore_check").await;
    assert!(
        grants.contains("GRANT SELECT, SHOW VIEW ON `shop`.*"),
        "{grants}"
    );

    // Another password, and the old one is none any more.
    let next = "n3w '\\ secret";
    admin.set_password(MASTER_USER, next).await.unwrap();
    assert_eq!(user(MASTER_USER, next, true).await.unwrap(), "12000");
    let old = refused(MASTER_USER, password, true).await;
    assert!(old.contains("Access denied"), "{old}");
    let missing = admin.set_password("somebody", next).await.unwrap_err();
    let missing = format!("{missing:#}");
    assert!(
        missing.contains("somebody") && !missing.contains(next),
        "{missing}"
    );
    server.stop().await;

    let server = dumps[2].restore("stale", MASTER_USER, None).await.unwrap();
    let newest = server.admin().execute("shop", at).await.unwrap();
    assert_eq!(newest, "2026-11-17 22:04:05");
    drop(server);
    let server = dumps[1]
        .restore("emptied", MASTER_USER, None)
        .await
        .unwrap();
    let counts = "select (select count(*) from orders), (select count(*) from payments), (select count(*) from customers)";
    let counts = server.admin().execute("shop", counts).await.unwrap();
    assert_eq!(counts, "0|0|8000");
    server.stop().await;

    let missing = dumps[0]
        .restore("nobodys", "somebody", None)
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("no user `somebody`"),
        "{missing}"
    );
    for _ in 0..100 {
        if processes_in(state.path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(processes_in(state.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_is_called_by_a_name_of_its_own() {
    let state = StateFolder::create().unwrap();
    let authority = Authority::create().unwrap();
    let mariadb = MariaDb::new(state.path(), &authority).await.unwrap();
    let first = mariadb.start_server("first").await.unwrap();
    for name in ["first", "template", "", "../x"] {
        assert!(mariadb.start_server(name).await.is_err(), "{name}");
    }
    let missing = mariadb.dump(first, "shop").await.unwrap_err();
    assert!(
        missing.to_string().contains("no database `shop`"),
        "{missing}"
    );
}

#[test]
fn programs_are_looked_for_where_servers_lie() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mariadbd", "mariadb-install-db", "mariadb"] {
        fs::write(folder.path().join(name), "").unwrap();
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let found = Programs::find(Some(folder.path().as_os_str())).unwrap();
    assert_eq!(found.server, folder.path().join("mariadbd"));
    fs::set_permissions(
        folder.path().join("mariadb-install-db"),
        Permissions::from_mode(0o644),
    )
    .unwrap();
    let error = Programs::find(Some(folder.path().as_os_str())).unwrap_err();
    assert!(
        error.to_string().contains("apt-get install mariadb-server"),
        "{error}"
    );
}
