//! A verification under way.

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

/// What is told while a verification runs.
#[derive(Clone, Copy, Debug)]
pub enum VerifyEvent<'a> {
    /// Something is not as it should be, or worth a word.
    Found(&'a Finding),
    /// So far it has come.
    Progress {
        /// Bytes of segments that were read.
        done_len: u64,
        /// Bytes of all that are to be read.
        total_len: u64,
    },
}

/// A verification under way.
pub(super) struct Verifier<'a> {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) log_files: LogFiles,
    /// The segments that were named; none: all.
    pub(super) wanted: HashSet<SegmentId>,
    pub(super) done: HashSet<SegmentId>,
    /// Whether MANIFEST was found unchanged after segments had been found missing: then they are.
    pub(super) is_settled: bool,
    pub(super) observe: &'a mut dyn FnMut(VerifyEvent<'_>) -> ControlFlow<()>,
    pub(super) done_len: u64,
    pub(super) total_len: u64,
    pub(super) report: VerifyReport,
    /// What the segments that were read hold.
    pub(super) scanned: HashMap<SegmentId, Scanned>,
}

/// What a segment was found to hold.
pub(super) struct Scanned {
    /// Where what it has of the log ends.
    pub(super) end: u64,
    /// The intact records.
    pub(super) sorted: SortedRecords,
    /// Where there are others, in file order.
    pub(super) damaged: Vec<Range<u64>>,
}

impl Scanned {
    /// Whether what stands at `at` is damaged.
    pub(super) fn is_damaged(&self, at: u64) -> bool {
        let place = self.damaged.partition_point(|range| range.end <= at);
        self.damaged.get(place).is_some_and(|range| range.contains(&at))
    }
}

impl Verifier<'_> {
    /// Whether a writer has replaced the MANIFEST that was looked at; then the new one is followed.
    pub(super) fn has_moved_on(&mut self) -> Result<bool> {
        let now = LogFiles::of(Arc::clone(&self.directory), self.log_files.reading())?;
        let generation = |log_files: &LogFiles| log_files.manifest().map(|manifest| manifest.generation).ok();
        let has_moved_on = generation(&now).is_some() && generation(&now) != generation(&self.log_files);
        self.is_settled = !has_moved_on;
        if has_moved_on {
            self.log_files = now;
        }
        Ok(has_moved_on)
    }

    pub(super) fn found(
        &mut self,
        file: StoreFile,
        range: Option<Range<u64>>,
        fault: Fault,
    ) -> Result<(), Stop> {
        self.tell(&Finding { file, range, key: None, fault })
    }

    /// Tells of a finding, and counts it.
    pub(super) fn tell(&mut self, finding: &Finding) -> Result<(), Stop> {
        let count = match finding.fault.severity() {
            Severity::Note => &mut self.report.note_count,
            Severity::Refused => &mut self.report.refused_count,
            Severity::Derived => &mut self.report.derived_count,
            Severity::Damage => &mut self.report.damage_count,
        };
        *count += 1;
        self.event(VerifyEvent::Found(finding))
    }

    pub(super) fn event(&mut self, event: VerifyEvent<'_>) -> Result<(), Stop> {
        Stop::unless((self.observe)(event))
    }
}
