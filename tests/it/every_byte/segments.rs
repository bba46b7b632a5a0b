//! Flipped bytes and cut ends of segments.

use std::ops::Range;

use logkv::Error;
use logkv::SegmentId;
use logkv::fs::StoreFile;

use super::{Answers, MASKS, Next, Record, SEGMENTS, Sample, after, look, samples};
use crate::any_bytes::properties::invariants::Answer;
use crate::any_bytes::properties::memory::file;

/// The header checksum, which a get does not read.
const HCRC: Range<usize> = 0..4;
/// The record checksum. Header and key are used even if it does not match.
const RCRC: Range<usize> = 4..8;
const KEY_AT: usize = 32;

impl Sample {
    /// The answers when a byte of record number `hit` is flipped.
    fn after_a_flip_in(&self, hit: usize, at: usize) -> Answers {
        let record = &self.records[hit];
        let in_record = at - record.place.start;
        let key = KEY_AT..KEY_AT + record.key.len();
        let knows_the_key = self.knows(record.segment)
            || RCRC.contains(&in_record)
            || in_record >= KEY_AT && !key.contains(&in_record);
        if self.knows(record.segment) && (HCRC.contains(&in_record) || record.answer == Answer::Missing) {
            // A get does not read the header checksum, and a deleted key has nothing to read.
            return self.whole();
        }
        if !knows_the_key || self.is_unsettled(record.segment) && hit + 1 == self.records.len() {
            let others = self.records.iter().enumerate().filter(|(n, _)| *n != hit);
            return after(others.map(|(_, record)| record));
        }
        let mut expected = self.whole();
        if self.is_newest(hit) && record.answer != Answer::Missing {
            expected.insert(record.key.clone(), Answer::Damaged);
        }
        expected
    }

    /// Checks the store with byte `at` of segment `id` flipped by `mask`.
    fn flip(&self, id: SegmentId, at: usize, mask: u8) {
        let what = format!("{}: segment {id} byte {at} mask {mask:#04x}", self.what);
        let image = self.with(id, |bytes| bytes[at] ^= mask);
        let hit = self.records.iter().position(|record| record.is_hit(id, &(at..at + 1)));
        let expected = hit.map_or_else(|| self.whole(), |hit| self.after_a_flip_in(hit, at));
        // A write after the damage does not depend on the flipped bits, so that one mask for each
        // byte suffices.
        let then = if mask == MASKS[at % MASKS.len()] { Next::GoesOn } else { Next::Leaves };
        let (seen, refusal) = look(&image, &what, then);
        seen.is(&what, &expected);
        assert!(seen.is_reported || expected == self.whole(), "{what}: lost silently");
        let is_last = hit.is_none_or(|hit| hit + 1 == self.records.len());
        let is_damage = self.is_unsettled(id) && !is_last;
        match refusal {
            Some(Error::Rot { segment, offset, .. }) => {
                let record = &self.records[hit.expect("a record is hit")];
                assert!(is_damage, "{what}");
                assert_eq!((segment, offset as usize), (id, record.place.start), "{what}");
            }
            None => assert!(!is_damage, "{what}: damage was truncated"),
            Some(error) => panic!("{what}: {}", error.sentence()),
        }
    }

    /// The answers when segment `id` ends at `cut`.
    fn after_a_cut(&self, id: SegmentId, cut: usize) -> Answers {
        let is_behind = |record: &Record| record.segment == id && record.place.end > cut;
        if self.knows(id) {
            let mut expected = self.whole();
            for (n, record) in self.records.iter().enumerate() {
                if is_behind(record) && self.is_newest(n) && record.answer != Answer::Missing {
                    expected.insert(record.key.clone(), Answer::Damaged);
                }
            }
            return expected;
        }
        let mut kept: Vec<_> = self.records.iter().filter(|record| !is_behind(record)).collect();
        // A batch without its end was never acknowledged.
        while self.is_unsettled(id) && kept.last().is_some_and(|last| last.has_more) {
            kept.pop();
        }
        after(kept.into_iter())
    }
}

/// Flips the bytes of every segment of sample `which`.
fn flip_all(which: &str) {
    let sample = samples().into_iter().find(|sample| sample.what == which).expect("the sample exists");
    for id in SEGMENTS {
        let len = file(&sample.image, StoreFile::Segment(id)).expect("a segment").len();
        for (at, mask) in (0..len).flat_map(|at| MASKS.map(|mask| (at, mask))) {
            sample.flip(id, at, mask);
        }
    }
}

#[test]
fn a_flipped_byte_costs_a_closed_store_exactly_the_record_it_hits() {
    flip_all("closed, indexed");
}

#[test]
fn a_flipped_byte_costs_a_closed_store_without_hints_exactly_the_record_it_hits() {
    flip_all("closed, bare");
}

#[test]
fn a_flipped_byte_costs_an_unclosed_store_exactly_the_record_it_hits() {
    flip_all("unclosed, indexed");
}

#[test]
fn a_flipped_byte_costs_an_unclosed_store_without_hints_exactly_the_record_it_hits() {
    flip_all("unclosed, bare");
}

#[test]
fn a_segment_cut_anywhere_costs_exactly_the_records_after_the_cut() {
    for sample in samples() {
        for id in SEGMENTS {
            let len = file(&sample.image, StoreFile::Segment(id)).expect("a segment").len();
            for cut in 0..len {
                let what = format!("{}: segment {id} cut at {cut}", sample.what);
                let image = sample.with(id, |bytes| bytes.truncate(cut));
                let (seen, refusal) = look(&image, &what, Next::GoesOn);
                assert!(refusal.is_none(), "{what}: {refusal:?}");
                let expected = sample.after_a_cut(id, cut);
                seen.is(&what, &expected);
                // A log that lost whole records at its end shows no sign of it. Neither does a
                // segment without a whole header, which a crash can leave when it starts a segment.
                let mut starts = sample.records.iter().filter(|r| r.segment == id).map(|r| r.place.start);
                let is_begun = starts.clone().all(|start| cut < start);
                let is_between = is_begun || starts.any(|start| start == cut);
                let is_detectable = !(sample.is_unsettled(id) && is_between);
                assert!(
                    seen.is_reported || !is_detectable || expected == sample.whole(),
                    "{what}: lost silently"
                );
            }
        }
    }
}
