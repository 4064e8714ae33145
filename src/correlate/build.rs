//! Drafts -> connections: identity, path, opening, end, silence and time line of each.

use super::draft::Draft;
use super::ending::{self, ending};
use super::hops::Places;
use super::legs;
use crate::model::{
    AppEvent, Client, CloseSummary, Closer, Closing, Connection, Direction, Event, EventKind,
    HopEvent, HopKind, LegEventKind, LegObservation, Moment, RequestSummary, Role, SECOND_NS,
    Stamp, Word, say_duration,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

pub(super) fn connections(drafts: Vec<Draft>, places: &Places) -> Vec<Connection> {
    let mut all: Vec<Connection> = drafts.into_iter().map(|d| connection(d, places)).collect();
    // Places are sorted and not connections, which are large: each is moved once.
    let mut order: Vec<(Moment, Option<IpAddr>, Option<u16>, usize)> = all
        .iter()
        .enumerate()
        .map(|(i, c)| (c.sort_at, c.client.ip, c.client.port, i))
        .collect();
    let uri = |i: usize| all[i].request.uri.as_deref();
    order.sort_by(|a, b| {
        (a.0, a.1, a.2)
            .cmp(&(b.0, b.1, b.2))
            .then_with(|| uri(a.3).cmp(&uri(b.3)))
    });
    let order: Vec<usize> = order.into_iter().map(|(.., i)| i).collect();
    let hashes = number(&mut all, &order);
    tie_reconnects(&mut all, &order);
    // Ids are beginnings of hashes, as long as it takes to tell them apart: the order of the one is that of the other.
    let mut by_id: Vec<(Moment, u64, usize)> = hashes
        .into_iter()
        .map(|(hash, i)| (all[i].sort_at, hash, i))
        .collect();
    by_id.sort_by(|a, b| {
        (a.0, a.1)
            .cmp(&(b.0, b.1))
            .then_with(|| all[a.2].id.cmp(&all[b.2].id))
    });
    arrange(&mut all, by_id.into_iter().map(|(.., i)| i).collect());
    all
}

/// Moves each to where `order` names its place.
fn arrange(all: &mut [Connection], mut order: Vec<usize>) {
    for start in 0..order.len() {
        let mut here = start;
        loop {
            let from = std::mem::replace(&mut order[here], here);
            if from == start {
                break;
            }
            all.swap(here, from);
            here = from;
        }
    }
}

fn connection(draft: Draft, places: &Places) -> Connection {
    let clients = draft.clients();
    let (hops, from) = places.path(&draft, &clients);
    let identity = draft.identity();
    let opened = draft.opened();
    let log_over = draft.over();
    let Draft {
        mut chain,
        tunnels,
        hop_lines,
        app_lines,
        app_doubtful,
    } = draft;
    for (leg, from) in chain.iter_mut().zip(from) {
        leg.from = from;
    }
    let end = ending(&chain, &hops);
    let handshake = chain.iter().find_map(legs::request);
    let uri = handshake
        .map(|r| Word::from(r.uri.as_str()))
        .or_else(|| tunnels.iter().find_map(|t| t.uri.clone()))
        .or_else(|| {
            app_lines
                .iter()
                .find_map(|a| a.uri.as_deref().map(Word::from))
        });
    let ip = clients.first().copied();
    let port = chain
        .first()
        .filter(|l| Some(l.client.ip().to_canonical()) == ip)
        .map(|l| l.client.port())
        .or_else(|| {
            tunnels
                .iter()
                .find(|t| t.client == ip)
                .and_then(|t| t.client_port)
        })
        .or_else(|| {
            hop_lines
                .iter()
                .find(|h| h.is_tls() && h.client == ip)
                .and_then(|h| h.client_port)
        })
        .or_else(|| {
            app_lines
                .iter()
                .find(|a| a.client.first().copied() == ip)
                .and_then(|a| a.client_port)
        });
    let status = chain
        .iter()
        .find_map(legs::response)
        .map(|r| r.status)
        .or_else(|| tunnels.iter().find_map(|t| t.status))
        .or_else(|| told_by_application(&app_lines));
    // Where captures show no end, a log may still know of one.
    let closed = end.closed.or(log_over);
    let reported_server = app_lines.iter().rev().find_map(|a| match a.what {
        AppEvent::Close { code, .. } => code,
        _ => None,
    });
    let silence_ns = closed
        .zip(ending::last_payload(&chain))
        .map(|(c, p)| c.at.since(p).max(0));
    let mut events = events(&chain, &hops, &tunnels, &hop_lines, &app_lines);
    events.sort_by_key(|e| (e.at.at, e.record));
    let sort_at = opened
        .or(closed)
        .map(|s| s.at)
        .or_else(|| events.first().map(|e| e.at.at))
        .or_else(|| chain.first().map(legs::opened))
        .unwrap_or_default();
    let closer = match end.closer.role {
        Role::Unknown if end.closed.is_none() => {
            by_logs(&hop_lines, &tunnels, &hops).unwrap_or(end.closer)
        }
        _ => end.closer,
    };
    Connection {
        id: String::new(),
        client: Client { ip, port, identity },
        request: RequestSummary {
            method: handshake
                .map(|r| Word::from(r.method.as_str()))
                .or_else(|| tunnels.iter().find_map(|t| t.method.clone())),
            uri,
            host: handshake
                .and_then(|r| r.host.as_deref().map(Word::from))
                .or_else(|| tunnels.iter().find_map(|t| t.host.clone()))
                .or_else(|| {
                    let mut all = chain.iter().flat_map(|l| &l.observations);
                    all.find_map(|o| o.sni.as_deref().map(Word::from))
                }),
            status,
            user_agent: handshake
                .and_then(|r| r.user_agent.as_deref().map(Word::from))
                .or_else(|| tunnels.iter().find_map(|t| t.user_agent.clone())),
        },
        close: CloseSummary {
            from_client: end.from_client,
            from_server: end.from_server,
            reported_client: None,
            reported_server,
            tcp: end.tcp,
        },
        hops,
        legs: chain,
        tunnels,
        hop_lines,
        app_lines,
        app_doubtful,
        opened,
        closed,
        silence_ns,
        closer,
        events,
        reconnect_of: None,
        reconnected_as: None,
        sort_at,
    }
}

/// The answer that an application's lines tell of. What ended or was given up had been accepted, whether or not a line says so.
fn told_by_application(lines: &[crate::model::AppLine]) -> Option<u16> {
    let said = lines.iter().find_map(|a| match a.what {
        AppEvent::Rejected { status } => status,
        AppEvent::Open => Some(101),
        _ => None,
    });
    let refused = |a: &crate::model::AppLine| matches!(a.what, AppEvent::Rejected { .. });
    let stood = |a: &crate::model::AppLine| {
        matches!(
            a.what,
            AppEvent::Close { .. }
                | AppEvent::HeartbeatMissed
                | AppEvent::Idle
                | AppEvent::ReadTimedOut
                | AppEvent::Backpressure
        )
    };
    said.or_else(|| (!lines.iter().any(refused) && lines.iter().any(stood)).then_some(101))
}

/// A log line that says by itself who ended the connection.
fn by_logs(
    hop_lines: &[crate::model::HopLine],
    tunnels: &[crate::model::TunnelLine],
    hops: &[crate::model::Hop],
) -> Option<Closer> {
    let at = |kind: HopKind| {
        hops.iter()
            .position(|h| h.kind == kind)
            .map(|i| ending::named(hops, i))
    };
    if let Some(line) = hop_lines.iter().find(|h| {
        matches!(
            h.what,
            HopEvent::IdleTimeout | HopEvent::ClientTimeout | HopEvent::TcpTimeout
        )
    }) {
        return at(line.hop);
    }
    let timer = tunnels
        .iter()
        .find(|t| t.ended_by_timer() == Some(true) || t.ended_by_age());
    if let Some(t) = timer {
        return at(t.hop);
    }
    let client_reset = hop_lines
        .iter()
        .any(|h| h.what == HopEvent::ResetWhileUpgraded && h.from_upstream() == Some(false));
    if client_reset && hops.get(1).is_some_and(|h| h.kind == HopKind::Nginx) {
        return Some(ending::named(hops, 0));
    }
    // Only where nobody stands between: a hop may pass on what another one began.
    let beside = |t: &crate::model::TunnelLine| {
        let here = hops.iter().position(|h| h.kind == t.hop)?;
        let by = match t.end_came()? {
            Direction::ToServer => here.checked_sub(1).filter(|&i| i == 0),
            Direction::ToClient => Some(here + 1).filter(|&i| i + 1 == hops.len()),
        }?;
        Some(ending::named(hops, by))
    };
    tunnels
        .iter()
        .filter(|t| t.status == Some(101))
        .find_map(beside)
}

/// Ids from the connection's own data; digits are added only where two would be alike.
/// Gives the hash of each, in order of the hashes.
fn number(all: &mut [Connection], order: &[usize]) -> Vec<(u64, usize)> {
    let mut ip = String::new();
    let mut hashes: Vec<(u64, usize)> = order
        .iter()
        .map(|&i| {
            let c = &all[i];
            let mut h = Fnv::new();
            ip.clear();
            match c.client.ip {
                Some(IpAddr::V4(address)) => {
                    for (n, octet) in address.octets().into_iter().enumerate() {
                        ip.push_str(if n == 0 { "" } else { "." });
                        push_number(&mut ip, u32::from(octet));
                    }
                }
                // Writing to a string cannot fail.
                Some(address) => _ = write!(ip, "{address}"),
                None => {}
            }
            h.write(ip.as_bytes());
            h.write(&c.client.port.unwrap_or(0).to_be_bytes());
            h.write(c.request.uri.as_deref().unwrap_or("").as_bytes());
            h.write(&c.sort_at.0.to_be_bytes());
            (h.finish(), i)
        })
        .collect();
    // Whose hashes begin alike stand side by side; of equal ones each keeps its place in the order.
    hashes.sort_by_key(|&(hash, _)| hash);
    for group in hashes.chunk_by(|a, b| a.0 == b.0) {
        if let [_, _, ..] = group {
            for (n, &(hash, i)) in group.iter().enumerate() {
                all[i].id = format!("c-{hash:016x}-{n}");
            }
        }
    }
    for (at, &(hash, i)) in hashes.iter().enumerate() {
        let beside = [at.checked_sub(1), at.checked_add(1)];
        let alike = beside
            .into_iter()
            .filter_map(|n| Some((hashes.get(n?)?.0 ^ hash).leading_zeros()))
            .max()
            .unwrap_or(0);
        if alike < 64 {
            let digits = (alike / 4 / 2 * 2 + 2).max(6);
            let hex = (1..=digits)
                .filter_map(|n| char::from_digit((hash >> (64 - 4 * n)) as u32 & 15, 16));
            let id = &mut all[i].id;
            id.reserve_exact(2 + digits as usize);
            id.push_str("c-");
            id.extend(hex);
        }
    }
    hashes
}

/// As `to_string` writes it, which takes several times as long: an address has four of them, and there may be a million addresses.
fn push_number(text: &mut String, number: u32) {
    let mut tens = 1;
    while number / tens >= 10 {
        tens *= 10;
    }
    while tens > 0 {
        text.extend(char::from_digit(number / tens % 10, 10));
        tens /= 10;
    }
}

/// FNV-1a, 64 bit, with a final mix: stable over machines and versions, which the standard hasher does not promise.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    const fn finish(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ (x >> 32)
    }
}

