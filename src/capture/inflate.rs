//! permessage-deflate (RFC 7692): what a handshake agreed on, and the text of short compressed messages, within bounds.

use super::beat::text_beat;
use crate::model::Compression;
use flate2::{Decompress, FlushDecompress, Status};

/// Contexts alive at once over all legs: each takes some 48 KiB.
const MAX_CONTEXTS: usize = 512;
/// Texts longer than this are no heartbeat: only that they are there is of interest.
const MAX_TEXT: usize = 256;
/// Inflated bytes of a flow without a heartbeat among them, after which it is no longer followed.
const MAX_FRUITLESS: u64 = 16 << 20;
/// Compressed bytes that wait for a context to be granted: frames right behind the handshake.
const MAX_WAITING: usize = 4096;
/// What every message ends with, and its sender leaves out (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The parameters of permessage-deflate in an answer's `Sec-WebSocket-Extensions`.
pub(super) fn agreed(extensions: &str) -> Option<Compression> {
    let mut parts = extensions
        .split(',')
        .map(|e| e.split(';').map(str::trim))
        .find_map(|mut e| (e.next()? == "permessage-deflate").then_some(e))?;
    let mut all = Compression {
        agreed: true,
        ..Compression::default()
    };
    for parameter in &mut parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let bits = value.trim().trim_matches('"').parse().ok();
        let bits = bits.filter(|b| (8..=15).contains(b));
        match name.trim() {
            "client_no_context_takeover" => all.to_server.no_context_takeover = true,
            "server_no_context_takeover" => all.to_client.no_context_takeover = true,
            "client_max_window_bits" => all.to_server.window_bits = bits,
            "server_max_window_bits" => all.to_client.window_bits = bits,
            _ => {}
        }
    }
    Some(all)
}

/// What all legs share: how many contexts may live, and one for messages that need none.
#[derive(Debug, Default)]
pub(super) struct Inflaters {
    taken: usize,
    alone: Option<Box<Decompress>>,
}

impl Inflaters {
    /// True where so many contexts are still to be had: they are taken.
    pub(super) fn take(&mut self, count: usize) -> bool {
        let room = self.taken + count <= MAX_CONTEXTS;
        self.taken += if room { count } else { 0 };
        room
    }

    pub(super) fn give_back(&mut self, count: usize) {
        self.taken = self.taken.saturating_sub(count);
    }

    /// The text of a whole short message that refers to none before it; `None` where it does, or is longer.
    pub(super) fn alone(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let inflater = self
            .alone
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        inflater.reset(false);
        let mut text = Text::default();
        // A last block may end it (RFC 7692 7.2.3.4).
        let sound = match run(inflater, message, &mut text) {
            Some(Ran::On) => run(inflater, &TAIL, &mut text).is_some(),
            Some(Ran::Out) => true,
            None => false,
        };
        (sound && text.len <= MAX_TEXT as u64).then_some(text.start)
    }
}

