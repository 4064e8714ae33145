//! Nothing -> a made-up incident behind nginx: what the tests look at.

// Without the terminal UI fewer tests draw on it.
#![cfg_attr(not(feature = "tui"), allow(dead_code))]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::model::*;

const BASE: i64 = 1_773_480_361 * SECOND_NS; // 2026-03-14T09:26:01Z
const EDGE: SourceId = SourceId(0);
const ACCESS: SourceId = SourceId(1);
const ERROR: SourceId = SourceId(2);
const APP: SourceId = SourceId(3);

fn fine(s: f64) -> Stamp {
    Stamp::new(Moment(BASE + (s * 1e9).round() as i64), MICRO_NS)
}

fn coarse(s: f64) -> Stamp {
    Stamp::new(
        Moment((BASE + (s * 1e9) as i64) / SECOND_NS * SECOND_NS),
        SECOND_NS,
    )
}

fn record(source: SourceId, ordinal: u64) -> RecordRef {
    RecordRef {
        source,
        ordinal,
        start: ordinal * 100,
        len: 90,
    }
}

fn packet(s: f64, n: u64, leg: usize, direction: Direction, kind: EventKind, say: &str) -> Event {
    Event {
        at: fine(s),
        record: record(EDGE, n),
        leg: Some(leg),
        direction: Some(direction),
        hop: None,
        kind,
        say: say.to_owned(),
    }
}

fn line(at: Stamp, source: SourceId, n: u64, hop: usize, say: &str) -> Event {
    let kind = EventKind::Log;
    Event {
        at,
        record: record(source, n),
        leg: None,
        direction: None,
        hop: Some(hop),
        kind,
        say: say.to_owned(),
    }
}

fn evidence(say: &str, strength: Strength, record: RecordRef, at: Stamp) -> Evidence {
    Evidence {
        say: say.into(),
        supports: true,
        strength,
        record: Some(record),
        at: Some(at),
    }
}

fn connection(n: u32, start: f64) -> Connection {
    let client = SocketAddr::from(([203, 0, 113, 10 + (n % 7) as u8], 40_000 + n as u16));
    let (nginx, server) = (Ipv4Addr::new(10, 0, 1, 20), Ipv4Addr::new(10, 0, 2, 30));
    let hop = |kind: HopKind, ip| Hop {
        kind,
        name: kind.name().into(),
        address: Some(ip),
    };
    let leg = |from, client, server| ConnectionLeg {
        from,
        client,
        server,
        observations: Vec::new(),
    };
    Connection {
        id: format!("c-{:06x}", (n + 1).wrapping_mul(0x9e_37_79) & 0xff_ffff),
        client: Client {
            ip: Some(client.ip()),
            port: Some(client.port()),
            identity: Some(format!("user{n}")),
        },
        request: RequestSummary {
            method: Some("GET".into()),
            uri: Some(format!("/ws/chat?session=user{n}").into()),
            host: Some("app.example".into()),
            status: Some(101),
            user_agent: None,
        },
        hops: vec![
            hop(HopKind::Client, client.ip()),
            hop(HopKind::Nginx, IpAddr::V4(nginx)),
            hop(HopKind::Server, IpAddr::V4(server)),
        ],
        legs: vec![
            leg(0, client, SocketAddr::from((nginx, 80))),
            leg(
                1,
                SocketAddr::from((nginx, 50_000 + n as u16)),
                SocketAddr::from((server, 8080)),
            ),
        ],
        tunnels: Vec::new(),
        hop_lines: Vec::new(),
        app_lines: Vec::new(),
        opened: Some(fine(start)),
        closed: None,
        silence_ns: None,
        close: CloseSummary::default(),
        closer: Closer {
            role: Role::Unknown,
            hop: None,
            address: None,
        },
        events: Vec::new(),
        reconnect_of: None,
        reconnected_as: None,
        app_doubtful: false,
        sort_at: fine(start).at,
    }
}

