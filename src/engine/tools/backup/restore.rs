//! Makes a store from a backup: copies the files, checks every byte, then writes MANIFEST and renames the directory.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::course::{Course, Observe};
use super::members::{self, damaged, not_a_backup, unreadable};
use super::report::{BackupProgress, RestoreReport};
use super::room;
use super::source::CHUNK_LEN;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::escape::Grouped;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::{Failure, Stop};
use crate::engine::files::log_files;
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::{Extent, Manifest, ManifestError, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::staging::{self, Staging, create_file};
use crate::engine::fs::{Access, Directory, File, Lock, LockOutcome, StoreFile, read_exact_at, write_all_at};
use crate::engine::options::Options;
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, file};
use crate::engine::tools::verify::{self, Severity, VerifyEvent};

/// Restores the backup in the directory `from`, or a closed store there, to `to`, which is missing
/// or empty, as is one that an interrupted restore or backup left. A missing one is made beside its
/// place, and renamed when it is whole. One that exists keeps its owner and mode, and is filled where
/// it is, MANIFEST last. `observe` receives the progress, and cancels with `Break`. Of `options`, only
/// the file system and [`Options::trust`] are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`]; [`Error::Occupied`] when `to` is not empty;
/// [`Error::BackupDamaged`], [`Error::ManifestDamaged`] and [`Error::SegmentMissing`] when any byte
/// is not as it was written; [`Error::Cancelled`] when `observe` returned `Break`; [`Error::Io`], with
/// [`StorageFull`](std::io::ErrorKind::StorageFull) before anything is written where the system says
/// that there is too little room. Nothing was made.
pub fn restore(
    from: &Path,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    let directory = log_files::enter(from, options)?;
    // Looked at before anything is written, and again when nobody else can change it.
    manifest_of(&*directory, from)?;
    let _lock = hold(&*directory)?;
    let manifest = manifest_of(&*directory, from)?;
    make(to, options, observe, |new| {
        new.begin(manifest, options)?;
        let name = StoreFile::Config;
        match directory.open(name, Access::Read).and_then(|file| manifest_file::text(&*file)) {
            Ok(text) => new.put_options(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", directory.path(name))(error).into()),
        }
        for (id, (len, _)) in new.lens.clone() {
            let source = file::open(&*directory, id, Access::Read)?;
            let mut at = 0;
            new.put_segment(id, len, &mut |bytes| {
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

/// As [`restore`], of an archive: `from` gives its bytes, unpacked.
/// [`Store::backup_archive`](crate::Store::backup_archive) writes one, with MANIFEST first; `tar` makes one
/// of a backup in a directory. Names may include one directory, and come in any order. Files derived
/// from the segments are skipped. Whatever the names are, only files of the new store are written.
///
/// # Errors
/// [`Error::Occupied`] when `to` is not empty; [`Error::NotABackup`] if `from` is not an archive, or is one
/// with files that a backup never has; [`Error::BackupDamaged`] when any byte is not as it was written;
/// [`Error::Unsupported`], and [`Error::Io`]. Nothing was made.
pub fn restore_archive(
    from: &mut dyn Read,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    make(to, options, observe, |new| {
        members::read(from, &mut |file, len, bytes| match file {
            StoreFile::Manifest => new.begin(decode(&members::text(bytes, len)?)?, options),
            StoreFile::Config => Ok(new.put_options(&members::text(bytes, len)?)?),
            StoreFile::Segment(id) if new.takes(id, len) => {
                new.put_segment(id, len, &mut |chunk| bytes.read_exact(chunk).map_err(unreadable))
            }
            StoreFile::Segment(_) => {
                let len = Grouped(len);
                Err(damaged(format!("MANIFEST lists no {file} of {len} bytes")).into())
            }
            _ => new.pass_over(bytes),
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

/// Keeps backups and writers away from the directory, where anything can be written there.
fn hold(directory: &dyn Directory) -> Result<Option<Box<dyn Lock>>> {
    match directory.lock() {
        Ok(LockOutcome::Held(lock)) => Ok(Some(lock)),
        Ok(LockOutcome::HeldBy { pid }) => Err(Error::Locked { pid }),
        Err(_) => Ok(None),
    }
}

/// A store while it is made.
struct New<'a> {
    directory: Arc<dyn Directory>,
    course: Course<'a>,
    /// What is to be its MANIFEST, once it is known.
    manifest: Option<Manifest>,
    /// The segments still to be restored, with their lengths and lines in MANIFEST.
    lens: HashMap<SegmentId, (u64, SegmentLine)>,
    /// The segments that came before MANIFEST, by their own headers.
    early: Vec<SegmentLine>,
    report: RestoreReport,
}

/// Makes a store of what `fill` puts into it.
fn make(
    to: &Path,
    options: &Options,
    observe: &mut Observe<'_>,
    fill: impl FnOnce(&mut New<'_>) -> Result<(), Stop>,
) -> Result<RestoreReport> {
    let staging = Staging::of(to, &options.file_system, options.trust)?;
    let mut new = New {
        directory: Arc::clone(staging.directory()),
        course: Course::new(observe, 0),
        manifest: None,
        lens: HashMap::new(),
        early: Vec::new(),
        report: RestoreReport::default(),
    };
    let made = fill(&mut new).and_then(|()| new.check(options)).and_then(|()| new.finish());
    made.and_then(|()| staging.put_in_place().map_err(Stop::from))?;
    Ok(new.report)
}

/// A segment being written, checked up to some record.
struct Arriving {
    line: SegmentLine,
    /// Its final length in bytes.
    len: u64,
    checked: u64,
}

impl Arriving {
    fn new(line: SegmentLine, len: u64) -> Self {
        Self { line, len, checked: line.layout.header_len.into() }
    }

    /// Segment `id`, of `len` bytes, by its header: `start` is its first bytes.
    fn by_header(id: SegmentId, len: u64, start: &[u8]) -> Result<Self> {
        match SegmentHeader::decode(start) {
            Ok(header) => {
                let (base_seq, layout) = (header.base_seq, header.layout());
                Ok(Self::new(SegmentLine { id, base_seq, layout, extent: Extent::Sealed(len) }, len))
            }
            Err(HeaderError::Damaged(damage)) => {
                Err(damaged(format!("{}: {damage}", StoreFile::Segment(id))))
            }
            Err(HeaderError::Unsupported(found)) => {
                let (what, supported) = (format!("segment {id}"), "1.x".to_owned());
                Err(Error::Unsupported { what, found, supported })
            }
        }
    }

    /// Checks the complete records in the first `has` bytes of `file`.
    ///
    /// # Errors
    /// [`Error::BackupDamaged`], and what the operating system says.
    fn check(&mut self, directory: &dyn Directory, file: &Arc<dyn File>, has: u64) -> Result<()> {
        let SegmentLine { id, base_seq, layout, .. } = self.line;
        let seq_end = Seqno(u64::MAX);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page: 0 };
        let segment = Segment::new(identity, directory, file, &ReadMode::stored(), (has, has))?;
        let mut scanner = Scanner::new(&segment, Bodies::Checked).starting_at(self.checked);
        loop {
            match scanner.next_intact() {
                Ok(Some(record)) => self.checked = record.at + record.frame.len,
                Ok(None) => return Ok(()),
                // The rest follows, if MANIFEST says that the segment is that long.
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

impl New<'_> {
    /// Creates a MANIFEST like that of `backup`, with a new lineage.
    fn begin(&mut self, backup: Manifest, options: &Options) -> Result<(), Stop> {
        let mut manifest = Manifest { is_backup: false, ..backup };
        manifest = manifest.forked(manifest_file::new_lineage(&*options.file_system)?);
        for line in &mut manifest.segments {
            let (Extent::Sealed(len) | Extent::Closed(len)) = line.extent else {
                return Err(not_a_backup(
                    "it was written to, and not closed: `backup` makes one of a store that is open",
                )
                .into());
            };
            // Nothing is appended to what others may have a copy of.
            line.extent = Extent::Sealed(len);
            match self.early.iter().position(|early| early.id == line.id) {
                None => drop(self.lens.insert(line.id, (len, *line))),
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
        self.course.expect(self.report.len.saturating_mul(2));
        room::check(&*self.directory, self.lens.values().map(|(len, _)| len).sum())?;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Whether segment `id` of `len` bytes is still to come, as far as is known.
    fn takes(&self, id: SegmentId, len: u64) -> bool {
        len > 0 && self.manifest.is_none() || self.lens.get(&id).is_some_and(|(wanted, _)| *wanted == len)
    }

    /// Skips a file that is derived from the segments.
    fn pass_over(&mut self, bytes: &mut dyn Read) -> Result<(), Stop> {
        let mut buffer = vec![0; CHUNK_LEN as usize];
        while bytes.read(&mut buffer).map_err(unreadable)? > 0 {
            self.course.advance(0)?;
        }
        Ok(())
    }

    /// Creates a segment from the bytes that `read` puts into its buffers, and checks them as they
    /// arrive. Damage at the start ends the restore, whatever length the segment claims.
    fn put_segment(
        &mut self,
        id: SegmentId,
        len: u64,
        read: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<(), Stop> {
        let name = StoreFile::Segment(id);
        let path = || self.directory.path(name);
        let mut arriving = self.lens.get(&id).map(|(_, line)| Arriving::new(*line, len));
        let file = self.directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        let mut buffer = vec![0; len.min(CHUNK_LEN) as usize];
        let mut at = 0;
        while at < len {
            let chunk = &mut buffer[..(len - at).min(CHUNK_LEN) as usize];
            read(chunk)?;
            if arriving.is_none() {
                let early = arriving.insert(Arriving::by_header(id, len, chunk)?);
                self.early.push(early.line);
                room::check(&*self.directory, len)?;
            }
            write_all_at(&*file, chunk, at).map_err(Error::io("write", path()))?;
            at += chunk.len() as u64;
            self.course.advance(chunk.len() as u64)?;
            if let Some(arriving) = &mut arriving {
                arriving.check(&*self.directory, &file, at)?;
            }
        }
        file.sync().map_err(Error::io("fsync", path()))?;
        self.lens.remove(&id);
        Ok(())
    }

    fn put_options(&mut self, text: &[u8]) -> Result<()> {
        create_file(&*self.directory, StoreFile::Config, text)?;
        self.report.has_options = true;
        Ok(())
    }

    /// Writes MANIFEST, after the files that it lists were verified.
    fn finish(&mut self) -> Result<(), Stop> {
        let manifest = self.manifest()?;
        manifest_file::replace(&*self.directory, manifest).map_err(|Failure { error, .. }| error.into())
    }

    fn manifest(&self) -> Result<&Manifest> {
        if let Some(missing) = self.lens.keys().min() {
            return Err(damaged(format!("it ends before segment {missing}")));
        }
        self.manifest.as_ref().ok_or_else(|| match self.early.is_empty() {
            true => not_a_backup("it holds no store"),
            false => damaged("it holds no MANIFEST"),
        })
    }

    /// Makes the names durable, and verifies the store that MANIFEST will make of the directory.
    fn check(&mut self, options: &Options) -> Result<(), Stop> {
        let manifest = self.manifest()?.clone();
        let path = self.directory.path(StoreFile::Manifest);
        self.directory.sync().map_err(Error::io("fsync the directory of", path))?;
        let (mut wrong, mut told) = (None, 0);
        let mut stopped = Ok(());
        let directory = Arc::clone(&self.directory);
        let verified = verify::before_manifest(directory, manifest, options, &mut |event| {
            match event {
                VerifyEvent::Found(found) if found.fault.severity() == Severity::Damage => {
                    wrong = Some(format!("{}: {}", found.file, found.fault));
                }
                VerifyEvent::Found(_) => {}
                VerifyEvent::Progress { done_len, .. } => {
                    stopped = self.course.advance(done_len.saturating_sub(told));
                    told = done_len;
                }
            }
            match wrong.is_some() || stopped.is_err() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        // These two cancel the verification.
        stopped?;
        if let Some(reason) = wrong {
            return Err(damaged(reason).into());
        }
        self.report.record_count = verified?.record_count;
        Ok(())
    }
}
