//! `quit`: leaves the shell.

use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::run::session::{Command, Run};

pub const QUIT: Command = Command {
    name: "quit",
    aliases: &["exit", "q"],
    group: Group::Shell,
    signature: "",
    summary: "Leaves the shell",
    help: "Closes the store and leaves the shell. An uncommitted batch is discarded.",
    examples: &[Example { line: "quit", does: "leaves the shell" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(|_, _| Ok(Outcome::Quit)),
};
