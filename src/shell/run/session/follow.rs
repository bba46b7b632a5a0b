//! Refreshes of a read-only store that another process may write to.

use super::{Invocation, Session};
use crate::shell::lang::command::Needs;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::report;

impl Session {
    /// Refreshes a read-only store.
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

    /// Refreshes before a command that reads the store. Other commands run even if the store is
    /// gone.
    pub(super) fn follow_for(&mut self, invocation: &Invocation) -> Result<(), Failure> {
        match invocation.command.needs {
            Needs::Program | Needs::Nothing | Needs::Directory => Ok(()),
            Needs::Files { unless } if unless(&invocation.args) => Ok(()),
            Needs::Files { .. }
            | Needs::Reading
            | Needs::Store
            | Needs::StoreUnless { .. }
            | Needs::NewStore => self.follow(),
        }
    }

    /// Marks the store as stale, because lines arrived: the program that sent them may have written
    /// to the store before.
    pub fn mark_stale(&mut self) {
        self.is_stale = true;
    }

    /// Refreshes once for all lines that arrived together. For commands that run too often to
    /// refresh each time.
    pub fn catch_up(&mut self) -> Result<(), Failure> {
        if self.is_stale { self.follow() } else { Ok(()) }
    }
}
