//! `import`: rows of files, of the standard input, or of another store's files go into this one.

mod calls;
mod plan;
mod report;

use logkv::Error;

use self::plan::{Asked, FORMATS, Planned, plan};
use self::report::{Report, all_incomplete, incomplete, stopped};
use super::rejects::{Rejects, refuse_source};
use super::source::{Source, Taken};
use super::writer::{Sum, Writer};
use crate::shell::command::{Flag, Invocation, Outcome, Takes};
use crate::shell::commands::{YES, may_replace};
use crate::shell::failure::{Failure, Kind};
use crate::shell::progress::Progress;
use crate::shell::session::Session;

/// The flags of `import`.
pub const FLAGS: &[Flag] = &[
    flag(
        "format",
        Takes::Enum(FORMATS),
        "What it is written in, where its name or what it holds does not say",
    ),
    flag("key", Takes::Field, "Takes any table: the field, or column, that is the key"),
    flag("value", Takes::Field, "The field that is the value; without it, the whole row as JSON"),
    flag(
        "rejects",
        Takes::File,
        "Keeps each row that was rejected, with its place and why; - is the standard output",
    ),
    YES,
];

const fn flag(name: &'static str, takes: Takes, doc: &'static str) -> Flag {
    Flag { name, short: None, takes, doc }
}

/// Runs `import`.
pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if session.transaction.is_some() {
        let failure = Failure::command("an import is not part of a batch");
        return Err(failure.at(invocation.name.clone()).hint("commit or rollback comes first"));
    }
    // Nothing is made for what cannot be read.
    let asked = Asked::of(invocation)?;
    let mut planned = plan(session, invocation, &asked)?;
    let mut first = Some(planned[0].open(session, &asked, &mut || Ok(()))?);
    if let Some(word) = invocation.value("rejects") {
        refuse_source(word, planned.iter().flat_map(|planned| &planned.paths))?;
        if !word.is_dash() && !may_replace(session, word)? {
            session.note("nothing was imported");
            return Ok(Outcome::Done);
        }
    }
    let rejects = Rejects::new(session, invocation.value("rejects"))?;
    let store = session.make_store()?;
    if store.is_read_only() {
        return Err(Error::ReadOnly.into());
    }
    for note in planned.iter().flat_map(|planned| &planned.notes) {
        session.note(&format!("note: {note}"));
    }
    // Rows may be rejected before anything else is said.
    session.flush();
    let mut run = Run { writer: Writer::new(store), rejects, progress: session.progress("importing") };
    let is_one = planned.len() == 1;
    let mut given_up = 0;
    for planned in &mut planned {
        let one = run.import(planned, first.take(), &asked, session);
        let why = match one.ended {
            Ok(()) => None,
            Err(Stop::One(failure)) if !is_one => Some(failure.message),
            Err(Stop::One(failure) | Stop::All(failure)) => return Err(run.give_up(failure, session)),
        };
        let report = if is_one {
            Report::of(planned, one.sum, one.rejected)
        } else {
            Report::of_one(planned, one.sum, one.rejected, why.as_deref())
        };
        run.tell(&report, session)?;
        session.flush();
        if let Some(why) = why {
            given_up += 1;
            session.fail_in_part(&Failure::command(format!("{why}; the rest of it is given up")));
        }
    }
    run.finish(&planned, given_up, session)
}

/// Why an import ended before all of it was read.
enum Stop {
    /// Of this argument nothing more can be read.
    One(Failure),
    /// Nothing more can be written, or Ctrl-C.
    All(Failure),
}

impl Stop {
    /// That `failure` ended the reading.
    fn of_source(failure: Failure) -> Self {
        if failure.kind == Kind::Interrupted { Self::All(failure) } else { Self::One(failure) }
    }
}

/// What came of one argument.
struct One {
    ended: Result<(), Stop>,
    sum: Sum,
    rejected: u64,
}

/// An import that is going on.
struct Run {
    writer: Writer,
    rejects: Rejects,
    progress: Progress,
}

impl Run {
    /// Writes all rows of `planned`, which is opened where there is no `source` yet, until Ctrl-C.
    fn import(
        &mut self,
        planned: &mut Planned,
        source: Option<Box<dyn Source>>,
        asked: &Asked,
        session: &mut Session,
    ) -> One {
        let (sum, rejected) = (self.writer.sum(), self.rejects.count());
        let source = source.map_or_else(|| planned.open(session, asked, &mut || Ok(())), Ok);
        let ended = source.map_err(Stop::of_source).and_then(|mut source| match planned.format.is_script() {
            true => calls::as_script(session, planned.name == "-", |session| {
                self.copy_script(&mut *source, session)
            }),
            false => self.copy(&mut *source, session),
        });
        self.progress.clear();
        // What was appended is acknowledged, whatever ended the import.
        let ended = ended.and(self.writer.drain().map_err(|error| Stop::All(error.into())));
        One { ended, sum: self.writer.sum() - sum, rejected: self.rejects.count() - rejected }
    }

