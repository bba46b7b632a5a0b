//! The inputs of an import, with their formats.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use logkv::fs::StoreFile;

use crate::shell::commands::foreign::ForeignFormat;
use crate::shell::commands::transfer::data_files::{COPY, DataFiles};
use crate::shell::commands::transfer::rows::{RowFormat, TableFields, foreign_ending};
use crate::shell::commands::transfer::source::{
    BeforeWait, ForeignRecords, ImportSource, TextReader, of_text,
};
use crate::shell::commands::words;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, visible};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::input::Input;
use crate::shell::term::packing::Packing;

/// The formats that import reads.
pub const FORMATS: &[&str] = &["jsonl", "json", "csv", "tsv", "script", "bitcask", "logkv-store"];

/// A format that import reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportFormat {
    /// Rows of text.
    Text(RowFormat),
    /// Data files of another store.
    Files(ForeignFormat),
}

impl ImportFormat {
    pub fn parse(name: &str) -> Option<Self> {
        let foreign = ForeignFormat::ALL.into_iter().find(|format| format.name() == name);
        foreign.map(Self::Files).or_else(|| RowFormat::parse(name).map(Self::Text))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Text(format) => format.name(),
            Self::Files(format) => format.name(),
        }
    }

    /// Returns whether this is a script, whose commands may depend on the store's contents.
    pub fn is_script(self) -> bool {
        self == Self::Text(RowFormat::Script)
    }

    fn is_table(self) -> bool {
        use RowFormat::{Csv, Json, Jsonl, Tsv};
        matches!(self, Self::Text(Jsonl | Json | Csv | Tsv))
    }
}

/// The source of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatOrigin {
    Flag,
    /// The name of the file.
    Name,
    /// The names of the files in a directory.
    Contents,
    /// None of these.
    Default,
}

impl FormatOrigin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Name => "name",
            Self::Contents => "contents",
            Self::Default => "default",
        }
    }

    /// Returns a phrase for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Flag => "as --format says",
            Self::Name => "as its name says",
            Self::Contents => "as the names of its files say",
            Self::Default => "by default",
        }
    }
}

/// An input of an import: one argument.
pub struct PlannedInput {
    /// The name in messages.
    pub name: String,
    pub format: ImportFormat,
    /// The source of the format.
    pub origin: FormatOrigin,
    /// The names of the files, in reading order.
    pub names: Vec<String>,
    /// The paths of the files.
    pub paths: Vec<PathBuf>,
    /// Notes for the user, one sentence each.
    pub notes: Vec<String>,
    kind: InputKind,
}

/// The kind of an input.
enum InputKind {
    /// A regular file. Opened when it is read: all files together may be too many.
    File { path: PathBuf, len: u64 },
    /// An input that can be opened only once.
    Open(Input),
    /// Data files of another store.
    Records(ForeignRecords),
    /// An input that was opened.
    Opened,
}

/// The flags that apply to all inputs.
pub struct ImportFlags {
    format: Option<ImportFormat>,
    table: Option<TableFields>,
}

impl ImportFlags {
    /// Reads the flags of `invocation`.
    pub fn of(invocation: &Invocation) -> Result<Self, Failure> {
        let field = |name| invocation.value(name).map(|word| word.bytes.clone());
        let table = match (field("key"), field("value")) {
            (Some(key), value) => Some(TableFields { key, value }),
            (None, None) => None,
            (None, Some(_)) => {
                let failure = Failure::usage("--value needs --key FIELD: a table's rows need keys");
                return Err(failure.at(invocation.name.clone()));
            }
        };
        let format = invocation.value("format").and_then(|word| str::from_utf8(&word.bytes).ok());
        Ok(Self { format: format.and_then(ImportFormat::parse), table })
    }
}

/// Determines the format of each argument, and checks that it can be read.
pub fn plan(
    session: &Session,
    invocation: &Invocation,
    flags: &ImportFlags,
) -> Result<Vec<PlannedInput>, Failure> {
    let planned = invocation.args.iter().map(|word| {
        let planned = of_word(session, word, flags.format)?;
        if flags.table.is_some() && !planned.format.is_table() {
            let format = planned.format.name();
            let message = format!("--key is for jsonl, json, csv and tsv; {} is {format}", planned.name);
            return Err(Failure::usage(message).at(word.span.clone()));
        }
        Ok(planned)
    });
    planned.collect()
}

