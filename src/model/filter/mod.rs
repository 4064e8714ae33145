//! The filter language, one for the terminal UI, `-w` and links: text -> a test on connections.
//!
//! Words are joined by AND; `key:value`, `key>value`, `-word` (not), `/regex/`, `"quotes"`, `(a OR b)`.

mod parse;
mod value;

use super::note::Notes;
use super::source::SourceId;
use super::verdict::{Analysis, Judged, Outcome, Tier};
use regex::Regex;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use value::DAY_NS;

macro_rules! keys {
    ($($variant:ident $name:literal $help:literal),+ $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Key { $($variant),+ }

        /// Every key with what it asks, in the order they are offered.
        pub const KEYS: &[(&str, &str)] = &[$(($name, $help)),+];

        impl Key {
            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

keys! {
    Cause "cause" "the cause: cause:idle-timeout, cause:W101, cause:idle",
    Rule "rule" "the code of the cause: rule:W1",
    Conf "conf" "the confidence: conf:certain, conf>=likely",
    Client "client" "the client: address, net, port or identity: client:203.0.113.0/24",
    Server "server" "a server side of a leg: server:10.0.0.5, server::8080",
    Path "path" "the request's URI: path:/ws",
    Host "host" "the request's Host: host:app.example",
    Hop "hop" "a hop on the path: hop:nginx",
    By "by" "who closed it: by:proxy, by:nginx",
    Code "code" "a close code, on the wire or reported: code:1006, code>=4000, code:none",
    How "how" "the outcome or the first sign of the end: how:drop, how:rst",
    Alive "alive" "how long it lived: alive>55s, alive:10s..1m",
    Silent "silent" "silence before the close: silent=60s~0.5s",
    Idle "idle" "the time-out inferred: idle:60s",
    Size "size" "payload bytes, both ways: size>1MB",
    File "file" "a source that holds a record of it: file:access.log",
    Time "time" "when it closed, UTC: time:09:27..09:29",
    Id "id" "its id: id:c-7f3a",
    Mark "mark" "marked in the terminal UI: mark:yes, mark:no",
    Note "note" "what was noted of it there: note:carrier, note:none",
}

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    pub message: String,
    /// Character of the text that it is about, from 0.
    pub column: usize,
    pub help: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter, column {}: {}", self.column + 1, self.message)?;
        if self.help.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.help)
        }
    }
}

impl std::error::Error for FilterError {}

/// A parsed filter; the empty one lets everything through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    root: Option<Node>,
    /// What `mark:` and `note:` look at.
    notes: Arc<Notes>,
}

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Anywhere(Text),
    Key(Key, Test),
}

#[derive(Debug, Clone)]
enum Text {
    /// Contains this, ASCII case ignored.
    Has(String),
    Is(String),
    Pattern(Regex),
}

#[derive(Debug, Clone)]
enum Test {
    Text(Text),
    Net(IpAddr, u8),
    /// Both ends belong to it.
    Within(i64, i64),
    /// Nanoseconds of the day (UTC); both ends belong to it. `lo > hi` goes over midnight.
    WithinDay(i64, i64),
    Tiers(Tier, Tier),
    Absent,
}

impl Filter {
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self {
            root: parse::parse(text)?,
            text: text.trim().to_owned(),
            notes: Arc::default(),
        })
    }

    /// The same, over these marks and notes.
    #[must_use]
    pub fn over(mut self, notes: &Arc<Notes>) -> Self {
        self.notes = Arc::clone(notes);
        self
    }

    /// Its answer depends on marks or notes.
    pub fn asks_notes(&self) -> bool {
        self.root.as_ref().is_some_and(Node::asks_notes)
    }

    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, judged: &Judged, analysis: &Analysis) -> bool {
        self.root
            .as_ref()
            .is_none_or(|n| n.matches(judged, (analysis, &self.notes)))
    }
}

/// `text` as a filter value that means just itself.
pub fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.starts_with(['/', '-'])
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "/._-:?&%+@".contains(c));
    if plain {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// The first `bits` bits of both are the same; an IPv4 address written as IPv6 counts as IPv4.
fn in_net(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    match (ip.to_canonical(), net.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let shift = 32 - u32::from(bits.min(32));
            (u64::from(a.to_bits()) >> shift) == (u64::from(b.to_bits()) >> shift)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let shift = 128 - u32::from(bits.min(128));
            a.to_bits().checked_shr(shift) == b.to_bits().checked_shr(shift)
        }
        _ => false,
    }
}

