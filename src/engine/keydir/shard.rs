//! A shard: a table in memory, or one in the file KEYDIR that is checked on its first lookup.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::slot::Address;
use super::table::{OwnedTable, Table};
use crate::engine::base::error::Result;
use crate::engine::base::sync::{AtomicU64, LockRank, Mutex, OnceLock};
use crate::engine::format::keydir_file::ShardRow;
use crate::engine::fs::Mapping;

/// A shard. The keydir and its snapshots share it.
#[derive(Debug)]
pub(super) enum Shard {
    Owned(OwnedTable),
    /// Never written to: a write first makes an owned copy.
    Mapped(Box<MappedShard>),
}

impl Default for Shard {
    fn default() -> Self {
        Self::Owned(OwnedTable::default())
    }
}

/// Copies the table into memory, because a shard is cloned only for a write.
impl Clone for Shard {
    fn clone(&self) -> Self {
        Self::Owned(self.checked().to_owned())
    }
}

impl Shard {
    /// Returns the table, if it has been checked.
    #[inline]
    pub(super) fn ready(&self) -> Option<Table<'_>> {
        match self {
            Self::Owned(table) => Some(table.view()),
            Self::Mapped(mapped) => mapped.ready(),
        }
    }

    /// Returns the table. Checks it first, and rebuilds it if it is damaged.
    ///
    /// # Errors
    /// Those of the rebuild. The next call tries again.
    pub(super) fn table(&self) -> Result<Table<'_>> {
        if let Self::Mapped(mapped) = self {
            mapped.settle()?;
        }
        Ok(self.checked())
    }

    /// Returns the table to write to. Copies a mapped one into memory.
    pub(super) fn own(&mut self) -> &mut OwnedTable {
        match self {
            Self::Owned(table) => table,
            Self::Mapped(_) => {
                *self = self.clone();
                self.own()
            }
        }
    }

    /// Returns the number of keys. It may be wrong until the table is checked.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Owned(table) => table.view().count as u64,
            Self::Mapped(mapped) => mapped.count(),
        }
    }

    /// Returns the memory of the table, in bytes. A table in the file takes none.
    pub(super) fn memory_len(&self) -> usize {
        match self {
            Self::Owned(table) => table.memory_len(),
            Self::Mapped(mapped) => match mapped.content.get() {
                Some(Content::Rebuilt(table)) => table.memory_len(),
                Some(Content::AsWritten) | None => 0,
            },
        }
    }

    /// Returns the length of the table in the file, in bytes, if it is in use.
    pub(super) fn mapped_len(&self) -> usize {
        match self {
            Self::Owned(_) => 0,
            Self::Mapped(mapped) => match mapped.content.get() {
                Some(Content::Rebuilt(_)) => 0,
                Some(Content::AsWritten) | None => mapped.range.len(),
            },
        }
    }

    fn checked(&self) -> Table<'_> {
        self.ready().expect("every write follows a lookup of the same shard, which checked it")
    }
}

/// Rebuilds the table of the shard with this number.
pub(super) type RebuildTable = Box<dyn Fn(usize) -> Result<OwnedTable> + Send + Sync>;

/// The parts of the file KEYDIR that its shards need.
pub(super) struct MappedFile {
    pub(super) mapping: Mapping,
    /// The addresses that slots may have, in order.
    pub(super) covered: Box<[Range<u64>]>,
    pub(super) rebuild: RebuildTable,
    /// The count of the keydir.
    pub(super) count: Arc<AtomicU64>,
}

pub(super) struct MappedShard {
    file: Arc<MappedFile>,
    index: usize,
    /// The bytes of the slots in the file.
    range: Range<usize>,
    row: ShardRow,
    /// Set once, when the shard is checked.
    content: OnceLock<Content>,
    /// Held while the shard is checked and rebuilt. No shard's lock is held or taken meanwhile.
    settling: Mutex<()>,
}

/// The outcome of the check.
enum Content {
    AsWritten,
    Rebuilt(OwnedTable),
}

impl MappedShard {
    /// Returns the shard of `row`. `None` if the slots cannot be used in place: they are unreadable
    /// or unaligned, or the machine is big-endian.
    pub(super) fn new(file: &Arc<MappedFile>, index: usize, row: ShardRow) -> Option<Self> {
        let range = usize::try_from(row.slots_at).ok()?..usize::try_from(row.end()?).ok()?;
        let shard = Self {
            file: Arc::clone(file),
            index,
            range,
            row,
            content: OnceLock::new(),
            settling: Mutex::new(LockRank::ShardCheck, ()),
        };
        let is_usable = cfg!(target_endian = "little") && shard.slots().is_some();
        is_usable.then_some(shard)
    }

    #[inline]
    fn slots(&self) -> Option<&[u64]> {
        self.file.mapping.words(self.range.clone())
    }

    #[inline]
    fn as_written(&self) -> Table<'_> {
        let slots = self.slots().expect("`new` found the slots readable and aligned");
        Table { slots, capacity: self.row.capacity as usize, count: self.row.count as usize }
    }

    #[inline]
    fn ready(&self) -> Option<Table<'_>> {
        self.content.get().map(|content| match content {
            Content::AsWritten => self.as_written(),
            Content::Rebuilt(table) => table.view(),
        })
    }

    fn count(&self) -> u64 {
        self.ready().map_or(u64::from(self.row.count), |table| table.count as u64)
    }

    /// Checks the slots once, and rebuilds them if they are damaged.
    fn settle(&self) -> Result<()> {
        if self.content.get().is_some() {
            return Ok(());
        }
        // Two rebuilds at the same time would correct the count twice.
        let _settling = self.settling.lock();
        if self.content.get().is_none() {
            let content = if self.is_intact() { Content::AsWritten } else { self.rebuilt()? };
            self.content.get_or_init(|| content);
        }
        Ok(())
    }

    fn is_intact(&self) -> bool {
        let table = self.as_written();
        // The checksum finds later damage. The order check finds slots that were written in a wrong
        // order, where a lookup would miss keys.
        let bytes = self.file.mapping.bytes(self.range.clone()).unwrap_or_default();
        let is_as_written = crc32c::crc32c(bytes) == self.row.crc;
        is_as_written && table.is_sound() && self.is_covered(table)
    }

    /// Returns whether each slot points into a segment that the file covers. A key with a slot
    /// elsewhere would seem missing, and a compaction would drop its record.
    fn is_covered(&self, table: Table<'_>) -> bool {
        let covered = &self.file.covered;
        table.addresses().all(|Address(at)| {
            let next = covered.partition_point(|range| range.start <= at);
            next > 0 && at < covered[next - 1].end
        })
    }

    fn rebuilt(&self) -> Result<Content> {
        tracing::warn!(shard = self.index, "the keydir's file is damaged; a shard is rebuilt from the log");
        let table = (self.file.rebuild)(self.index)?;
        let more = (table.view().count as u64).wrapping_sub(self.row.count.into());
        self.file.count.fetch_add(more, Ordering::Relaxed);
        Ok(Content::Rebuilt(table))
    }
}

impl fmt::Debug for MappedShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedShard")
            .field("index", &self.index)
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}
