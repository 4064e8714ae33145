//! The first signs of the end on each leg -> when a connection was over, and who ended it first.

use super::sealed;
use crate::model::{
    Closer, ConnectionLeg, Direction, Hop, HopKind, LegEventKind, LegObservation, LegProtocol,
    MILLI_NS, Mark, Moment, Role, Stamp,
};

/// A Close frame that comes later than this after a FIN or RST elsewhere did not cause it.
const CLOSE_LEAD_NS: i64 = 100 * MILLI_NS;

/// What the captures show of the end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ending {
    pub(super) closed: Option<Stamp>,
    pub(super) closer: Closer,
    /// `FIN by nginx`.
    pub(super) tcp: Option<String>,
    pub(super) from_client: Option<Option<u16>>,
    pub(super) from_server: Option<Option<u16>>,
}

/// The first Close, FIN or RST that one side of a leg sent.
struct Act {
    mark: Mark,
    /// Index of the hop that sent it.
    by: usize,
    direction: Direction,
    leg: usize,
    close: bool,
    reset: bool,
    /// TLS's close_notify.
    notify: bool,
    /// HTTP/2 ended the stream, not TCP the connection: what it said.
    stream: Option<String>,
    foreign: bool,
}

pub(super) fn ending(legs: &[ConnectionLeg], hops: &[Hop]) -> Ending {
    let mut acts: Vec<Act> = Vec::new();
    // What was read on one leg says more than the sizes on another.
    let sealed = legs.iter().all(sealed::is_sealed);
    for (i, leg) in legs.iter().enumerate() {
        for o in &leg.observations {
            acts.extend(of_observation(i, leg, o, sealed));
        }
    }
    acts.sort_by_key(|a| (a.mark.at, a.leg, a.mark.record));
    let codes = |direction: Direction| {
        legs.iter()
            .flat_map(|l| &l.observations)
            .filter_map(|o| o.flow(direction).close.as_ref())
            .filter(|c| !c.hidden)
            .min_by_key(|c| c.mark.at)
            .map(|c| c.code)
    };
    let tcp = acts.iter().find(|a| !a.close).map(|a| {
        let what = match (&a.stream, a.reset, a.notify) {
            (Some(said), ..) => said,
            (_, true, _) => "RST",
            (_, _, true) => "close_notify",
            _ => "FIN",
        };
        format!(
            "{what} by {}",
            hops.get(a.by).map_or("unknown", |h| &*h.name)
        )
    });
    Ending {
        closed: acts.first().map(|a| Stamp::new(a.mark.at, 1_000)),
        closer: closer(&acts, legs, hops),
        tcp,
        from_client: codes(Direction::ToServer),
        from_server: codes(Direction::ToClient),
    }
}

fn of_observation(index: usize, leg: &ConnectionLeg, o: &LegObservation, sealed: bool) -> Vec<Act> {
    let mut acts = Vec::new();
    for direction in [Direction::ToServer, Direction::ToClient] {
        let flow = o.flow(direction);
        let by = if direction == Direction::ToServer {
            leg.from
        } else {
            leg.from + 1
        };
        let foreign = flow.rst.is_some() && is_foreign(leg, direction);
        let act = |mark: Mark, close: bool, reset: bool| Act {
            mark,
            by,
            direction,
            leg: index,
            close,
            reset,
            notify: flow.close_notify == Some(mark),
            stream: if close {
                None
            } else {
                of_stream(o, mark, direction)
            },
            foreign: reset && foreign,
        };
        acts.extend(flow.close.as_ref().map(|c| act(c.mark, true, false)));
        let shape = o.tls.as_ref().and_then(|t| t.close_shape);
        let shape = shape.filter(|s| sealed && s.direction == direction);
        acts.extend(shape.map(|s| act(s.sent, true, false)));
        acts.extend(flow.ended().map(|m| act(m, false, false)));
        acts.extend(flow.rst.map(|r| act(r.mark, false, true)));
    }
    acts
}

