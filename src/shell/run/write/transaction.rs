//! The batch between `begin` and `commit`: what would be, seen by the commands of this shell alone.

use logkv::{Batch, Error, Expiry, KEY_LEN_MAX, Op, Overlay, Store};

use crate::shell::lang::report::LinePlace;

/// Puts and deletes that wait for `commit`.
#[derive(Debug)]
pub struct Transaction {
    /// The store, whose clock says when a time to live begins.
    store: Store,
    /// What it changes.
    pub overlay: Overlay,
    /// Where it was begun.
    pub begun: Option<LinePlace>,
    /// Whether a line of a script has failed in it: then all of it is not what was meant.
    pub has_failed: bool,
}

impl Transaction {
    /// One on `store`, that changes nothing yet.
    pub fn new(store: Store) -> Self {
        Self { overlay: Overlay::new(&store), store, begun: None, has_failed: false }
    }

    /// Adds all of `batch`, or nothing of it.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), Error> {
        for op in batch.iter() {
            check_key(op.key())?;
            if let Op::Put { expiry, .. } = op {
                self.check(expiry)?;
            }
        }
        batch.iter().try_for_each(|op| match op {
            Op::Put { key, value, expiry } => self.put(key, value, expiry),
            Op::Delete { key } => {
                self.overlay.delete(key);
                Ok(())
            }
        })
    }

    /// Sets `key`, until `expiry`.
    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        self.check(expiry)?;
        match expiry {
            Some(expiry) => self.overlay.put_expiring(key, value, expiry),
            None => self.overlay.put(key, value),
        }
        Ok(())
    }

    /// Has `key`, which is there, expire then; `None` is never.
    pub fn expire(&mut self, key: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        self.check(expiry)?;
        match expiry {
            Some(expiry) => self.overlay.expire(key, expiry)?,
            None => self.overlay.persist(key)?,
        };
        Ok(())
    }

    /// A time that is too late fails at the line that gives it, and not at `commit`.
    fn check(&self, expiry: Option<Expiry>) -> Result<(), Error> {
        let expires_ms = expiry.map(|expiry| expiry.at_ms(self.store.clock_ms()));
        if expires_ms > Some(Expiry::AT_MS_MAX) { Err(Error::ExpiryTooLate) } else { Ok(()) }
    }
}

/// The store's error about such a key, told when a write of it is queued and not when it is committed.
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    if (1..=KEY_LEN_MAX).contains(&key.len()) { Ok(()) } else { Err(Error::KeyLength { len: key.len() }) }
}
