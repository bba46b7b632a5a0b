//! The log's part in a compaction: it reserves ids and pages for new segments, and replaces old
//! segments with new ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use super::writer::Writer;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Failure;
use crate::engine::format::manifest::{History, SegmentLine};
use crate::engine::segment::Segment;
use crate::engine::state::Moved;

/// The number of slots swapped each time the log's lock is taken. Writers wait some tens of
/// microseconds for them.
const SWAPPED_AT_ONCE: usize = 1024;

/// The id, pages and salt of a segment that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) id: SegmentId,
    pub(crate) first_page: u32,
    pub(crate) salt: u32,
}

/// Sealed segments that replace a run of others.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    /// The replaced run, in log order.
    pub(crate) inputs: &'a [SegmentId],
    /// In log order, durable, with their lines for MANIFEST.
    pub(crate) outputs: &'a [(SegmentLine, Arc<Segment>)],
    /// The records that were live when they were copied.
    pub(crate) moved: &'a [Moved],
    /// The history lost with dropped records.
    pub(crate) forgotten: History,
}

impl Log {
    /// Reserves an id, a salt and pages for a segment of `capacity` bytes.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::NumbersSpent`], a closed or poisoned log, and I/O errors.
    pub(crate) fn reserve(&self, capacity: u64) -> Result<Reserved> {
        let mut writer = self.writable()?;
        let id = self.next_segment(&writer.manifest)?;
        let salt = self.salt()?;
        let first_page = self.state.change_segments(|set| set.reserve(capacity))?;
        writer.manifest.next_segment = SegmentId(id.0 + 1);
        Ok(Reserved { id, first_page, salt })
    }

    /// Releases the pages of a segment that was not completed.
    pub(crate) fn release(&self, first_page: u32) -> Result<()> {
        let _writer = self.lock()?;
        self.state.change_segments(|set| set.release(first_page));
        Ok(())
    }

    /// Removes the files of a segment that was not completed, with `remove`, and releases its
    /// pages.
    ///
    /// # Errors
    /// [`Error::Closed`], without calling `remove`, and the errors of `remove`.
    pub(crate) fn withdraw(&self, first_page: u32, remove: impl FnOnce() -> Result<()>) -> Result<()> {
        // The lock is held until the files are gone. After the log is closed, the directory may
        // have another writer, whose segments may use the ids reserved here.
        let writer = self.lock()?;
        if writer.exclusion.is_none() {
            return Err(Error::Closed);
        }
        let removed = remove();
        self.state.change_segments(|set| set.release(first_page));
        removed
    }

    /// Replaces the inputs with the outputs: in a new MANIFEST, in the set of segments, then slot
    /// by slot in the index. Finally the inputs leave the set, and their files may be removed.
    /// Writers wait for the MANIFEST and for some slots at a time. Readers never wait.
    ///
    /// # Errors
    /// A closed or poisoned log, and I/O errors. Unless the failure `is_undone`, the new MANIFEST
    /// may be in place, so the files of both inputs and outputs must stay.
    pub(crate) fn replace_run(&self, with: &Replacement<'_>) -> Result<(), Failure> {
        let undone = |error| Failure { error, is_undone: true };
        let mut writer = self.writable().map_err(undone)?;
        self.replace_lines(&mut writer, with)?;
        let last = with.inputs.last().copied().unwrap_or(SegmentId(0));
        let outputs: Vec<_> = with.outputs.iter().map(|(_, segment)| Arc::clone(segment)).collect();
        let committed = |error| Failure { error, is_undone: false };
        self.state.change_segments(|set| {
            set.insert_after(last, &outputs);
            set.history = set.history.with(with.forgotten);
        });
        drop(writer);
        for moved in with.moved.chunks(SWAPPED_AT_ONCE) {
            let mut writer = self.lock().map_err(committed)?;
            self.swap(&mut writer, moved);
        }
        let _writer = self.lock().map_err(committed)?;
        let inputs: HashSet<_> = with.inputs.iter().collect();
        self.state.change_segments(|set| {
            let gone = set.iter().filter(|segment| inputs.contains(&segment.id));
            let gone_len = gone.map(|segment| segment.len()).sum();
            self.state.compacted_len.fetch_add(gone_len, Ordering::Relaxed);
            set.remove(with.inputs);
        });
        // KEYDIR may have covered the inputs, so it may have to be written again.
        self.state.context.wakeup.ring();
        Ok(())
    }

    fn replace_lines(&self, writer: &mut Writer, with: &Replacement<'_>) -> Result<(), Failure> {
        let mut manifest = writer.manifest.clone();
        let inputs: HashSet<_> = with.inputs.iter().collect();
        let is_input = |line: &SegmentLine| inputs.contains(&line.id);
        let Some(first) = manifest.segments.iter().position(is_input) else {
            let segment = with.inputs.first().copied().unwrap_or(SegmentId(0));
            return Err(Failure { error: Error::NoSuchSegment { segment }, is_undone: true });
        };
        manifest.history = manifest.history.with(with.forgotten);
        manifest.segments.retain(|line| !is_input(line));
        manifest.segments.splice(first..first, with.outputs.iter().map(|(line, _)| *line));
        self.replace_manifest(writer, manifest)
            .map_err(|error| Failure { error, is_undone: writer.poison.is_none() })
    }

    /// Points the index and pending records to the new addresses of `moved` records.
    fn swap(&self, writer: &mut Writer, moved: &[Moved]) {
        if writer.pending.first().is_some() {
            let places: HashMap<_, _> = moved.iter().map(|moved| (moved.from, moved.to)).collect();
            writer.pending.repoint(&places);
        }
        for moved in moved {
            self.state.move_record(moved);
        }
    }
}
