//! `import`: writes rows of files, of the standard input or of another store's data files.

mod calls;
mod open_batch;
mod plan;
mod report;

use std::slice;

use self::open_batch::{OpenBatch, RejectedLine};
use self::plan::{FORMATS, ImportFlags, PlannedInput, plan};
use self::report::{ImportReport, all_incomplete, incomplete, stopped};
use super::rejects::{Rejects, refuse_source};
use super::source::{ImportItem, ImportSource};
use super::writer::{ImportCounts, Writer};
use crate::shell::commands::words::may_replace;
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::progress::Progress;

const FLAGS: &[Flag] = &[
    Flag::long("format", Takes::Enum(FORMATS), "The format, if neither the name nor the content says it"),
    Flag::long("key", Takes::Field, "Imports any table: this field, or column, is the key"),
    Flag::long("value", Takes::Field, "The field that is the value; without it, the whole row as JSON"),
    Flag::long(
        "rejects",
        Takes::File,
        "Keeps each rejected row, with its place and the reason; - is the standard output",
    ),
    YES,
];

pub const IMPORT: Command = Command {
    name: "import",
    aliases: &[],
    group: Group::Maintain,
    signature: "FILE|-|DIR… [--format jsonl|json|csv|tsv|script|bitcask|logkv-store] \
                [--key FIELD [--value FIELD]] [--rejects FILE [-y|--yes]]",
    summary: "Imports rows of files, or another store's data files",
    help: "Sets the keys that a file contains. A one-shot import also reads the standard input (-). Blank \
           lines are skipped.\n\n\
           The ending of the name (.jsonl, .ndjson, .json, .csv, .tsv or .script) gives the format; \
           without one it is jsonl. A file that is compressed with gzip or zstd is decompressed, \
           whatever its name (.jsonl.gz, .csv.zst). If a compressed file is damaged, rows before the \
           damage may be wrong too.\n\n\
           jsonl has one object per line; json has objects in an array or over several lines. Their \
           fields are key and value, or key_b64 and value_b64 for bytes that are not text, and \
           expires_ms, the expiry in milliseconds since 1970. Other fields are ignored, and null counts as \
           absent. A value that is not a string is stored as its JSON text, and so is a key that is a \
           number, true or false.\n\n\
           csv has these fields as columns below a header, separated by commas, or by semicolons or \
           tabs if the header has no comma; a column that is used must be unique. tsv has key, tab, \
           value, with \\t \\n \\r \\\\ and \\xHH, as PostgreSQL's COPY writes it, and after another \
           tab the expiry.\n\n\
           script has the writing commands that read FILE runs: put, del, incr, expire and persist with \
           their flags, begin, commit and rollback; --ttl counts from the import. If a batch is not \
           written, each of its lines is rejected.\n\n\
           --key imports any jsonl, json, csv, or tsv with a header: the field that it names is the key, \
           and the field that --value names is the value. Without --value the value is the whole row, \
           as JSON.\n\n\
           Several files are checked before the first row is imported, and are imported in order. If one \
           breaks off or is damaged, the rows before that place stay, and the other files are still \
           imported; exit code 1.\n\n\
           A directory must contain data files of Riak's bitcask (N.bitcask.data) or of the Go program \
           logkv-store (segment_N.log); FILE may also be one such file. Records and deletes are imported \
           from the oldest to the newest, so the last one of each key counts. Their times are not kept: a \
           record gets the time of its import. A bitcask data file that others may execute, or that has \
           the setuid bit, was merged and about to be removed; it is left out unless it is FILE.\n\n\
           A row that cannot be imported is reported on the standard error at once, with its line, or \
           its file and offset, and the reason. The other rows are imported; exit code 1. A terminal \
           shows only the first 20 of these rows.\n\n\
           --rejects writes all rejected rows to a file: the place, tab, the reason, tab, and the line \
           unchanged, so cut -f3- returns the rows to mend. If a row has several lines, two tabs precede \
           each further one. The standard error then has only the first 20. The file is created or \
           replaced after everything is read. An existing file is replaced only after a question, or \
           with -y.\n\n\
           A row that has already expired is imported too, hides the older value of its key, and is \
           counted as expired. Ctrl-C stops at the next row, and the rows before it stay. If nothing can \
           be read, no store is created.\n\n\
           Mode plain has name, tab, value; mode json one object: imported, deleted, expired (how many \
           of those imported), not_set (commands such as put --nx that set nothing), rejected, format, \
           format_from (flag, name, contents, default), files. Several files have one object each, \
           with given_up if the file broke off, and one object for all, without a format. A rejected row \
           is an object too: error, file, row (its line), column if it is not the first of its line, or \
           offset, and why.",
    examples: &[
        Example { line: "import users.jsonl", does: "sets the keys of a file" },
        Example { line: "import a.jsonl b.csv.gz", does: "imports two files, the second one compressed" },
        Example { line: "import users.csv --key id", does: "imports any table: each row as JSON, by its id" },
        Example { line: "import users.csv --key id --value name", does: "sets each id to its name" },
        Example { line: "import users.txt --format tsv", does: "reads it as tab-separated" },
        Example { line: "import users.jsonl --rejects bad.tsv", does: "keeps the rejected rows" },
        Example { line: "import ./riak", does: "imports a directory of Riak's bitcask" },
    ],
    flags: FLAGS,
    args: &[ArgKind::File],
    arity: Arity::at_least(1),
    needs: Needs::NewStore,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if session.has_batch() {
        let failure = Failure::command("import does not work in a batch");
        return Err(failure.at(invocation.name.clone()).hint("commit or rollback comes first"));
    }
    session.check_writes()?;
    // The store is created only after all inputs have been checked.
    let flags = ImportFlags::of(invocation)?;
    let mut planned = plan(session, invocation, &flags)?;
    let mut first = Some(planned[0].open(session, &flags, &mut || Ok(()))?);
    if let Some(word) = invocation.value("rejects") {
        refuse_source(word, planned.iter().flat_map(|planned| &planned.paths))?;
        if !word.is_dash() && !may_replace(session, word)? {
            session.note("nothing was imported");
            return Ok(Outcome::Done);
        }
    }
    let rejects = Rejects::new(session, invocation.value("rejects"))?;
    let store = session.make_store()?;
    for note in planned.iter().flat_map(|planned| &planned.notes) {
        session.note(&format!("note: {note}"));
    }
    // The first rejected row must come after earlier output.
    session.flush();
    let mut run = ImportRun { writer: Writer::new(store), rejects, progress: session.progress("importing") };
    let is_one = planned.len() == 1;
    let mut given_up = 0;
    for planned in &mut planned {
        let result = run.import(planned, first.take(), &flags, session);
        let why = match result.ended {
            Ok(()) => None,
            Err(EarlyEnd::One(failure)) if !is_one => Some(failure.message),
            Err(EarlyEnd::One(failure) | EarlyEnd::All(failure)) => return Err(run.give_up(failure, session)),
        };
        let report = if is_one {
            ImportReport::of(planned, result.counts, result.rejected)
        } else {
            ImportReport::of_one(planned, result.counts, result.rejected, why.as_deref())
        };
        run.report(&report, session)?;
        session.flush();
        if let Some(why) = why {
            given_up += 1;
            session.fail_in_part(&Failure::command(format!("{why}; the rest of it is given up")));
        }
    }
    run.finish(&planned, given_up, session)
}

