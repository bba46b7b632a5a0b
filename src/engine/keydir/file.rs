//! The keydir in the file KEYDIR: written from a snapshot, used through a mapping, and verified.

use std::ops::Range;
use std::sync::Arc;

use super::shard::{MappedFile, MappedShard, Shard};
use super::table::Table;
use super::{Keydir, KeydirSnapshot};
use crate::engine::base::error::Result;
use crate::engine::base::sync::{AtomicU64, LockRank, RwLock};
use crate::engine::format::keydir_file::{
    Covering, KeydirHead, SHARD_COUNT, ShardRow, encode_head, head_len,
};
use crate::engine::format::u64_at;
use crate::engine::fs::Mapping;

/// Rebuilds a damaged shard: returns a new keydir in which the shard of this number holds the keys
/// that it held when the file was written.
///
/// A rebuild may run under the log's lock while other threads wait for the shard, so it takes no
/// lock of the log and does not use the damaged keydir. The keydir owns the rebuild, so the rebuild
/// must not keep it alive either.
pub(crate) type Rebuild = Box<dyn Fn(usize) -> Result<Keydir> + Send + Sync>;

impl Keydir {
    /// Returns the keydir in the file KEYDIR, with `head` decoded from `mapping`. Reads no slots. A
    /// shard is checked on its first lookup, rebuilt by `rebuild` if it is damaged, and copied into
    /// memory on its first write. A slot outside the addresses `covered`, which are sorted and
    /// disjoint, is damage. Returns `None` if the file cannot be used in place: a part is
    /// unreadable, or the machine is big-endian.
    pub(crate) fn mapped(
        mapping: Mapping,
        head: &KeydirHead,
        covered: Box<[Range<u64>]>,
        rebuild: Rebuild,
    ) -> Option<Self> {
        let count = Arc::new(AtomicU64::new(head.key_count()));
        let rebuild = Box::new(move |shard| rebuild(shard)?.into_table(shard));
        let file = Arc::new(MappedFile { mapping, covered, rebuild, count: Arc::clone(&count) });
        let shards: Option<Box<[_]>> = head
            .shards
            .iter()
            .enumerate()
            .map(|(index, &row)| {
                let shard = Shard::Mapped(Box::new(MappedShard::new(&file, index, row)?));
                Some(RwLock::new(LockRank::Leaf, Arc::new(shard)))
            })
            .collect();
        let shards = shards.filter(|shards| shards.len() == SHARD_COUNT)?;
        Some(Self { shards, count })
    }
}

/// Writes `snapshot` in the format of KEYDIR and returns the length. `sink` writes bytes at an
/// offset of a new, empty file. Takes the memory of one shard. The head is written last, so that an
/// unfinished file is not valid.
///
/// # Errors
/// Those of `sink`, and those of rebuilding a damaged shard.
pub(crate) fn write_to(
    snapshot: &KeydirSnapshot,
    about: Covering,
    sink: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<u64> {
    let mut at = head_len(about.segments.len());
    let mut shards = Vec::with_capacity(SHARD_COUNT);
    for shard in &snapshot.0 {
        let table = shard.table()?;
        let bytes: Vec<u8> = table.slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        // Reading rejects a head with a value over its field's limit.
        let field = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        shards.push(ShardRow {
            slots_at: at,
            slot_count: field(table.slots.len()),
            capacity: field(table.capacity),
            count: field(table.count),
            crc: crc32c::crc32c(&bytes),
        });
        sink(&bytes, at)?;
        at += bytes.len() as u64;
    }
    sink(&encode_head(&KeydirHead { about, shards }), 0)?;
    Ok(at)
}

/// A fault in a part of the file KEYDIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartFault {
    /// Its checksum or the order of its slots is wrong.
    Damaged,
    /// It differs from the index.
    Differs,
}

/// Compares `bytes`, the slots of shard `index` in the file, with `keydir`. `None` if they agree.
pub(crate) fn compare(
    row: &ShardRow,
    bytes: &[u8],
    keydir: &Keydir,
    index: usize,
) -> Result<Option<PartFault>> {
    let slots: Vec<u64> = bytes.chunks_exact(size_of::<u64>()).map(|slot| u64_at(slot, 0)).collect();
    let table = Table { slots: &slots, capacity: row.capacity as usize, count: row.count as usize };
    if crc32c::crc32c(bytes) != row.crc || !table.is_sound() {
        return Ok(Some(PartFault::Damaged));
    }
    let shard = Arc::clone(&keydir.shards[index].read());
    let is_same = table.sorted_slots() == shard.table()?.sorted_slots();
    Ok((!is_same).then_some(PartFault::Differs))
}
