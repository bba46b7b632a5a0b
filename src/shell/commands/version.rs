//! `version`: prints the version of logkv.

use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};

pub const VERSION: Command = Command {
    name: "version",
    aliases: &[],
    group: Group::Shell,
    signature: "",
    summary: "Prints the version of logkv",
    help: "Prints the version of this program.",
    examples: &[Example { line: "version", does: "prints the version" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Program,
    run: Run::Itself(run_version),
};

fn run_version(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let named = format!("logkv {version}");
    session.out.answer().say(|_| &named).field_as("version", version, &*named).end()?;
    Ok(Outcome::Done)
}
