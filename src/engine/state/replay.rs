//! Replay: puts the rows of segments into the index, in log order, when a store is opened.

use std::ops::Range;

use super::set::{SegmentSet, address_of};
use crate::engine::base::error::Result;
use crate::engine::format::hint::HintRow;
use crate::engine::keydir::{Address, Keydir};
use crate::engine::segment::{Segment, SortedRows, StoreContext};

/// The number of rows sorted by hash at a time. Each takes 32 bytes of memory, and about as many
/// again while they are sorted.
const ROWS_AT_ONCE: usize = 1 << 18;

/// The usage that the rows of a segment add. It is summed here first, because threads would contend
/// for the atomics.
#[derive(Debug, Default)]
struct Added {
    live_count: u64,
    live_len: u64,
    tombstone_count: u64,
    tombstone_len: u64,
}

/// Puts rows into an index.
#[derive(Clone, Copy)]
pub(crate) struct Replay<'a> {
    pub(crate) context: &'a StoreContext,
    /// The segments of all rows and of all addresses in the index.
    pub(crate) set: &'a SegmentSet,
    pub(crate) keydir: &'a Keydir,
    /// Whether to count the usage of segments.
    pub(crate) counts: bool,
}

impl Replay<'_> {
    /// Inserts the rows of `segment` whose offsets are in `part` and whose hashes are `wanted`.
    /// Only the newest row of each key gets a slot.
    pub(crate) fn rows(
        &self,
        segment: &Segment,
        rows: &SortedRows,
        part: Range<u64>,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let mut wanted = rows.iter().filter(|row| part.contains(&row.at) && wanted(row.hash)).peekable();
        let mut block = Vec::new();
        let mut added = Added::default();
        while wanted.peek().is_some() {
            block.extend(wanted.by_ref().take(ROWS_AT_ONCE));
            // Rows of one key are neighbours, and stay in one block.
            let goes_on =
                |row: &HintRow, block: &[HintRow]| block.last().is_some_and(|last| last.hash == row.hash);
            while let Some(row) = wanted.next_if(|row| goes_on(row, &block)) {
                block.push(row);
            }
            self.block(segment, &mut block, &mut added)?;
            block.clear();
        }
        if self.counts {
            segment.usage.add_all_live(added.live_count, added.live_len);
            segment.usage.add_tombstones(added.tombstone_count, added.tombstone_len);
        }
        Ok(())
    }

    /// Inserts `block` in the order of hashes, which is the order of the index. Each row finds its
    /// slot near the previous one, without waiting for memory.
    fn block(&self, segment: &Segment, block: &mut [HintRow], added: &mut Added) -> Result<()> {
        // The sort is stable, so the newest row of a key stays first.
        block.sort_by_key(|row| row.hash);
        let mut newest: Option<HintRow> = None;
        for &row in &*block {
            if row.is_tombstone {
                added.tombstone_count += 1;
                added.tombstone_len += row.len;
            }
            let is_older = match newest {
                Some(newest) if newest.hash == row.hash => {
                    self.is_same_key((segment, row), (segment, newest.at))?
                }
                _ => false,
            };
            if !is_older {
                self.put(segment, row, added)?;
                newest = Some(row);
            }
        }
        Ok(())
    }

    /// Inserts the newest row of a key in place of its record in an older segment.
    fn put(&self, segment: &Segment, row: HintRow, added: &mut Added) -> Result<()> {
        let address = address_of(segment, row.at);
        if !row.is_tombstone {
            added.live_count += 1;
            added.live_len += row.len;
            if self.keydir.insert_if_no_candidate(row.hash, address)? {
                return Ok(());
            }
        }
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
        Ok(())
    }

    /// Returns the address that the index has for the key of `row`.
    fn replaced(&self, segment: &Segment, row: HintRow) -> Result<Option<Address>> {
        for address in self.keydir.candidates(row.hash)?.iter() {
            if let Some((older, at)) = self.set.locate(address)
                && self.is_same_key((segment, row), (older, at))?
            {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    /// Returns whether two records with the same hash have the same key. Only the hash of a damaged
    /// record is known. It counts as the same key, because otherwise an older value would become
    /// visible.
    fn is_same_key(&self, (segment, row): (&Segment, HintRow), (other, at): (&Segment, u64)) -> Result<bool> {
        if segment.key_at(row.at)? == other.key_at(at)? {
            return Ok(true);
        }
        Ok(match (other.read_intact(at)?, segment.read_intact(row.at)?) {
            (None, _) => true,
            (Some(other), None) => self.context.hash(&other.key()) == row.hash,
            (Some(_), Some(_)) => false,
        })
    }
}
