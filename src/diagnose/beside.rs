//! W701 to W805, which are told of many connections or of none -> their pages: what they mean, what shows them, what fixes them.

use crate::model::{BESIDE, Severity};
use std::fmt::Write as _;

/// One incident or finding, as `wsdrop explain` tells of it.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    pub code: &'static str,
    pub runbook: &'static [&'static str],
    pub meaning: &'static str,
    /// What has to hold.
    pub shown_by: &'static [&'static str],
    pub taken_for: &'static [&'static str],
    pub fixes: &'static [&'static str],
}

impl Beside {
    /// Name, title and severity, as the catalogue has them.
    pub fn entry(&self) -> (&'static str, &'static str, Severity) {
        BESIDE
            .iter()
            .find(|(code, ..)| *code == self.code)
            .map_or(("", "", Severity::Info), |&(_, id, title, severity)| {
                (id, title, severity)
            })
    }
}

impl Beside {
    /// Rows that it rests on, and those that its fixes name in brackets.
    pub fn rows(&self) -> impl Iterator<Item = &'static str> {
        let in_brackets = |text: &'static str| {
            text.split('[')
                .skip(1)
                .filter_map(|rest| rest.split(']').next())
        };
        self.runbook
            .iter()
            .copied()
            .chain(self.fixes.iter().flat_map(move |f| in_brackets(f)))
    }
}

pub fn find(name: &str) -> Option<&'static Beside> {
    ALL.iter()
        .find(|b| b.code.eq_ignore_ascii_case(name) || b.entry().0.eq_ignore_ascii_case(name))
}

