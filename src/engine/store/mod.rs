//! [`Store`], the public handle: routes each call through the parts of the engine.

mod backup;
mod ordered;
pub(crate) mod overlay;
mod past;
mod refresh;
mod transaction;
mod update;
mod upkeep;
pub(crate) mod view;
pub(crate) mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::view::{View, Views};

use super::log::Log;
use super::options::{Options, Sync};
use super::segment::Record;
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::log::transaction_lock::TransactionLock;
use crate::engine::open;
use crate::engine::open::opened::{OpenReport, OpenedAs};
use crate::engine::read::scan::Entry;
use crate::engine::segment::value::Value;
use crate::engine::tools::inspect::{self, Inspection};
use crate::engine::upkeep::background::Background;
use crate::engine::upkeep::checkpoint::{Checkpointer, Occasion};
use crate::engine::upkeep::compaction::Compactor;
use crate::engine::upkeep::syncer::Syncer;

/// An open store. Clones are handles to the same store and can be used from any thread.
///
/// Reads do not wait for writes or syncs, except for the moment in which a batch becomes visible;
/// see also [`Sync::Buffered`]. [`Store::close`] closes the store cleanly, and so does dropping the
/// last handle and the last [`Pending`](crate::Pending). After a close, reads through other handles
/// still work, and writes fail.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let store = logkv::Store::open(dir.path())?;
/// store.put("greeting", "hello")?;
/// assert_eq!(store.get("greeting")?.expect("is present"), b"hello");
/// store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    options: Options,
    views: Views,
    /// Dropped before the log, so that its thread stops before the log is closed.
    #[expect(dead_code, reason = "keeps its thread running")]
    syncer: Option<Syncer>,
    /// Dropped before the log, too.
    background: Option<Background>,
    checkpointer: Option<Arc<Checkpointer>>,
    /// Writes hold it shared, and transactions hold it exclusively.
    transaction_lock: TransactionLock,
    /// `None` if the store is read-only.
    log: Option<Arc<Log>>,
}

