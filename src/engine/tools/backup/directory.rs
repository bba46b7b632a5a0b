//! A backup in a directory: sealed segments are linked or copied, what an earlier backup had taken stays.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::course::{Course, Observe};
use super::report::BackupReport;
use super::room;
use super::source::{Part, Source};
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

/// Makes a backup of `source`, whose directory was given as `from`, in `to`: a new one when that is missing or empty, the
/// next one when it holds a backup of the same store.
///
/// # Errors
/// [`Error::Occupied`] when it holds anything else, or is the store itself or inside it, [`Error::Damaged`],
/// [`Error::Cancelled`], and [`Error::Io`], also if there is too little room. The earlier backup is unchanged.
pub(crate) fn into_directory(
    source: &Source,
    (from, to): (&Path, &Path),
    options: &Options,
    observe: &mut Observe<'_>,
) -> Result<BackupReport> {
    let real = |path: &Path| options.file_system.real_path(path).map_err(Error::io("open", path));
    if real(to)?.starts_with(real(from)?) {
        return Err(occupied(to, "it is the store's own directory, or inside it"));
    }
    let mut course = Course::new(observe, 2 * source.len());
    let done = if staging::is_free(to, &*options.file_system)? {
        let staging = Staging::of(to, &options.file_system, options.trust)?;
        let mut target = Target::new(source, staging.directory(), to, None);
        let filled = target.fill(&mut course);
        filled.and_then(|report| staging.put_in_place().map(|()| report).map_err(Stop::from))
    } else {
        let Earlier { directory, manifest } = Earlier::of(source, to, options)?;
        let mut target = Target::new(source, &directory, to, Some(manifest));
        let done = target.fill(&mut course);
        if done.is_err() {
            target.take_back();
        }
        done
    };
    Ok(done?)
}

/// An earlier backup of the same store, kept from everybody else.
struct Earlier {
    /// Locked as long as this lives.
    directory: Arc<dyn Directory>,
    manifest: Manifest,
}

impl Earlier {
    /// The one in `to`.
    fn of(source: &Source, to: &Path, options: &Options) -> Result<Self> {
        let directory = log_files::enter(to, options)?;
        // Looked at before anything is written, and again when nobody else can change it.
        manifest_of_backup(source, &*directory, to)?;
        let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
            LockOutcome::Held(lock) => Exclusion::new(lock),
            LockOutcome::HeldBy { .. } => return Err(occupied(to, "another process has it open")),
        };
        let directory = Guarded::of(&directory, &exclusion);
        let manifest = manifest_of_backup(source, &*directory, to)?;
        Ok(Self { directory, manifest })
    }
}

fn manifest_of_backup(source: &Source, directory: &dyn Directory, to: &Path) -> Result<Manifest> {
    match manifest_file::read(directory) {
        Ok(manifest) if manifest.store != source.home.store => {
            Err(occupied(to, "it holds a backup of another store, or that store"))
        }
        // Put back from an older backup, say. What it does not know would be lost.
        Ok(manifest) if manifest.is_backup && manifest.next_seq > source.next_seq => {
            let last = manifest.next_seq.previous();
            Err(occupied(to, &format!("it holds a later backup of this store, up to record {last}")))
        }
        Ok(manifest) if !manifest.is_backup => {
            Err(occupied(to, "it holds a store that is written to, and no backup"))
        }
        // It may have records that this store lost in a repair or by a return to an older backup.
        Ok(manifest) if !source.manifest(0).continues(&manifest) => Err(occupied(
            to,
            "it holds a backup of another lineage of this store, which may have records that this one lacks",
        )),
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Err(occupied(to, "it is not empty, and holds no backup"))
        }
        read => read,
    }
}

fn occupied(path: &Path, reason: &str) -> Error {
    Error::Occupied { path: path.to_owned(), reason: reason.to_owned() }
}

/// The directory of a backup, while it is made.
struct Target<'a> {
    source: &'a Source,
    directory: Arc<dyn Directory>,
    path: &'a Path,
    /// The earlier backup, if there is one.
    old: Option<Manifest>,
    /// Files that it did not have.
    made: Vec<StoreFile>,
    report: BackupReport,
}

