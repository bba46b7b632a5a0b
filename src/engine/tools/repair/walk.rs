//! A walk over a damaged segment that finds every record whose checksum proves it intact.

use std::ops::Range;

use crate::engine::base::error::{Damage, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Stop;
use crate::engine::format::record::RecordHeader;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment, Step};

/// A step of a walk.
pub(super) enum WalkStep<'a> {
    Intact(IntactRecord),
    /// A record with an intact header, and a damaged body or a sequence number out of order.
    Damaged(Scanned<'a>),
    /// Bytes that hold no readable record.
    Unreadable(Range<u64>, Damage),
    /// The walk has reached this offset.
    Progress(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct IntactRecord {
    pub(super) seq: Seqno,
    pub(super) at: u64,
    pub(super) len: u64,
    /// Whether the next record belongs to the same batch.
    pub(super) has_more: bool,
    /// Whether the header's own checksum is damaged. The checksum of the record proves the rest,
    /// but the record must be written again.
    pub(super) is_mended: bool,
}

/// Passes every step of a walk over `segment` to `take`, in file order. Reads no record longer than
/// `len_max` bytes before the checksum of its header is known to be correct.
pub(super) fn walk(
    segment: &Segment,
    len_max: u64,
    take: &mut dyn FnMut(WalkStep<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut scanner = Scanner::new(segment, Bodies::Checked);
    while let Some(step) = scanner.next_asking(&mut |at| take(WalkStep::Progress(at)))? {
        let (mut at, next, damage) = match step {
            Step::Record(mut record) => {
                record.damage = record.damage_or_values();
                take(match record.damage {
                    None => WalkStep::Intact(IntactRecord {
                        seq: record.header.seq,
                        at: record.at,
                        len: record.frame.len,
                        has_more: record.header.flag.has_more(),
                        is_mended: false,
                    }),
                    Some(_) => WalkStep::Damaged(record),
                })?;
                continue;
            }
            Step::Bad { at, len, damage } => (at, at + len, damage),
        };
        let mut last_seq = scanner.last_seq();
        while let Some(mended) = mended(segment, at, len_max)?
            && (last_seq.plus(1)..segment.seq_end).contains(&mended.seq)
            && at + mended.len <= next
        {
            take(WalkStep::Intact(mended))?;
            at += mended.len;
            last_seq = mended.seq;
        }
        if at < next {
            take(WalkStep::Unreadable(at..next, damage))?;
        }
    }
    Ok(())
}

/// Returns the record at `at` if only the checksum of its header is damaged.
fn mended(segment: &Segment, at: u64, len_max: u64) -> Result<Option<IntactRecord>> {
    let context = segment.layout.records;
    let bytes = segment.bytes_unchecked(at..at + u64::from(context.header_len))?;
    if (bytes.len() as u64) < u64::from(context.header_len) {
        return Ok(None);
    }
    let header = RecordHeader::peek(&bytes);
    let len = header.frame(context.header_len).len;
    if len > len_max.min(segment.len() - at) {
        return Ok(None);
    }
    let record = segment.bytes_unchecked(at..at + len)?;
    let has_value = || match segment.value_of(&header, &record) {
        // A value that a later version compressed, or that exceeds the limit, is copied unread.
        Ok(_) | Err(Damage::Codec(_) | Damage::TooLarge { .. }) => true,
        Err(_) => false,
    };
    let is_intact = header.klen > 0 && context.check_record(at, &record).is_ok() && has_value();
    let has_more = header.flag.has_more();
    Ok(is_intact.then_some(IntactRecord { seq: header.seq, at, len, has_more, is_mended: true }))
}
