//! The closed, typed catalogue of facts: the only questions a rule may ask about a connection.

use crate::model::{RecordRef, Stamp};
use std::sync::OnceLock;

/// What values a fact takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactType {
    Bool,
    /// Nanoseconds; rules write it with a unit (`60s`, `250ms`).
    Duration,
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Named durations: the time-outs that could explain a silence.
    Durations,
}

#[derive(Debug, Clone, Copy)]
pub struct FactSpec {
    pub name: &'static str,
    pub kind: FactType,
    /// What it asks, as a sentence.
    pub asks: &'static str,
    /// Which evidence can answer it, for "what would settle this".
    pub needs: &'static str,
}

/// A time-out that could explain a silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDuration {
    pub ns: i64,
    /// `proxy_read_timeout, nginx.conf:31`; `seen 6 times in this case`; `nginx default`.
    pub name: String,
    /// The hop that it belongs to, as in `Hop::name`; empty where it is not known.
    pub hop: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    Duration(i64),
    Count(i64),
    Word(&'static str),
    Durations(Vec<NamedDuration>),
}

/// The answer to one fact for one connection: `value` is `None` where nothing could show it either way.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    pub value: Option<Value>,
    /// The records that show it, most telling first.
    pub records: Vec<(RecordRef, Option<Stamp>)>,
    /// Where it comes from: independent kinds agreeing make a verdict certain.
    pub witness: Witnesses,
}

/// Which kinds of source stand behind a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Witnesses {
    pub capture: bool,
    pub proxy_log: bool,
    pub app_log: bool,
    pub config: bool,
    /// The other connections of the case.
    pub population: bool,
}

impl Witnesses {
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            capture: self.capture | other.capture,
            proxy_log: self.proxy_log | other.proxy_log,
            app_log: self.app_log | other.app_log,
            config: self.config | other.config,
            population: self.population | other.population,
        }
    }
    pub const fn count(self) -> u32 {
        self.capture as u32
            + self.proxy_log as u32
            + self.app_log as u32
            + self.config as u32
            + self.population as u32
    }
}

/// Every fact of one connection, in the order of [`FACTS`].
#[derive(Debug, Clone, Default)]
pub struct Row {
    readings: Vec<Reading>,
    /// Which of them have a value, one bit each: most facts of a connection have none.
    observed: u128,
}

// A bit for each fact.
const _: () = assert!(FACTS.len() <= 128);

impl Row {
    pub fn new() -> Self {
        Self {
            readings: vec![Reading::default(); FACTS.len()],
            observed: 0,
        }
    }
    /// The reading of a fact by its place in the catalogue.
    pub fn at(&self, fact: usize) -> Option<&Reading> {
        self.readings.get(fact)
    }
    /// The places of the facts that have a value, one bit each.
    pub(super) const fn observed(&self) -> u128 {
        self.observed
    }
    /// Sets a fact by its place in the catalogue.
    pub fn put(&mut self, fact: usize, reading: Reading) {
        if let Some(known) = self.readings.get_mut(fact) {
            let bit = 1 << (fact % 128);
            self.observed = match reading.value {
                Some(_) => self.observed | bit,
                None => self.observed & !bit,
            };
            *known = reading;
        }
    }
    /// Changes every reading, in the order of the catalogue.
    pub fn change(&mut self, mut how: impl FnMut(&mut Reading)) {
        for fact in 0..self.readings.len() {
            let mut reading = std::mem::take(&mut self.readings[fact]);
            how(&mut reading);
            self.put(fact, reading);
        }
    }
    pub fn get(&self, name: &str) -> Option<&Reading> {
        self.readings.get(index(name)?)
    }
    /// Sets a fact of the catalogue; an unknown name or a wrong type is a bug, caught by a test over all extractors.
    pub fn set(&mut self, name: &'static str, reading: Reading) {
        let at = index(name);
        debug_assert!(at.is_some(), "no such fact: {name}");
        if let Some(at) = at {
            self.put(at, reading);
        }
    }
}

