//! The bytes of one flow after its upgrade -> WebSocket frames (RFC 6455 5.2); payload is passed over unread, and lost bytes are stepped across.

mod decoded;
pub(super) mod faults;
mod header;
mod print;

use super::beat::{begins_beat, text_beat};
use super::inflate::Tap;
use crate::model::Mark;
use header::{Header, close_code, code_allowed, header};

pub(super) use decoded::{Body, Decoded};
pub(super) use header::shapes;
pub(super) use print::fingerprint;

/// Raw bytes after the length field that the fingerprint covers.
const FINGERPRINT: usize = 64;
/// The longest payload of a control frame (RFC 6455 5.5).
pub(super) const MAX_CONTROL: usize = 125;
/// Payloads up to this are looked at whole.
const SHORT: u64 = 60;
/// A longer text is no heartbeat.
const LONGEST_BEAT: u64 = 256;
/// The same of a binary frame.
const LONGEST_BINARY_BEAT: u64 = 3;
/// Frames kept back until their shape is believed.
const MAX_HELD: usize = 64;
/// Bits of evidence for a resumed flow: one frame that ends where its segment ends.
const NEED_RESUMED: u32 = 11;
/// For a frame found inside a segment, a thousand places having been tried.
const NEED_INSIDE: u32 = 18;
/// For a leg whose handshake nobody saw: shared by both its flows.
pub(super) const NEED_MIDSTREAM: u32 = 24;
const TRUSTED: u32 = u32::MAX;

/// Decodes one flow. What every frame needs stands first, in one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct FrameDecoder {
    current: Option<Header>,
    left: u64,
    /// Follows the flow's compressed messages, where each refers to those before it.
    tap: Option<Box<Tap>>,
    trust: u32,
    last_end_evidence: u32,
    faults: u16,
    head_len: u8,
    /// Whether this flow's frames must be masked; `None` where its sender is not known.
    masked: Option<bool>,
    /// permessage-deflate may be in use.
    rsv1: bool,
    /// Not lost: the next byte is of a header, or `left` bytes of a body follow.
    synced: bool,
    /// Synced since the handshake: what breaks the rules is a violation, not our mistake.
    sure: bool,
    message_open: bool,
    raw_broken: bool,
    /// The first of two headers in a row that are none.
    odd_header: bool,
    need: u32,
    /// Segments that fitted no frame.
    pub(super) misses: u32,
    /// Times that sync was lost.
    pub(super) losses: u32,
    head: [u8; 10],
    held: Vec<Decoded>,
    /// The start of a frame that does not lie whole in one segment.
    raw: Vec<u8>,
}

/// What is told of a data frame that nobody looks into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) opcode: u8,
    pub(super) len: u64,
    pub(super) hash: u64,
    /// Bytes of it, its header included.
    pub(super) size: usize,
}

/// What the next bytes of a flow bring, as far as the short way knows it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pass {
    /// Something that it does not know.
    Nothing,
    /// The middle of a frame.
    Middle,
    Frame(Passed),
}

impl FrameDecoder {
    /// Right behind a handshake.
    pub(super) fn after_handshake(masked: bool, rsv1: bool) -> Self {
        Self {
            synced: true,
            sure: true,
            trust: TRUSTED,
            ..Self::searching(Some(masked), rsv1, NEED_RESUMED)
        }
    }

    /// The end of the handshake is not in the capture.
    pub(super) fn behind_gap(masked: bool, rsv1: bool) -> Self {
        Self::searching(Some(masked), rsv1, NEED_RESUMED)
    }

    /// Nothing is known of the flow.
    pub(super) fn midstream() -> Self {
        Self::searching(None, true, NEED_MIDSTREAM)
    }

    /// As [`Self::midstream`], behind so many segments that fitted no frame.
    pub(super) fn missed(misses: u8) -> Self {
        Self {
            misses: misses.into(),
            ..Self::midstream()
        }
    }

    /// How many those were, where there is nothing else to know.
    pub(super) fn untold(&self) -> Option<u8> {
        let nothing = !self.synced
            && self.trust == 0
            && self.masked.is_none()
            && self.need == NEED_MIDSTREAM
            && self.held.is_empty()
            && self.losses == 0;
        u8::try_from(self.misses).ok().filter(|_| nothing)
    }

