//! Randomly damaged stores: a repair keeps exactly the records whose bytes are unchanged.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use logkv::inspect::{self, Item, Kind, Range};
use logkv::repair::RepairReport;
use logkv::{Batch, Compact, Options, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{
    Map, Random, contents, copy_of, files, open, quick, remove_derived, scratch, segment_path,
};
use crate::repair::repaired;
use crate::verify::verified;

/// The lengths of a segment header and of a record header.
const SEGMENT_HEADER_LEN: usize = 64;
const HEADER_LEN: usize = 32;

/// A record as it was written.
#[derive(Clone)]
pub(crate) struct Written {
    seq: u64,
    at: usize,
    bytes: Vec<u8>,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Written {
    /// Whether its batch continues in the next record.
    fn has_more(&self) -> bool {
        self.bytes[31] & 8 != 0
    }
}

/// The records of each segment file of the intact store at `dir`.
pub(crate) fn written(dir: &Path) -> BTreeMap<u64, Vec<Written>> {
    let number = |name: &str| name.strip_suffix(".seg")?.parse().ok();
    let segments = files(dir).into_iter().filter_map(|(name, bytes)| Some((number(&name)?, bytes)));
    segments.map(|(id, bytes)| (id, records_of(dir, id, &bytes))).collect()
}

fn records_of(dir: &Path, id: u64, bytes: &[u8]) -> Vec<Written> {
    let inspection = inspect::segment(dir, &quick(), SegmentId(id)).expect("reads");
    let items = inspection.items(Range::default()).map(|item| item.expect("reads"));
    let record = |item| match item {
        Item::Record(record) => {
            let at = record.location.offset as usize;
            let value = (record.kind == Kind::Put).then(|| record.value.to_vec());
            let bytes = bytes[at..at + record.len as usize].to_vec();
            Some(Written { seq: record.seq.0, at, bytes, key: record.key.to_vec(), value })
        }
        _ => None,
    };
    items.filter_map(record).collect()
}

/// The `records` that are readable in `bytes`, the damaged segment.
pub(crate) fn survivors<'r>(records: &'r [Written], bytes: &[u8]) -> Vec<&'r Written> {
    // The start of a record is known from the record before it, or from its own header.
    let mut is_reached = true;
    let survives = |record: &&Written| {
        let is = |range: std::ops::Range<usize>| {
            let there = bytes.get(record.at + range.start..record.at + range.end);
            there == Some(&record.bytes[range])
        };
        let has_header = is(0..4) && is(8..HEADER_LEN) && record.at + record.bytes.len() <= bytes.len();
        let survives = is(4..record.bytes.len()) && (has_header || is_reached);
        is_reached = has_header || survives;
        survives
    };
    records.iter().filter(survives).collect()
}

/// The contents that result from `records` in the order of their numbers.
pub(crate) fn map_of<'r>(records: impl IntoIterator<Item = &'r Written>) -> Map {
    let by_seq: BTreeMap<u64, &Written> = records.into_iter().map(|record| (record.seq, record)).collect();
    let newest: BTreeMap<&[u8], &Written> =
        by_seq.into_values().map(|record| (&record.key[..], record)).collect();
    newest.into_values().filter_map(|record| Some((record.key.clone(), record.value.clone()?))).collect()
}

/// A store of several segments, with or without hints.
fn random_store(random: &mut Random) -> TempDir {
    let dir = scratch();
    let store = Store::open_with(dir.path(), Options::segment_len_max(quick(), 600)).expect("opens");
    for n in 0..20 + random.below(60) {
        let key = format!("k{}", random.below(12));
        let value = format!("{n} ").repeat(random.below(20) as usize);
        match random.below(12) {
            0..2 => drop(store.delete(&key).expect("a delete")),
            2 => drop(store.compact(&Compact::Due).expect("compacts")),
            3 => {
                let mut batch = Batch::new();
                batch.put(&key, &value).put(format!("{key}'"), "beside");
                store.write(&batch).expect("a batch");
            }
            _ => drop(store.put(&key, &value).expect("a put")),
        }
    }
    store.close().expect("closes");
    if random.below(2) == 0 {
        remove_derived(dir.path());
    }
    dir
}

