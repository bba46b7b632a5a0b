//! KEYDIR against the log: its parts are compared with an index made anew from the records.

use std::io;
use std::sync::Arc;

use super::finding::{Fault, derived_unreadable, is_no_file};
use super::verifier::Verifier;
use crate::engine::base::clock::SystemClock;
use crate::engine::base::error::{Result, words};
use crate::engine::base::stop::Stop;
use crate::engine::format::codec::Compressed;
use crate::engine::format::keydir_file::{self, Covered, Covering, KeydirHead};
use crate::engine::format::manifest::{Extent, SegmentLine};
use crate::engine::fs::{Access, File, StoreFile, read_vec_at};
use crate::engine::keydir::Keydir;
use crate::engine::keydir::file::{PartFault, compare};
use crate::engine::segment::{Bodies, Scanner, Segment, Step, StoreContext};
use crate::engine::state::{Replay, SegmentSet, State};
use crate::engine::upkeep::checkpoint;

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
    pub(super) fn open(home: &StoreContext) -> Self {
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
        if !SegmentSet::may_place(head.about.segments.iter().map(|covered| (covered.first_page, covered.len)))
        {
            return self.wrong(Fault::DerivedDamaged);
        }
        if self.is_ahead(&head.about) {
            return self.wrong(Fault::KeydirAhead { said: head.about.covered_seq });
        }
        let is_intact = |covered: &Covered| {
            let scanned = self.scanned.get(&covered.id);
            scanned.is_some_and(|scanned| scanned.damaged.is_empty() && covered.len <= scanned.end)
        };
        if !head.about.segments.iter().all(is_intact) {
            return self.wrong(Fault::NotCompared);
        }
        let newest = head.about.segments.last().and_then(|last| Some((last, self.scanned.get(&last.id)?)));
        // A crash skips numbers: the last number in KEYDIR may be greater than any record's, but
        // never smaller.
        if let Some((_, scanned)) = newest.filter(|(last, scanned)| last.len == scanned.end)
            && head.about.covered_seq < scanned.sorted.last_seq
        {
            let (said, counted) = (head.about.covered_seq.0, scanned.sorted.last_seq.0);
            self.wrong(Fault::Count { what: "last number", said, counted })?;
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
            .log_files
            .context()
            .is_some_and(|home| head.about.store == home.store && head.about.hash_seed == home.hash_seed);
        let known = self.log_files.segments();
        is_ours
            && head.about.segments.len() <= known.len()
            && head.about.segments.iter().zip(known).all(|(covered, known)| covered.id == known.id)
    }

    /// Whether KEYDIR lists more than the part of the log that it covers can hold.
    fn is_ahead(&self, about: &Covering) -> bool {
        let Ok(manifest) = self.log_files.manifest() else { return false };
        // A writer may have written it since MANIFEST was read; a power cut may have removed that
        // part of the log.
        let fits = |(covered, line): (&Covered, &SegmentLine)| match line.extent {
            Extent::Sealed(len) | Extent::Closed(len) => covered.len <= len,
            Extent::Active(_) => true,
        };
        about.segments.iter().zip(&manifest.segments).all(fits) && checkpoint::is_ahead(about, manifest)
    }

    /// The index that the records make which it covers, and the segments with what was counted in them.
    fn expected(&self, head: &KeydirHead) -> Result<(Keydir, Vec<Arc<Segment>>)> {
        let Some(home) = self.log_files.context() else { return Ok((Keydir::new(), Vec::new())) };
        let state = State::new(home.clone(), Arc::new(SystemClock), Keydir::new());
        let segments =
            head.about.segments.iter().map(|covered| self.log_files.open_covered(covered).map(Arc::new));
        let segments = segments.collect::<Result<Vec<_>>>()?;
        state.change_segments(|set| {
            segments.iter().cloned().for_each(|segment| set.push(segment));
            Ok(())
        })?;
        let set = state.segments();
        let replay = Replay { context: home, set: &set, keydir: &state.keydir, counts: true };
        for segment in &segments {
            let Some(scanned) = self.scanned.get(&segment.id) else { continue };
            let rows = &scanned.sorted.rows;
            replay.rows(segment, rows, 0..segment.len(), |_| true)?;
            let count = rows.iter().filter(|row| row.at < segment.len()).count() as u64;
            let is_whole = segment.len() == scanned.end;
            let compressed = if is_whole { scanned.sorted.compressed } else { compressed(segment)? };
            segment.usage.set_records(count, compressed);
        }
        Ok((state.keydir, segments))
    }

    /// Compares each part with `expected`. A wrong number in the head may make all of them wrong, which is one finding.
    fn parts(&mut self, file: &dyn File, head: &KeydirHead, expected: &Keydir) -> Result<(), Stop> {
        let [mut damaged, mut different] = [(); 2].map(|()| Vec::new());
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
        [unreadable, damaged, different].into_iter().flatten().try_for_each(|fault| self.wrong(fault))
    }
}

/// What the compressed values of a segment come to, whose records are intact.
fn compressed(segment: &Segment) -> Result<Compressed> {
    let mut sum = Compressed::default();
    let mut scanner = Scanner::new(segment, Bodies::Checked);
    while let Some(Step::Record(record)) = scanner.next()? {
        sum = sum.plus(record.compressed());
    }
    Ok(sum)
}

/// The counts of one segment that are wrong.
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
