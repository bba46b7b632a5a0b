//! The state that readers see: the keydir and the segments that it points into.

mod find;
pub(crate) mod frozen;
mod replay;
mod set;
mod versions;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::format::codec::Compressed;
use super::format::manifest::History;
use super::format::record::Kind;
use super::keydir::{Address, Keydir, shard_of};
use super::segment::{Bodies, Expired, Scanner, Segment, Step, StoreContext};
use crate::engine::base::clock::Clock;
use crate::engine::base::error::Result;
use crate::engine::base::ids::SegmentId;
use crate::engine::base::sync::{ArcSwap, AtomicU64};
use crate::engine::metrics::meter::Meter;
pub(crate) use replay::Replay;
pub(crate) use set::{SegmentSet, address_of, addresses};
pub(crate) use versions::KeyVersions;

/// A put that a new record of the same key replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) address: Address,
    /// The bytes that die.
    pub(crate) len: u64,
    /// The expiry in milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
}

/// A record in the log that readers do not see yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpublished {
    pub(crate) hash: u64,
    pub(crate) address: Address,
    pub(crate) len: u64,
    pub(crate) kind: Kind,
    pub(crate) expires_ms: Option<u64>,
    /// Whether the next record belongs to the same batch.
    pub(crate) more: bool,
    /// The lengths of the value before and after compression, or zeros.
    pub(crate) compressed: Compressed,
    /// The put that it replaces once all earlier records are published.
    pub(crate) replaced: Option<Replaced>,
}

/// A record that compaction has copied, before the index points to the copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) hash: u64,
    pub(crate) from: Address,
    /// `None` if the record has expired: its key is removed.
    pub(crate) to: Option<Address>,
    pub(crate) len: u64,
}

/// The state that readers see. A lookup takes one shard's lock and no other.
pub(crate) struct State {
    pub(crate) context: StoreContext,
    clock: Arc<dyn Clock>,
    /// The latest time returned. It keeps expired keys from coming back when the clock steps back.
    latest_ms: Arc<AtomicU64>,
    pub(crate) keydir: Keydir,
    pub(crate) meter: Arc<Meter>,
    /// Bytes of segments replaced or cleared since this state was made.
    pub(crate) compacted_len: AtomicU64,
    /// The writer replaces it as a whole. A segment enters the set before a slot points into it,
    /// and leaves after the last such slot.
    set: ArcSwap<SegmentSet>,
    /// Counts the begins and ends of batches. A lookup repeats if it changes, and waits while it is
    /// odd.
    batches: AtomicU64,
}

/// Marks a batch as being published until it is dropped.
pub(crate) struct BatchBegun<'a>(&'a AtomicU64);

impl Drop for BatchBegun<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl State {
    pub(crate) fn new(context: StoreContext, clock: Arc<dyn Clock>, keydir: Keydir) -> Self {
        Self {
            context,
            clock,
            latest_ms: Arc::default(),
            keydir,
            meter: Arc::new(Meter::new()),
            compacted_len: AtomicU64::new(0),
            set: ArcSwap::default(),
            batches: AtomicU64::new(0),
        }
    }

    /// Makes this state replace `earlier`: it takes over the meter and the latest time.
    pub(crate) fn in_place_of(self, earlier: &Self) -> Self {
        Self { latest_ms: Arc::clone(&earlier.latest_ms), meter: Arc::clone(&earlier.meter), ..self }
    }

    /// Returns a copy of this state, to which a reader adds new records. This state must have no
    /// writer.
    pub(crate) fn successor(&self) -> Result<Self> {
        self.keydir.settle()?;
        let state = Self::new(self.context.clone(), Arc::clone(&self.clock), self.keydir.fork());
        state.set.store(self.segments());
        Ok(state.in_place_of(self))
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.context.hash(key)
    }

    pub(crate) fn segments(&self) -> Arc<SegmentSet> {
        self.set.load_full()
    }

    /// Applies `change` to a copy of the segment set and publishes it. The caller is the only
    /// writer.
    pub(crate) fn change_segments<T>(&self, change: impl FnOnce(&mut SegmentSet) -> T) -> T {
        let mut set = SegmentSet::clone(&self.set.load());
        let changed = change(&mut set);
        self.set.store(Arc::new(set));
        changed
    }

    /// Removes everything and sets the history. Readers see all of the change or nothing. The
    /// caller is the only writer and has settled the index.
    pub(crate) fn clear(&self, ids: &[SegmentId], history: History) {
        let _begun = self.begin_batch();
        self.keydir.clear();
        self.change_segments(|set| {
            set.remove(ids);
            set.history = history;
        });
    }

