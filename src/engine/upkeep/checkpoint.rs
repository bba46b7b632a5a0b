//! The file KEYDIR, written from the index and read back.
//!
//! It is derived, so it is not synced: what a crash leaves of it is seen by its checksums. It is used if the segments that
//! it covers are the first ones of the log, and as long as it says or longer; what came after is replayed.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};

use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::Seqno;
use crate::engine::base::sync::Mutex;
use crate::engine::format::keydir_file::{self, Covered, Covering, KeydirHead};
use crate::engine::format::manifest::{Extent, Manifest, SegmentLine};
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

/// The file is written on closing when it would spare the next open this share of the keys, or as many records as
/// [`Options::checkpoint_records`](crate::engine::options::Options::checkpoint_records) says: then it costs less than it spares.
const SHARE_AT_CLOSE: u64 = 2048;
/// While the store is open it is written when this share of the keys was appended since the last time, or so many times the
/// records that count on closing: writing a key costs less than replaying a record.
const SHARE_WHILE_OPEN: u64 = 4;
const TIMES_WHILE_OPEN: u64 = 32;
/// A compaction of what it covers makes the file useless. Another one is written when so many bytes were compacted for each
/// key: four times what it takes, so that it adds little to what the compactions read and write.
const COMPACTED_LEN_A_KEY: u64 = 48;

/// A file KEYDIR that belongs to the log as it is.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    mapping: Mapping,
    head: KeydirHead,
}

impl Checkpoint {
    /// The file, if there is one that can be used for the log that `manifest` lists.
    pub(crate) fn open(home: &StoreContext, manifest: &Manifest) -> Option<Self> {
        if home.reading.with == ReadWith::Pread {
            return None;
        }
        let file = match home.directory.open(StoreFile::Keydir, Access::Read) {
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
        let head = head.filter(|head| fits(&head.about, home, manifest));
        if head.is_none() {
            tracing::debug!("KEYDIR does not match this log, and is not used");
        }
        head.map(|head| Self { mapping, head })
    }

    /// What it covers, in log order.
    pub(crate) fn about(&self) -> &Covering {
        &self.head.about
    }

    /// The index in it. A part that is found to be damaged is made anew from the segments of `state`.
    pub(crate) fn keydir(self, state: Weak<State>) -> Option<Keydir> {
        // What came later is replayed, and counted: in the shard already, it would be counted twice.
        let covered = self.head.about.segments.iter().map(|covered| (covered.id, covered.len)).collect();
        let rebuild: Rebuild = Box::new(move |shard| {
            // Nobody looks into the index of a state that is gone.
            state.upgrade().map_or_else(|| Ok(Keydir::new()), |state| state.shard_from_log(shard, &covered))
        });
        let range = |covered: &Covered| addresses(covered.first_page, covered.len);
        let mut covered: Vec<_> = self.head.about.segments.iter().map(range).collect();
        covered.sort_unstable_by_key(|range| range.start);
        Keydir::mapped(self.mapping, &self.head, covered.into(), rebuild)
    }
}

/// Whether what is covered is the beginning of the log.
fn fits(about: &Covering, home: &StoreContext, manifest: &Manifest) -> bool {
    let is_there = |(index, covered): (usize, &Covered)| {
        let is_last = index + 1 == about.segments.len();
        manifest.segments.get(index).is_some_and(|line: &SegmentLine| {
            let is_long_enough = match line.extent {
                // Only the log's end has grown since.
                Extent::Sealed(len) | Extent::Closed(len) if is_last => covered.len <= len,
                Extent::Sealed(len) => covered.len == len,
                // Its length is found out, and looked at, when it is opened.
                Extent::Closed(_) | Extent::Active(_) => is_last,
            };
            line.id == covered.id && is_long_enough
        })
    };
    about.store == home.store
        && about.hash_seed == home.hash_seed
        && about.segments.iter().enumerate().all(is_there)
        && SegmentSet::may_place(about.segments.iter().map(|covered| (covered.first_page, covered.len)))
        && !is_ahead(about, manifest)
}

/// Whether KEYDIR lists a record beyond the part of the log that it covers.
///
/// Such a file is not used. It is derived, so its records stood in the log before. It is not needed
/// to keep a number from being reused: after a clean close MANIFEST has the next number, and after
/// an unclean end recovery skips every number that the log's end had room for. Both were durable
/// before KEYDIR could list the record. If it were trusted, one deletable file could shift the
/// store's numbering for good, or exhaust it.
pub(crate) fn is_ahead(about: &Covering, manifest: &Manifest) -> bool {
    let end = match (manifest.segments.get(about.segments.len()), about.segments.last()) {
        (Some(next), _) => next.base_seq,
        (None, Some(covered)) => {
            let active = manifest.segments.last().filter(|line| matches!(line.extent, Extent::Active(_)));
            // During writes MANIFEST is behind. No number is skipped there: each belongs to a
            // record.
            let written = |line: &SegmentLine| line.base_seq.plus(covered.len / LEN_MIN).plus(1);
            active.map_or(Seqno(0), written).max(manifest.next_seq)
        }
        (None, None) => manifest.next_seq,
    };
    about.covered_seq >= end
}

/// Writes KEYDIR when it is worth it.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    state: Arc<State>,
    log: Arc<Log>,
    /// How many records are worth a file on closing.
    records: u64,
    /// What the file covers now. Held while it is written, so that there are no two writers; before the log's lock.
    last: Mutex<Last>,
}

