//! The filter language, one for the terminal UI, `-w` and links: text -> a test on connections.
//!
//! Words are joined by AND; `key:value`, `key>value`, `-word` (not), `/regex/`, `"quotes"`, `(a OR b)`.

use super::source::SourceId;
use super::time::{MICRO_NS, MILLI_NS, SECOND_NS};
use super::verdict::{Analysis, Judged, Outcome, Tier};
use chrono::{NaiveDate, NaiveDateTime, Timelike};
use regex::Regex;
use std::fmt;
use std::net::IpAddr;

/// Nesting deeper than this is refused: nobody types it, and it would only try the stack.
const DEEPEST: usize = 32;
const DAY_NS: i64 = 86_400 * SECOND_NS;

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
}

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
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
        let mut parser = Parser {
            chars: text.chars().collect(),
            at: 0,
            depth: 0,
        };
        let root = parser.either()?;
        if parser.peek().is_some() {
            return Err(error(
                "nothing opens this parenthesis",
                parser.at,
                "quote it to search for it: \")\"",
            ));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            root,
        })
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
            .is_none_or(|n| n.matches(judged, analysis))
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

fn error(message: impl Into<String>, column: usize, help: impl Into<String>) -> FilterError {
    FilterError {
        message: message.into(),
        column,
        help: help.into(),
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

/// One word of the text, quotes taken off.
struct Word {
    text: String,
    start: usize,
    pattern: bool,
    quoted: bool,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let here = self
            .chars
            .get(self.at..end)
            .is_some_and(|c| c.iter().copied().eq(word.chars()));
        let over = self
            .chars
            .get(end)
            .is_none_or(|c| c.is_whitespace() || *c == '(' || *c == ')');
        if here && over {
            self.at = end;
        }
        here && over
    }

    fn either(&mut self) -> Result<Option<Node>, FilterError> {
        let mut choices = Vec::new();
        loop {
            let start = self.at;
            match self.all()? {
                Some(node) => choices.push(node),
                None if choices.is_empty() && !self.keyword("OR") => return Ok(None),
                None => {
                    return Err(error(
                        "OR needs something on both sides",
                        start,
                        "(cause:W101 OR cause:W103)",
                    ));
                }
            }
            self.skip_blanks();
            if !self.keyword("OR") {
                break;
            }
        }
        Ok(if choices.len() > 1 {
            Some(Node::Any(choices))
        } else {
            choices.pop()
        })
    }

    fn all(&mut self) -> Result<Option<Node>, FilterError> {
        let mut nodes = Vec::new();
        loop {
            self.skip_blanks();
            let before = self.at;
            match self.peek() {
                None | Some(')') => break,
                Some('O') if self.keyword("OR") => {
                    self.at = before;
                    break;
                }
                Some('A') if self.keyword("AND") => {}
                Some(_) => nodes.push(self.single()?),
            }
        }
        Ok(if nodes.len() > 1 {
            Some(Node::All(nodes))
        } else {
            nodes.pop()
        })
    }

    fn single(&mut self) -> Result<Node, FilterError> {
        let start = self.at;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(error("nested too deep", start, ""));
        }
        let node = match self.peek() {
            Some('-') => {
                self.at += 1;
                if self.peek().is_none_or(char::is_whitespace) {
                    return Err(error(
                        "nothing follows the minus",
                        start,
                        "-word leaves out what has the word",
                    ));
                }
                Node::Not(Box::new(self.single()?))
            }
            Some('(') => {
                self.at += 1;
                let inside = self.either()?;
                self.skip_blanks();
                if self.peek() != Some(')') {
                    return Err(error("this parenthesis is never closed", start, "(a OR b)"));
                }
                self.at += 1;
                inside.ok_or_else(|| error("nothing between the parentheses", start, "(a OR b)"))?
            }
            _ => self.term()?,
        };
        self.depth -= 1;
        Ok(node)
    }

    fn term(&mut self) -> Result<Node, FilterError> {
        let start = self.at;
        let mut end = start;
        while self.chars.get(end).is_some_and(char::is_ascii_alphabetic) {
            end += 1;
        }
        let operator = match (self.chars.get(end), self.chars.get(end + 1)) {
            (Some('>'), Some('=')) => Some(">="),
            (Some('<'), Some('=')) => Some("<="),
            (Some('>'), _) => Some(">"),
            (Some('<'), _) => Some("<"),
            (Some('='), _) => Some("="),
            (Some(':'), _) => Some(":"),
            _ => None,
        };
        let Some(operator) = operator.filter(|_| end > start) else {
            let word = self.word()?;
            return Ok(Node::Anywhere(word.into_text(false)?));
        };
        let name: String = self
            .chars
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .collect::<String>()
            .to_ascii_lowercase();
        let Some(key) = Key::parse(&name) else {
            let near = KEYS
                .iter()
                .map(|k| k.0)
                .min_by_key(|k| distance(k, &name))
                .filter(|k| distance(k, &name) <= 2);
            let help = near.map_or_else(
                || {
                    format!(
                        "keys: {}; quote the word to search for it",
                        KEYS.map_names()
                    )
                },
                |k| format!("did you mean {k}{operator}?"),
            );
            return Err(error(format!("no such key: {name}"), start, help));
        };
        self.at = end + operator.len();
        let word = self.word()?;
        let help = KEYS.iter().find(|k| k.0 == name).map_or("", |k| k.1);
        if word.text.is_empty() {
            return Err(error(
                format!("{name}{operator} needs a value"),
                word.start,
                help,
            ));
        }
        let test = test(key, operator, &word, help)?;
        Ok(Node::Key(key, test))
    }

    fn word(&mut self) -> Result<Word, FilterError> {
        let start = self.at;
        if self.peek() == Some('/')
            && let Some(end) = self.pattern_end()
        {
            let mut text = String::new();
            let inside = self.chars.get(start + 1..end).unwrap_or_default();
            for (i, c) in inside.iter().enumerate() {
                // `\/` is a slash; every other escape is the regex's own.
                if !(*c == '\\' && inside.get(i + 1) == Some(&'/')) {
                    text.push(*c);
                }
            }
            self.at = end + 1;
            return Ok(Word {
                text,
                start,
                pattern: true,
                quoted: false,
            });
        }
        let (mut text, mut quoted) = (String::new(), false);
        while let Some(c) = self.peek() {
            if c.is_whitespace() || (c == ')' && self.depth > 1) {
                break;
            }
            let at = self.at;
            self.at += 1;
            if c != '"' {
                text.push(c);
                continue;
            }
            quoted = true;
            loop {
                let Some(c) = self.peek() else {
                    return Err(error("this quote is never closed", at, "\"two words\""));
                };
                self.at += 1;
                match c {
                    '"' => break,
                    '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                        text.extend(self.peek());
                        self.at += 1;
                    }
                    c => text.push(c),
                }
            }
            break;
        }
        Ok(Word {
            text,
            start,
            pattern: false,
            quoted,
        })
    }

    /// The slash that ends the pattern begun here: unescaped, with a blank, `)` or nothing behind it.
    fn pattern_end(&self) -> Option<usize> {
        let mut i = self.at + 1;
        while let Some(&c) = self.chars.get(i) {
            match c {
                '\\' => i += 1,
                '/' if i > self.at + 1 => {
                    if self
                        .chars
                        .get(i + 1)
                        .is_none_or(|c| c.is_whitespace() || *c == ')')
                    {
                        return Some(i);
                    }
                }
                _ => {}
            }
            i += 1;
        }
        None
    }
}

