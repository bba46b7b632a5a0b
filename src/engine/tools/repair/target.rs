//! The repaired store, while it is made.

use std::io::ErrorKind;
use std::sync::Arc;

use super::memory;
use super::run::Repair;
use super::source::{Source, is_current};
use super::walk::{Intact, Part, walk};
use crate::engine::base::error::{Error, Result, words};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::{Failure, Stop};
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Extent, History, Manifest, SegmentLine};
use crate::engine::format::put;
use crate::engine::format::record::SEQ_AT;
use crate::engine::format::segment_header::{HEADER_LEN, Layout};
use crate::engine::fs::staging::create_file;
use crate::engine::fs::{Access, Directory, StoreFile, write_all_at};
use crate::engine::segment::{Identity, ReadMode, Segment, SegmentWriter};

/// What is copied at once.
const CHUNK_LEN: u64 = 1 << 20;

/// The new directory, and what its MANIFEST is to say.
pub(super) struct Target {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) lines: Vec<SegmentLine>,
    pub(super) next_segment: SegmentId,
    /// More than any number of its records.
    pub(super) end: Seqno,
    /// The segment that salvaged records go to.
    open: Option<SegmentWriter>,
}

/// An intact record of one of the sources.
#[derive(Clone, Copy)]
struct DirectoryEntry {
    seq: Seqno,
    source: usize,
    at: u64,
    len: u64,
}

impl Target {
    pub(super) fn new(directory: Arc<dyn Directory>, next_segment: SegmentId) -> Self {
        Self { directory, lines: Vec::new(), next_segment, end: Seqno(0), open: None }
    }
}

