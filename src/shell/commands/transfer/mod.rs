//! `export` and `import`: keys and values on their way out of the store and into it, a row at a time.
//!
//! [`rows`] has the forms of rows, and [`super::foreign`] the records of other stores. An export goes from a
//! snapshot to a file; an import from a [`source`], lines or the [`data_files`] of another store, into the store.
//! What it cannot take goes to the [`rejects`].

mod data_files;
pub mod export;
pub mod import;
mod rejects;
pub mod rows;
pub mod scanner;
mod source;
mod writer;
