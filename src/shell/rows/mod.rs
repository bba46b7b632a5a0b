//! Keys and values as text: the formats that `export` writes and `import` reads, a line a row.
//!
//! All formats go through [`Row`]. Whatever bytes a row has, what is written of it is read back as the same row.

#[cfg(any(test, fuzzing))]
pub mod any_line;
mod jsonl;
mod resp;
mod script;
mod tsv;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use logkv::Expiry;

/// A key, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: Cow<'a, [u8]>,
    /// Its value; `None` deletes it.
    pub value: Option<Cow<'a, [u8]>>,
    /// When it expires; `None`: never.
    pub expiry: Option<Expiry>,
}

impl<'a> Row<'a> {
    /// A row that sets `key` to `value`.
    pub fn put(key: impl Into<Cow<'a, [u8]>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: Some(value.into()), expiry: None }
    }

    /// The same, expiring then, in milliseconds since 1970.
    pub fn until(self, expires_ms: Option<u64>) -> Self {
        Self { expiry: expires_ms.map(Expiry::At), ..self }
    }

    /// A row that deletes `key`.
    pub fn delete(key: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: None, expiry: None }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Key, tab, value, with escapes.
    Tsv,
    /// Lines of `put`.
    Script,
    /// Redis' protocol: commands for `redis-cli --pipe`.
    Resp,
}

impl Format {
    /// The names that `export --format` takes.
    pub const NAMES: &'static [&'static str] = &["jsonl", "tsv", "script", "resp"];

    const ALL: [Self; 4] = [Self::Jsonl, Self::Tsv, Self::Script, Self::Resp];

    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The format that a file's name ends with.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "tsv" | "tab" => Some(Self::Tsv),
            "script" | "logkv" => Some(Self::Script),
            "resp" => Some(Self::Resp),
            _ => None,
        }
    }

    /// Whether what is written in it is text, which leaves a terminal alone.
    pub fn is_text(self) -> bool {
        self != Self::Resp
    }

    /// Whether it says when a key expires. Lines of `put` only say how long after they are run.
    pub fn has_expiry(self) -> bool {
        self != Self::Script
    }

    /// Writes a row that sets `key` to `value`, until `expires_ms`.
    pub fn write(
        self,
        out: &mut impl Write,
        key: &[u8],
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> io::Result<()> {
        match self {
            Self::Jsonl => jsonl::write(out, key, value, expires_ms),
            Self::Tsv => tsv::write(out, key, value, expires_ms),
            Self::Script => script::write(out, key, value),
            Self::Resp => resp::write(out, key, value, expires_ms),
        }
    }

    /// Whether a line has nothing on it. One of blanks alone may be a row with a tab.
    pub fn is_blank(self, line: &[u8]) -> bool {
        match self {
            Self::Tsv => line.is_empty(),
            Self::Jsonl | Self::Script | Self::Resp => line.iter().all(u8::is_ascii_whitespace),
        }
    }

    /// The rows of a line, which is not blank; or why it has none.
    pub fn read(self, line: &[u8]) -> Result<Vec<Row<'_>>, String> {
        match self {
            Self::Jsonl => jsonl::read(line).map(|row| vec![row]),
            Self::Tsv => tsv::read(line).map(|row| vec![row]),
            Self::Script => script::read(line),
            Self::Resp => Err("resp is written, and not read".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_name_and_by_a_files() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
            assert_eq!(
                Format::of(Path::new("dir/some.file").with_extension(format.name()).as_path()),
                Some(format)
            );
        }
        assert_eq!(Format::parse("xml"), None);
        assert_eq!(Format::of(Path::new("A.JSON")), Some(Format::Jsonl));
        assert_eq!(Format::of(Path::new("jsonl")), None);
    }
}
