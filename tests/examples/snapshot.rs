//! A scan of a snapshot while another thread writes.

use logkv::Store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open_with(dir.path(), logkv::Options::new().sync(logkv::Sync::Never))?;
    for n in 0..100 {
        store.put(format!("item:{n:02}"), "old")?;
    }
    let snapshot = store.snapshot()?;
    let writer = std::thread::spawn({
        let store = store.clone();
        move || (0..100).try_for_each(|n| store.put(format!("item:{n:02}"), "new").map(drop))
    });
    let mut old = 0;
    for entry in snapshot.scan_prefix("item:")? {
        old += usize::from(entry?.value == b"old");
    }
    writer.join().expect("the writer does not panic")?;
    println!("the snapshot has {old} old values, the store {:?} for item:00", store.get("item:00")?);
    Ok(store.close()?)
}
