//! Queries of the past return the correct state or report it as compacted away.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use logkv::{At, Batch, Compact, CompactionPolicy, Error, Expiry, Options, Seqno, Store};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::common::{
    open, quick, remove_derived, scratch, sealed, segment_path, small_store, unclosed_store,
};
use crate::moving::MovingClock;
use crate::recount::Recounted;
use crate::repair::repaired;

type Map = BTreeMap<String, String>;

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Expiring(u8, u64),
    Delete(u8),
    /// Puts keys in one batch.
    Batch(Vec<u8>),
    Rotate,
    /// Compacts some segments while the clock jumps, seeded by the last field.
    Compact(usize, usize, u64),
    CompactAll,
    Wait(u64),
    /// Sets the clock back until it is corrected or the store reopens.
    SetBack(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8).prop_map(Step::Put),
        1 => (0..6_u8, 0..300_u64).prop_map(|(key, ttl_ms)| Step::Expiring(key, ttl_ms)),
        3 => (0..6_u8).prop_map(Step::Delete),
        1 => prop::collection::vec(0..6_u8, 1..4).prop_map(Step::Batch),
        2 => Just(Step::Rotate),
        2 => (0..6_usize, 1..4_usize, any::<u64>())
            .prop_map(|(first, count, seed)| Step::Compact(first, count, seed)),
        1 => Just(Step::CompactAll),
        2 => (1..200_u64).prop_map(Step::Wait),
        1 => (1..300_u64).prop_map(Step::SetBack),
        1 => Just(Step::Reopen),
    ]
}

fn name(key: u8) -> String {
    format!("key{key}")
}

/// A record as it was written.
#[derive(Clone, Debug)]
struct Written {
    seq: u64,
    time_ms: u64,
    key: String,
    value: Option<String>,
    expires_ms: Option<u64>,
}

/// A store, and all records ever written to it.
struct StoreAndLog {
    dir: TempDir,
    options: Options,
    clock: Arc<MovingClock>,
    store: Option<Store>,
    written: Vec<Written>,
    /// The latest time of the clock.
    now_ms: u64,
    /// The current time of the clock.
    clock_ms: u64,
}

