//! Layer 9: [`Store`], the front door: which parts a call goes through, in which order.

mod backup;
mod ordered;
mod past;
pub(crate) mod transaction;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::background::Background;
use super::batch::{Batch, Expiry, Op};
use super::checkpoint::{Checkpointer, Occasion};
use super::compaction::Compactor;
use super::fs::Directory;
use super::gate::Gate;
use super::inspect::{self, Inspection};
use super::location::{SegmentId, Seqno};
use super::log::{Commit, Condition, Log, Ticket, Urgency};
use super::options::{Options, Sync};
use super::recovery::{self, OpenReport};
use super::scan::Entry;
use super::segment::Record;
use super::state::State;
use super::syncer::Syncer;
use super::value::Value;
use crate::error::{Error, Result};

/// A store, open in this process. Clones are handles to the same one and can be used from any thread.
///
/// Reads wait for no write and no sync (but see [`Sync::Buffered`]). The store is closed cleanly when [`Store::close`] is
/// called, or the last handle and the last [`Pending`] are dropped; reads through other handles go on, writes do not.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let store = logkv::Store::open(dir.path())?;
/// store.put("greeting", "hello")?;
/// assert_eq!(store.get("greeting")?.expect("just put"), b"hello");
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    directory: Arc<dyn Directory>,
    options: Options,
    state: Arc<State>,
    /// Stopped before the log is let go, which closes it.
    #[expect(dead_code, reason = "its thread lives as long as it does")]
    syncer: Option<Syncer>,
    /// Stopped before the log is let go, too.
    background: Option<Background>,
    compactor: Arc<Compactor>,
    checkpointer: Option<Arc<Checkpointer>>,
    /// What every write passes on its way into the log.
    gate: Gate,
    /// `None` when the store was opened read-only.
    log: Option<Arc<Log>>,
    report: OpenReport,
    /// The newest record's number when the store was opened.
    opened_at: Seqno,
    /// The segment that was the log's end then, if it was not sealed.
    end: Option<SegmentId>,
}

impl Shared {
    /// Ends what goes on in the background, and writes KEYDIR if that is worth it: what comes before the log is closed.
    fn wind_up(&self) {
        if let Some(background) = &self.background {
            background.stop();
        }
        self.compactor.stop();
        if let Some(checkpointer) = &self.checkpointer
            && let Err(error) = checkpointer.write_if_due(Occasion::Close)
        {
            // It is derived, and can be done without.
            tracing::warn!(error = error.sentence(), "KEYDIR could not be written");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wind_up();
    }
}

/// A write that [`Store::submit`] took and that has not been waited for.
///
/// Until [`Pending::wait`] returns, anything may take it, and nothing is promised of who sees it. It goes into the log in
/// its order, with the next write, wait or sync at the latest; dropping this does not take it back. Writes that nobody
/// waits for take about 100 bytes of memory each until a sync.
#[derive(Debug)]
#[must_use = "the write is acknowledged when `wait` returns"]
pub struct Pending {
    log: Arc<Log>,
    ticket: Ticket,
}

/// How a put is done: until when, and if what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    expiry: Option<Expiry>,
    condition: Condition,
}

impl PutOptions {
    /// For ever, and whatever there is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key expires then; `None`: never.
    #[must_use]
    pub fn expiry(mut self, expiry: Option<Expiry>) -> Self {
        self.expiry = expiry;
        self
    }

    /// The key expires so long after the write.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.expiry(Some(Expiry::In(ttl)))
    }

    /// Only if the key is not there.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Condition::Absent;
        self
    }

    /// Only if the key is there already.
    #[must_use]
    pub fn if_present(mut self) -> Self {
        self.condition = Condition::Present;
        self
    }
}

impl Pending {
    /// Waits until the write is as durable as the sync policy says, and visible. `None` when nothing had to be written.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotWritten`] and [`Error::Closed`]: it is not there.
    /// [`Error::OutcomeUnknown`]: it may be.
    pub fn wait(self) -> Result<Option<Commit>> {
        self.log.wait(&self.ticket)?;
        Ok(self.ticket.commit)
    }
}

