//! The segments of a store in log order, as far as the files tell; no index, no lock, nothing written.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::manifest_file;
use super::tail::{Settled, TailReport};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::keydir_file::Covered;
use crate::engine::format::manifest::{Extent, Manifest, SegmentLine};
use crate::engine::format::segment_header::{HeaderError, Layout, SegmentHeader};
use crate::engine::fs::staging;
use crate::engine::fs::{Access, Directory, File, PathKind};
use crate::engine::options::Options;
use crate::engine::segment::header_recovery::{self, RecoveredHeader};
use crate::engine::segment::{Bodies, Identity, ReadMode, Scanner, Segment, Step, StoreContext, file};

/// The log's segments, and what is known of each.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: Arc<dyn Directory>,
    reading: ReadMode,
    manifest: Result<Manifest>,
    /// In log order.
    known: Vec<Known>,
    /// Where each stands in that order.
    places: HashMap<SegmentId, usize>,
    /// Whose the files are; `None` when MANIFEST cannot be read: then the segments' headers say the order, and hints nothing.
    home: Option<StoreContext>,
    /// Those of the log whose files are not there.
    missing: HashSet<SegmentId>,
}

/// What is known of a segment without a look at its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    /// Whether that is where its numbers begin, and not that of a record which others may have stood before.
    pub(crate) has_base_seq: bool,
    pub(crate) layout: Layout,
    /// What MANIFEST says of its length; `None` when it does not list it.
    pub(crate) extent: Option<Extent>,
    /// A number that is greater than that of any of its records. `None` where nobody says: a segment that MANIFEST does not
    /// list, such as a compaction's input or output, holds numbers that others hold, too.
    pub(crate) seq_end: Option<Seqno>,
}

/// The directory at `path`, if it is there and may be trusted.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], and what the operating system says.
pub(crate) fn enter(path: &Path, options: &Options) -> Result<Arc<dyn Directory>> {
    let file_system = &options.file_system;
    match file_system.kind(path).map_err(Error::io("open", path))? {
        PathKind::Missing => return Err(Error::Missing { path: path.to_owned() }),
        PathKind::Other(what) => {
            let reason = format!("it is {what}");
            return Err(Error::Foreign { path: path.to_owned(), reason });
        }
        PathKind::Directory => {}
    }
    let opened = match options.trust {
        true => file_system.open_trusted_directory(path),
        false => file_system.open_directory(path),
    };
    let directory = opened.map_err(Error::io("open", path))?;
    // Asked of the open directory: what has this name may have become another one meanwhile.
    staging::check_trusted(&*directory, path, options.trust)?;
    Ok(directory)
}

impl LogFiles {
    /// The segments that MANIFEST lists, or, where it cannot be read, those that say what they are.
    ///
    /// # Errors
    /// What the operating system says of the directory.
    pub(crate) fn of(directory: Arc<dyn Directory>, reading: &ReadMode) -> Result<Self> {
        Self::by(manifest_file::read(&*directory), directory, reading)
    }

    /// As [`LogFiles::of`], with what its MANIFEST says or will say.
    ///
    /// # Errors
    /// As [`LogFiles::of`].
    pub(crate) fn by(
        manifest: Result<Manifest>,
        directory: Arc<dyn Directory>,
        reading: &ReadMode,
    ) -> Result<Self> {
        let reading = reading.unmapped();
        let present = file::present(&*directory)?;
        let manifest = manifest.and_then(|manifest| {
            if is_anothers(&*directory, &manifest, &present) {
                let reason = "it is another store's: no segment that is there belongs to it".to_owned();
                return Err(Error::ManifestDamaged { reason });
            }
            Ok(manifest)
        });
        let home = manifest.as_ref().ok().map(|manifest| StoreContext {
            directory: Arc::clone(&directory),
            store: manifest.store,
            lineage: manifest.lineage,
            hash_seed: manifest.hash_seed,
            reading: reading.clone(),
            wakeup: Arc::default(),
        });
        let known: Vec<Known> = match &manifest {
            Ok(manifest) => listed(manifest),
            Err(_) => by_headers(&*directory, &present),
        };
        let manifest = match manifest {
            // Who may not read it is not to go by what the segments say without it.
            Err(error) if is_denied(&error) => return Err(error),
            // Nothing says what is there, and that is not the same as nothing being there.
            Err(error) if known.is_empty() && is_unreadable(&error) => return Err(error),
            manifest => manifest,
        };
        let present: HashSet<SegmentId> = present.into_iter().collect();
        let missing = known.iter().map(|known| known.id).filter(|id| !present.contains(id)).collect();
        let mut log_files =
            Self { directory, reading, manifest, known, places: HashMap::new(), home, missing };
        log_files.note_places();
        Ok(log_files)
    }

