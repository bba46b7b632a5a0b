//! What became of the keys whose records were lost.

use std::collections::HashMap;
use std::path::Path;

use super::memory;
use super::report::{GivenUp, Now};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::segment::Segment;
use crate::engine::state::State;

/// The newest record of a key that was kept.
struct Newest {
    seq: Seqno,
    key: Vec<u8>,
    is_delete: bool,
}

/// Looks for newer and older records of the keys that lost one in `state`, which is of the store at `path`.
pub(super) fn look_up(state: &State, path: &Path, given_up: &mut [GivenUp]) -> Result<()> {
    let mut newest: HashMap<u64, Option<Newest>> = HashMap::new();
    let lost_count = given_up.iter().map(|part| part.lost.len()).sum();
    newest.try_reserve(lost_count).map_err(|error| Error::io("read", path)(error.into()))?;
    newest.extend(given_up.iter().flat_map(|part| &part.lost).map(|lost| (lost.hash, None)));
    if newest.is_empty() {
        return Ok(());
    }
    for segment in state.segments().iter() {
        for rows in segment.order(&state.context)? {
            for row in rows.iter() {
                if let Some(newest) = newest.get_mut(&row.hash) {
                    take(newest, segment, row.at, row.is_tombstone)?;
                }
            }
        }
    }
    for part in given_up {
        for lost in &mut part.lost {
            let Some(Some(newest)) = newest.get(&lost.hash) else { continue };
            if lost.key.is_none() {
                lost.key = Some(memory::copy(&newest.key, path)?);
            }
            lost.now = match newest {
                // The lost one itself, perhaps, from another file.
                Newest { seq, .. } if *seq >= part.seqs.start => Now::Newer(*seq),
                Newest { is_delete: true, .. } => Now::Absent,
                Newest { seq, .. } => Now::Older(*seq),
            };
        }
    }
    Ok(())
}

fn take(newest: &mut Option<Newest>, segment: &Segment, at: u64, is_delete: bool) -> Result<()> {
    let record = segment.read(at)?;
    let seq = record.header.seq;
    if newest.as_ref().is_none_or(|newest| newest.seq < seq) {
        *newest = Some(Newest { seq, key: memory::copy(&record.key(), &segment.path)?, is_delete });
    }
    Ok(())
}
