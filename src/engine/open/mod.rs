//! A directory becomes a state and a log. The only judge of damage.
//!
//! An unclean open goes in this order, so that a crash inside it is an ordinary crash: lock; make MANIFEST and the
//! directory durable; sync the active segment and drop its cached pages; judge; cut a torn tail off, and sync; seal
//! the segment in a new MANIFEST; only then remove orphans.

mod follow;
mod index;
mod load;
mod orphans;

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use self::follow::{Followed, Seen, follow};
use self::load::Load;
use super::format::keydir_file::Covering;
use super::format::manifest::{Extent, History, Manifest};
use super::format::segment_header::StoreId;
use super::fs::{Directory, Exclusion, File, FileSystem, Guarded, LockOutcome, StoreFile, is_of_file_system};
use super::log::{Log, LogEnd};
use super::options::Options;
use super::segment::{Segment, SegmentWriter, file};
use super::state::State;
use crate::engine::base::error::{Damage, Error, Result};
use crate::engine::base::escape::Visible;
use crate::engine::base::ids::{Lineage, Location, SegmentId, Seqno};
use crate::engine::base::stop::Failure;
use crate::engine::files::manifest_file;
use crate::engine::files::tail::TornTail;
use crate::engine::files::{found_segment, log_files};
use crate::engine::fs::staging;

/// How often a read-only open starts over because the writer beside it moved on.
const RETRIES: u32 = 100;

/// What opening a store found and did.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Whether this open made the store.
    pub created: bool,
    /// Whether the log's end had to be searched for: the last writer did not close the store (or,
    /// read-only, is still at work), or the log is [`outgrown`](Self::outgrown).
    pub unclean: bool,
    /// Whether the last writer closed the store, and the log's last file is longer than it was then.
    pub outgrown: bool,
    /// The unfinished end of the log, which an open for writing cuts off and a read-only one passes over.
    pub torn: Option<TornTail>,
    /// The count of intact records read from the log's end, if an open for writing had to search for
    /// that end.
    pub end_count: u64,
    /// Numbers that are skipped, since a crash may have lost writes that had them. The next record
    /// has the number after them. Empty if the last writer closed the store, and read-only.
    pub skipped: Range<Seqno>,
    /// Damage in the rest of the log, in log order: each record that is not as it was written.
    pub damage: Vec<FoundDamage>,
    /// Segments that no MANIFEST lists, left by interrupted work: removed.
    pub orphans_removed: Vec<SegmentId>,
    /// Segment files that no MANIFEST lists and that are not this store's: left alone.
    pub strangers: Vec<SegmentId>,
    /// Records that were put into the index one by one: those that KEYDIR does not cover.
    pub record_count: u64,
    /// How long opening took.
    pub took: Duration,
}

/// A damaged record, or a stretch of bytes in which no record can be made out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDamage {
    /// Where it starts.
    pub at: Location,
    /// Bytes up to the next intact record.
    pub len: u64,
    /// What is wrong with it.
    pub damage: Damage,
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) state: Arc<State>,
    /// `None` when it was opened read-only.
    pub(crate) log: Option<Log>,
    pub(crate) report: OpenReport,
    /// The number of the newest record.
    pub(crate) last_seq: Seqno,
    /// The log's last segment, if it is not sealed.
    pub(crate) end: Option<SegmentId>,
    /// What KEYDIR covered.
    pub(crate) covering: Option<Covering>,
    /// The files as they were read, to follow a writer; `None` if the store is open for writing.
    pub(crate) seen: Option<Seen>,
}

/// Opens the store at `path`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`], [`Error::Unsupported`],
/// [`Error::Rot`] and so on, and what the operating system says. Nothing that was there is changed then, but for a
/// torn tail that may have been cut off.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened> {
    let started = Instant::now();
    let _span =
        tracing::info_span!("open", path = %Visible::path(path), read_only = options.read_only).entered();
    let directory = enter(path, options)?;
    let mut opened =
        if options.read_only { look(&directory, options, None) } else { recover(path, &directory, options) }?;
    opened.report.took = started.elapsed();
    tell(&opened);
    Ok(opened)
}

/// What was found, for who listens.
fn tell(opened: &Opened) {
    let report = &opened.report;
    if report.unclean {
        tracing::info!(
            outgrown = report.outgrown,
            "the store was not closed by its last writer, is open in another process, or has outgrown its end"
        );
    }
    if let Some(torn) = &report.torn {
        tracing::warn!(at = %torn.at, bytes = torn.len, "an unfinished end of the log");
    }
    let (segments, keys) = (opened.state.segments().iter().len(), opened.state.keydir.count());
    let (indexed, damaged) = (report.record_count, report.damage.len());
    tracing::info!(segments, keys, indexed, damaged, took = ?report.took, "opened");
}

