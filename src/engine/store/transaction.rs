//! Transactions: one at a time, on what they read themselves.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::iter::{Flatten, Peekable};
use std::ops::{Bound, RangeBounds};
use std::option;

use super::{Store, update};
use crate::engine::batch::{Batch, Expiry};
use crate::engine::log::{Condition, Urgency};
use crate::engine::plant::{Plant, planted, unless};
use crate::engine::scan::Scan;
use crate::engine::snapshot::Snapshot;
use crate::engine::value::Value;
use crate::error::{Error, Result};

/// The store as [`Store::transact`] lets a closure see and change it.
///
/// It reads the store, which nobody else writes to meanwhile, and its own writes before that. What it writes is kept in
/// memory and written as one [`Batch`] when the closure has returned.
pub struct Transaction<'a> {
    store: &'a Store,
    changes: BTreeMap<Vec<u8>, Change>,
    /// The store as it was when it began, if a scan has asked for it: nobody writes meanwhile.
    snapshot: Option<Snapshot>,
}

/// What a transaction does to a key.
#[derive(Clone)]
enum Change {
    Put { value: Value, expires_ms: Option<u64> },
    Delete,
}

impl Store {
    /// Runs `work`, and writes what it did: all of it when it returns `Ok`, nothing when it returns `Err` or panics.
    ///
    /// Transactions are serialisable: they run one at a time, and other writes wait until a transaction's own are in the
    /// log (reads wait for nothing). So `work` should be quick, and must write through the [`Transaction`] it is given:
    /// through the store it is refused with [`Error::WithinTransaction`], in this thread; to wait in it for another thread
    /// that writes is to wait for ever.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// # store.put("from", "100")?;
    /// # store.put("to", "0")?;
    /// store.transact(|transaction| {
    ///     let amount = |value: Option<logkv::Value>| value.map_or(0, |value| value.len());
    ///     let sum = amount(transaction.get("from")?) + amount(transaction.get("to")?);
    ///     transaction.delete("from");
    ///     transaction.put("to", sum.to_string());
    ///     Ok::<_, logkv::Error>(())
    /// })?;
    /// assert_eq!(store.get("to")?.as_deref(), Some(&b"4"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `work`, and those of [`Store::write`].
    pub fn transact<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let log = self.log()?;
        let gate = self.0.gate.close()?;
        // What the writes before it did has to be seen by it.
        unless(Plant::TransactionBeforePending, || log.catch_up())?;
        let mut transaction = Transaction { store: self, changes: BTreeMap::new(), snapshot: None };
        let done = work(&mut transaction)?;
        let batch = transaction.into_batch();
        if batch.is_empty() {
            return Ok(done);
        }
        let ticket = log.append(batch.iter(), Condition::None, Urgency::Now)?;
        // In the log it has its place before whatever is written next: a sync can be shared.
        drop(gate);
        log.wait(&ticket)?;
        Ok(done)
    }

    /// Sets `key` to `new`, or removes it where that is `None`, if its value is `expected`; where that is `None`, if it is
    /// not there. Whether it was. A key that expires does so no more.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// assert!(store.compare_and_swap("leader", None, Some(b"a"))?);
    /// assert!(!store.compare_and_swap("leader", None, Some(b"b"))?);
    /// assert!(store.compare_and_swap("leader", Some(b"a"), Some(b"b"))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::put`] and [`Store::get`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        self.transact(|transaction| {
            let key = key.as_ref();
            let is_expected = transaction.get(key)?.as_deref() == expected;
            match new.filter(|_| is_expected) {
                Some(new) => transaction.put(key, new),
                None if is_expected => transaction.delete(key),
                None => {}
            }
            Ok(is_expected)
        })
    }
}

