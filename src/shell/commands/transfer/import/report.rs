//! The reports and failures of an import.

use std::io::{self};

use super::plan::{FormatOrigin, ImportFormat, PlannedInput};
use crate::shell::commands::transfer::writer::ImportCounts;
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::term::output::Output;
use crate::shell::term::units;

/// The report of one input, or of all.
pub struct ImportReport<'a> {
    /// The name of the input, if it is one of several.
    pub name: Option<&'a str>,
    /// The numbers of imported rows.
    pub counts: ImportCounts,
    /// The number of rejected rows.
    pub rejected: u64,
    /// The format and its source. `None` for all inputs together.
    pub format: Option<(ImportFormat, FormatOrigin)>,
    pub names: Vec<String>,
    /// The reason why the rest was given up.
    pub given_up: Option<&'a str>,
}

impl<'a> ImportReport<'a> {
    /// Creates the report of the only input.
    pub fn of(planned: &PlannedInput, counts: ImportCounts, rejected: u64) -> Self {
        let format = Some((planned.format, planned.origin));
        Self { name: None, counts, rejected, format, names: planned.names.clone(), given_up: None }
    }

    /// Creates the report of one of several inputs.
    pub fn of_one(
        planned: &'a PlannedInput,
        counts: ImportCounts,
        rejected: u64,
        given_up: Option<&'a str>,
    ) -> Self {
        Self { name: Some(&planned.name), given_up, ..Self::of(planned, counts, rejected) }
    }

    /// Writes the report.
    pub fn write(&self, out: &mut Output) -> io::Result<()> {
        let mut answer = out.figures();
        answer
            .say(|_| self.sentence())
            .field("imported", self.counts.puts)
            .field("deleted", self.counts.deletes);
        answer.field("expired", self.counts.expired).field("not_set", self.counts.not_set);
        answer.field("rejected", self.rejected);
        if let Some((format, origin)) = self.format {
            answer.field("format", format.name()).field("format_from", origin.name());
        }
        answer.json("files", self.names.clone());
        for name in &self.names {
            answer.plain("file", &**name);
        }
        if let Some(why) = self.given_up {
            answer.field("given_up", why);
        }
        answer.end()?;
        Ok(())
    }

    /// Returns the report as a sentence.
    pub fn sentence(&self) -> String {
        let files = || format!(" of {}", units::count(self.names.len() as u64, "file"));
        let Some((format, origin)) = self.format else {
            return format!("imported {}{}", in_words(None, self.counts), files());
        };
        let what = in_words(Some(format), self.counts);
        let of = if let ImportFormat::Files(_) = format { files() } else { String::new() };
        let rejected = match (self.name, self.rejected) {
            (Some(_), 1..) => format!(", {} rejected", units::thousands(self.rejected)),
            _ => String::new(),
        };
        let end = if self.given_up.is_some() { "; the rest is given up" } else { "" };
        let start = self.name.map_or_else(|| "imported ".to_owned(), |name| format!("{name}: "));
        format!("{start}{what}{of}{rejected}: {}, {}{end}", format.name(), origin.in_words())
    }
}

/// Returns the imported rows as a phrase.
fn in_words(format: Option<ImportFormat>, counts: ImportCounts) -> String {
    let not_set = match counts.not_set {
        0 => String::new(),
        not_set => format!(", {} not set", units::thousands(not_set)),
    };
    written_in_words(format, counts) + &not_set
}

fn written_in_words(format: Option<ImportFormat>, counts: ImportCounts) -> String {
    let expired = match (counts.expired, counts.puts) {
        (0, _) => String::new(),
        (1, 1) => ", already expired".to_owned(),
        (expired, _) => format!(", {} of them already expired", units::thousands(expired)),
    };
    match (format, counts.deletes) {
        (None | Some(ImportFormat::Text(_)), 0) => format!("{}{expired}", units::count(counts.puts, "row")),
        (_, deletes) => {
            let comma = if counts.expired == 0 { "" } else { "," };
            let puts = units::count(counts.puts, "put");
            let deletes = units::count(deletes, "delete");
            format!("{puts}{expired}{comma} and {deletes}")
        }
    }
}

/// Creates the failure for rejected rows of the only input.
pub fn incomplete(rejected: u64, counts: ImportCounts, planned: &PlannedInput) -> Failure {
    let noun = if let ImportFormat::Files(_) = planned.format { "record" } else { "row" };
    let message =
        format!("{}; {} went in", were(rejected, noun, "rejected"), units::thousands(counts.write_count()));
    let failure = Failure::command(message);
    if planned.origin == FormatOrigin::Default {
        failure.hint("--format sets another format")
    } else {
        failure
    }
}

/// Creates the failure for several inputs with given-up files or rejected rows.
pub fn all_incomplete(given_up: u64, rejected: u64, counts: ImportCounts) -> Failure {
    let given_up = (given_up > 0).then(|| were(given_up, "file", "given up"));
    let rejected = (rejected > 0).then(|| were(rejected, "row", "rejected"));
    let what: Vec<_> = given_up.into_iter().chain(rejected).collect();
    Failure::command(format!("{}; {} went in", what.join(" and "), units::count(counts.write_count(), "row")))
}

fn were(count: u64, noun: &str, what: &str) -> String {
    let was = if count == 1 { "was" } else { "were" };
    format!("{} {was} {what}", units::count(count, noun))
}

/// Adds the imported and rejected rows to `failure`.
pub fn stopped(failure: Failure, counts: ImportCounts, rejected: u64) -> Failure {
    let went_in = format!("{} went in", units::count(counts.write_count(), "row"));
    let went_in = match rejected {
        0 => went_in,
        1 => format!("{went_in}, and 1 was rejected"),
        more => format!("{went_in}, and {} were rejected", units::thousands(more)),
    };
    let message = match failure.kind {
        Kind::Interrupted => format!("interrupted: {went_in}"),
        _ => format!("{}; {went_in}", failure.message),
    };
    Failure { message, ..failure }
}
