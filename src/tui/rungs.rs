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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;
    use crate::model::fixture::fixture;

    /// `E` an event, `R19` a run of 19, `G60000` a gap of so many ms, `S60000` one that is the silence before the close.
    fn say(cause: Cause, fold: bool) -> String {
        let analysis = fixture();
        let judged = analysis
            .connections
            .iter()
            .find(|j| j.verdict.cause == Some(cause))
            .expect("one of the fixture");
        let say = |r: &Rung| match *r {
            Rung::Events { count: 1, .. } => "E".to_owned(),
            Rung::Events { count, .. } => format!("R{count}"),
            Rung::Gap {
                ns, silent: true, ..
            } => format!("S{}", ns / MILLI_NS),
            Rung::Gap { ns, .. } => format!("G{}", ns / MILLI_NS),
        };
        build(judged, fold)
            .iter()
            .map(say)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn runs_fold_and_silence_shows() {
        let check = |cause, fold, expected: &str| {
            assert_eq!(say(cause, fold), expected, "{cause:?} {fold}")
        };
        check(
            Cause::IdleTimeout,
            true,
            "E E E E E R19 E S60000 E E E E E E",
        );
        check(Cause::MissedHeartbeat, true, "E E E E E R8 S10000 E E");
        check(Cause::MissingUpgrade, true, "E E");
        check(Cause::Undecided, true, "E G30000 E");
    }

    #[test]
    fn every_event_is_on_a_rung_and_every_gap_between_two() {
        for judged in &fixture().connections {
            for fold in [true, false] {
                let rungs = build(judged, fold);
                let mut next = 0;
                for rung in &rungs {
                    if let Rung::Events { first, count } = *rung {
                        assert_eq!(first, next);
                        next += count;
                    }
                }
                assert_eq!(next, judged.connection.events.len());
                assert!(!rungs.windows(2).any(|w| w[0].is_gap() && w[1].is_gap()));
                assert!(
                    !rungs.first().is_some_and(|r| r.is_gap())
                        && !rungs.last().is_some_and(|r| r.is_gap())
                );
            }
        }
    }

    #[test]
    fn a_gap_that_may_hide_frames_says_so() {
        use crate::model::{Flow, LegObservation, LegProtocol, Mark};
        let mut analysis = fixture();
        let judged = analysis
            .connections
            .iter_mut()
            .find(|j| j.verdict.cause == Some(Cause::MissedHeartbeat))
            .expect("one");
        let leg = &mut judged.connection.legs[0];
        let mark = Mark {
            at: judged.connection.sort_at,
            record: judged.connection.events[0].record,
        };
        leg.observations.push(LegObservation {
            vantage: 0,
            client: leg.client,
            server: leg.server,
            sides_certain: true,
            protocol: LegProtocol::WebSocket,
            syn: None,
            syn_ack: None,
            syn_retransmissions: 0,
            refused: false,
            request: None,
            response: None,
            earlier_requests: 0,
            first: mark,
            last: mark,
            to_server: Flow {
                pongs: 100,
                ..Flow::default()
            },
            to_client: Flow {
                pings: 100,
                ..Flow::default()
            },
            pings: Vec::new(),
            fingerprints: Vec::new(),
            events: Vec::new(),
            duplicates: 0,
            violations: Vec::new(),
            sni: None,
            compression: None,
            http2: None,
            tls: None,
        });
        let rungs = build(judged, false);
        let hidden = |r: &Rung| {
            matches!(
                r,
                Rung::Gap {
                    unlisted: 192,
                    silent: false,
                    ..
                }
            )
        };
        assert!(rungs.iter().any(hidden), "{rungs:?}");
        assert!(
            rungs.iter().any(|r| matches!(
                r,
                Rung::Gap {
                    unlisted: 0,
                    silent: true,
                    ..
                }
            )),
            "{rungs:?}"
        );
    }
}
