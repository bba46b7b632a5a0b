//! Concurrent calls at fixed moments: no call shows a write that is not durable, a batch is visible
//! as a whole or not at all, and each of several failed writes is reported.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logkv::fs::StoreFile;
use logkv::{At, Batch, Compact, Entry, Error, Options, Pending, Seqno, Store, Sync, Value};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::common::{contents, open, quick, scratch, wait_until};
use crate::hooked::{Call, Hook, Hooked, SyncGate};
use crate::recount::Recounted;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The result of every read call on a store.
fn read_results(store: &Store) -> Vec<(&'static str, Vec<String>)> {
    let keys = ["k", "fresh", "gone", "none"];
    let value = |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| text(&value));
    let entry = |entry: Option<Entry>| value(entry.map(|entry| entry.value));
    let pair = |entry: logkv::Result<Entry>| {
        let entry = entry.expect("reads");
        format!("{}={}", text(&entry.meta.key), text(&entry.value))
    };
    let snapshot = store.snapshot().expect("a snapshot");
    let now = At::Seq(Seqno(u64::MAX));
    let mut read_results = vec![
        ("get", keys.map(|key| value(store.get(key).expect("reads"))).to_vec()),
        ("get_many", {
            let many = store.get_many(&keys).expect("reads");
            many.into_iter().map(|found| value(found.expect("reads"))).collect()
        }),
        ("get_entry", keys.map(|key| entry(store.get_entry(key).expect("reads"))).to_vec()),
        ("contains", keys.map(|key| store.contains(key).expect("reads").to_string()).to_vec()),
        ("len", vec![store.len().to_string()]),
        ("key_count", vec![store.stats().expect("statistics").key_count.to_string()]),
        ("scan", store.scan(..).expect("scans").map(pair).collect()),
        ("scan back", store.scan(..).expect("scans").rev().map(pair).collect()),
        ("scan_prefix", store.scan_prefix("").expect("scans").map(pair).collect()),
        ("prefix k", store.scan_prefix("k").expect("scans").map(pair).collect()),
    ];
    let names = store.keys(..).expect("scans").map(|entry| text(&entry.expect("reads").key));
    read_results.push(("keys", names.collect()));
    let version = |key: &str| {
        let versions = store.versions(key).expect("reads").map(|version| version.expect("reads").value);
        versions.map(value).collect::<Vec<_>>().join(",")
    };
    read_results.push(("versions", keys.map(version).to_vec()));
    read_results.push(("get_at", keys.map(|key| entry(store.get_at(key, now).expect("reads"))).to_vec()));
    read_results.push(("at", store.at(now).expect("reads").scan(..).expect("scans").map(pair).collect()));
    let differences = store.diff(At::Seq(Seqno(0)), None).expect("reads");
    read_results.push(("diff", vec![differences.count().to_string()]));
    let change = |change: logkv::Result<logkv::Change>| change.expect("reads").meta.seq.to_string();
    read_results.push(("changes", store.changes(Seqno(1)).map(change).collect()));
    read_results.push(("recent_changes", store.recent_changes(2).expect("reads").map(change).collect()));
    read_results.push(("snapshot", snapshot.scan(..).expect("scans").map(pair).collect()));
    read_results.push(("snapshot get", keys.map(|key| value(snapshot.get(key).expect("reads"))).to_vec()));
    read_results.push(("snapshot len", vec![snapshot.len().to_string()]));
    read_results
}

#[test]
fn no_call_shows_a_write_before_its_sync_and_every_call_shows_it_afterwards() {
    let dir = scratch();
    let gate = Arc::new(SyncGate::default());
    let options = Options::new().background(false).file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    for (key, value) in [("k", "old"), ("gone", "soon")] {
        store.put(key, value).expect("a put");
    }
    let before = read_results(&store);
    gate.set_shut(true);
    let arrivals = gate.arrivals();
    let meanwhile = std::thread::scope(|scope| {
        let write =
            scope.spawn(|| store.write(Batch::new().put("k", "new").put("fresh", "1").delete("gone")));
        wait_until(|| gate.arrivals() > arrivals);
        let meanwhile = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_results(&store)));
        gate.set_shut(false);
        write.join().expect("no panic").expect("a batch");
        meanwhile.expect("returns")
    });
    for (meanwhile, before) in meanwhile.iter().zip(&before) {
        assert_eq!(meanwhile, before, "while the write is not durable");
    }
    let after = read_results(&store);
    for ((call, after), (_, before)) in after.iter().zip(&before) {
        // The number of keys is unchanged: one key is new and one is gone.
        let is_same = ["len", "key_count", "diff", "snapshot len"].contains(call);
        assert_eq!(after == before, is_same, "{call}: {after:?}");
    }
    store.close().expect("closes");
    let reopened = open(dir.path());
    assert_eq!(read_results(&reopened)[0], after[0]);
}

