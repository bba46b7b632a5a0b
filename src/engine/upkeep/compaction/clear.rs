//! Removes every key of the store at once.

use super::{Compactor, rewrite};
use crate::engine::base::error::{Error, Result};
use crate::engine::fs::StoreFile;
use crate::engine::fs::staging::remove_if_there;

impl Compactor {
    /// Removes every key. Returns the number of removed keys.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::WithinCompaction`] inside the observer of a compaction; and
    /// the errors of [`Log::clear`](crate::engine::log::Log::clear).
    pub(crate) fn clear(&self) -> Result<u64> {
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let _turn = self.turn(log)?;
        let cleared = log.clear()?;
        if !cleared.segments.is_empty() {
            self.remove_keydir();
            rewrite::remove(&self.planner.state.context, &cleared.segments);
        }
        Ok(cleared.key_count)
    }

    /// KEYDIR describes a log that is gone. Removing it frees its space.
    fn remove_keydir(&self) {
        if let Err(error) = remove_if_there(&*self.planner.state.context.directory, StoreFile::Keydir) {
            tracing::warn!(%error, "KEYDIR stays until it is written again");
        }
    }
}
