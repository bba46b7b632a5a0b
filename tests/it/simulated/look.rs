//! Checks of a store's contents in every way in which they can be read. All ways must agree.

use std::collections::BTreeMap;

use logkv::fs::StoreFile;
use logkv::{Change, Entry, Error, SegmentId, Seqno, Snapshot, Store, Version};

use super::disk::Image;
use super::life::{Map, Moment};
use super::plan::{end_of, keys};
use crate::recount::{self, LastPuts};

/// A failed check.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The store returned an error.
    Refused(logkv::Error),
    /// The result was wrong.
    Wrong(String),
}

impl From<logkv::Error> for Trouble {
    fn from(error: logkv::Error) -> Self {
        Self::Refused(error)
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl Trouble {
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Refused(error) => error.sentence(),
            Self::Wrong(why) => why.clone(),
        }
    }
}

/// Reads the whole store, and checks that gets, scans in both directions and counts agree.
///
/// # Errors
///
/// A difference, or a failed read.
pub(crate) fn at(store: &Store) -> Result<Map, Trouble> {
    let snapshot = store.snapshot()?;
    let map = scan(&snapshot)?;
    for key in keys() {
        let value = store.get(&key)?;
        if value.as_deref() != map.get(&key).map(Vec::as_slice) {
            return Err(format!("a get of {} and the scan differ", show(&key)).into());
        }
    }
    let mut live_len = 0;
    for (entry, expected) in snapshot.keys(..)?.rev().zip(map.keys().rev()) {
        let entry = entry?;
        live_len += entry.len;
        if *entry.key != **expected {
            return Err(format!(
                "the backward scan returned {} instead of {}",
                show(&entry.key),
                show(expected)
            )
            .into());
        }
    }
    let segments = store.segments()?;
    let counted_len: u64 = segments.iter().map(|segment| segment.live_len).sum();
    if store.len() != map.len() as u64 || counted_len != live_len {
        let (count, counted) = (map.len(), store.len());
        return Err(format!(
            "{count} keys in {live_len} live bytes, but the statistics say {counted} in {counted_len}"
        )
        .into());
    }
    Ok(map)
}

fn scan(snapshot: &Snapshot) -> Result<Map, Trouble> {
    let mut map = Map::new();
    for entry in snapshot.scan(..)? {
        let entry = entry?;
        if map.last_key_value().is_some_and(|(last, _)| **last >= *entry.meta.key) {
            return Err(format!("the scan returned {} out of order", show(&entry.meta.key)).into());
        }
        is_well_timed(&entry)?;
        map.insert(entry.meta.key.to_vec(), entry.value.to_vec());
    }
    Ok(map)
}

/// Checks that a value of this length has the expiry it must have, in its record too.
fn is_well_timed(entry: &Entry) -> Result<(), Trouble> {
    let len = entry.value.rsplit(|&byte| byte == b':').next().map_or(0, <[u8]>::len);
    let (found, expected) = (entry.meta.expires_ms, end_of(len as u64));
    if found == expected {
        Ok(())
    } else {
        Err(format!("{} expires at {found:?} instead of {expected:?}", show(&entry.meta.key)).into())
    }
}

/// Checks that the snapshot still shows `map`.
///
/// # Errors
///
/// A difference, or a failed read.
pub(crate) fn at_snapshot(snapshot: &Snapshot, map: &Map) -> Result<(), Trouble> {
    if scan(snapshot)? == *map { Ok(()) } else { Err("a snapshot changed".to_owned().into()) }
}

/// Checks that a feed from the start returns each version once, in order and in whole batches,
/// leads to `map`, and first reports whether any are gone. No compaction may run meanwhile.
///
/// # Errors
///
/// A difference, or a failed read.
pub(crate) fn at_log(store: &Store, map: &Map) -> Result<(), Trouble> {
    let mut left = BTreeMap::new();
    let mut dropped_to = None;
    for key in keys() {
        let found = store.versions(&key)?;
        dropped_to = found.dropped_to();
        for version in found {
            let version = version?;
            left.insert(version.meta.seq, version);
        }
    }
    let mut feed = store.changes(Seqno(0)).peekable();
    let is_gone = |change: &logkv::Result<Change>| matches!(change, Err(Error::CompactedAway { .. }));
    let gone_to = feed.next_if(is_gone).and_then(|gone| match gone {
        Err(Error::CompactedAway { whole_from }) => Some(whole_from.previous()),
        _ => None,
    });
    if gone_to != dropped_to {
        return Err(format!("records up to {dropped_to:?} are gone, but the feed reports {gone_to:?}").into());
    }
    let (mut replayed, mut batch) = (Map::new(), None);
    for change in feed {
        let Change { meta, value, goes_on } = change?;
        if batch.is_some_and(|last: Seqno| meta.seq != last.plus(1)) {
            return Err(format!("the batch of record {batch:?} continues with {}", meta.seq).into());
        }
        batch = goes_on.then_some(meta.seq);
        match &value {
            Some(value) => drop(replayed.insert(meta.key.to_vec(), value.to_vec())),
            None => drop(replayed.remove(&*meta.key)),
        }
        let change = Version { meta, value };
        match left.pop_first() {
            Some((_, version)) if version == change => {}
            next => return Err(format!("the feed returned {change:?} instead of {next:?}").into()),
        }
    }
    if replayed != *map || batch.is_some() || !left.is_empty() {
        return Err(format!("the feed ends within {batch:?}, before {left:?}, at {replayed:?}").into());
    }
    Ok(())
}