/// What the earlier backup has of a segment.
enum Had {
    /// It knows nothing of it.
    Nothing,
    /// All of it.
    All,
    /// A part: it was appended to since, or its file was damaged.
    Some,
}

impl<'a> Target<'a> {
    fn new(
        source: &'a Source,
        directory: &Arc<dyn Directory>,
        path: &'a Path,
        old: Option<Manifest>,
    ) -> Self {
        let (directory, made) = (Arc::clone(directory), Vec::new());
        let (segment_count, len, last_seq) = (source.parts.len() as u64, source.len(), source.last_seq);
        let report =
            BackupReport { segment_count, len, last_seq, cursor: source.cursor(), ..BackupReport::default() };
        Self { source, directory, path, old, made, report }
    }

    /// Takes in what is missing, and then puts the new MANIFEST in place: what is killed before that leaves the earlier
    /// backup, what is killed after it the new one.
    fn fill(&mut self, course: &mut Course<'_>) -> Result<BackupReport, Stop> {
        let source = self.source;
        self.check_room()?;
        for part in &source.parts {
            self.take(part, course)?;
        }
        self.take_options()?;
        let path = || self.directory.path(StoreFile::Manifest);
        // The names of the segments, before a MANIFEST that lists them.
        self.directory.sync().map_err(Error::io("fsync the directory of", path()))?;
        let generation = self.old.as_ref().map_or(1, Manifest::next_generation);
        let manifest = source.manifest(generation);
        manifest_file::replace(&*self.directory, &manifest).map_err(|Failure { error, is_undone }| {
            if !is_undone {
                // Either may be found: what both list stays.
                self.made.clear();
            }
            error
        })?;
        self.made.clear();
        if self.old.is_some() {
            self.sweep(&manifest);
        }
        Ok(self.report.clone())
    }

    /// Fails if the files to copy do not fit. Linked files take no room.
    fn check_room(&self) -> Result<()> {
        let can_link = room::are_on_one_device(&*self.source.home.directory, &*self.directory);
        let is_copied = |part: &&Part| {
            let is_there = self.line(part.segment.id).is_some_and(|line| line.extent.len() >= part.len);
            !(is_there || can_link && part.segment.is_sealed())
        };
        room::check(&*self.directory, self.source.parts.iter().filter(is_copied).map(|part| part.len).sum())
    }

    fn take(&mut self, part: &Part, course: &mut Course<'_>) -> Result<(), Stop> {
        match self.had(part)? {
            Had::All => {
                self.report.kept_count += 1;
                course.advance(2 * part.len)
            }
            Had::Some => {
                part.check(&self.source.home, course)?;
                // The earlier backup is as it was until the longer file has the name, and then, too: it knows how much of
                // the file is its own.
                let directory = Arc::clone(&self.directory);
                let staged = StagedFile::new(&*directory, StoreFile::Unfinished, part.name())?;
                self.copy(part, StoreFile::Unfinished, staged.file(), course)?;
                Ok(staged.put_in_place()?)
            }
            Had::Nothing => {
                part.check(&self.source.home, course)?;
                self.remove(part.name())?;
                self.remove(StoreFile::Hint(part.segment.id))?;
                self.made.push(part.name());
                if self.link(part)? {
                    self.report.linked_count += 1;
                    course.advance(part.len)?;
                } else {
                    let made = self.directory.open(part.name(), Access::Create);
                    let path = self.directory.path(part.name());
                    let file = made.map_err(Error::io("create", path))?;
                    self.copy(part, part.name(), &*file, course)?;
                }
                self.take_hint(part);
                Ok(())
            }
        }
    }

