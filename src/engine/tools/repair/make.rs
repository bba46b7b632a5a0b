//! The course of a repair: scan all segments, take over their records, commit, check.

use std::path::Path;
use std::sync::Arc;

use super::run::Repair;
use super::source::SourceSegment;
use super::target::TargetStore;
use super::{loss, unfinished};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::fs::Directory;
use crate::engine::fs::staging::{DirectoryEntry, Unfinished};
use crate::engine::open::read_only::open_read_only;
use crate::engine::segment::file;

impl Repair<'_> {
    /// Makes the complete store in `to`. It is still marked as unfinished.
    pub(super) fn make_in(&mut self, to: &DirectoryEntry) -> Result<Unfinished> {
        let made = unfinished::make(to, self.options.trust)?;
        self.fill(made.directory(), to.path())?;
        Ok(made)
    }

    fn fill(&mut self, directory: &Arc<dyn Directory>, to: &Path) -> Result<(), Stop> {
        let mut sources = Vec::new();
        for found in self.log_files.segments().to_vec() {
            sources.extend(self.scan_source(found)?);
        }
        let next_seq = self.log_files.manifest().map_or(Seqno(1), |manifest| manifest.next_seq);
        // A record may have a number that MANIFEST never gave out.
        let taken = sources.iter().map(|source| source.seq_end.max(source.seqs.end)).chain([next_seq]);
        // A number above this limit would leave too few for later writes.
        let next_seq = taken.filter(|seq| *seq <= Seqno::KEPT_MAX).fold(Seqno(1), Seqno::max);
        sources.retain(|source| source.record_count > 0);
        sources.sort_by_key(|source| source.seqs.start);
        if self.log_files.manifest().is_err() {
            let gaps = sources.windows(2).map(|pair| pair[0].seqs.end..pair[1].found.base_seq);
            self.report.gaps = gaps.filter(|gap| gap.start < gap.end).collect();
        }
        let mut target = TargetStore::new(Arc::clone(directory), self.next_segment()?);
        let mut rest = sources.as_slice();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(overlapping_count(rest));
            self.take_over(&mut target, group)?;
            rest = others;
        }
        self.commit(&target, next_seq.max(target.seq_end))?;
        self.check(directory, to)?;
        Ok(())
    }

    fn next_segment(&self) -> Result<SegmentId> {
        let next = self.log_files.manifest().map_or(SegmentId(1), |manifest| manifest.next_segment);
        let present = file::present(&**self.log_files.directory())?;
        let taken = present.into_iter().map(|id| SegmentId(id.0 + 1)).chain([next]);
        Ok(taken.filter(|id| *id <= SegmentId::KEPT_MAX).fold(SegmentId(1), SegmentId::max))
    }

    /// Opens the new store, which reads and checks all of it, and looks up the lost keys in it.
    fn check(&mut self, directory: &Arc<dyn Directory>, to: &Path) -> Result<()> {
        let (opened, _) = open_read_only(directory, &self.options.clone().read_only(true), None)?;
        if let Some(found) = opened.report.damage.first() {
            return Err(Error::damaged(found.at, found.damage.clone()));
        }
        self.report.record_count = opened.report.record_count;
        loss::look_up(&opened.state, to, &mut self.report.given_up)
    }
}

/// Returns how many of the first sources have overlapping sequence numbers. `sources` are sorted by
/// their first numbers.
fn overlapping_count(sources: &[SourceSegment]) -> usize {
    let mut end = Seqno(0);
    let is_apart = |source: &SourceSegment| {
        let is_apart = source.seqs.start >= end && end > Seqno(0);
        end = end.max(source.seqs.end);
        is_apart
    };
    sources.iter().position(is_apart).unwrap_or(sources.len())
}
