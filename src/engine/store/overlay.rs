//! Pending writes in memory, in front of a store.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::{Store, update};
use crate::engine::base::batch::{Batch, Expiry};
use crate::engine::base::error::Result;
use crate::engine::read::merge::End;
use crate::engine::read::scan::{Entry, KeyEntry, Keys, Scan};
use crate::engine::read::snapshot::Snapshot;
use crate::engine::segment::value::Value;

/// Puts and deletes in memory, in front of a store, until they are written as one [`Batch`].
///
/// Reads through an overlay see its changes, then the store. Other readers do not see the changes.
/// The last change of a key counts. [`Store::transact`] passes an overlay to its closure, and
/// blocks other writers until the closure is done. An overlay from [`Overlay::new`] blocks no
/// writer, so the keys that it read may have changed before its batch is written.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let store = logkv::Store::open(dir.path())?;
/// store.put("a", "old")?;
/// let mut overlay = logkv::Overlay::new(&store);
/// overlay.put("a", "new");
/// overlay.delete("b");
/// assert_eq!(overlay.get("a")?.as_deref(), Some(&b"new"[..]));
/// assert_eq!(store.get("a")?.as_deref(), Some(&b"old"[..]));
/// store.write(&overlay.to_batch())?;
/// assert_eq!(store.get("a")?.as_deref(), Some(&b"new"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Overlay {
    store: Store,
    /// Shared with clones and scans. A later change does not affect them.
    changes: Arc<BTreeMap<Vec<u8>, OverlayChange>>,
}

/// The change of a key.
#[derive(Clone)]
enum OverlayChange {
    Put { value: Value, expires_ms: Option<u64> },
    Delete,
}

impl OverlayChange {
    /// Returns the value and its expiry, or `None` if the key is deleted or expired at `now_ms`.
    fn at(&self, now_ms: u64) -> Option<(Value, Option<u64>)> {
        match self {
            Self::Put { expires_ms: Some(expires_ms), .. } if *expires_ms <= now_ms => None,
            Self::Put { value, expires_ms } => Some((value.clone(), *expires_ms)),
            Self::Delete => None,
        }
    }
}