impl StoreAndLog {
    fn new(keep_versions: u64, keep_for_ms: u64) -> Self {
        let (dir, clock) = (scratch(), Arc::new(MovingClock::at(1_000)));
        let policy = CompactionPolicy {
            automatic: false,
            keep_versions,
            keep_for: Duration::from_millis(keep_for_ms),
            expiry_grace: Duration::ZERO,
            ..CompactionPolicy::default()
        };
        let options = quick().segment_len_max(500).clock(clock.clone()).compaction(policy);
        let store = Some(Store::open_with(dir.path(), options.clone()).expect("opens"));
        Self { dir, options, clock, store, written: Vec::new(), now_ms: 1_000, clock_ms: 1_000 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("is open between steps")
    }

    fn note(&mut self, seq: Seqno, key: u8, value: Option<String>, expires_ms: Option<u64>) {
        let (seq, time_ms, key) = (seq.0, self.clock_ms, name(key));
        self.written.push(Written { seq, time_ms, key, value, expires_ms });
    }

    fn put(&mut self, keys: &[u8], expires_ms: Option<u64>) {
        let mut batch = Batch::new();
        let value = |place: usize| format!("value {}", self.written.len() + place);
        let values: Vec<_> = (0..keys.len()).map(value).collect();
        for (&key, value) in keys.iter().zip(&values) {
            match expires_ms {
                Some(at_ms) => batch.put_expiring(name(key), value, Expiry::At(at_ms)),
                None => batch.put(name(key), value),
            };
        }
        let first = self.store().write(&batch).expect("a batch").expect("has a commit").first;
        for ((&key, value), seq) in keys.iter().zip(values).zip(first.0..) {
            self.note(Seqno(seq), key, Some(value), expires_ms);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Put(key) => self.put(&[*key], None),
            Step::Expiring(key, ttl_ms) => self.put(&[*key], Some(self.now_ms + ttl_ms)),
            Step::Batch(keys) => self.put(keys, None),
            Step::Delete(key) => {
                let mut batch = Batch::new();
                batch.delete(name(*key));
                if let Some(commit) = self.store().write(&batch).expect("a delete") {
                    self.note(commit.last, *key, None, None);
                }
            }
            Step::Rotate => drop(self.store().rotate().expect("rotates")),
            Step::Compact(first, count, seed) => {
                let ids = sealed(self.store()).into_iter().skip(*first).take(*count).collect();
                self.clock.jump(*seed, 100);
                self.store().compact_recounted(&Compact::Segments(ids)).expect("compacts");
                self.now_ms = self.now_ms.max(self.clock.settle());
                self.set_clock(self.now_ms);
            }
            Step::CompactAll => drop(self.store().compact_recounted(&Compact::All).expect("compacts")),
            Step::Wait(ms) => self.set_clock(self.clock_ms + ms),
            Step::SetBack(ms) => self.set_clock(self.clock_ms.saturating_sub(*ms)),
            Step::Reopen => {
                self.store.take().expect("open").close().expect("closes");
                remove_derived(self.dir.path());
                // A newly opened store knows no time later than its clock.
                self.set_clock(self.now_ms);
                self.store = Some(Store::open_with(self.dir.path(), self.options.clone()).expect("opens"));
            }
        }
    }

    fn set_clock(&mut self, clock_ms: u64) {
        // An open store remembers the latest time of its clock.
        let seen_ms = self.store.as_ref().map(Store::now_ms);
        assert!(seen_ms.is_none_or(|seen_ms| seen_ms == self.now_ms));
        (self.clock_ms, self.now_ms) = (clock_ms, self.now_ms.max(clock_ms));
        self.clock.set(clock_ms);
    }

    /// Whether the clock never went back between two records.
    fn is_in_order(&self) -> bool {
        self.written.is_sorted_by_key(|written| written.time_ms)
    }

    /// The live keys after record `seq`, as of `at_ms`.
    fn map(&self, seq: u64, at_ms: u64) -> Map {
        let mut map = BTreeMap::new();
        for written in self.written.iter().filter(|written| written.seq <= seq) {
            map.insert(written.key.clone(), written);
        }
        let is_there = |written: &Written| {
            let is_past = written.expires_ms.is_some_and(|expires_ms| expires_ms <= at_ms);
            written.value.is_some() && !is_past
        };
        let there = map.into_iter().filter(|(_, written)| is_there(written));
        there.map(|(key, written)| (key, written.value.clone().expect("was put"))).collect()
    }

    /// The last record written by `at_ms`.
    fn seq_at(&self, at_ms: u64) -> u64 {
        self.written.iter().rev().find(|written| written.time_ms <= at_ms).map_or(0, |written| written.seq)
    }

    /// Checks that every query of one point is correct or reported as unknown. Returns the number
    /// of known answers.
    fn check(&self, at: At, seq: u64, at_ms: u64) -> u64 {
        let (expected, past) = (self.map(seq, at_ms), self.store().at(at).expect("a point"));
        let mut known_count = 0;
        for key in (0..6).map(name) {
            match past.get(&key) {
                Ok(found) => {
                    let value = found.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
                    assert_eq!(value.as_ref(), expected.get(&key), "{key} at {at:?}");
                    known_count += 1;
                }
                Err(Error::CompactedAway { .. }) => {}
                Err(error) => panic!("{key} at {at:?}: {}", error.sentence()),
            }
        }
        match past.scan(..) {
            Ok(scan) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let entries = scan.map(|entry| entry.expect("reads"));
                let found: Map = entries.map(|entry| (text(&entry.meta.key), text(&entry.value))).collect();
                assert_eq!(found, expected, "at {at:?}");
                assert_eq!(known_count, 6, "a key that a scan returns, a get returns too");
            }
            Err(Error::CompactedAway { .. }) => {}
            Err(error) => panic!("at {at:?}: {}", error.sentence()),
        }
        known_count
    }

