//! Fuzzes the property `keydir`.
#![no_main]

mod allocator;

libfuzzer_sys::fuzz_target!(|input: &[u8]| logkv_fuzz::keydir(input));
