//! `read`: runs a script.

use super::words::stdin;
use crate::shell::lang::command::{ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::Word;
use crate::shell::run::script;
use crate::shell::run::session::{Command, Invocation, Run, Session};
use crate::shell::term::input::Input;

pub const READ: Command = Command {
    name: "read",
    aliases: &[],
    group: Group::Shell,
    signature: "FILE|-",
    summary: "Runs a script",
    help: "A script has one command a line. The bytes ; > and | have no special meaning. Blank lines \
           and lines that start with # are skipped. A script may read another one. - is standard input, \
           unless that holds the commands.",
    examples: &[Example { line: "read setup.logkv", does: "runs the commands in the file" }],
    flags: &[],
    args: &[ArgKind::File],
    arity: Arity::exactly(1),
    needs: Needs::NewStore,
    run: Run::Itself(run_read),
};

fn run_read(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    /// The maximum depth of nested scripts. A script that reads itself exceeds any limit.
    const DEPTH_MAX: usize = 16;
    let word = &invocation.args[0];
    if session.depth() == DEPTH_MAX {
        let failure = Failure::command(format!("scripts are nested more than {DEPTH_MAX} deep"));
        return Err(failure.at(word.span.clone()));
    }
    let input = open_script(session, word)?;
    session.make_store()?;
    let name = word.path().to_string_lossy();
    Ok(session.nested(word.is_dash(), |session| script::run(session, vec![input], &name)))
}

fn open_script(session: &Session, word: &Word) -> Result<Input, Failure> {
    if word.is_dash() {
        return stdin(session, word, "logkv DIR read - runs it");
    }
    Input::path(word.path()).map_err(|error| Failure::file("read", word.path(), &error).at(word.span.clone()))
}
