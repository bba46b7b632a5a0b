//! Loads segments: checks their headers, finds the end of the log, and cuts off a torn tail.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::opened::{FoundDamage, OpenReport};
use super::seen::SeenEnd;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::files::tail::{DurablePrefix, TailReport};
use crate::engine::format::keydir_file::{Covered, Covering};
use crate::engine::format::manifest::{Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::segment_header::{self, HeaderError, Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory, File, StoreFile};
use crate::engine::keydir::Keydir;
use crate::engine::options::{OpenProgress, Options};
use crate::engine::segment::{Identity, ReadMode, Segment, StoreContext, file};
use crate::engine::state::{SegmentSet, State};
use crate::engine::upkeep::checkpoint::Checkpoint;

/// A store that is being loaded.
pub(super) struct Load<'a> {
    pub(super) context: StoreContext,
    pub(super) options: &'a Options,
    pub(super) state: Arc<State>,
    /// The part of the log that KEYDIR covers, if KEYDIR is usable.
    pub(super) covering: Option<Covering>,
    pub(super) report: OpenReport,
    /// The segment to append to, its file, and its capacity.
    pub(super) end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    pub(super) last_seq: Seqno,
    /// The part of the last segment that a reader has read before.
    pub(super) read: Option<DurablePrefix>,
    /// The end of the log as a reader found it.
    pub(super) seen_end: Option<SeenEnd>,
    /// The state that the new one replaces.
    earlier: Option<Arc<State>>,
}

impl<'a> Load<'a> {
    pub(super) fn new(
        directory: &Arc<dyn Directory>,
        options: &'a Options,
        manifest: &Manifest,
        earlier: Option<&Arc<State>>,
    ) -> Self {
        let context = StoreContext::of(directory, manifest, ReadMode::of(directory, options));
        Self {
            state: new_state(&context, options, earlier),
            context,
            options,
            covering: None,
            report: OpenReport::default(),
            end: None,
            last_seq: Seqno(0),
            read: None,
            seen_end: None,
            earlier: earlier.cloned(),
        }
    }

    /// Loads every segment of `manifest`, in log order. Reads only what KEYDIR does not cover.
    pub(super) fn all(&mut self, manifest: &Manifest) -> Result<()> {
        self.take_checkpoint(manifest);
        let mut loaded = self.segments(manifest)?;
        let covers_more = |loaded: &LoadedSegment| {
            let is_last = |covering: &Covering| {
                covering.segments.last().is_some_and(|last| Some(last) == loaded.covered.as_ref())
            };
            let covered_len = loaded.covered.as_ref().map_or(0, |covered| covered.len);
            self.covering.as_ref().is_some_and(is_last) && covered_len > loaded.segment.len()
        };
        if loaded.iter().any(|loaded| covers_more(loaded) || loaded.is_crowded) {
            // A power cut removed the end of the log but not KEYDIR, or an open without KEYDIR let
            // the active segment grow over the pages of others.
            self.covering = None;
            self.last_seq = Seqno(0);
            self.end = None;
            self.state = new_state(&self.context, self.options, self.earlier.as_ref());
            loaded = self.segments(manifest)?;
        }
        self.index(&loaded)
    }

    /// Starts from the index in KEYDIR, if it is usable.
    fn take_checkpoint(&mut self, manifest: &Manifest) {
        let Some(checkpoint) = Checkpoint::open(&self.context, manifest) else { return };
        let about = checkpoint.about().clone();
        let mut is_usable = false;
        let state = Arc::new_cyclic(|state| {
            let keydir = checkpoint.keydir(Weak::clone(state));
            is_usable = keydir.is_some();
            let keydir = keydir.unwrap_or_else(Keydir::new);
            with_keydir(&self.context, self.options, keydir, self.earlier.as_ref())
        });
        if is_usable {
            self.last_seq = about.covered_seq;
            self.covering = Some(about);
            self.state = state;
        }
    }

