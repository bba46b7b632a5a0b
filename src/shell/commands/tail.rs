//! `tail`: the log's records as they are appended.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use logkv::{At, Change, Changes, Cursor, CursorError, Error, Seqno};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::keys::quote_start;
use super::point::{not_yet, past, point, searching};
use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{Arity, Example, Flag, Group, Needs, Outcome, Takes, number};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::times::MOMENTS;
use crate::shell::lang::words::{Word, is_digits, shown, visible};
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::moment::Moment;
use crate::shell::term::output::Output;
use crate::shell::term::style::{Look, hue};

/// How many records are shown when nothing else is said, as by tail(1).
const LAST_COUNT: u64 = 10;
/// How often a wait looks whether it is to end: records themselves end it at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub const TAIL: Command = Command {
    name: "tail",
    aliases: &[],
    group: Group::Inspect,
    signature: "[-f|--follow] [--from SEQ|CURSOR|TIME] [-n|--lines N]",
    summary: "The last records of the log, and those that come",
    help: "Shows the last 10 records in the order they were written.\n\n\
           --follow goes on with records as this process or another one appends them, until Ctrl-C; a \
           batch is shown when it is complete. Beside a writer, with --read-only, records are shown \
           when they are in the file, which may be before they are durable.\n\n\
           --from starts at a record's number, at the first record after a time, such as 10m or \
           yesterday, or at the cursor where an earlier tail ended: SEQ@LINEAGE. A store that was \
           restored or repaired since has another lineage. A cursor of the old one fails, and so does a \
           number beyond the log's end. If compaction has dropped records from there on, it says so and \
           shows what is left.\n\n\
           Mode plain has number, milliseconds since 1970, place, PUT or DEL, key and value, separated \
           by tabs. Mode json has the cursor to continue from in each record that ends a batch, or in \
           an object of its own if no record is shown. It has an object of its own with compacted_to \
           where records up to that number are gone, or with given_up_to where a repair may have lost \
           them.",
    examples: &[
        Example { line: "tail", does: "shows the last ten records" },
        Example { line: "tail -f", does: "goes on with what is written" },
        Example { line: "tail -f --from 1 --json", does: "is a feed of all changes, for a program" },
    ],
    flags: &[
        Flag {
            name: "follow",
            short: Some('f'),
            takes: Takes::Nothing,
            doc: "Goes on with what is appended, until Ctrl-C",
        },
        Flag {
            name: "from",
            short: None,
            takes: Takes::Cursor,
            doc: "Starts at the record of this number, or the next existing one, at a cursor, or after a time",
        },
        Flag {
            name: "lines",
            short: Some('n'),
            takes: Takes::Number,
            doc: "Shows this many of the last records, or with --from this many at most",
        },
    ],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Reading,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let from = invocation.value("from").map(|word| start(session, word)).transpose()?;
    let lines = invocation.number("lines")?;
    let follows = invocation.has("follow");
    let store = session.store()?;
    let (mut changes, left) = match from {
        Some(from) => (store.changes(from), lines),
        // How many of them there are is no reason to stop.
        None => {
            let count = lines.unwrap_or(LAST_COUNT);
            let changes =
                searching(session.interrupt(), |observe| store.recent_changes_with(count, observe))?;
            (changes, None)
        }
    };
    if follows {
        // What comes with time is no page.
        session.out.flush()?;
    }
    let mut tail = Tail::new(session.out.look, follows);
    let ended = tail.follow(session, &mut changes, left, follows);
    tail.table.end(&mut session.out)?;
    if ended.is_ok() && tail.count == 0 && lines != Some(0) {
        session.out.say(|_| "no records")?;
    }
    let is_interrupted = ended.as_ref().is_err_and(|failure| failure.kind == Kind::Interrupted);
    if ended.is_ok() || is_interrupted {
        tell_cursor(session, tail.count, changes.cursor())?;
    }
    ended.map(|()| Outcome::Done)
}

/// The record that `word` names by a cursor, a bare number, or a time: the first one after that.
fn start(session: &Session, word: &Word) -> Result<Cursor, Failure> {
    match str::from_utf8(&word.bytes) {
        Ok(text) if text.contains('@') => text.parse().map_err(|error: CursorError| {
            Failure::usage(format!("{error}, not {}", shown(&word.bytes))).at(word.span.clone())
        }),
        Ok(text) if !is_digits(text) => {
            let point = point(session, word).map_err(|failure| {
                let given = shown(&word.bytes);
                let message = format!("--from takes a record's number, a cursor, {MOMENTS}, not {given}");
                Failure { message, ..failure }
            })?;
            Ok(past(session, point)?.seq().plus(1).into())
        }
        _ => {
            let seq = Seqno(number(word, "--from")?);
            let next = session.store()?.at(At::Seq(Seqno(u64::MAX)))?.seq().plus(1);
            if seq <= next {
                return Ok(seq.into());
            }
            let hint = "where a feed gave this number this log is older: rebuild from a snapshot, and continue from its cursor";
            Err(not_yet(word, next).hint(hint))
        }
    }
}

/// What was shown.
struct Tail {
    count: u64,
    /// For people.
    table: Table,
    /// Whether rows come with time: nobody knows what they will hold.
    follows: bool,
    /// Whether the next record belongs to the same batch as the last one.
    is_within: bool,
}

impl Tail {
    fn new(look: Look, follows: bool) -> Self {
        Self { count: 0, table: Table::new(&[], look), follows, is_within: false }
    }

