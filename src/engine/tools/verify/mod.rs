//! Verification: every checksum, the order of the log, and every hint and KEYDIR against the log.
//!
//! A verification reads the files with `pread`, takes no lock and writes nothing. It also works on
//! a store that does not open, and beside a writer. It takes 16 bytes of memory per record, and the
//! keys of one segment at a time.

mod finding;
mod hint;
mod keydir;
mod segment;
mod verifier;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub use finding::{Fault, Finding, Severity, VerifyReport};
pub use verifier::VerifyEvent;

use self::finding::is_not_a_file;
use self::keydir::KeydirFile;
use self::verifier::Verifier;
use crate::engine::base::error::{Error, Result, words};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Stop;
use crate::engine::files::log_files::{self, LogFiles};
use crate::engine::format::manifest::{Manifest, SegmentExtent};
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::fs::{Access, Directory, StoreFile};
use crate::engine::options::Options;
use crate::engine::segment::{ReadMode, file};

/// Verifies the store in directory `path`: the named segments, or the whole store if none is named.
/// `observe` receives each finding and the progress, and cancels with `Break`. Only the file system
/// and [`Options::trust`] of `options` are used. Beside a writer, the verification follows
/// MANIFEST: it skips a segment that was compacted away and reads its replacement.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Unfinished`] and [`Error::Untrusted`] for the
/// directory; [`Error::NoSuchSegment`]; [`Error::Cancelled`] if `observe` returned `Break`;
/// [`Error::Io`] if the directory cannot be read. Damage in a file is a finding, not an error.
pub fn store(
    path: &Path,
    options: &Options,
    segments: &[SegmentId],
    observe: &mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    let directory = log_files::enter(path, options)?;
    let log_files = LogFiles::of(Arc::clone(&directory), &ReadMode::of(&directory, options))?;
    log_files.check_finished(path)?;
    if log_files.segments().is_empty() && log_files.manifest().is_err() {
        return Err(Error::Missing { path: path.to_owned() });
    }
    of_log_files(directory, log_files, segments, observe)
}

/// Verifies the files in `directory` as the store that `manifest` will make of them.
pub(crate) fn before_manifest(
    directory: Arc<dyn Directory>,
    manifest: Manifest,
    options: &Options,
    observe: &mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    let log_files = LogFiles::by(Ok(manifest), Arc::clone(&directory), &ReadMode::of(&directory, options))?;
    of_log_files(directory, log_files, &[], observe)
}

fn of_log_files(
    directory: Arc<dyn Directory>,
    mut log_files: LogFiles,
    segments: &[SegmentId],
    observe: &mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
) -> Result<VerifyReport> {
    if let Some(&segment) = segments.iter().find(|id| !log_files.admit(**id)) {
        return Err(Error::NoSuchSegment { segment });
    }
    let mut verifier = Verifier::new(directory, log_files, segments, observe);
    verifier.run()?;
    Ok(verifier.report)
}

