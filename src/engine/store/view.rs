//! The view of a store. A store that is open for writing has one state, which changes. A read-only
//! store gets another state with each refresh.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::engine::base::error::Result;
use crate::engine::base::sync::{ArcSwap, LockRank, Mutex};
use crate::engine::open::follow::follow;
use crate::engine::open::opened::{FoundDamage, Opened};
use crate::engine::open::seen::SeenFiles;
use crate::engine::options::Options;
use crate::engine::upkeep::compaction::Compactor;

/// The result of [`Store::refresh`](crate::Store::refresh).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Whether the files had changed, so that reads may give other results now.
    pub changed: bool,
    /// The damage that was not known before, in log order.
    pub damage: Vec<FoundDamage>,
}

/// An opened state, and the compactor for it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) opened: Opened,
    pub(super) compactor: Arc<Compactor>,
}

/// The views of a store.
#[derive(Debug)]
pub(super) enum Views {
    /// The view of a store that is open for writing.
    Writer(View),
    /// The current view of a read-only store. `seen` is locked while the view is replaced.
    Reader { now: ArcSwap<View>, seen: Box<Mutex<SeenFiles>> },
}

/// A view in use.
pub(super) enum ViewRef<'a> {
    Writer(&'a View),
    Reader(arc_swap::Guard<Arc<View>>),
}

impl Deref for ViewRef<'_> {
    type Target = View;

    #[inline]
    fn deref(&self) -> &View {
        match self {
            Self::Writer(view) => view,
            Self::Reader(view) => view,
        }
    }
}

impl Views {
    pub(super) fn new(view: View, seen: Option<SeenFiles>) -> Self {
        match seen {
            None => Self::Writer(view),
            Some(seen) => {
                let seen = Box::new(Mutex::new(LockRank::View, seen));
                Self::Reader { now: ArcSwap::new(Arc::new(view)), seen }
            }
        }
    }

    #[inline]
    pub(super) fn now(&self) -> ViewRef<'_> {
        match self {
            Self::Writer(view) => ViewRef::Writer(view),
            Self::Reader { now, .. } => ViewRef::Reader(now.load()),
        }
    }

    /// Replaces the view of a read-only store with one of the files as they are now.
    pub(super) fn refresh(&self, path: &Path, options: &Options) -> Result<Refreshed> {
        let Self::Reader { now, seen } = self else { return Ok(Refreshed::default()) };
        let mut seen = seen.lock();
        let before = now.load_full();
        let Some((mut opened, seen_now)) = follow(path, options, &before.opened, &seen)? else {
            return Ok(Refreshed::default());
        };
        let known = &before.opened.report;
        let is_new = |found: &&FoundDamage| !known.damage.contains(found);
        let damage = opened.report.damage.iter().filter(is_new).cloned().collect();
        Arc::make_mut(&mut opened.report).took = known.took;
        let compactor = Arc::new(Compactor::new(Arc::clone(&opened.state), None, options));
        now.store(Arc::new(View { opened, compactor }));
        *seen = seen_now;
        Ok(Refreshed { changed: true, damage })
    }
}
