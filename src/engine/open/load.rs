//! Segments on their way from files to a state: headers checked, torn tails cut.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::follow::SeenEnd;
use super::{FoundDamage, OpenReport};
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::files::tail::{DurablePrefix, TailReport};
use crate::engine::format::keydir_file::{Covered, Covering};
use crate::engine::format::manifest::{Extent, Manifest, SegmentLine};
use crate::engine::format::segment_header::{self, HeaderError, Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory, File, StoreFile};
use crate::engine::keydir::Keydir;
use crate::engine::options::{OpenProgress, Options};
use crate::engine::segment::{Identity, ReadMode, Segment, StoreContext, file};
use crate::engine::state::{SegmentSet, State};
use crate::engine::upkeep::checkpoint::Checkpoint;

/// A store on its way from files to a state.
pub(super) struct Load<'a> {
    pub(super) home: StoreContext,
    options: &'a Options,
    pub(super) state: Arc<State>,
    /// What the index knew before a segment was read.
    pub(super) covering: Option<Covering>,
    pub(super) report: OpenReport,
    /// The segment to append to, its file and how long it may become.
    pub(super) end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    pub(super) last_seq: Seqno,
    /// The part of the growing segment that has been read already.
    pub(super) read: Option<DurablePrefix>,
    /// The log's end as a reader found it.
    pub(super) seen_end: Option<SeenEnd>,
    /// The state that this one replaces.
    earlier: Option<Arc<State>>,
}