impl Repair<'_> {
    /// Takes over segments whose numbers lie among each other: one alone that is whole as it is, else their intact records,
    /// by number.
    pub(super) fn take_over(&mut self, target: &mut Target, sources: &[Source]) -> Result<(), Stop> {
        if let [source] = sources
            && source.is_whole
            && source.seqs.end.max(source.known.base_seq) <= Seqno::KEPT_MAX
            && source.known.id < SegmentId::KEPT_MAX
            && source.known.base_seq >= target.end
        {
            return self.copy(target, source);
        }
        if let Some(source) = sources.iter().find(|source| !is_current(source.known.layout)) {
            let what = format!("segment {}, which is damaged,", source.known.id);
            let (found, supported) = ("a later 1.x".to_owned(), "repairs 1.0".to_owned());
            return Err(Error::Unsupported { what, found, supported }.into());
        }
        self.report.salvaged.extend(sources.iter().map(|source| source.known.id));
        let segments = sources.iter().map(|source| source.open(&self.log_files));
        let segments = segments.collect::<Result<Vec<Segment>>>()?;
        for place in self.places(&segments)? {
            let segment = &segments[place.source];
            let mut record = segment.bytes_unchecked(place.at..place.at + place.len)?;
            let context = segment.layout.records;
            context
                .check_record(place.at, &record)
                .map_err(|damage| Error::damaged(segment.location(place.at), damage))?;
            let seq = if place.seq < Seqno::KEPT_MAX {
                place.seq
            } else {
                // It goes after all others, in order among those like it.
                self.report.renumbered_count += 1;
                target.end.max(Seqno(1))
            };
            if seq != place.seq {
                put(&mut record, SEQ_AT, &seq.0.to_le_bytes());
            }
            self.put(target, &record, seq)?;
        }
        self.finish_open(target)
    }

    fn copy(&mut self, target: &mut Target, source: &Source) -> Result<(), Stop> {
        let (known, segment) = (&source.known, source.open(&self.log_files)?);
        let name = StoreFile::Segment(known.id);
        let path = || target.directory.path(name);
        let file = target.directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        let mut at = 0;
        while at < segment.len() {
            let bytes = segment.bytes_unchecked(at..segment.len().min(at + CHUNK_LEN))?;
            write_all_at(&*file, &bytes, at).map_err(Error::io("write", path()))?;
            at += bytes.len() as u64;
            self.advance(at)?;
        }
        self.done_len += at;
        file.sync().map_err(Error::io("fsync", path()))?;
        self.report.copied.push(known.id);
        let (id, base_seq, layout) = (known.id, known.base_seq, known.layout);
        target.lines.push(SegmentLine { id, base_seq, layout, extent: Extent::Sealed(at) });
        target.end = source.seqs.end;
        Ok(())
    }

    /// The intact records of the sources, by number, each once.
    fn places(&mut self, segments: &[Segment]) -> Result<Vec<DirectoryEntry>, Stop> {
        let mut places = Vec::new();
        for (source, segment) in segments.iter().enumerate() {
            walk(segment, self.len_max(), &mut |part| {
                match part {
                    Part::Intact(Intact { seq, at, len, .. }) => {
                        memory::push(&mut places, DirectoryEntry { seq, source, at, len }, &segment.path)?;
                    }
                    // What is read here is read again: it does not count.
                    Part::Sought(_) => self.advance(0)?,
                    Part::Damaged(_) | Part::Unknown(..) => {}
                }
                Ok(())
            })?;
        }
        let count = places.len();
        // In place: a sort that keeps the order of equals takes memory of its own.
        places.sort_unstable_by_key(|place| (place.seq, place.source, place.at));
        places.dedup_by_key(|place| place.seq);
        self.report.duplicate_count += (count - places.len()) as u64;
        Ok(places)
    }

    fn put(&mut self, target: &mut Target, record: &[u8], seq: Seqno) -> Result<(), Stop> {
        let len = record.len() as u64;
        let limit = self.options.segment_len_max;
        if target.open.as_ref().is_none_or(|open| open.len() + len > limit) {
            self.finish_open(target)?;
            target.open = Some(self.create(target, seq, limit.max(HEADER_LEN as u64 + len))?);
        }
        let open = target.open.as_mut().expect("it was made just now");
        open.make_room(len)?;
        open.stage_copy(record);
        target.end = seq.plus(1);
        if open.staged_len() as u64 >= CHUNK_LEN {
            open.flush().map_err(|Failure { error, .. }| error)?;
            self.advance(open.len())?;
        }
        Ok(())
    }

    fn create(&self, target: &mut Target, base_seq: Seqno, capacity: u64) -> Result<SegmentWriter> {
        let mut salt = [0; 4];
        let random = self.options.file_system.random(&mut salt);
        random.map_err(Error::io("read", "the system's random numbers"))?;
        let id = target.next_segment;
        target.next_segment = SegmentId(id.0 + 1);
        let layout = Layout::current(u32::from_le_bytes(salt));
        let created_ms = self.options.clock.now_ms();
        let seq_end = Seqno(u64::MAX);
        let identity = Identity { id, base_seq, layout, created_ms, seq_end, first_page: 0 };
        SegmentWriter::create(&*target.directory, self.store, identity, &ReadMode::stored(), capacity)
    }

    /// Ends the segment that salvaged records go to.
    fn finish_open(&mut self, target: &mut Target) -> Result<(), Stop> {
        let Some(mut open) = target.open.take() else { return Ok(()) };
        open.flush().map_err(|Failure { error, .. }| error)?;
        open.sync()?;
        let Identity { id, base_seq, layout, .. } = open.segment.identity;
        target.lines.push(SegmentLine { id, base_seq, layout, extent: Extent::Sealed(open.len()) });
        self.done_len += open.len();
        Ok(())
    }

    /// Makes a store of the new directory: until then it is none.
    pub(super) fn commit(&mut self, target: &Target, next_seq: Seqno) -> Result<()> {
        let directory = &*target.directory;
        self.take_options(directory)?;
        let path = || directory.path(StoreFile::Manifest);
        directory.sync().map_err(Error::io("fsync the directory of", path()))?;
        let generation = self.log_files.manifest().map_or(1, Manifest::next_generation);
        let manifest = Manifest {
            store: self.store,
            // Records that others have seen may be missing.
            lineage: manifest_file::new_lineage(&*self.options.file_system)?,
            fork: None,
            hash_seed: self.hash_seed,
            generation,
            next_segment: target.next_segment,
            next_seq,
            is_backup: false,
            // The dropped numbers cannot exceed the existing ones, whatever the old MANIFEST says.
            history: self.history(target.end, next_seq).up_to(next_seq),
            segments: target.lines.clone(),
        };
        manifest_file::replace(directory, &manifest).map_err(|Failure { error, .. }| error)
    }

    /// The history of the repaired log, whose records have numbers below `end`: that of the damaged
    /// one, if every record was kept. A record that was given up may have been any version of any
    /// key. If nothing was given up, no record has a number between `end` and `next_seq`.
    fn history(&self, end: Seqno, next_seq: Seqno) -> History {
        let report = &self.report;
        let before = self.log_files.manifest().map(|manifest| manifest.history).unwrap_or_default();
        if report.is_whole() && report.unlisted.is_empty() {
            return before;
        }
        let are_known = report.left_out.is_empty() && report.manifest_lost.is_none();
        let least = if are_known && report.unlisted.is_empty() { Seqno(0) } else { end.previous() };
        let given_up = report.given_up.iter().map(|part| part.seqs.end.previous()).fold(least, Seqno::max);
        let given_up = given_up.min(next_seq.previous());
        let whole_from = end.max(given_up.plus(1));
        let whole_from_ms = self.options.clock.now_ms();
        before.with(History { given_up, whole_from, whole_from_ms, ..History::default() })
    }

    /// The user's options go along; that they cannot be read is no reason to repair nothing.
    fn take_options(&mut self, to: &dyn Directory) -> Result<()> {
        let name = StoreFile::Config;
        let bytes = match self
            .log_files
            .directory()
            .open(name, Access::Read)
            .and_then(|file| manifest_file::text(&*file))
        {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.report.options_lost = Some(words(&error));
                return Ok(());
            }
        };
        create_file(to, name, &bytes)
    }
}
