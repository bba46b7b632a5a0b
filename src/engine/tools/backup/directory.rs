//! Backups to a directory: sealed segments are linked or copied, and those of an earlier backup
//! stay.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::progress::{Observe, Progress};
use super::report::BackupReport;
use super::source::{BackupSegment, BackupSource};
use super::space::{are_on_one_device, check_space};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::{Failure, Stop};
use crate::engine::files::log_files;
use crate::engine::files::manifest_file;
use crate::engine::format::hint as hint_format;
use crate::engine::format::manifest::{Manifest, SegmentLine};
use crate::engine::fs::staging::{self, StagedFile, Staging, create_file, remove_if_there};
use crate::engine::fs::{Access, Directory, Exclusion, File, Guarded, LockOutcome, StoreFile, write_all_at};
use crate::engine::options::Options;
use crate::engine::segment::hint;

/// Makes a backup of `source`, the store at path `from`, in `to`. A missing or empty directory gets
/// a new backup. A directory with a backup of the same store gets the next one.
///
/// # Errors
/// [`Error::Occupied`] if `to` holds anything else, or is the store's directory or inside it;
/// [`Error::Damaged`]; [`Error::Cancelled`]; [`Error::Io`], also if the disk is too full. The
/// earlier backup is then unchanged.
pub(crate) fn into_directory(
    source: &BackupSource,
    (from, to): (&Path, &Path),
    options: &Options,
    observe: &mut Observe<'_>,
) -> Result<BackupReport> {
    let real = |path: &Path| options.file_system.real_path(path).map_err(Error::io("open", path));
    if real(to)?.starts_with(real(from)?) {
        return Err(Error::occupied(to, "it is the store's own directory, or inside it"));
    }
    let mut progress = Progress::new(observe, 2 * source.len());
    let done = if staging::is_free(to, &*options.file_system)? {
        let staging = Staging::of(to, &options.file_system, options.trust)?;
        let mut target = BackupTarget::new(source, staging.directory(), to, None);
        let filled = target.fill(&mut progress);
        filled.and_then(|report| staging.put_in_place().map(|()| report).map_err(Stop::from))
    } else {
        let Earlier { directory, manifest } = Earlier::open(source, to, options)?;
        let mut target = BackupTarget::new(source, &directory, to, Some(manifest));
        let done = target.fill(&mut progress);
        if done.is_err() {
            target.remove_added();
        }
        done
    };
    Ok(done?)
}

/// An earlier backup of the same store, locked.
struct Earlier {
    /// Holds the lock.
    directory: Arc<dyn Directory>,
    manifest: Manifest,
}

impl Earlier {
    /// Opens the backup in `to`.
    fn open(source: &BackupSource, to: &Path, options: &Options) -> Result<Self> {
        let directory = log_files::enter(to, options)?;
        // Checked before locking, which creates LOCK in a directory that may hold no backup.
        manifest_of_backup(source, &*directory, to)?;
        let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
            LockOutcome::Held(lock) => Exclusion::new(lock),
            LockOutcome::HeldBy { .. } => return Err(Error::occupied(to, "another process has it open")),
        };
        let directory = Guarded::of(&directory, &exclusion);
        let manifest = manifest_of_backup(source, &*directory, to)?;
        Ok(Self { directory, manifest })
    }
}

fn manifest_of_backup(source: &BackupSource, directory: &dyn Directory, to: &Path) -> Result<Manifest> {
    match manifest_file::read(directory) {
        Ok(manifest) if manifest.store != source.context.store => {
            Err(Error::occupied(to, "it holds a backup of another store, or that store"))
        }
        // The store may have been restored from an older backup. Records that only this backup
        // holds would be lost.
        Ok(manifest) if manifest.is_backup && manifest.next_seq > source.next_seq => {
            let last = manifest.next_seq.previous();
            Err(Error::occupied(to, format!("it holds a later backup of this store, up to record {last}")))
        }
        Ok(manifest) if !manifest.is_backup => {
            Err(Error::occupied(to, "it holds a store that is written to, and no backup"))
        }
        // It may hold records that this store lost in a repair or a restore.
        Ok(manifest) if !source.manifest(0).continues(&manifest) => Err(Error::occupied(
            to,
            "it holds a backup of another lineage of this store, which may have records that this one lacks",
        )),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Err(Error::occupied(to, "it is not empty, and holds no backup"))
        }
        read => read,
    }
}

/// The directory of a backup while it is written.
struct BackupTarget<'a> {
    source: &'a BackupSource,
    directory: Arc<dyn Directory>,
    path: &'a Path,
    /// The MANIFEST of the earlier backup, if there is one.
    old: Option<Manifest>,
    /// Files that the earlier backup does not have.
    added: Vec<StoreFile>,
    report: BackupReport,
}

