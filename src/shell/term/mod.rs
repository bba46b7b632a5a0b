//! The terminal and the standard streams.

pub mod bar;
pub mod breakable;
pub mod columns;
pub mod fit;
pub mod input;
pub mod interrupt;
pub mod json;
pub mod moment;
pub mod output;
pub mod packing;
pub mod pager;
pub mod process;
pub mod progress;
pub mod style;
pub mod tally;
pub mod units;
pub mod unpacker;
