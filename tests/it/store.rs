//! The public calls of a store, without faults.

use crate::common::{open, quick, scratch, segment_path, value};
use crate::hooked::{FreeSyncs, hooked};
use logkv::{Batch, Compression, Error, ManualClock, Options, ReadWith, SEGMENT_LEN_MAX_BOUNDS, Store, Sync};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_reopened_store_holds_every_put_under_every_sync_policy_and_read_mode() {
    for sync in [Sync::Always, Sync::Every(Duration::from_millis(5)), Sync::Never, Sync::Buffered(1 << 16)] {
        for read_with in [ReadWith::Mmap, ReadWith::Pread] {
            let dir = scratch();
            let options = Options::new().sync(sync).read_with(read_with).segment_len_max(1000);
            let store = Store::open_with(dir.path(), options.clone()).expect("opens");
            for n in 0..100 {
                store.put(format!("key{n}"), format!("value{n}")).expect("a put");
                if n % 3 == 0 {
                    assert!(store.delete(format!("key{n}")).expect("a delete"));
                }
            }
            let expected = |n: i32| (n % 3 != 0).then(|| format!("value{n}"));
            let check = |store: &Store| {
                for n in 0..100 {
                    assert_eq!(value(store, &format!("key{n}")), expected(n), "{sync:?} {read_with:?}");
                }
                assert_eq!(store.len(), 66);
            };
            check(&store);
            store.close().expect("a clean close");
            let store = Store::open_with(dir.path(), options).expect("reopens");
            assert!(!store.open_report().unclean);
            check(&store);
        }
    }
}

#[test]
fn a_mapped_value_is_aligned_and_not_a_copy() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("k", "a value of some length").expect("a put");
    let active = store.get("k").expect("reads").expect("exists");
    assert!(active.is_zero_copy(), "in the active segment");
    assert_eq!(active.as_ptr().align_offset(8), 0);
    store.rotate().expect("rotates");
    let sealed = store.get("k").expect("reads").expect("exists");
    assert!(sealed.is_zero_copy(), "in a sealed segment");
    drop(store);
    assert_eq!(sealed, b"a value of some length", "a value outlives its store");
}

#[test]
fn a_batch_applies_as_a_whole_and_the_last_operation_on_a_key_wins() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("old", "1").expect("a put");
    let mut batch = Batch::new();
    batch
        .put("a", "1")
        .put("a", "2")
        .delete("old")
        .delete("never there")
        .put("b", "3")
        .delete("b")
        .delete("b");
    let commit = store.write(&batch).expect("writes").expect("a commit");
    assert_eq!(commit.deleted, 2);
    assert_eq!(commit.last.0 - commit.first.0, 4, "deletes of missing keys write nothing");
    for store in [store.clone(), {
        store.close().expect("closes");
        open(dir.path())
    }] {
        assert_eq!(value(&store, "a").as_deref(), Some("2"));
        assert_eq!(value(&store, "old"), None);
        assert_eq!(value(&store, "b"), None);
        assert_eq!(store.len(), 1);
    }
}

#[test]
fn a_batch_of_deletes_of_missing_keys_writes_nothing() {
    let dir = scratch();
    let store = open(dir.path());
    let mut batch = Batch::new();
    batch.delete("a").delete("b");
    assert_eq!(store.write(&batch).expect("writes"), None);
    assert!(!store.delete("a").expect("a delete"));
    assert_eq!(store.write(&Batch::new()).expect("an empty write"), None);
    assert_eq!(store.stats().expect("stats").record_count, 0);
    assert!(!crate::common::segment_path(dir.path(), 1).exists(), "no segment was made");
}

