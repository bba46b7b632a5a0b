//! Keys as this shell sees them: the store with the open batch applied.

use std::ops::Bound;

use logkv::{Overlay, OverlayEntry, Past, Snapshot};

use super::session::Session;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::glob::Glob;
use crate::shell::term::interrupt::Interrupt;

/// A range of keys to read.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The pattern that keys must match.
    pub glob: Option<Glob>,
    /// The first key, inclusive.
    pub from: Option<Vec<u8>>,
    /// The end of the range, exclusive.
    pub to: Option<Vec<u8>>,
    /// Whether to go from the last key to the first.
    pub reverse: bool,
    /// Whether to read values.
    pub values: bool,
}

impl Walk {
    /// Returns the keys that start with `prefix`.
    pub fn with_prefix(prefix: &[u8], reverse: bool) -> Self {
        Self { glob: None, from: Some(prefix.to_vec()), to: successor(prefix), reverse, values: false }
    }

    /// Returns whether the range has all keys.
    pub fn is_whole(&self) -> bool {
        self.glob.is_none() && self.from.is_none() && self.to.is_none()
    }

    /// Returns the keys of a snapshot with `overlay` applied, read on demand.
    pub fn rows(
        &self,
        store: &Snapshot,
        overlay: Option<&Overlay>,
        interrupt: &Interrupt,
    ) -> logkv::Result<Rows> {
        let (from, to) = self.bounds();
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let entries = match (overlay, self.values) {
            (Some(overlay), true) => self.directed(overlay.scan_over(store, bounds)?),
            (Some(overlay), false) => self.directed(overlay.keys_over(store, bounds)?),
            (None, true) => self.directed(store.scan(bounds)?.map(|entry| entry.map(Into::into))),
            (None, false) => self.directed(store.keys(bounds)?.map(|entry| entry.map(Into::into))),
        };
        Ok(self.rows_of(entries, interrupt))
    }

    /// Returns the keys at an earlier point, in order.
    pub fn rows_of_past(&self, past: &Past, interrupt: &Interrupt) -> logkv::Result<Rows> {
        let (from, to) = self.bounds();
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let values = self.values;
        let row = move |entry: logkv::Entry| match values {
            true => OverlayEntry::from(entry),
            false => entry.meta.into(),
        };
        let mut scan = past.scan(bounds)?;
        let is_interrupted = interrupt.clone();
        // Keys that did not exist at that point are skipped, possibly many in a row.
        let keys = std::iter::from_fn(move || if is_interrupted.is_set() { None } else { scan.next_key() });
        let entries = Box::new(keys.filter_map(move |entry| entry.map(|entry| entry.map(row)).transpose()));
        Ok(self.rows_of(entries, interrupt))
    }

    fn directed(
        &self,
        entries: impl DoubleEndedIterator<Item = logkv::Result<OverlayEntry>> + 'static,
    ) -> Entries {
        if self.reverse { Box::new(entries.rev()) } else { Box::new(entries) }
    }

    fn rows_of(&self, entries: Entries, interrupt: &Interrupt) -> Rows {
        Rows { entries, glob: self.glob.clone(), interrupt: interrupt.clone(), seen: 0 }
    }

    /// Returns the range, narrowed by the literal prefix of the pattern.
    fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let prefix = self.glob.as_ref().map(Glob::literal_prefix).unwrap_or_default();
        let after_prefix = match &self.glob {
            Some(glob) if glob.is_literal() => Some([&prefix[..], &[0]].concat()),
            _ => successor(&prefix),
        };
        let from = self.from.clone().unwrap_or_default().max(prefix);
        let to = match (self.to.clone(), after_prefix) {
            (Some(to), Some(after)) => Some(to.min(after)),
            (to, after) => to.or(after),
        };
        let from = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
        (from, to.map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// Returns the first key after all keys that start with `prefix`, or `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

type Entries = Box<dyn Iterator<Item = logkv::Result<OverlayEntry>>>;

/// The keys of a walk. Ctrl-C ends it, even if no key matches the pattern.
pub struct Rows {
    entries: Entries,
    glob: Option<Glob>,
    interrupt: Interrupt,
    /// The number of keys read, whether or not they matched.
    seen: u64,
}

impl Iterator for Rows {
    type Item = Result<OverlayEntry, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Err(pressed) = self.interrupt.check(self.seen) {
                return Some(Err(pressed.into()));
            }
            let row = match self.entries.next() {
                Some(Ok(row)) => row,
                Some(Err(error)) => return Some(Err(error.into())),
                // The end of the keys, or the scan stopped for Ctrl-C.
                None => return self.interrupt.check(self.seen).err().map(|pressed| Err(pressed.into())),
            };
            self.seen += 1;
            if self.glob.as_ref().is_none_or(|glob| glob.matches(&row.key)) {
                return Some(Ok(row));
            }
        }
    }
}

