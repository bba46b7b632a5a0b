//! `repair`: copies the intact records of a damaged store into a new one.

mod report;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use logkv::repair::{self, RepairProgress, RepairReport};
use logkv::verify::{self, VerifyEvent};
use logkv::{Error, Options};

use self::report::{write, write_needless};
use crate::shell::commands::words::place_of;
use crate::shell::lang::command::{Arity, Example, Flag, Group, Needs, Outcome, Takes, YES};
use crate::shell::lang::failure::{Failure, Kind, plain_words};
use crate::shell::lang::words::{Word, visible_path};
use crate::shell::run::session::{Command, Invocation, Run, Session};

const FLAGS: &[Flag] = &[
    Flag::long(
        "to",
        Takes::Directory,
        "Creates the repaired store in this directory, which must be missing or empty",
    ),
    Flag::long(
        "in-place",
        Takes::Nothing,
        "Replaces the damaged store, and keeps it under another name; asks first",
    ),
    YES,
];

pub const REPAIR: Command = Command {
    name: "repair",
    aliases: &[],
    group: Group::Maintain,
    signature: "--to DIR | --in-place [-y|--yes]",
    summary: "Copies what is intact in a damaged store into a new one",
    help: "Copies every intact record into a new store, whatever is damaged around it, and rebuilds a lost \
           MANIFEST.\n\n\
           The report says what was lost, with the keys if they are known. A key whose newest record is \
           lost goes back to its older value, or is gone.\n\n\
           The damaged store is not changed. With --in-place the new store takes its name, and the \
           damaged one gets the suffix .damaged. Until then the new store has the suffix .repairing. If \
           a repair is killed, the next --in-place removes that directory, unless it was opened for \
           writing. If nothing is damaged, --in-place changes nothing.\n\n\
           No process may have the store open. Exit code 4 if records were lost.",
    examples: &[
        Example { line: "repair --to ./data-2", does: "creates a store in ./data-2" },
        Example { line: "repair --in-place", does: "replaces the damaged store after a question" },
    ],
    flags: FLAGS,
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Directory,
    run: Run::Itself(run),
};

fn run(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let usage = |message| Err(Failure::usage(message).at(invocation.name.clone()));
    if session.is_writing() {
        let failure = Failure::command("the store is open in this shell");
        return Err(failure.hint("leave it, and call logkv DIR repair"));
    }
    if !session.settings().makes_files {
        return Err(Failure::command("nothing is created with --read-only or --no-create"));
    }
    match (invocation.value("to"), invocation.has("in-place")) {
        (Some(word), false) => copy(session, word),
        (None, true) => in_place(session),
        (None, false) => usage("repair takes --to DIR, or --in-place"),
        (Some(_), true) => usage("repair takes either --to DIR or --in-place"),
    }
}

fn copy(session: &mut Session, word: &Word) -> Result<Outcome, Failure> {
    let from = session.dir().to_owned();
    let to = place_of(word)?.to_owned();
    if word.is_dash() {
        let message = "--to takes a directory, not the standard output; ./- is a directory called -";
        return Err(Failure::usage(message).at(word.span.clone()));
    }
    if let Some(why) = unfit_target(&from, &to) {
        return Err(Failure::usage(why).at(word.span.clone()));
    }
    let had_room = !has_entries(&to);
    let made = repair(session, &from, |options, observe| repair::copy(&from, &to, options, observe));
    let report = made.map_err(|failure| match has_entries(&to) {
        true if had_room => {
            failure.hint(format!("the unfinished store could not be removed from {}", visible_path(&to)))
        }
        _ => failure,
    })?;
    write(&mut session.out, &report, &to, None)?;
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Damaged })
}

fn in_place(session: &mut Session) -> Result<Outcome, Failure> {
    let dir = renamable(session.dir().to_owned())?;
    if is_mount_point(&dir) {
        let failure =
            Failure::command(format!("{} is a mount point, which cannot be renamed", visible_path(&dir)));
        return Err(failure.hint("repair --to DIR creates the new store elsewhere"));
    }
    let damaged_dir = free_name_beside(&dir);
    if is_intact(session, &dir)? {
        let settled = repair::settle(&dir, &damaged_dir, &session.config().options)
            .map_err(|error| repair_failure(&error, &dir))?;
        write_needless(&mut session.out, &dir, settled.then_some(damaged_dir.as_path()))?;
        return Ok(Outcome::Done);
    }
    let from = visible_path(&dir);
    let to = visible_path(&damaged_dir);
    let question = format!("replace {from} with its intact records, and keep the damaged store as {to}");
    if !session.confirm_or(&question, &format!("{from} is not repaired"))? {
        return Ok(Outcome::Done);
    }
    let report =
        repair(session, &dir, |options, observe| repair::in_place(&dir, &damaged_dir, options, observe))?;
    write(&mut session.out, &report, &dir, Some(&damaged_dir))?;
    Ok(if report.is_whole() { Outcome::Done } else { Outcome::Damaged })
}

