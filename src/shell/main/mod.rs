//! The program: arguments, the start, the line editor, the manual page and completions.

pub mod args;
pub mod completions;
pub mod editor;
pub mod manual;
pub mod start;
