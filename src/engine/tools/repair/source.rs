//! The segments of the damaged store: their intact records, and the bytes to give up.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::memory::{self, push};
use super::report::{GivenUp, Lost, Now, Reason};
use super::run::{Repair, header_of};
use super::walk::{IntactRecord, WalkStep, walk};
use crate::engine::base::error::{Damage, Error, Result, words};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::found_segment::FoundSegment;
use crate::engine::files::log_files::LogFiles;
use crate::engine::format::hint::{self as hint_format, HintRow, ROW_LEN};
use crate::engine::format::key_hash;
use crate::engine::format::manifest::{SegmentExtent, SegmentLine};
use crate::engine::format::record::new::encoded_len;
use crate::engine::format::record::{KEY_LEN_MAX, Kind, LEN_MIN};
use crate::engine::format::segment_header::{Layout, SegmentHeader};
use crate::engine::fs::{Access, File, SalvageFile, StoreFile};
use crate::engine::segment::{Scanned, Segment, file, hint};

/// A scanned segment. Its file is closed, because there may be more segments than descriptors.
pub(super) struct SourceSegment {
    pub(super) found: FoundSegment,
    /// The end of the log in this segment.
    pub(super) end: u64,
    /// The sequence numbers of the intact records.
    pub(super) seqs: Range<Seqno>,
    pub(super) record_count: u64,
    /// Whether the segment can be copied unchanged.
    pub(super) is_whole: bool,
    /// A sequence number greater than every one given out for this segment.
    pub(super) seq_end: Seqno,
}

/// The results of scanning a segment.
#[derive(Default)]
struct SegmentScan {
    first: Option<Seqno>,
    last: Option<Seqno>,
    /// The end of the last intact record.
    last_end: u64,
    record_count: u64,
    given_up: Vec<GivenUp>,
    /// Whether the batch of the last intact record continues.
    has_more: bool,
    /// Whether a record must be written again.
    is_mended: bool,
}

impl SourceSegment {
    /// Opens the segment up to the end of the log.
    pub(super) fn open(&self, log_files: &LogFiles) -> Result<Segment> {
        let file = file::open(&**log_files.directory(), self.found.id, Access::Read)?;
        let file = Arc::new(SalvageFile::new(file)) as Arc<dyn File>;
        log_files.segment(&self.found, &file, (self.end, 0))
    }
}

