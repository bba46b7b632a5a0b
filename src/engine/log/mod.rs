//! Layer 6: the write end of the log — append, make durable, publish; seal and roll; poison.
//!
//! One lock, the *log's lock*, is held while a record is staged, written and published, and while a segment is
//! sealed; not while a record is made durable. Under it the shards of the keydir are locked one at a time. Readers
//! never take it (but for [`Sync::Buffered`], where a read first hands over what is held back).

mod pending;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::batch::Op;
use super::catalog;
use super::clock::Clock;
use super::format::manifest::{Extent, Manifest, SegmentLine};
use super::format::record::{self, KEY_LEN_MAX, Kind, LAG_UNKNOWN, NewRecord};
use super::format::segment_header::{HEADER_LEN, Layout};
use super::fs::{Directory, FileSystem, ForkGuard, Lock, StoreFile};
use super::location::{Location, SegmentId, Seqno};
use super::options::{Options, ReadWith, SEGMENT_LEN_MAX_BOUNDS, Sync};
use super::segment::{Identity, SegmentWriter};
use super::state::{Replaced, State, Unpublished, address_of};
use crate::error::{Error, Failure, Result};
use pending::Pending;

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The number of the first record that was written.
    pub first: Seqno,
    /// The number of the last one.
    pub last: Seqno,
    /// Where the last one stands.
    pub location: Location,
    /// How many of the batch's deletes met a key that was there.
    pub deleted: usize,
}

/// A write that was appended, and how long its caller has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// `None` when nothing had to be written.
    pub(crate) commit: Option<Commit>,
    /// The record that has to be visible before the caller is told.
    waits_for: Seqno,
}

/// Under which condition a write of one key is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    Absent,
    Present,
}

/// The write end of a log.
#[derive(Debug)]
pub(crate) struct Log {
    directory: Arc<dyn Directory>,
    state: Arc<State>,
    settings: Settings,
    fork_guard: ForkGuard,
    /// The log's lock: rank 1, before the keydir's shards.
    writer: Mutex<Writer>,
    /// Told whenever records became durable, or the log failed.
    progress: Condvar,
    /// Whether something acknowledged is still held in the process ([`Sync::Buffered`]).
    holds_back: AtomicBool,
}

#[derive(Debug)]
struct Settings {
    sync: Sync,
    segment_len_max: u64,
    segment_age_max: Option<Duration>,
    value_len_max: u64,
    read_with: ReadWith,
    clock: Arc<dyn Clock>,
    file_system: Arc<dyn FileSystem>,
}

/// What the log's lock guards.
#[derive(Debug)]
struct Writer {
    manifest: Manifest,
    /// Where records go; `None` when the next one needs a new segment.
    active: Option<Active>,
    pending: Pending,
    /// The number of the newest record appended.
    appended: Seqno,
    /// The number of the newest record known to be durable.
    durable: Seqno,
    /// Whether a thread is syncing, outside the lock.
    is_syncing: bool,
    /// The failure after which nothing is written any more.
    poison: Option<String>,
    lock: Option<Box<dyn Lock>>,
}

#[derive(Debug)]
struct Active {
    segment: SegmentWriter,
    /// How long it may become.
    capacity: u64,
    /// Whether MANIFEST says that a writer is at work here; nothing is written before it does.
    is_marked: bool,
}

