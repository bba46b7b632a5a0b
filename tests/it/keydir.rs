//! KEYDIR that is damaged or out of date.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use logkv::fs::StoreFile;
use logkv::{Batch, Compact, CompactionPolicy, Options, Store, Sync};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::common::{
    assert_counted, assert_is, contents, killed, open, quick, remove_derived, scratch, sealed, segment_path,
    value, wait_until,
};
use crate::hooked::{Call, Hook, Hooked, SyncGate};
use crate::recount::Recounted;

/// The length of a KEYDIR of one segment up to the slots: header, segment and shard rows, checksum.
const HEAD_LEN: usize = 64 + 80 + 1024 * 24 + 8;

fn eager() -> Options {
    quick().checkpoint_records(1)
}

fn lazy() -> Options {
    eager().checkpoint_records(u64::MAX)
}

#[test]
fn statistics_stay_exact_when_damaged_shards_of_keydir_are_rebuilt() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    for key in ["a", "b", "c", "d"] {
        store.put(key, "1").expect("a put");
    }
    store.close().expect("closes");
    let store = Store::open_with(dir.path(), lazy()).expect("opens");
    store.put("a", "22").expect("a put");
    store.put("a", "222").expect("a put");
    store.rotate().expect("rotates");
    store.put("a", "2222").expect("a put");
    store.delete("b").expect("a delete");
    let map = contents(&store);
    store.close().expect("closes");
    let path = dir.path().join("KEYDIR");
    let mut bytes = fs::read(&path).expect("KEYDIR");
    for byte in bytes[HEAD_LEN..].iter_mut().step_by(8) {
        *byte ^= 0x10;
    }
    fs::write(&path, bytes).expect("the damage");
    for options in [lazy().read_only(true), lazy()] {
        let store = Store::open_with(dir.path(), options).expect("opens");
        assert_eq!(store.open_report().record_count, 4, "KEYDIR is used");
        assert_counted(&store, "opened");
        assert_is(&store, &map, "opened");
        if !store.is_read_only() {
            store.put("a", "last").expect("a put");
            store.delete("c").expect("a delete");
            assert_counted(&store, "after more writes");
        }
    }
}

#[test]
fn the_newest_number_is_that_of_an_existing_record_when_keydir_covers_more() {
    let dir = scratch();
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    store.put("kept", "1").expect("a put");
    let path = segment_path(dir.path(), 1);
    let kept = fs::read(&path).expect("the segment");
    store.put("lost", "2").expect("a put");
    let manifest = fs::read(dir.path().join("MANIFEST")).expect("MANIFEST");
    store.close().expect("closes");
    // As after a power cut that lost the end of the log but kept KEYDIR.
    fs::write(&path, kept).expect("the segment");
    fs::write(dir.path().join("MANIFEST"), manifest).expect("MANIFEST");
    for options in [lazy().read_only(true), lazy()] {
        let store = Store::open_with(dir.path(), options).expect("opens");
        assert_eq!(store.len(), 1);
        assert_eq!(store.stats().expect("stats").last_seq.0, 1);
    }
}

#[test]
fn a_store_whose_covered_segments_are_compacted_gets_a_new_keydir() {
    let dir = scratch();
    let policy = CompactionPolicy { automatic: false, ..CompactionPolicy::default() };
    let options = quick().checkpoint_records(1).background(true).compaction(policy).segment_len_max(4096);
    let store = Store::open_with(dir.path(), options).expect("opens");
    for n in 0..2000 {
        store.put(format!("key{}", n % 500), n.to_string()).expect("a put");
    }
    store.compact_recounted(&Compact::All).expect("compacts");
    store.put("last", "1").expect("a put");
    // As the next process opens the store after a kill.
    let opened = || Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
    wait_until(|| opened().open_report().record_count < 100);
    assert_is(&opened(), &contents(&store), "a reader");
}

