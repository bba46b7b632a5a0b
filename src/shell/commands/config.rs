//! `config`.

use logkv::fs::StoreFile;

use crate::shell::lang::command::{Arity, Example, Flag, Group, Needs, Outcome, Takes};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::visible;
use crate::shell::run::config;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::columns::{Column, Table};
use crate::shell::term::style::hue;

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

fn init_config(session: &mut Session) -> Result<Outcome, Failure> {
    if !session.settings().makes_files {
        return Err(Failure::command("nothing is made with --read-only or --no-create"));
    }
    config::init(session.dir(), session.config().options.trust)?;
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
    if let Some(why) = &session.config().unread {
        session.note(&format!("note: {why}; --trust reads it"));
    }
    let settings = session.config().settings.clone();
    let out = &mut session.out;
    let mut table = Table::new(&[], out.look);
    for setting in &settings {
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
