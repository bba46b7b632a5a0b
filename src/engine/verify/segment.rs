//! One segment: its header, its length, each record, and their order.

use std::ops::Range;

use super::{Fault, Finding, Verifier, VerifyEvent};
use crate::engine::format::manifest::Extent;
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::StoreFile;
use crate::engine::judge::Verdict;
use crate::engine::location::{SegmentId, Seqno};
use crate::engine::segment::{Bodies, Scanner, Segment, Sorted, Sorter, Step};
use crate::engine::survey::Known;
use crate::error::{Result, Stop};

/// How many bytes are read between two looks at whether to go on.
const LEN_A_LOOK: u64 = 1 << 20;

/// What a segment was found to hold.
pub(super) struct Scanned {
    /// Where what it has of the log ends.
    pub(super) end: u64,
    /// The intact records.
    pub(super) sorted: Sorted,
    /// Where there are others, in file order.
    pub(super) damaged: Vec<Range<u64>>,
}

impl Scanned {
    /// Whether what stands at `at` is damaged.
    pub(super) fn is_damaged(&self, at: u64) -> bool {
        let place = self.damaged.partition_point(|range| range.end <= at);
        self.damaged.get(place).is_some_and(|range| range.contains(&at))
    }
}

impl Verifier<'_> {
    /// Verifies segment `id` and its hint.
    pub(super) fn segment(&mut self, id: SegmentId) -> Result<(), Stop> {
        let Some(known) = self.survey.get(id).copied() else { return Ok(()) };
        let bytes = self.survey.header_bytes(id)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) => self.header(&known, &header)?,
            Err(error) => {
                let fault = match error {
                    HeaderError::Damaged(damage) => Fault::Header(damage),
                    HeaderError::Unsupported(found) => Fault::Unsupported(found),
                };
                let range = 0..known.layout.header_len.into();
                self.found(StoreFile::Segment(id), Some(range), fault)?;
            }
        }
        let whole = self.survey.open(id, known.layout, u64::MAX)?;
        let end = self.end(&known, &whole)?;
        let scanned = self.records(&known, &self.survey.open(id, known.layout, end)?)?;
        self.report.segment_count += 1;
        self.report.len += whole.len();
        self.done_len += whole.len();
        if let Some(Extent::Sealed(len)) = known.extent {
            self.hint(&whole, len, &scanned)?;
        }
        self.scanned.insert(id, scanned);
        Ok(())
    }

    /// Whether the header says what MANIFEST does.
    fn header(&mut self, known: &Known, header: &SegmentHeader) -> Result<(), Stop> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let salts = [header.layout, known.layout].map(|layout| format!("{:08x}", layout.records.salt));
        let [salt, known_salt] = salts;
        let store = self.survey.home().map_or(header.store, |home| home.store);
        let fields = [
            ("store", hex(&header.store.0), hex(&store.0)),
            ("segment", header.segment.to_string(), known.id.to_string()),
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
    fn end(&mut self, known: &Known, whole: &Segment) -> Result<u64, Stop> {
        let (file, has) = (StoreFile::Segment(known.id), whole.len());
        // Without a MANIFEST the last one is taken for the one that was written to.
        let is_unsettled = match known.extent {
            Some(extent) => extent.is_unsettled(has),
            None => self.survey.next(known.id).is_none(),
        };
        if is_unsettled {
            let Verdict { end, rot, .. } = Verdict::of(whole)?;
            if let Some((at, witness)) = rot {
                self.found(file, Some(at..at), Fault::Rot { witness })?;
            }
            if end < has {
                self.found(file, Some(end..has), Fault::Torn)?;
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
    fn records(&mut self, known: &Known, segment: &Segment) -> Result<Scanned, Stop> {
        let file = StoreFile::Segment(known.id);
        let (mut sorter, mut damaged) = (Sorter::default(), Vec::new());
        let (mut looked_at, mut goes_on, mut is_misplaced) = (0, false, false);
        let mut scanner = Scanner::new(segment, Bodies::Checked);
        while let Some(step) = scanner.next()? {
            let (range, key, fault) = match step {
                Step::Record(record) => {
                    let range = record.at..record.at + record.frame.len;
                    goes_on = record.header.flags.has_more();
                    if record.damage.is_none() {
                        self.report.record_count += 1;
                        if let Some(home) = self.survey.home() {
                            sorter.add_scanned(home, &record);
                        }
                    }
                    let seq = record.header.seq;
                    if record.damage.is_none()
                        && !is_misplaced
                        && let Some(fault) = self.misplaced(known, seq)
                    {
                        // The numbers grow: of those that follow the same is true.
                        is_misplaced = true;
                        let range = Some(range.clone());
                        self.found(file, range, fault)?;
                    }
                    let key = record.damage.as_ref().map(|_| {
                        damaged.push(range.clone());
                        record.key().to_vec()
                    });
                    let unreadable = record.damage.is_none().then(|| record.check_value().err()).flatten();
                    (range, key, record.damage.or(unreadable).map(Fault::Record))
                }
                Step::Bad { at, damage } => {
                    goes_on = false;
                    let next = scanner.resync()?.unwrap_or(segment.len());
                    damaged.push(at..next);
                    (at..next, None, Some(Fault::Record(damage)))
                }
            };
            let at = range.end;
            if let Some(fault) = fault {
                self.tell(&Finding { file, range: Some(range), key, fault })?;
            }
            if at - looked_at >= LEN_A_LOOK {
                looked_at = at;
                let done_len = self.done_len + at;
                let total_len = self.total_len.max(done_len);
                self.event(VerifyEvent::Progress { done_len, total_len })?;
            }
        }
        if goes_on {
            self.found(file, Some(segment.len()..segment.len()), Fault::UnfinishedBatch)?;
        }
        Ok(Scanned { end: segment.len(), sorted: sorter.finish(), damaged })
    }

    /// Whether a number stands in the wrong segment, or will be given out again.
    fn misplaced(&self, known: &Known, seq: Seqno) -> Option<Fault> {
        if let Some(next) = self.survey.next(known.id).filter(|next| next.base_seq <= seq) {
            return Some(Fault::Overlap { seq, next: next.id, base_seq: next.base_seq });
        }
        let next_seq = self.survey.manifest().ok()?.next_seq;
        let is_settled = matches!(known.extent, Some(Extent::Sealed(_) | Extent::Closed(_)));
        (is_settled && seq >= next_seq).then_some(Fault::NumberTaken { seq, next_seq })
    }
}
