//! Engine options: one table, from which flags, names in the environment and in files, parsing, printing and
//! documentation follow.
//!
//! The first that says so wins: a flag, `LOGKV_…` in the environment, `--config FILE` or `logkv.toml` in the
//! data directory, the default.

mod environment;
mod file;
mod init;
mod rows;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logkv::Options;

pub use self::environment::{DIR_ENV_NAME, check_names as check_environment};
pub use self::file::{DirFile, read_dir_file, read_file};
pub use self::init::init;
pub use self::rows::ROWS;
use super::logging;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::nearest::nearest;
use crate::shell::lang::words::{shown, visible};

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

/// An option of the engine.
#[derive(Debug)]
pub struct Row {
    /// Its name, as in `--name` and in files.
    pub name: &'static str,
    /// What its value looks like.
    pub value_name: &'static str,
    /// What it does, for help.
    pub doc: &'static str,
    /// The values that it takes, in words.
    pub allowed: &'static str,
    /// Whether the flag alone, without a value, means `yes`.
    pub is_switch: bool,
    /// Whether the data directory may set it about itself.
    pub from_dir: bool,
    /// Takes a value, or refuses it.
    set: fn(&mut Config, &str) -> Option<()>,
    /// The value in force, as it could be given.
    show: fn(&Config) -> String,
}

impl Row {
    /// Its name in the environment.
    pub fn env_name(&self) -> String {
        format!("{}{}", environment::PREFIX, self.name.replace('-', "_").to_uppercase())
    }

    /// The flag with what it takes: `--sync <always|…>`.
    pub fn usage(&self) -> String {
        match self.is_switch {
            true => format!("--{}[=<{}>]", self.name, self.value_name),
            false => format!("--{} <{}>", self.name, self.value_name),
        }
    }

    /// The value that is in force where nobody sets one.
    pub fn default(&self) -> String {
        (self.show)(&Config::default())
    }
}

/// Who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag.
    Flag,
    /// The environment, under this name.
    Env(String),
    /// This file.
    File(PathBuf),
    /// Nobody.
    Default,
}

impl fmt::Display for Source {
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
    pub source: Source,
}

/// What was said of options before it was judged: the flags and the environment as functions, the files' text.
#[derive(Clone)]
pub struct Said<'a> {
    /// The value of the flag of this name.
    pub flag: &'a dyn Fn(&str) -> Option<OsString>,
    /// The value of this name in the environment.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The file, and what it holds.
    pub file: Option<(PathBuf, toml::Table)>,
    /// Whether that is the data directory's own file.
    pub file_is_in_dir: bool,
}

/// The options in force, and where each comes from.
pub fn resolve(said: &Said<'_>) -> Result<Config, Failure> {
    if let Some((path, table)) = &said.file {
        check_names(path, table, said.file_is_in_dir)?;
    }
    let mut config = Config::default();
    for row in ROWS {
        let (text, source) = said_of(row, said)?;
        if let Some(text) = text {
            let text = text.into_string().unwrap_or_else(|raw| raw.to_string_lossy().into_owned());
            (row.set)(&mut config, &text).ok_or_else(|| bad_value(row, &text, &source))?;
        }
        config.settings.push(Setting { name: row.name, value: (row.show)(&config), source });
    }
    Ok(config)
}

fn said_of(row: &Row, said: &Said<'_>) -> Result<(Option<OsString>, Source), Failure> {
    if let Some(text) = (said.flag)(row.name) {
        return Ok((Some(text), Source::Flag));
    }
    let env_name = row.env_name();
    // An empty variable is one that was not set: `LOGKV_SYNC= logkv …`.
    if let Some(text) = (said.env)(&env_name).filter(|text| !text.is_empty()) {
        return Ok((Some(text), Source::Env(env_name)));
    }
    if let Some((path, table)) = &said.file
        && let Some(value) = table.get(row.name)
    {
        let source = Source::File(path.clone());
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            other => return Err(bad_value(row, &other.to_string(), &source)),
        };
        return Ok((Some(text.into()), source));
    }
    Ok((None, Source::Default))
}

