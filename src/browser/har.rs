//! A HAR with WebSockets (`_webSocketMessages`, as Chrome, Edge and Firefox save it) -> one line per WebSocket, as its client saw it.
//!
//! HAR names neither the client's address nor a close code, and of frames only messages: no pings, no Close.

use super::net_leg::target;
use super::{BrowserSummary, Seen};
use crate::model::{
    HopKind, Line, MILLI_NS, Moment, RecordRef, SourceId, Stamp, TunnelLine, Word, say_duration,
};
use crate::text::stamp;
use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;

/// Bytes read at once, and the longest entry: bodies of other requests may be in the file as well.
const BUFFER: usize = 256 * 1024;
const MAX_ENTRY: usize = 64 * 1024 * 1024;

pub(super) fn sniff(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let head = head.trim_ascii_start();
    let Some(rest) = head.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else {
        return false;
    };
    let Some(rest) = rest.strip_prefix(b"\"log\"").map(<[u8]>::trim_ascii_start) else {
        return false;
    };
    // Docker's json-file has a text there.
    rest.strip_prefix(b":")
        .is_some_and(|r| r.trim_ascii_start().starts_with(b"{"))
        && [&b"\"creator\""[..], b"\"version\"", b"\"entries\""]
            .iter()
            .any(|w| crate::text::contains(head, w))
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "startedDateTime")]
    started: Option<String>,
    time: Option<f64>,
    request: Option<HarRequest>,
    response: Option<HarResponse>,
    #[serde(rename = "serverIPAddress")]
    server: Option<String>,
    #[serde(rename = "_resourceType")]
    resource: Option<String>,
    #[serde(rename = "_webSocketMessages")]
    messages: Option<Vec<Message>>,
}

