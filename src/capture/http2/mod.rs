//! The bytes of an HTTP/2 connection (RFC 9113) -> the WebSockets in its streams (RFC 8441): requests, answers, frames and how they end.

mod hpack;
mod huffman;
#[cfg(test)]
mod tests;

use super::app::{App, Bytes, Kind, Said};
use super::events::Side;
use super::frame::Decoded;
use super::http1;
use crate::model::{Mark, Request, Response};
use hpack::{Block, Decoder};
use std::collections::{BTreeMap, BTreeSet};

/// What a client begins with (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// Bytes of a header block, or of another frame that is read, kept until it is whole.
const MAX_BLOCK: usize = 64 * 1024;
/// WebSocket streams, or streams that may be some, followed on one connection.
const MAX_STREAMS: usize = 1024;
/// Streams of a connection without a beginning that are known to be none.
const MAX_PLAIN: usize = 4096;
/// Bits of evidence that bytes are frames where nothing is known of the connection.
const NEED: u32 = 40;
/// The server's word that it takes extended CONNECT (RFC 8441 3).
const ENABLE_CONNECT: u16 = 8;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// What happened on one stream.
#[derive(Debug)]
pub(super) enum On {
    Request(Box<Request>),
    Response(Box<Response>),
    Frame(Side, Box<Decoded>),
    /// Bytes of a WebSocket went by.
    Data(Side, u64),
    /// END_STREAM: what FIN is to TCP (RFC 8441 5).
    End(Side),
    /// RST_STREAM and its error code: what RST is to TCP.
    Reset(Side, u32),
}

/// Whether a flow's first bytes are a client's preface.
pub(super) fn begins_client(bytes: &[u8]) -> bool {
    let n = bytes.len().min(PREFACE.len());
    n >= 3 && PREFACE.get(..n) == bytes.get(..n)
}

/// Whether a flow's first bytes are a server's preface: SETTINGS, alone in having to come first (RFC 9113 3.4).
pub(super) fn begins_server(bytes: &[u8]) -> bool {
    header(bytes)
        .is_some_and(|h| h.kind == SETTINGS && h.flags == 0 && h.evidence() > 0 && h.len <= 600)
}

/// Whether bytes in the middle of a flow are frames of HTTP/2, to exactly the segment's end.
pub(super) fn looks_like(bytes: &[u8], cut: u32) -> bool {
    chain(bytes, cut) >= NEED
}

