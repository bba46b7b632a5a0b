//! The one integration test program of logkv; a room a topic.

mod cases;
mod common;
mod concurrency;
mod damage;
mod faults;
mod format;
mod hooked;
mod killed;
mod machine;
mod model;
mod readme;
mod recovery;
mod shell;
mod store;
mod structure;
