//! The program: arguments, start, line editor, manual page, completions.

pub mod args;
pub mod completions;
pub mod editor;
pub mod manual;
pub mod start;
