//! Ids and hashes are the same for ever: these values must never change.

use super::super::id::{key_hash, rules_hash};
use super::bench::{Bench, NULL, insert, t};
use crate::change::{Operation, TableName};

fn bench() -> Bench {
    Bench::orders().rule(Operation::Insert, "order.created")
}

fn id(bench: &Bench) -> String {
    let row = [t("7"), NULL, NULL, NULL];
    bench.map(insert(&row)).0[0].id.to_string()
}

#[test]
fn an_id_is_the_same_for_ever() {
    assert_eq!(id(&bench()), "evt_a1dd4499ec99453f36c037899e1b1fdc");
}

#[test]
fn an_id_differs_with_all_that_it_is_made_of_and_with_nothing_else() {
    let base = id(&bench());
    let mut other = bench();
    other.transaction.commit_lsn.0 += 1;
    assert_ne!(id(&other), base);
    let mut other = bench();
    other.transaction.commit_time_us += 1;
    assert_ne!(id(&other), base);
    let other = Bench::orders().rule(Operation::Insert, "order.made");
    assert_ne!(id(&other), base);

    let mut same = bench().to(&[1, 0]).when("new.id == 7");
    same.transaction.xid += 1;
    same.entry.columns = super::super::rule::ColumnSelection::Include(Vec::new());
    same.entry.rules[0].name = "elsewhere".into();
    assert_eq!(id(&same), base);
}

#[test]
fn a_key_hash_is_the_same_for_ever_and_tells_keys_apart() {
    let hash = |schema: &str, table: &str, values: &[Option<&[u8]>]| {
        key_hash(&TableName::new(schema, table), values.iter().copied())
    };
    assert_eq!(
        hash("public", "orders", &[Some(b"7")]),
        6_558_276_649_864_329_270
    );
    let all = [
        hash("public", "orders", &[Some(b"7")]),
        hash("publico", "rders", &[Some(b"7")]),
        hash("public", "orders", &[Some(b"")]),
        hash("public", "orders", &[None]),
        hash("public", "orders", &[Some(b"null")]),
        hash("public", "orders", &[Some(b"a"), Some(b"bc")]),
        hash("public", "orders", &[Some(b"ab"), Some(b"c")]),
        hash("public", "orders", &[None, Some(b"7")]),
        hash("public", "orders", &[Some(b"7"), None]),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn the_hash_of_rules_changes_with_what_decides_how_many_events_there_are() {
    let hash =
        |bench: &Bench, names: &[&str]| rules_hash(std::slice::from_ref(&bench.entry), names);
    let names = ["billing", "crm"];
    let base = hash(&bench(), &names);
    assert_eq!(base, 13_242_252_112_188_823_867);
    for other in [
        bench().when("true"),
        bench().to(&[1]),
        bench().to(&[0, 1]),
        bench().when_error(super::super::rule::WhenError::Emit),
        bench().payload("{{new.id}}"),
        bench().rule(Operation::Insert, "order.too"),
        Bench::orders().rule(Operation::Update, "order.created"),
        Bench::orders().rule(Operation::Insert, "order.made"),
    ] {
        assert_ne!(hash(&other, &names), base);
    }
    assert_ne!(hash(&bench(), &["invoices", "crm"]), base);
    let mut same = bench().columns(super::super::rule::ColumnSelection::Include(Vec::new()));
    same.entry.rules[0].name = "elsewhere".into();
    assert_eq!(hash(&same, &names), base);
}
