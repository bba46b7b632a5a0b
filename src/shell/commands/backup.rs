//! `backup` and `restore`: copies of the store in a directory or an archive.

use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use logkv::Error;
use logkv::backup::{self, BackupProgress, BackupReport, RestoreReport};

use crate::shell::commands::words::{place_of, unread_stdin};
use crate::shell::lang::command::{self, Flag, Outcome, Takes, YES};
use crate::shell::lang::failure::{Failure, Kind};
use crate::shell::lang::words::{Word, quote, visible_path};
use crate::shell::run::folder::draft::Draft;
use crate::shell::run::session::{Invocation, Session};
use crate::shell::term::fit::wrap;
use crate::shell::term::input::Input;
use crate::shell::term::interrupt::Interrupt;
use crate::shell::term::output::Output;
use crate::shell::term::packing::Packing;
use crate::shell::term::units;
use crate::shell::term::unpacker::Unpacker;

/// The flags of `backup`.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "level",
        short: None,
        takes: Takes::Number,
        doc: "The compression level of an archive, from 1 (fast) to 22 (small); 3 by default",
    },
    YES,
];

const LEVELS: std::ops::RangeInclusive<u64> = 1..=22;
const LEVEL_DEFAULT: u64 = 3;
/// Compression formats that restore does not read: the first bytes of a file, and the name.
const OTHER_PACKINGS: [(&[u8], &str); 5] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
];

/// The target of a backup.
enum BackupTarget<'a> {
    Directory(&'a Path),
    Archive(&'a Path),
    PackedArchive(&'a Path),
    /// The standard output, compressed.
    Output,
}

impl<'a> BackupTarget<'a> {
    fn of(word: &'a Word) -> Result<Self, Failure> {
        let path = place_of(word)?;
        let has_ending = |ending| has_ending(path, ending);
        Ok(match () {
            () if word.is_dash() => Self::Output,
            () if has_ending(".tar.zst") || has_ending(".tzst") => Self::PackedArchive(path),
            () if has_ending(".tar") => Self::Archive(path),
            () => Self::Directory(path),
        })
    }
}

/// Whether the name of `path` ends with `ending`, in letters of any case, and is longer.
fn has_ending(path: &Path, ending: &str) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    let start = name.len().checked_sub(ending.len()).filter(|&start| start > 0);
    start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending.as_bytes()))
}

/// Returns the ending of an archive format that backup does not write, unless `path` is a
/// directory.
fn foreign_archive_ending(path: &Path) -> Option<&'static str> {
    const ENDINGS: [&str; 7] = [".gz", ".tgz", ".zst", ".zip", ".xz", ".bz2", ".7z"];
    let ending = ENDINGS.into_iter().find(|ending| has_ending(path, ending));
    ending.filter(|_| !path.is_dir())
}

pub fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let word = &invocation.args[0];
    let to = BackupTarget::of(word)?;
    if let BackupTarget::Directory(path) = to
        && let Some(ending) = foreign_archive_ending(path)
    {
        let message =
            format!("a backup is a directory, or an archive FILE.tar.zst or FILE.tar, not {ending}");
        return Err(Failure::usage(message).at(word.span.clone()));
    }
    let level = level(invocation, &to)?;
    let store = session.store()?;
    if matches!(to, BackupTarget::Output) && session.out.is_terminal {
        let failure = Failure::command("an archive cannot be written to a terminal").at(word.span.clone());
        return Err(failure.hint("name a file, or redirect the output"));
    }
    let progress = session.progress("backing up");
    let interrupt = session.interrupt.clone();
    let observe = &mut |at: BackupProgress| {
        progress.at(at.done_len, at.total_len);
        go_on(&interrupt)
    };
    let made = match to {
        BackupTarget::Directory(path) => store.backup(path, observe).map(Some).map_err(backup_failure),
        BackupTarget::Archive(path) | BackupTarget::PackedArchive(path) => {
            let level = matches!(to, BackupTarget::PackedArchive(_)).then_some(level);
            into_file(session, word, path, &mut |file| {
                pack(file, level, &mut |out| store.backup_archive(out, observe))
            })
        }
        BackupTarget::Output => {
            let write = &mut |out: &mut dyn Write| store.backup_archive(out, observe);
            pack(session.out.unbroken(), Some(level), write).map(Some)
        }
    };
    progress.clear();
    let Some(report) = made? else {
        session.note("no backup was made");
        return Ok(Outcome::Done);
    };
    match to {
        // The report must not become part of the archive.
        BackupTarget::Output => session.note(&sentence(&report, "the archive")),
        _ => write_report(&mut session.out, &report, &visible_path(word.path()))?,
    }
    Ok(Outcome::Done)
}