fn of_word(session: &Session, word: &Word, flag: Option<ImportFormat>) -> Result<PlannedInput, Failure> {
    let origin = |otherwise| if flag.is_some() { FormatOrigin::Flag } else { otherwise };
    if word.is_dash() {
        let format = flag.unwrap_or(ImportFormat::Text(RowFormat::Jsonl));
        return stdin(session, word, format, origin(FormatOrigin::Default));
    }
    let path = word.path();
    let failed = |error: io::Error| Failure::file("read", path, &error).at(word.span.clone());
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        let foreign = match flag {
            Some(ImportFormat::Text(format)) => {
                let failure =
                    Failure::command(format!("{} is a file's format; this is a directory", format.name()));
                return Err(failure.at(word.span.clone()));
            }
            Some(ImportFormat::Files(format)) => Some(format),
            None => None,
        };
        let files = DataFiles::of(path, foreign).map_err(|failure| failure.at(word.span.clone()))?;
        return records(session, word, files, origin(FormatOrigin::Contents));
    }
    let (_, stem) = Packing::of_name(path);
    let name = path.file_name().unwrap_or_default().as_bytes();
    let named =
        ForeignFormat::of(name).map(ImportFormat::Files).or(RowFormat::of(stem).map(ImportFormat::Text));
    if flag.is_none() && path.file_name().is_some_and(|name| StoreFile::parse(name).is_some()) {
        let shown = visible(&word.bytes);
        let message = format!("{shown} has the name of a store file, and is not imported");
        return Err(Failure::command(message).at(word.span.clone()).hint(COPY));
    }
    if let (None, Some(ending)) = (flag.or(named), foreign_ending(stem)) {
        let message = format!("import does not read .{ending} files; it reads {}", FORMATS.join(", "));
        return Err(Failure::usage(message).at(word.span.clone()).hint(WRONG_NAME));
    }
    let origin = origin(if named.is_some() { FormatOrigin::Name } else { FormatOrigin::Default });
    match flag.or(named).unwrap_or(ImportFormat::Text(RowFormat::Jsonl)) {
        ImportFormat::Files(format) => records(session, word, DataFiles::one(path, format), origin),
        ImportFormat::Text(RowFormat::Resp) => {
            Err(Failure::command("resp can be exported, but not imported")
                .at(word.span.clone())
                .hint(WRONG_NAME))
        }
        format => {
            let input = Input::path(path).map_err(failed)?;
            let kind = if metadata.is_file() {
                InputKind::File { path: path.to_owned(), len: metadata.len() }
            } else {
                InputKind::Open(input)
            };
            Ok(text(visible(&word.bytes), format, origin, kind, path))
        }
    }
}

const WRONG_NAME: &str = "--format sets the format if the name is wrong";

/// Plans the standard input. Fails if commands come from it.
fn stdin(
    session: &Session,
    word: &Word,
    format: ImportFormat,
    origin: FormatOrigin,
) -> Result<PlannedInput, Failure> {
    let input = words::stdin(session, word, "logkv DIR import - reads it")?;
    if let ImportFormat::Files(_) = format {
        let message = "data files of another store are read from a file or a directory";
        return Err(Failure::command(message).at(word.span.clone()));
    }
    Ok(text("-".to_owned(), format, origin, InputKind::Open(input), Path::new("/dev/stdin")))
}

fn text(
    name: String,
    format: ImportFormat,
    origin: FormatOrigin,
    kind: InputKind,
    path: &Path,
) -> PlannedInput {
    let names = vec![name.clone()];
    let paths = vec![path.to_owned()];
    PlannedInput { name, format, origin, names, paths, notes: Vec::new(), kind }
}

fn records(
    session: &Session,
    word: &Word,
    mut files: DataFiles,
    origin: FormatOrigin,
) -> Result<PlannedInput, Failure> {
    let notes = std::mem::take(&mut files.notes);
    let (paths, names) = files.files.iter().map(|file| (file.path.clone(), file.name.clone())).unzip();
    let format = ImportFormat::Files(files.format);
    let kind = InputKind::Records(ForeignRecords::open(
        files,
        session.config().options.value_len_max,
        session.interrupt().clone(),
    )?);
    Ok(PlannedInput { name: visible(&word.bytes), format, origin, names, paths, notes, kind })
}

impl PlannedInput {
    /// Opens the input, and reads the header of its rows.
    pub fn open(
        &mut self,
        session: &Session,
        flags: &ImportFlags,
        before_wait: BeforeWait<'_>,
    ) -> Result<ImportSource, Failure> {
        let (input, len) = match std::mem::replace(&mut self.kind, InputKind::Opened) {
            InputKind::Records(records) => return Ok(ImportSource::Records(records)),
            InputKind::Open(input) => (input, None),
            InputKind::File { path, len } => {
                let input = Input::path(&path).map_err(|error| Failure::file("read", &path, &error))?;
                (input, Some(len))
            }
            InputKind::Opened => unreachable!("each input is opened once"),
        };
        let ImportFormat::Text(format) = self.format else { unreachable!("data files are handled above") };
        let packing = self.paths.first().and_then(|path| Packing::of_name(path).0);
        let reader = TextReader::new(
            input,
            self.name.clone(),
            session.interrupt().clone(),
            session.config().options.value_len_max,
        );
        of_text(session.commands(), reader.of_file(len, packing), format, flags.table.clone(), before_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_format_is_parsed() {
        for name in FORMATS {
            assert_eq!(ImportFormat::parse(name).map(ImportFormat::name), Some(*name));
        }
        assert!(!FORMATS.contains(&RowFormat::Resp.name()));
    }
}
