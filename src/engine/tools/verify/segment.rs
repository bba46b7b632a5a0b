//! Verification of one segment: its header, its length, its records and their order.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::finding::{Fault, Finding};
use super::verifier::{SegmentContents, Verifier};
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::found_segment::FoundSegment;
use crate::engine::files::tail::TailReport;
use crate::engine::format::manifest::SegmentExtent;
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader};
use crate::engine::fs::{Access, File, SalvageFile, StoreFile};
use crate::engine::segment::{Bodies, Scanner, Segment, Sorter, Step, file};

impl Verifier<'_> {
    /// Verifies segment `id` and its hint.
    pub(super) fn segment(&mut self, id: SegmentId) -> Result<(), Stop> {
        let Some(found) = self.log_files.get(id).copied() else { return Ok(()) };
        let salvage_file = Arc::new(SalvageFile::new(file::open(&*self.directory, id, Access::Read)?));
        let file = Arc::clone(&salvage_file) as Arc<dyn File>;
        let len = file::len(&*self.directory, id, &*file)?;
        let is_readable = self.header(&found, &salvage_file)?;
        let whole = self.log_files.segment(&found, &file, (len, 0))?;
        let contents = if is_readable {
            let end = self.end(&found, &whole)?;
            self.records(&found, &self.log_files.segment(&found, &file, (end, 0))?, &salvage_file)?
        } else {
            let damaged = iter::once(0..len).collect();
            SegmentContents { end: len, sorted: Sorter::default().finish(), damaged }
        };
        for (range, why) in salvage_file.unreadable(&(0..len)) {
            self.report_fault(StoreFile::Segment(id), Some(range), Fault::Unreadable(why))?;
        }
        self.report.segment_count += 1;
        self.report.len += len;
        self.done_len += len;
        if let Some(SegmentExtent::Sealed(len)) = found.extent.filter(|_| is_readable) {
            self.hint(&whole, len, &contents)?;
        }
        self.contents.insert(id, contents);
        Ok(())
    }

    /// Verifies the header. Returns whether the records can be read with the layout of `found`.
    fn header(&mut self, found: &FoundSegment, file: &SalvageFile) -> Result<bool, Stop> {
        let bytes = file::first_bytes(&*self.directory, found.id, file)?;
        let range = 0..found.layout.header_len.into();
        let fault = match SegmentHeader::decode(&bytes) {
            Ok(header) => match self.misnamed(found, &header) {
                Some(fault) => {
                    self.report_fault(StoreFile::Segment(found.id), Some(range), fault)?;
                    // Without MANIFEST, `found` has the layout of the header, even under a wrong
                    // name.
                    return Ok(header.layout() == found.layout);
                }
                None => return self.compare_header(found, &header).map(|()| true),
            },
            // The caller reports unreadable bytes of the whole file.
            Err(HeaderError::Damaged(_)) if !file.unreadable(&range).is_empty() => return Ok(true),
            Err(HeaderError::Damaged(damage)) => Fault::Header(damage),
            Err(HeaderError::Unsupported(found)) => Fault::Unsupported(found),
        };
        self.report_fault(StoreFile::Segment(found.id), Some(range), fault).map(|()| true)
    }

    /// Returns the fault of a file that holds another segment than its name says.
    fn misnamed(&self, found: &FoundSegment, header: &SegmentHeader) -> Option<Fault> {
        match self.log_files.context() {
            Some(context) if context.store != header.store => Some(Fault::AnotherStore),
            _ => (header.segment != found.id).then_some(Fault::AnotherSegment(header.segment)),
        }
    }

    /// Compares the header with MANIFEST.
    fn compare_header(&mut self, found: &FoundSegment, header: &SegmentHeader) -> Result<(), Stop> {
        let salt = |layout: Layout| format!("{:08x}", layout.records.salt);
        let fields = [
            ("base_seq", header.base_seq.to_string(), found.base_seq.to_string()),
            ("salt", salt(header.layout()), salt(found.layout)),
        ];
        for (what, header, manifest) in fields {
            if header != manifest {
                let range = 0..found.layout.header_len.into();
                let fault = Fault::Disagree { what, header, manifest };
                self.report_fault(StoreFile::Segment(found.id), Some(range), fault)?;
            }
        }
        Ok(())
    }

    /// Returns the end of the log in this segment. Reports a torn tail, and a wrong length.
    fn end(&mut self, found: &FoundSegment, whole: &Segment) -> Result<u64, Stop> {
        let file = StoreFile::Segment(found.id);
        let has = whole.len();
        // Without MANIFEST, the last segment is taken as the active one.
        let is_unsettled = match found.extent {
            Some(extent) => extent.is_unsettled(has),
            None => self.log_files.next(found.id).is_none(),
        };
        if is_unsettled {
            // These bytes are read again, so they do not count as progress.
            let TailReport { end, durable_damage, behind, .. } =
                TailReport::asking(whole, self.log_files.durable_prefix(found), |_| self.report_progress(0))?;
            if let Some((at, witness)) = durable_damage {
                self.report_fault(file, Some(at..at), Fault::DurableDamage { witness })?;
            }
            if end < has {
                self.report.torn_len += has - end;
                let fault =
                    if behind == 0 { Fault::Torn } else { Fault::TornBefore { intact_count: behind } };
                self.report_fault(file, Some(end..has), fault)?;
            }
            return Ok(end);
        }
        let wants = match found.extent {
            Some(SegmentExtent::Sealed(len) | SegmentExtent::Closed(len)) => len,
            Some(SegmentExtent::Active(_)) | None => has,
        };
        if has < wants {
            self.report_fault(file, Some(has..wants), Fault::CutShort { wants, has })?;
        }
        if wants < has {
            self.report_fault(file, Some(wants..has), Fault::Surplus)?;
        }
        Ok(wants.min(has))
    }

    fn records(
        &mut self,
        found: &FoundSegment,
        segment: &Segment,
        disk: &SalvageFile,
    ) -> Result<SegmentContents, Stop> {
        let file = StoreFile::Segment(found.id);
        let mut sorter = Sorter::default();
        let mut damaged = Vec::new();
        let mut goes_on = false;
        let mut is_misplaced = false;
        let mut scanner = Scanner::new(segment, Bodies::Checked);
        while let Some(step) = scanner.next_asking(&mut |at| self.report_progress(at))? {
            let (range, key, fault) = match step {
                Step::Record(record) => {
                    let range = record.at..record.at + record.frame.len;
                    goes_on = record.header.flag.has_more();
                    if record.damage.is_none() {
                        self.report.record_count += 1;
                        if let Some(context) = self.log_files.context() {
                            sorter.add_scanned(context, &record);
                        }
                    }
                    // All records after the first misplaced one are misplaced, too.
                    let is_checked = record.damage.is_none() && !is_misplaced;
                    if let Some(fault) = self.misplaced(found, record.header.seq).filter(|_| is_checked) {
                        is_misplaced = true;
                        self.report_fault(file, Some(range.clone()), fault)?;
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
            if let Some(fault) = fault.and_then(|fault| unless_unreadable(fault, &range, disk)) {
                self.report_finding(&Finding { file, range: Some(range), key, fault })?;
            }
        }
        if goes_on {
            self.report_fault(file, Some(segment.len()..segment.len()), Fault::UnfinishedBatch)?;
        }
        Ok(SegmentContents { end: segment.len(), sorted: sorter.finish(), damaged })
    }

    /// Returns the fault of a sequence number that belongs to a later segment, or that the next
    /// write would reuse.
    fn misplaced(&self, found: &FoundSegment, seq: Seqno) -> Option<Fault> {
        if let Some(next) = self.log_files.next(found.id).filter(|next| next.base_seq <= seq) {
            return Some(Fault::Overlap { seq, next: next.id, base_seq: next.base_seq });
        }
        let next_seq = self.log_files.manifest().ok()?.next_seq;
        let is_settled = matches!(found.extent, Some(SegmentExtent::Sealed(_) | SegmentExtent::Closed(_)));
        (is_settled && seq >= next_seq).then_some(Fault::NumberTaken { seq, next_seq })
    }
}

/// Returns `fault` of bytes `range`, or [`Fault::PartlyUnreadable`] if some of them could not be
/// read. Returns `None` if all of them could not: the caller reports those.
fn unless_unreadable(fault: Fault, range: &Range<u64>, disk: &SalvageFile) -> Option<Fault> {
    match disk.unreadable(range).as_slice() {
        [] => Some(fault),
        [(lost, _)] if lost == range => None,
        _ => Some(Fault::PartlyUnreadable),
    }
}
