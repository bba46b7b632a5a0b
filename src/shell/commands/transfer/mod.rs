//! `export` and `import`: keys and values leave and enter the store row by row.
//!
//! [`rows`] has the formats of rows, and [`super::foreign`] the records of other stores. An export
//! reads a snapshot and writes a file. An import reads a [`source`], which is text or the
//! [`data_files`] of another store, and writes the store. Rows that it cannot import go to the
//! [`rejects`].

mod data_files;
pub mod export;
pub mod import;
mod rejects;
pub mod rows;
pub mod scanner;
mod source;
mod writer;