pub const ALL: &[Beside] = &[
    Beside {
        code: "W701",
        runbook: &["Q4", "C5", "F7", "D4", "M3"],
        meaning: "Many clients come back again and again without waiting longer each time. The service that is coming up, or a proxy that \
                  lost its upstream, gets many times its usual number of handshakes, and the storm keeps it down.",
        shown_by: &[
            "eight clients or more try three times or more after one end, each try after a refusal",
            "the waits between their tries do not grow: the last ones are shorter than one and a half times the first ones",
            "or twenty clients and more come back in the same moment after a mass drop, with no jitter that spreads them",
            "handshakes come three times (for a herd: ten times) as fast as in the rest of the case",
        ],
        taken_for: &[
            "clients that back off: their waits double, with jitter, and the rate falls by itself",
            "an idle time-out that recurs: each reconnect succeeds, so that the next wait begins anew",
        ],
        fixes: &[
            "reconnect with exponential back-off from 1 s to 30 s, with jitter, reset after a success [X4]",
            "let a reconnect resume its session [X5]",
        ],
    },
    Beside {
        code: "W702",
        runbook: &["Q7", "M4"],
        meaning: "Three connections or more ended by one happening: a process that died or was restarted, a proxy that was reloaded, a \
                  network that went away. The incident names what its members share and others do not: a server, a proxy, a client network.",
        shown_by: &[
            "drops of one cause within one instant (a drain: within seconds of one another)",
            "causes that strike each connection at its own moment (time-outs, heartbeats, policy) are left out",
            "a client network: all its connections fell silent within seconds, while those of other networks went on",
        ],
        taken_for: &[
            "time-outs of connections that were opened together: each of them has its own silence",
            "heartbeats of several dead clients that one timer finds on the same tick",
        ],
        fixes: &[
            "drain before a restart [X6]; handle errors where they arise [X8]; a health check and a second process [X12]",
            "back-off and jitter for the clients that come back [X4]",
        ],
    },
    Beside {
        code: "W703",
        runbook: &["Q1", "Q8", "F1", "F4"],
        meaning: "One time-out ended two connections or more: it is the time-out that needs a change, not each drop.",
        shown_by: &["drops of idle-timeout with the same time-out, closed by the same hop"],
        taken_for: &["equal lives: it is the silence before the close that recurs"],
        fixes: &["ping more often than half of it [X1], or raise it [X2]"],
    },
    Beside {
        code: "W801",
        runbook: &["Q9", "F11", "H5"],
        meaning: "The connection is open and answers pings, and the messages that came in a steady rhythm stopped: a handler that died \
                  silently, a publisher that hangs. No heartbeat notices, since it does not run through the application.",
        shown_by: &[
            "a capture of frames in both directions, without gaps",
            "at least six waits between messages of about one length, three quarters of them within 60 to 160 per cent of it",
            "eight beats stayed away, and the silence is three times as long as any before",
            "two pings or more were answered since the last message",
            "where the server only answers: the client went on asking",
        ],
        taken_for: &[
            "a user who has nothing to say: messages without a rhythm, or a client that stopped asking",
            "a frozen client: it does not answer pings",
        ],
        fixes: &[
            "catch in the message handler and close with 1011 [X8]",
            "look for a swallowed exception at the moment of the last message [F11]",
        ],
    },
    Beside {
        code: "W802",
        runbook: &["C4", "H1", "H2"],
        meaning: "The heartbeat's period is more than half of a known time-out of the path: one late ping, and a hop closes the connection. \
                  Told of connections that are alive or ended well, too.",
        shown_by: &[
            "pings in a capture, most of them answered, and their middle wait",
            "a time-out from the configuration of a hop on the path, or one that struck in this case",
        ],
        taken_for: &["a heartbeat that stopped: its period was right"],
        fixes: &[
            "ping every half of the time-out or less [X1], or raise it to twice the period [X2]",
        ],
    },
    Beside {
        code: "W803",
        runbook: &["C9", "F10", "M5", "V4"],
        meaning: "Sockets stand at a host that belong to no connection that is known: half-open ones whose clients came back, descriptors \
                  that were never closed.",
        shown_by: &["socket tables (ss, netstat) of a host beside the connections of the case"],
        taken_for: &["connections of other services on the same host"],
        fixes: &[
            "terminate the old socket on takeover [X5]; terminate what does not answer pings [X9]",
        ],
    },
    Beside {
        code: "W804",
        runbook: &["C2", "C4", "F4", "F5"],
        meaning: "A line of configuration that will cost connections, whether or not it has yet: a route that WebSockets go by and that does \
                  not pass the upgrade on, or a time-out shorter than the heartbeat behind it.",
        shown_by: &[
            "the configuration of a proxy, and a connection of the case that its route serves, or a route that is WebSocket by its name",
        ],
        taken_for: &["a route for plain HTTP, which needs no upgrade"],
        fixes: &["pass the upgrade on [X3]; raise the time-out [X2] or ping more often [X1]"],
    },
    Beside {
        code: "W805",
        runbook: &["Q2", "C7", "F9", "M5"],
        meaning: "A process, a proxy or a host wrote that something ran short: descriptors, connections, memory, threads. The first such line is the onset; what was already open often lives on, and what comes new fails.",
        shown_by: &[
            "lines of the application, the proxy or the kernel that name the limit (EMFILE, worker_connections, maxconn, out of memory)",
            "how many connections stood at the first of them, and how many failed for it",
        ],
        taken_for: &[
            "an upstream that is down: its new connections fail as well, and no limit is named",
        ],
        fixes: &[
            "raise the limit that the line names, and alert at four fifths of it [X7]; cap what slow clients may buffer [X10]",
        ],
    },
];

/// The page of one of them.
pub fn page(b: &Beside) -> String {
    let (id, title, severity) = b.entry();
    let mut out = format!("{} {id}: {title}\n\n{}\n", b.code, b.meaning);
    for (head, lines) in [
        ("What shows it", b.shown_by),
        ("Easily taken for", b.taken_for),
        ("What fixes it", b.fixes),
    ] {
        let _ = writeln!(out, "\n{head}");
        for line in lines {
            let _ = writeln!(out, "  - {line}");
        }
    }
    let _ = writeln!(
        out,
        "\nRunbook rows {}; severity {}; no drop of its own",
        b.runbook.join(" "),
        severity.name()
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::rule::is_runbook_row;

    #[test]
    fn every_one_of_the_catalogue_has_its_page() {
        let codes: Vec<&str> = ALL.iter().map(|b| b.code).collect();
        let known: Vec<&str> = BESIDE.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes, known);
        for b in ALL {
            assert!(b.rows().all(is_runbook_row), "{}", b.code);
            assert!(page(b).starts_with(&format!("{} {}: ", b.code, b.entry().0)));
            assert!(find(b.entry().0).is_some_and(|f| f.code == b.code));
        }
        assert!(find("w801").is_some() && find("W101").is_none());
    }
}
