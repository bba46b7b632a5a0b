//! What `import` reads, fuzzed: lines of each format, and the data files of other stores.
#![no_main]

mod allocator;
#[expect(dead_code, reason = "the shell alone shows what is in a file, and finds files by their names")]
#[path = "../../../src/shell/foreign/mod.rs"]
mod foreign;
#[expect(dead_code, reason = "the shell alone makes larger objects")]
#[path = "../../../src/shell/json.rs"]
mod json;
#[expect(dead_code, reason = "the shell alone finds files by their names")]
#[path = "../../../src/shell/rows/mod.rs"]
mod rows;
#[expect(dead_code, reason = "the shell alone splits whole lines, and shows them")]
#[path = "../../../src/shell/words/mod.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    foreign::any_file::holds(bytes);
    bytes.split(|&byte| byte == b'\n').for_each(rows::any_line::holds);
});
