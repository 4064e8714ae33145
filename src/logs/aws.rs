//! AWS lines beside ALB's requests: NLB (TLS), Classic ELB, ALB connections -> tunnels and failed TLS handshakes.

use super::access::{blank, matters};
use super::alb::tokenise;
use super::{LineReader, LogFormat, LogOptions, Out, Outcome, stamp, text};
use crate::model::{HopEvent, HopKind, HopLine, Line, MILLI_NS, RecordRef, Stamp, Zone, ZoneBasis};

#[derive(Debug)]
pub(super) struct NlbTls;
#[derive(Debug)]
pub(super) struct ClassicElb;
#[derive(Debug)]
pub(super) struct AlbConnection;

/// Fields in order (AWS, "Access logs for your Network Load Balancer").
const NLB: &[&str] = &[
    "type",
    "version",
    "time",
    "elb",
    "listener",
    "client:port",
    "destination:port",
    "connection_time",
    "tls_handshake_time",
    "received_bytes",
    "sent_bytes",
    "incoming_tls_alert",
    "chosen_cert_arn",
    "chosen_cert_serial",
    "tls_cipher",
    "tls_protocol_version",
    "tls_named_group",
    "domain_name",
    "alpn_fe_protocol",
    "alpn_be_protocol",
    "alpn_client_preference_list",
    "tls_connection_creation_time",
];
/// Fields in order (AWS, "Access logs for your Classic Load Balancer").
const ELB: &[&str] = &[
    "timestamp",
    "elb",
    "client:port",
    "backend:port",
    "request_processing_time",
    "backend_processing_time",
    "response_processing_time",
    "elb_status_code",
    "backend_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
];
/// Fields in order (AWS, "Connection logs for your Application Load Balancer").
const CONNECTION: &[&str] = &[
    "timestamp",
    "client_ip",
    "client_port",
    "listener_port",
    "tls_protocol",
    "tls_cipher",
    "tls_handshake_latency",
    "leaf_client_cert_subject",
    "leaf_client_cert_validity",
    "leaf_client_cert_serial_number",
    "tls_verify_status",
    "conn_trace_id",
];

const UTC: Zone = Zone {
    offset_s: 0,
    basis: ZoneBasis::Format,
};

fn named(names: &[&str], line: &[u8]) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    tokenise(line, &mut tokens);
    let name = |i: usize| {
        names
            .get(i)
            .map_or_else(|| format!("field {}", i + 1), |n| (*n).to_owned())
    };
    tokens
        .iter()
        .enumerate()
        .map(|(i, t)| (name(i), text::string(t)))
        .collect()
}

impl LogFormat for NlbTls {
    fn name(&self) -> &'static str {
        "nlb-tls"
    }
    fn title(&self) -> &'static str {
        "AWS NLB access log, TLS listeners"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            "tls 2.0 2018-12-20T02:59:40 net/my-network-loadbalancer/c6e77e28c25b2234 g3d4b5e8bb8464cd 192.0.2.154:51341 10.8.0.185:443 360005 2 98 246 - arn:aws:acm:us-east-2:671290407336:certificate/2a108f19 - ECDHE-RSA-AES128-SHA tlsv12 - my-nlb.elb.us-east-2.amazonaws.com - - - 2018-12-20T02:53:40",
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(nlb))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        named(NLB, line)
    }
}

impl LogFormat for ClassicElb {
    fn name(&self) -> &'static str {
        "elb-classic"
    }
    fn title(&self) -> &'static str {
        "AWS Classic ELB access log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"2026-11-20T20:48:04.123456Z my-loadbalancer 192.0.2.131:2817 10.8.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -"#,
            r#"2026-11-20T20:48:04.123456Z my-loadbalancer 192.0.2.131:2817 - -1 -1 -1 503 0 0 0 "GET http://www.example.test:80/ws HTTP/1.1" "curl/7.38.0" - -"#,
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(elb))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        named(ELB, line)
    }
}

impl LogFormat for AlbConnection {
    fn name(&self) -> &'static str {
        "alb-connection"
    }
    fn title(&self) -> &'static str {
        "AWS ALB connection log"
    }
    fn samples(&self) -> &'static [&'static str] {
        &[
            r#"2026-11-20T20:48:04.123456Z 203.0.113.7 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 "-" - - Success TID_f4ceaa5c3d9b"#,
            r#"2026-11-20T20:48:04.123456Z 203.0.113.7 36280 443 - - - "-" - - Failed:ClientCertMissing TID_f4ceaa5c3d9c"#,
        ]
    }
    fn open(&self, _: &LogOptions) -> Box<dyn LineReader> {
        Box::new(Reader(connection))
    }
    fn fields(&self, _: &LogOptions, line: &[u8]) -> Vec<(String, String)> {
        named(CONNECTION, line)
    }
}

/// True for what no other format should take.
pub(super) fn looks(line: &[u8]) -> bool {
    if stamp::iso(line).is_none() {
        return false;
    }
    let mut t = Vec::with_capacity(16);
    tokenise(line, &mut t);
    is_elb(&t) || is_connection(&t)
}