impl Store {
    /// Opens the store in directory `path` with [`Options::default`], and makes it if the directory is missing or
    /// empty.
    ///
    /// # Errors
    /// As [`Store::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the store in directory `path`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`], [`Error::Unsupported`],
    /// [`Error::ManifestDamaged`], [`Error::SegmentMissing`], [`Error::Rot`], and [`Error::Io`]. Damage of single
    /// records is no error here: [`Store::open_report`] tells it.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let opened = recovery::open(path, &options)?;
        let log = opened.log.map(Arc::new);
        let syncer = match (&log, options.sync) {
            (Some(log), Sync::Every(interval)) => Some(Syncer::start(Arc::clone(log), interval)?),
            _ => None,
        };
        let compactor = Arc::new(Compactor::new(Arc::clone(&opened.state), log.clone(), &options));
        let covering = opened.covering;
        let checkpointer =
            log.as_ref().map(|log| Arc::new(Checkpointer::new(&opened.state, log, &options, covering)));
        let background = match &checkpointer {
            Some(checkpointer) if options.background => {
                Some(Background::start(&opened.state, &compactor, checkpointer)?)
            }
            _ => None,
        };
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            directory: opened.directory,
            options,
            state: opened.state,
            syncer,
            background,
            checkpointer,
            compactor,
            gate: Gate::default(),
            log,
            report: opened.report,
            opened_at: opened.last_seq,
            end: opened.end,
        })))
    }

    /// The value of `key`, or `None` if it is not there. One look at the index and one at the record; from a mapped
    /// segment nothing is copied.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the key's record is not as it was written, and [`Error::Io`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.find(key.as_ref())?.map(Record::into_value).transpose()
    }

    /// The value of each of `keys`, in their order, or the error of reading it: as a get of each. What the index and
    /// the records take is fetched from memory together for 64 keys, and not one after another: of a million keys in random order
    /// a thousand at once are read 1.5 to 1.9 times as fast as one by one (`cargo bench -- basics`).
    ///
    /// # Errors
    /// What the operating system says, when writes were held back.
    pub fn get_many(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Result<Option<Value>>>> {
        self.reveal()?;
        let mut values = Vec::with_capacity(keys.len());
        self.0.state.find_many(keys, |found| {
            // Each is counted as a get; none is timed alone.
            let found = self.0.state.meter.count_get(found);
            values.push(found.and_then(|found| found.map(Record::into_value).transpose()));
        });
        Ok(values)
    }

    /// The value of `key`, with the number, time and place of its record.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        self.find(key.as_ref())?.map(Entry::of).transpose()
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.find(key.as_ref())?.is_some())
    }

    /// Sets `key` to `value`. When this returns, the write is as durable as the sync policy says.
    ///
    /// # Errors
    /// [`Error::KeyLength`], [`Error::ValueLength`], [`Error::ReadOnly`], [`Error::Closed`], [`Error::Poisoned`] and
    /// [`Error::Io`]: nothing was written. [`Error::OutcomeUnknown`]: it may have been.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Commit> {
        let commit = self.put_with(key, value, PutOptions::new())?;
        Ok(commit.expect("a put without a condition always writes"))
    }

    /// Sets `key` to `value` if it is not there; `None`, and nothing written, if it is.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_absent())
    }

    /// Sets `key` to `value` if it is there already; `None`, and nothing written, if it is not.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_if_present(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Option<Commit>> {
        self.put_with(key, value, PutOptions::new().if_present())
    }

    /// Sets `key` to `value` as `options` say; `None`, and nothing written, when their condition does not hold.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// use std::time::Duration;
    /// let for_a_minute = logkv::PutOptions::new().ttl(Duration::from_secs(60));
    /// assert!(store.put_with("lock", "me", for_a_minute.if_absent())?.is_some());
    /// assert!(store.put_with("lock", "you", for_a_minute.if_absent())?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<Option<Commit>> {
        let put = Op::Put { key: key.as_ref(), value: value.as_ref(), expiry: options.expiry };
        self.commit(std::iter::once(put), options.condition)
    }

    /// Removes `key`; whether it was there. Removing what is not there writes nothing.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let commit = self.commit(std::iter::once(Op::Delete { key: key.as_ref() }), Condition::None)?;
        Ok(commit.is_some_and(|commit| commit.deleted > 0))
    }

    /// Applies all of `batch` or nothing of it, also across a crash. `None` when nothing had to be written: it was
    /// empty, or deleted only what was not there.
    ///
    /// # Errors
    /// As [`Store::put`], and [`Error::BatchLength`].
    pub fn write(&self, batch: &Batch) -> Result<Option<Commit>> {
        self.commit(batch.iter(), Condition::None)
    }

    /// Takes `batch` and does not wait: what follows shares one system call and one sync with it. [`Pending::wait`]
    /// acknowledges it. For many writes one after another; see [`Store::write`] for one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn submit(&self, batch: &Batch) -> Result<Pending> {
        let log = self.log()?;
        let _way = self.0.gate.pass()?;
        let ticket = log.append(batch.iter(), Condition::None, Urgency::WhenWaitedFor)?;
        Ok(Pending { log: Arc::clone(log), ticket })
    }

    /// The number of keys. Costs nothing.
    #[must_use]
    pub fn len(&self) -> u64 {
        if let Err(error) = self.reveal() {
            // The log is poisoned now, and whoever writes next is told.
            tracing::error!(%error, "what was held back could not be written");
        }
        self.0.state.keydir.count()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes everything acknowledged so far durable.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn sync(&self) -> Result<()> {
        self.log()?.sync()
    }

    /// Seals the active segment; the next write starts a new one. `None` when there was nothing to seal.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn rotate(&self) -> Result<Option<SegmentId>> {
        self.log()?.rotate()
    }

    /// Takes one segment apart.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`], and what the operating system says.
    pub fn inspect(&self, segment: SegmentId) -> Result<Inspection> {
        self.reveal()?;
        inspect::of_open_store(&self.0.directory, &self.0.options, &self.0.state, segment)
    }

    /// What opening this store found and did.
    #[must_use]
    pub fn open_report(&self) -> &OpenReport {
        &self.0.report
    }

    /// Whether it was opened read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.log.is_none()
    }

    /// The directory, as it was given.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.path
    }

    /// Makes everything durable and closes the store, for all handles: writes through them fail from now on.
    ///
    /// # Errors
    /// As [`Store::put`]. The next open then takes the store for one that crashed, and loses nothing acknowledged.
    pub fn close(self) -> Result<()> {
        self.0.wind_up();
        self.0.log.as_ref().map_or(Ok(()), |log| log.close())
    }

    fn log(&self) -> Result<&Arc<Log>> {
        self.0.log.as_ref().ok_or(Error::ReadOnly)
    }

    /// Append, wait until it is durable and visible: the protocol of every write.
    fn commit<'a>(
        &self,
        ops: impl ExactSizeIterator<Item = Op<'a>> + Clone,
        condition: Condition,
    ) -> Result<Option<Commit>> {
        let log = self.log()?;
        self.0.state.meter.write(|| {
            let way = self.0.gate.pass()?;
            let ticket = log.append(ops, condition, Urgency::Now)?;
            drop(way);
            log.wait(&ticket)?;
            Ok(ticket.commit)
        })
    }

    /// The record of `key`, counted as a get.
    #[inline]
    fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        self.0.state.meter.get(|| {
            self.reveal()?;
            self.0.state.find(key)
        })
    }

    fn reveal(&self) -> Result<()> {
        self.0.log.as_ref().map_or(Ok(()), |log| log.reveal())
    }
}
