//! A row of the table of options.

use super::settings::Config;

/// The prefix of all environment variables of the program.
pub(super) const PREFIX: &str = "LOGKV_";

/// An option of the engine.
#[derive(Debug)]
pub struct OptionRow {
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
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    /// The value in force, as it could be given.
    pub(super) show: fn(&Config) -> String,
}

impl OptionRow {
    /// Its name in the environment.
    pub fn env_name(&self) -> String {
        format!("{}{}", PREFIX, self.name.replace('-', "_").to_uppercase())
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
