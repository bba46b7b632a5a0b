//! Did you mean …?

/// The candidate that `typed` was most likely meant to be, if any is near enough.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    // One slip in a short word, two in a longer one: more than that, and everything is near everything.
    let slips_max = if typed.chars().count() < 5 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, &candidate.to_lowercase()), candidate))
        .filter(|&(slips, candidate)| slips <= slips_max && slips < candidate.chars().count())
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate)
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
}
