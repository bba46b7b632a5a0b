//! `cargo bench`: what the engine's operations cost, on this machine, in one run.
//!
//! Each row says how many operations a second and how many nanoseconds one takes; where two rows do the same thing in two
//! ways, the ratio is printed, which holds when the absolute figures do not. `cargo bench -- --keys 10000000` takes
//! another number of keys for the index's memory (default 1 M and 10 M), `--quick` a tenth of everything.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use logkv::{Batch, Options, ReadWith, Store, Sync};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const VALUE_LEN: usize = 100;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = if arguments.iter().any(|argument| argument == "--quick") { 10 } else { 1 };
    let keys =
        arguments.iter().position(|argument| argument == "--keys").and_then(|at| arguments.get(at + 1));
    let key_counts: Vec<u64> = match keys {
        Some(keys) => vec![keys.parse()?],
        None => vec![1_000_000 / scale, 10_000_000 / scale],
    };
    let count = 1_000_000 / scale;
    println!("values of {VALUE_LEN} bytes, keys of 12; {count} keys unless said otherwise\n");
    let dir = tempfile::tempdir()?;
    writes(dir.path(), count)?;
    reads(dir.path(), count)?;
    opens(dir.path(), count)?;
    memory(&key_counts)
}

/// Prints one row, and gives back the time of one operation.
fn row(what: &str, count: u64, took: Duration) -> f64 {
    let ns = took.as_nanos() as f64 / count as f64;
    println!("{what:<44} {:>12.0} /s {ns:>12.0} ns", 1e9 / ns);
    ns
}

fn key(n: u64) -> [u8; 12] {
    let mut key = *b"key000000000";
    for (place, digit) in key.iter_mut().skip(3).rev().zip(0..9) {
        *place = b'0' + (n / 10_u64.pow(digit) % 10) as u8;
    }
    key
}

/// The numbers below `count` in an order without locality; `count` and the step have no common divisor.
fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| (n * 7_368_787) % count)
}

fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

fn writes(dir: &Path, count: u64) -> Outcome {
    let value = [b'v'; VALUE_LEN];
    let open = |name: &str, sync| Store::open_with(dir.join(name), Options::new().sync(sync));

    let store = open("always", Sync::Always)?;
    let few = count / 1000;
    let ((), took) = timed(|| Ok((0..few).try_for_each(|n| store.put(key(n), value).map(|_| ()))?))?;
    let alone = row("put, sync always", few, took);
    let ((), took) = timed(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || {
                        (0..few).try_for_each(|n| store.put(key(thread * few + n), value).map(|_| ()))
                    })
                })
                .collect();
            Ok(threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))?)
        })
    })?;
    let together = row("put, sync always, 8 threads", 8 * few, took);
    println!("{:<44} {:>12.2} x", "  group commit against one thread", alone / together);

    let store = open("main", Sync::Never)?;
    let ((), took) = timed(|| Ok((0..count).try_for_each(|n| store.put(key(n), value).map(|_| ()))?))?;
    let put = row("put, sync never", count, took);
    let ((), took) = timed(|| Ok(shuffled(count).try_for_each(|n| store.put(key(n), value).map(|_| ()))?))?;
    row("put over an existing key, sync never", count, took);
    let ((), took) = timed(|| Ok(store.sync()?))?;
    row("sync of what was left", 1, took);
    store.close()?;

    let store = open("buffered", Sync::Buffered(1 << 20))?;
    let ((), took) = timed(|| Ok((0..count).try_for_each(|n| store.put(key(n), value).map(|_| ()))?))?;
    let buffered = row("put, sync buffered (1 MiB)", count, took);
    println!("{:<44} {:>12.2} x", "  buffered against never", put / buffered);

    let store = open("batches", Sync::Never)?;
    let mut batch = Batch::new();
    let ((), took) = timed(|| {
        for n in 0..count {
            batch.put(key(n), value);
            if batch.len() == 1000 {
                store.write(&batch)?;
                batch.clear();
            }
        }
        store.write(&batch)?;
        Ok(())
    })?;
    let batched = row("put in batches of 1,000, sync never", count, took);
    println!("{:<44} {:>12.2} x", "  batches against single puts", put / batched);
    Ok(())
}

fn reads(dir: &Path, count: u64) -> Outcome {
    let open =
        |read_with| Store::open_with(dir.join("main"), Options::new().read_only(true).read_with(read_with));
    let get_all = |store: &Store| {
        timed(|| {
            for n in shuffled(count) {
                let value = store.get(key(n))?.ok_or("a key is missing")?;
                black_box(value[VALUE_LEN / 2]);
            }
            Ok(())
        })
    };
    let mapped = open(ReadWith::Mmap)?;
    get_all(&mapped)?;
    let ((), took) = get_all(&mapped)?;
    let get = row("get, random order", count, took);
    let ((), took) = timed(|| {
        for n in shuffled(count) {
            black_box(mapped.get(key(n + count))?);
        }
        Ok(())
    })?;
    row("get of a missing key", count, took);
    let ((), took) = timed(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..2).map(|_| scope.spawn(|| get_all(&mapped).map(|_| ()).is_ok())).collect();
            if threads.into_iter().all(|thread| thread.join().unwrap_or(false)) {
                Ok(())
            } else {
                Err("a get failed".into())
            }
        })
    })?;
    let two = row("get, random order, 2 threads", 2 * count, took);
    println!("{:<44} {:>12.2} x", "  two threads against one", get / two);
    let (found, took) = timed(|| Ok(mapped.scan(..)?.filter(Result::is_ok).count() as u64))?;
    row("scan of everything, in key order", found, took);
    let unmapped = open(ReadWith::Pread)?;
    get_all(&unmapped)?;
    let ((), took) = get_all(&unmapped)?;
    let pread = row("get, random order, read with pread", count, took);
    println!("{:<44} {:>12.2} x", "  mapped against pread", pread / get);
    Ok(())
}

fn opens(dir: &Path, count: u64) -> Outcome {
    let few = dir.join("few");
    Store::open(&few)?.put("k", "v")?;
    for (what, path) in
        [("open of 1 key", few), ("open of the store (records twice the keys)", dir.join("main"))]
    {
        let (store, took) = timed(|| Ok(Store::open(&path)?))?;
        row(what, 1, took);
        if store.len() > 1 {
            row("  a record of it", 2 * count, took);
        }
    }
    Ok(())
}

/// The index alone: records as short as can be, so that ten million keys fit in memory with their log.
fn memory(key_counts: &[u64]) -> Outcome {
    println!();
    for &count in key_counts {
        for long in [false, true] {
            // A quarter of the keys when they are long: the index must not care.
            let count = if long { count / 4 } else { count };
            let dir = tempfile::tempdir()?;
            let store = Store::open_with(dir.path(), Options::new().sync(Sync::Buffered(4 << 20)))?;
            let padding = if long {
                "a long tail of a key that the index does not hold, ".repeat(4)
            } else {
                String::new()
            };
            for n in 0..count {
                let mut key = key(n).to_vec();
                key.extend_from_slice(padding.as_bytes());
                store.put(key, "")?;
            }
            let stats = store.stats()?;
            println!(
                "{:<44} {:>12.2} B a key ({} keys of {} bytes)",
                "memory of the keydir",
                stats.keydir_len as f64 / stats.key_count as f64,
                stats.key_count,
                12 + padding.len(),
            );
        }
    }
    Ok(())
}
