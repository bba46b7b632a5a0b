//! The write end of the log: append, make durable, publish, seal, roll.
//!
//! The *log's lock* has the rank [`LockRank::Log`], which says for how long it is held. Readers do
//! not take it, except with [`Sync::Buffered`], where a read first flushes the buffer.

mod clear;
mod durable;
mod pending;
pub(crate) mod replace;
mod roll;
mod stage;
pub(crate) mod transaction_lock;
pub(crate) mod view;
mod write;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::format::manifest::Manifest;
use super::fs::{Directory, Exclusion, ForkGuard, StoreFile};
use super::options::{Options, Sync};
use super::segment::SegmentWriter;
use super::state::State;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::sync::{AtomicBool, Condvar, LockRank, Mutex, MutexGuard};
use pending::PendingQueue;
pub use write::Commit;
pub(crate) use write::{Condition, Staged, Ticket, Urgency};
use writer::{Active, LogMark, Writer};

/// The number of staged bytes that are written without waiting for a caller. With so many, the
/// system call costs little per byte.
const GATHERED_LEN: usize = 64 << 10;

/// The write end of a log.
#[derive(Debug)]
pub(crate) struct Log {
    directory: Arc<dyn Directory>,
    state: Arc<State>,
    options: Options,
    fork_guard: ForkGuard,
    /// The log's lock.
    writer: Mutex<Writer>,
    /// Notified when records become durable, and when the log fails or is closed. If followers
    /// wait, also when records are published.
    progress: Condvar,
    /// Whether acknowledged records are still in the buffer ([`Sync::Buffered`]).
    has_buffered: AtomicBool,
    /// The number before the first that this log assigns.
    floor: Seqno,
    /// The sequence number of the last record when the log was opened. After a crash, `floor` may
    /// be higher.
    last_at_open: Seqno,
    /// Segment files of other stores. Their ids are not used.
    strangers: Vec<SegmentId>,
}

/// The end of the log, as recovery leaves it.
#[derive(Debug)]
pub(crate) struct LogEnd {
    pub(crate) manifest: Manifest,
    /// The segment to continue, which was closed cleanly, and its capacity.
    pub(crate) active: Option<(SegmentWriter, u64)>,
    pub(crate) exclusion: Arc<Exclusion>,
    /// The sequence number of the last record.
    pub(crate) last_seq: Seqno,
    /// Segment files of other stores.
    pub(crate) strangers: Vec<SegmentId>,
}

