//! `history`: prints the lines typed at the prompt.

use crate::shell::lang::command::{self, ArgKind, Arity, Example, Group, Needs, Outcome};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::words::visible;
use crate::shell::run::session::{Command, Invocation, Run, Session};

pub const HISTORY: Command = Command {
    name: "history",
    aliases: &[],
    group: Group::Shell,
    signature: "[N]",
    summary: "Prints the lines typed at the prompt",
    help: "Prints the lines typed at the prompt, or the last N of them, the oldest first. The shell keeps \
           them in $XDG_STATE_HOME/logkv/history, by default ~/.local/state/logkv/history. Scripts and \
           one-shot commands have no history.",
    examples: &[Example { line: "history 10", does: "prints the last ten lines" }],
    flags: &[],
    args: &[ArgKind::Number],
    arity: Arity::between(0, 1),
    needs: Needs::Nothing,
    run: Run::Itself(run_history),
};

fn run_history(session: &mut Session, invocation: &Invocation) -> Result<Outcome, Failure> {
    let count = match invocation.args.first() {
        Some(word) => usize::try_from(command::number(word, "history")?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let skipped = session.history().len().saturating_sub(count);
    let lines = session.history()[skipped..].to_vec();
    for line in &lines {
        let shown = visible(line.as_bytes());
        let mut answer = session.out.answer();
        answer.say(|_| &shown).field_as("line", line.as_str(), &*shown).end()?;
    }
    if lines.is_empty() {
        session.out.say(|_| "no lines")?;
    }
    Ok(Outcome::Done)
}
