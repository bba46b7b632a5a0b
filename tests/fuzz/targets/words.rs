//! Fuzzes the shell's lexer and printer.
#![no_main]

mod allocator;
#[expect(dead_code, unused_imports, reason = "only the shell opens the paths that words name")]
#[path = "../../../src/shell"]
mod shell {
    pub mod lang {
        pub mod words;
    }
}

libfuzzer_sys::fuzz_target!(|line: &[u8]| shell::lang::words::any_line::holds(line));
