//! A connection's events -> the rungs of its ladder: single events, folded runs of like frames, and silences.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Connection, EventKind, Judged, MILLI_NS, RecordRef, SECOND_NS};

/// Silences shorter than this are never drawn.
const SHORTEST_NS: i64 = 500 * MILLI_NS;
/// Shorter runs are not folded: nothing would be gained.
const SHORTEST_RUN: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// `count` events from `first` on; more than one is a folded run.
    Events { first: usize, count: usize },
    Gap {
        ns: i64,
        /// Frames of the connection that the capture saw and the event list leaves out: they may lie in here.
        unlisted: u64,
        /// It is the silence before the close, so nothing lies in here.
        silent: bool,
    },
}

impl Rung {
    pub const fn is_gap(self) -> bool {
        matches!(self, Self::Gap { .. })
    }
}

pub fn build(judged: &Judged, fold: bool) -> Vec<Rung> {
    let c = &judged.connection;
    let gaps = gaps(c, fold);
    let kept: BTreeSet<RecordRef> = judged
        .verdict
        .evidence
        .iter()
        .filter_map(|e| e.record)
        .collect();
    let mut rungs = Vec::new();
    let mut at = 0;
    while let Some(event) = c.events.get(at) {
        rungs.extend(gaps.get(&at).copied());
        let alike = |i: usize| {
            c.events.get(i).is_some_and(|e| {
                e.kind == event.kind
                    && matches!(e.kind, EventKind::Data | EventKind::Heartbeat)
                    && !kept.contains(&e.record)
                    && (i == at || !gaps.contains_key(&i))
            })
        };
        let mut count = 1;
        if fold && alike(at) {
            while alike(at + count) {
                count += 1;
            }
            if count < SHORTEST_RUN {
                count = 1;
            }
        }
        rungs.push(Rung::Events { first: at, count });
        at += count;
    }
    rungs
}

/// The rung that holds a record.
pub fn find(c: &Connection, rungs: &[Rung], record: RecordRef) -> Option<usize> {
    rungs.iter().position(|r| match *r {
        Rung::Events { first, count } => c
            .events
            .get(first..first + count)
            .is_some_and(|es| es.iter().any(|e| e.record == record)),
        Rung::Gap { .. } => false,
    })
}

/// Where a reader should look first: the first evidence with a record that is on the ladder, else the close, else the top.
pub fn telling(judged: &Judged, rungs: &[Rung]) -> usize {
    let evidence = judged
        .verdict
        .evidence
        .iter()
        .filter(|e| e.supports)
        .chain(&judged.verdict.evidence);
    let mut found = evidence
        .filter_map(|e| e.record)
        .filter_map(|r| find(&judged.connection, rungs, r));
    found
        .next()
        .or_else(|| closing(&judged.connection, rungs))
        .unwrap_or_default()
}

fn closing(c: &Connection, rungs: &[Rung]) -> Option<usize> {
    let closed = c.closed?.at;
    rungs.iter().position(|r| match *r {
        Rung::Events { first, .. } => c.events.get(first).is_some_and(|e| e.at.at >= closed),
        Rung::Gap { .. } => false,
    })
}

/// Gaps by the index of the event they stand before. Stamps of whole seconds measure none where finer ones exist:
/// they would make 60.0 s of silence look like 59.1 s.
fn gaps(c: &Connection, fold: bool) -> BTreeMap<usize, Rung> {
    let fine: Vec<usize> = {
        let fine = |i: &usize| c.events.get(*i).is_some_and(|e| e.at.tick_ns < SECOND_NS);
        let some: Vec<usize> = (0..c.events.len()).filter(fine).collect();
        if some.len() > 1 {
            some
        } else {
            (0..c.events.len()).collect()
        }
    };
    let at = |i: usize| {
        c.events.get(i).map_or(0, |e| if e.at.tick_ns < SECOND_NS { e.at.at } else { e.at.middle() }.0)
    };
    let pairs: Vec<(usize, usize, i64)> = fine
        .windows(2)
        .filter_map(|w| Some((*w.first()?, *w.last()?)))
        .map(|(p, n)| (p, n, at(n) - at(p)))
        .collect();
    let longest = pairs.iter().map(|p| p.2).max().unwrap_or_default();
    let threshold = SHORTEST_NS.max((longest / 4).min(c.silence_ns.unwrap_or(i64::MAX) / 10 * 9));
    let beats = |n: usize| {
        c.events
            .get(n)
            .is_some_and(|e| e.kind == EventKind::Heartbeat)
    };
    let mut rhythm: Vec<i64> = pairs
        .iter()
        .filter(|p| p.2 >= SHORTEST_NS && beats(p.1))
        .map(|p| p.2)
        .collect();
    rhythm.sort_unstable();
    let rhythm = if rhythm.len() >= SHORTEST_RUN {
        rhythm.get(rhythm.len() / 2).copied()
    } else {
        None
    };
    let unlisted = unlisted(c);
    let mut gaps = BTreeMap::new();
    for (p, n, ns) in pairs {
        let usual = fold && beats(n) && rhythm.is_some_and(|r| ns < r + r / 2);
        if ns < threshold || usual {
            continue;
        }
        // Coarse stamps in between: the gap is drawn at the widest hole.
        let (hole, before) = (p..n)
            .map(|i| (at(i + 1) - at(i), i + 1))
            .max_by_key(|h| h.0)
            .unwrap_or((ns, n));
        let apart = (p + 1..n).any(|i| {
            let slack = c
                .events
                .get(i)
                .map_or(0, |e| e.at.tick_ns.saturating_mul(2));
            at(i) - at(p) > slack && at(n) - at(i) > slack
        });
        let silent = c.closed.zip(c.silence_ns).is_some_and(|(closed, silence)| {
            at(p)
                >= closed
                    .at
                    .0
                    .saturating_sub(silence)
                    .saturating_sub(100 * MILLI_NS)
                && at(p) <= closed.at.0
        });
        let gap = Rung::Gap {
            ns: if apart { hole } else { ns },
            unlisted: if silent { 0 } else { unlisted },
            silent,
        };
        gaps.insert(before, gap);
    }
    gaps
}

fn unlisted(c: &Connection) -> u64 {
    let of_leg = |(i, leg): (usize, &crate::model::ConnectionLeg)| {
        let seen = |o: &crate::model::LegObservation| {
            [&o.to_server, &o.to_client]
                .iter()
                .map(|f| f.data_frames + f.pings + f.pongs)
                .sum::<u64>()
        };
        let seen = leg.observations.iter().map(seen).max().unwrap_or_default();
        let listed = c.events.iter().filter(|e| {
            e.leg == Some(i) && matches!(e.kind, EventKind::Data | EventKind::Heartbeat)
        });
        seen.saturating_sub(listed.count() as u64)
    };
    c.legs
        .iter()
        .enumerate()
        .map(of_leg)
        .max()
        .unwrap_or_default()
}
