//! Layer 7: a directory becomes a state and a log. The only judge of damage.
//!
//! An unclean open goes in this order, so that a crash inside it is an ordinary crash: lock; make MANIFEST and the
//! directory durable; sync the active segment and drop its cached pages; judge; cut a torn tail off, and sync; seal
//! the segment in a new MANIFEST; only then remove orphans.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog;
use super::format::manifest::{Extent, Manifest, SegmentLine};
use super::format::record::Kind;
use super::format::segment_header::{HeaderError, SegmentHeader, StoreId};
use super::fs::{Access, Directory, File, FileSystem, Lock, LockOutcome, PathKind, StoreFile, read_exact_at};
use super::judge::{TornTail, Verdict};
use super::location::{Location, SegmentId, Seqno};
use super::log::{Log, LogEnd};
use super::options::{Options, ReadWith};
use super::segment::{Bodies, Identity, Scanned, Scanner, Segment, SegmentWriter, Step};
use super::state::{State, Unpublished, address_of};
use crate::error::{Damage, Error, Failure, Result};

/// The longest segment header that is looked at, in bytes.
const HEADER_LEN_MAX: u64 = 4096;
/// How often a read-only open starts over because the writer beside it moved on.
const RETRIES: u32 = 100;

/// What opening a store found and did.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// Whether this open made the store.
    pub created: bool,
    /// Whether the last writer did not close it (or, read-only, is still at work).
    pub unclean: bool,
    /// The unfinished end of the log, which an open for writing cuts off and a read-only one passes over.
    pub torn: Option<TornTail>,
    /// Damage in the rest of the log, in log order: each record that is not as it was written.
    pub damage: Vec<FoundDamage>,
    /// Segments that no MANIFEST lists, left by interrupted work: removed.
    pub orphans_removed: Vec<SegmentId>,
    /// Segment files that no MANIFEST lists and that are not this store's: left alone.
    pub strangers: Vec<SegmentId>,
    /// Records read to build the index.
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
    pub(crate) state: Arc<State>,
    /// `None` when it was opened read-only.
    pub(crate) log: Option<Log>,
    pub(crate) report: OpenReport,
    /// The number of the newest record.
    pub(crate) last_seq: Seqno,
    /// The log's last segment, if it is not sealed.
    pub(crate) end: Option<SegmentId>,
}

/// Opens the store at `path`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`], [`Error::Unsupported`],
/// [`Error::Rot`] and so on, and what the operating system says. Nothing that was there is changed then, but for a
/// torn tail that may have been cut off.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened> {
    let started = Instant::now();
    let directory = enter(path, options)?;
    let mut opened =
        if options.read_only { look(&*directory, options) } else { recover(path, &directory, options) }?;
    opened.report.took = started.elapsed();
    Ok(opened)
}

/// The directory at `path`, made if need be, if it is one that may become or is a store.
fn enter(path: &Path, options: &Options) -> Result<Arc<dyn Directory>> {
    let file_system = &options.file_system;
    let may_create = options.create && !options.read_only;
    match file_system.kind(path).map_err(Error::io("open", path))? {
        PathKind::Missing if may_create => {
            file_system.create_directory(path).map_err(Error::io("create", path))?;
        }
        PathKind::Missing => return Err(Error::Missing { path: path.to_owned() }),
        PathKind::Other(what) => {
            let reason = format!("it is {what}");
            return Err(Error::Foreign { path: path.to_owned(), reason });
        }
        PathKind::Directory { untrusted: Some(reason) } if !options.trust => {
            return Err(Error::Untrusted { path: path.to_owned(), reason });
        }
        PathKind::Directory { .. } => {}
    }
    let directory = file_system.open_directory(path).map_err(Error::io("open", path))?;
    match contents(path, &*directory)? {
        Contents::Empty if !may_create => Err(Error::Missing { path: path.to_owned() }),
        Contents::Empty | Contents::Store => Ok(directory),
    }
}

