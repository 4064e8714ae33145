//! The runbook that the rules encode: every row in a few words, so that a citation such as X1 can be read.

/// A table of the runbook: its letter, what it holds, its rows from 1.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub letter: char,
    pub title: &'static str,
    pub rows: &'static [&'static str],
}

/// What a row says, by its name: `X1`.
pub fn row(name: &str) -> Option<&'static str> {
    let mut chars = name.chars();
    let letter = chars.next()?;
    let number: usize = chars.as_str().parse().ok()?;
    let table = TABLES.iter().find(|t| t.letter == letter)?;
    table.rows.get(number.checked_sub(1)?).copied()
}

/// Rows that no rule can rest on, and the part of the program that does what they ask.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("V1", "`wsdrop show ID`: the pings of the time line; W802"),
    ("V2", "`wsdrop what-if` before, `wsdrop diff` after"),
    ("V3", "`wsdrop diff BEFORE AFTER`"),
    ("M1", "`wsdrop diff`: connection-hours"),
    (
        "M2",
        "`wsdrop report -f csv`: close codes of each connection",
    ),
    ("L1", "format `app-json`"),
    ("L2", "format `app-json`"),
    ("L3", "format `app-json`"),
    ("L4", "format `app-json`"),
    ("L5", "format `app-json`"),
    ("L6", "format `app-text`"),
    ("L7", "formats `app-json` and `app-text`"),
];

