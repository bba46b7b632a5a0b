//! The tail of a log that was not closed: finds out whether damage in it is a torn tail.

use std::mem;

use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::format::manifest::SegmentExtent;
use crate::engine::format::record::LAG_UNKNOWN;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment, Step};

/// The torn tail of a log: the unfinished writes that a crash left. None of them was acknowledged
/// as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Its start.
    pub at: Location,
    /// Its length in bytes.
    pub len: u64,
    /// Intact records after damage in the tail. Either their writes reached the disk before an
    /// earlier one did, or the damage hit writes that were complete. The files do not show which.
    /// `repair` keeps these records.
    pub intact_count: u64,
}

/// The part of a segment that is known to be durable. Damage in it is not a torn tail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DurablePrefix {
    to: u64,
    /// The last sequence number in it.
    last: Seqno,
}

impl DurablePrefix {
    /// Returns the prefix of `to` bytes: whole batches that were read. The last batch ends with
    /// number `last`.
    pub(crate) fn new(to: u64, last: Seqno) -> Self {
        Self { to, last }
    }

    /// Returns the durable part according to MANIFEST, which has `extent` for the segment and
    /// `next_seq` for the next record.
    pub(crate) fn of(extent: Option<SegmentExtent>, next_seq: Seqno) -> Self {
        match extent {
            Some(SegmentExtent::Closed(len) | SegmentExtent::Sealed(len)) => {
                Self { to: len, last: next_seq.previous() }
            }
            _ => Self { to: 0, last: Seqno(0) },
        }
    }

    /// Its length in a segment of `len` bytes.
    pub(crate) fn len(self, len: u64) -> u64 {
        self.to.min(len)
    }
}

/// The state of the active segment of a log that was not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailReport {
    pub(crate) file_len: u64,
    /// The end of the last whole batch.
    pub(crate) end: u64,
    /// The number of records read before the end, and the last sequence number before it.
    pub(crate) record_count: u64,
    pub(crate) last: Seqno,
    /// The offset of the last record read before the end.
    pub(crate) last_at: Option<u64>,
    /// The offset of the first damage to durable bytes, and the sequence number of a record that
    /// proves it.
    pub(crate) durable_damage: Option<(u64, Seqno)>,
    /// The number of intact records in whole batches after the end. A crash may have left them.
    pub(crate) behind: u64,
    /// The first record with a matching checksum that this version does not support: its offset and
    /// the reason.
    pub(crate) unknown: Option<(u64, String)>,
}

impl TailReport {
    /// Reads the segment after its `durable` part. The bytes from the first damage on are a torn
    /// tail, unless a later record says that the damaged bytes were durable when it was written.
    pub(crate) fn of(segment: &Segment, durable: DurablePrefix) -> Result<Self> {
        Self::asking(segment, durable, |_| Ok(()))
    }

    /// Works like [`TailReport::of`]. Calls `go_on` with the current offset from time to time, and
    /// fails with its error.
    pub(crate) fn asking<E: From<Error>>(
        segment: &Segment,
        durable: DurablePrefix,
        mut go_on: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut end = u64::from(segment.layout.header_len).min(segment.len()).max(durable.len(segment.len()));
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(end);
        // The first damage, and the sequence number of the last intact record before it.
        let mut hole: Option<(u64, Seqno)> = None;
        // Records up to the last whole batch, and all records read.
        let mut record_count = 0;
        let mut read_count = 0;
        let mut last = durable.last;
        let mut last_at = None;
        let mut durable_damage = None;
        let mut unknown = None;
        // Intact records after the hole in whole batches, and in the current batch.
        let mut behind = 0;
        let mut behind_in_batch = 0;
        loop {
            let before = scanner.last_seq().max(durable.last);
            let bad_at = match scanner.next_asking(&mut go_on)? {
                None => break,
                Some(Step::Record(record)) if record.damage.is_none() => {
                    if let Some((at, last)) = hole
                        && proves(&record, last)
                    {
                        durable_damage.get_or_insert((at, record.header.seq));
                    }
                    let ends_a_batch = !record.header.flag.has_more();
                    read_count += 1;
                    let is_in_log = hole.is_none() || durable_damage.is_some();
                    if ends_a_batch && is_in_log {
                        end = record.at + record.frame.len;
                        behind = 0;
                        (record_count, last) = (read_count, last.max(record.header.seq));
                        last_at = Some(record.at);
                    } else if !is_in_log {
                        behind_in_batch += 1;
                        behind += if ends_a_batch { mem::take(&mut behind_in_batch) } else { 0 };
                    }
                    continue;
                }
                Some(Step::Record(record)) => record.at,
                Some(Step::Bad { at, damage, .. }) => {
                    if let (Damage::Field { .. }, None) = (&damage, &unknown) {
                        unknown = Some((at, damage.to_string()));
                    }
                    at
                }
            };
            hole.get_or_insert((bad_at, before));
            behind_in_batch = 0;
        }
        let file_len = segment.len();
        Ok(Self { file_len, end, record_count, last, last_at, durable_damage, behind, unknown })
    }

    /// Returns the bytes after the end, if any.
    pub(crate) fn torn(&self, id: SegmentId) -> Option<TornTail> {
        let at = Location { segment: id, offset: self.end };
        let len = self.file_len.saturating_sub(self.end);
        (len > 0).then_some(TornTail { at, len, intact_count: self.behind })
    }
}

/// Returns whether the log was durable beyond number `last` when `record` was written.
fn proves(record: &Scanned<'_>, last: Seqno) -> bool {
    let lag = record.header.lag;
    lag != LAG_UNKNOWN && record.header.seq.0.saturating_sub(lag.into()) > last.0
}
