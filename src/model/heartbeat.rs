//! The pings of a leg -> its heartbeats: who sends which, how often, how steadily, and what became of them.

use super::leg::{BeatKind, Direction, LegObservation, Ping};

/// Pings of one kind in one direction, of the last ones that the leg's observation keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub kind: BeatKind,
    pub direction: Direction,
    pub sent: usize,
    /// Of them, those without an answer; `None` where nobody answers this kind, or where an answer could not have been seen.
    pub unanswered: Option<usize>,
    /// The middle one of the times from beat to beat, nanoseconds; `None` of a single beat.
    pub period_ns: Option<i64>,
    /// From the shortest to the longest time between two beats.
    pub spread_ns: i64,
    /// How much longer the period was in the second half than in the first; 0 of few beats.
    pub drift_ns: i64,
    /// Beats that did not come when their time had come.
    pub skipped: usize,
    /// From ping to pong: the middle one and the longest.
    pub round_trip_ns: Option<(i64, i64)>,
}

/// Gaps between beats from which a drift is told.
const DRIFT_GAPS: usize = 8;

fn middle(sorted: &[i64]) -> Option<i64> {
    sorted.get(sorted.len() / 2).copied()
}

fn sorted(values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values
}

impl Heartbeat {
    fn of(pings: &[&Ping], kind: BeatKind, direction: Direction, answers_seen: bool) -> Self {
        let gaps: Vec<i64> = pings
            .windows(2)
            .filter_map(|w| match w {
                [a, b] => Some(b.sent.at.since(a.sent.at)),
                _ => None,
            })
            .collect();
        let all = sorted(gaps.iter().copied());
        let period_ns = middle(&all);
        let (first, second) = gaps.split_at(gaps.len() / 2);
        let half = |gaps: &[i64]| middle(&sorted(gaps.iter().copied()));
        let drift_ns = match gaps.len() {
            DRIFT_GAPS.. => half(second).zip(half(first)).map(|(s, f)| s - f),
            _ => None,
        };
        let skipped = period_ns.filter(|&p| p > 0).map_or(0, |p| {
            let missing = |gap: &i64| usize::try_from((gap + p / 2) / p - 1).unwrap_or(0);
            gaps.iter().filter(|&&gap| gap > p).map(missing).sum()
        });
        let trips = sorted(
            pings
                .iter()
                .filter_map(|p| Some(p.answered?.at.since(p.sent.at))),
        );
        let unanswered = pings.iter().filter(|p| p.answered.is_none()).count();
        Self {
            kind,
            direction,
            sent: pings.len(),
            unanswered: (kind.answers() && answers_seen).then_some(unanswered),
            period_ns,
            spread_ns: all.last().zip(all.first()).map_or(0, |(l, f)| l - f),
            drift_ns: drift_ns.unwrap_or(0),
            skipped,
            round_trip_ns: middle(&trips).zip(trips.last().copied()),
        }
    }
}

/// The heartbeats of a leg, the most frequent first.
pub fn heartbeats(leg: &LegObservation) -> Vec<Heartbeat> {
    let mut kinds: Vec<(BeatKind, bool)> = leg
        .pings
        .iter()
        .map(|p| (p.kind, p.direction == Direction::ToServer))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut all: Vec<Heartbeat> = kinds
        .into_iter()
        .map(|(kind, up)| {
            let direction = if up {
                Direction::ToServer
            } else {
                Direction::ToClient
            };
            let pings: Vec<&Ping> = leg
                .pings
                .iter()
                .filter(|p| p.kind == kind && p.direction == direction)
                .collect();
            let back = leg.flow(direction.opposite());
            let answers_seen = back.packets > 0 && back.lost_bytes == 0;
            Heartbeat::of(&pings, kind, direction, answers_seen)
        })
        .collect();
    all.sort_by_key(|h| {
        (
            std::cmp::Reverse(h.sent),
            h.kind,
            h.direction == Direction::ToServer,
        )
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MILLI_NS, Mark, Moment, RecordRef, SourceId};

    /// Pings at these milliseconds, each with its answer's.
    fn beat(kind: BeatKind, list: &[(i64, Option<i64>)]) -> Heartbeat {
        let mark = |ms: i64| Mark {
            at: Moment(ms * MILLI_NS),
            record: RecordRef {
                source: SourceId(0),
                ordinal: 1,
                start: 0,
                len: 0,
            },
        };
        let pings: Vec<Ping> = list
            .iter()
            .map(|&(sent, answered)| Ping {
                kind,
                sent: mark(sent),
                direction: Direction::ToClient,
                answered: answered.map(mark),
                acked: None,
            })
            .collect();
        let pings: Vec<&Ping> = pings.iter().collect();
        Heartbeat::of(&pings, kind, Direction::ToClient, true)
    }

    #[test]
    fn periods_misses_and_round_trips() {
        let ms = |ns: Option<i64>| ns.map(|ns| ns / MILLI_NS);
        let h = beat(
            BeatKind::Frame,
            &[
                (0, Some(3)),
                (1000, Some(1002)),
                (2000, Some(2040)),
                (5000, None),
            ],
        );
        assert_eq!((h.sent, h.unanswered, h.skipped), (4, Some(1), 2));
        assert_eq!(
            (ms(h.period_ns), h.spread_ns / MILLI_NS),
            (Some(1000), 2000)
        );
        assert_eq!(
            h.round_trip_ns.map(|(m, l)| (m / MILLI_NS, l / MILLI_NS)),
            Some((3, 40))
        );

        let one = beat(BeatKind::Stomp, &[(7, None)]);
        assert_eq!(
            (one.period_ns, one.unanswered, one.skipped),
            (None, None, 0)
        );

        // Each beat is sent a little later behind the one before: a timer that starts anew after the work.
        let slow: Vec<_> = (0..12).map(|n| (n * 1000 + n * n, None)).collect();
        let h = beat(BeatKind::EngineIo, &slow);
        assert!(h.drift_ns >= 8 * MILLI_NS, "{h:?}");
        assert_eq!((h.skipped, h.unanswered), (0, Some(12)));
        let steady: Vec<_> = (0..12).map(|n| (n * 1000, None)).collect();
        assert_eq!(beat(BeatKind::EngineIo, &steady).drift_ns, 0);
    }
}
