#![allow(clippy::unwrap_used)]
use super::super::{MASTER_USER, READER_USER, SAMPLE_ROWS, SampleVariant};
use super::*;
use crate::process::{StateFolder, processes_in};
use jiff::Timestamp;
use std::time::Duration;

/// Connects as an ordinary client would, by psql over TCP.
async fn connect(
    postgres: &Postgres,
    server: &crate::engine::Server,
    user: &str,
    password: &str,
    tls: &str,
) -> Result<String> {
    let authority = postgres.shared.folder.join("ca.pem");
    fs::write(&authority, postgres.ca_certificate_pem()).unwrap();
    let mut psql = postgres.program("psql");
    psql.args([
        "--no-psqlrc",
        "--no-align",
        "--tuples-only",
        "--command",
        "select count(*) from orders",
    ]);
    psql.arg(format!(
        "host={} port={} dbname=shop user={user} sslmode={tls} sslrootcert={}",
        "localhost",
        server.port(),
        authority.display()
    ));
    psql.env("PGPASSWORD", password);
    Ok(String::from_utf8(process::run(psql).await?)
        .unwrap()
        .trim()
        .to_owned())
}

#[tokio::test]
async fn a_dump_of_the_sample_becomes_a_server_like_its_source() {
    let state = StateFolder::create().unwrap();
    let postgres = Postgres::new(state.path()).await.unwrap();
    let newest: Timestamp = "2026-11-20T22:04:05Z".parse().unwrap();
    let variants = [
        SampleVariant::Fresh,
        SampleVariant::Emptied,
        SampleVariant::Stale(72),
    ];
    let dumps = postgres
        .sample(newest, "it's a \\ secret", &variants)
        .await
        .unwrap();

    let started = std::time::Instant::now();
    let server = dumps[0].restore("fresh", MASTER_USER, None).await.unwrap();
    println!("restored in {:?}", started.elapsed());
    let tables = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    assert_eq!(server.admin().execute("shop", tables).await.unwrap(), "22");
    let rows = "select sum((xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I', relname), \
                false, true, '')))[1]::text::int) from pg_class \
                where relkind = 'r' and relnamespace = 'public'::regnamespace";
    assert_eq!(
        server.admin().execute("shop", rows).await.unwrap(),
        SAMPLE_ROWS.to_string()
    );
    let at = "select max(created_at) from orders";
    assert_eq!(
        server.admin().execute("shop", at).await.unwrap(),
        "2026-11-20 22:04:05+00"
    );
    // Nothing but an expiry date lies in the future of the newest order.
    let later =
        "select count(*) from shipments where shipped_at > (select max(created_at) from orders)";
    assert_eq!(server.admin().execute("shop", later).await.unwrap(), "0");

    // As on RDS: the source's password works, over verified TLS, and only so.
    assert_eq!(
        connect(
            &postgres,
            &server,
            MASTER_USER,
            "it's a \\ secret",
            "verify-full"
        )
        .await
        .unwrap(),
        "12000"
    );
    let reader = connect(
        &postgres,
        &server,
        READER_USER,
        "it's a \\ secret",
        "verify-full",
    )
    .await;
    assert_eq!(reader.unwrap(), "12000");
    let wrong = connect(&postgres, &server, MASTER_USER, "guess", "verify-full")
        .await
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    let plain = connect(
        &postgres,
        &server,
        MASTER_USER,
        "it's a \\ secret",
        "disable",
    )
    .await
    .unwrap_err();
    assert!(plain.to_string().contains("no encryption"), "{plain}");
    let superuser = connect(&postgres, &server, SUPERUSER, "", "verify-full")
        .await
        .unwrap_err();
    assert!(
        superuser.to_string().contains("rejects connection"),
        "{superuser}"
    );
    server.stop().await;

    let server = dumps[2].restore("stale", MASTER_USER, None).await.unwrap();
    assert_eq!(
        server.admin().execute("shop", at).await.unwrap(),
        "2026-11-17 22:04:05+00"
    );
    drop(server);
    let server = dumps[1]
        .restore("emptied", MASTER_USER, None)
        .await
        .unwrap();
    let counts = "select (select count(*) from orders), (select count(*) from payments), (select count(*) from customers)";
    assert_eq!(
        server.admin().execute("shop", counts).await.unwrap(),
        "0|0|8000"
    );
    server.stop().await;

    let missing = dumps[0]
        .restore("nobodys", "somebody", None)
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("no role `somebody`"), "{missing}");
    for _ in 0..100 {
        if processes_in(state.path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(processes_in(state.path()), Vec::<String>::new());
}

#[test]
fn the_newest_complete_version_is_chosen() {
    let versions = tempfile::tempdir().unwrap();
    for version in ["9", "15", "17"] {
        let folder = versions.path().join(version).join("bin");
        fs::create_dir_all(&folder).unwrap();
        for name in [
            "initdb",
            "postgres",
            "pg_dump",
            "pg_dumpall",
            "pg_restore",
            "psql",
        ] {
            if version != "17" || name != "postgres" {
                fs::write(folder.join(name), "").unwrap();
                fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    assert_eq!(
        find_programs(None, versions.path()).unwrap(),
        versions.path().join("15/bin")
    );
    let error = find_programs(None, Path::new("/no/such"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("apt-get install postgresql"), "{error}");
}

#[test]
fn only_the_superuser_is_left_out_of_the_roles() {
    let roles =
        "CREATE ROLE rdsadmin;\nALTER ROLE rdsadmin WITH SUPERUSER;\nCREATE ROLE rdsadmin2;\n";
    assert_eq!(without_superuser(roles), "CREATE ROLE rdsadmin2;");
}
