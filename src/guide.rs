//! The manual: the program `logkv` and the care of a store, topic by topic.
//!
//! The sessions on these pages are run by a test, and their tables are compared with the program.

#[doc = include_str!("guide/shell.md")]
pub mod shell {}

#[doc = include_str!("guide/transfer.md")]
pub mod transfer {}

#[doc = include_str!("guide/history.md")]
pub mod history {}

#[doc = include_str!("guide/compaction.md")]
pub mod compaction {}

#[doc = include_str!("guide/care.md")]
pub mod care {}

#[doc = include_str!("guide/metrics.md")]
pub mod metrics {}
