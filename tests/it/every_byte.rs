//! Every byte of a small store flipped, every file cut at every length, sectors zeroed, swapped and copied, files and lines
//! exchanged: what exactly comes of it.
//!
//! What a damaged record costs depends on what else knows of it. Where a hint or KEYDIR does, reading its key is an error.
//! Where nothing does, the record's own header and key have to be intact for that, or the key is as if the record had never
//! been; the damage is told when the store is opened. In the log's end of a store that was not closed, damage before a
//! record that was written when it was durable is told from a torn end, and stops a writer. **Damage in the last group that
//! was made durable cannot be told from a torn end**: nothing was written after it that could know. It is cut off, and that
//! is told.

use std::collections::BTreeMap;
use std::ops::Range;

use logkv::fs::StoreFile;
use logkv::inspect::{Item, Kind};
use logkv::{Error, ReadWith, SegmentId, Store};

use crate::any_bytes::properties::laws::Answer;
use crate::any_bytes::properties::memory::{Image, Memory, file, file_mut};
use crate::any_bytes::properties::sample::{self, LAST_SEGMENT};
use crate::any_bytes::properties::seal;

const MASKS: [u8; 3] = [0x01, 0x80, 0xff];
const SEGMENTS: [SegmentId; 3] = [SegmentId(1), SegmentId(2), LAST_SEGMENT];
const SECTOR_LENS: [usize; 2] = [64, 512];
/// The first bytes of a record: the checksum of its header alone, which a get does not need.
const HCRC: Range<usize> = 0..4;
/// Then that of the whole record, without which its header and key are still believed.
const RCRC: Range<usize> = 4..8;
const KEY_AT: usize = 32;

type Answers = BTreeMap<Vec<u8>, Answer>;

/// A record of a sample, in log order.
#[derive(Clone, Debug)]
struct Record {
    segment: SegmentId,
    place: Range<usize>,
    key: Vec<u8>,
    /// What its key reads as from then on.
    answer: Answer,
    /// Whether its batch goes on in the next record.
    has_more: bool,
}

impl Record {
    fn is_hit(&self, segment: SegmentId, bytes: &Range<usize>) -> bool {
        self.segment == segment && self.place.start < bytes.end && bytes.start < self.place.end
    }
}

/// A sample store, and what is in it.
struct Sample {
    what: &'static str,
    image: Image,
    is_closed: bool,
    is_indexed: bool,
    records: Vec<Record>,
}

/// The store closed and not, with hints and KEYDIR and without.
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
            other => panic!("{other:?} in a whole store"),
        })
    };
    SEGMENTS.into_iter().flat_map(of).collect()
}

/// What the keys read as after `records`.
fn after<'a>(records: impl Iterator<Item = &'a Record>) -> Answers {
    let mut answers: Answers =
        sample::KEYS.iter().map(|key| (key.as_bytes().to_vec(), Answer::Missing)).collect();
    answers.extend(records.map(|record| (record.key.clone(), record.answer.clone())));
    answers
}

fn open(memory: &Memory, read_with: ReadWith, read_only: bool) -> Result<Store, Error> {
    Store::open_with("memory", sample::options(memory).read_with(read_with).read_only(read_only))
}

fn answers(store: &Store) -> Answers {
    let answer = |key: &str| match store.get(key) {
        Ok(Some(value)) => Answer::Value(value.to_vec()),
        Ok(None) => Answer::Missing,
        Err(Error::Damaged { .. }) => Answer::Damaged,
        Err(error) => panic!("{key}: {}", error.sentence()),
    };
    sample::KEYS.iter().map(|key| (key.as_bytes().to_vec(), answer(key))).collect()
}

/// What a reader of these files sees, mapped and not; it must open them.
fn read(image: &Image, what: &str) -> Answers {
    let [mapped, read] = [ReadWith::Mmap, ReadWith::Pread].map(|read_with| {
        let memory = Memory::of(image);
        let store = open(&memory, read_with, true).unwrap_or_else(|e| panic!("{what}: {}", e.sentence()));
        let answers = answers(&store);
        drop(store);
        assert_eq!(memory.change_count(), 0, "{what}: a reader changes nothing");
        answers
    });
    assert_eq!(mapped, read, "{what}: mapped, and read");
    read
}

