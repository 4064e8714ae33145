//! Caddy's JSON lines (access, error and process) -> tunnels and hop events.

use super::access::{blank, matters};
use super::app_text::uncoloured;
use super::json::{self, Kind, Leaf};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{
    HopEvent, HopKind, HopLine, Line, LocalZone, RecordRef, Stamp, TunnelLine, Zone, ZoneBasis,
};

#[derive(Debug)]
pub(super) struct Caddy;

impl LogFormat for Caddy {
    fn name(&self) -> &'static str {
        "caddy"
    }
    fn title(&self) -> &'static str {
        "Caddy log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"{"level":"info","ts":1795208267.0971084,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"192.0.2.17","remote_port":"54516","proto":"HTTP/1.1","method":"GET","host":"ws.test","uri":"/idle","headers":{"Sec-Websocket-Key":["JB6Nv/EnzithyzUkBMb6IA=="],"Upgrade":["websocket"],"User-Agent":["wslab/1"]}},"user_id":"","duration":3.006521147,"size":0,"status":0,"resp_headers":{"Server":["Caddy"]}}"#,
            r#"{"level":"error","ts":1795208267.09,"logger":"http.log.error.log2","msg":"dial tcp 127.0.0.1:18099: connect: connection refused","request":{"remote_ip":"192.0.2.17","remote_port":"54516","method":"GET","host":"ws.test","uri":"/dead"},"duration":0.001,"status":502,"err_id":"x","err_trace":"reverseproxy.statusError (reverseproxy.go:1299)"}"#,
            r#"{"level":"info","ts":1795208267.09,"logger":"admin.api","msg":"received request","method":"POST","uri":"/load"}"#,
            "2026/11/20 20:57:47.097\t\x1b[34mINFO\x1b[0m\thttp.log.access.log0\thandled request\t{\"request\": {\"remote_ip\": \"192.0.2.17\", \"remote_port\": \"54516\", \"proto\": \"HTTP/1.1\", \"method\": \"GET\", \"host\": \"ws.test\", \"uri\": \"/idle\", \"headers\": {\"Upgrade\": [\"websocket\"]}}, \"duration\": 3.006, \"size\": 0, \"status\": 101}",
        ]
    }
    fn open(&self, options: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader {
            assumed: options.assumed_zone,
        })
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let Some(c) = console(line).filter(|_| line.first() != Some(&b'{')) else {
            return json::fields(line);
        };
        let mut all = vec![
            ("level".to_owned(), text::string(&c.level)),
            ("logger".to_owned(), text::string(c.logger)),
            ("msg".to_owned(), text::string(c.message)),
        ];
        all.extend(json::fields(c.object));
        all
    }
}

fn top<'a>(leaves: &[Leaf<'a>], name: &[u8]) -> Option<&'a [u8]> {
    leaves
        .iter()
        .find(|l| l.depth == 1 && l.key == name && l.kind != Kind::Tree)
        .map(|l| l.value)
}

/// Loggers that Caddy names (`caddyhttp`, `admin`, `tls`).
fn own_logger(logger: &[u8]) -> bool {
    [
        &b"http.log."[..],
        b"http.handlers.",
        b"http.auto_https",
        b"http.reverse_proxy",
        b"admin",
        b"tls.",
    ]
    .iter()
    .any(|name| logger.starts_with(name))
        || matches!(logger, b"http" | b"http.log" | b"tls" | b"admin")
}

/// One of its loggers, with its time and level.
pub(super) fn is_caddy(leaves: &[Leaf<'_>]) -> bool {
    top(leaves, b"logger").is_some_and(own_logger)
        && top(leaves, b"ts").is_some()
        && top(leaves, b"level").is_some()
}

/// A line for a terminal (`format console`): date, level, logger where there is one, message and an object, between tabs.
struct Console<'a> {
    date: stamp::Date,
    level: Vec<u8>,
    logger: &'a [u8],
    message: &'a [u8],
    object: &'a [u8],
}

