//! The reference config loads as it is, names every key, and names the defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::load::config_of;
use crate::config::{Config, Environment, Loaded, load};
use crate::lane::options::{Batch, LaneOptions, Order, Retry, RetryThen};
use crate::mapping::rule::ColumnSelection;
use crate::store::SpoolFull;

pub(super) const REFERENCE: &str = include_str!("../../../config.yaml");

fn environment() -> Environment {
    Environment::from_iter([
        ("DATABASE_URL", "postgres://walhook@127.0.0.1/app"),
        ("BILLING_SECRET", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        ("CRM_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("CRM_SECRET_OLD", "whsec_gVqkgsCTj9hAI2ya2LhJpLUDZ9IKWsOs"),
        ("CHAT_SECRET", "whsec_cAxvQ5b7nSSlgTWW1rxVjbPFxLrY9Wy3"),
        ("ARCHIVE_SECRET", "whsec_2mIRmQYrKcqXGUZ1kbZ8uSxL4PjMd5Bt"),
    ])
}

#[test]
fn the_reference_config_loads_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.yaml");
    let Loaded { config, warnings } = match load(&path, &environment()) {
        Ok(loaded) => loaded,
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(warnings, [""; 0]);
    let names: Vec<&str> = config.endpoints.iter().map(|e| &*e.name).collect();
    assert_eq!(names, ["billing", "crm", "chat", "archive"]);
    let billing = &config.endpoints[0];
    assert_eq!(billing.lanes.order, Order::Key { lanes: 16 });
    assert_eq!(billing.lanes.retry.park_statuses, [422]);
    assert_eq!(billing.target.headers["authorization"], "Bearer none");
    assert!(billing.target.headers["x-team"].is_sensitive());
    assert_eq!(config.endpoints[1].target.keys.len(), 2);
    assert_eq!(config.endpoints[3].lanes.retry.then, RetryThen::Block);

    let tables: Vec<&str> = config.tables.iter().map(|t| &*t.name).collect();
    assert_eq!(
        tables,
        [
            "public.orders",
            "public.incidents",
            "audit.*",
            "public.outbox"
        ]
    );
    let messages: Vec<&str> = config.messages.iter().map(|m| &*m.name).collect();
    assert_eq!(messages, ["invoice.sent", "log.*"]);
    assert_eq!(*config.ignore_origins, ["write_back"]);
    let outbox = config.tables[3].outbox.as_ref().unwrap();
    assert_eq!(outbox.payload, "payload");
    assert_eq!(
        config.tables[3].key.as_deref(),
        Some(&["aggregate_id".to_owned()][..])
    );
    let orders = &config.tables[0];
    let excluded = ColumnSelection::Exclude(vec!["card_number".to_owned()]);
    assert_eq!(orders.columns, excluded);
    assert_eq!(orders.key.as_deref(), Some(&["id".to_owned()][..]));
    let rules: Vec<(&str, usize)> = orders
        .rules
        .iter()
        .map(|rule| (&*rule.name, rule.endpoints.len()))
        .collect();
    assert_eq!(
        rules,
        [
            (r#"tables."public.orders".events.insert"#, 1),
            (r#"tables."public.orders".events.update[0]"#, 1),
            (r#"tables."public.orders".events.update[1]"#, 2),
            (r#"tables."public.orders".events.delete"#, 1),
            (r#"tables."public.orders".events.truncate"#, 1),
        ]
    );
    assert!(config.tables[1].rules[0].payload.is_some());
}

/// The reference names all keys: what the walk knows stands there, be it in a comment.
#[test]
fn the_reference_config_names_every_key() {
    use crate::config::walk::keys;
    let all = [
        keys::ROOT,
        keys::SOURCE,
        keys::SPOOL,
        keys::MEMORY,
        keys::ADMIN,
        keys::ENDPOINT,
        keys::SECRET,
        keys::BATCH,
        keys::RETRY,
        keys::TABLE,
        keys::COLUMNS,
        keys::EVENTS,
        keys::RULE,
        keys::OUTBOX,
        keys::MESSAGE,
    ];
    let words: Vec<&str> = REFERENCE
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    for key in all
        .iter()
        .flat_map(|keys| keys.known.iter().chain(keys.later))
    {
        assert!(words.contains(key), "{key} is not in config.yaml");
    }
}

fn smallest() -> Config {
    let text = "
        source: { url: 'host=/tmp dbname=app user=walhook' }
        endpoints:
          a: { url: http://localhost/, secret: whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD }
        tables:
          public.t: { to: a, events: { insert: t.made } }
    ";
    let (config, findings) = config_of(text, PathBuf::new(), &Environment::default());
    config.unwrap_or_else(|| panic!("{}", findings.into_problems("config.yaml")))
}

#[test]
fn what_is_left_out_has_the_defaults() {
    let config = smallest();
    assert_eq!(config.source.slot, "walhook");
    assert_eq!(config.source.publication, "walhook");
    assert_eq!(config.state, Path::new("/var/lib/walhook/state.db"));
    assert_eq!(config.spool.bytes_max, 10 << 30);
    assert_eq!(config.spool.full, SpoolFull::Stop);
    assert_eq!(config.memory_bytes_max, 24 << 20);
    assert_eq!(config.admin, "127.0.0.1:7373".parse().ok());
    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.target.timeout, Duration::from_secs(15));
    assert_eq!(
        endpoint.lanes,
        LaneOptions {
            order: Order::Table,
            concurrency: 16,
            batch: None,
            retry: Retry {
                give_up_after: Duration::from_secs(3 * 24 * 3600),
                then: RetryThen::DeadLetter,
                backoff_max: Duration::from_secs(30),
                park_statuses: Vec::new(),
            },
        }
    );
}

#[test]
fn an_empty_batch_or_key_order_has_the_defaults_of_the_reference() {
    let text = REFERENCE
        .replace("      events: 100 ", "      #")
        .replace("      bytes: 1MiB ", "      #")
        .replace("    key_lanes: 16 ", "    #");
    assert_ne!(text, REFERENCE);
    let (config, findings) = config_of(&text, PathBuf::new(), &environment());
    let config = config.unwrap_or_else(|| panic!("{}", findings.into_problems("config.yaml")));
    let lanes = &config.endpoints[0].lanes;
    assert_eq!(lanes.order, Order::Key { lanes: 16 });
    let batch = Batch {
        events_max: 100,
        wait: Duration::from_millis(5),
        bytes_max: 1 << 20,
    };
    assert_eq!(lanes.batch, Some(batch));
}
