//! KEYDIR against the log: its parts are compared with an index made anew from the records.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Fault, Verifier, derived_unreadable, is_no_file};
use crate::engine::clock::SystemClock;
use crate::engine::format::keydir_file::{self, Covered, KeydirHead};
use crate::engine::fs::{Access, File, StoreFile, read_vec_at};
use crate::engine::keydir::Keydir;
use crate::engine::keydir::file::{PartFault, compare};
use crate::engine::plant::{Plant, planted};
use crate::engine::segment::{Home, Segment};
use crate::engine::state::{Replay, SegmentSet, State};
use crate::error::{Result, Stop, words};

/// The file KEYDIR as it was when the verification began.
pub(super) enum KeydirFile {
    None,
    /// It cannot be read, for this reason.
    Unreadable(io::Error),
    /// It is not one.
    Damaged,
    Read(Arc<dyn File>, Box<KeydirHead>),
}

impl KeydirFile {
    pub(super) fn open(home: &Home) -> Self {
        let read = || -> io::Result<Self> {
            let file = home.directory.open(StoreFile::Keydir, Access::Read)?;
            let len = file.len()?;
            let bytes = read_vec_at(&*file, 0, len.min(keydir_file::HEAD_LEN_MAX))?;
            Ok(match keydir_file::decode(&bytes, len) {
                Some(head) => Self::Read(file, Box::new(head)),
                None => Self::Damaged,
            })
        };
        match read() {
            Ok(keydir) => keydir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::None,
            Err(error) => Self::Unreadable(error),
        }
    }
}

impl Verifier<'_> {
    /// Verifies KEYDIR, every segment having been read.
    pub(super) fn keydir(&mut self, keydir: KeydirFile) -> Result<(), Stop> {
        let (file, head) = match keydir {
            KeydirFile::None => return Ok(()),
            // Told of before the segments.
            KeydirFile::Unreadable(error) if is_no_file(&error) => return Ok(()),
            KeydirFile::Unreadable(error) => return self.wrong(derived_unreadable(&error)),
            KeydirFile::Damaged => return self.wrong(Fault::DerivedDamaged),
            KeydirFile::Read(file, head) => (file, head),
        };
        if !self.is_current(&head) {
            return self.wrong(Fault::Stale);
        }
        let is_intact = |covered: &Covered| {
            let scanned = self.scanned.get(&covered.id);
            scanned.is_some_and(|scanned| scanned.damaged.is_empty() && covered.len <= scanned.end)
        };
        if !head.about.segments.iter().all(is_intact) {
            return self.wrong(Fault::NotCompared);
        }
        let (expected, segments) = self.expected(&head)?;
        self.report.keydir_keys = Some(expected.count());
        for (said, segment) in head.about.segments.iter().zip(&segments) {
            for fault in miscounted(said, &segment.covered(said.len)) {
                self.wrong(fault)?;
            }
        }
        self.parts(&*file, &head, &expected)
    }

    fn wrong(&mut self, fault: Fault) -> Result<(), Stop> {
        self.found(StoreFile::Keydir, None, fault)
    }

    /// Whether what it covers is the beginning of the log.
    fn is_current(&self, head: &KeydirHead) -> bool {
        let is_ours = self
            .survey
            .home()
            .is_some_and(|home| head.about.store == home.store && head.about.hash_seed == home.hash_seed);
        let known = self.survey.known();
        is_ours
            && head.about.segments.len() <= known.len()
            && head.about.segments.iter().zip(known).all(|(covered, known)| {
                covered.id == known.id && SegmentSet::may_place(covered.first_page, covered.len)
            })
    }

    /// The index that the records make which it covers, and the segments with what was counted in them.
    fn expected(&self, head: &KeydirHead) -> Result<(Keydir, Vec<Arc<Segment>>)> {
        let Some(home) = self.survey.home() else { return Ok((Keydir::new(), Vec::new())) };
        let state = State::new(home.clone(), Arc::new(SystemClock), Keydir::new());
        let mut segments = Vec::new();
        for covered in &head.about.segments {
            let segment = Arc::new(self.survey.open_covered(covered)?);
            state.change_segments(|set| {
                set.push(Arc::clone(&segment));
                Ok(())
            })?;
            segments.push(segment);
        }
        let set = state.segments();
        let replay = Replay { home, set: &set, keydir: &state.keydir, counts: true };
        for segment in &segments {
            let Some(scanned) = self.scanned.get(&segment.id) else { continue };
            let rows = &scanned.sorted.rows;
            replay.rows(segment, rows, 0..segment.len(), |_| true)?;
            let count = rows.iter().filter(|row| row.at < segment.len()).count() as u64;
            segment.usage.record_count.store(count, Ordering::Relaxed);
        }
        Ok((state.keydir, segments))
    }

    fn parts(&mut self, file: &dyn File, head: &KeydirHead, expected: &Keydir) -> Result<(), Stop> {
        for (index, row) in head.shards.iter().enumerate() {
            let len = u64::from(row.slot_count) * size_of::<u64>() as u64;
            let fault = match read_vec_at(file, row.slots_at, len) {
                Err(error) => Some(Fault::DerivedUnreadable(words(&error))),
                Ok(bytes) => compare(row, &bytes, expected, index)?.map(|fault| match fault {
                    PartFault::Damaged => Fault::KeydirPart(index),
                    PartFault::Differs => Fault::KeydirEntries(index),
                }),
            };
            fault.map_or(Ok(()), |fault| self.wrong(fault))?;
        }
        Ok(())
    }
}

/// The counts of one segment that are wrong.
fn miscounted(said: &Covered, counted: &Covered) -> Vec<Fault> {
    let counts = [
        ("records", said.record_count, counted.record_count),
        ("live records", said.live_count, counted.live_count),
        ("live bytes", said.live_len, counted.live_len),
        ("tombstones", said.tombstone_count, counted.tombstone_count),
        ("bytes of tombstones", said.tombstone_len, counted.tombstone_len),
    ];
    let is_wrong = |(_, said, counted): &(_, u64, u64)| said != counted && !planted(Plant::CountsNotVerified);
    let wrong = counts.into_iter().filter(is_wrong);
    wrong.map(|(what, said, counted)| Fault::Count { what, said, counted }).collect()
}
