//! The batch between `begin` and `commit`: what would be, seen by the commands of this shell alone.

use logkv::{Error, Expiry, Overlay, Store};

use crate::shell::lang::report::Place;

/// Puts and deletes that wait for `commit`.
#[derive(Debug)]
pub struct Transaction {
    /// The store, whose clock says when a time to live begins.
    store: Store,
    /// What it changes.
    pub overlay: Overlay,
    /// Where it was begun.
    pub begun: Option<Place>,
    /// Whether a line of a script has failed in it: then all of it is not what was meant.
    pub has_failed: bool,
}

impl Transaction {
    /// One on `store`, that changes nothing yet.
    pub fn new(store: Store) -> Self {
        Self { overlay: Overlay::new(&store), store, begun: None, has_failed: false }
    }

    /// Sets `key`, until `expiry`. A time that is too late fails here, at the line that gives it, and not at `commit`.
    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Option<Expiry>) -> Result<(), Error> {
        let Some(expiry) = expiry else {
            self.overlay.put(key, value);
            return Ok(());
        };
        if expiry.at_ms(self.store.clock_ms()) > Expiry::AT_MS_MAX {
            return Err(Error::ExpiryTooLate);
        }
        self.overlay.put_expiring(key, value, expiry);
        Ok(())
    }
}