/// Two that one client opened at one moment and of which a log alone tells one: the same connection under the names of two
/// hops, not a return of its client.
fn seen_twice(a: &Connection, b: &Connection) -> bool {
    let tick = |c: &Connection| c.opened.map_or(0, |s| s.tick_ns);
    let apart = b.sort_at.since(a.sort_at).abs();
    let over = a
        .closed
        .is_some_and(|end| end.middle() <= b.sort_at.plus(tick(b)));
    let by_log_alone = a.legs.is_empty() || b.legs.is_empty();
    by_log_alone
        && a.client.ip != b.client.ip
        && !over
        && apart <= SECOND_NS / 2 + tick(a).max(tick(b))
}

/// Each attempt of a client follows the one before it, however that one ended.
fn tie_reconnects(all: &mut [Connection], order: &[usize]) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for &i in order {
        let Some(identity) = all[i].client.identity.clone() else {
            continue;
        };
        if let Some(&before) = last.get(&identity)
            && seen_twice(&all[before], &all[i])
        {
            if all[before].legs.is_empty() {
                last.insert(identity, i);
            }
            continue;
        }
        if let Some(before) = last.insert(identity, i) {
            let id = all[i].id.clone();
            all[i].reconnect_of = Some(all[before].id.clone());
            all[before].reconnected_as = Some(id);
        }
    }
}

