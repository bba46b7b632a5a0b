//! The segments of a damaged store: which of their records are intact, and what is not.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::memory::{self, push};
use super::report::{GivenUp, Lost, Now, Reason};
use super::run::{Repair, header_of};
use super::walk::{Intact, Part, walk};
use crate::engine::base::error::{Damage, Error, Result, words};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::found_segment::FoundSegment;
use crate::engine::files::log_files::LogFiles;
use crate::engine::format::hint::{self as hint_format, ROW_LEN, Row};
use crate::engine::format::key_hash;
use crate::engine::format::manifest::{Extent, SegmentLine};
use crate::engine::format::record::new::encoded_len;
use crate::engine::format::record::{KEY_LEN_MAX, Kind, LEN_MIN};
use crate::engine::format::segment_header::{Layout, SegmentHeader};
use crate::engine::fs::{Access, File, SalvageFile, StoreFile};
use crate::engine::segment::{Scanned, Segment, file, hint};

/// One segment, looked through. It is not kept open: there may be more of them than a process may have files.
pub(super) struct Source {
    pub(super) known: FoundSegment,
    /// Where what it has of the log ends.
    pub(super) end: u64,
    /// The numbers of its intact records: the first's, and the one after the last's.
    pub(super) seqs: Range<Seqno>,
    pub(super) record_count: u64,
    /// Whether it can be taken as it is, byte for byte.
    pub(super) is_whole: bool,
    /// More than any number that was given out for it.
    pub(super) seq_end: Seqno,
}

/// What a look through a segment has come to.
#[derive(Default)]
struct Look {
    first: Option<Seqno>,
    last: Option<Seqno>,
    /// Where the last one ends.
    behind: u64,
    record_count: u64,
    given_up: Vec<GivenUp>,
    /// Whether the batch of the last intact record goes on.
    goes_on: bool,
    /// Whether a record has to be written anew.
    is_mended: bool,
}

impl Source {
    /// The segment, as far as the log goes.
    pub(super) fn open(&self, log_files: &LogFiles) -> Result<Segment> {
        let file = file::open(&**log_files.directory(), self.known.id, Access::Read)?;
        let file = Arc::new(SalvageFile::new(file)) as Arc<dyn File>;
        log_files.segment(&self.known, &file, (self.end, 0))
    }
}

