//! The wire types of `wsdrop.report/1`: an `Analysis` as programs outside read it, free of how the program holds it inside.

use crate::model::{self, Analysis, Judged, RecordRef, Stamp, Truth};
use crate::report::Redactor;
use serde::{Serialize, Serializer};
use std::net::{IpAddr, SocketAddr};

/// Nanoseconds inside, a number of milliseconds outside; whole ones without a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ms(pub i64);

impl Serialize for Ms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % model::MILLI_NS == 0 {
            serializer.serialize_i64(self.0 / model::MILLI_NS)
        } else {
            serializer.serialize_f64(self.0 as f64 / model::MILLI_NS as f64)
        }
    }
}

/// RFC 3339 UTC with the precision known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Stamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub tool: Tool,
    pub window: Option<Window>,
    pub sources: Vec<Source>,
    pub summary: Summary,
    pub connections: Vec<Connection>,
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
    /// Overrides of the user's own in force; left out where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

#[derive(Debug, Serialize)]
pub struct Override {
    /// `rules/overrides.toml:3`.
    pub place: String,
    pub what: String,
    pub why: String,
    /// Connections that it was applied to; `null` where it stands for the whole case.
    pub connections: Option<usize>,
}

#[derive(Debug, Serialize)]
pub struct SourcesReport {
    pub schema: &'static str,
    pub tool: Tool,
    pub window: Option<Window>,
    pub sources: Vec<Source>,
}

#[derive(Debug, Serialize)]
pub struct Tool {
    pub name: &'static str,
    pub version: &'static str,
    pub rules: String,
}

#[derive(Debug, Serialize)]
pub struct Window {
    pub start: Time,
    pub end: Time,
}