    /// Shows at most `left` records, and if it `follows`, those that are appended.
    fn follow(
        &mut self,
        session: &mut Session,
        changes: &mut Changes,
        mut left: Option<u64>,
        follows: bool,
    ) -> Result<(), Failure> {
        let followed = identity(session.dir());
        loop {
            self.show(session, changes, &mut left)?;
            if !follows || left == Some(0) {
                return Ok(());
            }
            self.table.flush(&mut session.out)?;
            session.out.flush()?;
            // Without inotify each wait ends as if there were something new.
            loop {
                let has_more = changes.wait(LOOK_INTERVAL)?;
                self.check_goes_on(session, followed)?;
                if has_more {
                    break;
                }
            }
        }
    }

    /// Fails if following cannot go on.
    fn check_goes_on(&self, session: &Session, followed: Option<(u64, u64)>) -> Result<(), Failure> {
        session.interrupt().check(self.count)?;
        if identity(session.dir()) != followed {
            let dir = visible(session.dir().as_os_str().as_encoded_bytes());
            return Err(Failure::command(format!("{dir} is no longer the directory that was followed")));
        }
        if nobody_reads() {
            return Err(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        Ok(())
    }

    /// Shows what there is by now, `left` at most.
    fn show(
        &mut self,
        session: &mut Session,
        changes: &mut Changes,
        left: &mut Option<u64>,
    ) -> Result<(), Failure> {
        while *left != Some(0)
            && let Some(change) = changes.next()
        {
            session.interrupt().check(self.count)?;
            match change {
                Ok(change) => {
                    self.write(&mut session.out, &change, changes.cursor())?;
                    self.count += 1;
                    *left = left.map(|left| left - 1);
                }
                Err(Error::CompactedAway { whole_from }) => {
                    self.table.flush(&mut session.out)?;
                    tell_missing(session, "compacted_to", "were compacted away", whole_from.previous())?;
                }
                Err(Error::GivenUp { whole_from }) => {
                    self.table.flush(&mut session.out)?;
                    let what = "may have been given up by a repair, or compacted away";
                    tell_missing(session, "given_up_to", what, whole_from.previous())?;
                }
                // It costs itself alone: what comes behind it is shown.
                Err(error @ Error::Damaged { .. }) => {
                    self.table.flush(&mut session.out)?;
                    session.fail_in_part(&Failure::from(error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write(&mut self, out: &mut Output, change: &Change, cursor: Cursor) -> io::Result<()> {
        let Change { meta, value, goes_on } = change;
        let was_within = std::mem::replace(&mut self.is_within, *goes_on);
        let (kind, value) = (if value.is_some() { "PUT" } else { "DEL" }, value.as_deref());
        // Most keys fit.
        let expected = |width| if self.follows { width } else { 0 };
        let mut row = out.row(&mut self.table);
        // What binds the records of a batch together.
        row.cell(Column::text("", hue::PLAIN).expecting(expected(1)), |look| {
            bracket(was_within, *goes_on, look.ascii)
        });
        row.json("key", &*meta.key).json("value", value);
        row.cell(Column::number("seq", hue::PLAIN).expecting(expected(8)), |_| meta.seq.to_string());
        row.field("seq", meta.seq.0);
        row.cell(Column::text("time (UTC)", hue::PLAIN).leaves(1), |_| Moment::of(meta.time_ms).full());
        row.field("time_ms", meta.time_ms);
        row.plain("record", meta.location.to_string());
        row.json("segment", meta.location.segment.0).json("offset", meta.location.offset);
        row.json("len", meta.len).json("expires_ms", meta.expires_ms);
        row.cell(Column::text("kind", hue::PLAIN), |_| kind).plain("kind", kind);
        let key_column = Column::text("key", hue::KEY).cut().expecting(expected(21));
        row.cell(key_column, |_| quote_start(&meta.key)).plain("key", &*meta.key);
        row.cell(Column::text("value", hue::VALUE).cut(), |look| {
            value.map_or_else(|| look.none().to_owned(), quote_start)
        });
        row.plain("value", value.map_or("-".into(), FieldValue::Bytes));
        row.json("batch_goes_on", *goes_on).json("cursor", (!goes_on).then(|| cursor.to_string())).end()?;
        Ok(())
    }
}

/// Reports where to continue. In JSON the last record has it already, if one of `count` was shown.
fn tell_cursor(session: &mut Session, count: u64, cursor: Cursor) -> io::Result<()> {
    if count > 0 && session.out.is_json() {
        return Ok(());
    }
    if !session.out.answer().json("cursor", cursor.to_string()).end()? {
        note_cursor(session, cursor);
    }
    Ok(())
}

/// Says on the standard error where a feed continues, unless the session is quiet.
pub fn note_cursor(session: &mut Session, cursor: Cursor) {
    if !session.settings().quiet {
        session.flush();
        session.note(&format!("note: `tail --from {cursor}` goes on from here"));
    }
}

/// Reports that records up to number `up_to` are missing: in JSON as an object with `field`.
fn tell_missing(session: &mut Session, field: &str, what: &str, up_to: Seqno) -> io::Result<()> {
    if !session.out.answer().json(field, up_to.0).end()? {
        session.flush();
        session.note(&format!("note: records up to number {up_to} {what}; the rest follows"));
    }
    Ok(())
}

/// What binds the records of a batch together.
fn bracket(was_within: bool, goes_on: bool, is_ascii: bool) -> &'static str {
    match (was_within, goes_on, is_ascii) {
        (false, false, _) => "",
        (false, true, false) => "┌",
        (true, true, false) => "│",
        (true, false, false) => "└",
        (false, true, true) => "/",
        (true, true, true) => "|",
        (true, false, true) => "\\",
    }
}

/// Which directory has the name `path`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether the other end of the pipe that is the standard output was closed.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}
