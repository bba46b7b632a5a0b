//! What readers see, and how far the log has come.

use std::sync::PoisonError;
use std::time::Duration;

use super::writer::{Active, Writer};
use super::{Cut, Log};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::keydir_file::Covered;
use crate::engine::state::Frozen;

/// What readers see between two batches.
#[derive(Debug)]
pub(crate) struct ReadPoint {
    pub(crate) frozen: Frozen,
    /// The number of the newest record that they see.
    pub(crate) last_seq: Seqno,
    /// The segments and their figures, in log order.
    pub(crate) segments: Vec<Covered>,
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
    pub(crate) fn present(&self) -> Result<(Frozen, Seqno)> {
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
    pub(crate) fn progress_end(&self) -> Result<Seqno> {
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
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce(Option<SegmentId>) -> T) -> Result<T> {
        let writer = self.lock()?;
        Ok(look(writer.active.as_ref().map(Active::id)))
    }

    /// What readers see now, with what the segments come to.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub(crate) fn moment(&self) -> Result<ReadPoint> {
        let writer = self.writable()?;
        let Cut { last_seq, segments, .. } = self.cut_now(&writer);
        let segments = segments.iter().map(|(segment, len)| segment.covered(*len)).collect();
        Ok(ReadPoint { frozen: self.state.freeze(), last_seq, segments })
    }
}
