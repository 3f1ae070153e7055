//! Bytes that may hold passwords: wiped when dropped, and read from base64 without leaving a copy behind.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use zeroize::Zeroize as _;

/// What is wiped when it is dropped, with what it has room for.
///
/// Decision: not `Zeroizing`, which takes a `Vec` byte by byte, ten times as long: a record has some hundred
/// kilobytes, in each of its layers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Wiped<T: Wipe>(T);

/// What can be overwritten as a whole.
pub trait Wipe: Default {
    /// Overwrites all of it, and what it has room for.
    fn wipe(&mut self);
}

impl Wipe for Vec<u8> {
    fn wipe(&mut self) {
        // It has room for that: nothing is moved, and nothing left where it was.
        self.resize(self.capacity(), 0);
        self.as_mut_slice().zeroize();
    }
}

impl Wipe for String {
    fn wipe(&mut self) {
        std::mem::take(self).into_bytes().wipe();
    }
}

impl<T: Wipe> Wiped<T> {
    /// Takes what is to be wiped.
    pub fn new(value: T) -> Self {
        Self(value)
    }
}

impl Wiped<Vec<u8>> {
    /// What canonical base64 of the standard alphabet says; nothing if it is none.
    pub fn of_base64(text: &[u8]) -> Option<Self> {
        let room = text.len().div_ceil(4).saturating_mul(3);
        let mut bytes = Self(Vec::with_capacity(room));
        BASE64.decode_vec(text, &mut bytes.0).ok()?;
        Some(bytes)
    }
}

/// With the widest instructions that the processor has.
static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));

impl<T: Wipe> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Wipe> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Wipe> Drop for Wiped<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl<T: Wipe> fmt::Debug for Wiped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wiped")
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    #[test]
    fn all_of_it_is_overwritten_with_what_it_has_room_for() {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&[7; 40]);
        bytes.truncate(20);
        let (room, place) = (bytes.capacity(), bytes.as_ptr());
        bytes.wipe();
        assert_eq!((bytes.as_ptr(), bytes.len()), (place, room));
        assert!(bytes.iter().all(|byte| *byte == 0));
        let mut text = "secret".to_owned();
        text.wipe();
        assert_eq!(text, "");
    }

    #[test]
    fn base64_is_read_as_it_is_written_and_nothing_else_is() {
        for length in [0, 1, 2, 3, 47, 48, 49, 95, 96, 97, 1000] {
            let bytes: Vec<_> = (0..length)
                .map(|number: u32| number.to_le_bytes()[0])
                .collect();
            let text = BASE64_STANDARD.encode(&bytes);
            let read = Wiped::of_base64(text.as_bytes()).unwrap();
            assert_eq!(*read, bytes);
            // Long texts are read in blocks: wherever one is wrong, all of it is.
            for index in 0..text.len() {
                for wrong in [b'*', b'=', b'-', b'\n', 0, 0xff] {
                    let mut text = text.clone().into_bytes();
                    if text[index] == wrong {
                        continue;
                    }
                    text[index] = wrong;
                    let told = String::from_utf8_lossy(&text);
                    let scalar = BASE64_STANDARD.decode(&text).ok();
                    let read = Wiped::of_base64(&text);
                    assert_eq!(read.as_deref(), scalar.as_ref(), "{told}");
                }
            }
        }
        for text in ["QQ", "QQ=", "QR==", "QQ==QQ==", "=", "Q Q="] {
            assert!(Wiped::of_base64(text.as_bytes()).is_none(), "{text}");
        }
    }
}
