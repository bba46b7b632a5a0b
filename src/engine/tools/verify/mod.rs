//! Verification — every checksum, every hint against its segment, the order of the log, KEYDIR against the log.
//!
//! It reads the files alone, with `pread`, takes no lock and writes nothing: it works on a store that does not open, and
//! beside a writer. Takes 16 bytes of memory a record, and for a moment the keys of one segment.

mod finding;
mod hint;
mod keydir;
mod segment;
mod verifier;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub use finding::{Fault, Finding, Severity, VerifyReport};
pub use verifier::VerifyEvent;

use self::finding::{is_no_file, unreadable};
use self::keydir::KeydirFile;
use self::verifier::Verifier;
use crate::engine::base::error::{Error, Result, words};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Stop;
use crate::engine::files::log_files::{self, LogFiles};
use crate::engine::format::manifest::{Extent, Manifest};
use crate::engine::format::segment_header::HEADER_LEN;
use crate::engine::fs::{Access, Directory, StoreFile};
use crate::engine::options::Options;
use crate::engine::segment::{ReadMode, file};

/// Verifies the store in directory `path`: these segments, or, with none named, all of it. `observe` is told of each
/// finding as it comes, and cancels the verification by `Break`. Of `options` the file system and
/// [`Options::trust`] count. Beside a writer it looks at what the log was when it came by: a segment that was compacted
/// away meanwhile is left out, and the one in its place read.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Unfinished`], [`Error::Untrusted`],
/// [`Error::NoSuchSegment`], [`Error::Cancelled`] if `observe` returned `Break`, and
/// [`Error::Io`] if the directory cannot be read. Damage in its files is a finding, not an error.
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

/// As [`store`], for an open directory that is to get `manifest`.
///
/// # Errors
/// As [`store`].
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
    let (wanted, done) = (segments.iter().copied().collect(), HashSet::new());
    let (report, scanned) = (VerifyReport::default(), HashMap::new());
    let mut verifier = Verifier {
        directory,
        log_files,
        wanted,
        done,
        is_settled: false,
        observe,
        done_len: 0,
        total_len: 0,
        report,
        scanned,
    };
    verifier.run()?;
    Ok(verifier.report)
}

impl Verifier<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let is_whole = self.wanted.is_empty();
        if let Some(why) = self.log_files.why_no_manifest() {
            self.found(StoreFile::Manifest, None, Fault::Manifest(why))?;
        }
        let uncounted: Vec<_> =
            self.log_files.manifest().ok().into_iter().flat_map(Manifest::uncounted).collect();
        for (what, number) in uncounted {
            self.found(StoreFile::Manifest, None, Fault::NumberTooLarge { what, number })?;
        }
        // Before the segments: those that it covers may be compacted away while they are read, and it with them.
        let keydir = self.log_files.context().filter(|_| is_whole).map(KeydirFile::open);
        if is_whole {
            self.strangers()?;
        }
        let known = self.log_files.segments().iter().filter(|known| self.is_unread(known.id));
        self.total_len = known.filter_map(|known| self.log_files.file_len(known.id).ok()).sum();
        let mut at = 0;
        while let Some(id) = self.log_files.segments().get(at).map(|known| known.id) {
            at += 1;
            // A writer may have put others in the place of those to come: then it begins anew, and passes over what is done.
            if self.is_unread(id) && self.done.insert(id) && !self.next_segment(id)? {
                at = 0;
            }
        }
        match keydir.map_or(Ok(()), |keydir| self.keydir(keydir)) {
            // What KEYDIR covers was compacted away meanwhile: it is not this log's any more.
            Err(Stop::Failed(Error::SegmentMissing { .. })) if self.has_moved_on()? => Ok(()),
            outcome => outcome,
        }
    }

    fn is_unread(&self, id: SegmentId) -> bool {
        (self.wanted.is_empty() || self.wanted.contains(&id)) && !self.done.contains(&id)
    }

    /// Verifies segment `id`; `false` when it is gone and the log another one.
    fn next_segment(&mut self, id: SegmentId) -> Result<bool, Stop> {
        let fault = match self.segment(id) {
            Err(Stop::Failed(Error::SegmentMissing { .. }))
                if !self.was_never_there(id) && self.has_moved_on()? =>
            {
                return Ok(false);
            }
            Err(Stop::Failed(Error::SegmentMissing { .. })) => Fault::Missing,
            Err(Stop::Failed(Error::Io { source, .. })) => unreadable(&source),
            outcome => return outcome.map(|()| true),
        };
        self.found(StoreFile::Segment(id), None, fault).map(|()| true)
    }

    /// Whether MANIFEST lists segment `id` although there was no such file when it was read, as is known already: reading it
    /// again for each of thousands would take for ever.
    fn was_never_there(&self, id: SegmentId) -> bool {
        self.is_settled && self.log_files.missing().contains(&id)
    }

    /// Files that are no part of the store as it is.
    fn strangers(&mut self) -> Result<(), Stop> {
        let mut newer = self.log_files.newer()?;
        // A writer may have begun one since MANIFEST was read: then the next one lists it.
        while !newer.is_empty() && self.has_moved_on()? {
            newer = self.log_files.newer()?;
        }
        let mut orphans = file::present(&*self.directory)?;
        orphans.retain(|id| self.log_files.get(*id).is_none());
        orphans.sort_unstable();
        for id in orphans {
            let fault = match self.log_files.manifest() {
                Ok(_) if newer.contains(&id) => Fault::Newer,
                Ok(_) => Fault::Orphan,
                Err(_) => self.unknown(id),
            };
            self.found(StoreFile::Segment(id), None, fault)?;
        }
        let path = self.directory.path(StoreFile::Manifest);
        let names = self.directory.names().map_err(Error::io("read the directory of", path))?;
        self.obstacles(&names)?;
        for left in [StoreFile::ManifestNew, StoreFile::KeydirNew, StoreFile::Unfinished] {
            if names.iter().any(|name| StoreFile::parse(name) == Some(left)) {
                self.found(left, None, Fault::Leftover)?;
            }
        }
        Ok(())
    }

    /// Links, FIFOs, sockets and directories where none of the files that are read belongs.
    fn obstacles(&mut self, names: &[OsString]) -> Result<(), Stop> {
        let mut files: Vec<_> = names.iter().filter_map(|name| StoreFile::parse(name)).collect();
        files.sort_unstable_by_key(StoreFile::to_string);
        for file in files {
            let fault = match file {
                StoreFile::Lock | StoreFile::Config => Fault::InTheWay,
                StoreFile::Keydir => Fault::NotAFile,
                // The hints of sealed segments are told of with those.
                StoreFile::Hint(id) if !self.has_hint(id) => Fault::NotAFile,
                _ => continue,
            };
            if let Err(error) = self.directory.open(file, Access::Read)
                && is_no_file(&error)
            {
                self.found(file, None, fault(words(&error)))?;
            }
        }
        Ok(())
    }

    /// Whether the hint of segment `id` is looked at.
    fn has_hint(&self, id: SegmentId) -> bool {
        let known = self.log_files.context().and_then(|_| self.log_files.get(id));
        known.is_some_and(|known| matches!(known.extent, Some(Extent::Sealed(_))))
    }

    /// What a segment is that neither a MANIFEST nor itself tells anything of.
    fn unknown(&self, id: SegmentId) -> Fault {
        match self.log_files.file_len(id) {
            Ok(len) if len <= HEADER_LEN as u64 => Fault::Empty,
            Ok(_) => Fault::Unknown,
            Err(Error::Io { source, .. }) => unreadable(&source),
            Err(error) => Fault::Unreadable(error.sentence()),
        }
    }
}
