//! Atomic writes: a batch, which only writes, and a transaction, which also reads.

use std::fmt;

use logkv::{Batch, Error, Store};

/// The reason why a transfer failed.
enum Refused {
    Short { balance: i64 },
    Store(Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { balance } => write!(f, "the balance is only {balance}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Transfers `amount`. Changes nothing if `from` has less.
fn transfer(store: &Store, from: &str, to: &str, amount: i64) -> Result<(), Refused> {
    store.transact(|transaction| {
        let balance = transaction.incr(from, -amount)? + amount;
        if balance < amount {
            return Err(Refused::Short { balance });
        }
        transaction.incr(to, amount)?;
        Ok(())
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let mut batch = Batch::new();
    batch.put("alice", "100").put("bob", "0");
    store.write(&batch)?;

    for amount in [40, 70] {
        match transfer(&store, "alice", "bob", amount) {
            Ok(()) => println!("transferred {amount}"),
            Err(refused) => println!("refused {amount}: {refused}"),
        }
    }
    for name in ["alice", "bob"] {
        println!("{name} has {}", store.incr(name, 0)?);
    }
    Ok(store.close()?)
}
