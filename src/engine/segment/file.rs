//! Segment files: opening, length, header bytes.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::fs::{Access, Directory, File, StoreFile, read_vec_at};

/// The longest segment header that is read, in bytes.
const HEADER_LEN_MAX: u64 = 4096;

/// The total length of holes in a segment above which a scan skips them instead of reading zeros.
const HOLES_LEN_MAX: u64 = 1 << 20;

/// Returns whether the first `len` bytes of `file` have so many holes that a scan should skip them.
/// A segment has none unless it was tampered with, or the file system turns zeros into holes.
pub(crate) fn is_sparse(file: &dyn File, len: u64) -> bool {
    let mut at = 0;
    let mut holes_len = 0;
    while holes_len <= HOLES_LEN_MAX {
        let hole = file.next_hole(at);
        if hole >= len {
            return false;
        }
        at = file.next_data(hole).min(len);
        if at <= hole {
            // The file system contradicts itself.
            return false;
        }
        holes_len += at - hole;
    }
    true
}

/// Opens the file of segment `id`.
///
/// # Errors
/// [`Error::SegmentMissing`], and I/O errors.
pub(crate) fn open(directory: &dyn Directory, id: SegmentId, access: Access) -> Result<Arc<dyn File>> {
    directory.open(StoreFile::Segment(id), access).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::SegmentMissing { segment: id },
        _ => Error::io("open", directory.path(StoreFile::Segment(id)))(error),
    })
}

/// Returns the length of the file of segment `id`, in bytes.
pub(crate) fn len(directory: &dyn Directory, id: SegmentId, file: &dyn File) -> Result<u64> {
    file.len().map_err(Error::io("read", directory.path(StoreFile::Segment(id))))
}

/// Returns the first bytes of the file of segment `id`, including its header.
pub(crate) fn first_bytes(directory: &dyn Directory, id: SegmentId, file: &dyn File) -> Result<Vec<u8>> {
    let len = len(directory, id, file)?.min(HEADER_LEN_MAX);
    read_vec_at(file, 0, len).map_err(Error::io("read", directory.path(StoreFile::Segment(id))))
}

/// Returns the ids of all segment files in the directory, in any order.
pub(crate) fn present(directory: &dyn Directory) -> Result<Vec<SegmentId>> {
    ids(directory, |file| match file {
        StoreFile::Segment(id) => Some(id),
        _ => None,
    })
}

/// Returns the ids of all hints in the directory, in any order.
pub(crate) fn hinted(directory: &dyn Directory) -> Result<Vec<SegmentId>> {
    ids(directory, |file| match file {
        StoreFile::Hint(id) => Some(id),
        _ => None,
    })
}

fn ids(directory: &dyn Directory, id_of: impl Fn(StoreFile) -> Option<SegmentId>) -> Result<Vec<SegmentId>> {
    let path = || directory.path(StoreFile::Manifest);
    let names = directory.names().map_err(Error::io("read the directory of", path()))?;
    Ok(names.iter().filter_map(|name| StoreFile::parse(name)).filter_map(id_of).collect())
}
