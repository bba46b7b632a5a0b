//! Derived files never change an answer.

use std::fs;
use std::path::Path;

use logkv::{Compact, ReadWith, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{Map, assert_is, copy_of, hint_path, open, quick, scratch, segment_path};
use crate::recount::Recounted;

/// A closed store of two sealed segments with hints and an active one, with replaced and deleted
/// keys, and its contents.
fn hinted() -> (TempDir, Map) {
    let dir = scratch();
    let store = open(dir.path());
    for (key, value) in [("one", "1"), ("two", "22"), ("three", "333"), ("two", "zwei")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("two", "twenty-two").expect("a put");
    store.delete("three").expect("a delete");
    store.put("five", "55555").expect("a put");
    store.put("six", "666666").expect("a put");
    store.rotate().expect("rotates");
    store.put("four", "4444").expect("a put");
    store.close().expect("closes");
    let store = open(dir.path());
    let map = crate::common::contents(&store);
    assert_eq!(map.len(), 5);
    store.close().expect("closes");
    assert!([1, 2].iter().all(|&id| hint_path(dir.path(), id).exists()), "opening wrote the hints");
    let [first, second] = [1, 2].map(|id| fs::read(segment_path(dir.path(), id)).expect("the segment").len());
    assert_eq!(first, second, "both have the same length, which does not distinguish them");
    (dir, map)
}

/// The same store with a KEYDIR of all records.
fn indexed() -> (TempDir, Map) {
    let (dir, map) = hinted();
    Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens").close().expect("closes");
    let report = open(dir.path()).open_report();
    assert_eq!(report.record_count, 0, "KEYDIR is used");
    (dir, map)
}

fn assert_unchanged(dir: &Path, map: &Map, what: &str) {
    let reader = quick().read_only(true);
    for options in [reader.clone().read_with(ReadWith::Pread), reader, quick()] {
        let store = Store::open_with(dir, options).expect("opens");
        assert_eq!(store.open_report().damage, [], "{what}");
        assert_is(&store, map, what);
    }
}

#[test]
fn case_09_a_damaged_hint_changes_no_answer() {
    let (dir, map) = hinted();
    for id in [1, 2] {
        let whole = fs::read(hint_path(dir.path(), id)).expect("the hint");
        let cut = (0..whole.len()).map(|len| (format!("cut at {len}"), whole[..len].to_vec()));
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            (format!("byte {at}"), bytes)
        });
        let longer = [(format!("hint {id} with a byte more"), [&whole[..], &[0]].concat())];
        for (what, bytes) in cut.chain(flipped).chain(longer) {
            let copy = copy_of(dir.path());
            fs::write(hint_path(copy.path(), id), bytes).expect("the damage");
            assert_unchanged(copy.path(), &map, &format!("hint {id}: {what}"));
            let now = fs::read(hint_path(copy.path(), id)).expect("the hint");
            assert!(now == whole, "hint {id}: {what}: the writer rewrites it");
        }
        let copy = copy_of(dir.path());
        fs::remove_file(hint_path(copy.path(), id)).expect("exists");
        assert_unchanged(copy.path(), &map, "deleted");
        assert!(
            fs::read(hint_path(copy.path(), id)).expect("the hint") == whole,
            "hint {id}: deleted: the writer rewrites it"
        );
    }
}

#[test]
fn case_09_the_hint_of_another_segment_or_store_changes_no_answer() {
    let (dir, map) = hinted();
    let (other, _) = hinted();
    let strangers = [
        (hint_path(dir.path(), 1), 2, "another segment's"),
        (hint_path(dir.path(), 2), 1, "another segment's"),
        (hint_path(other.path(), 1), 1, "another store's"),
        (segment_path(dir.path(), 1), 1, "a segment"),
    ];
    for (from, id, what) in strangers {
        let copy = copy_of(dir.path());
        fs::copy(from, hint_path(copy.path(), id)).expect("replaces the hint");
        assert_unchanged(copy.path(), &map, what);
    }
    // A directory under the name of a hint can neither be read nor overwritten.
    let copy = copy_of(dir.path());
    fs::remove_file(hint_path(copy.path(), 1)).expect("exists");
    fs::create_dir(hint_path(copy.path(), 1)).expect("creates a directory");
    assert_unchanged(copy.path(), &map, "a directory");
}

