//! What is known to have happened (`expected.json`) and an analysis -> a confusion matrix, precision and recall of each cause, and how far each
//! tier can be relied on.

use super::truth;
use crate::model::{Analysis, Cause, Judged, MILLI_NS, Outcome, Tier};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub const FORMAT: &str = "wsdrop.expected/1";

/// A folder's `expected.json`; `samples/README.md` explains the keys.
#[derive(Debug, Clone, Deserialize)]
pub struct Expected {
    pub format: String,
    /// Kinds of incident that have to be reported, and no other of [`TOLD`].
    #[serde(default)]
    pub incidents: Vec<String>,
    pub connections: Vec<Wanted>,
}

/// Incidents that `expected.json` names wherever there was one.
pub const TOLD: &[&str] = &["reconnect-storm"];

#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    pub client: String,
    #[serde(default)]
    pub seen_as: Vec<String>,
    #[serde(default)]
    pub session: Option<String>,
    #[serde(default)]
    pub opened: Option<String>,
    pub outcome: Outcome,
    #[serde(default)]
    pub causes: Vec<String>,
}

/// Reads one, or the record of a laboratory that says the same in its own words; the message says what is wrong with it.
pub fn parse(text: &str) -> Result<Expected, String> {
    let told = serde_json::from_str::<Format>(text);
    if told.is_ok_and(|t| t.format.is_none()) {
        return truth::parse(text);
    }
    let expected: Expected = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if expected.format != FORMAT {
        return Err(format!(
            "its format is `{}`, not `{FORMAT}`",
            expected.format.escape_debug()
        ));
    }
    for cause in expected.connections.iter().flat_map(|c| &c.causes) {
        if Cause::parse(cause).is_none() {
            return Err(format!("no cause is called `{}`", cause.escape_debug()));
        }
    }
    Ok(expected)
}

#[derive(Debug, Deserialize)]
struct Format {
    #[serde(default)]
    format: Option<String>,
}

/// Right ones of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Share {
    pub right: usize,
    pub all: usize,
}

impl Share {
    fn count(&mut self, right: bool) {
        self.all += 1;
        self.right += usize::from(right);
    }

    pub fn ratio(self) -> Option<f64> {
        (self.all > 0).then(|| self.right as f64 / self.all as f64)
    }
}

/// What was, or was said to be: a row or a column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    Cause(Cause),
    /// Clean or open.
    NoDrop,
    /// As a column: no connection was found for it. As a row: nothing of the kind happened.
    Nothing,
}

impl Label {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.id(),
            Self::NoDrop => "no drop",
            Self::Nothing => "nothing",
        }
    }

    pub const fn short(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.code(),
            Self::NoDrop => "ok",
            Self::Nothing => "-",
        }
    }
}

/// The sum over any number of folders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accuracy {
    pub folders: usize,
    pub connections: usize,
    /// Drops and failed handshakes with an accepted cause.
    pub cause: Share,
    /// Connections that ended well or stand, left alone.
    pub left_alone: Share,
    /// (what was, what was said) -> how often. What is right on the evidence stands on the diagonal, whichever of the causes was said.
    pub matrix: BTreeMap<(Label, Label), usize>,
    /// Of those said to be of a cause, those that were.
    pub precision: BTreeMap<Cause, Share>,
    /// Of those that were of a cause (the best one named), those said to be right.
    pub recall: BTreeMap<Cause, Share>,
    pub tiers: BTreeMap<Tier, Share>,
    /// Kinds of incidents: reported of those wanted; and reported though none was.
    pub incidents: Share,
    pub false_incidents: usize,
    /// Parts of the evidence that were looked at beside the whole, and what the tiers are worth over all of them together.
    pub parts: usize,
    pub tiers_of_parts: BTreeMap<Tier, Share>,
    /// Drops that a part reports of connections that ended well.
    pub false_drops_of_parts: usize,
    pub wrong: Vec<Wrong>,
}

/// A connection that came out otherwise than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The files looked at, where they were not all.
    pub part: Option<String>,
    pub client: String,
    /// Its id in the report, where it was found.
    pub id: Option<String>,
    pub was: Label,
    pub said: Label,
    pub tier: Option<Tier>,
}

