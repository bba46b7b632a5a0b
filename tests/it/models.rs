//! The engine under shuttle, a scheduler that tries many orders of its threads. With
//! `--cfg shuttle`, shuttle's locks and atomics replace the engine's, and choose the next thread at
//! each operation.
//!
//! Deadlocks and lost wakeups are found as well, since no thread can run then. `LOGKV_SCHEDULES` is
//! the number of orders tried for each model. A failed order is printed, for `shuttle::replay`.

mod feeds;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use logkv::fs::StoreFile;
use logkv::{Batch, Compact, Error, Options, SegmentId, Store, Sync};
use shuttle::rand::{Rng, RngCore, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Mutex, MutexGuard};
use shuttle::{Config, Runner, thread};

use crate::common::{Random, hint_path, quick, scratch, sealed, segment_path, value};
use crate::hooked::{Call, Hook, Hooked};
use crate::linear::history::{KEYS, check};
use crate::linear::worker::{Clock, Worker, state_of};

fn schedules() -> usize {
    std::env::var("LOGKV_SCHEDULES").map_or(60, |text| text.parse().expect("LOGKV_SCHEDULES is a number"))
}

/// Tries many orders of the threads of `model`. Half of them are random. The other half have few
/// switches (Burckhardt and others 2010), and find a bug that needs so many with a known
/// probability.
fn explore(model: impl Fn(&Path) + Send + std::marker::Sync + 'static) {
    const SWITCHES: usize = 3;
    let model = Arc::new(model);
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.stack_size = 1 << 20;
        config.silence_warnings = true;
        let model = Arc::clone(&model);
        Runner::new(scheduler, config).run(move || {
            let dir = scratch();
            model(dir.path());
        });
    };
    run(Box::new(RandomScheduler::new(schedules() / 2)));
    run(Box::new(PctScheduler::new(SWITCHES, schedules() / 2)));
}

/// A disk where a sync makes durable what the segment held when the sync began, once it ends.
/// Threads can switch at its calls.
#[derive(Debug)]
struct SlowDisk {
    dir: PathBuf,
    /// Locked in every call.
    state: Mutex<DiskState>,
}

#[derive(Debug, Default)]
struct DiskState {
    /// The contents of segments when their running sync began.
    syncing: HashMap<StoreFile, Vec<u8>>,
    durable: HashMap<StoreFile, Vec<u8>>,
    /// The number of syncs before one fails. `None` if none fails.
    syncs_left: Option<u64>,
    /// The file whose sync failed.
    failed: Option<StoreFile>,
}

impl SlowDisk {
    fn new(dir: &Path, syncs_left: Option<u64>) -> Arc<Self> {
        let state = Mutex::new(DiskState { syncs_left, ..DiskState::default() });
        Arc::new(Self { dir: dir.to_owned(), state })
    }

    fn options(self: &Arc<Self>) -> Options {
        quick().sync(Sync::Always).file_system(Arc::new(Hooked(Arc::clone(self))))
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.state.lock().expect("no panic")
    }

    /// Whether `value`, which is unique, would survive a power cut now.
    fn has(&self, value: &str) -> bool {
        let is_in = |bytes: &Vec<u8>| bytes.windows(value.len()).any(|window| window == value.as_bytes());
        self.state().durable.values().any(is_in)
    }
}

impl Hook for SlowDisk {
    fn before(&self, call: Call) -> io::Result<()> {
        let mut state = self.state();
        if let Call::Create(name) = call {
            // A new file of the same name.
            state.failed.take_if(|failed| *failed == name);
        }
        let Call::Sync(name @ StoreFile::Segment(id)) = call else { return Ok(()) };
        assert_ne!(state.failed, Some(name), "a second sync could succeed without writing anything");
        let held = fs::read(segment_path(&self.dir, id.0))?;
        assert!(state.syncing.insert(name, held).is_none(), "two parallel syncs of one file");
        Ok(())
    }

