//! `backup`: copies the store to a directory or an archive.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use logkv::Error;
use logkv::backup::{BackupProgress, BackupReport};

use crate::shell::commands::words::place_of;
use crate::shell::lang::command::{self, ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::{Word, visible_path};
use crate::shell::run::folder::draft::Draft;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::fit::wrap;
use crate::shell::term::output::Output;
use crate::shell::term::units;

const FLAGS: &[Flag] = &[
    Flag::long(
        "level",
        Takes::Number,
        "The compression level of an archive, from 1 (fast) to 22 (small); 3 by default",
    ),
    YES,
];

pub const BACKUP: Command = Command {
    name: "backup",
    aliases: &[],
    group: Group::Maintain,
    signature: "DIR | FILE.tar.zst | FILE.tar | - [--level N] [-y|--yes]",
    summary: "Copies the store, also while it is written to",
    help: "Copies a snapshot of the store with whole batches, and checks every byte that it copies.\n\n\
           In a directory, sealed segments become hard links if possible, and copies otherwise. The \
           directory must be missing, empty, or an earlier backup of this store. An earlier backup gets \
           the new segments and loses those that were compacted away; it stays valid until the end. A \
           backup in a directory can be opened with -r. After a write it is a store of its own.\n\n\
           A name that ends in .tar.zst, .tzst or .tar, in letters of any case, makes an archive. An \
           existing file is replaced only after a question, or with -y. - writes a compressed archive to \
           the standard output.\n\n\
           Mode plain has name, tab, value; mode json one object, except for -.",
    examples: &[
        Example { line: "backup ./copy", does: "creates or updates the backup in ./copy" },
        Example { line: "backup today.tar.zst --level 19", does: "creates one small file" },
    ],
    flags: FLAGS,
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Reading,
    run: Run::Itself(run),
};

const LEVELS: std::ops::RangeInclusive<u64> = 1..=22;
const LEVEL_DEFAULT: u64 = 3;

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

/// Returns whether the name of `path` ends with `ending`, in letters of any case, and is longer.
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

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
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
    let interrupt = session.interrupt().clone();
    let observe = &mut |at: BackupProgress| {
        progress.at(at.done_len, at.total_len);
        interrupt.flow()
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

/// Converts `error`. A reader that closed the pipe is not a failure of the backup.
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