    fn segments(&mut self, manifest: &Manifest) -> Result<Vec<LoadedSegment>> {
        // Readers get the whole set at once: one copy per segment would make opening quadratic.
        let mut set = SegmentSet::default();
        set.history = manifest.history;
        let mut loaded = Vec::with_capacity(manifest.segments.len());
        for (index, line) in manifest.segments.iter().enumerate() {
            let seq_end = seq_end(manifest, index);
            let covered = self.covering.as_ref().and_then(|covering| covering.segments.get(index)).copied();
            loaded.push(self.segment(&mut set, line, seq_end, covered)?);
        }
        self.state.change_segments(|now| *now = set);
        Ok(loaded)
    }

    /// Opens one segment and adds it to `set`. Does not index its records.
    pub(super) fn segment(
        &mut self,
        set: &mut SegmentSet,
        line: &SegmentLine,
        seq_end: Seqno,
        covered: Option<Covered>,
    ) -> Result<LoadedSegment> {
        let directory = Arc::clone(&self.context.directory);
        // A writer appends to the last segment only.
        let appends = matches!(line.extent, SegmentExtent::Closed(_)) && !self.options.read_only;
        let file = file::open(&*directory, line.id, if appends { Access::Write } else { Access::Read })?;
        let file_len = file::len(&*directory, line.id, &*file)?;
        let (header, header_damage) = match self.header(line, &*file)? {
            Ok(header) => (Some(header), None),
            Err(damage) => (None, Some(damage)),
        };
        // A writer may truncate the file, and reading a mapping beyond the end kills the process.
        let is_unsettled = line.extent.is_unsettled(file_len);
        let reading = &self.context.reading;
        let reading = if is_unsettled { reading.unmapped() } else { reading.clone() };
        let wants = line.extent.len();
        let (len, wants) = if is_unsettled {
            let len = self.readable_len(line, seq_end, &file)?;
            (len, len)
        } else {
            (wants.min(file_len), wants)
        };
        // New records in a segment of another layout would be read by the rules of that layout.
        let is_ours = header.is_some_and(|header| {
            header.minor == segment_header::MINOR && line.layout == Layout::current(line.layout.records.salt)
        });
        let resumes = appends && len == wants && is_ours;
        let capacity = self.capacity(wants, resumes, is_unsettled && self.options.read_only);
        let is_sealed = matches!(line.extent, SegmentExtent::Sealed(_));
        if !is_sealed && !is_unsettled {
            self.seen_end = Some(SeenEnd::closed(&file, file_len));
        }
        let created_ms = header.map_or(0, |header| header.created_ms);
        let seq_end = if is_sealed { seq_end } else { seq_end.max(line.seq_end(capacity)) };
        let (first_page, room) = match covered {
            // The index has addresses in these pages. The pages after them may be another
            // segment's.
            Some(Covered { first_page, .. }) => (first_page, set.room_at(first_page, capacity)),
            None => (set.free_page(capacity, None)?, capacity),
        };
        let is_crowded = room < len;
        let capacity = room.max(len);
        let segment = Segment::new(
            identity(line, seq_end, created_ms, first_page),
            &*self.context.directory,
            &file,
            &reading,
            (len, capacity),
        )?;
        let segment = Arc::new(segment);
        if is_sealed {
            segment.mark_sealed();
        }
        set.push(Arc::clone(&segment));
        if resumes {
            self.end = Some((Arc::clone(&segment), file, capacity));
        }
        let missing_end = (len < wants).then_some((file_len, wants));
        Ok(LoadedSegment { segment, is_sealed, covered, is_crowded, header_damage, missing_end })
    }

    /// Returns the capacity of a segment of `len` bytes. It grows if the log `resumes` in it, or if
    /// a reader `follows` its writer.
    fn capacity(&self, len: u64, resumes: bool, follows: bool) -> u64 {
        let len_max = self.options.segment_len_max;
        match (resumes, follows) {
            (true, _) => len.max(len_max),
            // The writer may have a larger limit than this reader.
            (false, true) => len.saturating_mul(2).max(len_max),
            (false, false) => len,
        }
    }

