//! Inspection explains every byte of a segment and gives the fate of each record, even if the store
//! does not open.

use std::fs;

use crate::common::{killed, open, quick, scratch, segment_path, small_store, value};
use logkv::inspect::{self, ExtentKind, Fate, Inspection, Item, Range};
use logkv::{Batch, Damage, Error, Location, SegmentId, Store};

fn fates(inspection: &Inspection) -> Vec<Fate> {
    let items = inspection.items(Range::default()).map(|item| item.expect("reads"));
    items
        .filter_map(|item| match item {
            Item::Record(record) => Some(record.fate),
            _ => None,
        })
        .collect()
}

#[test]
fn an_inspection_explains_every_byte_of_a_damaged_segment_in_a_store_that_does_not_open() {
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
            let inspection = inspect::segment(dir.path(), &quick(), SegmentId(id)).expect("inspects");
            let mut at = 0;
            for extent in &inspection.extents {
                assert_eq!(extent.at, at, "no gap");
                at += extent.len;
            }
            assert_eq!(at, bytes.len() as u64, "every byte");
            let items = inspection.items(Range::default()).collect::<Result<Vec<_>, _>>().expect("items");
            assert!(items.len() <= 6, "{items:?}");
        }
        fs::write(&path, whole).expect("restores the file");
    }
}

#[test]
fn an_inspection_names_the_record_that_replaced_each_dead_one() {
    let dir = small_store();
    let store = open(dir.path());
    let location = |segment, offset| Location { segment: SegmentId(segment), offset };
    let expected = [
        (1, vec![Fate::Live, Fate::ReplacedBy(location(2, 64)), Fate::DeletedBy(location(2, 64 + 56))]),
        (2, vec![Fate::Live, Fate::Tombstone { hides: Some(location(1, 64 + 48 + 48)) }]),
        (3, vec![Fate::Live]),
    ];
    for (id, expected) in expected {
        for inspection in [
            store.inspect(SegmentId(id)).expect("inspects"),
            inspect::segment(dir.path(), &quick(), SegmentId(id)).expect("inspects the files"),
        ] {
            assert_eq!(fates(&inspection), expected, "segment {id}");
            let item_count = inspection.items(Range::default()).count();
            assert_eq!(item_count, expected.len(), "segment {id} has other items");
        }
    }
}

#[test]
fn an_inspection_shows_a_torn_tail_with_the_records_that_the_next_open_drops() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("kept", "1").expect("a put");
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2").put("c", "3");
    store.write(&batch).expect("a batch");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 1);
    let bytes = fs::read(&path).expect("the segment");
    fs::write(&path, &bytes[..bytes.len() - 5]).expect("the cut");
    let inspection = inspect::segment(dir.path(), &quick(), SegmentId(1)).expect("inspects");
    let items: Vec<_> = inspection.items(Range::default()).map(|item| item.expect("reads")).collect();
    assert!(matches!(items[0], Item::Record(_)));
    let torn_len = bytes.len() as u64 - 5 - 112;
    assert!(matches!(items[1], Item::Torn { at: 112, len, records: 2, .. } if len == torn_len), "{items:?}");
    assert_eq!(inspection.extents.last().map(|extent| extent.kind), Some(ExtentKind::Torn));
}

