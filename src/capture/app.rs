//! The ordered bytes of a leg's two flows -> what was said on it: requests, answers, frames, alerts; protocols told by their first bytes.

mod http;

use super::events::Side;
use super::frame::{Decoded, FrameDecoder, NEED_MIDSTREAM};
use super::http1;
use super::http2::{self, Http2, On};
use super::tls::{self, Alert, TlsLeg};
use crate::model::{Mark, Request, Response};
use http::{Http, Pending};

/// Segments that are no frame, after which a leg without a handshake is something else.
const MAX_MISSES: u32 = 8;
/// Evidence that is enough where the server is known to speak WebSocket.
const NEED_KNOWN_SERVER: u32 = 11;

/// What came to light.
#[derive(Debug)]
pub(super) enum Said {
    /// The content shows which side is the client.
    Client(Side),
    /// A request that asked for no WebSocket.
    PlainRequest,
    /// A request that asked for one.
    Request(Box<Request>),
    Response(Box<Response>),
    /// The answer to a request whose head is cut: whether it asked for a WebSocket is not in the capture.
    Doubtful(Box<Response>),
    Frame(Side, Box<Decoded>),
    Alert(Side, Alert, Mark),
    ServerName(String),
    /// Something on a stream of HTTP/2.
    Stream(u32, On, Mark),
    GoAway {
        side: Side,
        last: u32,
        code: u32,
        mark: Mark,
    },
    /// A record of encrypted application data that stays shut, and its length.
    Record(Side, u64, Mark),
    /// Something of the input could not be used: kind, what it means.
    Odd(&'static str, &'static str, Mark),
}

/// Bytes of a flow in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'b> {
    pub(super) side: Side,
    pub(super) bytes: &'b [u8],
    /// Bytes behind them that the capture cut off.
    pub(super) cut: u32,
    pub(super) mark: Mark,
}

#[derive(Debug, Default)]
enum Protocol {
    #[default]
    Silent,
    Http(Box<Http>),
    WebSocket(Box<[FrameDecoder; 2]>),
    Midstream(Box<[FrameDecoder; 2]>),
    Tls(Box<TlsLeg>),
    Http2(Box<Http2>),
    /// One stream of HTTP/2, fed elsewhere.
    Stream(Kind),
    Other,
}

/// What the bytes of a leg are, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Silent,
    Http,
    WebSocket,
    Midstream,
    Tls,
    Http2,
    Other,
}

/// What an [`App`] follows from that waits; sides are told by whether they are the higher one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) what: Waiting,
    from_start: bool,
    client: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Waiting {
    Silent,
    /// The client.
    Http(bool),
    /// Segments of each flow that fitted no frame.
    Midstream([u8; 2]),
}

/// What every packet needs stands first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct App {
    protocol: Protocol,
    /// The leg's SYN was seen and no byte since was lost: its first bytes are its first bytes.
    from_start: bool,
    /// Which side is the client, where TCP told it.
    client: Option<Side>,
    scratch: Vec<Decoded>,
    /// Its bytes are those of a stream: protocols with streams of their own are not looked for.
    nested: bool,
}

impl App {
    /// The bytes of a stream of HTTP/2: frames behind a handshake, which says whether they may be compressed and whether all of
    /// them are here; without one whatever their shape shows.
    pub(super) fn nested(client: Option<Side>, handshake: Option<(bool, bool)>) -> Self {
        let protocol = match (client, handshake) {
            (Some(client), Some((rsv1, whole))) => {
                let decoder = |side: Side| match whole {
                    true => FrameDecoder::after_handshake(side == client, rsv1),
                    false => FrameDecoder::behind_gap(side == client, rsv1),
                };
                Protocol::WebSocket(Box::new([decoder(0), decoder(1)]))
            }
            _ => Protocol::Midstream(Box::new([
                FrameDecoder::midstream(),
                FrameDecoder::midstream(),
            ])),
        };
        Self {
            protocol,
            client,
            nested: true,
            ..Self::default()
        }
    }

    /// Stands for a stream whose bytes go elsewhere.
    pub(super) fn stream(kind: Kind) -> Self {
        Self {
            protocol: Protocol::Stream(kind),
            ..Self::default()
        }
    }

