//! What readers see — the keydir and the segments it points into: find, publish, replace.

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
use super::segment::Expired;
use super::segment::{Bodies, Scanner, Step};
use super::segment::{Segment, StoreContext};
use crate::engine::base::clock::Clock;
use crate::engine::base::error::Result;
use crate::engine::base::ids::SegmentId;
use crate::engine::base::sync::{ArcSwap, AtomicU64};
use crate::engine::metrics::meter::Meter;
pub(crate) use replay::Replay;
pub(crate) use set::{SegmentSet, address_of, addresses};
pub(crate) use versions::KeyVersions;

/// An older put that a new record of the same key replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) address: Address,
    /// Bytes that die with it.
    pub(crate) len: u64,
    /// When it expires, if it has not already, in milliseconds since 1970.
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
    /// Whether the batch goes on in the next one.
    pub(crate) more: bool,
    /// What its value comes to, if it is compressed.
    pub(crate) compressed: Compressed,
    /// What it replaces when it is published, everything before it having been published.
    pub(crate) replaced: Option<Replaced>,
}

/// A record that a compaction has copied, on its way into the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) hash: u64,
    pub(crate) from: Address,
    /// `None`: it has expired, and its key goes.
    pub(crate) to: Option<Address>,
    pub(crate) len: u64,
}

/// What readers see. Reading takes one shard's lock for one lookup, and no other lock.
pub(crate) struct State {
    pub(crate) context: StoreContext,
    clock: Arc<dyn Clock>,
    /// The latest time that was asked for: no expired key comes back because a clock stepped back.
    latest_ms: Arc<AtomicU64>,
    pub(crate) keydir: Keydir,
    /// What is counted and timed.
    pub(crate) meter: Arc<Meter>,
    /// Bytes of segments that gave way to others since this was made.
    pub(crate) compacted_len: AtomicU64,
    /// Swapped whole by the writer: a segment is in the set before a slot points into it, and leaves it after the last slot
    /// that did.
    set: ArcSwap<SegmentSet>,
    /// How often a batch began or ended to be published: who looks up a key meanwhile looks again when it is done.
    batches: AtomicU64,
}

/// A batch on its way into the index, until this is dropped.
pub(crate) struct BatchBegun<'a>(&'a AtomicU64);

impl Drop for BatchBegun<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl State {
    pub(crate) fn new(context: StoreContext, clock: Arc<dyn Clock>, keydir: Keydir) -> Self {
        let (latest_ms, compacted_len) = (Arc::default(), AtomicU64::new(0));
        let (set, batches) = (ArcSwap::default(), AtomicU64::new(0));
        let meter = Arc::new(Meter::new());
        Self { context, clock, latest_ms, keydir, meter, compacted_len, set, batches }
    }

    /// A state that replaces `earlier`: its counters go on, and its time does not go back.
    pub(crate) fn in_place_of(self, earlier: &Self) -> Self {
        let (latest_ms, meter) = (Arc::clone(&earlier.latest_ms), Arc::clone(&earlier.meter));
        Self { latest_ms, meter, ..self }
    }

    /// A copy of this state, which replaces it once new records are added. Nobody writes to this one.
    ///
    /// # Errors
    /// Those of the operating system, if a part of the index has to be made anew.
    pub(crate) fn successor(&self) -> Result<Self> {
        self.keydir.settle()?;
        let state = Self::new(self.context.clone(), Arc::clone(&self.clock), self.keydir.fork());
        state.set.store(self.segments());
        Ok(state.in_place_of(self))
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.context.hash(key)
    }

    /// The segments as they are now.
    pub(crate) fn segments(&self) -> Arc<SegmentSet> {
        self.set.load_full()
    }

    /// Lets readers find what `change` makes of the segments. The caller is the only writer.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn change_segments<T>(&self, change: impl FnOnce(&mut SegmentSet) -> Result<T>) -> Result<T> {
        let mut set = SegmentSet::clone(&self.set.load());
        let made = change(&mut set)?;
        self.set.store(Arc::new(set));
        Ok(made)
    }

    /// Takes everything out, after which `history` can be told: readers see all of it or nothing. The caller is the only
    /// writer, and has had the index settled.
    ///
    /// # Errors
    /// None that its own steps have.
    pub(crate) fn clear(&self, ids: &[SegmentId], history: History) -> Result<()> {
        let _begun = self.begin_batch();
        self.keydir.clear();
        self.change_segments(|set| {
            set.remove(ids);
            set.history = history;
            Ok(())
        })
    }

    /// Keeps what is published next from being seen before the last of it is: until the result is dropped, readers that look
    /// up a key wait for the rest. The caller is the only writer.
    pub(crate) fn begin_batch(&self) -> BatchBegun<'_> {
        self.batches.fetch_add(1, Ordering::Release);
        BatchBegun(&self.batches)
    }

    /// The time, which never goes back.
    pub(crate) fn now_ms(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        let latest_ms = self.latest_ms.fetch_max(now_ms, Ordering::Relaxed);
        now_ms.max(latest_ms)
    }

    /// Whether the time that a record may have as its end has come.
    pub(crate) fn is_past(&self, expires_ms: Option<u64>) -> bool {
        expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms())
    }

    /// Whether the keydir points to the record at `at` of `segment`, of a key with this hash.
    ///
    /// # Errors
    /// What the operating system says, when a part of the keydir has to be made anew.
    pub(crate) fn points_to(&self, hash: u64, segment: &Segment, at: u64) -> Result<bool> {
        self.keydir.points_to(hash, address_of(segment, at))
    }

    /// Lets readers see `record`. In log order, by the only writer; it cannot fail.
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

    /// Lets readers find a copied record at its new place, if they still found it at the old one. Both segments are in the
    /// set, and the caller is the only writer.
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

    /// The records of `segment` that have expired by then, and that the index points to. Reads the headers of its records,
    /// unless it is known that none has.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn expired(&self, segment: &Segment, by_ms: u64) -> Result<Expired> {
        let mut expired = Expired::default();
        if !segment.expiry.may_end_by(by_ms) {
            return Ok(expired);
        }
        let was_known = segment.expiry.is_known();
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            let Step::Record(record) = step else { continue };
            let (at, len) = (record.at, record.frame.len);
            let expires_ms = record.frame.expires_ms(record.bytes);
            if record.header.kind() != Kind::Put {
                continue;
            }
            if !was_known {
                segment.expiry.note(len, expires_ms);
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

    /// One shard of the index, made anew from the first bytes of segments: `covered` says how many of each. That is what it
    /// held when KEYDIR was written, if nobody has looked into it since: a compaction looks into the shards of all records
    /// that it reads.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn shard_from_log(&self, shard: usize, covered: &HashMap<SegmentId, u64>) -> Result<Keydir> {
        let (keydir, set) = (Keydir::new(), self.segments());
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
