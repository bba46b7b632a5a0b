//! The engine under a scheduler that tries many orders of its threads, each of them one that could happen: built with
//! `--cfg shuttle`, its locks and atomics are shuttle's, which decides at each of them who goes on.
//!
//! A thread that waits for ever, because nobody wakes it or two wait for each other, is found as well: nobody can go on
//! then. `LOGKV_SCHEDULES` is how many orders are tried of each model; one that fails is printed, for
//! `shuttle::replay`.

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
use crate::linear::worker::{Clock, Worker, look};

fn schedules() -> usize {
    std::env::var("LOGKV_SCHEDULES").map_or(60, |text| text.parse().expect("LOGKV_SCHEDULES is a number"))
}

/// Tries many orders of the threads of `model`, half of them at random, half with few switches at the moments that matter
/// (Burckhardt and others 2010: a bug that takes so many is met with a known probability).
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

/// A disk that makes durable what a segment held when a sync began, and not before that ends. Threads meet at its calls.
#[derive(Debug)]
struct SlowDisk {
    dir: PathBuf,
    /// Taken at every call.
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What segments held when the sync began that is under way.
    syncing: HashMap<StoreFile, Vec<u8>>,
    durable: HashMap<StoreFile, Vec<u8>>,
    /// How many syncs work before one fails; `None`: all do, also those after it.
    syncs_left: Option<u64>,
    /// The file whose sync failed.
    failed: Option<StoreFile>,
}

impl SlowDisk {
    fn new(dir: &Path, syncs_left: Option<u64>) -> Arc<Self> {
        let told = Mutex::new(Told { syncs_left, ..Told::default() });
        Arc::new(Self { dir: dir.to_owned(), told })
    }

    fn options(self: &Arc<Self>) -> Options {
        quick().sync(Sync::Always).file_system(Arc::new(Hooked(Arc::clone(self))))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("no panic")
    }

    /// Whether `value`, which stands nowhere else, would survive a power cut now.
    fn has(&self, value: &str) -> bool {
        let is_in = |bytes: &Vec<u8>| bytes.windows(value.len()).any(|window| window == value.as_bytes());
        self.told().durable.values().any(is_in)
    }
}

impl Hook for SlowDisk {
    fn before(&self, call: Call) -> io::Result<()> {
        let mut told = self.told();
        if let Call::Create(name) = call {
            // Another file, though of the same name.
            told.failed.take_if(|failed| *failed == name);
        }
        let Call::Sync(name @ StoreFile::Segment(id)) = call else { return Ok(()) };
        assert_ne!(told.failed, Some(name), "a second sync could work without having written anything");
        let held = fs::read(segment_path(&self.dir, id.0))?;
        assert!(told.syncing.insert(name, held).is_none(), "two syncs of one file at a time");
        Ok(())
    }

    fn after(&self, call: Call) -> io::Result<()> {
        let mut told = self.told();
        let Call::Sync(name) = call else { return Ok(()) };
        let Some(held) = told.syncing.remove(&name) else { return Ok(()) };
        if told.syncs_left == Some(0) {
            (told.syncs_left, told.failed) = (None, Some(name));
            return Err(io::Error::other("the disk is gone"));
        }
        told.syncs_left = told.syncs_left.map(|left| left - 1);
        told.durable.insert(name, held);
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

const WRITERS: u64 = 3;
const PUTS: u64 = 3;

/// Every writer puts its key a few times.
fn put_in_turn(store: &Store, disk: &SlowDisk, writer: u64) {
    for turn in 0..PUTS {
        let value = format!("value {turn} of {writer}");
        match store.put(format!("key{writer}"), &value) {
            Ok(_) => assert!(disk.has(&value), "{value} was acknowledged, and a power cut would take it"),
            Err(Error::OutcomeUnknown { .. } | Error::Poisoned { .. }) if disk.told().failed.is_some() => {
                return;
            }
            Err(error) => panic!("{}", error.sentence()),
        }
    }
}

/// Every value that a reader meets is durable.
fn read_in_turn(store: &Store, disk: &SlowDisk) {
    for turn in 0..WRITERS * PUTS {
        if let Some(seen) = value(store, &format!("key{}", turn % WRITERS)) {
            assert!(disk.has(&seen), "{seen} was seen, and a power cut would take it");
        }
    }
}

/// Writers that share syncs, a reader, and somebody who seals.
fn share_syncs(dir: &Path, syncs_left: Option<u64>) {
    let disk = SlowDisk::new(dir, None);
    let store = Store::open_with(dir, disk.options()).expect("opens");
    store.put("first", "so that there is a segment").expect("a put");
    disk.told().syncs_left = syncs_left;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, disk) = (&store, &disk);
            scope.spawn(move || put_in_turn(store, disk, writer));
        }
        scope.spawn(|| read_in_turn(&store, &disk));
        // Where a sync fails, it is that of the one segment: none is made meanwhile.
        scope.spawn(|| match syncs_left {
            Some(_) => drop(store.sync()),
            None => drop(store.rotate().expect("rotates")),
        });
    });
    if disk.told().failed.is_none() {
        let last = |writer| format!("value {} of {writer}", PUTS - 1);
        let is_last = |writer| value(&store, &format!("key{writer}")) == Some(last(writer));
        assert!((0..WRITERS).all(is_last));
    }
}