fn events(
    chain: &[legs::Leg],
    hops: &[crate::model::Hop],
    tunnels: &[crate::model::TunnelLine],
    hop_lines: &[crate::model::HopLine],
    app_lines: &[crate::model::AppLine],
) -> Vec<Event> {
    let mut all = Vec::with_capacity(tunnels.len() + hop_lines.len() + app_lines.len());
    for (i, leg) in chain.iter().enumerate() {
        // One vantage point per leg tells the story: the one that saw most.
        let Some(o) = leg.observations.iter().max_by_key(|o| {
            (
                o.to_server.packets + o.to_client.packets,
                std::cmp::Reverse(o.vantage),
            )
        }) else {
            continue;
        };
        all.extend(o.events.iter().map(|e| {
            let (kind, say) = say(o, &e.what);
            Event {
                at: Stamp::new(e.mark.at, 1_000),
                record: e.mark.record,
                leg: Some(i),
                direction: Some(e.direction),
                hop: None,
                kind,
                say,
            }
        }));
    }
    let at_hop = |kind: HopKind| {
        hops.iter()
            .position(|h| h.kind == kind)
            .or(Some(hops.len().saturating_sub(1)))
    };
    let log = |at: Stamp, record, hop, say: String| Event {
        at,
        record,
        leg: None,
        direction: None,
        hop,
        kind: EventKind::Log,
        say,
    };
    for t in tunnels {
        if let Some(at) = t.end.or(t.start) {
            all.push(log(at, t.record, at_hop(t.hop), say_tunnel(t)));
        }
    }
    for h in hop_lines {
        all.push(log(
            h.at,
            h.record,
            at_hop(h.hop),
            say_hop(h.what).to_owned(),
        ));
    }
    for a in app_lines {
        all.push(log(
            a.at,
            a.record,
            Some(hops.len().saturating_sub(1)),
            say_app(&a.what),
        ));
    }
    all
}