impl Overlay {
    /// Creates an overlay of `store` without changes.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), changes: Arc::default() }
    }

    /// Returns the number of changed keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Returns whether the overlay has no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Sets `key` to `value`. The write of the batch checks the lengths.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.change(key.as_ref(), value.as_ref(), None);
    }

    /// Sets `key` to `value` until `expiry`. A time to live counts from this call. The write of the
    /// batch fails if the time is later than [`Expiry::AT_MS_MAX`].
    pub fn put_expiring(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, expiry: Expiry) {
        let expires_ms = expiry.at_ms(self.store.clock_ms());
        self.change(key.as_ref(), value.as_ref(), Some(expires_ms));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        Arc::make_mut(&mut self.changes).insert(key.as_ref().to_vec(), OverlayChange::Delete);
    }

    /// Adds `by` to the number at `key`, as [`Store::incr`].
    ///
    /// # Errors
    /// As [`Store::incr`].
    pub fn incr(&mut self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let key = key.as_ref();
        let (sum, expires_ms) = update::sum(self.get_with_expiry(key)?, by)?;
        self.change(key, sum.to_string().as_bytes(), expires_ms);
        Ok(sum)
    }

    /// Sets the expiry of `key`, as [`Store::expire`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn expire(&mut self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool> {
        let key = key.as_ref();
        let Some(value) = self.get(key)? else { return Ok(false) };
        self.put_expiring(key, &value, expiry);
        Ok(true)
    }

    /// Removes the expiry of `key`, as [`Store::persist`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn persist(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        let Some((value, Some(_))) = self.get_with_expiry(key)? else { return Ok(false) };
        self.put(key, &value);
        Ok(true)
    }

    /// Returns the value of `key`, or `None` if it is absent.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        Ok(self.get_with_expiry(key)?.map(|(value, _)| value))
    }

    /// Returns the value of `key` and its expiry, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_with_expiry(&self, key: impl AsRef<[u8]>) -> Result<Option<(Value, Option<u64>)>> {
        let key = key.as_ref();
        Ok(match self.change_of(key) {
            Some(change) => change,
            None => self.store.get_entry(key)?.map(|entry| (entry.value, entry.meta.expires_ms)),
        })
    }

    /// Returns the change of `key`, without reading the store: `None` if the key is unchanged,
    /// `Some(None)` if the key is deleted or expired, and otherwise the value and its expiry, in
    /// milliseconds since 1970.
    #[must_use]
    pub fn change_of(&self, key: impl AsRef<[u8]>) -> Option<Option<(Value, Option<u64>)>> {
        Some(self.changes.get(key.as_ref())?.at(self.store.now_ms()))
    }

    /// Returns the keys and values of `range`, in ascending byte order, with the changes so far.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan(&self, range: impl RangeBounds<[u8]>) -> Result<OverlayScan> {
        Ok(OverlayScan(self.scan_over(&self.store.snapshot()?, range)?))
    }

    /// Returns the keys and values of `range` in `snapshot`, with the changes so far.
    ///
    /// # Errors
    /// As [`Snapshot::scan`].
    pub fn scan_over(&self, snapshot: &Snapshot, range: impl RangeBounds<[u8]>) -> Result<OverlayEntries> {
        let bounds = (range.start_bound(), range.end_bound());
        let scan = snapshot.scan(bounds)?;
        Ok(OverlayEntries::new(scan.at_ms(), StoredKeys::Scan(scan), Arc::clone(&self.changes), bounds))
    }

    /// Returns the keys of `range` in `snapshot`, with the changes so far.
    ///
    /// # Errors
    /// As [`Snapshot::keys`].
    pub fn keys_over(&self, snapshot: &Snapshot, range: impl RangeBounds<[u8]>) -> Result<OverlayEntries> {
        let bounds = (range.start_bound(), range.end_bound());
        let keys = snapshot.keys(bounds)?;
        Ok(OverlayEntries::new(keys.at_ms(), StoredKeys::Keys(keys), Arc::clone(&self.changes), bounds))
    }

    /// Returns the changes as a batch in key order, for [`Store::write`].
    #[must_use]
    pub fn to_batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (key, change) in &*self.changes {
            match change {
                OverlayChange::Put { value, expires_ms: None } => batch.put(key, value),
                OverlayChange::Put { value, expires_ms: Some(at_ms) } => {
                    batch.put_expiring(key, value, Expiry::At(*at_ms))
                }
                OverlayChange::Delete => batch.delete(key),
            };
        }
        batch
    }

    fn change(&mut self, key: &[u8], value: &[u8], expires_ms: Option<u64>) {
        let value = owned(value);
        Arc::make_mut(&mut self.changes).insert(key.to_vec(), OverlayChange::Put { value, expires_ms });
    }
}

fn owned(bytes: &[u8]) -> Value {
    Value::owned(bytes.to_vec().into(), 0..bytes.len())
}

/// A key of a store with an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayEntry {
    /// The key.
    pub key: Value,
    /// The value; `None` in a scan of keys.
    pub value: Option<Value>,
    /// The time of expiry, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// The record; `None` if the key comes from the overlay, and has no record yet.
    pub record: Option<KeyEntry>,
}

impl From<KeyEntry> for OverlayEntry {
    fn from(record: KeyEntry) -> Self {
        Self { key: record.key.clone(), value: None, expires_ms: record.expires_ms, record: Some(record) }
    }
}

impl From<Entry> for OverlayEntry {
    fn from(Entry { meta, value }: Entry) -> Self {
        Self { value: Some(value), ..meta.into() }
    }
}

/// A double-ended iterator over the keys of a store with an overlay, in ascending byte order. Later
/// changes do not affect it.
pub struct OverlayEntries {
    stored: StoredKeys,
    /// The next stored entry at each end, if it was read and not yet returned.
    held: [Option<Result<OverlayEntry>>; 2],
    changes: Arc<BTreeMap<Vec<u8>, OverlayChange>>,
    /// The bounds of the changes not yet returned.
    bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// The time used for expiry, in milliseconds since 1970.
    at_ms: u64,
}

