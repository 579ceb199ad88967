//! The harness, before it is trusted to judge the daemon.

use std::time::{Duration, SystemTime};

use crate::harness::metrics::Metrics;
use crate::harness::oracle;
use crate::harness::tls::{TlsFront, fixture};
use crate::harness::verify::{random_secret, verify};
use crate::harness::{Answer, Cluster, Receiver, SOON, eventually, http};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
const TIME: i64 = 1_649_367_553;

fn judge(id: &str, time: &str, signatures: &str, body: &[u8], now: i64) -> Result<(), String> {
    verify(&[SECRET.to_owned()], id, time, signatures, body, now)
}

#[test]
fn the_verifier_takes_the_golden_vector_and_nothing_else() {
    let time = TIME.to_string();
    assert_eq!(judge(ID, &time, SIGNATURE, BODY, TIME), Ok(()));
    assert_eq!(judge(ID, &time, SIGNATURE, BODY, TIME + 300), Ok(()));
    let both = format!("v1,AAAA {SIGNATURE}");
    assert_eq!(judge(ID, &time, &both, BODY, TIME), Ok(()));
    let wrong = [
        judge("msg_other", &time, SIGNATURE, BODY, TIME),
        judge("msg.27", &time, SIGNATURE, BODY, TIME),
        judge(ID, &(TIME + 1).to_string(), SIGNATURE, BODY, TIME),
        judge(ID, &time, SIGNATURE, b"{}", TIME),
        judge(ID, &time, SIGNATURE, BODY, TIME + 301),
        judge(ID, &time, SIGNATURE, BODY, TIME - 301),
        judge(ID, &time, "", BODY, TIME),
        judge(ID, &time, "v1,AAAA", BODY, TIME),
        judge(ID, &time, &format!("v1,AAAA  {SIGNATURE}"), BODY, TIME),
        judge(ID, &time, &format!("{SIGNATURE},{SIGNATURE}"), BODY, TIME),
        verify(&[random_secret()], ID, &time, SIGNATURE, BODY, TIME),
    ];
    for (number, verdict) in wrong.iter().enumerate() {
        assert!(verdict.is_err(), "case {number} passed");
    }
}

/// Sends a webhook as the daemon should: signed with the receiver's secret.
pub async fn send(receiver: &Receiver, id: &str, body: &str) -> std::io::Result<u16> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = i64::try_from(now.unwrap().as_secs()).unwrap();
    let key = walhook::delivery::signature::SigningKey::parse(&receiver.secret()).unwrap();
    let signature = walhook::delivery::signature::header(&[key], id, time, body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", id),
        ("webhook-timestamp", &time.to_string()),
        ("webhook-signature", &signature),
        ("webhook-attempt", "1"),
        ("user-agent", "walhook/0.0.0"),
    ];
    let sent = http::request(
        receiver.address(),
        "POST",
        "/hooks",
        &headers,
        body.as_bytes(),
    )
    .await;
    sent.map(|(status, _)| status)
}

fn body(id: &str, table: &str, lsn: &str, index: u64, row: u64) -> String {
    format!(
        r#"{{"id":"{id}","type":"t.made","timestamp":"2026-11-23T22:00:00.123456Z","data":{{"id":{row}}},"previous":null,"source":{{"database":"d","schema":"public","table":"{table}","operation":"insert","lsn":"{lsn}","xid":1,"index":{index}}}}}"#
    )
}

#[tokio::test]
async fn a_receiver_verifies_and_takes_batches_apart() {
    let receiver = Receiver::start().await;
    let one = body("a", "t", "0/10", 1, 1);
    assert_eq!(send(&receiver, "a", &one).await.unwrap(), 200);
    let batch = format!(
        "[{},{}]",
        body("b", "t", "0/10", 2, 2),
        body("c", "t", "1/0", 1, 3)
    );
    assert_eq!(send(&receiver, "batch", &batch).await.unwrap(), 200);
    let events = receiver.wait_for(3, SOON).await;
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.id.as_str(), e.position, e.data("id")))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", (16, 1), 1.into()),
            ("b", (16, 2), 2.into()),
            ("c", (1 << 32, 1), 3.into())
        ]
    );
    assert_eq!(receiver.attempts()[1].events.len(), 2);
    assert_eq!(receiver.attempts()[1].number(), 1);
}

#[tokio::test]
async fn a_receiver_names_what_is_wrong_with_a_request() {
    let receiver = Receiver::start().await;
    send(&receiver, "a", &body("a", "t", "0/10", 1, 1))
        .await
        .unwrap();
    assert_eq!(receiver.take_problems(), [""; 0]);

    receiver.set_secrets(&[&random_secret()]);
    let mine = random_secret();
    http::request(receiver.address(), "POST", "/hooks", &[], b"{")
        .await
        .unwrap();
    assert!(receiver.take_problems().len() >= 4);
    receiver.set_secrets(&[&mine]);
    send(&receiver, "b", &body("b", "t", "0/10", 2, 1))
        .await
        .unwrap();
    send(&receiver, "b", &body("b", "t", "0/10", 2, 7))
        .await
        .unwrap();
    send(&receiver, "c", &body("d", "t", "0/10", 3, 1))
        .await
        .unwrap();
    send(&receiver, "e", "[]").await.unwrap();
    let problems = receiver.take_problems();
    assert_eq!(
        problems,
        [
            "b: another body under the same id",
            "c: the body's id is d",
            "e: an empty batch"
        ]
    );
}

