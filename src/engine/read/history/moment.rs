//! Finds the last record written at or before a time.

use crate::engine::base::ids::Seqno;
use crate::engine::base::stop::{Search, Stop};
use crate::engine::segment::{Bodies, Scanner, Step};
use crate::engine::state::SegmentSet;

/// Returns the number of the last record up to `last_seq` that was written at or before `at_ms`, or
/// 0 if there is none, and the number of the next record. Reads the record headers from the end of
/// the log back to the segment with the match, unless `search` is cancelled.
pub(super) fn last_before(
    set: &SegmentSet,
    at_ms: u64,
    last_seq: Seqno,
    search: &mut Search<'_>,
) -> Result<(Seqno, Option<Seqno>), Stop> {
    let mut next = None;
    for segment in set.iter().rev() {
        let mut last = None;
        let mut later = None;
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            search.step()?;
            match step {
                Step::Record(record) if record.header.seq > last_seq => {}
                Step::Record(record) if record.header.time_ms <= at_ms => {
                    (last, later) = (Some(record.header.seq), None);
                }
                Step::Record(record) => later = later.or(Some(record.header.seq)),
                Step::Bad { .. } => {}
            }
        }
        next = later.or(next);
        if let Some(last) = last {
            return Ok((last, next));
        }
    }
    Ok((Seqno(0), next))
}
