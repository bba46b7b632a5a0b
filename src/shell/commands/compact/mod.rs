//! `compact`: what is dead makes room — at once, step by step, or only told beforehand.

mod dry;
mod outcome;
mod request;
mod steps;
mod sums;
mod text;

use std::ops::ControlFlow;

use logkv::{CompactionEvent, CompactionReport, Error, RunReport, SegmentId};

use self::request::CompactRequest;
pub use self::request::FLAGS;
use self::steps::Steps;
pub use self::text::{len_after, percent_dead};
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::progress::Progress;

/// Runs `compact`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
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

/// What looks on while a compaction runs.
struct Observer {
    progress: Progress,
    steps: Option<Steps>,
    /// What went wrong while it was told of.
    failure: Option<Failure>,
    /// Whether a person said not to go on.
    is_declined: bool,
    /// The finished runs: a failure returns no report of them.
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

    /// The removed segments.
    fn done(&self) -> Vec<SegmentId> {
        self.runs.iter().flat_map(|run| run.inputs.iter().copied()).collect()
    }

    /// Reports the finished part of a cancelled compaction, and how it was cancelled.
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

    /// Whether the compaction goes on.
    fn observe(&mut self, session: &mut Session, event: &CompactionEvent<'_>) -> ControlFlow<()> {
        match (event, &self.steps) {
            (CompactionEvent::Done(run), _) => {
                session.compacted.note(run);
                self.runs.push((*run).clone());
            }
            (CompactionEvent::Reached(stage, run), Some(steps)) => match steps.reach(session, *stage, run) {
                Ok(goes_on) => self.is_declined |= !goes_on,
                Err(failure) => self.failure = Some(failure),
            },
            // A person who goes step by step has time.
            (CompactionEvent::Reached(..), None) | (CompactionEvent::Progress { .. }, Some(_)) => {}
            (CompactionEvent::Progress { done_len, total_len }, None) => {
                self.progress.at(*done_len, *total_len);
            }
        }
        if self.is_declined || self.failure.is_some() || session.interrupt.is_set() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
