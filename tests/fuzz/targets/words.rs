//! The shell's lexer and printer, fuzzed.
#![no_main]

mod allocator;
#[expect(dead_code, reason = "the shell alone opens the paths that words name")]
#[path = "../../../src/shell/words/mod.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|line: &[u8]| words::any_line::holds(line));
