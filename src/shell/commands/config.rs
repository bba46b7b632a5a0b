//! `config`: lists the engine's options, and writes an options file.

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
    summary: "Lists the engine's options and their sources",
    help: "Each option has its value from the first source that sets it: a flag (--sync never), the \
           environment (LOGKV_SYNC=never), --config FILE or logkv.toml in the data directory \
           (sync = \"never\"), the default.\n\n\
           If another user owns the data directory or may write to it, its logkv.toml is read only with \
           --trust.\n\n\
           --init writes a logkv.toml with the effect and default of each option, all commented out. An \
           existing file is kept.\n\n\
           Mode plain has option, value and source, separated by tabs; mode json one object an option.",
    examples: &[
        Example { line: "config", does: "lists the options" },
        Example { line: "config --init", does: "writes a commented logkv.toml" },
    ],
    flags: &[Flag {
        name: "init",
        short: None,
        takes: Takes::Nothing,
        doc: "Writes a commented logkv.toml to the data directory",
    }],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(run_config),
};

fn init_config(session: &mut Session) -> Result<Outcome, Failure> {
    if !session.settings().makes_files {
        return Err(Failure::command("nothing is created with --read-only or --no-create"));
    }
    config::init(session.dir(), session.config().options.trust)?;
    let path = session.dir().join(StoreFile::Config.to_string());
    let path = visible(path.as_os_str().as_encoded_bytes());
    let mut answer = session.out.answer();
    answer.say(|_| format!("created {path}")).field("file", &*path).end()?;
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
        let value = setting.value.as_str();
        let source = setting.source.to_string();
        let mut row = out.row(&mut table);
        row.cell(Column::text("option", hue::PLAIN), |_| setting.name).field("option", setting.name);
        row.cell(Column::text("value", hue::VALUE), |_| value).field("value", value);
        row.cell(Column::text("source", hue::DIM).wrapped(), |_| &*source).field("source", &*source);
        row.end()?;
    }
    table.end(out)?;
    Ok(Outcome::Done)
}
