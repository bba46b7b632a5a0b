//! What is to be imported: which files, in which formats, and what says so.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use logkv::fs::StoreFile;

use crate::shell::commands::transfer::files::{COPY, Files};
use crate::shell::commands::transfer::rows::{self, Table};
use crate::shell::commands::transfer::source::{BeforeWait, ImportSource, Reading, Records, of_text};
use crate::shell::commands::{foreign, words};

use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, visible};
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::input::Input;
use crate::shell::term::packing::Packing;

/// The formats that are read.
pub const FORMATS: &[&str] = &["jsonl", "json", "csv", "tsv", "script", "bitcask", "logkv-store"];

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Rows of text.
    Text(rows::Format),
    /// Data files of another store.
    Files(foreign::Format),
}

impl Format {
    /// The format called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        let foreign = foreign::Format::ALL.into_iter().find(|format| format.name() == name);
        foreign.map(Self::Files).or_else(|| rows::Format::parse(name).map(Self::Text))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(format) => format.name(),
            Self::Files(format) => format.name(),
        }
    }

    /// Whether it is a script, whose lines may be about what is there.
    pub fn is_script(self) -> bool {
        self == Self::Text(rows::Format::Script)
    }

    fn is_table(self) -> bool {
        use rows::Format::{Csv, Json, Jsonl, Tsv};
        matches!(self, Self::Text(Jsonl | Json | Csv | Tsv))
    }
}

/// What said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// `--format`.
    Flag,
    /// The file's name.
    Name,
    /// The names in a directory.
    Contents,
    /// Nothing.
    Default,
}

impl Told {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Name => "name",
            Self::Contents => "contents",
            Self::Default => "default",
        }
    }

    /// It, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Flag => "as --format says",
            Self::Name => "as its name says",
            Self::Contents => "as the names of its files say",
            Self::Default => "by default",
        }
    }
}

/// One argument of an import.
pub struct Planned {
    /// As messages call it.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// What says so.
    pub told: Told,
    /// The files that are read, in that order, as they are called in messages.
    pub names: Vec<String>,
    /// Where they are.
    pub paths: Vec<PathBuf>,
    /// What the user should know of them, a sentence each.
    pub notes: Vec<String>,
    what: What,
}

/// What an argument names.
enum What {
    /// A regular file, opened when its turn comes: there may be more than can be open.
    File { path: PathBuf, len: u64 },
    /// What can be opened once.
    Open(Input),
    /// Another store's files.
    Records(Records),
    /// It was begun.
    Begun,
}

/// What the flags of an import say of all that it reads.
pub struct Asked {
    format: Option<Format>,
    table: Option<Table>,
}

impl Asked {
    /// What the flags of `invocation` say.
    pub fn of(invocation: &Invocation) -> Result<Self, Failure> {
        let field = |name| invocation.value(name).map(|word| word.bytes.clone());
        let table = match (field("key"), field("value")) {
            (Some(key), value) => Some(Table { key, value }),
            (None, None) => None,
            (None, Some(_)) => {
                let failure = Failure::usage("--value needs --key FIELD: a table's rows need keys");
                return Err(failure.at(invocation.name.clone()));
            }
        };
        let format = invocation.value("format").and_then(|word| str::from_utf8(&word.bytes).ok());
        Ok(Self { format: format.and_then(Format::parse), table })
    }
}

/// Finds out what each argument is, and whether it can be read.
pub fn plan(session: &Session, invocation: &Invocation, asked: &Asked) -> Result<Vec<Planned>, Failure> {
    let planned = invocation.args.iter().map(|word| {
        let planned = of_word(session, word, asked.format)?;
        if asked.table.is_some() && !planned.format.is_table() {
            let format = planned.format.name();
            let message = format!("--key is for jsonl, json, csv and tsv; {} is {format}", planned.name);
            return Err(Failure::usage(message).at(word.span.clone()));
        }
        Ok(planned)
    });
    planned.collect()
}