impl<'a> Load<'a> {
    pub(super) fn new(
        directory: &Arc<dyn Directory>,
        options: &'a Options,
        manifest: &Manifest,
        earlier: Option<&Arc<State>>,
    ) -> Self {
        let home = StoreContext {
            directory: Arc::clone(directory),
            store: manifest.store,
            lineage: manifest.lineage,
            hash_seed: manifest.hash_seed,
            reading: ReadMode::of(directory, options),
            wakeup: Arc::default(),
        };
        Self {
            state: new_state(&home, options, earlier),
            home,
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

    /// Loads every segment of `manifest`, in log order; what KEYDIR covers is not read.
    pub(super) fn all(&mut self, manifest: &Manifest) -> Result<()> {
        self.take_checkpoint(manifest);
        let mut loaded = self.segments(manifest)?;
        let covers_more = |loaded: &Loaded| {
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
            self.state = new_state(&self.home, self.options, self.earlier.as_ref());
            loaded = self.segments(manifest)?;
        }
        self.index(&loaded)
    }

    /// Begins with the index that is in KEYDIR, if that can be used.
    fn take_checkpoint(&mut self, manifest: &Manifest) {
        let Some(checkpoint) = Checkpoint::open(&self.home, manifest) else { return };
        let about = checkpoint.about().clone();
        let mut is_usable = false;
        let state = Arc::new_cyclic(|state| {
            let keydir = checkpoint.keydir(Weak::clone(state));
            is_usable = keydir.is_some();
            let keydir = keydir.unwrap_or_else(Keydir::new);
            with_keydir(&self.home, self.options, keydir, self.earlier.as_ref())
        });
        if is_usable {
            self.last_seq = about.covered_seq;
            self.covering = Some(about);
            self.state = state;
        }
    }

    fn segments(&mut self, manifest: &Manifest) -> Result<Vec<Loaded>> {
        // Readers get the whole set at once: one copy per segment would make opening quadratic.
        let mut set = SegmentSet::default();
        set.history = manifest.history;
        let mut loaded = Vec::with_capacity(manifest.segments.len());
        for (index, line) in manifest.segments.iter().enumerate() {
            let seq_end = seq_end(manifest, index);
            let covered = self.covering.as_ref().and_then(|covering| covering.segments.get(index)).copied();
            loaded.push(self.segment(&mut set, line, seq_end, covered)?);
        }
        self.state.change_segments(|now| {
            *now = set;
            Ok(loaded)
        })
    }

    /// Opens one segment; its records are not in the index yet.
    pub(super) fn segment(
        &mut self,
        set: &mut SegmentSet,
        line: &SegmentLine,
        seq_end: Seqno,
        covered: Option<Covered>,
    ) -> Result<Loaded> {
        let directory = Arc::clone(&self.home.directory);
        // Only the log's end is ever written to, and only by a writer.
        let appends = matches!(line.extent, Extent::Closed(_)) && !self.options.read_only;
        let file = file::open(&*directory, line.id, if appends { Access::Write } else { Access::Read })?;
        let file_len = file::len(&*directory, line.id, &*file)?;
        let (header, header_damage) = match self.header(line, &*file)? {
            Ok(header) => (Some(header), None),
            Err(damage) => (None, Some(damage)),
        };
        // Somebody may be writing to it, or cutting it back: its bytes are read, not mapped.
        let is_unsettled = line.extent.is_unsettled(file_len);
        let reading = &self.home.reading;
        let reading = if is_unsettled { reading.unmapped() } else { reading.clone() };
        let (Extent::Sealed(wants) | Extent::Closed(wants) | Extent::Active(wants)) = line.extent;
        let (len, wants) = if is_unsettled {
            let len = self.readable_len(line, seq_end, &file)?;
            (len, len)
        } else {
            (wants.min(file_len), wants)
        };
        // A segment that another version laid out is not gone on with: its records would not be read as ours.
        let is_ours = header.is_some_and(|header| {
            header.minor == segment_header::MINOR && line.layout == Layout::current(line.layout.records.salt)
        });
        let resumes = appends && len == wants && is_ours;
        // A reader follows a writer, which may have another limit.
        let follows = is_unsettled && self.options.read_only;
        let capacity = match (resumes, follows) {
            (true, _) => wants.max(self.options.segment_len_max),
            (_, true) => wants.saturating_mul(2).max(self.options.segment_len_max),
            _ => wants,
        };
        let is_sealed = matches!(line.extent, Extent::Sealed(_));
        if !is_sealed && !is_unsettled {
            self.seen_end = Some(SeenEnd::new(&file, file_len));
        }
        let created_ms = header.map_or(0, |header| header.created_ms);
        let seq_end = if is_sealed { seq_end } else { seq_end.max(line.seq_end(capacity)) };
        let (first_page, room) = match covered {
            // Its records' addresses are in the index already; behind it the pages may be another segment's.
            Some(Covered { first_page, .. }) => (first_page, set.room_at(first_page, capacity)),
            None => (set.free_page(capacity, None)?, capacity),
        };
        let (is_crowded, capacity) = (room < len, room.max(len));
        let place = Place { seq_end, created_ms, first_page };
        let segment = Arc::new(self.map(line, &file, place, &reading, (len, capacity))?);
        if is_sealed {
            segment.mark_sealed();
        }
        set.push(Arc::clone(&segment));
        if resumes {
            self.end = Some((Arc::clone(&segment), file, capacity));
        }
        let missing_end = (len < wants).then_some((file_len, wants));
        Ok(Loaded { segment, is_sealed, covered, is_crowded, header_damage, missing_end })
    }

    /// Tells of the damage in one segment: in its header, in its records, and that its end is missing.
    pub(super) fn tell(&mut self, loaded: &Loaded, damage: &[FoundDamage]) {
        let Loaded { segment, header_damage, missing_end, .. } = loaded;
        let mut found: Vec<_> = header_damage.iter().chain(damage).cloned().collect();
        if let Some((has, wants)) = *missing_end {
            // By itself, or with the record that is cut there.
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
            // Nothing is appended behind damage: a length in it might reach over what comes next.
            self.end = None;
        }
        self.report.damage.extend(found);
    }

    /// Whether hints may be written.
    pub(super) fn writes_hints(&self) -> bool {
        !self.options.read_only
    }

    /// Tells how far opening has come.
    pub(super) fn report_progress(&self, progress: OpenProgress) {
        if let Some(observer) = &self.options.open_observer {
            observer.tell(progress);
        }
    }

    fn map(
        &self,
        line: &SegmentLine,
        file: &Arc<dyn File>,
        place: Place,
        reading: &ReadMode,
        (len, capacity): (u64, u64),
    ) -> Result<Segment> {
        let Place { seq_end, created_ms, first_page } = place;
        let SegmentLine { id, base_seq, layout, .. } = *line;
        let identity = Identity { id, base_seq, layout, created_ms, seq_end, first_page };
        Segment::new(identity, &*self.home.directory, file, reading, (len, capacity))
    }

    /// The segment's header, if it is intact and this segment's. Damage costs nothing but the header: its line in
    /// MANIFEST says the same.
    fn header(&self, line: &SegmentLine, file: &dyn File) -> Result<Result<SegmentHeader, FoundDamage>> {
        let bytes = file::first_bytes(&*self.home.directory, line.id, file)?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(self.home.store, line.id) {
                Some(damage) => damage,
                None => return Ok(Ok(header)),
            },
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => return Err(unsupported(line, found)),
        };
        let at = Location { segment: line.id, offset: 0 };
        Ok(Err(FoundDamage { at, len: line.layout.header_len.into(), damage }))
    }

    /// How much of a segment that a writer has open, or died with, a reader can use.
    fn readable_len(&mut self, line: &SegmentLine, next_seq: Seqno, file: &Arc<dyn File>) -> Result<u64> {
        let verdict = self.judge(line, next_seq, file)?;
        self.seen_end = Some(SeenEnd::of(&verdict, file, &self.path(line.id))?);
        self.report.unclean = true;
        self.report.outgrown = matches!(line.extent, Extent::Closed(_));
        self.report.torn = verdict.torn(line.id);
        Ok(verdict.end)
    }

    /// The log's last segment, if its end has to be found: it was not closed, or there is more than was closed.
    pub(super) fn unsettled(&self, manifest: &Manifest) -> Result<Option<SegmentLine>> {
        let Some(line) = manifest.segments.last() else { return Ok(None) };
        let file = file::open(&*self.home.directory, line.id, Access::Read)?;
        let file_len = file::len(&*self.home.directory, line.id, &*file)?;
        Ok(line.extent.is_unsettled(file_len).then_some(*line))
    }

    /// Cuts off the torn tail of the segment that the last writer died with, and seals it in `manifest`.
    pub(super) fn settle_active(&mut self, manifest: &mut Manifest, line: SegmentLine) -> Result<()> {
        let path = self.path(line.id);
        let file = file::open(&*self.home.directory, line.id, Access::Write)?;
        self.refuse_other(&line, &*file)?;
        // What the dead writer wrote may be in memory alone: what is judged must be what the disk has.
        file.sync().map_err(Error::io("fsync", path.clone()))?;
        file.drop_cache();
        let verdict = self.judge(&line, manifest.next_seq, &file)?;
        if let Some((offset, witness)) = verdict.durable_damage {
            return Err(Error::Rot { segment: line.id, offset, witness });
        }
        if let Some((offset, found)) = verdict.unknown {
            // Intact, and written by a version that knows more: cutting it off would lose it.
            let what = format!("the record at {}", Location { segment: line.id, offset });
            return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
        }
        if verdict.end < verdict.file_len {
            file.truncate(verdict.end).map_err(Error::io("truncate", path.clone()))?;
            file.sync().map_err(Error::io("fsync", path))?;
            self.report.torn = verdict.torn(line.id);
        }
        self.report.outgrown = matches!(line.extent, Extent::Closed(_));
        self.report.end_count = verdict.record_count;
        // Numbers that the lost writes could have had are not given out again.
        let first = manifest.next_seq.max(line.base_seq).max(verdict.last.plus(1));
        manifest.next_seq = manifest.next_seq.max(line.seq_end(verdict.file_len)).min(Seqno::END);
        self.report.skipped = first..first.max(manifest.next_seq);
        manifest.generation = manifest.next_generation();
        if verdict.end > line.layout.header_len.into() {
            if let Some(last) = manifest.segments.last_mut() {
                last.extent = Extent::Sealed(verdict.end);
            }
        } else {
            // It holds no record: unlisted, it is an orphan.
            manifest.segments.pop();
        }
        Ok(())
    }

    /// Refuses a segment that is intact and another's, or of another format, before anything is cut off it.
    fn refuse_other(&self, line: &SegmentLine, file: &dyn File) -> Result<()> {
        let bytes = file::first_bytes(&*self.home.directory, line.id, file)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) => match header.unlike(self.home.store, line.id) {
                Some(damage) => Err(Error::Damaged { segment: line.id, offset: 0, damage }),
                None => Ok(()),
            },
            Err(HeaderError::Unsupported(found)) => Err(unsupported(line, found)),
            // Only the header is lost: its line says how the records are read.
            Err(HeaderError::Damaged(_)) => Ok(()),
        }
    }

    /// Torn tail or rot? Reads what a crash may have left, without a mapping, since it may be cut.
    fn judge(&self, line: &SegmentLine, next_seq: Seqno, file: &Arc<dyn File>) -> Result<TailReport> {
        let file_len = file::len(&*self.home.directory, line.id, &**file)?;
        let place = Place { seq_end: line.seq_end(file_len), created_ms: 0, first_page: 0 };
        let segment = self.map(line, file, place, &self.home.reading.passing(), (file_len, file_len))?;
        TailReport::of(&segment, self.read.unwrap_or_else(|| DurablePrefix::of(Some(line.extent), next_seq)))
    }

    pub(super) fn path(&self, id: SegmentId) -> PathBuf {
        self.home.directory.path(StoreFile::Segment(id))
    }
}