trait Names {
    fn map_names(&self) -> String;
}

impl Names for [(&str, &str)] {
    fn map_names(&self) -> String {
        self.iter().map(|k| k.0).collect::<Vec<_>>().join(" ")
    }
}

impl Word {
    fn into_text(self, exact: bool) -> Result<Text, FilterError> {
        let compile = |pattern: &str, start| {
            Regex::new(&format!("(?i){pattern}")).map_err(|e| {
                let why = e.to_string();
                let why = why
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                error(
                    format!("bad regular expression: {why}"),
                    start,
                    "quote it to search for it as it stands",
                )
            })
        };
        if self.pattern {
            return Ok(Text::Pattern(compile(&self.text, self.start)?));
        }
        if self.text.contains('*') && !self.quoted {
            let glob = self
                .text
                .split('*')
                .map(regex::escape)
                .collect::<Vec<_>>()
                .join(".*");
            return Ok(Text::Pattern(compile(&format!("^{glob}$"), self.start)?));
        }
        Ok(if exact {
            Text::Is(self.text)
        } else {
            Text::Has(self.text)
        })
    }
}

fn test(key: Key, operator: &str, word: &Word, help: &str) -> Result<Test, FilterError> {
    let wrong = |what: &str| error(format!("{what}: {}", word.text), word.start, help);
    let equal = matches!(operator, ":" | "=");
    let text = word.text.as_str();
    if equal && text == "none" && key != Key::Conf {
        return Ok(Test::Absent);
    }
    match key {
        Key::Alive | Key::Silent | Key::Idle => {
            number(operator, text, duration).ok_or_else(|| wrong("not a duration"))
        }
        Key::Size => number(operator, text, size).ok_or_else(|| wrong("not a size")),
        Key::Code => number(operator, text, |t| Some((t.parse().ok()?, 1)))
            .ok_or_else(|| wrong("not a close code")),
        Key::Time => time(operator, text).ok_or_else(|| wrong("not a time")),
        Key::Conf => {
            let tier = [Tier::Undecided, Tier::Possible, Tier::Likely, Tier::Certain]
                .into_iter()
                .find(|t| t.name().starts_with(&text.to_ascii_lowercase()))
                .ok_or_else(|| wrong("not a confidence (undecided, possible, likely, certain)"))?;
            let step = |by: i8| match (tier, by) {
                (Tier::Undecided, 1) | (Tier::Likely, -1) => Some(Tier::Possible),
                (Tier::Possible, 1) | (Tier::Certain, -1) => Some(Tier::Likely),
                (Tier::Likely, 1) => Some(Tier::Certain),
                (Tier::Possible, -1) => Some(Tier::Undecided),
                _ => None,
            };
            Ok(match operator {
                ">=" => Test::Tiers(tier, Tier::Certain),
                "<=" => Test::Tiers(Tier::Undecided, tier),
                ">" => Test::Tiers(
                    step(1).ok_or_else(|| wrong("nothing is above"))?,
                    Tier::Certain,
                ),
                "<" => Test::Tiers(
                    Tier::Undecided,
                    step(-1).ok_or_else(|| wrong("nothing is below"))?,
                ),
                _ => Test::Tiers(tier, tier),
            })
        }
        _ if !equal => Err(error(
            format!("{operator} compares numbers and times only"),
            word.start,
            help,
        )),
        Key::Client | Key::Server if !word.pattern && net(text).is_some() => net(text)
            .map(|(ip, bits)| Test::Net(ip, bits))
            .ok_or_else(|| wrong("not a net")),
        _ => {
            let word = Word {
                text: text.to_owned(),
                ..*word
            };
            Ok(Test::Text(word.into_text(operator == "=")?))
        }
    }
}