fn of_word(session: &Session, word: &Word, flag: Option<Format>) -> Result<Planned, Failure> {
    let told = |otherwise| if flag.is_some() { Told::Flag } else { otherwise };
    if word.is_dash() {
        let format = flag.unwrap_or(Format::Text(rows::Format::Jsonl));
        return stdin(session, word, format, told(Told::Default));
    }
    let path = word.path();
    let failed = |error: io::Error| Failure::file("read", path, &error).at(word.span.clone());
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        let foreign = match flag {
            Some(Format::Text(format)) => {
                let failure =
                    Failure::command(format!("{} is a file's format; this is a directory", format.name()));
                return Err(failure.at(word.span.clone()));
            }
            Some(Format::Files(format)) => Some(format),
            None => None,
        };
        let files = Files::of(path, foreign).map_err(|failure| failure.at(word.span.clone()))?;
        return records(session, word, files, told(Told::Contents));
    }
    let (_, stem) = Packing::of_name(path);
    let name = path.file_name().unwrap_or_default().as_bytes();
    let named = foreign::Format::of(name).map(Format::Files).or(rows::Format::of(stem).map(Format::Text));
    if flag.is_none() && path.file_name().is_some_and(|name| StoreFile::parse(name).is_some()) {
        let shown = visible(&word.bytes);
        let message = format!("{shown} is a store's own file by its name, and is not imported");
        return Err(Failure::command(message).at(word.span.clone()).hint(COPY));
    }
    if let (None, Some(ending)) = (flag.or(named), rows::foreign_ending(stem)) {
        let message = format!("import does not read .{ending} files; it reads {}", FORMATS.join(", "));
        return Err(Failure::usage(message).at(word.span.clone()).hint(WRONG_NAME));
    }
    let told = told(if named.is_some() { Told::Name } else { Told::Default });
    match flag.or(named).unwrap_or(Format::Text(rows::Format::Jsonl)) {
        Format::Files(format) => records(session, word, Files::one(path, format), told),
        Format::Text(rows::Format::Resp) => Err(Failure::command("resp can be exported, but not imported")
            .at(word.span.clone())
            .hint(WRONG_NAME)),
        format => {
            let input = Input::path(path).map_err(failed)?;
            let what = if metadata.is_file() {
                What::File { path: path.to_owned(), len: metadata.len() }
            } else {
                What::Open(input)
            };
            Ok(text(visible(&word.bytes), format, told, what, path))
        }
    }
}

const WRONG_NAME: &str = "--format sets the format if the name is wrong";

/// The standard input, unless the commands come from there.
fn stdin(session: &Session, word: &Word, format: Format, told: Told) -> Result<Planned, Failure> {
    let input = words::stdin(session, word, "logkv DIR import - reads it")?;
    if let Format::Files(_) = format {
        let message = "data files of another store are read from a file or a directory";
        return Err(Failure::command(message).at(word.span.clone()));
    }
    Ok(text("-".to_owned(), format, told, What::Open(input), Path::new("/dev/stdin")))
}

fn text(name: String, format: Format, told: Told, what: What, path: &Path) -> Planned {
    let (names, paths) = (vec![name.clone()], vec![path.to_owned()]);
    Planned { name, format, told, names, paths, notes: Vec::new(), what }
}

fn records(session: &Session, word: &Word, mut files: Files, told: Told) -> Result<Planned, Failure> {
    let notes = std::mem::take(&mut files.notes);
    let (paths, names) = files.files.iter().map(|file| (file.path.clone(), file.name.clone())).unzip();
    let format = Format::Files(files.format);
    let what =
        What::Records(Records::open(files, session.config.options.value_len_max, session.interrupt.clone())?);
    Ok(Planned { name: visible(&word.bytes), format, told, names, paths, notes, what })
}

impl Planned {
    /// Opens it, and reads what stands before its rows.
    pub fn open(
        &mut self,
        session: &Session,
        asked: &Asked,
        before_wait: BeforeWait<'_>,
    ) -> Result<ImportSource, Failure> {
        let (input, len) = match std::mem::replace(&mut self.what, What::Begun) {
            What::Records(records) => return Ok(ImportSource::Records(records)),
            What::Open(input) => (input, None),
            What::File { path, len } => {
                let input = Input::path(&path).map_err(|error| Failure::file("read", &path, &error))?;
                (input, Some(len))
            }
            What::Begun => unreachable!("each is opened once"),
        };
        let Format::Text(format) = self.format else { unreachable!("records are no text") };
        let packing = self.paths.first().and_then(|path| Packing::of_name(path).0);
        let reading = Reading::new(
            input,
            self.name.clone(),
            session.interrupt.clone(),
            session.config.options.value_len_max,
        );
        of_text(session.commands, reading.of_file(len, packing), format, asked.table.clone(), before_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_that_is_read_is_found_by_its_name_and_none_that_is_not() {
        for name in FORMATS {
            assert_eq!(Format::parse(name).map(Format::name), Some(*name));
        }
        assert!(!FORMATS.contains(&rows::Format::Resp.name()));
    }
}
