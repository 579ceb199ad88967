//! The Debian package on a machine with systemd: installed, upgraded, removed.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::harness::oracle::{assert_in_order_per_table, assert_no_repeats};
use crate::harness::{ALL_EVENTS, Cluster, Database, Machine, ORDERS, Receiver, SOON, eventually};

const UNIT: &str = "walhook.service";

/// The package of the binary under test, as this version.
fn package(version: &str, directory: &Path) -> PathBuf {
    let path = directory.join(format!("walhook_{version}.deb"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/build.sh");
    let output = Command::new(script)
        .args(["--quiet", "--fast", "--deb-version", version, "--output"])
        .arg(&path)
        .env("WALHOOK_PROFILE", "dev")
        .output()
        .expect("packaging/deb/build.sh");
    assert!(
        output.status.success(),
        "tests/run.sh installs cargo-deb\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

/// Installs it there; what that printed.
fn install(machine: &Machine, package: &Path) -> String {
    std::fs::copy(package, machine.path("/root/walhook.deb")).expect("copied");
    let ran = machine.run(&["dpkg", "--install", "/root/walhook.deb"]);
    ran.expect_code(0).text()
}

fn configure(machine: &Machine, db: &Database, receiver: &Receiver) {
    let events: String = ALL_EVENTS
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let config = format!(
        "source:\n  url: ${{DATABASE_URL}}\n  slot: {}\nadmin: {{ listen: off }}\n\
         endpoints:\n  r:\n    url: {}\n    secret: ${{R_SECRET}}\n\
         tables:\n  public.orders:\n{events}",
        db.slot,
        receiver.url(),
    );
    std::fs::write(machine.path("/etc/walhook/config.yaml"), config).expect("written");
    let variables = format!(
        "DATABASE_URL={}\nR_SECRET={}\n",
        db.url(),
        receiver.secret()
    );
    std::fs::write(machine.path("/etc/walhook/walhook.env"), variables).expect("written");
}

/// Owner's and group's names, and the mode.
fn access(machine: &Machine, path: &str) -> String {
    let ran = machine.run(&["stat", "--format=%U %G %a", path]);
    ran.expect_code(0).stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_installs_a_service_upgrades_it_without_a_repeat_and_warns_when_it_goes() {
    let machine = match Machine::boot().await {
        Ok(machine) => machine,
        Err(why) => {
            eprintln!("skipped: a machine with systemd cannot be had here: {why}");
            return;
        }
    };
    let packages = TempDir::new().expect("a directory");
    let cluster = Cluster::own().start().await;
    let db = cluster.database().await;
    db.sql(ORDERS).await;
    let receiver = Receiver::start().await;

    // A newcomer is told how to go on, and nothing runs yet.
    let said = install(&machine, &package("0.1.0-1", packages.path()));
    assert!(said.contains("/etc/walhook/config.yaml"), "{said}");
    assert!(said.contains("systemctl enable --now walhook"), "{said}");
    assert_eq!(machine.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(access(&machine, "/etc/walhook"), "root walhook 750");
    assert_eq!(
        access(&machine, "/etc/walhook/config.yaml"),
        "root walhook 640"
    );
    assert_eq!(
        access(&machine, "/etc/walhook/walhook.env"),
        "root root 600"
    );
    let reference = machine.path("/etc/walhook/config.yaml");
    let reference = std::fs::read_to_string(reference).expect("the reference config");
    let (_, schema) = reference.split_once("$schema=").expect("a schema");
    let schema = schema.lines().next().expect("its path");
    assert!(machine.path(schema).exists(), "{schema}");
    let manual = machine.path("/usr/share/man/man1/walhook-dead-retry.1");
    assert!(manual.exists() || manual.with_extension("1.gz").exists());
    for completions in [
        "/usr/share/bash-completion/completions/walhook",
        "/usr/share/zsh/vendor-completions/_walhook",
        "/usr/share/fish/vendor_completions.d/walhook.fish",
    ] {
        let text = std::fs::read_to_string(machine.path(completions)).expect(completions);
        assert!(text.contains("teardown"), "{completions}");
    }

    // `systemctl start` comes back once changes are streamed.
    configure(&machine, &db, &receiver);
    let started = machine.run(&["systemctl", "enable", "--now", UNIT]);
    assert_eq!(
        started.code,
        0,
        "{}{}",
        started.text(),
        machine.journal(UNIT)
    );
    assert_eq!(machine.property(UNIT, "StatusText"), "streaming");
    let state = std::fs::metadata(machine.path("/var/lib/walhook/state.db")).expect("a state file");
    assert_eq!(state.permissions().mode() & 0o777, 0o600);
    assert_ne!(state.uid(), 0, "it runs as a user of its own");

    // An upgrade amid traffic: another process, every event once, in order.
    let first = machine.property(UNIT, "MainPID");
    let second = package("0.1.0-2", packages.path());
    let client = db.client().await;
    let traffic = tokio::spawn(async move {
        for id in 0..300 {
            let insert = format!("INSERT INTO orders VALUES ({id})");
            client.batch_execute(&insert).await.expect("inserted");
        }
    });
    receiver.wait_for(20, SOON).await;
    let said = tokio::task::block_in_place(|| install(&machine, &second));
    traffic.await.expect("inserted");
    assert!(!said.contains("not started"), "{said}");
    eventually("another process streams", || async {
        machine.property(UNIT, "MainPID") != first
            && machine.property(UNIT, "ActiveState") == "active"
    })
    .await;
    db.sql("INSERT INTO orders VALUES (1000)").await;
    let events = receiver
        .wait_until(
            |events| events.iter().any(|event| event.data("id") == 1000),
            SOON,
        )
        .await;
    assert_eq!(events.len(), 301, "{}", machine.journal(UNIT));
    assert_no_repeats(&events);
    assert_in_order_per_table(&events);

    // A crash is mended by systemd, a definite condition is left to a person.
    let crashed = machine.property(UNIT, "MainPID");
    machine.run(&["kill", "-KILL", &crashed]).expect_code(0);
    eventually("restarted", || async {
        machine.property(UNIT, "ActiveState") == "active"
            && machine.property(UNIT, "MainPID") != crashed
    })
    .await;
    machine.run(&["systemctl", "stop", UNIT]).expect_code(0);
    let drop_slot = format!("SELECT pg_drop_replication_slot('{}')", db.slot);
    db.sql(&drop_slot).await;
    assert_ne!(machine.run(&["systemctl", "start", UNIT]).code, 0);
    eventually("failed, and not started again", || async {
        machine.property(UNIT, "ActiveState") == "failed"
    })
    .await;
    assert_eq!(machine.property(UNIT, "ExecMainStatus"), "69");

    // Gone: the service too; what a person wrote, and the state, stay until they are purged.
    let removed = machine.run(&["dpkg", "--remove", "walhook"]).expect_code(0);
    assert!(removed.text().contains(&drop_slot), "{}", removed.text());
    assert!(!machine.path("/usr/bin/walhook").exists());
    assert_eq!(machine.property(UNIT, "LoadState"), "not-found");
    assert!(machine.path("/etc/walhook/config.yaml").exists());
    assert!(machine.path("/var/lib/walhook/state.db").exists());
    machine.run(&["dpkg", "--purge", "walhook"]).expect_code(0);
    assert!(!machine.path("/etc/walhook").exists());
    assert!(!machine.path("/var/lib/walhook").exists());
}
