//! The writer of a segment, the only code that writes a segment's file.

use std::io;
use std::sync::Arc;

use super::handle::Segment;
use super::identity::Identity;
use super::store_context::ReadMode;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::stop::Failure;
use crate::engine::format::record::new::{self, NewRecord};
use crate::engine::format::record::{Frame, Kind, RecordHeader};
use crate::engine::format::segment_header::{SegmentHeader, StoreId};
use crate::engine::fs::{Access, Directory, File, StoreFile, write_all_at};

/// The largest buffer kept after a flush, in bytes. A larger one, grown for one batch, is freed.
const BUFFER_KEEP: usize = 1 << 20;

/// Appends to a segment. Records are staged in memory and flushed together. Only flushed bytes can
/// be read through the [`Segment`], and they never change (*sealed is final*, on which `fs::mmap`
/// relies).
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub(crate) segment: Arc<Segment>,
    file: Arc<dyn File>,
    /// The length of the file.
    written: u64,
    /// The staged bytes.
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Creates the file of a new segment with its header. The file is durable on return, but
    /// MANIFEST does not list it yet.
    ///
    /// # Errors
    /// I/O errors. The file is removed, if possible.
    pub(crate) fn create(
        directory: &dyn Directory,
        store: StoreId,
        identity: Identity,
        reading: &ReadMode,
        capacity: u64,
    ) -> Result<Self> {
        let name = StoreFile::Segment(identity.id);
        let path = || directory.path(name);
        let file = directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        let Identity { id, base_seq, layout, created_ms, .. } = identity;
        let header = SegmentHeader::new(store, id, base_seq, layout.records.salt, created_ms).encode();
        let made = write_all_at(&*file, &header, 0)
            .map_err(Error::io("write", path()))
            .and_then(|()| file.sync().map_err(Error::io("fsync", path())))
            .and_then(|()| directory.sync().map_err(Error::io("fsync the directory of", path())))
            .and_then(|()| {
                Segment::new(identity, directory, &file, reading, (header.len() as u64, capacity))
            });
        match made {
            Ok(segment) => Ok(Self::first(segment, file, header.len() as u64)),
            Err(error) => {
                // If this fails, the file is an orphan, which the next open removes.
                let _ = directory.remove(name);
                Err(error)
            }
        }
    }

    /// Starts writing after the header of a new segment.
    fn first(segment: Segment, file: Arc<dyn File>, written: u64) -> Self {
        segment.expiry.set_known();
        Self { segment: Arc::new(segment), file, written, buffer: Vec::new() }
    }

    /// Continues a segment that was closed cleanly.
    pub(crate) fn resume(segment: Arc<Segment>, file: Arc<dyn File>) -> Self {
        let written = segment.len();
        Self { segment, file, written, buffer: Vec::new() }
    }

    /// Returns the length with staged bytes.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(crate) fn staged_len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns whether it holds no record, not even a staged one.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() <= u64::from(self.segment.layout.header_len)
    }

    /// Stages a record and returns its offset.
    pub(crate) fn stage(&mut self, record: &NewRecord<'_>) -> u64 {
        let at = self.len();
        record.encode(self.segment.layout.records.salt, at, &mut self.buffer);
        if record.kind == Kind::Put {
            self.segment.expiry.add(self.len() - at, record.expires_ms);
        }
        at
    }

    /// Reserves memory to stage `len` bytes.
    pub(crate) fn make_room(&mut self, len: u64) -> Result<()> {
        let room = usize::try_from(len).ok().and_then(|len| self.buffer.try_reserve(len).ok());
        room.ok_or_else(|| Error::io("write", &self.segment.path)(io::ErrorKind::OutOfMemory.into()))
    }

    /// Stages a copy of a checked record from a segment with the same layout, and returns its
    /// offset. The copy is its own batch.
    pub(crate) fn stage_copy(&mut self, record: &[u8]) -> u64 {
        let at = self.len();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(record);
        let header = RecordHeader::peek(record);
        if header.kind() == Kind::Put {
            let expires_ms = header.frame(self.segment.layout.records.header_len).expires_ms(record);
            self.segment.expiry.add(record.len() as u64, expires_ms);
        }
        new::clear_more(self.segment.layout.records, at, &mut self.buffer[start..]);
        at
    }

    /// Makes the last staged record, which is at `at`, the end of its batch.
    pub(crate) fn end_batch(&mut self, at: u64) {
        let start = (at - self.written) as usize;
        new::clear_more(self.segment.layout.records, at, &mut self.buffer[start..]);
    }

    /// Drops the staged records from `at` on.
    pub(crate) fn unstage(&mut self, at: u64) {
        self.buffer.truncate(at.saturating_sub(self.written) as usize);
    }

    /// Returns whether the record at `at`, flushed or staged, is one of `key`.
    pub(crate) fn is_of_key(&self, at: u64, key: &[u8]) -> Result<bool> {
        let Some(start) = at.checked_sub(self.written) else {
            return Ok(self.segment.outline_if_key(at, key)?.is_some());
        };
        let bytes = &self.buffer[start as usize..];
        let frame: Frame = RecordHeader::peek(bytes).frame(self.segment.layout.records.header_len);
        Ok(frame.key(bytes) == key)
    }

    /// Flushes staged records to the file, where readers can see them.
    ///
    /// # Errors
    /// I/O errors. The staged records are dropped. The failure `is_undone` if the file was
    /// truncated to its previous length, durably.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let outcome = write_all_at(&*self.file, &self.buffer, self.written);
        let len = self.buffer.len() as u64;
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEEP {
            self.buffer = Vec::new();
        }
        match outcome {
            Ok(()) => {
                self.written += len;
                self.segment.expose(self.written);
                Ok(())
            }
            Err(error) => {
                // Without the sync, a power cut could bring back records whose writer was told that
                // they failed.
                let is_undone = self.file.truncate(self.written).and_then(|()| self.file.sync()).is_ok();
                Err(Failure { error: Error::io("write", &self.segment.path)(error), is_undone })
            }
        }
    }

    /// Makes the flushed records durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(Error::io("fsync", &self.segment.path))
    }

    /// Returns the file, for a sync that does not block appends.
    pub(crate) fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }
}
