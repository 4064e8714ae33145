//! The WebSocket connection end to end: its legs, its lines, its time line, and who ended it, as far as the sources show.

use super::leg::{Direction, LegObservation};
use super::line::{AppLine, HopKind, HopLine, TunnelLine, Word};
use super::source::{RecordRef, SourceId};
use super::time::{Moment, SECOND_NS, Stamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// `c-` and six or more hex digits of a hash over the connection's own data.
pub type ConnectionId = String;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Client {
    /// The outermost client address that the evidence reaches.
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    /// What stays the same over reconnects: a session token, a user id.
    pub identity: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestSummary {
    pub method: Option<Word>,
    pub uri: Option<Word>,
    pub host: Option<Word>,
    /// What the client got: 101 or the refusal; `None` = no answer, or not seen.
    pub status: Option<u16>,
    pub user_agent: Option<Word>,
}

impl RequestSummary {
    /// The WebSocket was granted: 101, or a 2xx to the CONNECT of HTTP/2 (RFC 8441 5).
    pub fn accepted(&self) -> bool {
        match self.status {
            Some(101) => true,
            Some(200..=299) => self.method.as_deref() == Some("CONNECT"),
            _ => false,
        }
    }
}

/// A program on the path of one connection, from the client to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub kind: HopKind,
    /// `nginx`, `haproxy`, `client`, `server` ...: what a column is headed with.
    pub name: Cow<'static, str>,
    pub address: Option<IpAddr>,
}

/// A leg of the connection: between `hops[from]` and `hops[from + 1]` of its connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionLeg {
    /// Index of the nearer-to-client hop in the connection's `hops`.
    pub from: usize,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// The same leg at one or more vantage points; times are still those of each source's own clock.
    pub observations: Vec<LegObservation>,
}

impl ConnectionLeg {
    /// The Wireshark display filter that finds this leg in any capture of it.
    pub fn display_filter(&self) -> String {
        let ip = |a: IpAddr| format!("{}.addr == {a}", if a.is_ipv4() { "ip" } else { "ipv6" });
        format!(
            "{} && {} && tcp.port == {} && tcp.port == {}",
            ip(self.client.ip()),
            ip(self.server.ip()),
            self.client.port(),
            self.server.port()
        )
    }
}

/// Who did something first, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Client,
    Proxy,
    Server,
    Network,
    None,
    Unknown,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Server => "server",
            Self::Network => "network",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closer {
    pub role: Role,
    /// The hop's best name, `None` for client, network, none and unknown.
    pub hop: Option<Cow<'static, str>>,
    pub address: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CloseSummary {
    /// Codes of Close frames on the wire; the outer `Option` is "a Close frame was seen", the inner its code.
    pub from_client: Option<Option<u16>>,
    pub from_server: Option<Option<u16>>,
    /// What the libraries told their applications.
    pub reported_client: Option<u16>,
    pub reported_server: Option<u16>,
    /// `FIN by nginx`, `RST by client` ...: the first sign of the end in TCP.
    pub tcp: Option<String>,
}

/// One thing on the connection's time line, in reference time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Stamp,
    pub record: RecordRef,
    /// For a packet: index into `legs`, and which way. For a log line both are `None`.
    pub leg: Option<usize>,
    pub direction: Option<Direction>,
    /// For a log line: index into `hops` of the host that wrote it.
    pub hop: Option<usize>,
    pub kind: EventKind,
    /// What happened, in a few words: `FIN`, `text 23 B`, `1006 socket closed`.
    pub say: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    Handshake,
    Data,
    Heartbeat,
    Close,
    Tcp,
    Loss,
    Log,
}

/// A connection as `correlate` hands it to `diagnose`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    pub id: ConnectionId,
    pub client: Client,
    pub request: RequestSummary,
    /// From the client to the server; at least these two.
    pub hops: Vec<Hop>,
    /// In path order.
    pub legs: Vec<ConnectionLeg>,
    pub tunnels: Vec<TunnelLine>,
    pub hop_lines: Vec<HopLine>,
    pub app_lines: Vec<AppLine>,
    /// Nothing but time ties them to it, and they fit a connection beside it as well.
    pub app_doubtful: bool,
    /// When the client had its 101 (or began to ask, for a handshake that failed), in reference time.
    pub opened: Option<Stamp>,
    /// The first sign of the end, in reference time; `None` = still open when the evidence ends.
    pub closed: Option<Stamp>,
    /// From the last payload in either direction until `closed`, nanoseconds; `None` where no source shows payload.
    pub silence_ns: Option<i64>,
    pub close: CloseSummary,
    pub closer: Closer,
    /// In order of time; ties by record.
    pub events: Vec<Event>,
    pub reconnect_of: Option<ConnectionId>,
    pub reconnected_as: Option<ConnectionId>,
    /// Reference time minus nothing: the moment the connection is sorted by (opened, else closed, else first event).
    pub sort_at: Moment,
}

impl Connection {
    /// Every source that holds a record of this connection, ascending.
    pub fn sources(&self) -> Vec<SourceId> {
        let mut all: Vec<SourceId> = self.events.iter().map(|e| e.record.source).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The Wireshark display filter that finds all legs; `None` where no capture shows one.
    pub fn display_filter(&self) -> Option<String> {
        let legs: Vec<String> = self
            .legs
            .iter()
            .map(|leg| format!("({})", leg.display_filter()))
            .collect();
        (!legs.is_empty()).then(|| legs.join(" || "))
    }

    pub fn duration_ns(&self) -> Option<i64> {
        let lived = self.closed?.at.since(self.opened?.at);
        // an end that two stamps put a little before the beginning came at once
        Some(if (-SECOND_NS..0).contains(&lived) {
            0
        } else {
            lived
        })
    }
}
