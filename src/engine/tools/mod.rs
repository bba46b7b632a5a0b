//! Tools that work on the files of a store: inspect, verify, repair, back up and restore.

pub(crate) mod backup;
pub(crate) mod inspect;
pub(crate) mod repair;
pub(crate) mod verify;
