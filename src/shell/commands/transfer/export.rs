//! `export`: the keys and values of one moment, as rows.

use std::io::{self, Write};

use logkv::Cursor;

use crate::shell::commands::tail::note_cursor;
use crate::shell::commands::transfer::rows::csv::CsvColumns;
use crate::shell::commands::transfer::rows::{RowFormat, RowWriter, foreign_ending};
use crate::shell::commands::words::may_replace;
use crate::shell::commands::words::{PREFIX, keys_asked};
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::words::{Word, visible, visible_path};
use crate::shell::run::folder::draft::NewMode;
use crate::shell::run::folder::target::Target;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::view::{Rows, Walk};
use crate::shell::term::breakable::Breakable;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::packing::{Packer, Packing};
use crate::shell::term::progress::Progress;
use crate::shell::term::units;

const FLAGS: &[Flag] = &[
    flag(
        "format",
        Takes::Enum(RowFormat::NAMES),
        "What rows are written in, where the file's name does not say",
    ),
    flag("glob", Takes::Glob, "Exports the keys that match this pattern"),
    PREFIX,
    flag("from", Takes::Key, "Starts at this key"),
    flag("to", Takes::Key, "Stops before this key"),
    YES,
];

const fn flag(name: &'static str, takes: Takes, doc: &'static str) -> Flag {
    Flag { name, short: None, takes, doc }
}

pub const EXPORT: Command = Command {
    name: "export",
    aliases: &[],
    group: Group::Maintain,
    signature: "[FILE [-y|--yes]|-] [--format jsonl|json|csv|tsv|script|resp] [--glob PATTERN|--prefix KEY] [--from KEY] [--to KEY]",
    summary: "Writes keys and values as rows, for import and other programs",
    help: "Writes all keys of this moment, or those asked for, with their values, in key order: to the \
           standard output or to FILE. FILE appears when it is complete, and until then stays as it \
           was. An existing file is replaced only after a question, or with -y.\n\n\
           Between begin and commit it writes the keys as the batch would leave them, although nothing \
           is committed yet.\n\n\
           The name of the file gives the format (.jsonl, .ndjson, .json, .csv, .tsv, .script, .resp); \
           without one it is jsonl. A further .gz or .zst compresses the file. import brings back every \
           byte and every expiry.\n\n\
           csv has the columns key and value, and expires_ms, key_b64 and value_b64 if some row needs \
           them; the export looks through all rows for that first. Bytes that are not text, and \
           invisible characters, are in base64. A text that starts with = or + stays as it is: a \
           spreadsheet may take it for a formula. resp is for redis-cli --pipe.\n\n\
           If the store is damaged, all keys that can be read are written; exit code 4.\n\n\
           With FILE, mode plain has name, tab, value; mode json one object: exported, bytes, format, \
           file.",
    examples: &[
        Example { line: "export", does: "prints all as JSON, an object a line" },
        Example { line: "export users.csv", does: "writes a table for other programs" },
        Example { line: "export users.tsv.gz --prefix user:", does: "packs the keys that start with user:" },
        Example { line: "export --format resp", does: "for redis-cli --pipe" },
    ],
    flags: FLAGS,
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let file = invocation.args.first().filter(|word| !word.is_dash());
    let (format, packing) = how(invocation, file)?;
    let walk = walk(invocation)?;
    let store = session.store()?;
    if let Some(word) = file
        && !may_replace(session, word)?
    {
        session.note("nothing was exported");
        return Ok(Outcome::Done);
    }
    let snapshot = store.snapshot()?;
    let rows = |session: &Session| walk.rows(&snapshot, session.overlay(), &session.interrupt);
    let columns = if format == RowFormat::Csv { columns(rows(session)?)? } else { CsvColumns::default() };
    // Of some of the keys nobody knows how much they are.
    let total_len = if walk.is_whole() { Some(store.stats()?.live_len) } else { None };
    let mut run = Export {
        rows: rows(session)?,
        writer: RowWriter::new(format, columns),
        format,
        packing,
        total_len,
        progress: session.progress("exporting"),
        count: 0,
        damage: None,
    };
    match file {
        None => {
            run.print(&mut session.out, invocation)?;
            if run.count == 0 && session.out.is_table() {
                session.flush();
                session.note("note: no keys");
            }
            if session.out.is_json() {
                note_cursor(session, snapshot.cursor());
            }
        }
        Some(word) => {
            let len = run.save(word, session.interrupt.clone())?;
            write(&mut session.out, &run, word, len, snapshot.cursor())?;
        }
    }
    let damage = run.damage.take().map(|damage| run.with_rest(damage));
    session.shown_all(damage)
}

/// The format of an export into `file`, and how that is packed.
fn how(invocation: &Invocation, file: Option<&Word>) -> Result<(RowFormat, Option<Packing>), Failure> {
    let flag =
        invocation.value("format").and_then(|word| RowFormat::parse(str::from_utf8(&word.bytes).ok()?));
    let Some(word) = file else { return Ok((flag.unwrap_or(RowFormat::Jsonl), None)) };
    let (packing, stem) = Packing::of_name(word.path());
    let format = flag.or_else(|| RowFormat::of(stem));
    if let (Some(outer), (Some(inner), stem)) = (packing, Packing::of_name(stem)) {
        let message = format!("a file is packed once, and not with {} and {}", inner.name(), outer.name());
        let name = visible_path(stem);
        let hint = format!("{name}{} and {name}{} are names of one that is", inner.ending(), outer.ending());
        return Err(Failure::usage(message).at(word.span.clone()).hint(hint));
    }
    if let (None, Some(ending)) = (format, foreign_ending(stem)) {
        let message =
            format!("export does not write .{ending} files; it writes {}", RowFormat::NAMES.join(", "));
        let failure = Failure::usage(message).at(word.span.clone());
        return Err(failure.hint("--format sets the format, whatever the file is called"));
    }
    Ok((format.unwrap_or(RowFormat::Jsonl), packing))
}