/// The first bytes of what came out, and how many it were.
#[derive(Debug, Default)]
struct Text {
    start: Vec<u8>,
    len: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Ran {
    On,
    /// Past its last block.
    Out,
}

/// Puts bytes through; `None` where they are no deflate stream.
fn run(inflater: &mut Decompress, mut input: &[u8], text: &mut Text) -> Option<Ran> {
    let mut out = [0; 4096];
    loop {
        let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
        let status = inflater
            .decompress(input, &mut out, FlushDecompress::Sync)
            .ok()?;
        let taken = usize::try_from(inflater.total_in() - before_in).ok()?;
        let made = usize::try_from(inflater.total_out() - before_out).ok()?;
        let fresh = out.get(..made)?;
        text.len += made as u64;
        let room = (MAX_TEXT + 1).saturating_sub(text.start.len());
        text.start.extend(fresh.iter().take(room));
        input = input.get(taken..)?;
        if status == Status::StreamEnd {
            return Some(Ran::Out);
        }
        if made < out.len() && (input.is_empty() || (taken == 0 && made == 0)) {
            return input.is_empty().then_some(Ran::On);
        }
    }
}

/// Follows the compressed messages of one flow whose sender keeps its context from one to the next.
#[derive(Debug, Default)]
pub(super) struct Tap {
    state: State,
    /// The frame at hand is part of a compressed message.
    reading: bool,
    /// A compressed message is open: its continuation frames carry no RSV1.
    open: bool,
    masked: bool,
    /// Bytes of the frame so far, its key included.
    at: usize,
    key: [u8; 4],
    text: Text,
    fruitless: u64,
}

#[derive(Debug, Default)]
enum State {
    /// Until a context is granted; what came so far.
    #[default]
    Unborn,
    Waiting(Vec<u8>),
    Granted,
    Alive(Box<Decompress>),
    /// Bytes are missing, or nothing of interest came: the context is gone for good.
    Dead,
}

impl Tap {
    pub(super) fn grant(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Unborn => self.state = State::Granted,
            State::Waiting(bytes) => {
                self.state = State::Granted;
                self.put(&bytes);
                // Texts of several messages ran into one: none of them is known.
                self.text = Text::default();
                if self.open {
                    self.text.len = MAX_TEXT as u64 + 1;
                }
            }
            other => self.state = other,
        }
    }

    /// A frame begins.
    pub(super) fn frame(&mut self, opcode: u8, rsv: u8, masked: bool) {
        match opcode {
            1 | 2 => self.open = rsv & 4 != 0,
            0 => {}
            _ => {
                self.reading = false;
                return;
            }
        }
        self.reading = self.open;
        self.masked = masked;
        self.at = 0;
    }

    /// Bytes of its body, mask key first where it has one.
    pub(super) fn bytes(&mut self, mut bytes: &[u8]) {
        if !self.reading || matches!(self.state, State::Dead) {
            return;
        }
        if !self.masked {
            self.put(bytes);
            return;
        }
        while let (Some(slot), Some((&byte, rest))) =
            (self.key.get_mut(self.at), bytes.split_first())
        {
            *slot = byte;
            self.at += 1;
            bytes = rest;
        }
        let mut clear = [0; 1024];
        for chunk in bytes.chunks(clear.len()) {
            let turned = self.at & 3;
            let key = self.key.iter().cycle().skip(turned);
            for ((to, from), k) in clear.iter_mut().zip(chunk).zip(key) {
                *to = from ^ k;
            }
            self.at += chunk.len();
            self.put(clear.get(..chunk.len()).unwrap_or_default());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Unborn => self.state = State::Waiting(bytes.to_vec()),
            State::Waiting(held) if held.len() + bytes.len() <= MAX_WAITING => {
                held.extend_from_slice(bytes);
            }
            State::Waiting(_) => self.state = State::Dead,
            State::Granted => {
                self.state = State::Alive(Box::new(Decompress::new(false)));
                self.put(bytes);
            }
            State::Alive(inflater) => {
                let before = self.text.len;
                let sound = run(inflater, bytes, &mut self.text) == Some(Ran::On);
                self.fruitless += self.text.len - before;
                if !sound || self.fruitless > MAX_FRUITLESS {
                    self.state = State::Dead;
                }
            }
            State::Dead => {}
        }
    }

    /// The frame is over: the text, where it ends a short message.
    pub(super) fn complete(&mut self, fin: bool) -> Option<Vec<u8>> {
        if !self.reading || !fin {
            return None;
        }
        self.reading = false;
        self.open = false;
        self.put(&TAIL);
        let text = std::mem::take(&mut self.text);
        let readable = matches!(self.state, State::Alive(_)) && text.len <= MAX_TEXT as u64;
        if readable && text_beat(&text.start, true).is_some() {
            self.fruitless = 0;
        }
        readable.then_some(text.start)
    }

    /// Bytes of the frame at hand are in no packet.
    pub(super) fn missed(&mut self) {
        if self.reading {
            self.lost();
        }
    }

