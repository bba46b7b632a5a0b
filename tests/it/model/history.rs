//! The history of all writes, which determines the expected answers about the past.

use std::collections::BTreeMap;
use std::time::Duration;

use logkv::{At, Change, Changes, Entry, Error, Seqno, Store, Version};

use super::world::{Map, World};

/// After all writes. A crash skips numbers, so that the last record may have a smaller one.
const NOW: Seqno = Seqno(u64::MAX);

/// A record, as the feed returned it.
#[derive(Clone, Debug)]
struct HistoryRecord {
    seq: u64,
    time_ms: u64,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    expires_ms: Option<u64>,
}

impl HistoryRecord {
    fn of(change: &Change) -> Self {
        let meta = &change.meta;
        Self {
            seq: meta.seq.0,
            time_ms: meta.time_ms,
            key: meta.key.to_vec(),
            value: change.value.as_deref().map(<[u8]>::to_vec),
            expires_ms: meta.expires_ms,
        }
    }

    /// Whether its key exists at `at_ms`.
    fn is_there(&self, at_ms: u64) -> bool {
        self.value.is_some() && !self.is_over(at_ms)
    }

    /// The time at which the version expires. A delete ends at once.
    fn end_ms(&self) -> u64 {
        if self.value.is_none() { self.time_ms } else { self.expires_ms.unwrap_or(u64::MAX) }
    }

    fn is_over(&self, at_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= at_ms)
    }

    /// Whether `found` equals this record. Up to number `dropped`, a delete may replace an expired
    /// record.
    fn is(&self, found: &Version, now_ms: u64, dropped: u64) -> bool {
        let meta = &found.meta;
        let is_same = (self.value.as_deref(), self.expires_ms) == (found.value.as_deref(), meta.expires_ms);
        let is_stood_for = found.value.is_none() && self.is_over(now_ms) && self.seq <= dropped;
        (meta.seq.0, meta.time_ms, &*meta.key) == (self.seq, self.time_ms, &*self.key)
            && (is_same || is_stood_for)
    }
}

#[derive(Clone, Debug)]
enum Event {
    Wrote(HistoryRecord),
    /// The store was cleared, with this number and time.
    Cleared {
        seq: u64,
        time_ms: u64,
    },
}

impl Event {
    fn seq(&self) -> u64 {
        match self {
            Self::Wrote(HistoryRecord { seq, .. }) | Self::Cleared { seq, .. } => *seq,
        }
    }

    fn time_ms(&self) -> u64 {
        match self {
            Self::Wrote(HistoryRecord { time_ms, .. }) | Self::Cleared { time_ms, .. } => *time_ms,
        }
    }

    fn is_clear(&self) -> bool {
        matches!(self, Self::Cleared { .. })
    }
}

/// The versions that a compaction must keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) versions: u64,
    pub(super) time: Duration,
}

impl Retention {
    /// Whether a version that ended at `ended_ms` must still exist.
    fn is_recent(self, ended_ms: u64, now_ms: u64) -> bool {
        Duration::from_millis(now_ms.saturating_sub(ended_ms)) < self.time
    }
}

/// The history of a store, and its retention.
#[derive(Debug)]
pub(super) struct History {
    retention: Retention,
    events: Vec<Event>,
    last_seq: u64,
}

