//! Small stores with every byte damaged in turn: no panic, no wrong value, and no loss beyond the
//! damaged record.

use std::fs;
use std::path::Path;

use crate::common::{copy_of, hint_path, open, quick, rewrite_manifest, scratch, segment_path, small_store};
use logkv::{Error, KeyEntry, Location, SegmentId, Store};
use tempfile::TempDir;

const EXPECTED: [(&str, Option<&str>); 4] =
    [("one", Some("1")), ("two", Some("twenty-two")), ("three", None), ("four", Some("4444"))];

/// The sealed segments of [`small_store`]. The active segment is always read at open.
const SEALED: [u64; 2] = [1, 2];

/// Small stores with derived files that hold each record's key, and the segments that they cover:
/// hints of the sealed segments, KEYDIR of all segments, and both.
fn indexed_stores() -> [(&'static str, TempDir, &'static [u64]); 3] {
    let with_hints = small_store();
    open(with_hints.path()).close().expect("closes");
    assert!(SEALED.iter().all(|&id| hint_path(with_hints.path(), id).exists()), "opening wrote the hints");
    let with_both = copy_of(with_hints.path());
    let store = Store::open_with(with_both.path(), quick().checkpoint_records(1)).expect("opens");
    store.close().expect("closes");
    let with_keydir = copy_of(with_both.path());
    for id in SEALED {
        fs::remove_file(hint_path(with_keydir.path(), id)).expect("exists");
    }
    [("hints", with_hints, &SEALED), ("KEYDIR", with_keydir, &[1, 2, 3]), ("both", with_both, &[1, 2, 3])]
}

/// Opens a copy of `dir` with byte `at` of segment `id` changed.
fn opened_with(dir: &Path, id: u64, at: usize, mask: u8) -> (TempDir, Store) {
    let copy = copy_of(dir);
    let path = segment_path(copy.path(), id);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at] ^= mask;
    fs::write(&path, &bytes).expect("the damage");
    let store = Store::open_with(copy.path(), quick())
        .unwrap_or_else(|error| panic!("segment {id} byte {at}: {}", error.sentence()));
    (copy, store)
}

/// The live records, with their keys.
fn live_records(dir: &Path) -> Vec<KeyEntry> {
    open(dir).keys(..).expect("keys").map(|key| key.expect("reads")).collect()
}

/// The key whose get reads byte `at` of segment `id`.
fn key_hit(live: &[KeyEntry], id: u64, at: usize) -> Option<&KeyEntry> {
    // A get does not read the header checksum in the first four bytes.
    live.iter().find(|key| {
        let range = key.location.offset + 4..key.location.offset + key.len;
        key.location.segment == SegmentId(id) && range.contains(&(at as u64))
    })
}

#[test]
fn a_damaged_byte_of_an_indexed_segment_is_an_error_of_the_key_it_hits_and_of_no_other() {
    let stores = indexed_stores();
    for (index, dir, id) in
        stores.iter().flat_map(|(index, dir, ids)| ids.iter().map(move |&id| (index, dir, id)))
    {
        let live = live_records(dir.path());
        let len = fs::read(segment_path(dir.path(), id)).expect("the segment").len();
        for (at, mask) in (0..len).flat_map(|at| [0x01, 0xff].map(|mask| (at, mask))) {
            let (_copy, store) = opened_with(dir.path(), id, at, mask);
            let what = format!("{index}: segment {id} byte {at} mask {mask:#04x}");
            let hit = key_hit(&live, id, at);
            for (key, expected) in EXPECTED {
                match (store.get(key), hit.filter(|hit| hit.key == key.as_bytes())) {
                    (Ok(value), None) => {
                        assert_eq!(value.as_deref(), expected.map(str::as_bytes), "{what}: {key}");
                    }
                    (Err(Error::Damaged { segment, offset, .. }), Some(hit)) => {
                        assert_eq!(Location { segment, offset }, hit.location, "{what}: {key}");
                    }
                    (read, _) => panic!("{what}: {key} is {read:?}"),
                }
            }
            let (shown, errors): (Vec<_>, Vec<_>) = store.scan(..).expect("scans").partition(Result::is_ok);
            assert_eq!(errors.len(), usize::from(hit.is_some()), "{what}: {errors:?}");
            assert_eq!(
                shown.len() + errors.len(),
                live.len(),
                "{what}: the scan omits a key without an error"
            );
            assert_eq!(store.len(), live.len() as u64, "{what}");
            assert_eq!(
                store.open_report().damage.len(),
                usize::from(at < 64),
                "{what}: the segment's header is read"
            );
        }
    }
}

