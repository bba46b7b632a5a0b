//! The hint of a sealed segment: its sorted rows and a filter, in a mapped file that names its
//! segment.
//!
//! A hint is derived from its segment. A missing, stale, foreign or damaged one is ignored and
//! rebuilt.

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

/// A valid hint of its segment.
#[derive(Debug)]
pub(crate) struct Hint {
    bytes: Value,
    checked: Checked,
}

impl Hint {
    /// Opens the hint of `segment`, which is `len` bytes long. Reads the whole file to check it.
    /// `None` without a valid hint.
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
            tracing::warn!(
                segment = segment.id.0,
                "a hint is damaged or describes another segment; it is ignored"
            );
        }
        hint
    }

    fn describes(&self, context: &StoreContext, segment: &Identity, len: u64) -> bool {
        let Described { store, hash_seed, segment: id, segment_len, last_seq, .. } = self.checked.described;
        let is_ours = store == context.store && hash_seed == context.hash_seed;
        is_ours && id == segment.id && segment_len == len && last_seq < segment.seq_end
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn sorted(&self) -> SortedRecords {
        let Described { record_count, last_seq, compressed, .. } = self.checked.described;
        let rows = SortedRows::new(self.bytes.part(self.checked.rows.clone()));
        SortedRecords { rows, record_count, compressed, last_seq }
    }

    /// Returns whether the segment may hold a key with this hash. `false` is certain; `true` is
    /// wrong less than once in 100 times.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        filter::may_hold(&self.bytes[self.checked.filter.clone()], hash)
    }

    /// Writes the hint of `segment`, whose records are `sorted`. Does not sync: a crash costs only
    /// the hint.
    ///
    /// # Errors
    /// I/O errors. The segment then has no hint.
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

/// Writes the parts, the header last, so that a reader that opens the file meanwhile finds it
/// invalid.
fn write_parts(file: &dyn File, [header, rows, behind]: [&[u8]; 3]) -> io::Result<()> {
    let rows_at = header.len() as u64;
    write_all_at(file, rows, rows_at)?;
    write_all_at(file, behind, rows_at + rows.len() as u64)?;
    write_all_at(file, header, 0)
}

/// Removes the hint of segment `id`, if it exists. A mapped hint stays readable until its last user
/// drops it.
pub(crate) fn remove(context: &StoreContext, id: SegmentId) -> io::Result<()> {
    remove_if_there(&*context.directory, StoreFile::Hint(id))
}

/// Reads or maps the hint of segment `id`, which is `segment_len` bytes long, without checking it.
///
/// # Errors
/// I/O errors, and `InvalidData` if the file is longer than any hint of the segment.
pub(crate) fn bytes(context: &StoreContext, id: SegmentId, segment_len: u64) -> io::Result<Value> {
    let file = context.directory.open(StoreFile::Hint(id), Access::Read)?;
    let len = file.len()?;
    // A record takes at least 40 bytes, its row takes 16, and its share of the filter about 2.
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