/// What a writer sees, then and when it comes again after a write; or why it cannot open, which changes no segment.
fn write(image: &Image, what: &str) -> Result<Answers, Error> {
    let memory = Memory::of(image);
    let store = match open(&memory, ReadWith::Mmap, false) {
        Ok(store) => store,
        Err(error) => {
            let now = memory.image();
            for id in SEGMENTS.map(StoreFile::Segment) {
                assert_eq!(file(&now, id), file(image, id), "{what}: {id} is left alone");
            }
            return Err(error);
        }
    };
    let found = answers(&store);
    store.put("new", "written after the damage").expect("a put");
    store.close().expect("closes");
    let store = open(&memory, ReadWith::Mmap, false).expect("opens again");
    assert_eq!(answers(&store), found, "{what}: opened again");
    assert_eq!(store.get("new").expect("reads").as_deref(), Some(&b"written after the damage"[..]), "{what}");
    Ok(found)
}

impl Sample {
    /// The files with `change` made to segment `id`.
    fn with(&self, id: SegmentId, change: impl FnOnce(&mut Vec<u8>)) -> Image {
        let mut image = self.image.clone();
        change(file_mut(&mut image, StoreFile::Segment(id)));
        image
    }

    /// Whether something derived knows the records of this segment.
    fn knows(&self, id: SegmentId) -> bool {
        self.is_indexed && id != LAST_SEGMENT
    }

    /// Whether the end of this segment has to be found.
    fn is_unsettled(&self, id: SegmentId) -> bool {
        !self.is_closed && id == LAST_SEGMENT
    }

    /// What the keys read as when one byte of record number `hit` is not as it was written.
    fn after_a_flip_in(&self, hit: usize, at: usize) -> Answers {
        let record = &self.records[hit];
        let in_record = at - record.place.start;
        let whole = after(self.records.iter());
        let without =
            after(self.records.iter().enumerate().filter(|(n, _)| *n != hit).map(|(_, record)| record));
        let is_newest = !self.records[hit + 1..].iter().any(|later| later.key == record.key);
        let key = KEY_AT..KEY_AT + record.key.len();
        let knows_the_key = self.knows(record.segment)
            || RCRC.contains(&in_record)
            || in_record >= KEY_AT && !key.contains(&in_record);
        if self.knows(record.segment) && (HCRC.contains(&in_record) || record.answer == Answer::Missing) {
            // A get does not need the header's checksum, and of what was deleted there is nothing to read.
            return whole;
        }
        if !knows_the_key || self.is_unsettled(record.segment) && hit + 1 == self.records.len() {
            return without;
        }
        let mut expected = whole;
        if is_newest && record.answer != Answer::Missing {
            expected.insert(record.key.clone(), Answer::Damaged);
        }
        expected
    }
}

#[test]
fn a_flipped_byte_of_a_segment_costs_exactly_what_the_record_that_it_hits_is_worth() {
    for sample in samples() {
        for id in SEGMENTS {
            let len = file(&sample.image, StoreFile::Segment(id)).expect("a segment").len();
            for (at, mask) in (0..len).flat_map(|at| MASKS.map(|mask| (at, mask))) {
                let what = format!("{}: segment {id} byte {at} mask {mask:#04x}", sample.what);
                let image = sample.with(id, |bytes| bytes[at] ^= mask);
                let hit = sample.records.iter().position(|record| record.is_hit(id, &(at..at + 1)));
                let expected =
                    hit.map_or_else(|| after(sample.records.iter()), |hit| sample.after_a_flip_in(hit, at));
                assert_eq!(read(&image, &what), expected, "{what}");
                let is_last = hit.is_none_or(|hit| hit + 1 == sample.records.len());
                match write(&image, &what) {
                    Err(Error::Rot { segment, offset, .. }) => {
                        let record = &sample.records[hit.expect("a record was hit")];
                        assert!(sample.is_unsettled(id) && !is_last, "{what}");
                        assert_eq!((segment, offset as usize), (id, record.place.start), "{what}");
                    }
                    Ok(found) => {
                        assert!(!sample.is_unsettled(id) || is_last, "{what}: rot is never cut off");
                        assert_eq!(found, expected, "{what}");
                    }
                    Err(error) => panic!("{what}: {}", error.sentence()),
                }
            }
        }
    }
}

