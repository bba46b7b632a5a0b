//! The choice of each option's value.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::row::OptionRow;
use super::rows::ROWS;
use super::settings::{Config, OptionSource, Setting};
use crate::shell::lang::failure::Failure;
use crate::shell::lang::nearest::nearest;
use crate::shell::lang::words::{shown, visible};

/// The values from flags, the environment and a file, not yet checked.
#[derive(Clone)]
pub struct OptionInputs<'a> {
    /// Looks up the value of a flag by name.
    pub flag: &'a dyn Fn(&str) -> Option<OsString>,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    /// The path and the content of the file.
    pub file: Option<(PathBuf, toml::Table)>,
    /// Whether the file is the options file of the data directory.
    pub file_is_in_dir: bool,
}

/// Returns the options in force with their sources.
pub fn resolve(inputs: &OptionInputs<'_>) -> Result<Config, Failure> {
    if let Some((path, table)) = &inputs.file {
        check_names(path, table, inputs.file_is_in_dir)?;
    }
    let mut config = Config::default();
    for row in ROWS {
        let (text, source) = input_for(row, inputs)?;
        if let Some(text) = text {
            let text = text.into_string().unwrap_or_else(|raw| raw.to_string_lossy().into_owned());
            (row.set)(&mut config, &text).ok_or_else(|| bad_value(row, &text, &source))?;
        }
        config.settings.push(Setting { name: row.name, value: (row.show)(&config), source });
    }
    Ok(config)
}

fn input_for(
    row: &OptionRow,
    inputs: &OptionInputs<'_>,
) -> Result<(Option<OsString>, OptionSource), Failure> {
    if let Some(text) = (inputs.flag)(row.name) {
        return Ok((Some(text), OptionSource::Flag));
    }
    let env_name = row.env_name();
    // An empty variable counts as unset, as in `LOGKV_SYNC= logkv …`.
    if let Some(text) = (inputs.env)(&env_name).filter(|text| !text.is_empty()) {
        return Ok((Some(text), OptionSource::Env(env_name)));
    }
    if let Some((path, table)) = &inputs.file
        && let Some(value) = table.get(row.name)
    {
        let source = OptionSource::File(path.clone());
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            other => return Err(bad_value(row, &other.to_string(), &source)),
        };
        return Ok((Some(text.into()), source));
    }
    Ok((None, OptionSource::Default))
}

fn bad_value(row: &OptionRow, text: &str, source: &OptionSource) -> Failure {
    let source = match source {
        OptionSource::Flag => format!("--{}", row.name),
        OptionSource::Env(name) => name.clone(),
        OptionSource::File(_) => format!("{} in {source}", row.name),
        OptionSource::Default => row.name.to_owned(),
    };
    Failure::usage(format!("{source} cannot be {}; it takes {}", shown(text.as_bytes()), row.allowed))
}

fn check_names(path: &Path, table: &toml::Table, is_in_dir: bool) -> Result<(), Failure> {
    let file = visible(path.as_os_str().as_encoded_bytes());
    for name in table.keys() {
        match ROWS.iter().find(|row| row.name == name) {
            Some(row) if is_in_dir && !row.from_dir => {
                let message = format!("{file} cannot set {name} for its own directory");
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
    ) -> Result<Vec<(String, OptionSource)>, Failure> {
        let look = |pairs: &[(&str, &str)], name: &str| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        };
        let inputs = OptionInputs {
            flag: &|name| look(flags, name),
            env: &|name| look(env, name),
            file: Some((PathBuf::from("f.toml"), file.parse().expect("the TOML of the test is valid"))),
            file_is_in_dir,
        };
        resolve(&inputs).map(|config| config.settings.into_iter().map(|s| (s.value, s.source)).collect())
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let settings = resolved(
            &[("sync", "never")],
            &[("LOGKV_SYNC", "always"), ("LOGKV_SEGMENT_SIZE", "4k")],
            "sync = \"100ms\"\nsegment-size = 1000000\nvalue-limit = \"1MiB\"",
            true,
        );
        let settings = settings.expect("all values are accepted");
        assert_eq!(settings[0], ("never".into(), OptionSource::Flag));
        assert_eq!(settings[1], ("4KiB".into(), OptionSource::Env("LOGKV_SEGMENT_SIZE".into())));
        assert_eq!(settings[2], ("never".into(), OptionSource::Default));
        assert_eq!(settings[3], ("1MiB".into(), OptionSource::File("f.toml".into())));
    }

    #[test]
    fn a_bad_value_names_the_option_its_source_and_what_is_allowed() {
        let message =
            |result: Result<_, Failure>| result.map(|_| ()).expect_err("the value is rejected").message;
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
            "segment-size in f.toml cannot be 1; it takes a size from 128 to 4,294,967,288 bytes, \
             such as 64MiB"
        );
    }

    #[test]
    fn an_unknown_name_in_a_file_is_rejected_with_the_nearest_one() {
        let failure = resolved(&[], &[], "segmentsize = 1", true).expect_err("the name is unknown");
        assert_eq!(failure.message, "f.toml names an unknown option segmentsize");
        assert_eq!(failure.hint.as_deref(), Some("did you mean segment-size?"));
    }

    #[test]
    fn a_directory_cannot_set_trust_for_itself() {
        assert!(resolved(&[], &[], "trust = true", true).is_err());
        assert!(resolved(&[], &[], "trust = true", false).is_ok());
    }
}
