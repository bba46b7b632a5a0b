//! Compares two points of the log.

use super::newest::NewestRecords;
use super::{Past, Version};
use crate::engine::base::error::Result;
use crate::engine::read::scan::Entry;
use crate::engine::segment::Record;

/// A key that differs between two points of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The entry at the first point; `None` if the key was absent.
    pub before: Option<Entry>,
    /// The entry at the second point; `None` if the key was absent. `gone` gives the reason.
    pub after: Option<Entry>,
    /// The delete of the key, if the key is absent at the second point and did not expire.
    pub gone: Option<Version>,
}

/// The differences between two points of the log, in ascending key order. An unreadable record is
/// one error, and the next keys follow.
#[derive(Debug)]
pub struct Differences {
    records: NewestRecords,
    before: Past,
    after: Past,
}

impl Differences {
    /// Compares `before` and `after`, which are points of the same snapshot.
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or
    /// [`Error::GivenUp`](crate::Error::GivenUp) if the history is incomplete, and
    /// [`Error::Io`](crate::Error::Io).
    pub(crate) fn new(before: Past, after: Past) -> Result<Self> {
        before.check_whole()?;
        after.check_whole()?;
        let records = NewestRecords::new(&after.frozen, &..)?;
        Ok(Self { records, before, after })
    }

    /// Compares the newest records of a key at the two points.
    fn between(&self, [before, after]: [Option<Record>; 2]) -> Option<Result<Difference>> {
        let number = |record: &Option<Record>| record.as_ref().map(|record| record.header.seq);
        let is_same = number(&before) == number(&after);
        let before = before.filter(|record| self.before.is_present(record));
        let (after, gone) = match after {
            Some(record) if self.after.is_present(&record) => (Some(record), None),
            gone => (None, gone),
        };
        if before.is_none() && after.is_none() || is_same && after.is_some() {
            return None;
        }
        Some(Self::read(before, after, gone))
    }

    fn read(before: Option<Record>, after: Option<Record>, gone: Option<Record>) -> Result<Difference> {
        let gone = gone.map(Version::of).transpose()?.filter(|gone| gone.value.is_none());
        let entry = |record: Option<Record>| record.map(Entry::of).transpose();
        Ok(Difference { before: entry(before)?, after: entry(after)?, gone })
    }

    /// Examines the next key, or returns `None` after the last one. Gives `Some(Ok(None))` for a
    /// key without a difference, so that the caller can stop a search through many such keys.
    pub fn next_key(&mut self) -> Option<Result<Option<Difference>>> {
        let records = match self.records.next([self.before.seq, self.after.seq])? {
            Ok(records) => records,
            Err(error) => return Some(Err(error)),
        };
        Some(self.between(records).transpose())
    }
}

impl Iterator for Differences {
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        std::iter::from_fn(|| self.next_key()).find_map(Result::transpose)
    }
}
