//! Colours, characters and width of an output, decided in one place.

use std::fmt::{Display, Write};

use owo_colors::{AnsiColors, Style};

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// The names accepted by `color` and `--color`.
    pub const NAMES: &'static [&'static str] = &["auto", "always", "never"];

    /// Returns the choice called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Auto, Self::Always, Self::Never].into_iter().find(|choice| choice.name() == name)
    }

    /// Returns the name of the choice.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns whether to use colours.
    ///
    /// The first of these decides: the choice, a non-empty `NO_COLOR`, a `CLICOLOR_FORCE` other
    /// than `0`, a dumb terminal, whether the output is a terminal.
    pub fn decide(self, is_terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        self.decide_by(
            set("NO_COLOR").is_some(),
            set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            is_dumb(),
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

/// Returns whether the terminal is dumb: it does not understand escape sequences.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb" || term == "emacs")
}

/// Returns whether the locale is limited to ASCII or has a charset other than UTF-8. The first of
/// `LC_ALL`, `LC_CTYPE` and `LANG` that is set decides. UTF-8 is assumed if none is set, as in a
/// container.
pub fn is_ascii_locale() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| !is_utf8(&locale.to_string_lossy()))
}

/// Returns whether a locale such as `de_DE.UTF-8@euro` uses UTF-8. On macOS the name may be the
/// charset alone.
fn is_utf8(locale: &str) -> bool {
    let name = locale.split('@').next().unwrap_or_default();
    let charset = name.rsplit('.').next().unwrap_or_default();
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

/// Colours, characters and width of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether to use colours.
    pub color: bool,
    /// Whether to avoid box and block characters.
    pub ascii: bool,
    /// The columns of a line.
    pub width: usize,
}

impl Look {
    /// Returns `text` in `hue`, without colours if they are off.
    pub fn paint(&self, text: impl Display, hue: Hue) -> String {
        let mut painted = String::new();
        self.paint_into(&mut painted, text, hue);
        painted
    }

    /// Appends `text` in `hue` to `out`.
    pub fn paint_into(&self, out: &mut String, text: impl Display, hue: Hue) {
        let style = if self.color { hue.style() } else { Style::new() };
        // A string accepts every write.
        let _ = write!(out, "{}", style.style(text));
    }

    /// Returns `text` with each line in `hue`.
    pub fn paint_lines(&self, text: &str, hue: Hue) -> String {
        text.lines().map(|line| self.paint(line, hue)).collect::<Vec<_>>().join("\n")
    }

    /// Returns the mark of cut text.
    pub fn ellipsis(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// Returns the sign for an absent value.
    pub fn none(&self) -> &'static str {
        if self.ascii { "-" } else { "–" }
    }

    /// Replaces the characters of our own `text` that this output cannot show.
    pub fn spell(&self, text: &str) -> String {
        text.replace('…', self.ellipsis())
    }

    /// Returns the character of a rule.
    pub fn rule(&self) -> char {
        if self.ascii { '-' } else { '─' }
    }
}

/// Returns the columns and rows of the terminal, or 80 and 24 without one.
pub fn terminal_size() -> (usize, usize) {
    const SIZE_ELSEWHERE: (usize, usize) = (80, 24);
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        // A terminal of unknown size reports 0.
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => SIZE_ELSEWHERE,
    }
}

/// Returns the width of the terminal, or 80 without one.
pub fn terminal_width() -> usize {
    terminal_size().0
}

/// A colour and its intensity, independent of any library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hue {
    /// One of the terminal's own colours, which the user can choose.
    pub color: Option<AnsiColors>,
    pub bold: bool,
    pub dim: bool,
}

impl Hue {
    /// No colour.
    pub const PLAIN: Self = Self { color: None, bold: false, dim: false };

    /// Returns a colour.
    pub const fn of(color: AnsiColors) -> Self {
        Self { color: Some(color), ..Self::PLAIN }
    }

    /// Makes the hue bold.
    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// Makes the hue dim.
    pub const fn dim(self) -> Self {
        Self { dim: true, ..self }
    }

    /// Returns the hue in the type of owo-colors.
    pub fn style(self) -> Style {
        let style = self.color.map_or_else(Style::new, |color| Style::new().color(color));
        let style = if self.bold { style.bold() } else { style };
        if self.dim { style.dimmed() } else { style }
    }
}

/// The hues by meaning.
pub mod hue {
    use owo_colors::AnsiColors;

    use super::Hue;

    /// Text without any of the meanings below.
    pub const PLAIN: Hue = Hue::PLAIN;
    /// A key.
    pub const KEY: Hue = Hue::of(AnsiColors::Cyan);
    /// A value, or quoted text.
    pub const VALUE: Hue = Hue::of(AnsiColors::Yellow);
    /// Live, correct, or known.
    pub const GOOD: Hue = Hue::of(AnsiColors::Green);
    /// Damaged, wrong, or unknown.
    pub const BAD: Hue = Hue::of(AnsiColors::Red).bold();
    /// A warning.
    pub const WARNING: Hue = Hue::of(AnsiColors::Yellow).bold();
    /// Less important text.
    pub const DIM: Hue = Hue::PLAIN.dim();
    /// A heading.
    pub const HEAD: Hue = Hue::PLAIN.bold();
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
    fn a_locale_is_of_utf_8_where_its_charset_says_so() {
        for locale in ["C.UTF-8", "en_US.utf8", "de_DE.UTF-8@euro", "UTF-8"] {
            assert!(is_utf8(locale), "{locale}");
        }
        for locale in ["C", "POSIX", "en_US", "de_DE@euro", "de_DE.ISO-8859-15", ""] {
            assert!(!is_utf8(locale), "{locale}");
        }
    }

    #[test]
    fn without_colours_text_has_no_escape_sequences() {
        let look = Look { color: false, ascii: false, width: 80 };
        assert_eq!(look.paint("x", hue::BAD), "x");
        assert_ne!(Look { color: true, ..look }.paint("x", hue::BAD), "x");
    }
}
