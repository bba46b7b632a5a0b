//! Everything at once: a new MANIFEST that lists no segment.

use std::sync::atomic::Ordering;

use super::Log;
use super::roll::spent;
use super::writer::Writer;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::History;

/// What was taken out.
#[derive(Debug, Default)]
pub(crate) struct Cleared {
    /// How many keys there were.
    pub(crate) key_count: u64,
    /// The segments, whose files nobody needs any more.
    pub(crate) segments: Vec<SegmentId>,
}

impl Log {
    /// Takes every key out, which gets the next number, as a record does. Nothing is compacted meanwhile.
    ///
    /// # Errors
    /// [`NumbersSpent`](crate::Error::NumbersSpent), a log that takes no more writes, and what the operating system
    /// says; nothing was changed.
    /// [`NotWritten`](crate::Error::NotWritten): the next open finds everything, or nothing.
    pub(crate) fn clear(&self) -> Result<Cleared> {
        let mut guard = self.without_sync(self.writable()?)?;
        let writer = &mut *guard;
        // Who waits for a write that came before this is told that it was done.
        self.finish_active(writer)?;
        // It may read what is about to go.
        self.state.keydir.settle()?;
        let mut manifest = writer.sealed_manifest();
        let segments: Vec<_> = manifest.segments.drain(..).map(|line| line.id).collect();
        if segments.is_empty() {
            return Ok(Cleared::default());
        }
        // What was is not told any more: it would be shown as if it had never been. Without a number of its own it would be
        // told to nobody who follows the log and has been given all of it.
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
        self.leave_active(writer);
        let gone_len = self.state.segments().iter().map(|segment| segment.len()).sum();
        self.state.compacted_len.fetch_add(gone_len, Ordering::Relaxed);
        self.state.clear(&segments, history)?;
        self.number_clear(writer, seq);
        tracing::info!(keys = key_count, segments = segments.len(), "the store was cleared");
        Ok(Cleared { key_count, segments })
    }

    /// Goes on from number `seq`, which no record has, and wakes who follows the log.
    fn number_clear(&self, writer: &mut Writer, seq: Seqno) {
        (writer.appended, writer.durable) = (seq, seq);
        writer.written = writer.mark();
        self.progress.notify_all();
    }
}