fn verdict(outcome: Outcome, cause: Option<Cause>, tier: Tier, sentence: &str) -> Verdict {
    Verdict {
        outcome,
        cause,
        tier,
        sentence: sentence.to_owned(),
        contributing: Vec::new(),
        timeout_ns: None,
        timeout_from: None,
        evidence: Vec::new(),
        rivals: Vec::new(),
        untestable: Vec::new(),
        fix: Vec::new(),
        tests: Vec::new(),
        own_rule: None,
    }
}

fn opening(c: &mut Connection, start: f64, first: u64) {
    use Direction::{ToClient, ToServer};
    let handshake = EventKind::Handshake;
    c.events = vec![
        packet(start - 0.12, first, 0, ToServer, EventKind::Tcp, "SYN"),
        packet(
            start - 0.08,
            first + 1,
            0,
            ToServer,
            handshake,
            "GET /ws/chat",
        ),
        packet(
            start - 0.06,
            first + 2,
            1,
            ToServer,
            handshake,
            "GET /ws/chat",
        ),
        packet(start - 0.02, first + 3, 1, ToClient, handshake, "101"),
        packet(start, first + 4, 0, ToClient, handshake, "101"),
    ];
}

/// Ten frames through both legs, 60 s of silence, FIN by nginx on both sides, and four logs that speak of it.
fn idle(n: u32, start: f64) -> Judged {
    use Direction::{ToClient, ToServer};
    let mut c = connection(n, start);
    let p = u64::from(n) * 40 + 1;
    opening(&mut c, start, p);
    for i in 0..10_u32 {
        let at = start + 0.2 + f64::from(i) * 0.3;
        let (way, legs) = if i % 2 == 0 {
            (ToServer, [0, 1])
        } else {
            (ToClient, [1, 0])
        };
        for (k, leg) in legs.into_iter().enumerate() {
            let number = p + 5 + u64::from(i) * 2 + k as u64;
            c.events.push(packet(
                at + k as f64 * 0.001,
                number,
                leg,
                way,
                EventKind::Data,
                "text 23 B",
            ));
        }
    }
    let last = start + 0.2 + 2.7 + 0.001;
    let end = last + 60.0;
    let log = u64::from(n) + 1;
    c.events.push(line(
        coarse(end),
        ERROR,
        log,
        1,
        "upstream timed out (110) while proxying upgraded",
    ));
    c.events
        .push(packet(end, p + 25, 0, ToClient, EventKind::Tcp, "FIN"));
    c.events.push(packet(
        end + 0.001,
        p + 26,
        1,
        ToServer,
        EventKind::Tcp,
        "FIN",
    ));
    c.events.push(packet(
        end + 0.020,
        p + 27,
        0,
        ToServer,
        EventKind::Tcp,
        "ACK",
    ));
    c.events.push(line(
        fine(end + 0.021),
        APP,
        log * 2,
        2,
        "1006 socket closed",
    ));
    c.events
        .push(line(coarse(end + 1.0), ACCESS, log, 1, "101 after 63 s"));
    c.closed = Some(fine(end));
    c.silence_ns = Some(60 * SECOND_NS);
    c.close = CloseSummary {
        reported_server: Some(1006),
        tcp: Some("FIN by nginx".to_owned()),
        ..CloseSummary::default()
    };
    c.closer = Closer {
        role: Role::Proxy,
        hop: Some("nginx".into()),
        address: Some(Ipv4Addr::new(10, 0, 1, 20).into()),
    };
    let mut v = verdict(
        Outcome::Drop,
        Some(Cause::IdleTimeout),
        Tier::Certain,
        "nginx closed this connection after 60 s without a frame in either direction",
    );
    v.contributing = vec!["no-heartbeat".to_owned()];
    v.timeout_ns = Some(60 * SECOND_NS);
    v.timeout_from = Some("nginx default".into());
    v.evidence = vec![
        evidence(
            "nginx sent FIN first, and no Close frame",
            Strength::Strong,
            record(EDGE, p + 25),
            fine(end),
        ),
        evidence(
            "the last frame, 60.000 s before",
            Strength::Moderate,
            record(EDGE, p + 24),
            fine(last),
        ),
        evidence(
            "upstream timed out (110)",
            Strength::Decisive,
            record(ERROR, log),
            coarse(end),
        ),
        evidence(
            "the application was told 1006",
            Strength::Weak,
            record(APP, log * 2),
            fine(end + 0.021),
        ),
    ];
    v.rivals = vec![
        Rival {
            cause: Cause::MissedHeartbeat,
            verdict: RivalVerdict::RuledOut,
            why: "no ping was sent".into(),
        },
        Rival {
            cause: Cause::ClientNetworkChange,
            verdict: RivalVerdict::RuledOut,
            why: "no retransmission".into(),
        },
    ];
    v.untestable = vec![Untestable {
        cause: Cause::MiddleboxExpiry,
        needs: "a capture on the client's side of nginx".into(),
    }];
    v.fix = vec!["ping every 25 s, or proxy_read_timeout 3600s; for /ws/chat".into()];
    let test =
        |cause, fact: &'static str, wanted: &str, seen: &'static str, truth, required, records| {
            Arc::new(Test {
                cause,
                fact: fact.into(),
                wanted: wanted.into(),
                seen: seen.into(),
                truth,
                required,
                distance: None,
                records,
            })
        };
    v.tests = vec![
        test(
            Cause::IdleTimeout,
            "silence_before_close",
            "= a known time-out, within 500 ms",
            "60.000 s",
            Truth::Shown,
            true,
            Arc::from([record(EDGE, p + 24), record(EDGE, p + 25)]),
        ),
        test(
            Cause::IdleTimeout,
            "close_frame",
            "none",
            "none",
            Truth::Shown,
            true,
            Arc::from([record(EDGE, p + 25)]),
        ),
        test(
            Cause::IdleTimeout,
            "hop_said_timeout",
            "yes",
            "error.log says 110",
            Truth::Shown,
            false,
            Arc::from([record(ERROR, log)]),
        ),
        test(
            Cause::MissedHeartbeat,
            "pings_unanswered",
            ">= 1",
            "0",
            Truth::Refuted,
            true,
            Arc::default(),
        ),
        test(
            Cause::ClientNetworkChange,
            "came_back_elsewhere",
            "yes",
            "not observed",
            Truth::Unobserved,
            true,
            Arc::default(),
        ),
    ];
    Judged {
        connection: c,
        verdict: v,
    }
}

