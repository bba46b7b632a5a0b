//! Environment variables with the prefix of the program.

use super::row::{OptionRow, PREFIX};
use super::rows::ROWS;
use crate::shell::lang::failure::Failure;
use crate::shell::lang::nearest::nearest;
use crate::shell::lang::words::named;

/// The variable with the directory to open if none is given.
pub const DIR_ENV_NAME: &str = "LOGKV_DIR";

/// Variables that are not options: the directory to open, and the program that the tests run.
const OTHERS: &[&str] = &[DIR_ENV_NAME, "LOGKV_BIN"];

/// Rejects the first of `names` that has the prefix of the program but is unknown. A misspelt
/// option would otherwise be ignored silently.
pub fn check_names(names: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let known: Vec<String> =
        ROWS.iter().map(OptionRow::env_name).chain(OTHERS.iter().map(|&name| name.to_owned())).collect();
    let is_stranger = |name: &String| {
        name.strip_prefix(PREFIX).is_some_and(|rest| !is_address(rest)) && !known.contains(name)
    };
    let Some(name) = names.into_iter().filter(is_stranger).min() else { return Ok(()) };
    let shown = named(name.as_bytes());
    let hint = match nearest(&name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("logkv --help lists the options: --sync is {PREFIX}SYNC here"),
    };
    Err(Failure::usage(format!("{shown} is set in the environment, but is not an option")).hint(hint))
}

/// Returns whether `rest`, a name without the prefix, is an address that Kubernetes sets for a
/// service named logkv or logkv-…. The user has not set it.
fn is_address(rest: &str) -> bool {
    let rest = format!("_{rest}");
    let is_port = |after: &str| after.starts_with(|c: char| c.is_ascii_digit());
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|end| rest.ends_with(end))
        || rest.contains("_SERVICE_PORT_")
        || rest.match_indices("_PORT_").any(|(at, found)| is_port(&rest[at + found.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(names: &[&str]) -> Option<(String, Option<String>)> {
        let checked = check_names(names.iter().map(|&name| name.to_owned()));
        checked.err().map(|failure| (failure.message, failure.hint))
    }

    #[test]
    fn an_unknown_variable_is_rejected_with_the_nearest_name_or_the_list() {
        for (name, hint) in [
            ("LOGKV_SYNCC", "did you mean LOGKV_SYNC?"),
            ("LOGKV_SEGMENTSIZE", "did you mean LOGKV_SEGMENT_SIZE?"),
            ("LOGKV_XYZZY", "logkv --help lists the options: --sync is LOGKV_SYNC here"),
            ("LOGKV_", "logkv --help lists the options: --sync is LOGKV_SYNC here"),
        ] {
            let message = format!("{name} is set in the environment, but is not an option");
            assert_eq!(rejected(&["LOGKV_SYNC", name]), Some((message, Some(hint.to_owned()))));
        }
    }

    #[test]
    fn variables_of_the_program_and_of_other_programs_are_accepted() {
        let options: Vec<_> = ROWS.iter().map(OptionRow::env_name).collect();
        assert_eq!(rejected(&options.iter().map(String::as_str).collect::<Vec<_>>()), None);
        assert_eq!(rejected(&["LOGKV_DIR", "LOGKV_BIN", "LOGKV", "SYNC", "logkv_sync"]), None);
    }

    #[test]
    fn service_addresses_are_not_taken_for_typos() {
        for name in [
            "LOGKV_SERVICE_HOST",
            "LOGKV_SERVICE_PORT",
            "LOGKV_SERVICE_PORT_HTTP",
            "LOGKV_PORT",
            "LOGKV_PORT_80_TCP",
            "LOGKV_PORT_80_TCP_ADDR",
            "LOGKV_CACHE_SERVICE_HOST",
            "LOGKV_CACHE_PORT_6379_TCP_PROTO",
        ] {
            assert_eq!(rejected(&[name]), None, "{name}");
        }
        assert!(rejected(&["LOGKV_PORT_NUMBER"]).is_some());
    }
}
