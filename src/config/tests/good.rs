//! What a good config becomes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::change::Operation;
use crate::config::load::config_of;
use crate::config::{Config, Environment, Problems, load, load_outline};
use crate::event::EndpointIndex;
use crate::lane::options::{Batch, LaneOptions, Order, Retry, RetryThen};
use crate::mapping::form::{BodyForm, LargeNumbers, Oversize};
use crate::mapping::rule::{ColumnSelection, WhenError};
use crate::store::SpoolFull;

/// Random bytes, though not secret ones.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

fn read_in(text: &str, env: &Environment) -> (Option<Config>, Problems) {
    let (config, findings) = config_of(text, PathBuf::from("/etc/walhook"), env);
    (config, findings.into_problems("config.yaml"))
}

fn good_with(text: &str, variables: &[(&str, &str)]) -> Config {
    let (config, problems) = read_in(text, &environment(variables));
    match config {
        Some(config) if problems.problems.is_empty() => config,
        _ => panic!("{problems}"),
    }
}

fn good(text: &str) -> Config {
    good_with(text, &[])
}

/// A good config with this for its table `a.b`, in flow style.
fn table(table: &str) -> String {
    format!(
        "source: {{ url: postgres://w@localhost/app }}
endpoints:
  e: {{ url: https://example.com/, secret: {SECRET} }}
  f: {{ url: https://example.com/, secret: {OTHER_SECRET} }}
tables:
  a.b: {table}
  a.c: {{ to: [e, f], events: {{ insert: c.made }} }}
"
    )
}

fn minimal() -> String {
    table("{ to: e, events: { insert: b.made } }")
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = good(&minimal());
    assert_eq!(config.source.slot, "walhook");
    assert_eq!(config.source.publication, "walhook");
    assert_eq!(config.state, Path::new("/var/lib/walhook/state.db"));
    assert_eq!(config.spool.bytes_max, 10 << 30);
    assert_eq!(config.spool.full, SpoolFull::Stop);
    assert_eq!(config.memory_bytes_max, 24 << 20);
    assert_eq!(config.admin, Some("127.0.0.1:7373".parse().unwrap()));
    let endpoint = &config.endpoints[0];
    assert_eq!(&*endpoint.name, "e");
    assert_eq!(endpoint.target.timeout, Duration::from_secs(15));
    assert!(endpoint.target.headers.is_empty());
    assert_eq!(endpoint.form, BodyForm::default());
    assert_eq!(
        endpoint.lanes,
        LaneOptions {
            order: Order::Table,
            concurrency: 16,
            batch: None,
            retry: Retry {
                give_up_after: Duration::from_secs(3 * 24 * 60 * 60),
                then: RetryThen::DeadLetter,
                backoff_max: Duration::from_secs(30),
                park_statuses: vec![],
            },
        }
    );
}

#[test]
fn everything_can_be_said() {
    let config = good(
        r#"
source: { url: "host=/run/postgresql user=w dbname=app", slot: s_1, publication: "Über" }
state: walhook.db
spool: { max_bytes: 1GB, full: disable }
memory: { max_bytes: "1048576" }
admin: { listen: off }
endpoints:
  e.1:
    url: http://127.0.0.1:8080/hooks
    secret: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD]
    headers: { x-team: payments, X-Number: 007 }
    order: key
    key_lanes: 4
    concurrency: 2
    batch: { events: 10, wait: 0s, bytes: 64KiB }
    timeout: 500ms
    max_body: 256KiB
    oversize: dead_letter
    large_numbers: string
    retry: { for: 0s, then: block, max: 1m 30s, park_statuses: [404, 422] }
tables:
  "Public.*":
    to: [e.1]
    columns: { exclude: card_number }
    key: [tenant, id]
    events:
      insert: "{table}.made"
      update:
        - { type: a.b, when: 'new.x == 1', when_error: dead_letter }
        - { type: a.c, payload: { text: "{{new.x}}", n: 1.10 } }
"#,
    );
    assert_eq!(config.source.slot, "s_1");
    assert_eq!(config.source.publication, "Über");
    assert_eq!(config.state, Path::new("/etc/walhook/walhook.db"));
    assert_eq!(config.spool.bytes_max, 1_000_000_000);
    assert_eq!(config.spool.full, SpoolFull::Disable);
    assert_eq!(config.memory_bytes_max, 1 << 20);
    assert_eq!(config.admin, None);

    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.target.keys.len(), 2);
    assert_eq!(endpoint.target.headers["x-number"], "007");
    assert!(endpoint.target.headers["x-number"].is_sensitive());
    assert_eq!(endpoint.lanes.order, Order::Key { lanes: 4 });
    assert_eq!(
        endpoint.lanes.batch,
        Some(Batch {
            events_max: 10,
            wait: Duration::ZERO,
            bytes_max: 64 << 10
        })
    );
    assert_eq!(endpoint.form.bytes_max, 256 << 10);
    assert_eq!(endpoint.form.oversize, Oversize::DeadLetter);
    assert_eq!(endpoint.form.large_numbers, LargeNumbers::Strings);
    assert_eq!(endpoint.lanes.retry.backoff_max, Duration::from_secs(90));
    assert_eq!(endpoint.lanes.retry.park_statuses, [404, 422]);

    let table = &config.tables[0];
    assert_eq!(&*table.name, "Public.*");
    assert_eq!(
        table.columns,
        ColumnSelection::Exclude(vec!["card_number".to_owned()])
    );
    assert_eq!(
        table.key.as_deref(),
        Some(&["tenant".to_owned(), "id".to_owned()][..])
    );
    let operations: Vec<Operation> = table.rules.iter().map(|rule| rule.operation).collect();
    assert_eq!(
        operations,
        [Operation::Insert, Operation::Update, Operation::Update]
    );
    assert_eq!(
        &*table.rules[1].name,
        r#"tables."Public.*".events.update[0]"#
    );
    assert_eq!(table.rules[1].when_error, WhenError::DeadLetter);
    assert!(table.rules[1].when.is_some() && table.rules[2].payload.is_some());
}

#[test]
fn a_rules_own_endpoints_stand_in_for_the_tables() {
    let config = good(&table(
        "{ to: e, events: { insert: [b.made, { type: b.made, to: f }, { type: b.new, to: [f, e] }] } }",
    ));
    let endpoints: Vec<&[EndpointIndex]> = config.tables[0]
        .rules
        .iter()
        .map(|rule| rule.endpoints.as_slice())
        .collect();
    let (e, f) = (EndpointIndex(0), EndpointIndex(1));
    assert_eq!(endpoints, [&[e][..], &[f], &[f, e]]);
}

#[test]
fn the_same_type_of_other_operations_is_another_event() {
    good(&table(
        r#"{ to: e, events: { insert: b.x, update: [b.x, "b.{operation}"], delete: b.x } }"#,
    ));
}

#[test]
fn an_empty_batch_is_a_batch() {
    let text = minimal().replacen(SECRET, &format!("{SECRET}, batch: {{}}"), 1);
    let batch = good(&text).endpoints[0].lanes.batch.unwrap();
    assert_eq!(
        (batch.events_max, batch.bytes_max, batch.wait),
        (100, 1 << 20, Duration::from_millis(5))
    );
}

#[test]
fn plain_http_is_for_loopback_or_on_request() {
    for url in [
        "http://localhost/",
        "http://127.9.0.1:80/",
        "\"http://[::1]:8080/\"",
        "http://a.localhost/",
        "http://example.com/, insecure_http: true",
        "https://10.0.0.1/",
    ] {
        good(&minimal().replacen("https://example.com/", url, 1));
    }
}

#[test]
fn a_condition_may_ask_whether_a_column_changed_at_an_insert() {
    good(&table(
        r#"{ to: e, events: { insert: { type: b.made, when: 'changed("x")' } } }"#,
    ));
}

#[test]
fn aliases_repeat_what_an_anchor_names() {
    let config = good(&format!(
        "source: {{ url: postgres://w@localhost/app }}
endpoints:
  a: {{ url: https://a.example/, secret: {SECRET}, retry: &retry {{ max: 1s }} }}
  b: {{ url: https://b.example/, secret: {OTHER_SECRET}, retry: *retry }}
tables: {{ a.b: {{ to: [a, b], events: {{ insert: b.made }} }} }}
"
    ));
    assert_eq!(
        config.endpoints[1].lanes.retry.backoff_max,
        Duration::from_secs(1)
    );
}

#[test]
fn two_dollars_keep_a_brace_from_being_a_variable() {
    let config = good_with(
        &minimal().replacen(
            SECRET,
            &format!("{SECRET}, headers: {{ x-a: \"$${{A}} ${{A}}\" }}"),
            1,
        ),
        &[("A", "1")],
    );
    assert_eq!(config.endpoints[0].target.headers["x-a"], "${A} 1");
}

#[test]
fn secrets_stand_in_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a"), format!("{SECRET}\n")).unwrap();
    std::fs::write(credentials.path().join("a"), format!("{OTHER_SECRET}\r\n")).unwrap();
    let text = minimal().replacen(SECRET, "[{ file: a }]", 1);
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();

    // Both endpoints have the same secret when the file beside the config is not the one.
    let warnings = |env| load(&path, &env).unwrap().warnings.len();
    assert_eq!(warnings(environment(&[])), 0);
    let directory = credentials.path().to_str().unwrap();
    assert_eq!(
        warnings(environment(&[("CREDENTIALS_DIRECTORY", directory)])),
        1
    );
}

#[test]
fn warnings_do_not_stop_it() {
    let text = table("{ to: e, events: { insert: { type: b.made, when_error: emit } } }")
        .replacen("[e, f]", "e", 1)
        .replace(OTHER_SECRET, SECRET);
    let (config, problems) = read_in(&text, &environment(&[]));
    assert!(config.is_some());
    insta::assert_snapshot!(problems, @r#"
config.yaml:4:3: warning: endpoints.f: no rule and no alert goes to it
config.yaml:4:43: warning: endpoints.f.secret: the same secret as that of endpoint "e"
    detail: a receiver that holds it could forge what the other one gets
    hint: give each endpoint a secret of its own
config.yaml:6:63: warning: tables."a.b".events.insert.when_error: it means nothing without "when" or "payload"
no problems in config.yaml
"#);
}

#[test]
fn commands_need_the_state_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let state = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        load_outline(&path, &environment(variables))
            .map(|outline| outline.state)
            .map_err(|problems| {
                problems
                    .to_string()
                    .replace(dir.path().to_str().unwrap(), "/dir")
            })
    };
    let broken = "source: { url: \"${NOT_SET}\" }\nspool: { full: no, full: no }\nendpoints: 1\n";
    assert_eq!(
        state(broken, &[]).unwrap(),
        Path::new("/var/lib/walhook/state.db")
    );
    let named = format!("{broken}state: ${{DIR}}/s.db\n");
    assert_eq!(
        state(&named, &[("DIR", "/x")]).unwrap(),
        Path::new("/x/s.db")
    );
    assert_eq!(
        state(&named, &[("WALHOOK_STATE", "t.db")]).unwrap(),
        dir.path().join("t.db")
    );
    insta::assert_snapshot!(state(&named, &[]).unwrap_err(), @r"
/dir/config.yaml:2:20: spool.full: the name stands twice, first in line 2
    hint: leave one of the two
/dir/config.yaml:4:8: state: the variable DIR is not set
    hint: set it in the environment, or write ${DIR:-default}
2 problems in /dir/config.yaml
");
    insta::assert_snapshot!(state("state: a\nstate: b\nstate: c\n", &[]).unwrap_err(), @r"
/dir/config.yaml:2:1: state: the name stands twice, first in line 1
    hint: leave one of the two
/dir/config.yaml:3:1: state: the name stands twice, first in line 1
    hint: leave one of the two
2 problems in /dir/config.yaml
");
    insta::assert_snapshot!(state("state: [", &[]).unwrap_err(), @r#"
/dir/config.yaml:2:1: not valid YAML: while parsing a node, did not find expected node content
    hint: check the indentation, and quote values that hold ": ", " #", or begin with one of {[]},&*!|>'"%@`
1 problem in /dir/config.yaml
"#);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = |path: &Path| {
        load(path, &environment(&[]))
            .unwrap_err()
            .to_string()
            .replace(dir.path().to_str().unwrap(), "/dir")
    };
    insta::assert_snapshot!(told(&dir.path().join("none.yaml")), @r"
/dir/none.yaml: the file cannot be read
    detail: no such file or directory
1 problem in /dir/none.yaml
");
    insta::assert_snapshot!(told(dir.path()), @r"
/dir: the file cannot be read
    detail: it is a directory
1 problem in /dir
");
    let latin = dir.path().join("latin.yaml");
    std::fs::write(&latin, b"# ok\nstate: caf\xe9\n").unwrap();
    insta::assert_snapshot!(told(&latin), @r"
/dir/latin.yaml: the file is not UTF-8
    detail: first in line 2
1 problem in /dir/latin.yaml
");
    std::fs::write(&latin, format!("\u{feff}{}", minimal())).unwrap();
    assert!(load(&latin, &environment(&[])).is_ok());
}
