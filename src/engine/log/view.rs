//! What readers see at one moment, and how far the log has come.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Log;
use super::writer::{Active, Writer};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::keydir_file::Covered;
use crate::engine::format::manifest::History;
use crate::engine::format::record::Kind;
use crate::engine::segment::{Record, Segment};
use crate::engine::state::frozen::Frozen;

/// What readers see between two batches.
#[derive(Debug)]
pub(crate) struct ReadPoint {
    pub(crate) frozen: Frozen,
    /// The number of the newest record that they see.
    pub(crate) last_seq: Seqno,
    /// The segments and their figures, in log order.
    pub(crate) segments: Vec<Covered>,
}

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
    /// The newest record in the log, and the newest one known to be durable.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn progress(&self) -> Result<(Seqno, Seqno)> {
        let writer = self.lock()?;
        // Before the first write the numbering stands behind the last record, farther after a crash.
        let of_record = |seq| if seq > self.floor { seq } else { self.last_at_open };
        Ok((of_record(writer.written.seq), of_record(writer.durable)))
    }

    /// The readers' current view, always between two batches, and the number of its newest record.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn freeze(&self) -> Result<(Frozen, Seqno)> {
        let writer = self.lock()?;
        Ok((self.state.freeze(), writer.published()))
    }

    /// The number of the newest record that readers see.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn published(&self) -> Result<Seqno> {
        self.reveal()?;
        Ok(self.lock()?.published())
    }

    /// The number of the next record.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn next_seq(&self) -> Result<Seqno> {
        Ok(self.lock()?.appended.plus(1))
    }

    /// Waits until readers see a record behind number `seq`; `false` when they do not within `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn wait_behind(&self, seq: Seqno, timeout: Duration) -> Result<bool> {
        let mut writer = self.lock()?;
        writer.followers += 1;
        let nothing_new = |writer: &mut Writer| writer.exclusion.is_some() && writer.published() <= seq;
        let waited = self.progress.wait_timeout_while(writer, timeout, nothing_new);
        let mut writer = waited.unwrap_or_else(PoisonError::into_inner).0;
        writer.followers -= 1;
        let is_new = writer.published() > seq;
        if is_new || writer.exclusion.is_some() { Ok(is_new) } else { Err(Error::Closed) }
    }

    /// What `look` sees, told which segment records are appended to, while nothing is published and no record moves from one
    /// segment to another.
    ///
    /// # Errors
    /// [`Error::Closed`] in a fork of the store's process.
    pub(crate) fn while_at_rest<T>(&self, look: impl FnOnce(Option<SegmentId>) -> T) -> Result<T> {
        let writer = self.lock()?;
        Ok(look(writer.active.as_ref().map(Active::id)))
    }

    /// What readers see now, with what the segments come to.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub(crate) fn read_point(&self) -> Result<ReadPoint> {
        let writer = self.writable()?;
        let Cut { last_seq, segments, .. } = self.cut_now(&writer);
        let segments = segments.iter().map(|(segment, len)| segment.covered(*len)).collect();
        Ok(ReadPoint { frozen: self.state.freeze(), last_seq, segments })
    }

    /// The log as it is now.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
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
    fn cut_now(&self, writer: &Writer) -> Cut {
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

    /// The newest record of `key`, also one that readers do not see yet; `None` when there is none or it has expired. It stays
    /// that until something is appended, which the caller keeps others from; and it is no more durable than [`Log::wait`] for
    /// what is appended next makes it.
    ///
    /// # Errors
    /// [`Error::Damaged`], and what the operating system says.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<Record>> {
        let mut writer = self.writable()?;
        let Some(pending) = writer.pending_of(self.state.hash(key), key)? else {
            // Nobody appends meanwhile: those who publish and compact need not wait for the disk.
            drop(writer);
            return self.state.find(key);
        };
        if pending.record.kind != Kind::Put || self.state.is_past(pending.record.expires_ms) {
            return Ok(None);
        }
        // Only what is in the file can be read.
        self.hand_over(&mut writer)?;
        let Some(active) = &writer.active else { return Err(Error::Closed) };
        active.segment.segment.read(pending.at).map(Some)
    }
}
