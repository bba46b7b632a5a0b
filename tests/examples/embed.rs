//! A store in ten lines: open, write, read, close.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = logkv::Store::open(dir.path())?;
    store.put("user:1", "Alice")?;
    store.put("user:2", "Bob")?;
    store.delete("user:2")?;
    for entry in store.scan_prefix("user:")? {
        let entry = entry?;
        println!("{} is {}", String::from_utf8_lossy(&entry.meta.key), String::from_utf8_lossy(&entry.value));
    }
    Ok(store.close()?)
}