    /// Reports the damage of one segment: in its header, in its records, and a missing end.
    pub(super) fn report_damage(&mut self, loaded: &LoadedSegment, damage: &[FoundDamage]) {
        let LoadedSegment { segment, header_damage, missing_end, .. } = loaded;
        let mut found: Vec<_> = header_damage.iter().chain(damage).cloned().collect();
        if let Some((has, wants)) = *missing_end {
            // The missing bytes belong to the record that is cut off there, if one is.
            match found.last_mut().filter(|last| last.at.offset + last.len == has) {
                Some(last) => last.len += wants - has,
                None => {
                    let damage = Damage::Truncated { wants, has };
                    found.push(FoundDamage { at: segment.location(has), len: wants - has, damage });
                }
            }
        }
        for FoundDamage { at, damage, .. } in &found {
            tracing::warn!(%at, %damage, "damage in the log");
            segment.mark_unfit();
        }
        if !found.is_empty() && self.end.as_ref().is_some_and(|(end, ..)| end.id == segment.id) {
            // Nothing is appended after damage: a damaged length could reach over the next record.
            self.end = None;
        }
        self.report.damage.extend(found);
    }

    pub(super) fn writes_hints(&self) -> bool {
        !self.options.read_only
    }

    pub(super) fn report_progress(&self, progress: OpenProgress) {
        if let Some(observer) = &self.options.open_observer {
            observer.tell(progress);
        }
    }

    /// Reads the segment's header. A damaged header does no harm: the line in MANIFEST holds the
    /// same facts.
    fn header(&self, line: &SegmentLine, file: &dyn File) -> Result<Result<SegmentHeader, FoundDamage>> {
        let bytes = file::first_bytes(&*self.context.directory, line.id, file)?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(self.context.store, line.id) {
                Some(damage) => damage,
                None => return Ok(Ok(header)),
            },
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => return Err(unsupported(line, found)),
        };
        let at = Location { segment: line.id, offset: 0 };
        Ok(Err(FoundDamage { at, len: line.layout.header_len.into(), damage }))
    }

    /// Returns the readable length of a segment that no writer has closed.
    fn readable_len(&mut self, line: &SegmentLine, next_seq: Seqno, file: &Arc<dyn File>) -> Result<u64> {
        let tail = self.inspect_tail(line, next_seq, file)?;
        self.seen_end = Some(SeenEnd::unclosed(&tail, file, &self.path(line.id))?);
        self.report.unclean = true;
        self.report.outgrown = matches!(line.extent, SegmentExtent::Closed(_));
        self.report.torn = tail.torn(line.id);
        Ok(tail.end)
    }

    /// Returns the last segment if it was not closed, or has grown since it was closed.
    pub(super) fn unsettled(&self, manifest: &Manifest) -> Result<Option<SegmentLine>> {
        let Some(line) = manifest.segments.last() else { return Ok(None) };
        let file = file::open(&*self.context.directory, line.id, Access::Read)?;
        let file_len = file::len(&*self.context.directory, line.id, &*file)?;
        Ok(line.extent.is_unsettled(file_len).then_some(*line))
    }

    /// Cuts off the torn tail of the active segment of a writer that died, and seals it in
    /// `manifest`.
    pub(super) fn settle_active(&mut self, manifest: &mut Manifest, line: SegmentLine) -> Result<()> {
        let path = self.path(line.id);
        let file = file::open(&*self.context.directory, line.id, Access::Write)?;
        self.refuse_other(&line, &*file)?;
        // The dead writer's last writes may be in the page cache only. The inspection must see the
        // bytes on the disk.
        file.sync().map_err(Error::io("fsync", path.clone()))?;
        file.drop_cache();
        let tail = self.inspect_tail(&line, manifest.next_seq, &file)?;
        if let Some((offset, witness)) = tail.durable_damage {
            return Err(Error::Rot { segment: line.id, offset, witness });
        }
        if let Some((offset, found)) = tail.unknown {
            // A newer version wrote this intact record. Cutting it off would lose it.
            let what = format!("the record at {}", Location { segment: line.id, offset });
            return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
        }
        if tail.end < tail.file_len {
            file.truncate(tail.end).map_err(Error::io("truncate", path.clone()))?;
            file.sync().map_err(Error::io("fsync", path))?;
            self.report.torn = tail.torn(line.id);
        }
        self.report.outgrown = matches!(line.extent, SegmentExtent::Closed(_));
        self.report.end_count = tail.record_count;
        // Sequence numbers of lost records must not be assigned again.
        let first = manifest.next_seq.max(line.base_seq).max(tail.last.plus(1));
        manifest.next_seq = manifest.next_seq.max(line.seq_end(tail.file_len)).min(Seqno::END);
        self.report.skipped = first..first.max(manifest.next_seq);
        manifest.generation = manifest.next_generation();
        if tail.end > line.layout.header_len.into() {
            if let Some(last) = manifest.segments.last_mut() {
                last.extent = SegmentExtent::Sealed(tail.end);
            }
        } else {
            // A segment without records leaves the list, and becomes an orphan.
            manifest.segments.pop();
        }
        Ok(())
    }

    /// Refuses an intact segment of another store or format, before anything is cut off it.
    fn refuse_other(&self, line: &SegmentLine, file: &dyn File) -> Result<()> {
        let bytes = file::first_bytes(&*self.context.directory, line.id, file)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(self.context.store, line.id) {
                Some(damage) => Err(Error::Damaged { segment: line.id, offset: 0, damage }),
                None => Ok(()),
            },
            Err(HeaderError::Unsupported(found)) => Err(unsupported(line, found)),
            // The line in MANIFEST gives the layout of the records.
            Err(HeaderError::Damaged(_)) => Ok(()),
        }
    }

    /// Inspects the end of the log. Reads without a mapping, since the file may be truncated.
    fn inspect_tail(&self, line: &SegmentLine, next_seq: Seqno, file: &Arc<dyn File>) -> Result<TailReport> {
        let file_len = file::len(&*self.context.directory, line.id, &**file)?;
        let identity = identity(line, line.seq_end(file_len), 0, 0);
        let reading = self.context.reading.unpooled();
        let segment = Segment::new(identity, &*self.context.directory, file, &reading, (file_len, file_len))?;
        TailReport::of(&segment, self.read.unwrap_or_else(|| DurablePrefix::of(Some(line.extent), next_seq)))
    }

    pub(super) fn path(&self, id: SegmentId) -> PathBuf {
        self.context.directory.path(StoreFile::Segment(id))
    }
}

