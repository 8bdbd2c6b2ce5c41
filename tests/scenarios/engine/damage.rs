//! Ways in which a restored copy can be wrong, each of them made on a real server, and the check that must catch it. The same
//! checks pass on the healthy copy.

use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use restore_proof_core::ceiling::Ceiling;
use restore_proof_core::expectation::{CheckOutcome, Clocks};
use restore_proof_core::policy::{self as policies, Tls};
use restore_proof_core::validation::CheckResult;
use restore_proof_function::check::{self, Access, Certificates, Login, Target};
use restore_proof_local_aws::engine::Server;

use super::*;

/// What is done to a copy, the check that must catch it, and words of what it says.
type Damage = (&'static str, Harm, &'static str, &'static str);

/// What is done.
enum Harm {
    /// By the engine itself.
    Sql(&'static str),
    /// To the file of a table or index: a page is overwritten.
    Page(&'static str, u64),
    /// The file is cut in half.
    Half(&'static str),
    /// The file is gone.
    Gone(&'static str),
}

use Harm::{Gone, Half, Page, Sql};

/// The checks of both engines: names, and the rest of their TOML. `{schema}` stands for what engines say in different ways.
const CHECKS: &str = r#"
[[rules.checks]]
name = "orders"
kind = "row_count"
table = "orders"
expect = { equals = 5000 }
[[rules.checks]]
name = "customers"
kind = "row_count"
table = "customers"
expect = { min = 1000 }
[[rules.checks]]
name = "lines"
kind = "row_count"
table = "order_lines"
expect = { between = [10000, 20000] }
[[rules.checks]]
name = "fresh orders"
kind = "freshness"
table = "orders"
column = "created_at"
expect = { max_age = "15m" }
[[rules.checks]]
name = "fresh log"
kind = "freshness"
table = "AUDIT_LOG"
column = "logged_at"
expect = { max_age = "15m" }
[[rules.checks]]
name = "emails"
kind = "missing"
table = "customers"
column = "email"
[[rules.checks]]
name = "one account each"
kind = "duplicate"
table = "customers"
columns = ["email"]
[[rules.checks]]
name = "amounts"
kind = "failed_rows"
table = "orders"
condition = "amount < 0 or state not in ('placed', 'shipped')"
[[rules.checks]]
name = "few nameless"
kind = "missing"
table = "customers"
column = "name"
unit = "percent"
expect = { max = 5 }
[[rules.checks]]
name = "lines have orders"
kind = "references"
table = "order_lines"
columns = ["order_id"]
to = "orders"
to_columns = ["id"]
[[rules.checks]]
name = "orders have customers"
kind = "relationships"
table = "orders"
columns = ["customer_id"]
to = "customers"
to_columns = ["id"]
[[rules.checks]]
name = "manifest"
kind = "manifest"
table = "manifest"
column = "written_at"
expect = { max_age = "15m" }
tables = ["orders", "customers", "order_lines"]
"#;

/// A server with copies of one database, each harmed in its own way.
struct Clinic {
    kind: Kind,
    server: Server,
    access: Access,
    newest: Timestamp,
    _folder: StateFolder,
}

impl Clinic {
    /// A server with a user `reader`, who may read everything.
    async fn open(kind: Kind) -> Clinic {
        let folder = StateFolder::create().unwrap();
        let (server, authority) = match kind {
            Kind::Postgres | Kind::AuroraPostgres => {
                let postgres = Postgres::new(folder.path()).await.unwrap();
                let server = postgres.start_server("clinic").await.unwrap();
                let authority = postgres.ca_certificate_pem().to_owned();
                (Server::Postgres(server), authority)
            }
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => {
                let authority = Authority::create().unwrap();
                let mariadb = MariaDb::new(folder.path(), &authority).await.unwrap();
                let server = mariadb.start_server("clinic").await.unwrap();
                let pem = authority.certificate_pem().to_owned();
                (Server::MariaDb(server), pem)
            }
        };
        let clinic = Clinic {
            kind,
            server,
            access: access(&authority),
            newest: Timestamp::from_second(Timestamp::now().as_second()).unwrap(),
            _folder: folder,
        };
        let login = match kind {
            Kind::Postgres | Kind::AuroraPostgres => format!(
                "create role reader login bypassrls password '{PASSWORD}'; grant pg_read_all_data to reader"
            ),
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => format!(
                "create user reader@'%' identified by '{PASSWORD}'; \
                 grant select, show view, trigger on *.* to reader@'%'; create user app@'%'"
            ),
        };
        clinic.execute(clinic.home(), &login).await;
        clinic
    }

    /// The database that every server has.
    fn home(&self) -> &'static str {
        match self.kind {
            Kind::Postgres | Kind::AuroraPostgres => "postgres",
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => "mysql",
        }
    }

    async fn execute(&self, database: &str, sql: &str) -> String {
        let done = self.server.admin().execute(database, sql).await;
        done.unwrap_or_else(|error| panic!("{database}: {error:#}\n{sql}"))
    }

    /// A policy with these checks beside those of both engines.
    fn rule(&self, more: &str) -> policies::Rule {
        let log = match self.kind {
            Kind::Postgres | Kind::AuroraPostgres => "audit.log",
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => "audit_log",
        };
        let checks = CHECKS.replace("AUDIT_LOG", log);
        let text = format!(
            "version = \"1\"\n[[rules]]\nname = \"shop\"\nmatch = {{}}\nfrequency = \"daily\"\ncredentials = \"reset\"\n\
             {checks}\n{more}"
        );
        policies::parse(&text)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
            .rules
            .remove(0)
    }

    async fn examine(&self, database: &str, rule: &policies::Rule) -> Vec<CheckResult> {
        let engine = match self.kind {
            Kind::Postgres | Kind::AuroraPostgres => "postgres",
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => "mariadb",
        };
        let target = Target::Database {
            host: "localhost".to_owned(),
            port: self.server.port(),
            engine: engine.to_owned(),
            database: Some(database.to_owned()),
            settings_differ: false,
        };
        let clocks = Clocks {
            recovery_point_created: self.newest + SignedDuration::from_mins(DATA_AGE),
            now: Timestamp::now(),
        };
        let left = Duration::from_secs(600);
        check::run(rule, &target, &self.access, clocks, left)
            .await
            .results
    }

    /// Passes on the healthy copy; and each damage is caught by its check.
    async fn show_all(&self, more: &str, damages: &[Damage], harm: impl AsyncFn(&str, &Harm)) {
        let rule = self.rule(more);
        harm("healthy", &Sql("")).await;
        let results = self.examine("healthy", &rule).await;
        let fingerprint = results
            .iter()
            .find(|result| result.kind == "schema")
            .and_then(|result| result.value.clone())
            .unwrap();
        let more = format!(
            "{more}\n[[rules.checks]]\nname = \"same schema\"\nkind = \"schema\"\nexpect = {{ fingerprint = \"{fingerprint}\" }}"
        );
        let rule = self.rule(&more);
        let healthy = self.examine("healthy", &rule).await;
        for result in &healthy {
            assert_eq!(
                result.outcome,
                CheckOutcome::Passed,
                "{}: {}",
                result.name,
                result.detail.at(Ceiling::Text)
            );
        }
        let mut wrong = Vec::new();
        for (number, (what, done, catches, words)) in damages.iter().enumerate() {
            let database = format!("damage_{number}");
            harm(&database, done).await;
            let results = self.examine(&database, &rule).await;
            let caught = results.iter().find(|result| result.name == *catches);
            let caught = caught.unwrap_or_else(|| panic!("no check {catches}"));
            let detail = caught.detail.at(Ceiling::Text);
            if caught.outcome != CheckOutcome::Failed || !detail.contains(words) {
                wrong.push(format!(
                    "{what}: {catches} is {} {detail:?}, not failed {words:?}",
                    caught.outcome
                ));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

fn access(authority: &str) -> Access {
    let login = Login::new("reader".to_owned(), PASSWORD.to_owned(), None);
    let certificates = Certificates::Pem(authority.as_bytes().to_vec());
    Access::given(Some(login), Tls::Verify, certificates).unwrap()
}

/// Harms a file that the server has not read yet.
fn harm_file(file: &Path, harm: &Harm) {
    let open = || OpenOptions::new().write(true).open(file).unwrap();
    match harm {
        Sql(_) => {}
        Page(_, page) => {
            let mut file = open();
            file.seek(SeekFrom::Start(page * 8192)).unwrap();
            file.write_all(&[0xAB; 8192]).unwrap();
        }
        Half(_) => {
            let pages = file.metadata().unwrap().len() / 8192;
            open().set_len(pages / 2 * 8192).unwrap();
        }
        Gone(_) => std::fs::remove_file(file).unwrap(),
    }
}

const POSTGRES: &str = r#"
create role app;
create extension pg_trgm;
create schema audit;
create table customers (id bigint primary key, email text, name text collate "C", referrer bigint);
create table orders (
    id bigint primary key,
    customer_id bigint not null references customers,
    amount numeric(10, 2) not null check (amount >= 0),
    state text not null default 'placed',
    created_at timestamptz not null);
create index orders_created_at on orders (created_at);
create table order_lines (order_id bigint not null references orders, line integer, sku text not null, primary key (order_id, line));
create table audit.log (id bigint generated always as identity primary key, logged_at timestamp not null, what text);
create view open_orders as select * from orders where state = 'placed';
create function audit.note() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger note_orders before update on orders for each row execute function audit.note();
insert into customers select n, 'c' || n || '@mail.example', case when n % 50 = 0 then null else 'Customer ' || n end, null
    from generate_series(1, 1000) n;
insert into orders select n, 1 + n % 1000, n, 'placed', timestamptz '{newest}' - n * interval '1 minute' + interval '1 minute'
    from generate_series(1, 5000) n;
insert into order_lines select 1 + n % 5000, n / 5000, 'sku' from generate_series(0, 9999) n;
insert into audit.log (logged_at, what) select (timestamptz '{newest}' at time zone 'UTC') - n * interval '1 hour', 'x'
    from generate_series(0, 99) n;
create table manifest (table_name text, row_count bigint, written_at timestamptz);
insert into manifest select t, n, timestamptz '{newest}'
    from (values ('orders', 5000), ('customers', 1000), ('order_lines', 10000)) as v (t, n);
insert into manifest values ('orders', 4000, timestamptz '{newest}' - interval '1 hour');
alter table customers enable row level security;
create policy tenant_only on customers for select to app using (id > 0);
grant select on customers to app;
grant select, insert on orders to app;
analyze;
checkpoint;
"#;

const POSTGRES_SCHEMA: &str = r#"
[[rules.checks]]
name = "schema"
kind = "schema"
[rules.checks.expect]
has = [
  "table public.orders",
  "view public.open_orders",
  "column public.customers.name text collate C",
  "column public.order_lines.sku text not null",
  "column public.orders.amount numeric(10,2)",
  "index public.orders.orders_pkey valid",
  "index public.orders.orders_created_at valid",
  "constraint public.orders.orders_amount_check CHECK",
  "constraint public.order_lines.order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders(id)",
  "extension pg_trgm",
  "row security public.customers",
  "policy public.customers.tenant_only permissive for select to app using (id > 0)",
  "grant public.orders to app SELECT",
  "trigger public.orders.note_orders enabled",
  "role app",
  "database encoding UTF8",
]
lacks = ["grant public.customers to PUBLIC"]
"#;

const POSTGRES_DAMAGES: &[Damage] = &[
    (
        "rows lost that only the manifest knows of",
        Sql("delete from order_lines where order_id = 1"),
        "manifest",
        "order_lines has 9998 rows, and the manifest says 10000",
    ),
    (
        "an old heartbeat",
        Sql("update manifest set written_at = written_at - interval '1 day'"),
        "manifest",
        "was 1d",
    ),
    (
        "a table that the manifest does not know",
        Sql("delete from manifest where table_name = 'orders'"),
        "manifest",
        "the manifest says nothing of orders",
    ),
    (
        "dropped table",
        Sql("drop table order_lines"),
        "lines",
        "42P01",
    ),
    (
        "truncated",
        Sql("truncate orders cascade"),
        "orders",
        "orders has 0 rows",
    ),
    (
        "half the rows",
        Sql("set session_replication_role = replica; delete from orders where id % 2 = 0"),
        "orders",
        "2500 rows",
    ),
    (
        "one row too many",
        Sql("insert into orders values (5001, 1, 1, 'placed', '2026-01-01')"),
        "orders",
        "5001 rows",
    ),
    (
        "a few customers lost",
        Sql("set session_replication_role = replica; delete from customers where id > 990"),
        "customers",
        "990 rows",
    ),
    (
        "stale",
        Sql("update orders set created_at = created_at - interval '3 days'"),
        "fresh orders",
        "3d",
    ),
    (
        "stale log",
        Sql("delete from audit.log where id = 1"),
        "fresh log",
        "1h",
    ),
    (
        "emptied log",
        Sql("truncate audit.log"),
        "fresh log",
        "no row with a value",
    ),
    (
        "dropped schema",
        Sql("drop schema audit cascade"),
        "fresh log",
        "42P01",
    ),
    (
        "lost values",
        Sql("update customers set email = null where id in (3, 7)"),
        "emails",
        "2 of 1000 rows",
    ),
    (
        "lost many names",
        Sql("update customers set name = null where id <= 40"),
        "few nameless",
        "60 of 1000 rows",
    ),
    (
        "doubled rows",
        Sql("update customers set email = 'c1@mail.example' where id in (2, 3)"),
        "one account each",
        "2 of 1000 rows",
    ),
    (
        "impossible values",
        Sql(
            "alter table orders drop constraint orders_amount_check; update orders set amount = -1 where id = 9",
        ),
        "amounts",
        "1 of 5000 rows",
    ),
    (
        "unknown states",
        Sql("update orders set state = 'x' where id < 6"),
        "amounts",
        "5 of 5000 rows",
    ),
    (
        "orphaned lines",
        Sql("set session_replication_role = replica; delete from orders where id <= 10"),
        "lines have orders",
        "20 of 10000 rows",
    ),
    (
        "orphaned orders",
        Sql("set session_replication_role = replica; delete from customers where id = 7"),
        "orders have customers",
        "5 of 5000 rows",
    ),
    (
        "dropped column",
        Sql("alter table customers drop column email"),
        "emails",
        "42703",
    ),
    (
        "renamed column",
        Sql("alter table orders rename column created_at to made_at"),
        "fresh orders",
        "42703",
    ),
    (
        "renamed table",
        Sql("alter table orders rename to orders_old"),
        "orders",
        "42P01",
    ),
    (
        "another letter case",
        Sql("alter table orders rename to \"Orders\""),
        "orders",
        "42P01",
    ),
    (
        "missing index",
        Sql("drop index orders_created_at"),
        "schema",
        "orders_created_at valid",
    ),
    (
        "invalid index",
        Sql(
            "update pg_index set indisvalid = false where indexrelid = 'orders_created_at'::regclass",
        ),
        "schema",
        "orders_created_at valid",
    ),
    (
        "missing primary key",
        Sql("alter table orders drop constraint orders_pkey cascade"),
        "schema",
        "orders_pkey valid",
    ),
    (
        "missing foreign key",
        Sql("alter table order_lines drop constraint order_lines_order_id_fkey"),
        "schema",
        "order_lines_order_id_fkey",
    ),
    (
        "foreign key not validated",
        Sql(
            "alter table order_lines drop constraint order_lines_order_id_fkey; alter table order_lines add foreign key (order_id) references orders not valid",
        ),
        "same schema",
        "another than that of",
    ),
    (
        "missing check",
        Sql("alter table orders drop constraint orders_amount_check"),
        "schema",
        "orders_amount_check",
    ),
    (
        "missing extension",
        Sql("drop extension pg_trgm"),
        "schema",
        "extension pg_trgm",
    ),
    (
        "dropped policy",
        Sql("drop policy tenant_only on customers"),
        "schema",
        "tenant_only",
    ),
    (
        "widened policy",
        Sql("alter policy tenant_only on customers using (true)"),
        "schema",
        "tenant_only",
    ),
    (
        "row security off",
        Sql("alter table customers disable row level security"),
        "schema",
        "row security public.customers",
    ),
    (
        "dropped grant",
        Sql("revoke select on orders from app"),
        "schema",
        "grant public.orders to app SELECT",
    ),
    (
        "opened to everybody",
        Sql("grant select on customers to public"),
        "schema",
        "the schema has `grant public.customers to PUBLIC`",
    ),
    (
        "wrong collation",
        Sql("alter table customers alter column name type text collate \"default\""),
        "schema",
        "collate C",
    ),
    (
        "wrong type",
        Sql("drop view open_orders; alter table orders alter column amount type double precision"),
        "schema",
        "numeric(10,2)",
    ),
    (
        "nullable column",
        Sql("alter table order_lines alter column sku drop not null"),
        "schema",
        "sku text not null",
    ),
    (
        "dropped default",
        Sql("alter table orders alter column state drop default"),
        "same schema",
        "another than that of",
    ),
    (
        "dropped view",
        Sql("drop view open_orders"),
        "schema",
        "view public.open_orders",
    ),
    (
        "disabled trigger",
        Sql("alter table orders disable trigger note_orders"),
        "schema",
        "note_orders enabled",
    ),
    (
        "another function",
        Sql(
            "create or replace function audit.note() returns trigger language plpgsql as $$ begin return null; end $$",
        ),
        "same schema",
        "another than that of",
    ),
    (
        "an additional table",
        Sql("create table shell (x text)"),
        "same schema",
        "another than that of",
    ),
    (
        "made anew and empty",
        Sql("drop schema public cascade; create schema public; drop schema audit cascade"),
        "same schema",
        "the schema is another",
    ),
    (
        "corrupted heap page",
        Page("orders", 3),
        "orders",
        "the data is damaged",
    ),
    (
        "corrupted B-tree page",
        Page("orders_created_at", 3),
        "fresh orders",
        "the data is damaged",
    ),
    ("half of a file", Half("orders"), "orders", "rows"),
    (
        "missing file",
        Gone("order_lines"),
        "lines",
        "the data is damaged",
    ),
];

#[tokio::test]
async fn every_damage_of_postgresql_is_caught() {
    let clinic = Clinic::open(Kind::Postgres).await;
    clinic.execute("postgres", "create database ward").await;
    let data = POSTGRES.replace("{newest}", &clinic.newest.to_string());
    clinic.execute("ward", &data).await;
    let home = PathBuf::from(clinic.execute("postgres", "show data_directory").await);
    let harm = async |database: &str, harm: &Harm| {
        // Files are copied, so that the server has not read a page of them when they are harmed.
        let copy = format!("create database {database} template ward strategy file_copy");
        clinic.execute("postgres", &copy).await;
        match harm {
            Sql(sql) => {
                clinic.execute(database, sql).await;
            }
            Page(relation, _) | Half(relation) | Gone(relation) => {
                let path = format!("select pg_relation_filepath('{relation}')");
                let path = clinic.execute(database, &path).await;
                harm_file(&home.join(path), harm);
            }
        }
    };
    clinic
        .show_all(POSTGRES_SCHEMA, POSTGRES_DAMAGES, harm)
        .await;
}

const MARIADB: &str = r#"
create table customers (id bigint primary key, email varchar(200), name varchar(200) collate utf8mb4_bin, referrer bigint);
create table orders (
    id bigint primary key,
    customer_id bigint not null,
    amount decimal(10, 2) not null,
    state varchar(20) not null default 'placed',
    created_at timestamp not null default '2026-01-01 00:00:00',
    constraint orders_customer foreign key (customer_id) references customers (id),
    constraint orders_amount check (amount >= 0));
create index orders_created_at on orders (created_at);
create table order_lines (order_id bigint not null, line integer, sku varchar(20) not null, primary key (order_id, line),
    constraint lines_order foreign key (order_id) references orders (id));
create table audit_log (id bigint auto_increment primary key, logged_at datetime not null, what text);
create table archive (id integer primary key, what varchar(100)) engine = MyISAM;
create view open_orders as select * from orders where state = 'placed';
create trigger note_orders before update on orders for each row set new.state = new.state;
create function tax() returns decimal(4, 2) deterministic return 0.19;
insert into customers select seq, concat('c', seq, '@mail.example'), if(seq % 50 = 0, null, concat('Customer ', seq)), null
    from seq_1_to_1000;
insert into orders select seq, 1 + seq % 1000, seq, 'placed', timestamp '{newest}' - interval (seq - 1) minute from seq_1_to_5000;
insert into order_lines select 1 + seq % 5000, floor(seq / 5000), 'sku' from seq_0_to_9999;
insert into audit_log (logged_at, what) select timestamp '{newest}' - interval seq hour, 'x' from seq_0_to_99;
insert into archive select seq, repeat('x', 90) from seq_1_to_1000;
create table manifest (table_name varchar(64), row_count bigint, written_at timestamp null);
insert into manifest values ('orders', 5000, '{newest}'), ('customers', 1000, '{newest}'), ('order_lines', 10000, '{newest}'),
    ('orders', 4000, timestamp '{newest}' - interval 1 hour);
grant select on orders to app;
flush tables;
"#;

const MARIADB_SCHEMA: &str = r#"
[[rules.checks]]
name = "archive"
kind = "failed_rows"
table = "archive"
condition = "what <> repeat('x', 90)"
[[rules.checks]]
name = "schema"
kind = "schema"
[rules.checks.expect]
has = [
  "table orders innodb collate utf8mb4_unicode_ci",
  "view open_orders",
  "column customers.name varchar(200) collate utf8mb4_bin",
  "column order_lines.sku varchar(20) not null",
  "column orders.amount decimal(10,2)",
  "index orders.PRIMARY valid unique",
  "index orders.orders_created_at valid btree 1 created_at",
  "constraint orders.orders_amount check",
  "reference order_lines.order_id to orders.id",
  "trigger orders.note_orders before update",
  "function tax",
  "grant orders to 'app'@'%' SELECT",
]
"#;

const MARIADB_DAMAGES: &[Damage] = &[
    (
        "rows lost that only the manifest knows of",
        Sql("delete from order_lines where order_id = 1"),
        "manifest",
        "order_lines has 9998 rows, and the manifest says 10000",
    ),
    (
        "an old heartbeat",
        Sql("update manifest set written_at = written_at - interval 1 day"),
        "manifest",
        "was 1d",
    ),
    (
        "a table that the manifest does not know",
        Sql("delete from manifest where table_name = 'orders'"),
        "manifest",
        "the manifest says nothing of orders",
    ),
    (
        "dropped table",
        Sql("drop table order_lines"),
        "lines",
        "doesn't exist",
    ),
    (
        "truncated",
        Sql("set foreign_key_checks = 0; truncate orders"),
        "orders",
        "orders has 0 rows",
    ),
    (
        "half the rows",
        Sql("set foreign_key_checks = 0; delete from orders where id % 2 = 0"),
        "orders",
        "2500 rows",
    ),
    (
        "stale",
        Sql("update orders set created_at = created_at - interval 3 day"),
        "fresh orders",
        "3d",
    ),
    (
        "stale log",
        Sql("delete from audit_log order by logged_at desc limit 1"),
        "fresh log",
        "1h",
    ),
    (
        "emptied log",
        Sql("truncate audit_log"),
        "fresh log",
        "no row with a value",
    ),
    (
        "zero dates",
        Sql("set sql_mode = ''; update audit_log set logged_at = 0"),
        "fresh log",
        "zero date",
    ),
    (
        "lost values",
        Sql("update customers set email = null where id in (3, 7)"),
        "emails",
        "2 of 1000 rows",
    ),
    (
        "lost many names",
        Sql("update customers set name = null where id <= 40"),
        "few nameless",
        "60 of 1000 rows",
    ),
    (
        "doubled rows",
        Sql("update customers set email = 'c1@mail.example' where id in (2, 3)"),
        "one account each",
        "2 of 1000 rows",
    ),
    (
        "impossible values",
        Sql("set check_constraint_checks = 0; update orders set amount = -1 where id = 9"),
        "amounts",
        "1 of 5000 rows",
    ),
    (
        "orphaned lines",
        Sql("set foreign_key_checks = 0; delete from orders where id <= 10"),
        "lines have orders",
        "20 of 10000 rows",
    ),
    (
        "orphaned orders",
        Sql("set foreign_key_checks = 0; delete from customers where id = 7"),
        "orders have customers",
        "5 of 5000 rows",
    ),
    (
        "dropped column",
        Sql("alter table customers drop column email"),
        "emails",
        "Unknown column",
    ),
    (
        "renamed column",
        Sql("alter table orders rename column created_at to made_at"),
        "fresh orders",
        "Unknown column",
    ),
    (
        "missing index",
        Sql("drop index orders_created_at on orders"),
        "schema",
        "orders_created_at valid",
    ),
    (
        "missing foreign key",
        Sql("alter table order_lines drop foreign key lines_order"),
        "schema",
        "reference order_lines.order_id",
    ),
    (
        "missing check",
        Sql("alter table orders drop constraint orders_amount"),
        "schema",
        "orders_amount check",
    ),
    (
        "wrong collation",
        Sql("alter table customers modify name varchar(200) collate utf8mb4_unicode_ci"),
        "schema",
        "utf8mb4_bin",
    ),
    (
        "wrong collation of a table",
        Sql("alter table audit_log collate utf8mb4_bin"),
        "same schema",
        "another than that of",
    ),
    (
        "wrong type",
        Sql(
            "alter table orders drop constraint orders_amount; alter table orders modify amount double not null",
        ),
        "schema",
        "decimal(10,2)",
    ),
    (
        "nullable column",
        Sql("alter table order_lines modify sku varchar(20)"),
        "schema",
        "sku varchar(20) not null",
    ),
    (
        "another storage engine",
        Sql(
            "set foreign_key_checks = 0; alter table order_lines drop foreign key lines_order; alter table orders drop foreign key orders_customer; alter table orders engine = MyISAM",
        ),
        "schema",
        "table orders innodb",
    ),
    (
        "dropped view",
        Sql("drop view open_orders"),
        "schema",
        "view open_orders",
    ),
    (
        "dropped trigger",
        Sql("drop trigger note_orders"),
        "schema",
        "note_orders",
    ),
    (
        "another function",
        Sql(
            "drop function tax; create function tax() returns decimal(4, 2) deterministic return 0.07",
        ),
        "same schema",
        "another than that of",
    ),
    (
        "dropped function",
        Sql("drop function tax"),
        "schema",
        "function tax",
    ),
    (
        "dropped grant",
        Sql("revoke select on orders from app"),
        "schema",
        "grant orders to 'app'@'%' SELECT",
    ),
    (
        "an additional grant",
        Sql("grant select on customers to app"),
        "same schema",
        "another than that of",
    ),
    (
        "made anew and empty",
        Sql(
            "set foreign_key_checks = 0; drop view open_orders; drop table order_lines, orders, customers, audit_log, archive, manifest",
        ),
        "same schema",
        "the schema is another",
    ),
    (
        "half of a file",
        Half("archive.MYD"),
        "archive",
        "the data is damaged",
    ),
];

#[tokio::test]
async fn every_damage_of_mariadb_is_caught() {
    let clinic = Clinic::open(Kind::MariaDb).await;
    let home = PathBuf::from(clinic.execute("mysql", "select @@datadir").await);
    let newest = clinic.newest.strftime("%F %T").to_string();
    let data = MARIADB.replace("{newest}", &newest);
    let harm = async |database: &str, harm: &Harm| {
        let make = format!("create database {database}");
        clinic.execute("mysql", &make).await;
        clinic.execute(database, &data).await;
        match harm {
            Sql(sql) => {
                clinic.execute(database, sql).await;
            }
            Page(file, _) | Half(file) | Gone(file) => {
                // The server looks at the file anew.
                clinic.execute(database, "flush tables").await;
                harm_file(&home.join(database).join(file), harm);
            }
        }
    };
    clinic.show_all(MARIADB_SCHEMA, MARIADB_DAMAGES, harm).await;
}

/// A table above `limits.largest_scan` is sampled: 13 MB of rows against 1 MiB.
#[tokio::test]
async fn of_a_large_table_a_sample_is_read() {
    const LARGE: &str = r#"
[[rules.checks]]
name = "rows"
kind = "row_count"
table = "big"
expect = { between = [9000, 60000] }
[[rules.checks]]
name = "values"
kind = "missing"
table = "big"
column = "body"
[[rules.checks]]
name = "empty"
kind = "failed_rows"
table = "big"
condition = "body <> ''"
[[rules.checks]]
name = "fresh"
kind = "freshness"
table = "big"
column = "seen_at"
expect = { max_age = "15m" }
[[rules.checks]]
name = "indexed"
kind = "freshness"
table = "big"
column = "made_at"
expect = { max_age = "15m" }
"#;
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let clinic = Clinic::open(kind).await;
        let newest = clinic.newest.strftime("%F %T").to_string();
        let (series, now) = match kind {
            Kind::Postgres | Kind::AuroraPostgres => {
                ("generate_series(1, 20000) as s(seq)", "timestamp")
            }
            Kind::MySql | Kind::MariaDb | Kind::AuroraMySql => ("seq_1_to_20000", "datetime"),
        };
        clinic.execute(clinic.home(), "create database ward").await;
        let sql = format!(
            "create table big (id int primary key, body varchar(1000), seen_at {now}, made_at {now});
             create index big_made_at on big (made_at);
             insert into big select seq, repeat('x', 600), '{newest}', '{newest}' from {series};
             analyze {}big",
            if now == "datetime" { "table " } else { "" }
        );
        clinic.execute("ward", &sql).await;
        let text = format!(
            "version = \"1\"\n[limits]\nlargest_scan = \"1 MiB\"\n[[rules]]\nname = \"shop\"\nmatch = {{}}\n\
             frequency = \"daily\"\ncredentials = \"reset\"\n{LARGE}"
        );
        let rule = policies::parse(&text).unwrap().rules.remove(0);
        let results = clinic.examine("ward", &rule).await;
        let details: Vec<_> = results
            .iter()
            .map(|result| (result.outcome, result.detail.at(Ceiling::Text)))
            .collect();
        let outcomes: Vec<_> = details.iter().map(|(outcome, _)| *outcome).collect();
        use CheckOutcome::{Errored, Failed, Passed};
        assert_eq!(
            outcomes,
            [Passed, Passed, Failed, Errored, Passed],
            "{details:#?}"
        );
        assert!(details[0].1.contains("has about"), "{details:#?}");
        assert!(details[1].1.contains("of a sample of"), "{details:#?}");
        assert!(
            details[3].1.contains("no index begins with seen_at"),
            "{details:#?}"
        );
        let looked_at = results[1].measured[0].number.unwrap();
        assert!((500.0..5000.0).contains(&looked_at), "{looked_at}");
    }
}
