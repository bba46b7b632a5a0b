//! Calls during a compaction: between its stages, and between the records that it copies.

use std::ops::ControlFlow;

use logkv::{
    Batch, Compact, CompactionEvent, CompactionStage, Entry, Error, Options, Pending, ReadWith, Scan,
    Snapshot, Store, Sync,
};
use tempfile::TempDir;

use crate::common::{Map, assert_is, leftovers, open, quick, scratch, sealed, shown};
use crate::recount::{Recounted, recount};

const KEYS: u64 = 900;

fn key(n: u64) -> Vec<u8> {
    format!("key{:04}", n % KEYS).into_bytes()
}

/// Sealed segments with all keys. Each has some replaced records.
fn with_dead(options: Options) -> (TempDir, Store, Map) {
    let dir = scratch();
    let store = Store::open_with(dir.path(), options).expect("opens");
    let mut map = Map::new();
    for round in ["first", "second"] {
        let mut batch = Batch::new();
        for n in (0..KEYS).filter(|n| round == "first" || n % 3 == 0) {
            batch.put(key(n), round);
            map.insert(key(n), round.as_bytes().to_vec());
        }
        store.write(&batch).expect("a batch");
        store.rotate().expect("rotates");
    }
    (dir, store, map)
}

/// Reads and writes a store at each event of a compaction.
struct Interferer<'a> {
    store: &'a Store,
    map: Map,
    moment: u64,
    stages: Vec<CompactionStage>,
    progress_count: u64,
    pending: Vec<Pending>,
    snapshots: Vec<(Snapshot, Map)>,
    scans: Vec<(Scan, Map)>,
}

impl<'a> Interferer<'a> {
    fn new(store: &'a Store, map: Map) -> Self {
        Self {
            store,
            map,
            moment: 0,
            stages: Vec::new(),
            progress_count: 0,
            pending: Vec::new(),
            snapshots: Vec::new(),
            scans: Vec::new(),
        }
    }

    fn interfere(&mut self, event: &CompactionEvent<'_>) {
        match event {
            CompactionEvent::Reached(stage, _) => self.stages.push(*stage),
            CompactionEvent::Progress { done_len, total_len } => {
                assert!(done_len <= total_len, "{done_len} of {total_len}");
                self.progress_count += 1;
            }
            CompactionEvent::Done(run) => assert!(!run.inputs.is_empty()),
        }
        self.moment += 1;
        let value = format!("at moment {}", self.moment).into_bytes();
        // Far apart, so that some were already copied and others were not.
        let at = |index: u64| key(self.moment * 37 + index * 101);
        let keys: Vec<_> = (0..8).map(at).collect();
        self.put(&keys[0], &value);
        // The writes submitted at the previous event are in the log before this snapshot.
        self.snapshots.push((self.store.snapshot().expect("a snapshot"), self.map.clone()));
        self.begin_scan();
        self.store.delete(&keys[1]).expect("a delete");
        self.map.remove(&keys[1]);
        self.store
            .write(Batch::new().put(&keys[2], &value).delete(&keys[3]).put("new", &value))
            .expect("a batch");
        self.map.extend([(keys[2].clone(), value.clone()), (b"new".to_vec(), value.clone())]);
        self.map.remove(&keys[3]);
        if self.moment.is_multiple_of(3) {
            self.store.rotate().expect("rotates");
        }
        // The same key twice, so that a pending write is replaced as well.
        self.submit(Batch::new().put(&keys[4], "soon replaced").delete(&keys[5]));
        self.submit(Batch::new().put(&keys[4], &value));
        self.map.insert(keys[4].clone(), value);
        self.map.remove(&keys[5]);
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.store.put(key, value).expect("a put");
        self.map.insert(key.to_vec(), value.to_vec());
        assert_eq!(
            self.store.get(key).expect("reads").as_deref(),
            Some(value),
            "a writer reads its own write"
        );
    }

    fn submit(&mut self, batch: &Batch) {
        self.pending.push(self.store.submit(batch).expect("submits"));
    }

    /// A scan that has returned its first and last entry, and continues after the compaction.
    fn begin_scan(&mut self) {
        let mut scan = self.store.scan(..).expect("scans");
        let mut left = self.map.clone();
        let pair = |entry: Option<logkv::Result<Entry>>| {
            let entry = entry.expect("an entry").expect("reads");
            Some((entry.meta.key.to_vec(), entry.value.to_vec()))
        };
        assert_eq!(pair(scan.next()), left.pop_first());
        assert_eq!(pair(scan.next_back()), left.pop_last());
        self.scans.push((scan, left));
    }

    /// The contents of the store, and the snapshots taken.
    fn finish(self) -> (Map, Vec<(Snapshot, Map)>) {
        for pending in self.pending {
            pending.wait().expect("waits");
        }
        for (moment, (scan, map)) in self.scans.into_iter().enumerate() {
            assert!(shown(scan) == map, "the scan that was started at event {moment} changed");
        }
        (self.map, self.snapshots)
    }
}

