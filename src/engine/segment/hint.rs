//! The hint of a sealed segment: its rows and a filter, in a file of their own that is mapped and bound to the segment.
//!
//! A hint is derived: when it is missing, stale, foreign or damaged it is not used, and made anew.

use std::io;
use std::sync::Arc;

use super::filter;
use super::rows::Rows;
use super::sorter::{Sorted, Sorter};
use super::value::Value;
use super::{Bodies, Scanner, Segment, StoreContext};
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
    pub(super) fn open(home: &StoreContext, segment: &Segment) -> Option<Self> {
        let hint = match bytes(home, segment.id, segment.limit()) {
            Ok(bytes) => hint::check(&bytes).map(|checked| Self { bytes, checked }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(segment = segment.id.0, %error, "a hint cannot be read");
                return None;
            }
        };
        let hint = hint.filter(|hint| hint.describes(home, segment));
        if hint.is_none() {
            tracing::warn!(segment = segment.id.0, "a hint is not this segment's as it is, and not used");
        }
        hint
    }

    fn describes(&self, home: &StoreContext, segment: &Segment) -> bool {
        let Described { store, hash_seed, segment: id, segment_len, last_seq, .. } = self.checked.described;
        let is_ours = store == home.store && hash_seed == home.hash_seed;
        is_ours && id == segment.id && segment_len == segment.limit() && last_seq < segment.seq_end
    }

    /// The length of its file.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What it says of the segment's records.
    pub(super) fn sorted(&self) -> Sorted {
        let Described { record_count, last_seq, compressed, .. } = self.checked.described;
        let rows = Rows::new(self.bytes.part(self.checked.rows.clone()));
        Sorted { rows, record_count, compressed, last_seq }
    }

    /// `false`: no record of a key with this hash is in the segment. `true` is wrong at most once in a hundred times.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        filter::may_hold(&self.bytes[self.checked.filter.clone()], hash)
    }

    /// Reads and checks all of `segment`, which is sealed, and writes its hint; `None`, and no file, when it is damaged.
    /// Takes 48 bytes of memory a record, or 36 and the keys.
    ///
    /// # Errors
    /// What the operating system says; there is no hint then.
    pub(crate) fn make(home: &StoreContext, segment: &Segment) -> Result<Option<Self>> {
        // Through a window: a mapping would count as this process's memory, all of it.
        let windowed = segment.windowed(home)?;
        let mut sorter = Sorter::default();
        let mut scanner = Scanner::new(&windowed, Bodies::Checked);
        loop {
            match scanner.next_intact() {
                Ok(Some(record)) => sorter.add_scanned(home, &record),
                Ok(None) => break,
                Err(Error::Damaged { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if windowed.len() < segment.limit() {
            return Ok(None);
        }
        Self::write(home, segment, &sorter.finish()).map(Some)
    }

    /// Writes the hint of `segment`, whose records are `sorted`. It is not synced: a crash costs the hint alone.
    ///
    /// # Errors
    /// What the operating system says; there is no hint then.
    pub(crate) fn write(home: &StoreContext, segment: &Segment, sorted: &Sorted) -> Result<Self> {
        let described = Described {
            store: home.store,
            hash_seed: home.hash_seed,
            segment: segment.id,
            segment_len: segment.limit(),
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
        let error = |error| Error::io("write", home.directory.path(name))(error);
        remove(home, segment.id).map_err(error)?;
        let written = home
            .directory
            .open(name, Access::Replace(StoreFile::Segment(segment.id)))
            .and_then(|file| write_parts(&*file, [&header, rows, &behind]))
            .and_then(|()| bytes(home, segment.id, segment.limit()));
        match written.map(|bytes| hint::parts(&bytes).map(|checked| Self { bytes, checked })) {
            Ok(Some(hint)) => Ok(hint),
            outcome => {
                let _ = remove(home, segment.id);
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
pub(crate) fn remove(home: &StoreContext, id: SegmentId) -> io::Result<()> {
    remove_if_there(&*home.directory, StoreFile::Hint(id))
}

/// The bytes of the hint of segment `id`, which is `segment_len` bytes long; unchecked.
///
/// # Errors
/// What the operating system says; `InvalidData` when the file is longer than any hint of the segment.
pub(crate) fn bytes(home: &StoreContext, id: SegmentId, segment_len: u64) -> io::Result<Value> {
    let file = home.directory.open(StoreFile::Hint(id), Access::Read)?;
    let len = file.len()?;
    // No hint is that long: a record takes 40 bytes at least, its row 16 and its share of the filter two.
    if len > segment_len.saturating_add(4096) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mapping = match home.reading.with {
        ReadWith::Mmap if len > 0 => map_if_room(&*file, len)?,
        _ => None,
    };
    if let Some(mapping) = mapping {
        mapping.expose(len);
        return Ok(Value::mapped(mapping, 0..len as usize));
    }
    Ok(Value::owned(Arc::new(read_vec_at(&*file, 0, len)?), 0..len as usize))
}