#[test]
fn a_conditional_put_writes_only_if_its_condition_holds() {
    let dir = scratch();
    for sync in [Sync::Always, Sync::Never, Sync::Buffered(1 << 20)] {
        let store = Store::open_with(dir.path(), Options::new().sync(sync)).expect("opens");
        assert!(store.put_if_present("k", "0").expect("no error").is_none());
        assert!(store.put_if_absent("k", "1").expect("no error").is_some());
        assert!(store.put_if_absent("k", "2").expect("no error").is_none());
        assert!(store.put_if_present("k", "3").expect("no error").is_some());
        assert_eq!(value(&store, "k").as_deref(), Some("3"));
        assert!(store.delete("k").expect("a delete"));
        assert!(store.put_if_present("k", "4").expect("no error").is_none());
        assert_eq!(value(&store, "k"), None);
    }
}

#[test]
fn a_key_or_value_over_the_limit_is_refused_before_anything_is_written() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().value_len_max(10)).expect("opens");
    store.put("k", "v").expect("a put");
    let before = crate::common::files(dir.path());
    assert!(matches!(store.put("", "v"), Err(Error::KeyLength { len: 0 })));
    assert!(matches!(store.put(vec![0; 65_536], "v"), Err(Error::KeyLength { len: 65_536 })));
    assert!(matches!(store.put("k", [0; 11]), Err(Error::ValueLength { len: 11, limit: 10 })));
    let mut batch = Batch::new();
    batch.put("fine", "1").put("", "not fine");
    assert!(matches!(store.write(&batch), Err(Error::KeyLength { .. })));
    assert_eq!(crate::common::files(dir.path()), before);
    store.put(vec![7; 65_535], [0; 10]).expect("the longest key and value");
    assert!(store.contains(vec![7; 65_535]).expect("reads"));
}

#[test]
fn a_submitted_write_becomes_visible_when_a_later_write_is_durable() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::new().sync(Sync::Always)).expect("opens");
    let mut batch = Batch::new();
    batch.put("a", "1");
    let first = store.submit(&batch).expect("submits");
    assert_eq!(value(&store, "a"), None, "readers do not see a write that is not durable");
    assert!(store.put_if_absent("a", "9").expect("no error").is_none(), "a condition sees it");
    assert_eq!(
        value(&store, "a").as_deref(),
        Some("1"),
        "the outcome of a condition waits until the write that decided it is durable"
    );
    batch.clear();
    batch.put("b", "2");
    let second = store.submit(&batch).expect("submits");
    let commit = second.wait().expect("waits").expect("wrote something");
    assert_eq!(commit.last.0, 2);
    assert_eq!(first.wait().expect("waits").map(|commit| commit.last.0), Some(1));
}

#[test]
fn a_scan_returns_one_snapshot_in_byte_order_from_both_ends() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(300)).expect("opens");
    for key in ["b", "a", "ab", "c", "\u{ff}"] {
        store.put(key, key).expect("a put");
    }
    let mut keys = store.keys(..).expect("keys");
    store.put("aa", "later").expect("a put");
    store.delete("b").expect("a delete");
    assert_eq!(keys.next().expect("a key").expect("reads").key, b"a");
    assert_eq!(keys.next_back().expect("a key").expect("reads").key, "\u{ff}".as_bytes());
    let rest: Vec<_> = keys.map(|key| key.expect("reads").key.to_vec()).collect();
    assert_eq!(rest, [&b"ab"[..], b"b", b"c"]);
    let prefixed: Vec<_> =
        store.scan_prefix("a").expect("scans").map(|e| e.expect("reads").value.to_vec()).collect();
    assert_eq!(prefixed, [&b"a"[..], b"later", b"ab"]);
}

