//! What changed between two points of the log.

use super::newest::NewestRecords;
use super::{Past, Version};
use crate::engine::base::error::Result;
use crate::engine::read::scan::Entry;
use crate::engine::segment::Record;

/// A key that was something else at one point of the log than at another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it was before; `None`: it was not there.
    pub before: Option<Entry>,
    /// What it was after; `None`: it was not there, and `gone` says why.
    pub after: Option<Entry>,
    /// The delete that took it away, if it is gone and has not expired.
    pub gone: Option<Version>,
}

/// The differences between two points of the log, by key, in ascending byte order. A record that cannot be read is an error in
/// between.
#[derive(Debug)]
pub struct Differences {
    records: NewestRecords,
    before: Past,
    after: Past,
}

impl Differences {
    /// What is different at `after` from what it was `before`, both being of one snapshot.
    ///
    /// # Errors
    /// [`Error::CompactedAway`](crate::Error::CompactedAway) or [`Error::GivenUp`](crate::Error::GivenUp) when not all of it
    /// can be told, and what the operating system says.
    pub(crate) fn new(before: Past, after: Past) -> Result<Self> {
        before.check_whole()?;
        after.check_whole()?;
        let records = NewestRecords::new(&after.frozen, &..)?;
        Ok(Self { records, before, after })
    }

    /// The difference between the newest records up to the one point and the other, if there is one.
    fn between(&self, [before, after]: [Option<Record>; 2]) -> Option<Result<Difference>> {
        let number = |record: &Option<Record>| record.as_ref().map(|record| record.header.seq);
        let is_same = number(&before) == number(&after);
        let before = before.filter(|record| self.before.is_there(record));
        let (after, gone) = match after {
            Some(record) if self.after.is_there(&record) => (Some(record), None),
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

    /// Looks at the next key: its difference, if it has one; `None` behind the last key. Who takes them so can stop also where
    /// there is no difference for long.
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