/// A loaded segment.
pub(super) struct LoadedSegment {
    pub(super) segment: Arc<Segment>,
    pub(super) is_sealed: bool,
    /// The part of the segment that KEYDIR covers.
    pub(super) covered: Option<Covered>,
    /// Whether the segment has outgrown its pages and reaches into those of another segment.
    pub(super) is_crowded: bool,
    header_damage: Option<FoundDamage>,
    /// The length of the file, and the length in MANIFEST, if the file is too short.
    missing_end: Option<(u64, u64)>,
}

/// Creates a state without segments.
fn new_state(context: &StoreContext, options: &Options, earlier: Option<&Arc<State>>) -> Arc<State> {
    Arc::new(with_keydir(context, options, Keydir::new(), earlier))
}

fn with_keydir(
    context: &StoreContext,
    options: &Options,
    keydir: Keydir,
    earlier: Option<&Arc<State>>,
) -> State {
    let state = State::new(context.clone(), Arc::clone(&options.clock), keydir);
    match earlier {
        Some(earlier) => state.in_place_of(earlier),
        None => state,
    }
}

/// Returns a sequence number above every record in segment `index` of `manifest`.
pub(super) fn seq_end(manifest: &Manifest, index: usize) -> Seqno {
    let next = manifest.segments.get(index.saturating_add(1));
    next.map_or(manifest.next_seq, |next| next.base_seq)
}

/// Returns the last segment of `manifest`, unless it is sealed.
pub(super) fn unsealed(manifest: &Manifest) -> Option<SegmentId> {
    manifest
        .segments
        .last()
        .filter(|line| !matches!(line.extent, SegmentExtent::Sealed(_)))
        .map(|line| line.id)
}

fn identity(line: &SegmentLine, seq_end: Seqno, created_ms: u64, first_page: u32) -> Identity {
    let SegmentLine { id, base_seq, layout, .. } = *line;
    Identity { id, base_seq, layout, created_ms, seq_end, first_page }
}

fn unsupported(line: &SegmentLine, found: String) -> Error {
    Error::Unsupported { what: format!("segment {}", line.id), found, supported: "1.x".to_owned() }
}