enum Contents {
    Store,
    /// Nothing, or nothing but what an interrupted creation leaves and options put there beforehand.
    Empty,
}

/// What the directory holds.
fn contents(path: &Path, directory: &dyn Directory) -> Result<Contents> {
    let names = directory.names().map_err(Error::io("read", path))?;
    let files: Vec<_> = names.iter().map(|name| StoreFile::parse(name)).collect();
    if files.contains(&Some(StoreFile::Manifest)) {
        return Ok(Contents::Store);
    }
    if let Some(stranger) = names.iter().zip(&files).find(|(_, file)| file.is_none()).map(|(name, _)| name) {
        let reason =
            format!("it holds other files ({}) and no MANIFEST", stranger.to_string_lossy().escape_debug());
        return Err(Error::Foreign { path: path.to_owned(), reason });
    }
    if files.iter().any(|file| matches!(file, Some(StoreFile::Segment(_)))) {
        return Err(Error::ManifestDamaged { reason: "it is missing, and there are segments".to_owned() });
    }
    Ok(Contents::Empty)
}

/// Opens without a lock and without writing a byte.
fn look(directory: &dyn Directory, options: &Options) -> Result<Opened> {
    let mut manifest = catalog::read(directory)?;
    for _ in 0..RETRIES {
        let mut load = Load::new(directory, options, &manifest);
        match load.all(&manifest) {
            Ok(()) => {
                let Load { state, report, last_seq, .. } = load;
                return Ok(Opened { state, log: None, report, last_seq, end: unsealed(&manifest) });
            }
            // A writer may have moved on since: then MANIFEST says so.
            Err(error @ Error::SegmentMissing { .. }) => {
                let now = catalog::read(directory)?;
                if now.generation == manifest.generation {
                    return Err(error);
                }
                manifest = now;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::ManifestDamaged { reason: "it changes faster than it can be read".to_owned() })
}

/// Opens for writing.
fn recover(path: &Path, directory: &Arc<dyn Directory>, options: &Options) -> Result<Opened> {
    let lock = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
        LockOutcome::Held(lock) => lock,
        LockOutcome::HeldBy { pid } => return Err(Error::Locked { pid }),
    };
    // Looked at again under the lock: another process may have made the store meanwhile.
    let is_new = matches!(contents(path, &**directory)?, Contents::Empty);
    if is_new {
        create(&**directory, &*options.file_system)?;
    }
    let mut manifest = catalog::read(&**directory)?;
    let mut load = Load::new(&**directory, options, &manifest);
    load.report.created = is_new;
    if let Some(line) = manifest.segments.last().copied()
        && let Extent::Active(_) = line.extent
    {
        load.report.unclean = true;
        catalog::sync(&**directory)?;
        load.settle_active(&mut manifest, line)?;
        catalog::replace(&**directory, &manifest).map_err(|Failure { error, .. }| error)?;
    }
    load.all(&manifest)?;
    load.remove_orphans(path, &manifest)?;
    let Load { state, report, end, .. } = load;
    log_of(directory, options, LogStart { manifest, end, lock, state, report })
}

struct LogStart {
    manifest: Manifest,
    end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    lock: Box<dyn Lock>,
    state: Arc<State>,
    report: OpenReport,
}

fn log_of(directory: &Arc<dyn Directory>, options: &Options, start: LogStart) -> Result<Opened> {
    let LogStart { mut manifest, end, lock, state, report } = start;
    let active = end.map(|(segment, file, capacity)| (SegmentWriter::resume(segment, file), capacity));
    if active.is_none()
        && let Some(line) = manifest.segments.last_mut()
        && let Extent::Closed(len) = line.extent
    {
        // Its end is missing: nothing is appended behind a hole.
        line.extent = Extent::Sealed(len);
    }
    let end = LogEnd { manifest, active, lock };
    let last_seq = end.manifest.next_seq.previous();
    let unsealed = unsealed(&end.manifest);
    let log = Log::new(Arc::clone(directory), Arc::clone(&state), options, end)?;
    Ok(Opened { state, log: Some(log), report, last_seq, end: unsealed })
}

fn unsealed(manifest: &Manifest) -> Option<SegmentId> {
    manifest.segments.last().filter(|line| !matches!(line.extent, Extent::Sealed(_))).map(|line| line.id)
}

/// Writes the MANIFEST of a store that has no segment yet.
fn create(directory: &dyn Directory, file_system: &dyn FileSystem) -> Result<()> {
    let mut random = [0; 24];
    file_system.random(&mut random).map_err(Error::io("read", "the system's random numbers"))?;
    let (id, seed) = random.split_at(16);
    let manifest = Manifest {
        store: StoreId(id.try_into().unwrap_or_default()),
        hash_seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        generation: 1,
        next_segment: SegmentId(1),
        next_seq: Seqno(1),
        segments: Vec::new(),
    };
    catalog::replace(directory, &manifest).map_err(|Failure { error, .. }| error)
}

/// A store on its way from files to a state.
struct Load<'a> {
    directory: &'a dyn Directory,
    options: &'a Options,
    store: StoreId,
    state: Arc<State>,
    report: OpenReport,
    /// The segment to append to, its file and how long it may become.
    end: Option<(Arc<Segment>, Arc<dyn File>, u64)>,
    last_seq: Seqno,
}