    fn after(&self, call: Call) -> io::Result<()> {
        let mut state = self.state();
        let Call::Sync(name) = call else { return Ok(()) };
        let Some(held) = state.syncing.remove(&name) else { return Ok(()) };
        if state.syncs_left == Some(0) {
            state.syncs_left = None;
            state.failed = Some(name);
            return Err(io::Error::other("the disk is gone"));
        }
        state.syncs_left = state.syncs_left.map(|left| left - 1);
        state.durable.insert(name, held);
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

const WRITERS: u64 = 3;
const PUTS: u64 = 3;

/// Puts each value of one writer.
fn put_in_turn(store: &Store, disk: &SlowDisk, writer: u64) {
    for turn in 0..PUTS {
        let value = format!("value {turn} of {writer}");
        match store.put(format!("key{writer}"), &value) {
            Ok(_) => assert!(disk.has(&value), "{value} was acknowledged before it was durable"),
            Err(Error::OutcomeUnknown { .. } | Error::Poisoned { .. }) if disk.state().failed.is_some() => {
                return;
            }
            Err(error) => panic!("{}", error.sentence()),
        }
    }
}

/// Checks that every visible value is durable.
fn read_in_turn(store: &Store, disk: &SlowDisk) {
    for turn in 0..WRITERS * PUTS {
        if let Some(seen) = value(store, &format!("key{}", turn % WRITERS)) {
            assert!(disk.has(&seen), "{seen} was visible before it was durable");
        }
    }
}

/// Runs writers that share syncs, a reader, and a thread that seals.
fn share_syncs(dir: &Path, syncs_left: Option<u64>) {
    let disk = SlowDisk::new(dir, None);
    let store = Store::open_with(dir, disk.options()).expect("opens");
    store.put("first", "so that there is a segment").expect("a put");
    disk.state().syncs_left = syncs_left;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, disk) = (&store, &disk);
            scope.spawn(move || put_in_turn(store, disk, writer));
        }
        scope.spawn(|| read_in_turn(&store, &disk));
        // If a sync fails, it must be that of the only segment, so that nothing seals.
        scope.spawn(|| match syncs_left {
            Some(_) => drop(store.sync()),
            None => drop(store.rotate().expect("rotates")),
        });
    });
    if disk.state().failed.is_none() {
        let last = |writer| format!("value {} of {writer}", PUTS - 1);
        let is_last = |writer| value(&store, &format!("key{writer}")) == Some(last(writer));
        assert!((0..WRITERS).all(is_last));
    }
}

#[test]
fn a_waiting_writer_wakes_when_its_shared_sync_is_durable_and_no_reader_sees_the_write_before() {
    explore(|dir| share_syncs(dir, None));
}

#[test]
fn a_writer_whose_sync_fails_gets_the_error_and_no_other_sync_is_tried() {
    explore(|dir| share_syncs(dir, Some(thread_rng().gen_range(0..4))));
}

/// Runs random workers beside a thread that seals and compacts, and checks that one order explains
/// all calls.
fn live_together(dir: &Path, sync: Sync) {
    const WORKERS: usize = 3;
    const CALLS: u64 = 6;
    let options = quick().sync(sync).segment_len_max(512).background(true).checkpoint_records(4);
    let store = Store::open_with(dir, options).expect("opens");
    let clock = Clock::default();
    let calls = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                store.rotate().expect("rotates");
                store.compact(&Compact::All).expect("compacts");
            }
        });
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| Worker::new(&store, &clock, Random::seeded(thread_rng().next_u64())))
            .map(|worker| scope.spawn(|| worker.work(CALLS)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let left = check(calls, [None; KEYS]).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(state_of(store.scan(..).expect("scans")), left);
    // Joins the background threads. A lost wakeup would block here.
    store.close().expect("closes");
}

#[test]
fn one_order_explains_all_calls_if_writes_are_visible_when_durable() {
    explore(|dir| live_together(dir, Sync::Always));
}

#[test]
fn one_order_explains_all_calls_if_writes_are_visible_at_once() {
    explore(|dir| live_together(dir, Sync::Every(Duration::from_millis(1))));
}

#[test]
fn one_order_explains_all_calls_if_writes_are_buffered() {
    explore(|dir| live_together(dir, Sync::Buffered(300)));
}

/// Runs a reader that started before its segment was compacted and its pages were reused. The
/// reader must find every key.
fn find_what_moves(dir: &Path) {
    let store = Store::open_with(dir, quick().segment_len_max(512)).expect("opens");
    for round in 0..2 {
        store.put("steady", "1").expect("a put");
        store.put("moving", round.to_string()).expect("a put");
        store.rotate().expect("rotates");
    }
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert_eq!(value(&store, "steady").as_deref(), Some("1"));
                    assert!(value(&store, "moving").is_some());
                    assert_eq!(value(&store, "never there"), None);
                }
            });
        }
        scope.spawn(|| {
            for round in 2..5 {
                store.put("moving", round.to_string()).expect("a put");
                store.rotate().expect("rotates");
                store.compact(&Compact::All).expect("compacts");
            }
        });
    });
    assert_eq!(value(&store, "moving").as_deref(), Some("4"));
}

