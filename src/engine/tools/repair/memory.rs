//! Lists whose length depends on damaged data. Failing to allocate one is an error, not an abort.

use std::path::Path;

use crate::engine::base::error::{Error, Result};

/// Reserves memory for `count` more elements in `list`, which were read from `path`.
///
/// # Errors
/// [`Error::Io`] if the memory is not available.
pub(super) fn reserve<T>(list: &mut Vec<T>, count: usize, path: &Path) -> Result<()> {
    list.try_reserve(count).map_err(|error| Error::io("read", path)(error.into()))
}

/// Appends `element`, which was read from `path`.
pub(super) fn push<T>(list: &mut Vec<T>, element: T, path: &Path) -> Result<()> {
    reserve(list, 1, path)?;
    list.push(element);
    Ok(())
}

/// Copies `bytes`, which were read from `path`.
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
    fn a_failed_reservation_names_the_file_and_leaves_the_list_unchanged() {
        let mut list = vec![1_u64];
        let refused =
            reserve(&mut list, usize::MAX, Path::new("000003.seg")).expect_err("no memory is that large");
        assert_eq!(refused.sentence(), "cannot read 000003.seg: out of memory");
        push(&mut list, 2, Path::new("000003.seg")).expect("a push");
        assert_eq!(list, [1, 2]);
    }
}
