//! The command language: words, the types of the command table, parsing, patterns and failures.

pub mod answer;
pub mod command;
pub mod failure;
pub mod glob;
pub mod habits;
pub mod nearest;
pub mod parse;
pub mod report;
pub mod times;
pub mod words;