fn say_tunnel(t: &crate::model::TunnelLine) -> String {
    let mut say = String::new();
    match t.status {
        Some(status) => push_number(&mut say, u32::from(status)),
        None => say.push_str("logged"),
    }
    if let Some(ns) = t.life_ns {
        say.push_str(" after ");
        say.push_str(&say_duration(ns));
    }
    if let Some(flag) = t.termination.as_deref().filter(|f| !f.is_empty()) {
        say.push(' ');
        say.push_str(flag);
    }
    say
}

const fn say_hop(what: HopEvent) -> &'static str {
    match what {
        HopEvent::IdleTimeout => "idle time-out of the upgraded connection",
        HopEvent::ClientTimeout => "client did not read in time",
        HopEvent::ResetWhileUpgraded => "connection reset by peer",
        HopEvent::TcpTimeout => "peer stopped acknowledging",
        HopEvent::HandshakeTimeout => "no answer to the handshake in time",
        HopEvent::UpstreamRefused => "upstream refused the connection",
        HopEvent::UpstreamUnreachable => "upstream unreachable",
        HopEvent::UpstreamClosedEarly => "upstream closed before it answered",
        HopEvent::ClientLeftEarly => "client left before the answer",
        HopEvent::NoLiveUpstreams => "no live upstreams",
        HopEvent::WorkerConnections => "worker_connections are not enough",
        HopEvent::DescriptorsExhausted => "too many open files",
        HopEvent::TlsFailed => "TLS handshake failed",
        HopEvent::TlsLeft => "TLS handshake broken off by the client",
        HopEvent::Started => "started",
        HopEvent::Reload => "reload",
        HopEvent::Draining => "gracefully shutting down",
        HopEvent::Exiting => "exiting",
        HopEvent::Stopped => "stopped",
        HopEvent::WorkerKilled => "worker killed",
        HopEvent::UpstreamDown => "upstream marked down",
        HopEvent::UpstreamUp => "upstream up",
        HopEvent::FlowForgotten => "a connection table dropped the flow while it stood",
        HopEvent::FlowUnknown => "a firewall refused a packet of a flow it does not know",
        HopEvent::FlowOver => "a connection table dropped the flow after its end",
        HopEvent::Other => "logged",
    }
}