enum StoredKeys {
    Keys(Keys),
    Scan(Scan),
}

impl OverlayEntries {
    fn new(
        at_ms: u64,
        stored: StoredKeys,
        changes: Arc<BTreeMap<Vec<u8>, OverlayChange>>,
        (start, end): (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Self {
        let bounds = (start.map(<[u8]>::to_vec), end.map(<[u8]>::to_vec));
        Self { stored, held: [None, None], changes, bounds, at_ms }
    }

    fn take(&mut self, end: End) -> Option<Result<OverlayEntry>> {
        loop {
            let stored = self.take_stored(end);
            let change = self.next_change(end);
            let order = match (&stored, &change) {
                (Some(Ok(entry)), Some((key, _))) if end == End::Front => (*entry.key).cmp(key),
                (Some(Ok(entry)), Some((key, _))) => key.as_slice().cmp(&entry.key),
                (None, Some(_)) => Ordering::Greater,
                (Some(Err(_)), _) | (_, None) => Ordering::Less,
            };
            let (Ordering::Equal | Ordering::Greater, Some((key, change))) = (order, change) else {
                return stored;
            };
            let put = change.at(self.at_ms);
            let entry = put.map(|(value, expires_ms)| {
                let value = matches!(self.stored, StoredKeys::Scan(_)).then_some(value);
                Ok(OverlayEntry { key: owned(key), value, expires_ms, record: None })
            });
            let returned = Bound::Excluded(key.clone());
            match end {
                End::Front => self.bounds.0 = returned,
                End::Back => self.bounds.1 = returned,
            }
            if order.is_gt() {
                self.held[end as usize] = stored;
            }
            if entry.is_some() {
                return entry;
            }
        }
    }

    fn take_stored(&mut self, end: End) -> Option<Result<OverlayEntry>> {
        let read = |stored: &mut StoredKeys| match (stored, end) {
            (StoredKeys::Keys(keys), End::Front) => keys.next().map(|key| key.map(Into::into)),
            (StoredKeys::Keys(keys), End::Back) => keys.next_back().map(|key| key.map(Into::into)),
            (StoredKeys::Scan(scan), End::Front) => scan.next().map(|entry| entry.map(Into::into)),
            (StoredKeys::Scan(scan), End::Back) => scan.next_back().map(|entry| entry.map(Into::into)),
        };
        let held = self.held[end as usize].take().or_else(|| read(&mut self.stored));
        // The other end may have read the last entry.
        held.or_else(|| self.held.iter_mut().find_map(Option::take))
    }

    fn next_change(&self, end: End) -> Option<(&Vec<u8>, &OverlayChange)> {
        let bounds = (self.bounds.0.as_ref().map(Vec::as_slice), self.bounds.1.as_ref().map(Vec::as_slice));
        if crosses(bounds) {
            return None;
        }
        let mut changes = self.changes.range::<[u8], _>(bounds);
        if end == End::Front { changes.next() } else { changes.next_back() }
    }
}

/// Returns whether no key can be between two bounds. `BTreeMap::range` panics on some of these.
fn crosses(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start > end
        }
        _ => false,
    }
}

impl Iterator for OverlayEntries {
    type Item = Result<OverlayEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(End::Front)
    }
}

impl DoubleEndedIterator for OverlayEntries {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(End::Back)
    }
}

/// A double-ended iterator over the keys and values of a store with an overlay, in ascending byte
/// order.
#[derive(Debug)]
pub struct OverlayScan(OverlayEntries);

fn pair(entry: OverlayEntry) -> (Value, Value) {
    (entry.key, entry.value.expect("a scan reads values"))
}

impl Iterator for OverlayScan {
    /// The key and its value.
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|entry| entry.map(pair))
    }
}

impl DoubleEndedIterator for OverlayScan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|entry| entry.map(pair))
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OverlayEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlayEntries").finish_non_exhaustive()
    }
}
