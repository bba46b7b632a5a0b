//! `cargo bench`: the costs of the engine's operations on this machine.
//!
//! Each row shows operations per second and nanoseconds per operation. If two rows do the same work
//! in two ways, their ratio follows. Ratios carry over to other machines better than absolute
//! figures. `cargo bench -- scans churn` runs only the named parts, `--quick` runs a tenth of
//! everything, and `--keys 20000000` sets the count of keys in the largest index (default 10
//! million).

mod basics;
mod churn;
mod compaction;
mod compression;
mod harness;
mod index;
mod scans;

use std::path::Path;

use harness::{Outcome, Size, VALUE_LEN};

/// A part: its name, and the function that runs it.
type Part = (&'static str, fn(&Path, Size) -> Outcome);

const PARTS: &[Part] = &[
    ("basics", basics::run),
    ("scans", scans::run),
    ("compaction", compaction::run),
    ("churn", churn::run),
    ("compression", compression::run),
    ("index", index::run),
];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = arguments.as_slice()
        && first == index::CHILD
    {
        return index::child(rest);
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let keys =
        arguments.iter().position(|argument| argument == "--keys").and_then(|at| arguments.get(at + 1));
    let keys = keys.map(|keys| keys.parse()).transpose()?;
    let size = Size { is_quick, count: if is_quick { 100_000 } else { 1_000_000 }, keys };
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let names_any = PARTS.iter().any(|(name, _)| is_named(name));
    println!("values of {VALUE_LEN} bytes, keys of 12; {} keys unless said otherwise", size.count);
    for (name, run) in PARTS {
        if !names_any || is_named(name) {
            harness::title(name);
            let dir = tempfile::tempdir()?;
            run(dir.path(), size)?;
        }
    }
    Ok(())
}