fn say_app(what: &AppEvent) -> String {
    match what {
        AppEvent::Open => "open".to_owned(),
        AppEvent::Close { code, reason } => {
            let code = code.map_or_else(|| "without a code".to_owned(), |c| c.to_string());
            if reason.is_empty() {
                format!("close {code}")
            } else {
                format!("close {code} {reason:?}")
            }
        }
        AppEvent::Error { code, message } => {
            format!("error {} {message}", code.as_deref().unwrap_or(""))
        }
        AppEvent::HeartbeatMissed => "heartbeat missed, terminated".to_owned(),
        AppEvent::Idle => "idle for too long, ended".to_owned(),
        AppEvent::ReadTimedOut => "nothing came in time, ended".to_owned(),
        AppEvent::Rejected { status } => format!(
            "upgrade rejected {}",
            status.map(|s| s.to_string()).unwrap_or_default()
        ),
        AppEvent::Backpressure => "cut: the client did not read".to_owned(),
        AppEvent::Listening { .. } => "server listening".to_owned(),
        AppEvent::Stopping => "server stopping".to_owned(),
        AppEvent::Crashed { message } => format!("crashed: {message}"),
        AppEvent::Exhausted { message } => format!("exhausted: {message}"),
        AppEvent::Exception { message } => format!("exception: {message}"),
        AppEvent::Other => "logged".to_owned(),
    }
}

/// The names of RFC 9113 7.
pub(super) fn http2_error(code: u32) -> String {
    let names = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    names
        .get(code as usize)
        .map_or_else(|| code.to_string(), |&name| name.to_owned())
}

/// The names of RFC 8446 6.
fn alert(description: u8) -> String {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        other => return other.to_string(),
    };
    name.to_owned()
}

fn say(o: &LegObservation, what: &LegEventKind) -> (EventKind, String) {
    let opcode = |op: u8| match op {
        0 => "continuation",
        1 => "text",
        2 => "binary",
        _ => "frame",
    };
    match what {
        LegEventKind::Syn => (EventKind::Handshake, "SYN".to_owned()),
        LegEventKind::SynAck => (EventKind::Handshake, "SYN ACK".to_owned()),
        LegEventKind::Request => {
            let (method, uri) = o
                .request
                .as_ref()
                .map_or(("request", ""), |r| (r.method.as_str(), r.uri.as_str()));
            (EventKind::Handshake, format!("{method} {uri}"))
        }
        LegEventKind::Response => {
            let text = o.response.as_ref().map_or_else(
                || "response".to_owned(),
                |r| format!("{} {}", r.status, r.reason),
            );
            (EventKind::Handshake, text)
        }
        LegEventKind::Data { opcode: op, len } => {
            (EventKind::Data, format!("{} {len} B", opcode(*op)))
        }
        LegEventKind::Ping { len } => (EventKind::Heartbeat, format!("ping {len} B")),
        LegEventKind::Pong { len } => (EventKind::Heartbeat, format!("pong {len} B")),
        LegEventKind::Close(close) => {
            let Closing { code, reason } = &**close;
            let code = code.map_or_else(|| "without a code".to_owned(), |c| c.to_string());
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(" {reason:?}")
            };
            (EventKind::Close, format!("Close {code}{reason}"))
        }
        LegEventKind::Fin => (EventKind::Tcp, "FIN".to_owned()),
        LegEventKind::Rst => (EventKind::Tcp, "RST".to_owned()),
        LegEventKind::Retransmission => (EventKind::Loss, "retransmission".to_owned()),
        LegEventKind::KeepAlive => (EventKind::Heartbeat, "TCP keep-alive".to_owned()),
        LegEventKind::ZeroWindow => (EventKind::Loss, "zero window".to_owned()),
        LegEventKind::WindowOpen => (EventKind::Loss, "window open".to_owned()),
        LegEventKind::EndStream => (EventKind::Tcp, "END_STREAM".to_owned()),
        LegEventKind::ResetStream { code } => {
            (EventKind::Tcp, format!("RST_STREAM {}", http2_error(*code)))
        }
        LegEventKind::GoAway { code, last } => (
            EventKind::Close,
            format!("GOAWAY {}, last stream {last}", http2_error(*code)),
        ),
        LegEventKind::Gap { bytes } => (EventKind::Loss, format!("{bytes} B not captured")),
        LegEventKind::TlsAlert { level: 0, .. } => {
            (EventKind::Close, "TLS alert (encrypted)".to_owned())
        }
        LegEventKind::TlsAlert { description, .. } => (
            EventKind::Close,
            format!("TLS alert {}", alert(*description)),
        ),
        LegEventKind::TlsRecord { len } => (EventKind::Data, format!("encrypted record {len} B")),
    }
}