#[test]
fn a_segment_cut_anywhere_costs_what_stood_behind_the_cut_and_nothing_else() {
    for sample in samples() {
        for id in SEGMENTS {
            let len = file(&sample.image, StoreFile::Segment(id)).expect("a segment").len();
            for cut in 0..len {
                let what = format!("{}: segment {id} cut at {cut}", sample.what);
                let image = sample.with(id, |bytes| bytes.truncate(cut));
                let is_behind = |record: &Record| record.segment == id && record.place.end > cut;
                let mut kept: Vec<_> = sample.records.iter().filter(|record| !is_behind(record)).collect();
                // What has no end of its batch was never acknowledged.
                while sample.is_unsettled(id) && kept.last().is_some_and(|last| last.has_more) {
                    kept.pop();
                }
                let mut expected = after(kept.into_iter());
                if sample.knows(id) {
                    expected = after(sample.records.iter());
                    for (n, record) in sample.records.iter().enumerate() {
                        let is_newest = !sample.records[n + 1..].iter().any(|later| later.key == record.key);
                        if is_behind(record) && is_newest && record.answer != Answer::Missing {
                            expected.insert(record.key.clone(), Answer::Damaged);
                        }
                    }
                }
                assert_eq!(read(&image, &what), expected, "{what}");
                let found = write(&image, &what).unwrap_or_else(|e| panic!("{what}: {}", e.sentence()));
                assert_eq!(found, expected, "{what}");
            }
        }
    }
}

/// Every way to hurt whole sectors of `bytes`: the sector that is changed, what is done, and what comes of it.
fn sector_faults(bytes: &[u8], len: usize) -> Vec<(Vec<Range<usize>>, String, Vec<u8>)> {
    let sectors: Vec<_> = (0..bytes.len()).step_by(len).map(|at| at..bytes.len().min(at + len)).collect();
    let mut faults = Vec::new();
    for sector in &sectors {
        let mut zeroed = bytes.to_vec();
        zeroed[sector.clone()].fill(0);
        faults.push((vec![sector.clone()], "zeroed".to_owned(), zeroed));
        for other in sectors.iter().filter(|other| other.start != sector.start && other.len() == sector.len())
        {
            let mut copied = bytes.to_vec();
            copied.copy_within(sector.clone(), other.start);
            faults.push((vec![other.clone()], format!("overwritten by that at {}", sector.start), copied));
            if sector.start < other.start {
                let mut swapped = bytes.to_vec();
                swapped[sector.clone()].copy_from_slice(&bytes[other.clone()]);
                swapped[other.clone()].copy_from_slice(&bytes[sector.clone()]);
                faults.push((vec![sector.clone(), other.clone()], "swapped with that".to_owned(), swapped));
            }
        }
    }
    faults
}

#[test]
fn zeroed_swapped_and_copied_sectors_cost_only_records_that_reach_into_them() {
    for sample in samples() {
        for (id, len) in SEGMENTS.into_iter().flat_map(|id| SECTOR_LENS.map(|len| (id, len))) {
            let bytes = file(&sample.image, StoreFile::Segment(id)).expect("a segment");
            for (changed, how, bytes) in sector_faults(bytes, len) {
                let what = format!("{}: segment {id}, {changed:?} {how}", sample.what);
                let image = sample.with(id, |segment| *segment = bytes);
                let is_hit = |record: &Record| changed.iter().any(|bytes| record.is_hit(id, bytes));
                let found = read(&image, &what);
                sample.assert_only(&found, &is_hit, &what);
                match write(&image, &what) {
                    Ok(written) => assert_eq!(written, found, "{what}: a writer and a reader"),
                    Err(Error::Rot { .. }) => assert!(sample.is_unsettled(id), "{what}"),
                    Err(error) => panic!("{what}: {}", error.sentence()),
                }
            }
        }
    }
}

