//! The log's side of compaction: numbers and pages for new segments, and the one moment at which they take the place of
//! old ones.

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

/// How many slots are swapped while writers wait: some tens of microseconds.
const SWAPPED_AT_ONCE: usize = 1024;

/// What a segment that is being made may have for its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    pub(crate) id: SegmentId,
    pub(crate) first_page: u32,
    pub(crate) salt: u32,
}

/// Sealed segments in the place of a run of others.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    /// The run, in log order.
    pub(crate) inputs: &'a [SegmentId],
    /// In log order, durable, and each with what MANIFEST is to say of it.
    pub(crate) outputs: &'a [(SegmentLine, Arc<Segment>)],
    /// Where the records went that were live when they were copied.
    pub(crate) moved: &'a [Moved],
    /// What of the past is forgotten with the records that were dropped.
    pub(crate) forgotten: History,
}

impl Log {
    /// A number, a salt and pages for a segment of `capacity` bytes.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::NumbersSpent`], a log that takes no more writes, and what the operating system says.
    pub(crate) fn reserve(&self, capacity: u64) -> Result<Reserved> {
        let mut writer = self.writable()?;
        let (id, salt) = (self.next_segment(&writer.manifest)?, self.salt()?);
        let first_page = self.state.change_segments(|set| set.reserve(capacity))?;
        writer.manifest.next_segment = SegmentId(id.0 + 1);
        Ok(Reserved { id, first_page, salt })
    }

    /// Gives back the pages of a segment that will not be.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn release(&self, first_page: u32) -> Result<()> {
        let _writer = self.lock()?;
        self.release_pages(first_page)
    }

    /// Has `remove` take the files of a segment that will not be out of the directory, and gives back its pages.
    ///
    /// # Errors
    /// [`Error::Closed`]: `remove` was not called; and those of `remove`.
    pub(crate) fn withdraw(&self, first_page: u32, remove: impl FnOnce() -> Result<()>) -> Result<()> {
        // Held until the files are gone: once the log is closed the directory may have another writer, whose segments
        // may have the numbers that were reserved here.
        let writer = self.lock()?;
        if writer.exclusion.is_none() {
            return Err(Error::Closed);
        }
        remove().and(self.release_pages(first_page))
    }

    fn release_pages(&self, first_page: u32) -> Result<()> {
        self.state.change_segments(|set| {
            set.release(first_page);
            Ok(())
        })
    }

    /// Puts the outputs in the place of the inputs: in a new MANIFEST, then in the set of segments, then slot by slot in
    /// the index; at last the inputs leave the set, and their files may be removed. Writers wait for the MANIFEST and for
    /// some slots at a time, readers for nothing.
    ///
    /// # Errors
    /// A log that takes no more writes, and what the operating system says, with whether the old MANIFEST is certainly
    /// still in place: else the inputs and the outputs must both stay.
    pub(crate) fn replace_run(&self, with: &Replacement<'_>) -> Result<(), Failure> {
        let undone = |error| Failure { error, is_undone: true };
        let mut writer = self.writable().map_err(undone)?;
        self.replace_lines(&mut writer, with)?;
        let last = with.inputs.last().copied().unwrap_or(SegmentId(0));
        let outputs: Vec<_> = with.outputs.iter().map(|(_, segment)| Arc::clone(segment)).collect();
        let committed = |error| Failure { error, is_undone: false };
        let grown = self.state.change_segments(|set| {
            set.insert_after(last, &outputs);
            set.history = set.history.with(with.forgotten);
            Ok(())
        });
        grown.map_err(committed)?;
        drop(writer);
        for moved in with.moved.chunks(SWAPPED_AT_ONCE) {
            let mut writer = self.lock().map_err(committed)?;
            self.swap(&mut writer, moved);
        }
        let _writer = self.lock().map_err(committed)?;
        let inputs: HashSet<_> = with.inputs.iter().collect();
        let shrunk = self.state.change_segments(|set| {
            let gone = set.iter().filter(|segment| inputs.contains(&segment.id));
            let gone_len = gone.map(|segment| segment.len()).sum();
            self.state.compacted_len.fetch_add(gone_len, Ordering::Relaxed);
            set.remove(with.inputs);
            Ok(())
        });
        // KEYDIR may have covered the inputs: it may be worth another one.
        self.state.context.wakeup.ring();
        shrunk.map_err(committed)
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

    /// Lets readers and pending writes find `moved` records at their new places.
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