fn go_on(interrupt: &Interrupt) -> ControlFlow<()> {
    if interrupt.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn level(invocation: &Invocation, to: &BackupTarget<'_>) -> Result<i32, Failure> {
    let Some(word) = invocation.value("level") else { return Ok(LEVEL_DEFAULT as i32) };
    let level = command::number(word, "--level")?;
    let wrong = |message: &str| Err(Failure::usage(message).at(word.span.clone()));
    match to {
        BackupTarget::PackedArchive(_) | BackupTarget::Output if LEVELS.contains(&level) => Ok(level as i32),
        BackupTarget::PackedArchive(_) | BackupTarget::Output => wrong("--level takes a number from 1 to 22"),
        BackupTarget::Directory(_) | BackupTarget::Archive(_) => {
            wrong("--level is only for compressed archives: FILE.tar.zst and -")
        }
    }
}

fn backup_failure(error: Error) -> Failure {
    if let Error::Cancelled = error {
        return Failure::interrupted_with("no backup was made");
    }
    match error {
        Error::Untrusted { .. } => Failure::open(&error),
        Error::Damaged { .. } => {
            Failure::from(error).hint("repair --to DIR copies what is intact into a new store")
        }
        Error::Occupied { .. } => Failure::from(error).hint("name a directory that is missing or empty"),
        error => error.into(),
    }
}

/// Writes an archive with `write` to `out`. Compresses it at `level`, if any.
fn pack(
    out: &mut dyn Write,
    level: Option<i32>,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<BackupReport, Error>,
) -> Result<BackupReport, Failure> {
    let Some(level) = level else { return write(out).map_err(archive_failure) };
    let mut encoder = zstd::Encoder::new(out, level)?;
    // Without a checksum, damage in the compressed data could decompress to wrong bytes.
    encoder.include_checksum(true)?;
    let report = write(&mut encoder).map_err(archive_failure)?;
    encoder.finish()?.flush()?;
    Ok(report)
}

/// A reader that closed the pipe is not a failure of the backup.
fn archive_failure(error: Error) -> Failure {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => source.into(),
        error => backup_failure(error),
    }
}

/// Creates the file `path` with `write`, under a temporary name that is renamed durably at the end.
/// Returns `None` if the file exists and the user does not want to replace it.
fn into_file(
    session: &mut Session,
    word: &Word,
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<BackupReport, Failure>,
) -> Result<Option<BackupReport>, Failure> {
    let at = |failure: Failure| failure.at(word.span.clone());
    let error = |error: &io::Error| at(Failure::file("write", path, error));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = folder.canonicalize().map_err(|source| error(&source))?;
    if session.dir().canonicalize().is_ok_and(|dir| real.starts_with(dir)) {
        return Err(at(Failure::command("the archive would be in the directory of the store")));
    }
    if path.symlink_metadata().is_ok() && !session.confirm(&format!("replace {}", visible_path(path)))? {
        return Ok(None);
    }
    let draft = Draft::of_backup(path).map_err(|source| error(&source))?;
    let mut out = BufWriter::new(draft.file());
    let report = write(&mut out)?;
    out.into_inner().map_err(|source| error(source.error()))?;
    draft.put_in_place().map_err(|source| error(&source))?;
    Ok(Some(report))
}

pub fn run_restore(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let word = &invocation.args[0];
    let from = place_of(word)?;
    if session.store().is_ok() {
        let failure = Failure::command("a store is open in this shell, and restore does not replace it");
        return Err(failure.hint("leave it, and call logkv NEWDIR restore FROM"));
    }
    if !session.settings.makes_files {
        return Err(Failure::command("nothing is created with --read-only and --no-create"));
    }
    let to = session.dir().to_owned();
    let options = session.config.options.clone();
    let progress = session.progress("restoring");
    let interrupt = session.interrupt.clone();
    let observe = &mut |at: BackupProgress| {
        progress.at(at.done_len, at.total_len);
        go_on(&interrupt)
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

fn figures(report: &BackupReport) -> [(&'static str, u64); 8] {
    [
        ("segments", report.segment_count),
        ("linked", report.linked_count),
        ("copied", report.copied_count),
        ("kept", report.kept_count),
        ("removed", report.removed_count),
        ("bytes", report.len),
        ("copied_bytes", report.copied_len),
        ("seq", report.last_seq.0),
    ]
}

fn write_report(out: &mut Output, report: &BackupReport, place: &str) -> io::Result<()> {
    let mut answer = out.figures();
    answer.say(|look| wrap(&sentence(report, place), look.width)).json("type", "backup").json("to", place);
    for (name, number) in figures(report) {
        answer.field(name, number);
    }
    answer.field("cursor", report.cursor.to_string()).end()?;
    Ok(())
}

/// Describes a finished backup.
fn sentence(report: &BackupReport, place: &str) -> String {
    let segments = units::count(report.segment_count, "segment");
    let len = units::bytes(report.len);
    let copied = format!("copied ({})", units::bytes(report.copied_len));
    let parts = [
        (report.kept_count, "kept"),
        (report.linked_count, "linked"),
        (report.copied_count, copied.as_str()),
        (report.removed_count, "removed"),
    ];
    let parts = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", units::thousands(*count)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let parts = if parts.is_empty() { "it is empty".to_owned() } else { parts };
    format!("{place} holds the store up to record {}, in {segments} ({len}): {parts}", report.last_seq)
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
