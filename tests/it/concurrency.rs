//! Blocking and visibility among threads. Most tests use a file system whose syncs block until the
//! test releases them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{holds_within, quick, scratch, value, wait_until};
use crate::hooked::{Hooked, SyncGate};
use logkv::{Batch, Compact, Options, Store};

#[test]
fn calls_proceed_during_a_sync_and_see_no_write_before_it_is_durable() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("k", "old").expect("a put");
    gate.set_shut(true);
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("k", "new").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        // The sync blocks until the gate opens. These calls return before that.
        let seen = (value(&store, "k"), store.scan(..).expect("scans").count());
        let appended = store.submit(Batch::new().put("other", "1")).expect("submits");
        let other = value(&store, "other");
        // Before the assertions, so that a failed test does not hang.
        gate.set_shut(false);
        assert_eq!((seen, other), ((Some("old".to_owned()), 1), None));
        appended.wait().expect("waits");
        assert_eq!(value(&store, "other").as_deref(), Some("1"));
    });
    assert_eq!(value(&store, "k").as_deref(), Some("new"));
}

#[test]
fn parallel_writers_share_one_sync() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("first", "").expect("a put");
    gate.set_shut(true);
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        scope.spawn(|| store.put("leader", "").expect("a put"));
        wait_until(|| gate.arrivals() > before);
        for n in 0..7 {
            let store = &store;
            scope.spawn(move || store.put(format!("follower{n}"), "").expect("a put"));
        }
        // The records are in the file, but not yet visible.
        wait_until(|| store.stats().expect("stats").last_seq.0 == 9);
        gate.set_shut(false);
    });
    assert_eq!(store.len(), 9);
    assert_eq!(
        gate.arrivals() - before,
        2,
        "one sync for the first writer, and one for the seven that came meanwhile"
    );
}

/// Linux reports a write-back error once for each open file. The running sync receives it. A second
/// sync, started meanwhile, would succeed without writing anything.
#[test]
fn no_sync_of_a_file_starts_while_another_one_runs() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options = Options::new().file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    store.put("before", "1").expect("a put");
    gate.set_shut(true);
    gate.fail_syncs();
    let before = gate.arrivals();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| store.put("lost", "1"));
        wait_until(|| gate.arrivals() > before);
        let rotated = scope.spawn(|| store.rotate());
        // Sealing also needs a sync. This is the time in which it could start one by mistake.
        let is_second_started = holds_within(Duration::from_millis(200), || gate.arrivals() > before + 1);
        gate.set_shut(false);
        let (put, rotated) = (put.join().expect("no panic"), rotated.join().expect("no panic"));
        assert!(!is_second_started, "two parallel syncs");
        assert!(rotated.is_err(), "sealing succeeded without a sync: {rotated:?}");
        assert!(put.is_err(), "the write was acknowledged although its sync failed: {put:?}");
    });
    assert_eq!(gate.arrivals(), before + 1, "no sync follows a failed one");
    assert_eq!(value(&store, "lost"), None, "a write is visible only after a successful sync");
}

#[test]
fn a_scan_during_writes_shows_no_half_batch() {
    let dir = scratch();
    // With background compaction, so that the scan skips many dead records.
    let options = quick().segment_len_max(256 << 10).background(true);
    let store = Store::open_with(dir.path(), options).expect("opens");
    // Enough keys for every shard of the keydir.
    let keys: Vec<String> = (0..200).map(|n| format!("key{n}")).collect();
    let write = |round: u32| {
        let mut batch = Batch::new();
        for key in &keys {
            batch.put(key, round.to_string());
        }
        store.write(&batch).expect("a batch");
    };
    write(0);
    let done = AtomicBool::new(false);
    let written = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in (1..).take_while(|_| !done.load(Ordering::Relaxed)) {
                write(round);
                written.store(round, Ordering::Relaxed);
            }
        });
        let is_whole = || {
            let entries = store.scan(..).expect("scans").map(|entry| entry.expect("reads"));
            let mut values: Vec<_> = entries.map(|entry| entry.value.to_vec()).collect();
            assert_eq!(values.len(), keys.len());
            values.dedup();
            values.len() == 1
        };
        // On one core the threads alternate, so that the writer must often be interrupted within a
        // batch.
        let goes_on = |scan: &u32| *scan < 200 || written.load(Ordering::Relaxed) < 3000;
        let is_each_whole = (0..).take_while(goes_on).all(|_| is_whole());
        done.store(true, Ordering::Relaxed);
        writer.join().expect("no panic");
        assert!(is_each_whole, "a scan mixed the values of two batches");
    });
}

#[test]
fn a_reader_that_sees_the_first_key_of_a_batch_sees_its_last_key() {
    const ROUNDS: u32 = 100;
    const KEYS: u32 = 1000;
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    let round_of = |key: u32| {
        let value = store.get(key.to_be_bytes()).expect("reads");
        value.map_or(0, |value| u32::from_be_bytes(value[..].try_into().expect("four bytes")))
    };
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                let mut batch = Batch::new();
                for key in 0..KEYS {
                    batch.put(key.to_be_bytes(), round.to_be_bytes());
                }
                store.write(&batch).expect("a batch");
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            let first = round_of(0);
            let last = round_of(KEYS - 1);
            assert!(last >= first, "batch {first} was visible, and then batch {last}");
        }
    });
}

#[test]
fn no_get_sees_a_value_that_its_own_batch_replaces() {
    const ROUNDS: u32 = 2000;
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick().segment_len_max(16 << 20)).expect("opens");
    // Reading this value takes long enough for the batch to finish.
    let (draft, last) = (vec![b'd'; 128 << 10], b"last");
    store.put("key", last).expect("a put");
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                store.write(Batch::new().put("key", &draft).put("key", last)).expect("a batch");
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            let value = store.get("key").expect("reads").expect("is never deleted");
            assert!(value == last, "a get returned a value that was never the last of a batch");
        }
    });
}

#[test]
fn statistics_add_up_while_compaction_moves_records() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), quick()).expect("opens");
    for n in 0..200 {
        store.put(format!("key{n:03}"), "value").expect("a put");
    }
    let live_len = || store.segments().expect("segments").iter().map(|segment| segment.live_len).sum::<u64>();
    let expected = live_len();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            store.rotate().expect("rotates");
            for _ in 0..200 {
                let segments = store.segments().expect("segments").iter().map(|segment| segment.id).collect();
                store.compact(&Compact::Segments(segments)).expect("compacts");
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) {
            assert_eq!(live_len(), expected);
        }
    });
}
