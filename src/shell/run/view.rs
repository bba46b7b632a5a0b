//! Keys in order, as this shell sees them: the store's, with the open transaction laid over them.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Bound;

use logkv::{KeyEntry, Past, Snapshot, Value};

use super::transaction::{Change, Put, Transaction};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::glob::Glob;
use crate::shell::term::interrupt::Interrupt;

/// What to walk over.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Only keys of this pattern.
    pub glob: Option<Glob>,
    /// The first key.
    pub from: Option<Vec<u8>>,
    /// The key to stop before.
    pub to: Option<Vec<u8>>,
    /// From the last key to the first.
    pub reverse: bool,
    /// With the values.
    pub values: bool,
}

/// A key on the walk.
#[derive(Clone, Debug)]
pub enum Row {
    /// From the store; the value where values are walked.
    Stored(KeyEntry, Option<Value>),
    /// From the transaction: the key, its value where values are walked, and when it expires.
    Pending(Vec<u8>, Option<Vec<u8>>, Option<u64>),
}

impl Row {
    /// The key.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Stored(entry, _) => &entry.key,
            Self::Pending(key, ..) => key,
        }
    }

    /// The value, where values are walked.
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Stored(_, value) => value.as_deref(),
            Self::Pending(_, value, _) => value.as_deref(),
        }
    }

    /// Its record; a pending key has none yet.
    pub fn entry(&self) -> Option<&KeyEntry> {
        match self {
            Self::Stored(entry, _) => Some(entry),
            Self::Pending(..) => None,
        }
    }

    /// When it expires, in milliseconds since 1970.
    pub fn expires_ms(&self) -> Option<u64> {
        match self {
            Self::Stored(entry, _) => entry.expires_ms,
            Self::Pending(_, _, expires_ms) => *expires_ms,
        }
    }
}

type Stored = Box<dyn Iterator<Item = logkv::Result<Row>>>;

impl Walk {
    /// Over the keys that start with `prefix`.
    pub fn with_prefix(prefix: &[u8], reverse: bool) -> Self {
        Self { glob: None, from: Some(prefix.to_vec()), to: successor(prefix), reverse, values: false }
    }

    /// Whether it goes over all keys.
    pub fn is_whole(&self) -> bool {
        self.glob.is_none() && self.from.is_none() && self.to.is_none()
    }

    /// The keys, one after another, read as they are asked for.
    pub fn rows(
        &self,
        store: &Snapshot,
        transaction: Option<&Transaction>,
        interrupt: &Interrupt,
    ) -> logkv::Result<Rows> {
        let (from, to) = self.bounds();
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let mut changes = transaction.map(|own| own.range(bounds.0, bounds.1)).unwrap_or_default();
        if self.reverse {
            changes.reverse();
        }
        let stored: Stored = if is_empty(bounds) {
            Box::new(std::iter::empty())
        } else if self.values {
            let rows = store.scan(bounds)?;
            let row = |entry: logkv::Result<logkv::Entry>| {
                entry.map(|entry| Row::Stored(entry.meta, Some(entry.value)))
            };
            if self.reverse { Box::new(rows.rev().map(row)) } else { Box::new(rows.map(row)) }
        } else {
            let rows = store.keys(bounds)?;
            let row = |entry: logkv::Result<KeyEntry>| entry.map(|entry| Row::Stored(entry, None));
            if self.reverse { Box::new(rows.rev().map(row)) } else { Box::new(rows.map(row)) }
        };
        Ok(self.rows_of(stored, changes, interrupt))
    }

    /// The keys that there were, forward.
    pub fn rows_of_past(&self, past: &Past, interrupt: &Interrupt) -> logkv::Result<Rows> {
        let (from, to) = self.bounds();
        let bounds = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let values = self.values;
        let row = move |entry: logkv::Entry| Row::Stored(entry.meta, values.then_some(entry.value));
        let stored: Stored = if is_empty(bounds) {
            Box::new(std::iter::empty())
        } else {
            let (mut scan, interrupt) = (past.scan(bounds)?, interrupt.clone());
            // Many keys may come one after another that were not there then.
            let keys = std::iter::from_fn(move || if interrupt.is_set() { None } else { scan.next_key() });
            Box::new(keys.filter_map(move |entry| entry.map(|entry| entry.map(row)).transpose()))
        };
        Ok(self.rows_of(stored, Vec::new(), interrupt))
    }

    fn rows_of(&self, stored: Stored, changes: Vec<(Vec<u8>, Change)>, interrupt: &Interrupt) -> Rows {
        Rows {
            merged: Merged {
                stored: stored.peekable(),
                changes: changes.into_iter().peekable(),
                reverse: self.reverse,
                values: self.values,
            },
            glob: self.glob.clone(),
            interrupt: interrupt.clone(),
            seen: 0,
        }
    }

