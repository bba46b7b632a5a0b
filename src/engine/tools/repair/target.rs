//! The repaired store while it is written.

use std::io::ErrorKind;
use std::sync::Arc;

use super::memory;
use super::run::Repair;
use super::source::{SourceSegment, is_current};
use super::walk::{IntactRecord, WalkStep, walk};
use crate::engine::base::error::{Error, Result, words};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::{Failure, Stop};
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{History, Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::put;
use crate::engine::format::record::SEQ_AT;
use crate::engine::format::segment_header::{HEADER_LEN, Layout};
use crate::engine::fs::staging::create_file;
use crate::engine::fs::{Access, Directory, StoreFile, write_all_at};
use crate::engine::segment::{Identity, ReadMode, Segment, SegmentWriter};

/// The length of one copy, in bytes.
const CHUNK_LEN: u64 = 1 << 20;

/// The repaired store while it is written: its directory, and the content of its MANIFEST.
pub(super) struct TargetStore {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) lines: Vec<SegmentLine>,
    pub(super) next_segment: SegmentId,
    /// A sequence number greater than that of every record written.
    pub(super) seq_end: Seqno,
    /// The segment to which salvaged records are appended.
    open: Option<SegmentWriter>,
}

/// An intact record to salvage.
#[derive(Clone, Copy)]
struct SalvagedRecord {
    seq: Seqno,
    /// The index of its source segment.
    source: usize,
    at: u64,
    len: u64,
}

impl TargetStore {
    pub(super) fn new(directory: Arc<dyn Directory>, next_segment: SegmentId) -> Self {
        Self { directory, lines: Vec::new(), next_segment, seq_end: Seqno(0), open: None }
    }
}