#[test]
fn damage_at_the_durable_end_does_not_reach_into_the_torn_tail() {
    let dir = scratch();
    let store = open(dir.path());
    let settled = store.put("settled", "1").expect("a put").location.offset as usize;
    store.close().expect("closes");
    let manifest = fs::read(dir.path().join("MANIFEST")).expect("MANIFEST");
    let path = segment_path(dir.path(), 1);
    let end = fs::metadata(&path).expect("the segment").len();
    let store = open(dir.path());
    let first = store.put("first", "2").expect("a put").location.offset as usize;
    let second = store.put("second", "3").expect("a put").location.offset;
    store.close().expect("closes");
    fs::write(dir.path().join("MANIFEST"), manifest).expect("the older MANIFEST");
    let mut bytes = fs::read(&path).expect("the segment");
    for header in [settled, first] {
        bytes[header] ^= 1;
    }
    fs::write(&path, &bytes).expect("the damage");
    let inspection = inspect::segment(dir.path(), &quick(), SegmentId(1)).expect("inspects");
    let items: Vec<_> = inspection.items(Range::default()).map(|item| item.expect("reads")).collect();
    assert!(
        matches!(
            items[..],
            [Item::Damaged { at, len, next: None, .. }, Item::Torn { at: torn_at, records: 0, behind: 1, .. }]
                if at + len == end && torn_at == end && second > end
        ),
        "{items:?}"
    );
    let lens: u64 = inspection.extents.iter().map(|extent| extent.len).sum();
    assert_eq!(lens, bytes.len() as u64, "each byte is in one extent");
}

#[test]
fn a_record_in_the_torn_tail_replaces_no_other_record() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "1").expect("a put");
    store.rotate().expect("rotates");
    store.write(Batch::new().put("k", "2").put("z", "3")).expect("a batch");
    let dir = killed(store, dir.path());
    let path = segment_path(dir.path(), 2);
    let bytes = fs::read(&path).expect("the segment");
    fs::write(&path, &bytes[..bytes.len() - 8]).expect("cuts the batch");
    let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens read-only");
    assert_eq!(value(&reader, "k").as_deref(), Some("1"));
    let inspection = inspect::segment(dir.path(), &quick(), SegmentId(1)).expect("inspects");
    assert_eq!(fates(&inspection), [Fate::Live]);
    assert_eq!(inspection.totals.live_count, 1);
}

#[test]
fn totals_and_fates_agree_with_and_without_an_index_if_the_newest_record_is_damaged() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "old value").expect("a put");
    let at = store.put("k", "new value").expect("a put").location.offset as usize;
    store.rotate().expect("rotates");
    store.close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[at + 41] ^= 1;
    fs::write(&path, &bytes).expect("the damage");
    let store = open(dir.path());
    let with = store.inspect(SegmentId(1)).expect("inspects");
    let without = inspect::segment(dir.path(), &quick(), SegmentId(1)).expect("inspects");
    let live = fates(&with).iter().filter(|&&fate| fate == Fate::Live).count() as u64;
    assert_eq!(with.totals.live_count, live, "the summary differs from the items");
    assert_eq!(with.totals, without.totals, "the index changed the result");
}

#[test]
fn a_segment_can_be_inspected_while_a_later_one_is_missing() {
    let dir = scratch();
    let store = open(dir.path());
    for n in 0..3 {
        store.put(format!("key{n}"), "v").expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    fs::remove_file(segment_path(dir.path(), 2)).expect("removes the file");
    assert!(matches!(Store::open_with(dir.path(), quick()), Err(Error::SegmentMissing { .. })));
    let outcome = inspect::segment(dir.path(), &quick(), SegmentId(1));
    assert!(outcome.is_ok(), "the inspection needs an open store: {:?}", outcome.map(drop));
}

#[test]
fn a_segment_of_another_store_under_a_listed_name_is_reported_as_foreign() {
    let (dir, other) = (small_store(), scratch());
    let store = open(other.path());
    store.put("key", "value").expect("a put");
    store.rotate().expect("rotates");
    store.close().expect("closes");
    for (name, is_listed) in [(1, true), (77, false)] {
        fs::copy(segment_path(other.path(), 1), segment_path(dir.path(), name)).expect("copies");
        let inspection = inspect::segment(dir.path(), &quick(), SegmentId(name)).expect("a segment");
        let is_foreign =
            matches!(&inspection.header, Err(Damage::Foreign(whose)) if whose == "another store");
        assert_eq!((is_foreign, inspection.header.is_ok()), (is_listed, !is_listed), "{name}");
    }
}
