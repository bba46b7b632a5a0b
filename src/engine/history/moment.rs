//! From a time to a record.

use crate::engine::location::Seqno;
use crate::engine::segment::{Bodies, Scanner, Step};
use crate::engine::state::SegmentSet;
use crate::error::{Search, Stop};

/// The number of the last record up to `last_seq` that was written at or before `at_ms`; 0 when there is none. Reads the
/// headers of what was written since, and of the segment in which it finds it, unless `search` is broken off.
///
/// # Errors
/// What the operating system says.
pub(super) fn last_before(
    set: &SegmentSet,
    at_ms: u64,
    last_seq: Seqno,
    search: &mut Search<'_>,
) -> Result<Seqno, Stop> {
    for segment in set.iter().rev() {
        let mut last = None;
        let mut scanner = Scanner::new(segment, Bodies::Skipped);
        while let Some(step) = scanner.next()? {
            search.step()?;
            match step {
                Step::Record(record) if record.header.time_ms <= at_ms && record.header.seq <= last_seq => {
                    last = Some(record.header.seq);
                }
                Step::Record(_) => {}
                Step::Bad { .. } => {
                    scanner.resync()?;
                }
            }
        }
        if let Some(last) = last {
            return Ok(last);
        }
    }
    Ok(Seqno(0))
}