impl Text {
    fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Has(needle) => has(text, needle),
            Self::Is(whole) => text.eq_ignore_ascii_case(whole),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

fn has(text: &str, needle: &str) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    needle.is_empty()
        || text
            .windows(needle.len())
            .any(|w| w.eq_ignore_ascii_case(needle))
}

/// What a test may look at beside the connection itself.
type Around<'a> = (&'a Analysis, &'a Notes);

impl Node {
    fn matches(&self, judged: &Judged, around: Around<'_>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|n| n.matches(judged, around)),
            Self::Any(nodes) => nodes.iter().any(|n| n.matches(judged, around)),
            Self::Not(node) => !node.matches(judged, around),
            Self::Anywhere(text) => anywhere(judged, around, &mut |t| text.is_in(t)),
            Self::Key(key, test) => key_matches(*key, test, judged, around),
        }
    }

    /// Words alone never look into notes: what a report says must not depend on them unasked.
    fn asks_notes(&self) -> bool {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(Self::asks_notes),
            Self::Not(node) => node.asks_notes(),
            Self::Anywhere(_) => false,
            Self::Key(key, _) => matches!(key, Key::Mark | Key::Note),
        }
    }
}

/// True as soon as `hit` is, over every text that a row of the views shows.
fn anywhere(judged: &Judged, around: Around<'_>, hit: &mut dyn FnMut(&str) -> bool) -> bool {
    const SHOWN: [Key; 9] = [
        Key::Id,
        Key::Cause,
        Key::Client,
        Key::Server,
        Key::Path,
        Key::Host,
        Key::Hop,
        Key::How,
        Key::File,
    ];
    let verdict = &judged.verdict;
    SHOWN.iter().any(|k| texts(*k, judged, around, hit))
        || texts(Key::By, judged, around, hit)
        || hit(verdict.tier.name())
        || hit(&verdict.sentence)
        || verdict.contributing.iter().any(|c| hit(c))
        || codes(judged).any(|c| hit(&c.to_string()))
}

fn codes(judged: &Judged) -> impl Iterator<Item = u16> {
    let close = &judged.connection.close;
    let wire = [close.from_client.flatten(), close.from_server.flatten()];
    wire.into_iter()
        .chain([close.reported_client, close.reported_server])
        .flatten()
}

/// The texts of one key, until `hit` holds for one.
fn texts(
    key: Key,
    judged: &Judged,
    (analysis, notes): Around<'_>,
    hit: &mut dyn FnMut(&str) -> bool,
) -> bool {
    let (c, v) = (&judged.connection, &judged.verdict);
    match key {
        Key::Cause => v
            .cause
            .is_some_and(|cause| hit(cause.id()) || hit(cause.code())),
        Key::Rule => v.cause.is_some_and(|cause| hit(cause.code())),
        Key::Client => {
            let address = match (c.client.ip, c.client.port) {
                (Some(ip), Some(port)) => Some(std::net::SocketAddr::new(ip, port).to_string()),
                (Some(ip), None) => Some(ip.to_string()),
                _ => None,
            };
            address.is_some_and(|a| hit(&a)) || c.client.identity.as_deref().is_some_and(hit)
        }
        Key::Server => c.legs.iter().any(|l| hit(&l.server.to_string())),
        Key::Path => c.request.uri.as_deref().is_some_and(hit),
        Key::Host => c.request.host.as_deref().is_some_and(hit),
        Key::Hop => c.hops.iter().any(|h| hit(&h.name) || hit(h.kind.name())),
        Key::By => hit(c.closer.role.name()) || c.closer.hop.as_deref().is_some_and(hit),
        Key::How => {
            let framed = c.close.from_client.is_some() || c.close.from_server.is_some();
            hit(v.outcome.name())
                || c.close.tcp.as_deref().is_some_and(&mut *hit)
                || (framed && hit("close frame"))
                || (v.outcome == Outcome::FailedHandshake
                    && c.request.status.is_some_and(|s| hit(&s.to_string())))
        }
        Key::File => {
            let mut last: Option<SourceId> = None;
            c.events.iter().any(|e| {
                let again = last.replace(e.record.source) == Some(e.record.source);
                !again
                    && analysis
                        .source(e.record.source)
                        .is_some_and(|s| hit(&s.path))
            })
        }
        Key::Id => hit(&c.id),
        Key::Mark => match notes.get(&c.id) {
            Some(note) if note.marked => hit("yes"),
            _ => hit("no"),
        },
        Key::Note => {
            let note = notes.get(&c.id).filter(|n| !n.text.is_empty());
            note.is_some_and(|n| hit(&n.text))
        }
        Key::Conf | Key::Code | Key::Alive | Key::Silent | Key::Idle | Key::Size | Key::Time => {
            false
        }
    }
}