/// The file as it was written last.
#[derive(Debug, Default)]
struct Last {
    covering: Option<Covering>,
    /// What had been compacted by then.
    compacted_len: u64,
}

/// What the file is to be worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// The store goes on being written to.
    Open,
    /// It is about to be closed.
    Close,
}

impl Checkpointer {
    /// Goes on from the file that the store was opened with, if it was with one.
    pub(crate) fn new(
        state: &Arc<State>,
        log: &Arc<Log>,
        options: &Options,
        covering: Option<Covering>,
    ) -> Self {
        let records = options.checkpoint_records.max(1);
        let last = Mutex::new(Last { covering, compacted_len: 0 });
        Self { state: Arc::clone(state), log: Arc::clone(log), records, last }
    }

    /// Writes the file if that is worth it now.
    ///
    /// # Errors
    /// What the operating system says; there is no file then, or the one there was.
    pub(crate) fn write_if_due(&self, occasion: Occasion) -> Result<()> {
        if self.state.context.reading.with == ReadWith::Pread || self.log.check().is_err() {
            return Ok(());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_due(&last, occasion) {
            return Ok(());
        }
        // A record that is damaged is told of when the log is read, which it is not where the file covers it.
        if self.state.segments().iter().any(|segment| segment.is_unfit()) {
            return Ok(());
        }
        if occasion == Occasion::Close {
            // What is held back goes into the log now, and not behind what the file covers.
            self.log.sync()?;
        }
        let compacted_len = self.state.compacted_len.load(Ordering::Relaxed);
        match self.write() {
            Ok(covering) => {
                self.state.meter.add(Count::Checkpoints, 1);
                tracing::debug!(seq = covering.covered_seq.0, "KEYDIR was written");
                *last = Last { covering: Some(covering), compacted_len };
            }
            // Through another handle: nothing is left to be done.
            Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn is_due(&self, last: &Last, occasion: Occasion) -> bool {
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
        let home = &self.state.context;
        let about =
            Covering { store: home.store, hash_seed: home.hash_seed, covered_seq: last_seq, segments };
        let staged = StagedFile::new(&*home.directory, StoreFile::KeydirNew, StoreFile::Keydir)?;
        write_to(frozen.index(), about.clone(), &mut |bytes, at| staged.write(bytes, at))?;
        staged.put_in_place()?;
        Ok(about)
    }
}

/// Records that the file does not spare an open.
fn uncovered(set: &SegmentSet, covered: Option<&Covering>) -> u64 {
    let total: u64 = set.iter().map(|segment| segment.usage.record_count.load(Ordering::Relaxed)).sum();
    let known = covered.map_or(&[][..], |covered| &covered.segments);
    let is_beginning = known.len() <= set.iter().len()
        && known.iter().zip(set.iter()).all(|(covered, segment)| covered.id == segment.id);
    let covered: u64 = known.iter().map(|covered| covered.record_count).sum();
    if is_beginning { total.saturating_sub(covered) } else { total }
}
