//! Questions to the person who gives the commands.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use super::{Origin, Session};
use crate::shell::lang::failure::Failure;
use crate::shell::term::input::Input;

impl Session {
    /// Asks a person a question that is answered with y or n; elsewhere refuses, unless told `-y`.
    pub fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        self.confirm_or(question, &format!("will not {question}"))
    }

    /// Asks as [`Session::confirm`] does; `refusal` says what is not done where nobody can be asked.
    pub fn confirm_or(&mut self, question: &str, refusal: &str) -> Result<bool, Failure> {
        if self.settings.yes {
            return Ok(true);
        }
        // One command at a terminal is given by a person, too.
        let is_person =
            self.origin == Origin::OneShot && io::stdin().is_terminal() && io::stderr().is_terminal();
        if !(self.is_interactive() || is_person) {
            let failure = Failure::command(format!("{refusal}: nobody can be asked"));
            return Err(failure.hint("-y says yes"));
        }
        let answer = self.ask(&format!("{question}? [y/N] "))?;
        Ok(matches!(answer.as_deref(), Some("y" | "Y" | "yes")))
    }

    /// What a person answers to `question`, without the blanks around it; `None` at the end of the input. Ctrl-C is a
    /// failure.
    pub fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        self.out.flush()?;
        write!(io::stderr(), "{question}")?;
        let started = Instant::now();
        let mut answer = String::new();
        // A read would be taken up again after Ctrl-C; this wait is not.
        let answered =
            Input::stdin()?.wait(&self.interrupt).and_then(|()| io::stdin().read_line(&mut answer));
        self.asked += started.elapsed();
        match answered {
            Ok(0) => {
                // Ctrl-D leaves the cursor behind the question.
                writeln!(io::stderr())?;
                Ok(None)
            }
            Ok(_) => Ok(Some(answer.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                writeln!(io::stderr())?;
                Err(Failure::interrupted())
            }
            Err(error) => Err(error.into()),
        }
    }
}
