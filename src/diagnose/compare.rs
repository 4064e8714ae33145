//! Two analyses, before and after a fix -> which causes came, went, grew and shrank, for each hour that a connection stood.

use crate::model::{Analysis, Cause, Judged, Moment, Outcome, SECOND_NS};
use std::collections::BTreeMap;

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
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub before: Side,
    pub after: Side,
    /// New ones first, then those that grew; within one kind the most frequent first.
    pub rows: Vec<Row>,
}

pub fn compare(before: &Analysis, after: &Analysis) -> Comparison {
    let (mut counts, sides) = (BTreeMap::<Cause, [usize; 2]>::new(), [before, after]);
    for (at, side) in sides.iter().enumerate() {
        for (cause, n) in side.summary().by_cause {
            if let Some(count) = counts.entry(cause).or_default().get_mut(at) {
                *count = n;
            }
        }
    }
    let (before, after) = (side(before), side(after));
    let hours = (before.connection_hours, after.connection_hours);
    let mut rows: Vec<Row> = counts
        .into_iter()
        .map(|(cause, [b, a])| {
            let rate = |n: usize, hours: f64| (hours > 0.0).then(|| n as f64 / hours);
            let (rate_before, rate_after) = (rate(b, hours.0), rate(a, hours.1));
            let change = match (b, a, rate_before, rate_after) {
                (0, ..) => Change::New,
                (_, 0, ..) => Change::Gone,
                (_, _, Some(before), Some(after)) if after > before * 1.1 => Change::More,
                (_, _, Some(before), Some(after)) if after < before * 0.9 => Change::Fewer,
                _ => Change::Same,
            };
            Row {
                cause,
                change,
                before: b,
                after: a,
                rate_before,
                rate_after,
                chance: change != Change::Same && may_be_chance(b, a, hours.0, hours.1),
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
    }
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
    Side {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{at, came};
    use crate::model::Stamp;

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
