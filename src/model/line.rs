//! What one log line says, whatever its format: the plain values that `logs` writes and `correlate` reads.

use super::leg::Direction;
use super::source::RecordRef;
use super::time::Stamp;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A word of an access line: lines that say the same share it, and so does the connection that they tell of.
pub type Word = Arc<str>;

/// A kind of program on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HopKind {
    Client,
    Nginx,
    Haproxy,
    Alb,
    Envoy,
    Apache,
    Traefik,
    Caddy,
    CloudFront,
    Cloudflare,
    /// Heroku's router.
    Heroku,
    /// AWS Network Load Balancer.
    Nlb,
    /// AWS Classic Load Balancer.
    Elb,
    /// Google Cloud's Application Load Balancer.
    Gcp,
    /// Azure's Application Gateway.
    AppGateway,
    /// Azure's Front Door.
    FrontDoor,
    /// Microsoft's web server.
    Iis,
    /// A load balancer or proxy whose program is not known.
    Proxy,
    /// A NAT, firewall or connection table: it passes packets on, and is neither an end nor a proxy.
    Firewall,
    Server,
}

impl HopKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Alb => "alb",
            Self::Envoy => "envoy",
            Self::Apache => "apache",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::CloudFront => "cloudfront",
            Self::Cloudflare => "cloudflare",
            Self::Heroku => "heroku",
            Self::Nlb => "nlb",
            Self::Elb => "elb",
            Self::Gcp => "gcp",
            Self::AppGateway => "app-gateway",
            Self::FrontDoor => "front-door",
            Self::Iis => "iis",
            Self::Proxy => "proxy",
            Self::Firewall => "firewall",
            Self::Server => "server",
        }
    }
    /// Stands at the edge of a network, in front of every other proxy.
    pub const fn is_edge(self) -> bool {
        matches!(
            self,
            Self::CloudFront
                | Self::Cloudflare
                | Self::Gcp
                | Self::AppGateway
                | Self::FrontDoor
                | Self::Heroku
                | Self::Nlb
                | Self::Elb
        )
    }
    pub const fn is_proxy(self) -> bool {
        !matches!(self, Self::Client | Self::Server | Self::Firewall)
    }
}

/// An access-log line about a request that was, or tried to be, a WebSocket: written once, when it was over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunnelLine {
    pub record: RecordRef,
    pub hop: HopKind,
    /// When the request came.
    pub start: Option<Stamp>,
    /// When the tunnel (or the refused request) was over.
    pub end: Option<Stamp>,
    /// The hop's own measure of the life, nanoseconds.
    pub life_ns: Option<i64>,
    /// The peer that the hop saw.
    pub client: Option<IpAddr>,
    pub client_port: Option<u16>,
    /// X-Forwarded-For, outermost client first.
    pub forwarded_for: Vec<IpAddr>,
    pub upstream: Option<SocketAddr>,
    /// The hop's own end of its connection to the upstream: the peer that the upstream sees.
    pub upstream_local: Option<Box<SocketAddr>>,
    pub method: Option<Word>,
    pub uri: Option<Word>,
    pub host: Option<Word>,
    pub status: Option<u16>,
    pub upstream_status: Option<u16>,
    pub bytes_to_client: Option<u64>,
    pub bytes_to_server: Option<u64>,
    /// The line says whether the client asked for an upgrade (`$http_upgrade`, ALB type `ws`); `None` = the format has no such field.
    pub upgrade_asked: Option<bool>,
    /// HAProxy's termination state, Envoy's response flags and details.
    pub termination: Option<Word>,
    pub user_agent: Option<Word>,
    pub request_id: Option<Word>,
    pub ws_key: Option<Word>,
    /// nginx `$connection`: joins the error log's `*N`.
    pub serial: Option<u64>,
}

/// The shortest answer that accepts a WebSocket (RFC 6455 4.2.2): status line, three headers, an empty line.
const LEAST_ANSWER: u64 = 129;

impl TunnelLine {
    /// Written by a hop that passes TCP on and does not look into it.
    pub const fn is_tcp(&self) -> bool {
        self.uri.is_none() && self.status.is_none() && self.method.is_none()
    }