impl Rows {
    /// Returns the next intact row. A damaged record does not hide the rows after it: the first
    /// failure is kept in `damage`, for the end.
    pub fn next_sound(&mut self, damage: &mut Option<Failure>) -> Result<Option<OverlayEntry>, Failure> {
        loop {
            match self.next() {
                Some(Err(failure)) if failure.is_of_one_record => {
                    damage.get_or_insert(failure);
                }
                row => return row.transpose(),
            }
        }
    }
}

/// Returns whether `key` exists.
pub fn contains(session: &Session, key: &[u8]) -> Result<bool, Failure> {
    match session.change_of(key) {
        Some(change) => Ok(change.is_some()),
        None => session.store()?.contains(key).map_err(|error| Failure::of_key(&error, key)),
    }
}

/// Returns the result of `look` on the value and the expiry of `key`, or `None` if `key` does not
/// exist.
pub fn seen<T>(
    session: &Session,
    key: &[u8],
    look: impl FnOnce(&[u8], Option<u64>) -> T,
) -> Result<Option<T>, Failure> {
    match session.change_of(key) {
        Some(change) => Ok(change.map(|(value, expires_ms)| look(&value, expires_ms))),
        None => {
            let entry = session.store()?.get_entry(key).map_err(|error| Failure::of_key(&error, key))?;
            Ok(entry.map(|entry| look(&entry.value, entry.meta.expires_ms)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(glob: Option<&str>, from: Option<&str>, to: Option<&str>) -> Walk {
        Walk {
            glob: glob.map(|text| {
                Glob::of(&crate::shell::lang::words::split(text.as_bytes()).expect("the text is a word")[0])
                    .expect("the word is a pattern")
            }),
            from: from.map(Into::into),
            to: to.map(Into::into),
            reverse: false,
            values: false,
        }
    }

    #[test]
    fn a_pattern_narrows_the_bounds_to_its_prefix() {
        let bounds = |walk: Walk| walk.bounds();
        assert_eq!(
            bounds(walk(Some("1F9*"), None, None)),
            (Bound::Included(b"1F9".to_vec()), Bound::Excluded(b"1F:".to_vec()))
        );
        assert_eq!(
            bounds(walk(Some("b*"), Some("a"), Some("z"))),
            (Bound::Included(b"b".to_vec()), Bound::Excluded(b"c".to_vec()))
        );
        assert_eq!(
            bounds(walk(Some(r"a\*b"), None, None)),
            (Bound::Included(b"a*b".to_vec()), Bound::Excluded(b"a*b\0".to_vec()))
        );
        assert_eq!(bounds(walk(None, None, None)), (Bound::Unbounded, Bound::Unbounded));
    }

    #[test]
    fn ctrl_c_ends_a_walk_without_a_match() {
        let dir = tempfile::tempdir().expect("a directory can be created");
        let store = logkv::Store::open(dir.path()).expect("a store can be created");
        store.put("a", "").expect("the store is writable");
        let snapshot = store.snapshot().expect("the store is open");
        let interrupt = Interrupt::default();
        let rows = walk(Some("*x"), None, None).rows(&snapshot, None, &interrupt);
        assert!(rows.expect("the snapshot is readable").next().is_none());
        interrupt.press();
        let mut rows =
            walk(Some("*x"), None, None).rows(&snapshot, None, &interrupt).expect("the snapshot is readable");
        let failure = rows.next().expect("a row reports Ctrl-C").expect_err("Ctrl-C was pressed");
        assert_eq!(failure.message, "interrupted after 0 records");
    }

    #[test]
    fn the_successor_of_a_prefix_is_after_all_keys_with_it() {
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff"), None);
        assert_eq!(successor(b""), None);
    }
}