    /// It is no longer known what goes by.
    pub(super) fn lost(&mut self) {
        self.state = State::Dead;
        self.text = Text::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Decoded, FrameDecoder, encode};
    use super::*;
    use crate::model::{CompressedFlow, Mark, Moment, RecordRef, SourceId};
    use flate2::{Compress, Compression as Level, FlushCompress};
    use proptest::prelude::*;

    #[test]
    fn parameters_are_told_apart_by_direction() {
        let flow = |no_context_takeover, window_bits| CompressedFlow {
            no_context_takeover,
            window_bits,
            ..CompressedFlow::default()
        };
        let check = |text: &str, expected: Option<(CompressedFlow, CompressedFlow)>| {
            let got = agreed(text).map(|c| (c.to_server, c.to_client));
            assert_eq!(got, expected, "{text}");
        };
        check(
            "permessage-deflate",
            Some((flow(false, None), flow(false, None))),
        );
        check(
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
            Some((flow(false, Some(12)), flow(true, None))),
        );
        check(
            "x-other;a=1, permessage-deflate;client_no_context_takeover ; server_max_window_bits=\"9\"",
            Some((flow(true, None), flow(false, Some(9)))),
        );
        check(
            "permessage-deflate; client_max_window_bits=99",
            Some((flow(false, None), flow(false, None))),
        );
        check("x-webkit-deflate-frame", None);
        check("", None);
    }

    /// A sender that keeps its context, or does not.
    struct Sender {
        deflate: Compress,
        takeover: bool,
    }

    impl Sender {
        fn new(takeover: bool) -> Self {
            Self {
                deflate: Compress::new(Level::best(), false),
                takeover,
            }
        }

        /// One message in frames of at most `split` bytes.
        fn frames(&mut self, text: &[u8], mask: Option<[u8; 4]>, split: usize) -> Vec<u8> {
            if !self.takeover {
                self.deflate.reset();
            }
            let mut packed = Vec::with_capacity(text.len() + 1000);
            self.deflate
                .compress_vec(text, &mut packed, FlushCompress::Sync)
                .unwrap();
            assert!(packed.ends_with(&TAIL));
            packed.truncate(packed.len() - 4);
            let mut out = Vec::new();
            let count = packed.chunks(split).count().max(1);
            for n in 0..count {
                let piece = packed.chunks(split).nth(n).unwrap_or_default();
                let mut frame = encode(n + 1 == count, u8::from(n == 0), mask, piece);
                if n == 0 {
                    frame[0] |= 0x40;
                }
                out.extend(frame);
            }
            out
        }
    }

    fn mark() -> Mark {
        let record = RecordRef {
            source: SourceId(0),
            ordinal: 1,
            start: 0,
            len: 0,
        };
        Mark {
            at: Moment(0),
            record,
        }
    }

    fn decoder(masked: bool) -> FrameDecoder {
        let mut decoder = FrameDecoder::after_handshake(masked, true);
        decoder.follow(Some(Box::default()));
        decoder.tap().unwrap().grant();
        decoder
    }

