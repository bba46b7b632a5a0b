//! A row of any format.

use std::borrow::Cow;

use logkv::Expiry;

use crate::shell::lang::words::is_digits;

/// A key, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow<'a> {
    /// The key.
    pub key: Cow<'a, [u8]>,
    /// Its value; `None` deletes it.
    pub value: Option<Cow<'a, [u8]>>,
    /// When it expires; `None`: never.
    pub expiry: Option<Expiry>,
}

impl<'a> ImportRow<'a> {
    /// A row that sets `key` to `value`.
    pub fn put(key: impl Into<Cow<'a, [u8]>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: Some(value.into()), expiry: None }
    }

    /// The same, expiring then, in milliseconds since 1970.
    pub fn until(self, expires_ms: Option<u64>) -> Self {
        Self { expiry: expires_ms.map(Expiry::At), ..self }
    }

    /// A row that deletes `key`.
    pub fn delete(key: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: None, expiry: None }
    }
}

/// A whole number that is not negative, however it is written: `7`, `7.0`, `1e3`.
pub fn whole_number(text: &str) -> Option<u64> {
    const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
    if is_digits(text) {
        return text.parse().ok();
    }
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and in range")]
    (number.fract() == 0.0 && (0.0..TOO_LARGE).contains(&number)).then_some(number as u64)
}
