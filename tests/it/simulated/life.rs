//! The book of a store's life: what it was between its writes, and what must be there whenever the power goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, Event};
use super::fault::{Fault, Met};
use super::plan::{Setting, Step};

pub(crate) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the store is between two of its writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) map: Arc<Map>,
    /// The newest number given out.
    pub(crate) last_seq: u64,
}

/// What must and may be there from an event on: places in [`Life::moments`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// How many events had happened.
    pub(crate) at: usize,
    /// A power cut leaves this moment or a later one.
    pub(crate) durable: usize,
    /// The death of the process leaves this moment or a later one.
    pub(crate) written: usize,
    /// The last moment whose caller was told that it is there.
    pub(crate) acknowledged: usize,
    /// The last moment that anybody has asked for.
    pub(crate) issued: usize,
}

/// Where a life begins.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) disk: Disk,
    /// What may turn out to be durable there, in order; at least one.
    pub(crate) moments: Vec<Moment>,
    /// The first of them that may be found if no power is cut.
    pub(crate) least: usize,
    /// The newest number whose caller was told.
    pub(crate) last_seq: u64,
    pub(crate) seed: u64,
    /// What the system refuses in this life.
    pub(crate) fault: Option<Fault>,
}

impl Birth {
    /// A disk without files.
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

/// What was done, and what it did to the disk.
pub(crate) struct Life {
    pub(crate) birth: Birth,
    pub(crate) setting: Setting,
    pub(crate) events: Vec<Event>,
    /// How many calls of the file system it took, whatever they did.
    pub(crate) call_count: u64,
    /// The first of them that failed.
    pub(crate) met: Option<Met>,
    pub(crate) moments: Vec<Moment>,
    /// At least one, in order.
    pub(crate) marks: Vec<Mark>,
    /// Each step, and how many events had happened when it began.
    pub(crate) steps: Vec<(usize, Step)>,
    /// What was found when the store was opened.
    pub(crate) found: Arc<Map>,
}

impl Life {
    /// What must and may be there after so many events.
    pub(crate) fn mark_at(&self, event_count: usize) -> Mark {
        let after = self.marks.partition_point(|mark| mark.at <= event_count);
        let mark = self.marks[after - 1];
        let has_forgotten =
            || self.events[..event_count].iter().any(|event| matches!(event, Event::SyncFailed(_)));
        if self.met.is_some() && has_forgotten() {
            // The next open drops what the system shows and has not written.
            return Mark { written: mark.written.min(mark.durable), ..mark };
        }
        mark
    }
}