#[test]
fn a_reader_finds_records_that_a_compaction_moves_when_their_pages_are_reused() {
    explore(find_what_moves);
}

/// Two keys that always change together, and snapshots during the first write to their shards.
fn freeze_beside_a_write(dir: &Path) {
    let store = Store::open_with(dir, quick()).expect("opens");
    let write = |round: u32| {
        let mut batch = Batch::new();
        batch.put("left", round.to_string()).put("right", round.to_string());
        store.write(&batch).expect("a batch");
    };
    write(0);
    thread::scope(|scope| {
        scope.spawn(|| (1..4).for_each(write));
        scope.spawn(|| {
            for _ in 0..2 {
                let snapshot = store.snapshot().expect("a snapshot");
                let read = |key| snapshot.get(key).expect("reads").expect("exists").to_vec();
                let first = (read("left"), read("right"));
                assert_eq!(first.0, first.1);
                thread::yield_now();
                assert_eq!((read("left"), read("right")), first, "the snapshot changed");
            }
        });
    });
}

#[test]
fn a_snapshot_is_consistent_during_the_first_write_to_its_shards() {
    explore(freeze_beside_a_write);
}

/// Signals the background thread while it works.
fn ring_while_at_work(dir: &Path) {
    let store = Store::open_with(dir, quick().background(true).segment_len_max(256)).expect("opens");
    for round in 0..3 {
        store.put("key", "v".repeat(100 + round)).expect("a put");
        store.rotate().expect("rotates");
    }
    let has_hint = |id: &SegmentId| hint_path(dir, id.0).exists();
    // Never ends if the thread misses a wakeup, which the scheduler reports.
    while !sealed(&store).iter().all(has_hint) {
        thread::yield_now();
    }
    store.close().expect("closes");
}

#[test]
fn the_background_thread_misses_no_wakeup_and_no_stop() {
    explore(ring_while_at_work);
}

/// Writes two keys that always change together, and a third one alone.
fn write_beside_transactions(store: &Store, rounds: u64) {
    for round in 1..=rounds {
        let mut batch = Batch::new();
        batch.put("left", round.to_string()).put("right", round.to_string());
        store.write(&batch).expect("a batch");
        store.put("alone", round.to_string()).expect("a put");
    }
}

/// Reads, yields, reads again, and increments a counter. The two reads must be equal, and writes
/// past the transaction must be refused.
fn count_in_transactions(store: &Store, rounds: u64) {
    for _ in 0..rounds {
        let counted = store.transact(|transaction| {
            let read = || ["left", "right", "alone", "counter"].map(|key| transaction.get(key));
            let first = read().map(|value| value.expect("reads"));
            assert_eq!(first[0], first[1], "half a batch");
            thread::yield_now();
            let refused = store.put("alone", "past the transaction");
            assert!(matches!(refused, Err(Error::WithinTransaction)), "{refused:?}");
            assert_eq!(
                read().map(|value| value.expect("reads")),
                first,
                "another thread wrote during the transaction"
            );
            transaction.incr("counter", 1)
        });
        counted.expect("a transaction");
    }
}

/// Transactions, beside puts, batches and other transactions.
fn write_and_transact(dir: &Path, sync: Sync) {
    const ROUNDS: u64 = 2;
    let store = Store::open_with(dir, quick().sync(sync)).expect("opens");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| count_in_transactions(&store, ROUNDS));
        }
        scope.spawn(|| write_beside_transactions(&store, ROUNDS));
        scope.spawn(|| (0..ROUNDS).for_each(|_| assert!(store.incr("counter", 1).expect("a number") > 0)));
    });
    let last = |key| value(&store, key).expect("exists");
    assert_eq!(["left", "right", "alone"].map(last), ["2", "2", "2"], "a write is missing");
    assert_eq!(last("counter"), (3 * ROUNDS).to_string(), "a count was lost");
    store.close().expect("closes");
}

#[test]
fn a_transaction_excludes_all_other_writes_and_they_proceed_after_it() {
    explore(|dir| write_and_transact(dir, Sync::Always));
}

#[test]
fn a_transaction_excludes_all_other_writes_also_without_syncs() {
    explore(|dir| write_and_transact(dir, Sync::Never));
}
