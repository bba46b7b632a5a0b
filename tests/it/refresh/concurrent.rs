//! A reader that refreshes while a writer writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use logkv::{Batch, CompactionPolicy, Options, Store};

use super::{BOTH, reader, refreshed};
use crate::common::{Map, Random, assert_is, contents, quick, scratch};

/// A key and its new value, or `None` for a delete.
type Op = (Vec<u8>, Option<Vec<u8>>);

/// The writes so far. The number of a write determines its changes, so that both threads know them.
#[derive(Debug, Default)]
struct Progress {
    /// The changes of each acknowledged write.
    done: Vec<Vec<Op>>,
    /// The number of writes begun.
    begun: usize,
}

const NUMBER: &[u8] = b"number";

/// A batch that puts its number, or an empty one, which stands for a clear.
fn next_write(random: &mut Random, number: usize) -> Vec<Op> {
    if random.below(200) == 0 {
        return Vec::new();
    }
    let mut ops = vec![(NUMBER.to_vec(), Some(number.to_string().into_bytes()))];
    for _ in 0..random.below(6) {
        let key = format!("key{}", random.below(60)).into_bytes();
        let value = (random.below(4) > 0).then(|| vec![b'v'; random.below(80) as usize]);
        ops.push((key, value));
    }
    ops
}

fn apply(map: &mut Map, ops: &[Op]) {
    if ops.is_empty() {
        map.clear();
    }
    for (key, value) in ops {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

fn write_on(store: &Store, course: &Mutex<Progress>, random: &mut Random, count: usize) {
    let lock = || course.lock().unwrap_or_else(PoisonError::into_inner);
    for number in 0..count {
        let ops = next_write(random, number);
        lock().begun = number + 1;
        if ops.is_empty() {
            store.clear().expect("a clear");
        } else {
            let mut batch = Batch::new();
            for (key, value) in &ops {
                match value {
                    Some(value) => batch.put(key.clone(), value.clone()),
                    None => batch.delete(key.clone()),
                };
            }
            store.write(&batch).expect("a batch");
        }
        lock().done.push(ops);
        if random.below(50) == 0 {
            store.rotate().expect("rotates");
        }
    }
}

/// Refreshes until the writer ends, and compares the contents with the writes. Returns how often a
/// refresh found changes.
fn read_on(reader: &Store, course: &Mutex<Progress>, is_done: &AtomicBool, random: &mut Random) -> usize {
    let lock = || course.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut map, mut at, mut news) = (Map::new(), 0, 0);
    loop {
        let ends = is_done.load(Ordering::SeqCst);
        let acknowledged = lock().done.len();
        news += usize::from(refreshed(reader));
        let seen = contents(reader);
        let one = reader.get(NUMBER).expect("reads").map(|number| number.to_vec());
        assert_eq!(one.as_deref(), seen.get(NUMBER).map(Vec::as_slice), "gets and scans differ");
        let begun = lock().begun;
        // The first state from there on that equals the contents, and is not older than the last
        // acknowledged write.
        let done = {
            let course = lock();
            course.done[at..].to_vec()
        };
        let mut done = done.into_iter();
        while at < acknowledged {
            apply(&mut map, &done.next().expect("was acknowledged"));
            at += 1;
        }
        while map != seen {
            let next = done.next().unwrap_or_else(|| wait_for(course, at));
            apply(&mut map, &next);
            at += 1;
            assert!(at <= begun, "the contents equal no state from write {acknowledged} to {begun}");
        }
        assert_eq!(reader.len(), seen.len() as u64);
        if random.below(10) == 0 {
            for (key, value) in &seen {
                assert_eq!(reader.get(key).expect("reads").as_deref(), Some(value.as_slice()));
            }
        }
        if ends {
            return news;
        }
    }
}

/// Waits until write number `at`, which was already visible, is acknowledged.
fn wait_for(course: &Mutex<Progress>, at: usize) -> Vec<Op> {
    let lock = || course.lock().unwrap_or_else(PoisonError::into_inner);
    crate::common::wait_until(|| lock().done.len() > at);
    lock().done[at].clone()
}

#[test]
fn a_refreshed_reader_sees_a_state_at_least_as_new_as_the_last_acknowledged_write() {
    let mut random = Random::announced();
    for read_with in BOTH {
        for keeps_small in [true, false] {
            let dir = scratch();
            let policy = CompactionPolicy { dead_percent: 1, ..CompactionPolicy::default() };
            let options: Options = match keeps_small {
                true => {
                    quick().background(true).segment_len_max(3000).compaction(policy).checkpoint_records(20)
                }
                false => quick(),
            };
            let store = Store::open_with(dir.path(), options).expect("opens");
            let reader = reader(dir.path(), read_with);
            let (course, is_done) = (Mutex::new(Progress::default()), AtomicBool::new(false));
            let mut forked = random.fork();
            let news = std::thread::scope(|scope| {
                let reads = scope.spawn(|| read_on(&reader, &course, &is_done, &mut forked));
                write_on(&store, &course, &mut random, 1500);
                is_done.store(true, Ordering::SeqCst);
                reads.join().expect("no panic")
            });
            assert!(news > 3, "{read_with:?}: {news} times");
            let map = contents(&store);
            store.close().expect("closes");
            refreshed(&reader);
            assert_is(&reader, &map, "at the end");
        }
    }
}
