//! Complete reads and writes, and mappings if the process can have one more.

use std::io;

use super::mmap::Mapping;
use super::traits::File;

/// The number of times in a row that an interrupted read or write is repeated. Without a limit, a
/// system that interrupts every call would stop the process.
const INTERRUPTIONS_MAX: u32 = 1000;

/// Repeats `act` while a signal interrupts it.
fn uninterrupted(mut act: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    let mut interruptions = 0;
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interruptions < INTERRUPTIONS_MAX => {
                interruptions += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Reads exactly `buffer.len()` bytes at `at`.
///
/// # Errors
/// `UnexpectedEof` if the file ends first; errors of the operating system.
pub(crate) fn read_exact_at(file: &dyn File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match uninterrupted(|| file.read_at(buffer, at))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

/// Replaces `bytes` with the `len` bytes at `at`. `len` may come from a file, so a lack of memory
/// is an error.
///
/// # Errors
/// `OutOfMemory`, and those of [`read_exact_at`]. The contents of `bytes` are then unspecified.
pub(crate) fn read_into(bytes: &mut Vec<u8>, file: &dyn File, at: u64, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(len.saturating_sub(bytes.len()))?;
    bytes.resize(len, 0);
    read_exact_at(file, bytes, at)
}

/// Returns the `len` bytes at `at`.
///
/// # Errors
/// Those of [`read_into`].
pub(crate) fn read_vec_at(file: &dyn File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, file, at, len)?;
    Ok(bytes)
}

/// Maps the first `len` bytes of `file`. Returns `None` if the file system has no mappings, or the
/// process cannot have another one (`ulimit -v`, `vm.max_map_count`). The file is then read.
///
/// # Errors
/// Errors of the operating system.
pub(crate) fn map_if_room(file: &dyn File, len: u64) -> io::Result<Option<Mapping>> {
    match file.map(len) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            tracing::debug!(%error, len, "there is no room for another mapping; the file is read instead");
            Ok(None)
        }
        mapped => mapped,
    }
}

/// Writes all of `bytes` at `at`.
///
/// # Errors
/// Errors of the operating system. Some of the bytes may have been written.
pub(crate) fn write_all_at(file: &dyn File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| file.write_at(bytes, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                bytes = &bytes[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_repeated_a_limited_number_of_times() {
        let interrupted_for = |times: u32| {
            let mut left = times;
            uninterrupted(|| match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    Err(io::ErrorKind::Interrupted.into())
                }
                None => Ok(7),
            })
        };
        assert_eq!(interrupted_for(INTERRUPTIONS_MAX).expect("the last call succeeds"), 7);
        let error = interrupted_for(u32::MAX).expect_err("every call is interrupted");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