/// Two keys that are equal in the index: their hashes share 34 bits.
fn colliding_keys(dir: &Path) -> (String, String) {
    let manifest = fs::read_to_string(dir.join("MANIFEST")).expect("MANIFEST");
    let seed = manifest.lines().find_map(|line| line.strip_prefix("hash xxh3-64 seed ")).expect("a seed");
    let seed = u64::from_str_radix(seed, 16).expect("a number");
    let mut names: HashMap<u64, u64> = HashMap::new();
    let pair = (0..).find_map(|n: u64| {
        let known = xxh3_64_with_seed(name(n).as_bytes(), seed) >> 30;
        names.insert(known, n).map(|other| (name(other), name(n)))
    });
    pair.expect("two of a million keys collide")
}

fn name(n: u64) -> String {
    format!("key{n}")
}

#[test]
fn two_keys_with_equal_index_entries_stay_separate() {
    let dir = scratch();
    let store = open(dir.path());
    let (one, other) = colliding_keys(dir.path());
    store.put(&one, "one").expect("a put");
    assert_eq!(value(&store, &other), None, "the key was never written");
    assert!(!store.delete(&other).expect("a delete"), "the key does not exist");
    store.rotate().expect("rotates");
    store.put(&other, "other").expect("a put");
    let map = [(one.clone().into_bytes(), b"one".to_vec()), (other.clone().into_bytes(), b"other".to_vec())];
    let map = map.into_iter().collect();
    assert_is(&store, &map, "both are written");
    store.compact_recounted(&Compact::Segments(sealed(&store))).expect("compacts");
    assert_is(&store, &map, "one of them is compacted");
    store.close().expect("closes");
    for has_derived in [true, false] {
        if !has_derived {
            remove_derived(dir.path());
        }
        let store = Store::open_with(dir.path(), eager()).expect("opens");
        assert_is(&store, &map, "reopened");
        store.close().expect("closes");
    }
    let store = open(dir.path());
    assert!(store.delete(&one).expect("a delete"));
    assert_eq!((value(&store, &one), value(&store, &other).as_deref()), (None, Some("other")));
}

/// Blocks the background's first step and the syncs of segments.
#[derive(Debug, Default)]
struct Gates {
    hints: SyncGate,
    syncs: SyncGate,
}

impl Hook for Gates {
    fn before(&self, call: Call) -> io::Result<()> {
        match call {
            Call::Create(StoreFile::Hint(_)) => self.hints.wait_for_opening(),
            Call::Sync(StoreFile::Segment(_)) => self.syncs.wait_for_opening(),
            _ => Ok(()),
        }
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn a_keydir_written_while_a_write_waits_for_its_sync_does_not_hide_it_from_the_next_open() {
    let dir = scratch();
    let gates = Arc::new(Gates::default());
    let options = eager().sync(Sync::Always).background(true);
    let store = Store::open_with(dir.path(), options.file_system(Arc::new(Hooked(Arc::clone(&gates)))));
    let store = store.expect("opens");
    // Enough records to write KEYDIR while the store is open.
    let mut batch = Batch::new();
    for n in 0..40 {
        batch.put(name(n), "1");
    }
    store.write(&batch).expect("a batch");
    gates.hints.set_shut(true);
    store.rotate().expect("rotates");
    store.put("first", "1").expect("a put");
    wait_until(|| gates.hints.arrivals() > 0);
    gates.syncs.set_shut(true);
    let before = gates.syncs.arrivals();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| store.put("last", "1"));
        wait_until(|| gates.syncs.arrivals() > before);
        gates.hints.set_shut(false);
        wait_until(|| dir.path().join("KEYDIR").exists());
        gates.syncs.set_shut(false);
        put.join().expect("no panic").expect("the put is acknowledged");
    });
    let dir = killed(store, dir.path());
    let store = Store::open_with(dir.path(), eager()).expect("opens");
    assert!(store.open_report().record_count < 40, "KEYDIR is used");
    assert_eq!(value(&store, "last").as_deref(), Some("1"));
    assert_eq!(store.len(), 42);
    assert_counted(&store, "opened");
}