impl Accuracy {
    pub fn add(&mut self, expected: &Expected, analysis: &Analysis) {
        self.folders += 1;
        self.connections += expected.connections.len();
        let pairs = pair(&expected.connections, &analysis.connections);
        let mut used = BTreeSet::new();
        for (wanted, found) in expected.connections.iter().zip(pairs) {
            used.extend(found);
            self.one(wanted, found.and_then(|at| analysis.connections.get(at)));
        }
        for (at, j) in analysis.connections.iter().enumerate() {
            // A refused handshake that nobody made a note of is a try in between; a drop must have happened.
            if let (false, Outcome::Drop, Some(cause)) =
                (used.contains(&at), j.verdict.outcome, j.verdict.cause)
            {
                self.cell(Label::Nothing, Label::Cause(cause));
                if cause == Cause::Undecided {
                    continue;
                }
                self.precision.entry(cause).or_default().count(false);
                self.tiers.entry(j.verdict.tier).or_default().count(false);
            }
        }
        let told: BTreeSet<&str> = analysis.incidents.iter().map(|i| i.kind.as_str()).collect();
        let kinds = expected
            .incidents
            .iter()
            .filter(|kind| TOLD.contains(&kind.as_str()));
        for kind in kinds {
            self.incidents.count(told.contains(kind.as_str()));
        }
        self.false_incidents += TOLD
            .iter()
            .filter(|kind| told.contains(*kind) && !expected.incidents.iter().any(|e| e == *kind))
            .count();
    }

    /// The same incident from a part of its evidence, by the names of its files: only what it says of connections that are known by their
    /// addresses counts.
    pub fn add_part(&mut self, name: &str, expected: &Expected, analysis: &Analysis) {
        let mut part = Self::default();
        let pairs = pair(&expected.connections, &analysis.connections);
        for (wanted, found) in expected.connections.iter().zip(pairs) {
            if let Some(j) = found.and_then(|at| analysis.connections.get(at)) {
                part.one(wanted, Some(j));
            }
        }
        self.parts += 1;
        self.wrong
            .extend(std::mem::take(&mut part.wrong).into_iter().map(|w| Wrong {
                part: Some(name.to_owned()),
                ..w
            }));
        self.false_drops_of_parts += part.false_drops();
        for (tier, share) in part.tiers {
            let sum = self.tiers_of_parts.entry(tier).or_default();
            sum.right += share.right;
            sum.all += share.all;
        }
    }

    fn one(&mut self, wanted: &Wanted, found: Option<&Judged>) {
        let dropped = |o: Outcome| matches!(o, Outcome::Drop | Outcome::FailedHandshake);
        let said = match found {
            None => Label::Nothing,
            Some(j) if !dropped(j.verdict.outcome) => Label::NoDrop,
            Some(j) => Label::Cause(j.verdict.cause.unwrap_or(Cause::Undecided)),
        };
        let accepted: Vec<Cause> = wanted
            .causes
            .iter()
            .filter_map(|c| Cause::parse(c))
            .collect();
        let was = match accepted.first() {
            Some(best) if dropped(wanted.outcome) => Label::Cause(*best),
            _ => Label::NoDrop,
        };
        let right = match (was, said) {
            (Label::Cause(_), Label::Cause(said)) => accepted.contains(&said),
            (Label::NoDrop, Label::NoDrop) => true,
            _ => false,
        };
        self.cell(was, if right { was } else { said });
        if !right {
            self.wrong.push(Wrong {
                part: None,
                client: wanted.client.clone(),
                id: found.map(|j| j.connection.id.clone()),
                was,
                said,
                tier: found.map(|j| j.verdict.tier),
            });
        }
        match was {
            Label::Cause(best) => {
                self.cause.count(right);
                self.recall.entry(best).or_default().count(right);
            }
            _ => self.left_alone.count(right),
        }
        // Undecided claims nothing.
        if let (Label::Cause(said), Some(j)) = (said, found)
            && said != Cause::Undecided
        {
            self.precision.entry(said).or_default().count(right);
            self.tiers.entry(j.verdict.tier).or_default().count(right);
        }
    }

    fn cell(&mut self, was: Label, said: Label) {
        *self.matrix.entry((was, said)).or_default() += 1;
    }

    /// Connections that ended well or stand, and were called a drop.
    pub fn false_drops(&self) -> usize {
        self.sum(|was, said| was == Label::NoDrop && matches!(said, Label::Cause(_)))
    }

    /// Reported drops that never were.
    pub fn invented(&self) -> usize {
        self.sum(|was, _| was == Label::Nothing)
    }

    /// Connections that no reported one stands for.
    pub fn missed(&self) -> usize {
        self.sum(|_, said| said == Label::Nothing)
    }

