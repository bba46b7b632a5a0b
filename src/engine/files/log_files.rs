//! The segments of a store in log order, found from its files without an index, a lock or a write.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::found_segment::{self, FoundSegment};
use super::manifest_file;
use super::tail::{DurablePrefix, TailReport};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::keydir_file::Covered;
use crate::engine::format::manifest::{Manifest, SegmentExtent};
use crate::engine::format::segment_header::Layout;
use crate::engine::fs::staging;
use crate::engine::fs::{Access, Directory, File, PathKind};
use crate::engine::options::Options;
use crate::engine::segment::{Identity, ReadMode, Segment, StoreContext, file};

/// The segments of a log and their files.
#[derive(Debug)]
pub(crate) struct LogFiles {
    directory: Arc<dyn Directory>,
    reading: ReadMode,
    manifest: Result<Manifest>,
    /// In log order.
    segments: Vec<FoundSegment>,
    /// The index of each segment in `segments`.
    positions: HashMap<SegmentId, usize>,
    /// `None` if MANIFEST cannot be read. Then the order comes from the segments' headers, and
    /// hints are not used.
    context: Option<StoreContext>,
    /// The segments without a file.
    missing: HashSet<SegmentId>,
}

/// Opens the directory at `path`.
///
/// # Errors
/// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], and I/O errors.
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
    // Checks the open directory, because its name may lead elsewhere by now.
    staging::check_trusted(&*directory, path, options.trust)?;
    Ok(directory)
}

impl LogFiles {
    /// Returns the segments that MANIFEST lists. If it cannot be read, those with a known header.
    ///
    /// # Errors
    /// I/O errors of the directory.
    pub(crate) fn of(directory: Arc<dyn Directory>, reading: &ReadMode) -> Result<Self> {
        Self::by(manifest_file::read(&*directory), directory, reading)
    }

    /// Works like [`LogFiles::of`], with this MANIFEST.
    pub(crate) fn by(
        manifest: Result<Manifest>,
        directory: Arc<dyn Directory>,
        reading: &ReadMode,
    ) -> Result<Self> {
        let reading = reading.unmapped();
        let present = file::present(&*directory)?;
        let manifest = manifest.and_then(|manifest| {
            if found_segment::is_of_another_store(&*directory, &manifest, &present) {
                let reason = "it is another store's: no segment that is there belongs to it".to_owned();
                return Err(Error::ManifestDamaged { reason });
            }
            Ok(manifest)
        });
        let context = manifest.as_ref().ok();
        let context = context.map(|manifest| StoreContext::of(&directory, manifest, reading.clone()));
        let segments: Vec<FoundSegment> = match &manifest {
            Ok(manifest) => found_segment::listed(manifest),
            Err(_) => found_segment::by_headers(&*directory, &present),
        };
        let manifest = match manifest {
            // The segments alone must not give access to a store whose MANIFEST is not accessible.
            Err(error) if is_denied(&error) => return Err(error),
            // An unreadable MANIFEST without segments does not mean that the store is empty.
            Err(error) if segments.is_empty() && is_unreadable(&error) => return Err(error),
            manifest => manifest,
        };
        let present: HashSet<SegmentId> = present.into_iter().collect();
        let missing = segments.iter().map(|found| found.id).filter(|id| !present.contains(id)).collect();
        let mut log_files =
            Self { directory, reading, manifest, segments, positions: HashMap::new(), context, missing };
        log_files.index_positions();
        Ok(log_files)
    }

    fn index_positions(&mut self) {
        self.positions = self.segments.iter().enumerate().map(|(at, found)| (found.id, at)).collect();
    }

    /// Adds segment `id` in the order of sequence numbers, if it is not in the log and its header
    /// is known. Returns whether the segment is in the log now.
    pub(crate) fn admit(&mut self, id: SegmentId) -> bool {
        if self.get(id).is_none()
            && let Some(orphan) = found_segment::by_header(&*self.directory, id)
        {
            let at = self.segments.partition_point(|found| found.base_seq <= orphan.base_seq);
            self.segments.insert(at, orphan);
            self.index_positions();
        }
        self.get(id).is_some()
    }

    /// Removes the segments for which `is_ours` is false.
    pub(crate) fn retain(&mut self, is_ours: impl Fn(&FoundSegment) -> bool) {
        self.segments.retain(is_ours);
        self.index_positions();
    }

    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Returns the segments which show that MANIFEST is an old one that was put back.
    pub(crate) fn newer(&self) -> Result<Vec<SegmentId>> {
        let Ok(manifest) = &self.manifest else { return Ok(Vec::new()) };
        found_segment::newer(&*self.directory, manifest, &file::present(&*self.directory)?)
    }

    /// Returns the way its segments are read.
    pub(crate) fn reading(&self) -> &ReadMode {
        &self.reading
    }

    /// Returns MANIFEST, or the reason why it cannot be read.
    pub(crate) fn manifest(&self) -> Result<&Manifest, &Error> {
        self.manifest.as_ref()
    }

    /// Checks that no interrupted backup or restore left the directory at `path`.
    ///
    /// # Errors
    /// [`Error::Unfinished`].
    pub(crate) fn check_finished(&self, path: &Path) -> Result<()> {
        match self.manifest.is_err() && staging::MARK.is_set(&*self.directory) {
            true => Err(Error::Unfinished { path: path.to_owned() }),
            false => Ok(()),
        }
    }

