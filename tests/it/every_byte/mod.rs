//! Every byte of a small store flipped, every file cut at every length, sectors zeroed, swapped and
//! copied, files and lines exchanged: the tests check the exact result.
//!
//! The cost of a damaged record depends on derived files. If a hint or KEYDIR lists the record,
//! reading its key is an error. If none does, an intact header and key still give that error.
//! Otherwise the record is ignored, and the damage is reported at open.
//!
//! In the end of an unclosed log, damage before a record that was written when the damaged one was
//! durable is distinguished from a torn tail, and stops a writer. **Damage in the last durable
//! group cannot be distinguished from a torn tail**, since no later record proves it durable. It is
//! truncated, and reported.

mod derived;
mod manifest;
mod sectors;
mod segments;

use std::collections::BTreeMap;
use std::ops::Range;

use logkv::fs::StoreFile;
use logkv::inspect::{Item, Kind};
use logkv::{Error, ReadWith, SegmentId, Store};

use crate::any_bytes::properties::invariants::Answer;
use crate::any_bytes::properties::memory::{Image, Memory, file, file_mut};
use crate::any_bytes::properties::sample::{self, LAST_SEGMENT};

const MASKS: [u8; 3] = [0x01, 0x80, 0xff];
const SEGMENTS: [SegmentId; 3] = [SegmentId(1), SegmentId(2), LAST_SEGMENT];

type Answers = BTreeMap<Vec<u8>, Answer>;

/// A record of a sample, in log order.
#[derive(Clone, Debug)]
struct Record {
    segment: SegmentId,
    place: Range<usize>,
    key: Vec<u8>,
    /// The answer for its key after this record.
    answer: Answer,
    /// Whether its batch continues in the next record.
    has_more: bool,
}

impl Record {
    fn is_hit(&self, segment: SegmentId, bytes: &Range<usize>) -> bool {
        self.segment == segment && self.place.start < bytes.end && bytes.start < self.place.end
    }
}

/// A sample store and its records.
struct Sample {
    what: &'static str,
    image: Image,
    is_closed: bool,
    is_indexed: bool,
    records: Vec<Record>,
}

/// The closed and the unclosed store, each with hints and KEYDIR and without.
fn samples() -> Vec<Sample> {
    let of = |what, image: &Image, is_closed, is_indexed| {
        let mut image = image.clone();
        image.retain(|(name, _)| is_indexed || !matches!(name, StoreFile::Hint(_) | StoreFile::Keydir));
        Sample { what, records: records(&image), image, is_closed, is_indexed }
    };
    vec![
        of("closed, indexed", sample::closed(), true, true),
        of("closed, bare", sample::closed(), true, false),
        of("unclosed, indexed", sample::unclosed(), false, true),
        of("unclosed, bare", sample::unclosed(), false, false),
    ]
}

fn records(image: &Image) -> Vec<Record> {
    let store = open(&Memory::of(image), ReadWith::Pread, true).expect("opens");
    let of = |id: SegmentId| {
        let inspection = store.inspect(id).expect("inspects");
        let items: Vec<_> = inspection.items(logkv::inspect::Range::default()).collect();
        items.into_iter().map(move |item| match item.expect("reads") {
            Item::Record(record) => {
                let at = record.location.offset as usize;
                let is_put = record.kind == Kind::Put;
                Record {
                    segment: id,
                    place: at..at + record.len as usize,
                    key: record.key.to_vec(),
                    answer: if is_put { Answer::Value(record.value.to_vec()) } else { Answer::Missing },
                    has_more: record.more,
                }
            }
            other => panic!("{other:?} in an intact store"),
        })
    };
    SEGMENTS.into_iter().flat_map(of).collect()
}

/// The answer for each key after `records`.
fn after<'a>(records: impl Iterator<Item = &'a Record>) -> Answers {
    let mut answers: Answers =
        sample::KEYS.iter().map(|key| (key.as_bytes().to_vec(), Answer::Missing)).collect();
    answers.extend(records.map(|record| (record.key.clone(), record.answer.clone())));
    answers
}

fn open(memory: &Memory, read_with: ReadWith, read_only: bool) -> Result<Store, Error> {
    Store::open_with("memory", sample::options(memory).read_with(read_with).read_only(read_only))
}

/// The result of opening a store and reading everything.
#[derive(Debug)]
struct Seen {
    answers: Answers,
    /// Whether the open report or a scan reported damage.
    is_reported: bool,
}

