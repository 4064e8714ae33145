//! One frame as it went by -> what is kept of it, in place.

use super::MAX_CONTROL;
use crate::model::Mark;

/// One frame that went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::capture) struct Decoded {
    /// The packet that completed it.
    pub(in crate::capture) mark: Mark,
    pub(in crate::capture) fin: bool,
    /// RSV1 to RSV3 as bits 2 to 0.
    pub(in crate::capture) rsv: u8,
    pub(in crate::capture) opcode: u8,
    pub(in crate::capture) masked: bool,
    pub(in crate::capture) len: u64,
    /// The start of the payload, unmasked: all of a control frame's, of others at most 60 bytes.
    pub(in crate::capture) body: Body,
    /// `body` is the whole payload.
    pub(in crate::capture) whole: bool,
    /// `None` where the first bytes are lost.
    pub(in crate::capture) hash: Option<u64>,
    pub(in crate::capture) faults: u16,
    /// The text of a short compressed message, where it could be read.
    pub(in crate::capture) inflated: Option<Vec<u8>>,
}

/// The longest start of a frame that is kept: a control frame's payload with what stands for its key.
const MAX_RAW: usize = MAX_CONTROL + 4;

/// The start of a payload, in place: most frames are let go as soon as they were seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::capture) struct Body {
    len: u8,
    bytes: [u8; MAX_RAW],
}

impl Body {
    pub(super) const EMPTY: Self = Self {
        len: 0,
        bytes: [0; MAX_RAW],
    };

    /// The first bytes of `masked` under `key`, which is empty where there is none.
    pub(in crate::capture) fn unmasked(masked: &[u8], key: &[u8]) -> Self {
        let mut body = Self::EMPTY;
        let masked = masked.get(..MAX_RAW).unwrap_or(masked);
        if let Some(place) = body.bytes.get_mut(..masked.len()) {
            place.copy_from_slice(masked);
            if let Some(&key) = key.first_chunk::<4>() {
                for word in place.chunks_mut(4) {
                    word.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
                }
            }
        }
        body.len = masked.len() as u8;
        body
    }
}

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

impl Decoded {
    /// Code and reason of a Close frame (RFC 6455 5.5.1).
    pub(in crate::capture) fn close(&self) -> (Option<u16>, String) {
        match *self.body {
            [a, b, ref reason @ ..] => (
                Some(u16::from_be_bytes([a, b])),
                String::from_utf8_lossy(reason).into_owned(),
            ),
            _ => (None, String::new()),
        }
    }
}
