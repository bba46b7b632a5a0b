//! The options in force.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use logkv::Options;

use crate::shell::lang::words::visible;
use crate::shell::run::logging;

/// How often Prometheus looks, unless it is told otherwise, several times over.
const METRICS_INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// What is set: the options of the engine, and what the shell does around the store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The options of the engine.
    pub options: Options,
    /// The file that metrics are kept in.
    pub metrics_file: Option<PathBuf>,
    /// How often that is written.
    pub metrics_interval: Duration,
    /// What is told of the engine's work.
    pub log: String,
    /// Each option's value, and who said so.
    pub settings: Vec<Setting>,
    /// Why the data directory's own file was not read, if it is there and was not.
    pub unread: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            options: Options::default(),
            metrics_file: None,
            metrics_interval: METRICS_INTERVAL_DEFAULT,
            log: logging::OFF.to_owned(),
            settings: Vec::new(),
            unread: None,
        }
    }
}

impl Config {
    /// Whether what the engine does is told.
    pub fn tells_events(&self) -> bool {
        self.log != logging::OFF
    }
}

/// Who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionSource {
    /// A flag.
    Flag,
    /// The environment, under this name.
    Env(String),
    /// This file.
    File(PathBuf),
    /// Nobody.
    Default,
}

impl fmt::Display for OptionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env(name) => f.write_str(name),
            Self::File(path) => f.write_str(&visible(path.as_os_str().as_encoded_bytes())),
            Self::Default => f.write_str("default"),
        }
    }
}

/// An option, its value, and who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The option's name.
    pub name: &'static str,
    /// The value in force, as it could be given.
    pub value: String,
    /// Who said so.
    pub source: OptionSource,
}