#[test]
fn case_09_a_damaged_keydir_changes_no_answer() {
    let (dir, map) = indexed();
    let path = dir.path().join("KEYDIR");
    let whole = fs::read(&path).expect("KEYDIR");
    // The header and segment rows, a sample of the shard rows, most of which are empty and equal,
    // and the slots.
    let head = 0..64 + 3 * 80;
    let slots = whole.len() - map.len().max(64) * 8..whole.len();
    let places = head.chain((256..slots.start).step_by(97)).chain(slots);
    for at in places {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x04;
        for (what, bytes) in [("changed", &flipped[..]), ("cut", &whole[..at])] {
            fs::write(&path, bytes).expect("the damage");
            assert_unchanged(dir.path(), &map, &format!("KEYDIR {what} at byte {at}"));
        }
    }
    fs::write(&path, [&whole[..], &[0]].concat()).expect("appends a byte");
    assert_unchanged(dir.path(), &map, "KEYDIR with an extra byte");
    fs::remove_file(&path).expect("exists");
    assert_unchanged(dir.path(), &map, "without KEYDIR");
    fs::create_dir(&path).expect("creates a directory");
    assert_unchanged(dir.path(), &map, "KEYDIR is a directory");
}

#[test]
fn case_09_an_older_newer_or_foreign_keydir_changes_no_answer() {
    let ((dir, map), (other, _)) = (indexed(), indexed());
    let old = fs::read(dir.path().join("KEYDIR")).expect("KEYDIR");
    let put_back = |dir: &Path, bytes: &[u8]| fs::write(dir.join("KEYDIR"), bytes).expect("KEYDIR");

    let copy = copy_of(dir.path());
    put_back(copy.path(), &fs::read(other.path().join("KEYDIR")).expect("KEYDIR"));
    assert_unchanged(copy.path(), &map, "of another store");

    // The log grows and is compacted. Restoring the older log makes KEYDIR newer than the log.
    let later = copy_of(dir.path());
    let store = Store::open_with(later.path(), quick().checkpoint_records(1)).expect("opens");
    store.put("two", "later").expect("a put");
    store.delete("one").expect("a delete");
    store.put("seven", "7777777").expect("a put");
    let later_map = crate::common::contents(&store);
    store.close().expect("closes");
    let new = fs::read(later.path().join("KEYDIR")).expect("KEYDIR");
    put_back(later.path(), &old);
    assert_unchanged(later.path(), &later_map, "an older KEYDIR");
    let copy = copy_of(dir.path());
    put_back(copy.path(), &new);
    assert_unchanged(copy.path(), &map, "a newer KEYDIR");

    let store = open(later.path());
    store.compact_recounted(&Compact::All).expect("compacts");
    store.close().expect("closes");
    for (bytes, what) in [(&old, "one from before two others"), (&new, "one from before a compaction")] {
        put_back(later.path(), bytes);
        assert_unchanged(later.path(), &later_map, what);
    }
}

/// After a compaction, other segments of equal lengths can be in the places that KEYDIR covers.
#[test]
fn case_09_a_keydir_of_other_segments_of_equal_lengths_changes_no_answer() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().checkpoint_records(1)).expect("opens");
    for key in ["a", "b", "c"] {
        store.rotate().expect("rotates");
        store.put(key, "old").expect("a put");
    }
    store.close().expect("closes");
    let path = dir.path().join("KEYDIR");
    let old = fs::read(&path).expect("KEYDIR");
    let store = open(dir.path());
    store.rotate().expect("rotates");
    store.put("b", "new").expect("a put");
    store.compact_recounted(&Compact::Segments([1, 2].map(SegmentId).to_vec())).expect("compacts");
    let map = crate::common::contents(&store);
    let segments = store.segments().expect("segments");
    assert_eq!(segments.iter().map(|segment| segment.len).collect::<Vec<_>>(), [64 + 48; 3]);
    store.close().expect("closes");
    fs::write(path, old).expect("KEYDIR");
    assert_unchanged(dir.path(), &map, "of three other segments");
}
