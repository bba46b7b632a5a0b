//! `output`.

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
    summary: "Sends results into a file, or back",
    help: "Results go into the file from here on, and in mode json failures too. The file is created \
           anew. output alone, or output -, sends them to the standard output again. If the file cannot \
           be written any more, that is a failure, and results go to the standard output again: some \
           results are lost, but no writes.",
    examples: &[
        Example { line: "output keys.txt", does: "sends results into keys.txt" },
        Example { line: "output", does: "sends them to the standard output again" },
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
    // What does not reach the file before is told, and holds up nothing.
    session.flush();
    session.send_results(file);
    Ok(Outcome::Done)
}
