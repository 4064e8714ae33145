//! What a rule is once it is read: conditions over facts, their weights, and the words that a verdict is written with.

use super::fact::{FACTS, FactType};
use crate::model::{Cause, Strength};

/// The words a rule file may use for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Preview,
    Stable,
    /// Kept for its code, never asked.
    Deprecated,
}

impl Status {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("preview", Self::Preview),
        ("stable", Self::Stable),
        ("deprecated", Self::Deprecated),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, s)| *s == self)
            .map_or("", |(n, _)| n)
    }
}

/// Which connections a rule is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Those that never upgraded.
    Handshake,
    /// Those that did.
    Established,
    Any,
}

impl Phase {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("handshake", Self::Handshake),
        ("established", Self::Established),
        ("any", Self::Any),
    ];

    pub const fn asks(self, handshake_failed: bool) -> bool {
        match self {
            Self::Handshake => handshake_failed,
            Self::Established => !handshake_failed,
            Self::Any => true,
        }
    }
}

/// One rule of the pack.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The file it was read from, as named to the loader.
    pub path: String,
    /// `U410` where it is a rule of the user's own: a closer word on some of the connections of its cause.
    pub own: Option<String>,
    pub cause: Cause,
    pub title: String,
    /// What happens on the wire, for readers of `wsdrop explain`.
    pub meaning: String,
    pub status: Status,
    /// The version of wsdrop that brought it.
    pub since: String,
    pub phase: Phase,
    /// A rule given by the user that stands in for the built-in one of the same code.
    pub replaces: bool,
    /// Rows of the runbook it encodes.
    pub runbook: Vec<String>,
    pub confused_with: Vec<Cause>,
    /// Where both hold, this one is the closer explanation.
    pub beats: Vec<Cause>,
    pub blind_spots: Vec<String>,
    /// The answer in one line; the first template whose slots can all be filled is used.
    pub sentence: Vec<Template>,
    /// Any refuted condition takes the rule out; an unobserved one does not.
    pub scope: Vec<Condition>,
    pub evidence: Vec<Line>,
    /// Indices into `evidence`: lines of one group together, every other line alone, in order of their first lines.
    pub groups: Vec<Vec<usize>>,
    pub contributing: Vec<Contributing>,
    pub fixes: Vec<Fix>,
    pub drills: Vec<Drill>,
    pub checks: Vec<Check>,
    pub samples: Vec<Sample>,
}

impl Rule {
    /// The code of its cause.
    pub const fn code(&self) -> &'static str {
        self.cause.code()
    }

    /// The code that it is called by.
    pub fn name(&self) -> &str {
        self.own.as_deref().unwrap_or_else(|| self.code())
    }

    /// The lines that stand for the same thing as this one, itself included, ascending.
    pub fn members(&self, at: usize) -> &[usize] {
        self.groups
            .iter()
            .find(|g| g.contains(&at))
            .map_or(&[], Vec::as_slice)
    }
}

/// One question to one fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Index into [`FACTS`].
    pub fact: usize,
    pub want: Want,
}

/// What a condition wants of its fact. Durations are nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    Bool(bool),
    Words(Vec<&'static str>),
    Counts(Vec<i64>),
    /// Durations and counts.
    AtLeast(i64),
    AtMost(i64),
    /// Both ends belong to it.
    Between(i64, i64),
    /// A duration close to one of a list of named durations.
    NearAny {
        list: usize,
        ratio: f64,
        at_least_ns: i64,
    },
    /// A duration of at least `ratio` times another.
    Reaches {
        other: usize,
        ratio: f64,
    },
    /// A duration below `ratio` times another.
    Below {
        other: usize,
        ratio: f64,
    },
}

/// One line of evidence. Lines of one group are witnesses of the same thing: they count once, and one of them is enough.
#[derive(Debug, Clone)]
pub struct Line {
    /// Line in the file, from 1.
    pub at: usize,
    pub condition: Condition,
    pub required: bool,
    pub if_true: Option<Strength>,
    /// `decisive` takes the rule out, unless a line of its group with a strong or decisive `if_true` is shown.
    pub if_false: Option<Strength>,
    pub group: Option<String>,
    pub say: Template,
    /// Why the rule falls with this line; without it the value and what was wanted are named.
    pub say_if_false: Option<Template>,
}

