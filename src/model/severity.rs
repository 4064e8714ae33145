//! A rule -> how much it matters: what `wsdrop check` fails on. The one table; the book shows the same.

use super::verdict::Cause;
use serde::{Deserialize, Serialize};

/// Least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Told beside something else that is counted.
    Info,
    /// Ended by the client's side, or as an operator wanted.
    Low,
    /// Users lose connections that a change of configuration or code would keep.
    Medium,
    /// Nobody gets through, or the service itself breaks.
    High,
}

impl Severity {
    pub const ALL: &'static [Self] = &[Self::Info, Self::Low, Self::Medium, Self::High];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Cause {
    pub const fn severity(self) -> Severity {
        match self {
            Self::MissingUpgrade
            | Self::UpstreamUnavailable
            | Self::TlsFailure
            | Self::ServerCrash
            | Self::ServerException
            | Self::ResourceExhaustion => Severity::High,
            Self::IdleTimeout
            | Self::LifetimeCap
            | Self::MiddleboxExpiry
            | Self::MissedHeartbeat
            | Self::ClientHeartbeatTimeout
            | Self::HandshakeTimeout
            | Self::HalfOpenDuplicate
            | Self::InjectedReset
            | Self::SlowConsumer
            | Self::ProxyRestart
            | Self::MessageTooBig
            | Self::ProtocolError
            | Self::Undecided => Severity::Medium,
            Self::HandshakeRejected
            | Self::ClientNetworkChange
            | Self::ClientVanished
            | Self::ClientAbort
            | Self::ServerRestart
            | Self::PolicyClose => Severity::Low,
        }
    }
}

/// Rules over many connections, and those that are no drop: code, id, what it says, how much it matters.
pub const BESIDE: &[(&str, &str, &str, Severity)] = &[
    (
        "W701",
        "reconnect-storm",
        "many clients came back at the same time",
        Severity::Medium,
    ),
    (
        "W702",
        "mass-drop",
        "many connections ended at the same time",
        Severity::High,
    ),
    (
        "W703",
        "recurring-timeout",
        "several silences end at the same length",
        Severity::Info,
    ),
    (
        "W801",
        "silent-stall",
        "pings are answered, and messages stopped",
        Severity::Medium,
    ),
    (
        "W802",
        "heartbeat-risk",
        "the heartbeat is too slow for a time-out on the path",
        Severity::Low,
    ),
    (
        "W803",
        "half-open-leak",
        "sockets stand without a connection",
        Severity::Medium,
    ),
    (
        "W804",
        "config-risk",
        "a configuration would cut connections",
        Severity::Low,
    ),
    (
        "W805",
        "resource-pressure",
        "descriptors, connections, memory or threads ran short",
        Severity::High,
    ),
];

/// Every code with its id, what a connection or case with it does, and its severity; ascending.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static str, &'static str, Severity)> {
    let causes = |last: bool| {
        Cause::ALL
            .iter()
            .filter(move |c| (**c == Cause::Undecided) == last)
            .map(|c| (c.code(), c.id(), c.title(), c.severity()))
    };
    causes(false)
        .chain(BESIDE.iter().copied())
        .chain(causes(true))
}

/// A code that no table knows is worth a look.
pub fn severity_of(code: &str) -> Severity {
    catalogue()
        .find(|(known, ..)| *known == code)
        .map_or(Severity::Medium, |(.., severity)| severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_order_and_whole() {
        let codes: Vec<&str> = catalogue().map(|r| r.0).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        assert_eq!(codes.len(), Cause::ALL.len() + BESIDE.len());
        assert_eq!(severity_of("W501"), Severity::High);
        assert_eq!(severity_of("W703"), Severity::Info);
        assert_eq!(severity_of("X1"), Severity::Medium);
    }
}
