//! The write end of the log — append, make durable, publish; seal and roll; poison.
//!
//! One lock, the *log's lock*, is held while a record is staged, written and published, and while a segment is
//! sealed; not while a record is made durable. Under it the shards of the keydir are locked one at a time. Readers
//! never take it (but for [`Sync::Buffered`], where a read first hands over what is held back).

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

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::format::manifest::Manifest;
use super::fs::{Directory, Exclusion, ForkGuard, StoreFile};
use super::options::{Options, Sync};
use super::segment::SegmentWriter;
use super::state::State;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::sync::{AtomicBool, Condvar, Mutex, MutexGuard};
use pending::Pending;
pub use write::Commit;
pub(crate) use write::{Condition, Staged, Ticket, Urgency};
use writer::{Active, Mark, Writer};

/// What comes together before it is written without anybody waiting: a system call for it costs next to nothing a byte.
const GATHERED_LEN: usize = 64 << 10;

/// The write end of a log.
#[derive(Debug)]
pub(crate) struct Log {
    directory: Arc<dyn Directory>,
    state: Arc<State>,
    options: Options,
    fork_guard: ForkGuard,
    /// The log's lock: rank 1, before the keydir's shards.
    writer: Mutex<Writer>,
    /// Told whenever records became durable, or the log failed or was closed; and, while somebody follows it, whenever
    /// readers see more.
    progress: Condvar,
    /// Whether something acknowledged is still held in the process ([`Sync::Buffered`]).
    holds_back: AtomicBool,
    /// The number before the first that this log gives out, and that of the last record there was before.
    floor: Seqno,
    last_at_open: Seqno,
    /// Segment files that are not this store's, and keep their numbers.
    strangers: Vec<SegmentId>,
}

/// What recovery hands over: the log's end.
#[derive(Debug)]
pub(crate) struct LogEnd {
    pub(crate) manifest: Manifest,
    /// The segment that was closed cleanly, to be gone on with, and how long it may become.
    pub(crate) active: Option<(SegmentWriter, u64)>,
    pub(crate) exclusion: Arc<Exclusion>,
    /// The number of the log's last record.
    pub(crate) last_seq: Seqno,
    /// Segment files that are not this store's, and keep their numbers.
    pub(crate) strangers: Vec<SegmentId>,
}

