//! The lines of a script's batch until it is known whether they are written.

use crate::shell::commands::transfer::source::{ImportSource, RowPlace};

/// The lines since `begin`, with what is wrong with them.
#[derive(Debug, Default)]
pub struct OpenBatch {
    lines: Vec<BatchLine>,
}

#[derive(Debug)]
struct BatchLine {
    place: RowPlace,
    text: Vec<u8>,
    reason: Option<String>,
}

/// A line that is not written.
#[derive(Debug)]
pub struct RejectedLine {
    /// Where it stands.
    pub place: RowPlace,
    /// Its bytes.
    pub text: Vec<u8>,
    /// Why it is not.
    pub why: String,
}

impl OpenBatch {
    /// Adds the line that came last from `source`, for which there may be a `reason` not to take it, and its bytes if they are
    /// to be kept.
    pub fn add(&mut self, source: &ImportSource, reason: Option<String>, is_kept: bool) {
        let text = if is_kept { source.line().to_vec() } else { Vec::new() };
        self.lines.push(BatchLine { place: source.place(), text, reason });
    }

    /// What is not written of it, now that its last line has ended it. If that is what failed, nothing is.
    pub fn ended(&mut self) -> Vec<RejectedLine> {
        match self.lines.last() {
            Some(BatchLine { place, reason: Some(_), .. }) => {
                let why = format!("nothing of its batch was written: the commit at {place} failed");
                self.rejected(|_| Some(why.clone()))
            }
            _ => self.rejected(|_| None),
        }
    }

    /// What is not written of it where nothing ends it: all of it.
    pub fn never_committed(&mut self) -> Vec<RejectedLine> {
        let begun = self.lines.first().map(|line| line.place.to_string()).unwrap_or_default();
        self.rejected(|at| {
            Some(match at {
                0 => "the batch that begins here is never committed: nothing of it went in".to_owned(),
                _ => format!("the batch that begins at {begun} is never committed"),
            })
        })
    }

    /// The lines that have failed, and of the others those that `why` gives a reason for, by their places.
    fn rejected(&mut self, why: impl Fn(usize) -> Option<String>) -> Vec<RejectedLine> {
        let lines = std::mem::take(&mut self.lines).into_iter().enumerate();
        let rejected = lines.filter_map(|(at, BatchLine { place, text, reason })| {
            let why = reason.or_else(|| why(at))?;
            Some(RejectedLine { place, text, why })
        });
        rejected.collect()
    }
}
