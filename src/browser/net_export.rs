//! Chrome's net-export (chrome://net-export, `--log-net-log`) -> each WebSocket's leg as the browser's own sockets showed it.
//!
//! One event stands on each line, after one line of constants (net/log/file_net_log_observer.cc), so a log that breaks off
//! is read up to there. Frames are logged with their headers; what is in them only where raw bytes were included.

use super::{BrowserSummary, Seen};
use crate::model::{
    CloseFrame, Direction, Flow, HopKind, LegEvent, LegEventKind, LegObservation, LegProtocol,
    Line, MILLI_NS, Mark, Moment, Ping, RecordRef, Request, Reset, Response, SourceId, Stamp,
    TunnelLine,
};
use crate::text::lines;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::net::SocketAddr;

pub(super) fn sniff(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let head = head.trim_ascii_start();
    head.starts_with(b"{\"constants\":")
        && [
            &b"\"logEventTypes\""[..],
            b"\"activeFieldTrialGroups\"",
            b"\"addressFamily\"",
        ]
        .iter()
        .any(|w| crate::text::contains(head, w))
}

/// Numbers stand for names in the events; each file says which.
#[derive(Debug, Default)]
struct Constants {
    offset_ms: i64,
    /// Event type -> what of it is of use here.
    events: HashMap<u64, Kind>,
    errors: HashMap<i64, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    Alive,
    Bound,
    Sent,
    Answered,
    Failed,
    FrameReceived,
    FrameSent,
    Connect,
    InUse,
    BytesReceived,
    BytesSent,
    SslReceived,
    SslSent,
    ReadError,
    WriteError,
    SocketAlive,
    NetworkChanged,
}

const EVENTS: &[(&str, Kind)] = &[
    ("URL_REQUEST_START_JOB", Kind::Start),
    ("REQUEST_ALIVE", Kind::Alive),
    ("HTTP_STREAM_REQUEST_BOUND_TO_JOB", Kind::Bound),
    ("HTTP_TRANSACTION_SEND_REQUEST_HEADERS", Kind::Sent),
    ("HTTP_TRANSACTION_READ_RESPONSE_HEADERS", Kind::Answered),
    ("WEBSOCKET_UPGRADE_FAILURE", Kind::Failed),
    ("WEBSOCKET_RECV_FRAME_HEADER", Kind::FrameReceived),
    ("WEBSOCKET_SENT_FRAME_HEADER", Kind::FrameSent),
    ("TCP_CONNECT", Kind::Connect),
    ("SOCKET_IN_USE", Kind::InUse),
    ("SOCKET_BYTES_RECEIVED", Kind::BytesReceived),
    ("SOCKET_BYTES_SENT", Kind::BytesSent),
    ("SSL_SOCKET_BYTES_RECEIVED", Kind::SslReceived),
    ("SSL_SOCKET_BYTES_SENT", Kind::SslSent),
    ("SOCKET_READ_ERROR", Kind::ReadError),
    ("SOCKET_WRITE_ERROR", Kind::WriteError),
    ("SOCKET_ALIVE", Kind::SocketAlive),
    ("NETWORK_CHANGED", Kind::NetworkChanged),
    ("NETWORK_IP_ADDRESSES_CHANGED", Kind::NetworkChanged),
];

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    params: Value,
    phase: u8,
    source: Source,
    time: Value,
    #[serde(rename = "type")]
    kind: u64,
}

#[derive(Deserialize)]
struct Source {
    id: u64,
}

/// A TCP socket of the browser.
#[derive(Debug, Default)]
struct Socket {
    connecting: Option<Mark>,
    connected: Option<Mark>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    /// Nothing more came: the peer's FIN.
    eof: Option<Mark>,
    error: Option<(Mark, i64)>,
    received: u64,
    sent: u64,
    last_received: Option<Mark>,
    last_sent: Option<Mark>,
    /// The last bytes of each direction, where raw bytes were included.
    raw_received: Vec<u8>,
    /// The WebSocket on it.
    request: Option<u64>,
    /// The job that uses it, or did last.
    job: Option<u64>,
}

