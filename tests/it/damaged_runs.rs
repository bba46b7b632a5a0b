//! Compaction leaves damaged segments alone and compacts the others.

use std::fs;
use std::path::Path;

use logkv::{Compact, CompactionPolicy, Error, LeftAlone, SegmentId, Store};

use crate::common::{
    assert_counted, copy_of, hint_path, leftovers, open, quick, scratch, sealed, segment_path, wait_until,
};

/// A store of five sealed segments with hints. Each has a live key of its own and a dead record.
pub(crate) fn with_five_segments() -> tempfile::TempDir {
    let dir = scratch();
    let store = open(dir.path());
    for n in 1..=5 {
        store.put("again", n.to_string()).expect("a put");
        store.put(format!("only{n}"), "there").expect("a put");
        store.put(format!("only{n}"), "and again").expect("a put");
        store.rotate().expect("rotates");
    }
    store.close().expect("closes");
    open(dir.path()).close().expect("closes");
    assert!((1..=5).all(|id| hint_path(dir.path(), id).exists()));
    dir
}

/// Changes a byte of record number `record` of segment `id`, whose records have 48, 48 and 56
/// bytes.
fn damage(dir: &Path, id: u64, record: u64, byte: u64) {
    let path = segment_path(dir, id);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[(64 + record * 48 + byte) as usize] ^= 0x10;
    fs::write(&path, bytes).expect("the damage");
}

#[test]
fn compaction_leaves_a_damaged_segment_alone_and_compacts_the_others() {
    let dir = with_five_segments();
    // Bytes of the header, the key and the value, in dead records and in a live one.
    for (record, byte) in [(0, 0), (0, 9), (0, 33), (0, 41), (1, 12), (1, 45), (2, 20), (2, 34), (2, 48)] {
        let copy = copy_of(dir.path());
        damage(copy.path(), 3, record, byte);
        let before = fs::read(segment_path(copy.path(), 3)).expect("the segment");
        let store = open(copy.path());
        let what = format!("byte {byte} of record {record}");
        assert_eq!(store.open_report().damage, [], "{what}: nothing has read the damage yet");
        let refused = store.compact(&Compact::Segments([2, 3, 4].map(SegmentId).to_vec()));
        let is_there = matches!(&refused, Err(Error::Damaged { segment, offset, .. })
            if segment.0 == 3 && *offset == 64 + record * 48);
        assert!(is_there, "{what}: {refused:?}");
        let refused = store.compact(&Compact::Segments(vec![SegmentId(3)]));
        assert!(matches!(refused, Err(Error::NotCompactable { .. })), "{what}: {refused:?}");
        let plan = store.compaction_plan(&Compact::All).expect("a plan");
        let planned: Vec<Vec<u64>> =
            plan.runs.iter().map(|run| run.segments.iter().map(|id| id.0).collect()).collect();
        assert_eq!(planned, [[1, 2], [4, 5]], "{what}: the plan leaves out segment 3");
        store.compact(&Compact::All).expect("compacts");
        assert_eq!(store.segments().expect("segments").len(), 3, "{what}");
        assert!(
            fs::read(segment_path(copy.path(), 3)).expect("the segment") == before,
            "{what}: segment 3 is unchanged"
        );
        for key in ["again", "only1", "only2", "only3", "only4", "only5"] {
            match store.get(key) {
                Ok(value) => assert!(value.is_some(), "{what}: {key}"),
                Err(Error::Damaged { segment, .. }) => assert_eq!((segment.0, key), (3, "only3"), "{what}"),
                Err(other) => panic!("{what}: {other}"),
            }
        }
        store.close().expect("closes");
        assert_eq!(leftovers(copy.path()), [""; 0], "{what}");
    }
}

#[test]
fn a_compaction_that_meets_damage_continues_and_reports_it_at_the_end() {
    let policy = CompactionPolicy { dead_percent: 30, ..Default::default() };
    for what in [Compact::Due, Compact::All] {
        let dir = with_five_segments();
        damage(dir.path(), 3, 0, 41);
        let store = Store::open_with(dir.path(), quick().compaction(policy.clone())).expect("opens");
        let report = store.compact(&what).expect("compacts the others");
        let [LeftAlone { segment: SegmentId(3), met: Some((64, _)) }] = report.left[..] else {
            panic!("{what:?}: {report:?}")
        };
        assert!(!report.runs.is_empty(), "{what:?}");
        let left: Vec<_> = sealed(&store).into_iter().filter(|id| id.0 <= 5).collect();
        assert_eq!(left, [SegmentId(3)], "{what:?}");
        let again = store.compact(&what).expect("plans nothing");
        let known = LeftAlone { segment: SegmentId(3), met: None };
        let expected = if what == Compact::All { vec![known] } else { vec![] };
        assert_eq!((again.runs, again.left), (vec![], expected), "{what:?}");
        assert_counted(&store, "the statistics of the remaining segments");
    }
}

#[test]
fn background_compaction_leaves_out_a_damaged_segment() {
    let dir = with_five_segments();
    damage(dir.path(), 3, 0, 41);
    let policy = CompactionPolicy { dead_percent: 1, ..Default::default() };
    let store = Store::open_with(dir.path(), quick().background(true).compaction(policy)).expect("opens");
    // Sealing a segment starts the background compaction.
    store.put("new", "").expect("a put");
    store.rotate().expect("rotates");
    wait_until(|| sealed(&store).iter().all(|id| id.0 == 3 || id.0 > 6));
    assert!(sealed(&store).contains(&SegmentId(3)), "it stays");
    assert_eq!(store.get("again").expect("reads").expect("exists"), b"5");
    assert_eq!(store.len(), 7);
}
