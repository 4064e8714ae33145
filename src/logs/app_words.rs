//! The words of applications' log lines -> the classes of things they speak of, in one pass over all phrases.

use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

/// What a phrase speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    Crash,
    Exhausted,
    Heartbeat,
    ReadTimedOut,
    Backpressure,
    Rejected,
    Stopping,
    Listening,
    Closed,
    Close,
    /// The connection became as old as it may: a close whose reason the line itself is.
    Aged,
    Open,
    /// Weak signs of an opening: only with a peer beside them.
    OpenWeak,
    Exception,
    Error,
    /// Speaks of a database, a broker: opening and closing there is no WebSocket's.
    Elsewhere,
    /// The process survived.
    Recovered,
    /// Somebody used a connection that was over already: its end is told elsewhere.
    TooLate,
    /// Counts over many connections.
    Statistics,
}

/// Words in order, lower case, `camelCase` taken apart, everything else a blank (see `words`).
const PHRASES: &[(Class, &[&str])] = &[
    (
        Class::Crash,
        &[
            "uncaught exception",
            "uncaught error",
            "uncaught type error",
            "unhandled exception",
            "unhandled rejection",
            "unhandled promise rejection",
            "unhandled error event",
            "fatal error",
            "panic",
            "segmentation fault",
            "core dumped",
            "out of memory killed",
            "oom killer",
            "oom kill",
            "killed process",
            "heap out of memory",
            "main process exited code killed",
            "main process exited code dumped",
            "exited on signal",
            "via signal sigkill",
            "via signal sigsegv",
            "via signal sigabrt",
            "process crashed",
            "server crashed",
            "worker died",
            "exited with code 1",
            "triggered uncaught exception",
            "failed with result signal",
            "failed with result oom kill",
        ],
    ),
    (
        Class::Exhausted,
        &[
            "emfile",
            "enfile",
            "enobufs",
            "enomem",
            "too many open files",
            "too many connections",
            "heap limit",
            "out of system resource",
            "pool exhausted",
            "pool is exhausted",
            "pool timeout",
            "pool timed out",
            "queue pool limit",
            "unable to create native thread",
            "can t start new thread",
            "rejected execution exception",
            "max connections reached",
            "connection limit reached",
            "max clients reached",
            "out of memory error",
            "cannot allocate memory",
            "file descriptor limit",
        ],
    ),
    (
        Class::Heartbeat,
        &[
            "heartbeat missed",
            "heartbeats missed",
            "missed heartbeat",
            "missed heartbeats",
            "heartbeat timeout",
            "heartbeat timed out",
            "heartbeat failed",
            "heartbeat failure",
            "heartbeat expired",
            "no heartbeat",
            "hb missed",
            "hb timeout",
            "terminate dead",
            "terminated dead",
            "terminating dead",
            "terminating unresponsive",
            "terminate unresponsive",
            "closing unresponsive",
            "dead connection",
            "dead client",
            "dead peer",
            "dead socket",
            "stale connection",
            "zombie connection",
            "ping timeout",
            "ping timed out",
            "pings missed",
            "missed ping",
            "missed pings",
            "pong timeout",
            "pong timed out",
            "no pong",
            "missed pong",
            "missed pongs",
            "pong missed",
            "missing pong",
            "pong not received",
            "pong never",
            "keepalive ping timeout",
            "keepalive timeout",
            "keep alive timeout",
            "timed out from inactivity",
            "elapsed without receiving",
            "failed to wait for pong",
            "not alive terminating",
            "did not answer ping",
            "did not respond to ping",
            "did not respond to pings",
            "didn t respond to ping",
            "didn t respond to pings",
            "not responding to ping",
            "not responding to pings",
            "failed to respond to ping",
            "failed to respond to pings",
            "no response to ping",
            "no response to pings",
            "stopped answering pings",
            "not answering pings",
            "pings unanswered",
            "unanswered pings",
            "ping unanswered",
            "client unresponsive",
            "peer not responding",
            "client not responding",
            "peer unresponsive",
            "connection unresponsive",
            "idle timeout expired",
            "connection idle timeout",
        ],
    ),
    (
        Class::ReadTimedOut,
        &["i o timeout", "read deadline exceeded"],
    ),
    (
        Class::Backpressure,
        &[
            "backpressure",
            "back pressure",
            "buffered amount",
            "bufferedamount",
            "slow consumer",
            "slow client",
            "slow reader",
            "send queue full",
            "send buffer full",
            "write buffer full",
            "write queue full",
            "outbound queue full",
            "outgoing queue full",
            "session limit exceeded exception",
            "send limit",
            "send buffer overflow",
            "buffer overflow",
            "client too slow",
        ],
    ),
    (
        Class::Rejected,
        &[
            "rejected",
            "rejecting",
            "upgrade refused",
            "refused connection",
            "refusing connection",
            "unauthorized",
            "unauthorised",
            "forbidden",
            "auth failed",
            "auth failure",
            "login failed",
            "turned away",
            "refused by",
            "authentication failed",
            "authorization failed",
            "invalid token",
            "token expired",
            "not authorized",
            "origin not allowed",
            "request origin not",
            "access denied",
            "wsreject",
            "failed to upgrade",
            "upgrade failed",
            "upgrade denied",
            "connection denied",
            "token not found in",
            "not using the websocket protocol",
            "failed to accept web socket",
            "does not contain upgrade",
            "handshake request must be at least",
            "missing or invalid sec web socket",
        ],
    ),
    (
        Class::Stopping,
        &[
            "sigterm",
            "exit requested",
            "stop requested",
            "shutdown requested",
            "stop signal",
            "sigint",
            "draining",
            "drain started",
            "start drain",
            "shutting down",
            "shutdown",
            "graceful stop",
            "gracefully stopping",
            "server closing",
            "closing server",
            "server stopping",
            "stopping server",
            "closing all",
            "going down for",
            "server close",
            "stop sigterm",
            "received signal",
            "application is stopping",
            "terminating on signal",
            "web application is stopping",
        ],
    ),
    (
        Class::Listening,
        &[
            "listening",
            "server started",
            "started server",
            "server running",
            "server is running",
            "running on",
            "running at",
            "started on port",
            "startup complete",
            "server ready",
            "ready to accept",
            "server up",
            "server online",
            "started application",
            "now serving",
            "accepting connections",
            "started in",
        ],
    ),
    (
        Class::Closed,
        &[
            "closed",
            "disconnected",
            "disconnects",
            "connection lost",
            "lost connection",
            "connection ended",
            "connection terminated",
            "client left",
            "went away",
            "socket gone",
            "no close frame received",
            "wsdisconnect",
            "transport close",
            "hung up",
            "unexpected eof",
            "connection dropped",
            "without closing handshake",
            "connection finished",
            "frame header eof",
        ],
    ),
    (
        Class::Close,
        &[
            "close",
            "wsclose",
            "disconnect",
            "on close",
            "onclose",
            "disconnection",
            "closing",
            "terminated",
            "terminate",
            "terminating",
            "disconnecting",
            "going away",
            "received close frame",
        ],
    ),
    (
        Class::Aged,
        &[
            "max connection age",
            "maximum connection age",
            "connection age limit",
            "connection age exceeded",
            "max connection lifetime",
            "maximum connection lifetime",
            "connection lifetime exceeded",
            "connection lifetime reached",
            "max connection duration",
            "maximum connection duration",
            "connection duration exceeded",
        ],
    ),
    (
        Class::Open,
        &[
            "ws open",
            "wsopen",
            "socket open",
            "socket opened",
            "web socket open",
            "websocket open",
            "connection open",
            "connection opened",
            "connection established",
            "connection accepted",
            "accepted connection",
            "accepted",
            "client connected",
            "user connected",
            "peer connected",
            "new connection",
            "new client",
            "new web socket",
            "new websocket",
            "connected",
            "on open",
            "onopen",
            "wsconnect",
            "on connect",
            "successfully upgraded",
            "handshake complete",
            "handshake completed",
            "upgraded to web socket",
            "upgraded to websocket",
            "upgrade complete",
            "upgrade completed",
            "connection from",
            "incoming connection",
        ],
    ),
    (
        Class::OpenWeak,
        &[
            "connect",
            "open",
            "opened",
            "connection",
            "upgraded",
            "join",
            "joined",
            "upgrade",
        ],
    ),
    (
        Class::Exception,
        &[
            "exception",
            "traceback",
            "error in handler",
            "handler error",
            "handler failed",
            "handler threw",
            "handler crashed",
            "could not process",
            "failed to process",
            "in json at position",
            "unexpected token",
            "unexpected end of json",
            "cannot read properties",
            "cannot read property",
            "is not a function",
            "is not defined",
            "undefined is not",
            "none type",
            "nonetype",
            "key error",
            "value error",
            "nil pointer",
            "null pointer",
            "null reference",
            "index out of",
            "syntax error",
            "type error",
            "range error",
            "reference error",
            "division by zero",
            "internal error",
            "assertion failed",
            "attribute error",
        ],
    ),
    (
        Class::Error,
        &[
            "error",
            "errored",
            "failed",
            "failure",
            "econnreset",
            "epipe",
            "etimedout",
            "econnaborted",
            "econnrefused",
            "ehostunreach",
            "enotconn",
            "connection reset",
            "broken pipe",
            "max payload size exceeded",
            "message too big",
            "received too big message",
            "message too long",
            "read limit exceeded",
            "invalid frame",
            "invalid opcode",
            "protocol error",
            "invalid utf 8",
            "socket hang up",
            "bad handshake",
            "unexpected server response",
            "did not receive a valid http response",
            "rsv 1 must be clear",
            "invalid web socket frame",
            "message handler has a limit",
            "space limit exceeded",
            "eofexception",
            "timed out",
            "timeout",
        ],
    ),
    (
        Class::Elsewhere,
        &[
            "redis",
            "postgres",
            "postgresql",
            "mysql",
            "mongo",
            "mongodb",
            "database",
            "db",
            "kafka",
            "rabbitmq",
            "amqp",
            "broker",
            "nats",
            "elasticsearch",
            "memcached",
            "cache",
            "mqtt",
            "smtp",
            "s 3",
        ],
    ),
    (Class::Recovered, &["recovered", "recover", "caught"]),
    (
        Class::TooLate,
        &[
            "use of closed network connection",
            "write after end",
            "is not open ready state",
            "already in closing or closed state",
            "before the connection was established",
            "before the connection is established",
        ],
    ),
    (
        Class::Statistics,
        &[
            "message broker stats",
            "stomp sub protocol",
            "closed abnormally 0",
        ],
    ),
];

