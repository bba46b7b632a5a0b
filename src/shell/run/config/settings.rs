//! The options in force.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use logkv::Options;

use crate::shell::lang::words::visible;
use crate::shell::run::logging;

/// Several times per scrape interval of Prometheus, which is a minute by default.
const METRICS_INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// The options of the engine and of the shell.
#[derive(Clone, Debug)]
pub struct Config {
    /// The options of the engine.
    pub options: Options,
    /// The metrics file.
    pub metrics_file: Option<PathBuf>,
    /// The time between two writes of the metrics file.
    pub metrics_interval: Duration,
    /// The filter of logged events.
    pub log: String,
    /// The value and the source of each option.
    pub settings: Vec<Setting>,
    /// The reason why the options file of the data directory was not read, if so.
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
    /// Returns whether events of the engine are logged.
    pub fn logs_events(&self) -> bool {
        self.log != logging::OFF
    }
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionSource {
    /// A flag.
    Flag,
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
    /// The default.
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

/// The value and the source of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The name of the option.
    pub name: &'static str,
    /// The value in force, in a form that the option accepts.
    pub value: String,
    /// The source of the value.
    pub source: OptionSource,
}
