//! Options that change between opens, with every state of KEYDIR and every end of the last writer.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use logkv::fs::StoreFile;
use logkv::{
    Batch, Compact, CompactionPolicy, Compression, Error, Expiry, ManualClock, Options, ReadWith, SegmentId,
    Store, Sync,
};
use tempfile::TempDir;

use crate::common::{Map, assert_is, killed, quick, remove_derived, scratch, segment_path, value};
use crate::hooked::{Call, Hook, Hooked};
use crate::recount::Recounted;
use crate::verify::verified;

const START_MS: u64 = 1_000_000;

/// A way to open a store.
type Way = (&'static str, fn(Options) -> Options);

const PLAIN: Way = ("plain", |options| options);

const WAYS: [Way; 11] = [
    ("segments of 512 bytes", |options| options.segment_len_max(512)),
    ("segments of 256 MiB", |options| options.segment_len_max(256 << 20)),
    ("lz4", |options| options.compression(Compression::Lz4)),
    ("zstd", |options| options.compression(Compression::Zstd { level: 3 })),
    ("values of 100 bytes", |options| options.value_len_max(100)),
    ("sync always", |options| options.sync(Sync::Always)),
    ("sync buffered", |options| options.sync(Sync::Buffered(1 << 20))),
    ("pread", |options| options.read_with(ReadWith::Pread)),
    ("three versions kept", |options| options.compaction(policy(|policy| policy.keep_versions = 3))),
    ("all kept for a day", |options| {
        options.compaction(policy(|policy| policy.keep_for = Duration::from_secs(86_400)))
    }),
    ("no grace", |options| options.compaction(policy(|policy| policy.expiry_grace = Duration::ZERO))),
];

fn policy(change: impl FnOnce(&mut CompactionPolicy)) -> CompactionPolicy {
    let mut policy = CompactionPolicy { automatic: false, ..CompactionPolicy::default() };
    change(&mut policy);
    policy
}

/// The end of a writer.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Closed, with a KEYDIR of all records, or an older one if it is not written.
    Closed,
    /// Closed, with all derived files lost.
    ClosedBare,
    /// Killed. KEYDIR is an earlier one, or missing.
    Killed,
}

/// A store that several writers open in turn, and its expected contents.
struct Life {
    dir: TempDir,
    clock: Arc<ManualClock>,
    map: Map,
    round: u64,
}

impl Life {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START_MS));
        Self { dir: scratch(), clock, map: Map::new(), round: 0 }
    }

    fn open(&self, way: Way) -> Store {
        let options = quick().clock(self.clock.clone()).checkpoint_records(1);
        Store::open_with(self.dir.path(), way.1(options)).expect("opens")
    }

    /// Puts, replaces, deletes, and lets some keys expire, in two sealed segments and an active
    /// one.
    fn write(&mut self, store: &Store) {
        self.round += 1;
        for part in 0..3 {
            let mut batch = Batch::new();
            for n in 0..12 {
                let key = format!("key{}", (n * 5 + part + self.round) % 40);
                if n % 4 == 3 {
                    self.map.remove(key.as_bytes());
                    batch.delete(key);
                } else {
                    let value = format!("{}:{part}:{n} ", self.round).repeat(8);
                    self.map.insert(key.clone().into_bytes(), value.clone().into_bytes());
                    batch.put(key, value);
                }
            }
            let brief = format!("brief{}", self.round % 3);
            batch.put_expiring(&brief, "soon gone", Expiry::In(Duration::from_millis(5)));
            store.write(&batch).expect("a batch");
            self.map.remove(brief.as_bytes());
            if part < 2 {
                store.rotate().expect("rotates");
            }
        }
        self.clock.advance(10);
    }

    fn check(&self, store: &Store, what: &str) {
        // An expired key counts until a compaction removes it.
        let is_brief = |key: &[u8]| key.starts_with(b"brief");
        let shown = crate::common::contents(store);
        assert!(shown == self.map, "{what}: the scan differs from the map");
        assert!(!shown.keys().any(|key| is_brief(key)));
        for n in 0..40 {
            let key = format!("key{n}");
            let read = store.get(&key).expect("reads");
            assert_eq!(read.as_deref(), self.map.get(key.as_bytes()).map(Vec::as_slice), "{what}: {key}");
        }
        for n in 0..3 {
            assert_eq!(value(store, &format!("brief{n}")), None, "{what}");
        }
        for segment in store.segments().expect("segments") {
            let totals = store.inspect(segment.id).expect("inspects").totals;
            let counted = (totals.record_count, totals.tombstone_count);
            assert_eq!((segment.record_count, segment.tombstone_count), counted, "{what}: {}", segment.id);
        }
    }

    fn end(&mut self, store: Store, end: End) {
        match end {
            End::Closed => store.close().expect("closes"),
            End::ClosedBare => {
                store.close().expect("closes");
                remove_derived(self.dir.path());
            }
            End::Killed => {
                store.sync().expect("syncs");
                self.dir = killed(store, self.dir.path());
            }
        }
    }
}