#[test]
fn a_range_scan_respects_its_bounds_from_both_ends() {
    let dir = scratch();
    let store = open(dir.path());
    let all: BTreeSet<Vec<u8>> = ["b", "d", "f", "h"].map(|key| key.as_bytes().to_vec()).into();
    for key in ["b", "f"] {
        store.put(key, "sealed").expect("a put");
    }
    store.rotate().expect("rotates");
    for key in ["d", "h"] {
        store.put(key, "active").expect("a put");
    }
    let bounds = |key: &'static [u8]| [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded];
    for (from, to) in [("a", "i"), ("b", "h"), ("b", "f"), ("c", "d"), ("d", "g"), ("f", "h")] {
        for from in bounds(from.as_bytes()) {
            for to in bounds(to.as_bytes()) {
                let expected: Vec<_> = all.range::<[u8], _>((from, to)).cloned().collect();
                let key = |entry: logkv::Result<logkv::KeyEntry>| entry.expect("reads").key.to_vec();
                let keys = || store.keys((from, to)).expect("keys");
                let forward: Vec<_> = keys().map(key).collect();
                let mut backward: Vec<_> = keys().rev().map(key).collect();
                backward.reverse();
                assert_eq!((&forward, &backward), (&expected, &expected), "{from:?} to {to:?}");
            }
        }
    }
}

#[test]
fn segments_are_sealed_by_size_and_by_age() {
    let dir = scratch();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let options = quick()
        .clock(clock.clone())
        .segment_len_max(64 + 3 * 40)
        .segment_age_max(Some(Duration::from_secs(60)));
    let store = Store::open_with(dir.path(), options).expect("opens");
    for key in ["a", "b", "c"] {
        store.put(key, "").expect("a put");
    }
    assert_eq!(store.segments().expect("segments").len(), 1);
    store.put("d", "").expect("a put");
    assert_eq!(store.segments().expect("segments").len(), 2, "sealed by size");
    clock.advance(59_999);
    store.put("e", "").expect("a put");
    assert_eq!(store.segments().expect("segments").len(), 2);
    clock.advance(1);
    store.put("f", "").expect("a put");
    assert_eq!(store.segments().expect("segments").len(), 3, "sealed by age");
    store.put("big", vec![1; 5000]).expect("a put larger than a segment");
    store.put("g", "").expect("a put");
    assert_eq!(store.segments().expect("segments").len(), 5, "a large record gets a segment of its own");
}

/// A segment reserves address space for its maximum length. Sealing it releases the unused part.
#[test]
fn small_sealed_segments_do_not_exhaust_the_address_space() {
    let dir = scratch();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let options = quick()
        .clock(clock.clone())
        .segment_len_max(u64::MAX)
        .segment_age_max(Some(Duration::from_millis(1)))
        .file_system(hooked(FreeSyncs));
    let store = Store::open_with(dir.path(), options).expect("opens");
    // At the maximum length of 4 GiB, 2,048 segments would fill the 8 TiB.
    for n in 0..2_100_u32 {
        let put = store.put("k", n.to_le_bytes());
        assert!(put.is_ok(), "segment {n} of 112 bytes: {:?}", put.map_err(|error| error.sentence()));
        clock.advance(1);
    }
    assert_eq!(store.segments().expect("segments").len(), 2_100);
}

#[test]
fn the_statistics_equal_the_file_lengths() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(500)).expect("opens");
    for n in 0..50 {
        store.put(format!("key{}", n % 20), vec![b'x'; n]).expect("a put");
    }
    for n in 0..5 {
        store.delete(format!("key{n}")).expect("a delete");
    }
    for store in [store.clone(), {
        store.close().expect("closes");
        open(dir.path())
    }] {
        let stats = store.stats().expect("stats");
        assert_eq!(stats.key_count, 15);
        assert_eq!(stats.record_count, 55);
        assert_eq!(stats.tombstone_count, 5);
        assert_eq!(stats.disk_len, stats.live_len + stats.dead_len + 64 * stats.segment_count);
        let live: u64 = store.keys(..).expect("keys").map(|key| key.expect("reads").len).sum();
        assert_eq!(stats.live_len, live);
        let on_disk: usize = crate::common::files(dir.path())
            .iter()
            .filter(|(n, _)| n.ends_with(".seg"))
            .map(|(_, b)| b.len())
            .sum();
        assert_eq!(stats.disk_len, on_disk as u64);
        for segment in store.segments().expect("segments") {
            let totals = store.inspect(segment.id).expect("inspects").totals;
            assert_eq!((segment.live_len, segment.live_count), (totals.live_len, totals.live_count));
            assert_eq!(segment.dead_len, totals.dead_len + totals.tombstone_len);
            assert_eq!(
                logkv::inspect::segment(dir.path(), &quick(), segment.id).expect("offline").totals,
                totals
            );
        }
    }
}

