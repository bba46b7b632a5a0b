//! A running verification: its state, and the findings that it reports.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::finding::{Fault, Finding, Severity, VerifyReport};
use crate::engine::base::error::Result;
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Stop;
use crate::engine::files::log_files::LogFiles;
use crate::engine::fs::{Directory, StoreFile};
use crate::engine::segment::SortedRecords;

/// An event of a running verification.
#[derive(Clone, Copy, Debug)]
pub enum VerifyEvent<'a> {
    /// A finding.
    Found(&'a Finding),
    /// The progress.
    Progress {
        /// The number of segment bytes read so far.
        done_len: u64,
        /// The number of segment bytes to read in total.
        total_len: u64,
    },
}

/// A running verification.
pub(super) struct Verifier<'a> {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) log_files: LogFiles,
    /// The segments to verify. Empty means all.
    pub(super) wanted: HashSet<SegmentId>,
    pub(super) done: HashSet<SegmentId>,
    /// Whether MANIFEST was found unchanged after a segment was found missing.
    pub(super) is_manifest_current: bool,
    observe: &'a mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
    pub(super) done_len: u64,
    pub(super) total_len: u64,
    pub(super) report: VerifyReport,
    pub(super) contents: HashMap<SegmentId, SegmentContents>,
}

/// The records of a verified segment.
pub(super) struct SegmentContents {
    /// The end of the log in this segment, or of the segment.
    pub(super) end: u64,
    /// The intact records.
    pub(super) sorted: SortedRecords,
    /// The damaged ranges, in file order.
    pub(super) damaged: Vec<Range<u64>>,
}

impl SegmentContents {
    pub(super) fn is_damaged(&self, at: u64) -> bool {
        let index = self.damaged.partition_point(|range| range.end <= at);
        self.damaged.get(index).is_some_and(|range| range.contains(&at))
    }
}

impl<'a> Verifier<'a> {
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        log_files: LogFiles,
        segments: &[SegmentId],
        observe: &'a mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
    ) -> Self {
        Self {
            directory,
            log_files,
            wanted: segments.iter().copied().collect(),
            done: HashSet::new(),
            is_manifest_current: false,
            observe,
            done_len: 0,
            total_len: 0,
            report: VerifyReport::default(),
            contents: HashMap::new(),
        }
    }

    /// Reads MANIFEST again, and follows it if a writer has replaced it. Returns whether one has.
    pub(super) fn follow_manifest(&mut self) -> Result<bool> {
        let now = LogFiles::of(Arc::clone(&self.directory), self.log_files.reading())?;
        let generation = |log_files: &LogFiles| log_files.manifest().map(|manifest| manifest.generation).ok();
        let is_replaced = generation(&now).is_some() && generation(&now) != generation(&self.log_files);
        self.is_manifest_current = !is_replaced;
        if is_replaced {
            self.log_files = now;
        }
        Ok(is_replaced)
    }

    /// Reports a finding without a key.
    pub(super) fn report_fault(
        &mut self,
        file: StoreFile,
        range: Option<Range<u64>>,
        fault: Fault,
    ) -> Result<(), Stop> {
        self.report_finding(&Finding { file, range, key: None, fault })
    }

    pub(super) fn report_finding(&mut self, finding: &Finding) -> Result<(), Stop> {
        let count = match finding.fault.severity() {
            Severity::Note => &mut self.report.note_count,
            Severity::Refused => &mut self.report.refused_count,
            Severity::Derived => &mut self.report.derived_count,
            Severity::Damage => &mut self.report.damage_count,
        };
        *count += 1;
        Stop::unless((self.observe)(VerifyEvent::Found(finding)))
    }

    /// Reports that `len` bytes of the current segment were read.
    pub(super) fn report_progress(&mut self, len: u64) -> Result<(), Stop> {
        let done_len = self.done_len + len;
        let total_len = self.total_len.max(done_len);
        Stop::unless((self.observe)(VerifyEvent::Progress { done_len, total_len }))
    }
}
