//! The file of typed lines.

use std::env;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::shell::run::folder::trusted::{Access, trusted};

/// The maximum number of lines kept.
pub const LINES_MAX: usize = 10_000;

/// Returns `$XDG_STATE_HOME/logkv/history`, or `None` without a home directory.
pub fn path() -> Option<PathBuf> {
    Some(xdg("XDG_STATE_HOME", ".local/state")?.join("logkv/history"))
}

/// Returns `$XDG_CONFIG_HOME/logkv/init`, the commands that each REPL runs first, or `None` without
/// a home directory.
pub fn init_path() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("logkv/init"))
}

/// Returns the directory in `variable`, or `below_home`. The XDG standard says to ignore relative
/// paths.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// The typed lines in the file format of rustyline: one per line after a first line `#V2`, with
/// backslashes and line breaks escaped.
#[derive(Debug)]
pub struct History {
    /// The path, for messages only.
    pub path: PathBuf,
    file: File,
}

const VERSION: &str = "#V2";

impl History {
    /// Opens the file at `path`, or creates it for its owner only. Returns its last lines.
    pub fn open(path: PathBuf) -> io::Result<(Self, Vec<String>)> {
        // Enough for `LINES_MAX` long lines. The rest is not read.
        const LEN_MAX: u64 = 64 << 20;
        let file = trusted(&path, Access::Write)?.ok_or(io::ErrorKind::NotFound)?;
        file.lock()?;
        let mut bytes = Vec::new();
        (&file).take(LEN_MAX).read_to_end(&mut bytes)?;
        let (lines, is_current) = parse(&bytes);
        let history = Self { path, file };
        let lines = lines[lines.len().saturating_sub(LINES_MAX)..].to_vec();
        if !is_current || lines.len() == LINES_MAX {
            history.rewrite(&lines)?;
        }
        history.file.unlock()?;
        Ok((history, lines))
    }

    /// Appends a line.
    pub fn append(&self, line: &str) -> io::Result<()> {
        self.file.lock()?;
        let appended = (&self.file).seek(SeekFrom::End(0)).and_then(|_| {
            let line = escaped(line) + "\n";
            (&self.file).write_all(line.as_bytes())
        });
        self.file.unlock()?;
        appended
    }

    /// Keeps only `lines`. A kill during the write leaves some older lines after them.
    fn rewrite(&self, lines: &[String]) -> io::Result<()> {
        let mut text = format!("{VERSION}\n");
        for line in lines {
            text += &escaped(line);
            text.push('\n');
        }
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }
}

/// Returns the lines of a file, and whether its format is the current one. Lines that are not UTF-8
/// are skipped.
fn parse(bytes: &[u8]) -> (Vec<String>, bool) {
    let mut lines = bytes.split(|&byte| byte == b'\n').peekable();
    let is_current = lines.next_if(|line| *line == VERSION.as_bytes()).is_some();
    let text = lines.filter_map(|line| str::from_utf8(line).ok()).filter(|line| !line.is_empty());
    let lines = text.map(|line| if is_current { unescaped(line) } else { line.to_owned() }).collect();
    (lines, is_current)
}

fn escaped(line: &str) -> String {
    line.replace('\\', r"\\").replace('\n', r"\n")
}

fn unescaped(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(escape @ ('n' | '\\'))) => {
                text.push(if escape == 'n' { '\n' } else { '\\' });
                chars.next();
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lines_survive_a_restart_and_only_the_last_are_kept() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("state/logkv/history");
        let (history, lines) = History::open(path.clone()).expect("the file can be created");
        assert!(lines.is_empty());
        let typed = ["put a 1", "put b \"one\ntwo\"", r"get '\n' \", "#V2"];
        typed.iter().for_each(|line| history.append(line).expect("the file is writable"));
        // Another session appends to the same file.
        let (other, lines) = History::open(path.clone()).expect("the file exists");
        assert_eq!(lines, typed);
        (0..LINES_MAX).for_each(|n| other.append(&n.to_string()).expect("the file is writable"));
        history.append("last").expect("the file is writable");
        let (_, lines) = History::open(path.clone()).expect("the file exists");
        assert_eq!((lines.len(), lines[0].as_str(), lines[LINES_MAX - 1].as_str()), (LINES_MAX, "1", "last"));
        let kept = fs::read_to_string(&path).expect("the file is UTF-8");
        assert_eq!(kept.lines().count(), LINES_MAX + 1);
        history.append("after it was cut").expect("the file is writable");
        let (_, lines) = History::open(path).expect("the file exists");
        assert_eq!(lines.last().map(String::as_str), Some("after it was cut"));
    }

    #[test]
    fn a_file_in_the_older_format_is_converted_and_keeps_its_mode() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let path = dir.path().join("history");
        fs::write(&path, b"get '\\n'\n\xff\ncount\n").expect("the file is writable");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("the file belongs to this user");
        let (_, lines) = History::open(path.clone()).expect("the file exists");
        assert_eq!(lines, [r"get '\n'", "count"]);
        assert_eq!(fs::read(&path).expect("the file exists"), b"#V2\nget '\\\\n'\ncount\n");
        assert_eq!(path.metadata().expect("the file exists").permissions().mode() & 0o777, 0o640);
    }
}
