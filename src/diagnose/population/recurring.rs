//! All connections of a case -> silences and lives that recur among them: the timers of hops.

use super::{Place, Upstream};
use crate::model::{
    Connection, Direction, HopKind, LegEventKind, LegObservation, LegProtocol, MILLI_NS, Mark,
    Moment, Ping, Role, SECOND_NS, Stamp,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Payload was flowing where the last of it is younger than this.
const FLOWING_NS: i64 = SECOND_NS;
/// Silences this near to one another come from one timer: nginx alone is lazy by 300 ms (NGX_TIMER_LAZY_DELAY).
pub(super) const TIMER_NS: i64 = 60 * MILLI_NS;
/// Envoy's `delayed_close_timeout`: its FIN to the client stands this long after the end of the stream (default 1 s).
pub(in crate::diagnose) const DELAYED_CLOSE_NS: i64 = SECOND_NS;
/// Heartbeats that fail at once end lives alike too: so many are asked for where no capture shows payload until the end.
const LOGGED_LIVES: usize = 5;

/// What ended within this time ended in one event.
const ONE_MOMENT_NS: i64 = 200 * MILLI_NS;

/// A silence that ended several connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::diagnose) struct Recurring {
    pub(in crate::diagnose) ns: i64,
    pub(in crate::diagnose) count: usize,
}

impl Recurring {
    /// The same duration, as far as a timer's laziness goes.
    pub(in crate::diagnose) const fn is_near(&self, ns: i64) -> bool {
        (self.ns - ns).abs() <= TIMER_NS + self.ns / 200
    }
}

/// Silences that ended two or more connections behind the same address, densest groups first.
pub(super) fn recurring(
    connections: &[Connection],
    places: &[Place],
) -> BTreeMap<Option<IpAddr>, Vec<Recurring>> {
    let mut by_proxy: BTreeMap<Option<IpAddr>, Vec<(i64, Moment)>> = BTreeMap::new();
    for (c, p) in connections.iter().zip(places) {
        if let (Some(ns), Some(end)) = (c.silence_ns, timed_end(c, p)) {
            let ns = ns - after_stream(c);
            by_proxy.entry(p.proxy).or_default().push((ns, end));
        }
    }
    by_proxy
        .into_iter()
        .map(|(proxy, all)| (proxy, groups(all)))
        .collect()
}

/// How long after the end of the stream that Envoy logged for its timer the client's leg, the only one captured, was closed.
pub(in crate::diagnose) fn after_stream(c: &Connection) -> i64 {
    let behind = c.legs.iter().any(|l| l.from > 0);
    let late = c.tunnels.iter().any(|t| {
        let stream = t
            .start
            .zip(t.life_ns)
            .map(|(start, life)| start.at.plus(life));
        let apart = c
            .closed
            .zip(stream)
            .map(|(closed, end)| closed.at.since(end));
        t.hop == HopKind::Envoy
            && t.ended_by_timer() == Some(true)
            && apart.is_some_and(|d| (d - DELAYED_CLOSE_NS).abs() <= 150 * MILLI_NS)
    });
    if late && !behind { DELAYED_CLOSE_NS } else { 0 }
}

/// The same for the silence of one direction, of connections whose other direction spoke in the last quarter of it.
pub(super) fn one_way(
    connections: &[Connection],
    places: &[Place],
) -> BTreeMap<Option<IpAddr>, Vec<Recurring>> {
    let mut by_proxy: BTreeMap<Option<IpAddr>, Vec<(i64, Moment)>> = BTreeMap::new();
    for (c, p) in connections.iter().zip(places) {
        let (Some(both), Some(end)) = (c.silence_ns, timed_end(c, p)) else {
            continue;
        };
        let last = |pick: fn(&LegObservation) -> Option<Mark>| {
            c.legs
                .iter()
                .flat_map(|l| &l.observations)
                .filter_map(pick)
                .filter(|m| m.at <= end.plus(MILLI_NS))
                .map(|m| end.since(m.at))
                .min()
        };
        let gaps = [
            last(|o| o.to_server.last_payload),
            last(|o| o.to_client.last_payload),
        ];
        let longer = gaps.into_iter().flatten().max();
        if let Some(ns) = longer.filter(|ns| both * 4 < ns * 3) {
            by_proxy.entry(p.proxy).or_default().push((ns, end));
        }
    }
    by_proxy
        .into_iter()
        .map(|(proxy, all)| {
            let mut found = groups(all);
            // A chatty side makes chance agreements likely: two do not make a timer here.
            found.retain(|g| g.count >= 3);
            (proxy, found)
        })
        .collect()
}

