//! Fuzzes the property `manifest`.
#![no_main]

mod allocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| logkv_fuzz::manifest(input));
