//! Counts the memory that a thread allocates: repeated work shows as repeated allocation, on every
//! machine.
#![expect(unsafe_code, reason = "there is no safe way to be the allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ASKED_FOR: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a counter.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(len: usize) {
    // A thread that ends has no count any more.
    let _ = ASKED_FOR.try_with(|asked_for| asked_for.set(asked_for.get() + len as u64));
}

// SAFETY: each call is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count(len);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(block, layout, len) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The result of `work`, and the bytes that this thread allocated in it.
pub(crate) fn asked_for<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ASKED_FOR.get();
    let done = work();
    (done, ASKED_FOR.get() - before)
}
