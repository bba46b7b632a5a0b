//! All records of one key in the log.

use std::sync::Arc;

use super::set::SegmentSet;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::segment::{Record, SegmentVersions, StoreContext};

/// The records of a key, oldest first, each read on demand. A damaged record that may be of this
/// key yields its error.
pub(crate) struct KeyVersions {
    context: StoreContext,
    set: Arc<SegmentSet>,
    key: Vec<u8>,
    hash: u64,
    /// The number of segments begun.
    begun: usize,
    reading: Option<SegmentVersions>,
    /// The sequence number of the last record returned.
    last_seq: Seqno,
}

impl KeyVersions {
    /// Returns the records of `key` in `set`, from segment `first` on if given.
    pub(crate) fn of(
        context: &StoreContext,
        set: Arc<SegmentSet>,
        key: &[u8],
        first: Option<SegmentId>,
    ) -> Self {
        let begun = first.map_or(0, |first| set.iter().take_while(|segment| segment.id != first).count());
        let hash = context.hash(key);
        Self {
            context: context.clone(),
            set,
            key: key.to_vec(),
            hash,
            begun,
            reading: None,
            last_seq: Seqno(0),
        }
    }
}

impl Iterator for KeyVersions {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reading.as_mut().and_then(Iterator::next) {
                // While a compaction commits, the set has its inputs and, after them, its outputs.
                Some(Ok(record)) if record.header.seq <= self.last_seq => {}
                Some(found) => {
                    self.last_seq = found.as_ref().map_or(self.last_seq, |record| record.header.seq);
                    return Some(found);
                }
                None => {
                    let segment = self.set.iter().nth(self.begun)?;
                    self.begun += 1;
                    match SegmentVersions::of(segment, &self.context, self.hash, &self.key) {
                        Ok(versions) => self.reading = Some(versions),
                        Err(error) => {
                            self.reading = None;
                            return Some(Err(error));
                        }
                    }
                }
            }
        }
    }
}
