//! `compact`, `sync`, `rotate`, `backup`, `restore`, `repair`, `config`.

use crate::shell::commands::{backup, compact, repair};
use crate::shell::lang::answer::FieldValue;
use crate::shell::lang::command::{ArgKind, Arity, Example, Flag, Group, Needs, Outcome, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::visible;
use crate::shell::run::config;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::run::write::reply::done;
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::style::hue;
use logkv::fs::StoreFile;

pub const COMPACT: Command = Command {
    name: "compact",
    aliases: &["merge"],
    group: Group::Maintain,
    signature: "[SEG…] [--all] [--dry-run] [--limit N] [--step]",
    summary: "Gives back the space of dead records",
    help: "Copies what is needed of some segments into new ones, and removes the old ones. Without \
           arguments it takes the segments that are due (see segments, and config for when one is). \
           Sealed segments can be named.\n\n\
           Ctrl-C stops it at the next record: finished runs stay, and nothing else has changed.\n\n\
           --dry-run shows the first 40 records on a terminal, unless --limit says otherwise.\n\n\
           --step waits for Enter at a terminal, and elsewhere only prints the steps.\n\n\
           Mode plain has name, tab, value; mode json one object: segments_before, segments_after, \
           bytes_before, bytes_after, freed_bytes, records_before, records_after, kept and dropped \
           (each by reason, with _bytes), needed_by (which older segments tombstones are kept for), \
           runs, left (segments that stay because they are damaged), cancelled. --dry-run in these \
           modes begins each line with its type: run, record, and sum or summary.",
    examples: &[
        Example { line: "compact", does: "compacts what is due" },
        Example { line: "compact --all", does: "compacts all that holds anything dead" },
        Example { line: "compact 3 --dry-run", does: "tells what would become of each record of 000003.seg" },
        Example { line: "compact 3 4 --step", does: "goes step by step, each with what a crash would leave" },
    ],
    flags: compact::FLAGS,
    args: &[ArgKind::Sealed],
    arity: Arity::at_least(0),
    needs: Needs::Store,
    run: Run::Itself(compact::run),
};

pub const SYNC: Command = Command {
    name: "sync",
    aliases: &[],
    group: Group::Maintain,
    signature: "",
    summary: "Makes everything written so far durable",
    help: "Returns when everything acknowledged so far survives a power cut. Mode plain prints nothing, \
           mode json ok.",
    examples: &[Example { line: "sync", does: "waits for the disk" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Itself(run_sync),
};

pub const ROTATE: Command = Command {
    name: "rotate",
    aliases: &[],
    group: Group::Maintain,
    signature: "",
    summary: "Seals the active segment; the next write starts a new one",
    help: "The segment that was active is final from then on. If it holds no record, nothing happens. \
           Mode plain prints the number of the sealed segment; mode json has it as sealed, or null.",
    examples: &[Example { line: "rotate", does: "prints the segment that was sealed" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Store,
    run: Run::Itself(run_rotate),
};

pub const BACKUP: Command = Command {
    name: "backup",
    aliases: &[],
    group: Group::Maintain,
    signature: "DIR | FILE.tar.zst | FILE.tar | - [--level N] [-y|--yes]",
    summary: "Makes a copy of the store, while it is written to",
    help: "Copies the store as it is now, every batch whole, and checks what it copies.\n\n\
           In a directory, sealed segments get a second name (a hard link) where that is possible, and \
           are copied elsewhere. The directory is missing, empty, or holds an earlier backup of this \
           store. Then backup adds new segments and removes those that were compacted away; the earlier \
           backup stays valid until the end. A backup in a directory can be opened with -r. After a \
           write it is a store of its own.\n\n\
           A name that ends in .tar.zst, .tzst or .tar, in letters of any case, makes an archive. It \
           replaces a file of that name after a question, or with -y; - writes a compressed archive to \
           the standard output.\n\n\
           Mode plain has name, tab, value; mode json one object, but for -.",
    examples: &[
        Example { line: "backup ./copy", does: "makes a backup in ./copy, or brings it up to date" },
        Example { line: "backup today.tar.zst --level 19", does: "makes one file, as small as it gets" },
    ],
    flags: backup::FLAGS,
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Reading,
    run: Run::Itself(backup::run),
};

pub const RESTORE: Command = Command {
    name: "restore",
    aliases: &[],
    group: Group::Maintain,
    signature: "FROM",
    summary: "Makes a store of a backup",
    help: "Makes a store in DIR, which is missing or empty, from the backup FROM: a directory, an \
           archive, or - for an archive from the standard input.\n\n\
           Every byte is read and checked before DIR is a store. A damaged backup is refused with exit \
           code 4, and leaves nothing behind.\n\n\
           A missing DIR is made as DIR.unfinished and renamed at the end. An empty one, which may be a \
           mount point or a link to a directory, is filled where it is, MANIFEST last. If restore is \
           killed before that, DIR is not a store, and the next restore to DIR starts again. An empty \
           DIR that another user owns needs --trust.\n\n\
           FROM may also be the directory of a closed store, or a tar of a backup's directory that \
           another program made, plain or compressed with zstd or gzip.",
    examples: &[
        Example { line: "restore ./copy", does: "as in logkv ./new restore ./copy" },
        Example { line: "restore -", does: "as in logkv ./new restore - < today.tar.zst" },
    ],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::Directory,
    run: Run::Itself(backup::run_restore),
};

pub const REPAIR: Command = Command {
    name: "repair",
    aliases: &[],
    group: Group::Maintain,
    signature: "--to DIR | --in-place [-y|--yes]",
    summary: "Makes a store of all that is intact in a damaged one",
    help: "Copies every intact record into a new store, whatever is damaged around it, and writes a new \
           MANIFEST if that is lost.\n\n\
           The report says what was lost, with the keys if they are known: a key whose newest record is \
           lost has its older value again, or is gone.\n\n\
           The damaged store stays as it is: with --in-place it changes places with the new one, and is \
           kept under its name with .damaged added. Until then the new one has the name with .repairing \
           added. If a repair is killed, the next --in-place removes that directory, unless somebody \
           opened it for writing. If nothing is damaged, --in-place changes nothing.\n\n\
           The store is not opened, and no other process may have it open. Exit code 4 when something \
           was lost.",
    examples: &[
        Example { line: "repair --to ./data-2", does: "makes a store in ./data-2" },
        Example { line: "repair --in-place", does: "the same, in place, when a question is answered" },
    ],
    flags: repair::FLAGS,
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Directory,
    run: Run::Itself(repair::run),
};

pub const CONFIG: Command = Command {
    name: "config",
    aliases: &[],
    group: Group::Maintain,
    signature: "[--init]",
    summary: "The engine's options, and where each comes from",
    help: "An option comes from the first that names it: a flag (--sync never), LOGKV_… in the \
           environment (LOGKV_SYNC=never), --config FILE or logkv.toml in the data directory \
           (sync = \"never\"), the default.\n\n\
           The file in a directory that somebody else owns or may \
           write to is read only with --trust.\n\n\
           --init writes a logkv.toml with each option, what it does and its \
           default, all commented out; one that is there stays as it is.\n\n\
           Mode plain has option, value and source, separated by tabs; mode json an object an option.",
    examples: &[
        Example { line: "config", does: "lists the options" },
        Example { line: "config --init", does: "writes a logkv.toml to begin with" },
    ],
    flags: &[Flag {
        name: "init",
        short: None,
        takes: Takes::Nothing,
        doc: "Writes a commented logkv.toml into the data directory",
    }],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(run_config),
};

fn run_sync(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    session.store()?.sync()?;
    done(session, "OK", |_| {})
}

fn run_rotate(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let sealed = session.store()?.rotate()?;
    let mut answer = session.out.answer();
    answer.say(|_| match sealed {
        Some(id) => format!("sealed segment {id}"),
        None => "the active segment has no record; nothing was done".to_owned(),
    });
    match sealed {
        Some(id) => answer.field("sealed", id.0),
        None => answer.json("sealed", FieldValue::Nothing),
    };
    answer.end()?;
    Ok(Outcome::Done)
}

fn init_config(session: &mut Session) -> Result<Outcome, Failure> {
    if !session.settings.makes_files {
        return Err(Failure::command("nothing is made with --read-only or --no-create"));
    }
    config::init(session.dir(), session.config.options.trust)?;
    let path = session.dir().join(StoreFile::Config.to_string());
    let path = visible(path.as_os_str().as_encoded_bytes());
    let mut answer = session.out.answer();
    answer.say(|_| format!("{path} is there to be edited")).field("file", &*path).end()?;
    Ok(Outcome::Done)
}

fn run_config(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    if invocation.has("init") {
        return init_config(session);
    }
    if let Some(why) = &session.config.unread {
        session.note(&format!("note: {why}; --trust reads it"));
    }
    let out = &mut session.out;
    let mut table = Table::new(&[], out.look);
    for setting in &session.config.settings {
        let (value, source) = (setting.value.as_str(), setting.source.to_string());
        let mut row = out.row(&mut table);
        row.cell(Column::text("option", hue::PLAIN), |_| setting.name).field("option", setting.name);
        row.cell(Column::text("value", hue::VALUE), |_| value).field("value", value);
        row.cell(Column::text("source", hue::DIM).wrapped(), |_| &*source).field("source", &*source);
        row.end()?;
    }
    table.end(out)?;
    Ok(Outcome::Done)
}
