//! Layer 8: verification — every checksum, every hint against its segment, the order of the log, KEYDIR against the log.
//!
//! It reads the files alone, with `pread`, takes no lock and writes nothing: it works on a store that does not open, and
//! beside a writer. Takes 16 bytes of memory a record, and for a moment the keys of one segment.

mod finding;
mod hint;
mod keydir;
mod segment;

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

pub use finding::{Fault, Finding, Severity, VerifyReport};

use self::keydir::KeydirFile;
use self::segment::Scanned;
use super::fs::{Directory, StoreFile};
use super::location::SegmentId;
use super::options::Options;
use super::segment::file;
use super::survey::{self, Known, Survey};
use crate::error::{Error, Result, Stop};

/// What is told while a verification runs.
#[derive(Clone, Copy, Debug)]
pub enum VerifyEvent<'a> {
    /// Something is not as it should be, or worth a word.
    Found(&'a Finding),
    /// So far it has come.
    Progress {
        /// Bytes of segments that were read.
        done_len: u64,
        /// Bytes of all that are to be read.
        total_len: u64,
    },
}

/// Verifies the store in directory `path`: these segments, or, with none named, all of it. `observe` is told of each
/// finding as it comes, and ends the verification when it breaks off. Of `options` the file system and
/// [`Options::trust`] count. Beside a writer it looks at what the log was when it came by: a segment that was compacted
/// away meanwhile is left out, and the one in its place read.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::NoSuchSegment`], and [`Error::Io`] when the
/// directory cannot be read. What is wrong with its files is no error, but a finding.
pub fn store(
    path: &Path,
    options: &Options,
    segments: &[SegmentId],
    observe: &mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    let directory = survey::enter(path, options)?;
    let mut survey = Survey::of(Arc::clone(&directory))?;
    if survey.known().is_empty() && survey.manifest().is_err() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    if let Some(&segment) = segments.iter().find(|id| !survey.admit(**id)) {
        return Err(Error::NoSuchSegment { segment });
    }
    let (wanted, done) = (segments.iter().copied().collect(), HashSet::new());
    let (report, scanned) = (VerifyReport::default(), HashMap::new());
    let mut verifier = Verifier {
        directory,
        survey,
        wanted,
        done,
        passed: 0,
        is_settled: false,
        observe,
        done_len: 0,
        total_len: 0,
        report,
        scanned,
    };
    match verifier.run() {
        Ok(()) => {}
        Err(Stop::Cancelled) => verifier.report.is_cancelled = true,
        Err(Stop::Failed(error)) => return Err(error),
    }
    Ok(verifier.report)
}

/// A verification under way.
struct Verifier<'a> {
    directory: Arc<dyn Directory>,
    survey: Survey,
    /// The segments that were named; none: all.
    wanted: HashSet<SegmentId>,
    done: HashSet<SegmentId>,
    /// How many of the known segments, from the first, are not to be looked at again.
    passed: usize,
    /// Whether MANIFEST was found unchanged after segments had been found missing: then they are.
    is_settled: bool,
    observe: &'a mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
    done_len: u64,
    total_len: u64,
    report: VerifyReport,
    /// What the segments that were read hold.
    scanned: HashMap<SegmentId, Scanned>,
}

impl Verifier<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let is_whole = self.wanted.is_empty();
        if let Some(why) = self.survey.why_no_manifest() {
            self.found(StoreFile::Manifest, None, Fault::Manifest(why))?;
        }
        // Before the segments: those that it covers may be compacted away while they are read, and it with them.
        let keydir = self.survey.home().filter(|_| is_whole).map(KeydirFile::open);
        if is_whole {
            self.strangers()?;
        }
        self.total_len = self.unread().filter_map(|known| self.survey.file_len(known.id).ok()).sum();
        while let Some(known) = self.survey.known().get(self.passed) {
            let id = known.id;
            self.passed += 1;
            if self.is_wanted(id) && self.done.insert(id) {
                self.next_segment(id)?;
            }
        }
        match keydir.map_or(Ok(()), |keydir| self.keydir(keydir)) {
            // What KEYDIR covers was compacted away meanwhile: it is not this log's any more.
            Err(Stop::Failed(Error::SegmentMissing { .. })) if self.has_moved_on()? => Ok(()),
            outcome => outcome,
        }
    }

    /// The segments that are still to be read, in log order.
    fn unread(&self) -> impl Iterator<Item = &Known> {
        let known = self.survey.known().iter();
        known.filter(|known| self.is_wanted(known.id) && !self.done.contains(&known.id))
    }

    fn is_wanted(&self, id: SegmentId) -> bool {
        self.wanted.is_empty() || self.wanted.contains(&id)
    }

    fn next_segment(&mut self, id: SegmentId) -> Result<(), Stop> {
        let file = StoreFile::Segment(id);
        match self.segment(id) {
            Err(Stop::Failed(Error::SegmentMissing { .. })) => {
                // Reading MANIFEST again for each of thousands that it lists and that never were would take for ever.
                let is_settled = self.is_settled && self.survey.missing().contains(&id);
                match !is_settled && self.has_moved_on()? {
                    true => Ok(()),
                    false => self.found(file, None, Fault::Missing),
                }
            }
            Err(Stop::Failed(Error::Io { source, .. })) => {
                self.found(file, None, Fault::Unreadable(source.to_string()))
            }
            outcome => outcome,
        }
    }

    /// Whether a writer has replaced the MANIFEST that was looked at; then the new one is followed.
    fn has_moved_on(&mut self) -> Result<bool> {
        let now = Survey::of(Arc::clone(&self.directory))?;
        let generation = |survey: &Survey| survey.manifest().map(|manifest| manifest.generation).ok();
        let has_moved_on = generation(&now).is_some() && generation(&now) != generation(&self.survey);
        self.is_settled = !has_moved_on;
        if has_moved_on {
            (self.survey, self.passed) = (now, 0);
        }
        Ok(has_moved_on)
    }

    /// Files that are no part of the store as it is.
    fn strangers(&mut self) -> Result<(), Stop> {
        let mut orphans = file::present(&*self.directory)?;
        orphans.retain(|id| self.survey.get(*id).is_none());
        orphans.sort_unstable();
        for id in orphans {
            self.found(StoreFile::Segment(id), None, Fault::Orphan)?;
        }
        let path = self.directory.path(StoreFile::Manifest);
        let names = self.directory.names().map_err(Error::io("read the directory of", path))?;
        for left in [StoreFile::ManifestNew, StoreFile::KeydirNew] {
            if names.iter().any(|name| StoreFile::parse(name) == Some(left)) {
                self.found(left, None, Fault::Leftover)?;
            }
        }
        Ok(())
    }

    fn found(&mut self, file: StoreFile, range: Option<Range<u64>>, fault: Fault) -> Result<(), Stop> {
        self.tell(&Finding { file, range, key: None, fault })
    }

    /// Tells of a finding, and counts it.
    fn tell(&mut self, finding: &Finding) -> Result<(), Stop> {
        let count = match finding.fault.severity() {
            Severity::Note => &mut self.report.note_count,
            Severity::Derived => &mut self.report.derived_count,
            Severity::Damage => &mut self.report.damage_count,
        };
        *count += 1;
        self.event(VerifyEvent::Found(finding))
    }

    fn event(&mut self, event: VerifyEvent<'_>) -> Result<(), Stop> {
        Stop::unless((self.observe)(event))
    }
}
