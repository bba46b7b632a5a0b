//! Torn tail or rot? The judgement on the end of a log whose writer did not close it.

use std::mem;

use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::ids::{Location, SegmentId, Seqno};
use crate::engine::format::manifest::Extent;
use crate::engine::format::record::LAG_UNKNOWN;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment, Step};

/// The unfinished end of a log: what a crash leaves of writes that nobody was told were done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it starts.
    pub at: Location,
    /// Its length in bytes.
    pub len: u64,
    /// Intact records in it behind a hole: of writes that reached the disk before an earlier one did, or, where it is no crash
    /// that made the hole, of writes that were done. Nothing on disk tells which; `repair` keeps them.
    pub intact_count: u64,
}

/// What MANIFEST knows to be durable of a segment whose end has to be found: what is damaged before that is no torn end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DurablePrefix {
    to: u64,
    /// Numbers up to here stand before it.
    last: Seqno,
}

impl DurablePrefix {
    /// What has been read of it already: whole batches up to byte `to`, the last of which ends with number `last`.
    pub(crate) fn new(to: u64, last: Seqno) -> Self {
        Self { to, last }
    }

    /// What a MANIFEST knows that has `extent` for the segment, and gives `next_seq` to the next record.
    pub(crate) fn of(extent: Option<Extent>, next_seq: Seqno) -> Self {
        match extent {
            Some(Extent::Closed(len) | Extent::Sealed(len)) => Self { to: len, last: next_seq.previous() },
            _ => Self { to: 0, last: Seqno(0) },
        }
    }

    /// How many bytes of a segment of `len` that are.
    pub(crate) fn len(self, len: u64) -> u64 {
        self.to.min(len)
    }
}

/// What the active segment of a log that was not closed comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailReport {
    pub(crate) file_len: u64,
    /// Where the last whole batch ends.
    pub(crate) end: u64,
    /// The count of records read before it, and the number of the last one, read or settled.
    pub(crate) record_count: u64,
    pub(crate) last: Seqno,
    /// Where the last record that was read is.
    pub(crate) last_at: Option<u64>,
    /// The first damage that had been durable, and the number of a record that proves it.
    pub(crate) durable_damage: Option<(u64, Seqno)>,
    /// Intact records of whole batches behind the end, which nothing tells from what a crash leaves.
    pub(crate) behind: u64,
    /// The first record whose checksum is right and whose content this version does not know: where, and what.
    pub(crate) unknown: Option<(u64, String)>,
}

impl TailReport {
    /// Reads what is not `settled`. What follows the first bad place is a crash's leavings, unless a later record says
    /// that the log had been durable beyond that place when it was written.
    pub(crate) fn of(segment: &Segment, settled: DurablePrefix) -> Result<Self> {
        Self::asking(segment, settled, |_| Ok(()))
    }

    /// As [`TailReport::of`]; asks `go_on` now and then, which is told how far it has come, and ends with its error.
    pub(crate) fn asking<E: From<Error>>(
        segment: &Segment,
        settled: DurablePrefix,
        mut go_on: impl FnMut(u64) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut end = u64::from(segment.layout.header_len).min(segment.len()).max(settled.len(segment.len()));
        let mut scanner = Scanner::new(segment, Bodies::Checked).starting_at(end);
        // The first bad place, and the number of the last intact record before it.
        let mut hole: Option<(u64, Seqno)> = None;
        // Records up to the last whole batch, and the records read since.
        let (mut record_count, mut read_count, mut last, mut last_at) = (0, 0, settled.last, None);
        let mut durable_damage = None;
        let mut unknown = None;
        // What stands behind the hole, and how much of it the last batch there has.
        let (mut behind, mut begun) = (0, 0);
        loop {
            let before = scanner.last_seq().max(settled.last);
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
                    let follows = hole.is_none() || durable_damage.is_some();
                    if ends_a_batch && follows {
                        end = record.at + record.frame.len;
                        behind = 0;
                        (record_count, last) = (read_count, last.max(record.header.seq));
                        last_at = Some(record.at);
                    } else if !follows {
                        begun += 1;
                        behind += if ends_a_batch { mem::take(&mut begun) } else { 0 };
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
            begun = 0;
        }
        let file_len = segment.len();
        Ok(Self { file_len, end, record_count, last, last_at, durable_damage, behind, unknown })
    }

    /// What comes after the end.
    pub(crate) fn torn(&self, id: SegmentId) -> Option<TornTail> {
        let at = Location { segment: id, offset: self.end };
        let (len, intact_count) = (self.file_len.saturating_sub(self.end), self.behind);
        (len > 0).then_some(TornTail { at, len, intact_count })
    }
}

/// Whether `record` was written when the log was durable beyond number `last`.
fn proves(record: &Scanned<'_>, last: Seqno) -> bool {
    let lag = record.header.lag;
    lag != LAG_UNKNOWN && record.header.seq.0.saturating_sub(lag.into()) > last.0
}
