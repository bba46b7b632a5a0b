//! `compact --step`: reports each step, and waits for the user on a terminal.

use std::io::{self, IsTerminal};

use logkv::{CompactionRun, CompactionStage};

use super::text::{self, StageText};
use crate::shell::lang::failure::Failure;
use crate::shell::run::segments;
use crate::shell::run::session::Session;
use crate::shell::term::columns::GAP;
use crate::shell::term::fit::wrap;
use crate::shell::term::output::Output;
use crate::shell::term::style::hue;

/// The steps of one compaction.
#[derive(Debug)]
pub struct Steps {
    /// Whether a user can press Enter.
    waits: bool,
}

impl Steps {
    /// Creates the steps of a compaction in `session`.
    pub fn new(session: &Session) -> Self {
        Self { waits: io::stdin().is_terminal() && session.out.is_terminal }
    }

    /// Reports that `run` reached `stage`, and waits. Returns `false` to cancel.
    pub fn reach(
        &self,
        session: &mut Session,
        stage: CompactionStage,
        run: &CompactionRun,
    ) -> Result<bool, Failure> {
        let text = text::stage(stage);
        write(&mut session.out, text, stage == CompactionStage::Planned, run)?;
        let Some(next) = text.next.filter(|_| self.waits) else { return Ok(true) };
        let cancel = if text.can_cancel { ", q cancels" } else { "" };
        let question = format!("Enter {next}{cancel}: ");
        // An answer that is not understood must not commit, so the question is repeated.
        let continues = loop {
            match session.ask(&question)?.as_deref() {
                Some("" | "y" | "yes") => break true,
                None | Some("q" | "quit" | "n" | "no") => break false,
                Some(_) => {}
            }
        };
        Ok(continues || !text.can_cancel)
    }
}

fn write(out: &mut Output, text: &StageText, is_first: bool, run: &CompactionRun) -> io::Result<()> {
    const NAME_WIDTH: usize = "committed".len();
    let ids: Vec<_> = run.segments.iter().map(|id| id.0).collect();
    if is_first {
        let head = format!("{}, {}", segments::names(&run.segments), text::reason(run));
        out.say(|look| look.paint(head, hue::HEAD))?;
    }
    let mut answer = out.answer();
    answer.say(|look| {
        let name = look.paint(format!("{:NAME_WIDTH$}", text.name), hue::GOOD);
        let hung = |text: &str| {
            let wrapped = wrap(text, look.width.saturating_sub(NAME_WIDTH + GAP));
            wrapped.replace('\n', &format!("\n{:NAME_WIDTH$}{:GAP$}", "", ""))
        };
        let crash = look.paint(hung(text.crash), hue::DIM);
        format!("{name}{:GAP$}{}\n{:NAME_WIDTH$}{:GAP$}{crash}", "", hung(text.now), "", "")
    });
    answer.plain("type", "step").field("step", text.name);
    answer.plain("segments", segments::listed(&run.segments)).json("segments", ids);
    answer.field("now", text.now).field("crash", text.crash).end()?;
    Ok(())
}