    /// A TCP connection that carried as much to the client as an accepted handshake takes; true where bytes are not logged and it lived.
    pub fn carried_answer(&self) -> bool {
        self.is_tcp()
            && match self.bytes_to_client {
                Some(bytes) => bytes >= LEAST_ANSWER,
                None => self
                    .life_ns
                    .is_some_and(|life| life >= crate::model::SECOND_NS),
            }
    }

    /// Which way the end came to this hop, where its log says so: HAProxy `C` and `S` in the data phase (configuration manual, 8.5),
    /// Envoy `DC` and `UC`, the system's word in IIS's log. It tells which TCP side ended first, and nothing of why.
    pub fn end_came(&self) -> Option<Direction> {
        let state = self.termination.as_deref()?;
        let flag = |f: &str| state.split([' ', ',']).any(|w| w == f);
        match self.hop {
            HopKind::Haproxy if state.starts_with("CD") => Some(Direction::ToServer),
            HopKind::Haproxy if state.starts_with("SD") => Some(Direction::ToClient),
            // Its own stop has the same flag.
            HopKind::Envoy if state.contains("local_disconnect") => None,
            HopKind::Envoy if flag("DC") => Some(Direction::ToServer),
            HopKind::Envoy if flag("UC") => Some(Direction::ToClient),
            // ERROR_NETNAME_DELETED: the client's connection is no more.
            HopKind::Iis if state.ends_with(" 64") => Some(Direction::ToServer),
            HopKind::AppGateway if state.contains("CLIENT_CLOSED") => Some(Direction::ToServer),
            HopKind::AppGateway if state.contains("UPSTREAM_CLOSED") => Some(Direction::ToClient),
            _ => None,
        }
    }

    /// The line says that the hop ended the tunnel for its age: Envoy's `UMSDR` (`max_stream_duration`) and `DT`
    /// (`max_connection_duration`).
    #[must_use]
    pub fn ended_by_age(&self) -> bool {
        let state = self.termination.as_deref().unwrap_or_default();
        self.hop == HopKind::Envoy
            && (state.split([' ', ',']).any(|f| matches!(f, "UMSDR" | "DT"))
                || state.contains("max_duration_timeout"))
    }

    /// The line says that the hop's own timer ended the tunnel: HAProxy `cD`/`sD` (configuration manual, 8.5), Envoy `SI`,
    /// or a balancer's own word for it. `None` where the format has no field that could say so.
    pub fn ended_by_timer(&self) -> Option<bool> {
        let state = self.termination.as_deref()?;
        Some(match self.hop {
            // What these say of an end names no timer where there was one, Heroku's H15 apart.
            HopKind::Apache
            | HopKind::Traefik
            | HopKind::Caddy
            | HopKind::CloudFront
            | HopKind::Cloudflare
            | HopKind::Heroku
            | HopKind::Nlb
            | HopKind::Elb
            | HopKind::Gcp
            | HopKind::FrontDoor
            | HopKind::Iis => {
                return state.to_ascii_lowercase().contains("idle").then_some(true);
            }
            // Its time-out for requests is nginx's for reading, and holds for WebSockets as well.
            HopKind::AppGateway => state.contains("UPSTREAM_TIMED_OUT"),
            HopKind::Haproxy => state.starts_with("cD") || state.starts_with("sD"),
            HopKind::Envoy => {
                state.contains("stream_idle_timeout") || state.split([' ', ',']).any(|f| f == "SI")
            }
            _ => state.to_ascii_lowercase().contains("idle"),
        })
    }
}

