//! `compact`: drops dead records and frees their space.

mod dry;
mod outcome;
mod request;
mod steps;
mod sums;
mod text;

use std::ops::ControlFlow;

use logkv::{CompactionEvent, CompactionReport, Error, RunReport, SegmentId};

use self::request::{CompactRequest, DRY_RUN, FLAGS};
use self::steps::Steps;
pub use self::text::{len_after, percent_dead};
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::progress::Progress;

pub const COMPACT: Command = Command {
    name: "compact",
    aliases: &["merge"],
    group: Group::Maintain,
    signature: "[SEG…] [--all] [--dry-run] [--limit N] [--step]",
    summary: "Frees the space of dead records",
    help: "Copies the needed records of some segments into new ones, and removes the old ones. Without \
           arguments it compacts the segments that are due; segments lists them, and config has the \
           thresholds. SEG must be a sealed segment.\n\n\
           Ctrl-C stops at the next record: finished runs stay, and nothing else changes.\n\n\
           --dry-run shows the first 40 records on a terminal, unless --limit says otherwise.\n\n\
           --step waits for Enter on a terminal, and only prints the steps elsewhere.\n\n\
           Mode plain has name, tab, value; mode json one object: segments_before, segments_after, \
           bytes_before, bytes_after, freed_bytes, records_before, records_after, kept and dropped \
           (each by reason, with _bytes), needed_by (which older segments tombstones are kept for), \
           runs, left (segments that stay because they are damaged), cancelled. --dry-run in these \
           modes begins each line with its type: run, record, and sum or summary.",
    examples: &[
        Example { line: "compact", does: "compacts what is due" },
        Example { line: "compact --all", does: "compacts every segment with dead records" },
        Example { line: "compact 3 --dry-run", does: "shows which records of 000003.seg would be kept" },
        Example { line: "compact 3 4 --step", does: "goes step by step, with the result of a crash" },
    ],
    flags: FLAGS,
    args: &[ArgKind::Sealed],
    arity: Arity::at_least(0),
    needs: Needs::StoreUnless { flag: DRY_RUN },
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let request = CompactRequest::of(invocation)?;
    if request.is_dry {
        return dry::run(session, &request);
    }
    let mut observer = Observer::new(session, &request);
    let compacted =
        session.store()?.compact_with(&request.what, &mut |event| observer.observe(session, &event));
    observer.progress.clear();
    match compacted {
        Ok(report) => {
            outcome::write(session, Some(&request.what), &report)?;
            session.flush();
            for left in &report.left {
                session.note(&text::left_alone(left));
            }
            Ok(if report.left.is_empty() { Outcome::Done } else { Outcome::Damaged })
        }
        Err(Error::Cancelled) => observer.cancelled(session),
        Err(error @ Error::Damaged { segment, .. }) => {
            Err(Failure::from(error).hint(text::done_around(segment, &observer.done())))
        }
        Err(error) => Err(request.failure(error, session)),
    }
}

/// Observes a running compaction.
struct Observer {
    progress: Progress,
    steps: Option<Steps>,
    /// A failure of the observer itself.
    failure: Option<Failure>,
    /// Whether the user declined a step.
    is_declined: bool,
    /// The finished runs. A failed compaction returns no report.
    runs: Vec<RunReport>,
}

impl Observer {
    fn new(session: &Session, request: &CompactRequest<'_>) -> Self {
        Self {
            progress: session.progress("compacting"),
            steps: request.is_stepwise.then(|| Steps::new(session)),
            failure: None,
            is_declined: false,
            runs: Vec::new(),
        }
    }

    /// Returns the removed segments.
    fn done(&self) -> Vec<SegmentId> {
        self.runs.iter().flat_map(|run| run.inputs.iter().copied()).collect()
    }

    /// Reports the finished part of a cancelled compaction.
    fn cancelled(mut self, session: &mut Session) -> Result<Outcome, Failure> {
        if let Some(failure) = self.failure.take_if(|failure| failure.kind != Kind::Interrupted) {
            return Err(failure);
        }
        let report = CompactionReport { runs: self.runs, ..CompactionReport::default() };
        outcome::write(session, None, &report)?;
        session.flush();
        let done = text::done_before(&report);
        if !self.is_declined {
            return Err(Failure::interrupted_with(&done));
        }
        session.note(&format!("cancelled: {done}"));
        Ok(Outcome::Done)
    }

    /// Handles an event. Breaks to cancel the compaction.
    fn observe(&mut self, session: &mut Session, event: &CompactionEvent<'_>) -> ControlFlow<()> {
        match (event, &self.steps) {
            (CompactionEvent::Done(run), _) => {
                session.note_compaction(run);
                self.runs.push((*run).clone());
            }
            (CompactionEvent::Reached(stage, run), Some(steps)) => match steps.reach(session, *stage, run) {
                Ok(continues) => self.is_declined |= !continues,
                Err(failure) => self.failure = Some(failure),
            },
            // A user who goes step by step needs no progress bar.
            (CompactionEvent::Reached(..), None) | (CompactionEvent::Progress { .. }, Some(_)) => {}
            (CompactionEvent::Progress { done_len, total_len }, None) => {
                self.progress.at(*done_len, *total_len);
            }
        }
        if self.is_declined || self.failure.is_some() || session.interrupt().is_set() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