    /// Returns the reason why MANIFEST cannot be used, if so.
    pub(crate) fn why_no_manifest(&self) -> Option<String> {
        Some(match self.manifest.as_ref().err()? {
            Error::ManifestDamaged { reason } => reason.clone(),
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => "it is missing".to_owned(),
            error => error.sentence(),
        })
    }

    /// Returns the segments, in log order.
    pub(crate) fn segments(&self) -> &[FoundSegment] {
        &self.segments
    }

    /// Returns segment `id`, if it is in the log.
    pub(crate) fn get(&self, id: SegmentId) -> Option<&FoundSegment> {
        self.positions.get(&id).map(|&at| &self.segments[at])
    }

    /// Returns the segment after `id`.
    pub(crate) fn next(&self, id: SegmentId) -> Option<&FoundSegment> {
        self.segments.get(self.positions.get(&id)? + 1)
    }

    /// Returns the segments without a file.
    pub(crate) fn missing(&self) -> &HashSet<SegmentId> {
        &self.missing
    }

    /// Returns the store that the files belong to, if MANIFEST can be read.
    pub(crate) fn context(&self) -> Option<&StoreContext> {
        self.context.as_ref()
    }

    /// Opens the segments after `id`, nearest first. Skips missing ones.
    pub(crate) fn later(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.positions.get(&id).map_or(self.segments.len(), |at| at + 1);
        self.segments[at..].iter().filter_map(|found| self.open_found(found))
    }

    /// Opens the segments before `id`, nearest first. Skips missing ones.
    pub(crate) fn earlier(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.positions.get(&id).copied().unwrap_or(0);
        self.segments[..at].iter().rev().filter_map(|found| self.open_found(found))
    }

    /// Opens a segment up to the end of the log, without bytes that recovery will cut off. `None`
    /// if it is missing.
    fn open_found(&self, found: &FoundSegment) -> Option<Result<Segment>> {
        if self.missing.contains(&found.id) {
            return None;
        }
        let whole = self.open(found.id, found.layout, u64::MAX);
        Some(whole.and_then(|segment| match found.extent {
            Some(extent) if extent.is_unsettled(segment.len()) => {
                let report = TailReport::of(&segment, self.durable_prefix(found))?;
                self.open(found.id, found.layout, report.end)
            }
            Some(SegmentExtent::Sealed(len) | SegmentExtent::Closed(len)) if len < segment.len() => {
                self.open(found.id, found.layout, len)
            }
            _ => Ok(segment),
        }))
    }

    /// Returns the part of the segment `found` that MANIFEST knows to be durable.
    pub(crate) fn durable_prefix(&self, found: &FoundSegment) -> DurablePrefix {
        DurablePrefix::of(found.extent, self.manifest().map_or(Seqno(0), |manifest| manifest.next_seq))
    }

    /// Returns the length of the file of segment `id`, in bytes.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], and I/O errors.
    pub(crate) fn file_len(&self, id: SegmentId) -> Result<u64> {
        let file = file::open(&*self.directory, id, Access::Read)?;
        file::len(&*self.directory, id, &*file)
    }

    /// Returns the first bytes of the file of segment `id`, including its header.
    pub(crate) fn header_bytes(&self, id: SegmentId) -> Result<Vec<u8>> {
        found_segment::header_bytes(&*self.directory, id)
    }

    /// Opens segment `id` up to `limit` or its end.
    ///
    /// # Errors
    /// [`Error::SegmentMissing`], and I/O errors.
    pub(crate) fn open(&self, id: SegmentId, layout: Layout, limit: u64) -> Result<Segment> {
        let file = file::open(&*self.directory, id, Access::Read)?;
        let len = file::len(&*self.directory, id, &*file)?.min(limit);
        self.segment(&FoundSegment { layout, ..self.known_or_not(id) }, &file, (len, 0))
    }

    /// Opens the part of a segment that KEYDIR covers, at its place in the address space.
    pub(crate) fn open_covered(&self, covered: &Covered) -> Result<Segment> {
        let file = file::open(&*self.directory, covered.id, Access::Read)?;
        let lens = (covered.len, covered.first_page);
        self.segment_by(&self.reading, &self.known_or_not(covered.id), &file, lens)
    }

    /// Returns segment `id`, or one with no known facts if it is not in the log.
    fn known_or_not(&self, id: SegmentId) -> FoundSegment {
        let base_seq = Seqno(0);
        let layout = Layout::current(0);
        let nothing = FoundSegment { id, base_seq, has_base_seq: false, layout, extent: None, seq_end: None };
        self.get(id).copied().unwrap_or(nothing)
    }

    /// Opens segment `found` in its `file`. `lens` is the number of bytes to open, and the first
    /// page.
    pub(crate) fn segment(
        &self,
        found: &FoundSegment,
        file: &Arc<dyn File>,
        lens: (u64, u32),
    ) -> Result<Segment> {
        self.segment_by(&self.reading.unpooled(), found, file, lens)
    }

    fn segment_by(
        &self,
        reading: &ReadMode,
        found: &FoundSegment,
        file: &Arc<dyn File>,
        (len, first_page): (u64, u32),
    ) -> Result<Segment> {
        let FoundSegment { id, base_seq, layout, .. } = *found;
        let base_seq = if found.has_base_seq { base_seq } else { Seqno(1) };
        let seq_end = found.seq_end.unwrap_or(Seqno(u64::MAX));
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page };
        Segment::new(identity, &*self.directory, file, reading, (len, len))
    }
}

/// Returns whether a file exists but cannot be read.
fn is_unreadable(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound)
}

/// Returns whether a file exists but access is denied.
fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}
