//! The segments of a store in log order, as far as the files tell.

use std::sync::Arc;

use super::Role;
use crate::engine::catalog;
use crate::engine::format::manifest::{Extent, SegmentLine};
use crate::engine::format::segment_header::{Layout, SegmentHeader};
use crate::engine::fs::{Access, Directory};
use crate::engine::judge::Verdict;
use crate::engine::location::{SegmentId, Seqno};
use crate::engine::options::ReadWith;
use crate::engine::segment::{Home, Identity, Segment, file};
use crate::error::Result;

/// The log's segments, and what is known of each.
#[derive(Debug)]
pub(super) struct Neighbours {
    directory: Arc<dyn Directory>,
    /// In log order.
    known: Vec<Known>,
    /// Whose the files are; `None` when MANIFEST cannot be read: then the segments' headers say the order, and hints nothing.
    home: Option<Home>,
    /// Those of the log whose files are not there.
    missing: Vec<SegmentId>,
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
        let home = manifest.as_ref().ok().map(|manifest| Home {
            directory: Arc::clone(&directory),
            store: manifest.store,
            hash_seed: manifest.hash_seed,
            read_with: ReadWith::Pread,
            wake: Arc::default(),
        });
        let present = file::present(&*directory)?;
        let known: Vec<Known> = match manifest {
            Ok(manifest) => manifest.segments.iter().map(Known::listed).collect(),
            Err(_) => by_headers(&*directory, &present),
        };
        let missing = known.iter().map(|known| known.id).filter(|id| !present.contains(id)).collect();
        let mut neighbours = Self { directory, known, home, missing };
        // An orphan stands where its numbers say.
        if neighbours.get(id).is_none()
            && let Some(orphan) = known_by_header(&*neighbours.directory, id)
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
            None if self.home.is_some() => Role::Orphan,
            None => Role::Unknown,
        }
    }

    pub(super) fn extent(&self, id: SegmentId) -> Option<Extent> {
        self.get(id).and_then(|known| known.extent)
    }

    pub(super) fn layout(&self, id: SegmentId) -> Option<Layout> {
        self.get(id).map(|known| known.layout)
    }

    /// The segments of the log whose files are not there.
    pub(super) fn missing(&self) -> &[SegmentId] {
        &self.missing
    }

    /// Whose the files are, if MANIFEST says so.
    pub(super) fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    /// The segments after `id`, nearest first, without what is missing.
    pub(super) fn later(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
        let at = self.known.iter().position(|known| known.id == id).map_or(self.known.len(), |at| at + 1);
        self.known[at..].iter().filter_map(|known| self.open_known(known))
    }

    /// The segments before `id`, nearest first, without what is missing.
    pub(super) fn earlier(&self, id: SegmentId) -> impl Iterator<Item = Result<Segment>> + '_ {
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
            Some(Extent::Sealed(len) | Extent::Closed(len)) if len < segment.len() => {
                self.open(known.id, known.layout, len)
            }
            Some(Extent::Active(_)) => self.open(known.id, known.layout, Verdict::of(&segment)?.end),
            _ => Ok(segment),
        }))
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
        let next = self.known.iter().skip_while(|known| known.id != id).nth(1);
        let seq_end = next.map_or(Seqno(u64::MAX), |next| next.base_seq);
        let identity = Identity { id, base_seq, layout, created_ms: 0, seq_end, first_page: 0 };
        Segment::new(identity, &*self.directory, &file, ReadWith::Pread, (len, len))
    }

    fn get(&self, id: SegmentId) -> Option<&Known> {
        self.known.iter().find(|known| known.id == id)
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