#[test]
fn whoever_waits_for_a_shared_sync_is_woken_when_the_write_is_durable_and_nobody_sees_it_before() {
    explore(|dir| share_syncs(dir, None));
}

#[test]
fn whoever_waits_for_a_sync_that_fails_is_told_and_no_other_is_tried() {
    explore(|dir| share_syncs(dir, Some(thread_rng().gen_range(0..4))));
}

/// Threads do what they like beside one that seals and compacts, and one order explains what each saw.
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
    assert_eq!(look(store.scan(..).expect("scans")), left);
    // Ends the threads in the background: one that missed being told would be waited for in vain.
    store.close().expect("closes");
}

#[test]
fn one_order_explains_what_threads_see_whose_writes_are_seen_when_durable() {
    explore(|dir| live_together(dir, Sync::Always));
}

#[test]
fn one_order_explains_what_threads_see_whose_writes_are_seen_at_once() {
    explore(|dir| live_together(dir, Sync::Every(Duration::from_millis(1))));
}

#[test]
fn one_order_explains_what_threads_see_whose_writes_are_held_back() {
    explore(|dir| live_together(dir, Sync::Buffered(300)));
}

/// A reader that began before its segment was compacted away, and its place given to another one, finds every key.
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
fn a_reader_finds_what_a_compaction_moves_and_whose_place_is_given_away() {
    explore(find_what_moves);
}

/// Two keys that always change together, and snapshots of them beside the first write to their shards.
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
                let read = |key| snapshot.get(key).expect("reads").expect("is there").to_vec();
                let first = (read("left"), read("right"));
                assert_eq!(first.0, first.1);
                thread::yield_now();
                assert_eq!((read("left"), read("right")), first, "it does not change");
            }
        });
    });
}

#[test]
fn a_snapshot_is_one_moment_whoever_writes_to_its_shards_first() {
    explore(freeze_beside_a_write);
}

/// What is to be done in the background is done, whenever it is said.
fn ring_while_at_work(dir: &Path) {
    let store = Store::open_with(dir, quick().background(true).segment_len_max(256)).expect("opens");
    for round in 0..3 {
        store.put("key", "v".repeat(100 + round)).expect("a put");
        store.rotate().expect("rotates");
    }
    let has_hint = |id: &SegmentId| hint_path(dir, id.0).exists();
    // Without end if the thread sleeps and nobody wakes it: the scheduler gives up on that.
    while !sealed(&store).iter().all(has_hint) {
        thread::yield_now();
    }
    store.close().expect("closes");
}

#[test]
fn the_thread_in_the_background_misses_no_call_to_work_and_none_to_stop() {
    explore(ring_while_at_work);
}

/// Puts two keys that always change together, and one by itself.
fn write_beside_transactions(store: &Store, rounds: u64) {
    for round in 1..=rounds {
        let mut batch = Batch::new();
        batch.put("left", round.to_string()).put("right", round.to_string());
        store.write(&batch).expect("a batch");
        store.put("alone", round.to_string()).expect("a put");
    }
}

/// Reads, lets others go on, reads again, and counts: what it read is as it was, and its own writes past it are refused.
fn count_in_transactions(store: &Store, rounds: u64) {
    for _ in 0..rounds {
        let counted = store.transact(|transaction| {
            let read = || ["left", "right", "alone", "counter"].map(|key| transaction.get(key));
            let first = read().map(|value| value.expect("reads"));
            assert_eq!(first[0], first[1], "half a batch");
            thread::yield_now();
            let refused = store.put("alone", "past the transaction");
            assert!(matches!(refused, Err(Error::WithinTransaction)), "{refused:?}");
            assert_eq!(read().map(|value| value.expect("reads")), first, "somebody wrote meanwhile");
            transaction.incr("counter", 1)
        });
        counted.expect("a transaction");
    }
}

/// Transactions close the gate that puts, batches and other transactions go through, and open it again.
fn close_the_gate(dir: &Path, sync: Sync) {
    const ROUNDS: u64 = 2;
    let store = Store::open_with(dir, quick().sync(sync)).expect("opens");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| count_in_transactions(&store, ROUNDS));
        }
        scope.spawn(|| write_beside_transactions(&store, ROUNDS));
        scope.spawn(|| (0..ROUNDS).for_each(|_| assert!(store.incr("counter", 1).expect("a number") > 0)));
    });
    let last = |key| value(&store, key).expect("is there");
    assert_eq!(["left", "right", "alone"].map(last), ["2", "2", "2"], "every write goes through");
    assert_eq!(last("counter"), (3 * ROUNDS).to_string(), "no count is lost");
    store.close().expect("closes");
}

#[test]
fn whoever_is_in_a_transaction_is_alone_with_what_it_reads_and_all_others_go_on_after_it() {
    explore(|dir| close_the_gate(dir, Sync::Always));
}

#[test]
fn whoever_is_in_a_transaction_is_alone_also_where_nobody_waits_for_the_disk() {
    explore(|dir| close_the_gate(dir, Sync::Never));
}
