//! Moments, as they are shown.

use jiff::SignedDuration;
use jiff::civil::{self, DateTime};

/// The start of 1970.
pub const EPOCH: DateTime = civil::datetime(1970, 1, 1, 0, 0, 0, 0);

/// The date and time of day `ms` milliseconds after 1970 in UTC; `None` beyond the year 9999.
pub fn civil(ms: u64) -> Option<DateTime> {
    EPOCH.checked_add(SignedDuration::from_millis(i64::try_from(ms).ok()?)).ok()
}

/// The day and the time of day of a record, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `2026-11-22`, or nothing where the number is no date of the calendar.
    pub day: String,
    /// `05:56:40.812`, or else the milliseconds as a number.
    pub clock: String,
}

impl Moment {
    /// The moment `ms` milliseconds after 1970.
    pub fn of(ms: u64) -> Self {
        match civil(ms) {
            Some(time) => Self {
                day: time.strftime("%Y-%m-%d").to_string(),
                clock: time.strftime("%H:%M:%S%.3f").to_string(),
            },
            None => Self { day: String::new(), clock: format!("{ms} ms") },
        }
    }

    /// `05:56:40`: without the milliseconds.
    pub fn seconds(&self) -> &str {
        self.clock.split('.').next().unwrap_or_default()
    }

    /// Day and time, without the milliseconds.
    pub fn seconds_full(&self) -> String {
        format!("{} {}", self.day, self.seconds()).trim_start().to_owned()
    }

    /// Day and time.
    pub fn full(&self) -> String {
        format!("{} {}", self.day, self.clock).trim_start().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc_and_a_number_that_is_no_date_is_told_as_one() {
        let moment = Moment::of(1_790_056_600_812);
        assert_eq!(moment.full(), "2026-09-22 05:56:40.812");
        assert_eq!(moment.seconds(), "05:56:40");
        assert_eq!(Moment::of((1 << 48) - 1).full(), "281474976710655 ms");
    }
}
