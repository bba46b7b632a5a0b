//! A reader that follows a writer.
//!
//! New records go into a copy of the reader's index, which shares the unchanged shards with the
//! original. If more than the end of the log has changed, the reader opens the store again.

use std::path::Path;
use std::sync::Arc;

use super::enter::enter;
use super::load::{Load, seq_end};
use super::opened::Opened;
use super::read_only::{finish, open_read_only};
use super::seen::{EndChange, SeenFiles};
use crate::engine::base::error::{Error, Result};
use crate::engine::files::manifest_file;
use crate::engine::files::tail::DurablePrefix;
use crate::engine::format::manifest::{Manifest, SegmentExtent};
use crate::engine::fs::File;
use crate::engine::options::Options;
use crate::engine::segment::Segment;

/// Opens the store as its files are now, or returns `None` if they have not changed since
/// `earlier`, which read them as `seen`. The users of `earlier` keep its state.
///
/// # Errors
/// As a read-only open.
pub(crate) fn follow(
    path: &Path,
    options: &Options,
    earlier: &Opened,
    seen: &SeenFiles,
) -> Result<Option<(Opened, SeenFiles)>> {
    let Opened { directory, state, .. } = earlier;
    if !directory.is_in_place().map_err(Error::io("open", path))? {
        return open_read_only(&enter(path, options)?, options, Some(state)).map(Some);
    }
    // MANIFEST is read before the segments: every acknowledged write is in a segment that it lists.
    let file = manifest_file::open(&**directory)?;
    let identity = |file: &dyn File| file.identity().map_err(Error::io("read", path));
    let is_same_file = identity(&*file)?.is_some_and(|id| identity(&*seen.file).ok().flatten() == Some(id));
    let newer = match is_same_file {
        true => None,
        false => Some(manifest_file::decode(&**directory, &*file)?).filter(|now| *now != seen.manifest),
    };
    let change = match &seen.end {
        Some(end) => end.change().map_err(Error::io("read", path))?,
        None => EndChange::Unchanged,
    };
    let manifest = match newer {
        None if change == EndChange::Unchanged => return Ok(None),
        None => seen.manifest.clone(),
        Some(newer) => newer,
    };
    if change != EndChange::Rewritten {
        match advance(options, earlier, seen, manifest, file) {
            Ok(Some(advanced)) => return Ok(Some(advanced)),
            Ok(None) => {}
            // A read error, or a change in between, shows up again when the whole store is read.
            Err(error) => tracing::debug!(error = error.sentence(), "the log's end could not be followed"),
        }
    }
    open_read_only(directory, options, Some(state)).map(Some)
}

/// Adds the new records at the end of the log. Returns `None` if more than the end has changed.
fn advance(
    options: &Options,
    earlier: &Opened,
    seen: &SeenFiles,
    manifest: Manifest,
    file: Arc<dyn File>,
) -> Result<Option<(Opened, SeenFiles)>> {
    let Some(kept) = kept_count(&seen.manifest, &manifest) else { return Ok(None) };
    let mut load = Load::new(&earlier.directory, options, &manifest, Some(&earlier.state));
    load.state = Arc::new(earlier.state.successor()?);
    load.last_seq = earlier.last_seq;
    let mut set = (*load.state.segments()).clone();
    set.history = manifest.history;
    let growing = if set.iter().len() > kept { set.pop() } else { None };
    let mut loaded = Vec::new();
    for (index, line) in manifest.segments.iter().enumerate().skip(kept) {
        let growing = growing.as_ref().filter(|segment| segment.id == line.id);
        let covered = growing.map(|segment| segment.covered(segment.len()));
        load.read = covered.map(|covered| DurablePrefix::new(covered.len, earlier.last_seq));
        loaded.push(load.segment(&mut set, line, seq_end(&manifest, index), covered)?);
        if let (Some(_), Some(now), Some(before)) = (covered, &mut load.seen_end, &seen.end) {
            now.keep_last_record_of(before);
        }
    }
    let is_shorter = |segment: &Segment| {
        growing.as_ref().is_some_and(|before| before.id == segment.id && before.len() > segment.len())
    };
    if loaded.iter().any(|loaded| loaded.is_crowded || is_shorter(&loaded.segment)) {
        return Ok(None);
    }
    if let (Some(before), Some(now)) = (&growing, loaded.first().filter(|loaded| !loaded.is_sealed)) {
        now.segment.take_order_of(before);
    }
    load.state.change_segments(|now| *now = set);
    load.index(&loaded)?;
    let known = &earlier.report.damage;
    load.report.damage.retain(|found| !known.contains(found));
    load.report.damage.splice(0..0, known.iter().cloned());
    Ok(Some(finish(load, manifest, file)))
}

/// Returns the number of sealed segments of `before` if they are also the first ones of `now`, or
/// `None` if one is missing or different.
fn kept_count(before: &Manifest, now: &Manifest) -> Option<usize> {
    let is_same_store =
        (before.store, before.lineage, before.hash_seed) == (now.store, now.lineage, now.hash_seed);
    let growing = before.segments.last().filter(|line| !matches!(line.extent, SegmentExtent::Sealed(_)));
    let kept = before.segments.len() - usize::from(growing.is_some());
    let has_same_start = now.segments.get(..kept)? == &before.segments[..kept];
    let goes_on = growing.is_none_or(|before| {
        now.segments.get(kept).is_some_and(|now| {
            (now.id, now.base_seq, now.layout) == (before.id, before.base_seq, before.layout)
        })
    });
    (is_same_store && has_same_start && goes_on).then_some(kept)
}
