//! Exports to a real Redis, and imports from a real bitcask.

mod bitcask;
mod redis;

use std::io;
use std::process::{Command, Stdio};

use crate::common::skipped;

/// Whether the program `name` is installed. Reports a skipped test if it is not.
fn is_there(test: &str, name: &str) -> bool {
    let called = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    match called {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skipped(test, &format!("{name} is not installed (see .ci/setup)"));
            false
        }
        _ => true,
    }
}
