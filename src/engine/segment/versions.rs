//! All records of one key in a segment.

use std::ops::Range;
use std::sync::Arc;

use super::handle::Segment;
use super::read::Record;
use super::rows::SortedRows;
use super::store_context::StoreContext;
use crate::engine::base::error::{Error, Result};

/// The records of a key in a segment, oldest first, each read on demand. A damaged record that may
/// be of this key, according to its hash, yields its error.
pub(crate) struct SegmentVersions {
    segment: Arc<Segment>,
    hash: u64,
    /// The runs not begun, each with its remaining rows. Rows are taken from the end, the oldest
    /// first.
    runs: std::vec::IntoIter<(SortedRows, Range<usize>)>,
    reading: Option<(SortedRows, Range<usize>)>,
}

impl SegmentVersions {
    /// Finds the records of `key`, whose hash is `hash`. The filter rules out most segments without
    /// the key.
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

/// Returns the rows of `key`, and of damaged records beside them, which may be of other keys.
fn range(rows: &SortedRows, segment: &Segment, key: &[u8]) -> Result<Range<usize>> {
    let from = rows.partition_point(segment, |other| other < key)?;
    let mut to = rows.partition_point(segment, |other| other <= key)?;
    // The search may have stopped before damaged records, which have no key.
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
