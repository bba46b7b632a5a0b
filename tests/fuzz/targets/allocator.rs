//! An allocator that aborts the program above a limit that no input justifies. The largest store
//! has a few hundred KiB.

use std::alloc::System;

use cap::Cap;

const MEMORY_MAX: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY_MAX);
