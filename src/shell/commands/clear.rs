//! `clear`: clears the terminal.

use std::io::Write;

use crate::shell::lang::command::{Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::style::is_dumb;

pub const CLEAR: Command = Command {
    name: "clear",
    aliases: &[],
    group: Group::Shell,
    signature: "",
    summary: "Clears the terminal",
    help: "Does nothing without a terminal, or if TERM is dumb.",
    examples: &[Example { line: "clear", does: "clears the terminal" }],
    flags: &[],
    args: &[],
    arity: Arity::exactly(0),
    needs: Needs::Nothing,
    run: Run::Itself(run_clear),
};

fn run_clear(session: &mut Session, _: &Invocation) -> Result<Outcome, Failure> {
    if session.out.is_terminal && !is_dumb() {
        session.out.write_all(b"\x1b[H\x1b[2J\x1b[3J")?;
    }
    Ok(Outcome::Done)
}
