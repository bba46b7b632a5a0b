//! The shell: what the person at the terminal gets, built on the public interface of the library alone.
//!
//! [`words`](lang::words) splits a line, [`parse`](lang::parse) makes a call of a row of the table in
//! [`commands`], and the row's function runs on the [`session`](run::session). Its [`output`](term::output) has
//! the form that was asked for. Lines come from the arguments, a [`script`](run::script) or the
//! [`editor`](main::editor).

mod commands;
mod lang;
mod main;
mod run;
mod term;

pub use self::main::start::main;
