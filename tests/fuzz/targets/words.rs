//! The shell's lexer and printer, fuzzed.
#![no_main]

mod allocator;
#[path = "../../../src/shell/words/mod.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|line: &[u8]| words::any_line::holds(line));
