//! The files of a store as a reader found them, to detect later changes by a writer.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::engine::base::error::{Error, Result};
use crate::engine::files::tail::TailReport;
use crate::engine::format::manifest::Manifest;
use crate::engine::format::record::HEADER_LEN;
use crate::engine::fs::{File, read_vec_at};

/// The number of bytes that identify a record. Its header holds the checksums, the sequence number
/// and the time, so no two records start with the same bytes.
const RECORD_START_LEN: u64 = HEADER_LEN as u64;

/// The files as a reader found them.
#[derive(Debug)]
pub(crate) struct SeenFiles {
    pub(super) manifest: Manifest,
    /// The MANIFEST file, held open so that no other file gets its inode number.
    pub(super) file: Arc<dyn File>,
    /// The last segment of the log, unless it is sealed.
    pub(super) end: Option<SeenEnd>,
}

/// The file of the last segment as a reader found it.
#[derive(Debug)]
pub(crate) struct SeenEnd {
    file: Arc<dyn File>,
    len: u64,
    last_record: Option<RecordStart>,
    /// The start of a torn tail. A whole record may replace it and end at the same byte.
    torn: Option<RecordStart>,
}

/// The first bytes of a record, which identify it.
#[derive(Clone, Debug)]
struct RecordStart {
    at: u64,
    bytes: Vec<u8>,
}

/// How the last segment has changed since a reader read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndChange {
    Unchanged,
    Grown,
    /// Records that had been read were cut off.
    Rewritten,
}

impl RecordStart {
    fn read(file: &dyn File, at: u64, file_len: u64) -> io::Result<Self> {
        Ok(Self { at, bytes: read_vec_at(file, at, RECORD_START_LEN.min(file_len - at))? })
    }

    fn is_in(&self, file: &dyn File) -> io::Result<bool> {
        Ok(read_vec_at(file, self.at, self.bytes.len() as u64)? == self.bytes)
    }
}

impl SeenEnd {
    /// A file of `len` bytes that is unchanged since its writer closed the store.
    pub(super) fn closed(file: &Arc<dyn File>, len: u64) -> Self {
        Self { file: Arc::clone(file), len, last_record: None, torn: None }
    }

    /// The file at `path`, with the tail that `tail` describes.
    pub(super) fn unclosed(tail: &TailReport, file: &Arc<dyn File>, path: &Path) -> Result<Self> {
        let len = tail.file_len;
        let start = |at| RecordStart::read(&**file, at, len).map_err(Error::io("read", path));
        let last_record = tail.last_at.map(start).transpose()?;
        let torn = (tail.end < len).then(|| start(tail.end)).transpose()?;
        Ok(Self { file: Arc::clone(file), len, last_record, torn })
    }

    /// Compares the file with what the reader found.
    pub(super) fn change(&self) -> io::Result<EndChange> {
        let len = self.file.len()?;
        if len < self.len {
            return Ok(EndChange::Rewritten);
        }
        // A write that fails halfway is cut off, and another one takes its place.
        let is_kept =
            |start: &Option<RecordStart>| start.as_ref().map_or(Ok(true), |start| start.is_in(&*self.file));
        if !is_kept(&self.last_record)? {
            return Ok(EndChange::Rewritten);
        }
        Ok(if len > self.len || !is_kept(&self.torn)? { EndChange::Grown } else { EndChange::Unchanged })
    }

    /// Takes over the last record of `before` if no whole batch was found since.
    pub(super) fn keep_last_record_of(&mut self, before: &Self) {
        if self.last_record.is_none() {
            self.last_record.clone_from(&before.last_record);
        }
    }
}
