//! The speed of compaction, and its effect on concurrent operations.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use logkv::{Compact, CompactionPolicy, CompactionReport, Store};

use crate::harness::{Latencies, Outcome, Size, VALUE, await_hints, figure, key, plain, random, shuffled};

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let count = size.count;
    let segment_len = if size.is_quick { 8 << 20 } else { 64 << 20 };
    let options = plain().segment_len_max(segment_len);
    let store = Store::open_with(dir, options.clone())?;
    shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?;
    let get = |n| {
        black_box(store.get(key(n))?.ok_or("a key is missing")?[0]);
        Ok(())
    };
    let put = |n| {
        store.put(key(n), VALUE)?;
        Ok(())
    };

    make_half_dead(&store, count)?;
    Latencies::of(random(count).take(count as usize), get)?.print("get");
    let report = beside_compaction(&store, "get while a compaction runs", count, get)?;
    print_speed("compaction of a half-dead store, bytes read, get beside", &report);
    make_half_dead(&store, count)?;
    print_speed("compaction of a half-dead store, bytes read, alone", &store.compact(&Compact::All)?);

    Latencies::of(random(count).take(count as usize), put)?.print("put");
    make_half_dead(&store, count)?;
    let report = beside_compaction(&store, "put while a compaction runs", count, put)?;
    print_speed("compaction of a half-dead store, bytes read, put beside", &report);

    make_half_dead(&store, count)?;
    store.close()?;
    rate(dir, options, if size.is_quick { 8 << 20 } else { 64 << 20 })
}

/// Overwrites random keys until half of the log is dead.
fn make_half_dead(store: &Store, count: u64) -> Outcome {
    store.compact(&Compact::All)?;
    random(count).take(count as usize).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?;
    store.rotate()?;
    await_hints(store)
}

/// Repeats `work` while the whole store is compacted.
fn beside_compaction(
    store: &Store,
    what: &str,
    count: u64,
    work: impl FnMut(u64) -> Outcome,
) -> Outcome<CompactionReport> {
    let is_done = AtomicBool::new(false);
    let (latencies, report) = std::thread::scope(|scope| {
        let compaction = scope.spawn(|| {
            let report = store.compact(&Compact::All);
            is_done.store(true, Ordering::Relaxed);
            report
        });
        let keys = random(count).take_while(|_| !is_done.load(Ordering::Relaxed));
        (Latencies::of(keys, work), compaction.join().expect("no panic"))
    });
    latencies?.print(what);
    Ok(report?)
}

fn print_speed(what: &str, report: &CompactionReport) {
    let read_len: u64 = report.runs.iter().map(|run| run.before_len).sum();
    figure(what, read_len as f64 / 1e6 / report.took.as_secs_f64(), "MB/s");
}

/// Measures compaction in the background with a limit of `rate` bytes per second.
fn rate(dir: &Path, options: logkv::Options, rate: u64) -> Outcome {
    let policy = CompactionPolicy { rate: Some(rate), dead_percent: 10, ..CompactionPolicy::default() };
    let store = Store::open_with(dir, options.compaction(policy))?;
    let plan = store.compaction_plan(&Compact::Due)?;
    let due_len: u64 = plan.runs.iter().map(|run| run.read_len).sum();
    let started = Instant::now();
    // Sealing a segment wakes up the background thread.
    store.put("a key by itself", VALUE)?;
    store.rotate()?;
    while !store.compaction_plan(&Compact::Due)?.runs.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let speed = due_len as f64 / started.elapsed().as_secs_f64();
    figure("compaction in the background with a rate limit: the limit", rate as f64 / 1e6, "MB/s");
    figure("  bytes read", speed / 1e6, "MB/s");
    Ok(())
}
