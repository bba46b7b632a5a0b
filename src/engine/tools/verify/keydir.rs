//! Verification of KEYDIR against an index that is rebuilt from the log.

use std::io;
use std::sync::Arc;

use super::finding::{Fault, is_not_a_file};
use super::verifier::Verifier;
use crate::engine::base::clock::SystemClock;
use crate::engine::base::error::{Result, words};
use crate::engine::base::stop::Stop;
use crate::engine::format::codec::Compressed;
use crate::engine::format::keydir_file::{self, Covered, Covering, KeydirHead};
use crate::engine::format::manifest::{SegmentExtent, SegmentLine};
use crate::engine::fs::{Access, File, StoreFile, read_vec_at};
use crate::engine::keydir::Keydir;
use crate::engine::keydir::file::{PartFault, compare};
use crate::engine::segment::{Bodies, Scanner, Segment, Step, StoreContext};
use crate::engine::state::{Replay, SegmentSet, State};
use crate::engine::upkeep::checkpoint;

/// KEYDIR as opened when the verification began.
pub(super) enum KeydirFile {
    Missing,
    Unreadable(io::Error),
    Damaged,
    Open(Arc<dyn File>, Box<KeydirHead>),
}

impl KeydirFile {
    pub(super) fn open(context: &StoreContext) -> Self {
        let read = || -> io::Result<Self> {
            let file = context.directory.open(StoreFile::Keydir, Access::Read)?;
            let len = file.len()?;
            let bytes = read_vec_at(&*file, 0, len.min(keydir_file::HEAD_LEN_MAX))?;
            Ok(match keydir_file::decode(&bytes, len) {
                Some(head) => Self::Open(file, Box::new(head)),
                None => Self::Damaged,
            })
        };
        match read() {
            Ok(keydir) => keydir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Unreadable(error),
        }
    }
}