/// A damaged store, with the id of the original segment in each file.
struct DamagedStore {
    dir: TempDir,
    segments: BTreeMap<u64, u64>,
    has_manifest: bool,
}

impl DamagedStore {
    fn of(whole: &Path, ids: &[u64], random: &mut Random) -> Self {
        let dir = copy_of(whole);
        let segments = ids.iter().map(|&id| (id, id)).collect();
        let mut wreck = Self { dir, segments, has_manifest: true };
        match random.below(4) {
            0 => {
                let path = wreck.dir.path().join("MANIFEST");
                match random.below(3) {
                    0 => fs::remove_file(path).expect("exists"),
                    1 => fs::write(path, "garbage").expect("the damage"),
                    _ => {
                        let bytes = fs::read(&path).expect("MANIFEST");
                        fs::write(path, &bytes[..bytes.len() / 2]).expect("the damage");
                    }
                }
                wreck.has_manifest = false;
            }
            1 => wreck.move_files(random),
            _ => {}
        }
        for _ in 0..random.below(6) {
            wreck.overwrite(random);
        }
        wreck
    }

    fn any(&self, random: &mut Random) -> u64 {
        let at = random.below(self.segments.len() as u64) as usize;
        *self.segments.keys().nth(at).expect("exists")
    }

    fn path(&self, id: u64) -> std::path::PathBuf {
        segment_path(self.dir.path(), id)
    }

    /// Removes, duplicates or renames a file, or replaces it with one of another store.
    fn move_files(&mut self, random: &mut Random) {
        let (one, other, free) = (self.any(random), self.any(random), FREE);
        match random.below(5) {
            0 => {
                fs::remove_file(self.path(one)).expect("exists");
                self.segments.remove(&one);
            }
            1 => {
                fs::rename(self.path(one), self.path(free)).expect("renames");
                let of = self.segments.remove(&one).expect("exists");
                self.segments.insert(free, of);
            }
            2 => {
                fs::copy(self.path(one), self.path(free)).expect("a copy");
                self.segments.insert(free, one);
            }
            3 => {
                let bytes = [one, other].map(|id| fs::read(self.path(id)).expect("a segment"));
                fs::write(self.path(one), &bytes[1]).expect("exchanges the names");
                fs::write(self.path(other), &bytes[0]).expect("exchanges the names");
                self.segments.insert(one, other);
                self.segments.insert(other, one);
            }
            _ => {
                let stranger = scratch();
                open(stranger.path()).put("stranger", "in a strange land").expect("a put");
                fs::copy(segment_path(stranger.path(), 1), self.path(free)).expect("a copy");
            }
        }
    }

    /// Overwrites or truncates a part of one segment.
    fn overwrite(&self, random: &mut Random) {
        let path = self.path(self.any(random));
        let mut bytes = fs::read(&path).expect("a segment");
        // A renamed file can be identified by its header only.
        let is_moved = self.segments.iter().any(|(name, id)| name != id);
        let from = if is_moved { SEGMENT_HEADER_LEN as u64 } else { 0 };
        if bytes.len() as u64 <= from {
            return;
        }
        let at = (from + random.below(bytes.len() as u64 - from)) as usize;
        match random.below(12) {
            0 => bytes.truncate(at),
            1..5 => bytes[at] ^= 1 << random.below(8),
            _ => {
                let end = bytes.len().min(at + 1 + random.below(100) as usize);
                bytes[at..end].fill(random.below(256) as u8);
            }
        }
        fs::write(path, bytes).expect("the damage");
    }