/// What a proxy's error or process log says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HopEvent {
    /// An upgraded connection was idle too long ("upstream timed out ... while proxying upgraded connection").
    IdleTimeout,
    /// The client stopped reading ("client timed out").
    ClientTimeout,
    /// recv() failed (104) from the upstream of an upgraded connection, or from its client.
    ResetWhileUpgraded,
    /// recv() failed (110): the peer did not acknowledge for so long that TCP gave up.
    TcpTimeout,
    /// The upstream did not answer the handshake in time.
    HandshakeTimeout,
    /// connect() failed (111).
    UpstreamRefused,
    /// connect() timed out or the host is unreachable (110, 113) before a connection stood.
    UpstreamUnreachable,
    /// The upstream closed or reset before it answered the handshake.
    UpstreamClosedEarly,
    /// The client left before the answer came.
    ClientLeftEarly,
    NoLiveUpstreams,
    WorkerConnections,
    DescriptorsExhausted,
    TlsFailed,
    /// The client broke the TLS handshake off: it sent an alert, or closed.
    TlsLeft,
    /// Started, or a new worker generation.
    Started,
    Reload,
    /// "gracefully shutting down".
    Draining,
    Exiting,
    /// A fast stop (SIGTERM, SIGINT).
    Stopped,
    /// "worker process N exited on signal S".
    WorkerKilled,
    /// A health check or an operator took an upstream out.
    UpstreamDown,
    UpstreamUp,
    /// A connection table dropped its entry of a flow that still stood.
    FlowForgotten,
    /// A firewall refused a packet in the middle of a flow that it knows nothing of.
    FlowUnknown,
    /// A connection table dropped its entry after it had seen a FIN or RST.
    FlowOver,
    Other,
}

/// A line of a proxy's error or process log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HopLine {
    pub record: RecordRef,
    pub hop: HopKind,
    pub at: Stamp,
    /// As written: `info`, `error`.
    pub level: Option<String>,
    pub pid: Option<u32>,
    pub what: HopEvent,
    pub serial: Option<u64>,
    pub client: Option<IpAddr>,
    pub client_port: Option<u16>,
    pub uri: Option<String>,
    pub upstream: Option<SocketAddr>,
    pub host: Option<String>,
}

impl HopLine {
    /// A client's TLS handshake that failed: nothing was asked for yet.
    pub const fn is_tls(&self) -> bool {
        matches!(self.what, HopEvent::TlsFailed | HopEvent::TlsLeft)
            && self.client.is_some()
            && self.uri.is_none()
            && self.upstream.is_none()
    }

    /// Which side of nginx a failed read or write was on: it writes those of clients at level `info`, those of upstreams at `error`
    /// (`log_error` of ngx_connection_t). `None` where the log does not tell.
    pub fn from_upstream(&self) -> Option<bool> {
        match (self.hop, self.level.as_deref()) {
            (HopKind::Nginx, Some("error")) => Some(true),
            (HopKind::Nginx, Some("info")) => Some(false),
            _ => None,
        }
    }
}

/// What an application's log line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppEvent {
    Open,
    /// 1005 and 1006 here are what the library made up: nothing of the kind was on the wire.
    Close {
        code: Option<u16>,
        reason: String,
    },
    /// A socket or handler error; `code` such as `ECONNRESET`, `EMFILE`.
    Error {
        code: Option<String>,
        message: String,
    },
    /// The application gave up on a peer that did not answer its pings.
    HeartbeatMissed,
    /// The application ended it for its silence.
    Idle,
    /// A read ran out of time (Go's `i/o timeout`): a heartbeat that was missed where pongs move the deadline, else the application's idle timer.
    ReadTimedOut,
    /// The upgrade was refused by the application.
    Rejected {
        status: Option<u16>,
    },
    /// The application itself cut a peer that did not read.
    Backpressure,
    /// The process came up: listening, started.
    Listening {
        port: Option<u16>,
    },
    /// A wanted stop began: SIGTERM received, draining, shutting down.
    Stopping,
    /// The process says that it dies or died: uncaught exception, exit by signal, OOM.
    Crashed {
        message: String,
    },
    /// EMFILE, ENFILE, heap limit, pool exhausted.
    Exhausted {
        message: String,
    },
    /// An exception that the process survived.
    Exception {
        message: String,
    },
    /// Understood as a line of this application, and says nothing about connections.
    Other,
}

