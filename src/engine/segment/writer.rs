//! The end of the active segment: the one place that puts bytes into a segment's file.

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

/// A buffer that grew for one large batch is given back above this.
const BUFFER_KEEP: usize = 1 << 20;

/// Appends to a segment. Records are staged in memory and flushed to the file together; only what is in the file can
/// be read through the [`Segment`], and it never changes again (*sealed is final*, on which `fs::mmap` relies).
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub(crate) segment: Arc<Segment>,
    file: Arc<dyn File>,
    /// Bytes in the file.
    written: u64,
    /// Bytes behind them, not yet in the file.
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Makes the file of a new segment, with its header, durable when this returns (but for the MANIFEST, which does
    /// not list it yet).
    ///
    /// # Errors
    /// What the operating system says; the file is removed again then, as far as that can be done.
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
                // Left behind it would be an orphan, which the next open removes: nothing more is owed here.
                let _ = directory.remove(name);
                Err(error)
            }
        }
    }

    /// Begins to write to a new segment, of which a header is in the file.
    fn first(segment: Segment, file: Arc<dyn File>, written: u64) -> Self {
        segment.expiry.set_known();
        Self { segment: Arc::new(segment), file, written, buffer: Vec::new() }
    }

    /// Goes on with a segment that was closed cleanly.
    pub(crate) fn resume(segment: Arc<Segment>, file: Arc<dyn File>) -> Self {
        let written = segment.len();
        Self { segment, file, written, buffer: Vec::new() }
    }

    /// Bytes in the file and staged.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Bytes staged.
    pub(crate) fn staged_len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it holds no record, not even a staged one.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() <= u64::from(self.segment.layout.header_len)
    }

    /// Stages a record; the result is where it will stand.
    pub(crate) fn stage(&mut self, record: &NewRecord<'_>) -> u64 {
        let at = self.len();
        record.encode(self.segment.layout.records.salt, at, &mut self.buffer);
        if record.kind == Kind::Put {
            self.segment.expiry.note(self.len() - at, record.expires_ms);
        }
        at
    }

    /// Sees to it that so many bytes can be staged.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub(crate) fn make_room(&mut self, len: u64) -> Result<()> {
        let room = usize::try_from(len).ok().and_then(|len| self.buffer.try_reserve(len).ok());
        room.ok_or_else(|| Error::io("write", &self.segment.path)(io::ErrorKind::OutOfMemory.into()))
    }

    /// Stages a copy of `record`, which was checked and stands in a segment of the same layout, without the batch it
    /// belonged to; the result is where it will stand.
    pub(crate) fn stage_copy(&mut self, record: &[u8]) -> u64 {
        let at = self.len();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(record);
        let header = RecordHeader::peek(record);
        if header.kind() == Kind::Put {
            let expires_ms = header.frame(self.segment.layout.records.header_len).expires_ms(record);
            self.segment.expiry.note(record.len() as u64, expires_ms);
        }
        new::clear_more(self.segment.layout.records, at, &mut self.buffer[start..]);
        at
    }

    /// Makes the staged record at `at`, the last one, the end of its batch.
    pub(crate) fn end_batch(&mut self, at: u64) {
        let start = (at - self.written) as usize;
        new::clear_more(self.segment.layout.records, at, &mut self.buffer[start..]);
    }

    /// Forgets what is staged from `at` on.
    pub(crate) fn unstage(&mut self, at: u64) {
        self.buffer.truncate(at.saturating_sub(self.written) as usize);
    }

    /// Whether the record at `at`, in the file or staged, is one of `key`.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn is_of_key(&self, at: u64, key: &[u8]) -> Result<bool> {
        let Some(start) = at.checked_sub(self.written) else {
            return Ok(self.segment.outline_if_key(at, key)?.is_some());
        };
        let bytes = &self.buffer[start as usize..];
        let frame: Frame = RecordHeader::peek(bytes).frame(self.segment.layout.records.header_len);
        Ok(frame.key(bytes) == key)
    }

    /// Puts what is staged into the file, where readers can see it.
    ///
    /// # Errors
    /// What the operating system says; what was staged is dropped then, and the file is cut back to what it held, durably.
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
                // Without the fsync a power cut could bring back records that their writer was told are not there.
                let is_undone = self.file.truncate(self.written).and_then(|()| self.file.sync()).is_ok();
                Err(Failure { error: Error::io("write", &self.segment.path)(error), is_undone })
            }
        }
    }

    /// Makes what is in the file durable.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().map_err(Error::io("fsync", &self.segment.path))
    }

    /// The file, to be synced without holding up those who append.
    pub(crate) fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }
}
