//! Ways to reach the database and to log in: what libpq takes, and what it refuses.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON, fixture};

/// Each role may log in one way alone, over 127.0.0.1.
const HBA: &str = "\
local all all trust
host all postgres 127.0.0.1/32 trust
hostssl all over_tls 127.0.0.1/32 scram-sha-256
hostnossl all by_md5 127.0.0.1/32 md5
host all in_clear 127.0.0.1/32 password
hostssl all with_certificate 127.0.0.1/32 cert
host all by_scram 127.0.0.1/32 scram-sha-256
";

/// A cluster with TLS. Files of the data directory are written by the server, so that
/// they are its own.
async fn with_tls(certificate: &str) -> (Arc<Cluster>, Database) {
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let write = async |name: &str, content: &[u8]| {
        let encoded = STANDARD.encode(content);
        db.sql(&format!(
            "COPY (SELECT '{encoded}') TO PROGRAM 'umask 077; base64 -d > {name}'"
        ))
        .await;
    };
    for (name, from) in [
        ("server.crt", format!("{certificate}.pem")),
        ("server.key", format!("{certificate}.key")),
        ("ca.crt", "client_ca.pem".to_owned()),
    ] {
        write(name, &std::fs::read(fixture(&from)).unwrap()).await;
    }
    write("pg_hba.conf", HBA.as_bytes()).await;
    db.sql(
        "SET password_encryption = 'md5';
         CREATE ROLE by_md5 LOGIN SUPERUSER PASSWORD 'canary-1';
         SET password_encryption = 'scram-sha-256';
         CREATE ROLE over_tls LOGIN SUPERUSER PASSWORD 'canary-1';
         CREATE ROLE in_clear LOGIN SUPERUSER PASSWORD 'canary-1';
         CREATE ROLE by_scram LOGIN SUPERUSER PASSWORD 'canary-1';
         CREATE ROLE with_certificate LOGIN SUPERUSER",
    )
    .await;
    for setting in ["ssl = on", "ssl_ca_file = 'ca.crt'"] {
        db.sql(&format!("ALTER SYSTEM SET {setting}")).await;
    }
    db.sql("SELECT pg_reload_conf()").await;
    crate::harness::eventually("TLS", || async {
        db.value::<String>("SELECT current_setting('ssl')").await == "on"
    })
    .await;
    (cluster, db)
}

/// `walhook check` over a connection string: the exit code, and all that it said.
async fn check(db: &Database, url: &str, env: &[(&str, &str)]) -> (i32, String) {
    let receiver = Receiver::start().await;
    let mut daemon = Daemon::of(db).endpoint("r", &receiver).url(url);
    for (name, value) in env {
        daemon = daemon.env(name, value);
    }
    let daemon = daemon.table("public.orders", ALL_EVENTS).prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await;
    let text = ran.text();
    assert!(!text.contains("canary"), "{text}");
    (ran.code, text)
}

#[track_caller]
fn assert_refused((code, text): (i32, String), part: &str) {
    assert_eq!(code, 69, "{text}");
    assert!(text.contains(part), "no {part:?} in {text}");
}

#[track_caller]
fn assert_ready((code, text): (i32, String)) {
    assert_eq!(code, 0, "{text}");
}

