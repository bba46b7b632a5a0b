//! Types that every other wing uses: numbers, time, batches, errors, locks.

pub(crate) mod batch;
pub(crate) mod clock;
pub(crate) mod cursor;
pub(crate) mod error;
pub(crate) mod escape;
pub(crate) mod ids;
pub(crate) mod stop;
pub(crate) mod sync;
pub(crate) mod wakeup;