impl Repair<'_> {
    /// Takes over source segments with overlapping sequence numbers. A single whole one is copied.
    /// Otherwise their intact records are written to new segments in the order of their numbers.
    pub(super) fn take_over(
        &mut self,
        target: &mut TargetStore,
        sources: &[SourceSegment],
    ) -> Result<(), Stop> {
        if let [source] = sources
            && source.is_whole
            && source.seqs.end.max(source.found.base_seq) <= Seqno::KEPT_MAX
            && source.found.id < SegmentId::KEPT_MAX
            && source.found.base_seq >= target.seq_end
        {
            return self.copy(target, source);
        }
        if let Some(source) = sources.iter().find(|source| !is_current(source.found.layout)) {
            return Err(Error::Unsupported {
                what: format!("segment {}, which is damaged,", source.found.id),
                found: "a later 1.x".to_owned(),
                supported: "repairs 1.0".to_owned(),
            }
            .into());
        }
        self.report.salvaged.extend(sources.iter().map(|source| source.found.id));
        let segments = sources.iter().map(|source| source.open(&self.log_files));
        let segments = segments.collect::<Result<Vec<Segment>>>()?;
        for SalvagedRecord { seq: old_seq, source, at, len } in self.salvageable(&segments)? {
            let segment = &segments[source];
            let mut record = segment.bytes_unchecked(at..at + len)?;
            let context = segment.layout.records;
            context
                .check_record(at, &record)
                .map_err(|damage| Error::damaged(segment.location(at), damage))?;
            let seq = if old_seq < Seqno::KEPT_MAX {
                old_seq
            } else {
                // The record follows all others, and keeps its order among renumbered ones.
                self.report.renumbered_count += 1;
                target.seq_end.max(Seqno(1))
            };
            if seq != old_seq {
                put(&mut record, SEQ_AT, &seq.0.to_le_bytes());
            }
            self.append(target, &record, seq)?;
        }
        self.seal(target)
    }

    fn copy(&mut self, target: &mut TargetStore, source: &SourceSegment) -> Result<(), Stop> {
        let found = &source.found;
        let segment = source.open(&self.log_files)?;
        let name = StoreFile::Segment(found.id);
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
        self.report.copied.push(found.id);
        target.lines.push(SegmentLine {
            id: found.id,
            base_seq: found.base_seq,
            layout: found.layout,
            extent: SegmentExtent::Sealed(at),
        });
        target.seq_end = source.seqs.end;
        Ok(())
    }

    /// Returns the intact records of the sources in the order of their sequence numbers, each once.
    fn salvageable(&mut self, segments: &[Segment]) -> Result<Vec<SalvagedRecord>, Stop> {
        let mut records = Vec::new();
        for (source, segment) in segments.iter().enumerate() {
            walk(segment, self.len_max(), &mut |step| {
                match step {
                    WalkStep::Intact(IntactRecord { seq, at, len, .. }) => {
                        memory::push(&mut records, SalvagedRecord { seq, source, at, len }, &segment.path)?;
                    }
                    // These bytes are read again, so they do not count as progress.
                    WalkStep::Progress(_) => self.advance(0)?,
                    WalkStep::Damaged(_) | WalkStep::Unreadable(..) => {}
                }
                Ok(())
            })?;
        }
        let count = records.len();
        // A stable sort would allocate memory.
        records.sort_unstable_by_key(|record| (record.seq, record.source, record.at));
        records.dedup_by_key(|record| record.seq);
        self.report.duplicate_count += (count - records.len()) as u64;
        Ok(records)
    }

    fn append(&mut self, target: &mut TargetStore, record: &[u8], seq: Seqno) -> Result<(), Stop> {
        let len = record.len() as u64;
        let limit = self.options.segment_len_max;
        if target.open.as_ref().is_none_or(|open| open.len() + len > limit) {
            self.seal(target)?;
            target.open = Some(self.create(target, seq, limit.max(HEADER_LEN as u64 + len))?);
        }
        let open = target.open.as_mut().expect("just created");
        open.make_room(len)?;
        open.stage_copy(record);
        target.seq_end = seq.plus(1);
        if open.staged_len() as u64 >= CHUNK_LEN {
            open.flush().map_err(|Failure { error, .. }| error)?;
            self.advance(open.len())?;
        }
        Ok(())
    }

    fn create(&self, target: &mut TargetStore, base_seq: Seqno, capacity: u64) -> Result<SegmentWriter> {
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

    /// Seals the segment to which salvaged records are appended.
    fn seal(&mut self, target: &mut TargetStore) -> Result<(), Stop> {
        let Some(mut open) = target.open.take() else { return Ok(()) };
        open.flush().map_err(|Failure { error, .. }| error)?;
        open.sync()?;
        let Identity { id, base_seq, layout, .. } = open.segment.identity;
        target.lines.push(SegmentLine { id, base_seq, layout, extent: SegmentExtent::Sealed(open.len()) });
        self.done_len += open.len();
        Ok(())
    }

    /// Writes MANIFEST, which makes the directory a store.
    pub(super) fn commit(&mut self, target: &TargetStore, next_seq: Seqno) -> Result<()> {
        let directory = &*target.directory;
        self.copy_options(directory)?;
        let path = || directory.path(StoreFile::Manifest);
        directory.sync().map_err(Error::io("fsync the directory of", path()))?;
        let generation = self.log_files.manifest().map_or(1, Manifest::next_generation);
        let manifest = Manifest {
            store: self.store,
            // Records that readers of the old lineage have seen may be missing.
            lineage: manifest_file::new_lineage(&*self.options.file_system)?,
            fork: None,
            hash_seed: self.hash_seed,
            generation,
            next_segment: target.next_segment,
            next_seq,
            is_backup: false,
            // An old MANIFEST may claim dropped numbers beyond the last one.
            history: self.history(target.seq_end, next_seq).up_to(next_seq),
            segments: target.lines.clone(),
        };
        manifest_file::replace(directory, &manifest).map_err(|Failure { error, .. }| error)
    }

    /// Returns the history of the repaired log, whose records have numbers below `end`. If every
    /// record was kept, that is the history of the damaged log. Otherwise, a lost record may have
    /// been any version of any key. If nothing was given up, no record has a number between `end`
    /// and `next_seq`.
    fn history(&self, end: Seqno, next_seq: Seqno) -> History {
        let report = &self.report;
        let before = self.log_files.manifest().map(|manifest| manifest.history).unwrap_or_default();
        if report.is_whole() && report.unlisted.is_empty() {
            return before;
        }
        let are_known = report.left_out.is_empty() && report.manifest_lost.is_none();
        let least = if are_known && report.unlisted.is_empty() { Seqno(0) } else { end.previous() };
        let given_up =
            report.given_up.iter().map(|given_up| given_up.seqs.end.previous()).fold(least, Seqno::max);
        let given_up = given_up.min(next_seq.previous());
        let whole_from = end.max(given_up.plus(1));
        let whole_from_ms = self.options.clock.now_ms();
        before.with(History { given_up, whole_from, whole_from_ms, ..History::default() })
    }

    /// Copies the options file. A repair also succeeds without it.
    fn copy_options(&mut self, to: &dyn Directory) -> Result<()> {
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