#[derive(Debug, Clone, Copy)]
struct FrameHead {
    len: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

fn header(bytes: &[u8]) -> Option<FrameHead> {
    let &[l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEAD>()?;
    Some(FrameHead {
        len: u32::from_be_bytes([0, l0, l1, l2]),
        kind,
        flags,
        stream: u32::from_be_bytes([s0, s1, s2, s3]),
    })
}

impl FrameHead {
    /// Bits of evidence that this is a header; 0 = it breaks the rules of its type (RFC 9113 6).
    const fn evidence(self) -> u32 {
        let Self {
            len, kind, stream, ..
        } = self;
        // The reserved bit, and a length that nobody lets through.
        if stream >> 31 != 0 || len > 1 << 20 {
            return 0;
        }
        let of_connection = matches!(kind, SETTINGS | PING | GOAWAY);
        let fits = match kind {
            DATA | HEADERS | PUSH_PROMISE | CONTINUATION => true,
            PRIORITY => len == 5,
            RST_STREAM | WINDOW_UPDATE => len == 4,
            SETTINGS => len.is_multiple_of(6),
            PING => len == 8,
            GOAWAY => len >= 8,
            // Types of extensions are passed over (RFC 9113 4.1).
            _ => return if len <= 16_384 { 1 } else { 0 },
        };
        let placed = kind == WINDOW_UPDATE || (stream == 0) == of_connection;
        if !fits || !placed {
            return 0;
        }
        match kind {
            DATA | HEADERS | PUSH_PROMISE | CONTINUATION if stream > 1 << 24 || len > 16_384 => 4,
            DATA | HEADERS | PUSH_PROMISE | CONTINUATION => 16,
            _ => 40,
        }
    }
}

/// Evidence of frames that follow each other to exactly the segment's end; 0 where they don't.
fn chain(bytes: &[u8], cut: u32) -> u32 {
    let end = bytes.len() + cut as usize;
    let (mut at, mut bits) = (0, 0u32);
    while let Some(h) = bytes.get(at..).and_then(header) {
        let evidence = h.evidence();
        if evidence == 0 {
            return 0;
        }
        bits = bits.saturating_add(evidence);
        at += HEAD + h.len as usize;
        if at == end {
            return bits.saturating_add(24);
        }
    }
    0
}

/// A frame that is going by.
#[derive(Debug)]
struct Frame {
    head: FrameHead,
    left: u32,
    /// Bytes at its end that fill it up; `None` until the first byte told.
    padding: Option<u32>,
    /// What is kept of it: all that is no DATA.
    body: Vec<u8>,
    broken: bool,
}

/// A header block in its pieces.
#[derive(Debug)]
struct Pending {
    stream: u32,
    end: bool,
    /// Of a PUSH_PROMISE: decoded for the table's sake.
    promise: bool,
    bytes: Vec<u8>,
    broken: bool,
}

#[derive(Debug, Default)]
struct Flow {
    /// Bytes of the preface still to come.
    preface: usize,
    head: [u8; HEAD],
    have: usize,
    frame: Option<Frame>,
    fields: Decoder,
    block: Option<Pending>,
    /// Where the next frame begins is not known.
    lost: bool,
}

#[derive(Debug)]
struct Stream {
    app: Box<App>,
    /// Its request asked for a WebSocket; else only its shape says so.
    asked: bool,
    answered: bool,
    /// It is a WebSocket.
    open: bool,
    ended: [bool; 2],
    extensions: bool,
}

/// Both flows of an HTTP/2 connection.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    client: Option<Side>,
    /// The connection's beginning was seen, and no byte was lost since: every stream's request was.
    whole: bool,
    flows: [Flow; 2],
    streams: BTreeMap<u32, Stream>,
    plain: BTreeSet<u32>,
    /// Whether the server takes extended CONNECT.
    enabled: Option<bool>,
    /// Streams that were, or asked to become, WebSockets.
    websockets: u32,
}

impl Http2 {
    /// From the connection's first byte: `side` sent the preface, or its server's SETTINGS.
    pub(super) fn from_start(client: Side) -> Self {
        let mut new = Self {
            client: Some(client),
            whole: true,
            ..Self::default()
        };
        new.flows[client.min(1)].preface = PREFACE.len();
        new
    }

    /// In the middle of a connection.
    pub(super) fn midway(client: Option<Side>) -> Self {
        let mut new = Self {
            client,
            ..Self::default()
        };
        for flow in &mut new.flows {
            flow.lost = true;
        }
        new
    }

    /// No stream of it can be, or was, a WebSocket.
    pub(super) fn useless(&self) -> bool {
        self.websockets == 0 && self.whole && self.enabled == Some(false)
    }

    /// Takes the next bytes of a flow.
    pub(super) fn feed(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) {
        let side = input.side.min(1);
        let mut bytes = input.bytes;
        let mark = input.mark;
        while !bytes.is_empty() {
            let flow = &mut self.flows[side];
            if flow.preface > 0 {
                let at = PREFACE.len() - flow.preface;
                let n = flow.preface.min(bytes.len());
                let (now, rest) = bytes.split_at(n);
                if PREFACE.get(at..at + n) != Some(now) {
                    flow.preface = 0;
                    self.lose(side, mark, said);
                    continue;
                }
                flow.preface -= n;
                bytes = rest;
                continue;
            }
            if flow.lost {
                let found = (0..bytes.len())
                    .find(|&i| chain(bytes.get(i..).unwrap_or_default(), input.cut) >= NEED);
                let Some(at) = found else { return };
                *flow = Flow {
                    fields: std::mem::take(&mut flow.fields),
                    ..Flow::default()
                };
                bytes = bytes.get(at..).unwrap_or_default();
                continue;
            }
            if flow.frame.is_none() {
                let n = (HEAD - flow.have).min(bytes.len());
                let (now, rest) = bytes.split_at(n);
                if let Some(to) = flow.head.get_mut(flow.have..flow.have + n) {
                    to.copy_from_slice(now);
                }
                flow.have += n;
                bytes = rest;
                if flow.have < HEAD {
                    break;
                }
                flow.have = 0;
                let head = header(&flow.head).filter(|h| h.evidence() > 0);
                let Some(head) = head else {
                    self.lose(side, mark, said);
                    continue;
                };
                flow.frame = Some(Frame {
                    head,
                    left: head.len,
                    padding: (head.flags & PADDED == 0).then_some(0),
                    body: Vec::new(),
                    broken: false,
                });
            }
            bytes = self.body(side, bytes, mark, said);
        }
        if input.cut > 0 {
            self.gap(side, input.cut, mark, said);
        }
    }

