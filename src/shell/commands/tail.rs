//! `tail`: shows the last records of the log, and follows it.

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

/// The default number of records, as in tail(1).
const LAST_COUNT: u64 = 10;
/// The interval between checks for Ctrl-C. A new record ends the wait at once.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

pub const TAIL: Command = Command {
    name: "tail",
    aliases: &[],
    group: Group::Inspect,
    signature: "[-f|--follow] [--from SEQ|CURSOR|TIME] [-n|--lines N]",
    summary: "Shows the last records of the log, and follows it",
    help: "Shows the last 10 records in log order.\n\n\
           --follow goes on with records as this process or another one appends them, until Ctrl-C. It \
           shows a batch after its last record. With --read-only and another writer, it shows records \
           after they are written to the file, which may be before they are durable.\n\n\
           --from starts at a sequence number, at the first record after a time, such as 10m or \
           yesterday, or at the cursor of an earlier tail: SEQ@LINEAGE. A restore or repair gives the \
           store a new lineage, and cursors of the old one fail. So does a number beyond the end of the \
           log. If compaction has dropped some of the records, a note says so, and the others follow.\n\n\
           Mode plain has seq, milliseconds since 1970, location, PUT or DEL, key and value, separated by \
           tabs. Mode json has the cursor to continue from in the last record of each batch, or in a \
           separate object if no record is shown. An object with compacted_to says that compaction \
           dropped the records up to that number, and one with given_up_to that a repair may have lost \
           them.",
    examples: &[
        Example { line: "tail", does: "shows the last ten records" },
        Example { line: "tail -f", does: "shows new records as they are written" },
        Example { line: "tail -f --from 1 --json", does: "feeds all changes to a program" },
    ],
    flags: &[
        Flag {
            name: "follow",
            short: Some('f'),
            takes: Takes::Nothing,
            doc: "Shows new records, until Ctrl-C",
        },
        Flag {
            name: "from",
            short: None,
            takes: Takes::Cursor,
            doc: "Starts at this sequence number or the next existing one, at a cursor, or after a time",
        },
        Flag {
            name: "lines",
            short: Some('n'),
            takes: Takes::Number,
            doc: "Shows this many of the last records, or with --from at most this many",
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
        // The count selects the first record. It does not limit --follow.
        None => {
            let count = lines.unwrap_or(LAST_COUNT);
            let changes =
                searching(session.interrupt(), |observe| store.recent_changes_with(count, observe))?;
            (changes, None)
        }
    };
    if follows {
        // A pager would hold back records that arrive later.
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
        report_cursor(session, tail.count, changes.cursor())?;
    }
    ended.map(|()| Outcome::Done)
}

/// Parses `word` as a cursor, a sequence number, or a time, which means the first record after it.
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
            let hint = "if a feed gave this number, the log is older than the feed: rebuild from a snapshot, \
                        and continue from its cursor";
            Err(not_yet(word, next).hint(hint))
        }
    }
}

/// The output of a running `tail`.
struct Tail {
    /// The number of records shown.
    count: u64,
    table: Table,
    /// Whether more rows come later, so that column widths are guesses.
    follows: bool,
    /// Whether the next record belongs to the batch of the last one.
    is_within: bool,
}

impl Tail {
    fn new(look: Look, follows: bool) -> Self {
        Self { count: 0, table: Table::new(&[], look), follows, is_within: false }
    }

    /// Shows at most `left` records, with new ones if it follows.
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
            // Without inotify each wait reports a change.
            loop {
                let has_more = changes.wait(CHECK_INTERVAL)?;
                self.check_goes_on(session, followed)?;
                if has_more {
                    break;
                }
            }
        }
    }

    /// Fails on Ctrl-C, if another directory has the store's path, or if the output is closed.
    fn check_goes_on(&self, session: &Session, followed: Option<(u64, u64)>) -> Result<(), Failure> {
        session.interrupt().check(self.count)?;
        if identity(session.dir()) != followed {
            let dir = visible(session.dir().as_os_str().as_encoded_bytes());
            return Err(Failure::command(format!("{dir} is no longer the same directory")));
        }
        if nobody_reads() {
            return Err(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)));
        }
        Ok(())
    }

    /// Shows the present records, at most `left`.
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
                    report_missing(
                        session,
                        "compacted_to",
                        "were dropped by compaction",
                        whole_from.previous(),
                    )?;
                }
                Err(Error::GivenUp { whole_from }) => {
                    self.table.flush(&mut session.out)?;
                    let what = "may have been lost by a repair or dropped by compaction";
                    report_missing(session, "given_up_to", what, whole_from.previous())?;
                }
                // The records after the damage are intact.
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
        let kind = if value.is_some() { "PUT" } else { "DEL" };
        let value = value.as_deref();
        // Most keys fit these widths.
        let expected = |width| if self.follows { width } else { 0 };
        let mut row = out.row(&mut self.table);
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

/// Reports the cursor to continue from. In JSON the last of `count` records has it.
fn report_cursor(session: &mut Session, count: u64, cursor: Cursor) -> io::Result<()> {
    if count > 0 && session.out.is_json() {
        return Ok(());
    }
    if !session.out.answer().json("cursor", cursor.to_string()).end()? {
        note_cursor(session, cursor);
    }
    Ok(())
}

/// Notes the cursor to continue from on standard error, unless the session is quiet.
pub fn note_cursor(session: &mut Session, cursor: Cursor) {
    if !session.settings().quiet {
        session.flush();
        session.note(&format!("note: `tail --from {cursor}` continues from here"));
    }
}

/// Reports that records up to number `up_to` are missing, in JSON as an object with `field`.
fn report_missing(session: &mut Session, field: &str, what: &str, up_to: Seqno) -> io::Result<()> {
    if !session.out.answer().json(field, up_to.0).end()? {
        session.flush();
        session.note(&format!("note: records up to number {up_to} {what}; the others follow"));
    }
    Ok(())
}

/// Returns the character that connects the records of a batch.
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

/// Returns the device and inode of the directory `path`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Returns whether standard output is a pipe without a reader.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec::default())).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}