pub const TABLES: &[Table] = &[
    Table {
        letter: 'Q',
        title: "What is seen, and what it points at",
        rows: &[
            "drops after a recurring silence (30, 50, 60, 300, 350 s): an idle time-out of a proxy, balancer or server",
            "drops under load: the server cannot hold the connections (memory, threads, descriptors)",
            "never connects in production: a proxy is not set up for the upgrade",
            "a storm of reconnects after a drop: clients do not back off",
            "works locally, fails in production: a hop does not pass the Upgrade header on",
            "drops when a phone changes network or a VPN comes up: the client's address changed",
            "many end in the same instant: crash, deploy, proxy reload or partition; half of all at once is an alert",
            "1006 again and again at a predictable interval: infrastructure cut it, look at proxy time-outs first",
            "open, and messages stopped: the handler died silently, or the event loop is blocked",
        ],
    },
    Table {
        letter: 'C',
        title: "Causes, most frequent first",
        rows: &[
            "a load balancer or proxy drops what is idle (60 s by default)",
            "Upgrade, Connection or HTTP/1.1 is not passed on by a proxy",
            "no heartbeat: the connection looks idle",
            "a heartbeat slower than the smallest time-out on the path",
            "clients reconnect at once, without back-off or jitter",
            "the server ends a connection, or its process, on an exception without a Close frame",
            "the server runs out of descriptors, threads, memory, or spends its time collecting garbage",
            "the client's network changes or is lost, and nothing notices without a heartbeat",
            "a client comes back on a new socket while the old one stays half-open",
            "TLS or HTTP/2 termination strips the upgrade, so the server sees plain HTTP",
            "a restart or deploy without draining (1001 before the exit)",
            "a message above the limit (1009)",
            "a slow consumer: what is buffered for it grows until the server cuts it",
            "a one-way heartbeat: pings that do not cross the path, or a hop that counts one direction only (CloudFront: origin to \
             viewer; ALB and nginx count both)",
            "a proxy reloads, restarts or crashes",
            "the upstream refuses (502, 503) or does not answer (504) the handshake",
            "a middlebox forgets the idle flow silently, and resets or swallows the next packet",
            "a policy or authentication close (1008, 3000, 4xxx)",
            "a protocol error (1002, 1003, 1007, 1010)",
        ],
    },
    Table {
        letter: 'K',
        title: "Close codes",
        rows: &[
            "1000: the normal end, no drop",
            "1001: going away; a page left if the client sent it, a restart or scale-in if the server did",
            "1005: a Close frame without a code; never on the wire",
            "1006: no Close frame seen by that side; never on the wire, made up locally",
            "1009: message too big",
            "1011: the server caught an exception and said so",
            "1012, 1013, 1014: service restart, try again later, bad gateway",
            "1015: TLS failure; never on the wire",
            "3000-3999 and 4000-4999: codes of libraries and applications",
        ],
    },
    Table {
        letter: 'H',
        title: "Heartbeat and life of a connection",
        rows: &[
            "ping more often than half of the smallest time-out on the path; equal is a race; 25 s suits defaults of 60 s",
            "a proxy's time-out is at least twice the heartbeat's period",
            "a missed-pong loop notices after allowed misses x period; waiting 5-10 s for each pong is the other common shape",
            "the answer to a missed pong is to destroy the socket: a Close frame on a dead path hangs",
            "a pong proves the transport only: a stalled application may still answer pings",
            "timers drift under load: compare the gaps between pings with the period that was set",
            "Socket.IO and Engine.IO have a heartbeat of their own (pingInterval, pingTimeout)",
            "a JSON heartbeat is traffic too: every L7 hop measured counts any payload",
            "open, active, draining, closed: terminated zombies are counted apart from clean closes",
            "heartbeat timers left on closed sockets leak memory and time",
        ],
    },
    Table {
        letter: 'F',
        title: "First checks",
        rows: &[
            "measure the silence before the close, not the life: a recurring number is a time-out",
            "the close code and who sent it, at both sides",
            "who closes first: Close frame, FIN or RST, from which hop",
            "the idle time-outs of every hop on the path",
            "Connection, Upgrade and HTTP/1.1 on every leg",
            "is there a heartbeat, which way, how often, and does it cross every hop",
            "how clients reconnect: delay, growth, jitter",
            "does a direct connection without the proxy work",
            "limits: EMFILE, ulimit -n, the OOM killer, rejected tasks, conntrack",
            "half-open sockets: CLOSE_WAIT and ESTABLISHED against the connections known (above 50 CLOSE_WAIT is an alert)",
            "exceptions swallowed in the message handler",
        ],
    },
    Table {
        letter: 'D',
        title: "Where to look next",
        rows: &[
            "a load balancer's time-out: its attributes and access log, a capture on both sides of it",
            "the WebSocket server: its log with connect, close and error lines, a capture beside it",
            "proxy headers: the configuration, and a capture of the leg to the upstream",
            "a reconnect storm: connections opened over time, and the waits of each client",
            "a mesh or sidecar: its access log with response flags",
            "the client: a HAR or net-export of the browser, a capture on the client",
        ],
    },
    Table {
        letter: 'X',
        title: "Fixes",
        rows: &[
            "ping from the server every 25-30 s, under half of the time-out measured",
            "raise the hop's time-out: proxy_read_timeout and proxy_send_timeout, ALB idle time-out (to 4000 s), timeout tunnel",
            "nginx: proxy_http_version 1.1, proxy_set_header Upgrade and Connection",
            "reconnect with exponential back-off from 1 s to 30 s, with jitter, reset after a success",
            "session tokens that let a reconnect resume; the old socket is terminated on takeover",
            "drain before a restart: stop accepting, send 1001, wait; worker_shutdown_timeout",
            "raise descriptor limits, fs.file-max, worker connections, and watch them",
            "handle the error event of every socket, catch in the message handler, close with 1011",
            "terminate() for dead peers, close() for live ones; clear heartbeat timers on close",
            "cap payloads, split or compress messages, skip what is not needed when a buffer is full",
            "sticky sessions where servers hold state",
            "a health check apart from the WebSocket path",
            "a network load balancer where an L7 time-out cannot be raised; it has a time-out too: 350 s, TCP listeners 60-6000 s",
        ],
    },
    Table {
        letter: 'V',
        title: "Has the fix worked",
        rows: &[
            "a capture shows pings and pongs at the period set",
            "an idle connection outlives the earlier time-out",
            "the cause's count falls to zero, and no new cause appears (`wsdrop diff`)",
            "open sockets return to the baseline after clients are cut off",
        ],
    },
    Table {
        letter: 'M',
        title: "What to watch",
        rows: &[
            "active connections over time",
            "close codes by frequency",
            "reconnects, and the delay until them",
            "the rate of 1006, with an alert on spikes and on the sudden loss of half of all connections",
            "CLOSE_WAIT (above 50 is an alert) and open descriptors",
            "the heartbeat's round trip and missed pongs",
        ],
    },
    Table {
        letter: 'L',
        title: "Log lines that are read as they are",
        rows: &[
            "`{\"event\":\"connect\",\"clientId\":\"...\",\"time\":...}`",
            "`{\"event\":\"close\",\"clientId\":\"...\",\"code\":1006,\"reason\":\"\",\"time\":...}`",
            "`{\"event\":\"error\",\"clientId\":\"...\",\"message\":\"read ECONNRESET\",\"time\":...}`",
            "`{\"event\":\"terminate_dead\",\"time\":...}`",
            "`{\"event\":\"socket_error\",\"message\":\"...\",\"code\":\"ECONNRESET\",\"time\":...}`",
            "`socket closed { sessionId: '...', code: 1006 }`",
            "the same facts from pino, winston, bunyan, structlog, zap, slog, logback, Serilog and tracing",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::rule::{RUNBOOK_TABLES, runbook_rows};

    #[test]
    fn every_row_has_its_words() {
        let tables: Vec<(char, u32)> = TABLES
            .iter()
            .map(|t| (t.letter, u32::try_from(t.rows.len()).unwrap()))
            .collect();
        assert_eq!(tables, RUNBOOK_TABLES);
        for name in runbook_rows() {
            assert!(row(&name).is_some_and(|r| r.len() > 10), "{name}");
        }
        for (name, by) in ELSEWHERE {
            assert!(row(name).is_some() && !by.is_empty(), "{name}");
        }
        for bad in ["X0", "X99", "", "X", "x1", "Z1"] {
            assert_eq!(row(bad), None, "{bad}");
        }
    }
}
