//! `import`: rows of a file, of the standard input, or of another store's files go into this one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use logkv::Error;

use super::files::Files;
use super::rejects::Rejects;
use super::source::{Lines, Records, Source, Taken};
use super::writer::{Sum, Writer, is_about_row};
use crate::shell::command::{Flag, Invocation, Outcome, Takes};
use crate::shell::commands;
use crate::shell::failure::{Failure, Kind};
use crate::shell::foreign;
use crate::shell::input::Input;
use crate::shell::json::Object;
use crate::shell::output::{Mode, Output};
use crate::shell::progress::Progress;
use crate::shell::rows;
use crate::shell::session::Session;
use crate::shell::units;
use crate::shell::words::{Word, visible};

/// The formats that are read.
const FORMATS: &[&str] = &["jsonl", "tsv", "script", "bitcask", "logkv-store"];

/// The flags of `import`.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "format",
        short: None,
        takes: Takes::Enum(FORMATS),
        doc: "What it is written in, where its name or what it holds does not say",
    },
    Flag {
        name: "rejects",
        short: None,
        takes: Takes::File,
        doc: "Keeps each row that was rejected, with its place and why; - is the standard output",
    },
];

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Lines(rows::Format),
    Files(foreign::Format),
}

impl Format {
    fn parse(name: &str) -> Option<Self> {
        let foreign = foreign::Format::ALL.into_iter().find(|format| format.name() == name);
        foreign.map(Self::Files).or_else(|| rows::Format::parse(name).map(Self::Lines))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lines(format) => format.name(),
            Self::Files(format) => format.name(),
        }
    }
}

/// What said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Flag,
    Name,
    Contents,
    Default,
}

impl Told {
    fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Name => "name",
            Self::Contents => "contents",
            Self::Default => "default",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Flag => "as --format says",
            Self::Name => "as its name says",
            Self::Contents => "as the names of its files say",
            Self::Default => "as nothing says otherwise",
        }
    }
}

/// What is to be imported, opened.
struct Opened {
    source: Box<dyn Source>,
    format: Format,
    told: Told,
    /// The files that are read, in that order, as they are called in messages.
    names: Vec<String>,
    paths: Vec<PathBuf>,
    /// What the user should know of them, a sentence each.
    notes: Vec<String>,
}

/// Runs `import`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if session.transaction.is_some() {
        let failure = Failure::command("an import is not part of a batch");
        return Err(failure.at(invocation.name.clone()).hint("commit or rollback comes first"));
    }
    // Nothing is made for what cannot be read.
    let Opened { mut source, format, told, names, paths, notes } = open(session, invocation)?;
    let rejects = Rejects::new(session, invocation.value("rejects"), &paths)?;
    let store = session.make_store()?;
    if store.is_read_only() {
        return Err(Error::ReadOnly.into());
    }
    notes.iter().for_each(|note| session.note(&format!("note: {note}")));
    // Rows may be rejected before anything else is said.
    session.flush();
    let mut run = Run { writer: Writer::new(store), rejects, progress: session.progress("importing") };
    let ended = run.copy(&mut *source, session);
    run.progress.clear();
    // What was appended is acknowledged, whatever ended the import.
    let ended = ended.and(run.writer.drain().map_err(Failure::from));
    let (sum, rejected) = (run.writer.sum(), run.rejects.count());
    let report = Report { sum, rejected, format, told, names };
    match ended.is_ok() {
        true if run.rejects.are_printed() => session.note(&report.sentence()),
        true => write(&mut session.out, &report)?,
        false => {}
    }
    session.flush();
    run.rejects.tell(session, ended.is_err());
    if let Err(failure) = ended {
        return Err(run.rejects.given_up(stopped(failure, sum)));
    }
    run.rejects.finish()?;
    if rejected == 0 { Ok(Outcome::Done) } else { Err(incomplete(rejected, sum, format, told)) }
}

