//! Segment files that MANIFEST does not list: ours are removed, others left alone.

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
    /// Removes segments that MANIFEST, durable by now, does not list, and hints of segments that are not there.
    pub(super) fn remove_orphans(&mut self, path: &Path, manifest: &Manifest) -> Result<()> {
        let listed: HashSet<_> = manifest.segments.iter().map(|line| line.id).collect();
        let is_listed = |id: SegmentId| listed.contains(&id);
        let directory = Arc::clone(&self.home.directory);
        let mut unlisted = file::present(&*directory)?;
        unlisted.retain(|id| !is_listed(*id));
        if !unlisted.is_empty() {
            // An orphan may be the only copy of something, if the MANIFEST that does without it is lost.
            manifest_file::sync(&*directory)?;
        }
        let mut ours = Vec::new();
        for id in unlisted {
            match self.own_base_seq(id) {
                Some(base_seq) => ours.push((base_seq, id)),
                None => self.report.strangers.push(id),
            }
        }
        // The oldest first: without the deletes after it, its keys would return if MANIFEST were
        // lost.
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
            // What is derived never blocks opening, whatever lies there under its name.
            if let Err(error) = hint::remove(&self.home, id) {
                tracing::warn!(segment = id.0, %error, "the hint of a segment that is gone cannot be removed");
            }
        }
        if self.report.orphans_removed.is_empty() {
            return Ok(());
        }
        directory.sync().map_err(Error::io("fsync", path))
    }

    /// The first number of an unlisted segment, 0 if it cannot be read. `None` if this store did
    /// not make it: it starts neither like one of ours, as far as it goes, nor with only zeros, as
    /// after a crash before its bytes were written.
    fn own_base_seq(&self, id: SegmentId) -> Option<Seqno> {
        let bytes = file::open(&*self.home.directory, id, Access::Read)
            .and_then(|file| file::first_bytes(&*self.home.directory, id, &*file))
            .ok()?;
        let is_ours = bytes.iter().all(|&byte| byte == 0) || may_start(&bytes, self.home.store);
        is_ours.then(|| SegmentHeader::decode(&bytes).map_or(Seqno(0), |header| header.base_seq))
    }
}
