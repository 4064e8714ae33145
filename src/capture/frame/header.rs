//! The first bytes of a WebSocket frame -> its header (RFC 6455 5.2), and how much speaks for its being one.

use super::MAX_CONTROL;

/// Codes that may stand on the wire (RFC 6455 7.4, IANA WebSocket Close Code Number Registry).
pub(super) const fn code_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) len: u64,
    pub(super) fin: bool,
    pub(super) rsv: u8,
    pub(super) opcode: u8,
    pub(super) masked: bool,
    /// Bytes of it, the key left out.
    pub(super) size: u8,
}

/// The header at the start of `b`, or how many bytes it takes to tell.
pub(super) fn header(b: &[u8]) -> Result<Header, usize> {
    let (Some(&first), Some(&second)) = (b.first(), b.get(1)) else {
        return Err(2);
    };
    let (len, size) = match second & 0x7f {
        126 => match b.get(2..4) {
            Some(l) => (u64::from(u16::from_be_bytes([l[0], l[1]])), 4),
            None => return Err(4),
        },
        127 => match b.get(2..10) {
            Some(l) => (
                u64::from_be_bytes([l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7]]),
                10,
            ),
            None => return Err(10),
        },
        short => (u64::from(short), 2),
    };
    Ok(Header {
        fin: first & 0x80 != 0,
        rsv: first >> 4 & 7,
        opcode: first & 15,
        masked: second & 0x80 != 0,
        len,
        size,
    })
}

impl Header {
    pub(super) const fn is_control(&self) -> bool {
        self.opcode & 8 != 0
    }

    pub(super) const fn minimal(&self) -> bool {
        match self.size {
            4 => self.len > 125,
            10 => self.len > 0xffff && self.len >> 63 == 0,
            _ => true,
        }
    }

    /// Bytes after the length field.
    pub(super) const fn body(&self) -> u64 {
        self.len.saturating_add(if self.masked { 4 } else { 0 })
    }

    /// Bits of evidence that this is a header at all; 0 = it is none.
    pub(super) fn evidence(&self, masked: Option<bool>, rsv1: bool) -> u32 {
        let known = matches!(self.opcode, 0..=2 | 8..=10);
        let bits_right =
            self.rsv & 3 == 0 && (self.rsv == 0 || (rsv1 && matches!(self.opcode, 1 | 2)));
        let control_right = !self.is_control() || (self.fin && self.len <= MAX_CONTROL as u64);
        if !known
            || !bits_right
            || !control_right
            || !self.minimal()
            || masked.is_some_and(|m| m != self.masked)
            || self.len > 1 << 40
        {
            return 0;
        }
        if self.fin && self.rsv == 0 && self.opcode != 0 {
            5
        } else {
            4
        }
    }

    pub(super) const fn end_evidence(&self) -> u32 {
        if self.size == 2 { 7 } else { 14 }
    }
}

/// A frame that lies in one segment.
#[derive(Debug)]
pub(in crate::capture) struct Shape {
    pub(in crate::capture) range: std::ops::Range<usize>,
    pub(in crate::capture) fin: bool,
    pub(in crate::capture) opcode: u8,
    pub(in crate::capture) masked: bool,
    pub(in crate::capture) len: u64,
    /// As far as the segment holds it, unmasked.
    pub(in crate::capture) payload: Vec<u8>,
}

/// The frames of a segment that begins with one; none where they do not fit it.
pub(in crate::capture) fn shapes(bytes: &[u8], wire_len: u32) -> Vec<Shape> {
    let mut found = Vec::new();
    let mut at = 0usize;
    while let Some(Ok(h)) = bytes.get(at..).filter(|b| !b.is_empty()).map(header) {
        let next = (at + usize::from(h.size)) as u64;
        if h.evidence(None, true) == 0 || (found.is_empty() && h.body() > 1 << 32) {
            break;
        }
        let end = next.saturating_add(h.body()).min(bytes.len() as u64) as usize;
        let body = bytes.get(next as usize..end).unwrap_or_default();
        let (key, body) = if h.masked {
            body.split_at(body.len().min(4))
        } else {
            (&[][..], body)
        };
        let payload = if key.is_empty() {
            body.to_vec()
        } else {
            body.iter()
                .zip(key.iter().cycle())
                .map(|(b, k)| b ^ k)
                .collect()
        };
        found.push(Shape {
            range: at..end,
            fin: h.fin,
            opcode: h.opcode,
            masked: h.masked,
            len: h.len,
            payload,
        });
        let whole = next.saturating_add(h.body());
        if whole >= u64::from(wire_len).min(bytes.len() as u64) {
            break;
        }
        at = end;
    }
    found
}

pub(super) fn close_code(frame: &[u8], h: &Header) -> Option<u16> {
    let body = frame.get(usize::from(h.size)..)?;
    match (h.masked, body) {
        (false, [a, b, ..]) => Some(u16::from_be_bytes([*a, *b])),
        (true, [k0, k1, _, _, a, b, ..]) => Some(u16::from_be_bytes([a ^ k0, b ^ k1])),
        _ => None,
    }
}