    fn searching(masked: Option<bool>, rsv1: bool, need: u32) -> Self {
        Self {
            masked,
            rsv1,
            synced: false,
            sure: false,
            trust: 0,
            need,
            head: [0; 10],
            head_len: 0,
            current: None,
            left: 0,
            raw: Vec::new(),
            raw_broken: false,
            message_open: false,
            faults: 0,
            odd_header: false,
            last_end_evidence: 0,
            held: Vec::new(),
            tap: None,
            misses: 0,
            losses: 0,
        }
    }

    /// Compressed messages are followed from here on.
    pub(super) fn follow(&mut self, tap: Option<Box<Tap>>) {
        self.tap = tap;
    }

    pub(super) fn tap(&mut self) -> Option<&mut Tap> {
        self.tap.as_deref_mut()
    }

    /// Evidence gathered so far, for the leg to add up.
    pub(super) const fn trust(&self) -> u32 {
        self.trust
    }

    /// Reads a little of the cache line that the next bytes need.
    pub(super) fn touch(&self) -> u64 {
        self.left.wrapping_add(u64::from(self.trust))
    }

    /// The mask bit of the frames believed so far.
    pub(super) const fn mask_seen(&self) -> Option<bool> {
        self.masked
    }

    /// The leg is a WebSocket: what was held is true.
    pub(super) fn confirm(&mut self, masked: bool, out: &mut Vec<Decoded>) {
        if self.masked == Some(!masked) {
            self.lose();
        }
        self.masked = Some(masked);
        self.need = NEED_RESUMED;
        if self.synced {
            self.trust = TRUSTED;
        }
        out.append(&mut self.held);
    }

