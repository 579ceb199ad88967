//! Answers that a hostile or broken receiver may give, and the environment it is reached in.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::answer::raw;
use crate::harness::{ALL_EVENTS, Answer, Cluster, Daemon, Database, ORDERS, Receiver, SOON};

async fn start(options: &str) -> (Database, Receiver, Daemon) {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;
    let daemon = Daemon::of(&db)
        .endpoint_with("r", &receiver, options)
        .table("public.orders", ALL_EVENTS)
        .start()
        .await;
    (db, receiver, daemon)
}

#[tokio::test]
async fn the_status_line_alone_says_that_an_event_is_delivered() {
    let (db, receiver, _daemon) = start("timeout: 1s").await;
    let answers = [
        // Without a length, with too small a one, with two kinds of it.
        raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nmuch more than two"),
        raw(b"HTTP/1.0 200 OK\r\n\r\n"),
        // A body that is no chunk, no gzip, and one that ends within a chunk.
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nshort"),
        // Bytes that are no ASCII.
        raw(b"HTTP/1.1 200 OK\xff\r\nx-a: \xff\xfe\r\ncontent-length: 0\r\n\r\n"),
        // Other endings of lines are let pass.
        raw(b"HTTP/1.1 204 No Content\n\n"),
    ];
    let count = answers.len();
    for answer in answers {
        receiver.next(answer);
    }
    db.sql(&format!(
        "INSERT INTO orders (id) SELECT generate_series(1, {count})"
    ))
    .await;
    receiver.wait_for(count, SOON).await;
    db.confirmed(SOON).await;
    let attempts = receiver.attempts();
    assert_eq!(attempts.len(), count, "each event was sent once");
}

#[tokio::test]
async fn ten_thousand_headers_are_no_answer_nor_are_control_characters() {
    let (db, receiver, daemon) = start("retry: {max: 20ms}").await;
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    for number in 0..10_000 {
        answer.extend(format!("x-{number}: v\r\n").into_bytes());
    }
    answer.extend(b"content-length: 0\r\n\r\n");
    receiver.next(Answer::Refused(answer));
    // Nor are bytes that would move a terminal's cursor, and the log does not show them.
    let alive = b"HTTP/1.1 200 \x1b[31mOK\r\nx-a: \x1b]0;title\x07\r\n\r\n";
    receiver.next(Answer::Refused(alive.to_vec()));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    receiver.wait_for(2, SOON).await;
    assert_eq!(receiver.attempts().len(), 4);
    assert!(!daemon.output().contains("title"), "{}", daemon.output());
}

/// What a dead letter shows of an answer is the answer's own bytes, none of them alive.
#[tokio::test]
async fn a_compressed_answer_is_not_inflated_and_its_bytes_are_escaped() {
    let (db, receiver, daemon) = start("retry: {park_statuses: [422]}").await;
    let bomb = b"HTTP/1.1 422 No\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\n\
                 \x1f\x8b\x08\x00\x00\x1b[31mRED\x00\xff\xfe\r\n!\x07!";
    receiver.next(Answer::Refused(bomb.to_vec()));
    db.sql("INSERT INTO orders (id) VALUES (1), (2)").await;
    receiver.wait_for(1, SOON).await;
    let dead = daemon.dead_letters().await;
    assert_eq!(dead.len(), 1);
    let number = dead[0].number();
    for arguments in [
        vec!["dead", "show", &number],
        vec!["dead", "show", &number, "--json"],
    ] {
        let shown = daemon.cli(&arguments).await.expect_code(0).text();
        assert!(shown.contains("RED"), "{shown:?}");
        let alive = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(alive), "{shown:?}");
    }
    assert!(!daemon.output().contains("RED"), "{}", daemon.output());
}

/// A receiver that answers with the body still to come, and one that never reads it.
#[tokio::test]
async fn a_receiver_that_does_not_read_harms_only_its_own_events() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let beside = Receiver::start().await;
    let hasty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = |listener: &TcpListener| {
        format!(
            "url: http://{}/\nsecret: ${{BESIDE_SECRET}}\ntimeout: 1s\nretry: {{max: 100ms}}",
            listener.local_addr().unwrap()
        )
    };
    let daemon = Daemon::of(&db)
        .endpoint_as_written("hasty", &endpoint(&hasty))
        .endpoint_as_written("deaf", &endpoint(&deaf))
        .endpoint("beside", &beside)
        .table(
            "public.orders",
            "to: [hasty, deaf, beside]\nevents: {insert: order.created}",
        )
        .start()
        .await;
    // Larger than the buffers of both sides.
    db.sql(
        "INSERT INTO orders (id, note) SELECT g, repeat('x', 9000000) FROM generate_series(1, 2) g",
    )
    .await;
    let held = deaf.accept().await.unwrap();
    for answer in ["413 Payload Too Large", "200 OK"] {
        let (stream, _) = hasty.accept().await.unwrap();
        answer_early(stream, answer).await;
    }
    beside.wait_for(2, SOON).await;
    // The first of the deaf one is tried again, on another connection.
    let again = tokio::time::timeout(SOON, deaf.accept()).await;
    drop((held, again.expect("another attempt")));
    assert!(daemon.is_running());
}

async fn answer_early(mut stream: TcpStream, status: &str) {
    let mut head = [0; 100];
    stream.read_exact(&mut head).await.unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    // Until the sender has seen it, or has gone.
    let mut rest = vec![0; 1 << 20];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let (receiver, proxy) = (Receiver::start().await, Receiver::start().await);
    let mut daemon = Daemon::of(&db).endpoint("r", &receiver);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        for name in [name.to_owned(), name.to_lowercase()] {
            daemon = daemon.env(&name, &proxy.url());
        }
    }
    let _daemon = daemon.table("public.orders", ALL_EVENTS).start().await;
    db.sql("INSERT INTO orders (id) VALUES (1)").await;
    receiver.wait_for(1, SOON).await;
    assert_eq!(proxy.connections(), 0);
}
