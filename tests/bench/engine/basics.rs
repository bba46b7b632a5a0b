//! Puts and gets, from one thread and from several.

use std::hint::black_box;
use std::path::Path;

use logkv::{Batch, Options, ReadWith, Store, Sync};

use crate::harness::{Outcome, Size, VALUE, VALUE_LEN, key, ratio, row, shuffled, timed};

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    writes(dir, size.count)?;
    reads(dir, size.count)
}

fn writes(dir: &Path, count: u64) -> Outcome {
    let open = |name: &str, sync| Store::open_with(dir.join(name), Options::new().sync(sync));

    let store = open("always", Sync::Always)?;
    let few = count / 1000;
    let ((), took) = timed(|| Ok((0..few).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    let alone = row("put, sync always", few, took);
    let ((), took) = timed(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || {
                        (0..few).try_for_each(|n| store.put(key(thread * few + n), VALUE).map(|_| ()))
                    })
                })
                .collect();
            Ok(threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))?)
        })
    })?;
    let together = row("put, sync always, 8 threads", 8 * few, took);
    ratio("group commit against one thread", alone / together);

    let store = open("main", Sync::Never)?;
    let ((), took) = timed(|| Ok((0..count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    let put = row("put, sync never", count, took);
    let ((), took) = timed(|| Ok(shuffled(count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    row("put over an existing key, sync never", count, took);
    let ((), took) = timed(|| {
        Ok((0..count).try_for_each(|n| {
            store.transact(|transaction| {
                transaction.put(key(n), VALUE);
                Ok::<_, logkv::Error>(())
            })
        })?)
    })?;
    let transacted = row("transaction of one put, sync never", count, took);
    ratio("transaction against put", transacted / put);
    let ((), took) = timed(|| Ok(store.sync()?))?;
    row("sync of the remaining writes", 1, took);
    store.close()?;

    let store = open("buffered", Sync::Buffered(1 << 20))?;
    let ((), took) = timed(|| Ok((0..count).try_for_each(|n| store.put(key(n), VALUE).map(|_| ()))?))?;
    let buffered = row("put, sync buffered (1 MiB)", count, took);
    ratio("buffered against never", put / buffered);

    let store = open("batches", Sync::Never)?;
    let mut batch = Batch::new();
    let ((), took) = timed(|| {
        for n in 0..count {
            batch.put(key(n), VALUE);
            if batch.len() == 1000 {
                store.write(&batch)?;
                batch.clear();
            }
        }
        store.write(&batch)?;
        Ok(())
    })?;
    let batched = row("put in batches of 1,000, sync never", count, took);
    ratio("batches against single puts", put / batched);
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
    many_at_once(&mapped, count)?;
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
    ratio("two threads against one", get / two);
    let unmapped = open(ReadWith::Pread)?;
    get_all(&unmapped)?;
    let ((), took) = get_all(&unmapped)?;
    let pread = row("get, random order, read with pread", count, took);
    ratio("mapped against pread", pread / get);
    Ok(())
}

/// Compares gets of many keys at once with single gets. The keys are made beforehand.
fn many_at_once(store: &Store, count: u64) -> Outcome {
    let keys: Vec<_> = shuffled(count).map(key).collect();
    let ((), took) = timed(|| {
        for key in &keys {
            black_box(store.get(key)?.ok_or("a key is missing")?[VALUE_LEN / 2]);
        }
        Ok(())
    })?;
    let get = row("get, random order, keys made beforehand", count, took);
    for at_once in [10, 1000] {
        let ((), took) = timed(|| {
            for keys in keys.chunks(at_once) {
                for value in store.get_many(keys)? {
                    black_box(value?.ok_or("a key is missing")?[VALUE_LEN / 2]);
                }
            }
            Ok(())
        })?;
        let many = row(&format!("get of {at_once} keys at once, random order"), count, took);
        ratio("single gets against it", get / many);
    }
    Ok(())
}