#[tokio::test]
#[should_panic(expected = "wrong requests")]
async fn a_receiver_that_got_a_wrong_request_fails_its_test() {
    let receiver = Receiver::start().await;
    http::request(receiver.address(), "POST", "/hooks", &[], b"{}")
        .await
        .unwrap();
}

#[tokio::test]
#[should_panic(expected = "harness_itself.rs")]
async fn a_waiter_in_vain_names_its_line() {
    let receiver = Receiver::start().await;
    receiver.wait_for(1, Duration::from_millis(10)).await;
}

/// Sends one webhook and reads the answer raw, for at most this long.
async fn raw(receiver: &Receiver, within: Duration) -> std::io::Result<Vec<u8>> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(receiver.address()).await?;
    let request = b"POST /hooks HTTP/1.1\r\nwebhook-id: x\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    // What came until then is the answer.
    tokio::time::timeout(within, stream.read_to_end(&mut answer))
        .await
        .unwrap_or(Ok(0))?;
    Ok(answer)
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let receiver = Receiver::start().await;
    let moment = Duration::from_millis(300);
    let begins = |answer: &[u8], with: &str| {
        let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        assert!(text.starts_with(with), "{text}");
    };

    receiver.next(Answer::status_with(503, "retry-after", "7"));
    let answer = raw(&receiver, moment).await.unwrap();
    assert!(
        String::from_utf8(answer)
            .unwrap()
            .contains("retry-after: 7\r\n")
    );
    receiver.next(Answer::WorkThenClose);
    assert_eq!(raw(&receiver, SOON).await.unwrap(), b"");
    for fault in [Answer::Reset, Answer::ResetInHead] {
        receiver.next(fault);
        let error = raw(&receiver, SOON).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    receiver.next(Answer::Hang);
    assert_eq!(raw(&receiver, moment).await.unwrap(), b"");
    receiver.next(Answer::DripHead(Duration::from_millis(5)));
    begins(&raw(&receiver, moment).await.unwrap(), "HTTP/1.1 2");
    receiver.next(Answer::DripBody(Duration::from_millis(5)));
    begins(
        &raw(&receiver, moment).await.unwrap(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\na",
    );
    receiver.next(Answer::Garbage(b"SSH-2.0-OpenSSH_9\r\n"));
    begins(&raw(&receiver, SOON).await.unwrap(), "SSH");
    receiver.next(Answer::Endless(500));
    let answer = raw(&receiver, moment).await.unwrap();
    begins(
        &answer,
        "HTTP/1.1 500 Answer\r\ntransfer-encoding: chunked\r\n\r\n100000\r\naaa",
    );
    assert!(answer.len() > 1_000_000 && receiver.bytes_sent() > 1_000_000);
    receiver.next(Answer::EndlessInterim);
    begins(
        &raw(&receiver, moment).await.unwrap(),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100",
    );
    receiver.next(Answer::HugeHead(1 << 20));
    assert!(raw(&receiver, moment).await.unwrap().len() > 1 << 19);
    receiver.next(Answer::ShortBody);
    begins(
        &raw(&receiver, SOON).await.unwrap(),
        "HTTP/1.1 200 OK\r\ncontent-length: 100",
    );
    receiver.next(Answer::AcceptThenClose);
    begins(&raw(&receiver, SOON).await.unwrap(), "HTTP/1.1 200");
    receiver.next(Answer::After(
        Duration::from_millis(50),
        Box::new(Answer::status(429)),
    ));
    begins(&raw(&receiver, moment).await.unwrap(), "HTTP/1.1 429");

    let release = receiver.hold_next();
    assert_eq!(raw(&receiver, moment).await.unwrap(), b"");
    let release_next = receiver.hold_next();
    let (answer, ()) = tokio::join!(raw(&receiver, Duration::from_secs(1)), async {
        release.cancel();
        release_next.cancel();
    });
    begins(&answer.unwrap(), "HTTP/1.1 200");
    receiver.choose(|attempt| (attempt.id() == "x").then(|| Answer::status(418)));
    begins(&raw(&receiver, moment).await.unwrap(), "HTTP/1.1 418");

    receiver.refuse().await;
    // A program that another test is starting has a copy of the socket for a moment.
    eventually("refused", || async {
        let answer = raw(&receiver, moment).await;
        answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    })
    .await;
    receiver.accept_again().await;
    begins(&raw(&receiver, moment).await.unwrap(), "HTTP/1.1 418");
    receiver.take_problems();
}

#[tokio::test]
async fn the_oracle_sees_each_break_of_its_rules() {
    let receiver = Receiver::start().await;
    let send = async |id: &str, table: &str, index: u64| {
        send(&receiver, id, &body(id, table, "0/10", index, index))
            .await
            .unwrap()
    };
    receiver.next(Answer::status(500));
    send("a", "t", 1).await;
    send("u", "u", 1).await;
    send("b", "t", 2).await;
    send("a", "t", 1).await;
    send("a", "t", 1).await;

    let breaks =
        |check: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err();
    let events = receiver.events();
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["u", "b", "a", "a"]);
    assert!(breaks(&|| oracle::assert_in_order_per_table(&events)));
    assert!(!breaks(&|| oracle::assert_in_order_per_table(&events[..2])));
    assert!(breaks(&|| oracle::assert_no_repeats(&events)));
    assert!(!breaks(&|| oracle::assert_no_repeats(&events[..3])));
    assert_eq!(oracle::without_repeats(&events).len(), 3);
    let overtaken = |parked: &[&str]| {
        let parked = parked.iter().map(|id| (*id).to_owned()).collect();
        let attempts = receiver.attempts();
        breaks(&|| oracle::assert_never_overtaken(&attempts, &parked, |e| e.table.clone()))
    };
    assert!(overtaken(&[]));
    assert!(!overtaken(&["a"]));
}

