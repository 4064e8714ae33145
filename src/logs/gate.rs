//! Lines that cannot matter -> passed over after a look at the few bytes that decide it, without being taken apart.

use super::app_words;
use super::text;
use super::text::near::near;
use super::{Block, Skimmed};
use crate::model::{RecordRef, SourceId};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// Where the lines of a JSON log keep a value: the key in front of it, as a line that was read in full had it.
#[derive(Debug)]
pub(super) struct Spot {
    front: Finder<'static>,
}

impl Spot {
    /// `value` has to be a part of `line`; `None` where its key does not tell the place alone.
    pub(super) fn learn(line: &[u8], value: &[u8]) -> Option<Self> {
        let at = (value.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
        let before = line.get(..at)?;
        let from = memchr::memrchr2(b',', b'{', before)? + 1;
        let spot = Self {
            front: Finder::new(before.get(from..)?).into_owned(),
        };
        // The same key further left would be another value.
        let found = spot.value(line)?;
        (spot.front.needle().len() > 3 && found.as_ptr() == value.as_ptr()).then_some(spot)
    }

    /// The value, where it has no escapes in it.
    pub(super) fn value<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.front.find(line)? + self.front.needle().len();
        let rest = line.get(from..)?;
        if self.front.needle().last() == Some(&b'"') {
            let end = memchr::memchr2(b'"', b'\\', rest)?;
            (rest.get(end) == Some(&b'"')).then(|| &rest[..end])
        } else {
            let end = memchr::memchr3(b',', b'}', b'"', rest)?;
            (rest.get(end) != Some(&b'"')).then(|| &rest[..end])
        }
    }
}

/// An answer that ends a plain request: neither the 101 of a tunnel nor a refusal.
pub(super) fn is_plain(status: &[u8]) -> bool {
    matches!(status, [b'2' | b'3', b, c] if b.is_ascii_digit() && c.is_ascii_digit())
}

/// An answer that ends a request which failed; 426 says by itself that a WebSocket was asked for.
pub(super) fn is_refusal(status: &[u8]) -> bool {
    matches!(status, [b'4'..=b'9', b, c] if b.is_ascii_digit() && c.is_ascii_digit())
        && status != b"426"
}

/// Where a line stands: in its block, and in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    ordinal: u64,
    start: u64,
}

impl Place {
    /// A line of so many bytes that stands here.
    pub(super) fn record(self, source: SourceId, len: usize) -> RecordRef {
        RecordRef {
            source,
            ordinal: self.ordinal,
            start: self.start,
            len: u32::try_from(len).unwrap_or(u32::MAX),
        }
    }
}

/// Passes over lines from `from` on as long as `passes` says so; blank ones and those with a blank in front are left.
pub(super) fn skim(
    block: Block<'_>,
    from: usize,
    mut passes: impl FnMut(&[u8], Place) -> bool,
) -> Skimmed {
    skim_ahead(block, from, |_, place| {
        let (line, _) = block.line(place.at)?;
        (!line.last()?.is_ascii_whitespace() && passes(line, place)).then_some(line.len())
    })
}

/// The same where `passes` finds out where the line ends by itself: it gets all that follows, and gives the line's bytes.
pub(super) fn skim_ahead<'a>(
    block: Block<'a>,
    from: usize,
    mut passes: impl FnMut(&'a [u8], Place) -> Option<usize>,
) -> Skimmed {
    let (mut at, mut lines) = (from, 0);
    while let Some(text) = block.bytes.get(at..).filter(|text| !text.is_empty()) {
        let place = Place {
            at,
            ordinal: block.ordinal + lines,
            start: block.start + at as u64,
        };
        let Some(len) = passes(text, place) else {
            break;
        };
        at += len
            + match text.get(len..) {
                Some([b'\n', ..]) => 1,
                Some([b'\r', b'\n', ..]) => 2,
                _ => break,
            };
        lines += 1;
    }
    Skimmed {
        bytes: at - from,
        lines,
    }
}