impl Transaction<'_> {
    /// The value of `key`.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        Ok(self.get_with_expiry(key)?.map(|(value, _)| value))
    }

    /// The value of `key`, and when it expires, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_with_expiry(&self, key: impl AsRef<[u8]>) -> Result<Option<(Value, Option<u64>)>> {
        let key = key.as_ref();
        Ok(match self.changes.get(key) {
            Some(change) => put_of(change, self.store.now_ms()),
            None => self.store.get_entry(key)?.map(|entry| (entry.value, entry.meta.expires_ms)),
        })
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.change(key.as_ref(), value.as_ref(), None);
    }

    /// Sets `key` to `value`, until `expiry`; a time to live counts from this call. With a time
    /// later than [`Expiry::AT_MS_MAX`] the transaction fails at its commit.
    pub fn put_expiring(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, expiry: Expiry) {
        let expires_ms = expiry.at_ms(self.store.clock_ms());
        self.change(key.as_ref(), value.as_ref(), Some(expires_ms));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.changes.insert(key.as_ref().to_vec(), Change::Delete);
    }

    /// As [`Store::incr`].
    ///
    /// # Errors
    /// As [`Store::incr`].
    pub fn incr(&mut self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let key = key.as_ref();
        let (sum, expires_ms) = update::sum(self.get_with_expiry(key)?, by)?;
        self.change(key, sum.to_string().as_bytes(), expires_ms);
        Ok(sum)
    }

    /// As [`Store::expire`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn expire(&mut self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool> {
        let key = key.as_ref();
        let Some(value) = self.get(key)? else { return Ok(false) };
        self.put_expiring(key, &value, expiry);
        Ok(true)
    }

    /// As [`Store::persist`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn persist(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        let Some((value, Some(_))) = self.get_with_expiry(key)? else { return Ok(false) };
        self.put(key, &value);
        Ok(true)
    }

    /// The keys of `range` and their values, in ascending byte order, with what this transaction has written so far.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan(&mut self, range: impl RangeBounds<[u8]>) -> Result<TransactionScan<'_>> {
        if self.snapshot.is_none() {
            self.snapshot = Some(self.store.snapshot()?);
        }
        let snapshot = self.snapshot.as_ref().expect("it was made just now");
        let bounds = (range.start_bound(), range.end_bound());
        let stored = snapshot.scan(bounds)?;
        let (at_ms, stored) = (stored.at_ms(), stored.peekable());
        let changes = (!crosses(bounds)).then(|| self.changes.range::<[u8], _>(bounds));
        Ok(TransactionScan { at_ms, stored, changes: changes.into_iter().flatten().peekable() })
    }

    fn change(&mut self, key: &[u8], value: &[u8], expires_ms: Option<u64>) {
        let value = Value::owned(value.to_vec().into(), 0..value.len());
        self.changes.insert(key.to_vec(), Change::Put { value, expires_ms });
    }

    fn into_batch(self) -> Batch {
        let mut batch = Batch::new();
        for (key, change) in &self.changes {
            match change {
                Change::Put { value, expires_ms: None } => batch.put(key, value),
                Change::Put { value, expires_ms: Some(at_ms) } => {
                    batch.put_expiring(key, value, Expiry::At(*at_ms))
                }
                Change::Delete => batch.delete(key),
            };
        }
        batch
    }
}

/// The result of a get that finds this change at `now_ms`.
fn put_of(change: &Change, now_ms: u64) -> Option<(Value, Option<u64>)> {
    match change {
        Change::Put { expires_ms: Some(expires_ms), .. } if *expires_ms <= now_ms => None,
        Change::Put { value, expires_ms } => Some((value.clone(), *expires_ms)),
        Change::Delete => None,
    }
}

/// Whether there can be nothing between two bounds: a tree's range panics then.
fn crosses(bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match bounds {
        (Bound::Excluded(start), Bound::Excluded(end)) if !planted(Plant::EmptyBoundsCross) => start >= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start > end
        }
        _ => false,
    }
}

/// The keys and values that a transaction sees, in ascending byte order.
pub struct TransactionScan<'a> {
    at_ms: u64,
    stored: Peekable<Scan>,
    changes: Peekable<Changes<'a>>,
}

/// The changes between two bounds; none where there can be nothing between them.
type Changes<'a> = Flatten<option::IntoIter<btree_map::Range<'a, Vec<u8>, Change>>>;

impl Iterator for TransactionScan<'_> {
    /// The key and its value.
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.stored.peek(), self.changes.peek()) {
                (Some(Ok(entry)), Some((key, _))) => (*entry.meta.key).cmp(key),
                (_, None) | (Some(Err(_)), _) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            if order.is_lt() {
                return self.stored.next().map(|entry| entry.map(|entry| (entry.meta.key, entry.value)));
            }
            if order.is_eq() && !planted(Plant::OverwrittenShownToo) {
                self.stored.next();
            }
            let (key, change) = self.changes.next()?;
            if let Some((value, _)) = put_of(change, self.at_ms) {
                return Some(Ok((Value::owned(key.to_vec().into(), 0..key.len()), value)));
            }
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for TransactionScan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionScan").finish_non_exhaustive()
    }
}