    /// Bytes of the frame at hand; what is behind it is handed back.
    fn body<'b>(
        &mut self,
        side: Side,
        bytes: &'b [u8],
        mark: Mark,
        said: &mut Vec<Said>,
    ) -> &'b [u8] {
        let Some(mut frame) = self.flows[side].frame.take() else {
            return bytes;
        };
        let n = (frame.left as usize).min(bytes.len());
        let (mut now, rest) = bytes.split_at(n);
        if frame.head.kind == DATA {
            if frame.padding.is_none()
                && let Some((&padding, more)) = now.split_first()
            {
                frame.padding = Some(u32::from(padding));
                frame.left -= 1;
                now = more;
            }
            let padding = frame.padding.unwrap_or(0);
            let data = (frame.left.saturating_sub(padding) as usize).min(now.len());
            let data = now.get(..data).unwrap_or_default();
            frame.left = frame.left.saturating_sub(now.len() as u32);
            self.data(frame.head.stream, side, data, 0, mark, said);
        } else {
            frame.left -= n as u32;
            if frame.body.len() + n <= MAX_BLOCK {
                frame.body.extend_from_slice(now);
            } else {
                frame.broken = true;
            }
        }
        if frame.left == 0 {
            self.complete(side, frame, mark, said);
        } else {
            self.flows[side].frame = Some(frame);
        }
        rest
    }

    /// `count` bytes of a flow are not in the capture.
    pub(super) fn gap(&mut self, side: Side, count: u32, mark: Mark, said: &mut Vec<Said>) {
        let side = side.min(1);
        let flow = &mut self.flows[side];
        if flow.lost {
            return;
        }
        let inside = flow.preface == 0
            && flow
                .frame
                .as_ref()
                .is_some_and(|f| count <= f.left && (f.head.kind != DATA || f.padding.is_some()));
        let Some(mut frame) = flow.frame.take().filter(|_| inside) else {
            self.lose(side, mark, said);
            return;
        };
        if frame.head.kind == DATA {
            let room = frame.left.saturating_sub(frame.padding.unwrap_or(0));
            self.data(frame.head.stream, side, &[], count.min(room), mark, said);
        }
        frame.left -= count;
        frame.broken = true;
        if frame.left == 0 {
            self.complete(side, frame, mark, said);
        } else {
            self.flows[side].frame = Some(frame);
        }
    }

    /// The frames of a flow are lost track of, and with them what its header blocks built up.
    fn lose(&mut self, side: Side, mark: Mark, said: &mut Vec<Said>) {
        let flow = &mut self.flows[side];
        flow.lost = true;
        flow.frame = None;
        flow.have = 0;
        flow.block = None;
        flow.fields.lose();
        self.whole = false;
        let all: Vec<u32> = self.streams.keys().copied().collect();
        for stream in all {
            // How much of each is missing is not known: its frames are to be found again.
            self.data(stream, side, &[], u32::MAX, mark, said);
        }
    }

    fn data(
        &mut self,
        id: u32,
        side: Side,
        bytes: &[u8],
        gap: u32,
        mark: Mark,
        said: &mut Vec<Said>,
    ) {
        if !self.streams.contains_key(&id) {
            let guess = !self.whole
                && gap == 0
                && !bytes.is_empty()
                && id % 2 == 1
                && !self.plain.contains(&id)
                && self.streams.len() < MAX_STREAMS;
            if !guess {
                return;
            }
            let stream = Stream {
                app: Box::new(App::nested(self.client, None)),
                asked: false,
                answered: false,
                open: false,
                ended: [false; 2],
                extensions: false,
            };
            self.streams.insert(id, stream);
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.asked && !stream.open {
            return;
        }
        let mut inner = Vec::new();
        if !bytes.is_empty() {
            let input = Bytes {
                side,
                bytes,
                cut: 0,
                mark,
            };
            let _ = stream.app.feed(input, &mut inner);
        }
        if gap > 0 {
            stream.app.gap(side, gap, mark, &mut inner);
        }
        if !stream.asked {
            match stream.app.kind() {
                Kind::WebSocket if !stream.open => {
                    stream.open = true;
                    self.websockets = self.websockets.saturating_add(1);
                }
                Kind::WebSocket | Kind::Midstream | Kind::Silent => {}
                _ => {
                    self.streams.remove(&id);
                    self.plain(id);
                    return;
                }
            }
        }
        if stream.open && !bytes.is_empty() {
            said.push(Said::Stream(id, On::Data(side, bytes.len() as u64), mark));
        }
        for item in inner {
            match item {
                Said::Frame(side, frame) => {
                    let mark = frame.mark;
                    said.push(Said::Stream(id, On::Frame(side, frame), mark));
                }
                // Masks tell who the client is.
                Said::Client(client) => {
                    self.client = Some(client);
                    said.push(Said::Client(client));
                }
                _ => {}
            }
        }
    }

    fn plain(&mut self, id: u32) {
        if !self.whole {
            self.plain.insert(id);
            if self.plain.len() > MAX_PLAIN {
                self.plain.pop_first();
            }
        }
    }

    /// A frame is over.
    fn complete(&mut self, side: Side, frame: Frame, mark: Mark, said: &mut Vec<Said>) {
        let FrameHead {
            kind,
            flags,
            stream,
            ..
        } = frame.head;
        let body = frame.body.as_slice();
        match kind {
            DATA if flags & END_STREAM != 0 => self.end(stream, side, mark, said),
            HEADERS | PUSH_PROMISE => {
                let bytes = fragment(kind, flags, body);
                let pending = Pending {
                    stream,
                    end: kind == HEADERS && flags & END_STREAM != 0,
                    promise: kind == PUSH_PROMISE,
                    bytes: bytes.unwrap_or_default().to_vec(),
                    broken: frame.broken || bytes.is_none(),
                };
                self.flows[side].block = Some(pending);
                if flags & END_HEADERS != 0 {
                    self.block(side, mark, said);
                }
            }
            CONTINUATION => {
                if let Some(pending) = &mut self.flows[side].block {
                    pending.broken |= frame.broken
                        || pending.stream != stream
                        || pending.bytes.len() + body.len() > MAX_BLOCK;
                    if !pending.broken {
                        pending.bytes.extend_from_slice(body);
                    }
                }
                if flags & END_HEADERS != 0 {
                    self.block(side, mark, said);
                }
            }
            RST_STREAM => {
                let code = body.first_chunk().map_or(0, |c| u32::from_be_bytes(*c));
                if let Some(known) = self.streams.remove(&stream)
                    && (known.asked || known.open)
                {
                    said.push(Said::Stream(stream, On::Reset(side, code), mark));
                }
            }
            SETTINGS if flags & ACK == 0 && self.client != Some(side) && !frame.broken => {
                let enabled = body
                    .as_chunks::<6>()
                    .0
                    .iter()
                    .any(|s| u16::from_be_bytes([s[0], s[1]]) == ENABLE_CONNECT && s[5] == 1);
                self.enabled = Some(enabled || self.enabled == Some(true));
            }
            GOAWAY => {
                let word = |at: usize| {
                    body.get(at..at + 4)
                        .and_then(|b| b.first_chunk())
                        .map_or(0, |c| u32::from_be_bytes(*c))
                };
                said.push(Said::GoAway {
                    side,
                    last: word(0) & 0x7fff_ffff,
                    code: word(4),
                    mark,
                });
            }
            _ => {}
        }
    }

    /// A header block is whole.
    fn block(&mut self, side: Side, mark: Mark, said: &mut Vec<Said>) {
        let flow = &mut self.flows[side];
        let Some(pending) = flow.block.take() else {
            return;
        };
        if pending.broken {
            flow.fields.lose();
            self.whole = false;
            return;
        }
        let block = flow.fields.decode(&pending.bytes);
        if pending.promise {
            return;
        }
        let id = pending.stream;
        if block.get(":status").is_some() {
            self.answer(id, &block, mark, said);
        } else if block.get(":method").is_some() || self.client == Some(side) {
            self.request(id, side, &block, mark, said);
        }
        if pending.end {
            self.end(id, side, mark, said);
        }
    }

    fn request(&mut self, id: u32, side: Side, block: &Block, mark: Mark, said: &mut Vec<Said>) {
        if self.streams.get(&id).is_some_and(|s| s.asked) {
            // Trailers.
            return;
        }
        if self.client.is_none() && block.get(":method").is_some() {
            self.client = Some(side);
            said.push(Said::Client(side));
        }
        if !asks(block) {
            if !block.partial() {
                self.streams.remove(&id);
                self.plain(id);
            }
            return;
        }
        if self.streams.len() >= MAX_STREAMS {
            said.push(Said::Odd(
                "too-many-streams",
                "WebSocket streams beyond 1024 at once on one HTTP/2 connection were left out",
                mark,
            ));
            return;
        }
        let request = http1::from_fields(fields(block), mark);
        let stream = Stream {
            app: Box::new(App::nested(self.client, None)),
            asked: true,
            answered: false,
            open: false,
            ended: [false; 2],
            extensions: request.extensions.is_some(),
        };
        self.streams.insert(id, stream);
        self.websockets = self.websockets.saturating_add(1);
        said.push(Said::Stream(id, On::Request(Box::new(request)), mark));
    }

    fn answer(&mut self, id: u32, block: &Block, mark: Mark, said: &mut Vec<Said>) {
        let whole = self.whole;
        let client = self.client;
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let status = block
            .get(":status")
            .and_then(|s| std::str::from_utf8(s).ok()?.parse::<u16>().ok())
            .unwrap_or(0);
        // Interim answers (RFC 9113 8.1).
        if !stream.asked || stream.answered || status < 200 {
            return;
        }
        stream.answered = true;
        let response = http1::response_from_fields(status, fields(block), mark);
        if response.upgraded() {
            let rsv1 = if block.partial() {
                stream.extensions
            } else {
                response.extensions.is_some()
            };
            stream.open = true;
            *stream.app = App::nested(client, Some((rsv1, whole)));
        }
        said.push(Said::Stream(id, On::Response(Box::new(response)), mark));
    }

    /// END_STREAM.
    fn end(&mut self, id: u32, side: Side, mark: Mark, said: &mut Vec<Said>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let first = !std::mem::replace(&mut stream.ended[side.min(1)], true);
        let over = stream.ended == [true; 2];
        if first && (stream.asked || stream.open) {
            said.push(Said::Stream(id, On::End(side), mark));
        }
        if over {
            self.streams.remove(&id);
        }
    }
}