/// The places of a word in a block, looked for once for all lines of it.
#[derive(Debug)]
pub(super) struct Ahead {
    word: Finder<'static>,
    block: Option<u64>,
    next: usize,
}

impl Ahead {
    pub(super) fn new(word: &'static [u8]) -> Self {
        Self {
            word: Finder::new(word),
            block: None,
            next: 0,
        }
    }

    /// The word stands between two places; to be asked for places further and further in a block.
    pub(super) fn stands_in(&mut self, block: Block<'_>, from: usize, to: usize) -> bool {
        if self.block != Some(block.start) || self.next < from {
            let found = block.bytes.get(from..).and_then(|b| self.word.find(b));
            self.next = found.map_or(usize::MAX, |at| from + at);
            self.block = Some(block.start);
        }
        self.next < to
    }
}

/// What every upgraded request's line holds somewhere, if it has a place for what was asked.
pub(super) const WEBSOCKET: &[u8] = b"ebsocket";

/// A line in the layout that every web server's log begins with.
pub(super) struct Answer<'a> {
    pub(super) date: &'a [u8],
    pub(super) request: &'a [u8],
    pub(super) status: &'a [u8],
    /// What follows the request.
    rest: &'a [u8],
}

/// Takes a line apart up to its status. Whether it speaks of WebSockets is left to be looked at.
pub(super) fn answer(line: &[u8]) -> Option<Answer<'_>> {
    let blank = near(line.get(..64).unwrap_or(line), b' ')?;
    // Nobody's name stands in most lines.
    let date_at = match line.get(blank..blank + 6)? {
        b" - - [" => blank + 6,
        [b' ', b'-', b' ', ..] => memchr::memchr(b'"', line)?.checked_sub(28)?,
        _ => return None,
    };
    let (date, after) = line.get(date_at..)?.split_at_checked(26)?;
    let framed = line.get(date_at.checked_sub(1)?) == Some(&b'[') && after.starts_with(b"] \"");
    if !framed {
        return None;
    }
    let request = after.get(3..)?;
    let end = text::quoted(request, b'"')?;
    let rest = request.get(end + 1..)?;
    let [b' ', status @ .., b' ', size] = rest.get(..6)? else {
        return None;
    };
    // Traefik's lines end in a duration.
    (size.is_ascii_digit() && !line.ends_with(b"ms")).then_some(Answer {
        date,
        request: &request[..end],
        status,
        rest,
    })
}

/// The date of a line that is no part of a block, if it is about a plain request.
pub(super) fn plain_request(line: &[u8]) -> Option<&[u8]> {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WEBSOCKET));
    let answer = answer(line)?;
    (is_plain(answer.status) && FINDER.find(answer.rest).is_none()).then_some(answer.date)
}

/// Words that stand in too many lines to tell anything where another word of the phrase does.
const COMMON: &[&str] = &[
    "completed",
    "complete",
    "request",
    "server",
    "client",
    "process",
    "received",
    "receiving",
    "without",
    "code",
    "status",
    "time",
    "from",
    "with",
    "type",
    "user",
    "message",
    "not",
    "now",
    "new",
    "the",
    "for",
    "and",
    "main",
    "limit",
    "queue",
    "system",
    "resource",
    "number",
    "web",
    "http",
    "response",
    "position",
    "max",
    "size",
    "data",
    "result",
    "memory",
    "thread",
    "on",
    "in",
    "at",
    "to",
    "is",
    "it",
    "up",
    "of",
    "a",
    "i",
    "o",
    "t",
];

/// Beside the words of the phrases: names of a connection, a level above warning, an error's code, a trace.
const KEYS: &[&str] = &[
    "conn",
    "socket",
    "sid\"",
    "cid\"",
    "wsid",
    "ws_id",
    "ws-id",
    "channel",
    "peer",
    "stream",
    ":50",
    ":60",
    "\"50\"",
    "\"60\"",
    "error",
    "\"err",
    "eror",
    "severe",
    "fatal",
    "critical",
    "panic",
    "crit",
    "emerg",
    "alert",
    "ftl",
    "ode\":\"",
    "ode\":1",
    "ode\": 1",
    "ode\": \"",
    "errno",
    "stack",
    "exc_info",
    "exception",
    "traceback",
    "\"@x\"",
    "\"port\":",
];

