//! The memory of this process, and its ignored signals.

use std::fs;

/// The resident memory of this process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Anonymous memory.
    pub own_len: u64,
    /// Mapped files. The operating system can reclaim these pages at any time.
    pub mapped_len: u64,
    /// The peak of the total.
    pub peak_len: u64,
}

/// Returns the memory of this process according to proc(5), or `None` if that is not available.
pub fn resident() -> Option<Resident> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Returns whether this process ignores the signal `signal`, according to proc(5), or `false` if
/// that is unknown. Call it before any handler is installed.
pub fn is_ignored(signal: i32) -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, signal))
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

fn parse(status: &str) -> Option<Resident> {
    let figure = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Resident { own_len: figure("RssAnon")?, mapped_len: figure("RssFile")?, peak_len: figure("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes_and_absent_if_a_line_is_missing() {
        let status = "Name:\tlogkv\nVmHWM:\t    3000 kB\nRssAnon:\t     100 kB\nRssFile:\t    2000 kB\n";
        let expected = Resident { own_len: 100 << 10, mapped_len: 2000 << 10, peak_len: 3000 << 10 };
        assert_eq!(parse(status), Some(expected));
        assert_eq!(parse("VmHWM:\t3000 kB\nRssAnon:\t100 kB\n"), None);
    }

    #[test]
    fn a_signal_is_ignored_if_its_bit_is_set() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, 1) && ignores(status, 13) && !ignores(status, 15));
        assert!(!ignores("", 1));
    }
}
