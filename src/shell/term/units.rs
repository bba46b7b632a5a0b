//! Numbers for people.
//!
//! Counts, sizes and limits of four or more digits are grouped, such as `12,345`, wherever a person
//! reads them. Numbers that can be typed back are not: record and segment numbers, offsets,
//! cursors, times in milliseconds, values. Fields of the modes plain and json are not grouped
//! either.

use std::time::Duration;

use logkv::Grouped;

use super::moment;

/// Returns `n` with a comma after each third digit.
pub fn thousands(n: u64) -> String {
    Grouped(n).to_string()
}

/// Returns `len` bytes, as `512 B`, `1.5 KiB`, `64 MiB`.
pub fn bytes(len: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if len < 1024 {
        return format!("{} B", thousands(len));
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut amount = len as f64 / 1024.0;
    let mut unit = 0;
    // An amount that would print as 1024 is printed as 1 of the next unit.
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let text = format!("{amount:.1}");
    let (whole, tenths) = text.split_once('.').unwrap_or((&text, "0"));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    match tenths {
        "0" => format!("{whole} {}", UNITS[unit]),
        tenths => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

/// Returns the share of `part` in `whole`, such as `58%`, or `<1%` if it is small but not zero.
pub fn percent(part: u64, whole: u64) -> String {
    match u128::from(part) * 100 / u128::from(whole.max(1)) {
        0 if part > 0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

/// Returns a UTC time such as `2026-01-31T05:56:40.812Z`.
pub fn time(ms: u64) -> String {
    moment::civil(ms).map_or_else(|| format!("{ms} ms"), |time| format!("{time:.3}Z"))
}

/// Returns a duration in its two largest units, rounded up: `10m`, `9m 58s`, `350ms`. The user can
/// type it back.
pub fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let first = UNITS.iter().position(|(unit, _)| ms >= *unit).unwrap_or(UNITS.len() - 1);
    let shown = &UNITS[first..UNITS.len().min(first + 2)];
    // Milliseconds after seconds are more precise than a person needs.
    let shown = if shown[0].1 == "s" { &shown[..1] } else { shown };
    let step = shown[shown.len() - 1].0;
    let mut rest = ms.div_ceil(step).saturating_mul(step);
    if first > 0 && rest >= UNITS[first - 1].0 {
        return format!("1{}", UNITS[first - 1].1);
    }
    let mut parts = Vec::new();
    for (unit, name) in shown {
        if rest >= *unit {
            parts.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    if parts.is_empty() { "0ms".to_owned() } else { parts.join(" ") }
}

/// Returns an elapsed time in a fitting unit: `35 µs`, `0.12 ms`, `12.3 ms`, `1.24 s`.
pub fn elapsed(took: Duration, is_ascii: bool) -> String {
    let seconds = took.as_secs_f64();
    let millis = seconds * 1e3;
    match took.as_micros() {
        0..100 if is_ascii => format!("{} us", took.as_micros()),
        0..100 => format!("{} µs", took.as_micros()),
        100..10_000 => format!("{millis:.2} ms"),
        10_000..100_000 => format!("{millis:.1} ms"),
        100_000..1_000_000 => format!("{millis:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

/// Returns a count with its noun: `1 key`, `34,924 keys`.
pub fn count(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(count))
}

/// Returns ascending numbers as text, with runs joined: `1, 3 to 7, 9`.
pub fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let text = runs.map(|run| match run {
        [first, .., last] => format!("{first} to {last}"),
        run => run.iter().map(u64::to_string).collect(),
    });
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_have_units() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1536, 1_047_552, 64 << 20, (1 << 20) - 1, u64::MAX].map(bytes),
            ["0 B", "1,023 B", "1 KiB", "1.5 KiB", "1,023 KiB", "64 MiB", "1 MiB", "16 EiB"]
        );
        assert_eq!(
            [percent(0, 0), percent(1, 3), percent(u64::MAX, u64::MAX), percent(1, 1000)],
            ["0%", "33%", "100%", "<1%"]
        );
        assert_eq!([count(1, "key"), count(2, "key")], ["1 key", "2 keys"]);
    }

    #[test]
    fn a_duration_has_two_units_and_is_rounded_up() {
        let text =
            [0, 1, 350, 999, 1000, 1001, 59_001, 59_999, 60_000, 597_001, 599_999, 600_000].map(duration);
        let expected = ["0ms", "1ms", "350ms", "999ms", "1s", "2s", "1m", "1m", "1m", "9m 58s", "10m", "10m"];
        assert_eq!(text, expected);
        let text =
            [3_599_001, 3_600_000, 3_600_001, 86_399_999, 86_400_000, 90_000_000, u64::MAX].map(duration);
        assert_eq!(text, ["1h", "1h", "1h 1m", "1d", "1d", "1d 1h", "213503982334d 14h"]);
    }

    #[test]
    fn an_elapsed_time_has_a_fitting_unit() {
        let text = |micros| elapsed(Duration::from_micros(micros), false);
        assert_eq!([0, 35, 99, 120, 1240].map(text), ["0 µs", "35 µs", "99 µs", "0.12 ms", "1.24 ms"]);
        assert_eq!(
            [12_345, 123_456, 999_400, 1_240_000, 61_500_000].map(text),
            ["12.3 ms", "123 ms", "999 ms", "1.24 s", "61.50 s"]
        );
        assert_eq!(elapsed(Duration::from_micros(35), true), "35 us");
    }

    #[test]
    fn consecutive_numbers_become_a_range() {
        assert_eq!(ranges(&[1, 3, 4, 5, 9]), "1, 3 to 5, 9");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_time_has_milliseconds_and_one_beyond_the_calendar_is_a_number() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        // The range of jiff's Timestamp ends before this time.
        assert_eq!(time(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(time(253_402_300_800_000), "253402300800000 ms");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms");
    }
}
