//! Readers beside a writer and continuous compaction.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use logkv::{Compact, CompactionPolicy, Options, ReadWith, Snapshot, Store, Sync};

use crate::common::{Map, assert_is, leftovers, open, scratch, shown, wait_until};
use crate::hooked::{FreeSyncs, hooked};

const KEYS: usize = 40;

/// Tiny segments that are compacted as soon as they have a dead record.
fn restless(read_with: ReadWith) -> Options {
    let policy = CompactionPolicy { dead_percent: 1, ..Default::default() };
    Options::new()
        .sync(Sync::Never)
        .read_with(read_with)
        .segment_len_max(2 << 10)
        .compaction(policy)
        .file_system(hooked(FreeSyncs))
}

/// Versions of one key: the newest version whose write has begun, and the newest one that is
/// written.
#[derive(Debug, Default)]
struct Version {
    begun: AtomicU64,
    done: AtomicU64,
}

/// Whether the key is deleted in this version.
fn is_deleted(version: u64) -> bool {
    version.is_multiple_of(4)
}

fn value_of(key: usize, version: u64) -> Vec<u8> {
    let head = [key as u64, version].map(u64::to_le_bytes).concat();
    [head, vec![b'v'; (version % 50) as usize]].concat()
}

/// Writes the next version of a key.
fn advance(store: &Store, key: usize, version: &Version) -> u64 {
    let next = version.begun.fetch_add(1, Ordering::SeqCst) + 1;
    let name = format!("key{key}");
    if is_deleted(next) {
        assert!(store.delete(name).expect("a delete"), "the key existed");
    } else {
        store.put(name, value_of(key, next)).expect("a put");
    }
    version.done.store(next, Ordering::SeqCst);
    next
}

/// Gets a key, and checks that the value was current during the call.
fn check(store: &Store, key: usize, version: &Version) {
    let before = version.done.load(Ordering::SeqCst);
    let read = store.get(format!("key{key}")).expect("reads");
    let after = version.begun.load(Ordering::SeqCst);
    match read {
        None => {
            assert!((before..=after).any(is_deleted), "key {key} is missing in versions {before} to {after}");
        }
        Some(value) => {
            let seen = u64::from_le_bytes(value[8..16].try_into().expect("eight bytes"));
            assert!((before..=after).contains(&seen), "key {key} is {seen}, not {before} to {after}");
            assert_eq!(value, &*value_of(key, seen), "the value belongs to another key, or is not whole");
        }
    }
}

#[test]
fn case_20_every_get_returns_a_current_value_while_segments_are_sealed_and_compacted() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), restless(read_with)).expect("opens");
        let versions: Vec<Version> = (0..KEYS).map(|_| Version::default()).collect();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for reader in 0..8 {
                let (store, versions, is_done) = (&store, &versions, &is_done);
                scope.spawn(move || {
                    for step in reader.. {
                        let key = step * 7 % KEYS;
                        check(store, key, &versions[key]);
                        if is_done.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                });
            }
            for step in 0..6000 {
                let key = step * step % 31 % KEYS;
                advance(&store, key, &versions[key]);
                if step % 500 == 0 {
                    store.rotate().expect("rotates");
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        // The last writes made segments due. A seal starts the background compaction.
        store.rotate().expect("rotates");
        wait_until(|| store.compaction_plan(&Compact::Due).expect("a plan").runs.is_empty());
        let segments = store.segments().expect("segments");
        let newest = segments.iter().map(|segment| segment.id.0).max().expect("a segment");
        assert!(newest > 150 && segments.len() < 20, "{} of {newest} segments are left", segments.len());
        let current = |(key, version): (usize, &Version)| {
            let version = version.done.load(Ordering::SeqCst);
            (!is_deleted(version)).then(|| (format!("key{key}").into_bytes(), value_of(key, version)))
        };
        let map: Map = versions.iter().enumerate().filter_map(current).collect();
        store.close().expect("closes");
        assert_is(&open(dir.path()), &map, "reopened");
        assert_eq!(leftovers(dir.path()), [""; 0]);
    }
}

#[test]
fn case_20_a_snapshot_stays_the_same_beside_a_writer_and_compactions() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), restless(read_with)).expect("opens");
        let versions: Vec<Version> = (0..KEYS).map(|_| Version::default()).collect();
        let (sender, receiver) = mpsc::sync_channel::<(Snapshot, Map)>(8);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (snapshot, map) in receiver {
                    assert_eq!(snapshot.len(), map.len() as u64);
                    assert!(
                        shown(snapshot.scan(..).expect("scans")) == map,
                        "the scan of the snapshot changed"
                    );
                    for (key, value) in &map {
                        assert_eq!(snapshot.get(key).expect("reads").as_deref(), Some(value.as_slice()));
                    }
                }
            });
            let mut map = Map::new();
            for step in 0..4000 {
                let key = step * step % 31 % KEYS;
                let version = advance(&store, key, &versions[key]);
                let name = format!("key{key}").into_bytes();
                if is_deleted(version) {
                    map.remove(&name);
                } else {
                    map.insert(name, value_of(key, version));
                }
                if step % 10 == 0 {
                    let snapshot = store.snapshot().expect("a snapshot");
                    sender.send((snapshot, map.clone())).expect("the receiver is open");
                }
            }
            drop(sender);
        });
    }
}
