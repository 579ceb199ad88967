//! Files that are not what they should be, and who may read them.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;
use crate::store::Progress;

/// Of a page of the file.
const PAGE: u64 = 4096;

fn used() -> Place {
    let place = Place::new();
    let mut store = place.open();
    let positions = (0..200)
        .map(|n| lane("endpoint", &format!("lane {n}"), position(500, 0)))
        .collect();
    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(100)),
            positions,
            ..Progress::of(SLOT)
        })
        .unwrap();
    drop(store);
    place
}

fn overwrite(place: &Place, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Refused, for a person, with something to do, and left as it was.
fn refused(place: &Place) -> StoreError {
    let before = fs::read(place.path()).unwrap();
    let error = place.try_open().unwrap_err();
    assert!(error.needs_person(), "{error:?}");
    assert!(error.hint().is_some());
    assert!(error.to_string().contains("state.db"), "{error}");
    assert!(fs::read(place.path()).unwrap() == before);
    error
}

#[test]
fn all_files_are_for_their_owner_alone() {
    let place = Place::new();
    let _store = place.open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let path = place.directory.path().join(format!("state.db{suffix}"));
        assert_eq!(mode(&path), 0o600, "{suffix}");
    }
    drop(_store);
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = place.open();
    assert_eq!(mode(&place.path()), 0o600, "mended");
}

#[test]
fn a_second_store_is_refused_while_the_first_is_open() {
    let place = Place::new();
    let store = place.open();
    assert!(matches!(
        place.try_open().unwrap_err(),
        StoreError::Locked { .. }
    ));
    drop(store);
    place.open();
}

#[test]
fn a_file_that_was_cut_is_refused() {
    for length in [PAGE * 3, PAGE * 3 + 17, PAGE, 200] {
        let place = used();
        let file = OpenOptions::new().write(true).open(place.path()).unwrap();
        file.set_len(length).unwrap();
        let error = refused(&place);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
}

#[test]
fn an_empty_file_is_not_taken_for_a_new_one() {
    let place = used();
    fs::write(place.path(), "").unwrap();
    assert!(matches!(refused(&place), StoreError::Empty { .. }));
}

#[test]
fn a_file_that_is_not_ours_is_not_touched() {
    let place = Place::new();
    fs::write(place.path(), "a letter to a friend\n".repeat(50)).unwrap();
    assert!(matches!(refused(&place), StoreError::NotAState { .. }));
    fs::write(place.path(), "short").unwrap();
    assert!(matches!(refused(&place), StoreError::NotAState { .. }));

    let place = Place::new();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("CREATE TABLE a (b)").unwrap();
    drop(other);
    assert!(matches!(refused(&place), StoreError::NotAState { .. }));

    let place = used();
    overwrite(&place, 0, &[0xA5; 100]);
    assert!(matches!(refused(&place), StoreError::NotAState { .. }));
}

#[test]
fn a_page_of_zeroes_is_found() {
    let pages = fs::metadata(used().path()).unwrap().len() / PAGE;
    let mut found = 0;
    for page in 2..pages {
        let place = used();
        overwrite(&place, page * PAGE, &[0; PAGE as usize]);
        // A page that is zeroes already, such as a pointer map's end, is no damage.
        if place.try_open().is_err() {
            let error = refused(&place);
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            found += 1;
        }
    }
    assert!(found >= pages - 3, "{found} of {pages}");
}

#[test]
fn a_newer_file_is_refused() {
    let place = used();
    let newer = Connection::open(place.path()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let error = refused(&place);
    assert!(matches!(error, StoreError::NewerVersion { found: 99, .. }));
}

#[test]
fn a_lost_file_with_its_log_left_is_not_begun_anew() {
    let place = used();
    fs::remove_file(place.path()).unwrap();
    fs::write(place.directory.path().join("state.db-wal"), "frames").unwrap();
    let error = place.try_open().unwrap_err();
    assert!(matches!(error, StoreError::Orphaned { .. }), "{error:?}");
    assert!(error.needs_person());
    assert!(!place.path().exists());
}

#[test]
fn a_crash_while_creating_leaves_nothing_in_the_way() {
    let place = Place::new();
    fs::write(place.directory.path().join("state.db.new"), "half").unwrap();
    place.open();
    let names: Vec<_> = fs::read_dir(place.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.contains(".new")), "{names:?}");
}

#[test]
fn a_log_that_was_not_yet_moved_into_the_file_counts() {
    let place = Place::new();
    let mut store = place.open();
    store
        .commit(&Progress {
            checkpoint: Some(checkpoint(100)),
            ..Progress::of(SLOT)
        })
        .unwrap();
    // As after SIGKILL: both files as they are while the store is open.
    let copy = Place::new();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(
            place.directory.path().join(name),
            copy.directory.path().join(name),
        )
        .unwrap();
    }
    let state = copy.open().load(SLOT).unwrap();
    assert_eq!(state.checkpoint, Some(checkpoint(100)));
    // Its last bytes torn: the commits before them stand.
    let wal = copy.directory.path().join("state.db-wal");
    let whole = fs::read(place.directory.path().join("state.db-wal")).unwrap();
    fs::copy(place.path(), copy.path()).unwrap();
    fs::write(&wal, &whole[..whole.len() - 100]).unwrap();
    copy.open().load(SLOT).unwrap();
}