fn console(line: &[u8]) -> Option<Console<'_>> {
    let date = stamp::iso(line)?;
    let rest = line.get(date.len..)?.strip_prefix(b"\t")?;
    let (level, rest) = text::cut(rest, b'\t')?;
    let (words, object) = match memchr::memmem::find(rest, b"\t{") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &b""[..]),
    };
    let (logger, message) = match text::cut(words, b'\t') {
        Some((logger, message)) => (logger, message),
        None => (&b""[..], words),
    };
    let own = own_logger(logger) || logger.is_empty() && process_line(message);
    own.then(|| Console {
        date,
        level: uncoloured(level).to_ascii_lowercase(),
        logger,
        message,
        object,
    })
}

/// Its line for a terminal, and no application's.
pub(super) fn looks(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_digit) && console(line).is_some()
}

/// What its lines without a logger are known by.
fn process_line(message: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 8] = [
        b"using ",
        b"serving initial configuration",
        b"adapted config",
        b"shutting down",
        b"shutdown complete",
        b"exiting",
        b"autosaved config",
        b"maxprocs",
    ];
    BEGINNINGS.iter().any(|b| message.starts_with(b))
}

struct Reader {
    assumed: LocalZone,
}

impl Reader {
    fn read(&self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let console = if line.first() == Some(&b'{') {
            None
        } else {
            Some(console(line)?)
        };
        let object = console.as_ref().map_or(line, |c| c.object);
        let mut leaves = Vec::new();
        if !object.is_empty() && !json::scan(object, &mut leaves) {
            return None;
        }
        let own = console.is_some() || is_caddy(&leaves);
        let message = console
            .as_ref()
            .map_or_else(|| top(&leaves, b"msg").unwrap_or(b""), |c| c.message);
        if !own && (top(&leaves, b"level").is_none() || !process_line(message)) {
            return None;
        }
        let (at, zone) = if let Some(c) = &console {
            c.date.stamp(self.assumed)
        } else {
            let written = top(&leaves, b"ts")?;
            match stamp::epoch(written) {
                Some(at) => (
                    at,
                    Zone {
                        offset_s: 0,
                        basis: ZoneBasis::Epoch,
                    },
                ),
                None => stamp::iso(written)?.stamp(self.assumed),
            }
        };
        out.saw(at);
        out.zone(zone);
        let logger = console
            .as_ref()
            .map_or_else(|| top(&leaves, b"logger").unwrap_or(b""), |c| c.logger);
        let tunnel = request(record, at, &leaves);
        if logger.starts_with(b"http.log.access") || message == b"handled request" {
            if matters(&tunnel) {
                out.emit(Line::Tunnel(tunnel));
            }
            return Some(Outcome::Used);
        }
        let what = classify(message, &leaves);
        if what != HopEvent::Other {
            let address = message
                .strip_prefix(b"dial tcp ")
                .and_then(|rest| rest.split(|c| *c == b' ').next())
                .and_then(|a| text::socket(a.strip_suffix(b":").unwrap_or(a)));
            out.emit(Line::Hop(HopLine {
                record,
                hop: HopKind::Caddy,
                at,
                level: console
                    .as_ref()
                    .map(|c| text::string(&c.level))
                    .or_else(|| top(&leaves, b"level").map(text::string)),
                pid: None,
                what,
                serial: None,
                client: tunnel.client,
                client_port: tunnel.client_port,
                uri: tunnel.uri.map(|w| w.to_string()),
                upstream: address,
                host: tunnel.host.map(|w| w.to_string()),
            }));
        }
        Some(if own { Outcome::Used } else { Outcome::Beside })
    }
}

