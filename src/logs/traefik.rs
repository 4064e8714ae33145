//! Traefik access lines (common log format and JSON) -> tunnels.

use super::access::{blank, matters};
use super::json::{self, Kind, Leaf};
use super::stamp::Memo;
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopKind, Line, LocalZone, MILLI_NS, RecordRef, Word};

#[derive(Debug)]
pub(super) struct Traefik;

impl LogFormat for Traefik {
    fn name(&self) -> &'static str {
        "traefik-access"
    }
    fn title(&self) -> &'static str {
        "Traefik access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"192.0.2.17 - - [20/Nov/2026:20:48:04 +0000] "GET /ws HTTP/1.1" 101 0 "-" "-" 12 "chat@docker" "http://10.8.0.3:8080" 3006ms"#,
            r#"{"ClientAddr":"192.0.2.17:54516","ClientHost":"192.0.2.17","ClientPort":"54516","DownstreamContentSize":0,"DownstreamStatus":101,"Duration":3006521147,"OriginStatus":101,"RequestHost":"ws.test","RequestMethod":"GET","RequestPath":"/ws","RequestProtocol":"HTTP/1.1","ServiceAddr":"10.8.0.3:8080","StartUTC":"2026-11-20T20:48:04.123456789Z","level":"info","msg":"","time":"2026-11-20T20:48:07Z"}"#,
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
            ("ClientHost", e.client),
            ("StartUTC", e.start),
            ("request", e.request),
            ("DownstreamStatus", e.status),
            ("DownstreamContentSize", e.bytes),
            ("user_agent", e.user_agent),
            ("RouterName", e.router),
            ("ServiceURL", e.service),
            ("Duration (ms)", e.life_ms),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), text::string(v)))
        .collect()
    }
}

/// The common format's places (Traefik, `observability/access-logs`).
#[derive(Default)]
struct Common<'a> {
    client: &'a [u8],
    start: &'a [u8],
    request: &'a [u8],
    status: &'a [u8],
    bytes: &'a [u8],
    user_agent: &'a [u8],
    router: &'a [u8],
    service: &'a [u8],
    life_ms: &'a [u8],
}

/// `"Referer" "User-Agent" 12 "router@provider" "http://10.0.0.5:80" 3006ms` ends the line.
fn of_text(line: &[u8]) -> Option<Common<'_>> {
    let mut c = Common {
        life_ms: line.strip_suffix(b"ms")?,
        ..Common::default()
    };
    let at = memchr::memrchr(b' ', c.life_ms)?;
    c.life_ms = &c.life_ms[at + 1..];
    text::unsigned(c.life_ms)?;
    let at = memchr::memmem::find(line, b" [")?;
    c.client = line[..at].split(|c| *c == b' ').next()?;
    let (start, rest) = text::cut(&line[at + 2..], b']')?;
    c.start = start;
    let (request, rest) = quoted(rest.strip_prefix(b" ")?)?;
    c.request = request;
    let (status, rest) = text::cut(rest.strip_prefix(b" ")?, b' ')?;
    let (bytes, rest) = text::cut(rest, b' ')?;
    (c.status, c.bytes) = (status, bytes);
    let (_, rest) = quoted(rest)?;
    let (user_agent, rest) = quoted(rest.strip_prefix(b" ")?)?;
    let (count, rest) = text::cut(rest.strip_prefix(b" ")?, b' ')?;
    text::unsigned(count)?;
    let (router, rest) = quoted(rest)?;
    let (service, _) = quoted(rest.strip_prefix(b" ")?)?;
    (c.user_agent, c.router, c.service) = (user_agent, router, service);
    Some(c)
}

fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let end = text::quoted(inner, b'"')?;
    Some((&inner[..end], &inner[end + 1..]))
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    line.ends_with(b"ms") && of_text(line).is_some()
}