    fn lose(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.lost();
        }
        self.synced = false;
        self.sure = false;
        self.losses += 1;
        self.forget();
        self.held.clear();
        self.trust = 0;
        if self.need == NEED_MIDSTREAM {
            self.masked = None;
        }
    }

    const fn forget(&mut self) {
        self.head_len = 0;
        self.current = None;
        self.left = 0;
        self.message_open = false;
    }

    const fn trusted(&self) -> bool {
        self.trust == TRUSTED
    }

    /// Takes the next bytes of the flow, best a whole segment; `cut` bytes of it were not captured.
    pub(super) fn feed(&mut self, bytes: &[u8], cut: u32, mark: Mark, out: &mut Vec<Decoded>) {
        if self.trusted()
            && self.current.is_some()
            && self.tap.is_none()
            && self.left > bytes.len() as u64
            && self.raw.len() == self.raw_wanted()
        {
            self.left -= bytes.len() as u64;
            if cut > 0 {
                self.gap(cut, mark, out);
            }
            return;
        }
        let mut bytes = bytes;
        if self.sure && self.trusted() && self.current.is_none() && self.head_len == 0 {
            self.whole(&mut bytes, mark, out);
            if bytes.is_empty() && cut == 0 {
                return;
            }
        }
        if self.synced
            && !self.trusted()
            && self.current.is_some()
            && self.chain(bytes, cut, self.masked) >= NEED_RESUMED + 5
        {
            self.lose();
        }
        for _ in 0..2 {
            if !self.synced {
                let Some(at) = self.find(bytes, cut) else {
                    self.misses = self.misses.saturating_add(u32::from(!bytes.is_empty()));
                    return;
                };
                self.forget();
                self.synced = true;
                if at > 0 {
                    self.trust = self.need.min(NEED_INSIDE);
                }
                bytes = bytes.get(at..).unwrap_or_default();
            }
            self.run(bytes, mark, out);
            if self.synced {
                break;
            }
        }
        if !self.synced {
            self.misses = self.misses.saturating_add(1);
            return;
        }
        if cut > 0 {
            self.gap(cut, mark, out);
        } else if !self.trusted() && self.current.is_none() && self.head_len == 0 {
            self.believe(self.last_end_evidence, out);
            self.last_end_evidence = 0;
        }
    }

    fn believe(&mut self, bits: u32, out: &mut Vec<Decoded>) {
        self.trust = self.trust.saturating_add(bits);
        if self.trust >= self.need && self.need != NEED_MIDSTREAM {
            self.trust = TRUSTED;
            out.append(&mut self.held);
        }
    }

    /// `count` bytes of the flow are in no packet.
    pub(super) fn gap(&mut self, count: u32, mark: Mark, out: &mut Vec<Decoded>) {
        let count = u64::from(count);
        if count == 0 || !self.synced {
            return;
        }
        if self.current.is_none() {
            self.lose();
            return;
        }
        if self.raw.len() < self.raw_wanted() {
            self.raw_broken = true;
        }
        if let Some(tap) = &mut self.tap {
            tap.missed();
        }
        let beyond = count > self.left;
        self.left -= count.min(self.left);
        if self.left == 0 {
            self.complete(mark, out);
        }
        if beyond {
            self.lose();
        }
    }

    const fn raw_wanted(&self) -> usize {
        match &self.current {
            Some(h) => raw_wanted(h),
            None => 0,
        }
    }

    /// Takes the start of a segment where that is the middle of a long frame, or a whole data frame that nobody looks into; nothing is
    /// changed where it is anything else.
    #[inline]
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Pass {
        if !(self.trusted() && self.tap.is_none()) {
            return Pass::Nothing;
        }
        if self.current.is_some() {
            if self.left <= bytes.len() as u64 || self.raw.len() != self.raw_wanted() {
                return Pass::Nothing;
            }
            self.left -= bytes.len() as u64;
            return Pass::Middle;
        }
        // A text or binary message in one frame, not compressed.
        let &[0x81 | 0x82, second, ..] = bytes else {
            return Pass::Nothing;
        };
        let masked = second & 0x80 != 0;
        let as_ever =
            self.sure && self.head_len == 0 && !self.message_open && self.masked == Some(masked);
        let Some(h) = header(bytes).ok().filter(|h| as_ever && h.minimal()) else {
            return Pass::Nothing;
        };
        let body = bytes.get(usize::from(h.size)..).unwrap_or_default();
        if h.body() > body.len() as u64 {
            return Pass::Nothing;
        }
        let size = usize::from(h.size) + h.body() as usize;
        let hash = if let Some(raw) = body.first_chunk::<FINGERPRINT>()
            && h.len > LONGEST_BEAT
        {
            fingerprint(raw)
        } else {
            let raw = body.get(..raw_wanted(&h)).unwrap_or_default();
            if could_be_beat(&h, raw) {
                return Pass::Nothing;
            }
            fingerprint(raw)
        };
        self.odd_header = false;
        self.faults = 0;
        self.last_end_evidence = h.end_evidence();
        Pass::Frame(Passed {
            opcode: h.opcode,
            len: h.len,
            hash,
            size,
        })
    }

    /// Takes the sound frames that lie whole in the segment: nothing of them is copied, and their payload is not looked at.
    fn whole(&mut self, bytes: &mut &[u8], mark: Mark, out: &mut Vec<Decoded>) {
        if self.tap.is_some() {
            return;
        }
        while let Ok(h) = header(bytes) {
            let body = bytes.get(usize::from(h.size)..).unwrap_or_default();
            let known = matches!(h.opcode, 0..=2 | 8..=10) && h.rsv & 3 == 0;
            if !known || h.body() > body.len() as u64 || !self.judge(&h) {
                return;
            }
            let (body, rest) = body.split_at(h.body() as usize);
            let wanted = raw_wanted(&h).min(body.len());
            let frame = self.decoded(&h, body.get(..wanted).unwrap_or_default(), mark);
            self.last_end_evidence = h.end_evidence();
            out.push(frame);
            *bytes = rest;
        }
    }

    fn run(&mut self, mut bytes: &[u8], mark: Mark, out: &mut Vec<Decoded>) {
        while !bytes.is_empty() || (self.current.is_some() && self.left == 0) {
            if self.current.is_none() {
                let Some(h) = self.take_header(&mut bytes) else {
                    return;
                };
                if !self.judge(&h) {
                    return;
                }
                if let Some(tap) = &mut self.tap {
                    tap.frame(h.opcode, h.rsv, h.masked);
                }
                self.left = h.body();
                self.current = Some(h);
                self.raw.clear();
                self.raw_broken = false;
            }
            let wanted = self.raw_wanted();
            if self.raw.len() < wanted && !self.raw_broken {
                let take = (wanted - self.raw.len()).min(bytes.len());
                let from = bytes.get(..take).unwrap_or_default();
                self.raw.extend_from_slice(from);
                if let Some(tap) = &mut self.tap {
                    tap.bytes(from);
                }
                self.left -= (take as u64).min(self.left);
                bytes = bytes.get(take..).unwrap_or_default();
            }
            let step = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.left -= step as u64;
            if let (Some(tap), Some(passed)) = (&mut self.tap, bytes.get(..step)) {
                tap.bytes(passed);
            }
            bytes = bytes.get(step..).unwrap_or_default();
            if self.left == 0 {
                self.complete(mark, out);
                if !self.synced {
                    return;
                }
            }
        }
    }

    fn take_header(&mut self, bytes: &mut &[u8]) -> Option<Header> {
        if self.head_len == 0
            && let Ok(h) = header(bytes)
        {
            *bytes = bytes.get(usize::from(h.size)..).unwrap_or_default();
            return Some(h);
        }
        loop {
            match header(
                self.head
                    .get(..usize::from(self.head_len))
                    .unwrap_or_default(),
            ) {
                Ok(h) => {
                    self.head_len = 0;
                    return Some(h);
                }
                Err(wanted) => {
                    while usize::from(self.head_len) < wanted {
                        let (&byte, rest) = bytes.split_first()?;
                        if let Some(slot) = self.head.get_mut(usize::from(self.head_len)) {
                            *slot = byte;
                        }
                        self.head_len += 1;
                        *bytes = rest;
                    }
                }
            }
        }
    }

    /// Whether to go on with this header; notes what is wrong with it.
    fn judge(&mut self, h: &Header) -> bool {
        self.faults = 0;
        let evidence = h.evidence(self.masked, self.rsv1);
        if !self.sure {
            if evidence == 0 {
                self.lose();
                return false;
            }
            if !self.trusted() {
                self.trust = self.trust.saturating_add(evidence);
                if self.masked.is_none() {
                    self.masked = Some(h.masked);
                }
            }
            return true;
        }
        let mut fault = |holds: bool, bit: u16| self.faults |= u16::from(holds) << bit;
        let known = matches!(h.opcode, 0..=2 | 8..=10);
        fault(
            h.rsv & 3 != 0 || (h.rsv & 4 != 0 && (h.is_control() || h.opcode == 0)),
            0,
        );
        fault(!known, 1);
        fault(h.masked && self.masked == Some(false), 2);
        fault(!h.masked && self.masked == Some(true), 3);
        fault(h.is_control() && h.len > MAX_CONTROL as u64, 4);
        fault(h.is_control() && !h.fin, 5);
        fault(!h.minimal(), 6);
        fault(h.opcode == 0 && !self.message_open, 7);
        fault(matches!(h.opcode, 1 | 2) && self.message_open, 8);
        fault(
            h.rsv & 4 != 0 && matches!(h.opcode, 1 | 2) && !self.rsv1,
            12,
        );
        if !h.is_control() {
            self.message_open = !h.fin;
        }
        if known && h.rsv & 3 == 0 && h.len >> 63 == 0 {
            self.odd_header = false;
            return true;
        }
        // One such header is a peer breaking the rules, two in a row are no frames.
        if self.odd_header || h.len > 1 << 40 {
            self.lose();
            return false;
        }
        self.odd_header = true;
        true
    }

    fn complete(&mut self, mark: Mark, out: &mut Vec<Decoded>) {
        let Some(h) = self.current.take() else { return };
        let mut frame = self.decoded(&h, &self.raw, mark);
        frame.inflated = self.tap.as_mut().and_then(|tap| tap.complete(h.fin));
        self.last_end_evidence = h.end_evidence();
        if self.trusted() {
            if !self.sure {
                frame.faults &= 0b1110_0000_0000;
            }
            out.push(frame);
            return;
        }
        let sound_close = h.opcode == 8 && frame.whole && frame.faults == 0 && h.len >= 2;
        let bits = if sound_close { 10 } else { 0 };
        if bits == 0 && h.opcode == 8 && h.len > 0 {
            self.lose();
            return;
        }
        frame.faults = 0;
        if self.held.len() < MAX_HELD {
            self.held.push(frame);
        }
        self.believe(bits, out);
    }

    /// A frame, of whose bytes behind the length field `raw` is the start.
    fn decoded(&self, h: &Header, raw: &[u8], mark: Mark) -> Decoded {
        let (key, masked_body) = if h.masked {
            raw.split_at(raw.len().min(4))
        } else {
            (&[][..], raw)
        };
        let short = h.is_control() || h.len <= SHORT;
        // The start of a text tells a heartbeat that carries more.
        let body = if short || h.opcode == 1 && h.len <= LONGEST_BEAT {
            Body::unmasked(masked_body, key)
        } else {
            Body::EMPTY
        };
        let fingerprinted =
            raw.len() >= FINGERPRINT.min(usize::try_from(h.body()).unwrap_or(usize::MAX));
        let whole = short && body.len() as u64 == h.len;
        let mut frame = Decoded {
            mark,
            fin: h.fin,
            rsv: h.rsv,
            opcode: h.opcode,
            masked: h.masked,
            len: h.len,
            hash: fingerprinted
                .then(|| fingerprint(raw.get(..raw.len().min(FINGERPRINT)).unwrap_or_default())),
            body,
            whole,
            faults: self.faults,
            inflated: None,
        };
        if h.opcode == 8 && whole {
            let (code, _) = frame.close();
            frame.faults |= u16::from(h.len == 1) << 9;
            frame.faults |= u16::from(code.is_some_and(|c| !code_allowed(c))) << 10;
            frame.faults |= u16::from(
                frame
                    .body
                    .get(2..)
                    .is_some_and(|r| std::str::from_utf8(r).is_err()),
            ) << 11;
        }
        frame
    }

    /// Whether a segment is one or more whole frames.
    pub(super) fn looks_like_frames(&self, bytes: &[u8], cut: u32) -> bool {
        self.chain(bytes, cut, self.masked) >= NEED_RESUMED
    }

    /// Where in a segment a frame could begin.
    fn find(&self, bytes: &[u8], cut: u32) -> Option<usize> {
        if let Ok(h) = header(bytes)
            && h.evidence(self.masked, self.rsv1) > 0
        {
            return Some(0);
        }
        // A Close at the very end is worth looking for whatever stands before it.
        (1..bytes.len()).find(|&at| {
            self.chain(bytes.get(at..).unwrap_or_default(), cut, self.masked) >= NEED_INSIDE
        })
    }

    /// Evidence of frames that follow each other to exactly the segment's end; 0 where they don't.
    fn chain(&self, bytes: &[u8], cut: u32, masked: Option<bool>) -> u32 {
        let end = bytes.len() as u64 + u64::from(cut);
        let (mut at, mut bits, mut masked) = (0u64, 0u32, masked);
        loop {
            let Some(rest) = usize::try_from(at).ok().and_then(|a| bytes.get(a..)) else {
                return 0;
            };
            let Ok(h) = header(rest) else { return 0 };
            let evidence = h.evidence(masked, self.rsv1);
            if evidence == 0 {
                return 0;
            }
            masked = Some(h.masked);
            bits = bits.saturating_add(evidence);
            if h.opcode == 8 && h.len >= 2 {
                bits = bits.saturating_add(if close_code(rest, &h).is_some_and(code_allowed) {
                    10
                } else {
                    0
                });
            }
            at = at.saturating_add(h.size.into()).saturating_add(h.body());
            if at == end {
                return bits.saturating_add(h.end_evidence());
            }
            if at > end {
                return 0;
            }
        }
    }
}