/// `v`, `v~t`, `a..b` or a comparison; without a tolerance a value stands for what rounds to it.
fn number(operator: &str, text: &str, read: impl Fn(&str) -> Option<(i64, i64)>) -> Option<Test> {
    let (lo, hi) = match operator {
        ":" | "=" => {
            if let Some((a, b)) = text.split_once("..") {
                let lo = if a.is_empty() { i64::MIN } else { read(a)?.0 };
                let hi = if b.is_empty() { i64::MAX } else { read(b)?.0 };
                (lo, hi)
            } else if let Some((v, t)) = text.split_once('~') {
                let (v, t) = (read(v)?.0, read(t)?.0);
                (v.saturating_sub(t), v.saturating_add(t))
            } else {
                let (v, unit) = read(text)?;
                (v.saturating_sub(unit / 2), v.saturating_add((unit - 1) / 2))
            }
        }
        ">" => (read(text)?.0.saturating_add(1), i64::MAX),
        ">=" => (read(text)?.0, i64::MAX),
        "<" => (i64::MIN, read(text)?.0.saturating_sub(1)),
        _ => (i64::MIN, read(text)?.0),
    };
    Some(Test::Within(lo, hi))
}

/// Number and unit -> value in the smallest unit, and what the last digit stands for.
fn scaled(text: &str, unit_of: impl Fn(&str) -> Option<i64>) -> Option<(i64, i64)> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = unit_of(unit)?;
    let value: f64 = digits.parse().ok()?;
    let decimals = digits.split_once('.').map_or(0, |(_, d)| d.len().min(9));
    let last = (unit as f64 / 10f64.powi(i32::try_from(decimals).ok()?)) as i64;
    Some(((value * unit as f64).round() as i64, last.max(1)))
}

fn duration(text: &str) -> Option<(i64, i64)> {
    scaled(text, |unit| {
        Some(match unit {
            "ns" => 1,
            "us" | "µs" => MICRO_NS,
            "ms" => MILLI_NS,
            "" | "s" => SECOND_NS,
            "m" | "min" => 60 * SECOND_NS,
            "h" => 3600 * SECOND_NS,
            "d" => DAY_NS,
            _ => return None,
        })
    })
}

fn size(text: &str) -> Option<(i64, i64)> {
    scaled(text, |unit| {
        Some(match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1000,
            "kib" => 1 << 10,
            "m" | "mb" => 1_000_000,
            "mib" => 1 << 20,
            "g" | "gb" => 1_000_000_000,
            "gib" => 1 << 30,
            _ => return None,
        })
    })
}

#[derive(Clone, Copy)]
enum When {
    OfDay(i64),
    Absolute(i64),
}