/// Returns whether the store has no damage. Hints and KEYDIR do not count: opening rebuilds them.
fn is_intact(session: &mut Session, dir: &Path) -> Result<bool, Failure> {
    let options = session.config().options.clone();
    let interrupt = session.interrupt().clone();
    let progress = session.progress("verifying");
    let verified = verify::store(dir, &options, &[], &mut |event| {
        if let VerifyEvent::Progress { done_len, total_len } = event {
            progress.at(done_len, total_len);
        }
        interrupt.flow()
    });
    progress.clear();
    let report = verified.map_err(|error| repair_failure(&error, dir))?;
    if report.damage_count == 0 && report.refused_count > 0 {
        let message = "the readable files have no damage, but some files cannot be read".to_owned();
        let hint = Some("verify names them and says why".to_owned());
        return Err(Failure { kind: Kind::Open, hint, ..Failure::command(message) });
    }
    Ok(report.damage_count == 0)
}

/// A callback for the progress of a repair, which may cancel it.
type RepairObserver<'a> = &'a mut dyn FnMut(RepairProgress) -> ControlFlow<()>;

/// Runs the repair `act` of the store in `from`, and shows its progress.
fn repair(
    session: &mut Session,
    from: &Path,
    act: impl FnOnce(&Options, RepairObserver<'_>) -> logkv::Result<RepairReport>,
) -> Result<RepairReport, Failure> {
    let options = session.config().options.clone();
    let interrupt = session.interrupt().clone();
    let progress = session.progress("repairing");
    let repaired = act(&options, &mut |at| {
        progress.at(at.done_len, at.total_len);
        interrupt.flow()
    });
    progress.clear();
    repaired.map_err(|error| repair_failure(&error, from))
}

/// Converts the error of a repair of the store in `from`.
fn repair_failure(error: &Error, from: &Path) -> Failure {
    match error {
        Error::Cancelled => Failure::interrupted_with("nothing was created"),
        Error::Locked { .. } => Failure::open(error).hint("a store that is written to cannot be repaired"),
        // The error is in the new store. The old store still opens as before.
        Error::Io { path, .. } if !path.starts_with(from) => Failure::from_store(error),
        error => Failure::open(error),
    }
}

/// Explains why `to` cannot hold the repaired store, if it cannot.
fn unfit_target(from: &Path, to: &Path) -> Option<String> {
    let Ok(from) = from.canonicalize() else { return None };
    let name = visible_path(to);
    Some(match resolved(to) {
        Err(error) => format!("no store can be created in {name}: {}", plain_words(&error)),
        Ok(to) if to == from => format!("{name} is the store to repair"),
        Ok(to) if to.starts_with(&from) => format!("{name} is inside the store to repair"),
        Ok(to) if from.starts_with(&to) => format!("the store to repair is inside {name}"),
        Ok(_) => return None,
    })
}

fn is_mount_point(dir: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|found| found.dev()).ok();
    let above = dir.canonicalize().ok().and_then(|dir| dir.parent().map(Path::to_owned));
    above.is_some_and(|above| device(&above) != device(dir))
}

/// Resolves links and `..` in `path`, whose last components may be missing.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|error| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            let is_here = parent.as_os_str().is_empty();
            Ok(resolved(if is_here { Path::new(".") } else { parent })?.join(name))
        }
        _ => Err(error),
    })
}

fn has_entries(to: &Path) -> bool {
    fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some())
}

/// Returns a path of the directory that can be renamed: not `.`, and not a symlink.
fn renamable(dir: PathBuf) -> Result<PathBuf, Failure> {
    if dir.file_name().is_some() && !dir.is_symlink() {
        return Ok(dir.components().collect());
    }
    dir.canonicalize().map_err(|error| Failure::file("open", &dir, &error))
}

/// Returns a free name beside `dir` for the damaged store.
fn free_name_beside(dir: &Path) -> PathBuf {
    let name = |suffix: &str| {
        let mut name = dir.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let mut names = std::iter::once(name(".damaged")).chain((2..).map(|n| name(&format!(".damaged-{n}"))));
    let free = names.find(|path| path.symlink_metadata().is_err());
    free.expect("some number is free")
}
