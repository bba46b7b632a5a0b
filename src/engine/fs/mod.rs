//! Access to the operating system.
//!
//! The engine reaches directories and files only through the traits of this module. A test can
//! replace the file system and make any call fail, or cut the power after it. [`OsFileSystem`] is
//! the real one. After a signal has interrupted [`File::read_at`] or [`File::write_at`], the call
//! is repeated; the other calls handle signals themselves. Only `mmap` goes beyond the
//! checks of the compiler.

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
