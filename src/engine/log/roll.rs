//! The active segment: marking it as active, sealing it and rolling to the next. Each step writes
//! one new MANIFEST.

use std::sync::Arc;

use super::Log;
use super::writer::{Active, Writer};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Failure;
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::record;
use crate::engine::format::segment_header::{HEADER_LEN, Layout};
use crate::engine::fs::StoreFile;
use crate::engine::segment::{Identity, SegmentWriter};

impl Log {
    /// Returns whether the active segment must be sealed before `len` bytes are appended.
    pub(super) fn is_due(&self, writer: &Writer, len: u64) -> bool {
        let is_full = |active: &Active| active.segment.len() + len > active.capacity;
        writer.active.as_ref().is_some_and(|active| is_full(active) || self.is_aged(active))
    }

    /// Ensures that MANIFEST lists the active segment as active, and that it has room for `count`
    /// records of `len` bytes in total. Rolls if it `is_due`. Then no sync may be running.
    pub(super) fn make_room(
        &self,
        writer: &mut Writer,
        is_due: bool,
        (count, len): (usize, u64),
    ) -> Result<()> {
        // The next open would reject such a number, so the write would be acknowledged and then
        // lost.
        if writer.appended.plus(count as u64) >= Seqno::END {
            return Err(spent("next_seq", writer.appended.plus(1).0));
        }
        if is_due {
            self.finish_active(writer)?;
            return self.start_segment(writer, len);
        }
        match &writer.active {
            Some(active) if !active.is_marked => {
                let extent = SegmentExtent::Active(active.capacity);
                self.replace_manifest(writer, writer.manifest_ending(extent))?;
                if let Some(active) = &mut writer.active {
                    active.is_marked = true;
                }
                Ok(())
            }
            Some(_) => Ok(()),
            None => self.start_segment(writer, len),
        }
    }

    fn is_aged(&self, active: &Active) -> bool {
        self.options.segment_age_max.is_some_and(|age| {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let created_ms = active.segment.segment.created_ms;
            !active.segment.is_empty() && self.options.clock.now_ms() >= created_ms.saturating_add(age_ms)
        })
    }

    /// Makes the active segment's records durable and visible, so that it can be sealed. The caller
    /// ensures that no sync is running: if two ran at the same time, only one would report a
    /// failure.
    pub(super) fn finish_active(&self, writer: &mut Writer) -> Result<()> {
        self.flush(writer)?;
        let Some(active) = &writer.active else { return Ok(()) };
        let (file, segment) = active.for_sync();
        // A marked segment is synced even if all its records are durable: the sync fails if its
        // file has been unlinked since.
        if writer.durable < writer.appended || active.is_marked {
            let outcome = self.timed(|| file.sync());
            self.record_sync(writer, writer.appended, (&segment.path, outcome))?;
        }
        Ok(())
    }

    pub(super) fn close_active(&self, writer: &mut Writer) -> Result<()> {
        self.finish_active(writer)?;
        let Some(active) = writer.active.as_ref().filter(|active| active.is_marked) else {
            return Ok(());
        };
        let extent = SegmentExtent::Closed(active.segment.len());
        let manifest = writer.manifest_ending(extent);
        self.replace_manifest(writer, manifest)
    }

    /// Seals the active segment, if any, and starts the next with room for `len` bytes, in one new
    /// MANIFEST.
    fn start_segment(&self, writer: &mut Writer, len: u64) -> Result<()> {
        let mut manifest = writer.sealed_manifest();
        let capacity = self.options.segment_len_max.max(HEADER_LEN as u64 + len);
        let layout = Layout::current(self.salt()?);
        let id = self.next_segment(&manifest)?;
        let ending = writer.active.as_ref().map(Active::id);
        let identity = Identity {
            id,
            base_seq: manifest.next_seq,
            layout,
            created_ms: self.options.clock.now_ms(),
            seq_end: manifest.next_seq.plus(capacity / record::LEN_MIN + 1),
            first_page: self.state.segments().free_page(capacity, ending)?,
        };
        let segment = SegmentWriter::create(
            &*self.directory,
            manifest.store,
            identity,
            &self.state.context.reading,
            capacity,
        )?;
        manifest.next_segment = SegmentId(id.0 + 1);
        let extent = SegmentExtent::Active(capacity);
        manifest.segments.push(SegmentLine { id, base_seq: manifest.next_seq, layout, extent });
        if let Err(error) = self.replace_manifest(writer, manifest) {
            if writer.poison.is_none() {
                // If this fails, the file is an orphan, which the next open removes.
                let _ = self.directory.remove(StoreFile::Segment(id));
            }
            return Err(error);
        }
        self.seal_active(writer);
        self.state.change_segments(|set| set.push(Arc::clone(&segment.segment)));
        tracing::debug!(segment = id.0, capacity, "a segment was started");
        writer.active = Some(Active { segment, capacity, is_marked: true });
        Ok(())
    }

    /// Seals the active segment, if any. MANIFEST lists it as sealed already.
    pub(super) fn seal_active(&self, writer: &mut Writer) {
        if let Some(active) = writer.active.take() {
            tracing::debug!(segment = active.id().0, bytes = active.segment.len(), "a segment was sealed");
            active.segment.segment.seal();
            self.state.context.wakeup.ring();
        }
    }

    /// Returns the id of the next segment, which no file has.
    ///
    /// # Errors
    /// [`Error::NumbersSpent`].
    pub(super) fn next_segment(&self, manifest: &Manifest) -> Result<SegmentId> {
        let mut id = manifest.next_segment;
        while self.strangers.contains(&id) {
            id.0 += 1;
        }
        if id < SegmentId::END { Ok(id) } else { Err(spent("next_segment", id.0)) }
    }

    pub(super) fn salt(&self) -> Result<u32> {
        let mut salt = [0; 4];
        let read = self.options.file_system.random(&mut salt);
        read.map_err(Error::io("read", "the system's random numbers"))?;
        Ok(u32::from_le_bytes(salt))
    }

    /// Replaces MANIFEST. Poisons the log if it is not known which MANIFEST the next open would
    /// find.
    pub(super) fn replace_manifest(&self, writer: &mut Writer, mut manifest: Manifest) -> Result<()> {
        self.check_exclusion(writer)?;
        manifest.generation = manifest.next_generation();
        match manifest_file::replace(&*self.directory, &manifest) {
            Ok(()) => {
                writer.manifest = manifest;
                Ok(())
            }
            Err(Failure { error, is_undone: true }) => Err(error),
            // The caller's records have not been staged.
            Err(Failure { error, is_undone: false }) => {
                writer.fail(&error);
                Err(Error::NotWritten { cause: error.sentence() })
            }
        }
    }
}

/// Returns the error for a counter of MANIFEST without numbers left.
pub(super) fn spent(counter: &'static str, number: u64) -> Error {
    Error::NumbersSpent { counter, number }
}
