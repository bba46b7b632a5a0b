//! The lines of a script's batch until the batch is written or rejected.

use crate::shell::commands::transfer::source::{ImportSource, RowPlace};

/// The lines since `begin`, with the reasons against them.
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
    /// The place of the line.
    pub place: RowPlace,
    pub text: Vec<u8>,
    pub why: String,
}

impl OpenBatch {
    /// Adds the last line of `source`, with the reason against it, and with its bytes if `is_kept`.
    pub fn add(&mut self, source: &ImportSource, reason: Option<String>, is_kept: bool) {
        let text = if is_kept { source.line().to_vec() } else { Vec::new() };
        self.lines.push(BatchLine { place: source.place(), text, reason });
    }

    /// Returns the rejected lines of a batch that has ended. If the commit failed, these are all
    /// lines.
    pub fn ended(&mut self) -> Vec<RejectedLine> {
        match self.lines.last() {
            Some(BatchLine { place, reason: Some(_), .. }) => {
                let why = format!("its batch was not written: the commit at {place} failed");
                self.rejected(|_| Some(why.clone()))
            }
            _ => self.rejected(|_| None),
        }
    }

    /// Returns the lines of a batch that is never committed.
    pub fn never_committed(&mut self) -> Vec<RejectedLine> {
        let begun = self.lines.first().map(|line| line.place.to_string()).unwrap_or_default();
        self.rejected(|at| {
            Some(match at {
                0 => "the batch that begins here is never committed".to_owned(),
                _ => format!("the batch that begins at {begun} is never committed"),
            })
        })
    }

    /// Returns the failed lines, and the other lines for which `why` gives a reason by index.
    fn rejected(&mut self, why: impl Fn(usize) -> Option<String>) -> Vec<RejectedLine> {
        let lines = std::mem::take(&mut self.lines).into_iter().enumerate();
        let rejected = lines.filter_map(|(at, BatchLine { place, text, reason })| {
            let why = reason.or_else(|| why(at))?;
            Some(RejectedLine { place, text, why })
        });
        rejected.collect()
    }
}
