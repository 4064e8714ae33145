//! AWS Application Load Balancer access lines -> tunnels.

use super::text::near::word;
use super::{Block, Skimmed};
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, gate, is_line, stamp, text};
use crate::model::{HopKind, Line, RecordRef, TunnelLine, Zone, ZoneBasis};

#[derive(Debug)]
pub(super) struct AlbAccess;

/// Fields in order (AWS, "Access logs for your Application Load Balancer"); more are added at the end over the years.
const NAMES: &[&str] = &[
    "type",
    "time",
    "elb",
    "client:port",
    "target:port",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
    "target:port_list",
    "target_status_code_list",
    "classification",
    "classification_reason",
    "conn_trace_id",
    "transformed_host",
    "transformed_uri",
    "request_transform_status",
];
/// Fewer fields are no ALB line.
const LEAST: usize = 14;

impl LogFormat for AlbAccess {
    fn name(&self) -> &'static str {
        "alb-access"
    }
    fn title(&self) -> &'static str {
        "AWS ALB access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"ws 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 10.0.0.140:40914 10.0.1.192:8010 0.001 0.003 0.000 101 101 218 587 "GET http://10.0.0.30:80/ HTTP/1.1" "-" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337364-23a8c76965a2ef7629b185e3" "-" "-" 1 2018-07-02T22:22:48.364000Z "forward" "-" "-" "10.0.1.192:8010" "101" "-" "-""#,
            r#"https 2026-11-20T21:42:53.589928Z app/chat/50dc6c495c0c9188 192.0.2.7:33605 - -1 -1 -1 503 - 328 222 "GET https://chat.example.test:443/ws HTTP/1.1" "x" - - - "Root=1-6" "-" "-" 0 2026-11-20T21:42:46.883750Z "forward" "-" "-" "-" "-" "-" "-" TID_1 "-" "-" "-" 10.0.0.1"#,
        ]
    }
    fn parts_between(&self, before: &[u8], after: &[u8]) -> bool {
        is_line(before) && is_line(after)
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader::default())
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        let mut tokens = Vec::new();
        tokenise(line, &mut tokens);
        let name = |i: usize| {
            NAMES
                .get(i)
                .map_or_else(|| format!("field {}", i + 1), |n| (*n).to_owned())
        };
        tokens
            .iter()
            .enumerate()
            .map(|(i, t)| (name(i), text::string(t)))
            .collect()
    }
}

/// Blank-separated, quotes kept together.
pub(super) fn tokenise<'a>(line: &'a [u8], tokens: &mut Vec<&'a [u8]>) {
    let mut rest = line.trim_ascii();
    while !rest.is_empty() && tokens.len() < 64 {
        if let Some(inner) = rest.strip_prefix(b"\"") {
            let end = text::quoted(inner, b'"').unwrap_or(inner.len());
            tokens.push(&inner[..end]);
            rest = inner.get(end + 1..).unwrap_or(b"");
        } else {
            let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
            tokens.push(&rest[..end]);
            rest = &rest[end..];
        }
        rest = rest.trim_ascii_start();
    }
}

#[derive(Default)]
struct Reader {
    seconds: stamp::Seconds,
}

/// The stamps end in `Z`.
const UTC: Zone = Zone {
    offset_s: 0,
    basis: ZoneBasis::Format,
};

impl LineReader for Reader {
    fn skim(&mut self, block: Block<'_>, from: usize, out: &mut Out<'_>) -> Skimmed {
        gate::skim(block, from, |line, place| {
            self.pass(line, place, out).is_some()
        })
    }

    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        read(record, line, out).unwrap_or(Outcome::Odd("unknown-line"))
    }
}