static MACHINE: LazyLock<(Option<AhoCorasick>, Vec<Class>)> = LazyLock::new(|| {
    let mut patterns = Vec::new();
    let mut classes = Vec::new();
    for (class, phrases) in PHRASES {
        for phrase in *phrases {
            patterns.push(format!(" {phrase} "));
            classes.push(*class);
        }
    }
    (AhoCorasick::new(patterns).ok(), classes)
});

/// The phrases that can make an event of a line; those of the last classes only keep others from it.
pub(super) fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES
        .iter()
        .filter(|(class, _)| {
            !matches!(
                class,
                Class::Elsewhere | Class::Recovered | Class::Statistics
            )
        })
        .flat_map(|(_, phrases)| phrases.iter().copied())
        .chain(super::app_sentence::weak())
}

/// Bytes of a message that are looked at: what a line means stands at its beginning.
const LOOK: usize = 2048;

/// Appends ` word word `: lower case, `camelCase` taken apart, anything but letters and digits a blank.
pub(super) fn words(text: &[u8], out: &mut Vec<u8>) {
    if out.last() != Some(&b' ') {
        out.push(b' ');
    }
    let mut before = b' ';
    for c in text.iter().take(LOOK) {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
                out.push(b' ');
            }
            out.push(c.to_ascii_lowercase());
        } else if out.last() != Some(&b' ') {
            out.push(b' ');
        }
        before = *c;
    }
    if out.last() != Some(&b' ') {
        out.push(b' ');
    }
}

/// A set of classes.
#[derive(Debug)]
pub(super) struct Hits(u32);

impl Hits {
    pub(super) const fn has(&self, class: Class) -> bool {
        self.0 & (1 << class as u8) != 0
    }
}

/// The classes whose phrases stand in text that `words` made.
pub(super) fn hits(text: &[u8]) -> Hits {
    let (machine, classes) = &*MACHINE;
    let mut hits = Hits(0);
    if let Some(machine) = machine {
        for found in machine.find_overlapping_iter(text) {
            if let Some(class) = classes.get(found.pattern().as_usize()) {
                hits.0 |= 1 << *class as u8;
            }
        }
    }
    hits
}