/// Payload went on as before when it ended: no silence time-out strikes in a pause that it had let pass earlier.
pub(in crate::diagnose) fn flowing(c: &Connection, silence_ns: i64) -> bool {
    let payload = |k: &LegEventKind| {
        matches!(
            k,
            LegEventKind::Data { .. } | LegEventKind::Ping { .. } | LegEventKind::Pong { .. }
        )
    };
    let paused = |o: &LegObservation| {
        let mut last: Option<Moment> = None;
        o.events.iter().filter(|e| payload(&e.what)).any(|e| {
            let before = last.replace(e.mark.at);
            before.is_some_and(|b| e.mark.at.since(b) >= silence_ns)
        })
    };
    silence_ns < FLOWING_NS || c.legs.iter().flat_map(|l| &l.observations).any(paused)
}

/// Lives that ended three or more connections in the middle of their traffic, at different moments, and most of those cut so, by
/// what `whose` names of a connection.
pub(super) fn lives<K: Ord + Clone>(
    connections: &[Connection],
    places: &[Place],
    whose: impl Fn(&Connection, &Place) -> Option<K>,
) -> BTreeMap<K, Vec<Recurring>> {
    let mut by_address: BTreeMap<K, Vec<(i64, Moment)>> = BTreeMap::new();
    let mut by_log: BTreeSet<K> = BTreeSet::new();
    for (c, p) in connections.iter().zip(places) {
        // A log says how long it lived, to its own tick, and not what crossed it last.
        let fine = |s: Option<Stamp>| s.is_some_and(|s| s.tick_ns <= 100 * MILLI_NS);
        let flowing = match c.silence_ns {
            Some(ns) => flowing(c, ns),
            None => c.legs.is_empty() && fine(c.opened) && fine(c.closed),
        };
        // Heartbeats that fail end lives alike as well, at a multiple of their period.
        let flowing = flowing && !stood_unanswered(c);
        let end = p.closed.filter(|_| p.unasked && p.accepted && flowing);
        if let (Some(life), Some(end), Some(key)) = (c.duration_ns(), end, whose(c, p)) {
            if c.silence_ns.is_none() {
                by_log.insert(key.clone());
            }
            let all = by_address.entry(key).or_default();
            all.push((life, end.middle()));
        }
    }
    by_address
        .into_iter()
        .map(|(key, all)| {
            let cut = all.len();
            let mut found = groups(all);
            // A few lives of many agree by chance: a cap takes whoever reaches it. What only logs tell may have been silent as well.
            let least = if by_log.contains(&key) {
                LOGGED_LIVES
            } else {
                3
            };
            found.retain(|g| g.count >= least && g.count * 2 > cut);
            (key, found)
        })
        .collect()
}

/// Silences that recur among what one client's address ended without a Close frame, where three or more connections came from it:
/// no users agree on that, a balancer's timer does.
pub(super) fn by_client(
    connections: &[Connection],
    places: &[Place],
) -> HashMap<IpAddr, Vec<Recurring>> {
    let mut by_address: HashMap<IpAddr, Vec<(i64, Moment)>> = HashMap::new();
    for (c, p) in connections.iter().zip(places) {
        let ended = c.closer.role == Role::Client && p.unasked && p.accepted;
        if let (true, Some(ip), Some(ns), Some(end)) = (ended, c.client.ip, c.silence_ns, p.closed)
        {
            let all = by_address.entry(ip).or_default();
            all.push((ns, end.middle()));
        }
    }
    by_address
        .into_iter()
        .map(|(ip, all)| {
            let mut found = groups(all);
            found.retain(|g| g.count >= 3);
            (ip, found)
        })
        .collect()
}