impl Shared {
    /// Stops background work, and writes KEYDIR if that is worth its cost. Runs before the log is
    /// closed.
    fn shut_down(&self) {
        if let Some(background) = &self.background {
            background.stop();
        }
        self.views.now().compactor.stop();
        if let Some(checkpointer) = &self.checkpointer
            && let Err(error) = checkpointer.write_if_due(Occasion::Close)
        {
            // KEYDIR is derived: the store works without it.
            tracing::warn!(error = error.sentence(), "KEYDIR could not be written");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Store {
    /// Opens the store in directory `path` with [`Options::default`]. Creates it if the directory
    /// is missing or empty.
    ///
    /// # Errors
    /// As [`Store::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Options::default())
    }

    /// Opens the store in directory `path`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Foreign`], [`Error::Untrusted`], [`Error::Locked`],
    /// [`Error::Unsupported`], [`Error::ManifestDamaged`], [`Error::SegmentMissing`],
    /// [`Error::Rot`], and [`Error::Io`]. A damaged record is not an error; [`Store::open_report`]
    /// lists it.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref();
        let options = options.within_bounds();
        let (opened, opened_as) = open::open(path, &options)?;
        let (log, covering, seen) = match opened_as {
            OpenedAs::Writer { log, covering } => (Some(log), covering, None),
            OpenedAs::Reader(seen) => (None, None, Some(seen)),
        };
        let syncer = match (&log, options.sync) {
            (Some(log), Sync::Every(interval)) => Some(Syncer::start(Arc::clone(log), interval)?),
            _ => None,
        };
        let compactor = Arc::new(Compactor::new(Arc::clone(&opened.state), log.clone(), &options));
        let checkpointer =
            log.as_ref().map(|log| Arc::new(Checkpointer::new(&opened.state, log, &options, covering)));
        let background = match &checkpointer {
            Some(checkpointer) if options.background => {
                Background::start(&opened.state, &compactor, checkpointer)
            }
            _ => None,
        };
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            options,
            views: Views::new(View { opened, compactor }, seen),
            syncer,
            background,
            checkpointer,
            transaction_lock: TransactionLock::new(),
            log,
        })))
    }

    /// Returns the value of `key`, or `None` if the key is absent. Costs one index lookup and one
    /// record read. Copies nothing from a mapped segment.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the record of `key` is damaged, and [`Error::Io`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.find(key.as_ref())?.map(Record::into_value).transpose()
    }

    /// Returns the value of each of `keys`, in their order, or the error of that key. Prefetches
    /// index slots and records for 64 keys at a time, which is faster than single gets if they are
    /// not in the CPU caches (`cargo bench -- basics`).
    ///
    /// # Errors
    /// [`Error::Io`] from writing buffered records.
    pub fn get_many(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Result<Option<Value>>>> {
        self.reveal()?;
        let mut values = Vec::with_capacity(keys.len());
        let view = self.view();
        view.opened.state.find_many(keys, |found| {
            // Each key counts as a get. Single keys are not timed.
            let found = view.opened.state.meter.count_get(found);
            values.push(found.and_then(|found| found.map(Record::into_value).transpose()));
        });
        Ok(values)
    }

    /// Returns the value of `key`, with the number, time and place of its record.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        self.find(key.as_ref())?.map(Entry::of).transpose()
    }

    /// Returns whether `key` is present.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.find(key.as_ref())?.is_some())
    }

    /// Returns the number of keys. Costs nothing.
    #[must_use]
    pub fn len(&self) -> u64 {
        if let Err(error) = self.reveal() {
            // The log is now poisoned, and the next write returns an error.
            tracing::error!(%error, "buffered writes could not be written");
        }
        self.view().opened.state.keydir.count()
    }

    /// Returns whether the store holds no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes all acknowledged writes durable.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn sync(&self) -> Result<()> {
        self.log()?.sync()
    }

    /// Seals the active segment and returns its id, or `None` if it holds no records. The next
    /// write starts a new segment. Sealing and starting each write a MANIFEST of about 70 bytes a
    /// segment: 7 MB for 100,000 segments.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn rotate(&self) -> Result<Option<SegmentId>> {
        self.log()?.rotate()
    }

    /// Decodes every byte of one segment.
    ///
    /// # Errors
    /// [`Error::NoSuchSegment`] and [`Error::Io`].
    pub fn inspect(&self, segment: SegmentId) -> Result<Inspection> {
        self.reveal()?;
        let view = self.view();
        inspect::of_open_store(&view.opened.directory, &self.0.options, &view.opened.state, segment)
    }

    /// Returns the report of opening this store. After a [`Store::refresh`], its damage and torn
    /// tail are those that the refresh found.
    #[must_use]
    pub fn open_report(&self) -> Arc<OpenReport> {
        Arc::clone(&self.view().opened.report)
    }

    /// Returns whether the store is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.log.is_none()
    }

    /// Returns the directory as the caller named it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0.path
    }

    /// Makes all writes durable and closes the store. Later writes through any handle fail.
    ///
    /// # Errors
    /// As [`Store::put`]. The next open then recovers the store as after a crash, and keeps every
    /// acknowledged write.
    pub fn close(self) -> Result<()> {
        self.0.shut_down();
        self.0.log.as_ref().map_or(Ok(()), |log| log.close())
    }

    fn log(&self) -> Result<&Arc<Log>> {
        self.0.log.as_ref().ok_or(Error::ReadOnly)
    }

    /// Finds the record of `key`, and counts a get.
    #[inline]
    fn find(&self, key: &[u8]) -> Result<Option<Record>> {
        let view = self.view();
        view.opened.state.meter.get(|| {
            self.reveal()?;
            view.opened.state.find(key)
        })
    }

    fn reveal(&self) -> Result<()> {
        self.0.log.as_ref().map_or(Ok(()), |log| log.flush_buffered())
    }
}
