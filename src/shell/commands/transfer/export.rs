//! `export`: writes the keys and values of a snapshot as rows.

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
    Flag::long("format", Takes::Enum(RowFormat::NAMES), "The format, if the file's name does not say it"),
    Flag::long("glob", Takes::Glob, "Exports the keys that match this pattern"),
    PREFIX,
    Flag::long("from", Takes::Key, "Starts at this key"),
    Flag::long("to", Takes::Key, "Stops before this key"),
    YES,
];

pub const EXPORT: Command = Command {
    name: "export",
    aliases: &[],
    group: Group::Maintain,
    signature: "[FILE [-y|--yes]|-] [--format jsonl|json|csv|tsv|script|resp] [--glob PATTERN|--prefix KEY] \
                [--from KEY] [--to KEY]",
    summary: "Writes keys and values as rows, for import and other programs",
    help: "Writes all keys, or the requested ones, with their values in key order, to the standard \
           output or to FILE. The rows come from one snapshot. FILE is created or replaced when it is \
           complete. An existing file is replaced only after a question, or with -y.\n\n\
           Between begin and commit, export also writes the uncommitted changes of the batch.\n\n\
           The name of the file gives the format (.jsonl, .ndjson, .json, .csv, .tsv, .script, .resp); \
           without one it is jsonl. A further .gz or .zst compresses the file. import restores every \
           byte and every expiry.\n\n\
           csv has the columns key and value, and expires_ms, key_b64 and value_b64 if some row needs \
           them; export reads all rows once to find out. Bytes that are not text, and invisible \
           characters, are in base64. Text that starts with = or + is not changed: a spreadsheet may take \
           it for a formula. resp is for redis-cli --pipe.\n\n\
           If the store is damaged, all keys that can be read are written; exit code 4.\n\n\
           With FILE, mode plain has name, tab, value; mode json one object: exported, bytes, format, \
           file.",
    examples: &[
        Example { line: "export", does: "prints everything as JSON, one object per line" },
        Example { line: "export users.csv", does: "writes a table for other programs" },
        Example {
            line: "export users.tsv.gz --prefix user:",
            does: "compresses the keys that start with user:",
        },
        Example { line: "export --format resp", does: "prints commands for redis-cli --pipe" },
    ],
    flags: FLAGS,
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Reading,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let file = invocation.args.first().filter(|word| !word.is_dash());
    let (format, packing) = format_and_packing(invocation, file)?;
    let walk = walk(invocation)?;
    let store = session.store()?;
    if let Some(word) = file
        && !may_replace(session, word)?
    {
        session.note("nothing was exported");
        return Ok(Outcome::Done);
    }
    let snapshot = store.snapshot()?;
    let rows = |session: &Session| walk.rows(&snapshot, session.overlay(), session.interrupt());
    let columns = if format == RowFormat::Csv { columns(rows(session)?)? } else { CsvColumns::default() };
    // The length of a part of the keys is unknown.
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
            let len = run.save(word, session.interrupt().clone())?;
            write(&mut session.out, &run, word, len, snapshot.cursor())?;
        }
    }
    let damage = run.damage.take().map(|damage| run.with_count(damage));
    session.shown_all(damage)
}

/// Returns the format and the compression of an export to `file`.
fn format_and_packing(
    invocation: &Invocation,
    file: Option<&Word>,
) -> Result<(RowFormat, Option<Packing>), Failure> {
    let flag =
        invocation.value("format").and_then(|word| RowFormat::parse(str::from_utf8(&word.bytes).ok()?));
    let Some(word) = file else { return Ok((flag.unwrap_or(RowFormat::Jsonl), None)) };
    let (packing, stem) = Packing::of_name(word.path());
    let format = flag.or_else(|| RowFormat::of(stem));
    if let (Some(outer), (Some(inner), stem)) = (packing, Packing::of_name(stem)) {
        let message = format!("a file is compressed once, not with {} and {}", inner.name(), outer.name());
        let name = visible_path(stem);
        let hint = format!("name it {name}{} or {name}{}", inner.ending(), outer.ending());
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

/// Returns the columns that `rows` need.
fn columns(mut rows: Rows) -> Result<CsvColumns, Failure> {
    let mut columns = CsvColumns::default();
    // Damage is reported when the rows are written.
    while let Some(row) = rows.next_sound(&mut None)? {
        let value = row.value.as_deref().expect("the walk reads values");
        if columns.add(&row.key, value, row.expires_ms) {
            break;
        }
    }
    Ok(columns)
}

/// Returns the walk over the requested keys.
fn walk(invocation: &Invocation) -> Result<Walk, Failure> {
    let glob = keys_asked(invocation, invocation.value("glob"))?;
    let key = |name| invocation.value(name).map(|word| word.bytes.clone());
    Ok(Walk { glob, from: key("from"), to: key("to"), reverse: false, values: true })
}

/// An export in progress.
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
            let failure = Failure::command(format!("{} cannot be written to a terminal", self.format.name()));
            return Err(failure.at(invocation.name.clone()).hint("name a file, or redirect the output"));
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

    /// Writes all rows until Ctrl-C.
    fn copy(&mut self, out: &mut impl Write, failed: impl Fn(io::Error) -> Failure) -> Result<(), Failure> {
        let mut done_len = 0;
        self.writer.begin(out).map_err(&failed)?;
        while let Some(row) = self.rows.next_sound(&mut self.damage)? {
            let value = row.value.as_deref().expect("the walk reads values");
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

    /// Adds the number of exported keys to the failure `damage`.
    fn with_count(&self, damage: Failure) -> Failure {
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
    fn an_interrupted_export_does_not_change_the_file() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let store = logkv::Store::open(dir.path().join("data")).expect("a store can be created");
        store.put("a", "1").expect("the store is writable");
        let path = dir.path().join("rows");
        std::fs::write(&path, "before").expect("a file can be written");
        let walk = Walk { glob: None, from: None, to: None, reverse: false, values: true };
        let interrupt = Interrupt::default();
        let snapshot = store.snapshot().expect("the store is readable");
        let rows = walk.rows(&snapshot, None, &interrupt).expect("the snapshot is readable");
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
        let words = split(path.as_os_str().as_encoded_bytes()).expect("the path has no blanks");
        let failure = run.save(&words[0], interrupt).expect_err("Ctrl-C was pressed");
        assert!(failure.kind == Kind::Interrupted && failure.message.starts_with("interrupted: nothing was"));
        assert_eq!(std::fs::read(&path).expect("the file exists"), b"before");
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("the directory is readable").count(),
            2,
            "no temporary file is left"
        );
    }
}
