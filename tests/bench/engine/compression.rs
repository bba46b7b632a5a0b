//! The costs and savings of compression, for JSON-like values of 1 KiB.

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;

use logkv::{Compression, Options, Store, Sync};

use crate::harness::{Outcome, Size, figure, key, random, ratio, row, shuffled, timed};

const JSON_LEN: usize = 1024;
/// The count of different values. Generating one per key would dominate the measurement.
const VALUE_COUNT: usize = 1000;

pub(crate) fn run(dir: &Path, size: Size) -> Outcome {
    let count = size.count / 10;
    let values = values();
    let mut plain: Option<(f64, f64, f64)> = None;
    for (name, compression) in [
        ("none", Compression::None),
        ("lz4", Compression::Lz4),
        ("zstd:1", Compression::Zstd { level: 1 }),
        ("zstd:3", Compression::Zstd { level: 3 }),
        ("zstd:19", Compression::Zstd { level: 19 }),
    ] {
        let options = || Options::new().sync(Sync::Never).background(false).compression(compression);
        let store = Store::open_with(dir.join(name), options())?;
        // This level is about a hundred times slower than the others.
        let count = if name == "zstd:19" { count / 100 } else { count };
        let put = |n: u64| store.put(key(n), &values[n as usize % VALUE_COUNT]).map(drop);
        let ((), took) = timed(|| Ok((0..count).try_for_each(put)?))?;
        let put = row(&format!("put of 1 KiB, {name}"), count, took);
        let get_all = || {
            timed(|| {
                for n in shuffled(count) {
                    let value = store.get(key(n))?.ok_or("a key is missing")?;
                    black_box(value[JSON_LEN / 2]);
                }
                Ok(())
            })
        };
        get_all()?;
        let ((), took) = get_all()?;
        let get = row(&format!("get of 1 KiB, {name}"), count, took);
        let (stats, took) = timed(|| Ok(store.stats()?))?;
        row("stats", 1, took);
        let len = stats.disk_len as f64 / count as f64;
        figure("disk space per value", len, "B");
        let (plain_put, plain_get, plain_len) = *plain.get_or_insert((put, get, len));
        ratio("put against none", put / plain_put);
        ratio("get against none", get / plain_get);
        ratio("disk against none", len / plain_len);
    }
    Ok(())
}

fn values() -> Vec<Vec<u8>> {
    let mut numbers = random(1_000_000_000);
    let mut next = || numbers.next().unwrap_or_default();
    let value = |_| {
        let mut text = format!("{{\"id\":{},\"events\":[", next());
        while text.len() < JSON_LEN {
            let (user, at, took) = (next() % 100_000, next(), next() % 1000);
            let state = ["waiting", "running", "done", "failed"][next() as usize % 4];
            write!(
                text,
                "{{\"user\":\"user-{user}\",\"at\":{at},\"state\":\"{state}\",\"took_ms\":{took}}},"
            )
            .expect("writing to a String cannot fail");
        }
        text.truncate(JSON_LEN);
        text.into_bytes()
    };
    (0..VALUE_COUNT).map(value).collect()
}
