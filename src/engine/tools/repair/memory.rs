//! Lists that grow with what is damaged: that there is no memory for one is an error as any other.

use std::path::Path;

use crate::engine::base::error::{Error, Result};

/// Makes room for `count` more in `list`, which is of what was read from `path`.
///
/// # Errors
/// [`Error::Io`], when there is no memory for them.
pub(super) fn reserve<T>(list: &mut Vec<T>, count: usize, path: &Path) -> Result<()> {
    list.try_reserve(count).map_err(|error| Error::io("read", path)(error.into()))
}

/// Puts `one`, which was read from `path`, at the end of `list`.
///
/// # Errors
/// As [`reserve`].
pub(super) fn push<T>(list: &mut Vec<T>, one: T, path: &Path) -> Result<()> {
    reserve(list, 1, path)?;
    list.push(one);
    Ok(())
}

/// `bytes`, which are of `path`, in memory of their own.
///
/// # Errors
/// As [`reserve`].
pub(super) fn copy(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    reserve(&mut copy, bytes.len(), path)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_no_memory_holds_is_told_by_the_file_and_stays_as_it_was() {
        let mut list = vec![1_u64];
        let refused =
            reserve(&mut list, usize::MAX, Path::new("000003.seg")).expect_err("no memory holds it");
        assert_eq!(refused.sentence(), "cannot read 000003.seg: out of memory");
        push(&mut list, 2, Path::new("000003.seg")).expect("there is room");
        assert_eq!(list, [1, 2]);
    }
}
