//! `compact`: what is dead makes room — at once, step by step, or only told beforehand.

mod dry;
mod outcome;
mod steps;
mod sums;
mod text;

use std::ops::ControlFlow;

use logkv::{Compact, CompactionEvent, CompactionReport, Error, RunReport, SegmentId};

pub use self::text::{len_after, percent_dead};

use self::steps::Steps;
use crate::shell::lang::command::{DRY_RUN, Flag, Outcome, Takes};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::words::Word;
use crate::shell::run::segments;
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::progress::Progress;

/// The flags of `compact`.
pub const FLAGS: &[Flag] = &[
    flag(
        "all",
        Takes::Nothing,
        "Takes every segment that holds anything dead, and seals the active one first",
    ),
    flag(DRY_RUN, Takes::Nothing, "Changes nothing; prints what would become of each record, and why"),
    flag("limit", Takes::Number, "Shows at most this many records of a dry run"),
    flag("step", Takes::Nothing, "Stops before each step, and says what a crash there would leave"),
];

const fn flag(name: &'static str, takes: Takes, doc: &'static str) -> Flag {
    Flag { name, short: None, takes, doc }
}

/// What is asked of `compact`.
#[derive(Debug)]
struct Request<'a> {
    what: Compact,
    /// The words that name segments.
    words: &'a [Word],
    is_dry: bool,
    is_stepwise: bool,
    /// How many records of a dry run to show.
    limit: Option<u64>,
}

impl<'a> Request<'a> {
    fn of(invocation: &'a Invocation) -> Result<Self, Failure> {
        let refused = |message| Err(Failure::usage(message).at(invocation.name.clone()));
        let words = invocation.args.as_slice();
        let limit = invocation.number("limit")?;
        let (is_dry, is_stepwise) = (invocation.has(DRY_RUN), invocation.has("step"));
        let what = match (invocation.has("all"), words) {
            (true, []) => Compact::All,
            (true, _) => return refused("compact takes either SEGs or --all"),
            (false, []) => Compact::Due,
            (false, words) => {
                let ids = words.iter().map(|word| segments::parse(word, "compact"));
                Compact::Segments(ids.collect::<Result<_, _>>()?)
            }
        };
        if is_dry && is_stepwise {
            return refused("--dry-run takes no steps; --step takes them");
        }
        if limit.is_some() && !is_dry {
            return refused("--limit is about the records that --dry-run shows");
        }
        Ok(Self { what, words, is_dry, is_stepwise, limit })
    }

    /// `error`, pointing at the segment that it is about, with advice.
    fn failure(&self, error: Error, session: &mut Session) -> Failure {
        match error {
            Error::ReadOnly => {
                Failure::from(error).hint("compact --dry-run tells what would be done, and changes nothing")
            }
            Error::NoSuchSegment { segment } => self.point_at(segment, segments::missing(segment, session)),
            Error::NotCompactable { segment, .. } => self.point_at(segment, error.into()),
            error => error.into(),
        }
    }

    fn point_at(&self, segment: SegmentId, failure: Failure) -> Failure {
        let named = |word: &&Word| segments::parse(word, "compact").is_ok_and(|id| id == segment);
        match self.words.iter().find(named) {
            Some(word) => failure.at(word.span.clone()),
            None => failure,
        }
    }
}

/// Runs `compact`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let request = Request::of(invocation)?;
    if request.is_dry {
        return dry::run(session, &request);
    }
    let mut watch = Watch::new(session, &request);
    let compacted = session.store()?.compact_with(&request.what, &mut |event| watch.observe(session, &event));
    watch.progress.clear();
    match compacted {
        Ok(report) => {
            outcome::write(session, Some(&request.what), &report)?;
            session.flush();
            for left in &report.left {
                session.note(&text::left_alone(left));
            }
            Ok(if report.left.is_empty() { Outcome::Done } else { Outcome::Damaged })
        }
        Err(Error::Cancelled) => watch.cancelled(session),
        Err(error @ Error::Damaged { segment, .. }) => {
            Err(Failure::from(error).hint(text::done_around(segment, &watch.done())))
        }
        Err(error) => Err(request.failure(error, session)),
    }
}

/// What looks on while a compaction runs.
struct Watch {
    progress: Progress,
    steps: Option<Steps>,
    /// What went wrong while it was told of.
    failure: Option<Failure>,
    /// Whether a person said not to go on.
    is_declined: bool,
    /// The finished runs: a failure returns no report of them.
    runs: Vec<RunReport>,
}

impl Watch {
    fn new(session: &Session, request: &Request<'_>) -> Self {
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