/// Pings every 10 s, the last two unanswered, then a Close by the server.
fn missed(n: u32, start: f64) -> Judged {
    use Direction::{ToClient, ToServer};
    let mut c = connection(n, start);
    let p = u64::from(n) * 40 + 1;
    opening(&mut c, start, p);
    for i in 0..5_u32 {
        let at = start + 10.0 * f64::from(i + 1);
        c.events.push(packet(
            at,
            p + 5 + u64::from(i) * 2,
            0,
            ToClient,
            EventKind::Heartbeat,
            "ping",
        ));
        if i < 3 {
            c.events.push(packet(
                at + 0.03,
                p + 6 + u64::from(i) * 2,
                0,
                ToServer,
                EventKind::Heartbeat,
                "pong",
            ));
        }
    }
    let end = start + 60.0;
    c.events
        .push(packet(end, p + 20, 0, ToClient, EventKind::Tcp, "RST"));
    c.events.push(line(
        fine(end),
        APP,
        u64::from(n) + 50,
        2,
        "no pong, terminating",
    ));
    c.closed = Some(fine(end));
    c.silence_ns = Some(10 * SECOND_NS);
    c.close = CloseSummary {
        reported_server: Some(1006),
        tcp: Some("RST by server".to_owned()),
        ..CloseSummary::default()
    };
    c.closer = Closer {
        role: Role::Server,
        hop: Some("server".into()),
        address: None,
    };
    let mut v = verdict(
        Outcome::Drop,
        Some(Cause::MissedHeartbeat),
        Tier::Likely,
        "the server gave up after two pings without an answer",
    );
    v.evidence = vec![evidence(
        "RST right after the second silent ping",
        Strength::Strong,
        record(EDGE, p + 20),
        fine(end),
    )];
    v.fix = vec!["look at the client's event loop: it answers no ping".into()];
    Judged {
        connection: c,
        verdict: v,
    }
}