    /// The records that a repair must keep, each with the id of its file.
    fn left<'r>(&self, whole: &'r Originals) -> Vec<(u64, &'r Written)> {
        let is_complete = self.has_manifest && whole.records.keys().all(|id| self.segments.contains_key(id));
        let mut left = Vec::new();
        let mut last = None;
        for (&name, id) in &self.segments {
            let is_asked = whole.records.contains_key(&name) || !is_complete;
            let bytes = fs::read(self.path(name)).expect("a segment");
            let survivors = survivors(&whole.records[id], &bytes);
            if is_asked && (self.has_manifest || is_identified(&bytes, &whole.headers[id], &survivors)) {
                last = last.max(whole.records[id].first().map(|record| (record.seq, name)));
                left.extend(survivors.into_iter().map(|record| (name, record)));
            }
        }
        // Without the length in MANIFEST, the last segment ends with a whole batch.
        let last = last.map(|(_, name)| name).filter(|name| !self.has_manifest || *name == FREE);
        let ends = left.iter().filter(|(name, record)| Some(*name) == last && !record.has_more());
        let end = ends.map(|(_, record)| record.at).max().unwrap_or(0);
        left.retain(|(name, record)| Some(*name) != last || record.at <= end);
        left
    }

    /// Checks that every record in the files is either kept or reported as given up.
    fn check_given_up(&self, whole: &Originals, report: &RepairReport) {
        let left = self.left(whole);
        let is_left = |name, at| left.iter().any(|(other, record)| (*other, record.at) == (name, at));
        for (&name, id) in
            self.segments.iter().filter(|(name, _)| !report.left_out.contains(&SegmentId(**name)))
        {
            let last = left.iter().filter(|(other, _)| *other == name).map(|(_, record)| record.at).max();
            let len = fs::metadata(self.path(name)).expect("a segment").len();
            for record in whole.records[id].iter().filter(|record| (record.at as u64) < len) {
                let range = record.at as u64..(record.at + record.bytes.len()) as u64;
                let parts = report.given_up.iter().filter(|part| part.segment == SegmentId(name));
                let parts: Vec<_> = parts
                    .filter(|part| part.range.start < range.end && range.start < part.range.end)
                    .collect();
                let is_torn = report.torn_len > 0 && last.is_none_or(|last| last < record.at);
                let is_asked = whole.records.contains_key(&name) || !report.unlisted.is_empty();
                let is_identified = is_left(name, record.at) == parts.is_empty();
                assert!(is_identified || is_torn || !is_asked, "{name} {range:?}: {parts:?} {report:?}");
            }
        }
    }
}

/// An id that no segment of these stores reaches.
const FREE: u64 = 900;

/// Whether the records of an unlisted segment can be read, because its header is intact or the
/// records prove it.
fn is_identified(bytes: &[u8], header: &[u8], survivors: &[&Written]) -> bool {
    let witnesses = survivors.iter().filter(|record| bytes[record.at..].starts_with(&record.bytes)).count();
    let is = |range: std::ops::Range<usize>| bytes.get(range.clone()) == Some(&header[range]);
    is(0..SEGMENT_HEADER_LEN) || witnesses > 1 || (witnesses == 1 && is(0..8) && is(56..60))
}

/// A store before the damage.
struct Originals {
    records: BTreeMap<u64, Vec<Written>>,
    headers: BTreeMap<u64, Vec<u8>>,
}

impl Originals {
    fn of(dir: &Path) -> Self {
        let records = written(dir);
        let header = |id: &u64| {
            let bytes = fs::read(segment_path(dir, *id)).expect("a segment");
            (*id, bytes[..SEGMENT_HEADER_LEN].to_vec())
        };
        let headers = records.keys().map(header).collect();
        Self { records, headers }
    }
}

#[test]
fn a_repaired_store_holds_every_intact_record_and_reports_the_rest() {
    let mut random = Random::announced();
    for _ in 0..150 {
        let dir = random_store(&mut random);
        let whole = Originals::of(dir.path());
        let ids: Vec<u64> = whole.records.keys().copied().collect();
        let wreck = DamagedStore::of(dir.path(), &ids, &mut random);
        let left = wreck.left(&whole);
        if left.is_empty() && !wreck.has_manifest {
            // No file proves that this was a store.
            continue;
        }
        let expected = map_of(left.iter().map(|(_, record)| *record));
        let (report, findings) = verified(wreck.dir.path());
        assert!(!report.is_intact() || expected == contents(&open(dir.path())), "{findings:?}");
        let (to, report) = repaired(wreck.dir.path());
        assert_eq!(contents(&open(to.path())), expected, "{:?} {report:?}", wreck.segments);
        let numbers: BTreeSet<u64> = left.iter().map(|(_, record)| record.seq).collect();
        assert_eq!(report.record_count, numbers.len() as u64, "{numbers:?} {report:?}");
        wreck.check_given_up(&whole, &report);
    }
}
