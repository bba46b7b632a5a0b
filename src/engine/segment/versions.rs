//! All records of one key in a segment.

use super::{Home, Record, Segment};
use crate::error::{Error, Result};

impl Segment {
    /// The records of `key`, the newest first; in the place of one that is damaged, and by its hash may be one of them, its
    /// error. A filter answers for nearly all segments that have none.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn versions(&self, home: &Home, hash: u64, key: &[u8]) -> Result<Vec<Result<Record>>> {
        let mut versions = Vec::new();
        if self.surely_holds_none(home, std::iter::once(key)) {
            return Ok(versions);
        }
        // What was sorted last was written last.
        for rows in self.order(home)?.iter().rev() {
            for index in rows.partition_point(self, |other| other < key)?..rows.len() {
                let row = rows.get(index);
                match self.read(row.at) {
                    Ok(record) if *record.key() == *key => versions.push(Ok(record)),
                    Ok(_) => break,
                    Err(error @ Error::Damaged { .. }) if row.hash == hash => versions.push(Err(error)),
                    Err(Error::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(versions)
    }
}