/// Puts lines of one group together.
pub fn group(evidence: &[Line]) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = Vec::new();
    for (at, line) in evidence.iter().enumerate() {
        let known = out.iter_mut().find(|g| {
            line.group.is_some()
                && g.first()
                    .and_then(|&first| evidence.get(first))
                    .is_some_and(|l| l.group == line.group)
        });
        match known {
            Some(group) => group.push(at),
            None => out.push(vec![at]),
        }
    }
    out
}

/// Something that helped the cause along, told with the verdict where every condition is shown.
#[derive(Debug, Clone)]
pub struct Contributing {
    pub tag: String,
    pub when: Vec<Condition>,
    pub say: Option<Template>,
}

#[derive(Debug, Clone)]
pub struct Fix {
    pub runbook: Vec<String>,
    pub when_hop: Option<&'static str>,
    /// For this library or server of the application alone.
    pub when_stack: Option<&'static str>,
    /// Only where no fix of this rule is for the application's library.
    pub otherwise: bool,
    pub when: Vec<Condition>,
    /// The first template whose slots can all be filled.
    pub say: Vec<Template>,
}

/// Where to look next when the evidence at hand can't settle it.
#[derive(Debug, Clone)]
pub struct Drill {
    pub runbook: Vec<String>,
    pub needs: Template,
}

/// A quick look that a person can take.
#[derive(Debug, Clone)]
pub struct Check {
    pub runbook: Vec<String>,
    pub say: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// This rule is the verdict, at least likely.
    Fires,
    /// Looks close, and this rule is not the verdict.
    NearMiss,
    /// This rule is refuted.
    RuledOut,
    /// No rule is the verdict.
    Undecided,
}

impl Expect {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("fires", Self::Fires),
        ("near-miss", Self::NearMiss),
        ("ruled-out", Self::RuledOut),
        ("undecided", Self::Undecided),
    ];
}

/// A row of facts and what must come of it.
#[derive(Debug, Clone)]
pub struct Sample {
    pub expect: Expect,
    /// The look-alike that this sample shows; it is the verdict then.
    pub like: Option<Cause>,
    pub facts: Vec<(usize, super::fact::Value)>,
    /// Line in the file, from 1.
    pub line: usize,
}

/// Hops that a fix may be written for: a part of the hop's name.
pub const HOPS: &[&str] = &[
    "nginx",
    "haproxy",
    "alb",
    "envoy",
    "nlb",
    "cloudfront",
    "apache",
    "caddy",
    "gcp",
    "app-gateway",
    "front-door",
    "server",
];

/// Libraries and servers of applications that a fix may be written for.
pub const STACKS: &[&str] = &[
    "socket.io",
    "python-websockets",
    "uvicorn",
    "daphne",
    "tornado",
    "signalr",
    "phoenix",
];

/// Every row of the runbook. [`RUNBOOK_TABLES`] gives each table's letter and last number.
pub const RUNBOOK_TABLES: &[(char, u32)] = &[
    ('Q', 9),
    ('C', 19),
    ('K', 9),
    ('H', 10),
    ('F', 11),
    ('D', 6),
    ('X', 13),
    ('V', 4),
    ('M', 6),
    ('L', 7),
];

pub fn runbook_rows() -> impl Iterator<Item = String> {
    RUNBOOK_TABLES
        .iter()
        .flat_map(|&(letter, last)| (1..=last).map(move |n| format!("{letter}{n}")))
}

pub fn is_runbook_row(row: &str) -> bool {
    let mut chars = row.chars();
    let Some(letter) = chars.next() else {
        return false;
    };
    let digits = chars.as_str();
    !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
        && RUNBOOK_TABLES.iter().any(|&(l, last)| {
            l == letter && digits.parse::<u32>().is_ok_and(|n| (1..=last).contains(&n))
        })
}

/// A sentence with slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    Slot(Slot),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The fact's value, in an evidence line.
    Value,
    /// The named duration that it is near to.
    Nearest,
    NearestName,
    /// The hop that ended it.
    Hop,
    Server,
    Client,
    /// Whichever of client, hop and server ended it, by its name.
    Ender,
    Location,
    Timeout,
    TimeoutHalf,
    TimeoutDouble,
    TimeoutName,
    /// A period that keeps the connection: under half of the smallest silence that ends it.
    Ping,
    PingSeconds,
    PingMillis,
    /// Any fact's value.
    Fact(usize),
}

