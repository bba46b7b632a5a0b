//! A store is a map, whatever happens to its files: random steps, with reopening and crashing among them.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::ops::Bound;
use std::time::Duration;

use logkv::{Batch, Compact, Options, ReadWith, SegmentState, Snapshot, Store, Sync};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::backup;
use crate::common::{killed, scratch};

/// Few keys, so that they are written again and again; some long, some binary.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (0_u8..12).prop_map(|n| vec![b'k', n]),
        1 => Just(vec![0]),
        1 => Just(vec![0xff; 300]),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 300..700),
    ]
}

type Change = (Vec<u8>, Option<Vec<u8>>);

fn change() -> impl Strategy<Value = Change> {
    (key(), prop_oneof![3 => bytes().prop_map(Some), 1 => Just(None)])
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    PutIfAbsent(Vec<u8>, Vec<u8>),
    PutIfPresent(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Batch(Vec<Change>),
    /// Submits each change by itself, and then waits for all.
    Submit(Vec<Change>),
    Scan(Vec<u8>, Vec<u8>),
    Rotate,
    /// Compacts so many segments from the one at this place on, as far as they are sealed.
    Compact(usize, usize),
    CompactDue,
    CompactAll,
    /// Takes a snapshot, and drops the oldest when there are three.
    Snapshot,
    Sync,
    /// Makes the next backup in the directory of the ones before, or else an archive, and restores it.
    BackUp(bool),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), bytes()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (key(), bytes()).prop_map(|(key, value)| Step::PutIfAbsent(key, value)),
        1 => (key(), bytes()).prop_map(|(key, value)| Step::PutIfPresent(key, value)),
        4 => key().prop_map(Step::Delete),
        2 => prop::collection::vec(change(), 0..6).prop_map(Step::Batch),
        2 => prop::collection::vec(change(), 0..6).prop_map(Step::Submit),
        2 => (key(), key()).prop_map(|(from, to)| Step::Scan(from, to)),
        2 => Just(Step::Rotate),
        2 => (0_usize..12, 1_usize..5).prop_map(|(first, count)| Step::Compact(first, count)),
        1 => Just(Step::CompactDue),
        1 => Just(Step::CompactAll),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Sync),
        1 => any::<bool>().prop_map(Step::BackUp),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn apply(map: &mut Map, (key, value): &Change) {
    match value {
        Some(value) => map.insert(key.clone(), value.clone()),
        None => map.remove(key),
    };
}

fn batch_of(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        };
    }
    batch
}

/// A store and the map it should be.
struct Pair {
    dir: TempDir,
    options: Options,
    /// `None` only while it is exchanged.
    store: Option<Store>,
    map: Map,
    /// What the store was at some moments, and what it should have been.
    snapshots: VecDeque<(Snapshot, Map)>,
    /// Where backups go.
    backups: TempDir,
    /// The newest number handed out.
    last_seq: u64,
}