fn refused(n: u32, start: f64) -> Judged {
    let mut c = connection(n, start);
    let p = u64::from(n) * 40 + 1;
    c.events = vec![
        packet(
            start,
            p,
            0,
            Direction::ToServer,
            EventKind::Handshake,
            "GET /ws/chat",
        ),
        packet(
            start + 0.02,
            p + 1,
            0,
            Direction::ToClient,
            EventKind::Handshake,
            "426",
        ),
    ];
    c.request.status = Some(426);
    c.closed = Some(fine(start + 0.1));
    c.closer = Closer {
        role: Role::Server,
        hop: Some("server".into()),
        address: None,
    };
    let mut v = verdict(
        Outcome::FailedHandshake,
        Some(Cause::MissingUpgrade),
        Tier::Certain,
        "nginx passed the request on without its Upgrade header",
    );
    v.evidence = vec![evidence(
        "426 Upgrade Required",
        Strength::Decisive,
        record(EDGE, p + 1),
        fine(start + 0.02),
    )];
    v.fix = vec!["proxy_set_header Upgrade $http_upgrade;".into()];
    Judged {
        connection: c,
        verdict: v,
    }
}

/// Only logs know of it, and what they say is hostile.
fn undecided(n: u32, start: f64) -> Judged {
    let mut c = connection(n, start);
    c.legs.clear();
    c.request.uri = Some("/ws/\x1b[2J\u{202e}evil".into());
    c.events = vec![
        line(fine(start), APP, 90, 2, "open \x1b]0;owned\x07"),
        line(fine(start + 30.0), APP, 91, 2, "1006 日本語"),
    ];
    c.closed = Some(fine(start + 30.0));
    c.close.reported_server = Some(1006);
    let mut v = verdict(
        Outcome::Drop,
        Some(Cause::Undecided),
        Tier::Undecided,
        "it ended with 1006; no source shows who closed it",
    );
    v.evidence = vec![evidence(
        "1006 \x1b[31mred",
        Strength::Weak,
        record(APP, 91),
        fine(start + 30.0),
    )];
    v.untestable = vec![Untestable {
        cause: Cause::IdleTimeout,
        needs: "a capture or an access log of nginx".into(),
    }];
    Judged {
        connection: c,
        verdict: v,
    }
}

fn clean(n: u32, start: f64, closed: bool) -> Judged {
    let mut c = connection(n, start);
    let p = u64::from(n) * 40 + 1;
    opening(&mut c, start, p);
    if closed {
        c.events.push(packet(
            start + 20.0,
            p + 5,
            0,
            Direction::ToServer,
            EventKind::Close,
            "Close 1000",
        ));
        c.closed = Some(fine(start + 20.0));
        c.close.from_client = Some(Some(1000));
        c.closer.role = Role::Client;
    }
    let (outcome, say) = if closed {
        (Outcome::Clean, "closed by the client with 1000")
    } else {
        (Outcome::Open, "still open when the evidence ends")
    };
    Judged {
        connection: c,
        verdict: verdict(outcome, None, Tier::Certain, say),
    }
}

