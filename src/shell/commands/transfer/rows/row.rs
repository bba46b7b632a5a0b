//! A row of any format.

use std::borrow::Cow;

use logkv::Expiry;

use crate::shell::lang::words::is_digits;

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow<'a> {
    pub key: Cow<'a, [u8]>,
    /// The value. `None` deletes the key.
    pub value: Option<Cow<'a, [u8]>>,
    /// The expiry. `None` if the key never expires.
    pub expiry: Option<Expiry>,
}

impl<'a> ImportRow<'a> {
    /// Creates a row that sets `key` to `value`.
    pub fn put(key: impl Into<Cow<'a, [u8]>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: Some(value.into()), expiry: None }
    }

    /// Sets the expiry, in milliseconds since 1970.
    pub fn until(self, expires_ms: Option<u64>) -> Self {
        Self { expiry: expires_ms.map(Expiry::At), ..self }
    }

    /// Creates a row that deletes `key`.
    pub fn delete(key: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { key: key.into(), value: None, expiry: None }
    }
}

/// Parses a whole number that is not negative: `7`, `7.0` or `1e3`.
pub fn whole_number(text: &str) -> Option<u64> {
    const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
    if is_digits(text) {
        return text.parse().ok();
    }
    let number: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is whole and in range"
    )]
    (number.fract() == 0.0 && (0.0..TOO_LARGE).contains(&number)).then_some(number as u64)
}
