//! One WebSocket's events in a net-export -> its leg, as the sockets of its browser showed it.

use super::net_export::{Socket, number};
use crate::model::{
    BeatKind, CloseFrame, Closing, Direction, Flow, LegEvent, LegEventKind, LegObservation,
    LegProtocol, Mark, Ping, Request, Reset, Response,
};
use serde_json::Value;
use std::net::SocketAddr;

/// A WebSocket, by the request that asked for it.
#[derive(Debug)]
pub(super) struct Socketed {
    pub(super) url: String,
    pub(super) start: Mark,
    pub(super) job: Option<u64>,
    pub(super) socket: Option<u64>,
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    pub(super) failure: Option<(Mark, String)>,
    pub(super) over: Option<(Mark, i64)>,
    pub(super) to_server: Flow,
    pub(super) to_client: Flow,
    pub(super) pings: Vec<Ping>,
    pub(super) events: Vec<LegEvent>,
    pub(super) last: Mark,
    /// A Close frame of the client whose bytes come with the next write.
    pub(super) closing: Option<u64>,
}

/// Events and pings kept of one leg: the first of the former, the last of both.
const MAX_EVENTS: usize = 256;
const MAX_PINGS: usize = 64;
/// Raw bytes kept of a socket: a Close frame is shorter (RFC 6455 5.5).
const MAX_RAW: usize = 4096;

/// Host and path of `ws://host:port/path?query`.
pub(super) fn target(url: &str) -> (Option<String>, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let path = path.split('#').next().unwrap_or_default();
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    ((!host.is_empty()).then(|| host.to_owned()), path)
}

pub(super) fn tail(mut raw: Vec<u8>) -> Vec<u8> {
    if raw.len() > MAX_RAW {
        raw.drain(..raw.len() - MAX_RAW);
    }
    raw
}

/// Base64 as RFC 4648 4 has it; `None` for anything else.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut have = 0;
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have & 0xFF) as u8);
        }
    }
    Some(out)
}

/// Code and reason out of the last Close frame with this length of payload that the bytes hold (RFC 6455 5.2, 5.5.1).
fn close_in(raw: &[u8], len: u64) -> Option<(Option<u16>, String)> {
    let len = usize::try_from(len).ok().filter(|n| *n <= 125)?;
    let at = (0..raw.len().saturating_sub(1)).rev().find(|&i| {
        raw[i] == 0x88
            && usize::from(raw[i + 1] & 0x7F) == len
            && raw.len() >= i + 2 + len + if raw[i + 1] & 0x80 == 0 { 0 } else { 4 }
    })?;
    let masked = raw[at + 1] & 0x80 != 0;
    let payload: Vec<u8> = if masked {
        let mask = raw.get(at + 2..at + 6)?;
        raw.get(at + 6..at + 6 + len)?
            .iter()
            .zip(mask.iter().cycle())
            .map(|(a, b)| a ^ b)
            .collect()
    } else {
        raw.get(at + 2..at + 2 + len)?.to_vec()
    };
    let code = payload.first_chunk::<2>().map(|c| u16::from_be_bytes(*c));
    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
    Some((code, reason))
}

