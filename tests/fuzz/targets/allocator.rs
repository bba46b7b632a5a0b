//! An allocator that ends the program when it is asked for more than any input here can justify: the largest store has a
//! few hundred KiB.

use std::alloc::System;

use cap::Cap;

const MEMORY_MAX: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY_MAX);
