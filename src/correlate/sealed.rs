//! A leg that could not be read, beside one that could -> whether one was opened for the other, by addresses, sizes and times.

use super::clock::{addresses, first_teardown};
use super::legs::{Leg, opened, request};
use crate::model::{Direction, LegEventKind, LegProtocol, MILLI_NS, Moment, SECOND_NS};

/// A proxy asks its upstream within this time of being asked.
const RELAY_NS: i64 = 5 * SECOND_NS;
/// Captures of two hosts may differ by this much once their clocks are aligned.
const EARLY_NS: i64 = 20 * MILLI_NS;
/// What a hop passes on leaves it within this time; within the shorter one it is hardly another connection's.
const PASSED_NS: i64 = 250 * MILLI_NS;
const AT_ONCE_NS: i64 = 10 * MILLI_NS;
/// Sizes that must agree where nothing else speaks for a pair.
const ENOUGH: u32 = 6;

/// Encrypted, and no key opened it.
pub(super) fn is_sealed(leg: &Leg) -> bool {
    leg.observations
        .iter()
        .all(|o| o.protocol == LegProtocol::Tls)
}

/// Content that crossed a leg: when, which way, how many bytes.
struct Crossed {
    at: Moment,
    direction: Direction,
    len: u64,
}

/// How sure it is that `below` was opened for `upper`, one of which is sealed; `None` = it was not, or nothing tells.
pub(super) fn relay_score(upper: &Leg, below: &Leg) -> Option<u32> {
    if upper.server.ip() != below.client.ip() {
        return None;
    }
    let after = asked(below).since(asked(upper));
    if !(-EARLY_NS..RELAY_NS).contains(&after) {
        return None;
    }
    let forwarded = request(below).and_then(|r| r.forwarded_for.as_deref());
    let named =
        forwarded.is_some_and(|list| addresses(list).contains(&upper.client.ip().to_canonical()));
    let sizes = shared_sizes(upper, below);
    let at_once = after < 100 * MILLI_NS;
    if sizes < ENOUGH && !at_once && !named {
        return None;
    }
    let ended = match (end(upper), end(below)) {
        (Some(a), Some(b)) => i64::abs(a.since(b)) < PASSED_NS,
        (None, None) => true,
        _ => false,
    };
    let bonus = |holds: bool, points: u32| if holds { points } else { 0 };
    Some(100 + sizes.min(90) + bonus(named, 60) + bonus(at_once, 20) + bonus(ended, 25))
}

/// When the client of a leg began to speak to its application.
fn asked(leg: &Leg) -> Moment {
    let record = leg
        .observations
        .iter()
        .flat_map(|o| &o.events)
        .filter(|e| {
            e.direction == Direction::ToServer && matches!(e.what, LegEventKind::TlsRecord { .. })
        })
        .map(|e| e.mark.at)
        .min();
    record.unwrap_or_else(|| opened(leg))
}

fn end(leg: &Leg) -> Option<Moment> {
    leg.observations
        .iter()
        .filter_map(first_teardown)
        .map(|m| m.at)
        .min()
}

fn crossed(leg: &Leg) -> Vec<Crossed> {
    let mut all = Vec::new();
    for o in &leg.observations {
        if let Some(added) = o.tls.as_ref().and_then(|t| t.overhead) {
            all.extend(o.events.iter().filter_map(|e| match e.what {
                LegEventKind::TlsRecord { len } => Some(Crossed {
                    at: e.mark.at,
                    direction: e.direction,
                    len: len.checked_sub(added)?,
                }),
                _ => None,
            }));
        }
        // A frame with its header, and the mask of those that the client sends (RFC 6455 5.2).
        all.extend(o.fingerprints.iter().map(|f| {
            let header = match f.len {
                0..=125 => 2,
                126..=65_535 => 4,
                _ => 10,
            };
            let mask = if f.direction == Direction::ToServer {
                4
            } else {
                0
            };
            Crossed {
                at: f.at,
                direction: f.direction,
                len: f.len + header + mask,
            }
        }));
    }
    all
}

/// Points for frames and records of one size that crossed both legs one after the other.
fn shared_sizes(upper: &Leg, below: &Leg) -> u32 {
    let below = crossed(below);
    let points = crossed(upper).into_iter().map(|a| {
        let nearest = below
            .iter()
            .filter(|b| b.len == a.len && b.direction == a.direction)
            .map(|b| match a.direction {
                Direction::ToServer => b.at.since(a.at),
                Direction::ToClient => a.at.since(b.at),
            })
            .filter(|d| (-EARLY_NS..PASSED_NS).contains(d))
            .map(i64::abs)
            .min();
        match nearest {
            Some(d) if d < AT_ONCE_NS => 3,
            Some(_) => 1,
            None => 0,
        }
    });
    points.sum()
}