impl Sample {
    /// Keys read as they should, but for those of records that are hit, which may be as before them, or damaged; and what
    /// follows the first of them in a log's end that is not settled, which may be cut off.
    fn assert_only(&self, found: &Answers, is_hit: &dyn Fn(&Record) -> bool, what: &str) {
        let whole = after(self.records.iter());
        let hit = self.records.iter().position(is_hit).unwrap_or(self.records.len());
        // A batch without its end was never acknowledged.
        let first = hit - self.records[..hit].iter().rev().take_while(|record| record.has_more).count();
        for (key, answer) in found.iter().filter(|(key, answer)| whole[*key] != **answer) {
            let mut of_key = self.records.iter().enumerate().filter(|(_, record)| record.key == *key);
            let may_be_lost =
                |n: usize, record: &Record| is_hit(record) || self.is_unsettled(record.segment) && n >= first;
            let newest = of_key.clone().next_back().expect("it was written");
            assert!(may_be_lost(newest.0, newest.1), "{what}: {} is {answer:?}", key.escape_ascii());
            let was_so = of_key.any(|(_, record)| record.answer == *answer);
            let is_known = was_so || matches!(answer, Answer::Damaged | Answer::Missing);
            assert!(is_known, "{what}: {} is {answer:?}", key.escape_ascii());
        }
    }
}

#[test]
fn no_flip_cut_or_sector_of_a_derived_file_changes_an_answer() {
    for sample in samples().into_iter().filter(|sample| sample.is_indexed) {
        let expected = after(sample.records.iter());
        let check = |name: StoreFile, what: String, bytes: Vec<u8>| {
            let mut image = sample.image.clone();
            *file_mut(&mut image, name) = bytes;
            let what = format!("{}: {name} {what}", sample.what);
            let store = open(&Memory::of(&image), ReadWith::Mmap, true).expect("a reader opens");
            assert_eq!(answers(&store), expected, "{what}");
            drop(store);
            image
        };
        for name in [StoreFile::Hint(SegmentId(1)), StoreFile::Hint(SegmentId(2)), StoreFile::Keydir] {
            let whole = file(&sample.image, name).expect("it was made").clone();
            // Nearly all of KEYDIR is rows of empty shards, all alike: there each byte has one mask of the three.
            let is_short = whole.len() < 1024;
            let flips =
                (0..whole.len()).flat_map(|at| MASKS.into_iter().enumerate().map(move |mask| (at, mask)));
            for (at, (_, mask)) in flips.filter(|(at, (n, _))| is_short || at % MASKS.len() == *n) {
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                let image = check(name, format!("byte {at} mask {mask:#04x}"), bytes);
                if is_short {
                    assert_eq!(
                        write(&image, "a writer").expect("a writer opens"),
                        expected,
                        "{name} byte {at}"
                    );
                }
            }
            for cut in (0..whole.len()).filter(|cut| is_short || cut % 64 < 2) {
                check(name, format!("cut at {cut}"), whole[..cut].to_vec());
            }
            if is_short {
                for (sectors, how, bytes) in sector_faults(&whole, 64) {
                    check(name, format!("{sectors:?} {how}"), bytes);
                }
            }
        }
    }
}

#[test]
fn a_manifest_that_is_not_as_it_was_written_opens_nothing_and_touches_nothing() {
    for sample in samples() {
        let whole = file(&sample.image, StoreFile::Manifest).expect("MANIFEST");
        let flipped = (0..whole.len()).flat_map(|at| MASKS.map(|mask| (at, mask))).map(|(at, mask)| {
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            bytes
        });
        let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
        let sectors = sector_faults(whole, 64).into_iter().map(|(_, _, bytes)| bytes);
        for bytes in flipped.chain(cut).chain(sectors).filter(|bytes| bytes != whole) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut image = sample.image.clone();
            *file_mut(&mut image, StoreFile::Manifest) = bytes;
            for read_only in [true, false] {
                let memory = Memory::of(&image);
                let outcome = open(&memory, ReadWith::Mmap, read_only);
                assert!(matches!(outcome, Err(Error::ManifestDamaged { .. })), "{outcome:?} of {text}");
                assert_eq!(memory.image(), image, "nothing was changed");
            }
        }
    }
}

/// MANIFEST with its lines changed, and a right checksum, as only a person writes it.
fn with_lines(image: &Image, change: impl FnOnce(&mut Vec<String>)) -> Image {
    let mut image = image.clone();
    let manifest = file_mut(&mut image, StoreFile::Manifest);
    let text = String::from_utf8(manifest.clone()).expect("text");
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("crc ")).map(str::to_owned).collect();
    change(&mut lines);
    *manifest = (lines.join("\n") + "\n").into_bytes();
    seal::manifest(manifest);
    image
}

