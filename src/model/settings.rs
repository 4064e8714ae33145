//! What the configuration of a hop says: time-outs and upgrade headers, each with the line it stands on.

use super::line::HopKind;
use super::source::SourceId;
use serde::{Deserialize, Serialize};

/// What a time-out limits. Names are those of the directive that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TimeoutKind {
    /// Ends an upgraded connection without payload: nginx `proxy_read_timeout`, HAProxy `timeout tunnel`
    /// (or `timeout client`/`timeout server` where it is unset), ALB `idle_timeout.timeout_seconds`, Envoy `stream_idle_timeout`.
    Idle,
    /// Waits for the answer to the handshake.
    Handshake,
    /// Waits for the TCP connection to the upstream.
    Connect,
    /// After a reload, live connections are cut after this time (`worker_shutdown_timeout`).
    Drain,
    /// Cuts a connection at this age whatever flows.
    Lifetime,
    /// Waits for a blocked write.
    Send,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    pub kind: TimeoutKind,
    /// The directive as its program spells it: `proxy_read_timeout`, `timeout tunnel`.
    pub directive: String,
    pub value_ns: i64,
    /// From 1; `None` where the value is the program's default and nobody wrote it.
    pub line: Option<u64>,
}

/// One place where requests are routed: an nginx location, an HAProxy frontend/backend pair, an Envoy route, a whole load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The URI prefix it serves; empty = everything.
    pub prefix: String,
    /// True for `location = /x`.
    pub exact: bool,
    /// Its name as the user knows it: `location /ws`, `fe_ws -> be_ws`.
    pub name: String,
    pub line: Option<u64>,
    pub timeouts: Vec<Timeout>,
    /// Upstream addresses, `host:port` as written.
    pub upstreams: Vec<String>,
    /// Whether the hop passes the upgrade on here, and what is missing; `None` where the hop does so by itself.
    pub upgrade: Option<UpgradeSetting>,
}

/// What an nginx location does with the three things an upgrade needs (nginx.org/en/docs/http/websocket.html).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeSetting {
    /// `proxy_set_header Upgrade` is in force with something that can be `websocket`.
    pub upgrade_header: bool,
    /// `proxy_set_header Connection` is in force with something that can be `upgrade`.
    pub connection_header: bool,
    /// `proxy_http_version 1.1`, written or by default (1.29.7 and later).
    pub http_11: bool,
    /// Where the location starts, or the directive that spoils it stands.
    pub line: u64,
}

/// One hop as one configuration file describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopSettings {
    pub source: SourceId,
    pub hop: HopKind,
    /// Addresses it listens on, as written (`192.0.2.9:80`, `80`).
    pub listen: Vec<String>,
    pub routes: Vec<Route>,
}

impl HopSettings {
    /// The route that serves this URI: the exact one, else the longest prefix.
    pub fn route(&self, uri: &str) -> Option<&Route> {
        let path = super::attempt::path(uri);
        self.routes
            .iter()
            .filter(|r| {
                if r.exact {
                    path == r.prefix
                } else {
                    path.starts_with(&r.prefix)
                }
            })
            .max_by_key(|r| (r.exact, r.prefix.len()))
    }
}
