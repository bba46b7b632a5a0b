//! How what has begun ends early.

use std::ops::ControlFlow;

use super::error::Error;

/// A change of files that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the files are as they were before; if not, nobody knows what a reopen will find.
    pub(crate) is_undone: bool,
}

/// Why something that can be broken off ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Whoever was told of its progress broke it off.
    Cancelled,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    /// Goes on, or not, as `said`.
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

/// A look at records, one after another, for a place among them, which whoever is told of each may break off.
pub(crate) struct Search<'a> {
    seen_count: u64,
    observe: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl<'a> Search<'a> {
    /// One that tells `observe` how many records it has seen.
    pub(crate) fn new(observe: &'a mut dyn FnMut(u64) -> ControlFlow<()>) -> Self {
        Self { seen_count: 0, observe }
    }

    /// Comes to the next record.
    pub(crate) fn step(&mut self) -> Result<(), Stop> {
        self.seen_count += 1;
        Stop::unless((self.observe)(self.seen_count))
    }
}
