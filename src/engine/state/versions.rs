//! All records of one key in the log, one after another.

use std::sync::Arc;

use super::set::SegmentSet;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::segment::Record;
use crate::engine::segment::SegmentVersions;
use crate::engine::segment::StoreContext;

/// The records of a key, the oldest first, each read when it is asked for; in the place of one that is damaged, and may be of
/// this key, its error.
pub(crate) struct KeyVersions {
    context: StoreContext,
    set: Arc<SegmentSet>,
    key: Vec<u8>,
    hash: u64,
    /// How many segments of the set have been begun.
    begun: usize,
    reading: Option<SegmentVersions>,
    /// The number of the record that was given last.
    given: Seqno,
}

impl KeyVersions {
    /// Those of `key` in segments of `set` from `first` on; in all, where that is `None`.
    pub(crate) fn of(
        context: &StoreContext,
        set: Arc<SegmentSet>,
        key: &[u8],
        first: Option<SegmentId>,
    ) -> Self {
        let begun = first.map_or(0, |first| set.iter().take_while(|segment| segment.id != first).count());
        let hash = context.hash(key);
        Self { context: context.clone(), set, key: key.to_vec(), hash, begun, reading: None, given: Seqno(0) }
    }
}

impl Iterator for KeyVersions {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reading.as_mut().and_then(Iterator::next) {
                // While a compaction ends its input and its output are both there, the output behind.
                Some(Ok(record)) if record.header.seq <= self.given => {}
                Some(found) => {
                    self.given = found.as_ref().map_or(self.given, |record| record.header.seq);
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