    /// Checks that a diff of two points equals the difference of their maps.
    fn check_diff(&self, from: u64, to: u64) {
        let differences = match self.store().diff(At::Seq(Seqno(from)), Some(At::Seq(Seqno(to)))) {
            Ok(differences) => differences,
            Err(Error::CompactedAway { .. }) => return,
            Err(error) => panic!("{}", error.sentence()),
        };
        let [before, after] = [from, to].map(|seq| self.map(seq, self.now_ms));
        let newest = |seq: u64, key: &str| {
            let written = self.written.iter().rev().find(|written| written.seq <= seq && written.key == key);
            written.map(|written| written.seq)
        };
        let expected: Vec<_> = (0..6)
            .map(name)
            .filter(|key| newest(from, key) != newest(to, key))
            .map(|key| (before.get(&key).cloned(), after.get(&key).cloned()))
            .filter(|pair| *pair != (None, None))
            .collect();
        let text = |entry: Option<logkv::Entry>| {
            entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
        };
        let differences = differences.map(|difference| difference.expect("reads"));
        let found: Vec<_> =
            differences.map(|difference| (text(difference.before), text(difference.after))).collect();
        assert_eq!(found, expected, "from {from} to {to}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_past_reads_as_it_was_or_is_reported_as_compacted_away(
        steps in prop::collection::vec(step(), 1..60),
        keep_versions in 1..4_u64,
        keep_for_ms in prop_oneof![Just(0), Just(150_u64), Just(u64::MAX)],
    ) {
        let mut pair = StoreAndLog::new(keep_versions, keep_for_ms);
        steps.iter().for_each(|step| pair.step(step));
        let last = pair.written.last().map_or(0, |written| written.seq);
        let is_compacted = steps.iter().any(|step| matches!(step, Step::Compact(..) | Step::CompactAll));
        for seq in 0..=last {
            let known_count = pair.check(At::Seq(Seqno(seq)), seq, pair.now_ms);
            if !is_compacted || keep_for_ms == u64::MAX || seq == last {
                prop_assert_eq!(known_count, 6, "an answer about record {} is missing", seq);
            }
            pair.check_diff(seq / 2, seq);
        }
        for at_ms in (0..pair.now_ms + 50).step_by(25) {
            let known_count = pair.check(At::Time(at_ms), pair.seq_at(at_ms), at_ms);
            // For a time before the clock went back, the last record may be gone.
            if at_ms.saturating_add(keep_for_ms) > pair.now_ms && pair.is_in_order() {
                prop_assert_eq!(known_count, 6, "{} is not {} ms ago", at_ms, keep_for_ms);
            }
        }
    }
}

/// A compacted store that keeps three versions, with five versions of `k`.
fn compacted() -> (TempDir, Store) {
    let pair = StoreAndLog::new(3, 0);
    for n in 1..=5 {
        pair.store().put("k", n.to_string()).expect("a put");
    }
    pair.store().compact_recounted(&Compact::All).expect("compacts");
    let StoreAndLog { dir, store, .. } = pair;
    (dir, store.expect("open"))
}

#[test]
fn kept_versions_are_shown_and_older_ones_are_reported_as_compacted() {
    let (_dir, store) = compacted();
    let versions = store.versions("k").expect("reads");
    assert_eq!(versions.dropped_to(), Some(Seqno(2)));
    let values: Vec<_> = versions.map(|version| version.expect("reads").value).collect();
    assert_eq!(values.iter().flatten().map(|value| value[0]).collect::<Vec<_>>(), b"345");
    for (seq, expected) in [(3, b"3"), (4, b"4"), (5, b"5")] {
        let found = store.get_at("k", At::Seq(Seqno(seq))).expect("is known").expect("exists");
        assert_eq!(found.value, expected);
    }
    let gone = store.get_at("k", At::Seq(Seqno(2)));
    assert!(matches!(gone, Err(Error::CompactedAway { whole_from: Seqno(3) })), "{gone:?}");
    let other = store.get_at("other", At::Seq(Seqno(2)));
    assert!(matches!(other, Err(Error::CompactedAway { .. })), "the value is unknown: {other:?}");
}

#[test]
fn versions_kept_for_a_time_are_compacted_after_it() {
    let mut pair = StoreAndLog::new(1, 1_000);
    for _ in 0..20 {
        pair.step(&Step::Put(1));
    }
    pair.step(&Step::CompactAll);
    let versions = |pair: &StoreAndLog| pair.store().versions("key1").expect("reads").count();
    assert_eq!(versions(&pair), 20);
    let is_due =
        |pair: &StoreAndLog| !pair.store().compaction_plan(&Compact::Due).expect("a plan").runs.is_empty();
    assert!(!is_due(&pair), "the compaction would free nothing");
    pair.step(&Step::Wait(1_000));
    assert!(is_due(&pair));
    pair.store().compact_recounted(&Compact::Due).expect("compacts");
    assert_eq!(versions(&pair), 1);
}

#[test]
fn a_read_only_open_of_a_store_that_lost_its_newest_records_shows_the_remaining_state() {
    let clears: fn(&Store) = |store| assert_eq!(store.clear().expect("clears"), 0);
    let compacts: fn(&Store) = |store| drop(store.compact_recounted(&Compact::All).expect("compacts"));
    for act in [compacts, clears] {
        let dir = scratch();
        let store = Store::open_with(dir.path(), quick()).expect("opens");
        store.put("k", "1").expect("a put");
        store.delete("k").expect("a delete");
        act(&store);
        let last_seq = store.stats().expect("statistics").last_seq;
        let reader = Store::open_with(dir.path(), quick().read_only(true)).expect("opens");
        assert_eq!(reader.stats().expect("statistics").last_seq, last_seq);
        for at in [At::Seq(last_seq), At::Seq(Seqno(u64::MAX))] {
            assert_eq!(reader.get_at("k", at).expect("is known"), None);
        }
    }
}

#[test]
fn a_tombstone_stays_as_long_as_a_version_it_hides() {
    let mut pair = StoreAndLog::new(1, 1_000);
    for step in [Step::Put(1), Step::Delete(1), Step::CompactAll, Step::Reopen, Step::Wait(10)] {
        pair.step(&step);
    }
    assert_eq!(pair.store().get(name(1)).expect("reads"), None, "the deleted key came back");
    assert_eq!(pair.store().versions(name(1)).expect("reads").count(), 2);
    assert_eq!(pair.check(At::Seq(Seqno(1)), 1, pair.now_ms), 6);
}

#[test]
fn the_next_open_reports_cleared_history_as_gone() {
    let mut pair = StoreAndLog::new(1, 0);
    pair.step(&Step::Put(1));
    pair.store().clear().expect("clears");
    for _ in 0..2 {
        let (past, now) = (At::Seq(Seqno(1)), At::Seq(Seqno(u64::MAX)));
        let gone = pair.store().get_at(name(1), past);
        assert!(matches!(gone, Err(Error::CompactedAway { whole_from: Seqno(2) })), "{gone:?}");
        assert_eq!(pair.store().get_at(name(1), now).expect("is known"), None);
        assert_eq!(pair.store().versions(name(1)).expect("reads").dropped_to(), Some(Seqno(2)));
        pair.step(&Step::Reopen);
    }
}

#[test]
fn history_survives_a_repair_that_keeps_every_record() {
    let dir = unclosed_store();
    let (to, report) = repaired(dir.path());
    assert!(report.is_whole() && report.torn_len == 0, "{report:?}");
    let store = open(to.path());
    let versions = store.versions("key 0").expect("reads");
    assert_eq!((versions.dropped_to(), versions.given_up_to()), (None, None));
    assert_eq!(versions.map(|version| version.expect("reads").meta.seq.0).collect::<Vec<_>>(), [1]);
    assert_eq!(store.get_at("key 4", At::Seq(Seqno(3))).expect("is known"), None);
    let seqs: Vec<_> =
        store.changes(Seqno(0)).map(|change| change.expect("no record is missing").meta.seq.0).collect();
    let last = *seqs.last().expect("has records");
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
    // Writes lost in the crash may have used the numbers up to here.
    let skipped_to = store.put("after", "the repair").expect("a put").last;
    assert!(skipped_to.0 > last + 1, "{skipped_to}");
    let between = Seqno(skipped_to.0 - 1);
    assert!(store.get_at("key 4", At::Seq(between)).expect("is known").is_some());
    assert_eq!(
        store.changes(between).map(|change| change.expect("is known").meta.seq).next(),
        Some(skipped_to)
    );
}

#[test]
fn numbers_given_up_by_a_repair_are_reported_as_lost_and_not_as_compacted() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("the segment");
    bytes[64 + 33] ^= 1;
    fs::write(path, bytes).expect("the damage");
    let (to, report) = repaired(dir.path());
    let [given_up] = &report.given_up[..] else { panic!("{report:?}") };
    assert_eq!((given_up.seqs.start, given_up.seqs.end), (Seqno(1), Seqno(2)));
    let store = open(to.path());
    let versions = store.versions("two").expect("reads");
    assert_eq!((versions.dropped_to(), versions.given_up_to()), (None, Some(Seqno(1))));
    let gone = store.get_at("one", At::Seq(Seqno(2)));
    assert!(matches!(gone, Err(Error::GivenUp { whole_from: Seqno(7) })), "{gone:?}");
    let mut feed = store.changes(Seqno(1));
    assert!(matches!(feed.next(), Some(Err(Error::GivenUp { whole_from: Seqno(2) }))));
    assert_eq!(feed.map(|change| change.expect("is known").meta.seq.0).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    assert_eq!(
        store.changes(Seqno(2)).filter(Result::is_err).count(),
        0,
        "a feed after the lost numbers has no error"
    );
}