/// Blocks every open of a hint.
#[derive(Debug, Default)]
struct HintGate(SyncGate);

impl Hook for HintGate {
    fn opens(&self, file: StoreFile) {
        if let StoreFile::Hint(_) = file {
            self.0.wait_for_opening().expect("syncs do not fail");
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

fn shard(seed: u64, key: &str) -> usize {
    (xxh3_64_with_seed(key.as_bytes(), seed) >> 54) as usize
}

fn hash_seed(dir: &Path) -> u64 {
    let manifest = fs::read_to_string(dir.join("MANIFEST")).expect("MANIFEST");
    let seed = manifest.lines().find_map(|line| line.strip_prefix("hash xxh3-64 seed ")).expect("a seed");
    u64::from_str_radix(seed, 16).expect("a number")
}

/// Three keys in three shards.
fn apart(seed: u64) -> [String; 3] {
    let mut shards = HashSet::new();
    let mut keys = (0..).map(|n| format!("key{n}")).filter(|key| shards.insert(shard(seed, key)));
    [(); 3].map(|()| keys.next().expect("another key"))
}

#[test]
fn a_get_of_many_keys_sees_all_or_nothing_of_a_batch_written_during_the_lookup() {
    let dir = scratch();
    let options = quick().checkpoint_records(1);
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    let seed = hash_seed(dir.path());
    let keys = apart(seed);
    for key in &keys {
        store.put(key, "old").expect("a put");
    }
    store.close().expect("closes");
    // Damages the shard of the middle key, so that the first lookup rebuilds it and opens a hint.
    let path = dir.path().join("KEYDIR");
    let mut bytes = fs::read(&path).expect("KEYDIR");
    let row = 64 + 80 + 24 * shard(seed, &keys[1]);
    let slots_at = u64::from_le_bytes(bytes[row..row + 8].try_into().expect("eight bytes"));
    bytes[slots_at as usize] ^= 1;
    fs::write(&path, bytes).expect("the damage");
    let gate = Arc::new(HintGate::default());
    let options = options.file_system(Arc::new(Hooked(Arc::clone(&gate))));
    let store = Store::open_with(dir.path(), options).expect("opens");
    assert_eq!(store.open_report().record_count, 0, "KEYDIR is used");
    gate.0.set_shut(true);
    let arrivals = gate.0.arrivals();
    let found = std::thread::scope(|scope| {
        let many = scope.spawn(|| store.get_many(&keys).expect("reads"));
        // The lookup has found the first key, but not the last one.
        wait_until(|| gate.0.arrivals() > arrivals);
        let written = store.write(Batch::new().put(&keys[0], "new").put(&keys[2], "new"));
        gate.0.set_shut(false);
        written.expect("a batch");
        many.join().expect("no panic")
    });
    let found: Vec<_> = found.into_iter().map(|found| found.expect("reads").expect("exists")).collect();
    assert_eq!(found[1], b"old");
    assert_eq!(text(&found[0]), text(&found[2]), "only half of the batch is visible");
}

/// A disk that is full on demand.
#[derive(Debug, Default)]
struct FillingDisk(AtomicBool);

impl Hook for FillingDisk {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Write(StoreFile::Segment(_)) if self.0.load(Ordering::SeqCst) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn each_of_several_lost_writes_is_reported_to_its_waiter_only_in_any_order_of_waiting() {
    for sync in [Sync::Always, Sync::Never] {
        for waits_backwards in [false, true] {
            let dir = scratch();
            let disk = Arc::new(FillingDisk::default());
            let options = quick().sync(sync).file_system(Arc::new(Hooked(Arc::clone(&disk))));
            let store = Store::open_with(dir.path(), options).expect("opens");
            store.put("first", "1").expect("a put");
            // Two losses in a row, and another one after successful writes.
            let lives =
                ["lost1", "lost2", "kept3", "lost4", "kept5", "kept6", "lost7", "lost8", "lost9", "kept10"];
            let submitted: Vec<(&str, Pending)> = lives
                .iter()
                .map(|key| {
                    disk.0.store(key.starts_with("lost"), Ordering::SeqCst);
                    let pending = store.submit(Batch::new().put(key, "1").put("both", key)).expect("submits");
                    // Written out by a caller that waits for another write.
                    assert_eq!(store.sync().is_err(), key.starts_with("lost"), "{key}");
                    (*key, pending)
                })
                .collect();
            let order: Vec<_> = match waits_backwards {
                false => submitted,
                true => submitted.into_iter().rev().collect(),
            };
            for (key, pending) in order {
                let outcome = pending.wait();
                let is_lost = matches!(outcome, Err(Error::NotWritten { .. } | Error::Io { .. }));
                assert_eq!(is_lost, key.starts_with("lost"), "{key}, {sync:?}: {outcome:?}");
            }
            let expected =
                ["first", "kept3", "kept5", "kept6", "kept10"].map(|key| (key.into(), b"1".to_vec()));
            let mut expected = crate::common::Map::from(expected);
            expected.insert(b"both".to_vec(), b"kept10".to_vec());
            assert_eq!(contents(&store), expected);
            store.close().expect("closes");
            assert_eq!(contents(&open(dir.path())), expected, "reopened");
        }
    }
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

fn is_within((start, end): Bounds<'_>, key: &[u8]) -> bool {
    let starts = match start {
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
        Bound::Unbounded => true,
    };
    let ends = match end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    starts && ends
}

#[test]
fn every_pair_of_bounds_scans_the_keys_between_them_from_both_ends() {
    let dir = scratch();
    let store = open(dir.path());
    for key in ["a", "b", "bb", "d"] {
        store.put(key, "stored").expect("a put");
        if key == "b" {
            store.rotate().expect("rotates");
        }
    }
    let stored = ["a", "b", "bb", "d"];
    // With the changes of a transaction.
    let changed = [("a", "stored"), ("b", "mine"), ("c", "mine"), ("d", "stored")];
    let places = ["", "a", "b", "ba", "bb", "c", "d", "e"];
    let ends = || {
        let bounds =
            |place: &'static str| [Bound::Included(place.as_bytes()), Bound::Excluded(place.as_bytes())];
        places.into_iter().flat_map(bounds).chain([Bound::Unbounded])
    };
    for bounds in ends().flat_map(|start| ends().map(move |end| (start, end))) {
        let expected: Vec<_> = stored.into_iter().filter(|key| is_within(bounds, key.as_bytes())).collect();
        let backwards: Vec<_> = expected.iter().rev().copied().collect();
        let key = |entry: logkv::Result<logkv::KeyEntry>| text(&entry.expect("reads").key);
        let key_of = |entry: logkv::Result<Entry>| text(&entry.expect("reads").meta.key);
        let past = store.at(At::Seq(Seqno(u64::MAX))).expect("reads");
        let all = [
            store.keys(bounds).expect("scans").map(key).collect::<Vec<_>>(),
            store.scan(bounds).expect("scans").map(key_of).collect(),
            store.snapshot().expect("a snapshot").keys(bounds).expect("scans").map(key).collect(),
            past.scan(bounds).expect("scans").map(key_of).collect(),
        ];
        all.iter().for_each(|keys| assert_eq!(*keys, expected, "{bounds:?}"));
        assert_eq!(store.keys(bounds).expect("scans").rev().map(key).collect::<Vec<_>>(), backwards);
        let seen = store.transact(|transaction| {
            let scan = |transaction: &mut logkv::Overlay| {
                let scan = transaction.scan(bounds)?;
                let pairs = scan.map(|found| found.map(|(key, value)| (text(&key), text(&value))));
                pairs.collect::<logkv::Result<Vec<_>>>()
            };
            let before = scan(transaction)?;
            transaction.put("c", "never seen");
            transaction.put("c", "mine");
            transaction.put("b", "mine");
            transaction.delete("bb");
            transaction.delete("e");
            let after = scan(transaction)?;
            Err::<(), _>(Undone(before, after))
        });
        let Err(Undone(before, after)) = seen else { panic!("nothing is written") };
        assert_eq!(before.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), expected, "{bounds:?}");
        let changed = changed.into_iter().filter(|(key, _)| is_within(bounds, key.as_bytes()));
        let changed: Vec<_> = changed.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        assert_eq!(after, changed, "{bounds:?}");
    }
}

/// Carries the reads of a transaction that wrote nothing.
#[derive(Debug)]
struct Undone(Vec<(String, String)>, Vec<(String, String)>);

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        panic!("{}", error.sentence())
    }
}

#[test]
fn every_prefix_scans_its_keys_even_if_it_ends_in_the_largest_byte() {
    let dir = scratch();
    let store = open(dir.path());
    let keys: [&[u8]; 9] =
        [b"a", b"a\xfe", b"a\xff", b"a\xffb", b"a\xff\xff", b"a\xff\xffz", b"b", b"b\x01", b"\xff\xff"];
    for key in keys {
        store.put(key, "1").expect("a put");
    }
    let prefixes: [&[u8]; 9] =
        [b"", b"a", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"\xff\xff\xff", b"c"];
    for is_sealed in [false, true] {
        for prefix in prefixes {
            let expected: Vec<_> = keys.into_iter().filter(|key| key.starts_with(prefix)).collect();
            let found = store.scan_prefix(prefix).expect("scans");
            let found: Vec<_> = found.map(|entry| entry.expect("reads").meta.key.to_vec()).collect();
            assert_eq!(found, expected, "{}, sealed {is_sealed}", prefix.escape_ascii());
            let found = store.keys_with_prefix(prefix).expect("scans").rev();
            let mut found: Vec<_> = found.map(|entry| entry.expect("reads").key.to_vec()).collect();
            found.reverse();
            assert_eq!(found, expected, "{}, sealed {is_sealed}", prefix.escape_ascii());
        }
        store.rotate().expect("rotates");
    }
}

#[test]
fn readers_started_before_writes_and_a_compaction_keep_their_view() {
    let dir = scratch();
    let store = open(dir.path());
    let key = |n: u32| format!("p{n:03}");
    for n in 0..100 {
        store.put(key(n), "old").expect("a put");
        store.put(format!("q{n}"), "other").expect("a put");
        if n % 40 == 39 {
            store.rotate().expect("rotates");
        }
    }
    let (mut ahead, mut back) =
        (store.scan_prefix("p").expect("scans"), store.keys_with_prefix("p").expect("scans"));
    let mut versions = store.versions(key(7)).expect("reads");
    let past = store.at(At::Seq(Seqno(u64::MAX))).expect("reads");
    let mut earlier = past.scan(..).expect("scans");
    let mut shown = vec![ahead.next().expect("a first").expect("reads")];
    let mut last = vec![back.next_back().expect("a last").expect("reads")];
    let mut read_results = vec![earlier.next().expect("a first").expect("reads")];
    for n in 0..100 {
        match n % 3 {
            0 => drop(store.delete(key(n)).expect("a delete")),
            1 => drop(store.put(key(n), "new").expect("a put")),
            _ => {}
        }
    }
    store.put("p", "before all").expect("a put");
    store.put("pzzz", "behind all").expect("a put");
    store.rotate().expect("rotates");
    store.compact_recounted(&Compact::All).expect("compacts");
    shown.extend(ahead.map(|entry| entry.expect("reads")));
    last.extend(back.rev().map(|entry| entry.expect("reads")));
    read_results.extend(earlier.map(|entry| entry.expect("reads")));
    let keys: Vec<_> = (0..100).map(|n| key(n).into_bytes()).collect();
    assert_eq!(shown.iter().map(|entry| entry.meta.key.to_vec()).collect::<Vec<_>>(), keys);
    assert!(shown.iter().all(|entry| entry.value == b"old"));
    assert_eq!(last.iter().rev().map(|entry| entry.key.to_vec()).collect::<Vec<_>>(), keys);
    assert_eq!(read_results.len(), 200);
    assert_eq!(versions.next().expect("one").expect("reads").value.expect("a put"), b"old");
    assert!(versions.next().is_none(), "a later version is visible");
    assert_eq!(past.get(key(1)).expect("reads").expect("exists").value, b"old");
    let now = store.get_many(&[key(0), key(1), key(2)]).expect("reads");
    let now: Vec<_> = now.into_iter().map(|found| found.expect("reads").map(|value| text(&value))).collect();
    assert_eq!(now, [None, Some("new".to_owned()), Some("old".to_owned())]);
}
