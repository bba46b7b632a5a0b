//! Facts about this process: its memory, and the signals that it ignores.

use std::fs;

/// Memory of this process that is in RAM, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Its own.
    pub own_len: u64,
    /// Of files that it has mapped, which the operating system takes back when it needs the room.
    pub mapped_len: u64,
    /// All of it when it was most.
    pub peak_len: u64,
}

/// What this process takes, by proc(5); `None` where that does not say.
pub fn resident() -> Option<Resident> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Whether this process started with the signal of this number ignored, by proc(5); `false` if
/// unknown.
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
    let (own_len, mapped_len, peak_len) = (figure("RssAnon")?, figure("RssFile")?, figure("VmHWM")?);
    Some(Resident { own_len, mapped_len, peak_len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_proc_in_bytes_and_what_is_missing_is_not_made_up() {
        let status = "Name:\tlogkv\nVmHWM:\t    3000 kB\nRssAnon:\t     100 kB\nRssFile:\t    2000 kB\n";
        let told = Resident { own_len: 100 << 10, mapped_len: 2000 << 10, peak_len: 3000 << 10 };
        assert_eq!(parse(status), Some(told));
        assert_eq!(parse("VmHWM:\t3000 kB\nRssAnon:\t100 kB\n"), None);
    }

    #[test]
    fn a_signal_is_ignored_whose_bit_is_set() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, 1) && ignores(status, 13) && !ignores(status, 15));
        assert!(!ignores("", 1));
    }
}