impl Reader {
    /// Passes over a plain request, and over one that failed on a path that nothing is known of.
    fn pass(&mut self, line: &[u8], place: gate::Place, out: &mut Out<'_>) -> Option<()> {
        let answer = answer(line)?;
        let at = self.seconds.utc(answer.time)?;
        if !gate::is_plain(answer.status) {
            let end = text::quoted(answer.request, b'"')?;
            // Fewer fields are no line of ALB's: two stand behind the request.
            let rest = answer.request.get(end..)?;
            let (_, uri) = text::request(answer.request.get(..end)?)?;
            let whole = gate::is_refusal(answer.status) && rest.starts_with(b"\" \"");
            let record = place.record(out.source, line.len());
            (whole && out.puts_off(record, text::relative(uri).0)).then_some(())?;
        }
        out.saw(at);
        out.zone(UTC);
        Some(())
    }
}

/// What decides about a line whose type is no WebSocket's.
struct Answer<'a> {
    time: &'a [u8],
    status: &'a [u8],
    /// What follows the first quote.
    request: &'a [u8],
}

/// The request, which is the first field in quotes, follows where it should.
fn answer(line: &[u8]) -> Option<Answer<'_>> {
    let (kind, rest) = word(line)?;
    if !matches!(kind, b"http" | b"https" | b"h2" | b"grpcs") {
        return None;
    }
    let (time, mut rest) = word(rest)?;
    // The balancer, client, target, and three times.
    for _ in 0..6 {
        (_, rest) = word(rest)?;
    }
    let (status, rest) = word(rest)?;
    // The target's status, bytes received, bytes sent.
    let (_, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    let (_, rest) = word(rest)?;
    Some(Answer {
        time,
        status,
        request: rest.strip_prefix(b"\"")?,
    })
}

fn read(record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Option<Outcome> {
    let (kind, rest) = text::cut(line, b' ')?;
    if !matches!(kind, b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss") {
        return None;
    }
    // For WebSockets the time is that of the close.
    let end = stamp::iso(rest).filter(|d| d.offset_s == Some(0))?.utc();
    if answer(line).is_some_and(|answer| gate::is_plain(answer.status)) {
        out.saw(end);
        out.zone(UTC);
        return Some(Outcome::Used);
    }
    let mut t = Vec::with_capacity(40);
    tokenise(line, &mut t);
    if t.len() < LEAST {
        return None;
    }
    out.saw(end);
    out.zone(UTC);
    let status = text::any_status(t[8]);
    let web_socket = matches!(kind, b"ws" | b"wss");
    if !web_socket && !status.is_some_and(|s| s == 101 || s >= 400) {
        return Some(Outcome::Used);
    }
    let start = t.get(21).and_then(|s| stamp::iso(s)).map(|d| d.utc());
    let client = text::address(t[3]);
    let (method, uri) = text::request(t[12]).unzip();
    let (uri, host) = uri.map(text::relative).unzip();
    if !web_socket
        && status.is_some_and(|s| s >= 400)
        && uri.is_some_and(|uri| out.puts_off(record, uri))
    {
        return Some(Outcome::Used);
    }
    out.emit(Line::Tunnel(TunnelLine {
        record,
        hop: HopKind::Alb,
        start,
        end: Some(end),
        life_ns: start.map(|s| end.at.since(s.at)),
        client: client.map(|(ip, _)| ip),
        client_port: client.and_then(|(_, port)| port),
        forwarded_for: Vec::new(),
        upstream_local: None,
        upstream: text::socket(t[4]),
        method: method.map(text::word),
        uri: uri.map(text::word),
        host: host.flatten().map(text::word),
        status,
        upstream_status: text::any_status(t[9]),
        bytes_to_client: text::unsigned(t[11]),
        bytes_to_server: text::unsigned(t[10]),
        // A refused upgrade is written as http or https: that type says nothing of what was asked.
        upgrade_asked: web_socket.then_some(true),
        termination: t.get(24).and_then(|r| text::present(r)).map(text::word),
        user_agent: text::present(t[13]).map(text::word),
        request_id: t.get(17).and_then(|r| text::present(r)).map(text::word),
        ws_key: None,
        serial: None,
    }));
    Some(Outcome::Used)
}
