//! Finds the newest record of each key at given points of the log.

use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::read::merge::{End, Merge, MergeRun};
use crate::engine::segment::value::Value;
use crate::engine::segment::{Record, Segment, SortedRows};
use crate::engine::state::frozen::Frozen;

/// The live and dead records of one segment.
struct RecordRun {
    segment: Arc<Segment>,
    rows: SortedRows,
    left: Range<usize>,
}

impl MergeRun for RecordRun {
    type Head = Record;

    fn advance(&mut self, end: End) -> Option<Result<(Value, Record)>> {
        let index = match end {
            End::Front => self.left.next(),
            End::Back => self.left.next_back(),
        }?;
        let record = self.segment.read(self.rows.get(index).at);
        Some(record.map(|record| (record.key(), record)))
    }
}

/// The remaining keys of a range.
pub(super) struct NewestRecords(Merge<RecordRun>);

impl NewestRecords {
    pub(super) fn new(frozen: &Frozen, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let run = |(segment, rows): (Arc<Segment>, SortedRows)| -> Result<RecordRun> {
            let left = rows.range(&segment, range)?;
            Ok(RecordRun { segment, rows, left })
        };
        let runs = frozen.ordered()?.into_iter().map(run).collect::<Result<_>>()?;
        Ok(Self(Merge::new(runs, frozen.errors_without_key()?)))
    }

    /// Returns the newest record of the next key up to each of `seqs`, or `None` where the key has
    /// no record that old. An error means that a record is unreadable. It may be one of them.
    pub(super) fn next<const N: usize>(&mut self, seqs: [Seqno; N]) -> Option<Result<[Option<Record>; N]>> {
        let (key, record) = match self.0.next(End::Front)? {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let mut newest = [const { None }; N];
        keep_newest(&mut newest, &seqs, &record);
        while let Some(record) = self.0.next_of(&key) {
            keep_newest(&mut newest, &seqs, &record);
        }
        Some(Ok(newest))
    }
}

fn keep_newest<const N: usize>(newest: &mut [Option<Record>; N], seqs: &[Seqno; N], record: &Record) {
    let number = record.header.seq;
    for (newest, &seq) in newest.iter_mut().zip(seqs) {
        if number <= seq && newest.as_ref().is_none_or(|newest| newest.header.seq < number) {
            *newest = Some(record.clone());
        }
    }
}

impl fmt::Debug for NewestRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewestRecords").finish_non_exhaustive()
    }
}