#[test]
fn a_store_opened_with_different_options_each_time_holds_everything_written() {
    for way in WAYS {
        for (first, second) in [(PLAIN, way), (way, PLAIN)] {
            for end in [End::Closed, End::ClosedBare, End::Killed] {
                let what = format!("{}, then {}, {end:?}", first.0, second.0);
                let mut life = Life::new();
                for (number, way) in [first, second, first].into_iter().enumerate() {
                    let what = format!("{what}, open {number}");
                    let store = life.open(way);
                    life.check(&store, &format!("{what}, as it was"));
                    life.write(&store);
                    life.check(&store, &format!("{what}, written to"));
                    if number % 2 == 1 {
                        store.compact_recounted(&Compact::All).expect("compacts");
                        life.check(&store, &format!("{what}, compacted"));
                        life.write(&store);
                    }
                    life.end(store, end);
                }
                let store = life.open(PLAIN);
                life.check(&store, &what);
                store.close().expect("closes");
                let (verdict, findings) = verified(life.dir.path());
                assert!(verdict.is_intact(), "{what}: {findings:?}");
            }
        }
    }
}

fn with_policy(dir: &Path, change: impl FnOnce(&mut CompactionPolicy)) -> Store {
    Store::open_with(dir, quick().compaction(policy(change))).expect("opens")
}

#[test]
fn each_open_uses_its_own_options_and_none_of_the_open_before() {
    let dir = scratch();
    let version_count = |store: &Store| store.versions("k").expect("reads").count();
    for (keep, expected) in [(1, 1), (3, 3), (2, 2), (1, 1)] {
        let store = with_policy(dir.path(), |policy| policy.keep_versions = keep);
        for n in 0..4 {
            store.put("k", n.to_string()).expect("a put");
        }
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_eq!(version_count(&store), expected, "keeps {keep} versions");
        store.close().expect("closes");
    }
    for size in [4096, 512, 2048] {
        let store = Store::open_with(dir.path(), quick().segment_len_max(size)).expect("opens");
        store.rotate().expect("rotates");
        for n in 0..20 {
            store.put(format!("size{n}"), [b'v'; 200]).expect("a put");
        }
        let last = store.segments().expect("segments").into_iter().rev().nth(1).expect("a second key");
        assert!(last.len <= size && last.len + 256 > size, "{} of {size}", last.len);
        store.close().expect("closes");
    }
    for (limit, is_taken) in [(100, false), (1000, true), (499, false), (500, true)] {
        let store = Store::open_with(dir.path(), quick().value_len_max(limit)).expect("opens");
        let put = store.put("long", [b'l'; 500]);
        assert_eq!(put.is_ok(), is_taken, "{limit}");
        assert!(is_taken || matches!(put, Err(Error::ValueLength { .. })), "{put:?}");
        store.close().expect("closes");
    }
}

