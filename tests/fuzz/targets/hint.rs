//! Fuzzes the property `hint`.
#![no_main]

mod allocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| logkv_fuzz::hint(input));
