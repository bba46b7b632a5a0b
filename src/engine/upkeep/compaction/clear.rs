//! Everything gives way at once, to nothing.

use super::{Compactor, rewrite};
use crate::engine::base::error::{Error, Result};
use crate::engine::fs::StoreFile;
use crate::engine::fs::staging::remove_if_there;

impl Compactor {
    /// Takes every key out of the store; how many there were.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::WithinCompaction`] inside one of this very thread; and those of `log::clear`.
    pub(crate) fn clear(&self) -> Result<u64> {
        let log = self.log.as_ref().ok_or(Error::ReadOnly)?;
        let _turn = self.turn(log)?;
        let cleared = log.clear()?;
        if !cleared.segments.is_empty() {
            self.remove_keydir();
            rewrite::remove(&self.state.context, &cleared.segments);
        }
        Ok(cleared.key_count)
    }

    /// It belongs to no log any more, and takes its space until there is another one.
    fn remove_keydir(&self) {
        if let Err(error) = remove_if_there(&*self.state.context.directory, StoreFile::Keydir) {
            tracing::warn!(%error, "KEYDIR stays until it is written anew");
        }
    }
}
