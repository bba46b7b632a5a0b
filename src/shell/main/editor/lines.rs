//! Lines from typed or pasted text.

use crate::shell::lang::words;

/// Joins lines until their quotes are closed. A pasted block arrives as one text with several
/// lines.
#[derive(Debug, Default)]
pub struct Lines {
    pending: String,
}

impl Lines {
    /// Adds `text`, and returns the complete commands. The rest waits for more.
    pub fn add(&mut self, text: &str) -> Vec<String> {
        let mut complete = Vec::new();
        for line in text.split('\n') {
            self.pending.push_str(line.strip_suffix('\r').unwrap_or(line));
            if words::open_quote(self.pending.as_bytes()).is_some() {
                self.pending.push('\n');
            } else {
                complete.push(std::mem::take(&mut self.pending));
            }
        }
        complete
    }

    /// Returns the lines of an unfinished command.
    pub fn pending(&self) -> &str {
        &self.pending
    }

    /// Drops the unfinished command.
    pub fn clear(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_block_runs_line_by_line() {
        let mut lines = Lines::default();
        assert_eq!(lines.add("put a 1\nput b 2\r\nget a"), ["put a 1", "put b 2", "get a"]);
        assert_eq!(lines.pending(), "");
    }

    #[test]
    fn an_open_quote_continues_in_the_next_line() {
        let mut lines = Lines::default();
        assert!(lines.add("put a \"x").is_empty());
        assert_eq!(lines.pending(), "put a \"x\n");
        assert_eq!(lines.add("y\" "), ["put a \"x\ny\" "]);
        lines.add("put 'a");
        lines.clear();
        assert_eq!(lines.add("get a"), ["get a"]);
    }
}
