//! Layer 6: the segments of a store in log order, as far as the files tell; no index, no lock, nothing written.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::catalog;
use super::format::keydir_file::Covered;
use super::format::manifest::{Extent, Manifest, SegmentLine};
use super::format::segment_header::{Layout, SegmentHeader};
use super::fs::{Access, Directory, File, PathKind};
use super::judge::Verdict;
use super::location::{SegmentId, Seqno};
use super::options::{Options, ReadWith};
use super::segment::{Home, Identity, Segment, file};
use crate::error::{Error, Result};

/// The log's segments, and what is known of each.
#[derive(Debug)]
pub(crate) struct Survey {
    directory: Arc<dyn Directory>,
    manifest: Result<Manifest>,
    /// In log order.
    known: Vec<Known>,
    /// Whose the files are; `None` when MANIFEST cannot be read: then the segments' headers say the order, and hints nothing.
    home: Option<Home>,
    /// Those of the log whose files are not there.
    missing: Vec<SegmentId>,
}

/// What is known of a segment without a look at its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: SegmentId,
    pub(crate) base_seq: Seqno,
    pub(crate) layout: Layout,
    /// What MANIFEST says of its length; `None` when it does not list it.
    pub(crate) extent: Option<Extent>,
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
    let directory = file_system.open_directory(path).map_err(Error::io("open", path))?;
    // Asked of the open directory: what has this name may have become another one meanwhile.
    match directory.distrust().map_err(Error::io("open", path))? {
        Some(reason) if !options.trust => Err(Error::Untrusted { path: path.to_owned(), reason }),
        _ => Ok(directory),
    }
}

impl Survey {
    /// The segments that MANIFEST lists, or, where it cannot be read, those that say what they are.
    ///
    /// # Errors
    /// What the operating system says of the directory.
    pub(crate) fn of(directory: Arc<dyn Directory>) -> Result<Self> {
        let manifest = catalog::read(&*directory);
        let home = manifest.as_ref().ok().map(|manifest| Home {
            directory: Arc::clone(&directory),
            store: manifest.store,
            hash_seed: manifest.hash_seed,
            read_with: ReadWith::Pread,
            wake: Arc::default(),
        });
        let present = file::present(&*directory)?;
        let known: Vec<Known> = match &manifest {
            Ok(manifest) => manifest.segments.iter().map(Known::listed).collect(),
            Err(_) => by_headers(&*directory, &present),
        };
        let missing = known.iter().map(|known| known.id).filter(|id| !present.contains(id)).collect();
        Ok(Self { directory, manifest, known, home, missing })
    }

    /// Takes in segment `id`, which MANIFEST may not list: then it stands where its numbers say. Whether it is known now.
    pub(crate) fn admit(&mut self, id: SegmentId) -> bool {
        if self.get(id).is_none()
            && let Some(orphan) = known_by_header(&*self.directory, id)
        {
            let at = self.known.partition_point(|known| known.base_seq <= orphan.base_seq);
            self.known.insert(at, orphan);
        }
        self.get(id).is_some()
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// What MANIFEST says, or why it cannot be read.
    pub(crate) fn manifest(&self) -> Result<&Manifest, &Error> {
        self.manifest.as_ref()
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
        self.known.iter().find(|known| known.id == id)
    }

    /// The segment after `id`.
    pub(crate) fn next(&self, id: SegmentId) -> Option<&Known> {
        self.known.iter().skip_while(|known| known.id != id).nth(1)
    }

    /// The segments of the log whose files are not there.
    pub(crate) fn missing(&self) -> &[SegmentId] {
        &self.missing
    }

    /// Whose the files are, if MANIFEST says so.
    pub(crate) fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// The segments after `id`, nearest first, without what is missing.
    pub(crate) fn later(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.known.iter().position(|known| known.id == id).map_or(self.known.len(), |at| at + 1);
        self.known[at..].iter().filter_map(|known| self.open_known(known))
    }

    /// The segments before `id`, nearest first, without what is missing.
    pub(crate) fn earlier(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.known.iter().position(|known| known.id == id).unwrap_or(0);
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
                self.open(known.id, known.layout, Verdict::of(&segment)?.end)
            }
            Some(Extent::Sealed(len) | Extent::Closed(len)) if len < segment.len() => {
                self.open(known.id, known.layout, len)
            }
            _ => Ok(segment),
        }))
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
        self.segment(id, layout, &file, (len, 0))
    }

    /// What KEYDIR covers of a segment, at its place in the address space.
    ///
    /// # Errors
    /// As [`Survey::open`].
    pub(crate) fn open_covered(&self, covered: &Covered) -> Result<Segment> {
        let file = file::open(&*self.directory, covered.id, Access::Read)?;
        let layout = self.get(covered.id).map_or(Layout::current(0), |known| known.layout);
        self.segment(covered.id, layout, &file, (covered.len, covered.first_page))
    }

    /// The first `len` bytes of `file`, which is that of segment `id`.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn segment(
        &self,
        id: SegmentId,
        layout: Layout,
        file: &Arc<dyn File>,
        (len, first_page): (u64, u32),
    ) -> Result<Segment> {
        let base_seq = self.get(id).map_or(Seqno(0), |known| known.base_seq);
        let seq_end = self.next(id).map_or(Seqno(u64::MAX), |next| next.base_seq);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page };
        Segment::new(identity, &*self.directory, file, ReadWith::Pread, (len, len))
    }
}

impl Known {
    fn listed(line: &SegmentLine) -> Self {
        let SegmentLine { id, base_seq, layout, extent } = *line;
        Self { id, base_seq, layout, extent: Some(extent) }
    }
}

/// The segments that say where they stand, in the order of their numbers, which grow along the log.
fn by_headers(directory: &dyn Directory, present: &[SegmentId]) -> Vec<Known> {
    let mut known: Vec<Known> = present.iter().filter_map(|&id| known_by_header(directory, id)).collect();
    known.sort_by_key(|known| (known.base_seq, known.id));
    known
}

fn known_by_header(directory: &dyn Directory, id: SegmentId) -> Option<Known> {
    let header = SegmentHeader::decode(&header_bytes(directory, id).ok()?).ok()?;
    Some(Known { id, base_seq: header.base_seq, layout: header.layout, extent: None })
}

fn header_bytes(directory: &dyn Directory, id: SegmentId) -> Result<Vec<u8>> {
    let file = file::open(directory, id, Access::Read)?;
    file::first_bytes(directory, id, &*file)
}