/// Every slot but the facts, as rules write it.
pub const SLOTS: &[(&str, Slot)] = &[
    ("value", Slot::Value),
    ("nearest", Slot::Nearest),
    ("nearest.name", Slot::NearestName),
    ("hop", Slot::Hop),
    ("server", Slot::Server),
    ("client", Slot::Client),
    ("ender", Slot::Ender),
    ("location", Slot::Location),
    ("timeout", Slot::Timeout),
    ("timeout/2", Slot::TimeoutHalf),
    ("timeout*2", Slot::TimeoutDouble),
    ("timeout.name", Slot::TimeoutName),
    ("ping", Slot::Ping),
    ("ping.s", Slot::PingSeconds),
    ("ping.ms", Slot::PingMillis),
];

impl Slot {
    /// Can be filled whatever the evidence.
    pub const fn always(self) -> bool {
        matches!(
            self,
            Self::Hop
                | Self::Server
                | Self::Client
                | Self::Ping
                | Self::PingSeconds
                | Self::PingMillis
        )
    }
}

impl Template {
    /// Reads `text {slot} text`; `{{` and `}}` stand for braces. The error is the unknown slot's name, or the half-open rest.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                plain.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let Some(end) = tail.strip_prefix('{').and_then(|t| t.find('}')) else {
                return Err(tail.to_owned());
            };
            let name = &tail[1..=end];
            let slot = SLOTS
                .iter()
                .find(|(n, _)| *n == name)
                .map(|&(_, slot)| slot)
                .or_else(|| super::fact::index(name).map(Slot::Fact))
                .ok_or_else(|| name.to_owned())?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Slot(slot));
            rest = &tail[end + 2..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.parts.iter().filter_map(|p| match p {
            Part::Slot(slot) => Some(*slot),
            Part::Text(_) => None,
        })
    }

    /// The text, or `None` where a slot can't be filled.
    pub fn fill(&self, fill: impl Fn(Slot) -> Option<String>) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot(slot) => out.push_str(&fill(*slot)?),
            }
        }
        Some(out)
    }

    /// As written, for readers of the rule.
    pub fn source(&self) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Slot(slot) => {
                    out.push('{');
                    out.push_str(match slot {
                        Slot::Fact(at) => FACTS.get(*at).map_or("", |f| f.name),
                        slot => SLOTS.iter().find(|(_, s)| s == slot).map_or("", |(n, _)| n),
                    });
                    out.push('}');
                }
            }
        }
        out
    }
}

/// `60s`, `1.5s`, `250ms`, `5m`, `1h`: a number and its unit, in nanoseconds. A bare number is none.
pub fn parse_duration(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    if number.is_empty() {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit_ns = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 6e10,
        "h" => 3.6e12,
        _ => return None,
    };
    let ns = (number * unit_ns).round();
    (ns < 9e18).then_some(ns as i64)
}

/// `duration`, `count` ...: a fact's type as messages name it.
pub fn type_name(kind: FactType) -> &'static str {
    match kind {
        FactType::Bool => "bool",
        FactType::Duration => "duration",
        FactType::Count => "count",
        FactType::Word(_) => "word",
        FactType::Durations => "list of durations",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit() {
        for (text, expected) in [
            ("60s", Some(60_000_000_000)),
            ("250ms", Some(250_000_000)),
            ("5m", Some(300_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1h", Some(3_600_000_000_000)),
            ("0s", Some(0)),
            ("60", None),
            ("s", None),
            ("", None),
            ("60 s", None),
            ("60sec", None),
            ("-5s", None),
            ("1.2.3s", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn templates_keep_text_slots_and_braces() {
        let t = Template::parse("{hop} closed after {value}, {{x}} {close.code}").unwrap();
        assert_eq!(t.source(), "{hop} closed after {value}, {x} {close.code}");
        let filled = t.fill(|slot| match slot {
            Slot::Hop => Some("nginx".to_owned()),
            Slot::Value => Some("60 s".to_owned()),
            Slot::Fact(_) => Some("1006".to_owned()),
            _ => None,
        });
        assert_eq!(filled.as_deref(), Some("nginx closed after 60 s, {x} 1006"));
        assert_eq!(t.fill(|_| None), None);
        for (bad, why) in [
            ("{hopp}", "hopp"),
            ("a {hop", "{hop"),
            ("a } b", "} b"),
            ("{}", ""),
        ] {
            assert_eq!(Template::parse(bad), Err(why.to_owned()), "{bad}");
        }
    }

    #[test]
    fn runbook_rows_are_those_of_the_tables() {
        assert!(runbook_rows().all(|r| is_runbook_row(&r)));
        for bad in ["Q0", "Q10", "C20", "Z1", "", "Q", "Q01", "q1", "Q1a"] {
            assert!(!is_runbook_row(bad), "{bad}");
        }
    }
}