pub(super) fn headers(params: &Value) -> Vec<&str> {
    params
        .get("headers")
        .and_then(Value::as_array)
        .map(|l| l.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

fn header(all: &[&str], name: &str) -> Option<String> {
    all.iter()
        .filter_map(|h| h.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim().to_owned())
}

impl Socketed {
    pub(super) fn new(url: &str, start: Mark) -> Self {
        Self {
            url: url.to_owned(),
            start,
            job: None,
            socket: None,
            request: None,
            response: None,
            failure: None,
            over: None,
            to_server: Flow::default(),
            to_client: Flow::default(),
            pings: Vec::new(),
            events: Vec::new(),
            last: start,
            closing: None,
        }
    }

    pub(super) fn push(&mut self, mark: Mark, direction: Direction, what: LegEventKind) {
        self.last = mark;
        let ends = matches!(
            what,
            LegEventKind::Close(_) | LegEventKind::Fin | LegEventKind::Rst
        );
        if self.events.len() >= MAX_EVENTS && !ends {
            // The first ones stay, and of the others the last.
            self.events.remove(MAX_EVENTS / 2);
        }
        self.events.push(LegEvent {
            mark,
            direction,
            what,
        });
    }

    pub(super) fn asked(&mut self, mark: Mark, all: Vec<&str>) {
        let (host, uri) = target(&self.url);
        self.push(mark, Direction::ToServer, LegEventKind::Request);
        self.to_server.last_payload = Some(mark);
        self.request = Some(Request {
            mark,
            method: "GET".to_owned(),
            uri,
            uri_cut: false,
            minor_version: 1,
            host: header(&all, "host").or(host),
            upgrade: header(&all, "upgrade"),
            connection: header(&all, "connection"),
            key: header(&all, "sec-websocket-key").filter(|k| k.len() >= 16),
            protocol: header(&all, "sec-websocket-protocol"),
            extensions: header(&all, "sec-websocket-extensions"),
            forwarded_for: None,
            real_ip: None,
            user_agent: header(&all, "user-agent"),
            request_id: header(&all, "x-request-id"),
            // Browsers take cookies out of this log unless they were told otherwise.
            cookie: header(&all, "cookie").filter(|c| !c.starts_with('[')),
            via: None,
        });
    }

    pub(super) fn answered(&mut self, mark: Mark, all: Vec<&str>) {
        let line = all.first().copied().unwrap_or_default();
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default();
        let Some(status) = words.next().and_then(|s| s.parse().ok()) else {
            return;
        };
        let reason = words.next().unwrap_or_default().to_owned();
        self.push(mark, Direction::ToClient, LegEventKind::Response);
        self.to_client.last_payload = Some(mark);
        self.response = Some(Response {
            mark,
            status,
            reason,
            minor_version: u8::from(version != "HTTP/1.0"),
            upgrade: header(&all, "upgrade"),
            connection: header(&all, "connection"),
            accept: header(&all, "sec-websocket-accept"),
            // The browser would have given up with a wrong one.
            accept_right: (status == 101).then_some(true),
            protocol: header(&all, "sec-websocket-protocol"),
            extensions: header(&all, "sec-websocket-extensions"),
            server: header(&all, "server"),
            via: header(&all, "via"),
        });
    }

    /// `Error during WebSocket handshake: Unexpected response code: 403` is all that is logged of such an answer.
    pub(super) fn failed(&mut self, mark: Mark, message: &str) {
        self.failure = Some((mark, message.to_owned()));
        let status = message
            .rsplit("response code: ")
            .next()
            .filter(|rest| rest.len() < message.len())
            .and_then(|rest| rest.trim().parse().ok());
        if let (Some(status), None) = (status, &self.response) {
            self.push(mark, Direction::ToClient, LegEventKind::Response);
            self.to_client.last_payload = Some(mark);
            self.response = Some(Response {
                mark,
                status,
                reason: String::new(),
                minor_version: 1,
                upgrade: None,
                connection: None,
                accept: None,
                accept_right: None,
                protocol: None,
                extensions: None,
                server: None,
                via: None,
            });
        }
    }

    pub(super) fn frame(&mut self, mark: Mark, direction: Direction, params: &Value, raw: &[u8]) {
        let opcode = number(params, "opcode").unwrap_or_default();
        let len = number(params, "payload_length")
            .unwrap_or_default()
            .max(0)
            .unsigned_abs();
        let flow = match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        };
        flow.last_payload = Some(mark);
        let what = match opcode {
            8 => {
                let known = if len == 0 {
                    Some((None, String::new()))
                } else if direction == Direction::ToClient {
                    close_in(raw, len)
                } else {
                    None
                };
                let hidden = known.is_none();
                let (code, reason) = known.unwrap_or_default();
                flow.close.get_or_insert_with(|| CloseFrame {
                    mark,
                    code,
                    reason: reason.clone(),
                    hidden,
                });
                if direction == Direction::ToServer && hidden {
                    self.closing = Some(len);
                }
                LegEventKind::Close(Box::new(Closing { code, reason }))
            }
            9 => {
                flow.pings += 1;
                if self.pings.len() == MAX_PINGS {
                    self.pings.remove(0);
                }
                self.pings.push(Ping {
                    kind: BeatKind::Frame,
                    sent: mark,
                    direction,
                    answered: None,
                    acked: None,
                });
                LegEventKind::Ping { len }
            }
            10 => {
                flow.pongs += 1;
                let open = self
                    .pings
                    .iter_mut()
                    .find(|p| p.direction != direction && p.answered.is_none());
                if let Some(ping) = open {
                    ping.answered = Some(mark);
                }
                LegEventKind::Pong { len }
            }
            other => {
                flow.data_frames += 1;
                flow.last_data_frame = Some(mark);
                LegEventKind::Data {
                    opcode: u8::try_from(other).unwrap_or(u8::MAX),
                    len,
                }
            }
        };
        self.push(mark, direction, what);
    }

    /// Bytes that the client wrote: those of its Close frame, if one is on the way.
    pub(super) fn wrote(&mut self, raw: &[u8]) {
        let Some(len) = self.closing else { return };
        let Some((code, reason)) = close_in(raw, len) else {
            return;
        };
        self.closing = None;
        if let Some(close) = &mut self.to_server.close {
            (close.code, close.reason, close.hidden) = (code, reason.clone(), false);
        }
        let event = self.events.iter_mut().rev().find(|e| {
            e.direction == Direction::ToServer && matches!(e.what, LegEventKind::Close(_))
        });
        if let Some(event) = event {
            event.what = LegEventKind::Close(Box::new(Closing { code, reason }));
        }
    }

    /// The leg, as a capture on the client's host would show it; `packets` stay 0, since sockets show none.
    pub(super) fn leg(
        mut self,
        vantage: u32,
        socket: &Socket,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> LegObservation {
        let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
        if let Some(mark) = socket.eof {
            self.to_client.fin = Some(mark);
            self.push(mark, Direction::ToClient, LegEventKind::Fin);
        }
        // ERR_CONNECTION_RESET; any other error is the browser's own end of it.
        if let Some((mark, error)) = socket.error {
            if error == -101 {
                self.to_client.rst = Some(Reset {
                    mark,
                    ttl: 0,
                    in_window: true,
                });
                self.push(mark, Direction::ToClient, LegEventKind::Rst);
            } else {
                self.to_server.fin = Some(mark);
                self.push(mark, Direction::ToServer, LegEventKind::Fin);
            }
        }
        self.events.sort_by_key(|e| (e.mark.at, e.mark.record));
        self.to_server.bytes = socket.sent;
        self.to_client.bytes = socket.received;
        let protocol = match (&self.response, &self.request) {
            (Some(r), _) if r.upgraded() => LegProtocol::WebSocket,
            (Some(_), _) => LegProtocol::UpgradeRefused,
            (None, Some(_)) => LegProtocol::UpgradeUnanswered,
            (None, None) => LegProtocol::NoPayload,
        };
        let first = socket.connecting.unwrap_or(self.start);
        let last = [
            Some(self.last),
            socket.last_received,
            socket.last_sent,
            socket.eof,
            socket.error.map(|e| e.0),
        ]
        .into_iter()
        .flatten()
        .max_by_key(|m| (m.at, m.record))
        .unwrap_or(self.last);
        LegObservation {
            vantage,
            client: canonical(local),
            server: canonical(remote),
            sides_certain: true,
            protocol,
            syn: socket.connecting,
            syn_ack: socket.connected,
            syn_retransmissions: 0,
            refused: false,
            request: self.request,
            response: self.response,
            earlier_requests: 0,
            first,
            last,
            to_server: self.to_server,
            to_client: self.to_client,
            pings: self.pings,
            fingerprints: Vec::new(),
            events: self.events,
            duplicates: 0,
            violations: Vec::new(),
            sni: None,
            compression: None,
            http2: None,
            tls: None,
        }
    }
}
