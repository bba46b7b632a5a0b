//! The manual of the program `logkv`, by topic.
//!
//! A test runs the sessions on these pages, and compares their tables with the program.

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
