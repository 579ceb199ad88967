//! P9: secrets, row values, and the path and query of a URL are in nothing that is printed.

use crate::harness::{Answer, Cluster, Daemon, ORDERS, Receiver, SOON, eventually};

#[tokio::test]
async fn no_canary_is_in_any_output() {
    let db = Cluster::shared().await.database().await;
    db.sql(ORDERS).await;
    let role = format!("discreet_{}", db.name);
    db.sql(&format!(
        "CREATE ROLE {role} LOGIN SUPERUSER REPLICATION PASSWORD 'canarypassword'; \
         CREATE TABLE items (id int PRIMARY KEY, v text)"
    ))
    .await;
    // A superuser is a member of every role, by_password too: it must give its password.
    let receiver = Receiver::at_path("/hooks/canarypath?token=canaryquery").await;
    let mut daemon = Daemon::of(&db)
        .url(&db.url_as(&format!("{role}:canarypassword")))
        .endpoint_with(
            "r",
            &receiver,
            "headers: {authorization: Bearer canaryheader}\ntimeout: 500ms\nretry: {max: 50ms, park_statuses: [422]}",
        )
        .table(
            "public.orders",
            "to: r\nevents:\n  insert:\n    - order.created\n    - {type: order.odd, when: 'int(new.note) > 1'}\n",
        )
        .table("public.items", "to: r\nevents: {insert: item.created}")
        .env("RUST_LOG", "trace")
        .env("WALHOOK_LOG", "trace")
        .start()
        .await;
    let mut outputs = Vec::new();
    for answer in [
        Answer::status(500),
        Answer::Reset,
        Answer::Hang,
        Answer::Garbage(b"garbage"),
        Answer::status_with(302, "location", "http://example.com/canarylocation"),
        Answer::Status(400, Vec::new(), "canaryanswer".to_owned()),
        Answer::status(422),
    ] {
        receiver.next(answer);
    }
    db.sql("INSERT INTO orders VALUES (1, 'canaryrow', 1, 'canaryrow')")
        .await;
    db.sql("INSERT INTO orders VALUES (2, 'canaryrow', 1, '7')")
        .await;
    receiver.wait_for(2, SOON).await;
    receiver.refuse().await;
    db.sql("INSERT INTO items VALUES (1, 'canaryrow')").await;
    // The log has it once a minute at most.
    eventually("told", || async {
        daemon.get("/readyz").await.1.contains("could not connect")
    })
    .await;
    db.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()").await;
    for page in ["/healthz", "/readyz", "/metrics"] {
        outputs.push(daemon.get(page).await.1);
    }
    for command in [&["status"][..], &["status", "--json"], &["dead", "list"]] {
        outputs.push(daemon.cli(command).await.text());
    }
    outputs.push(daemon.cli_with_secrets(&["check"]).await.text());
    receiver.accept_again().await;
    receiver.wait_for(3, SOON).await;
    assert_eq!(daemon.stop().await, 0);

    // Failures at the start, too.
    let wrong = daemon.config().replace("canarypassword", "canarywrong");
    daemon.set_config(&wrong);
    outputs.push(daemon.cli_with_secrets(&["check"]).await.text());
    outputs.push(daemon.output());
    assert!(daemon.output().lines().count() > 5, "the log is on");

    let secret = receiver.secret();
    let key = secret.strip_prefix("whsec_").unwrap();
    for output in &outputs {
        for line in output.lines() {
            assert!(!line.contains("canary") && !line.contains(key), "{line}");
        }
    }
    drop(daemon);
    db.sql(&format!(
        "REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"
    ))
    .await;
}
