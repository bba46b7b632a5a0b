//! Properties of the lexer for any line, checked by tests and by the fuzzer.

use logkv::Visible;

use super::{open_quote, quote, split, split_leniently, visible};

/// Checks that both ways to split `line` agree, and that printed words are read back unchanged.
///
/// # Panics
/// If a property does not hold.
pub fn holds(line: &[u8]) {
    let (words, errors) = split_leniently(line);
    let ends = words.iter().map(|word| word.span.end);
    let starts = words.iter().map(|word| word.span.start).chain([line.len()]);
    assert!(ends.zip(starts.skip(1)).all(|(end, next)| end <= next), "words do not overlap");
    assert!(errors.iter().all(|error| error.span.end <= line.len()), "carets are within the line");
    match split(line) {
        Ok(strict) => assert!(strict == words && errors.is_empty()),
        Err(error) => assert_eq!(Some(&error), errors.first()),
    }
    let opened = open_quote(line);
    assert!(
        opened.is_none_or(|(quote, at)| line.get(at) == Some(&(quote as u8))),
        "the offset is that of the quote"
    );

    let printed: Vec<String> = words.iter().map(|word| quote(&word.bytes)).collect();
    let typed = split(printed.join(" ").as_bytes()).expect("printed words are well formed");
    assert!(typed.iter().map(|word| &word.bytes).eq(words.iter().map(|word| &word.bytes)));
    for text in printed.iter().chain([&quote(line), &visible(line)]) {
        assert!(text.chars().all(Visible::is), "the text has no control characters");
    }
    let whole = split(quote(line).as_bytes()).expect("a printed word is well formed");
    assert!(whole.len() == 1 && whole[0].bytes == line, "printed bytes are one word");
}
