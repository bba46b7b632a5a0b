//! Views of the log: its progress, and what readers see at one moment.

use std::collections::HashSet;
use std::sync::Arc;
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

/// The state between two batches, with the usage of segments.
#[derive(Debug)]
pub(crate) struct ReadPoint {
    pub(crate) frozen: Frozen,
    /// The sequence number of the newest record in it.
    pub(crate) last_seq: Seqno,
    /// The segments and their usage, in log order.
    pub(crate) segments: Vec<Covered>,
}

/// The log between two batches, without pending records.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The sequence number of the newest record in it.
    pub(crate) last_seq: Seqno,
    /// The history that the log still holds.
    pub(crate) history: History,
    /// The segments in log order, and the bytes of each that belong to the cut.
    pub(crate) segments: Vec<(Arc<Segment>, u64)>,
}

impl Log {
    /// Returns the sequence numbers of the newest record, and of the newest one known to be
    /// durable.
    pub(crate) fn progress(&self) -> Result<(Seqno, Seqno)> {
        let writer = self.lock()?;
        // Before the first write, the counters are at the last record, or past it after a crash.
        let of_record = |seq| if seq > self.floor { seq } else { self.last_at_open };
        Ok((of_record(writer.written.seq), of_record(writer.durable)))
    }

    /// Freezes the state between two batches. Returns it with the number of its newest record.
    pub(crate) fn freeze(&self) -> Result<(Frozen, Seqno)> {
        let writer = self.lock()?;
        Ok((self.state.freeze(), writer.published()))
    }

    /// Flushes the buffer, and returns the sequence number of the newest record that readers see.
    pub(crate) fn published(&self) -> Result<Seqno> {
        self.flush_buffered()?;
        Ok(self.lock()?.published())
    }

    /// Returns the sequence number of the next record.
    pub(crate) fn next_seq(&self) -> Result<Seqno> {
        Ok(self.lock()?.appended.plus(1))
    }

    /// Waits until readers see a record after number `seq`. Returns `false` if they do not within
    /// `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub(crate) fn wait_behind(&self, seq: Seqno, timeout: Duration) -> Result<bool> {
        let mut writer = self.lock()?;
        writer.followers += 1;
        let nothing_new = |writer: &mut Writer| writer.exclusion.is_some() && writer.published() <= seq;
        writer = self.progress.wait_timeout_while(writer, timeout, nothing_new);
        writer.followers -= 1;
        let is_new = writer.published() > seq;
        if is_new || writer.exclusion.is_some() { Ok(is_new) } else { Err(Error::Closed) }
    }

    /// Runs `look` while nothing is published and no record moves between segments. Passes it the
    /// id of the active segment.
    pub(crate) fn while_at_rest<T>(&self, look: impl FnOnce(Option<SegmentId>) -> T) -> Result<T> {
        let writer = self.lock()?;
        Ok(look(writer.active.as_ref().map(Active::id)))
    }

    /// Freezes the state, with the usage of segments.
    pub(crate) fn read_point(&self) -> Result<ReadPoint> {
        let writer = self.writable()?;
        let Cut { last_seq, segments, .. } = self.cut_now(&writer);
        let segments = segments.iter().map(|(segment, len)| segment.covered(*len)).collect();
        Ok(ReadPoint { frozen: self.state.freeze(), last_seq, segments })
    }

    /// Returns the log as it is now, for a backup.
    pub(crate) fn cut(&self) -> Result<Cut> {
        let writer = self.writable()?;
        let mut cut = self.cut_now(&writer);
        // While a compaction commits, the set has its inputs and outputs. MANIFEST lists each
        // record once.
        let listed: HashSet<_> = writer.manifest.segments.iter().map(|line| line.id).collect();
        cut.segments.retain(|(segment, _)| listed.contains(&segment.id));
        Ok(cut)
    }

    /// Works like [`Log::cut`], but also includes the inputs of a compaction that is committing.
    fn cut_now(&self, writer: &Writer) -> Cut {
        let first_pending = writer.pending.first();
        let len = |segment: &Segment| {
            // The file may also hold records that are not published.
            let unpublished = first_pending.filter(|_| !segment.is_sealed()).map(|first| first.at);
            let len = if segment.is_sealed() { segment.limit() } else { segment.len() };
            unpublished.unwrap_or(len).min(len)
        };
        let segments = self.state.segments();
        let covered = |segment: &Arc<Segment>| (Arc::clone(segment), len(segment));
        Cut {
            last_seq: writer.published(),
            history: writer.manifest.history,
            segments: segments.iter().map(covered).collect(),
        }
    }

    /// Returns the newest record of `key`, pending or published, or `None` if it is missing or
    /// expired. The caller prevents appends meanwhile. A later write makes the record as durable as
    /// itself.
    ///
    /// # Errors
    /// [`Error::Damaged`], and I/O errors.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<Record>> {
        let mut writer = self.writable()?;
        let Some(pending) = writer.pending_of(self.state.hash(key), key)? else {
            // The caller prevents appends, so the lookup runs without the lock, and publishing need
            // not wait for it.
            drop(writer);
            return self.state.find(key);
        };
        if pending.record.kind != Kind::Put || self.state.is_past(pending.record.expires_ms) {
            return Ok(None);
        }
        // Only records in the file can be read.
        self.flush(&mut writer)?;
        let Some(active) = &writer.active else { return Err(Error::Closed) };
        active.segment.segment.read(pending.at).map(Some)
    }
}