#[derive(Deserialize)]
struct HarRequest {
    method: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
struct HarResponse {
    status: Option<i64>,
    #[serde(rename = "_error")]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Seconds since the epoch.
    time: Option<f64>,
    data: Option<String>,
}

pub(super) fn read(
    source: SourceId,
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    emit: &mut dyn FnMut(Seen),
) -> BrowserSummary {
    let mut summary = BrowserSummary::default();
    summary.counted_from_the_epoch();
    let mut cut = Cut::default();
    let mut buffer = vec![0; BUFFER];
    let mut base = 0_u64;
    loop {
        let n = match input.read(&mut buffer) {
            Ok(n) => n.min(buffer.len()),
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => {
                summary.note(
                    "unreadable-tail",
                    summary.records,
                    format!(
                        "reading broke off ({}); what came before it was read",
                        e.kind()
                    ),
                );
                0
            }
        };
        if n == 0 {
            break;
        }
        for (i, c) in buffer.iter().take(n).enumerate() {
            if let Some((start, bytes)) = cut.step(*c, base + i as u64) {
                summary.records += 1;
                let record = RecordRef {
                    source,
                    ordinal: summary.records,
                    start,
                    len: u32::try_from(base + i as u64 + 1 - start).unwrap_or(u32::MAX),
                };
                entry(record, &bytes, &mut summary, emit);
            }
        }
        base += n as u64;
        progress(base);
    }
    if !cut.over {
        if cut.element.is_some() {
            summary.records += 1;
            summary.odd(
                "truncated-tail",
                summary.records,
                "the file ends within an entry",
            );
        } else {
            summary.note(
                "broken-off",
                summary.records,
                "the file ends before its list of entries does",
            );
        }
    }
    summary
}

/// Cuts the members out of `{"log": {..., "entries": [ {...}, {...} ] } }`.
#[derive(Default)]
struct Cut {
    depth: u32,
    string: bool,
    escaped: bool,
    /// The last text of the log's own keys, up to its first bytes.
    word: Vec<u8>,
    /// `entries` was read, and its list comes.
    awaited: bool,
    inside: bool,
    over: bool,
    element: Option<(u64, Vec<u8>)>,
}

impl Cut {
    /// Takes a byte in; an entry that it completes.
    fn step(&mut self, c: u8, at: u64) -> Option<(u64, Vec<u8>)> {
        if let Some((_, bytes)) = &mut self.element
            && bytes.len() <= MAX_ENTRY
        {
            bytes.push(c);
        }
        if self.string {
            if self.escaped {
                self.escaped = false;
            } else if c == b'\\' {
                self.escaped = true;
            } else if c == b'"' {
                self.string = false;
                if self.depth == 2 && !self.inside {
                    self.awaited = self.word == b"entries";
                }
            } else if self.depth == 2 && self.word.len() < 16 {
                self.word.push(c);
            }
            return None;
        }
        match c {
            b'"' => {
                self.string = true;
                self.word.clear();
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                if c == b'[' && self.depth == 3 && self.awaited && !self.over {
                    self.inside = true;
                } else if c == b'{' && self.inside && self.depth == 4 {
                    self.element = Some((at, vec![c]));
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.inside && self.depth == 3 && c == b'}' {
                    return self.element.take();
                }
                if self.inside && self.depth == 2 {
                    (self.inside, self.awaited, self.over) = (false, false, true);
                }
            }
            b',' if self.depth == 2 => self.awaited = false,
            _ => {}
        }
        None
    }
}

fn entry(
    record: RecordRef,
    bytes: &[u8],
    summary: &mut BrowserSummary,
    emit: &mut dyn FnMut(Seen),
) {
    if bytes.len() > MAX_ENTRY {
        summary.odd(
            "overlong-line",
            record.ordinal,
            "entries over 64 MiB were skipped",
        );
        return;
    }
    let Ok(e) = serde_json::from_slice::<Entry>(bytes) else {
        summary.odd(
            "unknown-line",
            record.ordinal,
            "entries that are not as HAR 1.2 has them",
        );
        return;
    };
    let start = e
        .started
        .as_deref()
        .and_then(|t| stamp::iso(t.as_bytes()))
        .map(|d| d.utc());
    let Some(start) = start else {
        summary.odd(
            "no-time",
            record.ordinal,
            "entries without a startedDateTime",
        );
        return;
    };
    summary.used += 1;
    summary.saw(start);
    if let Some(line) = websocket(record, &e, start) {
        for at in [line.start, line.end].into_iter().flatten() {
            summary.saw(at);
        }
        emit(Seen::Line(Box::new(Line::Tunnel(line))));
    }
}

fn websocket(record: RecordRef, e: &Entry, start: Stamp) -> Option<TunnelLine> {
    let request = e.request.as_ref()?;
    let url = request.url.as_deref()?;
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value.clone())
    };
    let scheme = url.split("://").next().unwrap_or_default();
    let asked = header("upgrade").is_some_and(|u| u.eq_ignore_ascii_case("websocket"));
    let is_one = e.resource.as_deref() == Some("websocket")
        || matches!(scheme, "ws" | "wss")
        || e.messages.is_some()
        || asked;
    if !is_one {
        return None;
    }
    let (host, uri) = target(url);
    let messages = e.messages.as_deref().unwrap_or_default();
    let epoch = |seconds: f64| {
        (seconds.is_finite() && seconds > 0.0 && seconds < 9.0e9).then(|| {
            Stamp::new(
                Moment((seconds * 1000.0).round() as i64 * MILLI_NS),
                MILLI_NS,
            )
        })
    };
    let is_error = |m: &&Message| m.kind.as_deref() == Some("error");
    let last = messages
        .iter()
        .filter(|m| !is_error(m))
        .filter_map(|m| epoch(m.time?))
        .max();
    let status = e
        .response
        .as_ref()
        .and_then(|r| r.status)
        .and_then(|s| u16::try_from(s).ok())
        .filter(|s| *s > 0);
    // An entry's time runs on to its last message while the socket stands, and beyond it only once it was closed.
    let told = e
        .time
        .filter(|ms| ms.is_finite() && *ms >= 0.0)
        .map(|ms| Stamp::new(start.at.plus((ms * 1e6) as i64), MILLI_NS));
    let end = told
        .filter(|t| status != Some(101) || last.is_none_or(|l| t.at.since(l.at) > 2 * MILLI_NS));
    let error = messages
        .iter()
        .find(is_error)
        .and_then(|m| m.data.clone())
        .or_else(|| e.response.as_ref()?.error.clone())
        .filter(|text| !text.is_empty());
    let quiet = match (last, end) {
        (Some(last), Some(end)) if status == Some(101) => Some(format!(
            "{} messages, the last {} before the end",
            messages.len(),
            say_duration(end.at.since(last.at).max(0))
        )),
        _ => None,
    };
    let termination = [error, quiet]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ");
    let port = match host.as_deref().and_then(|h| h.rsplit_once(':')) {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(if matches!(scheme, "wss" | "https") {
            443
        } else {
            80
        }),
    };
    let server = e
        .server
        .as_deref()
        .and_then(|s| s.trim_matches(['[', ']']).parse().ok());
    Some(TunnelLine {
        record,
        hop: HopKind::Client,
        start: Some(start),
        end,
        life_ns: end.map(|t| t.at.since(start.at)),
        client: None,
        client_port: None,
        forwarded_for: Vec::new(),
        upstream: server.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)),
        upstream_local: None,
        method: request.method.clone().map(Word::from),
        uri: Some(uri.into()),
        host: host.map(Word::from),
        status,
        upstream_status: None,
        bytes_to_client: None,
        bytes_to_server: None,
        upgrade_asked: Some(true),
        termination: (!termination.is_empty()).then_some(termination.into()),
        user_agent: header("user-agent").map(Word::from),
        request_id: header("x-request-id").map(Word::from),
        ws_key: header("sec-websocket-key").map(Word::from),
        serial: None,
    })
}
