//! Fixed layouts. A [`layout!`] table lists the fields. Offsets, reader and writer follow from it.

use super::{array, put};

/// A field of a fixed layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name, as in the drawing.
    pub name: &'static str,
    /// Its offset in the structure, in bytes.
    pub at: usize,
    /// Its length in bytes.
    pub len: usize,
}

/// The stored form of a field.
pub(crate) trait Stored {
    /// The value in memory.
    type Value;
    /// The length in the file, in bytes.
    const LEN: usize;

    /// Reads the value at `at`. Zero if `bytes` end before its end.
    fn read(bytes: &[u8], at: usize) -> Self::Value;

    /// Writes `value` at `at`. `bytes` are long enough.
    fn write(value: &Self::Value, bytes: &mut [u8], at: usize);
}

impl<const N: usize> Stored for [u8; N] {
    type Value = Self;
    const LEN: usize = N;

    #[inline]
    fn read(bytes: &[u8], at: usize) -> Self {
        array(bytes, at)
    }

    #[inline]
    fn write(value: &Self, bytes: &mut [u8], at: usize) {
        put(bytes, at, value);
    }
}

macro_rules! stored_number {
    ($($number:ty)+) => {$(
        impl Stored for $number {
            type Value = Self;
            const LEN: usize = size_of::<Self>();

            #[inline]
            fn read(bytes: &[u8], at: usize) -> Self {
                Self::from_le_bytes(array(bytes, at))
            }

            #[inline]
            fn write(value: &Self, bytes: &mut [u8], at: usize) {
                put(bytes, at, &value.to_le_bytes());
            }
        }
    )+};
}

stored_number!(u8 u16 u32 u64);

/// The low 48 bits of a `u64`.
pub(crate) struct U48;

impl Stored for U48 {
    type Value = u64;
    const LEN: usize = 6;

    #[inline]
    fn read(bytes: &[u8], at: usize) -> u64 {
        let [a, b, c, d, e, f] = array(bytes, at);
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    #[inline]
    fn write(value: &u64, bytes: &mut [u8], at: usize) {
        let [a, b, c, d, e, f, _, _] = value.to_le_bytes();
        put(bytes, at, &[a, b, c, d, e, f]);
    }
}

/// Stores a type with one field as that field.
macro_rules! stored_as {
    ($($wrapper:ident($inner:ty))+) => {$(
        impl $crate::engine::format::layout::Stored for $wrapper {
            type Value = Self;
            const LEN: usize = <$inner as $crate::engine::format::layout::Stored>::LEN;

            #[inline]
            fn read(bytes: &[u8], at: usize) -> Self {
                Self(<$inner as $crate::engine::format::layout::Stored>::read(bytes, at))
            }

            #[inline]
            fn write(value: &Self, bytes: &mut [u8], at: usize) {
                <$inner as $crate::engine::format::layout::Stored>::write(&value.0, bytes, at);
            }
        }
    )+};
}

/// Declares a struct whose fields are stored one after another, and its total length.
///
/// `Layout::AT.name` is the offset of the field `name`, and `Layout::FIELDS` lists all fields.
/// `from_bytes` and `to_bytes` read and write the whole struct.
macro_rules! layout {
    (
        $(#[$meta:meta])*
        $vis:vis struct $layout:ident: $len:literal {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $stored:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis struct $layout {
            $(
                $(#[$field_meta])*
                $field_vis $field: <$stored as $crate::engine::format::layout::Stored>::Value,
            )+
        }

        const _: () = {
            use $crate::engine::format::layout::{Field, Stored};

            /// The bytes in the file. Without alignment there are no gaps.
            #[repr(C)]
            struct Bytes {
                $($field: [u8; <$stored as Stored>::LEN],)+
            }

            // The layout is stored on disk. If this fails, bump the format version.
            assert!(size_of::<Bytes>() == $len && align_of::<Bytes>() == 1);

            /// The offset of each field.
            pub(crate) struct Offsets {
                $(pub(crate) $field: usize,)+
            }

            impl $layout {
                pub(super) const AT: Offsets = Offsets { $($field: std::mem::offset_of!(Bytes, $field),)+ };
                /// The fields, in file order.
                pub(super) const FIELDS: &'static [Field] = &[
                    $(Field {
                        name: stringify!($field),
                        at: Self::AT.$field,
                        len: <$stored as Stored>::LEN,
                    },)+
                ];
                /// The length of the struct in the file, in bytes.
                pub(crate) const LEN: usize = $len;

                /// Reads the fields at the start of `bytes` unchecked; zero if `bytes` end before.
                #[inline]
                pub(super) fn from_bytes(bytes: &[u8]) -> Self {
                    let bytes: [u8; $len] = $crate::engine::format::padded(bytes);
                    Self { $($field: <$stored>::read(&bytes, Self::AT.$field),)+ }
                }

                #[inline]
                pub(super) fn to_bytes(self) -> [u8; $len] {
                    let mut bytes = [0; $len];
                    $(<$stored>::write(&self.$field, &mut bytes, Self::AT.$field);)+
                    bytes
                }
            }
        };
    };
}

pub(super) use {layout, stored_as};
