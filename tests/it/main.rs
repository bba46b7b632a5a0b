//! The one integration test program of logkv; a room a topic.

mod cases;
mod common;
mod compaction;
mod concurrency;
mod damage;
mod directory;
mod faults;
mod fork;
mod format;
mod hooked;
mod inspection;
mod killed;
mod machine;
mod model;
mod person;
mod readme;
mod recovery;
mod shell;
mod shell_compact;
mod shell_dump;
mod shell_refusals;
mod shell_scripts;
mod store;
mod structure;
mod terminal;
mod transcript;
