//! Layer 5: what readers see — the keydir and the segments it points into: find, publish, add.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::clock::Clock;
use super::format::key_hash;
use super::format::record::Kind;
use super::keydir::{Address, Keydir};
use super::segment::{Record, Segment};
use crate::error::{Error, Result};

/// The log's address space is dealt out in pages of 64 MiB; a segment takes whole ones.
const PAGE_LEN: u64 = 64 << 20;
/// Addresses count units of 8 bytes, on which every record starts.
const UNIT_LEN: u64 = 8;
const PAGE_UNITS: u64 = PAGE_LEN / UNIT_LEN;
/// 2^40 units of 8 bytes: 8 TiB.
const PAGE_COUNT_MAX: u64 = (1 << 40) / PAGE_UNITS;

fn page_count(len: u64) -> u64 {
    len.div_ceil(PAGE_LEN).max(1)
}

/// The segments, and which page of the address space belongs to which. Never changed: a new set replaces it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentSet {
    /// In log order.
    segments: Vec<Arc<Segment>>,
    pages: Vec<Arc<Segment>>,
}

impl SegmentSet {
    /// The segments in log order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> + ExactSizeIterator {
        self.segments.iter()
    }

    /// The first page of a segment that is to be added, now that the last one is final: what that had not used of its
    /// capacity is dealt out again, since no slot ever pointed there.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub(crate) fn next_page(&self, capacity: u64) -> Result<u32> {
        let first =
            self.segments.last().map_or(0, |last| u64::from(last.first_page) + page_count(last.len()));
        if first + page_count(capacity) > PAGE_COUNT_MAX { Err(Error::Full) } else { Ok(first as u32) }
    }

    /// This set and `segment`, which takes `capacity` bytes of the address space, at the log's end.
    fn with(&self, segment: Arc<Segment>, capacity: u64) -> Self {
        let mut set = self.clone();
        set.pages.truncate(segment.first_page as usize);
        set.pages.extend((0..page_count(capacity)).map(|_| Arc::clone(&segment)));
        set.segments.push(segment);
        set
    }

    /// The segment and the offset that `address` names.
    pub(crate) fn locate(&self, address: Address) -> Option<(&Arc<Segment>, u64)> {
        let segment = self.pages.get((address.0 / PAGE_UNITS) as usize)?;
        Some((segment, (address.0 - u64::from(segment.first_page) * PAGE_UNITS) * UNIT_LEN))
    }
}

/// The address of the record at `at` in `segment`.
pub(crate) fn address_of(segment: &Segment, at: u64) -> Address {
    Address(u64::from(segment.first_page) * PAGE_UNITS + at / UNIT_LEN)
}

/// An older put that a new record of the same key replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) address: Address,
    /// Bytes that die with it.
    pub(crate) len: u64,
}

/// A record in the log that readers do not see yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpublished {
    pub(crate) hash: u64,
    pub(crate) address: Address,
    pub(crate) len: u64,
    pub(crate) kind: Kind,
    /// What it replaces when it is published, everything before it having been published.
    pub(crate) replaced: Option<Replaced>,
}

/// What readers see. Reading takes one shard's lock for one lookup, and no other lock.
pub(crate) struct State {
    hash_seed: u64,
    clock: Arc<dyn Clock>,
    pub(crate) keydir: Keydir,
    /// Swapped whole by the writer: a segment is in the set before a slot points into it.
    set: ArcSwap<SegmentSet>,
}

impl State {
    pub(crate) fn new(hash_seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self { hash_seed, clock, keydir: Keydir::new(), set: ArcSwap::default() }
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        key_hash(self.hash_seed, key)
    }

    /// The segments as they are now.
    pub(crate) fn segments(&self) -> Arc<SegmentSet> {
        self.set.load_full()
    }

    /// Lets readers find `segment`, whose first page [`SegmentSet::next_page`] has given. The caller is the only writer.
    pub(crate) fn add_segment(&self, segment: Arc<Segment>, capacity: u64) {
        let set = self.set.load().with(segment, capacity);
        self.set.store(Arc::new(set));
    }

    /// The newest record of `key`, checked; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// [`Error::Damaged`], what the operating system says, and those of the rebuild of a damaged shard.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let candidates = self.keydir.candidates(self.hash(key))?;
        // After the lookup: a slot's segment was in the set before the slot was.
        let set = self.set.load();
        let mut failure = None;
        for (segment, at) in candidates.iter().filter_map(|address| set.locate(address)) {
            match segment.lookup(at, key) {
                Ok(Some(record)) if self.has_expired(&record) => return Ok(None),
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) => {}
                // It may be another key's: an intact record of this one goes before it.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    pub(crate) fn has_expired(&self, record: &Record) -> bool {
        record.expires_ms.is_some_and(|expires_ms| expires_ms <= self.clock.now_ms())
    }

    /// The record that the keydir points to for `key`, expired or not, for a writer to replace; its body is not
    /// looked at.
    ///
    /// # Errors
    /// What the operating system says, and those of the rebuild of a damaged shard.
    pub(crate) fn replaceable(&self, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        let candidates = self.keydir.candidates(hash)?;
        let set = self.set.load();
        for address in candidates.iter() {
            if let Some((segment, at)) = set.locate(address)
                && let Some(len) = segment.len_if_key(at, key)?
            {
                return Ok(Some(Replaced { address, len }));
            }
        }
        Ok(None)
    }

    /// Whether the keydir points to the record of `key` at `at` of `segment`.
    ///
    /// # Errors
    /// Those of the rebuild of a damaged shard.
    pub(crate) fn points_to(&self, key: &[u8], segment: &Segment, at: u64) -> Result<bool> {
        self.keydir.points_to(self.hash(key), address_of(segment, at))
    }

    /// Lets readers see `record`. In log order, by the only writer; it cannot fail, since the writer has looked for what
    /// it replaces ([`State::replaceable`]).
    pub(crate) fn publish(&self, record: &Unpublished) {
        let set = self.set.load();
        let Unpublished { hash, address, len, kind, replaced } = *record;
        if let Some((segment, _)) = set.locate(address) {
            segment.usage.add_record();
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
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("keydir", &self.keydir).finish_non_exhaustive()
    }
}
