//! Work on cold files, apart from the path of reads and writes.

pub(crate) mod backup;
pub(crate) mod inspect;
pub(crate) mod repair;
pub(crate) mod verify;