    fn note_places(&mut self) {
        self.places = self.known.iter().enumerate().map(|(at, known)| (known.id, at)).collect();
    }

    /// Takes in segment `id`, which MANIFEST may not list: then it stands where its numbers say. Whether it is known now.
    pub(crate) fn admit(&mut self, id: SegmentId) -> bool {
        if self.get(id).is_none()
            && let Some(orphan) = known_by_header(&*self.directory, id)
        {
            let at = self.known.partition_point(|known| known.base_seq <= orphan.base_seq);
            self.known.insert(at, orphan);
            self.note_places();
        }
        self.get(id).is_some()
    }

    /// Takes those out for which `is_ours` is false.
    pub(crate) fn retain(&mut self, is_ours: impl Fn(&Known) -> bool) {
        self.known.retain(is_ours);
        self.note_places();
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// The segments that MANIFEST does not list because it is an old one.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn newer(&self) -> Result<Vec<SegmentId>> {
        let Ok(manifest) = &self.manifest else { return Ok(Vec::new()) };
        newer(&*self.directory, manifest, &file::present(&*self.directory)?)
    }

    /// How its segments are read.
    pub(crate) fn reading(&self) -> &ReadMode {
        &self.reading
    }

    /// What MANIFEST says, or why it cannot be read.
    pub(crate) fn manifest(&self) -> Result<&Manifest, &Error> {
        self.manifest.as_ref()
    }

