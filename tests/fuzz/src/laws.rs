//! What holds for a directory, whatever bytes its files have.
//!
//! 1. Nothing panics, and (the fuzzer's allocator sees to it) no memory is taken that the files' lengths do not justify.
//! 2. A value that is read, by key or in a scan, is one that a record of exactly this key holds under a right checksum.
//! 3. Opening read-only changes nothing, and read or mapped the answers are the same.
//! 4. Opening that fails leaves each segment as it was, but for a torn end.
//! 5. What opening for writing recovers is what a reader saw (or the log is damaged: how far ahead of a damaged place a number
//!    may lie depends on how much is still to be written), stays so through compaction and reopening, and takes writes.
//! 6. Where hints and KEYDIR change what is read, `verify` finds fault; what it finds none in opens, and all of it reads.
//! 7. `repair` changes nothing in the old store, and makes one that is intact, of records of the old one alone; of all, where
//!    that has no fault.
//!
//! A hint or KEYDIR with a right checksum over what the log does not say is no accident: somebody made it. It may hide keys or
//! put them out of order, for nothing short of reading the whole log, which a derived file is there to save, could tell; it
//! makes no value up, since each is read under its own checksum and key. `verify` reads the whole log, and tells.

use std::collections::{BTreeMap, BTreeSet};

use logkv::fs::StoreFile;
use logkv::{Compact, Error, Options, ReadWith, Store};

use super::memory::{Image, Memory, file};
use super::offline::{self, Verified};
use super::sample::{self, KEYS, options};
use super::seal;

/// What a get says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Value(Vec<u8>),
    /// There is no such key.
    Missing,
    /// The record is damaged.
    Damaged,
}

type Answers = BTreeMap<Vec<u8>, Answer>;

/// Checks all of the laws for a directory with these files.
///
/// # Panics
/// When one of them does not hold.
pub fn hold(image: &Image) {
    let directory = Directory::of(image);
    let [read, mapped] = [ReadWith::Pread, ReadWith::Mmap].map(|read_with| directory.read(read_with));
    // KEYDIR is used where it can be mapped: a reader who maps believes it, and the other one the hints.
    if !directory.may_lie() {
        assert_eq!(read, mapped, "read, and mapped");
    }
    directory.recover(mapped.as_ref());
    directory.check_verified(read.as_ref());
}

/// Checks what holds for a repair of a directory with these files.
///
/// # Panics
/// When it does not.
pub fn hold_for_a_repair(image: &Image) {
    let Some(made) = offline::repaired(image) else { return };
    let old = Directory::of(image);
    let mut new = Directory { image: &made, ..Directory::of(image) };
    // Records whose salt is told nowhere any more are found by their own checksums, which nobody here puts right.
    new.written.extend([sample::closed(), sample::unclosed()].into_iter().flat_map(seal::ever_written));
    let answers = new.read(ReadWith::Pread).expect("what was repaired opens");
    if old.verified.as_ref().is_some_and(Verified::is_spotless) {
        assert_eq!(old.read(ReadWith::Pread).as_ref(), Some(&answers), "nothing had to be given up");
    }
    hold(&made);
}

struct Directory<'a> {
    image: &'a Image,
    written: BTreeSet<(Vec<u8>, Vec<u8>)>,
    keys: BTreeSet<Vec<u8>>,
    /// What `verify` says of it; `None` when it sees no store.
    verified: Option<Verified>,
}

impl<'a> Directory<'a> {
    fn of(image: &'a Image) -> Self {
        let written = seal::ever_written(image);
        let keys = written.iter().map(|(key, _)| key.clone());
        let keys = keys.chain(KEYS.iter().map(|key| key.as_bytes().to_vec())).collect();
        Self { image, keys, written, verified: Verified::of(image) }
    }

