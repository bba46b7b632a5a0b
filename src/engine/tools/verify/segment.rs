//! One segment: its header, its length, each record, and their order.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::finding::{Fault, Finding};
use super::verifier::{Scanned, Verifier, VerifyEvent};
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::found_segment::FoundSegment;
use crate::engine::files::tail::TailReport;
use crate::engine::format::manifest::Extent;
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::{Access, File, SalvageFile, StoreFile};
use crate::engine::segment::{Bodies, Scanner, Segment, Sorter, Step, file};

impl Verifier<'_> {
    /// Verifies segment `id` and its hint.
    pub(super) fn segment(&mut self, id: SegmentId) -> Result<(), Stop> {
        let Some(known) = self.log_files.get(id).copied() else { return Ok(()) };
        let patient = Arc::new(SalvageFile::new(file::open(&*self.directory, id, Access::Read)?));
        let file = Arc::clone(&patient) as Arc<dyn File>;
        let len = file::len(&*self.directory, id, &*file)?;
        let is_itself = self.header(&known, &patient)?;
        let whole = self.log_files.segment(&known, &file, (len, 0))?;
        let scanned = if is_itself {
            let end = self.end(&known, &whole)?;
            self.records(&known, &self.log_files.segment(&known, &file, (end, 0))?, &patient)?
        } else {
            let (sorted, damaged) = (Sorter::default().finish(), iter::once(0..len).collect());
            Scanned { end: len, sorted, damaged }
        };
        for (range, why) in patient.unreadable(&(0..len)) {
            self.found(StoreFile::Segment(id), Some(range), Fault::Unreadable(why))?;
        }
        self.report.segment_count += 1;
        self.report.len += len;
        self.done_len += len;
        if let Some(Extent::Sealed(len)) = known.extent.filter(|_| is_itself) {
            self.hint(&whole, len, &scanned)?;
        }
        self.scanned.insert(id, scanned);
        Ok(())
    }

    /// Tells what is wrong with the header. Whether the records can be read as those of the segment that is `known`.
    fn header(&mut self, known: &FoundSegment, file: &SalvageFile) -> Result<bool, Stop> {
        let bytes = file::first_bytes(&*self.directory, known.id, file)?;
        let range = 0..known.layout.header_len.into();
        let fault = match SegmentHeader::decode(&bytes) {
            Ok(header) => match self.misnamed(known, &header) {
                Some(fault) => {
                    self.found(StoreFile::Segment(known.id), Some(range), fault)?;
                    // Without a MANIFEST it is read as itself says, whatever its name.
                    return Ok(header.layout() == known.layout);
                }
                None => return self.agreement(known, &header).map(|()| true),
            },
            // That it cannot be read is told with all the rest of that.
            Err(HeaderError::Damaged(_)) if !file.unreadable(&range).is_empty() => return Ok(true),
            Err(HeaderError::Damaged(damage)) => Fault::Header(damage),
            Err(HeaderError::Unsupported(found)) => Fault::Unsupported(found),
        };
        self.found(StoreFile::Segment(known.id), Some(range), fault).map(|()| true)
    }

    /// Whose segment the file holds, if not the one that it is named after.
    fn misnamed(&self, known: &FoundSegment, header: &SegmentHeader) -> Option<Fault> {
        match self.log_files.context() {
            Some(home) if home.store != header.store => Some(Fault::AnotherStores),
            _ => (header.segment != known.id).then_some(Fault::AnotherSegment(header.segment)),
        }
    }

    /// Whether the header says what MANIFEST does.
    fn agreement(&mut self, known: &FoundSegment, header: &SegmentHeader) -> Result<(), Stop> {
        let salts = [header.layout(), known.layout].map(|layout| format!("{:08x}", layout.records.salt));
        let [salt, known_salt] = salts;
        let fields = [
            ("base_seq", header.base_seq.to_string(), known.base_seq.to_string()),
            ("salt", salt, known_salt),
        ];
        for (what, header, manifest) in fields {
            if header != manifest {
                let range = 0..known.layout.header_len.into();
                let fault = Fault::Disagree { what, header, manifest };
                self.found(StoreFile::Segment(known.id), Some(range), fault)?;
            }
        }
        Ok(())
    }

    /// Where what the file has of the log ends.
    fn end(&mut self, known: &FoundSegment, whole: &Segment) -> Result<u64, Stop> {
        let (file, has) = (StoreFile::Segment(known.id), whole.len());
        // Without a MANIFEST the last one is taken for the one that was written to.
        let is_unsettled = match known.extent {
            Some(extent) => extent.is_unsettled(has),
            None => self.log_files.next(known.id).is_none(),
        };
        if is_unsettled {
            // What is read here is read again: it does not count.
            let TailReport { end, durable_damage, behind, .. } =
                TailReport::asking(whole, self.log_files.durable_prefix(known), |_| self.look(0))?;
            if let Some((at, witness)) = durable_damage {
                self.found(file, Some(at..at), Fault::Rot { witness })?;
            }
            if end < has {
                self.report.torn_len += has - end;
                let fault =
                    if behind == 0 { Fault::Torn } else { Fault::TornBefore { intact_count: behind } };
                self.found(file, Some(end..has), fault)?;
            }
            return Ok(end);
        }
        let wants = match known.extent {
            Some(Extent::Sealed(len) | Extent::Closed(len)) => len,
            Some(Extent::Active(_)) | None => has,
        };
        if has < wants {
            self.found(file, Some(has..wants), Fault::CutShort { wants, has })?;
        }
        if wants < has {
            self.found(file, Some(wants..has), Fault::Surplus)?;
        }
        Ok(wants.min(has))
    }

    /// Each record.
    fn records(
        &mut self,
        known: &FoundSegment,
        segment: &Segment,
        disk: &SalvageFile,
    ) -> Result<Scanned, Stop> {
        let file = StoreFile::Segment(known.id);
        let (mut sorter, mut damaged) = (Sorter::default(), Vec::new());
        let mut goes_on = false;
        let mut is_misplaced = false;
        let mut scanner = Scanner::new(segment, Bodies::Checked);
        while let Some(step) = scanner.next_asking(&mut |at| self.look(at))? {
            let (range, key, fault) = match step {
                Step::Record(record) => {
                    let range = record.at..record.at + record.frame.len;
                    goes_on = record.header.flag.has_more();
                    if record.damage.is_none() {
                        self.report.record_count += 1;
                        if let Some(home) = self.log_files.context() {
                            sorter.add_scanned(home, &record);
                        }
                    }
                    // The numbers grow: of those behind a misplaced one the same is true.
                    let is_looked_at = record.damage.is_none() && !is_misplaced;
                    if let Some(fault) = self.misplaced(known, record.header.seq).filter(|_| is_looked_at) {
                        is_misplaced = true;
                        self.found(file, Some(range.clone()), fault)?;
                    }
                    let key = record.damage.as_ref().map(|_| {
                        damaged.push(range.clone());
                        record.key().to_vec()
                    });
                    let unreadable = record.damage.is_none().then(|| record.check_value().err()).flatten();
                    (range, key, record.damage.or(unreadable).map(Fault::Record))
                }
                Step::Bad { at, len, damage } => {
                    goes_on = false;
                    damaged.push(at..at + len);
                    (at..at + len, None, Some(Fault::Record(damage)))
                }
            };
            if let Some(fault) = fault.and_then(|fault| as_far_as_read(fault, &range, disk)) {
                self.tell(&Finding { file, range: Some(range), key, fault })?;
            }
        }
        if goes_on {
            self.found(file, Some(segment.len()..segment.len()), Fault::UnfinishedBatch)?;
        }
        Ok(Scanned { end: segment.len(), sorted: sorter.finish(), damaged })
    }

    /// Says that `len` bytes of the segment at hand were read, and asks whether to go on.
    fn look(&mut self, len: u64) -> Result<(), Stop> {
        let done_len = self.done_len + len;
        let total_len = self.total_len.max(done_len);
        self.event(VerifyEvent::Progress { done_len, total_len })
    }

    /// Whether a number stands in the wrong segment, or will be given out again.
    fn misplaced(&self, known: &FoundSegment, seq: Seqno) -> Option<Fault> {
        if let Some(next) = self.log_files.next(known.id).filter(|next| next.base_seq <= seq) {
            return Some(Fault::Overlap { seq, next: next.id, base_seq: next.base_seq });
        }
        let next_seq = self.log_files.manifest().ok()?.next_seq;
        let is_settled = matches!(known.extent, Some(Extent::Sealed(_) | Extent::Closed(_)));
        (is_settled && seq >= next_seq).then_some(Fault::NumberTaken { seq, next_seq })
    }
}

/// What `fault`, found in bytes `range` of the file on `disk`, comes to where some of them could not be read; `None` for all of
/// them, which is told by itself.
fn as_far_as_read(fault: Fault, range: &Range<u64>, disk: &SalvageFile) -> Option<Fault> {
    match disk.unreadable(range).as_slice() {
        [] => Some(fault),
        [(lost, _)] if lost == range => None,
        _ => Some(Fault::PartlyUnreadable),
    }
}
