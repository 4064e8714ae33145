//! One analysis made up of every kind of thing, as the reports write it.

use super::*;
use crate::model::*;
use crate::report::{Redact, ndjson};
use std::net::{IpAddr, SocketAddr};

fn at(seconds: i64, tick_ns: i64) -> Stamp {
    Stamp::new(Moment((1_773_479_225 + seconds) * SECOND_NS), tick_ns)
}

fn record(source: u32, ordinal: u64) -> RecordRef {
    RecordRef {
        source: SourceId(source),
        ordinal,
        start: ordinal * 100,
        len: 100,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn source(id: u32, path: &str, kind: SourceKind) -> Source {
    Source {
        id: SourceId(id),
        path: path.to_owned(),
        kind,
        compression: None,
        bytes: 4_096,
        vantage: None,
        records: 120,
        used: 118,
        odd: 2,
        first: Some(at(0, MICRO_NS)),
        last: Some(at(120, MICRO_NS)),
        zone: None,
        clock: Clock::default(),
        fields: Vec::new(),
        anomalies: Vec::new(),
        reason: None,
        named: false,
    }
}

fn connection(id: &str, client: &str) -> Connection {
    let client = end(client);
    Connection {
        id: id.to_owned(),
        client: Client {
            ip: Some(client.ip()),
            port: Some(client.port()),
            identity: Some("user-8812".to_owned()),
        },
        request: RequestSummary {
            method: Some("GET".into()),
            uri: Some("/ws?session=user-8812".into()),
            host: Some("app.example".into()),
            status: Some(101),
            user_agent: None,
        },
        hops: vec![
            Hop {
                kind: HopKind::Client,
                name: "client".into(),
                address: Some(client.ip()),
            },
            Hop {
                kind: HopKind::Nginx,
                name: "nginx".into(),
                address: Some(ip("10.0.0.2")),
            },
            Hop {
                kind: HopKind::Server,
                name: "server".into(),
                address: Some(ip("2001:db8::7")),
            },
        ],
        legs: vec![ConnectionLeg {
            from: 0,
            client,
            server: end("10.0.0.2:80"),
            observations: Vec::new(),
        }],
        tunnels: Vec::new(),
        hop_lines: Vec::new(),
        app_lines: vec![AppLine {
            record: record(1, 4),
            at: at(64, MILLI_NS),
            what: AppEvent::Close {
                code: Some(1008),
                reason: "quota used up".to_owned(),
            },
            pid: None,
            hostname: None,
            connection_id: None,
            session: Some("user-8812".to_owned()),
            client: Vec::new(),
            client_port: None,
            uri: None,
            ws_key: None,
            request_id: None,
        }],
        opened: Some(at(0, MICRO_NS)),
        closed: Some(at(64, MICRO_NS).plus(500_000)),
        silence_ns: Some(60 * SECOND_NS),
        close: CloseSummary {
            from_client: None,
            from_server: Some(None),
            reported_client: None,
            reported_server: Some(1006),
            tcp: Some("FIN by nginx".to_owned()),
        },
        closer: Closer {
            role: Role::Proxy,
            hop: Some("nginx".into()),
            address: Some(ip("10.0.0.2")),
        },
        events: vec![
            Event {
                at: at(0, MICRO_NS),
                record: record(0, 5),
                leg: Some(0),
                direction: Some(Direction::ToClient),
                hop: None,
                kind: EventKind::Handshake,
                say: "101 Switching Protocols".to_owned(),
            },
            Event {
                at: at(4, MICRO_NS),
                record: record(0, 15),
                leg: Some(0),
                direction: Some(Direction::ToClient),
                hop: None,
                kind: EventKind::Data,
                say: "text 23 B".to_owned(),
            },
            Event {
                at: at(64, MICRO_NS).plus(500_000),
                record: record(0, 91),
                leg: Some(0),
                direction: Some(Direction::ToClient),
                hop: None,
                kind: EventKind::Tcp,
                say: "FIN".to_owned(),
            },
            Event {
                at: at(65, SECOND_NS),
                record: record(1, 1),
                leg: None,
                direction: None,
                hop: Some(1),
                kind: EventKind::Log,
                say: "upstream timed out \x1b[31m".to_owned(),
            },
        ],
        reconnect_of: None,
        reconnected_as: Some("c-1b22aa".to_owned()),
        app_doubtful: false,
        sort_at: at(0, MICRO_NS).at,
    }
}

fn verdict(outcome: Outcome, cause: Option<Cause>, tier: Tier) -> Verdict {
    Verdict {
        outcome,
        cause,
        tier,
        sentence: "nginx closed it after 60 s of silence".to_owned(),
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

/// Two sources, a drop with everything, a clean close with nothing, a finding, an incident.
pub(crate) fn fabricated() -> Analysis {
    let mut pcap = source(0, "edge.pcap", SourceKind::Pcap);
    pcap.vantage = Some("nginx 10.0.0.2".to_owned());
    pcap.clock.basis = ClockBasis::Reference;
    let mut log = source(1, "logs/error.log", SourceKind::Log("nginx-error"));
    log.first = Some(at(1, SECOND_NS));
    log.zone = Some(Zone {
        offset_s: 3_600,
        basis: ZoneBasis::Assumed,
    });
    log.clock = Clock {
        offset_ns: 1_250_000_000,
        spread_ns: 500_000,
        pairs: 3,
        basis: ClockBasis::Measured,
        ..Clock::default()
    };
    log.anomaly("unknown-line", 2, 7, "2 lines were not understood");
    let mut junk = source(2, "notes.docx", SourceKind::Unrecognised);
    (junk.records, junk.used, junk.odd, junk.first, junk.last) = (0, 0, 0, None, None);
    junk.reason = Some("a zip archive: unpack it first".to_owned());

    let dropped = Judged {
        connection: connection("c-7f3a91", "203.0.113.7:40000"),
        verdict: Verdict {
            contributing: vec!["no-heartbeat".to_owned()],
            timeout_ns: Some(60 * SECOND_NS),
            timeout_from: Some("nginx.conf:31 proxy_read_timeout".into()),
            evidence: vec![
                Evidence {
                    say: "nginx sent FIN after 60.000 s without payload".into(),
                    supports: true,
                    strength: Strength::Decisive,
                    record: Some(record(0, 91)),
                    at: Some(at(64, MICRO_NS).plus(500_000)),
                },
                Evidence {
                    say: "no configuration names this time-out".into(),
                    supports: false,
                    strength: Strength::Weak,
                    record: None,
                    at: None,
                },
            ],
            rivals: vec![Rival {
                cause: Cause::MissedHeartbeat,
                verdict: RivalVerdict::RuledOut,
                why: "no ping was sent".into(),
            }],
            untestable: vec![Untestable {
                cause: Cause::MiddleboxExpiry,
                needs: "a capture on the client's side of nginx".into(),
            }],
            fix: vec![
                "ping every 30 s or less, or raise proxy_read_timeout above 60 s (nginx.conf:31)"
                    .into(),
            ],
            ..verdict(Outcome::Drop, Some(Cause::IdleTimeout), Tier::Certain)
        },
    };
    let mut clean = Judged {
        connection: connection("c-1b22aa", "203.0.113.8:40001"),
        verdict: verdict(Outcome::Clean, None, Tier::Undecided),
    };
    clean.connection.client.port = None;
    clean.connection.silence_ns = None;
    Analysis {
        root: "incident".to_owned(),
        rules: "builtin".to_owned(),
        window: Some((at(0, MICRO_NS), at(120, MILLI_NS))),
        sources: vec![pcap, log, junk],
        connections: vec![dropped, clean],
        findings: vec![Finding {
            code: "W703".to_owned(),
            kind: "recurring-timeout".to_owned(),
            say: "1 connection ended after 60 s of silence".to_owned(),
            hop: Some("nginx".to_owned()),
            timeout_ns: Some(60 * SECOND_NS),
            connections: vec!["c-7f3a91".to_owned()],
            records: vec![record(0, 91)],
            fix: Vec::new(),
        }],
        incidents: vec![Incident {
            code: "W701".to_owned(),
            kind: "reconnect-storm".to_owned(),
            start: at(65, SECOND_NS),
            end: at(70, SECOND_NS),
            connections: vec!["c-7f3a91".to_owned()],
            say: "30 clients came back within 5 s".to_owned(),
            fix: vec!["back off with jitter".into()],
        }],
        marks: Vec::new(),
        adapted: Adapted::default(),
    }
}

fn printed(redactor: &Redactor) -> String {
    let mut out = Vec::new();
    write(&fabricated(), redactor, &mut out).expect("writes to memory");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_whole_document() {
    insta::assert_snapshot!("report", printed(&Redactor::none()));
}

#[test]
fn the_document_is_of_its_schema() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut document: serde_json::Value =
        serde_json::from_str(&printed(&Redactor::none())).expect("JSON");
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    document["connections"][0]["tier"] = "sure".into();
    assert!(
        !validator.is_valid(&document),
        "the schema tells tiers from other words"
    );
}

#[test]
fn nothing_redacted_is_left() {
    let redactor = Redactor::new(Redact::parse("all").expect("known"), &fabricated());
    let text = printed(&redactor);
    for secret in [
        "203.0.113.7",
        "10.0.0.2",
        "2001:db8::7",
        "user-8812",
        "quota used up",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(
        text.contains("\"ip\": \"ip-1\"") && text.contains("\"identity\": \"token-1\""),
        "{text}"
    );
}

#[test]
fn lines_carry_their_type() {
    let mut out = Vec::new();
    ndjson::write(&fabricated(), &Redactor::none(), &mut out).expect("writes to memory");
    let text = String::from_utf8(out).expect("UTF-8");
    let types: Vec<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["type"].to_string()
        })
        .collect();
    assert_eq!(
        types,
        [
            "\"connection\"",
            "\"connection\"",
            "\"finding\"",
            "\"incident\""
        ]
    );
}

#[test]
fn milliseconds_keep_what_is_known() {
    for (ns, expected) in [
        (4_000_000_000, "4000"),
        (3_999_100_000, "3999.1"),
        (-1_500, "-0.0015"),
        (0, "0"),
    ] {
        assert_eq!(
            serde_json::to_string(&v1::Ms(ns)).expect("a number"),
            expected
        );
    }
}