/// The columns that `rows` need.
fn columns(mut rows: Rows) -> Result<CsvColumns, Failure> {
    let mut columns = CsvColumns::default();
    // What cannot be read is told when it is to be written.
    while let Some(row) = rows.next_sound(&mut None)? {
        let value = row.value.as_deref().expect("the walk is one with values");
        if columns.add(&row.key, value, row.expires_ms) {
            break;
        }
    }
    Ok(columns)
}

/// The keys that are asked for.
fn walk(invocation: &Invocation) -> Result<Walk, Failure> {
    let glob = keys_asked(invocation, invocation.value("glob"))?;
    let key = |name| invocation.value(name).map(|word| word.bytes.clone());
    Ok(Walk { glob, from: key("from"), to: key("to"), reverse: false, values: true })
}

/// An export that is going on.
struct Export {
    rows: Rows,
    writer: RowWriter,
    format: RowFormat,
    packing: Option<Packing>,
    total_len: Option<u64>,
    progress: Progress,
    count: u64,
    /// The first record that could not be read.
    damage: Option<Failure>,
}

impl Export {
    fn print(&mut self, out: &mut Output, invocation: &Invocation) -> Result<(), Failure> {
        if out.is_terminal && !self.format.is_text() {
            let failure = Failure::command(format!("{} is not for a terminal", self.format.name()));
            return Err(failure.at(invocation.name.clone()).hint("export FILE, or into a pipe"));
        }
        self.copy(out, Failure::from)
    }

    fn save(&mut self, word: &Word, interrupt: Interrupt) -> Result<u64, Failure> {
        let path = word.path();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::from(error),
            _ => Failure::file("write", path, &error).at(word.span.clone()),
        };
        let mut target = Target::create(path, NewMode::Umask, &interrupt).map_err(failed)?;
        let breakable = Breakable::new(&mut target, interrupt);
        let packer = Packer::new(self.packing, breakable).map_err(failed);
        let packed = packer.and_then(|mut packer| {
            self.copy(&mut packer, failed)?;
            packer.finish().map(drop).map_err(failed)
        });
        packed.map_err(|failure| match failure.kind {
            Kind::Interrupted => {
                let message = format!("interrupted: nothing was written to {}", visible(&word.bytes));
                Failure { message, ..failure }
            }
            _ => failure,
        })?;
        target.finish().map_err(failed)
    }

    /// Writes all rows, until Ctrl-C.
    fn copy(&mut self, out: &mut impl Write, failed: impl Fn(io::Error) -> Failure) -> Result<(), Failure> {
        let mut done_len = 0;
        self.writer.begin(out).map_err(&failed)?;
        while let Some(row) = self.rows.next_sound(&mut self.damage)? {
            let value = row.value.as_deref().expect("the walk is one with values");
            let expires_ms = row.expires_ms;
            self.writer.write(out, &row.key, value, expires_ms).map_err(&failed)?;
            self.count += 1;
            done_len += row.record.as_ref().map_or(0, |entry| entry.len);
            match self.total_len {
                Some(total) => self.progress.at(done_len, total),
                None => self.progress.so_far(done_len),
            }
        }
        self.writer.end(out).map_err(&failed)?;
        self.progress.clear();
        Ok(())
    }

    /// `damage`, with what was exported all the same.
    fn with_rest(&self, damage: Failure) -> Failure {
        let rest = units::count(self.count, "key");
        Failure { message: format!("{}; {rest} that can be read were exported", damage.message), ..damage }
    }
}

/// Reports the export, and the cursor from which a feed continues after it.
fn write(out: &mut Output, run: &Export, word: &Word, len: u64, cursor: Cursor) -> io::Result<()> {
    let count = run.count;
    let format = run.format.name();
    let file = visible(&word.bytes);
    let mut answer = out.figures();
    answer.say(|_| {
        format!("exported {} to {file}: {format}, {}", units::count(count, "key"), units::bytes(len))
    });
    answer.field("exported", count).field("bytes", len).field("format", format).field("file", &*file);
    answer.field("cursor", cursor.to_string()).end()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::lang::words::split;
    use crate::shell::term::style::Look;

    #[test]
    fn an_export_that_is_interrupted_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let store = logkv::Store::open(dir.path().join("data")).expect("a store can be made");
        store.put("a", "1").expect("it can be written to");
        let path = dir.path().join("rows");
        std::fs::write(&path, "before").expect("a file can be written");
        let walk = Walk { glob: None, from: None, to: None, reverse: false, values: true };
        let interrupt = Interrupt::default();
        let snapshot = store.snapshot().expect("it can be read");
        let rows = walk.rows(&snapshot, None, &interrupt).expect("it can be read");
        let progress = Progress::new("exporting", Look { color: false, ascii: false, width: 80 }, false);
        let mut run = Export {
            rows,
            writer: RowWriter::new(RowFormat::Jsonl, CsvColumns::default()),
            format: RowFormat::Jsonl,
            packing: None,
            total_len: None,
            progress,
            count: 0,
            damage: None,
        };
        interrupt.press();
        let words = split(path.as_os_str().as_encoded_bytes()).expect("a path without blanks");
        let failure = run.save(&words[0], interrupt).expect_err("it was pressed");
        assert!(failure.kind == Kind::Interrupted && failure.message.starts_with("interrupted: nothing was"));
        assert_eq!(std::fs::read(&path).expect("it is there"), b"before");
        assert_eq!(std::fs::read_dir(dir.path()).expect("it can be read").count(), 2, "no draft is left");
    }
}