/// A segment that was opened.
pub(super) struct Loaded {
    pub(super) segment: Arc<Segment>,
    pub(super) is_sealed: bool,
    /// What KEYDIR knows of it.
    pub(super) covered: Option<Covered>,
    /// Whether it has outgrown its pages, and reaches those of another segment.
    pub(super) is_crowded: bool,
    header_damage: Option<FoundDamage>,
    /// How long the file is and how long it should be.
    missing_end: Option<(u64, u64)>,
}

/// A state that knows of no segment.
fn new_state(home: &StoreContext, options: &Options, earlier: Option<&Arc<State>>) -> Arc<State> {
    Arc::new(with_keydir(home, options, Keydir::new(), earlier))
}

fn with_keydir(
    home: &StoreContext,
    options: &Options,
    keydir: Keydir,
    earlier: Option<&Arc<State>>,
) -> State {
    let state = State::new(home.clone(), Arc::clone(&options.clock), keydir);
    match earlier {
        Some(earlier) => state.in_place_of(earlier),
        None => state,
    }
}

/// A number that is greater than that of any record in segment number `index` of `manifest`.
pub(super) fn seq_end(manifest: &Manifest, index: usize) -> Seqno {
    let next = manifest.segments.get(index.saturating_add(1));
    next.map_or(manifest.next_seq, |next| next.base_seq)
}

/// What a segment's line does not say of it.
#[derive(Clone, Copy)]
struct Place {
    seq_end: Seqno,
    created_ms: u64,
    first_page: u32,
}

fn unsupported(line: &SegmentLine, found: String) -> Error {
    Error::Unsupported { what: format!("segment {}", line.id), found, supported: "1.x".to_owned() }
}
