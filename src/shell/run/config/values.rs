//! Parsing and printing of the values of options.

use std::time::Duration;

use logkv::{Compression, Sync, ZSTD_LEVELS};

use crate::shell::lang::times;
use crate::shell::lang::words::is_digits;

/// Parses `always`, `never`, `100ms`, `buffered:8MiB`.
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

/// Inverts [`parse_sync`].
pub fn show_sync(sync: Sync) -> String {
    match sync {
        Sync::Always => "always".to_owned(),
        Sync::Never => "never".to_owned(),
        Sync::Every(interval) => show_duration(interval),
        Sync::Buffered(len) => format!("buffered:{}", show_len(len as u64)),
    }
}

/// The default level of zstd.
const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// Parses `none`, `lz4`, `zstd`, `zstd:19`.
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

/// Inverts [`parse_compression`].
pub fn show_compression(compression: Compression) -> String {
    match compression {
        Compression::None => "none".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd { level } => format!("zstd:{level}"),
    }
}

/// Parses `64MiB`, `1.5g`, `4k`, `1000000`. All units are powers of 1024.
pub fn parse_len(text: &str) -> Option<u64> {
    const UNITS: [(char, u32); 6] = [('k', 10), ('m', 20), ('g', 30), ('t', 40), ('p', 50), ('e', 60)];
    let text = text.to_ascii_lowercase();
    let without_b = text.strip_suffix('b').unwrap_or(&text);
    let prefix = without_b.strip_suffix('i').unwrap_or(without_b);
    let with_unit = UNITS.iter().find_map(|&(letter, shift)| Some((prefix.strip_suffix(letter)?, shift)));
    let (number, shift) = with_unit.unwrap_or((without_b, 0));
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = Some(format!("{whole}{fraction}")).filter(|digits| is_digits(digits))?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let len = digits.parse::<u128>().ok()?.checked_mul(1 << shift)? / scale;
    u64::try_from(len).ok()
}

/// Parses a size above zero.
pub fn parse_some_len(text: &str) -> Option<u64> {
    parse_len(text).filter(|&len| len > 0)
}

/// Parses `50` or `50%`, from `least` to 100.
pub fn parse_percent(text: &str, least: u8) -> Option<u8> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().ok().filter(|percent| (least..=100).contains(percent))
}

/// Inverts [`parse_percent`].
pub fn show_percent(percent: u8) -> String {
    format!("{percent}%")
}

/// Returns the shortest exact form: `64MiB`, or the number of bytes.
pub fn show_len(len: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = UNITS.iter().find(|(unit, _)| len > 0 && len.is_multiple_of(*unit));
    exact.map_or_else(|| len.to_string(), |(unit, name)| format!("{}{name}", len / unit))
}

/// Parses `100ms`, `1h 30m`; not zero.
pub fn parse_duration(text: &str) -> Option<Duration> {
    times::duration(text).filter(|duration| !duration.is_zero())
}

/// Inverts [`parse_duration`].
pub fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_value_parses_to_the_same() {
        for text in ["always", "never", "100ms", "1h 30m", "buffered:8MiB", "buffered:1000"] {
            let sync = parse_sync(text).expect("the text is a sync policy");
            assert_eq!(parse_sync(&show_sync(sync)), Some(sync));
        }
        for text in ["none", "lz4", "zstd", "zstd:19"] {
            let compression = parse_compression(text).expect("the text is a compression");
            assert_eq!(parse_compression(&show_compression(compression)), Some(compression));
        }
        for text in ["64MiB", "4k", "1000000", "0"] {
            let len = parse_len(text).expect("the text is a size");
            assert_eq!(parse_len(&show_len(len)), Some(len));
        }
        assert_eq!(parse_sync("0s"), None);
    }

    #[test]
    fn a_size_counts_in_powers_of_1024_and_fits_64_bits() {
        for (text, len) in [
            ("7", 7),
            ("7B", 7),
            ("4K", 4096),
            ("4 kib", 4096),
            ("4KB", 4096),
            ("4Ki", 4096),
            ("1.5m", 1_572_864),
            ("0.1k", 102),
            ("18446744073709551615", u64::MAX),
            ("15.5E", 0xf800_0000_0000_0000),
        ] {
            assert_eq!(parse_len(text), Some(len), "{text}");
        }
        for text in ["", "k", "b", "7i", "7ib", "-1", "+1", "1x", "1kk", "1.2.3", "."] {
            assert_eq!(parse_len(text), None, "{text}");
        }
        for text in ["18446744073709551616", "16E"] {
            assert_eq!(parse_len(text), None, "{text}");
        }
        assert_eq!(parse_len(&format!("0.{}", "1".repeat(99))), None);
    }
}