/// The state of a segment in the earlier backup.
enum EarlierCopy {
    Missing,
    Whole,
    /// The segment has grown since, or the file is too short or missing.
    Partial,
}

impl<'a> BackupTarget<'a> {
    fn new(
        source: &'a BackupSource,
        directory: &Arc<dyn Directory>,
        path: &'a Path,
        old: Option<Manifest>,
    ) -> Self {
        let report = BackupReport {
            segment_count: source.segments.len() as u64,
            len: source.len(),
            last_seq: source.last_seq,
            cursor: source.cursor(),
            ..BackupReport::default()
        };
        Self { source, directory: Arc::clone(directory), path, old, added: Vec::new(), report }
    }

    /// Adds the missing files, then puts the new MANIFEST in place. A crash before that leaves the
    /// earlier backup, a crash after it the new one.
    fn fill(&mut self, progress: &mut Progress<'_>) -> Result<BackupReport, Stop> {
        let source = self.source;
        self.check_space()?;
        for segment in &source.segments {
            self.add(segment, progress)?;
        }
        self.copy_options()?;
        let path = || self.directory.path(StoreFile::Manifest);
        // The segments' names must be durable before a MANIFEST that lists them.
        self.directory.sync().map_err(Error::io("fsync the directory of", path()))?;
        let generation = self.old.as_ref().map_or(1, Manifest::next_generation);
        let manifest = source.manifest(generation);
        manifest_file::replace(&*self.directory, &manifest).map_err(|Failure { error, is_undone }| {
            if !is_undone {
                // Either MANIFEST may be durable, so no file may be removed.
                self.added.clear();
            }
            error
        })?;
        self.added.clear();
        if self.old.is_some() {
            self.remove_old(&manifest);
        }
        Ok(self.report.clone())
    }

    /// Fails if the files to copy do not fit on the disk. Links take no space.
    fn check_space(&self) -> Result<()> {
        let can_link = are_on_one_device(&*self.source.context.directory, &*self.directory);
        let is_copied = |source: &&BackupSegment| {
            let line = self.line(source.segment.id);
            let is_kept = line.is_some_and(|line| line.extent.len() >= source.len);
            !(is_kept || can_link && source.segment.is_sealed())
        };
        let copied = self.source.segments.iter().filter(is_copied);
        check_space(&*self.directory, copied.map(|source| source.len).sum())
    }

    fn add(&mut self, source: &BackupSegment, progress: &mut Progress<'_>) -> Result<(), Stop> {
        match self.earlier_copy(source)? {
            EarlierCopy::Whole => {
                self.report.kept_count += 1;
                progress.advance(2 * source.len)
            }
            EarlierCopy::Partial => {
                source.check(&self.source.context, progress)?;
                // The earlier backup stays valid: its MANIFEST limits the longer file to its own
                // part.
                let directory = Arc::clone(&self.directory);
                let staged = StagedFile::new(&*directory, StoreFile::Unfinished, source.name())?;
                self.copy(source, StoreFile::Unfinished, staged.file(), progress)?;
                Ok(staged.put_in_place()?)
            }
            EarlierCopy::Missing => {
                source.check(&self.source.context, progress)?;
                self.remove(source.name())?;
                self.remove(StoreFile::Hint(source.segment.id))?;
                self.added.push(source.name());
                if self.link(source)? {
                    self.report.linked_count += 1;
                    progress.advance(source.len)?;
                } else {
                    let created = self.directory.open(source.name(), Access::Create);
                    let path = self.directory.path(source.name());
                    let file = created.map_err(Error::io("create", path))?;
                    self.copy(source, source.name(), &*file, progress)?;
                }
                self.copy_hint(source);
                Ok(())
            }
        }
    }

    fn earlier_copy(&self, source: &BackupSegment) -> Result<EarlierCopy> {
        let Some(SegmentLine { base_seq, layout, extent, .. }) = self.line(source.segment.id) else {
            return Ok(EarlierCopy::Missing);
        };
        let len = extent.len();
        let path = || self.directory.path(source.name());
        let file = match self.directory.open(source.name(), Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(EarlierCopy::Partial),
            Err(error) => return Err(Error::io("open", path())(error)),
        };
        if file.len().map_err(Error::io("read", path()))? < len {
            return Ok(EarlierCopy::Partial);
        }
        let is_ours = base_seq == source.segment.base_seq && layout == source.segment.layout;
        let looks_like_ours =
            source.looks_like(&*file, len.min(source.len))?.map_err(Error::io("read", path()))?;
        if !(is_ours && looks_like_ours) {
            let id = source.segment.id;
            let reason = format!("its segment {id} is another one, of another history of this store");
            return Err(Error::occupied(self.path, reason));
        }
        Ok(if len >= source.len { EarlierCopy::Whole } else { EarlierCopy::Partial })
    }