/// Its own names of things.
pub(super) fn is_traefik(leaves: &[Leaf<'_>]) -> bool {
    let has = |name: &[u8]| leaves.iter().any(|l| l.key == name && l.kind != Kind::Tree);
    has(b"DownstreamStatus") && (has(b"StartUTC") || has(b"StartLocal") || has(b"Duration"))
}

struct Reader {
    memo: Memo,
    assumed: LocalZone,
}

impl Reader {
    fn text(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let e = of_text(line)?;
        let (start, zone) = self.memo.get(e.start, stamp::clf)?.stamp(self.assumed);
        let life_ns = stamp::decimal(e.life_ms, MILLI_NS)?;
        let end = start.plus(life_ns);
        out.saw(end);
        out.zone(zone);
        let mut tunnel = blank(record, HopKind::Traefik);
        tunnel.status = text::any_status(e.status);
        if !matters(&tunnel) {
            return Some(Outcome::Used);
        }
        let client = text::address(e.client);
        let (method, uri) = text::request(e.request).unzip();
        (tunnel.start, tunnel.end, tunnel.life_ns) = (Some(start), Some(end), Some(life_ns));
        tunnel.client = client.map(|(ip, _)| ip);
        tunnel.client_port = client.and_then(|(_, port)| port);
        tunnel.method = method.map(text::word);
        tunnel.uri = uri.map(text::word);
        tunnel.upstream = text::relative(e.service).1.and_then(text::socket);
        tunnel.bytes_to_client = text::unsigned(e.bytes);
        tunnel.user_agent = text::present(e.user_agent).map(text::word);
        out.emit(Line::Tunnel(tunnel));
        Some(Outcome::Used)
    }

    fn json(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
        let mut leaves = Vec::new();
        if !json::scan(line, &mut leaves) || !is_traefik(&leaves) {
            return None;
        }
        let mut tunnel = blank(record, HopKind::Traefik);
        let (mut utc, mut local) = (None, None);
        let (mut origin, mut path) = (None, None);
        for leaf in leaves.iter().filter(|l| l.kind != Kind::Tree) {
            let value = leaf.text();
            let value = value.as_ref();
            match leaf.key {
                b"StartUTC" => utc = stamp::iso(value),
                b"StartLocal" => local = stamp::iso(value),
                b"Duration" => tunnel.life_ns = stamp::decimal(value, 1),
                b"ClientAddr" | b"ClientHost" => {
                    if let Some((ip, port)) = text::address(value) {
                        tunnel.client = Some(ip);
                        tunnel.client_port = tunnel.client_port.or(port);
                    }
                }
                b"ClientPort" => {
                    tunnel.client_port = text::unsigned(value)
                        .and_then(|p| u16::try_from(p).ok())
                        .or(tunnel.client_port);
                }
                b"ServiceAddr" => tunnel.upstream = text::socket(value).or(tunnel.upstream),
                b"ServiceURL" => {
                    tunnel.upstream = tunnel
                        .upstream
                        .or_else(|| text::relative(value).1.and_then(text::socket));
                }
                b"RequestMethod" => tunnel.method = text::present(value).map(text::word),
                b"RequestPath" => path = text::kept(value),
                b"RequestHost" => tunnel.host = text::present(value).map(text::word),
                b"DownstreamStatus" => tunnel.status = text::any_status(value),
                b"OriginStatus" => origin = text::any_status(value),
                b"DownstreamContentSize" => tunnel.bytes_to_client = text::unsigned(value),
                b"request_Upgrade" => {
                    tunnel.upgrade_asked = Some(value.eq_ignore_ascii_case(b"websocket"));
                }
                b"request_Sec-Websocket-Key" => {
                    tunnel.ws_key = text::present(value).map(text::word)
                }
                b"request_User-Agent" => tunnel.user_agent = text::present(value).map(text::word),
                b"request_X-Request-Id" => tunnel.request_id = text::present(value).map(text::word),
                b"request_X-Forwarded-For" => tunnel.forwarded_for = text::addresses(value),
                _ => {}
            }
        }
        let (start, zone) = utc.or(local)?.stamp(self.assumed);
        tunnel.start = Some(start);
        tunnel.end = tunnel.life_ns.map(|life| start.plus(life));
        tunnel.upstream_status = origin;
        tunnel.uri = path.map(Word::from);
        out.saw(tunnel.end.unwrap_or(start));
        out.zone(zone);
        if matters(&tunnel) {
            out.emit(Line::Tunnel(tunnel));
        }
        Some(Outcome::Used)
    }
}

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let line = line.trim_ascii_end();
        let read = if line.first() == Some(&b'{') {
            self.json(record, line, out)
        } else {
            self.text(record, line, out)
        };
        read.unwrap_or(Outcome::Odd("unknown-line"))
    }
}
