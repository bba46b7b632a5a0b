//! `import`: rows of a file, of the standard input, or of another store's files go into this one.

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use logkv::Error;

use super::files::Files;
use super::source::{Lines, Records, Source, Taken};
use super::writer::{Sum, Writer, is_about_row};
use crate::shell::command::{Flag, Invocation, Outcome, Takes};
use crate::shell::failure::{Failure, Kind, plain_words};
use crate::shell::foreign;
use crate::shell::input::Input;
use crate::shell::json::Object;
use crate::shell::output::{Mode, Output};
use crate::shell::progress::Progress;
use crate::shell::rows;
use crate::shell::session::{Origin, Session};
use crate::shell::units;
use crate::shell::words::{Style, Word, visible};

/// The formats that are read.
const FORMATS: &[&str] = &["jsonl", "tsv", "script", "bitcask", "logkv-store"];

/// The flags of `import`.
pub const FLAGS: &[Flag] = &[Flag {
    name: "format",
    short: None,
    takes: Takes::Enum(FORMATS),
    doc: "What it is written in, where its name or what it holds does not say",
}];

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
    /// The files that are read, in that order.
    names: Vec<String>,
}

/// Runs `import`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if session.transaction.is_some() {
        let failure = Failure::command("an import is not part of a batch");
        return Err(failure.at(invocation.name.clone()).hint("commit or rollback comes first"));
    }
    let store = session.store()?;
    if store.is_read_only() {
        return Err(Error::ReadOnly.into());
    }
    let Opened { mut source, format, told, names } = open(session, invocation)?;
    let mut run = Run {
        writer: Writer::new(store),
        rejected: Rejected::default(),
        progress: session.progress("importing"),
    };
    let ended = run.copy(&mut *source, session);
    run.progress.clear();
    // What was appended is acknowledged, whatever ended the import.
    let ended = ended.and(run.writer.drain().map_err(Failure::from));
    let sum = run.writer.sum();
    if ended.is_ok() {
        write(&mut session.out, &Report { sum, rejected: run.rejected.count, format, told, names })?;
    }
    session.flush();
    run.rejected.tell(session);
    ended.map_err(|failure| stopped(failure, sum))?;
    match run.rejected.count {
        0 => Ok(Outcome::Done),
        count => {
            let was = if count == 1 { "was" } else { "were" };
            let rejected = units::count(count, noun(format));
            let message = format!("{rejected} {was} rejected; {} went in", units::thousands(sum.count()));
            let failure = Failure::command(message);
            Err(if told == Told::Default {
                failure.hint("--format says what else it may be")
            } else {
                failure
            })
        }
    }
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
    if word.style == Style::Bare && word.bytes == b"-" {
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
        return Ok(records(session, files, told(Told::Contents)));
    }
    let name = path.file_name().unwrap_or_default().as_bytes();
    let named = foreign::Format::of(name).map(Format::Files).or(rows::Format::of(path).map(Format::Lines));
    let told = told(if named.is_some() { Told::Name } else { Told::Default });
    match flag.or(named).unwrap_or(Format::Lines(rows::Format::Jsonl)) {
        Format::Files(format) => Ok(records(session, Files::one(path, format), told)),
        Format::Lines(rows::Format::Resp) => {
            let failure = Failure::command("resp is written, and not read").at(word.span.clone());
            Err(failure.hint("--format says what it is, where its name is wrong"))
        }
        Format::Lines(format) => {
            let len = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len());
            let input = Input::path(path).map_err(failed)?;
            Ok(lines(session, input, visible(&word.bytes), format, told, len))
        }
    }
}

/// The standard input, unless the commands come from there.
fn stdin(session: &Session, word: &Word, format: Format, told: Told) -> Result<Opened, Failure> {
    let failed = |message: &str| Failure::command(message).at(word.span.clone());
    if session.origin != Origin::OneShot {
        let failure = failed("- stands for the standard input, where the commands come from here");
        return Err(failure.hint("logkv DIR import - reads it"));
    }
    let Format::Lines(format) = format else {
        return Err(failed("data files of another store are read from a file or a directory"));
    };
    let input = Input::stdin().map_err(|error| {
        Failure::command(format!("cannot read the standard input: {}", plain_words(&error)))
    })?;
    Ok(lines(session, input, "-".to_owned(), format, told, None))
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
    Opened { source: Box::new(source), format: Format::Lines(format), told, names: vec![name] }
}

fn records(session: &Session, files: Files, told: Told) -> Opened {
    for note in &files.notes {
        session.note(&format!("note: {note}"));
    }
    let names = files.files.iter().map(|(_, name)| name.clone()).collect();
    let format = Format::Files(files.format);
    Opened { source: Box::new(Records::new(files, session.value_len_max)), format, told, names }
}

/// An import that is going on.
struct Run {
    writer: Writer,
    rejected: Rejected,
    progress: Progress,
}

impl Run {
    /// Writes all rows of `source`, until Ctrl-C.
    fn copy(&mut self, source: &mut dyn Source, session: &Session) -> Result<(), Failure> {
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
                self.rejected.add(|| format!("{}: rejected: {why}", source.place()));
            }
            match source.progress() {
                (done, Some(total)) => self.progress.at(done, total),
                (done, None) => self.progress.so_far(done),
            }
        }
    }
}

/// The rows that did not go in: the first of them, and how many.
#[derive(Debug, Default)]
struct Rejected {
    count: u64,
    told: Vec<String>,
}

impl Rejected {
    const TOLD_MAX: usize = 20;

    fn add(&mut self, told: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < Self::TOLD_MAX {
            self.told.push(told());
        }
    }

    fn tell(&self, session: &Session) {
        for text in &self.told {
            session.note(text);
        }
        let more = self.count - self.told.len() as u64;
        if more > 0 {
            session.note(&format!("… and {} more", units::thousands(more)));
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

fn write(out: &mut Output, report: &Report) -> io::Result<()> {
    let Report { sum, rejected, format, told, names } = report;
    match out.mode {
        Mode::Table => {
            let what = match (format, sum.deletes) {
                (Format::Lines(_), 0) => units::count(sum.puts, "row"),
                (_, deletes) => {
                    format!("{} and {}", units::count(sum.puts, "put"), units::count(deletes, "delete"))
                }
            };
            let of = match format {
                Format::Lines(_) => String::new(),
                Format::Files(_) => format!(" of {}", units::count(names.len() as u64, "file")),
            };
            writeln!(out, "imported {what}{of}: {}, {}", format.name(), told.in_words())
        }
        Mode::Plain | Mode::Raw => {
            writeln!(out, "imported\t{}\ndeleted\t{}\nrejected\t{rejected}", sum.puts, sum.deletes)?;
            writeln!(out, "format\t{}\nformat_from\t{}", format.name(), told.name())?;
            names.iter().try_for_each(|name| writeln!(out, "file\t{name}"))
        }
        Mode::Json => {
            let mut object = Object::new(out);
            object
                .field("imported", sum.puts)?
                .field("deleted", sum.deletes)?
                .field("rejected", *rejected)?;
            object.field("format", format.name())?.field("format_from", told.name())?;
            object.field("files", names.clone())?.end()
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

    #[test]
    fn of_rows_that_are_rejected_no_more_are_kept_than_are_told() {
        let mut rejected = Rejected::default();
        for n in 0..1000 {
            rejected.add(|| format!("{n}"));
        }
        assert_eq!((rejected.count, rejected.told.len()), (1000, Rejected::TOLD_MAX));
    }
}
