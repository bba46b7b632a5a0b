//! Invariants of any directory, whatever bytes its files have.
//!
//! 1. Nothing panics, and no allocation is larger than the files justify. The fuzzer's allocator
//!    checks that.
//! 2. Every value read, by key or in a scan, is in a record of exactly this key with a correct
//!    checksum.
//! 3. Opening read-only changes nothing. Mapped and unmapped reads give the same answers.
//! 4. A failed open leaves every segment unchanged except for a torn tail.
//! 5. Opening for writing recovers what a reader saw, except in a damaged log. There, how far a
//!    sequence number may jump depends on the room left in the segment. The answers survive
//!    compaction and reopening, and the store accepts writes.
//! 6. If hints or KEYDIR change the answers, `verify` finds a fault. A store without faults opens,
//!    and every read succeeds.
//! 7. `repair` changes nothing in the old store. It makes an intact store from records of the old
//!    one, and from all of them if the old one has no fault.
//!
//! A hint or KEYDIR with a correct checksum that contradicts the log is a forgery, not an accident.
//! It can hide keys or show them out of order, because finding that out takes reading the whole
//! log, which `verify` does. It cannot forge a value, because every value is read under its own
//! checksum and key.

use std::collections::{BTreeMap, BTreeSet};

use logkv::fs::StoreFile;
use logkv::{Compact, Error, Options, ReadWith, Store};

use super::memory::{Image, Memory, file};
use super::offline::{self, Verified};
use super::sample::{self, KEYS, options};
use super::seal;

/// The answer of a get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Value(Vec<u8>),
    /// The key is missing.
    Missing,
    /// The record is damaged.
    Damaged,
}

type Answers = BTreeMap<Vec<u8>, Answer>;

/// Checks all invariants for a directory with the files of `image`.
///
/// # Panics
/// If one does not hold.
pub fn check(image: &Image) {
    let directory = Directory::of(image);
    let [read, mapped] = [ReadWith::Pread, ReadWith::Mmap].map(|read_with| directory.read(read_with));
    // Only a mapped reader uses KEYDIR. The other one uses the hints.
    if !directory.may_lie() {
        assert_eq!(read, mapped, "unmapped and mapped reads");
    }
    directory.recover(mapped.as_ref());
    directory.check_verified(read.as_ref());
}

/// Checks the invariants of a repair of a directory with the files of `image`.
///
/// # Panics
/// If one does not hold.
pub fn check_repair(image: &Image) {
    let Some(made) = offline::repaired(image) else { return };
    let old = Directory::of(image);
    let mut new = Directory { image: &made, ..Directory::of(image) };
    // A repair also finds records whose salt is lost, by their checksums. Edits do not correct
    // those.
    new.written.extend([sample::closed(), sample::unclosed()].into_iter().flat_map(seal::ever_written));
    let answers = new.read(ReadWith::Pread).expect("a repaired store opens");
    if old.verified.as_ref().is_some_and(Verified::is_spotless) {
        assert_eq!(old.read(ReadWith::Pread).as_ref(), Some(&answers), "an intact store loses nothing");
    }
    check(&made);
}

struct Directory<'a> {
    image: &'a Image,
    written: BTreeSet<(Vec<u8>, Vec<u8>)>,
    keys: BTreeSet<Vec<u8>>,
    /// The result of `verify`, or `None` if it finds no store.
    verified: Option<Verified>,
}

impl<'a> Directory<'a> {
    fn of(image: &'a Image) -> Self {
        let written = seal::ever_written(image);
        let keys = written.iter().map(|(key, _)| key.clone());
        let keys = keys.chain(KEYS.iter().map(|key| key.as_bytes().to_vec())).collect();
        Self { image, keys, written, verified: Verified::of(image) }
    }

