//! What must hold for any line: driven by the tests at random, and by the fuzzer.

use logkv::Visible;

use super::{open_quote, quote, split, split_leniently, visible};

/// Checks that `line` is split without a panic, that the two ways to split it agree, and that what is printed of it can be
/// typed back.
///
/// # Panics
/// When that does not hold.
pub fn holds(line: &[u8]) {
    let (words, errors) = split_leniently(line);
    let ends = words.iter().map(|word| word.span.end);
    let starts = words.iter().map(|word| word.span.start).chain([line.len()]);
    assert!(ends.zip(starts.skip(1)).all(|(end, next)| end <= next), "words stand one behind the other");
    assert!(errors.iter().all(|error| error.span.end <= line.len()), "carets stand under the line");
    match split(line) {
        Ok(strict) => assert!(strict == words && errors.is_empty()),
        Err(error) => assert_eq!(Some(&error), errors.first()),
    }
    let opened = open_quote(line);
    assert!(opened.is_none_or(|(quote, at)| line.get(at) == Some(&(quote as u8))), "a quote opens there");

    let printed: Vec<String> = words.iter().map(|word| quote(&word.bytes)).collect();
    let typed = split(printed.join(" ").as_bytes()).expect("what is printed is well formed");
    assert!(typed.iter().map(|word| &word.bytes).eq(words.iter().map(|word| &word.bytes)));
    for text in printed.iter().chain([&quote(line), &visible(line)]) {
        assert!(text.chars().all(Visible::is), "nothing that would drive a terminal");
    }
    let whole = split(quote(line).as_bytes()).expect("what is printed is well formed");
    assert!(whole.len() == 1 && whole[0].bytes == line, "any bytes are one word when they are printed");
}
