//! The view of a [`Store`]. A store that is open for writing has one state, which changes. A read-only store
//! gets another state with each refresh.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::Store;
use crate::engine::base::error::Result;
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::sync::{ArcSwap, Mutex};
use crate::engine::fs::Directory;
use crate::engine::open::{self, Followed, FoundDamage, OpenReport, Opened, Seen};
use crate::engine::options::Options;
use crate::engine::state::State;
use crate::engine::upkeep::compaction::Compactor;

/// The result of [`Store::refresh`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Whether the files had changed: reads may give other results now.
    pub changed: bool,
    /// Damage that was not known before, in log order.
    pub damage: Vec<FoundDamage>,
}

/// A state, and what is known of it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) state: Arc<State>,
    pub(super) compactor: Arc<Compactor>,
    pub(super) report: Arc<OpenReport>,
    /// The newest record's number when this was opened.
    pub(super) opened_at: Seqno,
    /// The segment that was the log's end then, if it was not sealed.
    pub(super) end: Option<SegmentId>,
}

/// The views of a store.
#[derive(Debug)]
pub(super) enum Views {
    /// The view of a store that is open for writing.
    Own(View),
    /// The current view of a read-only store. `seen` is held while it is replaced; no other lock is taken under it.
    Followed { now: ArcSwap<View>, seen: Mutex<Seen> },
}

/// A view in use.
pub(super) enum ViewRef<'a> {
    Own(&'a View),
    Followed(arc_swap::Guard<Arc<View>>),
}

impl Deref for ViewRef<'_> {
    type Target = View;

    #[inline]
    fn deref(&self) -> &View {
        match self {
            Self::Own(view) => view,
            Self::Followed(view) => view,
        }
    }
}

impl Views {
    pub(super) fn new(view: View, seen: Option<Seen>) -> Self {
        match seen {
            None => Self::Own(view),
            Some(seen) => Self::Followed { now: ArcSwap::new(Arc::new(view)), seen: Mutex::new(seen) },
        }
    }

    /// The current view.
    #[inline]
    pub(super) fn now(&self) -> ViewRef<'_> {
        match self {
            Self::Own(view) => ViewRef::Own(view),
            Self::Followed { now, .. } => ViewRef::Followed(now.load()),
        }
    }

    /// Replaces the view with one of the files as they are now.
    ///
    /// # Errors
    /// As [`Store::refresh`].
    fn refresh(&self, path: &Path, options: &Options) -> Result<Refreshed> {
        let Self::Followed { now, seen } = self else { return Ok(Refreshed::default()) };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = now.load_full();
        let View { directory, state, report, opened_at, .. } = &*before;
        let (last_seq, seen_before) = (*opened_at, &*seen);
        let followed = Followed { path, options, directory, state, report, last_seq, seen: seen_before };
        let Some(Opened { directory, state, mut report, last_seq, end, seen: Some(seen_now), .. }) =
            open::follow(&followed)?
        else {
            return Ok(Refreshed::default());
        };
        let is_new = |found: &&FoundDamage| !before.report.damage.contains(found);
        let damage = report.damage.iter().filter(is_new).cloned().collect();
        report.took = before.report.took;
        let compactor = Arc::new(Compactor::new(Arc::clone(&state), None, options));
        let report = Arc::new(report);
        now.store(Arc::new(View { directory, state, compactor, report, opened_at: last_seq, end }));
        *seen = seen_now;
        Ok(Refreshed { changed: true, damage })
    }
}

impl Store {
    /// Brings a read-only store up to date with the files, to which another process may write. Reads then see every
    /// write acknowledged before this call, and maybe later writes, some of which a power cut would lose. Without
    /// it reads show the store as it was opened. Writes that the writer still buffers under
    /// [`Sync::Buffered`](crate::Sync::Buffered) are in no file yet. A batch is seen whole or not at all; an unfinished
    /// or torn write is not seen. Snapshots, scans and values keep their view. All handles switch to the new state at
    /// the same moment.
    ///
    /// A store that is open for writing is always up to date: nothing is done, and `changed` is false.
    ///
    /// If nothing changed, this takes some microseconds, at any size. Otherwise it reads the new records and copies a
    /// list of the segments; the first time it also checks the index mapped from KEYDIR, 8 bytes a key. After a
    /// compaction or a clear by the writer, a restore or a repair, it costs as much as opening.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use logkv::{Options, Store};
    /// let writer = Store::open(dir.path())?;
    /// let reader = Store::open_with(dir.path(), Options::new().read_only(true))?;
    /// writer.put("k", "v")?;
    /// assert_eq!(reader.get("k")?, None);
    /// assert!(reader.refresh()?.changed);
    /// assert_eq!(reader.get("k")?.expect("it was put"), b"v");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As a read-only [`Store::open_with`]: [`Error::Missing`](crate::Error::Missing) when the directory is gone, and so on.
    /// Reads then keep the earlier view. Damage of single records is not an error; the result reports it.
    pub fn refresh(&self) -> Result<Refreshed> {
        self.0.views.refresh(&self.0.path, &self.0.options)
    }

    /// The current view.
    #[inline]
    pub(super) fn view(&self) -> ViewRef<'_> {
        self.0.views.now()
    }
}
