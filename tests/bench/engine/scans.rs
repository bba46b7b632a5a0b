//! Scans: of all keys and of prefixes, in both directions, and of the first key of a range.

use std::hint::black_box;
use std::ops::Bound;
use std::path::Path;

use logkv::{Options, Store};

use crate::harness::{
    Latencies, Outcome, Size, VALUE, await_hints, key, plain, random, ratio, row, shuffled, timed,
};

/// The count of runs of each scan. The fastest is reported.
const RUNS: usize = 2;

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let count = size.count;
    let segment_len = if size.is_quick { 8 << 20 } else { 64 << 20 };
    let store = Store::open_with(dir, plain().segment_len_max(segment_len))?;
    shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?;
    await_hints(&store)?;
    let (found, took) = timed(|| Ok(store.keys(..)?.count() as u64))?;
    row("keys, the first time: the active segment is sorted", found, took);
    println!("each key written once, in {} segments", store.segments()?.len());
    let once = measured(&store, count)?;
    shuffled(count).try_for_each(|n| store.put(key((n + count / 3) % count), VALUE).map(|_| ()))?;
    await_hints(&store)?;
    black_box(store.keys(..)?.count());
    println!("each key written twice, without compaction, in {} segments", store.segments()?.len());
    let twice = measured(&store, count)?;
    println!("half of the records dead against none");
    for ((what, once), (_, twice)) in once.iter().zip(&twice) {
        ratio(what, once / twice);
    }
    store.close()?;
    let store = Store::open_with(dir, Options::new().read_only(true))?;
    let (found, took) = timed(|| Ok(store.keys(..)?.count() as u64))?;
    row("keys, the first time after opening", found, took);
    Ok(())
}

/// Measures every kind of scan. Returns the names and the times per entry.
fn measured(store: &Store, count: u64) -> Outcome<Vec<(&'static str, f64)>> {
    let mut figures = Vec::new();
    let mut measure = |what, work: &dyn Fn() -> Outcome<u64>| -> Outcome {
        let mut best = timed(work)?;
        for _ in 1..RUNS {
            let again = timed(work)?;
            if again.1 < best.1 {
                best = again;
            }
        }
        figures.push((what, row(what, best.0, best.1)));
        Ok(())
    };
    measure("keys, forward", &|| count_ok(store.keys(..)?))?;
    measure("keys, backward", &|| count_ok(store.keys(..)?.rev()))?;
    measure("entries, forward", &|| count_ok(store.scan(..)?.map(touched)))?;
    measure("entries, backward", &|| count_ok(store.scan(..)?.rev().map(touched)))?;
    let prefixes: Vec<_> = (0..100).map(|part| prefix(count, part)).collect();
    measure("entries of 100 prefixes, forward", &|| {
        prefixes
            .iter()
            .try_fold(0, |sum, prefix| Ok(sum + count_ok(store.scan_prefix(prefix)?.map(touched))?))
    })?;
    measure("entries of 100 prefixes, backward", &|| {
        prefixes
            .iter()
            .try_fold(0, |sum, prefix| Ok(sum + count_ok(store.scan_prefix(prefix)?.rev().map(touched))?))
    })?;
    let first = |from: u64| {
        let from = key(from);
        let first = store.scan((Bound::Included(&from[..]), Bound::Unbounded))?.next();
        black_box(first.ok_or("the range is empty")??);
        Ok(())
    };
    Latencies::of(random(count).take(2000), first)?.print("first entry of a range with a random start");
    Ok(figures)
}

fn touched(entry: logkv::Result<logkv::Entry>) -> logkv::Result<u8> {
    entry.map(|entry| black_box(entry.value[0]))
}

fn count_ok<T>(entries: impl Iterator<Item = logkv::Result<T>>) -> Outcome<u64> {
    let mut count = 0;
    for entry in entries {
        black_box(entry?);
        count += 1;
    }
    Ok(count)
}

/// Returns the common prefix of the keys in hundredth number `part` of `count`, a power of ten.
fn prefix(count: u64, part: u64) -> Vec<u8> {
    let first = key(part * count / 100);
    let last = key((part + 1) * count / 100 - 1);
    first.iter().zip(last).take_while(|(first, last)| **first == *last).map(|(first, _)| *first).collect()
}