/// Silences of three and more connections that their server ended by itself while no ping of it stood unanswered: the timer of its listener.
pub(super) fn by_listener(
    connections: &[Connection],
    places: &[Place],
) -> BTreeMap<Upstream, Vec<Recurring>> {
    type Ends = Vec<(i64, Moment)>;
    let mut by_upstream: BTreeMap<Upstream, (Ends, Ends)> = BTreeMap::new();
    for (c, p) in connections.iter().zip(places) {
        let ended = c.closer.role == Role::Server && p.unasked && p.accepted;
        let Some(end) = p.closed.filter(|_| ended && !pinged_in_vain(c)) else {
            continue;
        };
        let (both, one_way) = by_upstream.entry(p.upstream.clone()).or_default();
        both.extend(c.silence_ns.map(|ns| (ns, end.middle())));
        let spoke = c
            .legs
            .iter()
            .flat_map(|l| &l.observations)
            .filter_map(|o| o.to_server.last_payload)
            .map(|m| end.at.since(m.at))
            .filter(|ns| *ns >= 0)
            .min();
        one_way.extend(
            spoke
                .filter(|ns| c.silence_ns.is_some_and(|both| both * 4 < ns * 3))
                .map(|ns| (ns, end.middle())),
        );
    }
    by_upstream
        .into_iter()
        .map(|(upstream, (both, one_way))| {
            let mut found = groups(both);
            found.extend(groups(one_way));
            found.retain(|g| g.count >= 3);
            (upstream, found)
        })
        .collect()
}

/// From the last sign of TCP's keep-alive, where that went on behind the last payload, to the end: the silence of every packet.
pub(in crate::diagnose) fn packet_silence(c: &Connection, end: Moment) -> Option<(i64, Mark)> {
    let kept = c
        .legs
        .iter()
        .flat_map(|l| &l.observations)
        .flat_map(|o| &o.events)
        .filter(|e| e.what == LegEventKind::KeepAlive && e.mark.at < end)
        .map(|e| e.mark)
        .max_by_key(|m| m.at)?;
    let ns = end.since(kept.at);
    // The answer to a probe that came at once was the end, or the probe is as old as the payload.
    let apart = ns > MILLI_NS && c.silence_ns.is_some_and(|all| ns + TIMER_NS < all);
    apart.then_some((ns, kept))
}

/// Silences of every packet, TCP keep-alive included, that ended three or more connections whose payload had been silent for
/// unlike times: the timer of a hop that counts packets, as firewalls and network load balancers do.
pub(super) fn by_packet(
    connections: &[Connection],
    places: &[Place],
) -> BTreeMap<Option<IpAddr>, Vec<Recurring>> {
    type Ends = Vec<(i64, Moment, i64)>;
    let mut by_proxy: BTreeMap<Option<IpAddr>, Ends> = BTreeMap::new();
    for (c, p) in connections.iter().zip(places) {
        let unasked = p.unasked && p.accepted && c.closer.role != Role::Client;
        let Some(end) = p.closed.filter(|_| unasked) else {
            continue;
        };
        if let (Some((ns, _)), Some(payload)) = (packet_silence(c, end.at), c.silence_ns) {
            let all = by_proxy.entry(p.proxy).or_default();
            all.push((ns, end.middle(), payload));
        }
    }
    by_proxy
        .into_iter()
        .map(|(proxy, all)| {
            let mut found = groups(all.iter().map(|&(ns, at, _)| (ns, at)).collect());
            found.retain(|g| {
                let theirs = all.iter().filter(|(ns, ..)| g.is_near(*ns));
                let payload = groups(theirs.map(|&(_, at, payload)| (payload, at)).collect());
                g.count >= 3 && payload.iter().all(|p| p.count * 2 <= g.count)
            });
            (proxy, found)
        })
        .collect()
}

/// A ping of the server had no answer when it ended, and had had time for one.
fn stood_unanswered(c: &Connection) -> bool {
    let Some(end) = c.closed else { return false };
    let in_vain = |p: &Ping| {
        p.direction == Direction::ToClient
            && p.kind.answers()
            && p.answered.is_none_or(|a| a.at > end.at)
            && end.at.since(p.sent.at) > SECOND_NS / 4
    };
    let seen = c.legs.iter().flat_map(|l| &l.observations);
    seen.flat_map(|o| &o.pings).any(in_vain)
}

