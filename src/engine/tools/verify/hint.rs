//! Verification of a hint against its segment: its rows, its filter and its counts.

use std::io;

use super::finding::Fault;
use super::verifier::{SegmentContents, Verifier};
use crate::engine::base::error::Result;
use crate::engine::base::stop::Stop;
use crate::engine::format::hint::{Checked, Described, HEADER_LEN, HintRow, ROW_LEN, check};
use crate::engine::fs::StoreFile;
use crate::engine::segment::filter;
use crate::engine::segment::{Segment, StoreContext, hint};

impl Verifier<'_> {
    /// Verifies the hint of `segment`, if it has one. MANIFEST gives the segment's length as `len`.
    pub(super) fn hint(
        &mut self,
        segment: &Segment,
        len: u64,
        contents: &SegmentContents,
    ) -> Result<(), Stop> {
        let Some(context) = self.log_files.context() else { return Ok(()) };
        let mut bytes = hint::bytes(context, segment.id, len.max(segment.len()));
        if bytes.as_ref().is_ok_and(|bytes| check(bytes).is_none() && !is_unfinished(bytes)) {
            // A writer writes the header last. It may have done so after the length was read.
            bytes = hint::bytes(context, segment.id, len.max(segment.len()));
        }
        let fault = match bytes {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Fault::DerivedDamaged),
            Err(error) => Some(Fault::of_derived(&error)),
            Ok(bytes) => match check(&bytes) {
                None if is_unfinished(&bytes) => Some(Fault::Unfinished),
                None => Some(Fault::DerivedDamaged),
                Some(checked) if !is_about(&checked.described, context, segment, len) => Some(Fault::Stale),
                Some(checked) => {
                    differs(&bytes, &checked, contents).or_else(|| self.ahead(&checked, segment, contents))
                }
            },
        };
        self.report.hint_count += 1;
        fault.map_or(Ok(()), |fault| self.report_fault(StoreFile::Hint(segment.id), None, fault))
    }

    /// Returns a fault if the last sequence number of the hint is beyond the segment, even a
    /// damaged one.
    fn ahead(&self, checked: &Checked, segment: &Segment, contents: &SegmentContents) -> Option<Fault> {
        let next_seq = self.log_files.manifest().map_or(segment.seq_end, |manifest| manifest.next_seq);
        let said = checked.described.last_seq;
        let counted = contents.sorted.last_seq.0;
        let is_ahead = said >= segment.seq_end.min(next_seq);
        is_ahead.then_some(Fault::Count { what: "last number", said: said.0, counted })
    }
}

/// Returns whether the header is not written yet.
fn is_unfinished(bytes: &[u8]) -> bool {
    bytes.iter().take(HEADER_LEN).all(|&byte| byte == 0)
}

fn is_about(described: &Described, context: &StoreContext, segment: &Segment, len: u64) -> bool {
    described.store == context.store
        && described.hash_seed == context.hash_seed
        && described.segment == segment.id
        && described.segment_len == len
}

/// Returns the first difference between the hint and the records. Rows of damaged records are
/// skipped.
fn differs(bytes: &[u8], checked: &Checked, contents: &SegmentContents) -> Option<Fault> {
    let said = bytes[checked.rows.clone()].chunks_exact(ROW_LEN).map(HintRow::decode).enumerate();
    let mut said = said.filter(|(_, row)| !contents.is_damaged(row.at));
    let mut held = contents.sorted.rows.iter();
    let filter = &bytes[checked.filter.clone()];
    loop {
        match (said.next(), held.next()) {
            (None, None) => break,
            (Some((index, said)), Some(held)) if said == held => {
                if !filter::may_hold(filter, held.hash) {
                    return Some(Fault::HintFilter(index as u64));
                }
            }
            (said, _) => {
                let row_count = checked.rows.len() / ROW_LEN;
                return Some(Fault::HintRow(said.map_or(row_count, |(index, _)| index) as u64));
            }
        }
    }
    let Described { record_count, last_seq, compressed, .. } = checked.described;
    let counted = contents.sorted.compressed;
    let counts = [
        ("records", u64::from(record_count), u64::from(contents.sorted.record_count)),
        ("last number", last_seq.0, contents.sorted.last_seq.0),
        ("bytes of compressed values", compressed.stored_len, counted.stored_len),
        ("bytes of those values themselves", compressed.raw_len, counted.raw_len),
    ];
    let is_whole = contents.damaged.is_empty();
    let wrong = counts.into_iter().find(|(_, said, counted)| is_whole && said != counted);
    wrong.map(|(what, said, counted)| Fault::Count { what, said, counted })
}