/// Checks that the counters of every segment equal a recount of its file.
///
/// # Errors
///
/// A difference, or a failed read.
pub(crate) fn at_figures(store: &Store) -> Result<(), Trouble> {
    for segment in store.segments()? {
        let totals = store.inspect(segment.id)?.totals;
        let counted = (totals.live_count, totals.live_len, totals.tombstone_count, totals.record_count);
        let kept = (segment.live_count, segment.live_len, segment.tombstone_count, segment.record_count);
        if kept != counted {
            return Err(
                format!("segment {} counts {kept:?}, but its file has {counted:?}", segment.id).into()
            );
        }
    }
    Ok(())
}

/// Checks that the segment files have the lengths that the store reports, and that no other files
/// exist.
///
/// # Errors
///
/// A difference.
pub(crate) fn at_files(store: &Store, image: &Image) -> Result<(), Trouble> {
    let segments = store.segments()?;
    for (name, bytes) in image {
        let StoreFile::Segment(id) = *name else { continue };
        let known = segments.iter().find(|segment| segment.id == id).map(|segment| segment.len);
        // A power cut may fill a file with garbage, so that it looks like a foreign file.
        let is_stranger = store.open_report().strangers.contains(&id);
        if known != Some(bytes.len() as u64) && !is_stranger {
            return Err(format!("{name} has {} bytes, but the store reports {known:?}", bytes.len()).into());
        }
    }
    Ok(())
}

/// Checks that the log in `image`, of the store or of a copy, has the contents of `store`. Returns
/// them.
///
/// # Errors
///
/// A difference.
pub(crate) fn at_log_alone(store: &Store, image: &Image) -> Result<LastPuts, Trouble> {
    let bytes = |wanted| image.iter().find(|(name, _)| *name == wanted).map(|(_, bytes)| bytes.to_vec());
    // A store without writes may have no MANIFEST.
    let manifest = String::from_utf8(bytes(StoreFile::Manifest).unwrap_or_default()).expect("text");
    let read = |id| bytes(StoreFile::Segment(SegmentId(id))).expect("a listed segment exists");
    let puts = recount::of_log(&manifest, read);
    is_what_the_log_says(store, &puts)?;
    Ok(puts)
}

/// Checks that the index of `store` equals the contents of its log.
///
/// # Errors
///
/// A difference, or a failed read.
pub(crate) fn is_what_the_log_says(store: &Store, puts: &LastPuts) -> Result<(), Trouble> {
    recount::difference(store, puts)?.map_or(Ok(()), |difference| Err(difference.into()))
}

/// Describes the difference between `found` and each expected moment.
pub(crate) fn difference(found: &Map, expected: &[Moment]) -> String {
    let of = |map: &Map| {
        let missing = map.iter().filter(|(key, value)| found.get(*key) != Some(value));
        let missing = missing.map(|(key, value)| format!("{}={}", show(key), show(value)));
        let extra = found.iter().filter(|(key, value)| map.get(*key) != Some(value));
        let extra = extra.map(|(key, value)| format!("{}={}", show(key), show(value)));
        let list = |parts: Vec<String>| parts.join(" ");
        format!("missing [{}], extra [{}]", list(missing.collect()), list(extra.collect()))
    };
    let lines: Vec<_> = expected.iter().map(|moment| of(&moment.map)).collect();
    format!("the contents equal no expected moment; differences, oldest first:\n    {}", lines.join("\n    "))
}

/// Describes which files changed.
pub(crate) fn changed_files(before: &Image, after: &Image) -> String {
    let others = |from: &Image, than: &Image| -> Vec<String> {
        from.iter()
            .filter(|file| !than.contains(file))
            .map(|(name, bytes)| format!("{name} ({})", bytes.len()))
            .collect()
    };
    format!(
        "opening and closing changed files: {:?} became {:?}",
        others(before, after),
        others(after, before)
    )
}

fn show(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 24 { format!("{}...", &text[..24]) } else { text }
}