#[tokio::test]
async fn each_sslmode_verifies_what_it_says() {
    let (_cluster, db) = with_tls("good").await;
    let url = |options: &str| format!("{}?{options}", db.url_as("over_tls:canary-1"));
    let ca = fixture("ca.pem").display().to_string();
    let verified = |mode: &str| url(&format!("sslmode={mode}&sslrootcert={ca}"));
    for mode in ["allow", "prefer", "require"] {
        assert_ready(check(&db, &url(&format!("sslmode={mode}")), &[]).await);
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_ready(check(&db, &verified(mode), &[]).await);
    }
    assert_ready(
        check(
            &db,
            &format!("{}&channel_binding=require", verified("verify-full")),
            &[],
        )
        .await,
    );
    // The server's role is let in over TLS alone.
    assert_refused(check(&db, &url("sslmode=disable"), &[]).await, "28000");
    // Not signed by what is trusted.
    let other = fixture("expired.pem").display().to_string();
    let untrusted = url(&format!("sslmode=verify-ca&sslrootcert={other}"));
    assert_refused(check(&db, &untrusted, &[]).await, "TLS");
    let missing = url("sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    assert_refused(check(&db, &missing, &[]).await, "/nowhere/ca.pem");
}

#[tokio::test]
async fn the_name_counts_for_verify_full_alone() {
    let (_cluster, db) = with_tls("wrong_host").await;
    let ca = fixture("ca.pem").display().to_string();
    let url = |mode: &str| {
        let base = db.url_as("over_tls:canary-1");
        format!("{base}?sslmode={mode}&sslrootcert={ca}")
    };
    assert_ready(check(&db, &url("verify-ca"), &[]).await);
    assert_refused(check(&db, &url("verify-full"), &[]).await, "TLS");
}

#[tokio::test]
async fn passwords_go_by_scram_and_md5_and_never_in_clear_without_tls() {
    let (_cluster, db) = with_tls("good").await;
    let plain = |role: &str| format!("{}?sslmode=disable", db.url_as(&format!("{role}:canary-1")));
    assert_ready(check(&db, &plain("by_scram"), &[]).await);
    assert_ready(check(&db, &plain("by_md5"), &[]).await);
    assert_refused(check(&db, &plain("in_clear"), &[]).await, "clear text");
    let over_tls = format!("{}?sslmode=require", db.url_as("in_clear:canary-1"));
    assert_ready(check(&db, &over_tls, &[]).await);
    let unbound = format!("{}&channel_binding=require", plain("by_scram"));
    assert_refused(check(&db, &unbound, &[]).await, "channel_binding=require");
    let without = format!("{}?sslmode=disable", db.url_as("by_scram"));
    assert_refused(check(&db, &without, &[]).await, "password");
}

/// Who stands in for the server lets the first connection in, and asks the second one for
/// the password in clear text. Returns what the second one answered.
async fn ask_in_clear(listener: TcpListener) -> Vec<u8> {
    let (mut first, _) = listener.accept().await.expect("a connection");
    assert!(read_message(&mut first).await > 0, "a startup message");
    first
        .write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
        .await
        .expect("an open connection");
    let (mut second, _) = listener.accept().await.expect("a connection");
    assert!(read_message(&mut second).await > 0, "a startup message");
    // In two parts, as a network may.
    for part in [&b"R\0\0"[..], &b"\0\x08\0\0\0\x03"[..]] {
        second.write_all(part).await.expect("an open connection");
        second.flush().await.expect("an open connection");
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    second.read_buf(&mut answer).await.expect("its end");
    answer
}

async fn read_message(stream: &mut TcpStream) -> usize {
    let mut message = [0; 4096];
    stream.read(&mut message).await.expect("a message")
}

#[tokio::test]
async fn no_connection_gives_the_password_to_who_stands_in_for_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answered = tokio::spawn(ask_in_clear(listener));
    let daemon = Daemon::without_database()
        .url(&format!(
            "postgres://ada:canary-1@127.0.0.1:{port}/app?sslmode=disable"
        ))
        .endpoint("r", &Receiver::start().await)
        .table("public.orders", ALL_EVENTS)
        .prepare();
    let ran = daemon.cli_with_secrets(&["check"]).await;
    let answer = answered.await.unwrap();
    assert_eq!(answer.escape_ascii().to_string(), "");
    assert_refused((ran.code, ran.text()), "clear text");
}

#[tokio::test]
async fn a_password_comes_from_a_variable_or_the_password_file() {
    let (_cluster, db) = with_tls("good").await;
    let url = format!("{}?sslmode=disable", db.url_as("by_scram"));
    assert_ready(check(&db, &url, &[("PGPASSWORD", "canary-1")]).await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pgpass");
    std::fs::write(&file, "*:*:*:by_scram:canary-1\n").unwrap();
    let variable = [("PGPASSFILE", file.to_str().unwrap())];
    let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o600);
    assert_ready(check(&db, &url, &variable).await);
    // As libpq does, one that others can read is not used.
    mode(0o644);
    assert_refused(check(&db, &url, &variable).await, "password");
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let (_cluster, db) = with_tls("good").await;
    let files = format!(
        "sslcert={}&sslkey={}",
        fixture("client.pem").display(),
        fixture("client.key").display()
    );
    let url = db.url_as("with_certificate");
    assert_ready(check(&db, &format!("{url}?sslmode=require&{files}"), &[]).await);
    assert_refused(
        check(&db, &format!("{url}?sslmode=require"), &[]).await,
        "28000",
    );
    let without_key = format!(
        "{url}?sslmode=require&sslcert={}",
        fixture("client.pem").display()
    );
    assert_refused(check(&db, &without_key, &[]).await, "sslkey");
}

#[tokio::test]
async fn of_several_hosts_the_primary_is_taken_when_that_is_asked_for() {
    let standby = Cluster::own().start().await;
    assert!(standby.stop_fast(SOON).await);
    std::fs::write(standby.data_directory().join("standby.signal"), "").unwrap();
    standby.start().await;
    let primary = Cluster::own().start().await;
    primary.admin(ORDERS).await;
    let receiver = Receiver::start().await;
    let check = async |target: &str| {
        let url = format!(
            "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs={target}",
            standby.port, primary.port
        );
        let daemon = Daemon::without_database()
            .url(&url)
            .endpoint("r", &receiver)
            .table("public.orders", ALL_EVENTS)
            .prepare();
        let ran = daemon.cli_with_secrets(&["check"]).await;
        (ran.code, ran.text())
    };
    assert_refused(check("any").await, "is a standby");
    for target in ["read-write", "primary"] {
        assert_ready(check(target).await);
    }
    assert!(primary.stop_fast(SOON).await);
    let (code, text) = check("primary").await;
    assert_eq!(code, 1, "another may become the primary: {text}");
}

#[tokio::test]
async fn changes_stream_over_tls_and_over_a_unix_socket() {
    let (_cluster, db) = with_tls("good").await;
    let ca = fixture("ca.pem").display().to_string();
    let base = db.url_as("over_tls:canary-1");
    let over_tls = format!("{base}?sslmode=verify-full&sslrootcert={ca}");
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    for (count, url) in [(1000, over_tls), (2000, db.keywords())] {
        let daemon = Daemon::of(&db).endpoint("r", &receiver).url(&url);
        let mut daemon = daemon
            .state(&directory.path().join("state.db"))
            .table("public.orders", ALL_EVENTS)
            .start()
            .await;
        db.sql(&format!(
            "INSERT INTO orders (id, note) SELECT g, repeat('x', 500)
             FROM generate_series({}, {count}) g",
            count - 999
        ))
        .await;
        let events = receiver.wait_for(count, 3 * SOON).await;
        crate::harness::oracle::assert_no_repeats(&events);
        assert_eq!(daemon.stop().await, 0);
    }
}
