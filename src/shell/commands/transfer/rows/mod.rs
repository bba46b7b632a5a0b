//! The formats of rows that `export` writes and `import` reads.
//!
//! All formats produce an [`ImportRow`]. A row of any bytes is read back unchanged from every
//! format.

#[cfg(any(test, fuzzing))]
pub mod any_line;
pub mod csv;
pub mod jsonl;
mod resp;
pub mod row;
pub mod script;
pub mod table;
pub mod tsv;

use std::io::{self, Write};
use std::path::Path;

use self::csv::CsvColumns;
pub use self::row::ImportRow;
pub use self::table::TableFields;

/// A format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// One JSON object per line.
    Jsonl,
    /// A JSON array of objects.
    Json,
    /// Comma-separated fields below a header.
    Csv,
    /// Key, tab, value, with escapes.
    Tsv,
    /// Lines of `put`.
    Script,
    /// The protocol of Redis: commands for `redis-cli --pipe`.
    Resp,
}

impl RowFormat {
    /// The names that `export --format` takes.
    pub const NAMES: &'static [&'static str] = &["jsonl", "json", "csv", "tsv", "script", "resp"];

    const ALL: [Self; 6] = [Self::Jsonl, Self::Json, Self::Csv, Self::Tsv, Self::Script, Self::Resp];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Returns the format that the ending of a file's name implies.
    pub fn of(path: &Path) -> Option<Self> {
        match ending(path)?.as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "script" | "logkv" => Some(Self::Script),
            "resp" => Some(Self::Resp),
            _ => None,
        }
    }

    /// Returns whether the output is text, which is safe on a terminal.
    pub fn is_text(self) -> bool {
        self != Self::Resp
    }
}

/// Returns the ending of `path` if it belongs to a format that this program does not know.
pub fn foreign_ending(path: &Path) -> Option<String> {
    const ENDINGS: &[&str] = &[
        "7z", "arrow", "avro", "bson", "bz2", "cbor", "db", "duckdb", "feather", "html", "lz4", "mdb",
        "msgpack", "numbers", "ods", "orc", "parquet", "pb", "pdf", "rar", "rdb", "sql", "sqlite", "sqlite3",
        "tar", "tgz", "toml", "tzst", "xls", "xlsx", "xml", "xz", "yaml", "yml", "zip",
    ];
    ending(path).filter(|ending| ENDINGS.contains(&ending.as_str()))
}

fn ending(path: &Path) -> Option<String> {
    // A name such as `.csv` is only an ending.
    let name = path.file_name()?.as_encoded_bytes();
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    Some(str::from_utf8(&name[dot + 1..]).ok()?.to_ascii_lowercase())
}

/// A writer of the rows of an export.
#[derive(Clone, Copy, Debug)]
pub struct RowWriter {
    format: RowFormat,
    /// The columns, for CSV.
    columns: CsvColumns,
    is_begun: bool,
}

impl RowWriter {
    /// Creates a writer of rows in `format`, with `columns` for CSV.
    pub fn new(format: RowFormat, columns: CsvColumns) -> Self {
        Self { format, columns, is_begun: false }
    }

    /// Writes the text before all rows.
    pub fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        match self.format {
            RowFormat::Json => out.write_all(b"["),
            RowFormat::Csv => self.columns.write_header(out),
            RowFormat::Jsonl | RowFormat::Tsv | RowFormat::Script | RowFormat::Resp => Ok(()),
        }
    }

    /// Writes a row that sets `key` to `value`, until `expires_ms`.
    pub fn write(
        &mut self,
        out: &mut impl Write,
        key: &[u8],
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        match self.format {
            RowFormat::Jsonl => {
                jsonl::write(out, key, value, expires_ms)?;
                out.write_all(b"\n")
            }
            RowFormat::Json => {
                out.write_all(if is_first { b"\n" } else { b",\n" })?;
                jsonl::write(out, key, value, expires_ms)
            }
            RowFormat::Csv => self.columns.write(out, key, value, expires_ms),
            RowFormat::Tsv => tsv::write(out, key, value, expires_ms),
            RowFormat::Script => script::write(out, key, value, expires_ms),
            RowFormat::Resp => resp::write(out, key, value, expires_ms),
        }
    }

    /// Writes the text after all rows.
    pub fn end(&self, out: &mut impl Write) -> io::Result<()> {
        if self.format == RowFormat::Json { out.write_all(b"\n]\n") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_follows_from_its_name_and_from_a_file_name() {
        for format in RowFormat::ALL {
            assert_eq!(RowFormat::parse(format.name()), Some(format));
            assert_eq!(
                RowFormat::of(Path::new("dir/some.file").with_extension(format.name()).as_path()),
                Some(format)
            );
        }
        assert_eq!(RowFormat::parse("xml"), None);
        assert_eq!(RowFormat::of(Path::new("A.JSON")), Some(RowFormat::Json));
        assert_eq!(RowFormat::of(Path::new("a.ndjson")), Some(RowFormat::Jsonl));
        assert_eq!(RowFormat::of(Path::new("jsonl")), None);
        assert_eq!(RowFormat::of(Path::new("dir.tsv/.csv")), Some(RowFormat::Csv));
        assert_eq!(RowFormat::of(Path::new("dir.csv/x")), None);
        assert_eq!(foreign_ending(Path::new("a.PARQUET")).as_deref(), Some("parquet"));
        for format in RowFormat::ALL {
            assert_eq!(foreign_ending(&Path::new("a").with_extension(format.name())), None);
        }
    }
}
