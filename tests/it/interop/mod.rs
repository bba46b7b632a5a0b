//! With the real things: what is exported for Redis is in a Redis then, and what Riak's bitcask has written is imported.

mod bitcask;
mod redis;

use std::io;
use std::process::{Command, Stdio};

use crate::common::skipped;

/// Whether the program `name` can be called at all; says so where it cannot.
fn is_there(test: &str, name: &str) -> bool {
    let called = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    match called {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skipped(test, &format!("there is no {name}; .ci/setup installs it on Debian"));
            false
        }
        _ => true,
    }
}
