//! `restore`: creates a store from a backup.

use std::io::{self, BufReader, IsTerminal, Read};

use logkv::Error;
use logkv::backup::{self, BackupProgress, RestoreReport};

use crate::shell::commands::words::{place_of, unread_stdin};
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::words::{Word, quote, visible_path};
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::fit::wrap;
use crate::shell::term::input::Input;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::packing::Packing;
use crate::shell::term::units;
use crate::shell::term::unpacker::Unpacker;

pub const RESTORE: Command = Command {
    name: "restore",
    aliases: &[],
    group: Group::Maintain,
    signature: "FROM",
    summary: "Creates a store from a backup",
    help: "Creates a store in DIR, which must be missing or empty, from the backup FROM: a directory, an \
           archive, or - for an archive from the standard input.\n\n\
           Every byte is checked before DIR becomes a store. A damaged backup is refused with exit code \
           4, and leaves nothing behind.\n\n\
           A missing DIR is created as DIR.unfinished and renamed at the end. An empty one, which may be \
           a mount point or a link to a directory, is filled in place, MANIFEST last. If restore is \
           killed before that, DIR is not a store, and the next restore to DIR starts over. An empty DIR \
           that another user owns needs --trust.\n\n\
           FROM may also be the directory of a closed store, or a tar archive of a backup's directory \
           from another program, plain or compressed with zstd or gzip.",
    examples: &[
        Example { line: "restore ./copy", does: "as in logkv ./new restore ./copy" },
        Example { line: "restore -", does: "as in logkv ./new restore - < today.tar.zst" },
    ],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Directory,
    run: Run::Itself(run),
};

/// Compression formats that restore does not read: the first bytes of a file, and the name.
const OTHER_PACKINGS: [(&[u8], &str); 5] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
];

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let word = &invocation.args[0];
    let from = place_of(word)?;
    if session.store().is_ok() {
        let failure = Failure::command("a store is open in this shell, and restore does not replace it");
        return Err(failure.hint("leave it, and call logkv NEWDIR restore FROM"));
    }
    if !session.settings().makes_files {
        return Err(Failure::command("nothing is created with --read-only and --no-create"));
    }
    let to = session.dir().to_owned();
    let options = session.config().options.clone();
    let progress = session.progress("restoring");
    let interrupt = session.interrupt().clone();
    let observe = &mut |at: BackupProgress| {
        progress.at(at.done_len, at.total_len);
        interrupt.flow()
    };
    let interrupted = || Failure::interrupted_with("nothing was created");
    let made = if !word.is_dash() && from.is_dir() {
        backup::restore(from, &to, &options, observe)
    } else {
        let archive = unpack(word, open_archive(word, &interrupt)?);
        let mut archive =
            archive.map_err(|failure| if interrupt.is_set() { interrupted() } else { failure })?;
        backup::restore_archive(&mut archive, &to, &options, observe)
    };
    progress.clear();
    let report = made.map_err(|error| match error {
        // An interrupted read of the standard input fails with another error.
        _ if interrupt.is_set() => interrupted(),
        error => restore_failure(error, word),
    })?;
    write_restored(&mut session.out, &report, &visible_path(&to))?;
    Ok(Outcome::Done)
}

/// Converts the error of a restore from `word`, and adds advice.
fn restore_failure(error: Error, word: &Word) -> Failure {
    let name = || if word.is_dash() { "the archive".to_owned() } else { visible_path(word.path()) };
    match error {
        Error::NotABackup { .. } => {
            let failure = Failure::usage(error.to_string()).at(word.span.clone());
            failure.hint("restore takes a backup: a directory or an archive")
        }
        error if error.is_corruption() => {
            let failure = Failure::from_store(&error);
            let reason = match error {
                Error::BackupDamaged { reason } => reason,
                _ => failure.message.clone(),
            };
            let message = format!("{} cannot be restored: {reason}", name());
            Failure { message, ..failure }.at(word.span.clone()).hint(salvage_hint(word))
        }
        Error::Occupied { .. } => {
            Failure::from(error).hint("logkv NEWDIR restore FROM takes a directory that is missing or empty")
        }
        Error::Missing { .. }
        | Error::Foreign { .. }
        | Error::Untrusted { .. }
        | Error::Unfinished { .. } => Failure::open(&error),
        Error::Locked { .. } => {
            let message = format!("another process has {} open", name());
            let failure = Failure { message, ..Failure::open(&error) };
            failure.hint("backup copies a store that is in use")
        }
        error => error.into(),
    }
}