/// The reason why an import ended early.
enum EarlyEnd {
    /// The rest of this input cannot be read.
    One(Failure),
    /// Nothing more can be written, or Ctrl-C was pressed.
    All(Failure),
}

impl EarlyEnd {
    /// Converts a failure of reading.
    fn of_source(failure: Failure) -> Self {
        if failure.kind == Kind::Interrupted { Self::All(failure) } else { Self::One(failure) }
    }
}

/// The result of one input.
struct InputResult {
    ended: Result<(), EarlyEnd>,
    counts: ImportCounts,
    rejected: u64,
}

/// The result of one step.
enum StepResult {
    /// An item was imported, or rejected for this reason.
    Taken(Option<String>),
    /// A line had nothing to import.
    Passed,
    /// The input has ended.
    End,
}

/// An import in progress.
struct ImportRun {
    writer: Writer,
    rejects: Rejects,
    progress: Progress,
}

impl ImportRun {
    /// Imports the rows of `planned` until Ctrl-C. Opens it unless `source` is given.
    fn import(
        &mut self,
        planned: &mut PlannedInput,
        source: Option<ImportSource>,
        flags: &ImportFlags,
        session: &mut Session,
    ) -> InputResult {
        let counts = self.writer.counts();
        let rejected = self.rejects.count();
        self.progress = session.progress("importing");
        let source = source.map_or_else(|| planned.open(session, flags, &mut || Ok(())), Ok);
        let ended =
            source.map_err(EarlyEnd::of_source).and_then(|mut source| match planned.format.is_script() {
                true => {
                    session.as_script(planned.name == "-", |session| self.copy_script(&mut source, session))
                }
                false => self.copy(&mut source, session),
            });
        self.progress.clear();
        self.rejects.note_rest(session, ended.is_err());
        // Appended rows are acknowledged, however the import ended.
        let ended = ended.and(self.writer.drain().map_err(|error| EarlyEnd::All(error.into())));
        InputResult {
            ended,
            counts: self.writer.counts() - counts,
            rejected: self.rejects.count() - rejected,
        }
    }

