//! How far the log goes at one moment, between two batches.

use std::collections::HashSet;
use std::sync::Arc;

use super::Log;
use super::writer::Writer;
use crate::engine::base::error::Result;
use crate::engine::base::ids::Seqno;
use crate::engine::format::manifest::History;
use crate::engine::segment::Segment;

/// The log up to one moment: what readers see then, and nothing of what is on its way.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The number of the newest record that readers see.
    pub(crate) last_seq: Seqno,
    /// What the log can still tell of the past.
    pub(crate) history: History,
    /// The segments in log order, and how much of each belongs to it, in bytes.
    pub(crate) segments: Vec<(Arc<Segment>, u64)>,
}

impl Log {
    /// The log as it is now.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed), [`Error::Poisoned`](crate::Error::Poisoned).
    pub(crate) fn cut(&self) -> Result<Cut> {
        let writer = self.writable()?;
        let mut cut = self.cut_now(&writer);
        // While a compaction commits, readers find records in what it read and in what it wrote: the log is what MANIFEST
        // lists, and holds each once.
        let listed: HashSet<_> = writer.manifest.segments.iter().map(|line| line.id).collect();
        cut.segments.retain(|(segment, _)| listed.contains(&segment.id));
        Ok(cut)
    }

    /// As [`Log::cut`], with segments that a compaction is about to let go.
    pub(super) fn cut_now(&self, writer: &Writer) -> Cut {
        let first_pending = writer.pending.first();
        let len = |segment: &Segment| {
            // What is in the file and not yet published is no part of it.
            let unpublished = first_pending.filter(|_| !segment.is_sealed()).map(|first| first.at);
            let len = if segment.is_sealed() { segment.limit() } else { segment.len() };
            unpublished.unwrap_or(len).min(len)
        };
        let segments = self.state.segments();
        let covered = |segment: &Arc<Segment>| (Arc::clone(segment), len(segment));
        let (last_seq, history) = (writer.published(), writer.manifest.history);
        Cut { last_seq, history, segments: segments.iter().map(covered).collect() }
    }
}
