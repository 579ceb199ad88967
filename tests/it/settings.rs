//! Settings of roles and databases change neither the JSON nor how long a connection lives.

use serde_json::Value;
use tokio_postgres::Client;

use crate::harness::installation::major;
use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, Database, Receiver, SOON, eventually};

/// All that a value's text, or a connection's life, depends on.
const HOSTILE: &[(&str, &str)] = &[
    ("datestyle", "'SQL, DMY'"),
    ("intervalstyle", "'iso_8601'"),
    ("timezone", "'Asia/Kathmandu'"),
    ("extra_float_digits", "'-15'"),
    ("bytea_output", "'escape'"),
    ("lc_monetary", "'C.UTF-8'"),
    ("lc_numeric", "'C.UTF-8'"),
    ("search_path", "'hidden, public'"),
    ("client_encoding", "'LATIN1'"),
    ("quote_all_identifiers", "on"),
    ("xmloption", "document"),
    ("standard_conforming_strings", "off"),
    ("transform_null_equals", "on"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "300"),
    ("lock_timeout", "300"),
    ("idle_in_transaction_session_timeout", "300"),
    ("idle_session_timeout", "300"),
    ("client_min_messages", "debug5"),
];

const VALUES: &str = "\
    CREATE SCHEMA hidden; CREATE TYPE hidden.text AS ENUM ('no'); \
    CREATE TYPE mood AS ENUM ('fine'); CREATE TYPE pair AS (a timestamptz, b float8[]); \
    CREATE TABLE v (id int PRIMARY KEY, d date, t timestamp, tz timestamptz, tzs timestamptz[], \
        r tstzrange, i interval, ttz timetz, f4 real, f8 float8, fs float8[], p point, b bytea, \
        bs bytea[], m money, c regclass, ty regtype, s text, j json, jb jsonb, x xml, mo mood, pa pair); \
    ALTER TABLE v REPLICA IDENTITY FULL";

const ROW: &str = "(1, '2026-11-27', '2026-11-27 12:34:56.7', '2026-11-27 12:34:56.7+01', \
    ARRAY['2026-11-27 12:34:56.7+01'::timestamptz], '[2026-11-27 12:34:56.7+01,)', \
    '1 year -2 days 03:04:05.6', '12:34+01', 0.1, 0.30000000000000004, '{0.30000000000000004,1e-300}', \
    '(0.30000000000000004,1)', '\\x00ff5c', ARRAY['\\x00ff5c'::bytea], 1234567.89, 'public.v', \
    'public.mood', 'é€😀', '{\"€\": 1}', '{\"€\": 1.10}', '<a>é€</a>', 'fine', \
    ROW('2026-11-27 12:34:56.7+01', '{0.30000000000000004}')::pair)";

/// What the same row is in a database whose settings are the server's.
async fn expected(db: &Database) -> Value {
    let settings = "SET timezone = UTC; SET search_path = pg_catalog; SET lc_monetary = 'C'";
    let client = db.client().await;
    client.batch_execute(settings).await.unwrap();
    let row = client
        .query_one("SELECT to_jsonb(v)::text FROM public.v", &[])
        .await;
    serde_json::from_str(row.unwrap().get(0)).unwrap()
}

/// The daemon's role, for which all is set, in the database as well.
async fn hostile_role(db: &Database) -> String {
    let role = format!("hostile_in_{}", db.name);
    db.sql(&format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let mut settings = HOSTILE.to_vec();
    if major() >= 17 {
        settings.push(("transaction_timeout", "300"));
    }
    for (name, value) in settings {
        for of in [
            format!("DATABASE {}", db.name),
            format!("ROLE {role}"),
            format!("ROLE {role} IN DATABASE {}", db.name),
        ] {
            db.cluster
                .admin(&format!("ALTER {of} SET {name} = {value}"))
                .await;
        }
    }
    role
}

async fn forget(db: &Database, role: &str) {
    let sql = format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}");
    writer(db).await.batch_execute(&sql).await.unwrap();
}

/// A connection to write by, with the settings that a server has.
async fn writer(db: &Database) -> Client {
    let client = db.client().await;
    let reset = "SELECT set_config(name, boot_val, false) FROM pg_settings \
                 WHERE source IN ('database', 'user', 'database user')";
    client.batch_execute(reset).await.unwrap();
    client
}

#[tokio::test]
async fn they_change_no_value() {
    let plain = Cluster::shared().await.database().await;
    plain.sql(VALUES).await;
    plain.sql(&format!("INSERT INTO v VALUES {ROW}")).await;
    let expected = expected(&plain).await;

    let db = plain.cluster.database().await;
    db.sql(VALUES).await;
    let role = hostile_role(&db).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .url(&db.url_as(&role))
        .endpoint("r", &receiver)
        .table("public.v", ALL_EVENTS);
    let daemon = daemon.start().await;
    let sql = format!("INSERT INTO v VALUES {ROW}; DELETE FROM v");
    writer(&db).await.batch_execute(&sql).await.unwrap();
    let events = receiver.wait_for(2, SOON).await;
    assert_eq!(events[0].json()["data"], expected);
    assert_eq!(events[1].json()["data"], expected);
    let output = daemon.output();
    assert!(!output.contains("notice of the server"), "{output}");
    drop(daemon);
    forget(&db, &role).await;
}

#[tokio::test]
async fn they_end_no_connection() {
    let db = Cluster::shared().await.database().await;
    db.sql("CREATE TABLE v (id int PRIMARY KEY, filler text)")
        .await;
    let role = hostile_role(&db).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .url(&db.url_as(&role))
        .endpoint("r", &receiver)
        .top("memory: { max_bytes: 1MiB }\nspool: { max_bytes: 64KiB, full: stop }")
        .table("public.v", ALL_EVENTS);
    let daemon = daemon.start().await;
    // One transaction, which the server decodes for as long as nobody takes it.
    receiver.always(Answer::status(500));
    let sql = "INSERT INTO v SELECT i, repeat(md5(i::text), 1000) FROM generate_series(1, 500) i";
    writer(&db).await.batch_execute(sql).await.unwrap();
    daemon.lines().line_with("the spool is full", SOON).await;
    // Somebody who lives by these settings does not live on.
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(db.cluster.socket_directory())
        .port(db.cluster.port)
        .user(&role)
        .dbname(&db.name);
    let (_client, idle) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let ended = tokio::time::timeout(SOON, idle).await.expect("an end");
    let ended = ended.expect_err("an end by the server");
    assert_eq!(ended.code().unwrap().code(), "57P05", "{ended:?}");
    receiver.always(Answer::Accept);
    receiver.wait_for(500, 3 * SOON).await;
    let connects = daemon.metrics().await.sum("walhook_connects_total", &[]);
    assert_eq!(connects, 1.0, "{}", daemon.output());
    eventually("ready", || async { daemon.readiness().await == Some(200) }).await;
    drop(daemon);
    forget(&db, &role).await;
}
