//! The damage in the log that a session knows of.

use std::collections::BTreeSet;

use logkv::Location;
use logkv::inspect::{Item, Range};

use super::Session;
use crate::shell::lang::command::Outcome;
use crate::shell::lang::failure::Failure;

impl Session {
    /// Whether the store has damaged places, which may have held any key.
    pub fn is_damaged(&self) -> Result<bool, Failure> {
        Ok(!self.store()?.open_report().damage.is_empty())
    }

    /// The outcome of a command that has shown all intact records. `damage` is the failure it met. Keys
    /// may be missing if any place of the store is damaged.
    pub fn shown_all(&self, damage: Option<Failure>) -> Result<Outcome, Failure> {
        match (damage, self.is_damaged()?) {
            (Some(damage), _) => Err(self.naming_key(damage)),
            (None, false) => Ok(Outcome::Done),
            (None, true) => Ok(Outcome::Damaged),
        }
    }

    /// Remembers damage that a command has met.
    pub fn remember_damage(&mut self, at: Location) {
        self.met_damage.insert((at.segment, at.offset));
    }

    /// Where the log is damaged, as far as opening has found it or a command has met it, in the order of the segments'
    /// numbers.
    pub fn known_damage(&self) -> Vec<Location> {
        let Some(store) = &self.store else { return Vec::new() };
        let report = store.open_report();
        let found: BTreeSet<_> =
            report.damage.iter().map(|found| (found.at.segment, found.at.offset)).collect();
        let all = found.union(&self.met_damage);
        all.map(|&(segment, offset)| Location { segment, offset }).collect()
    }

    /// `failure`, with the name of the key that has the damaged record, if there is one. The bytes there may say another
    /// key than was written: it is the one for which the index leads to that record.
    pub fn naming_key(&self, failure: Failure) -> Failure {
        let key = || {
            let (at, store) = (failure.damaged_at?, self.store.as_ref()?);
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