impl Log {
    /// Goes on at `end`.
    ///
    /// # Errors
    /// What the operating system says.
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
            writer: Mutex::new(Writer {
                manifest: end.manifest,
                active: end.active.map(|(segment, capacity)| Active { segment, capacity, is_marked: false }),
                pending: Pending::default(),
                appended: last,
                written: Mark { seq: last, place: 0 },
                durable: last,
                losses: Vec::new(),
                loss_count: 0,
                is_syncing: false,
                followers: 0,
                poison: None,
                exclusion: Some(end.exclusion),
            }),
            progress: Condvar::new(),
            holds_back: AtomicBool::new(false),
            floor: last,
            last_at_open: end.last_seq,
            strangers: end.strangers,
        })
    }

    /// Appends `staged` as one batch, if `condition` holds for the first one's key. [`Log::wait`] says when it is done.
    ///
    /// # Errors
    /// Lengths over the limits, a log that takes no more writes, and what the operating system says: nothing was
    /// written then.
    pub(crate) fn append(
        &self,
        staged: &mut [Staged<'_>],
        condition: Condition,
        urgency: Urgency,
    ) -> Result<Ticket> {
        // Before anybody has to wait for it.
        let len = self.prepare(staged)?;
        let mut guard = self.writable()?;
        // Asked once, before any wait: the segment may become due in the meantime, with a sync
        // running.
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
        let gathers = match (self.options.sync, urgency) {
            (Sync::Buffered(len), _) => writer.staged_len() < len,
            (_, Urgency::WhenWaitedFor) => writer.staged_len() < GATHERED_LEN,
            (_, Urgency::Now) => false,
        };
        if !gathers {
            self.hand_over(writer)?;
        } else if let Sync::Buffered(_) = self.options.sync {
            self.holds_back.store(true, Ordering::Release);
        }
        Ok(ticket)
    }

    /// Waits until the write is as durable as the policy promises, and visible to readers.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when making it durable failed; when it could not be written, what the operating
    /// system says or [`Error::NotWritten`].
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
                // It had been staged: any of its bytes may be in the file.
                return Err(Error::OutcomeUnknown { cause: cause.clone() });
            }
            writer.usable()?;
            self.hand_over(&mut writer)?;
        }
        match self.options.sync {
            Sync::Always => self.make_durable(writer, ticket.waits_for),
            Sync::Every(_) | Sync::Never | Sync::Buffered(_) => Ok(()),
        }
    }

    /// Lets readers see everything appended so far, having made it as durable as the policy promises.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub(crate) fn catch_up(&self) -> Result<()> {
        let mut writer = self.writable()?;
        self.hand_over(&mut writer)?;
        let target = writer.appended;
        match self.options.sync {
            Sync::Always => self.make_durable(writer, target),
            Sync::Every(_) | Sync::Never | Sync::Buffered(_) => Ok(()),
        }
    }

    /// Makes everything acknowledged so far durable.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], [`Error::Poisoned`], and what the operating system says.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut writer = self.writable()?;
        self.check_exclusion(&mut writer)?;
        self.hand_over(&mut writer)?;
        let target = writer.appended;
        self.make_durable(writer, target)
    }

    /// Hands over what [`Sync::Buffered`] holds back, so that a read sees it. One atomic load when there is nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn reveal(&self) -> Result<()> {
        if !self.holds_back.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut writer = self.lock()?;
        if writer.usable().is_err() {
            // What was held back is lost, and who writes is told. Nothing more may go into the files: they may have
            // another writer by now. Reads go on.
            self.holds_back.store(false, Ordering::Release);
            return Ok(());
        }
        self.hand_over(&mut writer)
    }

    /// Seals the active segment; `None` when it holds no record.
    ///
    /// # Errors
    /// What the operating system says.
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
        self.leave_active(writer);
        Ok(Some(id))
    }

    /// Makes everything durable, marks the log as closed and lets the directory go. A second time it does nothing.
    ///
    /// # Errors
    /// What the operating system says; the next open then takes the store for one that crashed.
    pub(crate) fn close(&self) -> Result<()> {
        let Ok(mut writer) = self.lock() else { return Ok(()) };
        while writer.is_syncing {
            writer = self.progress.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        if writer.exclusion.is_none() {
            return Ok(());
        }
        let closed = writer.usable().and_then(|()| self.close_active(&mut writer));
        // The next writer may have the files from here on.
        if let Some(exclusion) = writer.exclusion.take() {
            exclusion.release();
        }
        self.holds_back.store(false, Ordering::Release);
        self.progress.notify_all();
        closed
    }

    /// That it may still be written to.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Poisoned`].
    pub(crate) fn check(&self) -> Result<()> {
        self.writable().map(drop)
    }

    /// The number of the newest record appended.
    pub(crate) fn appended(&self) -> Seqno {
        // A fork writes nothing.
        self.lock().map_or(Seqno(0), |writer| writer.appended)
    }

    /// Whether this process is a fork of the one that opened it.
    pub(crate) fn is_fork(&self) -> bool {
        self.fork_guard.is_fork()
    }

    /// Checks that this log still has the directory's lock, and poisons the log if not.
    fn check_exclusion(&self, writer: &mut Writer) -> Result<()> {
        let Some(exclusion) = &writer.exclusion else { return Err(Error::Closed) };
        let path = self.directory.path(StoreFile::Manifest);
        let checked = exclusion.check().map_err(Error::io("write to", path));
        if let Err(error) = &checked {
            writer.fail(error);
        }
        checked
    }

    /// The lock. In a fork another thread may have held it for ever, and the files are not ours.
    fn lock(&self) -> Result<MutexGuard<'_, Writer>> {
        if self.is_fork() {
            return Err(Error::Closed);
        }
        // A panic under the lock is a bug of ours; what was half done then is what a crash would leave.
        Ok(self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lock, if this log may still be written to.
    fn writable(&self) -> Result<MutexGuard<'_, Writer>> {
        let writer = self.lock()?;
        writer.usable()?;
        Ok(writer)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Who wants to know whether closing worked calls `close`.
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store could not be closed cleanly; the next open will recover it");
        }
    }
}
