//! Metrics in the text format of
//! [Prometheus](https://prometheus.io/docs/instrumenting/exposition_formats/).

use std::fmt;

use self::Series::{Counter, Counts, Gauge, Seconds, Times};
use super::Metrics;
use super::meter::Distribution;

const NANOS_A_SECOND: f64 = 1e9;

/// Metrics in the text format of Prometheus, as its `Display`.
#[derive(Clone, Debug)]
pub struct Prometheus<'a> {
    metrics: &'a Metrics,
    labels: Vec<(String, String)>,
}

/// The type of a family of series, and its value.
enum Series {
    Counter(fn(&Metrics) -> u64),
    /// The family has no series if the value is unknown.
    Gauge(fn(&Metrics) -> Option<u64>),
    Seconds(fn(&Metrics) -> f64),
    Times(fn(&Metrics) -> &Distribution),
    Counts(fn(&Metrics) -> &Distribution),
}

/// The name of a family, its help text, and its series.
type Family = (&'static str, &'static str, Series);

const FAMILIES: &[Family] = &[
    ("logkv_gets_total", "Gets.", Counter(|m| m.get_count)),
    ("logkv_get_hits_total", "Gets that found the key.", Counter(|m| m.hit_count)),
    ("logkv_get_misses_total", "Gets that did not find the key.", Counter(|m| m.miss_count)),
    ("logkv_puts_total", "Puts that were written.", Counter(|m| m.put_count)),
    ("logkv_deletes_total", "Tombstones that were written.", Counter(|m| m.delete_count)),
    (
        "logkv_batches_total",
        "Batches that were written. A single put or delete is one.",
        Counter(|m| m.batch_count),
    ),
    ("logkv_written_bytes_total", "Bytes of records that were written.", Counter(|m| m.written_len)),
    (
        "logkv_get_duration_seconds",
        "Duration of gets. One in 64 of each thread is timed.",
        Times(|m| &m.get_ns),
    ),
    (
        "logkv_write_duration_seconds",
        "Duration of writes, until they are as durable as the sync policy says.",
        Times(|m| &m.write_ns),
    ),
    ("logkv_fsync_duration_seconds", "Duration of the log's syncs.", Times(|m| &m.sync_ns)),
    ("logkv_fsync_records", "Records that each sync of the log made durable.", Counts(|m| &m.synced_count)),
    ("logkv_compaction_runs_total", "Runs of compaction.", Counter(|m| m.compaction_run_count)),
    (
        "logkv_compaction_read_bytes_total",
        "Bytes of segments that compaction has replaced.",
        Counter(|m| m.compaction_read_len),
    ),
    (
        "logkv_compaction_written_bytes_total",
        "Bytes of segments that compaction has written.",
        Counter(|m| m.compaction_written_len),
    ),
    (
        "logkv_compaction_freed_bytes_total",
        "Bytes that compaction has freed.",
        Counter(Metrics::compaction_freed_len),
    ),
    ("logkv_checkpoints_total", "Number of times that KEYDIR was written.", Counter(|m| m.checkpoint_count)),
    ("logkv_read_errors_total", "Reads that failed.", Counter(|m| m.read_error_count)),
    ("logkv_write_errors_total", "Writes that failed.", Counter(|m| m.write_error_count)),
    ("logkv_fsync_errors_total", "Syncs of the log that failed.", Counter(|m| m.sync_error_count)),
    ("logkv_background_errors_total", "Failures of background work.", Counter(|m| m.background_error_count)),
    ("logkv_open_duration_seconds", "Duration of opening the store.", Seconds(|m| m.open_took.as_secs_f64())),
    ("logkv_keys", "Keys in the keydir.", Gauge(|m| Some(m.stats.key_count))),
    ("logkv_records", "Records in the log.", Gauge(|m| Some(m.stats.record_count))),
    ("logkv_tombstones", "Tombstones in the log.", Gauge(|m| Some(m.stats.tombstone_count))),
    ("logkv_segments", "Segments in the log.", Gauge(|m| Some(m.stats.segment_count))),
    ("logkv_live_bytes", "Bytes of live records.", Gauge(|m| Some(m.stats.live_len))),
    (
        "logkv_dead_bytes",
        "Bytes of all other records, including tombstones.",
        Gauge(|m| Some(m.stats.dead_len)),
    ),
    ("logkv_disk_bytes", "Bytes of all segments.", Gauge(|m| Some(m.stats.disk_len))),
    ("logkv_keydir_bytes", "Memory of the keydir in bytes.", Gauge(|m| Some(m.stats.keydir_len))),
    ("logkv_last_seq", "Number of the newest record.", Gauge(|m| Some(m.stats.last_seq.0))),
    (
        "logkv_durable_seq",
        "Number of the newest durable record.",
        Gauge(|m| m.stats.durable_seq.map(|seq| seq.0)),
    ),
    (
        "logkv_damaged_ranges",
        "Damaged ranges that were found when the store was opened.",
        Gauge(|m| Some(m.stats.damage_count)),
    ),
];

