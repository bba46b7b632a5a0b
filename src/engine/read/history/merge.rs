//! The merge of all segments' rows, the dead ones, too: what each key was at some points of the log.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::segment::value::Value;
use crate::engine::segment::{Record, Rows, Segment};
use crate::engine::state::Frozen;

/// One run of rows of one segment, and how much of it is still to come.
struct Source {
    segment: Arc<Segment>,
    rows: Rows,
    left: Range<usize>,
}

impl Source {
    fn new((segment, rows): (Arc<Segment>, Rows), range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let left = rows.range(&segment, range)?;
        Ok(Self { segment, rows, left })
    }

    fn next(&mut self) -> Option<Result<Record>> {
        self.left.next().map(|index| self.segment.read(self.rows.get(index).at))
    }
}

/// What is still to come of a range.
pub(super) struct Merge {
    sources: Vec<Source>,
    /// The next record of each source, by its key and the source's number.
    heads: BTreeMap<(Value, usize), Record>,
    /// Sources whose next record has to be read.
    behind: Vec<usize>,
    /// What cannot be given, as nobody knows where it belongs: told first.
    unnamed: Vec<Error>,
}

impl Merge {
    pub(super) fn new(frozen: &Frozen, range: &impl RangeBounds<[u8]>) -> Result<Self> {
        let sources = frozen.ordered()?.into_iter().map(|source| Source::new(source, range));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let (behind, heads) = ((0..sources.len()).collect(), BTreeMap::new());
        Ok(Self { sources, heads, behind, unnamed: frozen.unnamed()? })
    }

    /// The next key's newest record up to each of `seqs`; none where it has none so old. An error stands for a record that
    /// cannot be read, and that may be one of them.
    pub(super) fn next<const N: usize>(&mut self, seqs: [Seqno; N]) -> Option<Result<[Option<Record>; N]>> {
        if let Some(error) = self.unnamed.pop().or_else(|| self.catch_up()) {
            return Some(Err(error));
        }
        let mut newest = [const { None }; N];
        let ((key, source), record) = self.heads.pop_first()?;
        self.behind.push(source);
        keep_newest(&mut newest, &seqs, &record);
        loop {
            // What is damaged here comes before the next key, and costs no other.
            if let Some(error) = self.catch_up() {
                self.unnamed.push(error);
                continue;
            }
            match self.heads.first_entry() {
                Some(entry) if entry.key().0 == key => {
                    let ((_, source), record) = entry.remove_entry();
                    self.behind.push(source);
                    keep_newest(&mut newest, &seqs, &record);
                }
                _ => return Some(Ok(newest)),
            }
        }
    }

    /// Reads the next records of the sources that gave theirs away; the error of one that cannot be read.
    fn catch_up(&mut self) -> Option<Error> {
        while let Some(source) = self.behind.pop() {
            match self.sources[source].next() {
                Some(Ok(record)) => {
                    self.heads.insert((record.key(), source), record);
                }
                Some(Err(error)) => {
                    self.behind.push(source);
                    return Some(error);
                }
                None => {}
            }
        }
        None
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

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").finish_non_exhaustive()
    }
}