fn value(key: Key, judged: &Judged) -> Option<i64> {
    let c = &judged.connection;
    match key {
        Key::Alive => c.duration_ns(),
        Key::Silent => c.silence_ns,
        Key::Idle => judged.verdict.timeout_ns,
        Key::Time => Some(c.closed.map_or(c.sort_at, |s| s.at).0),
        Key::Size => c
            .legs
            .iter()
            .flat_map(|l| &l.observations)
            .map(|o| {
                i64::try_from(o.to_server.bytes.saturating_add(o.to_client.bytes))
                    .unwrap_or(i64::MAX)
            })
            .max(),
        _ => None,
    }
}

fn key_matches(key: Key, test: &Test, judged: &Judged, around: Around<'_>) -> bool {
    match test {
        Test::Text(text) => texts(key, judged, around, &mut |t| text.is_in(t)),
        Test::Net(ip, bits) => match key {
            Key::Client => judged
                .connection
                .client
                .ip
                .is_some_and(|i| in_net(i, *ip, *bits)),
            _ => judged
                .connection
                .legs
                .iter()
                .any(|l| in_net(l.server.ip(), *ip, *bits)),
        },
        Test::Within(lo, hi) if key == Key::Code => {
            codes(judged).any(|c| (*lo..=*hi).contains(&i64::from(c)))
        }
        Test::Within(lo, hi) => value(key, judged).is_some_and(|v| (*lo..=*hi).contains(&v)),
        Test::WithinDay(lo, hi) => value(key, judged).is_some_and(|v| {
            let v = v.rem_euclid(DAY_NS);
            if lo <= hi {
                (*lo..=*hi).contains(&v)
            } else {
                v >= *lo || v <= *hi
            }
        }),
        Test::Tiers(lo, hi) => {
            judged.verdict.cause.is_some() && (*lo..=*hi).contains(&judged.verdict.tier)
        }
        Test::Absent => match key {
            Key::Code => codes(judged).next().is_none(),
            Key::Alive | Key::Silent | Key::Idle | Key::Size | Key::Time => {
                value(key, judged).is_none()
            }
            _ => !texts(key, judged, around, &mut |_| true),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::fixture;

    #[test]
    fn filters_select_what_they_say() {
        let analysis = fixture();
        let check = |text: &str, expected: usize| {
            let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let n = analysis
                .connections
                .iter()
                .filter(|j| filter.matches(j, &analysis))
                .count();
            assert_eq!(n, expected, "{text}");
        };
        check("", 13);
        check("   ", 13);
        check("cause:idle-timeout", 4);
        check("cause:W101", 4);
        check("cause:idle", 4);
        check("rule:W1", 4);
        check("cause:none", 3);
        check("cause=idle", 0);
        check("-cause:idle-timeout", 9);
        check("cause:idle-timeout OR cause:missed-heartbeat", 7);
        check("(cause:W101 OR cause:W201) -by:server", 4);
        check("cause:W101 cause:W201", 0);
        check("cause:W101 AND by:nginx", 4);
        check("conf:certain", 6);
        check("conf>=likely", 9);
        check("conf<likely", 1);
        check("client:203.0.113.0/24", 13);
        check("client:203.0.113.12", 2);
        check("client:203.0.113.12:40002", 1);
        check("client:user12", 1);
        check("client:2001:db8::/32", 0);
        check("server:10.0.2.30", 12);
        check("server::8080", 12);
        check("path:/ws/chat", 12);
        check("path:/^\\/ws\\/chat/", 12);
        check("path:*chat*user3", 1);
        check("host:APP.example", 13);
        check("hop:nginx", 13);
        check("by:proxy", 4);
        check("by:nginx", 4);
        check("code:1006", 8);
        check("code:1000", 2);
        check("code>=1006", 8);
        check("code:none", 3);
        check("code:1000..1005", 2);
        check("how:failed-handshake", 2);
        check("how:426", 2);
        check("how:rst", 3);
        check("how:clean", 2);
        check("alive>55s", 7);
        check("alive:60s", 3);
        check("alive:1m", 8);
        check("alive<=30s", 5);
        check("alive:none", 1);
        check("silent=60s~0.5s", 4);
        check("silent:60", 4);
        check("silent:10s..1m", 7);
        check("silent>60s", 0);
        check("idle:60s", 4);
        check("size>1MB", 0);
        check("file:error.log", 4);
        check("file:app.ndjson", 8);
        check("time:09:27", 3);
        check("time>=2026-03-14T09:29:00Z", 5);
        check("time:2026-03-14", 13);
        check("time:..09:27", 1);
        check("time:23:00..09:30", 12);
        check("id:c-9e3779", 1);
        check("user3", 1);
        check("\"frame in either\"", 4);
        check("/no (frame|source)/", 1);
        check("FIN", 4);
    }

    #[test]
    fn marks_and_notes_can_be_asked_for() {
        let analysis = fixture();
        let id = |i: usize| analysis.connections[i].connection.id.clone();
        let note = |marked, text: &str| crate::model::Note {
            marked,
            text: text.to_owned(),
        };
        let notes = Arc::new(Notes::from([
            (id(0), note(true, "")),
            (id(1), note(true, "carrier NAT?")),
            (id(2), note(false, "asked the team")),
        ]));
        let check = |text: &str, asks: bool, expected: usize| {
            let filter = Filter::parse(text).expect(text).over(&notes);
            let all = analysis.connections.iter();
            let n = all.filter(|j| filter.matches(j, &analysis)).count();
            assert_eq!((filter.asks_notes(), n), (asks, expected), "{text}");
        };
        check("mark:yes", true, 2);
        check("mark:no", true, 11);
        check("-mark:yes", true, 11);
        check("note:carrier", true, 1);
        check("note:none", true, 11);
        check("-note:none mark:yes", true, 1);
        check("team", false, 0);
        check("cause:idle-timeout", false, 4);
        let filter = Filter::parse("mark:yes").expect("a filter");
        assert!(!filter.matches(&analysis.connections[0], &analysis));
    }

    #[test]
    fn errors_say_what_and_where() {
        let check = |text: &str, column: usize, message: &str| match Filter::parse(text) {
            Ok(_) => panic!("{text} was taken"),
            Err(e) => {
                assert_eq!((e.column, e.message.as_str()), (column, message), "{text}");
            }
        };
        check("hopp:nginx", 0, "no such key: hopp");
        check("a b:c", 2, "no such key: b");
        check("cause:", 6, "cause: needs a value");
        check("alive>soon", 6, "not a duration: soon");
        check("code:x", 5, "not a close code: x");
        check("time:25:00", 5, "not a time: 25:00");
        check("by>nginx", 3, "> compares numbers and times only");
        check("(a OR b", 0, "this parenthesis is never closed");
        check(") a", 0, "nothing opens this parenthesis");
        check("()", 0, "nothing between the parentheses");
        check("\"open", 0, "this quote is never closed");
        check("a OR ", 4, "OR needs something on both sides");
        check("- a", 0, "nothing follows the minus");
        check(
            "conf:maybe",
            5,
            "not a confidence (undecided, possible, likely, certain): maybe",
        );
        assert!(
            Filter::parse("/(/").is_err_and(|e| e.message.starts_with("bad regular expression"))
        );
        assert!(Filter::parse(&"(".repeat(10_000)).is_err());
        assert!(Filter::parse(&"-".repeat(10_000)).is_err());
        assert!(Filter::parse("hopp:x").is_err_and(|e| e.help == "did you mean hop:?"));
    }

    #[test]
    fn a_quoted_value_means_itself() {
        for text in [
            "/ws", "a b", "x\"y\\", "-a", "", "/a/", "日本", "a:b", "(x)",
        ] {
            if !text.is_empty() {
                let term = format!("path={}", quoted(text));
                let mut analysis = fixture();
                analysis.connections.truncate(1);
                analysis.connections[0].connection.request.uri = Some(text.into());
                let filter = Filter::parse(&term).unwrap_or_else(|e| panic!("{term}: {e}"));
                assert!(
                    filter.matches(&analysis.connections[0], &analysis),
                    "{term}"
                );
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        use proptest::prelude::*;
        proptest!(|(text in "[ -~é(/\"\\:<>=-]{0,24}")| {
            let _ = Filter::parse(&text);
        });
    }
}