    /// Returns whether a hint or KEYDIR may contradict the log under a correct checksum.
    fn may_lie(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::may_lie)
    }

    /// If `verify` finds no fault, every read succeeds, and hints and KEYDIR change no answer.
    fn check_verified(&self, read: Option<&Answers>) {
        if !self.verified.as_ref().is_some_and(|verified| verified.report.is_intact()) {
            return;
        }
        let read = read.expect("an intact store opens");
        assert!(!read.values().any(|answer| *answer == Answer::Damaged), "an intact store reads: {read:?}");
        let is_log = |name: &StoreFile| !matches!(name, StoreFile::Hint(_) | StoreFile::Keydir);
        let log: Image = self.image.iter().filter(|(name, _)| is_log(name)).cloned().collect();
        let bare = Directory { image: &log, ..Directory::of(self.image) };
        assert_eq!(bare.read(ReadWith::Pread).as_ref(), Some(read), "without hints and KEYDIR");
    }

    /// Returns the answers of a reader, or `None` if the store does not open.
    fn read(&self, read_with: ReadWith) -> Option<Answers> {
        let memory = Memory::of(self.image);
        let options = options(&memory).read_only(true).read_with(read_with);
        let store = open(options).ok()?;
        let answers = self.answers(&store);
        self.check_order(&store, &answers);
        check_inspection(&store);
        assert!(store.put("a", "").is_err(), "a reader accepts no write");
        drop(store);
        assert_eq!(memory.change_count(), 0, "a reader changes nothing");
        Some(answers)
    }

    /// Opens the store for writing, writes, compacts and reopens it.
    fn recover(&self, read: Option<&Answers>) {
        let memory = Memory::of(self.image);
        let Ok(store) = open(options(&memory)) else {
            return self.check_untouched(&memory);
        };
        let mut answers = self.answers(&store);
        if let Some(read) = read.filter(|_| store.open_report().damage.is_empty()) {
            assert_eq!(&answers, read, "the writer recovers what the reader saw");
        }
        self.check_order(&store, &answers);
        check_inspection(&store);
        for key in ["a", "new"] {
            // The log may have used up its sequence numbers. Then every write fails.
            if store.put(key, "a new value").is_ok() {
                answers.insert(key.into(), Answer::Value(b"a new value".to_vec()));
            }
        }
        if store.delete("b").is_ok() {
            answers.insert(b"b".to_vec(), Answer::Missing);
        }
        assert_eq!(self.answers_with(&store, &answers), answers, "after the writes");
        store.close().expect("closes");
        let store = open(options(&memory)).expect("a closed store opens");
        assert_eq!(self.answers_with(&store, &answers), answers, "reopened");
        if !self.may_lie() {
            self.compact(store, &memory, &answers);
        }
    }

    /// Compacts the store. Damaged segments stay as they are.
    fn compact(&self, store: Store, memory: &Memory, answers: &Answers) {
        match store.compact(&Compact::All) {
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(error) => panic!("compacting: {}", error.sentence()),
        }
        assert_eq!(&self.answers_with(&store, answers), answers, "compacted");
        store.close().expect("closes");
        let store = open(options(memory).read_only(true)).expect("a closed store opens");
        assert_eq!(&self.answers_with(&store, answers), answers, "compacted and reopened");
    }

    /// Returns the answer for each key. Every value must be in some record.
    fn answers(&self, store: &Store) -> Answers {
        let answers: Answers = self.keys.iter().map(|key| (key.clone(), answer(store, key))).collect();
        for (key, answer) in &answers {
            if let Answer::Value(value) = answer {
                self.assert_was_written(key, value);
            }
        }
        answers
    }

    /// Returns the answers for the keys of `known`, which include new keys.
    fn answers_with(&self, store: &Store, known: &Answers) -> Answers {
        known.keys().map(|key| (key.clone(), answer(store, key))).collect()
    }

    fn assert_was_written(&self, key: &[u8], value: &[u8]) {
        let pair = (key.to_vec(), value.to_vec());
        assert!(self.written.contains(&pair), "{} was never {}", key.escape_ascii(), value.escape_ascii());
    }

    /// Checks that a scan shows every key once, in order, with the values of gets. In an undamaged
    /// store it shows all keys.
    fn check_order(&self, store: &Store, answers: &Answers) {
        let Ok(scan) = store.scan(..) else { return };
        let (shown, errors): (Vec<_>, Vec<_>) = scan.partition(Result::is_ok);
        let shown: Vec<_> = shown.into_iter().flatten().collect();
        for entry in &shown {
            self.assert_was_written(&entry.meta.key, &entry.value);
        }
        if self.may_lie() {
            return;
        }
        for entry in &shown {
            let value = Answer::Value(entry.value.to_vec());
            assert_eq!(answers.get(&*entry.meta.key), Some(&value), "a scan agrees with a get");
        }
        assert!(shown.is_sorted_by(|one, next| one.meta.key < next.meta.key), "keys are in order, each once");
        let backward = store.scan(..).expect("scans again").rev().flatten();
        let backward: Vec<_> = backward.map(|entry| entry.meta.key.to_vec()).collect();
        assert!(shown.iter().rev().map(|entry| &*entry.meta.key).eq(backward.iter().map(Vec::as_slice)));
        let is_whole = errors.is_empty()
            && store.open_report().damage.is_empty()
            && !answers.values().any(|answer| *answer == Answer::Damaged);
        if is_whole {
            let count = |is_it: fn(&Answer) -> bool| answers.values().filter(|answer| is_it(answer)).count();
            let values = count(|answer| matches!(answer, Answer::Value(_)));
            assert_eq!(shown.len(), values, "all keys");
            // An expired key is counted until it is compacted away, but reads as missing.
            let may_count = values..=values + count(|answer| *answer == Answer::Missing);
            assert!(may_count.contains(&(store.len() as usize)), "{} of {may_count:?} keys", store.len());
        }
    }

    /// Checks that the failed open only cut torn tails.
    fn check_untouched(&self, memory: &Memory) {
        let now = memory.image();
        for (name, before) in self.image {
            if let StoreFile::Segment(_) = name {
                let now = file(&now, *name).unwrap_or_else(|| panic!("{name} was removed"));
                assert!(before.starts_with(now), "{name} was changed although the store did not open");
            }
        }
    }
}

