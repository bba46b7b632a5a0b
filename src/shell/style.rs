//! How results look: decided once, and followed by every library that draws.

use std::ffi::OsStr;

use owo_colors::Style;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment is against it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// The names that `color` and `--color` take.
    pub const NAMES: &'static [&'static str] = &["auto", "always", "never"];

    /// The choice called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auto, Self::Always, Self::Never].into_iter().find(|choice| choice.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether to use colours on an output that is a terminal or not.
    ///
    /// First word wins: the choice, a non-empty `NO_COLOR`, a `CLICOLOR_FORCE` other than `0`, `TERM=dumb`, and
    /// whether it is a terminal.
    pub fn decide(self, is_terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        self.decide_by(
            set("NO_COLOR").is_some(),
            set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            set("TERM").as_deref() == Some(OsStr::new("dumb")),
            is_terminal,
        )
    }

    fn decide_by(self, no_color: bool, force: bool, dumb: bool, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => !no_color && (force || (!dumb && is_terminal)),
        }
    }
}

/// Colours, characters and width of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether to use colours.
    pub color: bool,
    /// Whether to do without box and block characters.
    pub ascii: bool,
    /// The columns that a line may take.
    pub width: usize,
}

impl Look {
    /// `style` where colours are used; elsewhere none.
    pub fn style(&self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    /// `text` in `style`.
    pub fn paint(&self, text: impl std::fmt::Display, style: Style) -> String {
        self.style(style).style(text).to_string()
    }
}

/// The columns and rows of the terminal; elsewhere those of the classic one.
pub fn terminal_size() -> (usize, usize) {
    const SIZE_ELSEWHERE: (usize, usize) = (80, 24);
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        // A terminal that does not know its size says 0.
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => SIZE_ELSEWHERE,
    }
}

/// The width of the terminal, or else of eighty columns.
pub fn terminal_width() -> usize {
    terminal_size().0
}

/// The hue of each kind of thing, the same wherever it is shown.
pub mod hue {
    use owo_colors::Style;

    /// A key.
    pub const KEY: Style = Style::new().cyan();
    /// A value, and anything in quotes.
    pub const VALUE: Style = Style::new().yellow();
    /// What is alive, right, or known.
    pub const GOOD: Style = Style::new().green();
    /// What is damaged, wrong, or unknown.
    pub const BAD: Style = Style::new().red().bold();
    /// What matters less.
    pub const DIM: Style = Style::new().dimmed();
    /// A heading.
    pub const HEAD: Style = Style::new().bold();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_wins_over_the_environment_and_the_environment_over_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        assert!(Always.decide_by(true, false, true, false));
        assert!(!Never.decide_by(false, true, false, true));
        assert!(!Auto.decide_by(true, true, false, true));
        assert!(Auto.decide_by(false, true, true, false));
        assert!(!Auto.decide_by(false, false, true, true));
        assert!(!Auto.decide_by(false, false, false, false));
        assert!(Auto.decide_by(false, false, false, true));
    }

    #[test]
    fn without_colours_text_stays_bare() {
        let look = Look { color: false, ascii: false, width: 80 };
        assert_eq!(look.paint("x", hue::BAD), "x");
        assert_ne!(Look { color: true, ..look }.paint("x", hue::BAD), "x");
    }
}
