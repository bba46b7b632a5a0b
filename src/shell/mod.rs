//! The shell: what the person at the terminal gets, built on the public interface of the library alone.
//!
//! # Wings
//! A wing uses those above it in this table alone; a test reads the table and holds the code to it.
//!
//! | wing | what it knows |
//! |---|---|
//! | `term` | the terminal and the standard streams: looks, columns, JSON, paging, progress, Ctrl-C |
//! | `lang` | a line: words, the types of the command table, parsing, patterns, times, failures |
//! | `run` | the session, its options and open batch, scripts, and the files around a store |
//! | `commands` | the commands, each one row of the table and what its row runs |
//! | `main` | the program: arguments, the start, the line editor, the manual page, completions |
//!
//! # The life of a line
//! The arguments, a [`script`](run::script) or the [`editor`](main::editor) give a line to the
//! [`session`](run::session) → [`words`](lang::words) splits it → [`parse`](lang::parse) finds its row in the table
//! that the start has handed down, and makes a call of it → what the row runs writes its result to the
//! [`output`](term::output), in the form that was asked for.

mod commands;
mod lang;
mod main;
mod run;
mod term;

pub use self::main::start::main;
