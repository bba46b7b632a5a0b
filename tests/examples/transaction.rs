//! Writes that happen together: a batch, which only writes, and a transaction, which reads what it changes.

use std::fmt;

use logkv::{Batch, Error, Store};

/// Why money was not moved.
enum Refused {
    Short { there: i64 },
    Store(Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { there } => write!(f, "there are only {there}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Moves `amount`; nothing happens when `from` has less.
fn transfer(store: &Store, from: &str, to: &str, amount: i64) -> Result<(), Refused> {
    store.transact(|transaction| {
        let there = transaction.incr(from, -amount)? + amount;
        if there < amount {
            return Err(Refused::Short { there });
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
            Ok(()) => println!("{amount} were moved"),
            Err(refused) => println!("{amount} were not moved: {refused}"),
        }
    }
    for name in ["alice", "bob"] {
        println!("{name} has {}", store.incr(name, 0)?);
    }
    Ok(store.close()?)
}
