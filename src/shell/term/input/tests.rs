use std::io::Write;

use super::*;
use crate::shell::term::packing::Packer;

fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut input = Input::text(text.to_vec());
    let mut lines = Vec::new();
    loop {
        while input.advance() {
            lines.push(input.line().to_vec());
        }
        if input.is_at_end() {
            return lines;
        }
        input.fill().expect("memory is readable");
    }
}

#[test]
fn a_line_ends_with_lf_or_crlf_or_the_end() {
    assert_eq!(lines(b"a\nb\r\n\nc\rd"), [&b"a"[..], b"b", b"", b"c\rd"]);
    assert!(lines(b"").is_empty());
    assert_eq!(lines(b"\n"), [b""]);
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_line() {
    assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), [&b"a"[..], b"\xef\xbb\xbfb"]);
}

#[test]
fn a_line_longer_than_the_buffer_is_whole() {
    let long = vec![b'x'; Input::READ_LEN * 2 + 7];
    let text = [b"a\n", long.as_slice(), b"\nb\n"].concat();
    assert_eq!(lines(&text), [&b"a"[..], &long, b"b"]);
}

#[test]
fn the_rest_starts_after_the_last_line_read() {
    let mut input = Input::text(b"a\nb\nc".to_vec());
    input.fill().expect("memory is readable");
    assert!(input.advance());
    let rest = input.rest(3, &Interrupt::default()).expect("memory is readable");
    assert_eq!(rest.as_deref(), Some(&b"b\nc"[..]));
}

#[test]
fn an_endless_rest_is_abandoned() {
    let zeros = File::open("/dev/zero").and_then(Input::file).expect("/dev/zero exists");
    assert_eq!(zeros.rest(1000, &Interrupt::default()).expect("/dev/zero is readable"), None);
}

#[test]
fn forgotten_bytes_take_no_memory_and_the_next_line_is_whole() {
    let long = vec![b'x'; Input::READ_LEN * 2];
    let mut input = Input::text([&long, b"end\nnext".as_slice()].concat());
    input.fill().expect("memory is readable");
    assert!(!input.advance());
    input.forget();
    assert_eq!(input.unread_len(), 0);
    let mut lines = Vec::new();
    while !input.is_at_end() {
        input.fill().expect("memory is readable");
        while input.advance() {
            lines.push(input.line().to_vec());
        }
    }
    assert_eq!(lines, [&[&long[Input::READ_LEN..], b"end"].concat()[..], b"next"]);
}

#[test]
fn compressed_input_is_decompressed_as_it_arrives_and_reports_that_it_would_block() {
    let (reader, mut writer) = io::pipe().expect("a pipe can be opened");
    let mut input = Input::file(File::from(OwnedFd::from(reader))).expect("a pipe can be polled").unpacked();
    let mut packer = Packer::new(Some(Packing::Gzip), Vec::new()).expect("a vector accepts every write");
    packer.write_all(b"a\nb\n").expect("a vector accepts every write");
    let packed = packer.finish().expect("a vector accepts every write");
    // One byte is too few to detect gzip.
    writer.write_all(&packed[..1]).expect("the pipe has room");
    input.fill().expect("the pipe has a byte");
    assert!(input.packing().is_none() && !input.advance() && !input.is_at_end());
    writer.write_all(&packed[1..packed.len() - 3]).expect("the pipe has room");
    let mut lines = Vec::new();
    let waits = loop {
        if let Err(error) = input.fill() {
            break error;
        }
        while input.advance() {
            lines.push(input.line().to_vec());
        }
    };
    assert_eq!((waits.kind(), lines), (io::ErrorKind::WouldBlock, vec![b"a".to_vec(), b"b".to_vec()]));
    writer.write_all(&packed[packed.len() - 3..]).expect("the pipe has room");
    drop(writer);
    input.fill().expect("the pipe has the rest");
    assert!(input.is_at_end());
}

#[test]
fn a_stale_wakeup_does_not_end_a_wait() {
    let (reader, mut writer) = io::pipe().expect("a pipe can be opened");
    let input = Input::file(File::from(OwnedFd::from(reader))).expect("a pipe can be polled");
    let interrupt = Interrupt::with_stale_wakeup();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            writer.write_all(b"a\n").expect("the pipe has room");
        });
        input.wait(&interrupt).expect("Ctrl-C was not pressed");
        assert_eq!(input.readiness().expect("a pipe can be polled"), Readiness::Ready);
    });
}

#[test]
fn an_extended_line_keeps_its_inner_line_break() {
    let mut input = Input::text(b"a 'b\r\nc' d\ne".to_vec());
    input.fill().expect("memory is readable");
    assert!(input.advance() && input.extend());
    assert_eq!(input.line(), b"a 'b\r\nc' d");
}
