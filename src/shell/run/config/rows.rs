//! The table of options.

use logkv::{ReadWith, SEGMENT_LEN_MAX_BOUNDS};

use super::row::{OptionRow, PLAIN};
use super::values::{
    parse_compression, parse_duration, parse_len, parse_percent, parse_some_len, parse_sync,
    show_compression, show_duration, show_len, show_percent, show_sync,
};
use crate::shell::lang::times;
use crate::shell::run::logging;

/// All options, in the order of help.
pub const ROWS: &[OptionRow] = &[
    OptionRow {
        name: "sync",
        value_name: "always|never|100ms|buffered:SIZE",
        doc: "When writes become durable: before each is acknowledged; when the system writes them; at \
              most this long after; or when the system writes them, with up to SIZE held in the \
              process, which a kill loses",
        allowed: "always, never, a duration such as 100ms, or buffered:SIZE",
        set: |config, text| parse_sync(text).map(|sync| config.options.sync = sync),
        show: |config| show_sync(config.options.sync),
        ..PLAIN
    },
    OptionRow {
        name: "segment-size",
        value_name: "SIZE",
        doc: "The size at which a segment is sealed and a new one started",
        allowed: "a size from 128 to 4,294,967,288 bytes, such as 64MiB",
        set: |config, text| {
            let (least, most) = SEGMENT_LEN_MAX_BOUNDS;
            parse_len(text)
                .filter(|len| (least..=most).contains(len))
                .map(|len| config.options.segment_len_max = len)
        },
        show: |config| show_len(config.options.segment_len_max),
        ..PLAIN
    },
    OptionRow {
        name: "segment-age",
        value_name: "DURATION|never",
        doc: "The age at which the next write seals the active segment and starts a new one",
        allowed: "never, or a duration such as 1h",
        set: |config, text| {
            let age = if text == "never" { None } else { Some(parse_duration(text)?) };
            config.options.segment_age_max = age;
            Some(())
        },
        show: |config| config.options.segment_age_max.map_or_else(|| "never".to_owned(), show_duration),
        ..PLAIN
    },
    OptionRow {
        name: "value-limit",
        value_name: "SIZE",
        doc: "The largest value that can be written",
        allowed: "a size up to 4,294,967,288 bytes, such as 64MiB",
        set: |config, text| {
            parse_len(text)
                .filter(|&len| len <= SEGMENT_LEN_MAX_BOUNDS.1)
                .map(|len| config.options.value_len_max = len)
        },
        show: |config| show_len(config.options.value_len_max),
        ..PLAIN
    },
    OptionRow {
        name: "read-limit",
        value_name: "SIZE",
        doc: "The largest decompressed value that can be read; at least --value-limit",
        allowed: "a size, such as 64MiB",
        set: |config, text| parse_len(text).map(|len| config.options.value_read_max = len),
        show: |config| show_len(config.options.value_read_max),
        ..PLAIN
    },
    OptionRow {
        name: "compression",
        value_name: "none|lz4|zstd[:LEVEL]",
        doc: "The compression of new values, skipped where it saves no space",
        allowed: "none, lz4, zstd, or zstd:LEVEL with a level from 1 to 22",
        set: |config, text| {
            parse_compression(text).map(|compression| config.options.compression = compression)
        },
        show: |config| show_compression(config.options.compression),
        ..PLAIN
    },
    OptionRow {
        name: "read-with",
        value_name: "mmap|pread",
        doc: "How segments are read: mapped into memory, or with system calls",
        allowed: "mmap, pread",
        set: |config, text| {
            config.options.read_with = match text {
                "mmap" => ReadWith::Mmap,
                "pread" => ReadWith::Pread,
                _ => return None,
            };
            Some(())
        },
        show: |config| match config.options.read_with {
            ReadWith::Mmap => "mmap".to_owned(),
            ReadWith::Pread => "pread".to_owned(),
        },
        ..PLAIN
    },
    OptionRow {
        name: "compaction",
        value_name: "auto|off",
        doc: "Whether the store compacts in the background; compact works either way",
        allowed: "auto, off",
        set: |config, text| {
            config.options.compaction.automatic = match text {
                "auto" => true,
                "off" => false,
                _ => return None,
            };
            Some(())
        },
        show: |config| if config.options.compaction.automatic { "auto".to_owned() } else { "off".to_owned() },
        ..PLAIN
    },
    OptionRow {
        name: "compact-dead-percent",
        value_name: "PERCENT",
        doc: "The dead share at which a segment is compacted",
        allowed: "a percentage from 1 to 100",
        set: |config, text| {
            parse_percent(text, 1).map(|percent| config.options.compaction.dead_percent = percent)
        },
        show: |config| show_percent(config.options.compaction.dead_percent),
        ..PLAIN
    },
    OptionRow {
        name: "compact-dead-size",
        value_name: "SIZE",
        doc: "The dead bytes at which a segment is compacted, whatever their share",
        allowed: "a size from 1 byte up, such as 256MiB",
        set: |config, text| parse_some_len(text).map(|len| config.options.compaction.dead_len = len),
        show: |config| show_len(config.options.compaction.dead_len),
        ..PLAIN
    },
    OptionRow {
        name: "compact-small-percent",
        value_name: "PERCENT",
        doc: "The share of --segment-size below which a segment is small; 0 for none",
        allowed: "a percentage from 0 to 100",
        set: |config, text| {
            parse_percent(text, 0).map(|percent| config.options.compaction.small_percent = percent)
        },
        show: |config| show_percent(config.options.compaction.small_percent),
        ..PLAIN
    },
    OptionRow {
        name: "compact-rate",
        value_name: "SIZE|none",
        doc: "The most that background compaction reads per second",
        allowed: "none, or a size from 1 byte up, such as 10MiB",
        set: |config, text| {
            let rate = if text == "none" { None } else { Some(parse_some_len(text)?) };
            config.options.compaction.rate = rate;
            Some(())
        },
        show: |config| config.options.compaction.rate.map_or_else(|| "none".to_owned(), show_len),
        ..PLAIN
    },
    OptionRow {
        name: "expiry-grace",
        value_name: "DURATION",
        doc: "How long compaction keeps expired records, in case a clock was wrong",
        allowed: "a duration such as 1h, or 0s",
        set: |config, text| times::duration(text).map(|grace| config.options.compaction.expiry_grace = grace),
        show: |config| show_duration(config.options.compaction.expiry_grace),
        ..PLAIN
    },
    OptionRow {
        name: "keep-versions",
        value_name: "N",
        doc: "How many versions of a key compaction keeps for versions, get --at and diff",
        allowed: "a number from 1 up",
        set: |config, text| {
            config.options.compaction.keep_versions = text.parse().ok().filter(|&count| count > 0)?;
            Some(())
        },
        show: |config| config.options.compaction.keep_versions.to_string(),
        ..PLAIN
    },
    OptionRow {
        name: "keep-for",
        value_name: "DURATION",
        doc: "How long compaction keeps records that were replaced or deleted, or have expired",
        allowed: "a duration such as 24h, or 0s",
        set: |config, text| times::duration(text).map(|time| config.options.compaction.keep_for = time),
        show: |config| show_duration(config.options.compaction.keep_for),
        ..PLAIN
    },
    OptionRow {
        name: "trust",
        value_name: "yes|no",
        doc: "Opens a directory that another user owns or can write to",
        allowed: "yes, no",
        is_switch: true,
        // An untrusted directory must not be able to declare itself trusted.
        from_dir: false,
        set: |config, text| {
            config.options.trust = match text {
                "yes" | "true" => true,
                "no" | "false" => false,
                _ => return None,
            };
            Some(())
        },
        show: |config| if config.options.trust { "yes".to_owned() } else { "no".to_owned() },
    },
    OptionRow {
        name: "metrics-file",
        value_name: "FILE|none",
        doc: "Writes the store's metrics to this file while it is open, for Prometheus' node_exporter",
        allowed: "none, or a path in UTF-8, such as /var/lib/node_exporter/logkv.prom",
        // Otherwise another user's directory could overwrite a file of this user.
        from_dir: false,
        set: |config, text| {
            let is_path = !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER);
            config.metrics_file = (text != "none").then(|| text.into());
            is_path.then_some(())
        },
        show: |config| {
            let path = config.metrics_file.as_ref().map(|path| path.to_string_lossy().into_owned());
            path.unwrap_or_else(|| "none".to_owned())
        },
        ..PLAIN
    },
    OptionRow {
        name: "metrics-interval",
        value_name: "DURATION",
        doc: "The interval at which --metrics-file is written",
        allowed: "a duration such as 15s",
        set: |config, text| parse_duration(text).map(|interval| config.metrics_interval = interval),
        show: |config| show_duration(config.metrics_interval),
        ..PLAIN
    },
    OptionRow {
        name: "log",
        value_name: "FILTER",
        doc: "Logs what the engine does to the standard error: off, error, warn, info, debug or trace",
        allowed: "off, error, warn, info, debug, trace, or filters such as warn,logkv::engine::log=debug",
        set: |config, text| {
            config.log = text.to_owned();
            logging::is_filter(text).then_some(())
        },
        show: |config| config.log.clone(),
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    use logkv::ZSTD_LEVELS;

    use crate::shell::run::config::settings::Config;
    use crate::shell::term::units;

    #[test]
    fn the_bounds_in_the_text_are_those_of_the_engine() {
        for (row, number) in [
            (&ROWS[1], SEGMENT_LEN_MAX_BOUNDS.0),
            (&ROWS[1], SEGMENT_LEN_MAX_BOUNDS.1),
            (&ROWS[3], SEGMENT_LEN_MAX_BOUNDS.1),
            (&ROWS[5], u64::from(ZSTD_LEVELS.0.unsigned_abs())),
            (&ROWS[5], u64::from(ZSTD_LEVELS.1.unsigned_abs())),
        ] {
            assert!(row.allowed.contains(&units::thousands(number)), "{}", row.allowed);
        }
    }

    /// Returns the value of the option `name` after `text` was set, or `None` if it was rejected.
    fn accepted(name: &str, text: &str) -> Option<String> {
        let row = ROWS.iter().find(|row| row.name == name).expect("the option exists");
        let mut config = Config::default();
        (row.set)(&mut config, text)?;
        Some((row.show)(&config))
    }

    #[test]
    fn the_shown_value_of_every_option_is_accepted_and_shown_again() {
        for row in ROWS {
            let shown = (row.show)(&Config::default());
            assert_eq!(accepted(row.name, &shown), Some(shown), "{}", row.name);
        }
    }

    #[test]
    fn values_out_of_bounds_are_rejected() {
        for (name, good, bad) in [
            ("compaction", &["auto", "off"][..], &["on", ""][..]),
            (
                "compression",
                &["none", "lz4", "zstd", "zstd:1", "zstd:22"],
                &["", "gzip", "lz4:3", "zstd:0", "zstd:23", "zstd:", "zstd:-1", "zstd:x"],
            ),
            ("compact-dead-percent", &["1", "100", "50%"], &["0", "101", "-1", "%", "50.5"]),
            ("compact-small-percent", &["0", "100"], &["101"]),
            ("compact-dead-size", &["1", "1GiB"], &["0", "-1"]),
            ("compact-rate", &["none", "1", "10MiB"], &["0", "fast"]),
            ("expiry-grace", &["0s", "1h"], &["1", "soon"]),
            ("keep-versions", &["1", "1000"], &["0", "all", "-1"]),
            ("keep-for", &["0s", "24h"], &["1", "ever"]),
            ("metrics-file", &["none", "/m.prom"], &["", "\u{fffd}.prom"]),
            ("metrics-interval", &["1s", "500ms"], &["0s", "1"]),
            (
                "log",
                &["off", "WARN", "info", "warn,logkv::engine::log=trace"],
                &["", "loud", "info,debgu", "logkv=loud"],
            ),
        ] {
            for text in good {
                assert!(accepted(name, text).is_some(), "{name} {text}");
            }
            for text in bad {
                assert_eq!(accepted(name, text), None, "{name} {text}");
            }
        }
    }
}