    fn sum(&self, counts: impl Fn(Label, Label) -> bool) -> usize {
        self.matrix
            .iter()
            .filter(|((was, said), _)| counts(*was, *said))
            .map(|(_, n)| n)
            .sum()
    }
}

/// Every address that it may be reported under.
fn addresses(wanted: &Wanted) -> impl Iterator<Item = SocketAddr> + '_ {
    std::iter::once(&wanted.client)
        .chain(&wanted.seen_as)
        .filter_map(|a| a.parse().ok())
}

fn by_port(wanted: &Wanted, got: &Judged) -> bool {
    let client = &got.connection.client;
    client
        .ip
        .zip(client.port)
        .is_some_and(|(ip, port)| addresses(wanted).any(|a| a == SocketAddr::new(ip, port)))
}

/// `None` = the report names no address.
fn same_ip(wanted: &Wanted, got: &Judged) -> Option<bool> {
    let ip: IpAddr = got.connection.client.ip?;
    Some(addresses(wanted).any(|a| a.ip() == ip))
}

fn by_session(wanted: &Wanted, got: &Judged) -> bool {
    let uri = got.connection.request.uri.as_deref().unwrap_or_default();
    wanted
        .session
        .as_deref()
        .is_some_and(|s| !s.is_empty() && uri.contains(s))
        && same_ip(wanted, got) != Some(false)
        && apart(wanted, got) < 90_000
}

fn by_ip(wanted: &Wanted, got: &Judged) -> bool {
    got.connection.client.port.is_none()
        && same_ip(wanted, got) == Some(true)
        && apart(wanted, got) < 10_000
}

/// Milliseconds between the opening that is known and the one reported (or the end, where the opening was not seen).
fn apart(wanted: &Wanted, got: &Judged) -> i64 {
    let wanted = wanted
        .opened
        .as_deref()
        .and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok())
        .map(|t| t.timestamp_millis());
    let got = got.connection.opened.or(got.connection.closed);
    wanted.zip(got).map_or(i64::MAX, |(a, b)| {
        a.saturating_sub(b.at.0 / MILLI_NS).saturating_abs()
    })
}