#[derive(Debug, Serialize)]
pub struct Source {
    pub id: u32,
    pub path: String,
    pub kind: &'static str,
    pub compression: Option<&'static str>,
    pub bytes: u64,
    pub vantage: Option<String>,
    pub records: u64,
    pub used: u64,
    pub odd: u64,
    pub first: Option<Time>,
    pub last: Option<Time>,
    pub zone: Option<Zone>,
    pub clock: Clock,
    /// Meaning and key of what an application's records say.
    pub fields: Vec<Field>,
    pub anomalies: Vec<Anomaly>,
    pub reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Zone {
    pub offset_s: i32,
    pub basis: model::ZoneBasis,
}

#[derive(Debug, Serialize)]
pub struct Field {
    pub meaning: String,
    pub key: String,
}

#[derive(Debug, Serialize)]
pub struct Clock {
    pub offset_ms: Ms,
    pub spread_ms: Ms,
    pub pairs: u32,
    /// Milliseconds that it gains on the reference in a thousand seconds; `null` = none was measured.
    pub drift_ppm: Option<f64>,
    pub basis: &'static str,
}

#[derive(Debug, Serialize)]
pub struct Anomaly {
    pub kind: String,
    pub count: u64,
    pub first_record: Option<u64>,
    pub note: String,
}

#[derive(Debug, Serialize)]
pub struct Summary {
    pub connections: usize,
    pub drops: usize,
    pub clean: usize,
    pub open: usize,
    pub failed_handshakes: usize,
    pub by_cause: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub struct Connection {
    pub id: String,
    pub outcome: &'static str,
    pub cause: Option<&'static str>,
    pub rule: Option<&'static str>,
    pub tier: &'static str,
    pub sentence: String,
    pub contributing: Vec<String>,
    pub closer: Closer,
    pub client: Client,
    pub request: Request,
    pub opened: Option<Time>,
    pub closed: Option<Time>,
    pub duration_ms: Option<Ms>,
    pub silence_ms: Option<Ms>,
    pub timeout_ms: Option<Ms>,
    pub timeout_from: Option<String>,
    pub close: Close,
    pub legs: Vec<Leg>,
    pub sources: Vec<u32>,
    pub reconnect_of: Option<String>,
    pub reconnected_as: Option<String>,
    pub evidence: Vec<Evidence>,
    pub rivals: Vec<Rival>,
    pub untestable: Vec<Untestable>,
    pub fix: Vec<String>,
    /// The rule of the user's own that speaks here; left out where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_rule: Option<String>,
}

/// What `wsdrop show --why --json` prints.
#[derive(Debug, Serialize)]
pub struct ConnectionAndTests {
    #[serde(flatten)]
    pub connection: Connection,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<Vec<Test>>,
}

/// One evidence line of one rule, as it came out.
#[derive(Debug, Serialize)]
pub struct Test {
    pub rule: &'static str,
    pub cause: &'static str,
    pub fact: String,
    pub wanted: String,
    /// `null` where nothing could show it.
    pub seen: Option<String>,
    pub truth: &'static str,
    pub required: bool,
    /// In the fact's unit; `null` where there is no distance.
    pub off_by: Option<String>,
    pub records: Vec<TestRecord>,
}

#[derive(Debug, Serialize)]
pub struct TestRecord {
    pub source: u32,
    pub record: u64,
}

pub fn tests(judged: &Judged, redactor: &Redactor) -> Vec<Test> {
    judged
        .verdict
        .tests
        .iter()
        .map(|t| Test {
            rule: t.cause.code(),
            cause: t.cause.id(),
            fact: t.fact.to_string(),
            wanted: redactor.text(&t.wanted).to_string(),
            seen: (*t.seen != *"not observed").then(|| redactor.text(&t.seen).to_string()),
            truth: match t.truth {
                Truth::Shown => "shown",
                Truth::Refuted => "refuted",
                Truth::Unobserved => "unobserved",
            },
            required: t.required,
            off_by: t.distance.as_deref().map(str::to_owned),
            records: t
                .records
                .iter()
                .map(|r| TestRecord {
                    source: r.source.0,
                    record: r.ordinal,
                })
                .collect(),
        })
        .collect()
}

#[derive(Debug, Serialize)]
pub struct Closer {
    pub role: &'static str,
    pub hop: Option<String>,
    pub address: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Client {
    pub ip: Option<String>,
    pub port: Option<u16>,
    pub identity: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Request {
    pub uri: Option<String>,
    pub host: Option<String>,
    pub status: Option<u16>,
}

#[derive(Debug, Serialize)]
pub struct Close {
    /// The code of the Close frame seen; 1005 where it had none (RFC 6455 7.1.5); null where no Close frame was seen.
    pub from_client: Option<u16>,
    pub from_server: Option<u16>,
    pub reported_client: Option<u16>,
    pub reported_server: Option<u16>,
    pub tcp: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Leg {
    pub client: String,
    pub server: String,
    pub sources: Vec<u32>,
    /// The Wireshark display filter that finds its packets; null where addresses are redacted.
    pub filter: Option<String>,
    /// Left out where the leg is not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

#[derive(Debug, Serialize)]
pub struct Tls {
    /// `TLS 1.3`; `TLS` where no ServerHello was seen.
    pub version: &'static str,
    pub server_name: Option<String>,
    /// A key log of the case opened it: what this report says of its content was read.
    pub decrypted: bool,
}

#[derive(Debug, Serialize)]
pub struct Evidence {
    pub say: String,
    #[serde(rename = "for")]
    pub supports: bool,
    pub strength: &'static str,
    pub source: Option<u32>,
    pub record: Option<u64>,
    pub at: Option<Time>,
}

#[derive(Debug, Serialize)]
pub struct Rival {
    pub cause: &'static str,
    pub verdict: &'static str,
    pub why: String,
}

#[derive(Debug, Serialize)]
pub struct Untestable {
    pub cause: &'static str,
    pub needs: String,
}

#[derive(Debug, Serialize)]
pub struct Record {
    pub source: u32,
    pub record: u64,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub rule: String,
    pub kind: String,
    pub timeout_ms: Option<Ms>,
    pub hop: Option<String>,
    pub connections: Vec<String>,
    pub say: String,
    pub records: Vec<Record>,
    pub fix: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Incident {
    pub rule: String,
    pub kind: String,
    pub start: Time,
    pub end: Time,
    pub connections: Vec<String>,
    pub say: String,
    pub fix: Vec<String>,
}

impl Report {
    pub fn new(analysis: &Analysis, redactor: &Redactor) -> Self {
        let Analysis {
            root: _,
            rules,
            window,
            sources,
            connections,
            findings,
            incidents,
            marks: _,
            adapted,
        } = analysis;
        let summary = analysis.summary();
        let mut by_cause = serde_json::Map::new();
        for (cause, n) in &summary.by_cause {
            by_cause.insert(cause.id().to_owned(), (*n).into());
        }
        Self {
            schema: "wsdrop.report/1",
            tool: Tool {
                name: "wsdrop",
                version: env!("CARGO_PKG_VERSION"),
                rules: rules.clone(),
            },
            window: window.map(|(start, end)| Window {
                start: Time(start),
                end: Time(end),
            }),
            sources: sources.iter().map(|s| Source::new(s, redactor)).collect(),
            summary: Summary {
                connections: summary.connections,
                drops: summary.drops,
                clean: summary.clean,
                open: summary.open,
                failed_handshakes: summary.failed_handshakes,
                by_cause,
            },
            connections: connections
                .iter()
                .map(|j| Connection::new(j, redactor))
                .collect(),
            findings: findings.iter().map(|f| Finding::new(f, redactor)).collect(),
            incidents: incidents
                .iter()
                .map(|i| Incident::new(i, redactor))
                .collect(),
            overrides: adapted
                .overrides
                .iter()
                .map(|o| Override {
                    place: redactor.text(&o.place).to_string(),
                    what: redactor.text(&o.what).to_string(),
                    why: redactor.text(&o.why).to_string(),
                    connections: o.connections,
                })
                .collect(),
        }
    }
}

impl Source {
    pub fn new(source: &model::Source, redactor: &Redactor) -> Self {
        let model::Source {
            id,
            path,
            kind,
            compression,
            bytes,
            vantage,
            records,
            used,
            odd,
            first,
            last,
            zone,
            clock,
            fields,
            anomalies,
            reason,
            named: _,
        } = source;
        Self {
            id: id.0,
            path: path.clone(),
            kind: kind.name(),
            compression: *compression,
            bytes: *bytes,
            vantage: vantage.as_deref().map(|v| redactor.text(v)),
            records: *records,
            used: *used,
            odd: *odd,
            first: first.map(Time),
            last: last.map(Time),
            zone: zone.as_ref().map(|z| Zone {
                offset_s: z.offset_s,
                basis: z.basis,
            }),
            clock: Clock {
                offset_ms: Ms(clock.offset_ns),
                spread_ms: Ms(clock.spread_ns),
                pairs: clock.pairs,
                drift_ppm: (clock.drift_ppb != 0).then(|| clock.drift_ppb as f64 / 1000.0),
                basis: match clock.basis {
                    model::ClockBasis::Reference => "reference",
                    model::ClockBasis::Measured => "measured",
                    model::ClockBasis::Given => "given",
                    model::ClockBasis::Assumed => "assumed",
                },
            },
            fields: fields
                .iter()
                .map(|(meaning, key)| Field {
                    meaning: meaning.clone(),
                    key: redactor.text(key),
                })
                .collect(),
            anomalies: anomalies
                .iter()
                .map(|a| Anomaly {
                    kind: a.kind.clone(),
                    count: a.count,
                    first_record: (a.first_record > 0).then_some(a.first_record),
                    note: redactor.text(&a.note),
                })
                .collect(),
            reason: reason.as_deref().map(|r| redactor.text(r)),
        }
    }
}

impl Connection {
    pub fn new(judged: &Judged, redactor: &Redactor) -> Self {
        let Judged {
            connection: c,
            verdict: v,
        } = judged;
        let text = |t: &str| redactor.text(t);
        let word = |t: &str| redactor.text(t);
        let ip = |ip: &IpAddr| redactor.ip(*ip);
        let close_code = |seen: Option<Option<u16>>| seen.map(|code| code.unwrap_or(1005));
        Self {
            id: c.id.clone(),
            outcome: v.outcome.name(),
            cause: v.cause.map(model::Cause::id),
            rule: v.cause.map(model::Cause::code),
            tier: v.tier.name(),
            sentence: text(&v.sentence),
            contributing: v.contributing.clone(),
            closer: Closer {
                role: c.closer.role.name(),
                hop: c.closer.hop.as_deref().map(word),
                address: c.closer.address.as_ref().map(ip),
            },
            client: Client {
                ip: c.client.ip.as_ref().map(ip),
                port: c.client.port,
                identity: c.client.identity.as_deref().map(|i| redactor.token(i)),
            },
            request: Request {
                uri: c.request.uri.as_deref().map(word),
                host: c.request.host.as_deref().map(word),
                status: c.request.status,
            },
            opened: c.opened.map(Time),
            closed: c.closed.map(Time),
            duration_ms: c.duration_ns().map(Ms),
            silence_ms: c.silence_ns.map(Ms),
            timeout_ms: v.timeout_ns.map(Ms),
            timeout_from: v.timeout_from.as_deref().map(text),
            close: Close {
                from_client: close_code(c.close.from_client),
                from_server: close_code(c.close.from_server),
                reported_client: c.close.reported_client,
                reported_server: c.close.reported_server,
                tcp: c.close.tcp.as_deref().map(text),
            },
            legs: c.legs.iter().map(|leg| Leg::new(leg, redactor)).collect(),
            sources: c.sources().iter().map(|s| s.0).collect(),
            reconnect_of: c.reconnect_of.clone(),
            reconnected_as: c.reconnected_as.clone(),
            evidence: v
                .evidence
                .iter()
                .map(|e| Evidence {
                    say: text(&e.say),
                    supports: e.supports,
                    strength: e.strength.name(),
                    source: e.record.map(|r| r.source.0),
                    record: e.record.map(|r| r.ordinal),
                    at: e.at.map(Time),
                })
                .collect(),
            rivals: v
                .rivals
                .iter()
                .map(|r| Rival {
                    cause: r.cause.id(),
                    verdict: r.verdict.name(),
                    why: text(&r.why),
                })
                .collect(),
            untestable: v
                .untestable
                .iter()
                .map(|u| Untestable {
                    cause: u.cause.id(),
                    needs: text(&u.needs),
                })
                .collect(),
            fix: v.fix.iter().map(|f| text(f)).collect(),
            own_rule: v.own_rule.as_deref().map(text),
        }
    }
}

impl Leg {
    fn new(leg: &model::ConnectionLeg, redactor: &Redactor) -> Self {
        let mut sources: Vec<u32> = leg
            .observations
            .iter()
            .flat_map(|o| [o.first.record.source.0, o.last.record.source.0])
            .collect();
        sources.sort_unstable();
        sources.dedup();
        Self {
            client: endpoint(leg.client, redactor),
            server: endpoint(leg.server, redactor),
            sources,
            filter: (!redactor.what().ips).then(|| leg.display_filter()),
            tls: leg.observations.iter().find_map(|o| {
                let view = o.tls.as_ref()?;
                Some(Tls {
                    version: view.name(),
                    server_name: o.sni.as_deref().map(|n| redactor.text(n)),
                    decrypted: view.keys == model::TlsKeys::Read,
                })
            }),
        }
    }
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`, `ip-3:80`.
pub fn endpoint(at: SocketAddr, redactor: &Redactor) -> String {
    if redactor.what().ips {
        format!("{}:{}", redactor.ip(at.ip()), at.port())
    } else {
        at.to_string()
    }
}

fn records(records: &[RecordRef]) -> Vec<Record> {
    records
        .iter()
        .map(|r| Record {
            source: r.source.0,
            record: r.ordinal,
        })
        .collect()
}

impl Finding {
    pub fn new(finding: &model::Finding, redactor: &Redactor) -> Self {
        let model::Finding {
            code,
            kind,
            say,
            hop,
            timeout_ns,
            connections,
            records: refs,
            fix,
        } = finding;
        Self {
            rule: code.clone(),
            kind: kind.clone(),
            timeout_ms: timeout_ns.map(Ms),
            hop: hop.as_deref().map(|h| redactor.text(h)),
            connections: connections.clone(),
            say: redactor.text(say),
            records: records(refs),
            fix: fix.iter().map(|f| redactor.text(f)).collect(),
        }
    }
}

impl Incident {
    pub fn new(incident: &model::Incident, redactor: &Redactor) -> Self {
        let model::Incident {
            code,
            kind,
            start,
            end,
            connections,
            say,
            fix,
        } = incident;
        Self {
            rule: code.clone(),
            kind: kind.clone(),
            start: Time(*start),
            end: Time(*end),
            connections: connections.clone(),
            say: redactor.text(say),
            fix: fix.iter().map(|f| redactor.text(f)).collect(),
        }
    }
}

/// One WebSocket frame, as `wsdrop frames` prints it.
#[derive(Debug, Serialize)]
pub struct Frame {
    pub source: u32,
    pub packet: u64,
    pub at: Time,
    pub client: String,
    pub server: String,
    pub direction: &'static str,
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: u8,
    pub masked: bool,
    pub length: u64,
    pub close_code: Option<u16>,
    pub close_reason: Option<String>,
}

impl Frame {
    /// `tick_ns`: how finely the capture tells time.
    pub fn new(frame: &model::Frame, tick_ns: i64, redactor: &Redactor) -> Self {
        let model::Frame {
            mark,
            client,
            server,
            direction,
            fin,
            rsv1,
            opcode,
            masked,
            len,
            close_code,
            close_reason,
        } = frame;
        Self {
            source: mark.record.source.0,
            packet: mark.record.ordinal,
            at: Time(Stamp::new(mark.at, tick_ns)),
            client: endpoint(*client, redactor),
            server: endpoint(*server, redactor),
            direction: direction.name(),
            fin: *fin,
            rsv1: *rsv1,
            opcode: *opcode,
            masked: *masked,
            length: *len,
            close_code: *close_code,
            close_reason: close_reason.as_deref().map(|r| redactor.payload(r)),
        }
    }
}
