//! A walk over what is left of a segment, with every record that can be proved to be as it was written.

use std::ops::Range;

use crate::engine::base::error::{Damage, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::Stop;
use crate::engine::format::record::RecordHeader;
use crate::engine::segment::{Bodies, Scanned, Scanner, Segment, Step};

/// What stands at a place.
pub(super) enum Part<'a> {
    Intact(Intact),
    /// A record whose header is intact, and whose body or number is not.
    Damaged(Scanned<'a>),
    /// Bytes in which no record can be made out.
    Unknown(Range<u64>, Damage),
    /// Nothing yet: the scan has come this far.
    Sought(u64),
}

/// A record that is as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intact {
    pub(super) seq: Seqno,
    pub(super) at: u64,
    pub(super) len: u64,
    /// Whether its batch goes on in the next record.
    pub(super) goes_on: bool,
    /// Whether it has to be written anew: the checksum of its header is damaged, and that of all of it proves it.
    pub(super) is_mended: bool,
}

/// Gives `take` all that stands in `segment`, in file order. No record of more than `len_max` bytes is read before the checksum
/// of its header is right.
///
/// # Errors
/// What the operating system says, and what `take` does.
pub(super) fn walk(
    segment: &Segment,
    len_max: u64,
    take: &mut dyn FnMut(Part<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut scanner = Scanner::new(segment, Bodies::Checked);
    while let Some(step) = scanner.next_asking(&mut |at| take(Part::Sought(at)))? {
        let (mut at, next, damage) = match step {
            Step::Record(mut record) => {
                record.damage = record.damage_or_values();
                let (seq, goes_on) = (record.header.seq, record.header.flag.has_more());
                let (at, len) = (record.at, record.frame.len);
                take(match record.damage {
                    None => Part::Intact(Intact { seq, at, len, goes_on, is_mended: false }),
                    Some(_) => Part::Damaged(record),
                })?;
                continue;
            }
            Step::Bad { at, len, damage } => (at, at + len, damage),
        };
        let mut after = scanner.last_seq();
        while let Some(mended) = mended(segment, at, len_max)?
            && (after.plus(1)..segment.seq_end).contains(&mended.seq)
            && at + mended.len <= next
        {
            take(Part::Intact(mended))?;
            (at, after) = (at + mended.len, mended.seq);
        }
        if at < next {
            take(Part::Unknown(at..next, damage))?;
        }
    }
    Ok(())
}

/// The record at `at`, if nothing is damaged but the checksum of its header.
fn mended(segment: &Segment, at: u64, len_max: u64) -> Result<Option<Intact>> {
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
    let (seq, goes_on) = (header.seq, header.flag.has_more());
    let has_value = || match segment.value_of(&header, &record) {
        // Values that a later version compressed are copied unread, and so are those over the
        // limit.
        Ok(_) | Err(Damage::Codec(_) | Damage::TooLarge { .. }) => true,
        Err(_) => false,
    };
    let is_intact = header.klen > 0 && context.check_record(at, &record).is_ok() && has_value();
    Ok(is_intact.then_some(Intact { seq, at, len, goes_on, is_mended: true }))
}