impl<'a> Load<'a> {
    fn new(directory: &'a dyn Directory, options: &'a Options, manifest: &Manifest) -> Self {
        Self {
            directory,
            options,
            store: manifest.store,
            state: Arc::new(State::new(manifest.hash_seed, Arc::clone(&options.clock))),
            report: OpenReport::default(),
            end: None,
            last_seq: Seqno(0),
        }
    }

    /// Loads every segment of `manifest`, in log order.
    fn all(&mut self, manifest: &Manifest) -> Result<()> {
        for line in &manifest.segments {
            self.segment(line)?;
        }
        Ok(())
    }

    /// Maps one segment and replays it into the index.
    fn segment(&mut self, line: &SegmentLine) -> Result<()> {
        // Only the log's end is ever written to, and only by a writer.
        let appends = matches!(line.extent, Extent::Closed(_)) && !self.options.read_only;
        let file = self.open(line.id, if appends { Access::Write } else { Access::Read })?;
        let file_len = self.len(line.id, &*file)?;
        let created_ms = self.header(line, &*file)?;
        let (len, is_whole) = match line.extent {
            Extent::Active(_) => (self.readable_len(line, &file)?, false),
            Extent::Sealed(len) | Extent::Closed(len) => (len.min(file_len), len <= file_len),
        };
        if let (Extent::Sealed(wants) | Extent::Closed(wants), false) = (line.extent, is_whole) {
            let at = Location { segment: line.id, offset: file_len };
            let damage = Damage::Truncated { wants, has: file_len };
            self.report.damage.push(FoundDamage { at, len: wants - file_len, damage });
        }
        let resumes = appends && is_whole;
        if resumes && file_len > len {
            // Behind the end that was closed there is nothing of ours, and the next record goes there.
            file.truncate(len).map_err(Error::io("truncate", self.path(line.id)))?;
        }
        let capacity = if resumes { len.max(self.options.segment_len_max) } else { len };
        let segment = Arc::new(self.map(line, &file, created_ms, self.options.read_with, (len, capacity))?);
        self.state.add_segment(Arc::clone(&segment), capacity)?;
        self.replay(&segment)?;
        if resumes {
            self.end = Some((segment, file, capacity));
        }
        Ok(())
    }

    fn map(
        &self,
        line: &SegmentLine,
        file: &Arc<dyn File>,
        created_ms: u64,
        read_with: ReadWith,
        (len, capacity): (u64, u64),
    ) -> Result<Segment> {
        let identity = Identity {
            id: line.id,
            base_seq: line.base_seq,
            layout: line.layout,
            created_ms,
            first_page: self.state.segments().next_page(),
        };
        Segment::new(identity, file, read_with, len, capacity).map_err(Error::io("map", self.path(line.id)))
    }

