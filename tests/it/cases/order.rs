//! Compaction keeps the order of the log: no replaced or deleted value comes back, whatever is
//! compacted when.

use std::path::Path;

use logkv::{Compact, SegmentId, Store};

use crate::common::{
    Map, Random, assert_is, leftovers, open, quick, remove_derived, scratch, sealed, segment_path, value,
};
use crate::recount::Recounted;

fn compact(store: &Store, ids: &[u64]) {
    let ids = ids.iter().map(|&id| SegmentId(id)).collect();
    store.compact_recounted(&Compact::Segments(ids)).expect("compacts");
}

/// Closes and reopens the store, with hints or without.
fn reopened(store: Store, dir: &Path, has_hints: bool) -> Store {
    store.close().expect("closes");
    if !has_hints {
        remove_derived(dir);
    }
    open(dir)
}

#[test]
fn case_01_compacting_a_delete_alone_does_not_revive_the_key() {
    for has_hints in [true, false] {
        let dir = scratch();
        let store = open(dir.path());
        store.put("a", "1").expect("a put");
        store.rotate().expect("rotates");
        store.delete("a").expect("a delete");
        store.rotate().expect("rotates");
        let store = reopened(store, dir.path(), has_hints);
        compact(&store, &[2]);
        assert_eq!(value(&store, "a"), None);
        let store = reopened(store, dir.path(), has_hints);
        assert_eq!(value(&store, "a"), None);
        assert_eq!(store.len(), 0);
        assert_eq!(store.stats().expect("stats").tombstone_count, 1, "the put that it hides still exists");
    }
}

#[test]
fn case_02_compacting_all_but_the_last_and_then_all_but_the_first_keeps_the_live_key() {
    for has_hints in [true, false] {
        let dir = scratch();
        let store = open(dir.path());
        for n in 0..10 {
            store.put(format!("key{n}"), "value").expect("a put");
            store.rotate().expect("rotates");
        }
        for n in 0..10 {
            store.delete(format!("key{n}")).expect("a delete");
            if n == 5 {
                store.put("live", "yes").expect("a put");
            }
            store.rotate().expect("rotates");
        }
        let store = reopened(store, dir.path(), has_hints);
        let all = sealed(&store);
        store.compact_recounted(&Compact::Segments(all[..19].to_vec())).expect("compacts");
        let store = reopened(store, dir.path(), has_hints);
        let left = sealed(&store);
        store.compact_recounted(&Compact::Segments(left[1..].to_vec())).expect("compacts");
        let store = reopened(store, dir.path(), has_hints);
        assert_is(&store, &Map::from([(b"live".to_vec(), b"yes".to_vec())]), "at the end");
        for SegmentId(id) in all {
            assert!(!segment_path(dir.path(), id).exists(), "segment {id} still exists");
        }
        assert_eq!(leftovers(dir.path()), [""; 0]);
    }
}

#[test]
fn case_03_compacting_one_of_two_puts_in_any_order_keeps_the_newer_one() {
    let orders: [&[&[u64]]; 4] = [&[&[1], &[2]], &[&[2], &[1]], &[&[1, 2]], &[&[2, 1]]];
    for (order, has_hints) in orders.into_iter().flat_map(|order| [(order, true), (order, false)]) {
        let dir = scratch();
        let mut store = open(dir.path());
        for n in ["1", "2"] {
            store.put("k", n).expect("a put");
            // So that part of each segment stays live.
            store.put(format!("other{n}"), n).expect("a put");
            store.rotate().expect("rotates");
        }
        let expected = [("k", "2"), ("other1", "1"), ("other2", "2")];
        let expected: Map =
            expected.map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).into();
        for run in order {
            compact(&store, run);
            assert_is(&store, &expected, &format!("{run:?} of {order:?}"));
            store = reopened(store, dir.path(), has_hints);
            assert_is(&store, &expected, &format!("{run:?} of {order:?}, reopened"));
        }
        store.compact_recounted(&Compact::Segments(sealed(&store))).expect("compacts");
        store = reopened(store, dir.path(), has_hints);
        assert_is(&store, &expected, &format!("{order:?}, and then both"));
    }
}

#[test]
fn case_05_the_contents_stay_correct_after_two_compactions_with_writes_between() {
    let mut random = Random::announced();
    for read_with in [logkv::ReadWith::Mmap, logkv::ReadWith::Pread] {
        let dir = scratch();
        let options = quick().segment_len_max(2000).read_with(read_with);
        let store = Store::open_with(dir.path(), options).expect("opens");
        let mut map = Map::new();
        for round in 0..3 {
            for _ in 0..300 {
                let key = format!("key{}", random.below(40)).into_bytes();
                if random.below(3) == 0 {
                    assert_eq!(store.delete(&key).expect("a delete"), map.remove(&key).is_some());
                } else {
                    let value = vec![b'v'; random.below(100) as usize];
                    store.put(&key, &value).expect("a put");
                    map.insert(key, value);
                }
            }
            assert_is(&store, &map, &format!("before compaction {round}"));
            store.compact_recounted(&if round == 1 { Compact::Due } else { Compact::All }).expect("compacts");
            assert_is(&store, &map, &format!("after compaction {round}"));
            assert_eq!(leftovers(dir.path()), [""; 0]);
        }
        store.close().expect("closes");
        assert_is(&open(dir.path()), &map, "reopened");
    }
}
