//! Sectors of segments zeroed, swapped and copied, and segments under each other's names.

use std::ops::Range;

use logkv::fs::StoreFile;
use logkv::{Error, SegmentId};

use super::{LAST_SEGMENT, Next, Record, SEGMENTS, Sample, Seen, look, samples};
use crate::any_bytes::properties::invariants::Answer;
use crate::any_bytes::properties::memory::{Image, file, file_mut};

const SECTOR_LENS: [usize; 2] = [64, 512];

/// Every fault of whole sectors of `bytes`: the changed sectors, a description, and the result.
pub(super) fn sector_faults(bytes: &[u8], len: usize) -> Vec<(Vec<Range<usize>>, String, Vec<u8>)> {
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
fn zeroed_swapped_and_copied_sectors_cost_only_the_records_they_overlap() {
    for sample in samples() {
        for (id, len) in SEGMENTS.into_iter().flat_map(|id| SECTOR_LENS.map(|len| (id, len))) {
            let bytes = file(&sample.image, StoreFile::Segment(id)).expect("a segment");
            for (changed, how, bytes) in sector_faults(bytes, len) {
                let what = format!("{}: segment {id}, {changed:?} {how}", sample.what);
                let image = sample.with(id, |segment| *segment = bytes);
                let is_hit = |record: &Record| changed.iter().any(|bytes| record.is_hit(id, bytes));
                let (seen, refusal) = look(&image, &what, Next::GoesOn);
                sample.assert_only(&seen, &is_hit, &what);
                match refusal {
                    None => {}
                    Some(Error::Rot { .. }) => assert!(sample.is_unsettled(id), "{what}"),
                    Some(error) => panic!("{what}: {}", error.sentence()),
                }
            }
        }
    }
}

impl Sample {
    /// Checks that only keys of hit records have other answers: an older one, or damage. After the
    /// first hit record at an unsettled end of the log, records may be truncated.
    fn assert_only(&self, seen: &Seen, is_hit: &dyn Fn(&Record) -> bool, what: &str) {
        let whole = self.whole();
        let found = &seen.answers;
        assert!(seen.is_reported || *found == whole, "{what}: lost silently");
        let hit = self.records.iter().position(is_hit).unwrap_or(self.records.len());
        // A batch without its end was never acknowledged.
        let first = hit - self.records[..hit].iter().rev().take_while(|record| record.has_more).count();
        for (key, answer) in found.iter().filter(|(key, answer)| whole[*key] != **answer) {
            let mut of_key = self.records.iter().enumerate().filter(|(_, record)| record.key == *key);
            let may_be_lost =
                |n: usize, record: &Record| is_hit(record) || self.is_unsettled(record.segment) && n >= first;
            let newest = of_key.clone().next_back().expect("was written");
            assert!(may_be_lost(newest.0, newest.1), "{what}: {} is {answer:?}", key.escape_ascii());
            let was_so = of_key.any(|(_, record)| record.answer == *answer);
            let is_known = was_so || matches!(answer, Answer::Damaged | Answer::Missing);
            assert!(is_known, "{what}: {} is {answer:?}", key.escape_ascii());
        }
    }
}

/// The files with `one` and `other` exchanged.
pub(super) fn exchanged(image: &Image, one: StoreFile, other: StoreFile) -> Image {
    let mut image = image.clone();
    let bytes = std::mem::take(file_mut(&mut image, one));
    let bytes = std::mem::replace(file_mut(&mut image, other), bytes);
    *file_mut(&mut image, one) = bytes;
    image
}

impl Sample {
    /// Checks the store with two segments exchanged.
    fn exchange(&self, one: SegmentId, other: SegmentId) {
        let what = format!("{}: {one} and {other} exchanged", self.what);
        let image = exchanged(&self.image, StoreFile::Segment(one), StoreFile::Segment(other));
        let is_hit = |record: &Record| [one, other].contains(&record.segment);
        let (seen, refusal) = look(&image, &what, Next::GoesOn);
        self.assert_only(&seen, &is_hit, &what);
        for record in self.records.iter().filter(|record| is_hit(record)) {
            let found = &seen.answers[&record.key];
            let elsewhere = self.records.iter().any(|r| !is_hit(r) && r.answer == *found);
            let is_gone = matches!(found, Answer::Missing | Answer::Damaged);
            assert!(is_gone || elsewhere, "{what}: {} is {found:?}", record.key.escape_ascii());
        }
        match refusal {
            None => {}
            // The end of the last segment is found by a scan, because it is longer than at the
            // close or its writer died.
            Some(Error::Damaged { segment, offset: 0, .. }) => {
                assert!(
                    segment == LAST_SEGMENT && other == segment,
                    "{what}: a foreign segment was truncated"
                );
            }
            Some(error) => panic!("{what}: {}", error.sentence()),
        }
    }
}

#[test]
fn exchanged_segments_are_reported_and_never_read_as_each_other() {
    for sample in samples() {
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            sample.exchange(SEGMENTS[one], SEGMENTS[other]);
        }
    }
}