/// That some rows were rejected.
fn incomplete(rejected: u64, sum: Sum, format: Format, told: Told) -> Failure {
    let was = if rejected == 1 { "was" } else { "were" };
    let count = units::count(rejected, noun(format));
    let message = format!("{count} {was} rejected; {} went in", units::thousands(sum.count()));
    let failure = Failure::command(message);
    if told == Told::Default { failure.hint("--format says what else it may be") } else { failure }
}

/// What a format has many of.
fn noun(format: Format) -> &'static str {
    match format {
        Format::Lines(_) => "row",
        Format::Files(_) => "record",
    }
}

/// `failure`, with how far the import came.
fn stopped(failure: Failure, sum: Sum) -> Failure {
    let went_in = format!("{} went in", units::count(sum.count(), "row"));
    let message = match failure.kind {
        Kind::Interrupted => format!("interrupted: {went_in}"),
        _ => format!("{}; {went_in}", failure.message),
    };
    Failure { message, ..failure }
}

/// Finds out what the argument is, and opens it.
fn open(session: &Session, invocation: &Invocation) -> Result<Opened, Failure> {
    let word = &invocation.args[0];
    let flag =
        invocation.value("format").and_then(|word| str::from_utf8(&word.bytes).ok()).and_then(Format::parse);
    let told = |otherwise| if flag.is_some() { Told::Flag } else { otherwise };
    if word.is_dash() {
        let format = flag.unwrap_or(Format::Lines(rows::Format::Jsonl));
        return stdin(session, word, format, told(Told::Default));
    }
    let path = word.path();
    let failed = |error: io::Error| Failure::file("read", path, &error).at(word.span.clone());
    if fs::metadata(path).map_err(failed)?.is_dir() {
        let foreign = match flag {
            Some(Format::Lines(format)) => {
                let failure =
                    Failure::command(format!("{} is a file's format; this is a directory", format.name()));
                return Err(failure.at(word.span.clone()));
            }
            Some(Format::Files(format)) => Some(format),
            None => None,
        };
        let files = Files::of(path, foreign).map_err(|failure| failure.at(word.span.clone()))?;
        return records(session, files, told(Told::Contents));
    }
    let name = path.file_name().unwrap_or_default().as_bytes();
    let named = foreign::Format::of(name).map(Format::Files).or(rows::Format::of(path).map(Format::Lines));
    let told = told(if named.is_some() { Told::Name } else { Told::Default });
    match flag.or(named).unwrap_or(Format::Lines(rows::Format::Jsonl)) {
        Format::Files(format) => records(session, Files::one(path, format), told),
        Format::Lines(rows::Format::Resp) => {
            let failure = Failure::command("resp is written, and not read").at(word.span.clone());
            Err(failure.hint("--format says what it is, where its name is wrong"))
        }
        Format::Lines(format) => {
            let len = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
            let input = Input::path(path).map_err(failed)?;
            let opened = lines(session, input, visible(&word.bytes), format, told, len);
            Ok(Opened { paths: vec![path.to_owned()], ..opened })
        }
    }
}

/// The standard input, unless the commands come from there.
fn stdin(session: &Session, word: &Word, format: Format, told: Told) -> Result<Opened, Failure> {
    let input = commands::words::stdin(session, word, "logkv DIR import - reads it")?;
    let Format::Lines(format) = format else {
        let message = "data files of another store are read from a file or a directory";
        return Err(Failure::command(message).at(word.span.clone()));
    };
    let opened = lines(session, input, "-".to_owned(), format, told, None);
    Ok(Opened { paths: vec![PathBuf::from("/dev/stdin")], ..opened })
}

fn lines(
    session: &Session,
    input: Input,
    name: String,
    format: rows::Format,
    told: Told,
    len: Option<u64>,
) -> Opened {
    let interrupt = session.interrupt.clone();
    let source = Lines::new(input, format, name.clone(), interrupt, len, session.value_len_max);
    Opened {
        source: Box::new(source),
        format: Format::Lines(format),
        told,
        names: vec![name],
        paths: Vec::new(),
        notes: Vec::new(),
    }
}