/// A WebSocket, by the request that asked for it.
#[derive(Debug)]
struct Socketed {
    url: String,
    start: Mark,
    job: Option<u64>,
    socket: Option<u64>,
    request: Option<Request>,
    response: Option<Response>,
    failure: Option<(Mark, String)>,
    over: Option<(Mark, i64)>,
    to_server: Flow,
    to_client: Flow,
    pings: Vec<Ping>,
    events: Vec<LegEvent>,
    last: Mark,
    /// A Close frame of the client whose bytes come with the next write.
    closing: Option<u64>,
}

/// Events and pings kept of one leg: the first of the former, the last of both.
const MAX_EVENTS: usize = 256;
const MAX_PINGS: usize = 64;
/// Raw bytes kept of a socket: a Close frame is shorter (RFC 6455 5.5).
const MAX_RAW: usize = 4096;

struct Reader<'a> {
    source: SourceId,
    constants: Constants,
    sockets: HashMap<u64, Socket>,
    /// Which socket a job of the network stack got.
    of_job: HashMap<u64, u64>,
    requests: HashMap<u64, Socketed>,
    ours: HashSet<u64>,
    summary: BrowserSummary,
    emit: &'a mut dyn FnMut(Seen),
}

pub(super) fn read(
    source: SourceId,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    emit: &mut dyn FnMut(Seen),
) -> BrowserSummary {
    let mut reader = Reader {
        source,
        constants: Constants::default(),
        sockets: HashMap::new(),
        of_job: HashMap::new(),
        requests: HashMap::new(),
        ours: HashSet::new(),
        summary: BrowserSummary::default(),
        emit,
    };
    reader.summary.counted_from_the_epoch();
    let mut whole = false;
    let ended = lines::split(input, progress, |raw| {
        let line = raw.bytes.trim_ascii();
        if line.is_empty() {
            return;
        }
        reader.summary.records += 1;
        let record = RecordRef {
            source,
            ordinal: raw.ordinal,
            start: raw.start,
            len: u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX),
        };
        if raw.ordinal == 1 {
            reader.constants(line);
        } else if !(line.starts_with(b"{") || whole) {
            // `"events": [`, and behind the events `],` with what was polled at the end.
            reader.summary.used += 1;
            whole = line.starts_with(b"]");
        } else if whole {
            reader.summary.used += 1;
        } else {
            reader.event(record, line, raw.last);
        }
    });
    reader.finish();
    let mut summary = reader.summary;
    if !whole {
        summary.note(
            "broken-off",
            summary.records,
            "the log was not finished by its browser; what came before was read",
        );
    }
    if ended.overlong > 0 {
        summary.records += ended.overlong;
        summary.odd += ended.overlong;
        summary.note(
            "overlong-line",
            ended.first_overlong,
            "lines over 1 MiB were skipped",
        );
    }
    if let Some((kind, after)) = ended.broken {
        summary.note(
            "unreadable-tail",
            after,
            format!("reading broke off ({kind}); what came before it was read"),
        );
    }
    summary
}

fn text<'v>(params: &'v Value, key: &str) -> Option<&'v str> {
    params.get(key)?.as_str()
}

fn number(params: &Value, key: &str) -> Option<i64> {
    params.get(key)?.as_i64()
}

fn dependency(params: &Value) -> Option<u64> {
    params.get("source_dependency")?.get("id")?.as_u64()
}

