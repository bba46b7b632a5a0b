//! `output`: writes results to a file.

use super::words::create;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::named;
use crate::shell::run::session::{Command, Invocation, Run, Session};

pub const OUTPUT: Command = Command {
    name: "output",
    aliases: &[],
    group: Group::Shell,
    signature: "[FILE|-]",
    summary: "Writes results to a file",
    help: "Writes the following results to the file, and in mode json failures too. An existing file is \
           replaced. output without an argument, or output -, goes back to standard output. If a write \
           to the file fails, the shell reports it and goes back to standard output: some results are \
           lost, but no writes to the store.",
    examples: &[
        Example { line: "output keys.txt", does: "writes results to keys.txt" },
        Example { line: "output", does: "goes back to standard output" },
    ],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_output),
};

fn run_output(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let file = invocation.args.first().filter(|word| !word.is_dash());
    let file = match file {
        Some(word) => Some((create(session, word)?, named(&word.bytes))),
        None => None,
    };
    // A failed flush of the previous file is reported, and does not stop the command.
    session.flush();
    session.send_results(file);
    Ok(Outcome::Done)
}
