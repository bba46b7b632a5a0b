//! Known damage in the log.

use std::collections::BTreeSet;

use logkv::Location;
use logkv::inspect::{Item, Range};

use super::Session;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;

impl Session {
    /// Returns whether the store has damage. The damaged records may have had any key.
    pub fn is_damaged(&self) -> Result<bool, Failure> {
        Ok(!self.store()?.open_report().damage.is_empty())
    }

    /// Returns the outcome of a command that has shown all intact records. `damage` is its failure.
    /// Keys may be missing if the store has damage.
    pub fn shown_all(&self, damage: Option<Failure>) -> Result<Outcome, Failure> {
        match (damage, self.is_damaged()?) {
            (Some(damage), _) => Err(self.naming_key(damage)),
            (None, false) => Ok(Outcome::Done),
            (None, true) => Ok(Outcome::Damaged),
        }
    }

    /// Records damage that a command has met.
    pub fn remember_damage(&mut self, at: Location) {
        self.met_damage.insert((at.segment, at.offset));
    }

    /// Returns the damage found when the store was opened and by commands, ordered by segment and
    /// offset.
    pub fn known_damage(&self) -> Vec<Location> {
        let Some(store) = &self.store else { return Vec::new() };
        let report = store.open_report();
        let found: BTreeSet<_> =
            report.damage.iter().map(|found| (found.at.segment, found.at.offset)).collect();
        let all = found.union(&self.met_damage);
        all.map(|&(segment, offset)| Location { segment, offset }).collect()
    }

    /// Adds to `failure` the key of its damaged record, if known. The key in the damaged bytes may
    /// be wrong, so it is used only if a read of that key leads to the same record.
    pub fn naming_key(&self, failure: Failure) -> Failure {
        let key = || {
            let at = failure.damaged_at?;
            let store = self.store.as_ref()?;
            let inspection = store.inspect(at.segment).ok()?;
            let range = Range { from: at.offset, ..Range::default() };
            let Item::Record(record) = inspection.items(range).next()?.ok()? else { return None };
            let met = Failure::from(store.get(&record.key).err()?).damaged_at;
            (met == Some(at)).then_some(record.key)
        };
        match key() {
            Some(key) => failure.about_key(&key),
            None => failure,
        }
    }
}
