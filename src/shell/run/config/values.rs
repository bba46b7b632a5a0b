//! The values of options, as they are given and as they are shown.

use std::time::Duration;

use logkv::{Compression, Sync, ZSTD_LEVELS};
use parse_size::Config as SizeParser;

use crate::shell::term::times;

/// `always`, `never`, `100ms`, `buffered:8MiB`.
pub fn parse_sync(text: &str) -> Option<Sync> {
    match text {
        "always" => Some(Sync::Always),
        "never" => Some(Sync::Never),
        _ => match text.strip_prefix("buffered:") {
            Some(size) => usize::try_from(parse_len(size)?).ok().map(Sync::Buffered),
            None => parse_duration(text).map(Sync::Every),
        },
    }
}

/// The inverse of [`parse_sync`].
pub fn show_sync(sync: Sync) -> String {
    match sync {
        Sync::Always => "always".to_owned(),
        Sync::Never => "never".to_owned(),
        Sync::Every(interval) => show_duration(interval),
        Sync::Buffered(len) => format!("buffered:{}", show_len(len as u64)),
    }
}

/// The level of `zstd` alone: what zstd itself takes where nobody says.
const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// `none`, `lz4`, `zstd`, `zstd:19`.
pub fn parse_compression(text: &str) -> Option<Compression> {
    match text {
        "none" => Some(Compression::None),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd { level: ZSTD_LEVEL_DEFAULT }),
        _ => {
            let level = text.strip_prefix("zstd:")?.parse().ok()?;
            (ZSTD_LEVELS.0..=ZSTD_LEVELS.1).contains(&level).then_some(Compression::Zstd { level })
        }
    }
}

/// The inverse of [`parse_compression`].
pub fn show_compression(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd { level } => format!("zstd:{level}"),
    }
}

/// `64MiB`, `4k`, `1000000`: a unit counts in steps of 1024, whatever its name.
pub fn parse_len(text: &str) -> Option<u64> {
    SizeParser::new().with_binary().parse_size(text).ok()
}

/// As [`parse_len`], and not nothing.
pub fn parse_some_len(text: &str) -> Option<u64> {
    parse_len(text).filter(|&len| len > 0)
}

/// `50`, `50%`: `least` to 100.
pub fn parse_percent(text: &str, least: u8) -> Option<u8> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().ok().filter(|percent| (least..=100).contains(percent))
}

/// The inverse of [`parse_percent`].
pub fn show_percent(percent: u8) -> String {
    format!("{percent}%")
}

/// The shortest exact form: `64MiB`, or the bytes.
pub fn show_len(len: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = UNITS.iter().find(|(unit, _)| len > 0 && len.is_multiple_of(*unit));
    exact.map_or_else(|| len.to_string(), |(unit, name)| format!("{}{name}", len / unit))
}

/// `100ms`, `1h 30m`; nothing shorter than a nanosecond.
pub fn parse_duration(text: &str) -> Option<Duration> {
    times::duration(text).filter(|duration| !duration.is_zero())
}

/// The inverse of [`parse_duration`].
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_given() {
        for text in ["always", "never", "100ms", "1h 30m", "buffered:8MiB", "buffered:1000"] {
            let sync = parse_sync(text).expect("it is a policy");
            assert_eq!(parse_sync(&show_sync(sync)), Some(sync));
        }
        for text in ["none", "lz4", "zstd", "zstd:19"] {
            let compression = parse_compression(text).expect("it is a way to compress");
            assert_eq!(parse_compression(&show_compression(compression)), Some(compression));
        }
        for text in ["64MiB", "4k", "1000000", "0"] {
            let len = parse_len(text).expect("it is a size");
            assert_eq!(parse_len(&show_len(len)), Some(len));
        }
        assert_eq!(parse_sync("0s"), None);
    }
}
