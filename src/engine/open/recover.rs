//! Opens for writing: takes the lock, recovers from a crash, and continues the log.
//!
//! After a crash, recovery takes these steps in this order, so that a crash during recovery is a
//! crash like any other:
//! 1. It takes the lock, and makes MANIFEST and the directory durable.
//! 2. It syncs the active segment, drops its cached pages, and inspects its tail.
//! 3. It cuts off a torn tail, and syncs.
//! 4. It seals the segment in a new MANIFEST.
//! 5. It removes orphans.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::enter::{Contents, contents};
use super::load::{Load, unsealed};
use super::opened::{Opened, OpenedAs};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::{Lineage, SegmentId, Seqno};
use crate::engine::base::stop::Failure;
use crate::engine::files::{found_segment, manifest_file};
use crate::engine::format::manifest::{History, Manifest, SegmentExtent};
use crate::engine::format::segment_header::StoreId;
use crate::engine::fs::{Directory, Exclusion, FileSystem, Guarded, LockOutcome, StoreFile};
use crate::engine::log::{Log, LogEnd};
use crate::engine::options::Options;
use crate::engine::segment::{SegmentWriter, file};

/// Opens the store in `directory` for writing, and creates it if the directory is empty.
pub(super) fn recover(
    path: &Path,
    directory: &Arc<dyn Directory>,
    options: &Options,
) -> Result<(Opened, OpenedAs)> {
    let exclusion = match directory.lock().map_err(Error::io("lock", directory.path(StoreFile::Lock)))? {
        LockOutcome::Held(lock) => Exclusion::new(lock),
        LockOutcome::HeldBy { pid } => return Err(Error::Locked { pid }),
    };
    let directory = &Guarded::of(directory, &exclusion);
    // Another process may have created the store before this one got the lock.
    let is_new = matches!(contents(path, &**directory)?, Contents::Empty);
    if is_new {
        create(&**directory, &*options.file_system)?;
    }
    let mut manifest = manifest_file::read(&**directory)?;
    if manifest.is_backup {
        // The store that was backed up continues on its own.
        manifest = manifest.forked(manifest_file::new_lineage(&*options.file_system)?);
    }
    let mut load = Load::new(directory, options, &manifest, None);
    load.report.created = is_new;
    let present = file::present(&**directory)?;
    if let Some(newer) = found_segment::newer(&**directory, &manifest, &present)?.first() {
        // Otherwise the segment would be removed as an orphan, and its numbers assigned again.
        let reason =
            format!("it is an old one: segment {newer}, which it does not list, holds newer records");
        return Err(Error::ManifestDamaged { reason });
    }
    if let Some(line) = load.unsettled(&manifest)? {
        // Nothing is cut off unless all other segments are present.
        let present: HashSet<_> = present.iter().collect();
        if let Some(missing) = manifest.segments.iter().find(|line| !present.contains(&line.id)) {
            return Err(Error::SegmentMissing { segment: missing.id });
        }
        load.report.unclean = true;
        manifest_file::sync(&**directory)?;
        load.settle_active(&mut manifest, line)?;
        manifest_file::replace(&**directory, &manifest).map_err(|Failure { error, .. }| error)?;
    } else if manifest.segments.is_empty() {
        // The process that created the store may have died before the name of the MANIFEST was
        // durable. The name of the first segment could outlive it, and the directory would look
        // like a store that lost its MANIFEST.
        manifest_file::sync(&**directory)?;
    }
    load.all(&manifest)?;
    load.remove_orphans(path, &manifest)?;
    if let Some(last) = load.report.orphans_removed.last() {
        manifest.next_segment = manifest.next_segment.max(SegmentId(last.0 + 1));
    }
    continue_log(load, manifest, exclusion)
}

/// Starts the log where the loaded segments end.
fn continue_log(
    load: Load<'_>,
    mut manifest: Manifest,
    exclusion: Arc<Exclusion>,
) -> Result<(Opened, OpenedAs)> {
    let Load { context, options, state, covering, report, end, last_seq, .. } = load;
    let active = end.map(|(segment, file, capacity)| (SegmentWriter::resume(segment, file), capacity));
    if active.is_none()
        && let Some(line) = manifest.segments.last_mut()
        && let SegmentExtent::Closed(len) = line.extent
    {
        // The end of the segment is missing or damaged. Nothing is appended after a hole.
        line.extent = SegmentExtent::Sealed(len);
        if let Some(last) = state.segments().iter().next_back() {
            last.seal_at(len);
        }
    }
    // A MANIFEST may be older than the log. Without this, numbers would be assigned twice, and the
    // records would be out of order at the next open.
    manifest.next_seq = manifest.next_seq.max(last_seq.plus(1));
    // New writes are in no backup.
    manifest.is_backup = false;
    let unsealed = unsealed(&manifest);
    // A segment file of another store may have the next id.
    let strangers = report.strangers.clone();
    let log_end = LogEnd { manifest, active, exclusion, last_seq, strangers };
    let directory = context.directory;
    let log = Arc::new(Log::new(Arc::clone(&directory), Arc::clone(&state), options, log_end)?);
    let opened = Opened { directory, state, report: Arc::new(report), last_seq, unsealed };
    Ok((opened, OpenedAs::Writer { log, covering }))
}

/// Writes the MANIFEST of a store without segments.
fn create(directory: &dyn Directory, file_system: &dyn FileSystem) -> Result<()> {
    let mut random = [0; 24];
    file_system.random(&mut random).map_err(Error::io("read", "the system's random numbers"))?;
    let (id, seed) = random.split_at(16);
    let store = StoreId(id.try_into().unwrap_or_default());
    let manifest = Manifest {
        store,
        lineage: Lineage::first_of(store),
        fork: None,
        hash_seed: u64::from_le_bytes(seed.try_into().unwrap_or_default()),
        generation: 1,
        next_segment: SegmentId(1),
        next_seq: Seqno(1),
        is_backup: false,
        history: History::default(),
        segments: Vec::new(),
    };
    manifest_file::replace(directory, &manifest).map_err(|Failure { error, .. }| error)
}
