//! The KEYDIR file: the index, saved to speed up the next open.
//!
//! KEYDIR is derived, so it is never synced, and its checksums reveal a torn write. An open uses it
//! if the segments that it covers are the first ones of the log and at least as long as it says.
//! The open replays the rest of the log.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::{LockRank, Mutex};
use crate::engine::format::keydir_file::{self, Covered, Covering, KeydirHead};
use crate::engine::format::manifest::{Manifest, SegmentExtent, SegmentLine};
use crate::engine::format::record::LEN_MIN;
use crate::engine::fs::staging::StagedFile;
use crate::engine::fs::{Access, Mapping, StoreFile};
use crate::engine::keydir::Keydir;
use crate::engine::keydir::file::{Rebuild, write_to};
use crate::engine::log::Log;
use crate::engine::log::view::ReadPoint;
use crate::engine::metrics::meter::Count;
use crate::engine::options::{Options, ReadWith};
use crate::engine::segment::StoreContext;
use crate::engine::state::{SegmentSet, State, addresses};

/// A close writes KEYDIR if the next open would otherwise replay at least one record for this many
/// keys, and at least [`Options::checkpoint_records`] records. Then replaying costs more than
/// writing.
const SHARE_AT_CLOSE: u64 = 2048;
/// An open store writes KEYDIR after it appended at least one record for this many keys, since
/// writing a key costs less than replaying a record.
const SHARE_WHILE_OPEN: u64 = 4;
/// An open store writes KEYDIR only after this many times [`Options::checkpoint_records`] records.
const TIMES_WHILE_OPEN: u64 = 32;
/// A compaction of covered segments makes KEYDIR useless. A new one is written after this many
/// compacted bytes for each key. That is four times the size of KEYDIR, so the rewrite adds little
/// to the I/O of the compactions.
const COMPACTED_LEN_A_KEY: u64 = 48;

/// A KEYDIR file that fits the log.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    mapping: Mapping,
    head: KeydirHead,
}

impl Checkpoint {
    /// Opens KEYDIR, if it is present and fits the log that `manifest` lists.
    pub(crate) fn open(context: &StoreContext, manifest: &Manifest) -> Option<Self> {
        if context.reading.with == ReadWith::Pread {
            return None;
        }
        let file = match context.directory.open(StoreFile::Keydir, Access::Read) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "KEYDIR cannot be opened");
                }
                return None;
            }
        };
        let len = file.len().ok().filter(|&len| len > 0)?;
        let mapping = file.map(len).ok()??;
        mapping.expose(len);
        let head = keydir_file::decode(mapping.bytes(0..len as usize)?, len);
        let head = head.filter(|head| fits(&head.about, context, manifest));
        if head.is_none() {
            tracing::debug!("KEYDIR does not match this log, and is not used");
        }
        head.map(|head| Self { mapping, head })
    }

    /// Returns the part of the log that KEYDIR covers.
    pub(crate) fn about(&self) -> &Covering {
        &self.head.about
    }

    /// Returns the index in KEYDIR. A damaged shard is rebuilt from the segments of `state`.
    pub(crate) fn keydir(self, state: Weak<State>) -> Option<Keydir> {
        // Later records are replayed and counted. If the rebuilt shard had them, they would count
        // twice.
        let covered = self.head.about.segments.iter().map(|covered| (covered.id, covered.len)).collect();
        let rebuild: Rebuild = Box::new(move |shard| {
            // The index of a dropped state has no readers.
            state.upgrade().map_or_else(|| Ok(Keydir::new()), |state| state.shard_from_log(shard, &covered))
        });
        let range = |covered: &Covered| addresses(covered.first_page, covered.len);
        let mut covered: Vec<_> = self.head.about.segments.iter().map(range).collect();
        covered.sort_unstable_by_key(|range| range.start);
        Keydir::mapped(self.mapping, &self.head, covered.into(), rebuild)
    }
}

/// Returns whether `about` describes the beginning of the log that `manifest` lists.
fn fits(about: &Covering, context: &StoreContext, manifest: &Manifest) -> bool {
    let is_there = |(index, covered): (usize, &Covered)| {
        let is_last = index + 1 == about.segments.len();
        manifest.segments.get(index).is_some_and(|line: &SegmentLine| {
            let is_long_enough = match line.extent {
                // Only the last covered segment may have grown.
                SegmentExtent::Sealed(len) | SegmentExtent::Closed(len) if is_last => covered.len <= len,
                SegmentExtent::Sealed(len) => covered.len == len,
                // The length is checked when the segment is opened.
                SegmentExtent::Closed(_) | SegmentExtent::Active(_) => is_last,
            };
            line.id == covered.id && is_long_enough
        })
    };
    about.store == context.store
        && about.hash_seed == context.hash_seed
        && about.segments.iter().enumerate().all(is_there)
        && SegmentSet::may_place(about.segments.iter().map(|covered| (covered.first_page, covered.len)))
        && !is_ahead(about, manifest)
}