fn source(
    id: SourceId,
    path: &str,
    kind: SourceKind,
    records: u64,
    span: Option<(Stamp, Stamp)>,
) -> Source {
    let basis = if kind.is_capture() {
        ZoneBasis::Epoch
    } else {
        ZoneBasis::Line
    };
    Source {
        id,
        path: path.to_owned(),
        kind,
        compression: None,
        bytes: records * 120,
        vantage: None,
        records,
        used: records,
        odd: 0,
        first: span.map(|s| s.0),
        last: span.map(|s| s.1),
        zone: span.map(|_| Zone { offset_s: 0, basis }),
        clock: Clock::default(),
        fields: Vec::new(),
        anomalies: Vec::new(),
        reason: None,
        named: false,
    }
}

/// 4 idle time-outs, 3 missed heartbeats, 2 refused upgrades, 1 undecided, 2 clean, 1 open; 6 files.
pub(crate) fn fixture() -> Analysis {
    let mut connections: Vec<Judged> = (0..4).map(|i| idle(i, f64::from(i) * 40.0 + 4.0)).collect();
    connections.extend((4..7).map(|i| missed(i, f64::from(i) * 25.0)));
    connections.extend((7..9).map(|i| refused(i, f64::from(i) * 20.0)));
    connections.push(undecided(9, 200.0));
    connections.extend([
        clean(10, 30.0, true),
        clean(11, 60.0, true),
        clean(12, 240.0, false),
    ]);
    connections.sort_by(|a, b| {
        (a.connection.sort_at, &a.connection.id).cmp(&(b.connection.sort_at, &b.connection.id))
    });
    let window = (fine(0.0), fine(286.0));
    let mut sources = vec![
        source(EDGE, "edge.pcap", SourceKind::Pcap, 380, Some(window)),
        source(
            ACCESS,
            "nginx/access.log",
            SourceKind::Log("nginx-access"),
            24,
            Some((coarse(2.0), coarse(280.0))),
        ),
        source(
            ERROR,
            "nginx/error.log",
            SourceKind::Log("nginx-error"),
            4,
            Some((coarse(67.0), coarse(190.0))),
        ),
        source(
            APP,
            "app.ndjson.gz",
            SourceKind::Log("app-json"),
            92,
            Some((fine(1.0), fine(284.0))),
        ),
        source(SourceId(4), "notes.docx", SourceKind::Unrecognised, 0, None),
        source(
            SourceId(5),
            "cut.pcap",
            SourceKind::Pcap,
            12,
            Some((fine(100.0), fine(110.0))),
        ),
    ];
    for s in &mut sources {
        match s.id.0 {
            0 => {
                s.clock.basis = ClockBasis::Reference;
                s.vantage = Some("nginx 10.0.1.20".to_owned());
            }
            2 => {
                s.zone = Some(Zone {
                    offset_s: 0,
                    basis: ZoneBasis::Assumed,
                })
            }
            3 => {
                s.compression = Some("gz");
                s.clock = Clock {
                    offset_ns: 1_250 * MILLI_NS,
                    spread_ns: 2 * MILLI_NS,
                    pairs: 7,
                    basis: ClockBasis::Measured,
                    ..Clock::default()
                };
                (s.used, s.odd) = (90, 2);
                s.anomaly("unknown-line", 2, 17, "lines that are no JSON object");
            }
            4 => {
                s.reason =
                    Some("not recognised: no capture, no known log, no configuration".to_owned())
            }
            5 => s.anomaly(
                "truncated-tail",
                1,
                12,
                "the last packet is cut short: the capture was still being written",
            ),
            _ => {}
        }
    }
    let ids: Vec<String> = connections
        .iter()
        .filter(|j| j.verdict.cause == Some(Cause::IdleTimeout))
        .map(|j| j.connection.id.clone())
        .collect();
    Analysis {
        root: "./incident-0314".to_owned(),
        rules: "builtin".to_owned(),
        window: Some(window),
        sources,
        connections,
        findings: vec![Finding {
            code: "W703".to_owned(),
            kind: "recurring-timeout".to_owned(),
            say: "4 connections ended after 60.0 s of silence at nginx".to_owned(),
            hop: Some("nginx".to_owned()),
            timeout_ns: Some(60 * SECOND_NS),
            connections: ids,
            records: vec![record(ERROR, 1)],
            fix: vec!["set proxy_read_timeout above the heartbeat's period".into()],
        }],
        incidents: Vec::new(),
        marks: vec![
            ProcessMark {
                at: coarse(150.0),
                did: ProcessDid::Reload,
                say: "nginx: reload".to_owned(),
                record: record(ERROR, 2),
                lines: 5,
            },
            ProcessMark {
                at: fine(200.5),
                did: ProcessDid::Crash,
                say: "server: died: \x1b[2Jout of memory".to_owned(),
                record: record(APP, 6),
                lines: 1,
            },
        ],
        adapted: Adapted::default(),
    }
}

