//! The hint of a sealed segment: its rows and a filter, in a file of their own that is mapped and bound to the segment.
//!
//! A hint is derived: when it is missing, stale, foreign or damaged it is not used, and made anew.

use std::io;
use std::sync::Arc;

use super::filter;
use super::identity::Identity;
use super::rows::{SortedRecords, SortedRows};
use super::store_context::StoreContext;
use super::value::Value;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::format::hint::{self, Checked, Described};
use crate::engine::fs::staging::remove_if_there;
use crate::engine::fs::{Access, File, StoreFile, map_if_room, read_vec_at, write_all_at};
use crate::engine::options::ReadWith;

/// A hint that was checked and found to describe its segment.
#[derive(Debug)]
pub(crate) struct Hint {
    bytes: Value,
    checked: Checked,
}

impl Hint {
    /// The hint of `segment`, if there is one that can be used. Reads the file once, to check it.
    pub(super) fn open(context: &StoreContext, segment: &Identity, len: u64) -> Option<Self> {
        let hint = match bytes(context, segment.id, len) {
            Ok(bytes) => hint::check(&bytes).map(|checked| Self { bytes, checked }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(segment = segment.id.0, %error, "a hint cannot be read");
                return None;
            }
        };
        let hint = hint.filter(|hint| hint.describes(context, segment, len));
        if hint.is_none() {
            tracing::warn!(segment = segment.id.0, "a hint is not this segment's as it is, and not used");
        }
        hint
    }

    fn describes(&self, context: &StoreContext, segment: &Identity, len: u64) -> bool {
        let Described { store, hash_seed, segment: id, segment_len, last_seq, .. } = self.checked.described;
        let is_ours = store == context.store && hash_seed == context.hash_seed;
        is_ours && id == segment.id && segment_len == len && last_seq < segment.seq_end
    }

    /// The length of its file.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What it says of the segment's records.
    pub(super) fn sorted(&self) -> SortedRecords {
        let Described { record_count, last_seq, compressed, .. } = self.checked.described;
        let rows = SortedRows::new(self.bytes.part(self.checked.rows.clone()));
        SortedRecords { rows, record_count, compressed, last_seq }
    }

    /// `false`: no record of a key with this hash is in the segment. `true` is wrong at most once in a hundred times.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        filter::may_hold(&self.bytes[self.checked.filter.clone()], hash)
    }

    /// Writes the hint of `segment`, whose records are `sorted`. It is not synced: a crash costs the hint alone.
    ///
    /// # Errors
    /// What the operating system says; there is no hint then.
    pub(super) fn write(
        context: &StoreContext,
        segment: &Identity,
        len: u64,
        sorted: &SortedRecords,
    ) -> Result<Self> {
        let described = Described {
            store: context.store,
            hash_seed: context.hash_seed,
            segment: segment.id,
            segment_len: len,
            last_seq: sorted.last_seq,
            record_count: sorted.record_count,
            compressed: sorted.compressed,
        };
        let mut hashes = sorted.rows.iter().map(|row| row.hash).collect();
        let filter = filter::build(&mut hashes);
        drop(hashes);
        let rows = sorted.rows.bytes();
        let (header, behind) = hint::around(&described, rows, filter);
        let name = StoreFile::Hint(segment.id);
        let error = |error| Error::io("write", context.directory.path(name))(error);
        remove(context, segment.id).map_err(error)?;
        let written = context
            .directory
            .open(name, Access::Replace(StoreFile::Segment(segment.id)))
            .and_then(|file| write_parts(&*file, [&header, rows, &behind]))
            .and_then(|()| bytes(context, segment.id, len));
        match written.map(|bytes| hint::parts(&bytes).map(|checked| Self { bytes, checked })) {
            Ok(Some(hint)) => Ok(hint),
            outcome => {
                let _ = remove(context, segment.id);
                Err(error(outcome.err().unwrap_or(io::ErrorKind::InvalidData.into())))
            }
        }
    }
}

/// Writes the three one behind the other, the header last: who comes by meanwhile sees that there is none yet.
fn write_parts(file: &dyn File, [header, rows, behind]: [&[u8]; 3]) -> io::Result<()> {
    let rows_at = header.len() as u64;
    write_all_at(file, rows, rows_at)?;
    write_all_at(file, behind, rows_at + rows.len() as u64)?;
    write_all_at(file, header, 0)
}

/// Removes the hint of segment `id`, if there is one. A file that is mapped stays readable until it is let go.
pub(crate) fn remove(context: &StoreContext, id: SegmentId) -> io::Result<()> {
    remove_if_there(&*context.directory, StoreFile::Hint(id))
}

/// The bytes of the hint of segment `id`, which is `segment_len` bytes long; unchecked.
///
/// # Errors
/// What the operating system says; `InvalidData` when the file is longer than any hint of the segment.
pub(crate) fn bytes(context: &StoreContext, id: SegmentId, segment_len: u64) -> io::Result<Value> {
    let file = context.directory.open(StoreFile::Hint(id), Access::Read)?;
    let len = file.len()?;
    // No hint is that long: a record takes 40 bytes at least, its row 16 and its share of the filter two.
    if len > segment_len.saturating_add(4096) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mapping = match context.reading.with {
        ReadWith::Mmap if len > 0 => map_if_room(&*file, len)?,
        _ => None,
    };
    if let Some(mapping) = mapping {
        mapping.expose(len);
        return Ok(Value::mapped(mapping, 0..len as usize));
    }
    Ok(Value::owned(Arc::new(read_vec_at(&*file, 0, len)?), 0..len as usize))
}
