//! HTTPS: only a certificate that verifies gets anything.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::daemon::Builder;
use crate::harness::tls::{TlsFront, fixture};
use crate::harness::{ALL_EVENTS, Cluster, Daemon, Database, ORDERS, Receiver, SOON};

/// A daemon that sends to this URL, and to a good endpoint beside it.
async fn orders(url: &str, receiver: &Receiver, beside: &Receiver) -> (Database, Builder) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let daemon = Daemon::of(&db)
        .endpoint_as_written(
            "r",
            &format!("url: {url}\nsecret: ${{R_SECRET}}\ntimeout: 2s\nretry: {{max: 200ms}}"),
        )
        .env("R_SECRET", &receiver.secret())
        .endpoint("beside", beside)
        .table(
            "public.orders",
            &ALL_EVENTS.replace("to: r", "to: [r, beside]"),
        );
    (db, daemon)
}

#[tokio::test]
async fn a_certificate_that_verifies_is_enough() {
    let (receiver, beside) = (Receiver::start().await, Receiver::start().await);
    let front = TlsFront::before(&receiver, "good").await;
    let (db, daemon) = orders(&front.url(), &receiver, &beside).await;
    let ca = fixture("ca.pem");
    let _daemon = daemon
        .env("SSL_CERT_FILE", ca.to_str().unwrap())
        .start()
        .await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn any_other_certificate_gets_nothing() {
    for (certificate, trusted, fault) in [
        ("good", false, "certificate is of an unknown issuer"),
        ("wrong_host", true, "certificate is of another name"),
        ("expired", true, "certificate has expired"),
    ] {
        let (receiver, beside) = (Receiver::start().await, Receiver::start().await);
        let front = TlsFront::before(&receiver, certificate).await;
        let (db, mut daemon) = orders(&front.url(), &receiver, &beside).await;
        if trusted {
            daemon = daemon.env("SSL_CERT_FILE", fixture("ca.pem").to_str().unwrap());
        }
        let daemon = daemon.start().await;
        db.sql("INSERT INTO orders VALUES (1)").await;
        daemon.lines().line_with(fault, SOON).await;
        beside.wait_for(1, SOON).await;
        assert_eq!(receiver.attempts().len(), 0, "{certificate}");
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_harms_only_its_own_endpoint() {
    // It waits for HTTP, the daemon for TLS.
    let (receiver, beside) = (Receiver::start().await, Receiver::start().await);
    let url = format!("https://{}/hooks", receiver.address());
    let (db, daemon) = orders(&url, &receiver, &beside).await;
    let _daemon = daemon.start().await;
    db.sql("INSERT INTO orders (id) SELECT generate_series(1, 100)")
        .await;
    beside.wait_for(100, SOON).await;
    assert_eq!(receiver.attempts().len(), 0);
    assert!(receiver.connections() > 0);
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_certificate_gets_nothing_and_harms_nobody() {
    let (receiver, beside) = (Receiver::start().await, Receiver::start().await);
    let front = TlsFront::for_known_clients(&receiver).await;
    let (db, daemon) = orders(&front.url(), &receiver, &beside).await;
    let ca = fixture("ca.pem");
    let daemon = daemon.env("SSL_CERT_FILE", ca.to_str().unwrap());
    let daemon = daemon.start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    daemon.lines().line_with("endpoint is failing", SOON).await;
    beside.wait_for(1, SOON).await;
    assert_eq!(receiver.attempts().len(), 0);
}

/// It says what a server of TLS 1.0 or 1.1 says to us: an alert, protocol_version.
#[tokio::test]
async fn an_endpoint_that_knows_old_versions_of_tls_alone_gets_nothing_and_harms_nobody() {
    let (receiver, beside) = (Receiver::start().await, Receiver::start().await);
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hooks", old.local_addr().unwrap());
    let (db, daemon) = orders(&url, &receiver, &beside).await;
    let daemon = daemon.start().await;
    db.sql("INSERT INTO orders VALUES (1)").await;
    let (mut stream, _) = old.accept().await.unwrap();
    let mut hello = [0; 16];
    stream.read_exact(&mut hello).await.unwrap();
    stream
        .write_all(b"\x15\x03\x01\x00\x02\x02\x46")
        .await
        .unwrap();
    daemon.lines().line_with("endpoint is failing", SOON).await;
    beside.wait_for(1, SOON).await;
    assert_ne!(hello[0], b'P', "no request in clear text");
}
