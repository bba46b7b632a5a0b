//! Derived files that cover part of the log, or damage, while the store grows.

use std::fs;
use std::path::Path;

use logkv::{Compact, Options, ReadWith, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{
    Map, assert_counted, assert_is, contents, copy_of, hint_path, open, quick, remove_derived, scratch,
    segment_path, value,
};
use crate::recount::Recounted;
use crate::repair::repaired;
use crate::verify::verified;

fn eager() -> Options {
    quick().checkpoint_records(1)
}

/// Leaves KEYDIR unchanged.
fn lazy() -> Options {
    quick().checkpoint_records(u64::MAX)
}

/// A closed store of two sealed segments and an active one, with a KEYDIR of all records.
fn indexed() -> TempDir {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    for round in 0..3 {
        for n in 0..20 {
            store.put(format!("key{n}"), format!("round {round}")).expect("a put");
        }
        for n in (round..20).step_by(4) {
            store.delete(format!("key{n}")).expect("a delete");
        }
        if round < 2 {
            store.rotate().expect("rotates");
        }
    }
    store.close().expect("closes");
    dir
}

/// A way in which a store grows, and whether KEYDIR still covers it.
type Growth = (&'static str, bool, fn(&Store));

fn put_some(store: &Store, tag: &str) {
    for n in (0..20).step_by(3) {
        store.put(format!("key{n}"), tag).expect("a put");
    }
    for n in (1..20).step_by(5) {
        store.delete(format!("key{n}")).expect("a delete");
    }
    store.put(format!("new {tag}"), tag).expect("a put");
}

const GROWTHS: [Growth; 8] = [
    ("not at all", true, |_| {}),
    ("in its last segment", true, |store| put_some(store, "tail")),
    ("in its last segment, which is sealed", true, |store| {
        put_some(store, "tail");
        store.rotate().expect("rotates");
    }),
    ("by segments", true, |store| {
        for tag in ["first", "second"] {
            put_some(store, tag);
            store.rotate().expect("rotates");
        }
        put_some(store, "third");
    }),
    ("by segments, which are compacted", true, |store| {
        store.rotate().expect("rotates");
        for tag in ["first", "second"] {
            put_some(store, tag);
            store.rotate().expect("rotates");
        }
        store.compact_recounted(&Compact::Segments(vec![SegmentId(4), SegmentId(5)])).expect("compacts");
        put_some(store, "third");
    }),
    ("and its first segment is compacted", false, |store| {
        put_some(store, "tail");
        store.compact_recounted(&Compact::Segments(vec![SegmentId(1)])).expect("compacts");
        put_some(store, "more");
    }),
    ("and its last segment is compacted", false, |store| {
        put_some(store, "tail");
        store.rotate().expect("rotates");
        store.compact_recounted(&Compact::Segments(vec![SegmentId(3)])).expect("compacts");
        put_some(store, "more");
    }),
    ("and all of it is compacted", false, |store| {
        store.compact_recounted(&Compact::All).expect("compacts");
        put_some(store, "more");
    }),
];

/// A state of the derived files.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 5] = [
    ("as it is", |_| {}),
    ("some hints missing", |dir| {
        for id in [1, 4, 6] {
            drop(fs::remove_file(hint_path(dir, id)));
        }
    }),
    ("all hints missing", |dir| {
        for id in 1..20 {
            drop(fs::remove_file(hint_path(dir, id)));
        }
    }),
    ("every shard of KEYDIR damaged", |dir| {
        let path = dir.join("KEYDIR");
        let mut bytes = fs::read(&path).expect("KEYDIR");
        for byte in bytes.iter_mut().skip(SLOTS_AT).step_by(8) {
            *byte ^= 0x10;
        }
        fs::write(path, bytes).expect("the damage");
    }),
    ("shards damaged and hints missing", |dir| {
        (CHANGES[2].1)(dir);
        (CHANGES[3].1)(dir);
    }),
];

/// The offset of the slots in a KEYDIR of three segments: header, segment and shard rows, checksum.
const SLOTS_AT: usize = 64 + 3 * 80 + 1024 * 24 + 8;

#[test]
fn an_older_keydir_changes_no_answer_however_the_store_grows() {
    for (growth, belongs, grow) in GROWTHS {
        let dir = indexed();
        let keydir = fs::read(dir.path().join("KEYDIR")).expect("KEYDIR");
        let store = Store::open_with(dir.path(), lazy()).expect("opens");
        grow(&store);
        let map = contents(&store);
        store.close().expect("closes");
        fs::write(dir.path().join("KEYDIR"), keydir).expect("restores the older file");
        for (change, apply) in CHANGES {
            let what = format!("it grew {growth}; {change}");
            let copy = copy_of(dir.path());
            apply(copy.path());
            for read_with in [ReadWith::Mmap, ReadWith::Pread] {
                let options = lazy().read_only(true).read_with(read_with);
                assert_is(&Store::open_with(copy.path(), options).expect("opens"), &map, &what);
            }
            let store = Store::open_with(copy.path(), lazy()).expect("opens");
            let all = store.segments().expect("segments").iter().map(|segment| segment.record_count).sum();
            assert_eq!(store.open_report().record_count < all, belongs, "{what}: KEYDIR is used");
            grow_on(&store, map.clone(), &what);
            store.close().expect("closes");
        }
    }
}

/// Puts, deletes and compacts, each of which is the first access to some shards of KEYDIR.
fn grow_on(store: &Store, mut map: Map, what: &str) {
    // In segments that KEYDIR covers in part, before anything else reads these shards.
    for n in [2, 3, 17] {
        store.put(format!("key{n}"), "grown").expect("a put");
        map.insert(format!("key{n}").into_bytes(), b"grown".to_vec());
    }
    for n in [4, 5] {
        store.delete(format!("key{n}")).expect("a delete");
        map.remove(format!("key{n}").as_bytes());
    }
    assert_is(store, &map, &format!("{what}, after more writes"));
    store.compact_recounted(&Compact::All).expect("compacts");
    assert_is(store, &map, &format!("{what}, compacted"));
}

#[test]
fn a_shard_rebuilt_after_the_store_has_grown_holds_each_key_once() {
    let dir = indexed();
    (CHANGES[3].1)(dir.path());
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    let mut map = contents(&open(copy_of(dir.path()).path()));
    // Each put is the first access to its shard, after records that KEYDIR does not cover.
    for n in 0..20 {
        let key = format!("key{n}");
        store.put(&key, "new").expect("a put");
        map.insert(key.into_bytes(), b"new".to_vec());
        assert_eq!(store.len(), map.len() as u64, "after key{n}");
    }
    assert_counted(&store, "grown");
    for n in 0..20 {
        assert!(store.delete(format!("key{n}")).expect("a delete"));
        assert_eq!(value(&store, &format!("key{n}")), None, "an older value is visible");
    }
    assert!(store.is_empty());
    assert_counted(&store, "emptied");
}

/// A store without derived files. One byte of the value of `victim`, in segment 1, is changed.
fn damaged() -> TempDir {
    let dir = scratch();
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    for key in ["first", "victim", "last"] {
        store.put(key, "the value of it").expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("second", "2").expect("a put");
    store.close().expect("closes");
    remove_derived(dir.path());
    change(dir.path(), 1, 64 + 56 + 32 + 8 + 3);
    dir
}

fn change(dir: &Path, id: u64, at: usize) {
    let path = segment_path(dir, id);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("the damage");
}

#[test]
fn known_damage_is_reported_at_each_open_however_the_store_grows() {
    let dir = damaged();
    for round in 0..4 {
        let store = Store::open_with(dir.path(), eager()).expect("opens");
        let found = &store.open_report().damage;
        assert_eq!(found.len(), 1, "round {round}: {found:?}");
        assert_eq!(found[0].at.segment, SegmentId(1));
        assert!(store.get("victim").is_err(), "round {round}");
        for key in ["first", "last"] {
            assert_eq!(value(&store, key).as_deref(), Some("the value of it"));
        }
        put_some(&store, &format!("round{round}"));
        if round % 2 == 1 {
            store.rotate().expect("rotates");
        }
        store.close().expect("closes");
        assert!(!hint_path(dir.path(), 1).exists(), "a hint of a damaged segment was written");
        assert!(!dir.path().join("KEYDIR").exists(), "KEYDIR covers damage");
        assert!(!verified(dir.path()).0.is_intact());
    }
}

#[test]
fn damage_after_an_older_keydir_is_reported_and_not_covered_by_the_next_one() {
    let dir = indexed();
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    let at = store.put("victim", "the value of it").expect("a put").location;
    store.put("behind", "it").expect("a put");
    store.close().expect("closes");
    change(dir.path(), at.segment.0, at.offset as usize + 32 + 8 + 3);
    let keydir = fs::read(dir.path().join("KEYDIR")).expect("KEYDIR");
    for round in 0..3 {
        let store = Store::open_with(dir.path(), eager()).expect("opens");
        assert_eq!(store.open_report().damage.len(), 1, "round {round}");
        assert!(store.get("victim").is_err() && value(&store, "behind").as_deref() == Some("it"));
        store.put(format!("more{round}"), "more").expect("a put");
        store.close().expect("closes");
        assert!(fs::read(dir.path().join("KEYDIR")).expect("KEYDIR") == keydir, "round {round}");
    }
}

#[test]
fn a_tombstone_stays_while_a_damaged_header_may_hide_the_put_it_deletes() {
    // The header checksum, which repair corrects; a length; the key length; the first byte of the
    // key.
    for at in [0, 24, 28, 32] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), lazy()).expect("opens");
        for key in ["first", "victim", "last"] {
            store.put(key, "the value of it").expect("a put");
        }
        store.rotate().expect("rotates");
        store.delete("victim").expect("a delete");
        for n in 0..5 {
            store.put(format!("dead{n}"), "1").expect("a put");
            store.delete(format!("dead{n}")).expect("a delete");
        }
        store.rotate().expect("rotates");
        store.close().expect("closes");
        remove_derived(dir.path());
        change(dir.path(), 1, 64 + 56 + at);
        let store = Store::open_with(dir.path(), lazy()).expect("opens");
        assert_eq!(store.open_report().damage.len(), 1, "byte {at}");
        store.compact(&Compact::Segments(vec![SegmentId(2)])).expect("compacts");
        assert_eq!(value(&store, "last").as_deref(), Some("the value of it"));
        store.close().expect("closes");
        let (mended, _) = repaired(dir.path());
        let mended = open(mended.path());
        assert_eq!(value(&mended, "victim"), None, "byte {at}: the key was deleted");
        assert_eq!(value(&mended, "last").as_deref(), Some("the value of it"));
    }
}