    /// The bounds of the keys that can be on the walk: `from` and `to`, narrowed by what the pattern starts with.
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

/// Whether no key lies between the bounds. Ranges of the standard library panic on such bounds.
fn is_empty(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Included(from), Bound::Excluded(to)) => from >= to,
        (_, Bound::Excluded(to)) => to.is_empty(),
        _ => false,
    }
}

/// The first bytes after all keys that start with `prefix`; `None` when there are none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// The keys of a walk, until Ctrl-C: also where none of many is of the pattern.
pub struct Rows {
    merged: Merged,
    glob: Option<Glob>,
    interrupt: Interrupt,
    /// Keys looked at.
    seen: u64,
}

impl Iterator for Rows {
    type Item = Result<Row, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Err(pressed) = self.interrupt.check(self.seen) {
                return Some(Err(pressed.into()));
            }
            let row = match self.merged.next() {
                Some(Ok(row)) => row,
                Some(Err(error)) => return Some(Err(error.into())),
                // The end of all keys, or of what was looked at before it was pressed.
                None => return self.interrupt.check(self.seen).err().map(|pressed| Err(pressed.into())),
            };
            self.seen += 1;
            if self.glob.as_ref().is_none_or(|glob| glob.matches(row.key())) {
                return Some(Ok(row));
            }
        }
    }
}

impl Rows {
    /// The next row that is whole. A damaged record must not hide the keys after it: the first is kept in `damage`, to
    /// be told at the end.
    pub fn next_sound(&mut self, damage: &mut Option<Failure>) -> Result<Option<Row>, Failure> {
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

/// The store's keys, with changes laid over them; both in the same order.
struct Merged {
    stored: Peekable<Stored>,
    changes: Peekable<std::vec::IntoIter<(Vec<u8>, Change)>>,
    reverse: bool,
    values: bool,
}

impl Iterator for Merged {
    type Item = logkv::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.stored.peek(), self.changes.peek()) {
                (Some(Ok(row)), Some((key, _))) if self.reverse => key.as_slice().cmp(row.key()),
                (Some(Ok(row)), Some((key, _))) => row.key().cmp(key),
                (None, Some(_)) => Ordering::Greater,
                _ => Ordering::Less,
            };
            if order == Ordering::Less {
                return self.stored.next();
            }
            if order == Ordering::Equal {
                self.stored.next();
            }
            if let (key, Some(Put { value, expires_ms })) = self.changes.next()? {
                return Some(Ok(Row::Pending(key, self.values.then_some(value), expires_ms)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(glob: Option<&str>, from: Option<&str>, to: Option<&str>) -> Walk {
        Walk {
            glob: glob.map(|text| {
                Glob::of(&crate::shell::lang::words::split(text.as_bytes()).expect("a word")[0])
                    .expect("a pattern")
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
    fn ctrl_c_ends_a_walk_on_which_no_key_is_of_the_pattern() {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let store = logkv::Store::open(dir.path()).expect("a store can be made");
        store.put("a", "").expect("it can be written to");
        let snapshot = store.snapshot().expect("it can be read");
        let interrupt = Interrupt::default();
        let rows = walk(Some("*x"), None, None).rows(&snapshot, None, &interrupt);
        assert!(rows.expect("it can be read").next().is_none());
        interrupt.press();
        let mut rows =
            walk(Some("*x"), None, None).rows(&snapshot, None, &interrupt).expect("it can be read");
        let failure = rows.next().expect("the walk says so").expect_err("it was pressed");
        assert_eq!(failure.message, "interrupted after 0 records");
    }

    #[test]
    fn the_successor_of_a_prefix_is_after_all_that_start_with_it() {
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff"), None);
        assert_eq!(successor(b""), None);
    }

    #[test]
    fn bounds_that_cross_are_empty() {
        let (from, to) = walk(Some("b*"), Some("x"), None).bounds();
        assert!(is_empty((from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice))));
        assert!(!is_empty((Bound::Unbounded, Bound::Unbounded)));
    }

    #[test]
    fn changes_are_walked_in_the_place_of_what_they_change() {
        let put = |value: &[u8]| Some(Put { value: value.into(), expires_ms: None });
        let changes = vec![(b"a".to_vec(), put(b"1")), (b"b".to_vec(), None), (b"c".to_vec(), put(b"3"))];
        let merged = Merged {
            stored: (Box::new(std::iter::empty()) as Stored).peekable(),
            changes: changes.into_iter().peekable(),
            reverse: false,
            values: true,
        };
        let keys: Vec<_> = merged.map(|row| row.expect("nothing fails here").key().to_vec()).collect();
        assert_eq!(keys, [b"a", b"c"]);
    }
}
