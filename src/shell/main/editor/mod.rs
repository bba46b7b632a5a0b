//! The line editor: rustyline, taught the shell's commands, its words and the store's keys.

mod assistant;
mod complete;
mod highlight;
mod hint;
mod history;
mod insertion;
mod keyboard;
mod lines;
mod list;
mod prompt;
mod repl;
mod spot;

pub use self::repl::run;
