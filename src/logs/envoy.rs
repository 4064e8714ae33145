//! Envoy and Istio access lines (default text, Istio text, JSON) -> tunnels.

use super::json::{self, Kind, Leaf};
use super::stamp::{self, Memo};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, text};
use crate::model::{HopKind, Line, LocalZone, MILLI_NS, RecordRef, TunnelLine, Word};

#[derive(Debug)]
pub(super) struct Envoy;

impl LogFormat for Envoy {
    fn name(&self) -> &'static str {
        "envoy-access"
    }
    fn title(&self) -> &'static str {
        "Envoy or Istio access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"[2026-11-20T22:45:42.839Z] "GET /ws?s=1 HTTP/1.1" 101 DC 249 96 3207 - "192.0.2.40" "-" "cbf9daa2-fa50-481a-8f66-7c1e38697797" "192.0.2.9" "192.0.2.2:8080""#,
            r#"[2026-11-20T21:12:10.547Z] "GET /idle HTTP/1.1" 101 SI stream_idle_timeout - "-" 0 0 2002 - "-" "wslab/1" "7f3a" "app.test" "10.8.0.3:8080" outbound|80||app 10.8.0.2:40000 10.8.0.2:15001 192.0.2.1:50000 - default"#,
            r#"[2026-11-20T21:12:31.898Z] "GET /noupgrade HTTP/1.1" 403 - 0 0 0 - "-" "-" "-" "app" "-""#,
            r#"{"start_time":"2026-11-20T21:12:10.547Z","method":"GET","path":"/idle","protocol":"HTTP/1.1","response_code":101,"response_flags":"SI","response_code_details":"stream_idle_timeout","bytes_received":0,"bytes_sent":0,"duration":2002,"x_forwarded_for":null,"user_agent":"wslab/1","request_id":"7f3a","authority":"app.test","upstream_host":"10.8.0.3:8080","downstream_remote_address":"192.0.2.1:50000"}"#,
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            memo: Memo::default(),
            assumed: options.assumed_zone,
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        if line.first() == Some(&b'{') {
            return json::fields(line);
        }
        let Some(e) = of_text(line) else {
            return Vec::new();
        };
        [
            ("start_time", e.start),
            ("method", e.method),
            ("path", e.path),
            ("response_code", e.code),
            ("response_flags", e.flags),
            ("response_code_details", e.details),
            ("bytes_received", e.received),
            ("bytes_sent", e.sent),
            ("duration", e.duration),
            ("x_forwarded_for", e.forwarded_for),
            ("user_agent", e.user_agent),
            ("request_id", e.request_id),
            ("authority", e.authority),
            ("upstream_host", e.upstream),
            ("downstream_remote_address", e.peer),
        ]
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(k, v)| (k.to_owned(), text::string(v)))
        .collect()
    }
}

/// The operators that are used (Envoy, "Access logging", command operators); empty = not in this layout.
#[derive(Default)]
struct Entry<'a> {
    start: &'a [u8],
    method: &'a [u8],
    path: &'a [u8],
    code: &'a [u8],
    flags: &'a [u8],
    details: &'a [u8],
    received: &'a [u8],
    sent: &'a [u8],
    duration: &'a [u8],
    forwarded_for: &'a [u8],
    user_agent: &'a [u8],
    request_id: &'a [u8],
    authority: &'a [u8],
    upstream: &'a [u8],
    local: &'a [u8],
    peer: &'a [u8],
    upgrade: Option<&'a [u8]>,
    ws_key: &'a [u8],
}

fn of_text(line: &[u8]) -> Option<Entry<'_>> {
    let (start, rest) = text::cut(line.strip_prefix(b"[")?, b']')?;
    let rest = rest.strip_prefix(b" \"")?;
    let end = text::quoted(rest, b'"')?;
    let (method, path) = text::request(&rest[..end])?;
    let mut tokens: Vec<&[u8]> = Vec::with_capacity(24);
    let mut rest = rest[end + 1..].trim_ascii();
    while !rest.is_empty() && tokens.len() < 40 {
        let len = match rest.strip_prefix(b"\"") {
            Some(inner) => {
                let n = text::quoted(inner, b'"').unwrap_or(inner.len());
                tokens.push(&inner[..n]);
                n + 2
            }
            None => {
                let n = memchr::memchr(b' ', rest).unwrap_or(rest.len());
                tokens.push(&rest[..n]);
                n
            }
        };
        rest = rest.get(len..).unwrap_or(b"").trim_ascii_start();
    }
    let at = |i: usize| tokens.get(i).copied().unwrap_or(b"");
    text::unsigned(at(0))?;
    // Istio has details, termination details and the transport failure between flags and byte counts.
    let shift = if text::unsigned(at(2)).is_some() && text::unsigned(at(3)).is_some() {
        0
    } else {
        3
    };
    text::unsigned(at(2 + shift))?;
    text::unsigned(at(4 + shift))?;
    Some(Entry {
        start,
        method,
        path,
        code: at(0),
        flags: at(1),
        details: if shift == 3 { at(2) } else { b"" },
        received: at(2 + shift),
        sent: at(3 + shift),
        duration: at(4 + shift),
        forwarded_for: at(6 + shift),
        user_agent: at(7 + shift),
        request_id: at(8 + shift),
        authority: at(9 + shift),
        upstream: at(10 + shift),
        // Istio appends cluster, upstream local, downstream local, downstream remote.
        local: if shift == 3 { at(12 + shift) } else { b"" },
        peer: if shift == 3 { at(14 + shift) } else { b"" },
        ..Entry::default()
    })
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    line.first() == Some(&b'[') && of_text(line).is_some()
}