fn utc(text: &[u8]) -> Option<Stamp> {
    let date = stamp::iso(text)?;
    (date.len == text.len() && date.offset_s.is_none_or(|o| o == 0)).then(|| date.utc())
}

fn nlb(record: RecordRef, t: &[&[u8]], out: &mut Out<'_>) -> Option<()> {
    if t.len() < 12 || t[0] != b"tls" {
        return None;
    }
    let end = utc(t[2])?;
    let client = text::address(t[5])?;
    out.saw(end);
    let mut tunnel = blank(record, HopKind::Nlb);
    tunnel.end = Some(end);
    tunnel.life_ns = stamp::decimal(t[7], MILLI_NS);
    tunnel.start = tunnel.life_ns.map(|life| end.plus(-life));
    (tunnel.client, tunnel.client_port) = (Some(client.0), client.1);
    tunnel.upstream = text::socket(t[6]);
    tunnel.bytes_to_server = text::unsigned(t[9]);
    tunnel.bytes_to_client = text::unsigned(t[10]);
    tunnel.host = t.get(17).and_then(|h| text::present(h)).map(text::word);
    if tunnel.life_ns.is_some() {
        out.emit(Line::Tunnel(tunnel));
    } else {
        // Without a time of the connection its handshake did not come to an end.
        out.emit(failed_tls(record, HopKind::Nlb, end, client));
    }
    Some(())
}

fn failed_tls(
    record: RecordRef,
    hop: HopKind,
    at: Stamp,
    client: (std::net::IpAddr, Option<u16>),
) -> Line {
    Line::Hop(HopLine {
        record,
        hop,
        at,
        level: None,
        pid: None,
        what: HopEvent::TlsFailed,
        serial: None,
        client: Some(client.0),
        client_port: client.1,
        uri: None,
        upstream: None,
        host: None,
    })
}

fn is_elb(t: &[&[u8]]) -> bool {
    let time =
        |text: &[u8]| text == b"-1" || text::contains(text, b".") && stamp::seconds(text).is_some();
    t.len() >= 12
        && text::address(t[2]).is_some_and(|(_, port)| port.is_some())
        && t[4..7].iter().all(|s| time(s))
        && text::unsigned(t[9]).is_some()
}

fn elb(record: RecordRef, t: &[&[u8]], out: &mut Out<'_>) -> Option<()> {
    let start = utc(t.first()?)?;
    if !is_elb(t) {
        return None;
    }
    out.saw(start);
    let mut tunnel = blank(record, HopKind::Elb);
    tunnel.start = Some(start);
    tunnel.status = text::any_status(t[7]);
    tunnel.upstream_status = text::any_status(t[8]);
    if matters(&tunnel) {
        let client = text::address(t[2]);
        (tunnel.client, tunnel.client_port) =
            (client.map(|(ip, _)| ip), client.and_then(|(_, port)| port));
        tunnel.upstream = text::socket(t[3]);
        tunnel.bytes_to_server = text::unsigned(t[9]);
        tunnel.bytes_to_client = text::unsigned(t[10]);
        let (method, uri) = text::request(t[11]).filter(|(m, _)| *m != b"-").unzip();
        let (uri, host) = uri.map(text::relative).unzip();
        tunnel.method = method.map(text::word);
        tunnel.uri = uri.map(text::word);
        tunnel.host = host.flatten().map(text::word);
        tunnel.user_agent = t.get(12).and_then(|ua| text::present(ua)).map(text::word);
        out.emit(Line::Tunnel(tunnel));
    }
    Some(())
}

fn is_connection(t: &[&[u8]]) -> bool {
    t.len() >= 11
        && text::address(t[1]).is_some_and(|(_, port)| port.is_none())
        && [t[2], t[3]]
            .iter()
            .all(|p| text::unsigned(p).is_some_and(|p| p <= u64::from(u16::MAX)))
        && (t[10] == b"-" || t[10] == b"Success" || t[10].starts_with(b"Failed"))
}

fn connection(record: RecordRef, t: &[&[u8]], out: &mut Out<'_>) -> Option<()> {
    let at = utc(t.first()?)?;
    if !is_connection(t) {
        return None;
    }
    out.saw(at);
    if t[10].starts_with(b"Failed") {
        let ip = text::address(t[1])?.0;
        let port = text::unsigned(t[2]).and_then(|p| u16::try_from(p).ok());
        out.emit(failed_tls(record, HopKind::Alb, at, (ip, port)));
    }
    Some(())
}

struct Reader(fn(RecordRef, &[&[u8]], &mut Out<'_>) -> Option<()>);

impl LineReader for Reader {
    fn line(&mut self, record: RecordRef, line: &[u8], out: &mut Out<'_>) -> Outcome {
        let mut tokens = Vec::with_capacity(24);
        tokenise(line, &mut tokens);
        match (self.0)(record, &tokens, out) {
            Some(()) => {
                out.zone(UTC);
                Outcome::Used
            }
            None => Outcome::Odd("unknown-line"),
        }
    }
}
