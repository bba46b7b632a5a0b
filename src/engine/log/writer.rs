//! What the log's lock guards.

use std::sync::Arc;

use super::pending::{Appended, Pending};
use super::write::{Commit, Ticket};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::format::manifest::{Extent, Manifest};
use crate::engine::fs::{Exclusion, File};
use crate::engine::segment::{Segment, SegmentWriter};
use crate::engine::state::Replaced;

/// The log's end, and how far it is durable.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) manifest: Manifest,
    /// Where records go; `None` when the next one needs a new segment.
    pub(super) active: Option<Active>,
    pub(super) pending: Pending,
    /// The number of the newest record appended.
    pub(super) appended: Seqno,
    /// How far the log has been written to the file; what was appended since is staged.
    pub(super) written: Mark,
    /// The number of the newest record known to be durable.
    pub(super) durable: Seqno,
    /// What could not be written, and was taken back, since the log was opened.
    pub(super) losses: Vec<Loss>,
    /// How often that happened.
    pub(super) loss_count: u64,
    /// Whether a thread is syncing, outside the lock.
    pub(super) is_syncing: bool,
    /// How many threads wait for readers to see more.
    pub(super) followers: usize,
    /// The failure after which nothing is written any more.
    pub(super) poison: Option<String>,
    /// The right to change the directory, until the log is closed.
    pub(super) exclusion: Option<Arc<Exclusion>>,
}

/// A moment of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The number of its newest record.
    pub(super) seq: Seqno,
    /// Where the next pending record goes.
    pub(super) place: u64,
}

/// Staged records that could not be written.
#[derive(Debug)]
pub(super) struct Loss {
    /// Which loss it was, counted from 1.
    index: u64,
    /// The number of the first one. It is given out again: to a write that is not staged before this is noted.
    first: Seqno,
    cause: String,
}

#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: SegmentWriter,
    /// How long it may become.
    pub(super) capacity: u64,
    /// Whether MANIFEST says that a writer is at work here; nothing is written before it does.
    pub(super) is_marked: bool,
}

impl Active {
    pub(super) fn id(&self) -> SegmentId {
        self.segment.segment.id
    }

    /// What a sync needs that goes on without the log's lock.
    pub(super) fn for_sync(&self) -> (Arc<dyn File>, Arc<Segment>) {
        (self.segment.file(), Arc::clone(&self.segment.segment))
    }
}

impl Writer {
    pub(super) fn usable(&self) -> Result<()> {
        let Some(exclusion) = &self.exclusion else { return Err(Error::Closed) };
        match exclusion.lost().or(self.poison.as_deref()) {
            Some(cause) => Err(Error::Poisoned { cause: cause.to_owned() }),
            None => Ok(()),
        }
    }

    /// Poisons the log, and gives the error to return to who met the failure.
    pub(super) fn fail(&mut self, error: &Error) -> Error {
        let cause = error.sentence();
        tracing::error!(%cause, "the log takes no more writes");
        self.poison = Some(cause.clone());
        Error::OutcomeUnknown { cause }
    }

    /// The number of the newest record that readers see.
    pub(super) fn published(&self) -> Seqno {
        self.pending.first().map_or(self.appended, |first| first.seq.previous())
    }

    pub(super) fn active_len(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.segment.len())
    }

    pub(super) fn staged_len(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.segment.staged_len())
    }

    /// A ticket for what was appended just now, or for what decided that nothing has to be.
    pub(super) fn ticket(&self, commit: Option<Commit>) -> Ticket {
        Ticket { commit, waits_for: self.appended, losses: self.loss_count }
    }

    /// The log's end, with what is staged.
    pub(super) fn mark(&self) -> Mark {
        Mark { seq: self.appended, place: self.pending.end() }
    }

    /// Undoes the staging of records since `mark`, when the active segment ended at `at`.
    pub(super) fn take_back(&mut self, mark: Mark, at: u64) {
        if let Some(active) = &mut self.active {
            active.segment.unstage(at);
        }
        self.pending.truncate(mark.place);
        self.appended = mark.seq;
    }

    /// Takes note that what is staged could not be written.
    pub(super) fn lose(&mut self, error: &Error) {
        self.loss_count += 1;
        let loss = Loss { index: self.loss_count, first: self.written.seq.plus(1), cause: error.sentence() };
        // On a disk that stays full the same numbers are lost again and again: one note says it of all.
        self.losses.pop_if(|last| last.first == loss.first);
        self.losses.push(loss);
    }

    /// Why record `seq`, staged when there had been `losses`, is not there, if it was lost since.
    pub(super) fn loss_of(&self, seq: Seqno, losses: u64) -> Option<Error> {
        let loss = self.losses.iter().find(|loss| loss.index > losses && loss.first <= seq)?;
        Some(Error::NotWritten { cause: loss.cause.clone() })
    }

    /// What is pending for `key`: `None` nothing, `Some(None)` a delete.
    pub(super) fn pending_record(&self, hash: u64, key: &[u8]) -> Result<Option<Option<Replaced>>> {
        Ok(self.pending_of(hash, key)?.map(|appended| appended.as_replaced()))
    }

    /// The newest record of `key` that is pending.
    pub(super) fn pending_of(&self, hash: u64, key: &[u8]) -> Result<Option<Appended>> {
        let Some(active) = &self.active else { return Ok(None) };
        for appended in self.pending.with_hash(hash) {
            if active.segment.is_of_key(appended.at, key)? {
                return Ok(Some(*appended));
            }
        }
        Ok(None)
    }

    /// The manifest as it is now, with the active segment's line ending in `extent`.
    pub(super) fn manifest_ending(&self, extent: Extent) -> Manifest {
        let mut manifest = self.manifest.clone();
        manifest.next_seq = manifest.next_seq.max(self.appended.plus(1));
        if let (Some(line), Some(_)) = (manifest.segments.last_mut(), &self.active) {
            line.extent = extent;
        }
        manifest
    }

    /// The manifest with the active segment, if there is one, sealed at its length.
    pub(super) fn sealed_manifest(&self) -> Manifest {
        self.manifest_ending(Extent::Sealed(self.active_len()))
    }
}