/// The request of an access line; Caddy stamps it when it is over.
fn request(record: RecordRef, end: Stamp, leaves: &[Leaf<'_>]) -> TunnelLine {
    let mut tunnel = blank(record, HopKind::Caddy);
    tunnel.end = Some(end);
    let mut status = 0;
    for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
        let parent = leaves.get(leaf.parent).map_or(&b""[..], |p| p.key);
        let text = leaf.text();
        let value = text.as_ref();
        // A header is a list under its canonical name.
        let key = if leaf.key.is_empty() {
            parent
        } else {
            leaf.key
        };
        match (leaf.depth, key) {
            (1, b"status") => status = text::unsigned(value).unwrap_or(0),
            (1, b"duration") => tunnel.life_ns = seconds(value),
            (1, b"size") => tunnel.bytes_to_client = text::unsigned(value),
            (2, b"remote_ip") => tunnel.client = text::address(value).map(|(ip, _)| ip),
            (2, b"remote_port") => {
                tunnel.client_port = text::unsigned(value).and_then(|p| u16::try_from(p).ok());
            }
            (2, b"remote_addr") => {
                (tunnel.client, tunnel.client_port) =
                    text::address(value).map_or((None, None), |(ip, port)| (Some(ip), port));
            }
            (2, b"method") => tunnel.method = text::present(value).map(text::word),
            (2, b"host") => tunnel.host = text::present(value).map(text::word),
            (2, b"uri") => tunnel.uri = text::present(value).map(text::word),
            (4, b"Upgrade") => {
                tunnel.upgrade_asked = Some(
                    tunnel.upgrade_asked == Some(true) || value.eq_ignore_ascii_case(b"websocket"),
                );
            }
            (4, b"Sec-Websocket-Key") => tunnel.ws_key = text::present(value).map(text::word),
            (4, b"User-Agent") => tunnel.user_agent = text::present(value).map(text::word),
            (4, b"X-Request-Id") => tunnel.request_id = text::present(value).map(text::word),
            (4, b"X-Forwarded-For") if tunnel.forwarded_for.is_empty() => {
                tunnel.forwarded_for = text::addresses(value);
            }
            _ => {}
        }
    }
    // It logs the headers it was given: without Upgrade among them nobody asked.
    if leaves.iter().any(|l| l.depth == 2 && l.key == b"headers") {
        tunnel.upgrade_asked = Some(tunnel.upgrade_asked == Some(true));
    }
    tunnel.status = match u16::try_from(status) {
        // Versions before 2.6.3 write 0 for a request that left HTTP.
        Ok(0) if tunnel.upgrade_asked == Some(true) => Some(101),
        Ok(s @ 100..=999) => Some(s),
        _ => None,
    };
    if tunnel.status == Some(101) && tunnel.bytes_to_client == Some(0) && status == 0 {
        tunnel.bytes_to_client = None;
    }
    tunnel.start = tunnel.life_ns.map(|life| end.plus(-life));
    tunnel
}

/// A float of seconds, or Go's duration as text (`3.006s`).
fn seconds(value: &[u8]) -> Option<i64> {
    stamp::seconds(value.strip_suffix(b"s").unwrap_or(value))
}

fn classify(message: &[u8], leaves: &[Leaf<'_>]) -> HopEvent {
    let error = top(leaves, b"error").unwrap_or(b"");
    let has = |what: &[u8]| text::contains(message, what) || text::contains(error, what);
    if has(b"too many open files") {
        HopEvent::DescriptorsExhausted
    } else if has(b"connect: connection refused") {
        HopEvent::UpstreamRefused
    } else if has(b"no upstreams available") {
        HopEvent::NoLiveUpstreams
    } else if has(b"dial tcp")
        && (has(b"i/o timeout") || has(b"no route to host") || has(b"no such host"))
    {
        HopEvent::UpstreamUnreachable
    } else if has(b"timeout awaiting response headers") {
        HopEvent::HandshakeTimeout
    } else if has(b"context canceled") {
        HopEvent::ClientLeftEarly
    } else if (has(b"EOF") || has(b"connection reset by peer"))
        && top(leaves, b"err_trace").is_some()
    {
        HopEvent::UpstreamClosedEarly
    } else if has(b"TLS handshake error") {
        HopEvent::TlsFailed
    } else if message == b"stream timed out" {
        HopEvent::IdleTimeout
    } else if message.starts_with(b"serving initial configuration") {
        HopEvent::Started
    } else if message == b"load complete" {
        HopEvent::Reload
    } else if message.starts_with(b"shutting down") {
        HopEvent::Stopped
    } else if message.starts_with(b"shutdown complete") || message.starts_with(b"exiting") {
        HopEvent::Exiting
    } else if message.starts_with(b"servers shutting down with eternal grace period") {
        HopEvent::Draining
    } else {
        HopEvent::Other
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        self.read(record, line.trim_ascii_end(), out)
            .unwrap_or(Outcome::Odd("unknown-line"))
    }
}
