//! Randomly damaged stores: a repair keeps exactly the records whose bytes are unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use logkv::fs::StoreFile;
use logkv::inspect::{self, Item, Kind, Range};
use logkv::repair::RepairReport;
use logkv::verify::Fault;
use logkv::{Batch, Compact, Error, Options, SegmentId, Store};
use tempfile::TempDir;

use crate::common::{
    Map, Random, contents, copy_of, files, hint_path, open, quick, remove_derived, scratch, segment_path,
    small_store,
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

#[test]
fn a_segment_header_lost_together_with_manifest_costs_no_record() {
    let dir = small_store();
    let expected = contents(&open(dir.path()));
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    for damage in [0..64, 0..8, 8..16, 16..32, 56..60] {
        let copy = copy_of(dir.path());
        for id in 1..=3 {
            let path = segment_path(copy.path(), id);
            let mut bytes = fs::read(&path).expect("the segment");
            // The only record of the third segment proves its own bytes, but not the salt.
            let is_sole = id == 3;
            if !is_sole || !(damage.contains(&0) || damage.contains(&56)) {
                bytes[damage.clone()].fill(0xee);
            }
            fs::write(path, bytes).expect("the damage");
        }
        let (report, findings) = verified(copy.path());
        let headers = findings.iter().filter(|found| matches!(found.fault, Fault::Header(_))).count();
        assert!(headers >= 2 && report.record_count == 6, "{damage:?}: {findings:?}");
        let (to, report) = repaired(copy.path());
        assert_eq!((report.given_up.len(), report.record_count), (0, 6), "{damage:?}: {report:?}");
        assert_eq!(contents(&open(to.path())), expected);
    }
}

#[test]
fn a_segment_without_a_readable_record_is_reported_as_given_up() {
    let dir = small_store();
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    let path = segment_path(dir.path(), 2);
    let len = fs::read(&path).expect("the segment").len();
    fs::write(path, vec![0xee; len]).expect("the damage");
    let (report, findings) = verified(dir.path());
    assert!(findings.iter().any(|found| found.file == StoreFile::Segment(SegmentId(2))), "{findings:?}");
    assert!(report.damage_count >= 2, "MANIFEST and the segment: {findings:?}");
    let (_, report) = repaired(dir.path());
    let given_up: Vec<_> = report.given_up.iter().map(|part| (part.segment, part.range.clone())).collect();
    assert_eq!(given_up, [(SegmentId(2), 0..len as u64)]);
}

#[test]
fn a_hole_in_a_leftover_input_of_a_compaction_costs_only_its_own_records() {
    let dir = small_store();
    let inputs = copy_of(dir.path());
    let store = open(dir.path());
    store.compact(&Compact::All).expect("compacts");
    store.close().expect("closes");
    for (name, bytes) in files(inputs.path()) {
        if name.ends_with(".seg") && !dir.path().join(&name).exists() {
            fs::write(dir.path().join(name), bytes).expect("an input");
        }
    }
    fs::remove_file(dir.path().join("MANIFEST")).expect("exists");
    // A hole in the first input, whose numbers the output also has. The output kept only its last
    // record.
    for (id, hole) in [(1, 64..104), (4, 64..104)] {
        let path = segment_path(dir.path(), id);
        let mut bytes = fs::read(&path).expect("a segment");
        bytes[hole].fill(0xee);
        fs::write(path, bytes).expect("the damage");
    }
    let records = |report: &RepairReport| report.record_count;
    let (_, report) = repaired(dir.path());
    assert!(records(&report) >= 5, "{report:?}");
    assert!(report.given_up.iter().all(|part| part.range == (64..112)), "{report:?}");
}

#[test]
fn a_listed_segment_replaced_by_one_of_another_store_is_given_up() {
    let (dir, other) = (small_store(), scratch());
    open(other.path()).put("stranger", "in a strange land").expect("a put");
    fs::copy(segment_path(other.path(), 1), segment_path(dir.path(), 1)).expect("replaces the segment");
    let (to, report) = repaired(dir.path());
    assert!(report.given_up.iter().any(|part| part.segment == SegmentId(1)), "{report:?}");
    assert_eq!(contents(&open(to.path())).len(), 2, "two and four");
}

#[test]
fn a_manifest_is_of_this_store_if_a_segment_without_header_has_the_salt_that_it_lists() {
    let (dir, other) = (small_store(), scratch());
    let expected = contents(&open(dir.path()));
    open(other.path()).put("stranger", "in a strange land").expect("a put");
    for id in written(dir.path()).into_keys() {
        let path = segment_path(dir.path(), id);
        let mut bytes = fs::read(&path).expect("a segment");
        bytes[..64].fill(0xee);
        fs::write(path, bytes).expect("the damage");
    }
    fs::copy(segment_path(other.path(), 1), segment_path(dir.path(), 99)).expect("adds a stranger");
    let (to, report) = repaired(dir.path());
    assert_eq!(contents(&open(to.path())), expected, "{report:?}");
}

#[test]
fn an_outdated_manifest_is_detected_and_a_repair_keeps_the_segments_it_lacks() {
    let dir = scratch();
    let store = open(dir.path());
    store.put("old", "1").expect("a put");
    store.close().expect("closes");
    let manifest = fs::read(dir.path().join("MANIFEST")).expect("MANIFEST");
    let store = open(dir.path());
    for n in 0..3 {
        store.put(format!("new {n}"), "2").expect("a put");
        store.rotate().expect("rotates");
    }
    store.put("newest", "3").expect("a put");
    let expected = contents(&store);
    store.close().expect("closes");
    fs::write(dir.path().join("MANIFEST"), manifest).expect("restores the older file");
    let before = files(dir.path());
    let opened = Store::open_with(dir.path(), quick());
    assert!(matches!(opened, Err(Error::ManifestDamaged { .. })), "{opened:?}");
    let (report, findings) = verified(dir.path());
    let newer = findings.iter().filter(|found| found.fault == Fault::Newer).count();
    assert!(!report.is_intact() && newer == 3, "{findings:?}");
    let (to, report) = repaired(dir.path());
    assert_eq!((contents(&open(to.path())), report.given_up.len()), (expected, 0), "{report:?}");
    let mut after = files(dir.path());
    after.retain(|file| before.contains(file) || file.0 != "LOCK");
    assert!(after == before, "the open removed files");
}

#[test]
fn an_unfinished_hint_of_a_dead_writer_is_only_a_note() {
    let dir = small_store();
    open(dir.path()).close().expect("closes");
    let hint = hint_path(dir.path(), 1);
    let mut bytes = fs::read(&hint).expect("a hint");
    bytes[..96].fill(0);
    fs::write(&hint, &bytes[..bytes.len() - 3]).expect("truncates the hint");
    let (report, findings) = verified(dir.path());
    assert!(report.is_intact() && findings.len() == 1, "{findings:?}");
    assert_eq!(findings[0].fault, Fault::Unfinished);
}

#[test]
fn unreadable_options_and_foreign_files_are_left_out_by_name() {
    let dir = small_store();
    std::os::unix::fs::symlink("elsewhere", dir.path().join("logkv.toml")).expect("is a link");
    fs::write(dir.path().join("notes.txt"), "mine").expect("a file");
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    let to = scratch();
    let report = logkv::repair::copy(dir.path(), to.path(), &quick(), go_on).expect("repairs");
    assert!(report.options_lost.is_some());
    assert_eq!(report.strangers, ["notes.txt"]);
    assert_eq!(report.record_count, 6);
}