/// Returns whether KEYDIR lists a record beyond the part of the log that it covers.
///
/// Such a file is not used. Ignoring it does not make the store assign a sequence number twice:
/// after a clean close MANIFEST has the next number, and after a crash recovery skips every number
/// that the last segment had room for. Both were durable before KEYDIR could list the record. If
/// the file were trusted, damage to a derived file could shift the sequence numbers for good, or
/// exhaust them.
pub(crate) fn is_ahead(about: &Covering, manifest: &Manifest) -> bool {
    let end = match (manifest.segments.get(about.segments.len()), about.segments.last()) {
        (Some(next), _) => next.base_seq,
        (None, Some(covered)) => {
            let active =
                manifest.segments.last().filter(|line| matches!(line.extent, SegmentExtent::Active(_)));
            // MANIFEST is older than the active segment. Each number in that segment belongs to a
            // record of at least LEN_MIN bytes.
            let written = |line: &SegmentLine| line.base_seq.plus(covered.len / LEN_MIN).plus(1);
            active.map_or(Seqno(0), written).max(manifest.next_seq)
        }
        (None, None) => manifest.next_seq,
    };
    about.covered_seq >= end
}

/// Writes KEYDIR when that is worth its cost.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    state: Arc<State>,
    log: Arc<Log>,
    /// The number of uncovered records that makes a close write KEYDIR.
    records: u64,
    /// The last KEYDIR. Held while KEYDIR is written, so that there is one writer.
    last: Mutex<LastCheckpoint>,
}

/// The KEYDIR that was written or opened last.
#[derive(Debug, Default)]
struct LastCheckpoint {
    covering: Option<Covering>,
    /// The bytes that had been compacted when it was written.
    compacted_len: u64,
}

/// The occasion for writing KEYDIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The store stays open.
    Open,
    /// The store is being closed.
    Close,
}

impl Checkpointer {
    /// `covering` describes the KEYDIR that the store was opened with, if any.
    pub(crate) fn new(
        state: &Arc<State>,
        log: &Arc<Log>,
        options: &Options,
        covering: Option<Covering>,
    ) -> Self {
        let records = options.checkpoint_records.max(1);
        let last = Mutex::new(LockRank::Checkpoint, LastCheckpoint { covering, compacted_len: 0 });
        Self { state: Arc::clone(state), log: Arc::clone(log), records, last }
    }

    /// Writes KEYDIR if that is worth its cost now.
    ///
    /// # Errors
    /// `Io`. The earlier file, if any, is unchanged.
    pub(crate) fn write_if_due(&self, occasion: Occasion) -> Result<()> {
        if self.state.context.reading.with == ReadWith::Pread || self.log.check().is_err() {
            return Ok(());
        }
        let mut last = self.last.lock();
        if !self.is_due(&last, occasion) {
            return Ok(());
        }
        // The next open reports only damage that it reads, and it does not read covered segments.
        if self.state.segments().iter().any(|segment| segment.is_unfit()) {
            return Ok(());
        }
        if occasion == Occasion::Close {
            // Buffered writes go into the log first, so that KEYDIR covers them.
            self.log.sync()?;
        }
        let compacted_len = self.state.compacted_len.load(Ordering::Relaxed);
        match self.write() {
            Ok(covering) => {
                self.state.meter.add(Count::Checkpoints, 1);
                tracing::debug!(seq = covering.covered_seq.0, "KEYDIR was written");
                *last = LastCheckpoint { covering: Some(covering), compacted_len };
            }
            // Another handle has closed the store.
            Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_due(&self, last: &LastCheckpoint, occasion: Occasion) -> bool {
        let uncovered = uncovered(&self.state.segments(), last.covering.as_ref());
        let keys = self.state.keydir.count();
        if occasion == Occasion::Close {
            return uncovered >= self.records.max(keys / SHARE_AT_CLOSE);
        }
        let since = last.covering.as_ref().map_or(Seqno(0), |covering| covering.covered_seq);
        let appended = self.log.appended().0.saturating_sub(since.0);
        let compacted_len = self.state.compacted_len.load(Ordering::Relaxed) - last.compacted_len;
        let least = self.records.saturating_mul(TIMES_WHILE_OPEN);
        let is_worth_it = appended >= least.max(keys / SHARE_WHILE_OPEN)
            || compacted_len >= keys.saturating_mul(COMPACTED_LEN_A_KEY);
        uncovered >= least && is_worth_it
    }

    fn write(&self) -> Result<Covering> {
        let ReadPoint { frozen, last_seq, segments } = self.log.read_point()?;
        let context = &self.state.context;
        let about =
            Covering { store: context.store, hash_seed: context.hash_seed, covered_seq: last_seq, segments };
        let staged = StagedFile::new(&*context.directory, StoreFile::KeydirNew, StoreFile::Keydir)?;
        write_to(frozen.index(), about.clone(), &mut |bytes, at| staged.write(bytes, at))?;
        staged.put_in_place()?;
        Ok(about)
    }
}

/// Returns the number of records that an open would replay.
fn uncovered(set: &SegmentSet, covered: Option<&Covering>) -> u64 {
    let total: u64 = set.iter().map(|segment| segment.usage.record_count.load(Ordering::Relaxed)).sum();
    let known = covered.map_or(&[][..], |covered| &covered.segments);
    let is_beginning = known.len() <= set.iter().len()
        && known.iter().zip(set.iter()).all(|(covered, segment)| covered.id == segment.id);
    let covered: u64 = known.iter().map(|covered| covered.record_count).sum();
    if is_beginning { total.saturating_sub(covered) } else { total }
}