fn records(session: &Session, mut files: Files, told: Told) -> Result<Opened, Failure> {
    let notes = std::mem::take(&mut files.notes);
    let (paths, names) = files.files.iter().map(|file| (file.path.clone(), file.name.clone())).unzip();
    let format = Format::Files(files.format);
    let source = Box::new(Records::open(files, session.value_len_max, session.interrupt.clone())?);
    Ok(Opened { source, format, told, names, paths, notes })
}

/// An import that is going on.
struct Run {
    writer: Writer,
    rejects: Rejects,
    progress: Progress,
}

impl Run {
    /// Writes all rows of `source`, until Ctrl-C.
    fn copy(&mut self, source: &mut dyn Source, session: &mut Session) -> Result<(), Failure> {
        loop {
            session.interrupt.check(0)?;
            let writer = &mut self.writer;
            let Some(taken) = source.next(&mut || Ok(writer.drain()?))? else { return Ok(()) };
            let reasons = match taken {
                Taken::Rejected(why) => vec![why],
                Taken::Rows(rows) => {
                    let mut reasons = Vec::new();
                    for row in &rows {
                        match self.writer.add(row) {
                            Err(error) if is_about_row(&error) => reasons.push(error.to_string()),
                            added => added?,
                        }
                    }
                    reasons
                }
            };
            for why in reasons {
                self.rejects.add(&source.place(), source.line(), &why, session)?;
            }
            match source.progress() {
                (done, Some(total)) => self.progress.at(done, total),
                (done, None) => self.progress.so_far(done),
            }
        }
    }
}

/// What came of an import.
struct Report {
    sum: Sum,
    rejected: u64,
    format: Format,
    told: Told,
    names: Vec<String>,
}

impl Report {
    fn sentence(&self) -> String {
        let Self { sum, format, told, names, .. } = self;
        let what = in_words(*format, *sum);
        let of = match format {
            Format::Lines(_) => String::new(),
            Format::Files(_) => format!(" of {}", units::count(names.len() as u64, "file")),
        };
        format!("imported {what}{of}: {}, {}", format.name(), told.in_words())
    }
}

fn write(out: &mut Output, report: &Report) -> io::Result<()> {
    let Report { sum, rejected, format, told, names } = report;
    match out.mode {
        Mode::Table => writeln!(out, "{}", report.sentence()),
        Mode::Plain | Mode::Raw => {
            writeln!(out, "imported\t{}\ndeleted\t{}", sum.puts, sum.deletes)?;
            writeln!(out, "expired\t{}\nrejected\t{rejected}", sum.expired)?;
            writeln!(out, "format\t{}\nformat_from\t{}", format.name(), told.name())?;
            names.iter().try_for_each(|name| writeln!(out, "file\t{name}"))
        }
        Mode::Json => {
            let mut object = Object::new(out);
            object
                .field("imported", sum.puts)?
                .field("deleted", sum.deletes)?
                .field("expired", sum.expired)?
                .field("rejected", *rejected)?;
            object.field("format", format.name())?.field("format_from", told.name())?;
            object.field("files", names.clone())?.end()
        }
    }
}

/// What went in, for people.
fn in_words(format: Format, sum: Sum) -> String {
    let expired = match (sum.expired, sum.puts) {
        (0, _) => String::new(),
        (1, 1) => ", which had expired already".to_owned(),
        (expired, _) => format!(", {} of which had expired already", units::thousands(expired)),
    };
    match (format, sum.deletes) {
        (Format::Lines(_), 0) => format!("{}{expired}", units::count(sum.puts, "row")),
        (_, deletes) => {
            let comma = if sum.expired == 0 { "" } else { "," };
            let (puts, deletes) = (units::count(sum.puts, "put"), units::count(deletes, "delete"));
            format!("{puts}{expired}{comma} and {deletes}")
        }
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
