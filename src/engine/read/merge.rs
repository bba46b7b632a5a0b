//! A double-ended merge of the sorted rows of several segments, in key order.
#![expect(
    clippy::mutable_key_type,
    reason = "the bytes of a value never change, only the length of its mapping"
)]

use std::collections::BTreeMap;

use crate::engine::base::error::{Error, Result};
use crate::engine::segment::value::Value;

/// An end of a range.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

/// The rows of one segment, in key order.
pub(super) trait MergeRun {
    /// The item at a key.
    type Head;

    /// Returns the next key from `end` and its item. After an error, the next call continues with
    /// the row after the unreadable one.
    fn advance(&mut self, end: End) -> Option<Result<(Value, Self::Head)>>;
}

/// The remaining keys of all runs. Holds the next item of each run at each end, its *head*.
pub(super) struct Merge<R: MergeRun> {
    pub(super) runs: Vec<R>,
    fronts: BTreeMap<HeadKey, R::Head>,
    backs: BTreeMap<HeadKey, R::Head>,
    /// The runs and ends without a head, which must be read next.
    missing_heads: Vec<(usize, End)>,
    has_begun: [bool; 2],
    /// Errors that belong to no key. They are returned first.
    errors_without_key: Vec<Error>,
}

/// The key of a head, and the index of its run, since several runs may hold the same key.
type HeadKey = (Value, usize);

impl<R: MergeRun> Merge<R> {
    pub(super) fn new(runs: Vec<R>, errors_without_key: Vec<Error>) -> Self {
        Self {
            runs,
            fronts: BTreeMap::new(),
            backs: BTreeMap::new(),
            missing_heads: Vec::new(),
            has_begun: [false; 2],
            errors_without_key,
        }
    }

    /// Returns the next head from `end` with its key. Heads of the same key come in no particular
    /// order.
    pub(super) fn next(&mut self, end: End) -> Option<Result<(Value, R::Head)>> {
        if let Some(error) = self.errors_without_key.pop() {
            return Some(Err(error));
        }
        if !std::mem::replace(&mut self.has_begun[end as usize], true) {
            self.missing_heads.extend((0..self.runs.len()).map(|run| (run, end)));
        }
        match self.fill_heads() {
            Some(error) => Some(Err(error)),
            None => self.take_next(end).map(Ok),
        }
    }

    /// Returns another head of `key`, whose first head came from the front. The next call of
    /// [`Merge::next`] returns errors that occur here.
    pub(super) fn next_of(&mut self, key: &Value) -> Option<R::Head> {
        while let Some(error) = self.fill_heads() {
            self.errors_without_key.push(error);
        }
        peek(&self.fronts, End::Front).filter(|(first, _)| first == key)?;
        self.take_next(End::Front).map(|(_, head)| head)
    }

    /// Removes the next head from `end`, and marks it as missing.
    fn take_next(&mut self, end: End) -> Option<(Value, R::Head)> {
        let (ours, others) = match end {
            End::Front => (&mut self.fronts, &mut self.backs),
            End::Back => (&mut self.backs, &mut self.fronts),
        };
        // The last head of a run may have been read from the other end.
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
        self.missing_heads.push((run, refilled));
        Some((key, head))
    }

    /// Reads the missing heads, up to the first error.
    fn fill_heads(&mut self) -> Option<Error> {
        while let Some(&(run, end)) = self.missing_heads.last() {
            match self.runs[run].advance(end) {
                Some(Ok((key, head))) => {
                    let heads = if end == End::Front { &mut self.fronts } else { &mut self.backs };
                    heads.insert((key, run), head);
                    self.missing_heads.pop();
                }
                Some(Err(error)) => return Some(error),
                None => {
                    self.missing_heads.pop();
                }
            }
        }
        None
    }
}

fn peek<H>(heads: &BTreeMap<HeadKey, H>, end: End) -> Option<&HeadKey> {
    match end {
        End::Front => heads.first_key_value(),
        End::Back => heads.last_key_value(),
    }
    .map(|(key, _)| key)
}