pub fn index(name: &str) -> Option<usize> {
    static SORTED: OnceLock<Vec<(&str, usize)>> = OnceLock::new();
    let sorted = SORTED.get_or_init(|| {
        let mut all: Vec<(&str, usize)> = FACTS.iter().map(|f| f.name).zip(0..).collect();
        all.sort_unstable();
        all
    });
    let at = sorted.binary_search_by_key(&name, |(n, _)| n).ok()?;
    sorted.get(at).map(|(_, index)| *index)
}

const fn fact(
    name: &'static str,
    kind: FactType,
    asks: &'static str,
    needs: &'static str,
) -> FactSpec {
    FactSpec {
        name,
        kind,
        asks,
        needs,
    }
}

use FactType::{Bool, Count, Duration, Durations, Word};

const PATH: &str = "a capture or an access log of a hop";
const BOTH: &str = "a capture on both sides of the proxy, or its error log at level info";
const APP: &str = "the application's log";
const CAPTURE: &str = "a capture that holds this leg";

pub const FACTS: &[FactSpec] = &[
    // the opening handshake
    fact(
        "handshake.result",
        Word(&["accepted", "refused", "unanswered", "reset"]),
        "how the opening handshake ended",
        PATH,
    ),
    fact(
        "handshake.status",
        Count,
        "the HTTP status the client was answered with",
        PATH,
    ),
    fact(
        "handshake.upgrade_asked",
        Bool,
        "the client asked for a WebSocket",
        PATH,
    ),
    fact(
        "handshake.upgrade_passed",
        Bool,
        "the request that reached the server carried Upgrade, Connection: upgrade and HTTP/1.1",
        "a capture of the upstream leg, or the proxy's configuration",
    ),
    fact(
        "handshake.http10",
        Bool,
        "the request reached the server as HTTP/1.0",
        "a capture of the upstream leg, or the proxy's configuration",
    ),
    fact(
        "handshake.from_server",
        Bool,
        "the refusal was written by the server itself, not by a hop",
        "an access log with $upstream_status, or a capture of the upstream leg",
    ),
    fact(
        "handshake.upstream",
        Word(&[
            "answered",
            "refused",
            "unreachable",
            "closed-early",
            "timed-out",
            "none",
        ]),
        "what the upstream did with the request",
        "the proxy's error log, or a capture of the upstream leg",
    ),
    fact(
        "handshake.waited",
        Duration,
        "how long the client waited for an answer",
        PATH,
    ),
    fact(
        "handshake.route_works",
        Bool,
        "other handshakes over the same hop and path were accepted",
        PATH,
    ),
    fact(
        "handshake.turned_away",
        Bool,
        "the server dropped the new connection unanswered while those it already had lived on",
        "a capture of the upstream leg, or the proxy's error log",
    ),
    fact(
        "config.upgrade_passed",
        Bool,
        "the configuration of the location passes the upgrade on",
        "the proxy's configuration",
    ),
    // the close
    fact(
        "close.frame",
        Bool,
        "a Close frame was sent by either side",
        "a capture of any leg, or an application log with close codes",
    ),
    fact(
        "close.first_from",
        Word(&["client", "server", "proxy"]),
        "who sent the first Close frame: an end, or a proxy of its own accord",
        CAPTURE,
    ),
    fact(
        "close.code",
        Count,
        "the code of the first Close frame; 1005 where it had none",
        "a capture of any leg, or an application log with close codes",
    ),
    fact(
        "close.side",
        Word(&["client", "proxy", "server", "network", "none"]),
        "who ended it first",
        BOTH,
    ),
    fact(
        "close.far_side",
        Bool,
        "it was ended from beyond the client, by a proxy or the server: the one leg seen can't tell which",
        CAPTURE,
    ),
    fact(
        "close.how",
        Word(&["close-frame", "fin", "rst", "silent"]),
        "the first sign of the end on the wire",
        CAPTURE,
    ),
    fact(
        "close.reported_server",
        Count,
        "the close code the server's library reported",
        APP,
    ),
    fact(
        "close.heartbeat_reason",
        Bool,
        "the reason of its Close, or of another one's of this server in that instant, names a heartbeat that did not come",
        "a capture that holds the Close frame, or the application's log",
    ),
    fact(
        "close.logged_by_server",
        Bool,
        "the application logged this connection's close",
        APP,
    ),
    fact(
        "close.reset_foreign",
        Bool,
        "the RST did not come from the end it claims to come from",
        "captures at both ends of the leg",
    ),
    fact(
        "close.reset_after_silence",
        Bool,
        "the RST answered the first payload after a long silence",
        CAPTURE,
    ),
    // silence and time-outs
    fact(
        "idle.gap_before_close",
        Duration,
        "silence of payload in both directions before the end",
        CAPTURE,
    ),
    fact(
        "idle.gap_to_server",
        Duration,
        "silence of payload from the client before the end",
        CAPTURE,
    ),
    fact(
        "idle.gap_to_client",
        Duration,
        "silence of payload from the server before the end",
        CAPTURE,
    ),
    fact(
        "idle.logged",
        Bool,
        "a hop logged that it closed the connection for being idle",
        "the proxy's error log at level info, or an access log with a termination state",
    ),
    fact(
        "idle.had_room",
        Bool,
        "it lived longer than a time-out of its path, so that an idle time-out was possible",
        "an access log with durations and the proxy's configuration",
    ),
    fact(
        "idle.lived_timer",
        Count,
        "connections of this case that a hop logged to have lived exactly as long as one of its idle time-outs, as this one did",
        "an access log with durations in milliseconds and the proxy's configuration",
    ),
    fact(
        "idle.one_way",
        Bool,
        "the same silence of one direction ended several connections while the other direction went on",
        CAPTURE,
    ),
    fact(
        "idle.silent_side",
        Word(&["client", "server"]),
        "whose silence alone ended several connections while the other side went on",
        CAPTURE,
    ),
    fact(
        "idle.packet_timer",
        Bool,
        "the same silence of every packet, TCP keep-alive included, ended several connections whose payload had been silent for unlike times",
        CAPTURE,
    ),
    fact(
        "idle.round",
        Bool,
        "the silence before the end is a whole number of seconds, two at least",
        CAPTURE,
    ),
    fact(
        "life.total",
        Duration,
        "from the opening handshake to the end",
        PATH,
    ),
    fact(
        "life.age_logged",
        Bool,
        "a hop logged that it ended the connection for its age",
        "the hop's access log with its flags",
    ),
    fact(
        "timeouts.known",
        Durations,
        "time-outs that could end a silent connection here: configured, recurring in this case, or known defaults",
        "the proxy's configuration",
    ),
    fact(
        "timeouts.lifetimes",
        Durations,
        "limits on the total life that could apply here: configured, or reached over and over in this case",
        "the proxy's configuration",
    ),
    fact(
        "traffic.flowing",
        Bool,
        "payload was flowing up to the end, as before: a pause of that length had come earlier, or there was none",
        CAPTURE,
    ),
    // heartbeats
    fact(
        "heartbeat.seen",
        Bool,
        "there were pings on this connection",
        CAPTURE,
    ),
    fact(
        "heartbeat.period",
        Duration,
        "the time from ping to ping",
        CAPTURE,
    ),
    fact(
        "heartbeat.from",
        Word(&["server", "client", "both"]),
        "who sends pings",
        CAPTURE,
    ),
    fact(
        "heartbeat.unanswered",
        Count,
        "pings before the end that no pong answered, where a pong would have been seen",
        CAPTURE,
    ),
    fact(
        "heartbeat.unanswered_for",
        Duration,
        "from the first unanswered ping to the end",
        CAPTURE,
    ),
    fact(
        "heartbeat.client_unanswered",
        Count,
        "pings of the client before the end that no pong answered, after others that had theirs",
        CAPTURE,
    ),
    fact(
        "heartbeat.stopped",
        Bool,
        "the pings of the server stopped long before the end",
        CAPTURE,
    ),
    fact(
        "heartbeat.miss_logged",
        Bool,
        "the application logged that the peer missed its heartbeat",
        APP,
    ),
    // the client
    fact(
        "client.silent_for",
        Duration,
        "from the client's last packet to the end",
        CAPTURE,
    ),
    fact(
        "client.unacked",
        Bool,
        "what was sent to the client at the end was never acknowledged",
        CAPTURE,
    ),
    fact(
        "client.acks_only",
        Bool,
        "the client's kernel acknowledged, its application said nothing",
        CAPTURE,
    ),
    fact(
        "client.returned",
        Bool,
        "the same client came back on a new connection",
        "a session token in the URI or in the application's log",
    ),
    fact(
        "client.returned_elsewhere",
        Bool,
        "the same client came back from another address",
        "a session token in the URI or in the application's log",
    ),
    fact(
        "client.returned_before_end",
        Bool,
        "the new connection opened while the old one still stood",
        "a session token in the URI or in the application's log",
    ),
    fact(
        "client.return_delay",
        Duration,
        "from the end, or the client's last sign of life, to the new connection",
        "a session token in the URI or in the application's log",
    ),
    fact(
        "client.shared_address",
        Bool,
        "sessions of other users come from the client's address: a NAT or a balancer stands there",
        "a session token in the URI or in the application's log",
    ),
    fact(
        "client.tcp_gave_up",
        Bool,
        "a hop's TCP gave up on the client for lack of acknowledgements",
        "the proxy's error log at level info",
    ),
    fact(
        "client.zero_window",
        Duration,
        "how long the client advertised a window of zero before the end",
        CAPTURE,
    ),
    fact(
        "client.stopped_reading_logged",
        Bool,
        "a hop or the application logged that the client did not read",
        "the proxy's error log at level info, or the application's log",
    ),
    // the server
    fact(
        "server.died",
        Bool,
        "the server process died without a stop being asked for",
        APP,
    ),
    fact(
        "server.stopping",
        Bool,
        "a wanted stop of the server began around the end",
        APP,
    ),
    fact(
        "server.restarted",
        Bool,
        "the server process started again after the end",
        APP,
    ),
    fact(
        "server.refused_after",
        Bool,
        "connects to the same upstream were refused right after the end",
        "the proxy's error log, or a capture of the upstream leg",
    ),
    fact(
        "server.ended_together",
        Count,
        "connections of the same upstream that ended in the same instant without being asked, this one included",
        PATH,
    ),
    fact(
        "server.none_survived",
        Bool,
        "no connection of the same upstream lived on through that instant",
        PATH,
    ),
    fact(
        "server.others_survived",
        Bool,
        "connections of another upstream lived on through that instant",
        PATH,
    ),
    fact(
        "server.exception_logged",
        Bool,
        "the application logged an exception for this connection at its end",
        APP,
    ),
    fact(
        "server.exhausted_logged",
        Bool,
        "the application or a hop logged exhaustion of descriptors, connections, memory or threads",
        "the application's, the proxy's and the kernel's logs",
    ),
    // the proxy
    fact(
        "proxy.restarting",
        Bool,
        "a reload, drain or stop of a proxy on the path explains this moment",
        "the proxy's error log at level notice",
    ),
    fact(
        "proxy.ended_together",
        Count,
        "connections over the same proxy, whatever their upstream, that ended in the same instant",
        PATH,
    ),
    fact(
        "proxy.line_missing",
        Bool,
        "the proxy wrote no line for a connection that it must have carried to its end",
        "the proxy's access log",
    ),
    fact(
        "proxy.exhausted_logged",
        Bool,
        "the proxy logged that it ran out of connections or descriptors",
        "the proxy's error log",
    ),
    // what stands between the hops
    fact(
        "middlebox.forgot",
        Bool,
        "a firewall, NAT or connection table logged that it dropped this flow, or no longer knew it, while it stood",
        "the log of the firewall or NAT on the path: conntrack -E -o timestamp, VPC flow logs, its syslog",
    ),
    fact(
        "middlebox.silence",
        Duration,
        "the silence in which a firewall, NAT or connection table forgot the flow",
        "a capture, with the log of the firewall or NAT or with the reset that followed",
    ),
    // the rest
    fact(
        "tls.failed",
        Bool,
        "the TLS handshake failed",
        "a capture of the leg, or the error log of the hop that ends the encryption at level info",
    ),
    fact("frames.violation", Bool, "a frame broke RFC 6455", CAPTURE),
    fact(
        "message.too_big_logged",
        Bool,
        "the application or a hop logged a message above its limit",
        APP,
    ),
    fact(
        "half_open.at_server",
        Bool,
        "the server still held the connection when the evidence ended",
        PATH,
    ),
];
