//! Two analyses, before and after a fix -> which causes came, went, grew and shrank, for each hour that a connection stood.

use super::findings::heartbeat;
use crate::model::{Analysis, Cause, Judged, Moment, Outcome, SECOND_NS};
use std::collections::{BTreeMap, BTreeSet};

/// One of the two, as far as a comparison needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Side {
    pub connections: usize,
    pub drops: usize,
    pub failed_handshakes: usize,
    /// Hours that connections stood within the evidence, added up: what makes unequal spans and loads comparable.
    pub connection_hours: f64,
    /// Kinds of incidents and findings, each with how many there are, ascending.
    pub beside: Vec<(String, usize)>,
    /// Connections with pings that were answered, and the middle one of their periods in nanoseconds (runbook row V1).
    pub pinged: usize,
    pub ping_period_ns: Option<i64>,
}

/// An idle time-out that struck on one side at least, and what became of it (runbook row V2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// Empty where no source names it.
    pub hop: String,
    pub timeout_ns: i64,
    pub before: usize,
    pub after: usize,
    /// Connections of the second side that were silent for longer at their end, and not cut by it.
    pub outlived: usize,
}

/// What became of a cause, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    New,
    More,
    Same,
    Fewer,
    Gone,
}

impl Change {
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::More => "more",
            Self::Same => "same",
            Self::Fewer => "fewer",
            Self::Gone => "gone",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub cause: Cause,
    pub change: Change,
    pub before: usize,
    pub after: usize,
    /// For each connection-hour; `None` where none stood.
    pub rate_before: Option<f64>,
    pub rate_after: Option<f64>,
    /// So few that the same rate on both sides would bring a difference like this in one of twenty comparisons or more.
    pub chance: bool,
    /// For a cause that is gone by what may be chance: connection-hours without it, after the fix, that would tell it from chance.
    pub hours_to_tell: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub before: Side,
    pub after: Side,
    /// New ones first, then those that grew; within one kind the most frequent first.
    pub rows: Vec<Row>,
    /// Most drops before first.
    pub timeouts: Vec<Struck>,
}

pub fn compare(before: &Analysis, after: &Analysis) -> Comparison {
    let mut counts = BTreeMap::<Cause, [(usize, usize); 2]>::new();
    for (at, side) in [before, after].into_iter().enumerate() {
        let happened = happenings(side);
        for (cause, n) in side.summary().by_cause {
            if let Some(count) = counts.entry(cause).or_default().get_mut(at) {
                *count = (n, happened.get(&cause).copied().unwrap_or(n));
            }
        }
    }
    let timeouts = timeouts(before, after);
    let (before, after) = (side(before), side(after));
    let hours = (before.connection_hours, after.connection_hours);
    let mut rows: Vec<Row> = counts
        .into_iter()
        .map(|(cause, [(b, events_b), (a, events_a)])| {
            let rate = |n: usize, hours: f64| (hours > 0.0).then(|| n as f64 / hours);
            let (rate_before, rate_after) = (rate(b, hours.0), rate(a, hours.1));
            let change = match (b, a, rate_before, rate_after) {
                (0, ..) => Change::New,
                (_, 0, ..) => Change::Gone,
                (_, _, Some(before), Some(after)) if after > before * 1.1 => Change::More,
                (_, _, Some(before), Some(after)) if after < before * 0.9 => Change::Fewer,
                _ => Change::Same,
            };
            let chance =
                change != Change::Same && may_be_chance(events_b, events_a, hours.0, hours.1);
            let hours_to_tell = (change == Change::Gone && chance)
                .then(|| hours_to_tell(events_b, hours.0))
                .flatten();
            Row {
                cause,
                change,
                before: b,
                after: a,
                rate_before,
                rate_after,
                chance,
                hours_to_tell,
            }
        })
        .collect();
    rows.sort_by_key(|r| {
        (
            r.change,
            std::cmp::Reverse(r.after),
            std::cmp::Reverse(r.before),
            r.cause,
        )
    });
    Comparison {
        before,
        after,
        rows,
        timeouts,
    }
}

