//! Lines that cannot matter -> passed over after a look at the few bytes that decide it, without being taken apart.

use super::app_words;
use super::json::{Kind, Leaf};
use super::text;
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
    pub(super) fn record(self, source: SourceId, line: &[u8]) -> RecordRef {
        RecordRef {
            source,
            ordinal: self.ordinal,
            start: self.start,
            len: u32::try_from(line.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Passes over lines from `from` on as long as `passes` says so; blank ones and those with a blank in front are left.
pub(super) fn skim(
    block: Block<'_>,
    from: usize,
    mut passes: impl FnMut(&[u8], Place) -> bool,
) -> Skimmed {
    let (mut at, mut lines) = (from, 0);
    while let Some((line, next)) = block.line(at) {
        if line.last().is_none_or(u8::is_ascii_whitespace) {
            break;
        }
        let place = Place {
            at,
            ordinal: block.ordinal + lines,
            start: block.start + at as u64,
        };
        if !passes(line, place) {
            break;
        }
        at = next;
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
    let blank = memchr::memchr(b' ', line.get(..line.len().min(64))?)?;
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

/// What decides about a value of a JSON record, so that a line of the same keys can be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Decides nothing.
    Free,
    /// Has to be the same.
    Same,
    /// The status of a plain request, or of one that failed.
    Status,
    /// The request line: of one that failed, it decides.
    Asked,
    /// Any number: a status, a code. Without a word beside it, it decides nothing.
    Digits,
    /// Has to be empty or a dash.
    Absent,
    /// The record's time.
    Time,
    /// Words of which none may tell anything.
    Said,
    /// Lines with such a key are read in full.
    Never,
}

/// Fixed text and the value that follows it.
#[derive(Debug)]
struct Part {
    literal: Vec<u8>,
    role: Role,
    quoted: bool,
}

/// The keys of a JSON line that did not matter, in their order, and what a line of the same keys needs not to matter either.
#[derive(Debug)]
struct Shape {
    parts: Vec<Part>,
    tail: Vec<u8>,
    /// The last text under `Role::Said` that was looked at.
    said: Vec<u8>,
}

/// The longest number, or word without quotes, that is passed over.
const MAX_BARE: usize = 32;

/// What stands in numbers and in words without quotes.
const BARE: [bool; 256] = {
    let mut bare = [false; 256];
    let mut c = 0;
    while c < 256 {
        let byte = c as u8;
        bare[c] = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
        c += 1;
    }
    bare
};

/// A line of a known shape that does not matter, if nothing comes of its having failed.
#[derive(Debug, Default)]
pub(super) struct Fit<'a> {
    /// As written.
    pub(super) time: &'a [u8],
    /// The request failed with this status.
    pub(super) refused: Option<&'a [u8]>,
    pub(super) asked: Option<&'a [u8]>,
    /// The line says that no upgrade was asked for.
    pub(super) denies: bool,
}

impl Shape {
    fn learn(
        line: &[u8],
        leaves: &[Leaf<'_>],
        role: &mut dyn FnMut(usize) -> Role,
    ) -> Option<Self> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut timed = false;
        for (i, leaf) in leaves.iter().enumerate() {
            if leaf.kind == Kind::Tree {
                continue;
            }
            let role = role(i);
            match role {
                Role::Never => return None,
                Role::Same => continue,
                Role::Time if timed => return None,
                _ => timed |= role == Role::Time,
            }
            let at = (leaf.value.as_ptr() as usize).checked_sub(line.as_ptr() as usize)?;
            parts.push(Part {
                literal: line.get(from..at)?.to_vec(),
                role,
                quoted: leaf.kind == Kind::Text,
            });
            from = at + leaf.value.len();
        }
        let shape = Self {
            parts,
            tail: line.get(from..)?.to_vec(),
            said: Vec::new(),
        };
        timed.then_some(shape)
    }

    /// What decides about a line of this shape, if it may be passed over.
    fn fit<'a>(&mut self, line: &'a [u8]) -> Option<Fit<'a>> {
        let mut rest = line;
        let mut fit = Fit::default();
        for part in &self.parts {
            rest = after(rest, &part.literal)?;
            let end = if part.quoted {
                match memchr::memchr2(b'"', b'\\', rest)? {
                    end if rest[end] == b'"' => end,
                    _ if part.role == Role::Free => text::quoted(rest, b'"')?,
                    _ => return None,
                }
            } else {
                let bare = rest.iter().take(MAX_BARE);
                bare.take_while(|c| BARE[usize::from(**c)]).count()
            };
            let value;
            (value, rest) = rest.split_at(end);
            match part.role {
                Role::Free | Role::Same | Role::Never => {}
                Role::Status if is_plain(value) => {}
                Role::Status if is_refusal(value) => fit.refused = Some(value),
                Role::Asked => fit.asked = Some(value),
                Role::Absent if text::present(value).is_none() => fit.denies = true,
                // What may be a close code decides by itself.
                Role::Digits
                    if value.iter().all(u8::is_ascii_digit)
                        && !matches!(value, [b'1' | b'3' | b'4', _, _, _]) => {}
                Role::Status | Role::Absent | Role::Digits => return None,
                Role::Time => fit.time = value,
                Role::Said => {
                    if self.said != value {
                        let coloured = memchr::memchr(0x1b, value).is_some();
                        if value.is_empty() || coloured || may_tell(value) {
                            return None;
                        }
                        value.clone_into(&mut self.said);
                    }
                }
            }
        }
        (rest == self.tail && !fit.time.is_empty()).then_some(fit)
    }
}

/// What stands behind a text that is mostly so short that a call to compare it takes longer than to do it.
fn after<'a>(text: &'a [u8], literal: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = text.split_at_checked(literal.len())?;
    let same = match literal.len() {
        4..8 => {
            front.first_chunk::<4>() == literal.first_chunk()
                && front.last_chunk::<4>() == literal.last_chunk()
        }
        8..=16 => {
            front.first_chunk::<8>() == literal.first_chunk()
                && front.last_chunk::<8>() == literal.last_chunk()
        }
        _ => front == literal,
    };
    same.then_some(rest)
}

/// As many shapes are known at a time.
const MAX_SHAPES: usize = 8;
/// Lines from which shapes are learnt before it is asked whether that was worth it.
const TRIALS: u64 = 256;

/// What the lines of a JSON log look like that do not matter, learnt from those that were read in full.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The one that fitted last first.
    all: Vec<Shape>,
    learnt: u64,
    fitted: u64,
}

impl Shapes {
    /// `line` said nothing that matters; `role` tells what each of its leaves decides.
    pub(super) fn learn(
        &mut self,
        line: &[u8],
        leaves: &[Leaf<'_>],
        role: &mut dyn FnMut(usize) -> Role,
    ) {
        // Records that are all of different keys are read sooner than learnt.
        if self.learnt >= TRIALS && self.fitted / 4 < self.learnt {
            return;
        }
        self.learnt += 1;
        if let Some(shape) = Shape::learn(line, leaves, role) {
            self.all.truncate(MAX_SHAPES - 1);
            self.all.insert(0, shape);
        }
    }

    /// What decides about a line of a shape that did not matter before.
    pub(super) fn fit<'a>(&mut self, line: &'a [u8]) -> Option<Fit<'a>> {
        let (at, fit) = self
            .all
            .iter_mut()
            .enumerate()
            .find_map(|(at, shape)| Some((at, shape.fit(line)?)))?;
        if at > 0 {
            self.all[..=at].rotate_right(1);
        }
        self.fitted += 1;
        Some(fit)
    }
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