impl Verifier<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let is_whole = self.wanted.is_empty();
        if let Some(why) = self.log_files.why_no_manifest() {
            self.report_fault(StoreFile::Manifest, None, Fault::Manifest(why))?;
        }
        let uncounted: Vec<_> =
            self.log_files.manifest().ok().into_iter().flat_map(Manifest::uncounted).collect();
        for (what, number) in uncounted {
            self.report_fault(StoreFile::Manifest, None, Fault::NumberTooLarge { what, number })?;
        }
        // A compaction may remove KEYDIR while the segments are read, so it is opened first.
        let keydir = self.log_files.context().filter(|_| is_whole).map(KeydirFile::open);
        if is_whole {
            self.unlisted_files()?;
        }
        let unread = self.log_files.segments().iter().filter(|found| self.is_unread(found.id));
        self.total_len = unread.filter_map(|found| self.log_files.file_len(found.id).ok()).sum();
        let mut at = 0;
        while let Some(id) = self.log_files.segments().get(at).map(|found| found.id) {
            at += 1;
            // If a writer has replaced segments, the loop starts over and skips those that are
            // done.
            if self.is_unread(id) && self.done.insert(id) && !self.next_segment(id)? {
                at = 0;
            }
        }
        match keydir.map_or(Ok(()), |keydir| self.keydir(keydir)) {
            // The segments that KEYDIR covers were compacted away, so it is out of date.
            Err(Stop::Failed(Error::SegmentMissing { .. })) if self.follow_manifest()? => Ok(()),
            outcome => outcome,
        }
    }

    fn is_unread(&self, id: SegmentId) -> bool {
        (self.wanted.is_empty() || self.wanted.contains(&id)) && !self.done.contains(&id)
    }

    /// Verifies segment `id`. Returns `false` if it was compacted away.
    fn next_segment(&mut self, id: SegmentId) -> Result<bool, Stop> {
        let fault = match self.segment(id) {
            Err(Stop::Failed(Error::SegmentMissing { .. }))
                if !self.is_known_missing(id) && self.follow_manifest()? =>
            {
                return Ok(false);
            }
            Err(Stop::Failed(Error::SegmentMissing { .. })) => Fault::Missing,
            Err(Stop::Failed(Error::Io { source, .. })) => Fault::of_segment(&source),
            outcome => return outcome.map(|()| true),
        };
        self.report_fault(StoreFile::Segment(id), None, fault).map(|()| true)
    }

    /// Returns whether segment `id` is known to be missing under the current MANIFEST. Reading
    /// MANIFEST again for each of thousands of missing segments would be slow.
    fn is_known_missing(&self, id: SegmentId) -> bool {
        self.is_manifest_current && self.log_files.missing().contains(&id)
    }

    /// Reports files that are not part of the log.
    fn unlisted_files(&mut self) -> Result<(), Stop> {
        let mut newer = self.log_files.newer()?;
        // A writer may have rolled since MANIFEST was read. Then the current MANIFEST lists the
        // segment.
        while !newer.is_empty() && self.follow_manifest()? {
            newer = self.log_files.newer()?;
        }
        let mut orphans = file::present(&*self.directory)?;
        orphans.retain(|id| self.log_files.get(*id).is_none());
        orphans.sort_unstable();
        for id in orphans {
            let fault = match self.log_files.manifest() {
                Ok(_) if newer.contains(&id) => Fault::Newer,
                Ok(_) => Fault::Orphan,
                Err(_) => self.fault_of_unknown(id),
            };
            self.report_fault(StoreFile::Segment(id), None, fault)?;
        }
        let path = self.directory.path(StoreFile::Manifest);
        let names = self.directory.names().map_err(Error::io("read the directory of", path))?;
        self.not_regular_files(&names)?;
        for left in [StoreFile::ManifestNew, StoreFile::KeydirNew, StoreFile::Unfinished] {
            if names.iter().any(|name| StoreFile::parse(name) == Some(left)) {
                self.report_fault(left, None, Fault::Leftover)?;
            }
        }
        Ok(())
    }

    /// Reports links, FIFOs, sockets and directories that have the names of a store's files.
    fn not_regular_files(&mut self, names: &[OsString]) -> Result<(), Stop> {
        let mut files: Vec<_> = names.iter().filter_map(|name| StoreFile::parse(name)).collect();
        files.sort_unstable_by_key(StoreFile::to_string);
        for file in files {
            let fault = match file {
                StoreFile::Lock | StoreFile::Config => Fault::InTheWay,
                StoreFile::Keydir => Fault::NotAFile,
                // Hints of sealed segments are verified with their segments.
                StoreFile::Hint(id) if !self.has_hint(id) => Fault::NotAFile,
                _ => continue,
            };
            if let Err(error) = self.directory.open(file, Access::Read)
                && is_not_a_file(&error)
            {
                self.report_fault(file, None, fault(words(&error)))?;
            }
        }
        Ok(())
    }

    /// Returns whether segment `id` may have a hint, which is then verified with the segment.
    fn has_hint(&self, id: SegmentId) -> bool {
        let found = self.log_files.context().and_then(|_| self.log_files.get(id));
        found.is_some_and(|found| matches!(found.extent, Some(SegmentExtent::Sealed(_))))
    }

    /// Returns the fault of a segment that has no readable header and is in no MANIFEST.
    fn fault_of_unknown(&self, id: SegmentId) -> Fault {
        match self.log_files.file_len(id) {
            Ok(len) if len <= HEADER_LEN as u64 => Fault::Empty,
            Ok(_) => Fault::Unknown,
            Err(Error::Io { source, .. }) => Fault::of_segment(&source),
            Err(error) => Fault::Unreadable(error.sentence()),
        }
    }
}