fn timeouts(before: &Analysis, after: &Analysis) -> Vec<Struck> {
    let mut found: BTreeMap<(String, i64), [usize; 2]> = BTreeMap::new();
    for (at, side) in [before, after].into_iter().enumerate() {
        for j in &side.connections {
            if let (Some(Cause::IdleTimeout), Some(ns)) = (j.verdict.cause, j.verdict.timeout_ns) {
                let hop = j.connection.closer.hop.clone().unwrap_or_default();
                if let Some(n) = found.entry((hop.to_string(), ns)).or_default().get_mut(at) {
                    *n += 1;
                }
            }
        }
    }
    let end = after.window.map(|w| w.1.at);
    let silences: Vec<i64> = after
        .connections
        .iter()
        .filter(|j| j.verdict.cause != Some(Cause::IdleTimeout))
        .filter_map(|j| silent_at_end(j, end))
        .collect();
    let mut out: Vec<Struck> = found
        .into_iter()
        .map(|((hop, timeout_ns), [before, after])| Struck {
            hop,
            timeout_ns,
            before,
            after,
            outlived: silences
                .iter()
                .filter(|ns| **ns > timeout_ns + timeout_ns / 50)
                .count(),
        })
        .collect();
    out.sort_by_key(|s| std::cmp::Reverse((s.before, s.after)));
    out
}

/// How long no payload had crossed it when it ended, or when the evidence did.
fn silent_at_end(j: &Judged, end: Option<Moment>) -> Option<i64> {
    let c = &j.connection;
    if c.closed.is_some() {
        return c.silence_ns;
    }
    let flows = c
        .legs
        .iter()
        .flat_map(|l| &l.observations)
        .flat_map(|o| [o.to_server.last_payload, o.to_client.last_payload]);
    let last = flows.flatten().map(|m| m.at).max()?;
    Some(end?.since(last))
}

/// How often each cause struck, where all that one incident took along counts once: they did not come one by one.
fn happenings(analysis: &Analysis) -> BTreeMap<Cause, usize> {
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, incident) in analysis.incidents.iter().enumerate() {
        for id in &incident.connections {
            of.entry(id.as_str()).or_insert(at);
        }
    }
    let mut alone: BTreeMap<Cause, usize> = BTreeMap::new();
    let mut together: BTreeSet<(Cause, usize)> = BTreeSet::new();
    for j in &analysis.connections {
        let Some(cause) = j.verdict.cause else {
            continue;
        };
        match of.get(j.connection.id.as_str()) {
            Some(incident) => {
                together.insert((cause, *incident));
            }
            None => *alone.entry(cause).or_default() += 1,
        }
    }
    for (cause, _) in together {
        *alone.entry(cause).or_default() += 1;
    }
    alone
}

fn side(analysis: &Analysis) -> Side {
    let summary = analysis.summary();
    let window = analysis.window.map(|(from, to)| (from.at, to.at));
    let ns: i128 = analysis
        .connections
        .iter()
        .filter_map(|j| stood(j, window))
        .map(i128::from)
        .sum();
    let mut beside: BTreeMap<&str, usize> = BTreeMap::new();
    let kinds = analysis
        .incidents
        .iter()
        .map(|i| i.kind.as_str())
        .chain(analysis.findings.iter().map(|f| f.kind.as_str()));
    for kind in kinds {
        *beside.entry(kind).or_default() += 1;
    }
    let mut periods: Vec<i64> = analysis
        .connections
        .iter()
        .filter_map(|j| heartbeat(&j.connection))
        .filter(|b| b.answered)
        .map(|b| b.period_ns)
        .collect();
    periods.sort_unstable();
    Side {
        pinged: periods.len(),
        ping_period_ns: periods.get(periods.len() / 2).copied(),
        connections: summary.connections,
        drops: summary.drops,
        failed_handshakes: summary.failed_handshakes,
        connection_hours: ns as f64 / (3_600 * SECOND_NS) as f64,
        beside: beside
            .into_iter()
            .map(|(kind, n)| (kind.to_owned(), n))
            .collect(),
    }
}