    /// # Errors
    /// [`Error::Unfinished`] if an interrupted backup or restore left the directory, which is at `path`.
    pub(crate) fn check_finished(&self, path: &Path) -> Result<()> {
        match self.manifest.is_err() && staging::MARK.is_set(&*self.directory) {
            true => Err(Error::Unfinished { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Why MANIFEST cannot be used, if it cannot.
    pub(crate) fn why_no_manifest(&self) -> Option<String> {
        Some(match self.manifest.as_ref().err()? {
            Error::ManifestDamaged { reason } => reason.clone(),
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => "it is missing".to_owned(),
            error => error.sentence(),
        })
    }

    /// The segments, in log order.
    pub(crate) fn known(&self) -> &[Known] {
        &self.known
    }

    /// What is known of segment `id`.
    pub(crate) fn get(&self, id: SegmentId) -> Option<&Known> {
        self.places.get(&id).map(|&at| &self.known[at])
    }

    /// The segment after `id`.
    pub(crate) fn next(&self, id: SegmentId) -> Option<&Known> {
        self.known.get(self.places.get(&id)? + 1)
    }

    /// The segments of the log whose files are not there.
    pub(crate) fn missing(&self) -> &HashSet<SegmentId> {
        &self.missing
    }

    /// Whose the files are, if MANIFEST says so.
    pub(crate) fn home(&self) -> Option<&StoreContext> {
        self.home.as_ref()
    }

    /// The segments after `id`, nearest first, without what is missing.
    pub(crate) fn later(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.places.get(&id).map_or(self.known.len(), |at| at + 1);
        self.known[at..].iter().filter_map(|known| self.open_known(known))
    }

    /// The segments before `id`, nearest first, without what is missing.
    pub(crate) fn earlier(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.places.get(&id).copied().unwrap_or(0);
        self.known[..at].iter().rev().filter_map(|known| self.open_known(known))
    }

    /// A segment of the log as far as the log goes: what the next open will cut off is no part of it.
    fn open_known(&self, known: &Known) -> Option<Result<Segment>> {
        if self.missing.contains(&known.id) {
            return None;
        }
        let whole = self.open(known.id, known.layout, u64::MAX);
        Some(whole.and_then(|segment| match known.extent {
            Some(extent) if extent.is_unsettled(segment.len()) => {
                let verdict = TailReport::of(&segment, self.settled(known))?;
                self.open(known.id, known.layout, verdict.end)
            }
            Some(Extent::Sealed(len) | Extent::Closed(len)) if len < segment.len() => {
                self.open(known.id, known.layout, len)
            }
            _ => Ok(segment),
        }))
    }

    /// What MANIFEST knows to be durable of the segment that is `known`.
    pub(crate) fn settled(&self, known: &Known) -> Settled {
        Settled::by(known.extent, self.manifest().map_or(Seqno(0), |manifest| manifest.next_seq))
    }

    /// The length of the file of segment `id`, in bytes.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], and what the operating system says.
    pub(crate) fn file_len(&self, id: SegmentId) -> Result<u64> {
        let file = file::open(&*self.directory, id, Access::Read)?;
        file::len(&*self.directory, id, &*file)
    }

    /// The start of the file of segment `id`.
    pub(crate) fn header_bytes(&self, id: SegmentId) -> Result<Vec<u8>> {
        header_bytes(&*self.directory, id)
    }

    /// The first `limit` bytes of segment `id`, or as much as there is.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], and what the operating system says.
    pub(crate) fn open(&self, id: SegmentId, layout: Layout, limit: u64) -> Result<Segment> {
        let file = file::open(&*self.directory, id, Access::Read)?;
        let len = file::len(&*self.directory, id, &*file)?.min(limit);
        self.segment(&Known { layout, ..self.known_or_not(id) }, &file, (len, 0))
    }

    /// What KEYDIR covers of a segment, at its place in the address space.
    ///
    /// # Errors
    /// As [`LogFiles::open`].
    pub(crate) fn open_covered(&self, covered: &Covered) -> Result<Segment> {
        let file = file::open(&*self.directory, covered.id, Access::Read)?;
        let lens = (covered.len, covered.first_page);
        self.segment_by(&self.reading, &self.known_or_not(covered.id), &file, lens)
    }

    /// What is known of segment `id`, even if that is nothing.
    fn known_or_not(&self, id: SegmentId) -> Known {
        let (base_seq, layout) = (Seqno(0), Layout::current(0));
        let nothing = Known { id, base_seq, has_base_seq: false, layout, extent: None, seq_end: None };
        self.get(id).copied().unwrap_or(nothing)
    }

    /// The first `len` bytes of `file`, which is that of the segment that is `known`.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn segment(&self, known: &Known, file: &Arc<dyn File>, lens: (u64, u32)) -> Result<Segment> {
        self.segment_by(&self.reading.passing(), known, file, lens)
    }

    fn segment_by(
        &self,
        reading: &ReadMode,
        known: &Known,
        file: &Arc<dyn File>,
        (len, first_page): (u64, u32),
    ) -> Result<Segment> {
        let Known { id, base_seq, layout, .. } = *known;
        let base_seq = if known.has_base_seq { base_seq } else { Seqno(1) };
        let seq_end = known.seq_end.unwrap_or(Seqno(u64::MAX));
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page };
        Segment::new(identity, &*self.directory, file, reading, (len, len))
    }
}

/// The segments that are `present`, that this store's MANIFEST does not list, and that hold numbers which it has not given out
/// yet: then it is an old one, put back. An interrupted roll leaves a segment without a record, and a compaction one with old
/// numbers. A backup's MANIFEST is put in place last: what it does not list, an interrupted backup has left.
pub(crate) fn newer(
    directory: &dyn Directory,
    manifest: &Manifest,
    present: &[SegmentId],
) -> Result<Vec<SegmentId>> {
    if manifest.is_backup {
        return Ok(Vec::new());
    }
    let listed: HashSet<SegmentId> = manifest.segments.iter().map(|line| line.id).collect();
    let mut newer = Vec::new();
    for &id in present.iter().filter(|id| !listed.contains(id)) {
        let Ok(header) = header_bytes(directory, id).map(|bytes| SegmentHeader::decode(&bytes)) else {
            continue;
        };
        let is_ours = |header: &SegmentHeader| header.store == manifest.store && header.segment == id;
        if let Some(header) =
            header.ok().filter(is_ours).filter(|header| header.base_seq >= manifest.next_seq)
            && holds_a_record(directory, &header)?
        {
            newer.push(id);
        }
    }
    newer.sort_unstable();
    Ok(newer)
}

fn holds_a_record(directory: &dyn Directory, header: &SegmentHeader) -> Result<bool> {
    let SegmentHeader { segment: id, base_seq, created_ms, .. } = *header;
    let layout = header.layout();
    let file = file::open(directory, id, Access::Read)?;
    let len = file::len(directory, id, &*file)?;
    let identity = Identity { id, base_seq, layout, created_ms, seq_end: Seqno(u64::MAX), first_page: 0 };
    let segment = Segment::new(identity, directory, &file, &ReadMode::stored(), (len, len))?;
    let mut scanner = Scanner::new(&segment, Bodies::Checked);
    while let Some(step) = scanner.next()? {
        if let Step::Record(record) = step
            && record.damage.is_none()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The segments that MANIFEST lists.
fn listed(manifest: &Manifest) -> Vec<Known> {
    let ends = manifest.segments.iter().skip(1).map(|next| Some(next.base_seq)).chain([None]);
    let known = |(line, seq_end): (&SegmentLine, _)| {
        let SegmentLine { id, base_seq, layout, extent } = *line;
        Known { id, base_seq, has_base_seq: true, layout, extent: Some(extent), seq_end }
    };
    manifest.segments.iter().zip(ends).map(known).collect()
}

/// Whether a file is there and could not be read.
fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound)
}

/// Whether a file is there and is not to be read.
fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}

/// Whether segments are there, and each that says whose it is names another store than `manifest` does; unless one whose header
/// is damaged shows by its records that `manifest` knows it.
fn is_anothers(directory: &dyn Directory, manifest: &Manifest, present: &[SegmentId]) -> bool {
    let (mut has_others, mut silent) = (false, HashSet::new());
    for &id in present {
        let Ok(bytes) = header_bytes(directory, id) else { continue };
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.store == manifest.store => return false,
            Ok(_) => has_others = true,
            Err(_) => {
                silent.insert(id);
            }
        }
    }
    let is_known = |line: &SegmentLine| {
        let told = header_recovery::recover(directory, line.id).ok().flatten();
        told.is_some_and(|told| told.salt == line.layout.records.salt)
    };
    has_others && !manifest.segments.iter().filter(|line| silent.contains(&line.id)).any(is_known)
}

