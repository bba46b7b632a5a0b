//! `export` and `import`: keys and values on their way out of the store and into it, a row at a time.
//!
//! What rows look like is in [`super::rows`], what other stores' records look like in [`super::foreign`]. Here is what reads
//! and writes them: an export goes from a snapshot into a [`target`]; an import from a [`source`], lines or the
//! [`files`] of another store, into the store, and what is none into the [`rejects`].

pub mod export;
mod files;
pub mod import;
mod rejects;
mod source;
pub mod walk;
mod writer;