/// Istio's JSON, or any JSON with Envoy's own names in it.
pub(super) fn is_envoy(leaves: &[Leaf<'_>]) -> bool {
    let has = |name: &[u8]| leaves.iter().any(|l| l.key == name && l.kind != Kind::Tree);
    has(b"response_code") && (has(b"response_flags") || has(b"start_time")) && has(b"duration")
}

fn of_json<'a>(leaves: &[Leaf<'a>]) -> Option<Entry<'a>> {
    if !is_envoy(leaves) {
        return None;
    }
    let mut e = Entry::default();
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let value = if leaf.value == b"null" {
            b""
        } else {
            leaf.value
        };
        match leaf.key {
            b"start_time" | b"timestamp" => e.start = value,
            b"method" => e.method = value,
            b"path" | b"x_envoy_original_path" => e.path = value,
            b"response_code" => e.code = value,
            b"response_flags" => e.flags = value,
            b"response_code_details" => e.details = value,
            b"bytes_received" => e.received = value,
            b"bytes_sent" => e.sent = value,
            b"duration" => e.duration = value,
            b"x_forwarded_for" => e.forwarded_for = value,
            b"user_agent" => e.user_agent = value,
            b"request_id" | b"x_request_id" => e.request_id = value,
            b"authority" => e.authority = value,
            b"upstream_host" => e.upstream = value,
            b"upstream_local_address" => e.local = value,
            b"downstream_remote_address" => e.peer = value,
            b"upgrade" => e.upgrade = Some(value),
            b"sec_websocket_key" => e.ws_key = value,
            _ => {}
        }
    }
    Some(e)
}

struct Reader {
    memo: Memo,
    assumed: LocalZone,
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let entry = if line.first() == Some(&b'{') {
            let mut leaves = Vec::new();
            if json::scan(line, &mut leaves) {
                of_json(&leaves)
            } else {
                None
            }
        } else {
            of_text(line)
        };
        entry
            .and_then(|e| self.record(record, &e, out))
            .unwrap_or(Outcome::Odd("unknown-line"))
    }
}

impl Reader {
    fn record(&mut self, record: RecordRef, e: &Entry<'_>, out: &mut Out<'_>) -> Option<Outcome> {
        let (start, zone) = self.memo.get(e.start, stamp::iso)?.stamp(self.assumed);
        let life_ns = stamp::decimal(e.duration, MILLI_NS);
        let end = life_ns.map(|life| start.plus(life));
        out.saw(end.unwrap_or(start));
        out.zone(zone);
        let status = text::any_status(e.code);
        let asked = e.upgrade.map(|u| u.eq_ignore_ascii_case(b"websocket"));
        // Code 0: the client left before any answer.
        let wanted = asked == Some(true)
            || text::present(e.ws_key).is_some()
            || status.is_none_or(|s| s == 101 || s >= 400);
        if !wanted {
            return Some(Outcome::Used);
        }
        let peer = text::address(e.peer);
        let flags = text::present(e.flags);
        let details = text::present(e.details);
        let termination = match (flags, details) {
            (Some(f), Some(d)) => Some(format!("{} {}", text::string(f), text::string(d))),
            (Some(one), None) | (None, Some(one)) => Some(text::string(one)),
            (None, None) => None,
        };
        out.emit(Line::Tunnel(TunnelLine {
            record,
            hop: HopKind::Envoy,
            start: Some(start),
            end,
            life_ns,
            client: peer.map(|(ip, _)| ip),
            client_port: peer.and_then(|(_, port)| port),
            forwarded_for: text::addresses(e.forwarded_for),
            upstream: text::socket(e.upstream),
            upstream_local: text::socket(e.local).map(Box::new),
            method: text::present(e.method).map(text::word),
            uri: text::present(e.path).map(text::word),
            host: text::present(e.authority).map(text::word),
            status,
            upstream_status: None,
            bytes_to_client: text::unsigned(e.sent),
            bytes_to_server: text::unsigned(e.received),
            upgrade_asked: asked,
            termination: termination.map(Word::from),
            user_agent: text::present(e.user_agent).map(text::word),
            request_id: text::present(e.request_id).map(text::word),
            ws_key: text::present(e.ws_key).map(text::word),
            serial: None,
        }));
        Some(Outcome::Used)
    }
}