impl Pair {
    fn new(options: Options) -> Self {
        let dir = scratch();
        let store = Store::open_with(dir.path(), options.clone()).expect("opens");
        let (map, snapshots, backups) = (Map::new(), VecDeque::new(), scratch());
        Self { dir, options, store: Some(store), map, snapshots, backups, last_seq: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open between steps")
    }

    fn commit(&mut self, commit: Option<logkv::Commit>) {
        if let Some(commit) = commit {
            assert!(commit.first.0 > self.last_seq, "numbers only grow");
            self.last_seq = commit.last.0;
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put(key, value) => {
                let commit = self.store().put(key, value).expect("a put");
                self.commit(Some(commit));
                self.map.insert(key.clone(), value.clone());
            }
            Step::PutIfAbsent(key, value) => {
                let commit = self.store().put_if_absent(key, value).expect("a put");
                assert_eq!(commit.is_some(), !self.map.contains_key(key));
                self.commit(commit);
                self.map.entry(key.clone()).or_insert_with(|| value.clone());
            }
            Step::PutIfPresent(key, value) => {
                let commit = self.store().put_if_present(key, value).expect("a put");
                assert_eq!(commit.is_some(), self.map.contains_key(key));
                self.commit(commit);
                self.map.entry(key.clone()).and_modify(|there| there.clone_from(value));
            }
            Step::Delete(key) => {
                let was_there = self.store().delete(key).expect("a delete");
                assert_eq!(was_there, self.map.remove(key).is_some());
            }
            Step::Batch(changes) => {
                let commit = self.store().write(&batch_of(changes)).expect("a batch");
                self.commit(commit);
                changes.iter().for_each(|change| apply(&mut self.map, change));
            }
            Step::Submit(changes) => {
                let submit =
                    |change| self.store().submit(&batch_of(std::slice::from_ref(change))).expect("submits");
                let pending: Vec<_> = changes.iter().map(submit).collect();
                for pending in pending {
                    let commit = pending.wait().expect("waits");
                    self.commit(commit);
                }
                changes.iter().for_each(|change| apply(&mut self.map, change));
            }
            Step::Scan(from, to) => self.check_scan(from, to),
            Step::Rotate => drop(self.store().rotate().expect("rotates")),
            Step::Compact(first, count) => self.compact(*first, *count),
            Step::CompactDue => drop(self.store().compact(&Compact::Due).expect("compacts")),
            Step::CompactAll => drop(self.store().compact(&Compact::All).expect("compacts")),
            Step::Snapshot => {
                if self.snapshots.len() == 3 {
                    self.snapshots.pop_front();
                }
                let snapshot = self.store().snapshot().expect("a snapshot");
                self.snapshots.push_back((snapshot, self.map.clone()));
            }
            Step::Sync => self.store().sync().expect("syncs"),
            Step::BackUp(is_directory) => self.back_up(*is_directory),
            Step::Reopen => {
                self.store.take().expect("open").close().expect("closes");
                self.open();
            }
            Step::Crash => {
                let store = self.store.take().expect("open");
                // What this policy holds back in the process dies with it.
                store.sync().expect("syncs");
                self.dir = killed(store, self.dir.path());
                self.open();
            }
        }
    }

    fn compact(&self, first: usize, count: usize) {
        let segments = self.store().segments().expect("segments");
        let sealed = segments.iter().filter(|segment| segment.state == SegmentState::Sealed);
        let run: Vec<_> = sealed.map(|segment| segment.id).skip(first).take(count).collect();
        self.store().compact(&Compact::Segments(run)).expect("compacts");
    }

    fn back_up(&self, is_directory: bool) {
        let copy = self.backups.path().join("copy");
        let map = if is_directory {
            backup::back_up(self.store(), &copy);
            backup::restored(&copy)
        } else {
            let new = self.backups.path().join("new");
            backup::restore_archive(&backup::archived(self.store()), &new).expect("restores");
            let map = backup::contents_of_new(&new);
            fs::remove_dir_all(new).expect("it is ours");
            map
        };
        assert_eq!(map, self.map, "what is restored is what was there");
    }

    fn open(&mut self) {
        let store = Store::open_with(self.dir.path(), self.options.clone()).expect("opens");
        assert_eq!(store.open_report().damage, []);
        assert_eq!(store.open_report().torn, None);
        self.store = Some(store);
        self.check_all();
    }

    fn check_scan(&self, from: &[u8], to: &[u8]) {
        check_scan(&self.store().snapshot().expect("a snapshot"), &self.map, from, to);
    }

    fn check_all(&self) {
        for (snapshot, map) in &self.snapshots {
            assert_eq!(snapshot.len(), map.len() as u64);
            for (key, value) in map {
                assert_eq!(snapshot.get(key).expect("reads").as_deref(), Some(value.as_slice()));
            }
            check_scan(snapshot, map, &[], &[0xff; 301]);
        }
        assert_eq!(self.store().len(), self.map.len() as u64);
        for n in 0..12 {
            let key = vec![b'k', n];
            let value = self.store().get(&key).expect("reads").map(|value| value.to_vec());
            assert_eq!(value.as_ref(), self.map.get(&key), "{key:?}");
        }
        self.check_scan(&[], &[0xff; 301]);
        let stats = self.store().stats().expect("stats");
        let live: u64 = self.store().keys(..).expect("keys").map(|key| key.expect("reads").len).sum();
        assert_eq!(stats.live_len, live);
        for segment in self.store().segments().expect("segments") {
            let totals = self.store().inspect(segment.id).expect("inspects").totals;
            let counted = (totals.live_count, totals.live_len, totals.tombstone_count, totals.record_count);
            let kept = (segment.live_count, segment.live_len, segment.tombstone_count, segment.record_count);
            assert_eq!(kept, counted, "the counters equal a recount from the file");
        }
    }
}

/// The snapshot shows what `map` holds from `from` to `to`, in both directions and from both ends.
fn check_scan(store: &Snapshot, map: &Map, from: &[u8], to: &[u8]) {
    let (from, to) = if from <= to { (from, to) } else { (to, from) };
    let range = (Bound::Included(from), Bound::Excluded(to));
    let expected: Vec<_> =
        map.iter().filter(|(key, _)| from <= key.as_slice() && key.as_slice() < to).collect();
    let entry = |entry: logkv::Result<logkv::Entry>| entry.expect("reads");
    let forward: Vec<_> = store.scan(range).expect("scans").map(entry).collect();
    assert!(
        forward
            .iter()
            .map(|entry| (&*entry.meta.key, &*entry.value))
            .eq(expected.iter().map(|(k, v)| (&***k, &***v)))
    );
    let backward: Vec<_> =
        store.keys(range).expect("keys").rev().map(|key| key.expect("reads").key.to_vec()).collect();
    assert!(backward.iter().eq(expected.iter().rev().map(|(key, _)| *key)));
    let mut keys = store.keys(range).expect("keys").map(|key| key.expect("reads").key.to_vec());
    let mut left = expected.iter().map(|(key, _)| (*key).clone());
    for step in 0..=expected.len() {
        let is_front = (step * 7 + from.len()) % 3 != 0;
        let pair = if is_front { (keys.next(), left.next()) } else { (keys.next_back(), left.next_back()) };
        assert_eq!(pair.0, pair.1);
    }
}

fn options() -> impl Strategy<Value = Options> {
    let sync = prop_oneof![
        Just(Sync::Always),
        Just(Sync::Never),
        Just(Sync::Every(Duration::from_millis(1))),
        (0_usize..2000).prop_map(Sync::Buffered),
    ];
    let read_with = prop_oneof![Just(ReadWith::Mmap), Just(ReadWith::Pread)];
    let checkpoint = prop_oneof![Just(1), Just(20), Just(u64::MAX)];
    (sync, read_with, 128_u64..2000, checkpoint).prop_map(|(sync, read_with, len, checkpoint)| {
        let options = Options::new().sync(sync).read_with(read_with).segment_len_max(len);
        options.background(false).checkpoint_records(checkpoint)
    })
}

/// How many sequences of steps are tried; PROPTEST_CASES makes it a soak.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_a_map_whatever_happens_to_its_files(
        options in options(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut pair = Pair::new(options);
        for step in &steps {
            pair.step(step);
        }
        pair.check_all();
    }
}
