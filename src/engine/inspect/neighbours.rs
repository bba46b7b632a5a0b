//! The segments of a store in log order, as far as the files tell.

use std::sync::Arc;

use super::Role;
use crate::engine::catalog;
use crate::engine::format::manifest::{Extent, SegmentLine};
use crate::engine::format::segment_header::{Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory, StoreFile};
use crate::engine::location::{SegmentId, Seqno};
use crate::engine::options::ReadWith;
use crate::engine::segment::{Identity, Segment, file};
use crate::error::{Error, Result};

/// The log's segments, and what is known of each.
#[derive(Debug)]
pub(super) struct Neighbours {
    directory: Arc<dyn Directory>,
    /// In log order.
    known: Vec<Known>,
    /// Whether MANIFEST could be read: if not, the segments' headers say the order.
    has_manifest: bool,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: SegmentId,
    base_seq: Seqno,
    layout: Layout,
    extent: Option<Extent>,
}

impl Neighbours {
    /// The segments around `id`, which may be one that MANIFEST does not list.
    pub(super) fn of(directory: Arc<dyn Directory>, id: SegmentId) -> Result<Self> {
        let manifest = catalog::read(&*directory);
        let has_manifest = manifest.is_ok();
        let known = match manifest {
            Ok(manifest) => manifest.segments.iter().map(Known::listed).collect(),
            Err(_) => found(&*directory)?,
        };
        let mut neighbours = Self { directory, known, has_manifest };
        // An orphan stands where its numbers say.
        if neighbours.get(id).is_none()
            && let Ok(Some(orphan)) = neighbours.known_by_header(id)
        {
            let at = neighbours.known.partition_point(|known| known.base_seq <= orphan.base_seq);
            neighbours.known.insert(at, orphan);
        }
        Ok(neighbours)
    }

    pub(super) fn role(&self, id: SegmentId) -> Role {
        match self.extent(id) {
            Some(Extent::Sealed(_)) => Role::Sealed,
            Some(Extent::Active(_) | Extent::Closed(_)) => Role::Active,
            None if self.has_manifest => Role::Orphan,
            None => Role::Unknown,
        }
    }

    pub(super) fn extent(&self, id: SegmentId) -> Option<Extent> {
        self.get(id).and_then(|known| known.extent)
    }

    pub(super) fn layout(&self, id: SegmentId) -> Option<Layout> {
        self.get(id).map(|known| known.layout)
    }

    /// The segments after `id`, nearest first.
    pub(super) fn later(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.known.iter().position(|known| known.id == id).map_or(self.known.len(), |at| at + 1);
        self.known[at..].iter().map(|known| self.open(known.id, known.layout, u64::MAX))
    }

    /// The segments before `id`, nearest first.
    pub(super) fn earlier(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.known.iter().position(|known| known.id == id).unwrap_or(0);
        self.known[..at].iter().rev().map(|known| self.open(known.id, known.layout, u64::MAX))
    }

    /// The start of the file of segment `id`.
    pub(super) fn header_bytes(&self, id: SegmentId) -> Result<Vec<u8>> {
        header_bytes(&*self.directory, id)
    }

    /// The first `limit` bytes of segment `id`, or as much as there is.
    pub(super) fn open(&self, id: SegmentId, layout: Layout, limit: u64) -> Result<Segment> {
        let file = file::open(&*self.directory, id, Access::Read)?;
        let len = file::len(&*self.directory, id, &*file)?.min(limit);
        let base_seq = self.get(id).map_or(Seqno(0), |known| known.base_seq);
        let identity = Identity { id, base_seq, layout, created_ms: 0, first_page: 0 };
        Segment::new(identity, &file, ReadWith::Pread, len, len)
            .map_err(Error::io("read", self.directory.path(StoreFile::Segment(id))))
    }

    fn get(&self, id: SegmentId) -> Option<&Known> {
        self.known.iter().find(|known| known.id == id)
    }

    fn known_by_header(&self, id: SegmentId) -> Result<Option<Known>> {
        known_by_header(&*self.directory, id)
    }
}

impl Known {
    fn listed(line: &SegmentLine) -> Self {
        let SegmentLine { id, base_seq, layout, extent } = *line;
        Self { id, base_seq, layout, extent: Some(extent) }
    }
}

/// The segments in the directory that say where they stand: numbers grow along the log.
fn found(directory: &dyn Directory) -> Result<Vec<Known>> {
    let names = directory.names().map_err(Error::io("read", directory.path(StoreFile::Manifest)))?;
    let mut known = Vec::new();
    for name in names {
        if let Some(StoreFile::Segment(id)) = StoreFile::parse(&name) {
            known.extend(known_by_header(directory, id)?);
        }
    }
    known.sort_by_key(|known| (known.base_seq, known.id));
    Ok(known)
}

fn known_by_header(directory: &dyn Directory, id: SegmentId) -> Result<Option<Known>> {
    let header = SegmentHeader::decode(&header_bytes(directory, id)?).ok();
    Ok(header.map(|header| Known { id, base_seq: header.base_seq, layout: header.layout, extent: None }))
}

fn header_bytes(directory: &dyn Directory, id: SegmentId) -> Result<Vec<u8>> {
    let file = file::open(directory, id, Access::Read)?;
    file::first_bytes(directory, id, &*file)
}
