//! Fuzzes the input of `import`: lines of each format, and data files of other stores.
#![no_main]

mod allocator;
#[expect(
    dead_code,
    unused_imports,
    reason = "only the shell names files, shows words and makes larger objects"
)]
#[path = "../../../src/shell"]
mod shell {
    pub mod commands {
        pub mod foreign;
        pub mod transfer {
            pub mod rows;
        }
    }
    pub mod lang {
        pub mod words;
    }
    pub mod term {
        pub mod json;
    }
}

use shell::commands::foreign;
use shell::commands::transfer::rows;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    foreign::any_file::holds(bytes);
    bytes.split(|&byte| byte == b'\n').for_each(rows::any_line::holds);
});
