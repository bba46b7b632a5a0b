//! The end of the log after a crash.

use std::fs;

use logkv::{Batch, Options, Store};
use tempfile::TempDir;

use crate::common::{copy_of, killed, open, quick, scratch, segment_path, value};

/// A store of 128 durable keys in its active segment, left by a killed process, and the length of
/// that segment.
fn with_128_keys() -> (TempDir, usize) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::new()).expect("opens");
    let mut batch = Batch::new();
    for n in 0..127 {
        batch.put(format!("key{n}"), format!("value{n}"));
    }
    store.write(&batch).expect("a batch");
    // In a group of its own, so that its record says that the other 127 were durable.
    store.put("key127", "value127").expect("a put");
    let dir = killed(store, dir.path());
    let len = fs::read(segment_path(dir.path(), 1)).expect("the segment").len();
    (dir, len)
}

fn assert_128_keys(store: &Store, what: &str) {
    for n in 0..128 {
        assert_eq!(value(store, &format!("key{n}")), Some(format!("value{n}")), "{what}");
    }
}

#[test]
fn case_08_any_garbage_after_the_last_record_costs_no_earlier_record() {
    let whole_record = {
        let dir = scratch();
        let store = open(dir.path());
        store.put("torn", "a value of a torn record").expect("a put");
        store.close().expect("closes");
        fs::read(segment_path(dir.path(), 1)).expect("the segment")[64..].to_vec()
    };
    let mut wrong_checksum = whole_record.clone();
    wrong_checksum[40] ^= 1;
    let mut bad_then_good = wrong_checksum.clone();
    bad_then_good.extend_from_slice(&whole_record);
    let tails: [(&str, &[u8]); 7] = [
        ("zeros", &[0; 4096]),
        ("half a header", &whole_record[..16]),
        ("a header only", &whole_record[..32]),
        ("header and key", &whole_record[..40]),
        ("all but the last byte", &whole_record[..whole_record.len() - 1]),
        ("a wrong checksum", &wrong_checksum),
        ("a bad record, then one of another place", &bad_then_good),
    ];
    for (what, tail) in tails {
        let (dir, len) = with_128_keys();
        let path = segment_path(dir.path(), 1);
        let mut bytes = fs::read(&path).expect("the segment");
        bytes.extend_from_slice(tail);
        fs::write(&path, bytes).expect("the tail");
        for round in 0..2 {
            let store = open(dir.path());
            assert_128_keys(&store, what);
            let torn = store.open_report().torn;
            assert_eq!(torn.map(|torn| torn.len), (round == 0).then_some(tail.len() as u64), "{what}");
            assert_eq!(store.open_report().damage, [], "{what}");
        }
        assert_eq!(
            fs::read(&path).expect("the segment").len(),
            len,
            "{what}: the tail does not start after the last record"
        );
        let store = open(dir.path());
        let commit = store.put("new", "after the crash").expect("a put");
        assert!(commit.last.0 > 128, "{what}: a number was reused");
        store.close().expect("closes");
        let store = open(dir.path());
        assert_128_keys(&store, what);
        assert_eq!(value(&store, "new").as_deref(), Some("after the crash"), "{what}");
    }
}

#[test]
fn case_18_a_batch_cut_at_any_byte_is_absent_as_a_whole() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("before", "kept").expect("a put");
    let start = fs::read(segment_path(dir.path(), 1)).expect("the segment").len();
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2").delete("before");
    store.write(&batch).expect("a batch");
    let dir = killed(store, dir.path());
    let whole = fs::read(segment_path(dir.path(), 1)).expect("the segment");
    for len in start..=whole.len() {
        let copy = copy_of(dir.path());
        fs::write(segment_path(copy.path(), 1), &whole[..len]).expect("the cut");
        let is_whole = len == whole.len();
        // A reader first: it must not show records that the writer will truncate.
        for options in [quick().read_only(true), quick()] {
            let store = Store::open_with(copy.path(), options).expect("opens");
            assert_eq!(value(&store, "before").is_some(), !is_whole, "cut at {len}");
            assert_eq!(value(&store, "a").is_some(), is_whole, "cut at {len}");
            assert_eq!(value(&store, "b").is_some(), is_whole, "cut at {len}");
        }
    }
}

#[test]
fn case_18_a_batch_that_ends_in_deletes_of_missing_keys_is_whole_without_them() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("before", "kept").expect("a put");
    let mut batch = Batch::new();
    batch.put("a", "1").put("b", "2").delete("missing").delete("missing, too");
    store.write(&batch).expect("a batch");
    let dir = killed(store, dir.path());
    let store = open(dir.path());
    assert_eq!(store.open_report().torn, None);
    for (key, expected) in [("before", "kept"), ("a", "1"), ("b", "2")] {
        assert_eq!(value(&store, key).as_deref(), Some(expected));
    }
}
