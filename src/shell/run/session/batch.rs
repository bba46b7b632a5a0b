//! The batch between `begin` and `commit`.

use logkv::{Overlay, Value};

use super::Session;
use crate::shell::lang::failure::Failure;
use crate::shell::run::write::transaction::Transaction;

impl Session {
    /// Opens a batch on the store.
    pub fn begin_batch(&mut self) -> Result<(), Failure> {
        self.transaction = Some(Transaction::new(self.store()?));
        Ok(())
    }

    /// Returns whether a batch is open.
    pub fn has_batch(&self) -> bool {
        self.transaction.is_some()
    }

    /// Returns the open batch.
    pub fn batch_mut(&mut self) -> Option<&mut Transaction> {
        self.transaction.as_mut()
    }

    /// Returns the open batch, or the failure of a command that needs one.
    pub fn open_batch(&mut self) -> Result<&mut Transaction, Failure> {
        let none_open = || Failure::command("no batch is open").hint("begin opens one");
        self.transaction.as_mut().ok_or_else(none_open)
    }

    /// Closes the open batch, and returns it.
    pub fn take_batch(&mut self) -> Option<Transaction> {
        self.transaction.take()
    }

    /// Returns the changes of the open batch.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.transaction.as_ref().map(|transaction| &transaction.overlay)
    }

    /// Returns the value and the expiry of `key` in the open batch; `Some(None)` if it deletes
    /// `key`.
    pub fn change_of(&self, key: &[u8]) -> Option<Option<(Value, Option<u64>)>> {
        self.overlay()?.change_of(key)
    }
}