/// How long it stood within the evidence; what began before or is open yet counts as far as the evidence reaches.
fn stood(j: &Judged, window: Option<(Moment, Moment)>) -> Option<i64> {
    if j.verdict.outcome == Outcome::FailedHandshake {
        return None;
    }
    let c = &j.connection;
    let from = c.opened.map(|s| s.at).or(window.map(|w| w.0))?;
    let to = c.closed.map(|s| s.at).or(window.map(|w| w.1))?;
    Some(to.since(from).max(0))
}

/// Whether `a` of `a + b` events are no surprise where the second side had its share of the hours: the two-sided binomial test
/// (each of the two tails taken twice), at five per cent.
fn may_be_chance(b: usize, a: usize, hours_b: f64, hours_a: f64) -> bool {
    let n = a + b;
    let all = hours_a + hours_b;
    if n == 0 || all <= 0.0 {
        return true;
    }
    let p = hours_a / all;
    if p <= 0.0 || p >= 1.0 {
        return true;
    }
    if n > 1_000 {
        // The normal curve is near enough here.
        let (mean, spread) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        return (a as f64 - mean).abs() < 1.96 * spread;
    }
    let (mut below, mut above) = (0.0, 0.0);
    let mut log_choose = 0.0_f64;
    for k in 0..=n {
        if k > 0 {
            log_choose += ((n - k + 1) as f64).ln() - (k as f64).ln();
        }
        let chance = (log_choose + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp();
        if k <= a {
            below += chance;
        }
        if k >= a {
            above += chance;
        }
    }
    2.0 * f64::min(below, above) >= 0.05
}

/// After `b` in so many hours, the hours without one that [`may_be_chance`] takes for no chance: one tail, (before / all)^b, below 2.5 %.
fn hours_to_tell(b: usize, hours_b: f64) -> Option<f64> {
    let all = hours_b * 0.025_f64.powf(-1.0 / b as f64);
    (b > 0 && hours_b > 0.0 && all.is_finite()).then_some(all - hours_b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{at, came};
    use crate::model::{Adapted, Incident, Stamp};

    /// `hours` during which one connection stands, and drops by cause that each last no time.
    fn analysis(hours: i64, drops: &[(Cause, usize)]) -> Analysis {
        let end = hours * 3_600_000;
        let mut connections = vec![came(0, 0, None, None).judged(0)];
        for (cause, n) in drops {
            for _ in 0..*n {
                let k = connections.len();
                connections.push(came(k, 1, Some(1), Some(*cause)).judged(k));
            }
        }
        Analysis {
            root: String::new(),
            rules: "builtin".to_owned(),
            window: Some((Stamp::new(at(0), 1), Stamp::new(at(end), 1))),
            sources: Vec::new(),
            connections,
            findings: Vec::new(),
            incidents: Vec::new(),
            marks: Vec::new(),
            adapted: Adapted::default(),
        }
    }

    #[test]
    fn causes_are_compared_by_the_hour() {
        use Cause::{ClientAbort, IdleTimeout, MissedHeartbeat, ServerCrash, UpstreamUnavailable};
        let before = analysis(
            10,
            &[(IdleTimeout, 40), (ServerCrash, 10), (MissedHeartbeat, 4)],
        );
        let after = analysis(
            20,
            &[
                (ServerCrash, 20),
                (MissedHeartbeat, 30),
                (ClientAbort, 1),
                (UpstreamUnavailable, 12),
            ],
        );
        let found = compare(&before, &after);
        let rows: Vec<(Cause, Change, usize, usize, bool)> = found
            .rows
            .iter()
            .map(|r| (r.cause, r.change, r.before, r.after, r.chance))
            .collect();
        assert_eq!(
            rows,
            [
                (UpstreamUnavailable, Change::New, 0, 12, false),
                (ClientAbort, Change::New, 0, 1, true),
                (MissedHeartbeat, Change::More, 4, 30, false),
                (ServerCrash, Change::Same, 10, 20, false),
                (IdleTimeout, Change::Gone, 40, 0, false),
            ]
        );
        assert_eq!(found.rows[3].rate_before, Some(1.0));
        assert!((found.before.connection_hours - 10.0).abs() < 1e-9);
        assert_eq!((found.after.failed_handshakes, found.after.drops), (12, 51));
    }

    #[test]
    fn little_evidence_is_no_proof() {
        let check = |b: usize, a: usize, hours: (f64, f64), chance: bool| {
            assert_eq!(
                may_be_chance(b, a, hours.0, hours.1),
                chance,
                "{b} -> {a} in {hours:?}"
            );
        };
        check(4, 0, (10.0, 0.5), true);
        check(40, 0, (10.0, 10.0), false);
        check(5, 0, (1.0, 1.0), true);
        check(6, 0, (1.0, 1.0), false);
        check(3, 3, (1.0, 1.0), true);
        check(5_000, 5_050, (1.0, 1.0), true);
        check(5_000, 6_000, (1.0, 1.0), false);
        check(0, 3, (0.0, 1.0), true);
        check(0, 0, (1.0, 1.0), true);
    }

    #[test]
    fn a_time_out_that_no_longer_strikes_is_outlived() {
        let idle = |silence_s: i64, cause: Option<Cause>| {
            let mut j = came(1, 0, Some(300_000), cause).judged(1);
            j.connection.closer.hop = Some("nginx".into());
            j.connection.silence_ns = Some(silence_s * SECOND_NS);
            j.verdict.timeout_ns = cause.map(|_| 60 * SECOND_NS);
            j
        };
        let mut before = analysis(1, &[]);
        before.connections = vec![idle(60, Some(Cause::IdleTimeout))];
        let mut after = analysis(1, &[]);
        after.connections = vec![idle(59, None), idle(61, None), idle(130, None)];
        let found = compare(&before, &after);
        let expected = Struck {
            hop: "nginx".to_owned(),
            timeout_ns: 60 * SECOND_NS,
            before: 1,
            after: 0,
            outlived: 1,
        };
        assert_eq!(found.timeouts, [expected]);
    }

    #[test]
    fn how_much_more_would_tell() {
        for (b, hours) in [(1, 0.5), (4, 10.0), (30, 2.0)] {
            let needed = hours_to_tell(b, hours).unwrap();
            assert!(!may_be_chance(b, 0, hours, needed * 1.01), "{b} in {hours}");
            assert!(may_be_chance(b, 0, hours, needed * 0.99), "{b} in {hours}");
        }
        assert_eq!(hours_to_tell(0, 1.0), None);
        assert_eq!(hours_to_tell(3, 0.0), None);
    }

    /// One crash that took thirty along is one happening, and one is no proof.
    #[test]
    fn what_one_incident_took_along_counts_once() {
        let mut before = analysis(10, &[(Cause::ServerCrash, 30)]);
        let after = analysis(10, &[]);
        let row = |before: &Analysis| compare(before, &after).rows.remove(0);
        assert!(!row(&before).chance);
        let stamp = Stamp::new(at(0), 1);
        before.incidents.push(Incident {
            code: "W702".to_owned(),
            kind: "mass-drop".to_owned(),
            start: stamp,
            end: stamp,
            connections: before.connections[1..]
                .iter()
                .map(|j| j.connection.id.clone())
                .collect(),
            say: String::new(),
            fix: Vec::new(),
        });
        let found = row(&before);
        assert_eq!((found.before, found.chance), (30, true));
        assert!(found.hours_to_tell.is_some_and(|h| h > 100.0));
    }

    #[test]
    fn nothing_compares_with_nothing() {
        let nothing = Analysis {
            window: None,
            connections: Vec::new(),
            ..analysis(1, &[])
        };
        let found = compare(&nothing, &nothing);
        assert_eq!(found.rows, []);
        assert_eq!(found.before, Side::default());
    }
}
