//! The prompt.

use std::path::Path;

use crate::shell::lang::words::visible;
use crate::shell::term::style::{Look, hue};

/// Returns the prompt of a line within an open quote.
pub fn continued(quote: char) -> String {
    format!("   {quote}..> ")
}

/// Returns the prompt `logkv data> `, without and with colours. `(ro)` marks a read-only store, `*`
/// an open batch. The directory name is escaped for the terminal.
pub fn prompt(dir: &Path, is_read_only: bool, is_in_batch: bool, look: &Look) -> (String, String) {
    // Replaces `.` and `..` with the real name.
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
    fn a_prompt_shows_the_directory_and_the_state() {
        let text = |read_only, batch| prompt(Path::new("/no/data"), read_only, batch, &LOOK).0;
        assert_eq!(text(false, false), "logkv data> ");
        assert_eq!(text(true, false), "logkv data(ro)> ");
        assert_eq!(text(false, true), "logkv data*> ");
    }

    #[test]
    fn a_directory_name_is_escaped_for_the_terminal() {
        let (plain, _) = prompt(Path::new("/no/a\u{1b}[2Jb"), false, false, &LOOK);
        assert_eq!(plain, r"logkv a\x1b[2Jb> ");
    }
}
