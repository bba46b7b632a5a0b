//! A row of the table of options.

use super::settings::Config;

/// The prefix of the program's environment variables.
pub(super) const PREFIX: &str = "LOGKV_";

/// An option.
#[derive(Debug)]
pub struct OptionRow {
    /// The name of the flag, without dashes, and in files.
    pub name: &'static str,
    /// The form of the value, for help.
    pub value_name: &'static str,
    /// The purpose, for help.
    pub doc: &'static str,
    /// The accepted values, in words.
    pub allowed: &'static str,
    /// Whether the flag without a value means `yes`.
    pub is_switch: bool,
    /// Whether the options file of the data directory may set it.
    pub from_dir: bool,
    /// Sets the value, or returns `None` if it is invalid.
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    /// Returns the value in force, in a form that `set` accepts.
    pub(super) show: fn(&Config) -> String,
}

impl OptionRow {
    /// Returns the name of its environment variable.
    pub fn env_name(&self) -> String {
        format!("{}{}", PREFIX, self.name.replace('-', "_").to_uppercase())
    }

    /// Returns the flag with its value: `--sync <always|…>`.
    pub fn usage(&self) -> String {
        match self.is_switch {
            true => format!("--{}[=<{}>]", self.name, self.value_name),
            false => format!("--{} <{}>", self.name, self.value_name),
        }
    }

    /// Returns the default value.
    pub fn default(&self) -> String {
        (self.show)(&Config::default())
    }
}

/// The fields that most rows share.
pub(super) const PLAIN: OptionRow = OptionRow {
    name: "",
    value_name: "",
    doc: "",
    allowed: "",
    is_switch: false,
    from_dir: true,
    set: |_, _| None,
    show: |_| String::new(),
};
