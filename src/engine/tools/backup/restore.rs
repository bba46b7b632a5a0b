//! Restore: copies the files of a backup, checks every byte, then writes MANIFEST and renames the
//! directory.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::members::{self, damaged, not_a_backup, unreadable};
use super::progress::{Observe, Progress};
use super::report::{BackupProgress, RestoreReport};
use super::source::CHUNK_LEN;
use super::space::check_space;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::{Failure, Stop};
use crate::engine::files::log_files;
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Manifest, ManifestError, SegmentExtent, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::staging::{self, Staging, create_file};
use crate::engine::fs::{Access, Directory, File, Lock, LockOutcome, StoreFile, read_exact_at, write_all_at};
use crate::engine::options::Options;
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, file};
use crate::engine::tools::verify::{self, Severity, VerifyEvent};

/// Restores the backup or closed store in directory `from` to `to`, which is missing, empty, or the
/// remains of an interrupted restore or backup. A missing directory is made under another name and
/// renamed when it is complete. An existing one keeps its owner and mode, and gets MANIFEST last.
/// `observe` receives the progress, and cancels with `Break`. Only the file system and
/// [`Options::trust`] of `options` are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`] and [`Error::Locked`] for `from`;
/// [`Error::Occupied`] if `to` is not empty; [`Error::BackupDamaged`], [`Error::ManifestDamaged`]
/// and [`Error::SegmentMissing`] if any byte is damaged or missing; [`Error::Cancelled`] if
/// `observe` returned `Break`; [`Error::Io`], with [`StorageFull`](std::io::ErrorKind::StorageFull)
/// before anything is written if the disk is too full. After an error, `to` holds no store.
pub fn restore(
    from: &Path,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    let directory = log_files::enter(from, options)?;
    // Checked before locking, which creates LOCK in a directory that may hold no backup.
    manifest_of(&*directory, from)?;
    let _lock = lock(&*directory)?;
    let manifest = manifest_of(&*directory, from)?;
    make(to, options, observe, |store| {
        store.begin(manifest, options)?;
        let name = StoreFile::Config;
        match directory.open(name, Access::Read).and_then(|file| manifest_file::text(&*file)) {
            Ok(text) => store.put_options(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", directory.path(name))(error).into()),
        }
        for (id, (len, _)) in store.expected.clone() {
            let source = file::open(&*directory, id, Access::Read)?;
            let mut at = 0;
            store.put_segment(id, len, &mut |bytes| {
                let read = read_exact_at(&*source, bytes, at);
                at += bytes.len() as u64;
                read.map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => {
                        damaged(format!("segment {id} does not have {} bytes", Grouped(len)))
                    }
                    _ => Error::io("read", directory.path(StoreFile::Segment(id)))(error),
                })
            })?;
        }
        Ok(())
    })
}

/// Restores the uncompressed tar archive `from`, as [`restore`] does a directory.
/// [`Store::backup_archive`](crate::Store::backup_archive) writes such an archive, with MANIFEST
/// first. `tar` makes one from a backup in a directory: names may include one directory, and come
/// in any order. Hints and KEYDIR are skipped. Whatever names the archive holds, only files of the
/// new store are written.
///
/// # Errors
/// [`Error::Occupied`] if `to` is not empty; [`Error::NotABackup`] if `from` is no archive, or
/// holds a file that no backup has; [`Error::BackupDamaged`] if any byte is damaged;
/// [`Error::Unsupported`]; [`Error::Cancelled`]; [`Error::Io`]. After an error, `to` holds no
/// store.
pub fn restore_archive(
    from: &mut dyn Read,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    make(to, options, observe, |store| {
        members::read(from, &mut |file, len, bytes| match file {
            StoreFile::Manifest => store.begin(decode(&members::text(bytes, len)?)?, options),
            StoreFile::Config => Ok(store.put_options(&members::text(bytes, len)?)?),
            StoreFile::Segment(id) if store.expects(id, len) => {
                store.put_segment(id, len, &mut |chunk| bytes.read_exact(chunk).map_err(unreadable))
            }
            StoreFile::Segment(_) => {
                let len = Grouped(len);
                Err(damaged(format!("MANIFEST lists no {file} of {len} bytes")).into())
            }
            _ => store.skip(bytes),
        })
    })
}

fn decode(text: &[u8]) -> Result<Manifest> {
    Manifest::decode(text).map_err(|error| match error {
        ManifestError::Damaged(reason) => damaged(format!("its MANIFEST is damaged: {reason}")),
        ManifestError::Unsupported(found) => {
            Error::Unsupported { what: "its MANIFEST".to_owned(), found, supported: "1.x".to_owned() }
        }
    })
}

fn manifest_of(directory: &dyn Directory, path: &Path) -> Result<Manifest> {
    manifest_file::read(directory).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            let path = path.to_owned();
            if staging::MARK.is_set(directory) { Error::Unfinished { path } } else { Error::Missing { path } }
        }
        error => error,
    })
}

