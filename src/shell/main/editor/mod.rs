//! The line editor: rustyline with completions, hints and colours for the shell's commands and
//! keys.

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
