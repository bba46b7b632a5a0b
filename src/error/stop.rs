//! How what has begun ends early.

use std::ops::ControlFlow;

use super::Error;

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
