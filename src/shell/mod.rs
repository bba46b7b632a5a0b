//! The shell: the REPL, scripts and one-shot commands, on the public interface of the library.
//!
//! # Wings
//! A wing uses only the wings above it in this table. A test reads the table and checks the code.
//!
//! | wing | content |
//! |---|---|
//! | `term` | terminal and standard streams: colours, columns, JSON, pager, progress, Ctrl-C |
//! | `lang` | command lines: words, types of the command table, parsing, times, failures |
//! | `run` | the session, its options and open batch, scripts, and files outside the store |
//! | `commands` | the commands: one row of the table each, and the code that the row runs |
//! | `main` | the program: arguments, start, line editor, manual page, completions |
//!
//! # The life of a line
//! The arguments, a [`script`](run::script) or the [`editor`](main::editor) pass a line to the
//! [`session`](run::session). [`words`](lang::words) splits the line, and [`parse`](lang::parse)
//! finds its command in the table. The command writes its result to the [`output`](term::output),
//! in the mode that the user chose.

mod commands;
mod lang;
mod main;
mod run;
mod term;

pub use self::main::start::main;