impl Verifier<'_> {
    /// Verifies KEYDIR after all segments.
    pub(super) fn keydir(&mut self, keydir: KeydirFile) -> Result<(), Stop> {
        let (file, head) = match keydir {
            KeydirFile::Missing => return Ok(()),
            // Already reported with the other names.
            KeydirFile::Unreadable(error) if is_not_a_file(&error) => return Ok(()),
            KeydirFile::Unreadable(error) => return self.report_keydir(Fault::of_derived(&error)),
            KeydirFile::Damaged => return self.report_keydir(Fault::DerivedDamaged),
            KeydirFile::Open(file, head) => (file, head),
        };
        if !self.is_current(&head) {
            return self.report_keydir(Fault::Stale);
        }
        if !SegmentSet::may_place(head.about.segments.iter().map(|covered| (covered.first_page, covered.len)))
        {
            return self.report_keydir(Fault::DerivedDamaged);
        }
        if self.is_ahead(&head.about) {
            return self.report_keydir(Fault::KeydirAhead { said: head.about.covered_seq });
        }
        let is_intact = |covered: &Covered| {
            let contents = self.contents.get(&covered.id);
            contents.is_some_and(|contents| contents.damaged.is_empty() && covered.len <= contents.end)
        };
        if !head.about.segments.iter().all(is_intact) {
            return self.report_keydir(Fault::NotCompared);
        }
        // A crash skips sequence numbers, so the last one in KEYDIR may be greater than that of any
        // record, but never smaller.
        if let Some(last) = head.about.segments.last()
            && let Some(contents) = self.contents.get(&last.id).filter(|contents| contents.end == last.len)
            && head.about.covered_seq < contents.sorted.last_seq
        {
            let said = head.about.covered_seq.0;
            let counted = contents.sorted.last_seq.0;
            self.report_keydir(Fault::Count { what: "last number", said, counted })?;
        }
        let (expected, segments) = self.expected(&head)?;
        self.report.keydir_keys = Some(expected.count());
        for (said, segment) in head.about.segments.iter().zip(&segments) {
            for fault in miscounted(said, &segment.covered(said.len)) {
                self.report_keydir(fault)?;
            }
        }
        self.parts(&*file, &head, &expected)
    }

    fn report_keydir(&mut self, fault: Fault) -> Result<(), Stop> {
        self.report_fault(StoreFile::Keydir, None, fault)
    }

    /// Returns whether the segments that KEYDIR covers are the first ones of this log.
    fn is_current(&self, head: &KeydirHead) -> bool {
        let is_ours = self.log_files.context().is_some_and(|context| {
            head.about.store == context.store && head.about.hash_seed == context.hash_seed
        });
        let segments = self.log_files.segments();
        is_ours
            && head.about.segments.len() <= segments.len()
            && head.about.segments.iter().zip(segments).all(|(covered, found)| covered.id == found.id)
    }

    /// Returns whether KEYDIR covers more than the log can hold.
    fn is_ahead(&self, about: &Covering) -> bool {
        let Ok(manifest) = self.log_files.manifest() else { return false };
        // A writer may have appended since MANIFEST was read, or a power cut may have removed the
        // end of the active segment.
        let fits = |(covered, line): (&Covered, &SegmentLine)| match line.extent {
            SegmentExtent::Sealed(len) | SegmentExtent::Closed(len) => covered.len <= len,
            SegmentExtent::Active(_) => true,
        };
        about.segments.iter().zip(&manifest.segments).all(fits) && checkpoint::is_ahead(about, manifest)
    }

    /// Rebuilds the index from the records that KEYDIR covers. Returns it with the segments and
    /// their counts.
    fn expected(&self, head: &KeydirHead) -> Result<(Keydir, Vec<Arc<Segment>>)> {
        let Some(context) = self.log_files.context() else { return Ok((Keydir::new(), Vec::new())) };
        let state = State::new(context.clone(), Arc::new(SystemClock), Keydir::new());
        let segments =
            head.about.segments.iter().map(|covered| self.log_files.open_covered(covered).map(Arc::new));
        let segments = segments.collect::<Result<Vec<_>>>()?;
        state.change_segments(|set| segments.iter().cloned().for_each(|segment| set.push(segment)));
        let set = state.segments();
        let replay = Replay { context, set: &set, keydir: &state.keydir, counts: true };
        for segment in &segments {
            let Some(contents) = self.contents.get(&segment.id) else { continue };
            let rows = &contents.sorted.rows;
            replay.rows(segment, rows, 0..segment.len(), |_| true)?;
            let count = rows.iter().filter(|row| row.at < segment.len()).count() as u64;
            let is_whole = segment.len() == contents.end;
            let compressed = if is_whole { contents.sorted.compressed } else { compressed(segment)? };
            segment.usage.set_records(count, compressed);
        }
        Ok((state.keydir, segments))
    }

    /// Compares each part with `expected`. Reports all damaged parts as one finding, and all
    /// different ones as another, because one wrong number in the head may spoil every part.
    fn parts(&mut self, file: &dyn File, head: &KeydirHead, expected: &Keydir) -> Result<(), Stop> {
        let mut damaged = Vec::new();
        let mut different = Vec::new();
        let mut unreadable = None;
        for (index, row) in head.shards.iter().enumerate() {
            let len = u64::from(row.slot_count) * size_of::<u64>() as u64;
            match read_vec_at(file, row.slots_at, len) {
                Err(error) => unreadable = Some(Fault::DerivedUnreadable(words(&error))),
                Ok(bytes) => match compare(row, &bytes, expected, index)? {
                    Some(PartFault::Damaged) => damaged.push(index),
                    Some(PartFault::Differs) => different.push(index),
                    None => {}
                },
            }
        }
        let damaged = damaged.first().map(|&first| Fault::KeydirPart { first, count: damaged.len() });
        let different =
            different.first().map(|&first| Fault::KeydirEntries { first, count: different.len() });
        [unreadable, damaged, different].into_iter().flatten().try_for_each(|fault| self.report_keydir(fault))
    }
}

/// Sums up the compressed values of an intact segment.
fn compressed(segment: &Segment) -> Result<Compressed> {
    let mut sum = Compressed::default();
    let mut scanner = Scanner::new(segment, Bodies::Checked);
    while let Some(Step::Record(record)) = scanner.next()? {
        sum = sum.plus(record.compressed());
    }
    Ok(sum)
}

/// Returns a fault for each wrong count of one segment.
fn miscounted(said: &Covered, counted: &Covered) -> Vec<Fault> {
    let counts = [
        ("records", said.record_count, counted.record_count),
        ("live records", said.live_count, counted.live_count),
        ("live bytes", said.live_len, counted.live_len),
        ("tombstones", said.tombstone_count, counted.tombstone_count),
        ("bytes of tombstones", said.tombstone_len, counted.tombstone_len),
        ("bytes of compressed values", said.stored_len, counted.stored_len),
        ("bytes of those values themselves", said.raw_len, counted.raw_len),
    ];
    let wrong = counts.into_iter().filter(|(_, said, counted)| said != counted);
    wrong.map(|(what, said, counted)| Fault::Count { what, said, counted }).collect()
}