fn bad_value(row: &Row, text: &str, source: &Source) -> Failure {
    let source = match source {
        Source::Flag => format!("--{}", row.name),
        Source::Env(name) => name.clone(),
        Source::File(_) => format!("{} in {source}", row.name),
        Source::Default => row.name.to_owned(),
    };
    Failure::usage(format!("{source} cannot be {}; it takes {}", shown(text.as_bytes()), row.allowed))
}

fn check_names(path: &Path, table: &toml::Table, is_in_dir: bool) -> Result<(), Failure> {
    let file = visible(path.as_os_str().as_encoded_bytes());
    for name in table.keys() {
        match ROWS.iter().find(|row| row.name == name) {
            Some(row) if is_in_dir && !row.from_dir => {
                let message = format!("{file} cannot set {name} about its own directory");
                return Err(Failure::usage(message).hint(format!("use --{name}")));
            }
            Some(_) => {}
            None => {
                let names = ROWS.iter().map(|row| row.name);
                let hint = match nearest(name, names.clone()) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("the options are {}", names.collect::<Vec<_>>().join(", ")),
                };
                let message = format!("{file} names an unknown option {}", shown(name.as_bytes()));
                return Err(Failure::usage(message).hint(hint));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(
        flags: &[(&str, &str)],
        env: &[(&str, &str)],
        file: &str,
        file_is_in_dir: bool,
    ) -> Result<Vec<(String, Source)>, Failure> {
        let look = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        };
        let said = Said {
            flag: &|name| look(flags, name),
            env: &|name| look(env, name),
            file: Some((PathBuf::from("f.toml"), file.parse().expect("the test's TOML is well formed"))),
            file_is_in_dir,
        };
        resolve(&said).map(|config| config.settings.into_iter().map(|s| (s.value, s.source)).collect())
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let settings = resolved(
            &[("sync", "never")],
            &[("LOGKV_SYNC", "always"), ("LOGKV_SEGMENT_SIZE", "4k")],
            "sync = \"100ms\"\nsegment-size = 1000000\nvalue-limit = \"1MiB\"",
            true,
        );
        let settings = settings.expect("all values are good");
        assert_eq!(settings[0], ("never".into(), Source::Flag));
        assert_eq!(settings[1], ("4KiB".into(), Source::Env("LOGKV_SEGMENT_SIZE".into())));
        assert_eq!(settings[2], ("never".into(), Source::Default));
        assert_eq!(settings[3], ("1MiB".into(), Source::File("f.toml".into())));
    }

    #[test]
    fn a_bad_value_names_the_option_its_source_and_what_is_allowed() {
        let message = |result: Result<_, Failure>| result.map(|_| ()).expect_err("the value is bad").message;
        assert_eq!(
            message(resolved(&[("sync", "often")], &[], "", true)),
            "--sync cannot be often; it takes always, never, a duration such as 100ms, or buffered:SIZE"
        );
        assert_eq!(
            message(resolved(&[], &[("LOGKV_READ_WITH", "eyes")], "", true)),
            "LOGKV_READ_WITH cannot be eyes; it takes mmap, pread"
        );
        assert_eq!(
            message(resolved(&[], &[], "segment-size = 1", true)),
            "segment-size in f.toml cannot be 1; it takes a size from 128 to 4,294,967,288 bytes, such as 64MiB"
        );
    }

    #[test]
    fn an_unknown_name_in_a_file_is_refused_with_the_nearest_one() {
        let failure = resolved(&[], &[], "segmentsize = 1", true).expect_err("the name is unknown");
        assert_eq!(failure.message, "f.toml names an unknown option segmentsize");
        assert_eq!(failure.hint.as_deref(), Some("did you mean segment-size?"));
    }

    #[test]
    fn a_directory_cannot_vouch_for_itself() {
        assert!(resolved(&[], &[], "trust = true", true).is_err());
        assert!(resolved(&[], &[], "trust = true", false).is_ok());
    }
}
