//! What a store shows, looked at in every way there is, which must agree.

use logkv::fs::StoreFile;
use logkv::{Snapshot, Store};

use super::disk::Image;
use super::life::{Map, Moment};
use super::plan::keys;

/// Everything that is in the store: gets, scans in both directions and counts say the same.
///
/// # Errors
/// A sentence, when they do not, or something cannot be read.
pub(crate) fn at(store: &Store) -> Result<Map, String> {
    let snapshot = store.snapshot().map_err(|error| error.sentence())?;
    let map = scan(&snapshot)?;
    for key in keys() {
        let value = store.get(&key).map_err(|error| error.sentence())?;
        if value.as_deref() != map.get(&key).map(Vec::as_slice) {
            return Err(format!("a get of {} and the scan do not agree", show(&key)));
        }
    }
    let mut live_len = 0;
    for (entry, expected) in snapshot.keys(..).map_err(|error| error.sentence())?.rev().zip(map.keys().rev())
    {
        let entry = entry.map_err(|error| error.sentence())?;
        live_len += entry.len;
        if *entry.key != **expected {
            return Err(format!("backwards {} comes where {} is next", show(&entry.key), show(expected)));
        }
    }
    let segments = store.segments().map_err(|error| error.sentence())?;
    let counted_len: u64 = segments.iter().map(|segment| segment.live_len).sum();
    if store.len() != map.len() as u64 || counted_len != live_len {
        let (count, counted) = (map.len(), store.len());
        return Err(format!("{count} keys in {live_len} bytes are counted as {counted} in {counted_len}"));
    }
    Ok(map)
}

fn scan(snapshot: &Snapshot) -> Result<Map, String> {
    let mut map = Map::new();
    for entry in snapshot.scan(..).map_err(|error| error.sentence())? {
        let entry = entry.map_err(|error| error.sentence())?;
        if map.last_key_value().is_some_and(|(last, _)| **last >= *entry.meta.key) {
            return Err(format!("the scan gives {} out of order", show(&entry.meta.key)));
        }
        map.insert(entry.meta.key.to_vec(), entry.value.to_vec());
    }
    Ok(map)
}

/// The snapshot still shows what it was taken of.
///
/// # Errors
/// A sentence, when it does not.
pub(crate) fn at_snapshot(snapshot: &Snapshot, map: &Map) -> Result<(), String> {
    if scan(snapshot)? == *map { Ok(()) } else { Err("a snapshot shows something else now".to_owned()) }
}

/// The counters of every segment equal a recount from its file.
///
/// # Errors
/// A sentence, when they do not.
pub(crate) fn at_figures(store: &Store) -> Result<(), String> {
    for segment in store.segments().map_err(|error| error.sentence())? {
        let totals = store.inspect(segment.id).map_err(|error| error.sentence())?.totals;
        let counted = (totals.live_count, totals.live_len, totals.tombstone_count, totals.record_count);
        let kept = (segment.live_count, segment.live_len, segment.tombstone_count, segment.record_count);
        if kept != counted {
            return Err(format!("segment {} counts {kept:?}, and its file has {counted:?}", segment.id));
        }
    }
    Ok(())
}

/// The segments' files are as long as the store says, and there are no others.
///
/// # Errors
/// A sentence, when they are not.
pub(crate) fn at_files(store: &Store, image: &Image) -> Result<(), String> {
    let segments = store.segments().map_err(|error| error.sentence())?;
    for (name, bytes) in image {
        let StoreFile::Segment(id) = *name else { continue };
        let known = segments.iter().find(|segment| segment.id == id).map(|segment| segment.len);
        // A file that a power cut filled with noise does not look like one of the store's.
        let is_stranger = store.open_report().strangers.contains(&id);
        if known != Some(bytes.len() as u64) && !is_stranger {
            return Err(format!("{name} has {} bytes, and the store knows of {known:?}", bytes.len()));
        }
    }
    Ok(())
}

/// How `found` differs from each of the moments that it might have been.
pub(crate) fn difference(found: &Map, expected: &[Moment]) -> String {
    let of = |map: &Map| {
        let missing = map.iter().filter(|(key, value)| found.get(*key) != Some(value));
        let missing = missing.map(|(key, value)| format!("{}={}", show(key), show(value)));
        let extra = found.iter().filter(|(key, value)| map.get(*key) != Some(value));
        let extra = extra.map(|(key, value)| format!("{}={}", show(key), show(value)));
        let list = |parts: Vec<String>| parts.join(" ");
        format!("missing [{}], there [{}]", list(missing.collect()), list(extra.collect()))
    };
    let lines: Vec<_> = expected.iter().map(|moment| of(&moment.map)).collect();
    format!("it holds none of what it may, which would be, from the oldest on:\n    {}", lines.join("\n    "))
}

/// Which files are not as they were.
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