/// Bytes behind a frame's length field that are kept: a control frame's all, of others what the fingerprint covers.
const fn raw_wanted(h: &Header) -> usize {
    let most = if h.is_control() {
        MAX_CONTROL + 4
    } else {
        FINGERPRINT
    };
    let body = h.body();
    if body < most as u64 {
        body as usize
    } else {
        most
    }
}

/// Whether a data frame could be a heartbeat of the application; `raw` is its start behind the length field.
#[inline]
fn could_be_beat(h: &Header, raw: &[u8]) -> bool {
    if h.opcode == 2 {
        return h.len <= LONGEST_BINARY_BEAT;
    }
    if h.len > LONGEST_BEAT {
        return false;
    }
    let (key, text) = if h.masked {
        raw.split_at(raw.len().min(4))
    } else {
        (&[][..], raw)
    };
    let first = text.first().map(|t| t ^ key.first().unwrap_or(&0));
    if !first.is_none_or(begins_beat) {
        return false;
    }
    let text = Body::unmasked(text, key);
    text_beat(&text, h.len <= SHORT).is_some()
}

#[cfg(test)]
pub(super) fn encode(fin: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![opcode | if fin { 0x80 } else { 0 }];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        n @ 0..=125 => out.push(n as u8 | bit),
        n @ 126..=0xffff => {
            out.push(126 | bit);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(127 | bit);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    out.extend_from_slice(if mask.is_some() { &key } else { &[] });
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
    out
}

#[cfg(test)]
mod tests;
