//! The one integration test program of logkv; a room a topic.

mod cases;
mod common;
mod damage;
mod faults;
mod format;
mod person;
mod recovery;
mod shell;
mod shell_dump;
mod shell_refusals;
mod shell_scripts;
mod store;
mod structure;
mod terminal;
mod transcript;
