//! The keydir as the file KEYDIR: written from a snapshot, and mapped.

use std::ops::Range;
use std::sync::Arc;

use super::shard::{MappedFile, MappedShard, Shard};
use super::table::Table;
use super::{Keydir, Snapshot, read};
use crate::engine::base::error::Result;
use crate::engine::base::sync::{AtomicU64, RwLock};
use crate::engine::format::keydir_file::{
    Covering, KeydirHead, SHARD_COUNT, ShardRow, encode_head, head_len,
};
use crate::engine::format::u64_at;
use crate::engine::fs::Mapping;

/// Makes a damaged shard anew: given its number, a keydir of its own in which that shard holds what it held when the
/// file was written.
///
/// It is called while the log's lock may be held, and while others wait for the shard: it takes no lock of the log,
/// and does not look into the keydir that it is made for. Nor does it keep that alive: each would keep the other.
pub(crate) type Rebuild = Box<dyn Fn(usize) -> Result<Keydir> + Send + Sync>;

impl Keydir {
    /// The keydir in the file that `mapping` shows and whose head is `head`, without a look at its slots: a shard is
    /// checked when it is first looked into, made anew by `rebuild` if it is damaged, and copied into memory when it
    /// is first written to. A slot outside of the addresses `covered`, which are in order and do not overlap, is damage.
    /// `None` where the file cannot be used in place: not all of it is readable, or the machine is big-endian.
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
                Some(RwLock::new(Arc::new(shard)))
            })
            .collect();
        let shards = shards.filter(|shards| shards.len() == SHARD_COUNT)?;
        Some(Self { shards, count })
    }
}

/// Writes `snapshot` as a keydir's file by `sink`, which puts bytes at an offset of a new, empty file; the file's
/// length. Takes the memory of one shard. The head goes last: a file that was not finished is none.
///
/// # Errors
/// Those of `sink`; those of a rebuild, where a shard that nobody has looked into is damaged.
pub(crate) fn write_to(
    snapshot: &Snapshot,
    about: Covering,
    sink: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<u64> {
    let mut at = head_len(about.segments.len());
    let mut shards = Vec::with_capacity(SHARD_COUNT);
    for shard in &snapshot.0 {
        let table = shard.table()?;
        let bytes: Vec<u8> = table.slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
        // What does not fit its field makes a head that is refused when it is read.
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

/// What is wrong with a part of a keydir's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartFault {
    /// Its checksum, or the order of its slots.
    Damaged,
    /// It does not hold what the index does.
    Differs,
}

/// What is wrong with the slots in `bytes`, those of shard number `index`, which should hold what `keydir` does.
///
/// # Errors
/// None for a keydir in memory; else those of a rebuild.
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
    let shard = Arc::clone(&read(&keydir.shards[index]));
    let is_same = table.sorted_slots() == shard.table()?.sorted_slots();
    Ok((!is_same).then_some(PartFault::Differs))
}
