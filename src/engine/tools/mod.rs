//! Tools that read the files of a store apart from reads and writes.

pub(crate) mod backup;
pub(crate) mod inspect;
pub(crate) mod repair;
pub(crate) mod verify;
