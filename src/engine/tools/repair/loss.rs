//! Looks up the keys of lost records in the repaired store.

use std::collections::HashMap;
use std::path::Path;

use super::memory;
use super::report::{GivenUp, Now};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::segment::Segment;
use crate::engine::state::State;

/// The newest kept record of a key.
struct NewestRecord {
    seq: Seqno,
    key: Vec<u8>,
    is_delete: bool,
}

/// Looks up the keys of lost records in `state`, the repaired store at `path`.
pub(super) fn look_up(state: &State, path: &Path, given_up: &mut [GivenUp]) -> Result<()> {
    let mut newest: HashMap<u64, Option<NewestRecord>> = HashMap::new();
    let lost_count = given_up.iter().map(|given_up| given_up.lost.len()).sum();
    newest.try_reserve(lost_count).map_err(|error| Error::io("read", path)(error.into()))?;
    newest.extend(given_up.iter().flat_map(|given_up| &given_up.lost).map(|lost| (lost.hash, None)));
    if newest.is_empty() {
        return Ok(());
    }
    for segment in state.segments().iter() {
        for rows in segment.order(&state.context)? {
            for row in rows.iter() {
                if let Some(newest) = newest.get_mut(&row.hash) {
                    replace_if_newer(newest, segment, row.at, row.is_tombstone)?;
                }
            }
        }
    }
    for GivenUp { seqs, lost, .. } in given_up {
        for lost in lost {
            let Some(Some(newest)) = newest.get(&lost.hash) else { continue };
            if lost.key.is_none() {
                lost.key = Some(memory::copy(&newest.key, path)?);
            }
            lost.now = match newest {
                // This may be the lost record itself, kept in another file.
                NewestRecord { seq, .. } if *seq >= seqs.start => Now::Newer(*seq),
                NewestRecord { is_delete: true, .. } => Now::Absent,
                NewestRecord { seq, .. } => Now::Older(*seq),
            };
        }
    }
    Ok(())
}

fn replace_if_newer(
    newest: &mut Option<NewestRecord>,
    segment: &Segment,
    at: u64,
    is_delete: bool,
) -> Result<()> {
    let record = segment.read(at)?;
    let seq = record.header.seq;
    if newest.as_ref().is_none_or(|newest| newest.seq < seq) {
        let key = memory::copy(&record.key(), &segment.path)?;
        *newest = Some(NewestRecord { seq, key, is_delete });
    }
    Ok(())
}