/// What HTTP/2 said at this mark to end a stream.
fn of_stream(o: &LegObservation, mark: Mark, direction: Direction) -> Option<String> {
    o.http2?;
    o.events
        .iter()
        .filter(|e| e.mark == mark && e.direction == direction)
        .find_map(|e| match e.what {
            LegEventKind::EndStream => Some("END_STREAM".to_owned()),
            LegEventKind::ResetStream { code } => {
                Some(format!("RST_STREAM {}", super::build::http2_error(code)))
            }
            _ => None,
        })
}

/// An RST that its pretended sender did not send: another TTL than all its packets, or unseen where the sender's packets are seen.
pub(super) fn is_foreign(leg: &ConnectionLeg, direction: Direction) -> bool {
    let with_rst = || {
        leg.observations
            .iter()
            .filter(|o| o.flow(direction).rst.is_some())
    };
    let odd_ttl = with_rst().any(|o| {
        let flow = o.flow(direction);
        matches!((flow.rst, flow.ttl), (Some(rst), Some(ttl)) if rst.ttl != ttl)
    });
    let vantages = leg.observations.len();
    let seen = with_rst().count();
    // Seen at one end only while the other end went on as if nothing had come.
    let one_sided = vantages > 1
        && seen < vantages
        && leg.observations.iter().any(|o| {
            o.flow(direction).rst.is_none()
                && with_rst().all(|r| {
                    let at = r
                        .flow(direction)
                        .rst
                        .map_or(Moment::default(), |x| x.mark.at);
                    o.last.at > at
                })
                && nearer_to_sender(leg, o, direction)
        });
    odd_ttl && !reset_by_own_stack(leg, direction) || one_sided
}

/// Linux answers segments for a socket that is gone with an RST of the default TTL (64), whatever the connection used:
/// a TTL that fits the path of the flow's own SYN is no stranger.
fn reset_by_own_stack(leg: &ConnectionLeg, direction: Direction) -> bool {
    leg.observations.iter().any(|o| {
        let flow = o.flow(direction);
        match (flow.rst, flow.ttl) {
            (Some(rst), Some(ttl)) => rst.ttl.abs_diff(ttl) == 0,
            _ => false,
        }
    })
}

/// The vantage point that saw the sender's packets with the higher TTL stands nearer to it.
fn nearer_to_sender(leg: &ConnectionLeg, o: &LegObservation, direction: Direction) -> bool {
    let own = o.flow(direction).ttl.unwrap_or(0);
    leg.observations
        .iter()
        .filter_map(|x| x.flow(direction).ttl)
        .all(|t| t <= own)
}

/// Walks the legs: each tells on which side of it the end began; where the two walls meet stands the closer.
fn closer(acts: &[Act], legs: &[ConnectionLeg], hops: &[Hop]) -> Closer {
    let unknown = Closer {
        role: Role::Unknown,
        hop: None,
        address: None,
    };
    let Some(first) = acts.first() else {
        return unknown;
    };
    if let Some(foreign) = acts.iter().find(|a| a.foreign)
        && foreign.mark.at.since(first.mark.at) < CLOSE_LEAD_NS
    {
        return Closer {
            role: Role::Network,
            hop: None,
            address: None,
        };
    }
    if let Some(close) = acts.iter().find(|a| a.close)
        && close.mark.at.since(first.mark.at) <= CLOSE_LEAD_NS
    {
        let by_relay = relay_that_closed(close, acts, legs)
            .filter(|&hop| hops.get(hop).is_some_and(|h| h.kind.is_proxy()));
        let end = if close.direction == Direction::ToServer {
            0
        } else {
            hops.len().saturating_sub(1)
        };
        return named(hops, by_relay.unwrap_or(end));
    }
    // lo..=hi: the hops that can have begun it.
    let (mut lo, mut hi) = (0, hops.len().saturating_sub(1));
    let mut conflict = false;
    for (i, leg) in legs.iter().enumerate() {
        let Some(act) = acts.iter().find(|a| a.leg == i && !a.close) else {
            continue;
        };
        let (l, h) = match act.direction {
            Direction::ToServer => (0, leg.from),
            Direction::ToClient => (leg.from + 1, hops.len().saturating_sub(1)),
        };
        if l > hi || h < lo {
            conflict = true;
            continue;
        }
        lo = lo.max(l);
        hi = hi.min(h);
    }
    if conflict {
        // Both ends gave up on their own, or a relay overtook a capture: the earliest act decides.
        return named_between(hops, first, legs);
    }
    if lo == hi {
        // Whoever ends the encryption may be a proxy as well as the server: nothing on the leg tells.
        let guessed = lo > 0
            && legs.iter().all(sealed::is_sealed)
            && hops.get(lo).is_some_and(|h| h.kind == HopKind::Server);
        return if guessed { unknown } else { named(hops, lo) };
    }
    if hops
        .get(lo..=hi)
        .is_some_and(|r| r.iter().all(|h| h.kind.is_proxy()))
    {
        return named(hops, lo);
    }
    unknown
}