/// As many connections as wanted, in turn idle, missed, undecided and clean.
pub(crate) fn many(n: u32) -> Analysis {
    let mut analysis = fixture();
    analysis.connections = (0..n)
        .map(|i| {
            let start = f64::from(i) * 0.01;
            let mut j = match i % 4 {
                0 => idle(i % 5_000, start),
                1 => missed(i % 5_000, start),
                2 => undecided(i % 5_000, start),
                _ => clean(i % 5_000, start, true),
            };
            j.connection.id = format!("c-{i:06x}");
            j.connection.events.truncate(8);
            j
        })
        .collect();
    analysis
}

/// Reads what the fixture's records could look like.
#[derive(Debug)]
pub(crate) struct Reader;

impl RawReader for Reader {
    fn read(&mut self, record: RecordRef) -> Raw {
        let n = record.ordinal;
        match record.source {
            EDGE => {
                let mut bytes: Vec<u8> = (0..54).map(|i| (i * 7 + n) as u8).collect();
                bytes.extend(*b"\x81\x17{\"say\":\"hello \x1b[2J\"}....");
                let field = |depth: usize, text: String, range: std::ops::Range<usize>| (depth, text, range);
                Raw::Packet {
                    number: n,
                    tree: vec![
                        field(0, "Ethernet 02:00:00:00:00:01 → 02:00:00:00:00:02".to_owned(), 0..14),
                        field(1, "type IPv4".to_owned(), 12..14),
                        field(0, "IPv4 10.0.1.20 → 203.0.113.10".to_owned(), 14..34),
                        field(1, "TTL 64".to_owned(), 22..23),
                        field(1, "protocol TCP".to_owned(), 23..24),
                        field(0, "TCP 80 → 40000  FIN ACK".to_owned(), 34..54),
                        field(1, format!("seq {}", n * 255), 38..42),
                        field(1, "flags FIN ACK".to_owned(), 47..48),
                        field(0, "WebSocket text, 23 bytes".to_owned(), 54..79),
                    ],
                    bytes,
                    payload: Some(br#"{"say":"hello","to":["a","b"]}"#.to_vec()),
                }
            }
            SourceId(9) => Raw::Missing("the file changed since it was read".to_owned()),
            _ => Raw::Line {
                lines: (n.saturating_sub(3).max(1)..n + 4)
                    .map(|i| {
                        let text = "[error] 31#31: *100 upstream timed out (110: Connection timed out) while proxying upgraded connection";
                        (i, format!("2026/03/14 09:27:{:02} {text}, client: 203.0.113.10 \x1b[2J\u{202e}", i % 60))
                    })
                    .collect(),
                focus: usize::try_from(n.min(4) - 1).unwrap_or(0),
                fields: vec![
                    ("at".to_owned(), "2026-03-14T09:27:05Z ±1 s".to_owned()),
                    ("level".to_owned(), "error".to_owned()),
                    ("event".to_owned(), "idle time-out".to_owned()),
                    ("client".to_owned(), "203.0.113.10".to_owned()),
                ],
            },
        }
    }
}