#[test]
fn a_damaged_byte_of_a_segment_without_hint_is_reported_and_costs_at_most_one_key() {
    let dir = small_store();
    for id in 1..=3 {
        let len = fs::read(segment_path(dir.path(), id)).expect("the segment").len();
        for (at, mask) in (0..len).flat_map(|at| [0x01, 0xff].map(|mask| (at, mask))) {
            let (_copy, store) = opened_with(dir.path(), id, at, mask);
            assert!(!store.open_report().damage.is_empty(), "segment {id} byte {at}: no damage reported");
            let mut hit = 0;
            for (key, expected) in EXPECTED {
                match store.get(key) {
                    Ok(value) if value.as_deref() == expected.map(str::as_bytes) => {}
                    Ok(Some(value)) => {
                        // Without a hint, the key of a record with a damaged key is unknown, so
                        // that the previous record of that key is visible. Its value was once
                        // valid, and the damage is reported.
                        assert!(
                            ["22", "333"].map(str::as_bytes).contains(&&*value),
                            "segment {id} byte {at}: {key} = {value:?}"
                        );
                        hit += 1;
                    }
                    Ok(None) | Err(Error::Damaged { .. }) => hit += 1,
                    Err(error) => panic!("segment {id} byte {at}: {}", error.sentence()),
                }
            }
            assert!(hit <= 1, "segment {id} byte {at}: {hit} keys hit");
            for entry in store.scan(..).expect("scans").flatten() {
                let known = EXPECTED.iter().any(|(key, _)| entry.meta.key == key.as_bytes());
                assert!(known, "segment {id} byte {at}: a key that was never written: {:?}", entry.meta.key);
            }
        }
    }
}

#[test]
fn a_key_with_a_damaged_record_can_be_put_and_deleted_and_counts_once() {
    let stores = indexed_stores();
    for (index, dir, id) in
        stores.iter().flat_map(|(index, dir, ids)| ids.iter().map(move |&id| (index, dir, id)))
    {
        let live = live_records(dir.path());
        let len = fs::read(segment_path(dir.path(), id)).expect("the segment").len();
        for (at, hit) in (0..len).filter_map(|at| Some((at, key_hit(&live, id, at)?))) {
            for deletes in [false, true] {
                let (copy, store) = opened_with(dir.path(), id, at, 0x01);
                let what = format!("{index}: segment {id} byte {at}, deleted: {deletes}");
                if deletes {
                    assert!(store.delete(&*hit.key).expect("a delete"), "{what}: the key existed");
                } else {
                    store.put(&*hit.key, "new").expect("a put");
                }
                let expected = (!deletes).then_some(&b"new"[..]);
                let check = |store: &Store, what: &str| {
                    let read = store.get(&*hit.key);
                    assert_eq!(read.as_ref().ok().map(Option::as_deref), Some(expected), "{what}: {read:?}");
                    assert_eq!(store.len(), live.len() as u64 - u64::from(deletes), "{what}");
                    assert_eq!(store.scan(..).expect("scans").filter(Result::is_err).count(), 0, "{what}");
                };
                check(&store, &what);
                store.close().expect("closes");
                check(&open(copy.path()), &format!("{what}, reopened"));
                let store = open(copy.path());
                store.put(&*hit.key, "newer").expect("a put");
                assert!(store.delete(&*hit.key).expect("a delete"), "{what}");
                assert_eq!(store.get(&*hit.key).expect("reads"), None, "{what}: the key is deleted");
            }
        }
    }
}

#[test]
fn a_manifest_that_is_damaged_or_cut_at_any_byte_is_refused() {
    let dir = small_store();
    let path = dir.path().join("MANIFEST");
    let whole = fs::read(&path).expect("MANIFEST");
    let changed = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    for bytes in changed.chain(cut) {
        fs::write(&path, &bytes).expect("the damage");
        let outcome = Store::open_with(dir.path(), quick());
        assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{outcome:?}");
        assert_eq!(fs::read(&path).expect("MANIFEST"), bytes, "the open changed MANIFEST");
    }
}

#[test]
fn a_manifest_with_the_largest_numbers_is_an_error_and_no_panic() {
    for field in ["generation", "next_segment"] {
        let dir = scratch();
        open(dir.path()).close().expect("closes");
        rewrite_manifest(dir.path(), |line| match line.split_once(' ') {
            Some((name, _)) if name == field => format!("{name} {}", u64::MAX),
            _ => line.to_owned(),
        });
        let outcome = Store::open_with(dir.path(), quick()).and_then(|store| store.put("k", "v"));
        assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{field}: {outcome:?}");
    }
}
