//! What readers see, held at one moment.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::State;
use super::set::{SegmentSet, address_of};
use super::versions::KeyVersions;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::format::manifest::History;
use crate::engine::keydir::{Candidates, Snapshot};
use crate::engine::segment::Record;
use crate::engine::segment::Segment;
use crate::engine::segment::SortedRows;

/// The index and the segments as they were at one moment, whatever is written and compacted meanwhile.
pub(crate) struct Frozen {
    pub(crate) state: Arc<State>,
    index: Snapshot,
    set: Arc<SegmentSet>,
}

impl State {
    /// The index and the segments as they are now, if no write is under way.
    pub(crate) fn freeze(self: &Arc<Self>) -> Frozen {
        // The set after the index: a slot's segment was in the set before the slot was. No compaction ends in between: the
        // caller holds the log's lock, or there is no writer.
        let index = self.keydir.snapshot();
        Frozen { state: Arc::clone(self), index, set: self.segments() }
    }
}

impl Frozen {
    /// What the segments can tell of the past.
    pub(crate) fn history(&self) -> History {
        self.set.history
    }

    /// Every record of `key`, the oldest first; in the place of one that is damaged, and may be of this key, its error.
    pub(crate) fn versions(&self, key: &[u8]) -> KeyVersions {
        KeyVersions::of(&self.state.context, Arc::clone(&self.set), key, None)
    }

    /// The segments, in log order.
    pub(crate) fn segments(&self) -> &SegmentSet {
        &self.set
    }

    /// The number of keys.
    pub(crate) fn count(&self) -> u64 {
        self.index.count()
    }

    /// The index.
    pub(crate) fn index(&self) -> &Snapshot {
        &self.index
    }

    /// The record of `key`, checked; `None` when there was none or it has expired.
    ///
    /// # Errors
    /// [`Error::Damaged`], and what the operating system says.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let hash = self.state.hash(key);
        let candidates = self.index.candidates(hash)?;
        let found = self.set.find(&candidates, key).unwrap_or(Ok(None))?;
        Ok(found.filter(|record| !self.state.is_past(record.expires_ms)))
    }

    /// Where the newest records of keys with this hash stood.
    ///
    /// # Errors
    /// What the operating system says, when a part of the index has to be made anew.
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        self.index.candidates(hash)
    }

    /// Prefetches the index slot for `hash`.
    pub(crate) fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Each segment, and rows of all its records.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn ordered(&self) -> Result<Vec<(Arc<Segment>, SortedRows)>> {
        let mut sources = Vec::new();
        for segment in self.set.iter() {
            let runs = segment.order(&self.state.context)?;
            sources.extend(runs.into_iter().map(|rows| (Arc::clone(segment), rows)));
        }
        Ok(sources)
    }

    /// The errors of live records that stand in no order, for damage leaves nobody to say whose they are: who asks for all
    /// keys has to hear of them. After [`Frozen::ordered`]. Costs nothing without damage, and else a pass over the index.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn errors_without_key(&self) -> Result<Vec<Error>> {
        let places = self.set.iter().map(|segment| (segment.id, segment.damaged_places()));
        let damaged: HashMap<SegmentId, Vec<Range<u64>>> =
            places.filter(|(_, places)| !places.is_empty()).collect();
        let mut errors = Vec::new();
        if damaged.is_empty() {
            return Ok(errors);
        }
        for address in self.index.addresses() {
            let Some((segment, at)) = self.set.locate(address?) else { continue };
            let Some(places) = damaged.get(&segment.id) else { continue };
            // In file order: they were found so.
            let place = places.get(places.partition_point(|place| place.end <= at));
            if place.is_some_and(|place| place.contains(&at)) && !self.has_key(segment, at)? {
                errors.extend(segment.read(at).err());
            }
        }
        Ok(errors)
    }

    /// Whether the index knows the damaged record at `at` by the key that it shows: then it has its place in the order.
    fn has_key(&self, segment: &Segment, at: u64) -> Result<bool> {
        let hash = self.state.hash(&segment.key_at(at)?);
        let has_header = segment.len_at(at)? > 0;
        Ok(has_header
            && self.index.candidates(hash)?.iter().any(|address| address == address_of(segment, at)))
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen").field("keys", &self.count()).finish_non_exhaustive()
    }
}
