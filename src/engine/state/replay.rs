//! Rows into the index: what opening a store does, segment after segment in log order.

use std::ops::Range;

use super::{SegmentSet, address_of};
use crate::engine::format::hint::Row;
use crate::engine::keydir::{Address, Keydir};
use crate::engine::segment::{Home, Rows, Segment};
use crate::error::Result;

/// Puts rows into an index.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    pub(crate) home: &'a Home,
    /// The segments of all rows, and of all that the index points to.
    pub(crate) set: &'a SegmentSet,
    pub(crate) keydir: &'a Keydir,
    /// Whether the segments' figures are counted along.
    pub(crate) counts: bool,
}

impl Replay<'_> {
    /// Puts in the rows of `segment` whose records start in `part` and whose hashes are `wanted`: the newest of each key
    /// counts.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn rows(
        &self,
        segment: &Segment,
        rows: &Rows,
        part: Range<u64>,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let mut newest: Option<Row> = None;
        for row in rows.iter().filter(|row| part.contains(&row.at) && wanted(row.hash)) {
            if self.counts && row.is_tombstone {
                segment.usage.add_tombstone(row.len);
            }
            // Rows of one key stand together, the newest first.
            let is_older = match newest {
                Some(newest) if newest.hash == row.hash => {
                    self.is_same_key((segment, row), (segment, newest.at))?
                }
                _ => false,
            };
            if !is_older {
                self.put(segment, row)?;
                newest = Some(row);
            }
        }
        Ok(())
    }

    /// The newest row of a key goes in, in place of what an older segment had.
    fn put(&self, segment: &Segment, row: Row) -> Result<()> {
        let address = address_of(segment, row.at);
        let replaced = self.replaced(segment, row)?;
        if self.counts
            && let Some((older, at)) = replaced.and_then(|replaced| self.set.locate(replaced))
        {
            older.usage.remove_live(older.len_at(at)?);
        }
        match (row.is_tombstone, replaced) {
            (true, None) => {}
            (true, Some(replaced)) => {
                self.keydir.remove(row.hash, replaced);
            }
            (false, None) => self.keydir.insert(row.hash, address),
            (false, Some(replaced)) => {
                self.keydir.replace(row.hash, replaced, address);
            }
        }
        if self.counts && !row.is_tombstone {
            segment.usage.add_live(row.len);
        }
        Ok(())
    }

    /// Where the index has the row's key.
    fn replaced(&self, segment: &Segment, row: Row) -> Result<Option<Address>> {
        for address in self.keydir.candidates(row.hash)?.iter() {
            if let Some((older, at)) = self.set.locate(address)
                && self.is_same_key((segment, row), (older, at))?
            {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// Whether the row's record and the other one, whose hash is the same as far as the index knows, are of one key. Of a
    /// damaged record the hash alone is known: it stands for the key, or an older value would show.
    fn is_same_key(&self, (segment, row): (&Segment, Row), (other, at): (&Segment, u64)) -> Result<bool> {
        if segment.key_at(row.at)? == other.key_at(at)? {
            return Ok(true);
        }
        Ok(match (other.read_intact(at)?, segment.read_intact(row.at)?) {
            (None, _) => true,
            (Some(other), None) => self.home.hash(&other.key()) == row.hash,
            (Some(_), Some(_)) => false,
        })
    }
}
