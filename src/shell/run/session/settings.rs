//! Settings and origin of a session.

use std::time::Duration;

use crate::shell::term::style::ColorChoice;

/// When to print the time of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Never.
    Off,
    /// After each command.
    On,
    /// After a command that took half a second or more.
    Auto,
}

impl Timer {
    /// The names accepted by `timer`.
    pub const NAMES: &'static [&'static str] = &["off", "on", "auto"];
    const ALL: [Self; 3] = [Self::Off, Self::On, Self::Auto];
    const AUTO_FROM: Duration = Duration::from_millis(500);

    /// Returns the timer called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|timer| timer.name() == name)
    }

    /// Returns the name of the timer.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub(super) fn shows(self, took: Duration) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Auto => took >= Self::AUTO_FROM,
        }
    }
}

/// The settings that can change during a session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When to print the time of a command.
    pub timer: Timer,
    /// Whether each line of a script is printed before it runs.
    pub echo: bool,
    /// Whether a script ends at its first error.
    pub bail: bool,
    /// Whether the answer to each line of a script ends with an acknowledgement.
    pub ack: bool,
    /// Whether notes about the store are omitted.
    pub quiet: bool,
    /// Whether a store or an options file may be created.
    pub makes_files: bool,
    /// Whether questions are answered with yes.
    pub yes: bool,
    /// When to use colours.
    pub color: ColorChoice,
    /// Whether long results of the REPL go through a pager.
    pub pager: bool,
    /// The width of lines, if it is not that of the terminal.
    pub width: Option<usize>,
}

/// The origin of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The arguments of the program: one command.
    OneShot,
    /// A script, from a file, a pipe or `-c`.
    Script,
    /// A user at a terminal.
    Person,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automatic_timer_shows_only_long_commands() {
        for timer in Timer::ALL {
            assert_eq!(Timer::parse(timer.name()), Some(timer));
        }
        assert!(!Timer::Auto.shows(Duration::from_millis(499)));
        assert!(Timer::Auto.shows(Duration::from_millis(500)));
        assert!(Timer::On.shows(Duration::ZERO) && !Timer::Off.shows(Duration::MAX));
    }
}