    /// TCP showed who opened the leg.
    pub(super) const fn opened_by(&mut self, client: Side) {
        self.client = Some(client);
        if matches!(self.protocol, Protocol::Silent) {
            self.from_start = true;
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.protocol {
            Protocol::Silent => Kind::Silent,
            Protocol::Http(_) => Kind::Http,
            Protocol::WebSocket(_) => Kind::WebSocket,
            Protocol::Midstream(_) => Kind::Midstream,
            Protocol::Tls(ref leg) => leg.kind(),
            Protocol::Http2(_) => Kind::Http2,
            Protocol::Stream(kind) => kind,
            Protocol::Other => Kind::Other,
        }
    }

    /// An upgrade was asked for by a head that is not whole, and nothing in it says WebSocket.
    pub(super) fn doubtful(&self) -> bool {
        match &self.protocol {
            Protocol::Http(h) => h.asked.as_ref().is_some_and(|a| !a.sure),
            Protocol::Tls(leg) => leg.inner().is_some_and(Self::doubtful),
            _ => false,
        }
    }

    /// Before the first byte, in HTTP between two requests, none of which asked for a WebSocket, or where nothing told so far what it is.
    pub(super) fn waits(&self) -> Option<Waits> {
        let what = match &self.protocol {
            _ if self.nested => return None,
            Protocol::Silent => Waiting::Silent,
            Protocol::Http(http) => {
                let between =
                    http.asked.is_none() && http.skip == 0 && http.head.iter().all(Vec::is_empty);
                if !between {
                    return None;
                }
                Waiting::Http(http.client == 1)
            }
            Protocol::Midstream(decoders) => {
                let [a, b] = &**decoders;
                Waiting::Midstream([a.untold()?, b.untold()?])
            }
            _ => return None,
        };
        Some(Waits {
            what,
            from_start: self.from_start,
            client: self.client.map(|side| side == 1),
        })
    }

    /// As it was then.
    pub(super) fn waiting(waits: Waits) -> Self {
        let protocol = match waits.what {
            Waiting::Silent => Protocol::Silent,
            Waiting::Http(client) => Protocol::Http(Box::new(Http {
                client: client.into(),
                ..Http::default()
            })),
            Waiting::Midstream(misses) => {
                Protocol::Midstream(Box::new(misses.map(FrameDecoder::missed)))
            }
        };
        Self {
            protocol,
            from_start: waits.from_start,
            client: waits.client.map(usize::from),
            ..Self::default()
        }
    }

    /// The bytes are of a protocol that nothing is made of.
    pub(super) const fn given_up(&self) -> bool {
        matches!(self.protocol, Protocol::Other)
    }

    /// What decodes the flow of `side`, where the leg is a WebSocket: most bytes go there and nowhere else.
    pub(super) fn decoder(&mut self, side: Side) -> Option<&mut FrameDecoder> {
        match &mut self.protocol {
            Protocol::WebSocket(decoders) => decoders.get_mut(side),
            _ => None,
        }
    }

    /// The leg is a WebSocket.
    pub(super) const fn upgraded(&self) -> bool {
        matches!(self.protocol, Protocol::WebSocket(_))
    }

    /// Reads a little of what the next bytes of `side` need.
    pub(super) fn touch(&self, side: Side) -> u64 {
        match &self.protocol {
            Protocol::WebSocket(d) => d.get(side).map_or(0, FrameDecoder::touch),
            _ => 0,
        }
    }

    /// Times that frames of `side` were lost track of.
    pub(super) fn losses(&self, side: Side) -> u32 {
        match &self.protocol {
            Protocol::Tls(leg) => leg.holes(side),
            Protocol::WebSocket(d) => match side {
                0 => d[0].losses,
                _ => d[1].losses,
            },
            _ => 0,
        }
    }

    /// Lets the context of each flow whose compressed messages build on each other come alive, or lets go of it; returns how many
    /// do.
    pub(super) fn inflate(&mut self, grant: bool) -> usize {
        let decoders = match &mut self.protocol {
            Protocol::WebSocket(decoders) => decoders,
            Protocol::Tls(leg) => return leg.inner_mut().map_or(0, |app| app.inflate(grant)),
            _ => return 0,
        };
        let mut granted = 0;
        for decoder in decoders.iter_mut() {
            if !grant {
                decoder.follow(None);
            } else if let Some(tap) = decoder.tap() {
                tap.grant();
                granted += 1;
            }
        }
        granted
    }

    /// Takes bytes of one flow. Those of a TLS leg are handed back: they are for [`App::encrypted`].
    pub(super) fn feed<'b>(&mut self, input: Bytes<'b>, said: &mut Vec<Said>) -> Option<Bytes<'b>> {
        match &mut self.protocol {
            Protocol::WebSocket(decoders) => {
                let decoder = decoders.get_mut(input.side)?;
                decoder.feed(input.bytes, input.cut, input.mark, &mut self.scratch);
                said.extend(
                    self.scratch
                        .drain(..)
                        .map(|f| Said::Frame(input.side, Box::new(f))),
                );
            }
            Protocol::Other | Protocol::Stream(_) => {}
            Protocol::Http2(connection) => {
                connection.feed(input, said);
                if connection.useless() {
                    self.protocol = Protocol::Other;
                }
            }
            Protocol::Silent => return self.begin(input, said),
            Protocol::Http(_) => self.http(input, said),
            Protocol::Tls(_) => return Some(input),
            Protocol::Midstream(_) => return self.midstream(input, said),
        }
        None
    }

    /// Takes bytes of one flow of a TLS leg.
    pub(super) fn encrypted(
        &mut self,
        input: Bytes<'_>,
        guess: Side,
        shared: &mut tls::Shared,
        said: &mut Vec<Said>,
    ) {
        if let Protocol::Tls(leg) = &mut self.protocol {
            leg.guess(guess);
            leg.feed(input, shared, said);
        }
    }

    /// The leg is over. True where little of it is worth keeping.
    pub(super) fn settle(&mut self) -> bool {
        match &mut self.protocol {
            Protocol::Tls(leg) => leg.settle(),
            _ => false,
        }
    }

    /// The leg speaks TLS.
    pub(super) fn tls(&self) -> Option<&TlsLeg> {
        match &self.protocol {
            Protocol::Tls(leg) => Some(leg),
            _ => None,
        }
    }

    /// `count` bytes of a flow are not in the capture.
    pub(super) fn gap(&mut self, side: Side, count: u32, mark: Mark, said: &mut Vec<Said>) {
        self.from_start = false;
        match &mut self.protocol {
            Protocol::WebSocket(_) | Protocol::Midstream(_) => {
                let decoder = match &mut self.protocol {
                    Protocol::WebSocket(decoders) => decoders.get_mut(side),
                    Protocol::Midstream(decoders) => decoders.get_mut(side),
                    _ => None,
                };
                let Some(decoder) = decoder else {
                    return;
                };
                decoder.gap(count, mark, &mut self.scratch);
                said.extend(
                    self.scratch
                        .drain(..)
                        .map(|f| Said::Frame(side, Box::new(f))),
                );
            }
            Protocol::Tls(leg) => leg.gap(side, count, mark, said),
            Protocol::Http(http) => {
                if side == http.client {
                    match &mut http.asked {
                        Some(asked) => asked.pending.push(Pending::Gap(count, mark)),
                        None if http.skip > 0 => {
                            http.skip = http.skip.saturating_sub(u64::from(count))
                        }
                        None => {
                            let head = std::mem::take(&mut http.head[side.min(1)]);
                            Self::cut_request(http, &head, mark, said);
                        }
                    }
                } else if http.asked.is_some() {
                    self.answer_lost(mark, said);
                }
            }
            Protocol::Http2(connection) => connection.gap(side, count, mark, said),
            Protocol::Silent | Protocol::Other | Protocol::Stream(_) => {}
        }
    }

    /// HTTP/2 by the first bytes of a flow, or in its middle by the shape of its frames.
    fn http2(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) -> bool {
        let side = input.side.min(1);
        let start = if http2::begins_client(input.bytes) {
            Some(side)
        } else if self.from_start && http2::begins_server(input.bytes) {
            Some(1 - side)
        } else {
            None
        };
        let connection = match start {
            Some(client) if self.client.is_none_or(|c| c == client) => {
                said.push(Said::Client(client));
                Http2::from_start(client)
            }
            _ if !self.from_start && http2::looks_like(input.bytes, input.cut) => {
                Http2::midway(self.client)
            }
            _ => return false,
        };
        self.protocol = Protocol::Http2(Box::new(connection));
        let _ = self.feed(input, said);
        true
    }

    fn begin<'b>(&mut self, mut input: Bytes<'b>, said: &mut Vec<Said>) -> Option<Bytes<'b>> {
        if input.bytes.is_empty() {
            // Nothing of the segment was captured.
            self.from_start = false;
            self.protocol = self.unknown();
            return None;
        }
        input.bytes = behind_proxy_header(input.bytes);
        if input.bytes.is_empty() {
            return None;
        }
        if !self.recognise(input, said) {
            self.protocol = self.unknown();
            if matches!(self.protocol, Protocol::Midstream(_)) {
                return self.midstream(input, said);
            }
        }
        self.tls().map(|_| input)
    }

    fn unknown(&self) -> Protocol {
        if self.from_start {
            Protocol::Other
        } else {
            Protocol::Midstream(Box::new([
                FrameDecoder::midstream(),
                FrameDecoder::midstream(),
            ]))
        }
    }

    /// HTTP or TLS by the first bytes of a segment.
    fn recognise(&mut self, input: Bytes<'_>, said: &mut Vec<Said>) -> bool {
        if self.nested {
            return false;
        }
        if self.http2(input, said) {
            return true;
        }
        let request = http1::begins_request(input.bytes);
        let response = http1::begins_response(input.bytes);
        if (request || response) && self.client.is_none_or(|c| (c == input.side) == request) {
            let client = if request {
                input.side
            } else {
                1 - input.side.min(1)
            };
            said.push(Said::Client(client));
            self.protocol = Protocol::Http(Box::new(Http {
                client,
                ..Http::default()
            }));
            self.http(input, said);
            return true;
        }
        // A first segment may be shorter than the header of the handshake record that it begins.
        let begun =
            self.from_start && matches!(input.bytes, [22] | [22, 3] | [22, 3, _] | [22, 3, _, _]);
        if begun || tls::begins_record(input.bytes) {
            // A ClientHello (RFC 8446 4.1.2) is the client's first word.
            if let [22, _, _, _, _, hello @ 1..=2, ..] = *input.bytes {
                said.push(Said::Client(if hello == 1 {
                    input.side
                } else {
                    1 - input.side.min(1)
                }));
            }
            self.protocol = Protocol::Tls(Box::new(TlsLeg::new(self.client)));
            return true;
        }
        false
    }

    fn midstream<'b>(&mut self, input: Bytes<'b>, said: &mut Vec<Said>) -> Option<Bytes<'b>> {
        let Protocol::Midstream(decoders) = &mut self.protocol else {
            return None;
        };
        let untold = decoders.iter().all(|d| d.trust() == 0);
        if untold && input.bytes.len() >= 5 && self.recognise(input, said) {
            return self.tls().map(|_| input);
        }
        let Protocol::Midstream(decoders) = &mut self.protocol else {
            return None;
        };
        let decoder = decoders.get_mut(input.side)?;
        decoder.feed(input.bytes, input.cut, input.mark, &mut self.scratch);
        self.scratch.clear();
        let trust = decoders
            .iter()
            .fold(0, |t: u32, d| t.saturating_add(d.trust()));
        if trust >= NEED_MIDSTREAM {
            self.confirm(None, said);
        } else if trust == 0 && decoders.iter().map(|d| d.misses).sum::<u32>() >= MAX_MISSES {
            self.protocol = Protocol::Other;
        }
        None
    }

    /// The leg's shape is that of a WebSocket: masked one way, unmasked the other (RFC 6455 5.1).
    fn confirm(&mut self, known: Option<Side>, said: &mut Vec<Said>) -> bool {
        let Protocol::Midstream(decoders) = &mut self.protocol else {
            return false;
        };
        let told = |side: Side| {
            decoders
                .get(side)
                .filter(|d| d.trust() > 0)
                .and_then(FrameDecoder::mask_seen)
        };
        let client = match (told(0), told(1)) {
            (Some(true), Some(false) | None) | (None, Some(false)) => 0,
            (Some(false), Some(true) | None) | (None, Some(true)) => 1,
            _ => return false,
        };
        if self.client.or(known).is_some_and(|c| c != client) {
            return false;
        }
        said.push(Said::Client(client));
        for (side, decoder) in decoders.iter_mut().enumerate() {
            decoder.confirm(side == client, &mut self.scratch);
            said.extend(
                self.scratch
                    .drain(..)
                    .map(|f| Said::Frame(side, Box::new(f))),
            );
        }
        if let Protocol::Midstream(decoders) = std::mem::take(&mut self.protocol) {
            self.protocol = Protocol::WebSocket(decoders);
        }
        true
    }

    /// At the end of the evidence: what little was seen is enough where the server is known to speak WebSocket.
    pub(super) fn confirm_with(&mut self, client: Side, said: &mut Vec<Said>) -> bool {
        if let Protocol::Tls(leg) = &mut self.protocol {
            return leg
                .inner_mut()
                .is_some_and(|i| i.confirm_with(client, said));
        }
        let Protocol::Midstream(decoders) = &self.protocol else {
            return false;
        };
        let trust = decoders
            .iter()
            .fold(0, |t: u32, d| t.saturating_add(d.trust()));
        let misses: u32 = decoders.iter().map(|d| d.misses).sum();
        trust >= NEED_KNOWN_SERVER && misses == 0 && self.confirm(Some(client), said)
    }
}

/// Behind a PROXY protocol header (haproxy.org, proxy-protocol.txt 2.1 and 2.2), where there is one.
fn behind_proxy_header(bytes: &[u8]) -> &[u8] {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if bytes.starts_with(b"PROXY ") {
        let end = bytes.iter().take(108).position(|&b| b == b'\n');
        return end.map_or(bytes, |e| bytes.get(e + 1..).unwrap_or_default());
    }
    if bytes.starts_with(V2) {
        let len = bytes
            .get(14..16)
            .map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        return bytes.get(16 + len..).unwrap_or_default();
    }
    bytes
}
