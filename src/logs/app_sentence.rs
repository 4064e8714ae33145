//! The words of a sentence about a named peer -> what it says of the connection, where no phrase of a library does: `peer down`, `[u7] left`.

use std::sync::LazyLock;

/// What a server calls whom it serves, and what joins them.
const NOUNS: &[&str] = &[
    "client",
    "user",
    "peer",
    "socket",
    "web socket",
    "websocket",
    "ws",
    "session",
    "connection",
    "conn",
    "member",
    "player",
    "device",
    "subscriber",
    "viewer",
    "participant",
];

/// Verbs that tell of a connection only beside such a noun and a name: `peer down`, `User u7 left`.
const VERBS: &[(Told, &[&str])] = &[
    (
        Told::Ended,
        &[
            "gone", "left", "ended", "finished", "offline", "down", "over", "quit", "exited",
            "exit", "teardown", "hangup", "bye",
        ],
    ),
    (
        Told::Began,
        &[
            "joined", "online", "up", "started", "begun", "arrived", "attached", "accept", "enter",
            "entered",
        ],
    ),
    (Told::Dead, &["dead", "unresponsive", "zombie"]),
    (Told::Slow, &["slow", "lag", "lagging", "lags", "congested"]),
];

/// What a weak verb beside a noun says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Ended,
    Began,
    Dead,
    Slow,
}

/// A name of so many words may stand between the noun and its verb: a UUID has five.
const BETWEEN: usize = 6;

/// Where people gather: who left one of these may still be connected.
const PLACES: &[&[u8]] = &[
    b"room", b"rooms", b"channel", b"group", b"lobby", b"topic", b"chat", b"team", b"queue",
    b"game",
];

/// What a sentence of a noun and a weak verb says, of words that `words` made: `peer down`, `user 7 left`.
pub(super) fn told(words: &[u8]) -> Option<Told> {
    let all: Vec<&[u8]> = words
        .split(|c| *c == b' ')
        .filter(|w| !w.is_empty())
        .take(24)
        .collect();
    if all.iter().any(|w| PLACES.contains(w)) {
        return None;
    }
    let is_noun = |w: &[u8]| NOUNS.iter().any(|n| n.as_bytes() == w);
    let noun = all.iter().position(|w| is_noun(w) || *w == b"websocket")?;
    let mut verbs = all.iter().skip(noun + 1).take(BETWEEN + 1);
    verbs.find_map(|w| {
        VERBS
            .iter()
            .find(|(_, verbs)| verbs.iter().any(|v| v.as_bytes() == *w))
            .map(|(told, _)| *told)
    })
}

/// A heartbeat, and that it did not come, in one sentence, of words that `words` made.
pub(super) fn heartbeat_lacks(words: &[u8]) -> bool {
    const SIGNS: &[&[u8]] = &[
        b"ping",
        b"pings",
        b"pong",
        b"pongs",
        b"heartbeat",
        b"heartbeats",
        b"keepalive",
        b"keepalives",
    ];
    const LACKS: &[&[u8]] = &[
        b"miss",
        b"missed",
        b"misses",
        b"missing",
        b"no",
        b"not",
        b"unanswered",
        b"timeout",
        b"timed",
        b"dead",
        b"failed",
        b"failure",
        b"lost",
        b"expired",
        b"never",
        b"without",
    ];
    let has = |of: &[&[u8]]| words.split(|c| *c == b' ').any(|w| of.contains(&w));
    has(SIGNS) && has(LACKS) || memchr::memmem::find(words, b" lost contact ").is_some()
}

/// A buffer, and that it is full, in one sentence; or a reader that is too slow.
pub(super) fn buffer_full(words: &[u8]) -> bool {
    const BUFFERS: &[&[u8]] = &[b"buffer", b"buffered", b"queue", b"queued", b"backlog"];
    const FULL: &[&[u8]] = &[
        b"full",
        b"limit",
        b"exceeded",
        b"exceeds",
        b"overflow",
        b"overflowed",
        b"high",
    ];
    let has = |of: &[&[u8]]| words.split(|c| *c == b' ').any(|w| of.contains(&w));
    has(BUFFERS) && has(FULL)
        || [
            &b" too slow "[..],
            b" keep up ",
            b" keeping up ",
            b" reads too slowly ",
            b" not reading ",
            b" lagging behind ",
            b" falls behind ",
            b" fell behind ",
        ]
        .iter()
        .any(|p| memchr::memmem::find(words, p).is_some())
}

/// A short sentence of a program that is ready.
pub(super) fn came_up(words: &[u8]) -> bool {
    const UP: &[&[u8]] = &[
        b"up",
        b"start",
        b"boot",
        b"booted",
        b"ready",
        b"online",
        b"started",
        b"running",
        b"serving",
        b"accepting",
        b"bound",
        b"launched",
    ];
    let all = || words.split(|c| *c == b' ').filter(|w| !w.is_empty());
    all().count() <= 8 && all().any(|w| UP.contains(&w))
}

/// Silence that the application itself ended: `Closing u7: inactive for 5012 ms`.
pub(super) fn idle(words: &[u8]) -> bool {
    const IDLE: &[&[u8]] = &[
        b"idle",
        b"inactive",
        b"inactivity",
        b"idling",
        b"quiet",
        b"stale",
    ];
    words.split(|c| *c == b' ').any(|w| IDLE.contains(&w))
}

/// Phrases of two words that make an event of a line beside a name, for what looks at lines before they are read.
static WEAK: LazyLock<Vec<String>> = LazyLock::new(|| {
    let verbs = VERBS.iter().flat_map(|(_, verbs)| verbs.iter());
    verbs
        .filter(|v| v.len() > 4)
        .map(|v| format!("client {v}"))
        .chain(
            [
                "client gone",
                "client left",
                "client idle",
                "client inactive",
                "client inactivity",
            ]
            .map(str::to_owned),
        )
        .collect()
});

pub(super) fn weak() -> impl Iterator<Item = &'static str> {
    WEAK.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::app_words::words;
    use super::*;

    fn of(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        words(text.as_bytes(), &mut out);
        out
    }

    #[test]
    fn nouns_and_weak_verbs() {
        for (text, want) in [
            ("client_gone session=u-35587 code=1006", Some(Told::Ended)),
            ("peer down", Some(Told::Ended)),
            (
                "client_dead session=u-35587 after 2 pings",
                Some(Told::Dead),
            ),
            ("Connection is dead", Some(Told::Dead)),
            ("session started", Some(Told::Began)),
            ("user u7 left", Some(Told::Ended)),
            ("user u7 left the room", None),
            ("user u7 joined group 12", None),
            ("upload ended", None),
            ("gone fishing", None),
        ] {
            assert_eq!(told(&of(text)), want, "{text}");
        }
    }

    #[test]
    fn sentences_of_a_give_up() {
        assert!(heartbeat_lacks(&of(
            "u-1 did not answer the ping, terminating"
        )));
        assert!(heartbeat_lacks(&of("missed 2 heartbeats")));
        assert!(!heartbeat_lacks(&of("ping sent")));
        assert!(buffer_full(&of(
            "Buffer limit exceeded for u-1 (13000000 bytes)"
        )));
        assert!(buffer_full(&of("u-1 cannot keep up")));
        assert!(!buffer_full(&of("buffer allocated")));
        assert!(came_up(&of("gateway online")));
        assert!(!came_up(&of("gateway stopped")));
    }
}
