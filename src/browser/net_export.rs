//! Chrome's net-export (chrome://net-export, `--log-net-log`) -> each WebSocket's leg as the browser's own sockets showed it.
//!
//! One event stands on each line, after one line of constants (net/log/file_net_log_observer.cc), so a log that breaks off
//! is read up to there. Frames are logged with their headers; what is in them only where raw bytes were included.

use super::net_leg::{Socketed, decoded, headers, tail, target};
use super::{BrowserSummary, Seen};
use crate::model::{
    Direction, HopKind, LegEventKind, Line, MILLI_NS, Mark, Moment, RecordRef, SourceId, Stamp,
    TunnelLine, Word,
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
pub(super) struct Socket {
    pub(super) connecting: Option<Mark>,
    pub(super) connected: Option<Mark>,
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: Option<SocketAddr>,
    /// Nothing more came: the peer's FIN.
    pub(super) eof: Option<Mark>,
    pub(super) error: Option<(Mark, i64)>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) last_received: Option<Mark>,
    pub(super) last_sent: Option<Mark>,
    /// The last bytes of each direction, where raw bytes were included.
    pub(super) raw_received: Vec<u8>,
    /// The WebSocket on it.
    pub(super) request: Option<u64>,
    /// The job that uses it, or did last.
    pub(super) job: Option<u64>,
}

struct Reader<'a> {
    source: SourceId,
    constants: Constants,
    sockets: HashMap<u64, Socket>,
    /// Which socket a job of the network stack got.
    of_job: HashMap<u64, u64>,
    requests: HashMap<u64, Socketed>,
    ours: HashSet<u64>,
    /// The last event was read: its browser finished the log.
    whole: bool,
    summary: BrowserSummary,
    emit: &'a mut dyn FnMut(Seen),
}

impl lines::Sink for Reader<'_> {
    fn line(&mut self, raw: lines::RawLine<'_>) {
        let line = raw.bytes.trim_ascii();
        if line.is_empty() {
            return;
        }
        self.summary.records += 1;
        let record = RecordRef {
            source: self.source,
            ordinal: raw.ordinal,
            start: raw.start,
            len: u32::try_from(raw.bytes.len()).unwrap_or(u32::MAX),
        };
        if raw.ordinal == 1 {
            self.constants(line);
        } else if !(line.starts_with(b"{") || self.whole) {
            // `"events": [`, and behind the events `],` with what was polled at the end.
            self.summary.used += 1;
            self.whole = line.starts_with(b"]");
        } else if self.whole {
            self.summary.used += 1;
        } else {
            self.event(record, line, raw.last);
        }
    }
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
        whole: false,
        summary: BrowserSummary::default(),
        emit,
    };
    reader.summary.counted_from_the_epoch();
    let ended = lines::split(input, progress, &mut reader);
    reader.finish();
    let whole = reader.whole;
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

pub(super) fn text<'v>(params: &'v Value, key: &str) -> Option<&'v str> {
    params.get(key)?.as_str()
}

pub(super) fn number(params: &Value, key: &str) -> Option<i64> {
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
            upstream_local: None,
            method: Some("GET".into()),
            uri: Some(path.into()),
            host: host.map(Word::from),
            status: ws.response.as_ref().map(|r| r.status),
            upstream_status: None,
            bytes_to_client: None,
            bytes_to_server: None,
            upgrade_asked: Some(true),
            termination: ws
                .over
                .filter(|(_, error)| *error != 0)
                .map(|(_, error)| self.error_name(error))
                .map(Word::from),
            user_agent: request.and_then(|r| r.user_agent.clone()).map(Word::from),
            request_id: None,
            ws_key: request.and_then(|r| r.key.clone()).map(Word::from),
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
