//! The exit code of the program.

/// The exit code after Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The exit code for damaged data.
pub const CORRUPT: u8 = 4;

/// The kinds of failure so far, for the exit code.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// A command failed.
    pub failed: bool,
    /// A one-shot command was used wrongly.
    pub misused: bool,
    /// Data on disk is damaged.
    pub corrupt: bool,
    /// The store could not be opened.
    pub unopened: bool,
    /// The exit code of the signal that ended the session.
    pub interrupted: Option<u8>,
    /// The reader of the output is gone.
    pub broken_pipe: bool,
}

impl Tally {
    /// Returns the exit code of the program.
    pub fn code(self) -> u8 {
        match self {
            Self { broken_pipe: true, .. } => 0,
            Self { interrupted: Some(code), .. } => code,
            Self { corrupt: true, .. } => CORRUPT,
            Self { unopened: true, .. } => 3,
            Self { misused: true, .. } => 2,
            Self { failed: true, .. } => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_failure_decides_the_exit_code() {
        let mut tally = Tally::default();
        assert_eq!(tally.code(), 0);
        tally.failed = true;
        assert_eq!(tally.code(), 1);
        tally.misused = true;
        assert_eq!(tally.code(), 2);
        tally.unopened = true;
        assert_eq!(tally.code(), 3);
        tally.corrupt = true;
        assert_eq!(tally.code(), 4);
        tally.interrupted = Some(INTERRUPTED);
        assert_eq!(tally.code(), 130);
        tally.broken_pipe = true;
        assert_eq!(tally.code(), 0);
    }
}
