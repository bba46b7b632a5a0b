//! Small stores with every byte damaged: never a panic, never a wrong value, never more lost than what was hit.

use std::fs;

use crate::common::{copy_of, open, quick, scratch, segment_path};
use logkv::inspect::{self, ExtentKind};
use logkv::{Error, SegmentId, Store};

/// Two sealed segments and an active one, with replaced and deleted keys among them.
fn small_store() -> tempfile::TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for (key, value) in [("one", "1"), ("two", "22"), ("three", "333")] {
        store.put(key, value).expect("a put");
    }
    store.rotate().expect("rotates");
    store.put("two", "twenty-two").expect("a put");
    store.delete("three").expect("a delete");
    store.rotate().expect("rotates");
    store.put("four", "4444").expect("a put");
    store.close().expect("closes");
    dir
}

const EXPECTED: [(&str, Option<&str>); 4] =
    [("one", Some("1")), ("two", Some("twenty-two")), ("three", None), ("four", Some("4444"))];

#[test]
fn a_damaged_byte_of_any_segment_never_gives_a_wrong_value_and_costs_at_most_one_key() {
    let dir = small_store();
    for id in 1..=3 {
        let whole = fs::read(segment_path(dir.path(), id)).expect("the segment");
        for at in 0..whole.len() {
            for mask in [0x01, 0x80, 0xff] {
                let copy = copy_of(dir.path());
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                fs::write(segment_path(copy.path(), id), &bytes).expect("the damage");
                let store = match Store::open_with(copy.path(), quick()) {
                    Ok(store) => store,
                    Err(error) => panic!("segment {id} byte {at}: {}", error.sentence()),
                };
                assert!(!store.open_report().damage.is_empty(), "segment {id} byte {at}: told");
                let mut hit = 0;
                for (key, expected) in EXPECTED {
                    match store.get(key) {
                        Ok(value) if value.as_deref() == expected.map(str::as_bytes) => {}
                        Ok(Some(value)) => {
                            // Without a hint nothing says which key a record whose key is damaged belongs to: the
                            // record before it shows. It is a value that the key once had, and the damage is told.
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
                    assert!(known, "segment {id} byte {at}: a key that never was: {:?}", entry.meta.key);
                }
            }
        }
    }
}

#[test]
fn a_damaged_or_cut_manifest_is_refused_whatever_the_byte() {
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
        assert_eq!(fs::read(&path).expect("MANIFEST"), bytes, "nothing was changed");
    }
}

#[test]
fn an_inspection_explains_every_byte_of_a_damaged_segment_and_of_a_store_that_does_not_open() {
    let dir = small_store();
    fs::write(dir.path().join("MANIFEST"), "not a manifest").expect("the damage");
    for id in 1..=3 {
        let path = segment_path(dir.path(), id);
        let whole = fs::read(&path).expect("the segment");
        let flips = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            bytes
        });
        let cuts = (64..whole.len()).map(|len| whole[..len].to_vec());
        for bytes in flips.chain(cuts) {
            fs::write(&path, &bytes).expect("the damage");
            let inspection = inspect::segment(dir.path(), SegmentId(id)).expect("inspects");
            let mut at = 0;
            for extent in &inspection.extents {
                assert_eq!(extent.at, at, "no gap");
                at += extent.len;
            }
            assert_eq!(at, bytes.len() as u64, "every byte");
            let items =
                inspection.items(inspect::Range::default()).collect::<Result<Vec<_>, _>>().expect("items");
            assert!(items.len() <= 6, "{items:?}");
        }
        fs::write(&path, whole).expect("the whole again");
    }
}

#[test]
fn an_inspection_says_which_record_killed_which() {
    use inspect::{Fate, Item};
    let dir = small_store();
    let store = open(dir.path());
    let location = |segment, offset| logkv::Location { segment: SegmentId(segment), offset };
    let expected = [
        (1, vec![Fate::Live, Fate::ReplacedBy(location(2, 64)), Fate::DeletedBy(location(2, 64 + 56))]),
        (2, vec![Fate::Live, Fate::Tombstone { hides: Some(location(1, 64 + 48 + 48)) }]),
        (3, vec![Fate::Live]),
    ];
    for (id, fates) in expected {
        for inspection in [
            store.inspect(SegmentId(id)).expect("inspects"),
            inspect::segment(dir.path(), SegmentId(id)).expect("inspects from the files"),
        ] {
            let found: Vec<_> = inspection
                .items(inspect::Range::default())
                .map(|item| match item.expect("reads") {
                    Item::Record(record) => record.fate,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(found, fates, "segment {id}");
        }
    }
}

#[test]
fn an_inspection_tells_a_torn_tail_with_the_records_that_go() {
    use inspect::Item;
    let dir = scratch();
    let store = open(dir.path());
    store.put("kept", "1").expect("a put");
    let mut batch = logkv::Batch::new();
    batch.put("a", "1").put("b", "2").put("c", "3");
    store.write(&batch).expect("a batch");
    let dir = crate::common::killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let bytes = fs::read(&path).expect("the segment");
    fs::write(&path, &bytes[..bytes.len() - 5]).expect("the cut");
    let inspection = inspect::segment(dir.path(), SegmentId(1)).expect("inspects");
    let items: Vec<_> =
        inspection.items(inspect::Range::default()).map(|item| item.expect("reads")).collect();
    assert!(matches!(items[0], Item::Record(_)));
    assert!(
        matches!(items[1], Item::Torn { at: 112, len, records: 2, .. } if len == bytes.len() as u64 - 5 - 112),
        "{items:?}"
    );
    assert_eq!(inspection.extents.last().map(|extent| extent.kind), Some(ExtentKind::Torn));
}
