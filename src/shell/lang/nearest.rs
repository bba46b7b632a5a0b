//! Did you mean …?

/// The candidate that `typed` was most likely meant to be, if any is near enough: by a slip, or as the start of no other.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Nobody types more by hand, and the time that a comparison takes grows with both lengths.
    const LEN_MAX: usize = 256;
    if typed.len() > LEN_MAX {
        return None;
    }
    let typed = typed.to_lowercase();
    let candidates: Vec<_> = candidates.into_iter().collect();
    // One slip in a short word, two in a longer one: more than that, and everything is near everything.
    let slips_max = if typed.chars().count() < 5 { 1 } else { 2 };
    let slipped = candidates
        .iter()
        .filter(|candidate| candidate.len() <= LEN_MAX)
        .map(|&candidate| (strsim::damerau_levenshtein(&typed, &candidate.to_lowercase()), candidate))
        .filter(|&(slips, candidate)| slips <= slips_max && slips < candidate.chars().count())
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate);
    slipped.or_else(|| begun(&typed, &candidates))
}

/// The one candidate that starts with `typed`.
fn begun<'a>(typed: &str, candidates: &[&'a str]) -> Option<&'a str> {
    const LEN_LEAST: usize = 2;
    let mut begun = candidates.iter().filter(|candidate| candidate.to_lowercase().starts_with(typed));
    begun.next().filter(|_| typed.len() >= LEN_LEAST && begun.next().is_none()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_a_different_word_is_not() {
        assert_eq!(nearest("sgements", ["stats", "segments"]), Some("segments"));
        assert_eq!(nearest("GTE", ["get", "put"]), Some("get"));
        assert_eq!(nearest("frobnicate", ["get", "put"]), None);
        assert_eq!(nearest("x", ["q"]), None);
    }

    #[test]
    fn the_start_of_one_word_is_understood_and_that_of_two_is_not() {
        assert_eq!(nearest("rev", ["reverse", "limit"]), Some("reverse"));
        assert_eq!(nearest("ro", ["rollback", "rotate"]), None);
        assert_eq!(nearest("r", ["reverse"]), None);
    }
}
