//! A store keeps its directory and leaves files of others alone.

use std::fs;

use crate::common::{hint_path, open, quick, scratch, segment_path, value};
use crate::recount::Recounted;
use logkv::{Compact, Error, SegmentId, Store};

#[test]
fn a_short_file_that_no_store_made_is_not_removed() {
    let dir = scratch();
    open(dir.path()).close().expect("closes");
    let path = segment_path(dir.path(), 9);
    fs::write(&path, "somebody's notes").expect("a file");
    let store = open(dir.path());
    assert!(path.exists(), "removed as an orphan: {:?}", store.open_report().orphans_removed);
}

#[test]
fn a_foreign_file_with_the_next_segment_id_does_not_stop_writes() {
    let [dir, other] = [(); 2].map(|()| {
        let dir = scratch();
        let store = open(dir.path());
        store.put("k", "v").expect("a put");
        store.close().expect("closes");
        dir
    });
    let path = segment_path(dir.path(), 2);
    fs::copy(segment_path(other.path(), 1), &path).expect("a foreign file");
    let stranger = fs::read(&path).expect("the foreign file");
    let store = open(dir.path());
    assert_eq!(store.open_report().strangers, [SegmentId(2)]);
    store.rotate().expect("rotates");
    let outcome = store.put("k", "v2");
    assert!(outcome.is_ok(), "{:?}", outcome.map_err(|error| error.sentence()));
    assert!(fs::read(&path).expect("the foreign file") == stranger, "the foreign file was overwritten");
}

#[test]
fn a_directory_of_derived_files_only_holds_no_store() {
    let dir = scratch();
    for name in ["KEYDIR", "KEYDIR.new", "000001.hint"] {
        fs::write(dir.path().join(name), "what is left of a log that is gone").expect("a file");
    }
    let looked = Store::open_with(dir.path(), quick().read_only(true));
    assert!(matches!(looked, Err(Error::Missing { .. })), "{looked:?}");
    let store = open(dir.path());
    store.put("k", "v").expect("a put");
    store.close().expect("closes");
    assert_eq!(value(&open(dir.path()), "k").as_deref(), Some("v"));
}

#[test]
fn a_directory_named_like_the_hint_of_a_missing_segment_does_not_block_opening() {
    let dir = scratch();
    let store = open(dir.path());
    for value in ["old", "new"] {
        store.put("k", value).expect("a put");
        store.rotate().expect("rotates");
    }
    store.compact_recounted(&Compact::All).expect("compacts");
    drop(store);
    fs::create_dir(hint_path(dir.path(), 1)).expect("a directory");
    assert_eq!(value(&open(dir.path()), "k").as_deref(), Some("new"));
}