/// The part of a frame's body that belongs to the header block (RFC 9113 6.2, 6.6); `None` where it is none.
fn fragment(kind: u8, flags: u8, mut body: &[u8]) -> Option<&[u8]> {
    if flags & PADDED != 0 {
        let (&padding, rest) = body.split_first()?;
        body = rest.get(..rest.len().checked_sub(usize::from(padding))?)?;
    }
    if kind == PUSH_PROMISE {
        body = body.get(4..)?;
    } else if flags & WITH_PRIORITY != 0 {
        body = body.get(5..)?;
    }
    Some(body)
}

/// Extended CONNECT (RFC 8441 4). Where the protocol's name stands in a table from before the capture, the other fields tell.
fn asks(block: &Block) -> bool {
    let connect = block.get(":method").is_none_or(|m| m == b"CONNECT");
    match block.get(":protocol") {
        Some(protocol) => connect && protocol.eq_ignore_ascii_case(b"websocket"),
        None => {
            let hints = block.fields.iter().filter_map(|f| f.name.as_deref());
            connect
                && block.partial()
                && hints.into_iter().any(|n| n.starts_with(b"sec-websocket-"))
        }
    }
}

/// The fields that are known whole, as text and bytes.
fn fields(block: &Block) -> impl Iterator<Item = (&str, &[u8])> {
    block.fields.iter().filter_map(|f| {
        let name = std::str::from_utf8(f.name.as_deref()?).ok()?;
        Some((name, f.value.as_deref()?))
    })
}
