//! Questions to the user.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use super::{Origin, Session};
use crate::shell::lang::failure::Failure;
use crate::shell::term::input::Input;

impl Session {
    /// Asks a yes/no question. Returns `true` without asking if `-y` was given. Fails without a
    /// terminal.
    pub fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        self.confirm_or(question, &format!("will not {question}"))
    }

    /// Asks as [`Session::confirm`] does. `refusal` starts the message of the failure without a
    /// terminal.
    pub fn confirm_or(&mut self, question: &str, refusal: &str) -> Result<bool, Failure> {
        if self.settings.yes {
            return Ok(true);
        }
        // A one-shot command at a terminal can ask, too.
        let is_person =
            self.origin == Origin::OneShot && io::stdin().is_terminal() && io::stderr().is_terminal();
        if !(self.is_interactive() || is_person) {
            let failure = Failure::command(format!("{refusal}: confirmation needs a terminal"));
            return Err(failure.hint("-y confirms"));
        }
        let answer = self.ask(&format!("{question}? [y/N] "))?;
        Ok(matches!(answer.as_deref(), Some("y" | "Y" | "yes")))
    }

    /// Returns the trimmed answer to `question`, or `None` at the end of the input. Fails after
    /// Ctrl-C.
    pub fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        self.out.flush()?;
        write!(io::stderr(), "{question}")?;
        let started = Instant::now();
        let mut answer = String::new();
        // The system restarts a read after Ctrl-C, but not this wait.
        let answered =
            Input::stdin()?.wait(&self.interrupt).and_then(|()| io::stdin().read_line(&mut answer));
        self.asked += started.elapsed();
        match answered {
            Ok(0) => {
                // Ctrl-D leaves the cursor after the question.
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
