//! Rewrites one run: copies its records, makes the output durable, commits, and removes the inputs.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use super::copy::RunOutput;
use super::decide::Decider;
use super::plan::{CompactionRun, Settings};
use super::report::{CompactionEvent, CompactionStage, Observer, RunReport};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Failure;
use crate::engine::fs::StoreFile;
use crate::engine::log::Log;
use crate::engine::log::replace::Replacement;
use crate::engine::metrics::meter::Count;
use crate::engine::segment::{StoreContext, hint};
use crate::engine::state::State;

/// The number of records, or of bytes, between two reports of progress. The observer may cancel at
/// each.
const PROGRESS_RECORDS: u64 = 256;
const PROGRESS_LEN: u64 = 1 << 20;

/// A run that is being rewritten.
pub(super) struct Rewrite<'a> {
    state: &'a State,
    log: &'a Log,
    run: &'a CompactionRun,
    decider: Decider<'a>,
    output: RunOutput<'a>,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        state: &'a State,
        log: &'a Log,
        settings: &'a Settings,
        run: &'a CompactionRun,
        now_ms: u64,
    ) -> Result<Self> {
        let decider = Decider::new(state, run, &settings.policy, now_ms)?;
        let output = RunOutput::new(state, log, settings, decider.run(), now_ms);
        Ok(Self { state, log, run, decider, output })
    }

    /// Rewrites the run, and calls `on_commit` when it can no longer fail. Returns `Break`, and
    /// leaves no files, if `observe` cancelled the run.
    pub(super) fn run(
        mut self,
        observe: Observer<'_>,
        on_commit: impl FnOnce(&RunReport),
    ) -> Result<ControlFlow<(), RunReport>> {
        match self.until_commit(observe) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                self.output.undo();
                return Ok(ControlFlow::Break(()));
            }
            Err(Failure { error, is_undone }) => {
                // If the commit may have happened, the next open may find either MANIFEST, and
                // needs the files of both.
                if is_undone {
                    self.output.undo();
                }
                return Err(error);
            }
        }
        // Too late to cancel.
        let _ = self.reach(CompactionStage::Committed, observe);
        let report = self.report();
        self.count(&report);
        self.reset_needed();
        // Called before the inputs are removed: a reader that misses one can look up the reason.
        on_commit(&report);
        let Self { state, run, decider, output, .. } = self;
        // `remove` keeps an unmapped file open for its readers. This run must not count as one.
        drop((decider, output));
        remove(&state.context, &run.segments);
        let _ = observe(CompactionEvent::Reached(CompactionStage::Removed, run));
        Ok(ControlFlow::Continue(report))
    }

    fn until_commit(&mut self, observe: Observer<'_>) -> Result<ControlFlow<()>, Failure> {
        let undone = |error| Failure { error, is_undone: true };
        if self.reach(CompactionStage::Planned, observe).is_break()
            || self.copy(observe).map_err(undone)?.is_break()
            || self.reach(CompactionStage::Copied, observe).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        self.output.make_durable().map_err(undone)?;
        // The newer record that caused a drop must survive a power cut, since the old one is gone.
        self.log.sync().map_err(undone)?;
        if self.reach(CompactionStage::Synced, observe).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let outputs = self.output.segments();
        let moved = self.output.moved();
        let forgotten = self.output.forgotten();
        let inputs = &self.run.segments;
        self.log.replace_run(&Replacement { inputs, outputs: &outputs, moved, forgotten })?;
        Ok(ControlFlow::Continue(()))
    }

    fn reach(&self, stage: CompactionStage, observe: Observer<'_>) -> ControlFlow<()> {
        observe(CompactionEvent::Reached(stage, self.run))
    }

    fn copy(&mut self, observe: Observer<'_>) -> Result<ControlFlow<()>> {
        let mut done_len = 0;
        let mut reported_len = 0;
        let mut count = 0;
        for segment in self.decider.run() {
            let goes_on = self.decider.records(segment, |record, outcome| {
                self.output.take(segment, record, &outcome)?;
                done_len += record.frame.len;
                count += 1;
                if count % PROGRESS_RECORDS != 0 && done_len - reported_len < PROGRESS_LEN {
                    return Ok(ControlFlow::Continue(()));
                }
                reported_len = done_len;
                Ok(observe(CompactionEvent::Progress { done_len, total_len: self.run.read_len }))
            })?;
            if goes_on.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.output.finish()?;
        Ok(ControlFlow::Continue(()))
    }

    fn report(&self) -> RunReport {
        let outputs = self.output.segments();
        RunReport {
            inputs: self.run.segments.clone(),
            outputs: outputs.iter().map(|(_, segment)| segment.id).collect(),
            before_len: self.decider.run().iter().map(|segment| segment.len()).sum(),
            after_len: outputs.iter().map(|(_, segment)| segment.len()).sum(),
            records: self.output.records().clone(),
        }
    }

    fn count(&self, report: &RunReport) {
        let meter = &self.state.meter;
        meter.add(Count::CompactionRuns, 1);
        meter.add(Count::CompactionReadLen, report.before_len);
        meter.add(Count::CompactionWrittenLen, report.after_len);
        let segments = report.inputs.len();
        let into = report.outputs.len();
        let freed = report.before_len.saturating_sub(report.after_len);
        tracing::info!(segments, into, freed, "segments were compacted");
    }

    /// Lets newer segments be checked again: they may no longer need records that hid dropped ones.
    fn reset_needed(&self) {
        if self.output.records().dropped().count == 0 {
            return;
        }
        let outputs = self.output.segments();
        let is_output = |id| outputs.iter().any(|(_, output)| output.id == id);
        let set = self.state.segments();
        for newer in set.iter().rev().take_while(|segment| !is_output(segment.id)) {
            newer.usage.forget_needed();
        }
    }
}

/// Removes the files of segments that MANIFEST no longer lists. A file that cannot be removed is an
/// orphan for the next open.
pub(super) fn remove(home: &StoreContext, segments: &[SegmentId]) {
    let directory = &home.directory;
    for &id in segments {
        let kept = home.reading.files.as_ref().map_or(Ok(()), |files| files.keep(StoreFile::Segment(id)));
        let removed = kept
            .and_then(|()| directory.remove(StoreFile::Segment(id)))
            .map_err(Error::io("remove", directory.path(StoreFile::Segment(id))))
            .and_then(|()| {
                hint::remove(home, id)
                    .map_err(Error::io("remove the hint of", directory.path(StoreFile::Segment(id))))
            });
        if let Err(error) = removed {
            tracing::warn!(error = error.sentence(), "a compacted segment stays until the next open");
            let is_gone = matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound);
            // While an older segment stays, the newer ones must stay, too: without their deletes,
            // its keys would return if MANIFEST were lost.
            if !is_gone {
                break;
            }
        }
    }
    if let Err(error) = directory.sync() {
        tracing::warn!(%error, "the directory could not be synced after a compaction");
    }
}