    /// Writes a script, with its batches.
    fn copy_script(&mut self, source: &mut dyn Source, session: &mut Session) -> Result<(), Stop> {
        let mut begun = String::new();
        let mut ended = Ok(true);
        while let Ok(true) = ended {
            let had_batch = session.transaction.is_some();
            ended = self.step(source, session);
            if !had_batch && session.transaction.is_some() {
                begun = source.place();
            }
        }
        if session.transaction.take().is_some() && ended.is_ok() {
            let why = "the batch that begins here is never committed: nothing of it went in";
            let added = self.rejects.add(&begun, b"", why, session);
            return added.map_err(Stop::All);
        }
        ended.map(drop)
    }

    /// Writes all rows of `source`.
    fn copy(&mut self, source: &mut dyn Source, session: &mut Session) -> Result<(), Stop> {
        while self.step(source, session)? {}
        Ok(())
    }

    /// Writes what comes next; whether there was something.
    fn step(&mut self, source: &mut dyn Source, session: &mut Session) -> Result<bool, Stop> {
        session.interrupt.check(0).map_err(Stop::All)?;
        let (writer, mut is_written) = (&mut self.writer, true);
        let taken = source.next(&mut || {
            let drained = writer.drain();
            is_written = drained.is_ok();
            Ok(drained?)
        });
        let taken = taken.map_err(
            |failure| {
                if is_written { Stop::of_source(failure) } else { Stop::All(failure) }
            },
        )?;
        let Some(taken) = taken else { return Ok(false) };
        let reasons = self.take(taken, session).map_err(Stop::All)?;
        if let (false, Some(transaction)) = (reasons.is_empty(), &mut session.transaction) {
            transaction.has_failed = true;
        }
        for why in reasons {
            let added = self.rejects.add(&source.place(), source.line(), &why, session);
            added.map_err(Stop::All)?;
        }
        match source.progress() {
            (done, Some(total)) => self.progress.at(done, total),
            (done, None) => self.progress.so_far(done),
        }
        Ok(true)
    }

    /// Writes what was found; what of it cannot be taken, and why.
    fn take(&mut self, taken: Taken<'_>, session: &mut Session) -> Result<Vec<String>, Failure> {
        let writer = &mut self.writer;
        let reason = match taken {
            Taken::Row(row) => calls::add(session, writer, &row)?,
            Taken::Call(invocation) => calls::call(session, writer, &invocation)?,
            Taken::Rejected(why) => Some(why),
            Taken::Rows(rows) => {
                let mut reasons = Vec::new();
                for row in &rows {
                    reasons.extend(calls::add(session, writer, row)?);
                }
                return Ok(reasons);
            }
        };
        Ok(reason.into_iter().collect())
    }

    /// Tells what came of an argument, or of all. Where the rows that were rejected are the output, nothing else goes there.
    fn tell(&self, report: &Report<'_>, session: &mut Session) -> Result<(), Failure> {
        match self.rejects.are_printed() {
            true => session.note(&report.sentence()),
            false => report.write(&mut session.out)?,
        }
        Ok(())
    }

    /// Ends the import before all was read: tells what went in, and what was rejected until then.
    fn give_up(self, failure: Failure, session: &mut Session) -> Failure {
        session.flush();
        self.rejects.tell(session, true);
        self.rejects.given_up(stopped(failure, self.writer.sum()))
    }

    /// Tells what came of all arguments, of which `given_up` were not read to their ends.
    fn finish(self, planned: &[Planned], given_up: u64, session: &mut Session) -> Result<Outcome, Failure> {
        let (sum, rejected) = (self.writer.sum(), self.rejects.count());
        if planned.len() > 1 {
            let names = planned.iter().flat_map(|planned| planned.names.clone()).collect();
            let report = Report { name: None, sum, rejected, format: None, names, given_up: None };
            self.tell(&report, session)?;
        }
        session.flush();
        self.rejects.tell(session, false);
        self.rejects.finish()?;
        match planned {
            _ if (rejected, given_up) == (0, 0) => Ok(Outcome::Done),
            [one] => Err(incomplete(rejected, sum, one)),
            _ => Err(all_incomplete(given_up, rejected, sum)),
        }
    }
}