fn assert_snapshots(snapshots: &[(Snapshot, Map)], when: &str) {
    for (moment, (snapshot, map)) in snapshots.iter().enumerate() {
        assert!(
            shown(snapshot.scan(..).expect("scans")) == *map,
            "the snapshot of event {moment} changed, {when}"
        );
        assert_eq!(snapshot.len(), map.len() as u64);
        for n in (0..KEYS).step_by(7) {
            let read = snapshot.get(key(n)).expect("reads");
            assert_eq!(read.as_deref(), map.get(&key(n)).map(Vec::as_slice), "moment {moment}, {when}");
        }
    }
}

#[test]
fn case_04_writes_during_a_compaction_are_kept() {
    let syncs = [Sync::Always, Sync::Never, Sync::Buffered(1 << 14)];
    let choices = syncs.into_iter().flat_map(|sync| [(sync, ReadWith::Mmap), (sync, ReadWith::Pread)]);
    for (sync, read_with) in choices {
        // One output segment, and several.
        for segment_len_max in [1 << 20, 8 << 10] {
            let what = format!("{sync:?}, {read_with:?}, segments of {segment_len_max}");
            let options = quick().sync(sync).read_with(read_with).segment_len_max(segment_len_max);
            let (dir, store, map) = with_dead(options.clone());
            let mut meddler = Interferer::new(&store, map);
            let inputs = Compact::Segments(sealed(&store));
            let compacted = store.compact_with(&inputs, &mut |event| {
                meddler.interfere(&event);
                ControlFlow::Continue(())
            });
            assert_eq!(compacted.expect("compacts").runs.len(), 1, "{what}");
            use CompactionStage::{Committed, Copied, Planned, Removed, Synced};
            assert_eq!(meddler.stages, [Planned, Copied, Synced, Committed, Removed], "{what}");
            assert!(meddler.progress_count >= 3, "{what}: {}", meddler.progress_count);
            let (map, snapshots) = meddler.finish();
            assert_is(&store, &map, &what);
            recount(&store);
            assert_snapshots(&snapshots, &what);
            store.compact_recounted(&Compact::All).expect("compacts");
            assert_snapshots(&snapshots, &format!("{what}, and a second compaction"));
            assert_is(&store, &map, &what);
            store.close().expect("closes");
            assert_snapshots(&snapshots, &format!("{what}, and closed"));
            assert_is(
                &Store::open_with(dir.path(), options).expect("reopens"),
                &map,
                &format!("{what}, reopened"),
            );
            assert_eq!(leftovers(dir.path()), [""; 0], "{what}");
        }
    }
}

#[test]
fn a_compaction_cancelled_at_any_event_changes_nothing() {
    for stops_at in 1.. {
        let (dir, store, map) = with_dead(quick().segment_len_max(8 << 10));
        let mut meddler = Interferer::new(&store, map);
        let inputs = Compact::Segments(sealed(&store));
        let report = store.compact_with(&inputs, &mut |event| {
            meddler.interfere(&event);
            if meddler.moment == stops_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let what = format!("called off at moment {stops_at}");
        let is_cancelled = matches!(report, Err(Error::Cancelled));
        assert!(is_cancelled || report.is_ok(), "{what}: {report:?}");
        let (map, snapshots) = meddler.finish();
        assert_is(&store, &map, &what);
        assert_snapshots(&snapshots, &what);
        assert_eq!(leftovers(dir.path()), [""; 0], "{what}");
        store.close().expect("closes");
        let store = open(dir.path());
        assert_eq!(store.open_report().orphans_removed, [], "{what}");
        assert_is(&store, &map, &format!("{what}, reopened"));
        store.compact_recounted(&Compact::All).expect("compacts");
        assert_is(&store, &map, &format!("{what}, and compacted"));
        if !is_cancelled {
            assert!(stops_at > 6, "all cancelled before the commit");
            return;
        }
    }
}

#[test]
fn case_07_a_scan_keeps_its_view_when_a_compaction_ends_meanwhile() {
    for read_with in [ReadWith::Mmap, ReadWith::Pread] {
        for from_behind in [false, true] {
            let dir = scratch();
            let store = Store::open_with(dir.path(), quick().read_with(read_with)).expect("opens");
            for key in ["k1", "k2", "k3"] {
                store.put(key, "old").expect("a put");
                store.rotate().expect("rotates");
            }
            let mut scan = store.scan(..).expect("scans");
            let step = |scan: &mut Scan| if from_behind { scan.next_back() } else { scan.next() };
            let mut seen = vec![step(&mut scan).expect("an entry").expect("reads")];
            store.delete("k1").expect("a delete");
            store.put("k2", "x").expect("a put");
            store.put("k4", "new").expect("a put");
            store.compact_recounted(&Compact::All).expect("compacts");
            while let Some(entry) = step(&mut scan) {
                seen.push(entry.expect("reads"));
            }
            let mut seen: Vec<_> = seen.iter().map(|entry| (&*entry.meta.key, &*entry.value)).collect();
            if from_behind {
                seen.reverse();
            }
            assert_eq!(seen, [(&b"k1"[..], &b"old"[..]), (b"k2", b"old"), (b"k3", b"old")], "{read_with:?}");
            let now = [("k2", "x"), ("k3", "old"), ("k4", "new")];
            let now = now.map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()));
            assert_is(&store, &now.into(), "scanned again");
        }
    }
}