/// The directory at `path`, made if need be, if it is one that may become or is a store.
fn enter(path: &Path, options: &Options) -> Result<Arc<dyn Directory>> {
    let may_create = options.create && !options.read_only;
    let directory = match log_files::enter(path, options) {
        Err(Error::Missing { .. }) if may_create => {
            let made = options.file_system.create_directory(path, options.trust);
            made.map_err(Error::io("create", path))?
        }
        entered => entered?,
    };
    match contents(path, &*directory)? {
        Contents::Empty if !may_create => Err(Error::Missing { path: path.to_owned() }),
        Contents::Empty | Contents::Store => Ok(directory),
    }
}

enum Contents {
    Store,
    /// Nothing, or nothing but what an interrupted creation leaves, options put there beforehand, and derived files:
    /// those of a log that is gone say nothing about the next one, whose id they do not carry.
    Empty,
}

/// What the directory holds.
fn contents(path: &Path, directory: &dyn Directory) -> Result<Contents> {
    let mut names = directory.names().map_err(Error::io("read", path))?;
    names.retain(|name| !is_of_file_system(name));
    let files: Vec<_> = names.iter().map(|name| StoreFile::parse(name)).collect();
    if files.contains(&Some(StoreFile::Manifest)) {
        return Ok(Contents::Store);
    }
    if staging::MARK.is_set(directory) {
        return Err(Error::Unfinished { path: path.to_owned() });
    }
    if let Some(stranger) = names.iter().zip(&files).find(|(_, file)| file.is_none()).map(|(name, _)| name) {
        let stranger = Visible(stranger.as_encoded_bytes());
        let reason = format!("it holds other files ({stranger}) and no MANIFEST");
        return Err(Error::Foreign { path: path.to_owned(), reason });
    }
    if files.iter().any(|file| matches!(file, Some(StoreFile::Segment(_)))) {
        return Err(Error::ManifestDamaged { reason: "it is missing, and there are segments".to_owned() });
    }
    Ok(Contents::Empty)
}