#[test]
fn readers_see_whole_values_while_a_writer_replaces_them() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(4096)).expect("opens");
    let value_of = |n: u32| n.to_le_bytes().repeat(20);
    store.put("k", value_of(0)).expect("a put");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let value = store.get("k").expect("reads").expect("always exists");
                    let n = u32::from_le_bytes(value[..4].try_into().expect("four bytes"));
                    assert_eq!(value, &*value_of(n), "the value is whole");
                    assert!(n >= last, "no older value follows a newer one");
                    last = n;
                }
            });
        }
        for n in 1..20_000 {
            store.put("k", value_of(n)).expect("a put");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn parallel_writers_lose_nothing_under_sync_always() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::new().segment_len_max(4096)).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..50 {
                    let key = format!("{thread}:{n}");
                    store.put(&key, &key).expect("a put");
                    assert_eq!(value(store, &key).as_deref(), Some(&*key), "a writer reads its own write");
                }
            });
        }
    });
    assert_eq!(store.len(), 400);
    store.close().expect("closes");
    assert_eq!(open(dir.path()).len(), 400);
}

#[test]
fn a_closed_store_reopens_while_other_threads_start_programs() {
    let dir = scratch();
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                std::process::Command::new("true").status().expect("a program can be started");
            }
        });
        let opens = (0..300).try_for_each(|_| Store::open_with(dir.path(), quick())?.close());
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        opens.expect("the lock is free");
    });
}

#[test]
fn a_record_with_a_damaged_header_reads_the_same_from_a_mapping_and_from_a_file() {
    for len in [1, 4000, 4096, 5000, 100_000] {
        let read = |read_with| {
            let dir = scratch();
            let store = Store::open_with(dir.path(), quick().read_with(read_with)).expect("opens");
            store.put("key", vec![7; len]).expect("a put");
            store.rotate().expect("seals");
            let segment = fs::OpenOptions::new().write(true).open(segment_path(dir.path(), 1));
            segment.expect("the segment").write_all_at(&[0xaa; 4], 64).expect("changes the header checksum");
            store.get("key").map(|value| value.expect("exists").to_vec())
        };
        let [mapped, from_file] = [ReadWith::Mmap, ReadWith::Pread].map(read);
        for outcome in [mapped, from_file] {
            match outcome {
                Ok(value) => assert!(value == vec![7; len] && len < 4096, "{len}"),
                Err(error) => assert!(error.is_corruption() && len >= 4096, "{len}: {error}"),
            }
        }
    }
}

#[test]
fn an_option_out_of_bounds_is_clamped_to_the_nearest_bound() {
    let segments_with = |segment_len_max: u64| {
        let dir = scratch();
        let mut options = Options::new().background(false);
        options.sync = Sync::Every(Duration::ZERO);
        options.segment_len_max = segment_len_max;
        options.value_len_max = u64::MAX;
        options.compression = Compression::Zstd { level: i32::MAX };
        let store = Store::open_with(dir.path(), options).expect("a store");
        let value = "long enough to be compressed, ".repeat(40);
        for n in 0..20 {
            store.put(format!("key{n}"), &value).expect("a put");
        }
        assert_eq!(store.get("key7").expect("gets").as_deref(), Some(value.as_bytes()));
        store.stats().expect("statistics").segment_count
    };
    assert_eq!(segments_with(0), segments_with(SEGMENT_LEN_MAX_BOUNDS.0));
    assert_eq!(segments_with(u64::MAX), 1);
}
