//! `cargo bench`: what the engine's operations cost, on this machine, in one run.
//!
//! Each row says how many operations a second and how many nanoseconds one takes; where two rows do the same thing in two
//! ways, the ratio is printed, which holds when the absolute figures do not. `cargo bench -- scans churn` runs the rooms
//! named, `--quick` a tenth of everything, `--keys 20000000` takes another number of keys for the largest index (default
//! 10 M).

mod basics;
mod churn;
mod compaction;
mod compression;
mod harness;
mod index;
mod scans;

use std::path::Path;

use harness::{Outcome, Size, VALUE_LEN};

/// A room: its name, and what it prints.
type Room = (&'static str, fn(&Path, Size) -> Outcome);

const ROOMS: &[Room] = &[
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
    let names_any = ROOMS.iter().any(|(name, _)| is_named(name));
    println!("values of {VALUE_LEN} bytes, keys of 12; {} keys unless said otherwise", size.count);
    for (name, room) in ROOMS {
        if !names_any || is_named(name) {
            harness::title(name);
            let dir = tempfile::tempdir()?;
            room(dir.path(), size)?;
        }
    }
    Ok(())
}