/// What recovery hands over: the log's end.
#[derive(Debug)]
pub(crate) struct LogEnd {
    pub(crate) manifest: Manifest,
    /// The segment that was closed cleanly, to be gone on with, and how long it may become.
    pub(crate) active: Option<(SegmentWriter, u64)>,
    pub(crate) lock: Box<dyn Lock>,
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
            settings: Settings {
                sync: options.sync,
                segment_len_max: options.segment_len_max,
                segment_age_max: options.segment_age_max,
                value_len_max: options.value_len_max,
                read_with: options.read_with,
                clock: Arc::clone(&options.clock),
                file_system: Arc::clone(&options.file_system),
            },
            fork_guard,
            writer: Mutex::new(Writer {
                manifest: end.manifest,
                active: end.active.map(|(segment, capacity)| Active { segment, capacity, is_marked: false }),
                pending: Pending::default(),
                appended: last,
                durable: last,
                is_syncing: false,
                poison: None,
                lock: Some(end.lock),
            }),
            progress: Condvar::new(),
            holds_back: AtomicBool::new(false),
        })
    }

    /// Appends `ops` as one batch, if `condition` holds for the first one's key. [`Log::wait`] says when it is done.
    ///
    /// # Errors
    /// Lengths over the limits, a log that takes no more writes, and what the operating system says: nothing was
    /// written then.
    pub(crate) fn append<'a>(
        &self,
        ops: impl ExactSizeIterator<Item = Op<'a>> + Clone,
        condition: Condition,
    ) -> Result<Ticket> {
        let len = self.check_lengths(ops.clone())?;
        let mut guard = self.writable()?;
        let writer = &mut *guard;
        if !self.condition_holds(writer, ops.clone(), condition)? {
            return Ok(Ticket { commit: None, waits_for: writer.appended });
        }
        self.make_room(writer, len)?;
        let commit = self.stage(writer, ops)?;
        if commit.is_some() {
            let is_held_back =
                matches!(self.settings.sync, Sync::Buffered(limit) if writer.staged_len() < limit);
            if is_held_back {
                self.holds_back.store(true, Ordering::Release);
            } else {
                self.hand_over(writer, commit)?;
            }
        }
        Ok(Ticket { commit, waits_for: writer.appended })
    }

    /// Waits until the write is as durable as the policy promises, and visible to readers.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] when making it durable failed.
    pub(crate) fn wait(&self, ticket: &Ticket) -> Result<()> {
        match self.settings.sync {
            Sync::Always => self.make_durable(self.lock(), ticket.waits_for),
            Sync::Every(_) | Sync::Never | Sync::Buffered(_) => Ok(()),
        }
    }

    /// Makes everything acknowledged so far durable.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], [`Error::Poisoned`], and what the operating system says.
    pub(crate) fn sync(&self) -> Result<()> {
        let mut writer = self.writable()?;
        self.hand_over(&mut writer, None)?;
        let target = writer.appended;
        self.make_durable(writer, target)
    }

    /// Hands over what [`Sync::Buffered`] holds back, so that a read sees it. One atomic load when there is nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn reveal(&self) -> Result<()> {
        if self.holds_back.load(Ordering::Acquire) && !self.fork_guard.is_fork() {
            self.hand_over(&mut self.lock(), None)?;
        }
        Ok(())
    }

    /// Seals the active segment; `None` when it holds no record.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn rotate(&self) -> Result<Option<SegmentId>> {
        let mut guard = self.writable()?;
        let writer = &mut *guard;
        let Some(id) = writer.active.as_ref().filter(|active| !active.segment.is_empty()).map(Active::id)
        else {
            return Ok(None);
        };
        self.finish_active(writer)?;
        let manifest = writer.sealed_manifest();
        self.replace_manifest(writer, manifest)?;
        writer.active = None;
        Ok(Some(id))
    }

    /// Makes everything durable, marks the log as closed and lets the directory go. A second time it does nothing.
    ///
    /// # Errors
    /// What the operating system says; the next open then takes the store for one that crashed.
    pub(crate) fn close(&self) -> Result<()> {
        if self.fork_guard.is_fork() {
            return Ok(());
        }
        let mut guard = self.lock();
        let writer = &mut *guard;
        if writer.lock.is_none() {
            return Ok(());
        }
        let closed = writer.usable().and_then(|()| self.close_active(writer));
        writer.lock = None;
        closed
    }

    /// The newest record appended, and the newest one known to be durable.
    pub(crate) fn progress(&self) -> (Seqno, Seqno) {
        let writer = self.lock();
        (writer.appended, writer.durable)
    }

    /// The segment that records are appended to.
    pub(crate) fn active_id(&self) -> Option<SegmentId> {
        self.lock().active.as_ref().map(Active::id)
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic under the lock is a bug of ours; what was half done then is what a crash would leave.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if this log may still be written to.
    fn writable(&self) -> Result<MutexGuard<'_, Writer>> {
        if self.fork_guard.is_fork() {
            return Err(Error::Closed);
        }
        let writer = self.lock();
        writer.usable()?;
        Ok(writer)
    }

    /// What the records of `ops` take at most, in bytes.
    fn check_lengths<'a>(&self, ops: impl Iterator<Item = Op<'a>>) -> Result<u64> {
        let mut len = 0_u64;
        for op in ops {
            let key_len = op.key().len();
            if key_len == 0 || key_len > KEY_LEN_MAX {
                return Err(Error::KeyLength { len: key_len });
            }
            let value_len = match op {
                Op::Put { value, .. } => value.len(),
                Op::Delete { .. } => 0,
            };
            if value_len as u64 > self.settings.value_len_max {
                return Err(Error::ValueLength { len: value_len, limit: self.settings.value_len_max });
            }
            len = len.saturating_add(record::encoded_len(key_len, value_len));
        }
        let limit = SEGMENT_LEN_MAX_BOUNDS.1 - HEADER_LEN as u64;
        if len > limit { Err(Error::BatchLength { len, limit }) } else { Ok(len) }
    }

    fn condition_holds<'a>(
        &self,
        writer: &Writer,
        mut ops: impl Iterator<Item = Op<'a>>,
        condition: Condition,
    ) -> Result<bool> {
        let wanted = match condition {
            Condition::None => return Ok(true),
            Condition::Absent => false,
            Condition::Present => true,
        };
        let Some(op) = ops.next() else { return Ok(true) };
        // What is pending goes first: it is newer than anything readers see.
        let is_there = match writer.pending_record(self.state.hash(op.key()), op.key())? {
            Some(pending) => pending.is_some(),
            None => self.state.find(op.key())?.is_some(),
        };
        Ok(is_there == wanted)
    }

    /// Makes sure that there is an active segment that MANIFEST knows to be one, with room for `len` bytes.
    fn make_room(&self, writer: &mut Writer, len: u64) -> Result<()> {
        match &writer.active {
            Some(active) if active.segment.len() + len > active.capacity || self.is_aged(active) => {
                self.finish_active(writer)?;
                self.start_segment(writer, len)
            }
            Some(active) if !active.is_marked => {
                let extent = Extent::Active(active.capacity);
                self.replace_manifest(writer, writer.manifest_ending(extent))?;
                if let Some(active) = &mut writer.active {
                    active.is_marked = true;
                }
                Ok(())
            }
            Some(_) => Ok(()),
            None => self.start_segment(writer, len),
        }
    }

    fn is_aged(&self, active: &Active) -> bool {
        self.settings.segment_age_max.is_some_and(|age| {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let created_ms = active.segment.segment.created_ms;
            !active.segment.is_empty() && self.settings.clock.now_ms() >= created_ms.saturating_add(age_ms)
        })
    }

    /// Stages the batch's records; without effect when it fails.
    fn stage<'a>(
        &self,
        writer: &mut Writer,
        ops: impl ExactSizeIterator<Item = Op<'a>>,
    ) -> Result<Option<Commit>> {
        let (start, place, appended) = (writer.active_len(), writer.pending.end(), writer.appended);
        let staged = self.stage_ops(writer, ops);
        if staged.is_err() {
            writer.take_back(start, place, appended);
        }
        staged
    }

    fn stage_ops<'a>(
        &self,
        writer: &mut Writer,
        ops: impl ExactSizeIterator<Item = Op<'a>>,
    ) -> Result<Option<Commit>> {
        let time_ms = self.settings.clock.now_ms();
        let op_count = ops.len();
        let mut commit: Option<Commit> = None;
        let mut ends_its_batch = true;
        let mut deleted = 0;
        for (index, op) in ops.enumerate() {
            let (kind, key, value) = match op {
                Op::Put { key, value } => (Kind::Put, key, value),
                Op::Delete { key } => (Kind::Delete, key, &[][..]),
            };
            let hash = self.state.hash(key);
            let replaced = self.replaced(writer, hash, key)?;
            if kind == Kind::Delete {
                if replaced.is_none() {
                    continue;
                }
                deleted += 1;
            }
            let seq = writer.appended.plus(1);
            let lag = seq.0.saturating_sub(writer.durable.0).min(LAG_UNKNOWN.into()) as u16;
            ends_its_batch = index + 1 == op_count;
            let new = NewRecord { seq, time_ms, lag, kind, more: !ends_its_batch, key, value };
            let Some(active) = &mut writer.active else { return Err(Error::Closed) };
            let at = active.segment.stage(&new);
            let len = active.segment.len() - at;
            let segment = &active.segment.segment;
            let address = address_of(segment, at);
            let location = segment.location(at);
            writer.pending.push(Unpublished { hash, address, len, kind, replaced }, seq, at);
            writer.appended = seq;
            commit = Some(Commit {
                first: commit.map_or(seq, |commit| commit.first),
                last: seq,
                location,
                deleted,
            });
        }
        // Deletes of missing keys at the batch's end wrote nothing: its last record does not know that it is.
        if let (Some(commit), Some(active), false) = (commit, &mut writer.active, ends_its_batch) {
            active.segment.end_batch(commit.location.offset);
        }
        Ok(commit)
    }

    /// The put that a new record of `key` replaces, pending ones included.
    fn replaced(&self, writer: &Writer, hash: u64, key: &[u8]) -> Result<Option<Replaced>> {
        match writer.pending_record(hash, key)? {
            Some(replaced) => Ok(replaced),
            None => self.state.replaceable(hash, key),
        }
    }

    /// Puts what is staged into the file, and publishes it unless it has to be durable first. When that fails, the
    /// records of `commit` are taken back.
    fn hand_over(&self, writer: &mut Writer, commit: Option<Commit>) -> Result<()> {
        let Some(active) = &mut writer.active else { return Ok(()) };
        // Records acknowledged while they were held back are lost with a failed flush: that poisons the log.
        let held_back = self.holds_back.swap(false, Ordering::AcqRel);
        let staged_at = active.segment.len() - active.segment.staged_len() as u64;
        if let Err(Failure { error, is_undone }) = active.segment.flush() {
            if held_back || !is_undone {
                return Err(writer.fail(&error));
            }
            if let Some(commit) = commit {
                let place = writer.pending.end() - (commit.last.0 - commit.first.0 + 1);
                writer.take_back(staged_at, place, commit.first.previous());
            }
            return Err(error);
        }
        if self.settings.sync != Sync::Always {
            self.publish(writer, writer.appended);
        }
        Ok(())
    }

    /// Lets readers see the records up to number `last`.
    fn publish(&self, writer: &mut Writer, last: Seqno) {
        while let Some(record) = writer.pending.pop(last) {
            self.state.publish(&record);
        }
    }

    /// Waits until record `target` is durable. The first thread that comes syncs for all that were appended before;
    /// those who come meanwhile append, and wait for the next.
    fn make_durable<'a>(&'a self, mut writer: MutexGuard<'a, Writer>, target: Seqno) -> Result<()> {
        loop {
            if writer.durable >= target {
                return Ok(());
            }
            if let Some(cause) = &writer.poison {
                return Err(Error::OutcomeUnknown { cause: cause.clone() });
            }
            if writer.is_syncing {
                writer = self.progress.wait(writer).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(file) = writer.active.as_ref().map(|active| active.segment.file()) else {
                return Err(Error::Closed);
            };
            let appended = writer.appended;
            writer.is_syncing = true;
            drop(writer);
            let outcome = file.sync();
            writer = self.lock();
            writer.is_syncing = false;
            self.settle(&mut writer, appended, outcome)?;
        }
    }

    /// Takes note of a sync that covered the records up to `appended`.
    fn settle(&self, writer: &mut Writer, appended: Seqno, outcome: std::io::Result<()>) -> Result<()> {
        let settled = match outcome {
            Ok(()) => {
                writer.durable = writer.durable.max(appended);
                self.publish(writer, appended);
                Ok(())
            }
            // After a failed fsync the kernel may have dropped the dirty pages and cleared the error: a second
            // attempt could succeed without having written them. So there is none.
            Err(source) => {
                let path = writer.active.as_ref().map_or_else(String::new, Active::file_name);
                Err(writer.fail(&Error::io("fsync", path)(source)))
            }
        };
        self.progress.notify_all();
        settled
    }

    /// Makes the active segment's records durable and visible: it can be sealed then.
    fn finish_active(&self, writer: &mut Writer) -> Result<()> {
        self.hand_over(writer, None)?;
        let Some(file) = writer.active.as_ref().map(|active| active.segment.file()) else { return Ok(()) };
        if writer.durable < writer.appended {
            self.settle(writer, writer.appended, file.sync())?;
        }
        Ok(())
    }

    fn close_active(&self, writer: &mut Writer) -> Result<()> {
        self.finish_active(writer)?;
        let Some(active) = writer.active.as_ref().filter(|active| active.is_marked) else {
            return Ok(());
        };
        let extent = Extent::Closed(active.segment.len());
        let manifest = writer.manifest_ending(extent);
        self.replace_manifest(writer, manifest)
    }

    /// Seals the active segment, if there is one, and makes the next, with room for `len` bytes: one new MANIFEST
    /// says both.
    fn start_segment(&self, writer: &mut Writer, len: u64) -> Result<()> {
        let mut manifest = writer.sealed_manifest();
        let capacity = self.settings.segment_len_max.max(HEADER_LEN as u64 + len);
        let layout = Layout::current(self.salt()?);
        let id = manifest.next_segment;
        let identity = Identity {
            id,
            base_seq: manifest.next_seq,
            layout,
            created_ms: self.settings.clock.now_ms(),
            first_page: self.state.segments().next_page(),
        };
        let segment = SegmentWriter::create(
            &*self.directory,
            manifest.store,
            identity,
            self.settings.read_with,
            capacity,
        )?;
        manifest.next_segment = SegmentId(id.0 + 1);
        let extent = Extent::Active(capacity);
        manifest.segments.push(SegmentLine { id, base_seq: manifest.next_seq, layout, extent });
        let reader = Arc::clone(&segment.segment);
        let listed = self
            .state
            .segments()
            .with(Arc::clone(&reader), capacity)
            .and_then(|_| self.replace_manifest(writer, manifest));
        if let Err(error) = listed {
            if writer.poison.is_none() {
                // Left behind it would be an orphan, which the next open removes.
                let _ = self.directory.remove(StoreFile::Segment(id));
            }
            return Err(error);
        }
        self.state.add_segment(reader, capacity)?;
        writer.active = Some(Active { segment, capacity, is_marked: true });
        Ok(())
    }

    fn salt(&self) -> Result<u32> {
        let mut salt = [0; 4];
        let read = self.settings.file_system.random(&mut salt);
        read.map_err(Error::io("read", "the system's random numbers"))?;
        Ok(u32::from_le_bytes(salt))
    }

    /// Replaces MANIFEST. When nobody knows which one a reopen would find, the log is poisoned.
    fn replace_manifest(&self, writer: &mut Writer, mut manifest: Manifest) -> Result<()> {
        manifest.generation += 1;
        match catalog::replace(&*self.directory, &manifest) {
            Ok(()) => {
                writer.manifest = manifest;
                Ok(())
            }
            Err(Failure { error, is_undone: true }) => Err(error),
            Err(Failure { error, is_undone: false }) => Err(writer.fail(&error)),
        }
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

impl Active {
    fn id(&self) -> SegmentId {
        self.segment.segment.id
    }

    fn file_name(&self) -> String {
        StoreFile::Segment(self.id()).to_string()
    }
}

impl Writer {
    fn usable(&self) -> Result<()> {
        match (&self.lock, &self.poison) {
            (None, _) => Err(Error::Closed),
            (_, Some(cause)) => Err(Error::Poisoned { cause: cause.clone() }),
            _ => Ok(()),
        }
    }

    /// Poisons the log, and gives the error to return to who met the failure.
    fn fail(&mut self, error: &Error) -> Error {
        let cause = error.sentence();
        tracing::error!(%cause, "the log takes no more writes");
        self.poison = Some(cause.clone());
        Error::OutcomeUnknown { cause }
    }

    fn active_len(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.segment.len())
    }

    fn staged_len(&self) -> usize {
        self.active.as_ref().map_or(0, |active| active.segment.staged_len())
    }

    /// Undoes the staging of records: what is staged from offset `at` on, and pending from `place` on.
    fn take_back(&mut self, at: u64, place: u64, appended: Seqno) {
        if let Some(active) = &mut self.active {
            active.segment.unstage(at);
        }
        self.pending.truncate(place);
        self.appended = appended;
    }

    /// What is pending for `key`: `None` nothing, `Some(None)` a delete.
    fn pending_record(&self, hash: u64, key: &[u8]) -> Result<Option<Option<Replaced>>> {
        let Some(active) = &self.active else { return Ok(None) };
        for appended in self.pending.with_hash(hash) {
            if active.segment.len_if_key(appended.at, key)?.is_some() {
                return Ok(Some(appended.as_replaced()));
            }
        }
        Ok(None)
    }

    /// The manifest as it is now, with the active segment's line ending in `extent`.
    fn manifest_ending(&self, extent: Extent) -> Manifest {
        let mut manifest = self.manifest.clone();
        manifest.next_seq = manifest.next_seq.max(self.appended.plus(1));
        if let (Some(line), Some(_)) = (manifest.segments.last_mut(), &self.active) {
            line.extent = extent;
        }
        manifest
    }

    /// The manifest with the active segment, if there is one, sealed at its length.
    fn sealed_manifest(&self) -> Manifest {
        self.manifest_ending(Extent::Sealed(self.active_len()))
    }
}
