//! One run: copied, made durable, committed, and the old files removed.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use super::copy::Copy;
use super::decide::Judge;
use super::plan::CompactionRun;
use super::report::{CompactionEvent, CompactionStage, RunReport};
use super::{Compactor, Observer};
use crate::engine::base::error::{Error, Result};
use crate::engine::base::ids::SegmentId;
use crate::engine::base::stop::Failure;
use crate::engine::fs::StoreFile;
use crate::engine::log::Log;
use crate::engine::log::replace::Replacement;
use crate::engine::metrics::meter::Count;
use crate::engine::segment::{StoreContext, hint};
use crate::engine::state::State;

/// How many records, or bytes of them, are copied between two looks at whether to go on.
const RECORDS_A_LOOK: u64 = 256;
const LEN_A_LOOK: u64 = 1 << 20;

/// A run on its way through its stages.
pub(super) struct Rewrite<'a> {
    state: &'a State,
    log: &'a Log,
    run: &'a CompactionRun,
    compactor: &'a Compactor,
    judge: Judge<'a>,
    copy: Copy<'a>,
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        state: &'a State,
        log: &'a Log,
        run: &'a CompactionRun,
        compactor: &'a Compactor,
        now_ms: u64,
    ) -> Result<Self> {
        let judge = Judge::new(state, run, &compactor.policy, now_ms)?;
        let copy = Copy::new(state, log, judge.run(), compactor, now_ms);
        Ok(Self { state, log, run, compactor, judge, copy })
    }

    /// The whole run; `Break` when `observe` broke it off, and no trace of it is left.
    pub(super) fn run(mut self, observe: Observer<'_>) -> Result<ControlFlow<(), RunReport>> {
        match self.until_commit(observe) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                self.copy.undo();
                return Ok(ControlFlow::Break(()));
            }
            Err(Failure { error, is_undone }) => {
                // Else nobody knows which MANIFEST the next open finds: what either lists must be there.
                if is_undone {
                    self.copy.undo();
                }
                return Err(error);
            }
        }
        // Nothing can be broken off any more.
        let _ = self.reach(CompactionStage::Committed, observe);
        let report = self.report();
        self.count(&report);
        self.take_note();
        // A later read of a removed segment can report why it is gone.
        self.compactor.keep_unasked(&report);
        let Self { state, run, judge, copy, .. } = self;
        // An unmapped file stays open for its readers after it is unlinked. This compaction needs
        // it no more.
        drop((judge, copy));
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
        self.copy.make_durable().map_err(undone)?;
        // A record was dropped because of a newer one, which a power cut must not take now that the old one goes, too.
        self.log.sync().map_err(undone)?;
        if self.reach(CompactionStage::Synced, observe).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let outputs = self.copy.segments();
        let moved = self.copy.moved();
        let forgotten = self.copy.forgotten();
        let inputs = &self.run.segments;
        self.log.replace_run(&Replacement { inputs, outputs: &outputs, moved, forgotten })?;
        Ok(ControlFlow::Continue(()))
    }

    fn reach(&self, stage: CompactionStage, observe: Observer<'_>) -> ControlFlow<()> {
        observe(CompactionEvent::Reached(stage, self.run))
    }

    fn copy(&mut self, observe: Observer<'_>) -> Result<ControlFlow<()>> {
        let (mut done_len, mut looked_at_len, mut count) = (0, 0, 0);
        for segment in self.judge.run() {
            let goes_on = self.judge.records(segment, |record, verdict| {
                self.copy.take(segment, record, &verdict)?;
                done_len += record.frame.len;
                count += 1;
                if count % RECORDS_A_LOOK != 0 && done_len - looked_at_len < LEN_A_LOOK {
                    return Ok(ControlFlow::Continue(()));
                }
                looked_at_len = done_len;
                Ok(observe(CompactionEvent::Progress { done_len, total_len: self.run.read_len }))
            })?;
            if goes_on.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.copy.finish()?;
        Ok(ControlFlow::Continue(()))
    }

    fn report(&self) -> RunReport {
        let outputs = self.copy.segments();
        RunReport {
            inputs: self.run.segments.clone(),
            outputs: outputs.iter().map(|(_, segment)| segment.id).collect(),
            before_len: self.judge.run().iter().map(|segment| segment.len()).sum(),
            after_len: outputs.iter().map(|(_, segment)| segment.len()).sum(),
            records: self.copy.records().clone(),
        }
    }

    fn count(&self, report: &RunReport) {
        let meter = &self.state.meter;
        meter.add(Count::CompactionRuns, 1);
        meter.add(Count::CompactionReadLen, report.before_len);
        meter.add(Count::CompactionWrittenLen, report.after_len);
        let (segments, into) = (report.inputs.len(), report.outputs.len());
        let freed = report.before_len.saturating_sub(report.after_len);
        tracing::info!(segments, into, freed, "segments were compacted");
    }

    /// What newer segments hold back for the sake of older ones may not be needed any more.
    fn take_note(&self) {
        if self.copy.records().dropped().count == 0 {
            return;
        }
        let outputs = self.copy.segments();
        let is_output = |id| outputs.iter().any(|(_, output)| output.id == id);
        let set = self.state.segments();
        for newer in set.iter().rev().take_while(|segment| !is_output(segment.id)) {
            newer.usage.forget_needed();
        }
    }
}

/// Removes the files of segments that MANIFEST does not list any more. What stays is an orphan, which the next open removes.
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
            // Otherwise the newer ones stay, too: without their deletes, its keys would return if
            // MANIFEST were lost.
            if !is_gone {
                break;
            }
        }
    }
    if let Err(error) = directory.sync() {
        tracing::warn!(%error, "the directory could not be synced after a compaction");
    }
}
