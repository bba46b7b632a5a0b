//! The protocol of Redis: each row is a `SET` command, with `PXAT` if the key expires.

use std::io::{self, Write};

pub fn write(out: &mut impl Write, key: &[u8], value: &[u8], expires_ms: Option<u64>) -> io::Result<()> {
    // Redis takes 63 bits, and refuses a later time. A store that an earlier version wrote may
    // have one.
    let expiry = expires_ms.map(|expires_ms| expires_ms.min(i64::MAX as u64).to_string());
    let expiry = expiry.iter().flat_map(|expires_ms| [&b"PXAT"[..], expires_ms.as_bytes()]);
    let words: Vec<_> = [b"SET", key, value].into_iter().chain(expiry).collect();
    write!(out, "*{}\r\n", words.len())?;
    for bytes in words {
        write!(out, "${}\r\n", bytes.len())?;
        out.write_all(bytes)?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_say_where_bytes_end_whatever_they_are() {
        let mut out = Vec::new();
        write(&mut out, b"k", b"\r\n\0", None).expect("a Vec accepts every write");
        write(&mut out, b"k", b"", Some(7)).expect("a Vec accepts every write");
        let expiring = b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$4\r\nPXAT\r\n$1\r\n7\r\n";
        let out = out.strip_suffix(&expiring[..]).expect("the second command has the form that Redis takes");
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\0\r\n");
    }

    #[test]
    fn no_expiry_is_later_than_redis_takes() {
        let mut out = Vec::new();
        write(&mut out, b"k", b"", Some(u64::MAX)).expect("a Vec accepts every write");
        assert!(out.ends_with(b"PXAT\r\n$19\r\n9223372036854775807\r\n"));
    }
}