/// What could be read of it ends with a ping of the server that nobody answered, or nothing could be read.
fn pinged_in_vain(c: &Connection) -> bool {
    let mut readable = c
        .legs
        .iter()
        .flat_map(|l| &l.observations)
        .filter(|o| {
            matches!(
                o.protocol,
                LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
            )
        })
        .peekable();
    let open = |o: &LegObservation| {
        o.pings
            .iter()
            .any(|p| p.direction == Direction::ToClient && p.kind.answers() && p.answered.is_none())
    };
    readable.peek().is_none() || readable.any(open)
}

/// When a timer can have ended it: unasked, from beyond the client, not by the server.
fn timed_end(c: &Connection, p: &Place) -> Option<Moment> {
    let by_end = matches!(c.closer.role, Role::Client | Role::Server);
    let end = p.closed.filter(|_| p.unasked && p.accepted && !by_end)?;
    c.silence_ns.map(|_| end.middle())
}

/// Durations of a second and more that lie together although they ended at different moments.
fn groups(mut silences: Vec<(i64, Moment)>) -> Vec<Recurring> {
    let mut ends: Vec<Moment> = silences.iter().map(|&(_, at)| at).collect();
    ends.sort_unstable();
    let alone = |at: Moment| {
        let from = ends.partition_point(|e| at.since(*e) > ONE_MOMENT_NS);
        let to = ends.partition_point(|e| e.since(at) <= ONE_MOMENT_NS);
        to - from <= 1
    };
    silences.retain(|&(ns, _)| ns >= SECOND_NS);
    silences.sort_unstable();
    let mut groups: Vec<Recurring> = Vec::new();
    let mut i = 0;
    while i < silences.len() {
        let width = TIMER_NS.max(silences[i].0 / 200);
        let mut j = i;
        while j < silences.len() && silences[j].0 - silences[i].0 <= width {
            j += 1;
        }
        // The same silence at different moments is a timer; at one moment it is one event.
        let moments = silences[i..j].iter().map(|&(_, at)| at);
        let apart = moments
            .clone()
            .min()
            .zip(moments.max())
            .is_some_and(|(first, last)| last.since(first) >= ONE_MOMENT_NS);
        // Of many that one event cut, two agree by chance with two of another.
        let told = j - i > 2 || silences[i..j].iter().all(|&(_, at)| alone(at));
        if apart && told {
            groups.push(Recurring {
                ns: round_to_timer(silences[i + (j - i) / 2].0),
                count: j - i,
            });
        }
        i = j;
    }
    groups.sort_by_key(|g| (std::cmp::Reverse(g.count), g.ns));
    groups
}

/// A timer is set in whole seconds or tenths; what was measured is a little off.
pub(in crate::diagnose) fn round_to_timer(ns: i64) -> i64 {
    for unit in [SECOND_NS, 500 * MILLI_NS, 100 * MILLI_NS] {
        let rounded = (ns + unit / 2) / unit * unit;
        if (ns - rounded).abs() <= 30 * MILLI_NS.min(unit / 4) + ns / 2000 {
            return rounded;
        }
    }
    ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_that_one_event_ended_are_no_timer() {
        let check = |all: &[(i64, i64)], want: &[usize], what: &str| {
            let all = all
                .iter()
                .map(|&(ns, end)| (ns * MILLI_NS, Moment(end * MILLI_NS)))
                .collect();
            let found: Vec<usize> = groups(all).iter().map(|g| g.count).collect();
            assert_eq!(found, want, "{what}");
        };
        check(
            &[(8_005, 1_000), (8_008, 2_000)],
            &[2],
            "two that ended alone",
        );
        check(&[(8_005, 1_190), (8_008, 1_210)], &[], "one moment");
        let restarted = [
            (1_259, 9_703),
            (1_361, 9_704),
            (1_555, 9_704),
            (1_686, 9_705),
            (1_504, 13_610),
            (1_804, 13_610),
        ];
        check(&restarted, &[], "two restarts");
        let many = [
            (8_001, 500),
            (8_002, 9_703),
            (8_003, 13_610),
            (1_400, 9_704),
        ];
        check(&many, &[3], "three are a timer beside whatever else");
    }

    #[test]
    fn timers_are_set_in_round_numbers() {
        for (measured, want) in [
            (3_996, 4_000),
            (60_021, 60_000),
            (5_512, 5_500),
            (7_340, 7_340),
            (299_990, 300_000),
        ] {
            assert_eq!(
                round_to_timer(measured * MILLI_NS),
                want * MILLI_NS,
                "{measured}"
            );
        }
    }
}
