//! The batch between `begin` and `commit`. Only the commands of this shell see its changes.

use logkv::{Batch, Error, Expiry, KEY_LEN_MAX, Op, Overlay, Store};

use crate::shell::lang::report::LinePlace;

/// Puts and deletes that are queued for `commit`.
#[derive(Debug)]
pub struct Transaction {
    /// The store. A time to live starts at its clock.
    store: Store,
    /// The changes.
    pub overlay: Overlay,
    /// The position of `begin` in the script.
    pub begun: Option<LinePlace>,
    /// Whether a line of a script failed in the batch. If so, `commit` writes nothing.
    pub has_failed: bool,
}

impl Transaction {
    /// Returns an empty batch on `store`.
    pub fn new(store: Store) -> Self {
        Self { overlay: Overlay::new(&store), store, begun: None, has_failed: false }
    }

    /// Adds all changes of `batch`, or none.
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

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        self.check(expiry)?;
        match expiry {
            Some(expiry) => self.overlay.put_expiring(key, value, expiry),
            None => self.overlay.put(key, value),
        }
        Ok(())
    }

    /// Sets the expiry of the existing key `key`. `None` removes it.
    pub fn expire(&mut self, key: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        self.check(expiry)?;
        match expiry {
            Some(expiry) => self.overlay.expire(key, expiry)?,
            None => self.overlay.persist(key)?,
        };
        Ok(())
    }

    /// Rejects an expiry that is too late now, not only at `commit`.
    fn check(&self, expiry: Option<Expiry>) -> Result<(), Error> {
        let expires_ms = expiry.map(|expiry| expiry.at_ms(self.store.clock_ms()));
        if expires_ms > Some(Expiry::AT_MS_MAX) { Err(Error::ExpiryTooLate) } else { Ok(()) }
    }
}

/// Rejects a key of invalid length now, not only at `commit`.
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    if (1..=KEY_LEN_MAX).contains(&key.len()) { Ok(()) } else { Err(Error::KeyLength { len: key.len() }) }
}
