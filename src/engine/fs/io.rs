//! Whole reads and writes, and mappings where there is room for one.

use std::io;

use super::mmap::Mapping;
use super::traits::File;

/// How often in a row a read or a write is tried again that a signal interrupted. A system that interrupts each of them would
/// be waited for for ever.
const INTERRUPTIONS_MAX: u32 = 1000;

/// Does what a signal may interrupt, again if one does.
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

/// Reads exactly `buffer.len()` bytes at `at`. A short read is carried on with; an interrupted one is tried again.
///
/// # Errors
/// `UnexpectedEof` where the file ends before; what the operating system says.
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

/// Makes `bytes` the `len` bytes at `at`. How many that are may come from a file: that there is no memory for them is an error,
/// and does not end the process.
///
/// # Errors
/// `OutOfMemory`, and as [`read_exact_at`]; `bytes` then are anything.
pub(crate) fn read_into(bytes: &mut Vec<u8>, file: &dyn File, at: u64, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(len.saturating_sub(bytes.len()))?;
    bytes.resize(len, 0);
    read_exact_at(file, bytes, at)
}

/// The `len` bytes at `at`, as [`read_into`] reads them.
///
/// # Errors
/// As [`read_into`].
pub(crate) fn read_vec_at(file: &dyn File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(&mut bytes, file, at, len)?;
    Ok(bytes)
}

/// A mapping of the first `len` bytes of `file`; `None` if the file system has none, or the process
/// cannot have another one (`ulimit -v`, `vm.max_map_count`). The file is then read.
///
/// # Errors
/// What the operating system says.
pub(crate) fn map_if_room(file: &dyn File, len: u64) -> io::Result<Option<Mapping>> {
    match file.map(len) {
        Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            tracing::debug!(%error, len, "there is no room for another mapping; the file is read instead");
            Ok(None)
        }
        mapped => mapped,
    }
}

/// Writes all of `bytes` at `at`. A short write is carried on with; an interrupted one is tried again.
///
/// # Errors
/// What the operating system says; some of the bytes may have been written then.
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
    fn a_call_is_done_again_when_it_is_interrupted_and_given_up_when_it_always_is() {
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
        assert_eq!(interrupted_for(INTERRUPTIONS_MAX).expect("it went through at last"), 7);
        let error = interrupted_for(u32::MAX).expect_err("nobody waits for ever");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