    /// Hides the records published next until the result is dropped: lookups wait for it. The
    /// caller is the only writer.
    pub(crate) fn begin_batch(&self) -> BatchBegun<'_> {
        self.batches.fetch_add(1, Ordering::Release);
        BatchBegun(&self.batches)
    }

    /// Returns the current time, which never goes back.
    pub(crate) fn now_ms(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        let latest_ms = self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        now_ms.max(latest_ms)
    }

    /// Returns whether a record with this expiry has expired.
    pub(crate) fn is_past(&self, expires_ms: Option<u64>) -> bool {
        expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms())
    }

    /// Returns whether the index points to the record at `at` of `segment`, whose key has this
    /// hash.
    pub(crate) fn points_to(&self, hash: u64, segment: &Segment, at: u64) -> Result<bool> {
        self.keydir.points_to(hash, address_of(segment, at))
    }

    /// Makes `record` visible to readers. The only writer calls it in log order. It cannot fail.
    pub(crate) fn publish(&self, record: &Unpublished) {
        let set = self.set.load();
        let Unpublished { hash, address, len, kind, compressed, replaced, .. } = *record;
        if let Some((segment, _)) = set.locate(address) {
            segment.usage.add_record(compressed);
            match kind {
                Kind::Put => segment.usage.add_live(len),
                Kind::Delete => segment.usage.add_tombstone(len),
                Kind::Other(_) => {}
            }
        }
        if let Some((segment, _)) = replaced.and_then(|replaced| set.locate(replaced.address)) {
            segment.usage.remove_live(replaced.map_or(0, |replaced| replaced.len));
        }
        match (kind, replaced) {
            (Kind::Put, None) => self.keydir.insert(hash, address),
            (Kind::Put, Some(replaced)) => {
                self.keydir.replace(hash, replaced.address, address);
            }
            (Kind::Delete, Some(replaced)) => {
                self.keydir.remove(hash, replaced.address);
            }
            (Kind::Delete, None) | (Kind::Other(_), _) => {}
        }
    }

    /// Points the index to the copy of a record, if it still points to the original. Both segments
    /// are in the set, and the caller is the only writer.
    pub(crate) fn move_record(&self, moved: &Moved) {
        let is_current = match moved.to {
            Some(to) => self.keydir.replace(moved.hash, moved.from, to),
            None => self.keydir.remove(moved.hash, moved.from),
        };
        if !is_current {
            return;
        }
        let set = self.set.load();
        if let Some((segment, _)) = set.locate(moved.from) {
            segment.usage.remove_live(moved.len);
        }
        if let Some((segment, _)) = moved.to.and_then(|to| set.locate(to)) {
            segment.usage.add_live(moved.len);
        }
    }

    /// Counts the records of `segment` that have expired at `by_ms` and that the index points to.
    /// Reads the headers unless no record can have expired.
    pub(crate) fn expired(&self, segment: &Segment, by_ms: u64) -> Result<Expired> {
        let mut expired = Expired::default();
        if !segment.expiry.may_expire_by(by_ms) {
            return Ok(expired);
        }
        let was_known = segment.expiry.is_known();
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            let Step::Record(record) = step else { continue };
            let at = record.at;
            let len = record.frame.len;
            let expires_ms = record.frame.expires_ms(record.bytes);
            if record.header.kind() != Kind::Put {
                continue;
            }
            if !was_known {
                segment.expiry.add(len, expires_ms);
            }
            if expires_ms.is_some_and(|expires_ms| expires_ms <= by_ms)
                && self.points_to(self.hash(record.key()), segment, at)?
            {
                expired = Expired { count: expired.count + 1, len: expired.len + len };
            }
        }
        segment.expiry.set_known();
        Ok(expired)
    }

    /// Rebuilds one shard of the index from the parts of segments that KEYDIR covers. `covered` has
    /// their lengths. The result is the shard as KEYDIR had it, because no record of the shard has
    /// moved since: a compaction checks the shards of all records that it reads.
    pub(crate) fn shard_from_log(&self, shard: usize, covered: &HashMap<SegmentId, u64>) -> Result<Keydir> {
        let keydir = Keydir::new();
        let set = self.segments();
        let replay = Replay { context: &self.context, set: &set, keydir: &keydir, counts: false };
        for segment in set.iter() {
            let Some(&len) = covered.get(&segment.id) else { continue };
            for rows in segment.order(&self.context)? {
                replay.rows(segment, &rows, 0..len, |hash| shard_of(hash) == shard)?;
            }
        }
        Ok(keydir)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("keydir", &self.keydir).finish_non_exhaustive()
    }
}