    /// Imports a script with its batches. Rejects every line of a batch that is not written.
    fn copy_script(&mut self, source: &mut ImportSource, session: &mut Session) -> Result<(), EarlyEnd> {
        let mut batch = OpenBatch::default();
        let ended = loop {
            let was_open = session.has_batch();
            match self.step(source, session) {
                Ok(StepResult::End) => break Ok(()),
                Ok(StepResult::Taken(reason)) if was_open || session.has_batch() => {
                    batch.add(source, reason, self.rejects.are_kept());
                    if !session.has_batch() {
                        self.reject_batch(batch.ended(), session)?;
                    }
                }
                Ok(StepResult::Taken(reason)) => self.reject(source, reason, session)?,
                Ok(StepResult::Passed) => {}
                Err(stop) => break Err(stop),
            }
        };
        let is_open = session.take_batch().is_some();
        let rejected = if is_open { self.reject_batch(batch.never_committed(), session) } else { Ok(()) };
        ended.and(rejected)
    }

    /// Imports the rows of `source`.
    fn copy(&mut self, source: &mut ImportSource, session: &mut Session) -> Result<(), EarlyEnd> {
        loop {
            match self.step(source, session)? {
                StepResult::End => return Ok(()),
                StepResult::Taken(reason) => self.reject(source, reason, session)?,
                StepResult::Passed => {}
            }
        }
    }

    fn reject_batch(&mut self, lines: Vec<RejectedLine>, session: &mut Session) -> Result<(), EarlyEnd> {
        let rejects = &mut self.rejects;
        self.progress
            .hidden_while(|| {
                lines.iter().try_for_each(|line| rejects.add(&line.place, &line.text, &line.why, session))
            })
            .map_err(EarlyEnd::All)
    }

    fn reject(
        &mut self,
        source: &ImportSource,
        reason: Option<String>,
        session: &mut Session,
    ) -> Result<(), EarlyEnd> {
        let Some(why) = reason else { return Ok(()) };
        let rejects = &mut self.rejects;
        let place = source.place();
        self.progress
            .hidden_while(|| rejects.add(&place, source.line(), &why, session))
            .map_err(EarlyEnd::All)
    }

    /// Imports the next item.
    fn step(&mut self, source: &mut ImportSource, session: &mut Session) -> Result<StepResult, EarlyEnd> {
        session.interrupt().check(0).map_err(|pressed| EarlyEnd::All(pressed.into()))?;
        let writer = &mut self.writer;
        let mut is_written = true;
        let taken = source.next(&mut || {
            let drained = writer.drain();
            is_written = drained.is_ok();
            Ok(drained?)
        });
        let taken =
            taken.map_err(
                |failure| {
                    if is_written { EarlyEnd::of_source(failure) } else { EarlyEnd::All(failure) }
                },
            )?;
        let step = match taken {
            None => return Ok(StepResult::End),
            Some(ImportItem::Rows(rows)) if rows.is_empty() => StepResult::Passed,
            Some(taken) => StepResult::Taken(self.take(taken, session).map_err(EarlyEnd::All)?),
        };
        if let (StepResult::Taken(reason), Some(transaction)) = (&step, session.batch_mut()) {
            transaction.has_failed |= reason.is_some();
        }
        match source.progress() {
            (done, Some(total)) => self.progress.at(done, total),
            (done, None) => self.progress.so_far(done),
        }
        Ok(step)
    }

    /// Writes an item. Returns a reason if it is rejected.
    fn take(&mut self, taken: ImportItem<'_>, session: &mut Session) -> Result<Option<String>, Failure> {
        let writer = &mut self.writer;
        match taken {
            ImportItem::Row(row) => calls::add(session, writer, slice::from_ref(&row)),
            ImportItem::Rows(rows) => calls::add(session, writer, &rows),
            ImportItem::Call(invocation) => calls::call(session, writer, &invocation),
            ImportItem::Rejected(why) => Ok(Some(why)),
        }
    }

    /// Reports an input, or the whole import. If the rejected rows are the output, the report goes
    /// to the standard error.
    fn report(&self, report: &ImportReport<'_>, session: &mut Session) -> Result<(), Failure> {
        match self.rejects.are_printed() {
            true => session.note(&report.sentence()),
            false => report.write(&mut session.out)?,
        }
        Ok(())
    }

    /// Adds the imported and rejected rows to a failure that ends the import.
    fn give_up(self, failure: Failure, session: &mut Session) -> Failure {
        session.flush();
        let rejected = self.rejects.count();
        self.rejects.given_up(stopped(failure, self.writer.counts(), rejected))
    }

    /// Reports the whole import. `given_up` inputs were not read to their end.
    fn finish(
        self,
        planned: &[PlannedInput],
        given_up: u64,
        session: &mut Session,
    ) -> Result<Outcome, Failure> {
        let counts = self.writer.counts();
        let rejected = self.rejects.count();
        if planned.len() > 1 {
            let names = planned.iter().flat_map(|planned| planned.names.clone()).collect();
            let report = ImportReport { name: None, counts, rejected, format: None, names, given_up: None };
            self.report(&report, session)?;
        }
        session.flush();
        self.rejects.finish()?;
        match planned {
            _ if (rejected, given_up) == (0, 0) => Ok(Outcome::Done),
            [one] => Err(incomplete(rejected, counts, one)),
            _ => Err(all_incomplete(given_up, rejected, counts)),
        }
    }
}
