//! The operating system, as far as a store needs it.
//!
//! Everything the engine does to a directory or a file goes through the traits of this module, so that a test can put
//! its own file system below a store and make any call fail, or cut the power after it. The real one is
//! [`OsFileSystem`]. A signal may interrupt [`File::read_at`] and [`File::write_at`], which are then called again; all
//! other calls are to go on by themselves. `mmap` alone goes past what the compiler checks.

mod dir;
mod file;
mod file_system;
mod guarded;
mod handle;
mod io;
mod limit;
mod lock;
mod mmap;
mod names;
mod owner;
mod parent;
mod pool;
mod salvage_file;
pub(crate) mod staging;
mod traits;
mod trust;
mod watch;

pub use file::next_data;
pub use file_system::OsFileSystem;
pub(crate) use guarded::{Exclusion, Guarded};
pub(crate) use io::{map_if_room, read_exact_at, read_into, read_vec_at, write_all_at};
pub use limit::raise_open_files_limit;
pub(crate) use mmap::{ForkGuard, prefetch};
pub use mmap::{Mapping, exit_on_bus_error};
pub use names::StoreFile;
pub(crate) use names::is_of_file_system;
pub(crate) use pool::FilePool;
pub(crate) use salvage_file::SalvageFile;
pub use traits::{Access, Directory, File, FileSystem, Lock, LockOutcome, Parent, PathKind, Room};
pub use watch::{Changed, Watch};
