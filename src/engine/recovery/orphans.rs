//! Segment files that MANIFEST does not list: ours are removed, others left alone.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use super::load::Load;
use crate::engine::catalog;
use crate::engine::format::manifest::Manifest;
use crate::engine::format::segment_header::{HeaderError, SegmentHeader};
use crate::engine::fs::{Access, StoreFile};
use crate::engine::location::SegmentId;
use crate::engine::segment::file;
use crate::error::{Damage, Error, Result};

impl Load<'_> {
    /// Removes segments that MANIFEST, durable by now, does not list.
    pub(super) fn remove_orphans(&mut self, path: &Path, manifest: &Manifest) -> Result<()> {
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
        let bytes = file::open(self.directory, id, Access::Read)
            .and_then(|file| file::first_bytes(self.directory, id, &*file));
        let Ok(bytes) = bytes else { return false };
        match SegmentHeader::decode(&bytes) {
            Ok(header) => header.store == self.store,
            Err(HeaderError::Damaged(Damage::Truncated { .. })) => true,
            Err(_) => bytes.iter().all(|&byte| byte == 0),
        }
    }
}

fn segment_named(name: &OsString) -> Option<SegmentId> {
    match StoreFile::parse(name) {
        Some(StoreFile::Segment(id)) => Some(id),
        _ => None,
    }
}