    /// Checks the segment's header against its line, which says the same; the result is the time in it. Damage costs
    /// nothing but the header: the line is used instead.
    fn header(&mut self, line: &SegmentLine, file: &dyn File) -> Result<u64> {
        let path = self.path(line.id);
        let len = self.len(line.id, file)?.min(HEADER_LEN_MAX);
        let mut bytes = vec![0; len as usize];
        read_exact_at(file, &mut bytes, 0).map_err(Error::io("read", path))?;
        let damage = match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store != self.store => Damage::Foreign("another store".to_owned()),
            Ok(header) if header.segment != line.id => Damage::Foreign(format!("segment {}", header.segment)),
            Ok(header) => return Ok(header.created_ms),
            Err(HeaderError::Damaged(damage)) => damage,
            Err(HeaderError::Unsupported(found)) => {
                let what = format!("segment {}", line.id);
                return Err(Error::Unsupported { what, found, supported: "1.x".to_owned() });
            }
        };
        let at = Location { segment: line.id, offset: 0 };
        self.report.damage.push(FoundDamage { at, len: line.layout.header_len.into(), damage });
        Ok(0)
    }

    /// Puts every record of `segment` into the index. A damaged one goes in, too, under the key it shows: asking for
    /// that key is then an error, and not an older value.
    fn replay(&mut self, segment: &Segment) -> Result<()> {
        let mut scanner = Scanner::new(segment, Bodies::Checked);
        loop {
            let found = match scanner.next()? {
                None => {
                    self.last_seq = self.last_seq.max(scanner.last_seq());
                    return Ok(());
                }
                Some(Step::Record(record)) => {
                    self.report.record_count += 1;
                    let damage = record.damage.clone();
                    if !matches!(damage, Some(Damage::Order { .. })) {
                        publish(&self.state, segment, &record)?;
                    }
                    damage.map(|damage| (record.at, record.frame.len, damage))
                }
                Some(Step::Bad { at, damage }) => {
                    let next = scanner.resync()?.unwrap_or(segment.len());
                    Some((at, next - at, damage))
                }
            };
            if let Some((at, len, damage)) = found {
                let at = segment.location(at);
                tracing::warn!(%at, %damage, "damage in the log");
                self.report.damage.push(FoundDamage { at, len, damage });
            }
        }
    }

    /// How much of a segment that a writer has open, or died with, a reader can use.
    fn readable_len(&mut self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<u64> {
        let verdict = self.judge(line, file)?;
        self.report.unclean = true;
        self.report.torn = verdict.torn(line.id);
        Ok(verdict.end)
    }

    /// Cuts off the torn tail of the segment that the last writer died with, and seals it in `manifest`.
    fn settle_active(&mut self, manifest: &mut Manifest, line: SegmentLine) -> Result<()> {
        let path = self.path(line.id);
        let file = self.open(line.id, Access::Write)?;
        // What the dead writer wrote may be in memory alone: what is judged must be what the disk has.
        file.sync().map_err(Error::io("fsync", path.clone()))?;
        file.drop_cache();
        let verdict = self.judge(&line, &file)?;
        if let Some((offset, witness)) = verdict.rot {
            return Err(Error::Rot { segment: line.id, offset, witness });
        }
        if verdict.end < verdict.file_len {
            file.truncate(verdict.end).map_err(Error::io("truncate", path.clone()))?;
            file.sync().map_err(Error::io("fsync", path))?;
            self.report.torn = verdict.torn(line.id);
        }
        // Numbers that the lost writes could have had are not given out again.
        manifest.next_seq = manifest.next_seq.max(line.seq_end());
        manifest.generation += 1;
        if verdict.end > line.layout.header_len.into() {
            if let Some(last) = manifest.segments.last_mut() {
                last.extent = Extent::Sealed(verdict.end);
            }
        } else {
            // It holds no record: unlisted, it is an orphan.
            manifest.segments.pop();
        }
        Ok(())
    }

    /// Torn tail or rot? Reads what a crash may have left, without a mapping, since it may be cut.
    fn judge(&self, line: &SegmentLine, file: &Arc<dyn File>) -> Result<Verdict> {
        let file_len = self.len(line.id, &**file)?;
        let segment = self.map(line, file, 0, ReadWith::Pread, (file_len, file_len))?;
        Verdict::of(&segment)
    }

    /// Removes segments that MANIFEST, durable by now, does not list.
    fn remove_orphans(&mut self, path: &Path, manifest: &Manifest) -> Result<()> {
        let listed: HashSet<SegmentId> = manifest.segments.iter().map(|line| line.id).collect();
        let names = self.directory.names().map_err(Error::io("read", path))?;
        let unlisted: Vec<SegmentId> =
            names.iter().filter_map(segment_named).filter(|id| !listed.contains(id)).collect();
        if unlisted.is_empty() {
            return Ok(());
        }
        // An orphan may be the only copy of something, if the MANIFEST that does without it is lost.
        catalog::sync(self.directory)?;
        for id in unlisted {
            if self.is_ours(id) {
                let file = StoreFile::Segment(id);
                self.directory.remove(file).map_err(Error::io("remove", self.path(id)))?;
                self.report.orphans_removed.push(id);
            } else {
                self.report.strangers.push(id);
            }
        }
        self.report.orphans_removed.sort();
        self.report.strangers.sort();
        self.directory.sync().map_err(Error::io("fsync", path))
    }

    /// Whether a segment that is not listed was made by this store: by its header, or because it has none yet.
    fn is_ours(&self, id: SegmentId) -> bool {
        let Ok(file) = self.open(id, Access::Read) else { return false };
        let mut bytes = vec![0; file.len().unwrap_or(0).min(HEADER_LEN_MAX) as usize];
        if read_exact_at(&*file, &mut bytes, 0).is_err() {
            return false;
        }
        match SegmentHeader::decode(&bytes) {
            Ok(header) => header.store == self.store,
            Err(HeaderError::Damaged(Damage::Truncated { .. })) => true,
            Err(_) => bytes.iter().all(|&byte| byte == 0),
        }
    }

    fn open(&self, id: SegmentId, access: Access) -> Result<Arc<dyn File>> {
        self.directory.open(StoreFile::Segment(id), access).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::SegmentMissing { segment: id },
            _ => Error::io("open", self.path(id))(error),
        })
    }

    fn len(&self, id: SegmentId, file: &dyn File) -> Result<u64> {
        file.len().map_err(Error::io("read", self.path(id)))
    }

    fn path(&self, id: SegmentId) -> std::path::PathBuf {
        self.directory.path(StoreFile::Segment(id))
    }
}

fn segment_named(name: &OsString) -> Option<SegmentId> {
    match StoreFile::parse(name) {
        Some(StoreFile::Segment(id)) => Some(id),
        _ => None,
    }
}

/// Puts one record that was scanned into the index.
fn publish(state: &State, segment: &Segment, record: &Scanned<'_>) -> Result<()> {
    let key = record.key();
    let hash = state.hash(key);
    let kind = match (record.header.kind(), &record.damage) {
        // A tombstone whose key cannot be trusted neither hides a key nor lets it pass for alive: it stands for it,
        // and reading it is an error.
        (Kind::Delete, Some(_)) => Kind::Put,
        (kind, _) => kind,
    };
    let replaced = match kind {
        Kind::Other(_) => None,
        Kind::Put | Kind::Delete => state.replaceable(hash, key)?,
    };
    let address = address_of(segment, record.at);
    state.publish(&Unpublished { hash, address, len: record.frame.len, kind, replaced });
    Ok(())
}