/// A line of an application log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppLine {
    pub record: RecordRef,
    pub at: Stamp,
    pub what: AppEvent,
    pub pid: Option<u32>,
    pub hostname: Option<String>,
    /// The application's own id of the connection (`connId`, `socketId`).
    pub connection_id: Option<String>,
    /// The id of the user's session, the same over reconnects (`sessionId`, `userId`).
    pub session: Option<String>,
    /// Client addresses, outermost first (X-Forwarded-For lists are split).
    pub client: Vec<IpAddr>,
    pub client_port: Option<u16>,
    pub uri: Option<String>,
    pub ws_key: Option<String>,
    pub request_id: Option<String>,
}

impl AppLine {
    /// A line that names nobody.
    pub const fn new(record: RecordRef, at: Stamp, what: AppEvent) -> Self {
        Self {
            record,
            at,
            what,
            pid: None,
            hostname: None,
            connection_id: None,
            session: None,
            client: Vec::new(),
            client_port: None,
            uri: None,
            ws_key: None,
            request_id: None,
        }
    }
}

/// One line of any log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Line {
    Tunnel(TunnelLine),
    Hop(HopLine),
    App(AppLine),
}

impl Line {
    pub const fn record(&self) -> RecordRef {
        match self {
            Self::Tunnel(l) => l.record,
            Self::Hop(l) => l.record,
            Self::App(l) => l.record,
        }
    }

    pub const fn record_mut(&mut self) -> &mut RecordRef {
        match self {
            Self::Tunnel(l) => &mut l.record,
            Self::Hop(l) => &mut l.record,
            Self::App(l) => &mut l.record,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, SECOND_NS, SourceId};

    fn line(hop: HopKind, termination: Option<&str>) -> TunnelLine {
        TunnelLine {
            record: RecordRef {
                source: SourceId(0),
                ordinal: 1,
                start: 0,
                len: 0,
            },
            hop,
            start: None,
            end: Some(Stamp::new(Moment(0), SECOND_NS)),
            life_ns: None,
            client: None,
            client_port: None,
            forwarded_for: Vec::new(),
            upstream: None,
            upstream_local: None,
            method: None,
            uri: None,
            host: None,
            status: None,
            upstream_status: None,
            bytes_to_client: None,
            bytes_to_server: None,
            upgrade_asked: None,
            termination: termination.map(Word::from),
            user_agent: None,
            request_id: None,
            ws_key: None,
            serial: None,
        }
    }

    #[test]
    fn which_side_ended_first() {
        use Direction::{ToClient, ToServer};
        for (hop, termination, expected) in [
            (HopKind::Haproxy, Some("CD--"), Some(ToServer)),
            (HopKind::Haproxy, Some("SD--"), Some(ToClient)),
            (HopKind::Haproxy, Some("cD--"), None),
            (HopKind::Haproxy, Some("----"), None),
            (HopKind::Envoy, Some("DC"), Some(ToServer)),
            (
                HopKind::Envoy,
                Some("DC downstream_remote_disconnect"),
                Some(ToServer),
            ),
            (
                HopKind::Envoy,
                Some("DC downstream_local_disconnect(x)"),
                None,
            ),
            (
                HopKind::Envoy,
                Some("UC upstream_reset_after_response_started"),
                Some(ToClient),
            ),
            (HopKind::Envoy, Some("SI"), None),
            (HopKind::Nginx, Some("CD--"), None),
            (HopKind::Haproxy, None, None),
        ] {
            assert_eq!(
                line(hop, termination).end_came(),
                expected,
                "{hop:?} {termination:?}"
            );
        }
    }

    #[test]
    fn a_tcp_connection_that_can_have_been_a_websocket() {
        for (bytes, life_s, status, expected) in [
            (Some(129), Some(0), None, true),
            (Some(128), Some(60), None, false),
            (None, Some(1), None, true),
            (None, Some(0), None, false),
            (None, None, None, false),
            (Some(500), Some(5), Some(200), false),
        ] {
            let mut l = line(HopKind::Proxy, None);
            (l.bytes_to_client, l.status) = (bytes, status);
            l.life_ns = life_s.map(|s| s * SECOND_NS);
            assert_eq!(
                l.carried_answer(),
                expected,
                "{bytes:?} {life_s:?} {status:?}"
            );
        }
    }
}
