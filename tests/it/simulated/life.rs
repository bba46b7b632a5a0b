//! The record of a store's life: its contents between writes, and the contents that must survive a
//! power cut at any moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, Event};
use super::fault::{Fault, Met};
use super::plan::{Setting, Step};

pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The contents between two writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) map: Arc<Map>,
    /// The newest number used.
    pub(crate) last_seq: u64,
}

/// The moments that may be found after an event, as indexes of [`Life::moments`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// The number of events so far.
    pub(crate) at: usize,
    /// A power cut leaves this moment or a later one.
    pub(crate) durable: usize,
    /// A kill leaves this moment or a later one.
    pub(crate) written: usize,
    /// The last acknowledged moment.
    pub(crate) acknowledged: usize,
    /// The last moment issued.
    pub(crate) issued: usize,
}

/// The start of a life.
#[derive(Clone, Debug)]
pub(crate) struct LifeStart {
    pub(crate) disk: Disk,
    /// The moments that may be durable, in order. At least one.
    pub(crate) moments: Vec<Moment>,
    /// The first moment that may be found without a power cut.
    pub(crate) least: usize,
    /// The newest acknowledged number.
    pub(crate) last_seq: u64,
    pub(crate) seed: u64,
    /// The fault of this life.
    pub(crate) fault: Option<Fault>,
}

impl LifeStart {
    /// An empty disk.
    pub(crate) fn first(seed: u64) -> Self {
        Self {
            disk: Disk::default(),
            moments: vec![Moment::default()],
            least: 0,
            last_seq: 0,
            seed,
            fault: None,
        }
    }
}

/// The steps of a life, and their effect on the disk.
pub(crate) struct Life {
    pub(crate) start: LifeStart,
    pub(crate) setting: Setting,
    pub(crate) events: Vec<Event>,
    /// The number of all file system calls.
    pub(crate) call_count: u64,
    /// The first call that failed.
    pub(crate) met: Option<Met>,
    pub(crate) moments: Vec<Moment>,
    /// In order, at least one.
    pub(crate) marks: Vec<Mark>,
    /// Each step, with the number of events before it.
    pub(crate) steps: Vec<(usize, Step)>,
    /// The contents found at open.
    pub(crate) found: Arc<Map>,
}

impl Life {
    /// The moments that may be found after `event_count` events.
    pub(crate) fn mark_at(&self, event_count: usize) -> Mark {
        let after = self.marks.partition_point(|mark| mark.at <= event_count);
        let mark = self.marks[after - 1];
        let has_forgotten =
            || self.events[..event_count].iter().any(|event| matches!(event, Event::SyncFailed(_)));
        if self.met.is_some() && has_forgotten() {
            // The next open drops cached bytes that were not written.
            return Mark { written: mark.written.min(mark.durable), ..mark };
        }
        mark
    }
}
