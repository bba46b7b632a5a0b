//! How results look: decided once, and followed by every library that draws.

use owo_colors::{AnsiColors, Style};

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

/// Whether the terminal can only print, line after line: it would show escape sequences.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb" || term == "emacs")
}

/// Whether the user's locale has no characters but those of ASCII, or is of another charset than UTF-8. The first of
/// `LC_ALL`, `LC_CTYPE` and `LANG` that is set says so. Where none is, as in a container, a terminal takes UTF-8.
pub fn is_ascii_locale() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_some_and(|locale| !is_utf8(&locale.to_string_lossy()))
}

/// Whether a locale, as `de_DE.UTF-8@euro`, is of UTF-8; on macOS its name may be the charset alone.
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
    /// Whether to do without box and block characters.
    pub ascii: bool,
    /// The columns that a line may take.
    pub width: usize,
}

impl Look {
    /// `text` in `hue`, where colours are used.
    pub fn paint(&self, text: impl std::fmt::Display, hue: Hue) -> String {
        let style = if self.color { hue.style() } else { Style::new() };
        style.style(text).to_string()
    }

    /// Each line of `text` in `hue`.
    pub fn paint_lines(&self, text: &str, hue: Hue) -> String {
        text.lines().map(|line| self.paint(line, hue)).collect::<Vec<_>>().join("\n")
    }

    /// What stands for text that was cut off.
    pub fn ellipsis(&self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// What stands in the place of something that is not there.
    pub fn none(&self) -> &'static str {
        if self.ascii { "-" } else { "–" }
    }

    /// Our own `text` in the characters that this output has.
    pub fn spell(&self, text: &str) -> String {
        text.replace('…', self.ellipsis())
    }

    /// What a rule is drawn with.
    pub fn rule(&self) -> char {
        if self.ascii { '-' } else { '─' }
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

/// How a kind of thing looks, in terms that every library that draws can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hue {
    /// One of the terminal's own colours, which its user has chosen.
    pub color: Option<AnsiColors>,
    /// Whether it is bold.
    pub bold: bool,
    /// Whether it stands back.
    pub dim: bool,
}

impl Hue {
    /// The hue of things that look like nothing in particular.
    pub const PLAIN: Self = Self { color: None, bold: false, dim: false };

    /// The hue that is only this colour.
    pub const fn of(color: AnsiColors) -> Self {
        Self { color: Some(color), ..Self::PLAIN }
    }

    /// The same, bold.
    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// The same, standing back.
    pub const fn dim(self) -> Self {
        Self { dim: true, ..self }
    }

    /// As owo-colors takes it.
    pub fn style(self) -> Style {
        let style = self.color.map_or_else(Style::new, |color| Style::new().color(color));
        let style = if self.bold { style.bold() } else { style };
        if self.dim { style.dimmed() } else { style }
    }
}

/// The hue of each kind of thing, the same wherever it is shown.
pub mod hue {
    use owo_colors::AnsiColors;

    use super::Hue;

    /// Anything else.
    pub const PLAIN: Hue = Hue::PLAIN;
    /// A key.
    pub const KEY: Hue = Hue::of(AnsiColors::Cyan);
    /// A value, and anything in quotes.
    pub const VALUE: Hue = Hue::of(AnsiColors::Yellow);
    /// What is alive, right, or known.
    pub const GOOD: Hue = Hue::of(AnsiColors::Green);
    /// What is damaged, wrong, or unknown.
    pub const BAD: Hue = Hue::of(AnsiColors::Red).bold();
    /// What a person should not overlook.
    pub const WARNING: Hue = Hue::of(AnsiColors::Yellow).bold();
    /// What matters less.
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
    fn without_colours_text_stays_bare() {
        let look = Look { color: false, ascii: false, width: 80 };
        assert_eq!(look.paint("x", hue::BAD), "x");
        assert_ne!(Look { color: true, ..look }.paint("x", hue::BAD), "x");
    }
}
