//! Segment files that MANIFEST does not list: ours are removed, others left alone.

use std::path::Path;

use super::load::Load;
use crate::engine::catalog;
use crate::engine::format::manifest::Manifest;
use crate::engine::format::segment_header::may_start;
use crate::engine::fs::{Access, StoreFile};
use crate::engine::location::SegmentId;
use crate::engine::segment::file;
use crate::error::{Error, Result};

impl Load<'_> {
    /// Removes segments that MANIFEST, durable by now, does not list.
    pub(super) fn remove_orphans(&mut self, path: &Path, manifest: &Manifest) -> Result<()> {
        let mut unlisted = file::present(self.directory)?;
        unlisted.retain(|id| manifest.segments.iter().all(|line| line.id != *id));
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

    /// Whether a segment that is not listed was made by this store: it starts as one of ours does, as far as it goes, or
    /// with nothing but zeros, as a crash leaves a file whose bytes were not written.
    fn is_ours(&self, id: SegmentId) -> bool {
        let bytes = file::open(self.directory, id, Access::Read)
            .and_then(|file| file::first_bytes(self.directory, id, &*file));
        bytes.is_ok_and(|bytes| bytes.iter().all(|&byte| byte == 0) || may_start(&bytes, self.store))
    }
}
