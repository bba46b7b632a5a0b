//! The merge of runs that are in key order, from both ends.
#![expect(
    clippy::mutable_key_type,
    reason = "what a value shows never changes, though its mapping's end moves"
)]

use std::collections::BTreeMap;

use crate::engine::base::error::{Error, Result};
use crate::engine::segment::value::Value;

/// An end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

/// Rows of one segment, in key order.
pub(super) trait Run {
    /// What it holds at a key.
    type Head;

    /// The next key from `end`, and what the run holds there. After an error it goes on behind the
    /// row that cannot be read.
    fn advance(&mut self, end: End) -> Option<Result<(Value, Self::Head)>>;
}

/// The remaining keys of all runs. Of each run it holds one head for each end.
pub(super) struct Merge<R: Run> {
    pub(super) runs: Vec<R>,
    fronts: BTreeMap<Place, R::Head>,
    backs: BTreeMap<Place, R::Head>,
    /// Runs whose next head has to be read.
    behind: Vec<(usize, End)>,
    has_begun: [bool; 2],
    /// Errors that belong to no key, returned first.
    unnamed: Vec<Error>,
}

/// The key of a head, and the number of its run: several runs may have one key.
type Place = (Value, usize);

impl<R: Run> Merge<R> {
    pub(super) fn new(runs: Vec<R>, unnamed: Vec<Error>) -> Self {
        Self {
            runs,
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            behind: Vec::new(),
            has_begun: [false; 2],
            unnamed,
        }
    }

    /// The next head from `end`, and its key. Heads of one key come in no order.
    pub(super) fn next(&mut self, end: End) -> Option<Result<(Value, R::Head)>> {
        if let Some(error) = self.unnamed.pop() {
            return Some(Err(error));
        }
        if !std::mem::replace(&mut self.has_begun[end as usize], true) {
            self.behind.extend((0..self.runs.len()).map(|run| (run, end)));
        }
        match self.catch_up() {
            Some(error) => Some(Err(error)),
            None => self.take_next(end).map(Ok),
        }
    }

    /// Another head of `key`, whose first one came from the front. Errors on the way there are
    /// returned by the following [`Merge::next`].
    pub(super) fn next_of(&mut self, key: &Value) -> Option<R::Head> {
        while let Some(error) = self.catch_up() {
            self.unnamed.push(error);
        }
        peek(&self.fronts, End::Front).filter(|(first, _)| first == key)?;
        self.take_next(End::Front).map(|(_, head)| head)
    }

    /// Removes the next head from `end`. Its run is behind then.
    fn take_next(&mut self, end: End) -> Option<(Value, R::Head)> {
        let (ours, others) = match end {
            End::Front => (&mut self.fronts, &mut self.backs),
            End::Back => (&mut self.backs, &mut self.fronts),
        };
        // Where one end has nothing left, what the other end holds is next.
        let is_ours = match (peek(ours, end), peek(others, end)) {
            (None, None) => return None,
            (Some(ours), Some(others)) if end == End::Front => ours <= others,
            (Some(ours), Some(others)) => ours >= others,
            (ours, None) => ours.is_some(),
            (None, Some(_)) => false,
        };
        let heads = if is_ours { ours } else { others };
        let ((key, run), head) = match end {
            End::Front => heads.pop_first(),
            End::Back => heads.pop_last(),
        }?;
        let refilled = if is_ours == (end == End::Front) { End::Front } else { End::Back };
        self.behind.push((run, refilled));
        Some((key, head))
    }

    /// Reads the next heads of the runs that are behind, up to the first error.
    fn catch_up(&mut self) -> Option<Error> {
        while let Some(&(run, end)) = self.behind.last() {
            match self.runs[run].advance(end) {
                Some(Ok((key, head))) => {
                    let heads = if end == End::Front { &mut self.fronts } else { &mut self.backs };
                    heads.insert((key, run), head);
                    self.behind.pop();
                }
                Some(Err(error)) => return Some(error),
                None => {
                    self.behind.pop();
                }
            }
        }
        None
    }
}

/// The first place from `end`.
fn peek<H>(heads: &BTreeMap<Place, H>, end: End) -> Option<&Place> {
    match end {
        End::Front => heads.first_key_value(),
        End::Back => heads.last_key_value(),
    }
    .map(|(place, _)| place)
}