/// Opens without a lock and without writing a byte, in place of `earlier`, if that is given.
///
/// # Errors
/// As [`open`].
pub(crate) fn look(
    directory: &Arc<dyn Directory>,
    options: &Options,
    earlier: Option<&Arc<State>>,
) -> Result<Opened> {
    let mut file = manifest_file::open(&**directory)?;
    let mut manifest = manifest_file::decode(&**directory, &*file)?;
    for _ in 0..RETRIES {
        let mut load = Load::new(directory, options, &manifest, earlier);
        match load.all(&manifest) {
            Ok(()) => return Ok(looked(load, manifest, file)),
            // A writer may have moved on since, or may be cutting off a torn tail just now: then MANIFEST says so.
            Err(error) if is_of_change(&error) => {
                file = manifest_file::open(&**directory)?;
                let now = manifest_file::decode(&**directory, &*file)?;
                if now.generation == manifest.generation && matches!(error, Error::SegmentMissing { .. }) {
                    return Err(error);
                }
                manifest = now;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::ManifestDamaged { reason: "it changes faster than it can be read".to_owned() })
}

/// What was read without a lock, by the `manifest` in `file`.
fn looked(load: Load<'_>, manifest: Manifest, file: Arc<dyn File>) -> Opened {
    let Load { home, state, report, last_seq, covering, seen_end, .. } = load;
    // The newest records may be compacted away, but they still count as the last ones for reads of the past.
    let last_seq = last_seq.max(manifest.next_seq.previous());
    let (directory, end) = (home.directory, unsealed(&manifest));
    let seen = Some(Seen { manifest, file, end: seen_end });
    Opened { directory, state, log: None, report, last_seq, end, covering, seen }
}

/// Whether the files may have changed while they were read.
fn is_of_change(error: &Error) -> bool {
    match error {
        Error::SegmentMissing { .. } => true,
        Error::Io { source, .. } => source.kind() == std::io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// Opens for writing.
fn recover(path: &Path, directory: &Arc<dyn Directory>, options: &Options) -> Result<Opened> {
    let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
        LockOutcome::Held(lock) => Exclusion::new(lock),
        LockOutcome::HeldBy { pid } => return Err(Error::Locked { pid }),
    };
    let directory = &Guarded::of(directory, &exclusion);
    // Looked at again under the lock: another process may have made the store meanwhile.
    let is_new = matches!(contents(path, &**directory)?, Contents::Empty);
    if is_new {
        create(&**directory, &*options.file_system)?;
    }
    let mut manifest = manifest_file::read(&**directory)?;
    if manifest.is_backup {
        // The store that was backed up continues on its own.
        manifest = manifest.forked(manifest_file::new_lineage(&*options.file_system)?);
    }
    let mut load = Load::new(directory, options, &manifest, None);
    load.report.created = is_new;
    let present = file::present(&**directory)?;
    if let Some(newer) = found_segment::newer(&**directory, &manifest, &present)?.first() {
        // Taken for what an interrupted write left, it would be removed, and its numbers given out again.
        let reason =
            format!("it is an old one: segment {newer}, which it does not list, holds newer records");
        return Err(Error::ManifestDamaged { reason });
    }
    if let Some(line) = load.unsettled(&manifest)? {
        // Nothing is cut before all the rest is known to be there.
        let present: HashSet<_> = present.iter().collect();
        if let Some(missing) = manifest.segments.iter().find(|line| !present.contains(&line.id)) {
            return Err(Error::SegmentMissing { segment: missing.id });
        }
        load.report.unclean = true;
        manifest_file::sync(&**directory)?;
        load.settle_active(&mut manifest, line)?;
        manifest_file::replace(&**directory, &manifest).map_err(|Failure { error, .. }| error)?;
    } else if manifest.segments.is_empty() {
        // Who made it may have died before its name was durable. The name of the first segment could outlive it then, and
        // the directory would look like that of a store whose MANIFEST is lost.
        manifest_file::sync(&**directory)?;
    }
    load.all(&manifest)?;
    load.remove_orphans(path, &manifest)?;
    if let Some(last) = load.report.orphans_removed.last() {
        manifest.next_segment = manifest.next_segment.max(SegmentId(last.0 + 1));
    }
    let Load { state, report, end, last_seq, covering, .. } = load;
    log_of(directory, options, LogStart { manifest, end, exclusion, state, report, last_seq, covering })
}

struct LogStart {
    manifest: Manifest,
    end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    exclusion: Arc<Exclusion>,
    state: Arc<State>,
    report: OpenReport,
    last_seq: Seqno,
    covering: Option<Covering>,
}

fn log_of(directory: &Arc<dyn Directory>, options: &Options, start: LogStart) -> Result<Opened> {
    let LogStart { mut manifest, end, exclusion, state, report, last_seq, covering } = start;
    let active = end.map(|(segment, file, capacity)| (SegmentWriter::resume(segment, file), capacity));
    if active.is_none()
        && let Some(line) = manifest.segments.last_mut()
        && let Extent::Closed(len) = line.extent
    {
        // Its end is missing: nothing is appended behind a hole.
        line.extent = Extent::Sealed(len);
        if let Some(last) = state.segments().iter().next_back() {
            last.seal_at(len);
        }
    }
    // A MANIFEST may know less than the log, whoever made it: numbers that are taken would be given out again, and the
    // records that have them would be out of order when the log is next read.
    manifest.next_seq = manifest.next_seq.max(last_seq.plus(1));
    // What is written from here on is in no backup.
    manifest.is_backup = false;
    // A file of another store may have the next number.
    let strangers = report.strangers.clone();
    let end = LogEnd { manifest, active, exclusion, last_seq, strangers };
    let unsealed = unsealed(&end.manifest);
    let log = Log::new(Arc::clone(directory), Arc::clone(&state), options, end)?;
    let directory = Arc::clone(directory);
    Ok(Opened { directory, state, log: Some(log), report, last_seq, end: unsealed, covering, seen: None })
}

fn unsealed(manifest: &Manifest) -> Option<SegmentId> {
    manifest.segments.last().filter(|line| !matches!(line.extent, Extent::Sealed(_))).map(|line| line.id)
}

/// Writes the MANIFEST of a store that has no segment yet.
fn create(directory: &dyn Directory, file_system: &dyn FileSystem) -> Result<()> {
    let mut random = [0; 24];
    file_system.random(&mut random).map_err(Error::io("read", "the system's random numbers"))?;
    let (id, seed) = random.split_at(16);
    let store = StoreId(id.try_into().unwrap_or_default());
    let manifest = Manifest {
        store,
        lineage: Lineage::first_of(store),
        fork: None,
        hash_seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        generation: 1,
        next_segment: SegmentId(1),
        next_seq: Seqno(1),
        is_backup: false,
        history: History::default(),
        segments: Vec::new(),
    };
    manifest_file::replace(directory, &manifest).map_err(|Failure { error, .. }| error)
}
