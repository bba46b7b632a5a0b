//! All records of one key in a segment, one after another.

use std::ops::Range;
use std::sync::Arc;

use super::handle::Segment;
use super::read::Record;
use super::rows::SortedRows;
use super::store_context::StoreContext;
use crate::engine::base::error::{Error, Result};

/// The records of a key in a segment, the oldest first, each read when it is asked for; in the place of one that is damaged,
/// and by its hash may be one of them, its error.
pub(crate) struct SegmentVersions {
    segment: Arc<Segment>,
    hash: u64,
    /// The rows that are still to come, of each run from its end on: what was sorted last was written last.
    runs: std::vec::IntoIter<(SortedRows, Range<usize>)>,
    reading: Option<(SortedRows, Range<usize>)>,
}

impl SegmentVersions {
    /// Those of `key`, whose hash is `hash`. A filter answers for nearly all segments that have none.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn of(segment: &Arc<Segment>, context: &StoreContext, hash: u64, key: &[u8]) -> Result<Self> {
        let mut runs = Vec::new();
        if !segment.hint_excludes(context, std::iter::once(key)) {
            for rows in segment.order(context)? {
                let range = range(&rows, segment, key)?;
                runs.push((rows, range));
            }
        }
        Ok(Self { segment: Arc::clone(segment), hash, runs: runs.into_iter(), reading: None })
    }
}

/// The rows of `key`, and of damaged records before and behind them, which may be others.
fn range(rows: &SortedRows, segment: &Segment, key: &[u8]) -> Result<Range<usize>> {
    let from = rows.partition_point(segment, |other| other < key)?;
    let mut to = rows.partition_point(segment, |other| other <= key)?;
    // The search may have ended before damage, which has no key.
    while to < rows.len() && segment.read_intact(rows.get(to).at)?.is_none() {
        to += 1;
    }
    Ok(from..to)
}

impl Iterator for SegmentVersions {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((rows, left)) = &mut self.reading else {
                self.reading = Some(self.runs.next()?);
                continue;
            };
            let Some(index) = left.next_back() else {
                self.reading = None;
                continue;
            };
            let row = rows.get(index);
            match self.segment.read(row.at) {
                Err(Error::Damaged { .. }) if row.hash != self.hash => {}
                found => return Some(found),
            }
        }
    }
}
