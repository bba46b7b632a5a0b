//! Requirements on a store after a failed call.

use std::fmt::Debug;
use std::sync::Arc;

use logkv::{Batch, Commit, Error, Sync};

use super::Living;
use super::write::transact;
use crate::simulated::life::{Life, Moment};
use crate::simulated::look::{self, Trouble};
use crate::simulated::plan::key;

impl Living {
    /// Runs an operation. Returns whether the store continues. An error is correct only after a
    /// failed call, and must name it.
    pub(super) fn attempt(
        &mut self,
        what: &dyn Debug,
        act: impl FnOnce(&mut Self) -> Result<(), Trouble>,
    ) -> Result<bool, String> {
        let outcome = match act(self) {
            Err(Trouble::Refused(error)) => self.refused(&error),
            outcome => outcome.map(|()| true),
        };
        outcome.map_err(|trouble| format!("{what:?}: {}", trouble.sentence()))
    }

    /// Drops the store after the fault has ended, and reopens it. Its contents must be as recorded.
    pub(super) fn end(mut self) -> Result<Life, String> {
        let closed = self.attempt(&"closing", |living| {
            living.file_system.mend();
            if living.store.is_none() {
                return Ok(());
            }
            if living.file_system.met().is_some() {
                living.is_as_expected()?;
                living.snapshots.iter().try_for_each(|(snapshot, map)| look::at_snapshot(snapshot, map))?;
            }
            living.close()
        });
        closed?;
        self.life.events = self.file_system.events();
        self.life.call_count = self.file_system.call_count();
        self.life.met = self.file_system.met();
        Ok(self.life)
    }

    /// Checks an error: its sentence is true, and the visible contents agree with it.
    fn refused(&mut self, error: &Error) -> Result<bool, Trouble> {
        self.check_report(error)?;
        if self.store.is_none() {
            return Ok(false);
        }
        if !matches!(error, Error::OutcomeUnknown { .. }) {
            self.discard_unacknowledged();
        }
        if matches!(error, Error::OutcomeUnknown { .. } | Error::Poisoned { .. }) {
            self.check_poisoned()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Checks that the error is reported once, names the failed call, and could not be avoided.
    fn check_report(&mut self, error: &Error) -> Result<(), String> {
        let sentence = error.sentence();
        let (Some(fault), Some(met)) = (self.life.start.fault, self.file_system.met()) else {
            return Err(sentence);
        };
        if fault.is_invisible(met.call) {
            return Err(format!("{:?} can be continued, but the store failed: {sentence}", met.call));
        }
        let is_second = match error {
            Error::Io { .. } => self.reported.is_some(),
            // Each waiter of a failed sync gets this error.
            Error::OutcomeUnknown { .. } => {
                self.reported.as_ref().is_some_and(|reported| *reported != sentence)
            }
            Error::NotWritten { .. } | Error::Poisoned { .. } => false,
            _ => return Err(format!("{:?} failed, but the error is: {sentence}", met.call)),
        };
        if is_second && !fault.lasts {
            return Err(format!("one call failed, and the error names another one: {sentence}"));
        }
        match fault.is_reported_by(&sentence, met.call) {
            true => {
                if matches!(error, Error::Io { .. } | Error::OutcomeUnknown { .. }) {
                    self.reported = Some(sentence);
                }
                Ok(())
            }
            false => Err(format!("{:?} failed, but the error does not name it: {sentence}", met.call)),
        }
    }

    /// Records that all writes since the last acknowledgement are lost for good. Writes that were
    /// durable stay so.
    fn discard_unacknowledged(&mut self) {
        let at = self.mark.acknowledged;
        if self.mark.issued == at {
            return;
        }
        let Moment { map, last_seq } = self.life.moments[at].clone();
        self.life.moments.push(Moment { map, last_seq });
        self.mark.issued = self.life.moments.len() - 1;
        self.mark.acknowledged = self.mark.issued;
        if self.mark.durable == at {
            (self.mark.durable, self.mark.written) = (self.mark.issued, self.mark.issued);
        }
        if !matches!(self.life.setting.sync, Sync::Buffered(_)) {
            self.mark.written = self.mark.issued;
        }
        self.take_mark();
    }

    /// The results of writes that were awaited in order: after a lost write, all later ones are
    /// lost.
    pub(super) fn record_in_order(
        &mut self,
        outcomes: Vec<(usize, logkv::Result<Option<Commit>>)>,
    ) -> Result<(), Trouble> {
        let mut refusal: Option<Error> = None;
        for (at, outcome) in outcomes {
            match (outcome, refusal.take()) {
                (Ok(commit), None) => self.acknowledge(at, commit)?,
                (Ok(_), Some(error)) => {
                    return Err(format!("moment {at} exists after {}", error.sentence()).into());
                }
                (Err(error), None) => refusal = Some(error),
                (Err(later), Some(first)) => {
                    self.check_report(&later)?;
                    refusal = Some(first);
                }
            }
        }
        refusal.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Checks that a failed log takes no more writes, even after the fault has ended, and keeps its
    /// view.
    pub(super) fn check_poisoned(&mut self) -> Result<(), Trouble> {
        let mut batch = Batch::new();
        batch.put(key(1), "too late").delete(key(2));
        self.file_system.mend();
        let event_count = self.file_system.event_count();
        let store = Arc::new(self.store().clone());
        for outcome in [
            store.put(key(1), "too late").map(drop),
            store.delete(key(1)).map(drop),
            store.write(&batch).map(drop),
            store.submit(&batch).map(drop),
            transact(&store, &batch, true).map(drop),
            store.rotate().map(drop),
            store.clear().map(drop),
            store.sync(),
        ] {
            if !matches!(outcome, Err(Error::Poisoned { .. })) {
                return Err(
                    format!("after a failure with an unknown outcome, the result is {outcome:?}").into()
                );
            }
        }
        drop(store);
        self.shows_one_since(self.mark.written)?;
        for (snapshot, map) in &self.snapshots {
            look::at_snapshot(snapshot, map)?;
        }
        let store = self.store.take().expect("is open");
        match (store.close(), self.file_system.event_count() - event_count) {
            (Err(Error::Poisoned { .. }), 0) => Ok(()),
            (closed, changed) => {
                Err(format!("a failed log made {changed} changes, and closing returned {closed:?}").into())
            }
        }
    }
}
