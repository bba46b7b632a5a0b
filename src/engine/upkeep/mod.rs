//! Maintenance that keeps a store small and fast to open, and the threads that do it.

pub(crate) mod background;
pub(crate) mod checkpoint;
pub(crate) mod compaction;
pub(crate) mod syncer;