/// Finds a word of any phrase that makes an event.
static TELLING: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut stems: Vec<&str> = KEYS.to_vec();
    for phrase in app_words::phrases() {
        let words = || phrase.split(' ');
        let rare = words()
            .filter(|w| !COMMON.contains(w))
            .max_by_key(|w| w.len());
        stems.extend(rare.or_else(|| words().max_by_key(|w| w.len())));
    }
    stems.sort_unstable();
    stems.dedup();
    // A stem that holds another one finds nothing that the other does not.
    let least: Vec<&str> = stems
        .iter()
        .copied()
        .filter(|s| !stems.iter().any(|other| other != s && s.contains(other)))
        .collect();
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .kind(Some(AhoCorasickKind::DFA))
        .ascii_case_insensitive(true)
        .build(least)
        .ok()
});

/// False only for lines that no phrase, level, code or connection's name stands in.
pub(super) fn may_tell(line: &[u8]) -> bool {
    TELLING.as_ref().is_none_or(|words| words.is_match(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_passes_the_gate() {
        for phrase in app_words::phrases() {
            let camel: String = phrase
                .split(' ')
                .map(|w| w[..1].to_uppercase() + &w[1..])
                .collect();
            for text in [phrase.to_owned(), phrase.to_uppercase(), camel] {
                let line = format!(r#"{{"level":30,"time":1,"msg":"{text}"}}"#);
                assert!(may_tell(line.as_bytes()), "{line}");
            }
        }
        for quiet in [
            r#"{"level":30,"time":1795204800000,"pid":27065,"hostname":"app1","req":{"id":1,"method":"GET","url":"/healthz"},"res":{"statusCode":304},"responseTime":15,"msg":"request completed"}"#,
            r#"{"level":"info","ts":1795204800.5,"msg":"handled request","status":200,"duration":0.01}"#,
        ] {
            assert!(!may_tell(quiet.as_bytes()), "{quiet}");
        }
    }

    #[test]
    fn spots_are_learnt_from_a_line() {
        let line = br#"{"req":{"status":"x"},"status":"200","n":7}"#;
        let second = &line[32..35];
        assert_eq!(second, b"200");
        // An earlier key of the same name: the place is not sure.
        assert!(Spot::learn(line, second).is_none());
        let number = &line[41..42];
        let spot = Spot::learn(line, number).expect("a spot");
        assert_eq!(spot.value(br#"{"a":1,"n":42,"b":2}"#), Some(&b"42"[..]));
        assert_eq!(spot.value(br#"{"a":1}"#), None);
    }

    #[test]
    fn plain_requests_are_seen_by_their_status() {
        let check = |line: &str, want: bool| {
            assert_eq!(plain_request(line.as_bytes()).is_some(), want, "{line}");
        };
        const HEAD: &str = r#"192.0.2.17 - - [20/Nov/2026:20:48:04 +0000] "GET /a\"b HTTP/1.1""#;
        check(&format!(r#"{HEAD} 200 12 "-" "x""#), true);
        check(&format!(r#"{HEAD} 304 0 "-" "x""#), true);
        check(&format!(r#"{HEAD} 101 12 "-" "x""#), false);
        check(&format!(r#"{HEAD} 404 12 "-" "x""#), false);
        check(&format!(r#"{HEAD} 200 - "-" "x""#), false);
        check(
            &format!(r#"{HEAD} 200 12 "-" "x" upgrade=websocket"#),
            false,
        );
        check(
            &format!(r#"{HEAD} 200 12 "-" "x" 1 "a@b" "http://x" 3ms"#),
            false,
        );
        check(&format!("www.example.test:443 {HEAD} 200 12"), false);
        check("192.0.2.17", false);
    }
}
