//! The state under the log's lock: the active segment, the pending records, and how far the log is
//! written and durable.

use std::sync::Arc;

use super::pending::{PendingQueue, PendingRecord};
use super::write::{Commit, Ticket};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::{Manifest, SegmentExtent};
use crate::engine::fs::{Exclusion, File};
use crate::engine::segment::{Segment, SegmentWriter};
use crate::engine::state::Replaced;

/// The end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) manifest: Manifest,
    /// The segment that records are appended to. `None` if the next record needs a new one.
    pub(super) active: Option<Active>,
    pub(super) pending: PendingQueue,
    /// The sequence number of the last record appended.
    pub(super) appended: Seqno,
    /// The end of the records in the file. Later ones are staged.
    pub(super) written: LogMark,
    /// The sequence number of the last record known to be durable.
    pub(super) durable: Seqno,
    /// The failed writes since the log was opened.
    pub(super) losses: Vec<Loss>,
    /// The number of failed writes, including those that a later loss replaced in `losses`.
    pub(super) loss_count: u64,
    /// Whether a thread is syncing without the lock.
    pub(super) is_syncing: bool,
    /// The number of threads that wait for new records.
    pub(super) followers: usize,
    /// The failure that ended all writing.
    pub(super) poison: Option<String>,
    /// The right to change the directory. `None` once the log is closed.
    pub(super) exclusion: Option<Arc<Exclusion>>,
}

/// A position in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogMark {
    /// The sequence number of the record before it.
    pub(super) seq: Seqno,
    /// The position of the next pending record.
    pub(super) position: u64,
}

/// Staged records that could not be written.
#[derive(Debug)]
pub(super) struct Loss {
    /// The index of this loss, from 1.
    index: u64,
    /// The sequence number of the first lost record. Records staged later reuse it.
    first: Seqno,
    cause: String,
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: SegmentWriter,
    /// The length limit of the segment.
    pub(super) capacity: u64,
    /// Whether MANIFEST says that this segment is being written. It must say so before anything is
    /// written.
    pub(super) is_marked: bool,
}

impl Active {
    pub(super) fn id(&self) -> SegmentId {
        self.segment.segment.id
    }

    /// Returns the file and the segment, for a sync without the log's lock.
    pub(super) fn for_sync(&self) -> (Arc<dyn File>, Arc<Segment>) {
        (self.segment.file(), Arc::clone(&self.segment.segment))
    }
}

impl Writer {
    pub(super) fn check_usable(&self) -> Result<()> {
        let Some(exclusion) = &self.exclusion else { return Err(Error::Closed) };
        match exclusion.lost().or(self.poison.as_deref()) {
            Some(cause) => Err(Error::Poisoned { cause: cause.to_owned() }),
            None => Ok(()),
        }
    }

    /// Poisons the log. Returns the error for the caller that met the failure.
    pub(super) fn fail(&mut self, error: &Error) -> Error {
        let cause = error.sentence();
        tracing::error!(%cause, "the log takes no more writes");
        self.poison = Some(cause.clone());
        Error::OutcomeUnknown { cause }
    }

    /// Returns the sequence number of the newest record that readers see.
    pub(super) fn published(&self) -> Seqno {
        self.pending.first().map_or(self.appended, |first| first.seq.previous())
    }

    pub(super) fn active_len(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.segment.len())
    }

    pub(super) fn staged_len(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.segment.staged_len())
    }

    /// Returns a ticket for the latest append, or for a write that appended nothing.
    pub(super) fn ticket(&self, commit: Option<Commit>) -> Ticket {
        Ticket { commit, waits_for: self.appended, losses: self.loss_count }
    }

    /// Returns the end of the log, with staged records.
    pub(super) fn mark(&self) -> LogMark {
        LogMark { seq: self.appended, position: self.pending.end() }
    }

    /// Unstages the records since `mark`, where the active segment had `at` bytes.
    pub(super) fn unstage(&mut self, mark: LogMark, at: u64) {
        if let Some(active) = &mut self.active {
            active.segment.unstage(at);
        }
        self.pending.truncate(mark.position);
        self.appended = mark.seq;
    }

    /// Records that the staged writes failed.
    pub(super) fn record_loss(&mut self, error: &Error) {
        self.loss_count += 1;
        let loss = Loss { index: self.loss_count, first: self.written.seq.plus(1), cause: error.sentence() };
        // On a disk that stays full, the same numbers are lost again and again. One loss covers
        // them all.
        self.losses.pop_if(|last| last.first == loss.first);
        self.losses.push(loss);
    }

    /// Returns the error of record `seq` if it was lost after the first `losses` losses.
    pub(super) fn loss_of(&self, seq: Seqno, losses: u64) -> Option<Error> {
        let loss = self.losses.iter().find(|loss| loss.index > losses && loss.first <= seq)?;
        Some(Error::NotWritten { cause: loss.cause.clone() })
    }

    /// Returns the pending record of `key`: `None` if there is none, `Some(None)` for a delete.
    pub(super) fn pending_record(&self, hash: u64, key: &[u8]) -> Result<Option<Option<Replaced>>> {
        Ok(self.pending_of(hash, key)?.map(|appended| appended.as_replaced()))
    }

    /// Returns the newest pending record of `key`.
    pub(super) fn pending_of(&self, hash: u64, key: &[u8]) -> Result<Option<PendingRecord>> {
        let Some(active) = &self.active else { return Ok(None) };
        for appended in self.pending.with_hash(hash) {
            if active.segment.is_of_key(appended.at, key)? {
                return Ok(Some(*appended));
            }
        }
        Ok(None)
    }

    /// Returns the current manifest, with `extent` for the active segment.
    pub(super) fn manifest_ending(&self, extent: SegmentExtent) -> Manifest {
        let mut manifest = self.manifest.clone();
        manifest.next_seq = manifest.next_seq.max(self.appended.plus(1));
        if let (Some(line), Some(_)) = (manifest.segments.last_mut(), &self.active) {
            line.extent = extent;
        }
        manifest
    }

    /// Returns the current manifest, with the active segment sealed.
    pub(super) fn sealed_manifest(&self) -> Manifest {
        self.manifest_ending(SegmentExtent::Sealed(self.active_len()))
    }
}