    /// Whether a hint or KEYDIR may say under a right checksum what the log does not.
    fn may_lie(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::may_lie)
    }

    /// What `verify` finds no fault in has none that a reader sees, and hints and KEYDIR change nothing in it.
    fn check_verified(&self, read: Option<&Answers>) {
        if !self.verified.as_ref().is_some_and(|verified| verified.report.is_intact()) {
            return;
        }
        let read = read.expect("what is intact opens");
        assert!(!read.values().any(|answer| *answer == Answer::Damaged), "what is intact reads: {read:?}");
        let is_log = |name: &StoreFile| !matches!(name, StoreFile::Hint(_) | StoreFile::Keydir);
        let log: Image = self.image.iter().filter(|(name, _)| is_log(name)).cloned().collect();
        let bare = Directory { image: &log, ..Directory::of(self.image) };
        assert_eq!(bare.read(ReadWith::Pread).as_ref(), Some(read), "without hints and KEYDIR");
    }
    /// What a reader sees, if it can open it.
    fn read(&self, read_with: ReadWith) -> Option<Answers> {
        let memory = Memory::of(self.image);
        let options = options(&memory).read_only(true).read_with(read_with);
        let store = open(options).ok()?;
        let answers = self.answers(&store);
        self.check_order(&store, &answers);
        check_inspection(&store);
        assert!(store.put("a", "").is_err(), "a reader takes no write");
        drop(store);
        assert_eq!(memory.change_count(), 0, "a reader changes nothing");
        Some(answers)
    }

    /// Opens for writing, writes, compacts and opens again.
    fn recover(&self, read: Option<&Answers>) {
        let memory = Memory::of(self.image);
        let Ok(store) = open(options(&memory)) else {
            return self.check_untouched(&memory);
        };
        let mut answers = self.answers(&store);
        if let Some(read) = read.filter(|_| store.open_report().damage.is_empty()) {
            assert_eq!(&answers, read, "what is recovered is what a reader saw");
        }
        self.check_order(&store, &answers);
        check_inspection(&store);
        for key in ["a", "new"] {
            // An old segment may end where no more can come; then nothing is written at all.
            if store.put(key, "a new value").is_ok() {
                answers.insert(key.into(), Answer::Value(b"a new value".to_vec()));
            }
        }
        if store.delete("b").is_ok() {
            answers.insert(b"b".to_vec(), Answer::Missing);
        }
        assert_eq!(self.answers_with(&store, &answers), answers, "what was written is there");
        store.close().expect("closes");
        let store = open(options(&memory)).expect("what was closed opens");
        assert_eq!(self.answers_with(&store, &answers), answers, "reopened");
        if !self.may_lie() {
            self.compact(store, &memory, &answers);
        }
    }

    /// Compacts all that can be. A segment with damage stays as it is.
    fn compact(&self, store: Store, memory: &Memory, answers: &Answers) {
        match store.compact(&Compact::All) {
            Ok(_) | Err(Error::Damaged { .. }) => {}
            Err(error) => panic!("compacting: {}", error.sentence()),
        }
        assert_eq!(&self.answers_with(&store, answers), answers, "compacted");
        store.close().expect("closes");
        let store = open(options(memory).read_only(true)).expect("what was closed opens");
        assert_eq!(&self.answers_with(&store, answers), answers, "compacted and reopened");
    }

    /// What a get of each key says, which must be what some record said.
    fn answers(&self, store: &Store) -> Answers {
        let answers: Answers = self.keys.iter().map(|key| (key.clone(), answer(store, key))).collect();
        for (key, answer) in &answers {
            if let Answer::Value(value) = answer {
                self.assert_was_written(key, value);
            }
        }
        answers
    }

    /// The same for the keys of `known`, among which are new ones.
    fn answers_with(&self, store: &Store, known: &Answers) -> Answers {
        known.keys().map(|key| (key.clone(), answer(store, key))).collect()
    }

    fn assert_was_written(&self, key: &[u8], value: &[u8]) {
        let pair = (key.to_vec(), value.to_vec());
        assert!(self.written.contains(&pair), "{} was never {}", key.escape_ascii(), value.escape_ascii());
    }

    /// A scan shows keys in order, each once, with the values that gets give; and all of them, where nothing is damaged.
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
            assert_eq!(answers.get(&*entry.meta.key), Some(&value), "a scan and a get");
        }
        assert!(shown.is_sorted_by(|one, next| one.meta.key < next.meta.key), "in order, and each once");
        let backward = store.scan(..).expect("scans again").rev().flatten();
        let backward: Vec<_> = backward.map(|entry| entry.meta.key.to_vec()).collect();
        assert!(shown.iter().rev().map(|entry| &*entry.meta.key).eq(backward.iter().map(Vec::as_slice)));
        let is_whole = errors.is_empty()
            && store.open_report().damage.is_empty()
            && !answers.values().any(|answer| *answer == Answer::Damaged);
        if is_whole {
            let count = |is_it: fn(&Answer) -> bool| answers.values().filter(|answer| is_it(answer)).count();
            let values = count(|answer| matches!(answer, Answer::Value(_)));
            assert_eq!(shown.len(), values, "all that is there");
            // What has expired is counted until it is compacted away, and reads as missing.
            let may_count = values..=values + count(|answer| *answer == Answer::Missing);
            assert!(may_count.contains(&(store.len() as usize)), "{} of {may_count:?} keys", store.len());
        }
    }

    /// Nothing was taken away but the end of a torn segment.
    fn check_untouched(&self, memory: &Memory) {
        let now = memory.image();
        for (name, before) in self.image {
            if let StoreFile::Segment(_) = name {
                let now = file(&now, *name).unwrap_or_else(|| panic!("{name} was removed"));
                assert!(before.starts_with(now), "{name} was changed, and the store did not open");
            }
        }
    }
}

/// Opens a store, which must not fail for reasons of the operating system: it does not.
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

/// A segment taken apart accounts for each of its bytes once.
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

/// The laws for the samples as they are, which hold what they should.
///
/// # Panics
/// When they do not: then nothing else here says much.
pub fn hold_for_the_samples() {
    for image in [sample::closed(), sample::unclosed()] {
        hold(image);
        hold_for_a_repair(image);
        let store = open(options(&Memory::of(image)).read_only(true)).expect("opens");
        let values: Vec<_> = store.scan(..).expect("scans").flatten().collect();
        assert_eq!(values.len(), KEYS.len() - 1, "{values:?}");
    }
}