/// For each expected connection the index of the reported one; each is used once. By address and port, else by the session in the
/// URI, else by address alone; the nearest opening decides.
fn pair(wanted: &[Wanted], got: &[Judged]) -> Vec<Option<usize>> {
    let mut pairs = vec![None; wanted.len()];
    let mut free: BTreeSet<usize> = (0..got.len()).collect();
    let ways: [fn(&Wanted, &Judged) -> bool; 3] = [by_port, by_session, by_ip];
    for fits in ways {
        for (w, pair) in wanted.iter().zip(&mut pairs) {
            if pair.is_some() {
                continue;
            }
            *pair = free
                .iter()
                .copied()
                .filter_map(|at| Some((at, got.get(at)?)))
                .filter(|(_, g)| fits(w, g))
                .min_by_key(|(at, g)| (apart(w, g), *at))
                .map(|(at, _)| at);
            if let Some(at) = pair {
                free.remove(at);
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::came;
    use crate::model::{Adapted, Incident, Moment, Stamp};

    fn at_zero() -> Stamp {
        Stamp::new(Moment(0), 1)
    }

    fn expected(rows: &[(u8, &str, &[&str])]) -> Expected {
        let connections: Vec<serde_json::Value> = rows
            .iter()
            .map(|(n, outcome, causes)| {
                serde_json::json!({"client": format!("192.0.2.{n}:4000{n}"), "outcome": outcome, "causes": causes,
                    "opened": "1970-01-01T00:00:01.000Z"})
            })
            .collect();
        let whole =
            serde_json::json!({"format": FORMAT, "incidents": [], "connections": connections});
        parse(&whole.to_string()).unwrap()
    }

    /// Connection `n` from `192.0.2.n:4000n`.
    fn said(rows: &[(u8, Option<Cause>, Tier)]) -> Analysis {
        Analysis {
            root: String::new(),
            rules: String::new(),
            window: None,
            sources: Vec::new(),
            connections: rows
                .iter()
                .map(|(n, cause, tier)| {
                    let mut j = came(0, 1_000, Some(2_000), *cause).judged(usize::from(*n));
                    j.connection.client.ip = Some(IpAddr::from([192, 0, 2, *n]));
                    j.connection.client.port = Some(40_000 + u16::from(*n));
                    j.verdict.tier = *tier;
                    j
                })
                .collect(),
            findings: Vec::new(),
            incidents: Vec::new(),
            marks: Vec::new(),
            adapted: Adapted::default(),
        }
    }

    #[test]
    fn every_connection_has_its_cell() {
        use Cause::{ClientAbort, IdleTimeout, ServerCrash};
        let wanted = expected(&[
            (1, "drop", &["idle-timeout"]),
            (2, "drop", &["server-crash", "client-abort"]),
            (3, "drop", &["idle-timeout"]),
            (4, "clean", &[]),
            (5, "open", &[]),
            (6, "drop", &["server-crash"]),
        ]);
        let mut report = said(&[
            (1, Some(IdleTimeout), Tier::Certain),
            (2, Some(ClientAbort), Tier::Likely),
            (3, Some(ServerCrash), Tier::Likely),
            (4, None, Tier::Certain),
            (5, Some(IdleTimeout), Tier::Possible),
            (9, Some(IdleTimeout), Tier::Likely),
        ]);
        let mut a = Accuracy::default();
        a.add(&wanted, &report);
        let share = |right, all| Share { right, all };
        assert_eq!((a.folders, a.connections), (1, 6));
        assert_eq!(a.cause, share(2, 4));
        assert_eq!(a.left_alone, share(1, 2));
        assert_eq!((a.false_drops(), a.invented(), a.missed()), (1, 1, 1));
        assert_eq!(a.precision[&IdleTimeout], share(1, 3));
        assert_eq!(a.precision[&ClientAbort], share(1, 1));
        assert_eq!(a.recall[&ServerCrash], share(1, 2));
        assert_eq!(a.tiers[&Tier::Likely], share(1, 3));
        assert_eq!(
            a.matrix[&(Label::Cause(ServerCrash), Label::Cause(ServerCrash))],
            1
        );
        assert_eq!(a.matrix[&(Label::Cause(ServerCrash), Label::Nothing)], 1);
        assert_eq!(a.matrix[&(Label::Nothing, Label::Cause(IdleTimeout))], 1);

        report.incidents.push(Incident {
            code: "W701".to_owned(),
            kind: "reconnect-storm".to_owned(),
            start: at_zero(),
            end: at_zero(),
            connections: Vec::new(),
            say: String::new(),
            fix: Vec::new(),
        });
        a.add(&wanted, &report);
        assert_eq!((a.folders, a.false_incidents), (2, 1));
        let mut storm = wanted;
        storm.incidents = vec!["reconnect-storm".to_owned()];
        a.add(&storm, &report);
        assert_eq!((a.incidents, a.false_incidents), (share(1, 1), 1));
    }

    #[test]
    fn the_nearest_of_several_is_taken_and_none_twice() {
        let text = serde_json::json!({"format": FORMAT, "connections": [
            {"client": "192.0.2.7:1", "session": "abc", "opened": "1970-01-01T00:00:01Z", "outcome": "clean"},
            {"client": "192.0.2.7:2", "session": "abc", "opened": "1970-01-01T00:00:03Z", "outcome": "clean"},
            {"client": "[2001:db8::1]:3", "outcome": "clean"},
        ]});
        let wanted = parse(&text.to_string()).unwrap().connections;
        let mut got: Vec<Judged> = [3_000, 1_100]
            .into_iter()
            .enumerate()
            .map(|(n, ms)| {
                let mut j = came(0, ms, Some(9_000), None).judged(n);
                j.connection.client.ip = Some(IpAddr::from([192, 0, 2, 7]));
                j.connection.request.uri = Some("/ws?session=abc".into());
                j
            })
            .collect();
        let mut six = came(0, 0, None, None).judged(9);
        six.connection.client.ip = "2001:db8::1".parse().ok();
        six.connection.client.port = Some(3);
        got.push(six);
        assert_eq!(pair(&wanted, &got), [Some(1), Some(0), Some(2)]);
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for (text, part) in [
            ("{", "EOF"),
            (
                r#"{"format": "x/1", "connections": []}"#,
                "not `wsdrop.expected/1`",
            ),
            (
                r#"{"format": "wsdrop.expected/1", "connections": [{"client": "a", "outcome": "drop", "causes": ["nope"]}]}"#,
                "no cause is called `nope`",
            ),
            (
                r#"{"format": "wsdrop.expected/1", "connections": [{"client": "a", "outcome": "gone"}]}"#,
                "gone",
            ),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
