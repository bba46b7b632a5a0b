//! What a store still owes when the system refuses it something.

use std::fmt::Debug;
use std::sync::Arc;

use logkv::{Batch, Commit, Error, Sync};

use super::Living;
use super::write::transact;
use crate::simulated::life::{Life, Moment};
use crate::simulated::look::{self, Trouble};
use crate::simulated::plan::key;

impl Living {
    /// Does `what`; whether the store goes on. An error is right where a call has failed, and says so.
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

    /// Lets the store go with its system in order again: what it holds is what it says.
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

    /// What is owed after an error: the sentence is true, and what is seen is what it says.
    fn refused(&mut self, error: &Error) -> Result<bool, Trouble> {
        self.is_well_told(error)?;
        if self.store.is_none() {
            return Ok(false);
        }
        if !matches!(error, Error::OutcomeUnknown { .. }) {
            self.take_back();
        }
        if matches!(error, Error::OutcomeUnknown { .. } | Error::Poisoned { .. }) {
            self.writes_no_more()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// It is told once, in a sentence that names what was refused, and was not to be got round.
    fn is_well_told(&mut self, error: &Error) -> Result<(), String> {
        let sentence = error.sentence();
        let (Some(fault), Some(met)) = (self.life.birth.fault, self.file_system.met()) else {
            return Err(sentence);
        };
        if fault.is_invisible(met.call) {
            return Err(format!("{:?} is carried on with, and yet: {sentence}", met.call));
        }
        let is_second = match error {
            Error::Io { .. } => self.told.is_some(),
            // All who wait for the same sync are told so.
            Error::OutcomeUnknown { .. } => self.told.as_ref().is_some_and(|told| *told != sentence),
            Error::NotWritten { .. } | Error::Poisoned { .. } => false,
            _ => return Err(format!("{:?} failed, and the store says: {sentence}", met.call)),
        };
        if is_second && !fault.lasts {
            return Err(format!("one call failed, and another error is told: {sentence}"));
        }
        match fault.is_told_by(&sentence, met.call) {
            true => {
                if matches!(error, Error::Io { .. } | Error::OutcomeUnknown { .. }) {
                    self.told = Some(sentence);
                }
                Ok(())
            }
            false => Err(format!("{:?} failed, and this does not tell it: {sentence}", met.call)),
        }
    }

    /// Notes that what was asked for since the last acknowledgement is not there, and does not come back: what was durable
    /// without it stays so.
    fn take_back(&mut self) {
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

    /// Writes that were waited for one after another: when one is not there, those after it are not, either.
    pub(super) fn told_one_by_one(
        &mut self,
        told: Vec<(usize, logkv::Result<Option<Commit>>)>,
    ) -> Result<(), Trouble> {
        let mut refusal: Option<Error> = None;
        for (at, outcome) in told {
            match (outcome, refusal.take()) {
                (Ok(commit), None) => self.acknowledge(at, commit)?,
                (Ok(_), Some(error)) => {
                    return Err(format!("moment {at} is there after {}", error.sentence()).into());
                }
                (Err(error), None) => refusal = Some(error),
                (Err(later), Some(first)) => {
                    self.is_well_told(&later)?;
                    refusal = Some(first);
                }
            }
        }
        refusal.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A log that failed takes no more writes, not even when the system is in order again, and shows what it showed.
    pub(super) fn writes_no_more(&mut self) -> Result<(), Trouble> {
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
                return Err(format!("after a failure whose outcome is unknown it says {outcome:?}").into());
            }
        }
        drop(store);
        self.shows_one_since(self.mark.written)?;
        for (snapshot, map) in &self.snapshots {
            look::at_snapshot(snapshot, map)?;
        }
        let store = self.store.take().expect("it is open");
        match (store.close(), self.file_system.event_count() - event_count) {
            (Err(Error::Poisoned { .. }), 0) => Ok(()),
            (closed, changed) => {
                Err(format!("a log that failed changed {changed} things, and closing it says {closed:?}")
                    .into())
            }
        }
    }
}