    /// Returns the line of segment `id` in the earlier backup's MANIFEST.
    fn line(&self, id: SegmentId) -> Option<SegmentLine> {
        self.old.as_ref()?.segments.iter().find(|line| line.id == id).copied()
    }

    /// Links the store's own file into the backup if the segment is sealed. Returns whether it did;
    /// if not, the caller copies.
    fn link(&self, source: &BackupSegment) -> Result<bool> {
        if !source.segment.is_sealed() {
            return Ok(false);
        }
        let name = source.name();
        if self.directory.link(&*self.source.context.directory, name).is_err() {
            return Ok(false);
        }
        // The name in the store may have gone to another file since the backup began.
        let is_same = match self.directory.open(name, Access::Read) {
            Ok(file) => {
                let is_as_long = file.len().is_ok_and(|len| len == source.len);
                is_as_long && source.looks_like(&*file, source.len)?.unwrap_or_default()
            }
            Err(_) => false,
        };
        if !is_same {
            self.remove(name)?;
        }
        Ok(is_same)
    }

    fn copy(
        &mut self,
        source: &BackupSegment,
        name: StoreFile,
        file: &dyn File,
        progress: &mut Progress<'_>,
    ) -> Result<(), Stop> {
        let path = || self.directory.path(name);
        source.copy(progress, &mut |bytes, at| {
            write_all_at(file, bytes, at).map_err(Error::io("write", path()))
        })?;
        file.sync().map_err(Error::io("fsync", path()))?;
        self.report.copied_count += 1;
        self.report.copied_len += source.len;
        Ok(())
    }

    /// Copies the hint of a segment, which makes opening the backup faster. A failure costs nothing
    /// else.
    fn copy_hint(&mut self, source: &BackupSegment) {
        let id = source.segment.id;
        let Ok(bytes) = hint::bytes(&self.source.context, id, source.len) else { return };
        if !source.segment.is_sealed() || hint_format::check(&bytes).is_none() {
            return;
        }
        let name = StoreFile::Hint(id);
        let written = self
            .directory
            .open(name, Access::Create)
            .and_then(|file| write_all_at(&*file, &bytes, 0).and_then(|()| file.sync()));
        match written {
            Ok(()) => self.added.push(name),
            Err(error) => {
                tracing::warn!(segment = id.0, %error, "a hint was not copied");
                let _ = self.directory.remove(name);
            }
        }
    }

    fn copy_options(&self) -> Result<()> {
        let Some(options) = &self.source.options else { return self.remove(StoreFile::Config) };
        let old =
            self.directory.open(StoreFile::Config, Access::Read).and_then(|file| manifest_file::text(&*file));
        if old.is_ok_and(|old| old == *options) {
            return Ok(());
        }
        if self.old.is_none() {
            return create_file(&*self.directory, StoreFile::Config, options);
        }
        let staged = StagedFile::new(&*self.directory, StoreFile::Unfinished, StoreFile::Config)?;
        staged.write(options, 0)?;
        staged.sync()?;
        staged.put_in_place()
    }

    /// Removes `file`, which an interrupted backup may have left.
    fn remove(&self, file: StoreFile) -> Result<()> {
        remove_if_there(&*self.directory, file).map_err(Error::io("remove", self.directory.path(file)))
    }

    /// Removes the files that this backup added, after it failed.
    fn remove_added(&self) {
        for file in self.added.iter().copied().chain([StoreFile::Unfinished]) {
            if let Err(error) = self.remove(file) {
                tracing::warn!(error = error.sentence(), "a file of a failed backup stays");
            }
        }
    }

    /// Removes the files that only the earlier backup needed. MANIFEST does not list a file that
    /// cannot be removed, and the next backup tries again.
    fn remove_old(&mut self, manifest: &Manifest) {
        let is_listed = |id: SegmentId| manifest.segments.iter().any(|line| line.id == id);
        for name in self.directory.names().unwrap_or_default() {
            let file = match StoreFile::parse(&name) {
                Some(file @ (StoreFile::Segment(id) | StoreFile::Hint(id))) if !is_listed(id) => file,
                Some(file @ StoreFile::Unfinished) => file,
                _ => continue,
            };
            match self.remove(file) {
                Ok(()) => {
                    let was_listed = |id| self.line(id).is_some();
                    let is_segment = matches!(file, StoreFile::Segment(id) if was_listed(id));
                    self.report.removed_count += u64::from(is_segment);
                }
                Err(error) => tracing::warn!(error = error.sentence(), "a file of an earlier backup stays"),
            }
        }
        if let Err(error) = self.directory.sync() {
            tracing::warn!(%error, "files of an earlier backup may come back");
        }
    }
}