/// Clocks of two vantage points differ by less than this once they are aligned.
const CLOCKS_NS: i64 = 250 * MILLI_NS;
/// What one capture holds stands in it in the order in which it came, but for stamps that step back a little.
const ONE_CLOCK_NS: i64 = 20_000;

/// The hop that sent a Close of its own (Caddy's 1001 at a reload): the leg that it would have come in on was read without a hole, and held none.
fn relay_that_closed(close: &Act, acts: &[Act], legs: &[ConnectionLeg]) -> Option<usize> {
    let leg = legs.get(close.leg)?;
    let (before, hop) = match close.direction {
        Direction::ToClient => (legs.get(close.leg + 1)?, leg.from + 1),
        Direction::ToServer => (legs.get(close.leg.checked_sub(1)?)?, leg.from),
    };
    let read = before.observations.iter().any(|o| {
        o.protocol == LegProtocol::WebSocket
            && o.flow(close.direction).lost_bytes == 0
            && o.last.at >= close.mark.at
    });
    let came_in = acts.iter().any(|a| {
        let same = a.close && a.direction == close.direction;
        let beyond = match close.direction {
            Direction::ToClient => a.leg > close.leg,
            Direction::ToServer => a.leg < close.leg,
        };
        let slack = if a.mark.record.source == close.mark.record.source {
            ONE_CLOCK_NS
        } else {
            CLOCKS_NS
        };
        same && beyond && a.mark.at.since(close.mark.at) <= slack
    });
    (read && !came_in).then_some(hop)
}

fn named_between(hops: &[Hop], first: &Act, legs: &[ConnectionLeg]) -> Closer {
    let outer = first.by == 0 || first.by + 1 == hops.len();
    let relayed = legs.len() > 1 && !outer;
    if outer || relayed {
        named(hops, first.by)
    } else {
        Closer {
            role: Role::Unknown,
            hop: None,
            address: None,
        }
    }
}

pub(super) fn named(hops: &[Hop], index: usize) -> Closer {
    let Some(hop) = hops.get(index) else {
        return Closer {
            role: Role::Unknown,
            hop: None,
            address: None,
        };
    };
    let role = match hop.kind {
        HopKind::Client => Role::Client,
        HopKind::Server => Role::Server,
        _ => Role::Proxy,
    };
    let hop_name = (role == Role::Proxy).then(|| hop.name.clone());
    Closer {
        role,
        hop: hop_name,
        address: hop.address,
    }
}

/// The last new payload on any leg, either way.
pub(super) fn last_payload(legs: &[ConnectionLeg]) -> Option<Moment> {
    legs.iter()
        .flat_map(|l| &l.observations)
        .flat_map(|o| [o.to_server.last_payload, o.to_client.last_payload])
        .flatten()
        .map(|m| m.at)
        .max()
}
