//! The one integration test program of logkv; a room a topic.

mod any_bytes;
mod cases;
mod churn;
mod common;
mod compaction;
mod concurrency;
mod cuts;
mod damage;
mod damaged_runs;
mod directory;
mod dozing;
mod every_byte;
mod faults;
mod fork;
mod format;
mod hooked;
mod injected;
mod inspection;
mod keydir;
mod killed;
mod linear;
mod machine;
mod model;
#[cfg(shuttle)]
mod models;
mod person;
#[cfg(feature = "planted")]
mod planted;
mod readers;
mod readme;
mod recovery;
mod repair;
mod salvage;
mod scripted;
mod shell;
mod shell_compact;
mod shell_dump;
mod shell_refusals;
mod shell_repair;
mod shell_scripts;
mod simulated;
mod store;
mod structure;
mod terminal;
mod transcript;
mod verify;
