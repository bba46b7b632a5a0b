//! The program that pages, and how it is started.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::shell::term::style::is_dumb;

/// How to start the pager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The line of a shell that starts it.
    pub line: String,
}

impl Program {
    /// `$PAGER`, or `less` where it can be found. None where `$PAGER` is empty or `cat`, or the terminal can only print.
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

    /// The name of the program that the line runs, without its directory.
    fn name(&self) -> &str {
        // Variables may be set before it: `LESS=S less`.
        let word = self.line.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
        Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether it passes colours on to the terminal; others show their escape sequences.
    pub fn takes_colour(&self) -> bool {
        matches!(self.name(), "less" | "lv" | "most" | "moar" | "moor" | "ov" | "bat" | "delta")
    }

    /// `$PAGER` may hold arguments, so a shell reads it. Many pagers end in less, so all are told what it needs.
    pub fn start(&self, is_ascii: bool) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        match env::var_os("LESS") {
            // Ends when all fits one screen, passes colours on, and leaves the text on the screen.
            None => command.env("LESS", "FRX"),
            Some(options) => {
                let mut with_colours = OsString::from("-R ");
                with_colours.push(options);
                command.env("LESS", with_colours)
            }
        };
        let is_unset = |name: &&(&str, &str)| env::var_os(name.0).is_none();
        // Without a locale less would show the bytes of what is no ASCII.
        let charset = (!is_ascii).then_some(("LESSCHARSET", "utf-8"));
        command.envs([Some(("LV", "-c")), charset].iter().flatten().filter(is_unset).copied());
        command.spawn()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_passes_colours_on_is_known_by_its_name() {
        let takes = |line: &str| Program { line: line.to_owned() }.takes_colour();
        assert!(takes("less") && takes("/usr/bin/less -S") && takes("LESS=S less"));
        assert!(!takes("more") && !takes("vim -R -") && !takes("sed s/less// | less"));
    }
}