impl Repair<'_> {
    /// Scans the segment `found`. Returns `None` if its file is missing or unreadable; then all of
    /// it is given up.
    pub(super) fn scan_source(&mut self, found: FoundSegment) -> Result<Option<SourceSegment>, Stop> {
        let Some(salvage_file) = self.open_source(&found)? else { return Ok(None) };
        let file = Arc::clone(&salvage_file) as Arc<dyn File>;
        let file_len = file::len(&**self.log_files.directory(), found.id, &*file)?;
        let listed = found;
        let found = self.by_header(found, &*file);
        if found.layout != listed.layout && listed.extent.is_some() && !self.is_elsewhere(&listed) {
            self.give_up_file(&listed, Reason::Replaced)?;
        }
        let whole = self.log_files.segment(&found, &file, (file_len, 0))?;
        let is_last = self.log_files.next(found.id).is_none();
        let is_unsettled = found.extent.map_or(is_last, |extent| extent.is_unsettled(file_len));
        let wants = match found.extent {
            _ if is_unsettled => {
                self.whole_batches_end(&whole)?.max(self.log_files.durable_prefix(&found).len(file_len))
            }
            Some(SegmentExtent::Sealed(len) | SegmentExtent::Closed(len)) => len,
            Some(SegmentExtent::Active(_)) | None => file_len,
        };
        if is_unsettled {
            self.report.torn_len += file_len - wants;
        }
        let end = wants.min(file_len);
        let segment = self.log_files.segment(&found, &file, (end, 0))?;
        let line = SegmentLine {
            id: found.id,
            base_seq: found.base_seq,
            layout: found.layout,
            extent: found.extent.unwrap_or(SegmentExtent::Sealed(file_len)),
        };
        let seq_end = line.seq_end(file_len);
        let next_seq = match (found.seq_end, self.log_files.manifest()) {
            (Some(next_seq), _) => next_seq,
            (None, Ok(manifest)) if !is_unsettled && found.extent.is_some() => manifest.next_seq,
            (None, _) => seq_end,
        };
        let mut scan = self.scan(&segment, next_seq)?;
        if end < wants {
            scan.give_up(&segment, end..wants, Reason::CutShort, next_seq)?;
        }
        for given_up in &mut scan.given_up {
            if let Some((_, why)) = salvage_file.unreadable(&given_up.range).into_iter().next() {
                given_up.reason = Reason::Unreadable(why);
            }
        }
        self.name_lost(&segment, &mut scan.given_up)?;
        let is_whole = scan.given_up.is_empty()
            && !(scan.has_more || scan.is_mended)
            && self.has_matching_header(&found, &*file);
        memory::reserve(&mut self.report.given_up, scan.given_up.len(), &segment.path)?;
        self.report.given_up.append(&mut scan.given_up);
        let first = scan.first.unwrap_or(found.base_seq);
        let seqs = first..scan.last.map_or(first, |last| last.plus(1));
        let record_count = scan.record_count;
        // Compaction leaves gaps between sequence numbers, so the number of records that fit into
        // the file is no upper bound. The records after the last intact one count from its number
        // on.
        let seq_end = seq_end.max(seqs.end.plus((file_len - scan.last_end) / LEN_MIN));
        Ok(Some(SourceSegment { found, end, seqs, record_count, is_whole, seq_end }))
    }

    /// Opens the file of `found`. If it is missing or unreadable, gives up all of the segment and
    /// returns `None`.
    fn open_source(&mut self, found: &FoundSegment) -> Result<Option<Arc<SalvageFile>>> {
        let reason = match file::open(&**self.log_files.directory(), found.id, Access::Read) {
            Err(Error::SegmentMissing { .. }) => Reason::Missing,
            // For example a FIFO, or a file that another user could change. The other segments
            // remain.
            Err(Error::Io { source, .. }) => Reason::Unreadable(words(&source)),
            opened => return Ok(Some(Arc::new(SalvageFile::new(opened?)))),
        };
        self.give_up_file(found, reason)?;
        Ok(None)
    }

    fn scan(&mut self, segment: &Segment, next_seq: Seqno) -> Result<SegmentScan, Stop> {
        let mut scan = SegmentScan::default();
        walk(segment, self.len_max(), &mut |step| {
            let at = match step {
                WalkStep::Intact(intact) => {
                    scan.add(intact);
                    intact.at + intact.len
                }
                WalkStep::Damaged(record) => {
                    let lost = self.lost(&record, &segment.path)?;
                    let has_more = record.header.flag.has_more();
                    let range = record.at..record.at + record.frame.len;
                    let end = range.end;
                    let damage = record.damage.unwrap_or(Damage::UnfinishedBatch);
                    scan.give_up(segment, range, Reason::Damaged(damage), record.header.seq.plus(1))?;
                    scan.name_last(lost, has_more);
                    end
                }
                WalkStep::Unreadable(range, damage) => {
                    let end = range.end;
                    scan.give_up(segment, range, Reason::Damaged(damage), next_seq)?;
                    end
                }
                WalkStep::Progress(at) => at,
            };
            self.advance(at)
        })?;
        self.done_len += segment.len();
        Ok(scan)
    }

    /// Describes a lost record with an intact header, in the segment at `path`.
    fn lost(&self, record: &Scanned<'_>, path: &Path) -> Result<Lost> {
        let key = memory::copy(record.key(), path)?;
        let is_delete = record.header.kind() == Kind::Delete;
        let hash = key_hash(self.hash_seed, &key);
        Ok(Lost { hash, key: Some(key), is_certain: false, is_delete, now: Now::Absent })
    }

    /// Returns whether the header of the file matches `found`.
    fn has_matching_header(&self, found: &FoundSegment, file: &dyn File) -> bool {
        let bytes = file::first_bytes(&**self.log_files.directory(), found.id, file);
        let header = bytes.ok().and_then(|bytes| SegmentHeader::decode(&bytes).ok());
        header.is_some_and(|header| {
            header.store == self.store
                && header.segment == found.id
                && header.base_seq == found.base_seq
                && header.layout() == found.layout
        })
    }

    /// Gives up all of a segment, and names its records from its hint if that is readable.
    fn give_up_file(&mut self, found: &FoundSegment, reason: Reason) -> Result<()> {
        let len = match found.extent {
            Some(SegmentExtent::Sealed(len) | SegmentExtent::Closed(len)) => len,
            Some(SegmentExtent::Active(_)) | None => found.layout.header_len.into(),
        };
        let seq_end = found.seq_end.unwrap_or(Seqno(u64::MAX));
        let mut given_up = vec![GivenUp {
            segment: found.id,
            range: 0..len,
            reason,
            seqs: found.base_seq..seq_end,
            lost: Vec::new(),
            splits_batch: false,
        }];
        self.name_lost_from_hint(found.id, len, &mut given_up)?;
        self.report.given_up.append(&mut given_up);
        Ok(())
    }

    /// Names the lost records of `segment` from its hint, which is more certain than damaged
    /// records.
    fn name_lost(&self, segment: &Segment, given_up: &mut [GivenUp]) -> Result<()> {
        if given_up.is_empty() {
            return Ok(());
        }
        self.name_lost_from_hint(segment.id, segment.limit(), given_up)
    }

    fn name_lost_from_hint(&self, id: SegmentId, limit: u64, given_up: &mut [GivenUp]) -> Result<()> {
        let Some(context) = self.log_files.context() else { return Ok(()) };
        let Ok(bytes) = hint::bytes(context, id, limit) else { return Ok(()) };
        let Some(checked) = hint_format::check(&bytes) else { return Ok(()) };
        if checked.described.store != self.store || checked.described.segment != id {
            return Ok(());
        }
        let path = &self.log_files.directory().path(StoreFile::Hint(id));
        let mut rows_of: Vec<Vec<HintRow>> = Vec::new();
        memory::reserve(&mut rows_of, given_up.len(), path)?;
        rows_of.resize_with(given_up.len(), Vec::new);
        for row in bytes[checked.rows].chunks_exact(ROW_LEN).map(HintRow::decode) {
            // Rows are sorted by key hash, and the given-up ranges by offset.
            let index = given_up.partition_point(|given_up| given_up.range.end <= row.at);
            if given_up.get(index).is_some_and(|given_up| given_up.range.contains(&row.at)) {
                push(&mut rows_of[index], row, path)?;
            }
        }
        for (given_up, rows) in given_up.iter_mut().zip(rows_of).filter(|(_, rows)| !rows.is_empty()) {
            let read: HashSet<_> = given_up.lost.drain(..).filter_map(|lost| lost.key).collect();
            memory::reserve(&mut given_up.lost, rows.len(), path)?;
            given_up.lost.extend(rows.iter().map(|row| Lost {
                hash: row.hash,
                key: read.iter().find(|key| context.hash(key) == row.hash).cloned(),
                is_certain: true,
                is_delete: row.is_tombstone,
                now: Now::Absent,
            }));
        }
        Ok(())
    }

    /// Returns the segment in the file of `found`. If an intact header names another segment of
    /// this store, the file was renamed, and that segment is returned.
    fn by_header(&self, found: FoundSegment, file: &dyn File) -> FoundSegment {
        let bytes = file::first_bytes(&**self.log_files.directory(), found.id, file);
        let header = bytes.ok().and_then(|bytes| SegmentHeader::decode(&bytes).ok());
        let header = header.filter(|header| header.store == self.store && header.layout() != found.layout);
        let Some(header) = header else { return found };
        let layout = header.layout();
        let listed = self.log_files.get(header.segment).filter(|listed| listed.layout == layout);
        let (extent, seq_end) = listed.map_or((None, None), |listed| (listed.extent, listed.seq_end));
        FoundSegment { id: found.id, base_seq: header.base_seq, has_base_seq: true, layout, extent, seq_end }
    }

    /// Returns whether a file with another name holds the segment `listed`.
    fn is_elsewhere(&self, listed: &FoundSegment) -> bool {
        let holds_it = |other: &FoundSegment| {
            header_of(&self.log_files, other.id).is_ok_and(|header| {
                header.store == self.store && header.segment == listed.id && header.layout() == listed.layout
            })
        };
        self.log_files.segments().iter().any(|other| other.id != listed.id && holds_it(other))
    }

    /// Returns the end of the last whole batch, even if damage precedes it. Opening the store would
    /// cut the log at the first damage that was not durable. A repair also keeps the records after
    /// it.
    fn whole_batches_end(&mut self, segment: &Segment) -> Result<u64, Stop> {
        let mut end = u64::from(segment.layout.header_len).min(segment.len());
        walk(segment, self.len_max(), &mut |step| {
            match step {
                WalkStep::Intact(intact) if !intact.has_more => end = intact.at + intact.len,
                // These bytes are read again, so they do not count as progress.
                WalkStep::Progress(_) => self.advance(0)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(end)
    }

    /// Returns the length of the longest record that this version writes.
    pub(super) fn len_max(&self) -> u64 {
        encoded_len(KEY_LEN_MAX, self.options.value_len_max as usize, true)
    }
}

impl SegmentScan {
    fn add(&mut self, IntactRecord { seq, at, len, has_more, is_mended }: IntactRecord) {
        self.last_end = at + len;
        self.first.get_or_insert(seq);
        self.last = Some(seq);
        self.record_count += 1;
        self.has_more = has_more;
        self.is_mended |= is_mended;
        if let Some(last) = self.given_up.last_mut().filter(|last| last.seqs.end > seq) {
            last.seqs.end = seq;
        }
    }

    fn give_up(
        &mut self,
        segment: &Segment,
        range: Range<u64>,
        reason: Reason,
        seq_end: Seqno,
    ) -> Result<()> {
        let start = self.last.map_or(segment.base_seq, |last| last.plus(1));
        let seqs = start..seq_end.max(start);
        let splits_batch = std::mem::take(&mut self.has_more);
        let given_up = GivenUp { segment: segment.id, range, reason, seqs, lost: Vec::new(), splits_batch };
        push(&mut self.given_up, given_up, &segment.path)
    }

    /// Adds a lost record to the bytes that were given up last.
    fn name_last(&mut self, lost: Lost, has_more: bool) {
        if let Some(last) = self.given_up.last_mut() {
            last.lost.push(lost);
            last.splits_batch |= has_more;
        }
    }
}

/// Returns whether this version writes `layout`, so that records can be copied into new segments.
pub(super) fn is_current(layout: Layout) -> bool {
    layout == Layout::current(layout.records.salt)
}
