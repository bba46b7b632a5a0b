//! [`Store`], the front door: which parts a call goes through, in which order.

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
use crate::engine::open::opened::{OpenReport, Role};
use crate::engine::read::scan::Entry;
use crate::engine::segment::value::Value;
use crate::engine::tools::inspect::{self, Inspection};
use crate::engine::upkeep::background::Background;
use crate::engine::upkeep::checkpoint::{Checkpointer, Occasion};
use crate::engine::upkeep::compaction::Compactor;
use crate::engine::upkeep::syncer::Syncer;

/// A store, open in this process. Clones are handles to the same one and can be used from any thread.
///
/// Reads wait for no write and no sync, but for the moment in which a batch becomes visible (and see [`Sync::Buffered`]). The store is closed cleanly when [`Store::close`] is
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
    options: Options,
    views: Views,
    /// Stopped before the log is let go, which closes it.
    #[expect(dead_code, reason = "its thread lives as long as it does")]
    syncer: Option<Syncer>,
    /// Stopped before the log is let go, too.
    background: Option<Background>,
    checkpointer: Option<Arc<Checkpointer>>,
    /// Shared by writes, held alone by a transaction.
    transaction_lock: TransactionLock,
    /// `None` when the store was opened read-only.
    log: Option<Arc<Log>>,
}

impl Shared {
    /// Ends what goes on in the background, and writes KEYDIR if that is worth it: what comes before the log is closed.
    fn shut_down(&self) {
        if let Some(background) = &self.background {
            background.stop();
        }
        self.views.now().compactor.stop();
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
        self.shut_down();
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
        let options = options.within_bounds();
        let (opened, role) = open::open(path, &options)?;
        let (log, covering, seen) = match role {
            Role::Writer { log, covering } => (Some(log), covering, None),
            Role::Reader(seen) => (None, None, Some(seen)),
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
            transaction_lock: TransactionLock::default(),
            log,
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
    /// the records take is fetched from memory together for 64 keys, and not one after another, which is faster where the
    /// processor's caches do not have it (`cargo bench -- basics`).
    ///
    /// # Errors
    /// What the operating system says, when writes were held back.
    pub fn get_many(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Result<Option<Value>>>> {
        self.reveal()?;
        let mut values = Vec::with_capacity(keys.len());
        let view = self.view();
        view.opened.state.find_many(keys, |found| {
            // Each is counted as a get; none is timed alone.
            let found = view.opened.state.meter.count_get(found);
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

    /// The number of keys. Costs nothing.
    #[must_use]
    pub fn len(&self) -> u64 {
        if let Err(error) = self.reveal() {
            // The log is poisoned now, and whoever writes next is told.
            tracing::error!(%error, "what was held back could not be written");
        }
        self.view().opened.state.keydir.count()
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

    /// Seals the active segment; the next write starts a new one. `None` when there was nothing to seal. Both write a MANIFEST
    /// with a line for each segment, about 70 bytes: with 100,000 segments, 7 MB each time.
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
        let view = self.view();
        inspect::of_open_store(&view.opened.directory, &self.0.options, &view.opened.state, segment)
    }

    /// What opening this store found and did. After a [`Store::refresh`] it describes damage and the torn end as that found them.
    #[must_use]
    pub fn open_report(&self) -> Arc<OpenReport> {
        Arc::clone(&self.view().opened.report)
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
        self.0.shut_down();
        self.0.log.as_ref().map_or(Ok(()), |log| log.close())
    }

    fn log(&self) -> Result<&Arc<Log>> {
        self.0.log.as_ref().ok_or(Error::ReadOnly)
    }

    /// The record of `key`, counted as a get.
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