/// The segments that say where they stand, in the order of their numbers, which grow along the log.
fn by_headers(directory: &dyn Directory, present: &[SegmentId]) -> Vec<Known> {
    let mut known: Vec<Known> = present.iter().filter_map(|&id| known_by_header(directory, id)).collect();
    known.sort_by_key(|known| (known.base_seq, known.id));
    known
}

/// What a segment that no MANIFEST lists says of itself: in its header, or, where that is damaged, by its records.
fn known_by_header(directory: &dyn Directory, id: SegmentId) -> Option<Known> {
    let (base_seq, layout, has_header) = match SegmentHeader::decode(&header_bytes(directory, id).ok()?) {
        Ok(header) => (header.base_seq, header.layout(), true),
        Err(HeaderError::Unsupported(_)) => return None,
        Err(HeaderError::Damaged(_)) => {
            let told = header_recovery::recover(directory, id);
            let told = told.inspect_err(|error| tracing::warn!(segment = id.0, %error, "it cannot be read"));
            let RecoveredHeader { salt, first_seq } = told.ok()??;
            (first_seq, Layout::current(salt), false)
        }
    };
    Some(Known { id, base_seq, has_base_seq: has_header, layout, extent: None, seq_end: None })
}

fn header_bytes(directory: &dyn Directory, id: SegmentId) -> Result<Vec<u8>> {
    let file = file::open(directory, id, Access::Read)?;
    file::first_bytes(directory, id, &*file)
}