impl Repair<'_> {
    /// Looks through the segment that is `known`; `None` when its file is not there, which is noted.
    pub(super) fn source(&mut self, known: FoundSegment) -> Result<Option<Source>, Stop> {
        let directory = Arc::clone(self.log_files.directory());
        let file = match file::open(&*directory, known.id, Access::Read) {
            Err(Error::SegmentMissing { .. }) => {
                self.without_file(&known, Reason::Missing)?;
                return Ok(None);
            }
            // A FIFO, say, or one that somebody else may change: the other segments are there all the same.
            Err(Error::Io { source, .. }) => {
                self.without_file(&known, Reason::Unreadable(words(&source)))?;
                return Ok(None);
            }
            opened => Arc::new(SalvageFile::new(opened?)),
        };
        let patient = Arc::clone(&file);
        let file = file as Arc<dyn File>;
        let file_len = file::len(&*directory, known.id, &*file)?;
        let listed = known;
        let known = self.as_its_header_says(known, &*file);
        if known.layout != listed.layout && listed.extent.is_some() && !self.is_elsewhere(&listed) {
            self.without_file(&listed, Reason::Replaced)?;
        }
        let whole = self.log_files.segment(&known, &file, (file_len, 0))?;
        let is_last = self.log_files.next(known.id).is_none();
        let is_unsettled = known.extent.map_or(is_last, |extent| extent.is_unsettled(file_len));
        let wants = match known.extent {
            _ if is_unsettled => {
                self.whole_batches_end(&whole)?.max(self.log_files.durable_prefix(&known).len(file_len))
            }
            Some(Extent::Sealed(len) | Extent::Closed(len)) => len,
            Some(Extent::Active(_)) | None => file_len,
        };
        if is_unsettled {
            self.report.torn_len += file_len - wants;
        }
        let end = wants.min(file_len);
        let segment = self.log_files.segment(&known, &file, (end, 0))?;
        let line = SegmentLine {
            id: known.id,
            base_seq: known.base_seq,
            layout: known.layout,
            extent: known.extent.unwrap_or(Extent::Sealed(file_len)),
        };
        let seq_end = line.seq_end(file_len);
        let next_seq = match (known.seq_end, self.log_files.manifest()) {
            (Some(next_seq), _) => next_seq,
            (None, Ok(manifest)) if !is_unsettled && known.extent.is_some() => manifest.next_seq,
            (None, _) => seq_end,
        };
        let mut look = self.look_through(&segment, next_seq)?;
        if end < wants {
            look.give_up(&segment, end..wants, Reason::CutShort, next_seq)?;
        }
        for given_up in &mut look.given_up {
            if let Some((_, why)) = patient.unreadable(&given_up.range).into_iter().next() {
                given_up.reason = Reason::Unreadable(why);
            }
        }
        self.name_the_lost(&segment, &mut look.given_up)?;
        let is_whole = look.given_up.is_empty()
            && !(look.goes_on || look.is_mended)
            && self.has_its_header(&known, &*file);
        memory::reserve(&mut self.report.given_up, look.given_up.len(), &segment.path)?;
        self.report.given_up.append(&mut look.given_up);
        let first = look.first.unwrap_or(known.base_seq);
        let seqs = first..look.last.map_or(first, |last| last.plus(1));
        let record_count = look.record_count;
        // The numbers of what a compaction kept have gaps: how many records fit says nothing of the last one's.
        let seq_end = seq_end.max(seqs.end.plus((file_len - look.behind) / LEN_MIN));
        Ok(Some(Source { known, end, seqs, record_count, is_whole, seq_end }))
    }

    fn look_through(&mut self, segment: &Segment, next_seq: Seqno) -> Result<Look, Stop> {
        let mut look = Look::default();
        walk(segment, self.len_max(), &mut |part| {
            let at = match part {
                Part::Intact(intact) => {
                    look.take(intact);
                    intact.at + intact.len
                }
                Part::Damaged(record) => {
                    let lost = self.lost(&record, &segment.path)?;
                    let goes_on = record.header.flag.has_more();
                    let range = record.at..record.at + record.frame.len;
                    let (end, damage) = (range.end, record.damage.unwrap_or(Damage::UnfinishedBatch));
                    look.give_up(segment, range, Reason::Damaged(damage), record.header.seq.plus(1))?;
                    look.lose(lost, goes_on);
                    end
                }
                Part::Unknown(range, damage) => {
                    let end = range.end;
                    look.give_up(segment, range, Reason::Damaged(damage), next_seq)?;
                    end
                }
                Part::Sought(at) => at,
            };
            self.advance(at)
        })?;
        self.done_len += segment.len();
        Ok(look)
    }

    /// The record of the segment at `path` that was lost, whose header is intact.
    fn lost(&self, record: &Scanned<'_>, path: &Path) -> Result<Lost> {
        let key = memory::copy(record.key(), path)?;
        let is_delete = record.header.kind() == Kind::Delete;
        let hash = key_hash(self.hash_seed, &key);
        Ok(Lost { hash, key: Some(key), is_certain: false, is_delete, now: Now::Absent })
    }

    /// Whether the header says what is known of the segment.
    fn has_its_header(&self, known: &FoundSegment, file: &dyn File) -> bool {
        let bytes = file::first_bytes(&**self.log_files.directory(), known.id, file);
        let header = bytes.ok().and_then(|bytes| SegmentHeader::decode(&bytes).ok());
        header.is_some_and(|header| {
            header.store == self.store
                && header.segment == known.id
                && header.base_seq == known.base_seq
                && header.layout() == known.layout
        })
    }

    /// A segment whose file is gone: all of it is given up, and its hint may know what that was.
    fn without_file(&mut self, known: &FoundSegment, reason: Reason) -> Result<()> {
        let len = match known.extent {
            Some(Extent::Sealed(len) | Extent::Closed(len)) => len,
            Some(Extent::Active(_)) | None => known.layout.header_len.into(),
        };
        let before = known.seq_end.unwrap_or(Seqno(u64::MAX));
        let mut given_up = vec![GivenUp {
            segment: known.id,
            range: 0..len,
            reason,
            seqs: known.base_seq..before,
            lost: Vec::new(),
            splits_batch: false,
        }];
        self.take_names(known.id, len, &mut given_up)?;
        self.report.given_up.append(&mut given_up);
        Ok(())
    }

    /// What the hint knows of the records in the bytes that were given up is more certain than what is left of them.
    fn name_the_lost(&self, segment: &Segment, given_up: &mut [GivenUp]) -> Result<()> {
        match given_up.is_empty() {
            true => Ok(()),
            false => self.take_names(segment.id, segment.limit(), given_up),
        }
    }

    fn take_names(&self, id: SegmentId, limit: u64, given_up: &mut [GivenUp]) -> Result<()> {
        let Some(home) = self.log_files.context() else { return Ok(()) };
        let Ok(bytes) = hint::bytes(home, id, limit) else { return Ok(()) };
        let Some(checked) = hint_format::check(&bytes) else { return Ok(()) };
        if checked.described.store != self.store || checked.described.segment != id {
            return Ok(());
        }
        let path = &self.log_files.directory().path(StoreFile::Hint(id));
        let mut by_part: Vec<Vec<Row>> = Vec::new();
        memory::reserve(&mut by_part, given_up.len(), path)?;
        by_part.resize_with(given_up.len(), Vec::new);
        for row in bytes[checked.rows].chunks_exact(ROW_LEN).map(Row::decode) {
            // They come by key, and the parts in file order.
            let part = given_up.partition_point(|part| part.range.end <= row.at);
            if given_up.get(part).is_some_and(|part| part.range.contains(&row.at)) {
                push(&mut by_part[part], row, path)?;
            }
        }
        for (part, rows) in given_up.iter_mut().zip(by_part).filter(|(_, rows)| !rows.is_empty()) {
            let read: HashSet<_> = part.lost.drain(..).filter_map(|lost| lost.key).collect();
            memory::reserve(&mut part.lost, rows.len(), path)?;
            part.lost.extend(rows.iter().map(|row| Lost {
                hash: row.hash,
                key: read.iter().find(|key| home.hash(key) == row.hash).cloned(),
                is_certain: true,
                is_delete: row.is_tombstone,
                now: Now::Absent,
            }));
        }
        Ok(())
    }

    /// The segment in the file of `known` as its header has it, where that is intact and of another segment of this store: then
    /// the file has another's name.
    fn as_its_header_says(&self, known: FoundSegment, file: &dyn File) -> FoundSegment {
        let bytes = file::first_bytes(&**self.log_files.directory(), known.id, file);
        let header = bytes.ok().and_then(|bytes| SegmentHeader::decode(&bytes).ok());
        let header = header.filter(|header| header.store == self.store && header.layout() != known.layout);
        let Some(header) = header else { return known };
        let layout = header.layout();
        let listed = self.log_files.get(header.segment).filter(|listed| listed.layout == layout);
        let (extent, seq_end) = listed.map_or((None, None), |listed| (listed.extent, listed.seq_end));
        FoundSegment { id: known.id, base_seq: header.base_seq, has_base_seq: true, layout, extent, seq_end }
    }

    /// Whether another file than its own holds the segment that is `listed`.
    fn is_elsewhere(&self, listed: &FoundSegment) -> bool {
        let holds_it = |other: &FoundSegment| {
            header_of(&self.log_files, other.id).is_ok_and(|header| {
                header.store == self.store && header.segment == listed.id && header.layout() == listed.layout
            })
        };
        self.log_files.segments().iter().any(|other| other.id != listed.id && holds_it(other))
    }

    /// Where the last whole batch ends, whatever stands before it: opening would cut the log at the first hole that nothing
    /// proves to have been durable; who repairs wants what is behind it, too.
    fn whole_batches_end(&mut self, segment: &Segment) -> Result<u64, Stop> {
        let mut end = u64::from(segment.layout.header_len).min(segment.len());
        walk(segment, self.len_max(), &mut |part| {
            match part {
                Part::Intact(intact) if !intact.goes_on => end = intact.at + intact.len,
                // What is read here is read again: it does not count.
                Part::Sought(_) => self.advance(0)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(end)
    }

    /// The longest record that this version writes, in bytes.
    pub(super) fn len_max(&self) -> u64 {
        encoded_len(KEY_LEN_MAX, self.options.value_len_max as usize, true)
    }
}

impl Look {
    fn take(&mut self, Intact { seq, at, len, goes_on, is_mended }: Intact) {
        self.behind = at + len;
        self.first.get_or_insert(seq);
        self.last = Some(seq);
        self.record_count += 1;
        self.goes_on = goes_on;
        self.is_mended |= is_mended;
        if let Some(last) = self.given_up.last_mut().filter(|last| last.seqs.end > seq) {
            last.seqs.end = seq;
        }
    }

    fn give_up(&mut self, segment: &Segment, range: Range<u64>, reason: Reason, before: Seqno) -> Result<()> {
        let after = self.last.map_or(segment.base_seq, |last| last.plus(1));
        let seqs = after..before.max(after);
        let splits_batch = std::mem::take(&mut self.goes_on);
        let given_up = GivenUp { segment: segment.id, range, reason, seqs, lost: Vec::new(), splits_batch };
        push(&mut self.given_up, given_up, &segment.path)
    }

    /// Names what was given up last.
    fn lose(&mut self, lost: Lost, goes_on: bool) {
        if let Some(last) = self.given_up.last_mut() {
            last.lost.push(lost);
            last.splits_batch |= goes_on;
        }
    }
}

/// Whether records of `layout` can be taken over by this version without a change.
pub(super) fn is_current(layout: Layout) -> bool {
    layout == Layout::current(layout.records.salt)
}
