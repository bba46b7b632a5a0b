//! The logkv shell.
fn main() {}