/// Returns advice for saving the intact records of the damaged backup `word`.
fn salvage_hint(word: &Word) -> String {
    if !word.is_dash() && word.path().is_dir() {
        format!("logkv {} repair --to NEWDIR copies what is intact into a new store", quote(&word.bytes))
    } else {
        "unpack it with tar; repair --to NEWDIR copies what is intact into a new store".to_owned()
    }
}

/// Opens the archive that `word` names.
fn open_archive(word: &Word, interrupt: &Interrupt) -> Result<Box<dyn Read>, Failure> {
    let input = if word.is_dash() {
        if io::stdin().is_terminal() {
            return Err(Failure::command("an archive cannot be read from a terminal").at(word.span.clone()));
        }
        Input::stdin().map_err(|error| unread_stdin(&error))?
    } else {
        Input::path(word.path()).map_err(|error| {
            let failure = Failure::file("read", word.path(), &error).at(word.span.clone());
            Failure { kind: Kind::Open, ..failure }
        })?
    };
    Ok(Box::new(ArchiveInput { input, interrupt: interrupt.clone() }))
}

/// An archive whose reads stop on Ctrl-C, even while the standard input or a pipe has no data.
struct ArchiveInput {
    input: Input,
    interrupt: Interrupt,
}

impl Read for ArchiveInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The error must not be `Interrupted`, which callers retry forever.
        self.input.wait(&self.interrupt).map_err(|error| io::Error::other(error.to_string()))?;
        self.input.read(buffer)
    }
}

/// Returns the contents of an archive, compressed or not.
fn unpack(word: &Word, mut source: Box<dyn Read>) -> Result<Box<dyn Read>, Failure> {
    const START_LEN: u64 = 8;
    let unread = |error: io::Error| {
        restore_failure(Error::BackupDamaged { reason: format!("it cannot be read ({error})") }, word)
    };
    let mut start = Vec::new();
    source.by_ref().take(START_LEN).read_to_end(&mut start).map_err(unread)?;
    if let Some((_, packing)) = OTHER_PACKINGS.iter().find(|(magic, _)| start.starts_with(magic)) {
        let failure =
            Failure::usage(format!("this archive is compressed with {packing}, which restore does not read"));
        return Err(failure.hint("unpack it, and restore the .tar or the directory"));
    }
    let packing = Packing::of_start(&start);
    let whole = Box::new(BufReader::with_capacity(256 << 10, io::Cursor::new(start).chain(source)));
    match packing {
        Some(packing) => Unpacker::new(packing, whole).map(|whole| Box::new(whole) as _).map_err(unread),
        None => Ok(whole),
    }
}

fn write_restored(out: &mut Output, report: &RestoreReport, place: &str) -> io::Result<()> {
    let mut answer = out.figures();
    answer.say(|look| {
        let records = units::count(report.record_count, "record");
        let segments = units::count(report.segment_count, "segment");
        let len = units::bytes(report.len);
        let options = if report.has_options { ", and logkv.toml" } else { "" };
        let text = format!("{place} holds {records} in {segments} ({len}), each as it was written{options}");
        wrap(&text, look.width)
    });
    answer.json("type", "restore").json("store", place).field("segments", report.segment_count);
    answer.field("records", report.record_count).field("bytes", report.len);
    answer.json("options", report.has_options).end()?;
    Ok(())
}