    fn fed(decoder: &mut FrameDecoder, bytes: &[u8], step: usize) -> Vec<Decoded> {
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.feed(piece, 0, mark(), &mut out);
        }
        out
    }

    const PING: &[u8] = br#"{"type":"ping"}"#;

    #[test]
    fn a_context_is_followed_until_a_byte_is_missing() {
        let mut sender = Sender::new(true);
        let mut decoder = decoder(true);
        let mask = Some([9, 8, 7, 6]);
        let first = fed(&mut decoder, &sender.frames(PING, mask, 999), 5);
        assert_eq!(first[0].inflated.as_deref(), Some(PING));
        let second = sender.frames(PING, mask, 999);
        assert!(
            second.len() < first[0].len as usize + 6,
            "it refers to the first"
        );
        assert_eq!(
            fed(&mut decoder, &second, 999)[0].inflated.as_deref(),
            Some(PING)
        );
        // Of a long message a part is lost: what refers to it can't be told.
        let long = sender.frames(&[b'x'; 9000].map(|b: u8| b), mask, 999);
        let mut out = Vec::new();
        decoder.feed(&long[..10], 0, mark(), &mut out);
        decoder.gap(long.len() as u32 - 10, mark(), &mut out);
        assert_eq!(out.len(), 1);
        let after = fed(&mut decoder, &sender.frames(PING, mask, 999), 999);
        assert_eq!((after.len(), after[0].inflated.as_deref()), (1, None));
        // Unless it stands for itself.
        let mut all = Inflaters::default();
        assert_eq!(all.alone(&after[0].body), None);
        let alone = fed(
            &mut decoder,
            &Sender::new(false).frames(PING, mask, 999),
            999,
        );
        assert_eq!(all.alone(&alone[0].body).as_deref(), Some(PING));
    }

    #[test]
    fn frames_wait_for_their_context() {
        let mut sender = Sender::new(true);
        let mut decoder = FrameDecoder::after_handshake(false, true);
        decoder.follow(Some(Box::default()));
        let early = fed(&mut decoder, &sender.frames(PING, None, 999), 999);
        assert_eq!(early[0].inflated, None);
        decoder.tap().unwrap().grant();
        let later = fed(&mut decoder, &sender.frames(PING, None, 999), 999);
        assert_eq!(later[0].inflated.as_deref(), Some(PING));
    }

    #[test]
    fn contexts_are_limited() {
        let mut all = Inflaters::default();
        assert!((0..MAX_CONTEXTS / 2).all(|_| all.take(2)));
        assert!(!all.take(1));
        all.give_back(2);
        assert!(all.take(2) && !all.take(2));
    }

    #[test]
    fn what_never_is_a_heartbeat_is_no_longer_followed() {
        let mut sender = Sender::new(true);
        let mut decoder = decoder(false);
        let bomb = sender.frames(&vec![b'x'; MAX_FRUITLESS as usize + 1], None, usize::MAX);
        assert!(bomb.len() < 20_000);
        fed(&mut decoder, &bomb, 1400);
        let after = fed(&mut decoder, &sender.frames(PING, None, 999), 999);
        assert_eq!(after[0].inflated, None);
    }

    proptest! {
        #[test]
        fn every_short_text_is_read(
            texts in proptest::collection::vec(proptest::collection::vec(prop_oneof![4 => Just(b'a'), 1 => any::<u8>()], 1..600), 1..12),
            takeover: bool, masked: bool, split in 1usize..300, step in 1usize..500,
        ) {
            let mut sender = Sender::new(takeover);
            let mask = masked.then_some([1, 2, 3, 4]);
            let mut decoder = decoder(masked);
            if !takeover {
                decoder.follow(None);
            }
            let mut alone = Inflaters::default();
            for text in &texts {
                let frames = fed(&mut decoder, &sender.frames(text, mask, split), step);
                let last = frames.last().unwrap();
                let got = match takeover {
                    true => last.inflated.clone(),
                    false if frames.len() == 1 && last.whole => alone.alone(&last.body),
                    false => continue,
                };
                prop_assert_eq!(got.as_ref(), (text.len() <= MAX_TEXT).then_some(text));
            }
        }

        #[test]
        fn any_bytes_are_endured(bytes in proptest::collection::vec(any::<u8>(), 0..2000), step in 1usize..500, masked: bool) {
            let mut decoder = decoder(masked);
            let mut alone = Inflaters::default();
            let hostile = encode(true, 1, masked.then_some([1, 2, 3, 4]), &bytes);
            let mut hostile = [&hostile[..], &bytes].concat();
            hostile[0] |= 0x40;
            for frame in fed(&mut decoder, &hostile, step) {
                prop_assert!(frame.inflated.is_none_or(|t| t.len() <= MAX_TEXT));
                let _ = alone.alone(&frame.body);
            }
            prop_assert!(alone.alone(&bytes).is_none_or(|t| t.len() <= MAX_TEXT));
        }
    }
}
