//! Reasons why an operation ended early: a failure, or a callback that cancelled it.

use std::ops::ControlFlow;

use super::error::Error;

/// The failure of an operation that changes files.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the files are as they were before. If not, their state on disk is unknown.
    pub(crate) is_undone: bool,
}

/// Why an operation that can be cancelled ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The progress callback cancelled it.
    Cancelled,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// Returns an error if `said`, the result of the callback, is to cancel.
    pub(crate) fn unless(said: ControlFlow<()>) -> Result<(), Self> {
        match said {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Self::Cancelled),
        }
    }
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::Failed(error) => error,
        }
    }
}

/// A search through records that reports its progress and can be cancelled.
pub(crate) struct Search<'a> {
    seen_count: u64,
    observe: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl<'a> Search<'a> {
    /// Starts a search that reports the number of records seen to `observe`.
    pub(crate) fn new(observe: &'a mut dyn FnMut(u64) -> ControlFlow<()>) -> Self {
        Self { seen_count: 0, observe }
    }

    /// Counts and reports the next record.
    pub(crate) fn step(&mut self) -> Result<(), Stop> {
        self.seen_count += 1;
        Stop::unless((self.observe)(self.seen_count))
    }
}
