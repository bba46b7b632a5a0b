//! Clearing: a new MANIFEST that lists no segment.

use std::sync::atomic::Ordering;

use super::Log;
use super::roll::spent;
use super::writer::Writer;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::History;

/// The keys and segments that a clear removed.
#[derive(Debug, Default)]
pub(crate) struct Cleared {
    pub(crate) key_count: u64,
    /// The segments, whose files are no longer needed.
    pub(crate) segments: Vec<SegmentId>,
}

impl Log {
    /// Removes all keys. Takes one sequence number, as a record does. The caller ensures that no
    /// compaction runs.
    ///
    /// # Errors
    /// [`NumbersSpent`](crate::Error::NumbersSpent), a closed or poisoned log, and I/O errors.
    /// Nothing has changed then. After [`NotWritten`](crate::Error::NotWritten), the next open
    /// finds either everything or nothing.
    pub(crate) fn clear(&self) -> Result<Cleared> {
        let mut guard = self.without_sync(self.writable()?)?;
        let writer = &mut *guard;
        // Writers that wait for earlier records learn that these were written.
        self.finish_active(writer)?;
        // A later rebuild of a damaged shard would read segments that are about to be removed.
        self.state.keydir.settle()?;
        let mut manifest = writer.sealed_manifest();
        let segments: Vec<_> = manifest.segments.drain(..).map(|line| line.id).collect();
        if segments.is_empty() {
            return Ok(Cleared::default());
        }
        // History before this point is gone: without the old puts, keys would seem never to have
        // existed. The clear needs a number of its own, or readers of changes that have seen
        // everything would not notice it.
        let seq = manifest.next_seq;
        manifest.next_seq = seq.plus(1);
        if seq >= Seqno::END {
            return Err(spent("next_seq", seq.0));
        }
        let whole_from_ms = self.options.clock.now_ms();
        let cleared = History { dropped: seq, whole_from: seq, whole_from_ms, ..History::default() };
        let history = manifest.history.with(cleared);
        manifest.history = history;
        self.replace_manifest(writer, manifest)?;
        let key_count = self.state.keydir.count();
        self.seal_active(writer);
        let gone_len = self.state.segments().iter().map(|segment| segment.len()).sum();
        self.state.compacted_len.fetch_add(gone_len, Ordering::Relaxed);
        self.state.clear(&segments, history);
        self.number_clear(writer, seq);
        tracing::info!(keys = key_count, segments = segments.len(), "the store was cleared");
        Ok(Cleared { key_count, segments })
    }

    /// Continues the log after number `seq`, which no record has, and wakes readers of changes.
    fn number_clear(&self, writer: &mut Writer, seq: Seqno) {
        (writer.appended, writer.durable) = (seq, seq);
        writer.written = writer.mark();
        self.progress.notify_all();
    }
}
