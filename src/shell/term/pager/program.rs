//! The pager program.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::shell::term::style::is_dumb;

/// The command that starts the pager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A shell command line.
    pub line: String,
}

impl Program {
    /// Returns `$PAGER`, or `less` if it is installed. Returns `None` if `$PAGER` is empty or
    /// `cat`, or the terminal is dumb.
    pub fn find() -> Option<Self> {
        match env::var("PAGER") {
            _ if is_dumb() => None,
            Ok(line) => (!matches!(line.trim(), "" | "cat")).then_some(Self { line }),
            Err(_) => {
                let path = env::var_os("PATH")?;
                let is_there = env::split_paths(&path).any(|dir| dir.join("less").is_file());
                is_there.then(|| Self { line: "less".to_owned() })
            }
        }
    }

    /// Returns the name of the program, without its directory.
    fn name(&self) -> &str {
        // Assignments may precede the program: `LESS=S less`.
        let word = self.line.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
        Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Returns whether the pager passes colours to the terminal. Other pagers show their escape
    /// sequences as text.
    pub fn takes_colour(&self) -> bool {
        matches!(self.name(), "less" | "lv" | "most" | "moar" | "moor" | "ov" | "bat" | "delta")
    }

    /// Starts the pager through a shell, because `$PAGER` may have arguments. Sets the variables of
    /// less for every pager: many are wrappers that run it.
    pub fn start(&self, is_ascii: bool) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        match env::var_os("LESS") {
            // F: exit if the text fits one screen. R: pass colours. X: leave the text on the
            // screen.
            None => command.env("LESS", "FRX"),
            Some(options) => {
                let mut with_colours = OsString::from("-R ");
                with_colours.push(options);
                command.env("LESS", with_colours)
            }
        };
        let is_unset = |name: &&(&str, &str)| env::var_os(name.0).is_none();
        // Without a locale less shows bytes in place of non-ASCII characters.
        let charset = (!is_ascii).then_some(("LESSCHARSET", "utf-8"));
        command.envs([Some(("LV", "-c")), charset].iter().flatten().filter(is_unset).copied());
        command.spawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pager_that_passes_colours_is_known_by_name() {
        let takes = |line: &str| Program { line: line.to_owned() }.takes_colour();
        assert!(takes("less") && takes("/usr/bin/less -S") && takes("LESS=S less"));
        assert!(!takes("more") && !takes("vim -R -") && !takes("sed s/less// | less"));
    }
}
