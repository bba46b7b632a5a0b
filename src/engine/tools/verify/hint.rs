//! A hint against its segment: every row, the filter, the counts.

use std::io;

use super::finding::{Fault, derived_unreadable};
use super::verifier::{Scanned, Verifier};
use crate::engine::base::error::Result;
use crate::engine::base::stop::Stop;
use crate::engine::format::hint::{Checked, Described, HEADER_LEN, ROW_LEN, Row, check};
use crate::engine::fs::StoreFile;
use crate::engine::segment::filter;
use crate::engine::segment::{Segment, StoreContext, hint};

impl Verifier<'_> {
    /// Verifies the hint of `segment`, which MANIFEST says to be `len` bytes long, if there is one.
    pub(super) fn hint(&mut self, segment: &Segment, len: u64, scanned: &Scanned) -> Result<(), Stop> {
        let Some(home) = self.log_files.context() else { return Ok(()) };
        let mut bytes = hint::bytes(home, segment.id, len.max(segment.len()));
        if bytes.as_ref().is_ok_and(|bytes| check(bytes).is_none() && !is_unfinished(bytes)) {
            // Its header comes last, perhaps between the looks at its length and at its bytes: now the rest is there.
            bytes = hint::bytes(home, segment.id, len.max(segment.len()));
        }
        let fault = match bytes {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Fault::DerivedDamaged),
            Err(error) => Some(derived_unreadable(&error)),
            Ok(bytes) => match check(&bytes) {
                None if is_unfinished(&bytes) => Some(Fault::Unfinished),
                None => Some(Fault::DerivedDamaged),
                Some(checked) if !is_about(&checked.described, home, segment, len) => Some(Fault::Stale),
                Some(checked) => {
                    differs(&bytes, &checked, scanned).or_else(|| self.ahead(&checked, segment, scanned))
                }
            },
        };
        self.report.hint_count += 1;
        fault.map_or(Ok(()), |fault| self.found(StoreFile::Hint(segment.id), None, fault))
    }

    /// Whether the hint lists more than its segment can hold, even if the segment is damaged.
    fn ahead(&self, checked: &Checked, segment: &Segment, scanned: &Scanned) -> Option<Fault> {
        let next_seq = self.log_files.manifest().map_or(segment.seq_end, |manifest| manifest.next_seq);
        let (said, counted) = (checked.described.last_seq.0, scanned.sorted.last_seq.0);
        let is_ahead = checked.described.last_seq >= segment.seq_end.min(next_seq);
        is_ahead.then_some(Fault::Count { what: "last number", said, counted })
    }
}

/// Whether the header is still to be written.
fn is_unfinished(bytes: &[u8]) -> bool {
    bytes.iter().take(HEADER_LEN).all(|&byte| byte == 0)
}

fn is_about(described: &Described, home: &StoreContext, segment: &Segment, len: u64) -> bool {
    described.store == home.store
        && described.hash_seed == home.hash_seed
        && described.segment == segment.id
        && described.segment_len == len
}

/// Where the hint says something else than the records. What it says of damaged ones cannot be checked.
fn differs(bytes: &[u8], checked: &Checked, scanned: &Scanned) -> Option<Fault> {
    let said = bytes[checked.rows.clone()].chunks_exact(ROW_LEN).map(Row::decode).enumerate();
    let mut said = said.filter(|(_, row)| !scanned.is_damaged(row.at));
    let mut held = scanned.sorted.rows.iter();
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
    let counted = scanned.sorted.compressed;
    let counts = [
        ("records", u64::from(record_count), u64::from(scanned.sorted.record_count)),
        ("last number", last_seq.0, scanned.sorted.last_seq.0),
        ("bytes of compressed values", compressed.stored_len, counted.stored_len),
        ("bytes of those values themselves", compressed.raw_len, counted.raw_len),
    ];
    let is_whole = scanned.damaged.is_empty();
    let wrong = counts.into_iter().find(|(_, said, counted)| is_whole && said != counted);
    wrong.map(|(what, said, counted)| Fault::Count { what, said, counted })
}
