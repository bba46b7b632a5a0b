//! A store made of a backup: put together beside its place, every byte checked, and then given its name.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::archive::{self, damaged, unreadable};
use super::course::{Course, Observe};
use super::report::{BackupProgress, RestoreReport};
use super::source::CHUNK_LEN;
use crate::engine::aside::Aside;
use crate::engine::catalog;
use crate::engine::format::manifest::{Extent, Manifest, ManifestError, SegmentLine};
use crate::engine::fs::{Access, Directory, File, Lock, LockOutcome, StoreFile, read_exact_at, write_all_at};
use crate::engine::location::{SegmentId, Seqno};
use crate::engine::options::Options;
use crate::engine::plant::{Plant, planted};
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanned, Scanner, Segment, Step, file};
use crate::engine::survey;
use crate::engine::verify::{self, Severity, VerifyEvent};
use crate::error::{Damage, Error, Failure, Result, Stop};

/// Restores the backup in the directory `from`, or a closed store there, to `to`, which is missing
/// or empty. An empty directory keeps its owner and mode. `observe` receives the progress, and
/// cancels with `Break`. Of `options`, only the file system and [`Options::trust`] are used.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`]; [`Error::Occupied`] when `to` is not empty;
/// [`Error::BackupDamaged`], [`Error::ManifestDamaged`] and [`Error::SegmentMissing`] when any byte
/// is not as it was written; [`Error::Cancelled`] when `observe` returned `Break`; [`Error::Io`].
/// Nothing was made.
pub fn restore(
    from: &Path,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    let directory = survey::enter(from, options)?;
    // Looked at before anything is written, and again when nobody else can change it.
    manifest_of(&*directory, from)?;
    let _lock = hold(&*directory)?;
    let manifest = manifest_of(&*directory, from)?;
    make(to, options, observe, |new| {
        new.begin(manifest, options)?;
        let name = StoreFile::Config;
        match directory.open(name, Access::Read).and_then(|file| catalog::text(&*file)) {
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
                    ErrorKind::UnexpectedEof => damaged(format!("segment {id} has not {len} bytes")),
                    _ => Error::io("read", directory.path(StoreFile::Segment(id)))(error),
                })
            })?;
        }
        Ok(())
    })
}