/// Opens the store. The file system in memory never fails, so an I/O error is a fault.
fn open(options: Options) -> Result<Store, Error> {
    let opened = Store::open_with("memory", options);
    if let Err(Error::Io { .. }) = &opened {
        panic!("{opened:?}");
    }
    opened
}

fn answer(store: &Store, key: &[u8]) -> Answer {
    match store.get(key) {
        Ok(Some(value)) => Answer::Value(value.to_vec()),
        Ok(None) => Answer::Missing,
        Err(Error::Damaged { .. }) => Answer::Damaged,
        Err(error) => panic!("get {}: {}", key.escape_ascii(), error.sentence()),
    }
}

/// Checks that an inspection covers every byte of a segment exactly once.
fn check_inspection(store: &Store) {
    for segment in store.segments().expect("segments") {
        let Ok(inspection) = store.inspect(segment.id) else { continue };
        let mut end = 0;
        for extent in &inspection.extents {
            assert_eq!(extent.at, end, "segment {}", segment.id);
            end += extent.len;
        }
        assert_eq!(end, inspection.len, "segment {}", segment.id);
    }
}

/// Checks the invariants for the unedited samples.
///
/// # Panics
/// If one does not hold. Then the other checks mean little.
pub fn check_samples() {
    for image in [sample::closed(), sample::unclosed()] {
        check(image);
        check_repair(image);
        let store = open(options(&Memory::of(image)).read_only(true)).expect("opens");
        let values: Vec<_> = store.scan(..).expect("scans").flatten().collect();
        assert_eq!(values.len(), KEYS.len() - 1, "{values:?}");
    }
}
