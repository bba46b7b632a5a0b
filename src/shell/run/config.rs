//! Options: one table gives the flags, the names in the environment and in files, the parser, the
//! printer and the documentation.
//!
//! The first source that sets an option wins: a flag, `LOGKV_…` in the environment,
//! `--config FILE` or `logkv.toml` in the data directory, the default.

mod environment;
mod file;
mod init;
mod resolve;
mod row;
mod rows;
mod settings;
mod values;

pub use self::environment::{DIR_ENV_NAME, check_names as check_environment};
pub use self::file::{DirFile, read_dir_file, read_file};
pub use self::init::init;
pub use self::resolve::{OptionInputs, resolve};
pub use self::rows::ROWS;
pub use self::settings::Config;