/// As [`restore`], of an archive that [`Store::backup_archive`](crate::Store::backup_archive) wrote: `from` gives its bytes.
/// Whatever they are, no name in them leads anywhere but to a file of the new store.
///
/// # Errors
/// [`Error::Occupied`] when `to` is not empty; [`Error::BackupDamaged`] when `from` gives anything but a backup of which
/// every byte is as it was written; [`Error::Unsupported`], and [`Error::Io`]. Nothing was made then.
pub fn restore_archive(
    from: &mut dyn Read,
    to: &Path,
    options: &Options,
    observe: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
) -> Result<RestoreReport> {
    make(to, options, observe, |new| {
        archive::read(from, &mut |file, len, bytes| match (file, &new.manifest) {
            (StoreFile::Manifest, None) => new.begin(decode(&archive::text(bytes, len)?)?, options),
            (_, None) => Err(damaged("it does not begin with MANIFEST").into()),
            (StoreFile::Config, _) if !new.report.has_options => {
                Ok(new.put_options(&archive::text(bytes, len)?)?)
            }
            (StoreFile::Segment(id), _) if new.wants(id) == Some(len) => {
                new.put_segment(id, len, &mut |chunk| bytes.read_exact(chunk).map_err(unreadable))
            }
            (file, _) => Err(damaged(format!("MANIFEST knows of no {file} of {len} bytes")).into()),
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
    catalog::read(directory).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            Error::Missing { path: path.to_owned() }
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
    report: RestoreReport,
}

/// Makes a store of what `fill` puts into it.
fn make(
    to: &Path,
    options: &Options,
    observe: &mut Observe<'_>,
    fill: impl FnOnce(&mut New<'_>) -> Result<(), Stop>,
) -> Result<RestoreReport> {
    let aside = Aside::of(to, &options.file_system, options.trust)?;
    let mut new = New {
        directory: Arc::clone(aside.directory()),
        course: Course::new(observe, 0),
        manifest: None,
        lens: HashMap::new(),
        report: RestoreReport::default(),
    };
    let made = fill(&mut new).and_then(|()| new.finish()).and_then(|()| new.check(aside.path(), options));
    made.and_then(|()| aside.put_in_place().map_err(Stop::from))?;
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
        while let Some(step) = scanner.next()? {
            let damage = match step {
                Step::Record(record) if record.damage.is_none() => {
                    self.checked = record.at + record.frame.len;
                    continue;
                }
                // The rest follows, if MANIFEST says that the segment is that long.
                Step::Bad { at, damage: Damage::Truncated { wants, .. } } if wants <= self.len - at => {
                    return Ok(());
                }
                Step::Record(Scanned { damage: Some(damage), .. }) | Step::Bad { damage, .. } => damage,
                Step::Record(_) => continue,
            };
            return Err(damaged(format!("{}: {damage}", StoreFile::Segment(id))));
        }
        Ok(())
    }
}

impl New<'_> {
    /// Creates a MANIFEST like that of `backup`, with a new lineage.
    fn begin(&mut self, backup: Manifest, options: &Options) -> Result<(), Stop> {
        let mut manifest = Manifest { is_backup: false, ..backup };
        if !planted(Plant::RestoreKeepsLineage) {
            manifest = manifest.forked(catalog::new_lineage(&*options.file_system)?);
        }
        for line in &mut manifest.segments {
            let (Extent::Sealed(len) | Extent::Closed(len)) = line.extent else {
                return Err(damaged(
                    "it was written to, and not closed: `backup` makes one of a store that is open",
                )
                .into());
            };
            // Nothing is appended to what others may have a copy of.
            line.extent = Extent::Sealed(len);
            self.lens.insert(line.id, (len, *line));
        }
        self.report.segment_count = manifest.segments.len() as u64;
        self.report.len = self.lens.values().fold(0, |sum, (len, _)| sum.saturating_add(*len));
        self.course.expect(self.report.len.saturating_mul(2));
        self.manifest = Some(manifest);
        Ok(())
    }

    /// The length of segment `id`, if it is still to come.
    fn wants(&self, id: SegmentId) -> Option<u64> {
        self.lens.get(&id).map(|(len, _)| *len)
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
        let file = self.directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        let mut buffer = vec![0; len.min(CHUNK_LEN) as usize];
        let mut arriving = self.lens.get(&id).map(|(_, line)| Arriving::new(*line, len));
        let mut at = 0;
        while at < len {
            let chunk = &mut buffer[..(len - at).min(CHUNK_LEN) as usize];
            read(chunk)?;
            write_all_at(&*file, chunk, at).map_err(Error::io("write", path()))?;
            at += chunk.len() as u64;
            self.course.advance(chunk.len() as u64)?;
            if let Some(arriving) = arriving.as_mut().filter(|_| !planted(Plant::RestoreChecksLast)) {
                arriving.check(&*self.directory, &file, at)?;
            }
        }
        file.sync().map_err(Error::io("fsync", path()))?;
        self.lens.remove(&id);
        Ok(())
    }

    fn put_options(&mut self, text: &[u8]) -> Result<()> {
        let name = StoreFile::Config;
        let path = || self.directory.path(name);
        let file = self.directory.open(name, Access::Create).map_err(Error::io("create", path()))?;
        write_all_at(&*file, text, 0).map_err(Error::io("write", path()))?;
        file.sync().map_err(Error::io("fsync", path()))?;
        self.report.has_options = true;
        Ok(())
    }

    /// Writes MANIFEST, when all that it lists is there.
    fn finish(&mut self) -> Result<(), Stop> {
        if let Some(missing) = self.lens.keys().min() {
            return Err(damaged(format!("it ends before segment {missing}")).into());
        }
        let Some(manifest) = &self.manifest else { return Err(damaged("it is empty").into()) };
        let path = || self.directory.path(StoreFile::Manifest);
        self.directory.sync().map_err(Error::io("fsync the directory of", path()))?;
        catalog::replace(&*self.directory, manifest).map_err(|Failure { error, .. }| error.into())
    }

    /// Verifies the restored store, which is at `path` now.
    fn check(&mut self, path: &Path, options: &Options) -> Result<(), Stop> {
        if planted(Plant::RestoreUnverified) {
            return Ok(());
        }
        let (mut wrong, mut told) = (None, 0);
        let mut stopped = Ok(());
        let verified = verify::directory(Arc::clone(&self.directory), path, options, &[], &mut |event| {
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