impl Log {
    /// Continues the log at `end`.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        state: Arc<State>,
        options: &Options,
        end: LogEnd,
    ) -> Result<Self> {
        let last = end.manifest.next_seq.previous();
        let fork_guard =
            ForkGuard::new().map_err(Error::io("map memory for", directory.path(StoreFile::Lock)))?;
        Ok(Self {
            directory,
            state,
            options: options.clone(),
            fork_guard,
            writer: Mutex::new(
                LockRank::Log,
                Writer {
                    manifest: end.manifest,
                    active: end.active.map(|(segment, capacity)| Active {
                        segment,
                        capacity,
                        is_marked: false,
                    }),
                    pending: PendingQueue::default(),
                    appended: last,
                    written: LogMark { seq: last, position: 0 },
                    durable: last,
                    losses: Vec::new(),
                    loss_count: 0,
                    is_syncing: false,
                    followers: 0,
                    poison: None,
                    exclusion: Some(end.exclusion),
                },
            ),
            progress: Condvar::default(),
            has_buffered: AtomicBool::new(false),
            floor: last,
            last_at_open: end.last_seq,
            strangers: end.strangers,
        })
    }

    /// Appends `staged` as one batch if `condition` holds for its first key. [`Log::wait`] waits
    /// for the result.
    ///
    /// # Errors
    /// A length over its limit, a closed or poisoned log, and I/O errors. Nothing is written then.
    pub(crate) fn append(
        &self,
        staged: &mut [Staged<'_>],
        condition: Condition,
        urgency: Urgency,
    ) -> Result<Ticket> {
        // Done before the lock is taken, so that no other writer waits for it.
        let len = self.prepare(staged)?;
        let mut guard = self.writable()?;
        // `make_room` uses this answer. If it checked again, the segment could have come of age
        // while a sync runs.
        let mut is_due = self.is_due(&guard, len);
        if is_due {
            guard = self.without_sync(guard)?;
            is_due = self.is_due(&guard, len);
        }
        let writer = &mut *guard;
        let Some(start) = self.start(writer, staged, condition)? else {
            return Ok(writer.ticket(None));
        };
        self.make_room(writer, is_due, (staged.len(), len))?;
        let commit = self.stage(writer, staged, start)?;
        let ticket = writer.ticket(commit);
        let buffers = match (self.options.sync, urgency) {
            (Sync::Buffered(len), _) => writer.staged_len() < len,
            (_, Urgency::WhenWaitedFor) => writer.staged_len() < GATHERED_LEN,
            (_, Urgency::Now) => false,
        };
        if !buffers {
            self.flush(writer)?;
        } else if let Sync::Buffered(_) = self.options.sync {
            self.has_buffered.store(true, Ordering::Release);
        }
        Ok(ticket)
    }

    /// Waits until the write is as durable as the policy promises, and visible.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if a sync failed. [`Error::NotWritten`] or an I/O error if the
    /// write failed.
    pub(crate) fn wait(&self, ticket: &Ticket) -> Result<()> {
        if matches!(self.options.sync, Sync::Buffered(_)) {
            return Ok(());
        }
        let mut writer = self.lock()?;
        if let Some(lost) = writer.loss_of(ticket.waits_for, ticket.losses) {
            return Err(lost);
        }
        if writer.written.seq < ticket.waits_for {
            if let Some(cause) = &writer.poison {
                // Any of the staged bytes may be in the file.
                return Err(Error::OutcomeUnknown { cause: cause.clone() });
            }
            writer.check_usable()?;
            self.flush(&mut writer)?;
        }
        match self.options.sync {
            Sync::Always => self.make_durable(writer, ticket.waits_for),
            Sync::Every(_) | Sync::Never | Sync::Buffered(_) => Ok(()),
        }
    }

    /// Makes all appended records as durable as the policy promises, and visible.
    pub(crate) fn publish_all(&self) -> Result<()> {
        let mut writer = self.writable()?;
        self.flush(&mut writer)?;
        let target = writer.appended;
        match self.options.sync {
            Sync::Always => self.make_durable(writer, target),
            Sync::Every(_) | Sync::Never | Sync::Buffered(_) => Ok(()),
        }
    }

    /// Makes all acknowledged records durable.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], [`Error::Poisoned`], and I/O errors.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut writer = self.writable()?;
        self.check_exclusion(&mut writer)?;
        self.flush(&mut writer)?;
        let target = writer.appended;
        self.make_durable(writer, target)
    }

    /// Flushes the buffer of [`Sync::Buffered`] before a read. Costs one atomic load if the buffer
    /// is empty.
    pub(crate) fn flush_buffered(&self) -> Result<()> {
        if !self.has_buffered.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut writer = self.lock()?;
        if writer.check_usable().is_err() {
            // The buffer is lost, which writes report. It must not be written, because the
            // directory may have another writer now. Reads go on.
            self.has_buffered.store(false, Ordering::Release);
            return Ok(());
        }
        self.flush(&mut writer)
    }

    /// Seals the active segment and returns its id. `None` if it holds no record.
    pub(crate) fn rotate(&self) -> Result<Option<SegmentId>> {
        let mut guard = self.without_sync(self.writable()?)?;
        let writer = &mut *guard;
        let Some(id) = writer.active.as_ref().filter(|active| !active.segment.is_empty()).map(Active::id)
        else {
            return Ok(None);
        };
        self.finish_active(writer)?;
        let manifest = writer.sealed_manifest();
        self.replace_manifest(writer, manifest)?;
        self.seal_active(writer);
        Ok(Some(id))
    }

    /// Makes everything durable, marks the log as closed and releases the directory. A second call
    /// does nothing.
    ///
    /// # Errors
    /// I/O errors. The next open recovers the store as after a crash.
    pub(crate) fn close(&self) -> Result<()> {
        let Ok(mut writer) = self.lock() else { return Ok(()) };
        while writer.is_syncing {
            writer = self.progress.wait(writer);
        }
        if writer.exclusion.is_none() {
            return Ok(());
        }
        let closed = writer.check_usable().and_then(|()| self.close_active(&mut writer));
        // From here on the directory may have another writer.
        if let Some(exclusion) = writer.exclusion.take() {
            exclusion.release();
        }
        self.has_buffered.store(false, Ordering::Release);
        self.progress.notify_all();
        closed
    }

    /// Checks that the log can be written to.
    pub(crate) fn check(&self) -> Result<()> {
        self.writable().map(drop)
    }

    /// Returns the sequence number of the last record appended.
    pub(crate) fn appended(&self) -> Seqno {
        // A fork writes nothing.
        self.lock().map_or(Seqno(0), |writer| writer.appended)
    }

    /// Returns whether this process is a fork of the one that opened it.
    pub(crate) fn is_fork(&self) -> bool {
        self.fork_guard.is_fork()
    }

    /// Checks that this log still holds the directory's lock. Poisons the log if not.
    fn check_exclusion(&self, writer: &mut Writer) -> Result<()> {
        let Some(exclusion) = &writer.exclusion else { return Err(Error::Closed) };
        let path = self.directory.path(StoreFile::Manifest);
        let checked = exclusion.check().map_err(Error::io("write to", path));
        if let Err(error) = &checked {
            writer.fail(error);
        }
        checked
    }

    /// Takes the log's lock. In a fork, the lock may never be released, and the files belong to the
    /// parent.
    fn lock(&self) -> Result<MutexGuard<'_, Writer>> {
        if self.is_fork() {
            return Err(Error::Closed);
        }
        // A panic under the lock is a bug. It leaves no more half done than a crash would.
        Ok(self.writer.lock())
    }

    /// Takes the log's lock, if the log can be written to.
    fn writable(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.lock()?;
        writer.check_usable()?;
        Ok(writer)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Callers that need the error call `close` themselves.
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store could not be closed cleanly; the next open will recover it");
        }
    }
}