#[test]
fn metrics_are_parsed() {
    let page = "# HELP a b\n# TYPE a counter\na_total{x=\"1\",y=\"q\\\"r,s\"} 2\na_total{x=\"2\"} 3.5\nb 1e3\n# EOF\n";
    let metrics = Metrics::parse(page);
    assert_eq!(metrics.sum("a_total", &[]), 5.5);
    assert_eq!(metrics.sum("a_total", &[("y", "q\"r,s")]), 2.0);
    assert_eq!(metrics.sum("b", &[]), 1000.0);
    assert!(metrics.has("b") && !metrics.has("c"));
}

#[tokio::test]
async fn databases_of_a_cluster_are_apart_and_go_away() {
    let cluster = Cluster::shared().await;
    let (one, two) = (cluster.database().await, cluster.database().await);
    assert_ne!(one.slot, two.slot);
    one.sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')")
        .await;
    assert_eq!(
        one.rows("t").await["1"],
        serde_json::json!({"id": 1, "v": "a"})
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(two.value::<i64>(tables).await, 0);
    one.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
        one.slot
    ))
    .await;
    assert!(!one.slot_is_active().await);
    let (name, slot) = (one.name.clone(), one.slot.clone());
    drop(one);
    let left = format!(
        "SELECT (SELECT count(*) FROM pg_database WHERE datname = '{name}')
              + (SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}')"
    );
    assert_eq!(two.value::<i64>(&left).await, 0);
}

#[tokio::test]
async fn a_cluster_of_ones_own_stops_breaks_and_comes_back() {
    let cluster = Cluster::own().setting("wal_level", "replica").start().await;
    let db = cluster.database().await;
    assert_eq!(db.value::<String>("SHOW wal_level").await, "replica");
    db.sql("CREATE TABLE t (id int)").await;
    assert!(cluster.stop_fast(SOON).await);
    assert!(cluster.connect("postgres").await.is_err());
    cluster.set("wal_level", "logical");
    cluster.start().await;
    assert_eq!(db.value::<String>("SHOW wal_level").await, "logical");
    db.sql("INSERT INTO t VALUES (1)").await;
    cluster.kill_9().await;
    cluster.start().await;
    assert_eq!(db.value::<i64>("SELECT count(*) FROM t").await, 1);
    cluster.stop_immediate().await;
    cluster.start().await;
    assert!(cluster.log().contains("ready to accept connections"));
    let directory = cluster.data_directory();
    drop((db, cluster));
    assert!(!directory.exists());
}

#[tokio::test]
async fn clusters_can_have_an_identity_of_their_own() {
    let sql = "SELECT system_identifier::text FROM pg_control_system()";
    let identity = async |cluster: &std::sync::Arc<Cluster>| {
        cluster.database().await.value::<String>(sql).await
    };
    let shared = Cluster::shared().await;
    let copy = Cluster::own().start().await;
    assert_eq!(identity(&shared).await, identity(&copy).await);
    let other = Cluster::own().fresh_identity().start().await;
    assert_ne!(identity(&shared).await, identity(&other).await);
}

#[tokio::test]
async fn a_tls_front_shows_the_certificate_that_it_is_told_to() {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let ca = CertificateDer::from_pem_file(fixture("ca.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let receiver = Receiver::start().await;
    for (certificate, verifies) in [("good", true), ("wrong_host", false), ("expired", false)] {
        let front = TlsFront::before(&receiver, certificate).await;
        let url = url::Url::parse(&front.url()).unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let shaken = connector.connect(name, stream.unwrap()).await;
        assert_eq!(shaken.is_ok(), verifies, "{certificate}");
    }
}
