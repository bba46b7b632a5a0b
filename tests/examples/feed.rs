//! A change feed: a thread that keeps an index of its own up to date, by all that is written.

use std::collections::BTreeMap;
use std::time::Duration;

use logkv::{Changes, Seqno, Store};

/// Which people live in each town, as far as `changes` tells; until nobody is left who could write.
fn index(mut changes: Changes) -> logkv::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut town_of = BTreeMap::new();
    loop {
        // What has been written by now, and then what comes.
        for change in changes.by_ref() {
            let change = change?;
            match change.value {
                Some(town) => drop(town_of.insert(change.meta.key.to_vec(), town.to_vec())),
                None => drop(town_of.remove(&*change.meta.key)),
            }
        }
        match changes.wait(Duration::from_secs(60)) {
            Err(logkv::Error::Closed) => return Ok(town_of),
            waited => drop(waited?),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    store.put("alice", "Paris")?;
    // A program that has got as far as some number goes on from there; this one begins at the first.
    let changes = store.changes(Seqno(1));
    let follower = std::thread::spawn(move || index(changes));
    store.put("bob", "Rome")?;
    store.put("alice", "Oslo")?;
    store.delete("bob")?;
    store.put("carol", "Rome")?;
    store.close()?;
    for (person, town) in follower.join().expect("the follower does not panic")? {
        println!("{} lives in {}", String::from_utf8_lossy(&person), String::from_utf8_lossy(&town));
    }
    Ok(())
}
