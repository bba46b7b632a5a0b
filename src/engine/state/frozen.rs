//! Frozen states: the index and the segments at one moment, for snapshots and scans.

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
use crate::engine::keydir::{Candidates, KeydirSnapshot};
use crate::engine::segment::{Record, Segment, SortedRows};

/// The index and the segments at one moment. Later writes and compactions do not change it.
pub(crate) struct Frozen {
    pub(crate) state: Arc<State>,
    index: KeydirSnapshot,
    set: Arc<SegmentSet>,
}

impl State {
    /// Freezes the current index and segments. The caller holds the log's lock, or the state has no
    /// writer.
    pub(crate) fn freeze(self: &Arc<Self>) -> Frozen {
        // The index is taken first, because a segment enters the set before any slot points into
        // it. No compaction ends in between.
        let index = self.keydir.snapshot();
        Frozen { state: Arc::clone(self), index, set: self.segments() }
    }
}

impl Frozen {
    /// Returns the history that the segments still hold.
    pub(crate) fn history(&self) -> History {
        self.set.history
    }

    /// Returns all records of `key`, oldest first. A damaged record that may be of this key yields
    /// its error.
    pub(crate) fn versions(&self, key: &[u8]) -> KeyVersions {
        KeyVersions::of(&self.state.context, Arc::clone(&self.set), key, None)
    }

    /// Returns the segments in log order.
    pub(crate) fn segments(&self) -> &SegmentSet {
        &self.set
    }

    /// Returns the number of keys.
    pub(crate) fn count(&self) -> u64 {
        self.index.count()
    }

    pub(crate) fn index(&self) -> &KeydirSnapshot {
        &self.index
    }

    /// Returns the record of `key`, or `None` if it is missing or expired.
    ///
    /// # Errors
    /// [`Error::Damaged`], and I/O errors.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let hash = self.state.hash(key);
        let candidates = self.index.candidates(hash)?;
        let found = self.set.find(&candidates, key).unwrap_or(Ok(None))?;
        Ok(found.filter(|record| !self.state.is_past(record.expires_ms)))
    }

    /// Returns the addresses of records whose key may have this hash.
    pub(crate) fn candidates(&self, hash: u64) -> Result<Candidates> {
        self.index.candidates(hash)
    }

    /// Prefetches the index slot for `hash`.
    pub(crate) fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Returns each segment with each run of its sorted rows.
    pub(crate) fn ordered(&self) -> Result<Vec<(Arc<Segment>, SortedRows)>> {
        let mut sources = Vec::new();
        for segment in self.set.iter() {
            let runs = segment.order(&self.state.context)?;
            sources.extend(runs.into_iter().map(|rows| (Arc::clone(segment), rows)));
        }
        Ok(sources)
    }

    /// Returns the errors of live records that [`Frozen::ordered`] misses because damage hides
    /// their keys. A scan of all keys must report them. Call it after [`Frozen::ordered`]. Costs
    /// one pass over the index if there is damage, and nothing otherwise.
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
            // The places are in file order.
            let place = places.get(places.partition_point(|place| place.end <= at));
            if place.is_some_and(|place| place.contains(&at)) && !self.has_key(segment, at)? {
                errors.extend(segment.read(at).err());
            }
        }
        Ok(errors)
    }

    /// Returns whether the index finds the damaged record at `at` by the key that it still shows.
    /// Then it is among the rows.
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