impl Metrics {
    /// Returns the metrics in the text format of Prometheus.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let store = logkv::Store::open(dir.path())?;
    /// store.put("k", "v")?;
    /// let text = store.metrics()?.prometheus().to_string();
    /// assert!(text.contains("\nlogkv_puts_total 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn prometheus(&self) -> Prometheus<'_> {
        Prometheus { metrics: self, labels: Vec::new() }
    }
}

impl Prometheus<'_> {
    /// Adds the label `name` with this value to every series, to tell stores apart.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Writes the series `name` with the labels and `more`, and its value.
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: fmt::Arguments<'_>,
        more: Option<(&str, &dyn fmt::Display)>,
        value: &dyn fmt::Display,
    ) -> fmt::Result {
        write!(f, "{name}")?;
        let own = self.labels.iter().map(|(name, value)| (name.as_str(), value as &dyn fmt::Display));
        let mut opening = '{';
        for (name, value) in own.chain(more) {
            write!(f, "{opening}{name}=\"{}\"", escaped(&value.to_string()))?;
            opening = ',';
        }
        let closing = if opening == ',' { "}" } else { "" };
        writeln!(f, "{closing} {value}")
    }

    /// Writes the series of a histogram. Its values are divided by `unit`.
    fn histogram(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        (seen, unit): (&Distribution, f64),
        bounds: impl Iterator<Item = u64>,
    ) -> fmt::Result {
        for bound in bounds {
            let shown = bound as f64 / unit;
            let count = seen.count_up_to(bound);
            self.line(f, format_args!("{name}_bucket"), Some(("le", &shown)), &count)?;
        }
        self.line(f, format_args!("{name}_bucket"), Some(("le", &"+Inf")), &seen.count())?;
        self.line(f, format_args!("{name}_sum"), None, &(seen.sum() as f64 / unit))?;
        self.line(f, format_args!("{name}_count"), None, &seen.count())
    }

    fn family(&self, f: &mut fmt::Formatter<'_>, (name, help, series): &Family) -> fmt::Result {
        let kind = match series {
            Counter(_) => "counter",
            Gauge(_) | Seconds(_) => "gauge",
            Times(_) | Counts(_) => "histogram",
        };
        writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        match series {
            Counter(of) => self.line(f, format_args!("{name}"), None, &of(self.metrics)),
            Gauge(of) => match of(self.metrics) {
                Some(value) => self.line(f, format_args!("{name}"), None, &value),
                None => Ok(()),
            },
            Seconds(of) => self.line(f, format_args!("{name}"), None, &of(self.metrics)),
            Times(of) => self.histogram(f, name, (of(self.metrics), NANOS_A_SECOND), time_bounds()),
            Counts(of) => self.histogram(f, name, (of(self.metrics), 1.0), count_bounds()),
        }
    }
}

/// Returns the bounds of buckets of time in nanoseconds: 100 ns to 10 s, three per decade.
fn time_bounds() -> impl Iterator<Item = u64> {
    const DECADES: std::ops::RangeInclusive<u32> = 2..=9;
    DECADES.flat_map(|decade| [1, 2, 5].map(|step| step * 10_u64.pow(decade))).chain([10_u64.pow(10)])
}

/// Returns the bounds of buckets of counts: the powers of four from 1 to 65,536.
fn count_bounds() -> impl Iterator<Item = u64> {
    (0..=8).map(|power| 4_u64.pow(power))
}

/// Escapes the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl fmt::Display for Prometheus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| self.family(f, family))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::meter::{Count, Meter};
    use super::super::stats::Stats;
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_are_escaped() {
        let meter = Meter::new();
        meter.add(Count::Puts, 7);
        [1, 3, 70_000].into_iter().for_each(|count| meter.synced.record(count));
        let metrics = Metrics::of(&meter, Stats::default(), Duration::from_millis(1500));
        let text = metrics.prometheus().label("store", "a\"b\\\n").to_string();
        for line in [
            r#"logkv_puts_total{store="a\"b\\\n"} 7"#,
            r#"logkv_open_duration_seconds{store="a\"b\\\n"} 1.5"#,
            r#"logkv_fsync_records_bucket{store="a\"b\\\n",le="1"} 1"#,
            r#"logkv_fsync_records_bucket{store="a\"b\\\n",le="4"} 2"#,
            r#"logkv_fsync_records_bucket{store="a\"b\\\n",le="65536"} 2"#,
            r#"logkv_fsync_records_bucket{store="a\"b\\\n",le="+Inf"} 3"#,
            r#"logkv_fsync_records_sum{store="a\"b\\\n"} 70004"#,
            r#"logkv_write_duration_seconds_bucket{store="a\"b\\\n",le="0.0000001"} 0"#,
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} in\n{text}");
        }
        assert!(!text.contains("logkv_durable_seq{"), "it is unknown here");
        assert!(metrics.prometheus().to_string().contains("\nlogkv_puts_total 7\n"));
    }
}