impl Reader<'_> {
    fn constants(&mut self, line: &[u8]) {
        // The line is the beginning of an object: its own constants are whole, the rest follows.
        let line = line.trim_ascii_end();
        let line = line.strip_suffix(b",").unwrap_or(line);
        let closed = [line, b"}"].concat();
        let Ok(all) = serde_json::from_slice::<Value>(&closed) else {
            self.summary.odd(
                "no-constants",
                1,
                "the constants can't be read, and without them no event can",
            );
            return;
        };
        self.summary.used += 1;
        let constants = all.get("constants").unwrap_or(&Value::Null);
        let offset = constants.get("timeTickOffset");
        self.constants.offset_ms = offset
            .and_then(|o| o.as_i64().or_else(|| o.as_str()?.parse().ok()))
            .unwrap_or_default();
        let types = constants.get("logEventTypes");
        for (name, kind) in EVENTS {
            if let Some(n) = types.and_then(|t| t.get(*name)).and_then(Value::as_u64) {
                self.constants.events.insert(n, *kind);
            }
        }
        if let Some(errors) = constants.get("netError").and_then(Value::as_object) {
            for (name, n) in errors {
                if let Some(n) = n.as_i64() {
                    self.constants.errors.insert(n, name.clone());
                }
            }
        }
        let info = constants.get("clientInfo").unwrap_or(&Value::Null);
        if let Some(name) = text(info, "name") {
            let version = text(info, "version").unwrap_or_default();
            let major = version.split('.').next().unwrap_or_default();
            let system = text(info, "os_type").unwrap_or_default();
            let on = system.split([':', ' ']).next().unwrap_or_default();
            let mut vantage = format!("{name} {major}");
            if !on.is_empty() {
                vantage.push_str(" on ");
                vantage.push_str(on);
            }
            self.summary.vantage = Some(vantage.trim().to_owned());
        }
    }

    fn event(&mut self, record: RecordRef, line: &[u8], last: bool) {
        let body = line.strip_suffix(b",").unwrap_or(line);
        // The last event of a whole log may be followed by the bracket that closes the list.
        let body = body.strip_suffix(b"]").unwrap_or(body);
        let Ok(event) = serde_json::from_slice::<Event>(body) else {
            if last {
                self.summary
                    .odd("truncated-tail", record.ordinal, "the last line is cut off");
            } else {
                self.summary.odd(
                    "unknown-line",
                    record.ordinal,
                    "lines that are not of this file's format",
                );
            }
            return;
        };
        self.summary.used += 1;
        let ticks = event
            .time
            .as_i64()
            .or_else(|| event.time.as_str()?.parse().ok());
        let Some(ticks) = ticks else { return };
        let at = Moment::from_millis(self.constants.offset_ms.saturating_add(ticks));
        self.summary.saw(Stamp::new(at, MILLI_NS));
        let Some(kind) = self.constants.events.get(&event.kind).copied() else {
            return;
        };
        let mark = Mark { at, record };
        self.take(kind, &event, mark);
    }

    fn take(&mut self, kind: Kind, event: &Event, mark: Mark) {
        let id = event.source.id;
        let params = &event.params;
        match kind {
            Kind::Start if event.phase == 1 => {
                let url = text(params, "url").unwrap_or_default();
                if url.starts_with("ws://") || url.starts_with("wss://") {
                    self.ours.insert(id);
                    self.requests
                        .entry(id)
                        .or_insert_with(|| Socketed::new(url, mark));
                }
            }
            Kind::Bound => {
                if let (Some(ws), Some(job)) = (self.requests.get_mut(&id), dependency(params)) {
                    ws.job = Some(job);
                    if let Some(&socket) = self.of_job.get(&job) {
                        ws.socket = Some(socket);
                        self.sockets.entry(socket).or_default().request = Some(id);
                    }
                }
            }
            Kind::InUse if event.phase == 1 => {
                if let Some(job) = dependency(params) {
                    self.of_job.insert(job, id);
                    if let Some(old) = self.sockets.entry(id).or_default().job.replace(job) {
                        self.of_job.remove(&old);
                    }
                    let ws = self
                        .requests
                        .iter_mut()
                        .filter(|(_, ws)| ws.job == Some(job))
                        .min_by_key(|(id, _)| **id);
                    if let Some((&request, ws)) = ws {
                        ws.socket = Some(id);
                        self.sockets.entry(id).or_default().request = Some(request);
                    }
                }
            }
            Kind::Sent => {
                if let Some(ws) = self.requests.get_mut(&id) {
                    ws.asked(mark, headers(params));
                }
            }
            Kind::Answered => {
                if let Some(ws) = self.requests.get_mut(&id) {
                    ws.answered(mark, headers(params));
                }
            }
            Kind::Failed => {
                if let Some(ws) = self.requests.get_mut(&id) {
                    let message = text(params, "message").unwrap_or_default();
                    ws.failed(mark, message);
                }
            }
            Kind::Alive if event.phase == 2 => {
                let error = number(params, "net_error").unwrap_or_default();
                if let Some(ws) = self.requests.get_mut(&id) {
                    // After a 101 the request is over and the WebSocket begins.
                    if ws.response.as_ref().is_none_or(|r| r.status != 101) {
                        ws.over = Some((mark, error));
                        if ws.socket.is_none() {
                            self.conclude(id);
                        }
                    }
                }
            }
            Kind::FrameReceived | Kind::FrameSent => {
                let direction = if kind == Kind::FrameSent {
                    Direction::ToServer
                } else {
                    Direction::ToClient
                };
                if let Some(ws) = self.requests.get_mut(&id) {
                    let raw = ws
                        .socket
                        .and_then(|s| self.sockets.get(&s))
                        .map_or(&[][..], |s| s.raw_received.as_slice());
                    ws.frame(mark, direction, params, raw);
                }
            }
            Kind::NetworkChanged => self.summary.note(
                "network-changed",
                mark.record.ordinal,
                "the browser's network changed: what was open over the old one is lost",
            ),
            _ => self.of_socket(kind, event, mark),
        }
    }

    fn of_socket(&mut self, kind: Kind, event: &Event, mark: Mark) {
        let id = event.source.id;
        let params = &event.params;
        let socket = self.sockets.entry(id).or_default();
        match kind {
            Kind::Connect if event.phase == 1 => socket.connecting = Some(mark),
            Kind::Connect => {
                let of = |key: &str| text(params, key).and_then(|a| a.parse().ok());
                socket.local = of("local_address");
                socket.remote = of("remote_address");
                if number(params, "net_error").unwrap_or_default() == 0 {
                    socket.connected = Some(mark);
                }
            }
            Kind::BytesReceived | Kind::SslReceived => {
                let count = number(params, "byte_count").unwrap_or_default();
                if kind == Kind::BytesReceived {
                    if count <= 0 {
                        socket.eof.get_or_insert(mark);
                    } else {
                        socket.received += count.unsigned_abs();
                        socket.last_received = Some(mark);
                    }
                }
                if let Some(raw) = text(params, "bytes").and_then(decoded) {
                    socket.raw_received = tail(raw);
                }
            }
            Kind::BytesSent | Kind::SslSent => {
                if kind == Kind::BytesSent {
                    let count = number(params, "byte_count").unwrap_or_default();
                    socket.sent += count.max(0).unsigned_abs();
                    socket.last_sent = Some(mark);
                }
                let request = socket.request;
                if let Some(raw) = text(params, "bytes").and_then(decoded)
                    && let Some(ws) = request.and_then(|r| self.requests.get_mut(&r))
                {
                    ws.wrote(&raw);
                }
            }
            Kind::ReadError | Kind::WriteError => {
                let error = number(params, "net_error").unwrap_or_default();
                socket.error.get_or_insert((mark, error));
            }
            Kind::SocketAlive if event.phase == 2 => {
                let request = socket.request;
                match request {
                    Some(request) => {
                        let by_peer = socket.eof.is_some() || socket.error.is_some();
                        if let Some(ws) = self.requests.get_mut(&request)
                            && !by_peer
                        {
                            // Nobody else had ended it: the browser closed its socket.
                            ws.to_server.fin = Some(mark);
                            ws.push(mark, Direction::ToServer, LegEventKind::Fin);
                        }
                        self.conclude(request);
                    }
                    None => {
                        let job = self.sockets.remove(&id).and_then(|s| s.job);
                        if let Some(job) = job {
                            self.of_job.remove(&job);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// A WebSocket that is over, or that the log leaves.
    fn conclude(&mut self, id: u64) {
        let Some(ws) = self.requests.remove(&id) else {
            return;
        };
        let socket = ws.socket.and_then(|s| self.sockets.remove(&s));
        if let Some(job) = ws.job {
            self.of_job.remove(&job);
        }
        let ends = socket.as_ref().and_then(|s| s.local.zip(s.remote));
        match (socket, ends) {
            (Some(socket), Some((local, remote))) => {
                if let Some((mark, error)) = socket.error {
                    let name = self.error_name(error);
                    self.summary.note(
                        "socket-error",
                        mark.record.ordinal,
                        format!("sockets of WebSockets that failed, the first with {name}"),
                    );
                }
                let vantage = self.source.0;
                let leg = ws.leg(vantage, &socket, local, remote);
                (self.emit)(Seen::Leg(Box::new(leg)));
            }
            _ => {
                let line = self.attempt(&ws);
                (self.emit)(Seen::Line(Box::new(Line::Tunnel(line))));
            }
        }
    }

    fn error_name(&self, error: i64) -> String {
        self.constants
            .errors
            .get(&error)
            .map_or_else(|| format!("error {error}"), |n| format!("net::{n}"))
    }

    /// A WebSocket that never had a socket of its own (refused, a name that is not known, or a stream of HTTP/2).
    fn attempt(&self, ws: &Socketed) -> TunnelLine {
        let (host, path) = target(&ws.url);
        let request = ws.request.as_ref();
        let stamp = |m: Mark| Stamp::new(m.at, MILLI_NS);
        let over = ws
            .over
            .map(|(m, _)| m)
            .or_else(|| ws.failure.as_ref().map(|f| f.0));
        TunnelLine {
            record: ws.last.record,
            hop: HopKind::Client,
            start: Some(stamp(ws.start)),
            end: over.map(stamp),
            life_ns: over.map(|m| m.at.since(ws.start.at)),
            client: None,
            client_port: None,
            forwarded_for: Vec::new(),
            upstream: None,
            method: Some("GET".to_owned()),
            uri: Some(path),
            host,
            status: ws.response.as_ref().map(|r| r.status),
            upstream_status: None,
            bytes_to_client: None,
            bytes_to_server: None,
            upgrade_asked: Some(true),
            termination: ws
                .over
                .filter(|(_, error)| *error != 0)
                .map(|(_, error)| self.error_name(error)),
            user_agent: request.and_then(|r| r.user_agent.clone()),
            request_id: None,
            ws_key: request.and_then(|r| r.key.clone()),
            serial: None,
        }
    }

    fn finish(&mut self) {
        let mut left: Vec<u64> = self.requests.keys().copied().collect();
        left.sort_unstable();
        for id in left {
            self.conclude(id);
        }
    }
}

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

fn tail(mut raw: Vec<u8>) -> Vec<u8> {
    if raw.len() > MAX_RAW {
        raw.drain(..raw.len() - MAX_RAW);
    }
    raw
}

/// Base64 as RFC 4648 4 has it; `None` for anything else.
fn decoded(text: &str) -> Option<Vec<u8>> {
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

fn headers(params: &Value) -> Vec<&str> {
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
    fn new(url: &str, start: Mark) -> Self {
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

    fn push(&mut self, mark: Mark, direction: Direction, what: LegEventKind) {
        self.last = mark;
        let ends = matches!(
            what,
            LegEventKind::Close { .. } | LegEventKind::Fin | LegEventKind::Rst
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

    fn asked(&mut self, mark: Mark, all: Vec<&str>) {
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

    fn answered(&mut self, mark: Mark, all: Vec<&str>) {
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
    fn failed(&mut self, mark: Mark, message: &str) {
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

    fn frame(&mut self, mark: Mark, direction: Direction, params: &Value, raw: &[u8]) {
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
                LegEventKind::Close { code, reason }
            }
            9 => {
                flow.pings += 1;
                if self.pings.len() == MAX_PINGS {
                    self.pings.remove(0);
                }
                self.pings.push(Ping {
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
    fn wrote(&mut self, raw: &[u8]) {
        let Some(len) = self.closing else { return };
        let Some((code, reason)) = close_in(raw, len) else {
            return;
        };
        self.closing = None;
        if let Some(close) = &mut self.to_server.close {
            (close.code, close.reason, close.hidden) = (code, reason.clone(), false);
        }
        let event = self.events.iter_mut().rev().find(|e| {
            e.direction == Direction::ToServer && matches!(e.what, LegEventKind::Close { .. })
        });
        if let Some(event) = event {
            event.what = LegEventKind::Close { code, reason };
        }
    }

    /// The leg, as a capture on the client's host would show it; `packets` stay 0, since sockets show none.
    fn leg(
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