/// Counts the syncs of segments.
#[derive(Debug, Default)]
struct SyncCounter(AtomicU64);

impl Hook for SyncCounter {
    fn before(&self, call: Call) -> io::Result<()> {
        if let Call::Sync(StoreFile::Segment(_)) = call {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn syncs(&self) -> bool {
        false
    }
}

#[test]
fn each_open_uses_its_own_sync_policy_and_not_that_of_the_open_before() {
    let dir = scratch();
    let ways = [Sync::Never, Sync::Always, Sync::Buffered(1 << 20), Sync::Always, Sync::Never];
    for sync in ways {
        let syncs = Arc::new(SyncCounter::default());
        let options = quick().sync(sync).file_system(Arc::new(Hooked(Arc::clone(&syncs))));
        let store = Store::open_with(dir.path(), options).expect("opens");
        store.put("first", "1").expect("a put");
        let before = syncs.0.load(Ordering::SeqCst);
        let len = || fs::metadata(segment_path(dir.path(), 1)).expect("the segment").len();
        let len_before = len();
        store.put("second", "2").expect("a put");
        let made = syncs.0.load(Ordering::SeqCst) - before;
        assert_eq!(made, u64::from(sync == Sync::Always), "{sync:?}");
        assert_eq!(len() > len_before, !matches!(sync, Sync::Buffered(_)), "{sync:?}");
        store.close().expect("closes");
    }
}

/// A store whose last segment is directly before another one in the address space, since a
/// compaction made that one. Its KEYDIR says so.
fn crowded(options: &Options) -> (TempDir, Map) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), options.clone()).expect("opens");
    for key in ["one", "two"] {
        store.put(key, "old").expect("a put");
        store.put(key, key).expect("a put");
        store.rotate().expect("rotates");
    }
    store.put("three", "three").expect("a put");
    store.compact_recounted(&Compact::Segments(vec![SegmentId(1), SegmentId(2)])).expect("compacts");
    let map = crate::common::contents(&store);
    store.close().expect("closes");
    assert!(dir.path().join("KEYDIR").exists());
    (dir, map)
}

#[test]
fn an_active_segment_with_a_larger_limit_does_not_take_pages_of_others() {
    let options = quick().checkpoint_records(1);
    let (dir, mut map) = crowded(&options);
    for n in 0..3 {
        let larger = options.clone().segment_len_max((128 << n) << 20);
        let store = Store::open_with(dir.path(), larger).expect("opens");
        assert_eq!(store.open_report().record_count, 0, "KEYDIR is used");
        assert_is(&store, &map, "opened");
        store.put(format!("more{n}"), "more").expect("a put");
        map.insert(format!("more{n}").into_bytes(), b"more".to_vec());
        assert_is(&store, &map, "after more writes");
        store.close().expect("closes");
    }
}

#[test]
fn a_keydir_whose_last_segment_has_outgrown_its_pages_changes_no_answer() {
    let options = quick().checkpoint_records(1);
    let (dir, mut map) = crowded(&options);
    // Without mappings, KEYDIR is not written, and the existing one stays.
    let larger = options.clone().segment_len_max(256 << 20).value_len_max(128 << 20);
    let store = Store::open_with(dir.path(), larger.read_with(ReadWith::Pread)).expect("opens");
    for (key, len) in [("large", 65 << 20), ("behind", 10)] {
        let value = vec![b'v'; len];
        store.put(key, &value).expect("a put");
        map.insert(key.as_bytes().to_vec(), value);
    }
    store.close().expect("closes");
    for segment_len_max in [64 << 20, 256 << 20] {
        for is_read_only in [true, false] {
            let options = options.clone().segment_len_max(segment_len_max).read_only(is_read_only);
            let store = Store::open_with(dir.path(), options).expect("opens");
            assert_is(&store, &map, &format!("segments of {segment_len_max}, read only {is_read_only}"));
        }
    }
}