impl History {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, events: Vec::new(), last_seq: 0 }
    }

    /// The next number.
    pub(super) fn next_seq(&self) -> Seqno {
        Seqno(self.last_seq + 1)
    }

    /// Appends the new changes of `feed`, which must lead to `world`: each record once, and whole
    /// batches.
    pub(super) fn follow(&mut self, feed: &mut Changes, world: &World) {
        let mut goes_on = false;
        for change in feed {
            let change = change.expect("continues");
            assert_eq!(change.meta.time_ms, world.now_ms);
            assert!(change.meta.seq.0 > self.last_seq, "a record was returned twice or out of order");
            assert!(
                !goes_on || change.meta.seq.0 == self.last_seq + 1,
                "a record came between those of a batch"
            );
            (self.last_seq, goes_on) = (change.meta.seq.0, change.goes_on);
            self.events.push(Event::Wrote(HistoryRecord::of(&change)));
        }
        assert!(!goes_on, "a batch was not returned as a whole");
        let now = replayed(&self.events, world.now_ms);
        assert!(
            now.iter()
                .map(|(key, line)| (*key, line.expires_ms))
                .eq(world.map.keys().map(|key| (&**key, world.expires_ms(key))))
        );
        assert!(values(&now) == world.map);
    }

    /// Records a clear, as `feed` reports it. A clear of an empty store may go unreported.
    pub(super) fn clear(&mut self, feed: &mut Changes, time_ms: u64) {
        match feed.next() {
            Some(Err(Error::CompactedAway { whole_from })) => {
                let seq = whole_from.previous().0;
                assert!(seq > self.last_seq, "the clear is reported even after all records were returned");
                self.last_seq = seq;
                self.events.push(Event::Cleared { seq, time_ms });
            }
            None => assert!(self.events.last().is_none_or(Event::is_clear), "the clear was not reported"),
            other => panic!("{other:?}"),
        }
    }

    /// Checks that every query of two points and one time is correct or reported as gone.
    pub(super) fn check_past(&self, store: &Store, now_ms: u64, [from, to]: [u64; 2], ago_ms: u64) {
        let [from, to] = [from, to].map(|seq| seq % (self.last_seq + 1));
        for seq in [from, to, NOW.0] {
            self.check_at(store, At::Seq(Seqno(seq)), self.count_to(seq), now_ms, now_ms);
        }
        let at_ms = now_ms.saturating_sub(ago_ms);
        let count = self.events.partition_point(|event| event.time_ms() <= at_ms);
        self.check_at(store, At::Time(at_ms), count, at_ms, now_ms);
        self.check_diff(store, [from.min(to), from.max(to)], now_ms);
    }

    /// The number of events with numbers up to `seq`.
    fn count_to(&self, seq: u64) -> usize {
        self.events.partition_point(|event| event.seq() <= seq)
    }

    /// Whether the state after `count` events must be known completely.
    fn is_owed(&self, count: usize, at: At, now_ms: u64) -> bool {
        let later = &self.events[count..];
        let is_cleared = later.iter().any(Event::is_clear);
        let is_recent = match at {
            At::Seq(seq) => seq == NOW || self.retention.time == Duration::MAX,
            At::Time(at_ms) => self.retention.is_recent(at_ms, now_ms),
        };
        is_recent && !is_cleared
    }

    /// Checks every query of the point `at`, which is after `count` events, as of `at_ms`.
    fn check_at(&self, store: &Store, at: At, count: usize, at_ms: u64, now_ms: u64) {
        let expected = replayed(&self.events[..count], at_ms);
        let is_owed = self.is_owed(count, at, now_ms);
        let past = store.at(at).expect("a point");
        for key in self.keys() {
            match past.get(key) {
                Ok(found) => assert_eq!(
                    found.as_ref().map(|entry| (entry.meta.seq.0, &*entry.value)),
                    expected.get(key).map(|line| (line.seq, value(line))),
                    "{key:?} at {at:?}"
                ),
                Err(Error::CompactedAway { .. }) => assert!(!is_owed, "{key:?} at {at:?} is gone"),
                Err(error) => panic!("{}", error.sentence()),
            }
        }
        match past.scan(..) {
            Ok(scan) => {
                let entries = scan.map(|entry| entry.expect("reads"));
                let found: Map =
                    entries.map(|entry| (entry.meta.key.to_vec(), entry.value.to_vec())).collect();
                assert!(found == values(&expected), "at {at:?}");
            }
            Err(Error::CompactedAway { .. }) => assert!(!is_owed, "{at:?} is gone"),
            Err(error) => panic!("{}", error.sentence()),
        }
    }

    /// Checks that a diff of two points equals the writes between them.
    fn check_diff(&self, store: &Store, seqs: [u64; 2], now_ms: u64) {
        let [from, to] = seqs.map(|seq| At::Seq(Seqno(seq)));
        let differences = match store.diff(from, Some(to)) {
            Ok(differences) => differences,
            Err(Error::CompactedAway { .. }) => {
                let is_owed = |seq| self.is_owed(self.count_to(seq), At::Seq(Seqno(seq)), now_ms);
                assert!(!seqs.into_iter().all(is_owed), "the diff of {seqs:?} is gone");
                return;
            }
            Err(error) => panic!("{}", error.sentence()),
        };
        let points = seqs.map(|seq| replayed(&self.events[..self.count_to(seq)], now_ms));
        let pair = |key: &'_ [u8]| points.each_ref().map(|point| point.get(key).map(|line| line.seq));
        let expected: Vec<_> = self.keys().into_iter().map(pair).filter(|[from, to]| from != to).collect();
        let seq = |entry: Option<Entry>| entry.map(|entry| entry.meta.seq.0);
        let found = differences.map(|difference| difference.expect("reads"));
        let found: Vec<_> = found.map(|found| [seq(found.before), seq(found.after)]).collect();
        assert_eq!(found, expected, "the diff of {seqs:?}");
    }

    /// Checks that all versions that must be kept exist, that all existing versions were written,
    /// and that a feed returns the same versions and reports the others as gone.
    pub(super) fn check_log(&self, store: &Store, now_ms: u64) {
        let mut left = BTreeMap::new();
        let mut dropped = 0;
        for key in self.keys() {
            let found = store.versions(key).expect("reads");
            dropped = found.dropped_to().map_or(0, |dropped_to| dropped_to.0);
            let versions: Vec<_> = found.map(|version| version.expect("reads")).collect();
            self.check_versions(key, &versions, now_ms, dropped);
            left.extend(versions.into_iter().map(|version| (version.meta.seq, version)));
        }
        let mut feed = store.changes(Seqno(0));
        if dropped > 0 {
            let gone = feed.next().expect("an item").expect_err("reports the gap");
            assert!(matches!(gone, Error::CompactedAway { whole_from } if whole_from.0 == dropped + 1));
        }
        let given = feed.map(|change| change.expect("a record"));
        let given: Vec<_> =
            given.map(|Change { meta, value, .. }| (meta.seq, Version { meta, value })).collect();
        assert!(given.into_iter().eq(left), "the feed returns every version in order");
    }

    fn check_versions(&self, key: &[u8], found: &[Version], now_ms: u64, dropped: u64) {
        let cleared = self.events.iter().rposition(Event::is_clear).map_or(0, |at| at + 1);
        let lines: Vec<_> = written(&self.events[cleared..]).filter(|line| line.key == key).collect();
        let mut left = found.iter().peekable();
        for (at, line) in lines.iter().enumerate() {
            let is_there = left.next_if(|found| line.is(found, now_ms, dropped)).is_some();
            let is_owed = line.seq > dropped || self.is_kept(&lines, at, now_ms);
            assert!(
                is_there || !is_owed,
                "{line:?} is gone, and only records up to {dropped} may be; {found:?}"
            );
        }
        assert_eq!(left.next(), None, "a version that was never written");
    }

    /// Whether version number `at` of a key must exist.
    fn is_kept(&self, lines: &[&HistoryRecord], at: usize, now_ms: u64) -> bool {
        let newer = &lines[at + 1..];
        // Deletes of expired keys, and versions that expired before they were replaced, need not be
        // kept.
        let next_ms = newer.first().map_or(u64::MAX, |next| next.time_ms);
        let ended_ms = lines[at].end_ms().min(next_ms);
        // A compaction while the key was missing kept no versions of it.
        let ends = newer.iter().map(|next| next.time_ms).chain([now_ms]);
        let was_never_gone = lines[at..].iter().zip(ends).all(|(line, end_ms)| line.is_there(end_ms));
        let is_among_last = (newer.len() as u64) < self.retention.versions && was_never_gone;
        is_among_last || self.retention.is_recent(ended_ms, now_ms)
    }

    /// Every key ever written, in order.
    fn keys(&self) -> Vec<&[u8]> {
        let mut keys: Vec<_> = written(&self.events).map(|line| &*line.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

fn written(events: &[Event]) -> impl Iterator<Item = &HistoryRecord> {
    events.iter().filter_map(|event| match event {
        Event::Wrote(line) => Some(line),
        Event::Cleared { .. } => None,
    })
}

/// The live records after `events`, as of `at_ms`.
fn replayed(events: &[Event], at_ms: u64) -> BTreeMap<&[u8], &HistoryRecord> {
    let mut last = BTreeMap::new();
    for event in events {
        match event {
            Event::Wrote(line) => drop(last.insert(&*line.key, line)),
            Event::Cleared { .. } => last.clear(),
        }
    }
    last.retain(|_, line| line.is_there(at_ms));
    last
}

fn value(line: &HistoryRecord) -> &[u8] {
    line.value.as_deref().expect("exists")
}

fn values(lines: &BTreeMap<&[u8], &HistoryRecord>) -> Map {
    lines.iter().map(|(key, line)| (key.to_vec(), value(line).to_vec())).collect()
}
