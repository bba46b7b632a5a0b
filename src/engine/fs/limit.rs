//! The process's limit of open files (`ulimit -n`).

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// The soft limit if it cannot be read.
const SOFT_DEFAULT: u64 = 1024;

/// Returns the soft and the hard limit of open files.
///
/// They are read from `/proc`, because rustix assumes that `prlimit` succeeds, and a sandbox may
/// refuse it.
fn open_files() -> Option<(u64, u64)> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some((words.next()??, words.next()??))
}

/// Returns the soft limit of open files.
pub(super) fn open_files_max() -> u64 {
    open_files().map_or(SOFT_DEFAULT, |(soft, _)| soft)
}

/// Raises the soft limit of open files of this process to the hard limit. The soft limit is low by
/// default, for programs that use `select(2)`. A program that does not, and opens stores without
/// mappings or with many readers, can call this at its start. Child processes inherit the limit.
///
/// # Errors
/// Errors of the operating system. The limit is then unchanged.
pub fn raise_open_files_limit() -> io::Result<()> {
    match open_files() {
        Some((soft, hard)) if soft < hard => {
            let limit = |count| Some(count).filter(|&count| count < u64::MAX);
            Ok(setrlimit(Resource::Nofile, Rlimit { current: limit(hard), maximum: limit(hard) })?)
        }
        Some(_) => Ok(()),
        None => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_system_and_the_soft_one_is_raised() {
        let limit = rustix::process::getrlimit(Resource::Nofile);
        let hard = limit.maximum.unwrap_or(u64::MAX);
        assert_eq!(open_files().map(|(_, hard)| hard), Some(hard));
        raise_open_files_limit().expect("any process may raise its soft limit");
        assert_eq!(open_files(), Some((hard, hard)));
    }
}
