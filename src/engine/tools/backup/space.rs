//! Checks of the disk before a backup or a restore writes anything.

use std::io::{self, ErrorKind};

use crate::engine::base::error::{Error, Result};
use crate::engine::base::escape::Grouped;
use crate::engine::fs::{Directory, StoreFile};

/// Fails if the system reports fewer than `len` free bytes for `directory`.
pub(super) fn check_space(directory: &dyn Directory, len: u64) -> Result<()> {
    match directory.room() {
        Some(room) if room.free_len < len => {
            let reason = format!("it needs {} bytes, and {} are free", Grouped(len), Grouped(room.free_len));
            let source = io::Error::new(ErrorKind::StorageFull, reason);
            Err(Error::io("write", directory.path(StoreFile::Manifest))(source))
        }
        _ => Ok(()),
    }
}

/// Returns whether both directories are known to be on one device, so that files can be linked.
pub(super) fn are_on_one_device(one: &dyn Directory, other: &dyn Directory) -> bool {
    let device = |directory: &dyn Directory| directory.room().map(|room| room.device);
    device(one).is_some_and(|one| device(other) == Some(one))
}