/// Locks the directory against writers and backups. Returns `None` if it cannot be written to.
fn lock(directory: &dyn Directory) -> Result<Option<Box<dyn Lock>>> {
    match directory.lock() {
        Ok(LockOutcome::Held(lock)) => Ok(Some(lock)),
        Ok(LockOutcome::HeldBy { pid }) => Err(Error::Locked { pid }),
        Err(_) => Ok(None),
    }
}

/// The restored store while it is written.
struct RestoredStore<'a> {
    directory: Arc<dyn Directory>,
    progress: Progress<'a>,
    /// Its future MANIFEST, once that is known.
    manifest: Option<Manifest>,
    /// The segments still to restore, with their lengths and lines in MANIFEST.
    expected: HashMap<SegmentId, (u64, SegmentLine)>,
    /// The segments that came before MANIFEST, as their headers describe them.
    early: Vec<SegmentLine>,
    report: RestoreReport,
}

/// Makes a store in `to` from the files that `fill` adds.
fn make(
    to: &Path,
    options: &Options,
    observe: &mut Observe<'_>,
    fill: impl FnOnce(&mut RestoredStore<'_>) -> Result<(), Stop>,
) -> Result<RestoreReport> {
    let staging = Staging::of(to, &options.file_system, options.trust)?;
    let mut store = RestoredStore {
        directory: Arc::clone(staging.directory()),
        progress: Progress::new(observe, 0),
        manifest: None,
        expected: HashMap::new(),
        early: Vec::new(),
        report: RestoreReport::default(),
    };
    let made = fill(&mut store).and_then(|()| store.check(options)).and_then(|()| store.finish());
    made.and_then(|()| staging.put_in_place().map_err(Stop::from))?;
    Ok(store.report)
}

/// A segment that is checked while it is written.
struct ArrivingSegment {
    line: SegmentLine,
    /// The final length in bytes.
    len: u64,
    /// The end of the last checked record.
    checked_to: u64,
}

impl ArrivingSegment {
    fn new(line: SegmentLine, len: u64) -> Self {
        Self { line, len, checked_to: line.layout.header_len.into() }
    }

    /// Returns segment `id` of `len` bytes as the header in its first bytes, `start`, describes it.
    fn by_header(id: SegmentId, len: u64, start: &[u8]) -> Result<Self> {
        match SegmentHeader::decode(start) {
            Ok(header) => {
                let extent = SegmentExtent::Sealed(len);
                let line = SegmentLine { id, base_seq: header.base_seq, layout: header.layout(), extent };
                Ok(Self::new(line, len))
            }
            Err(HeaderError::Damaged(damage)) => {
                Err(damaged(format!("{}: {damage}", StoreFile::Segment(id))))
            }
            Err(HeaderError::Unsupported(found)) => {
                let what = format!("segment {id}");
                Err(Error::Unsupported { what, found, supported: "1.x".to_owned() })
            }
        }
    }

    /// Checks the complete records in the first `has` bytes of `file`.
    ///
    /// # Errors
    /// [`Error::BackupDamaged`] and [`Error::Io`].
    fn check(&mut self, directory: &dyn Directory, file: &Arc<dyn File>, has: u64) -> Result<()> {
        let SegmentLine { id, base_seq, layout, .. } = self.line;
        let seq_end = Seqno(u64::MAX);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page: 0 };
        let segment = Segment::new(identity, directory, file, &ReadMode::stored(), (has, has))?;
        let mut scanner = Scanner::new(&segment, Bodies::Checked).starting_at(self.checked_to);
        loop {
            match scanner.next_intact() {
                Ok(Some(record)) => self.checked_to = record.at + record.frame.len,
                Ok(None) => return Ok(()),
                // The rest of the record has not arrived yet.
                Err(Error::Damaged { offset, damage: Damage::Truncated { wants, .. }, .. })
                    if wants <= self.len - offset =>
                {
                    return Ok(());
                }
                Err(Error::Damaged { damage, .. }) => {
                    return Err(damaged(format!("{}: {damage}", StoreFile::Segment(id))));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl RestoredStore<'_> {
    /// Prepares a MANIFEST like that of `backup`, with a new lineage.
    fn begin(&mut self, backup: Manifest, options: &Options) -> Result<(), Stop> {
        let mut manifest = Manifest { is_backup: false, ..backup };
        manifest = manifest.forked(manifest_file::new_lineage(&*options.file_system)?);
        for line in &mut manifest.segments {
            let (SegmentExtent::Sealed(len) | SegmentExtent::Closed(len)) = line.extent else {
                let reason = "it is a store that was not closed; `backup` can copy it while it is open";
                return Err(not_a_backup(reason).into());
            };
            // Copies of the segment may exist, so nothing may be appended to it.
            line.extent = SegmentExtent::Sealed(len);
            match self.early.iter().position(|early| early.id == line.id) {
                None => drop(self.expected.insert(line.id, (len, *line))),
                Some(at) if self.early.swap_remove(at) == *line => {}
                Some(_) => {
                    let reason = format!("its segment {} is not the one that MANIFEST lists", line.id);
                    return Err(damaged(reason).into());
                }
            }
        }
        if let Some(early) = self.early.first() {
            return Err(damaged(format!("MANIFEST lists no {}", StoreFile::Segment(early.id))).into());
        }
        self.report.segment_count = manifest.segments.len() as u64;
        self.report.len = manifest.segments.iter().fold(0, |sum, line| sum.saturating_add(line.extent.len()));
        self.progress.set_total(self.report.len.saturating_mul(2));
        check_space(&*self.directory, self.expected.values().map(|(len, _)| len).sum())?;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Returns whether segment `id` of `len` bytes is expected. Before MANIFEST has arrived, every
    /// segment is, unless it is empty.
    fn expects(&self, id: SegmentId, len: u64) -> bool {
        len > 0 && self.manifest.is_none() || self.expected.get(&id).is_some_and(|(wanted, _)| *wanted == len)
    }

    /// Reads and discards a file that is derived from the segments.
    fn skip(&mut self, bytes: &mut dyn Read) -> Result<(), Stop> {
        let mut buffer = vec![0; CHUNK_LEN as usize];
        while bytes.read(&mut buffer).map_err(unreadable)? > 0 {
            self.progress.advance(0)?;
        }
        Ok(())
    }

    /// Writes a segment from the bytes that `read` returns, and checks them as they arrive. Damage
    /// at the start ends the restore, whatever length the segment claims.
    fn put_segment(
        &mut self,
        id: SegmentId,
        len: u64,
        read: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<(), Stop> {
        let name = StoreFile::Segment(id);
        let path = || self.directory.path(name);
        let mut arriving = self.expected.get(&id).map(|(_, line)| ArrivingSegment::new(*line, len));
        let file = self.directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        let mut buffer = vec![0; len.min(CHUNK_LEN) as usize];
        let mut at = 0;
        while at < len {
            let chunk = &mut buffer[..(len - at).min(CHUNK_LEN) as usize];
            read(chunk)?;
            if arriving.is_none() {
                let early = arriving.insert(ArrivingSegment::by_header(id, len, chunk)?);
                self.early.push(early.line);
                check_space(&*self.directory, len)?;
            }
            write_all_at(&*file, chunk, at).map_err(Error::io("write", path()))?;
            at += chunk.len() as u64;
            self.progress.advance(chunk.len() as u64)?;
            if let Some(arriving) = &mut arriving {
                arriving.check(&*self.directory, &file, at)?;
            }
        }
        file.sync().map_err(Error::io("fsync", path()))?;
        self.expected.remove(&id);
        Ok(())
    }

    fn put_options(&mut self, text: &[u8]) -> Result<()> {
        create_file(&*self.directory, StoreFile::Config, text)?;
        self.report.has_options = true;
        Ok(())
    }

    /// Writes MANIFEST. The files that it lists must have been verified.
    fn finish(&mut self) -> Result<(), Stop> {
        let manifest = self.manifest()?;
        manifest_file::replace(&*self.directory, manifest).map_err(|Failure { error, .. }| error.into())
    }

    fn manifest(&self) -> Result<&Manifest> {
        if let Some(missing) = self.expected.keys().min() {
            return Err(damaged(format!("it ends before segment {missing}")));
        }
        self.manifest.as_ref().ok_or_else(|| match self.early.is_empty() {
            true => not_a_backup("it holds no store"),
            false => damaged("it holds no MANIFEST"),
        })
    }

    /// Makes the file names durable, and verifies the directory as the store that MANIFEST will
    /// make of it.
    fn check(&mut self, options: &Options) -> Result<(), Stop> {
        let manifest = self.manifest()?.clone();
        let path = self.directory.path(StoreFile::Manifest);
        self.directory.sync().map_err(Error::io("fsync the directory of", path))?;
        let mut damage = None;
        let mut reported_len = 0;
        let mut stopped = Ok(());
        let directory = Arc::clone(&self.directory);
        let verified = verify::before_manifest(directory, manifest, options, &mut |event| {
            match event {
                VerifyEvent::Found(found) if found.fault.severity() == Severity::Damage => {
                    damage = Some(format!("{}: {}", found.file, found.fault));
                }
                VerifyEvent::Found(_) => {}
                VerifyEvent::Progress { done_len, .. } => {
                    stopped = self.progress.advance(done_len.saturating_sub(reported_len));
                    reported_len = done_len;
                }
            }
            match damage.is_some() || stopped.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        // Both cases cancelled the verification.
        stopped?;
        if let Some(reason) = damage {
            return Err(damaged(reason).into());
        }
        self.report.record_count = verified?.record_count;
        Ok(())
    }
}
