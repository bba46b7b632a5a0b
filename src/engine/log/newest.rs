//! What was appended last of a key, whether readers see it yet or not.

use super::Log;
use crate::engine::base::error::{Error, Result};
use crate::engine::format::record::Kind;
use crate::engine::segment::Record;

impl Log {
    /// The newest record of `key`, also one that readers do not see yet; `None` when there is none or it has expired. It stays
    /// that until something is appended, which the caller keeps others from; and it is no more durable than [`Log::wait`] for
    /// what is appended next makes it.
    ///
    /// # Errors
    /// [`Error::Damaged`], and what the operating system says.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<Record>> {
        let mut writer = self.writable()?;
        let Some(pending) = writer.pending_of(self.state.hash(key), key)? else {
            // Nobody appends meanwhile: those who publish and compact need not wait for the disk.
            drop(writer);
            return self.state.find(key);
        };
        if pending.record.kind != Kind::Put || self.state.is_past(pending.record.expires_ms) {
            return Ok(None);
        }
        // Only what is in the file can be read.
        self.hand_over(&mut writer)?;
        let Some(active) = &writer.active else { return Err(Error::Closed) };
        active.segment.segment.read(pending.at).map(Some)
    }
}