    /// What the earlier backup has of the segment of `part`.
    fn had(&self, part: &Part) -> Result<Had> {
        let Some(SegmentLine { base_seq, layout, extent, .. }) = self.line(part.segment.id) else {
            return Ok(Had::Nothing);
        };
        let len = extent.len();
        let path = || self.directory.path(part.name());
        let file = match self.directory.open(part.name(), Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Had::Some),
            Err(error) => return Err(Error::io("open", path())(error)),
        };
        if file.len().map_err(Error::io("read", path()))? < len {
            return Ok(Had::Some);
        }
        let is_ours = base_seq == part.segment.base_seq && layout == part.segment.layout;
        let looks_like_ours =
            part.looks_like(&*file, len.min(part.len))?.map_err(Error::io("read", path()))?;
        if !(is_ours && looks_like_ours) {
            let id = part.segment.id;
            let reason = format!("its segment {id} is another one, of another history of this store");
            return Err(occupied(self.path, &reason));
        }
        Ok(if len >= part.len { Had::All } else { Had::Some })
    }

    /// What the earlier backup says of segment `id`.
    fn line(&self, id: SegmentId) -> Option<SegmentLine> {
        self.old.as_ref()?.segments.iter().find(|line| line.id == id).copied()
    }

    /// Gives the store's own file a second name here, if it is final and all of it belongs to the backup; whether it did.
    /// Whatever keeps it from that, copying does without.
    fn link(&self, part: &Part) -> Result<bool> {
        if !part.segment.is_sealed() {
            return Ok(false);
        }
        let name = part.name();
        if self.directory.link(&*self.source.home.directory, name).is_err() {
            return Ok(false);
        }
        // What has that path by now may be anything.
        let is_it = match self.directory.open(name, Access::Read) {
            Ok(file) => {
                let is_as_long = file.len().is_ok_and(|len| len == part.len);
                is_as_long && part.looks_like(&*file, part.len)?.unwrap_or_default()
            }
            Err(_) => false,
        };
        if !is_it {
            self.remove(name)?;
        }
        Ok(is_it)
    }

    fn copy(
        &mut self,
        part: &Part,
        name: StoreFile,
        file: &dyn File,
        course: &mut Course<'_>,
    ) -> Result<(), Stop> {
        let path = || self.directory.path(name);
        part.copy(course, &mut |bytes, at| {
            write_all_at(file, bytes, at).map_err(Error::io("write", path()))
        })?;
        file.sync().map_err(Error::io("fsync", path()))?;
        self.report.copied_count += 1;
        self.report.copied_len += part.len;
        Ok(())
    }

    /// Takes the hint of a segment along, if there is one: it spares whoever opens the backup reading the segment. It is
    /// derived, so nothing depends on it.
    fn take_hint(&mut self, part: &Part) {
        let (home, id) = (&self.source.home, part.segment.id);
        let Ok(bytes) = hint::bytes(home, id, part.len) else { return };
        if !part.segment.is_sealed() || hint_format::check(&bytes).is_none() {
            return;
        }
        let name = StoreFile::Hint(id);
        let written = self
            .directory
            .open(name, Access::Create)
            .and_then(|file| write_all_at(&*file, &bytes, 0).and_then(|()| file.sync()));
        match written {
            Ok(()) => self.made.push(name),
            Err(error) => {
                tracing::warn!(segment = id.0, %error, "a hint was not taken along");
                let _ = self.directory.remove(name);
            }
        }
    }

    /// Takes the user's options along.
    fn take_options(&self) -> Result<()> {
        let Some(options) = &self.source.options else { return self.remove(StoreFile::Config) };
        let there =
            self.directory.open(StoreFile::Config, Access::Read).and_then(|file| manifest_file::text(&*file));
        if there.is_ok_and(|there| there == *options) {
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

    /// Removes what a killed backup may have left under the name `file`.
    fn remove(&self, file: StoreFile) -> Result<()> {
        remove_if_there(&*self.directory, file).map_err(Error::io("remove", self.directory.path(file)))
    }

    /// Removes what this backup had taken, when it is not made after all.
    fn take_back(&self) {
        for file in self.made.iter().copied().chain([StoreFile::Unfinished]) {
            if let Err(error) = self.remove(file) {
                tracing::warn!(error = error.sentence(), "a file of a backup that was not made stays");
            }
        }
    }

    /// Removes what the earlier backup had and this one does without. What cannot be removed is in nobody's way: no MANIFEST
    /// lists it, and the next backup tries again.
    fn sweep(&mut self, manifest: &Manifest) {
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