/// A time and what its last digit stands for: `09:27`, `09:27:05.12`, `2026-03-14`, `2026-03-14T09:27:05Z`.
fn when(text: &str) -> Option<(When, i64)> {
    let clock = |t: &str| -> Option<(i64, i64)> {
        let mut parts = t.splitn(3, ':');
        let hour: i64 = parts.next()?.parse().ok().filter(|h| (0..24).contains(h))?;
        let minute: i64 = parts.next()?.parse().ok().filter(|m| (0..60).contains(m))?;
        let base = (hour * 60 + minute) * 60 * SECOND_NS;
        match parts.next() {
            None => Some((base, 60 * SECOND_NS)),
            Some(seconds) => {
                let (s, last) = scaled(seconds, |unit| unit.is_empty().then_some(SECOND_NS))?;
                Some((base + s, last))
            }
        }
    };
    if let Some((ns, unit)) = clock(text) {
        return Some((When::OfDay(ns), unit));
    }
    let day = |t: &str| -> Option<i64> {
        let date: NaiveDateTime = NaiveDate::parse_from_str(t, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)?;
        date.and_utc().timestamp_nanos_opt()
    };
    let Some((date, rest)) = text.split_once(['T', 't', ' ']) else {
        return Some((When::Absolute(day(text)?), DAY_NS));
    };
    if let Some((ns, unit)) = clock(rest.trim_end_matches(['Z', 'z'])) {
        return Some((When::Absolute(day(date)?.checked_add(ns)?), unit));
    }
    let full = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some((
        When::Absolute(full.timestamp_nanos_opt()?),
        if full.nanosecond() == 0 {
            SECOND_NS
        } else {
            MILLI_NS
        },
    ))
}

/// `a..b` ends just before `b`; a single time stands for all that begins with its digits.
fn time(operator: &str, text: &str) -> Option<Test> {
    let build = |lo: Option<When>, hi: Option<When>, add: i64| match (lo, hi) {
        (Some(When::Absolute(a)), Some(When::Absolute(b))) => {
            Some(Test::Within(a, b.saturating_add(add)))
        }
        (Some(When::Absolute(a)), None) => Some(Test::Within(a, i64::MAX)),
        (None, Some(When::Absolute(b))) => Some(Test::Within(i64::MIN, b.saturating_add(add))),
        (Some(When::OfDay(a)), Some(When::OfDay(b))) => Some(Test::WithinDay(a, b + add)),
        (Some(When::OfDay(a)), None) => Some(Test::WithinDay(a, DAY_NS)),
        (None, Some(When::OfDay(b))) => Some(Test::WithinDay(0, b + add)),
        _ => None,
    };
    if matches!(operator, ":" | "=")
        && let Some((a, b)) = text.split_once("..")
    {
        let side = |t: &str| {
            if t.is_empty() {
                Some(None)
            } else {
                when(t).map(|w| Some(w.0))
            }
        };
        return build(side(a)?, side(b)?, -1);
    }
    let (at, unit) = when(text)?;
    let past = match at {
        When::OfDay(ns) => When::OfDay(ns + unit),
        When::Absolute(ns) => When::Absolute(ns.saturating_add(unit)),
    };
    match operator {
        ">" => build(Some(past), None, 0),
        ">=" => build(Some(at), None, 0),
        "<" => build(None, Some(at), -1),
        "<=" => build(None, Some(past), -1),
        _ => build(Some(at), Some(at), unit - 1),
    }
}

fn net(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text
        .split_once('/')
        .map_or((text, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |b| b.parse().ok().filter(|b| *b <= most))?;
    Some((ip, bits))
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

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (corner + usize::from(ca != *cb))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row.last().copied().unwrap_or_default()
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

impl Node {
    fn matches(&self, judged: &Judged, analysis: &Analysis) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|n| n.matches(judged, analysis)),
            Self::Any(nodes) => nodes.iter().any(|n| n.matches(judged, analysis)),
            Self::Not(node) => !node.matches(judged, analysis),
            Self::Anywhere(text) => anywhere(judged, analysis, &mut |t| text.is_in(t)),
            Self::Key(key, test) => key_matches(*key, test, judged, analysis),
        }
    }
}

/// True as soon as `hit` is, over every text that a row of the views shows.
fn anywhere(judged: &Judged, analysis: &Analysis, hit: &mut dyn FnMut(&str) -> bool) -> bool {
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
    SHOWN.iter().any(|k| texts(*k, judged, analysis, hit))
        || texts(Key::By, judged, analysis, hit)
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
    analysis: &Analysis,
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

fn key_matches(key: Key, test: &Test, judged: &Judged, analysis: &Analysis) -> bool {
    match test {
        Test::Text(text) => texts(key, judged, analysis, &mut |t| text.is_in(t)),
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
            _ => !texts(key, judged, analysis, &mut |_| true),
        },
    }
}
