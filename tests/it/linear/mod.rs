//! Threads make random calls to one store, and one order of all calls explains every answer: the
//! order of the sequence numbers. A clear counts as a write of all keys.
//!
//! `LOGKV_CALLS` is the number of calls of each thread. `LOGKV_SEED` repeats the calls, but not
//! their timing.

pub(crate) mod history;
pub(crate) mod worker;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use logkv::{Compact, CompactionPolicy, Options, Store, Sync};

use self::history::{Call, KEYS, check};
use self::worker::{Clock, Worker, state_of};
use crate::common::{Random, assert_counted, quick, scratch};

const THREADS: usize = 4;

fn calls() -> u64 {
    std::env::var("LOGKV_CALLS").map_or(3000, |text| text.parse().expect("LOGKV_CALLS is a number"))
}

/// Seals and compacts until `done`. With `clears`, also clears the store after that many
/// compactions. Returns the number of compaction runs, and the calls of the clearing worker.
fn compact_until(
    store: &Store,
    mut clears: Option<(u64, Worker<'_>)>,
    done: &AtomicBool,
) -> (u64, Vec<Call>) {
    let (mut runs, mut times) = (0, 0);
    while !done.load(Relaxed) {
        store.rotate().expect("rotates");
        let report = store.compact(&Compact::All);
        runs += report.expect("compacts").runs.len() as u64;
        times += 1;
        if let Some((every, worker)) = &mut clears
            && times % *every == 0
        {
            worker.clear();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    (runs, clears.map_or_else(Vec::new, |(_, worker)| worker.calls()))
}

/// With `clears_every`, clears the store after that many compactions. No other thread may compact
/// then.
fn run(options: &Options, clears_every: Option<u64>) {
    let mut random = Random::announced();
    let dir = scratch();
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    let (clock, done) = (Clock::default(), AtomicBool::new(false));
    let calls = std::thread::scope(|scope| {
        let clears = clears_every.map(|every| (every, Worker::new(&store, &clock, random.fork())));
        let upkeep = scope.spawn(|| compact_until(&store, clears, &done));
        let workers: Vec<_> = (0..THREADS)
            .map(|_| Worker::new(&store, &clock, random.fork()))
            .map(|worker| scope.spawn(|| worker.work(calls())))
            .collect();
        let calls = workers.into_iter().flat_map(|worker| worker.join().expect("no panic"));
        let mut calls: Vec<_> = calls.collect();
        done.store(true, Relaxed);
        let (runs, cleared) = upkeep.join().expect("no panic");
        assert!(runs > 0, "nothing was compacted");
        assert_eq!(
            clears_every.is_some(),
            cleared.iter().any(Call::has_written),
            "the store was not cleared"
        );
        calls.extend(cleared);
        calls
    });
    let left = check(calls, [None; KEYS]).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(state_of(store.scan(..).expect("scans")), left);
    assert_counted(&store, "at the end");
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    assert_eq!(state_of(store.scan(..).expect("scans")), left);
}

/// Segments so small that a few writes seal one.
fn busy(sync: Sync) -> Options {
    quick().sync(sync).background(true).segment_len_max(4096).checkpoint_records(50)
}

#[test]
fn one_order_explains_all_calls_under_always() {
    run(&busy(Sync::Always), None);
}

#[test]
fn one_order_explains_all_calls_under_never() {
    run(&busy(Sync::Never), None);
}

#[test]
fn one_order_explains_all_calls_under_an_interval() {
    run(&busy(Sync::Every(Duration::from_millis(1))), None);
}

#[test]
fn one_order_explains_all_calls_while_writes_are_buffered() {
    run(&busy(Sync::Buffered(1000)), None);
}

#[test]
fn one_order_explains_all_calls_while_the_store_is_cleared() {
    let policy = CompactionPolicy { automatic: false, ..CompactionPolicy::default() };
    for sync in [Sync::Always, Sync::Buffered(1000)] {
        run(&busy(sync).compaction(policy.clone()), Some(3));
    }
}
