//! A running repair: the files of the damaged store, the progress and the report.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::report::{GivenUp, Reason, RepairProgress, RepairReport};
use crate::engine::base::error::{Damage, Error, Result, words};
use crate::engine::base::ids::{SegmentId, Seqno};
use crate::engine::base::stop::Stop;
use crate::engine::files::log_files::LogFiles;
use crate::engine::format::segment_header::{HEADER_LEN, HeaderError, SegmentHeader, StoreId};
use crate::engine::format::{array, u64_at};
use crate::engine::fs::{Directory, Lock, LockOutcome, StoreFile, is_of_file_system};
use crate::engine::options::Options;
use crate::engine::segment::{ReadMode, file};

/// A running repair.
pub(super) struct Repair<'a> {
    pub(super) log_files: LogFiles,
    /// The identity of the store. Segments of other stores are left out.
    pub(super) store: StoreId,
    pub(super) hash_seed: u64,
    pub(super) options: &'a Options,
    observe: &'a mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
    pub(super) done_len: u64,
    pub(super) total_len: u64,
    pub(super) report: RepairReport,
}

impl<'a> Repair<'a> {
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        path: &Path,
        options: &'a Options,
        observe: &'a mut dyn FnMut(RepairProgress) -> ControlFlow<()>,
    ) -> Result<Self> {
        let log_files = LogFiles::of(Arc::clone(&directory), &ReadMode::of(&directory, options))?;
        log_files.check_finished(path)?;
        let mut report = RepairReport::default();
        let (store, hash_seed) = match log_files.manifest() {
            Ok(manifest) => (manifest.store, manifest.hash_seed),
            Err(Error::Unsupported { what, found, supported }) => {
                return Err(Error::Unsupported {
                    what: what.clone(),
                    found: found.clone(),
                    supported: supported.clone(),
                });
            }
            Err(_) if log_files.segments().is_empty() => return Err(no_store(&log_files, path)),
            Err(_) => {
                report.manifest_lost = log_files.why_no_manifest();
                let mut random = [0; 24];
                let filled = options.file_system.random(&mut random);
                filled.map_err(Error::io("read", "the system's random numbers"))?;
                // If no header names a store, the repaired store gets a new identity.
                let store = commonest_store(&log_files).unwrap_or(StoreId(array(&random, 8)));
                (store, u64_at(&random, 0))
            }
        };
        let mut repair =
            Self { log_files, store, hash_seed, options, observe, done_len: 0, total_len: 0, report };
        repair.admit_unlisted()?;
        let names = repair.log_files.directory().names().map_err(Error::io("read", path))?;
        let is_stranger = |name: &OsString| StoreFile::parse(name).is_none() && !is_of_file_system(name);
        repair.report.strangers = names.into_iter().filter(is_stranger).collect();
        repair.report.strangers.sort_unstable();
        let segments = repair.log_files.segments().iter();
        let total_len: u64 = segments.filter_map(|found| repair.log_files.file_len(found.id).ok()).sum();
        // Every byte is scanned once and copied once.
        repair.total_len = 2 * total_len;
        Ok(repair)
    }

    /// Admits segments that MANIFEST does not list if they may hold missing records: inputs or
    /// outputs of an interrupted compaction, renamed files, or segments newer than MANIFEST.
    /// Without MANIFEST, no segment is listed.
    fn admit_unlisted(&mut self) -> Result<()> {
        let is_lost = self.report.manifest_lost.is_some();
        // If every segment that MANIFEST lists is present, only newer segments are admitted.
        let mut unlisted = match is_lost || !self.log_files.missing().is_empty() {
            true => file::present(&**self.log_files.directory())?,
            false => self.log_files.newer()?,
        };
        unlisted.retain(|id| is_lost || self.log_files.get(*id).is_none());
        unlisted.sort_unstable();
        let mut found_again = HashSet::new();
        for id in unlisted {
            let header = header_of(&self.log_files, id);
            if header.as_ref().is_ok_and(|header| header.store != self.store) {
                self.report.left_out.push(id);
            } else if self.log_files.admit(id) {
                self.report.unlisted.push(id);
                found_again.extend(header.ok().map(|header| header.segment));
            } else {
                self.leave_out(id, header.err().flatten())?;
            }
        }
        let left_out: HashSet<_> = self.report.left_out.iter().copied().collect();
        let missing = self.log_files.missing().clone();
        self.log_files.retain(|found| {
            let is_under_another_name = missing.contains(&found.id) && found_again.contains(&found.id);
            !left_out.contains(&found.id) && !is_under_another_name
        });
        Ok(())
    }

    /// Leaves out a segment with no readable record. Unless it is empty, its bytes are given up.
    fn leave_out(&mut self, segment: SegmentId, damage: Option<Damage>) -> Result<()> {
        self.report.left_out.push(segment);
        let len = self.log_files.file_len(segment)?;
        let Some(damage) = damage.filter(|_| len > HEADER_LEN as u64) else { return Ok(()) };
        self.report.given_up.push(GivenUp {
            segment,
            range: 0..len,
            reason: Reason::Damaged(damage),
            seqs: Seqno(1)..Seqno(u64::MAX),
            lost: Vec::new(),
            splits_batch: false,
        });
        Ok(())
    }

    /// Reports that `len` bytes of the current segment are done.
    pub(super) fn advance(&mut self, len: u64) -> Result<(), Stop> {
        let done_len = self.done_len + len;
        let total_len = self.total_len.max(done_len);
        Stop::unless((self.observe)(RepairProgress { done_len, total_len }))
    }
}

/// Returns the lock that excludes writers.
pub(super) fn held(outcome: LockOutcome) -> Result<Box<dyn Lock>> {
    match outcome {
        LockOutcome::Held(lock) => Ok(lock),
        LockOutcome::HeldBy { pid } => Err(Error::Locked { pid }),
    }
}

/// Returns the header of segment `id`. The error is its damage, or `None` if it cannot be read or
/// has another version.
pub(super) fn header_of(log_files: &LogFiles, id: SegmentId) -> Result<SegmentHeader, Option<Damage>> {
    let bytes = log_files.header_bytes(id).map_err(|_| None)?;
    SegmentHeader::decode(&bytes).map_err(|error| match error {
        HeaderError::Damaged(damage) => Some(damage),
        HeaderError::Unsupported(_) => None,
    })
}

/// Returns the error for a directory without readable segments: the error of the operating system,
/// or that `path` holds no store.
fn no_store(log_files: &LogFiles, path: &Path) -> Error {
    if let Err(Error::Io { action, path, source }) = log_files.manifest()
        && source.kind() != ErrorKind::NotFound
    {
        return Error::io(action, path)(io::Error::new(source.kind(), words(source)));
    }
    let headers = file::present(&**log_files.directory())
        .and_then(|ids| ids.into_iter().try_for_each(|id| log_files.header_bytes(id).map(drop)));
    headers.err().unwrap_or_else(|| Error::Missing { path: path.to_owned() })
}

/// Returns the store that most segment headers name.
fn commonest_store(log_files: &LogFiles) -> Option<StoreId> {
    let headers = log_files.segments().iter().filter_map(|found| header_of(log_files, found.id).ok());
    let mut counts: HashMap<[u8; 16], u64> = HashMap::new();
    for header in headers {
        *counts.entry(header.store.0).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(store, count)| (count, store)).map(|(store, _)| StoreId(store))
}