#[test]
fn lines_of_a_manifest_left_out_twice_there_or_exchanged_are_refused_or_change_nothing() {
    for sample in samples() {
        let whole = after(sample.records.iter());
        let text = String::from_utf8(file(&sample.image, StoreFile::Manifest).expect("MANIFEST").clone());
        let lines: Vec<String> = text.expect("text").lines().map(str::to_owned).collect();
        let (count, segments) = (lines.len() - 1, lines.len() - 1 - SEGMENTS.len());
        let is_refused = |image: &Image| {
            let memory = Memory::of(image);
            let outcome = open(&memory, ReadWith::Mmap, false);
            let is_refused = matches!(outcome, Err(Error::ManifestDamaged { .. }));
            assert!(!is_refused || memory.image() == *image, "nothing was changed");
            is_refused
        };
        for n in 0..count {
            let what = format!("{}: {}", sample.what, lines[n]);
            let twice = with_lines(&sample.image, |lines| lines.push(lines[n].clone()));
            if n < segments {
                assert!(
                    is_refused(&with_lines(&sample.image, |lines| drop(lines.remove(n)))),
                    "{what}: left out"
                );
                assert_eq!(read(&twice, &what), whole, "{what}: twice");
            } else {
                assert!(is_refused(&twice), "{what}: twice");
                // Without its line a segment is none of the log's: its records are as if they had never been.
                let id = SEGMENTS[n - segments];
                let left_out = with_lines(&sample.image, |lines| drop(lines.remove(n)));
                let others = after(sample.records.iter().filter(|record| record.segment != id));
                assert_eq!(read(&left_out, &what), others, "{what}: left out");
            }
            for other in n + 1..count {
                let exchanged = with_lines(&sample.image, |lines| lines.swap(n, other));
                let what = format!("{what}: exchanged with {}", lines[other]);
                // The first segment's line may stand further up: it is still the first.
                if n == 0 || n >= segments || other > segments {
                    assert!(is_refused(&exchanged), "{what}");
                } else {
                    assert_eq!(read(&exchanged, &what), whole, "{what}");
                }
            }
        }
    }
}

#[test]
fn segments_under_each_others_names_are_told_and_never_read_as_what_they_are_not() {
    for sample in samples() {
        for (one, other) in [(0, 1), (0, 2), (1, 2)].map(|(one, other)| (SEGMENTS[one], SEGMENTS[other])) {
            let what = format!("{}: {one} and {other} exchanged", sample.what);
            let mut image = sample.image.clone();
            let bytes = std::mem::take(file_mut(&mut image, StoreFile::Segment(one)));
            let bytes = std::mem::replace(file_mut(&mut image, StoreFile::Segment(other)), bytes);
            *file_mut(&mut image, StoreFile::Segment(one)) = bytes;
            let is_hit = |record: &Record| [one, other].contains(&record.segment);
            let found = read(&image, &what);
            sample.assert_only(&found, &is_hit, &what);
            for record in sample.records.iter().filter(|record| is_hit(record)) {
                let elsewhere = sample.records.iter().any(|r| !is_hit(r) && r.answer == found[&record.key]);
                let is_gone = matches!(found[&record.key], Answer::Missing | Answer::Damaged);
                assert!(
                    is_gone || elsewhere,
                    "{what}: {} is {:?}",
                    record.key.escape_ascii(),
                    found[&record.key]
                );
            }
            match write(&image, &what) {
                Ok(written) => assert_eq!(written, found, "{what}"),
                Err(Error::Damaged { segment, offset: 0, .. }) => {
                    // Its end has to be found: it is longer than it was, or its writer died.
                    assert!(
                        segment == LAST_SEGMENT && other == segment,
                        "{what}: nothing is cut off another's"
                    );
                }
                Err(error) => panic!("{what}: {}", error.sentence()),
            }
        }
        let mut image = sample.image.clone();
        if sample.is_indexed {
            let hints = [1, 2].map(|id| StoreFile::Hint(SegmentId(id)));
            let first = file(&image, hints[0]).expect("a hint").clone();
            let second = std::mem::replace(file_mut(&mut image, hints[1]), first);
            *file_mut(&mut image, hints[0]) = second;
            let what = format!("{}: hints exchanged", sample.what);
            assert_eq!(read(&image, &what), after(sample.records.iter()), "{what}");
            assert_eq!(write(&image, &what).expect("a writer opens"), after(sample.records.iter()), "{what}");
        }
    }
}
