//! A few numbers -> judged connections for the tests of what looks at many of them.

use crate::model::{
    BeatKind, Cause, Client, CloseSummary, Closer, Connection, ConnectionLeg, Direction, Flow, Hop,
    HopKind, HopSettings, Judged, LegEvent, LegEventKind, LegObservation, LegProtocol, MILLI_NS,
    Mark, Moment, Outcome, Ping, RecordRef, RequestSummary, Role, Route, SourceId, Stamp, Tier,
    Timeout, TimeoutKind, Verdict,
};
use std::net::{IpAddr, SocketAddr};

/// Times are milliseconds into the case.
#[derive(Clone)]
pub(super) struct Came {
    pub(super) session: String,
    pub(super) ip: [u8; 4],
    pub(super) opened: i64,
    pub(super) closed: Option<i64>,
    pub(super) outcome: Outcome,
    pub(super) cause: Option<Cause>,
    pub(super) tick_ns: i64,
}

pub(super) fn came(client: usize, opened: i64, closed: Option<i64>, cause: Option<Cause>) -> Came {
    Came {
        session: format!("s{client}"),
        ip: [192, 0, 2, u8::try_from(client % 250).unwrap() + 1],
        opened,
        closed,
        outcome: match (cause, closed) {
            (Some(Cause::UpstreamUnavailable), _) => Outcome::FailedHandshake,
            (Some(_), _) => Outcome::Drop,
            (None, Some(_)) => Outcome::Clean,
            (None, None) => Outcome::Open,
        },
        cause,
        tick_ns: MILLI_NS,
    }
}

pub(super) fn at(ms: i64) -> Moment {
    Moment(ms * MILLI_NS)
}

pub(super) fn mark(ms: i64) -> Mark {
    Mark {
        at: at(ms),
        record: RecordRef {
            source: SourceId(0),
            ordinal: u64::try_from(ms).unwrap_or(0) + 1,
            start: 0,
            len: 60,
        },
    }
}

impl Came {
    pub(super) fn judged(self, n: usize) -> Judged {
        let tick = self.tick_ns;
        let stamp = |ms: i64| Stamp::new(Moment(ms.saturating_mul(MILLI_NS) / tick * tick), tick);
        let hop = |kind, name: &'static str, address: [u8; 4]| Hop {
            kind,
            name: name.into(),
            address: Some(IpAddr::from(address)),
        };
        let failed = self.outcome == Outcome::FailedHandshake;
        Judged {
            connection: Connection {
                id: format!("c-{n:06x}"),
                client: Client {
                    ip: Some(IpAddr::from(self.ip)),
                    port: None,
                    identity: Some(self.session),
                },
                request: RequestSummary {
                    uri: Some("/ws".into()),
                    status: Some(if failed { 502 } else { 101 }),
                    ..RequestSummary::default()
                },
                hops: vec![
                    hop(HopKind::Client, "client", self.ip),
                    hop(HopKind::Nginx, "nginx", [10, 9, 0, 1]),
                    hop(HopKind::Server, "server", [10, 9, 1, 1]),
                ],
                legs: Vec::new(),
                tunnels: Vec::new(),
                hop_lines: Vec::new(),
                app_lines: Vec::new(),
                opened: Some(stamp(self.opened)),
                closed: self.closed.map(stamp),
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
                sort_at: Moment(self.opened.saturating_mul(MILLI_NS)),
            },
            verdict: Verdict {
                outcome: self.outcome,
                cause: self.cause,
                tier: Tier::Likely,
                sentence: String::new(),
                contributing: Vec::new(),
                timeout_ns: None,
                timeout_from: None,
                evidence: Vec::new(),
                rivals: Vec::new(),
                untestable: Vec::new(),
                fix: vec!["the drop's own fix".into()],
                tests: Vec::new(),
                own_rule: None,
            },
        }
    }
}

/// What a capture of the leg to the server shows: messages `(ms, to the client)` and pings from the server `(ms, answered)`.
pub(super) fn seen(messages: &[(i64, bool)], pings: &[(i64, bool)]) -> ConnectionLeg {
    let way = |down| {
        if down {
            Direction::ToClient
        } else {
            Direction::ToServer
        }
    };
    let flow = |down: bool| Flow {
        packets: 9,
        bytes: 900,
        data_frames: messages.iter().filter(|m| m.1 == down).count() as u64,
        last_data_frame: messages
            .iter()
            .filter(|m| m.1 == down)
            .map(|m| mark(m.0))
            .next_back(),
        ..Flow::default()
    };
    let (client, server) = (
        SocketAddr::from(([10, 9, 0, 1], 40_000)),
        SocketAddr::from(([10, 9, 1, 1], 8_080)),
    );
    // As the capture keeps them: the first 24, the last 40.
    let mut events: Vec<LegEvent> = messages
        .iter()
        .map(|&(ms, down)| LegEvent {
            mark: mark(ms),
            direction: way(down),
            what: LegEventKind::Data { opcode: 1, len: 9 },
        })
        .collect();
    events.extend(pings.iter().map(|&(ms, _)| LegEvent {
        mark: mark(ms),
        direction: Direction::ToClient,
        what: LegEventKind::Ping { len: 0 },
    }));
    events.sort_by_key(|e| e.mark.at);
    if events.len() > 64 {
        events.drain(24..events.len() - 40);
    }
    ConnectionLeg {
        from: 1,
        client,
        server,
        observations: vec![LegObservation {
            vantage: 0,
            client,
            server,
            sides_certain: true,
            protocol: LegProtocol::WebSocket,
            syn: None,
            syn_ack: None,
            syn_retransmissions: 0,
            refused: false,
            request: None,
            response: None,
            earlier_requests: 0,
            first: mark(0),
            last: mark(0),
            to_server: flow(false),
            to_client: flow(true),
            pings: pings
                .iter()
                .map(|&(ms, answered)| Ping {
                    kind: BeatKind::Frame,
                    sent: mark(ms),
                    direction: Direction::ToClient,
                    answered: answered.then(|| mark(ms + 1)),
                    acked: None,
                })
                .collect(),
            fingerprints: Vec::new(),
            events,
            duplicates: 0,
            violations: Vec::new(),
            sni: None,
            compression: None,
            http2: None,
            tls: None,
        }],
    }
}

/// nginx, with one location for `/ws` on line 30 and its time-out on line 34.
pub(super) fn nginx(timeout_ms: i64, written: bool) -> HopSettings {
    HopSettings {
        source: SourceId(0),
        hop: HopKind::Nginx,
        listen: vec!["80".to_owned()],
        routes: vec![Route {
            prefix: "/ws".to_owned(),
            exact: false,
            name: "location /ws".to_owned(),
            line: Some(30),
            timeouts: vec![Timeout {
                kind: TimeoutKind::Idle,
                directive: "proxy_read_timeout".to_owned(),
                value_ns: timeout_ms * MILLI_NS,
                line: written.then_some(34),
            }],
            upstreams: vec!["10.9.1.1:8080".to_owned()],
            upgrade: None,
        }],
    }
}
