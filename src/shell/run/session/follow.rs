//! How a read-only shell goes by what another process writes.

use super::{Invocation, Session};
use crate::shell::lang::command::Needs;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::report;

impl Session {
    /// Goes over to what the files hold now, if another process may be writing to them.
    ///
    /// # Errors
    /// That the store is gone, or cannot be read.
    fn follow(&mut self) -> Result<(), Failure> {
        let Some(store) = self.store.as_ref().filter(|store| store.is_read_only()) else { return Ok(()) };
        let refreshed = store.refresh();
        if let Some(progress) = &self.opening {
            progress.clear();
        }
        let refreshed = refreshed.map_err(|error| Failure::open(&error))?;
        if !self.settings.quiet {
            refreshed.damage.iter().for_each(|found| self.note(&report::damaged(found)));
        }
        self.is_stale = false;
        Ok(())
    }

    /// As [`Session::follow`], for a command that goes by what the store holds; any other runs also where that is gone.
    pub(super) fn follow_for(&mut self, invocation: &Invocation) -> Result<(), Failure> {
        match invocation.command.needs {
            Needs::Program | Needs::Nothing | Needs::Directory => Ok(()),
            Needs::Files { unless } if unless(&invocation.args) => Ok(()),
            Needs::Files { .. } | Needs::Reading | Needs::Store | Needs::NewStore => self.follow(),
        }
    }

    /// Notes that lines came in: whoever wrote them knows of nothing that is written later.
    pub fn hear(&mut self) {
        self.is_stale = true;
    }

    /// As [`Session::follow`], once for all lines that came in together: for what runs too often to look each time.
    pub fn catch_up(&mut self) -> Result<(), Failure> {
        if self.is_stale { self.follow() } else { Ok(()) }
    }
}
