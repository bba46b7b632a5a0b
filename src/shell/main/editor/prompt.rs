//! What stands before the line.

use std::path::Path;

use crate::shell::lang::words::visible;
use crate::shell::term::style::{Look, hue};

/// Before a line that goes on from the one above it, in which this quote was opened.
pub fn continued(quote: char) -> String {
    format!("   {quote}..> ")
}

/// `logkv data> `, with `(ro)` where nothing may be written, and `*` inside a batch: without and with colours, both
/// of one width.
///
/// A directory's name may hold anything, also sequences that would drive the terminal: they are shown as text.
pub fn prompt(dir: &Path, is_read_only: bool, is_in_batch: bool, look: &Look) -> (String, String) {
    // Of `.` and `..` the name is to be found out.
    let resolved = dir.canonicalize();
    let path = resolved.as_deref().unwrap_or(dir);
    let name = visible(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes());
    let read_only = if is_read_only { "(ro)" } else { "" };
    let batch = if is_in_batch { "*" } else { "" };
    let write = |look: &Look| {
        let program = look.paint("logkv", hue::HEAD);
        let marks = look.paint(format!("{read_only}{batch}"), hue::VALUE);
        format!("{program} {name}{marks}> ")
    };
    (write(&Look { color: false, ..*look }), write(look))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { color: false, ascii: false, width: 80 };

    #[test]
    fn a_prompt_names_the_directory_and_says_what_is_special() {
        let text = |read_only, batch| prompt(Path::new("/no/data"), read_only, batch, &LOOK).0;
        assert_eq!(text(false, false), "logkv data> ");
        assert_eq!(text(true, false), "logkv data(ro)> ");
        assert_eq!(text(false, true), "logkv data*> ");
    }

    #[test]
    fn a_directory_cannot_drive_the_terminal() {
        let (plain, _) = prompt(Path::new("/no/a\u{1b}[2Jb"), false, false, &LOOK);
        assert_eq!(plain, r"logkv a\x1b[2Jb> ");
    }
}
