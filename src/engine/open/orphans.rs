//! Orphan files: segments that MANIFEST does not list. Opening removes those of this store, and
//! leaves those of other stores alone.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::load::Load;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::files::manifest_file;
use crate::engine::format::manifest::Manifest;
use crate::engine::format::segment_header::{SegmentHeader, may_start};
use crate::engine::fs::{Access, StoreFile};
use crate::engine::segment::{file, hint};

impl Load<'_> {
    /// Removes segments that MANIFEST does not list, and hints without a segment.
    pub(super) fn remove_orphans(&mut self, path: &Path, manifest: &Manifest) -> Result<()> {
        let listed: HashSet<_> = manifest.segments.iter().map(|line| line.id).collect();
        let is_listed = |id: SegmentId| listed.contains(&id);
        let directory = Arc::clone(&self.context.directory);
        let mut unlisted = file::present(&*directory)?;
        unlisted.retain(|id| !is_listed(*id));
        if !unlisted.is_empty() {
            // Until MANIFEST is durable, a power cut could bring back one that lists the orphan.
            manifest_file::sync(&*directory)?;
        }
        let mut ours = Vec::new();
        for id in unlisted {
            match self.own_base_seq(id) {
                Some(base_seq) => ours.push((base_seq, id)),
                None => self.report.strangers.push(id),
            }
        }
        // Oldest first: if MANIFEST were lost, deleted keys would return if the orphan with the
        // delete was removed before the orphan with the put.
        ours.sort_unstable();
        for (_, id) in ours {
            directory.remove(StoreFile::Segment(id)).map_err(Error::io("remove", self.path(id)))?;
            self.report.orphans_removed.push(id);
        }
        self.report.orphans_removed.sort();
        self.report.strangers.sort();
        for id in file::hinted(&*directory)? {
            if is_listed(id) || self.report.strangers.contains(&id) {
                continue;
            }
            // A derived file never blocks opening, whatever has its name.
            if let Err(error) = hint::remove(&self.context, id) {
                tracing::warn!(segment = id.0, %error, "the hint of a missing segment cannot be removed");
            }
        }
        if self.report.orphans_removed.is_empty() {
            return Ok(());
        }
        directory.sync().map_err(Error::io("fsync", path))
    }

    /// Returns the base sequence number of an unlisted segment of this store, or 0 if its header is
    /// damaged. Returns `None` for another store's segment. A file of zeros is ours: a crash before
    /// the header was written leaves one.
    fn own_base_seq(&self, id: SegmentId) -> Option<Seqno> {
        let bytes = file::open(&*self.context.directory, id, Access::Read)
            .and_then(|file| file::first_bytes(&*self.context.directory, id, &*file))
            .ok()?;
        let is_ours = bytes.iter().all(|&byte| byte == 0) || may_start(&bytes, self.context.store);
        is_ours.then(|| SegmentHeader::decode(&bytes).map_or(Seqno(0), |header| header.base_seq))
    }
}