impl Seen {
    /// The answer of each key in `store`. Checks that scans in both directions return the same, and
    /// that no scan omits an unreadable key silently.
    fn of(store: &Store, what: &str) -> Self {
        let answers: Answers =
            sample::KEYS.iter().map(|key| (key.as_bytes().to_vec(), answer(store, key))).collect();
        let (shown, errors): (Vec<_>, Vec<_>) = store.scan(..).expect("scans").partition(Result::is_ok);
        let shown = shown.into_iter().flatten().map(|entry| (entry.meta.key.to_vec(), entry.value.to_vec()));
        let values = answers.iter().filter_map(|(key, answer)| match answer {
            Answer::Value(value) => Some((key.clone(), value.clone())),
            Answer::Missing | Answer::Damaged => None,
        });
        let (shown, values): (Vec<_>, Vec<_>) = (shown.collect(), values.collect());
        assert_eq!(shown, values, "{what}: a scan and gets differ");
        let backward: Vec<_> = store.keys(..).expect("keys").rev().collect();
        let keys: Vec<_> = backward.iter().flatten().rev().map(|entry| entry.key.to_vec()).collect();
        assert!(keys.iter().eq(values.iter().map(|(key, _)| key)), "{what}: backward {keys:?}");
        let damaged = answers.values().filter(|answer| **answer == Answer::Damaged).count();
        let damage_count = errors.iter().filter(|error| matches!(error, Err(Error::Damaged { .. }))).count();
        assert_eq!(
            (damage_count, backward.len()),
            (errors.len(), values.len() + damage_count),
            "{what}: {errors:?}"
        );
        assert!(
            damage_count >= damaged,
            "{what}: {damaged} keys cannot be read, and a scan reports {damage_count}"
        );
        let report = store.open_report();
        Self { answers, is_reported: damage_count > 0 || report.torn.is_some() || !report.damage.is_empty() }
    }

    fn is(&self, what: &str, expected: &Answers) {
        assert_eq!(&self.answers, expected, "{what}");
    }
}

fn answer(store: &Store, key: &str) -> Answer {
    match store.get(key) {
        Ok(Some(value)) => Answer::Value(value.to_vec()),
        Ok(None) => Answer::Missing,
        Err(Error::Damaged { .. }) => Answer::Damaged,
        Err(error) => panic!("{key}: {}", error.sentence()),
    }
}

/// The action of a writer after opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Leaves,
    /// Writes, closes, and opens again.
    GoesOn,
}

/// The answers of a reader and of a writer, which must be equal, and the error if the writer was
/// refused.
fn look(image: &Image, what: &str, then: Next) -> (Seen, Option<Error>) {
    let read = read(image, what, ReadWith::Pread);
    // One of them reads and the other maps. If the writer is refused, another reader maps.
    let (mapped, refusal) = match write(image, what, then) {
        Ok(written) => (written, None),
        Err(error) => (self::read(image, what, ReadWith::Mmap), Some(error)),
    };
    mapped.is(what, &read.answers);
    (Seen { is_reported: read.is_reported && mapped.is_reported, ..read }, refusal)
}

/// The answers of a reader, which must be able to open the files, and changes nothing.
fn read(image: &Image, what: &str, read_with: ReadWith) -> Seen {
    let memory = Memory::of(image);
    let store = open(&memory, read_with, true).unwrap_or_else(|e| panic!("{what}: {}", e.sentence()));
    let seen = Seen::of(&store, what);
    drop(store);
    assert_eq!(memory.change_count(), 0, "{what}: a reader changed files");
    seen
}

/// The answers of a writer, checked again after a write and a reopen, or the error that refused it.
/// A refused open changes no segment.
fn write(image: &Image, what: &str, then: Next) -> Result<Seen, Error> {
    let memory = Memory::of(image);
    let store = match open(&memory, ReadWith::Mmap, false) {
        Ok(store) => store,
        Err(error) => {
            let now = memory.image();
            for id in SEGMENTS.map(StoreFile::Segment) {
                assert_eq!(file(&now, id), file(image, id), "{what}: {id} changed");
            }
            return Err(error);
        }
    };
    let seen = Seen::of(&store, what);
    if then == Next::GoesOn {
        store.put("new", "written after the damage").expect("a put");
        store.close().expect("closes");
        let store = open(&memory, ReadWith::Mmap, false).expect("opens again");
        for (key, known) in &seen.answers {
            let key = std::str::from_utf8(key).expect("the samples' keys are text");
            assert_eq!(answer(&store, key), *known, "{what}: {key} after reopening");
        }
        assert_eq!(answer(&store, "new"), Answer::Value(b"written after the damage".to_vec()), "{what}");
    }
    Ok(seen)
}

impl Sample {
    /// The files with `change` applied to segment `id`.
    fn with(&self, id: SegmentId, change: impl FnOnce(&mut Vec<u8>)) -> Image {
        let mut image = self.image.clone();
        change(file_mut(&mut image, StoreFile::Segment(id)));
        image
    }

    /// The answers of the undamaged store.
    fn whole(&self) -> Answers {
        after(self.records.iter())
    }

    /// Whether record number `n` is the newest of its key.
    fn is_newest(&self, n: usize) -> bool {
        !self.records[n + 1..].iter().any(|later| later.key == self.records[n].key)
    }

    /// Whether a derived file covers segment `id`.
    fn knows(&self, id: SegmentId) -> bool {
        self.is_indexed && id != LAST_SEGMENT
    }

    /// Whether the end of segment `id` is found by a scan at open.
    fn is_unsettled(&self, id: SegmentId) -> bool {
        !self.is_closed && id == LAST_SEGMENT
    }
}
