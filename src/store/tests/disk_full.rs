//! A disk with no room left, as `PRAGMA max_page_count` plays it, and a disk that fails.

use super::*;
use crate::store::Progress;

fn large(count: u64) -> Progress {
    Progress {
        positions: (0..count)
            .map(|n| lane("endpoint", &format!("lane {n}"), position(500, 0)))
            .collect(),
        ..Progress::of(SLOT)
    }
}

fn pages_max(store: &Store, pages: i64) {
    store
        .connection()
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
}

#[test]
fn a_full_disk_is_said_so_and_the_commit_may_be_tried_again() {
    let place = Place::new();
    let mut store = place.open();
    pages_max(&store, 1);
    let error = store.commit(&large(5000)).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(!error.is_fatal() && error.hint().is_some());
    assert_eq!(store.load(SLOT).unwrap().positions, []);
    pages_max(&store, 1 << 30);
    store.commit(&large(5000)).unwrap();
    assert_eq!(store.load(SLOT).unwrap().positions.len(), 5000);
}

#[test]
fn after_a_commit_that_failed_the_store_is_not_used_again() {
    let place = Place::new();
    let mut store = place.open();
    store.commit(&large(1)).unwrap();
    // A constraint that is checked at COMMIT: it stands for an fsync that failed.
    let error = store
        .write("break the file", |connection| {
            connection.execute_batch("PRAGMA defer_foreign_keys = ON")?;
            connection.execute("INSERT INTO run_body VALUES (99, x'00')", [])?;
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::Commit { .. }), "{error:?}");
    assert!(error.is_fatal());
    let error = store.commit(&large(1)).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
    assert!(error.is_fatal());
    assert!(store.load(SLOT).is_err());
    drop(store);
    assert_eq!(place.open().load(SLOT).unwrap().positions.len(), 1);
}

#[test]
fn a_statement_that_failed_leaves_the_store_usable() {
    let place = Place::new();
    let mut store = place.open();
    let error = store
        .write("fail", |connection| {
            connection.execute("INSERT INTO slot (name, history) VALUES ('x', 1)", [])?;
            connection.execute("INSERT INTO slot (name, history) VALUES ('x', 1)", [])?;
            Ok(())
        })
        .unwrap_err();
    assert!(matches!(error, StoreError::Sqlite { .. }), "{error:?}");
    assert!(!error.is_fatal());
    assert_eq!(store.slots().unwrap(), Vec::<String>::new());
}
