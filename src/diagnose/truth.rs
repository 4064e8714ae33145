//! A laboratory's record of what it did to each connection -> what is expected of an analysis of it.

use super::accuracy::{Expected, FORMAT, Wanted};
use crate::model::{Cause, MILLI_NS, Moment, Outcome, Stamp};
use serde::Deserialize;

/// Faults by the names that they were made under, where these are not the names of causes; the first is what happened, the others are right
/// as well on what a capture shows.
const MADE_AS: &[(&str, &[Cause])] = &[
    ("ping-interval-too-long", &[Cause::IdleTimeout]),
    ("heartbeat-one-way", &[Cause::IdleTimeout]),
    ("fd-exhaustion", &[Cause::ResourceExhaustion]),
    ("proxy-reload", &[Cause::ProxyRestart]),
    (
        "middlebox-reset",
        &[Cause::MiddleboxExpiry, Cause::InjectedReset],
    ),
    ("server-restart-drain", &[Cause::ServerRestart]),
    (
        "duplicate-half-open",
        &[
            Cause::HalfOpenDuplicate,
            Cause::ClientNetworkChange,
            Cause::ClientVanished,
        ],
    ),
];

#[derive(Debug, Deserialize)]
struct Record {
    connections: Vec<Made>,
    #[serde(default)]
    incidents: Vec<Happening>,
}

#[derive(Debug, Deserialize)]
struct Happening {
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Made {
    client_ip: String,
    client_port: u16,
    #[serde(default)]
    session: Option<String>,
    /// `ip:port-ip:port` of each leg, its opener first.
    #[serde(default)]
    tuples: Vec<String>,
    /// Milliseconds since 1970.
    opened_ms: Option<f64>,
    #[serde(default)]
    closed_ms: Option<f64>,
    is_drop: bool,
    #[serde(default)]
    phase: String,
    cause: String,
    /// Other names that are not wrong on this evidence.
    #[serde(default)]
    acceptable: Option<Vec<String>>,
}

/// Reads one; the message says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Expected, String> {
    let record: Record = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(Expected {
        format: FORMAT.to_owned(),
        incidents: record
            .incidents
            .iter()
            .map(|i| i.kind.replace('_', "-"))
            .collect(),
        connections: record.connections.into_iter().map(wanted).collect(),
    })
}

fn causes(name: &str) -> Vec<Cause> {
    let name = name.replace('_', "-");
    let made = MADE_AS.iter().find(|(known, _)| *known == name);
    match (Cause::parse(&name), made) {
        (Some(cause), _) => vec![cause],
        (None, Some((_, causes))) => causes.to_vec(),
        (None, None) => Vec::new(),
    }
}

fn wanted(c: Made) -> Wanted {
    let mut accepted = causes(&c.cause);
    // A policy that says no before the upgrade has a cause of its own in the catalogue.
    if c.phase == "handshake" && accepted.first() == Some(&Cause::PolicyClose) {
        accepted.insert(0, Cause::HandshakeRejected);
    }
    for name in c.acceptable.iter().flatten() {
        for cause in causes(name) {
            if !accepted.contains(&cause) {
                accepted.push(cause);
            }
        }
    }
    let outcome = match (c.is_drop, c.phase.as_str(), c.closed_ms) {
        (true, "handshake", _) => Outcome::FailedHandshake,
        (true, ..) => Outcome::Drop,
        (false, _, None) => Outcome::Open,
        (false, _, Some(_)) => Outcome::Clean,
    };
    let ip = |ip: &str| {
        if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        }
    };
    Wanted {
        client: format!("{}:{}", ip(&c.client_ip), c.client_port),
        seen_as: c
            .tuples
            .iter()
            .filter_map(|t| t.split('-').next())
            .map(str::to_owned)
            .collect(),
        session: c.session,
        opened: c
            .opened_ms
            .map(|ms| Stamp::new(Moment(ms as i64 * MILLI_NS), MILLI_NS).rfc3339()),
        outcome,
        causes: accepted.iter().map(|c| c.id().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_what_is_expected() {
        let found = parse(
            r#"{"scenario": "x", "incidents": [{"kind": "reconnect_storm", "members": []}], "connections": [
                {"client_ip": "192.0.2.1", "client_port": 7, "session": "s", "tuples": ["192.0.2.1:7-10.0.0.1:80", "10.0.0.1:9-10.0.0.2:80"],
                 "opened_ms": 1000, "closed_ms": 2000, "is_drop": true, "phase": "established", "cause": "duplicate_half_open"},
                {"client_ip": "2001:db8::1", "client_port": 8, "opened_ms": 1500.0, "closed_ms": null, "is_drop": false, "cause": "still_open"},
                {"client_ip": "192.0.2.2", "client_port": 9, "opened_ms": null, "is_drop": true, "phase": "handshake",
                 "cause": "fd_exhaustion", "acceptable": ["upstream_unavailable"]}
            ]}"#,
        )
        .unwrap();
        assert_eq!(found.incidents, ["reconnect-storm"]);
        let [dropped, open, failed] = found.connections.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(dropped.client, "192.0.2.1:7");
        assert_eq!(dropped.seen_as, ["192.0.2.1:7", "10.0.0.1:9"]);
        assert_eq!(dropped.opened.as_deref(), Some("1970-01-01T00:00:01.000Z"));
        assert_eq!(
            dropped.causes,
            [
                "half-open-duplicate",
                "client-network-change",
                "client-vanished"
            ]
        );
        assert_eq!(
            (open.client.as_str(), open.outcome),
            ("[2001:db8::1]:8", Outcome::Open)
        );
        assert!(open.causes.is_empty());
        let refused = parse(
            r#"{"connections": [{"client_ip": "192.0.2.2", "client_port": 9, "opened_ms": 1, "is_drop": true, "phase": "handshake",
                "cause": "policy_close"}]}"#,
        )
        .unwrap();
        assert_eq!(
            refused.connections[0].causes,
            ["handshake-rejected", "policy-close"]
        );
        assert_eq!(failed.outcome, Outcome::FailedHandshake);
        assert_eq!(
            failed.causes,
            ["resource-exhaustion", "upstream-unavailable"]
        );
        assert!(parse("{}").is_err() && parse("[]").is_err());
    }
}
