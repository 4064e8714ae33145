//! Judged connections -> what happened to many of them at once: mass drops with what their members share, reconnect storms with their shape.

mod storm;
#[cfg(test)]
mod tests;

use super::population::{Place, Upstream};
use crate::model::{
    Cause, Connection, Direction, Incident, Judged, MILLI_NS, Moment, Outcome, SECOND_NS, Stamp,
    Word, say_duration,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Fewer ends at one instant are a coincidence.
const MASS: usize = 3;
/// Fewer clients than this make no network.
const CLIENTS: usize = 5;

const BACK_OFF: &str = "reconnect with exponential back-off: from 1 s, doubling to 30 s, with jitter of 0.5 to 1 s, \
                        reset after a success [X4]";

/// All incidents of the case, in order of their start. `places` belong to the connections, index by index.
pub(super) fn incidents(
    all: &[Judged],
    places: &[Place],
    window: Option<(Moment, Moment)>,
) -> Vec<Incident> {
    let drops = mass_drops(all, places);
    let storms = storm::storms(all, places, &drops, window);
    let mut out: Vec<Incident> = drops
        .into_iter()
        .map(|d| d.incident)
        .chain(storms)
        .collect();
    out.sort_by(|a, b| {
        (a.start, a.end, &a.code, &a.connections).cmp(&(b.start, b.end, &b.code, &b.connections))
    });
    out
}

/// Ends that one cause brings to each connection at its own moment: that they fall together says nothing.
const fn strikes_alone(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::IdleTimeout
            | Cause::LifetimeCap
            | Cause::MiddleboxExpiry
            | Cause::MissedHeartbeat
            | Cause::ClientHeartbeatTimeout
            | Cause::ClientAbort
            | Cause::ClientNetworkChange
            | Cause::ClientVanished
            | Cause::HalfOpenDuplicate
            | Cause::SlowConsumer
            | Cause::PolicyClose
            | Cause::MessageTooBig
            | Cause::ProtocolError
    )
}

/// Causes by which a client falls silent because the path to it is gone.
const fn path_lost(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ClientVanished
            | Cause::ClientNetworkChange
            | Cause::MissedHeartbeat
            | Cause::HalfOpenDuplicate
            | Cause::MiddleboxExpiry
    )
}

/// How far apart the ends of one happening may lie. A drain closes one connection after the other; Envoy closes its clients one
/// second after its upstream (`delayed_close_timeout`).
const fn reach(cause: Cause) -> i64 {
    match cause {
        Cause::ServerRestart => 2 * SECOND_NS,
        Cause::ServerCrash | Cause::ProxyRestart => 1_100 * MILLI_NS,
        _ => 100 * MILLI_NS,
    }
}

struct MassDrop {
    incident: Incident,
    members: BTreeSet<usize>,
    cause: Cause,
}

fn mass_drops(all: &[Judged], places: &[Place]) -> Vec<MassDrop> {
    let mut by_cause: BTreeMap<Cause, Vec<(Stamp, usize)>> = BTreeMap::new();
    let mut silent: Vec<(Stamp, usize)> = Vec::new();
    for (i, j) in all.iter().enumerate() {
        let (Outcome::Drop, Some(cause)) = (j.verdict.outcome, j.verdict.cause) else {
            continue;
        };
        if path_lost(cause) {
            silent.extend(last_heard(&j.connection).map(|at| (at, i)));
        }
        if let (false, Some(closed)) = (strikes_alone(cause), j.connection.closed) {
            by_cause.entry(cause).or_default().push((closed, i));
        }
    }
    let mut out = Vec::new();
    for (cause, ends) in by_cause {
        for group in clusters(ends, reach(cause)) {
            out.extend(mass_drop(all, places, cause, &group));
        }
    }
    for group in clusters(silent, 2 * SECOND_NS) {
        out.extend(lost_network(all, places, &group));
    }
    out
}

/// The last thing that came from the client, else its end.
fn last_heard(c: &Connection) -> Option<Stamp> {
    let heard = c
        .events
        .iter()
        .filter(|e| e.leg == Some(0) && e.direction == Some(Direction::ToServer))
        .map(|e| e.at)
        .filter(|at| c.closed.is_none_or(|closed| *at <= closed))
        .max();
    heard.or(c.closed)
}

/// Moments no further apart than `reach` from one to the next, stamps of coarse clocks a tick further.
/// However dense the ends lie, one happening lasts no longer than ten times that.
fn clusters(mut ends: Vec<(Stamp, usize)>, reach: i64) -> Vec<Vec<(Stamp, usize)>> {
    ends.sort_unstable_by_key(|(at, i)| (at.middle(), *i));
    let mut out: Vec<Vec<(Stamp, usize)>> = Vec::new();
    for (at, i) in ends {
        let joins = out.last().is_some_and(|g| {
            let near = |other: Option<&(Stamp, usize)>, reach: i64| {
                other.is_some_and(|(before, _)| {
                    let ticks = at.tick_ns.max(before.tick_ns) / 2;
                    at.middle().since(before.middle()) <= reach.saturating_add(ticks)
                })
            };
            near(g.last(), reach) && near(g.first(), reach.saturating_mul(10))
        });
        match out.last_mut().filter(|_| joins) {
            Some(group) => group.push((at, i)),
            None => out.push(vec![(at, i)]),
        }
    }
    out.retain(|g| g.len() >= MASS);
    out
}

/// What members of a mass drop may share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Factor {
    Server(String),
    Proxy(IpAddr),
    Network(IpAddr, u8),
}

impl Factor {
    fn say(&self) -> String {
        match self {
            Self::Server(address) => format!("the server {address}"),
            Self::Proxy(ip) => format!("the proxy {ip}"),
            Self::Network(ip, bits) => format!("the client network {ip}/{bits}"),
        }
    }
}

fn server(place: &Place) -> Option<Factor> {
    match &place.upstream {
        Upstream::Address(address) => Some(Factor::Server(address.clone())),
        Upstream::Route(_) => None,
    }
}

/// The client's /24, or /64.
fn network(c: &Connection) -> Option<Factor> {
    Some(match c.client.ip? {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Factor::Network(IpAddr::from([a, b, c, 0]), 24)
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Factor::Network(IpAddr::from([a, b, c, d, 0, 0, 0, 0]), 64)
        }
    })
}

/// Connections that stood when it began, members included, and lived through it where they are none.
fn standing<'a>(
    all: &'a [Judged],
    places: &'a [Place],
    start: Stamp,
    end: Stamp,
) -> impl Iterator<Item = usize> + 'a {
    let margin = 50 * MILLI_NS;
    all.iter()
        .zip(places)
        .enumerate()
        .filter_map(move |(i, (j, p))| {
            let before = p.accepted
                && j.connection
                    .opened
                    .is_none_or(|o| o.middle() < start.middle());
            let after = j
                .connection
                .closed
                .is_none_or(|c| c.middle() > end.middle().plus(margin));
            (before && after).then_some(i)
        })
}

fn span(group: &[(Stamp, usize)]) -> Option<(Stamp, Stamp, BTreeSet<usize>)> {
    let start = group.iter().map(|(at, _)| *at).min()?;
    let end = group.iter().map(|(at, _)| *at).max()?;
    Some((start, end, group.iter().map(|(_, i)| *i).collect()))
}

fn mass_drop(
    all: &[Judged],
    places: &[Place],
    cause: Cause,
    group: &[(Stamp, usize)],
) -> Option<MassDrop> {
    let (start, end, members) = span(group)?;
    let survivors: Vec<usize> = standing(all, places, start, end)
        .filter(|i| !members.contains(i))
        .collect();
    let factors: [&dyn Fn(usize) -> Option<Factor>; 3] = [
        &|i| server(places.get(i)?),
        &|i| Some(Factor::Proxy(places.get(i)?.proxy?)),
        &|i| network(&all.get(i)?.connection),
    ];
    const NETWORK: usize = 2;
    // The factor that all members share and fewest survivors do; between equals the one that the cause points at.
    let order: [usize; 3] = if cause == Cause::ProxyRestart {
        [1, 0, 2]
    } else {
        [0, 1, 2]
    };
    let shared = order
        .into_iter()
        .enumerate()
        .filter_map(|(rank, at)| {
            let factor = factors.get(at)?;
            let mut values = members.iter().map(|&i| factor(i));
            let value = values.next()??;
            if values.any(|v| v.as_ref() != Some(&value)) {
                return None;
            }
            let spared = survivors
                .iter()
                .filter(|&&i| factor(i).as_ref() == Some(&value))
                .count();
            // Clients that live next to one another anyway: only a network that is gone as a whole, and alone, says something.
            let telling = at != NETWORK || (spared == 0 && !survivors.is_empty());
            telling.then_some((spared, rank, value))
        })
        .min();
    // A cause that is about one process explains any three; for any other ends at one instant, most of what stood must be gone.
    let of_a_process = matches!(
        cause,
        Cause::ServerCrash | Cause::ServerRestart | Cause::ProxyRestart
    );
    let spared = shared.as_ref().map_or(survivors.len(), |(n, _, _)| *n);
    if !of_a_process && spared > members.len() {
        return None;
    }
    let stood = members.len() + survivors.len();
    let factor = shared.map_or_else(String::new, |(spared, _, value)| {
        let name = value.say();
        match (spared, survivors.len()) {
            (0, 0) => format!(": all that {name} carried"),
            (0, n) => format!(": all that {name} carried, while {n} others stood"),
            (n, _) => format!(
                ": {} of the {} that {name} carried",
                members.len(),
                members.len() + n
            ),
        }
    });
    let say = format!(
        "{} of {} ended {}{factor}; root cause {} {}",
        members.len(),
        connections(stood),
        within(start, end),
        cause.code(),
        cause.id()
    );
    let mut fix = first_fix(all, &members);
    let rows = match cause {
        Cause::ServerRestart | Cause::ProxyRestart => {
            "drain before the restart, in small batches, and give the old process time [X6]"
        }
        Cause::ResourceExhaustion => "raise the limit, and watch it [X7]",
        _ => {
            "put a health check and a second process behind the proxy, so that one death takes a part only [X12]"
        }
    };
    fix.push(rows.into());
    fix.push(format!("spread the clients that come back: {BACK_OFF}").into());
    fix.push("alert on the loss of half of all connections within a minute [M4]".into());
    Some(MassDrop {
        incident: Incident {
            code: "W702".to_owned(),
            kind: "mass-drop".to_owned(),
            start,
            end,
            connections: ids(all, &members),
            say,
            fix,
        },
        members,
        cause,
    })
}

/// A whole client network that fell silent within moments, while clients of other networks went on.
fn lost_network(all: &[Judged], places: &[Place], group: &[(Stamp, usize)]) -> Option<MassDrop> {
    let (start, end, _) = span(group)?;
    let mut by_network: BTreeMap<Factor, BTreeSet<usize>> = BTreeMap::new();
    for (_, i) in group {
        if let Some(net) = all.get(*i).and_then(|j| network(&j.connection)) {
            by_network.entry(net).or_default().insert(*i);
        }
    }
    let (net, members) = by_network
        .into_iter()
        .max_by_key(|(net, m)| (m.len(), std::cmp::Reverse(net.clone())))?;
    let others: Vec<usize> = standing(all, places, start, end)
        .filter(|i| !members.contains(i))
        .collect();
    let inside = others
        .iter()
        .filter(|&&i| all.get(i).and_then(|j| network(&j.connection)).as_ref() == Some(&net))
        .count();
    let addresses: BTreeSet<Option<IpAddr>> = members
        .iter()
        .filter_map(|&i| all.get(i))
        .map(|j| j.connection.client.ip)
        .collect();
    // One address is one client, or one NAT: not a network.
    if members.len() < CLIENTS || addresses.len() < MASS || inside > 0 || others.len() < MASS {
        return None;
    }
    let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
    for j in members.iter().filter_map(|&i| all.get(i)) {
        if let Some(cause) = j.verdict.cause {
            *causes.entry(cause).or_default() += 1;
        }
    }
    let (cause, _) = causes
        .into_iter()
        .max_by_key(|&(cause, n)| (n, std::cmp::Reverse(cause)))?;
    let say = format!(
        "{} fell silent {}: all of {}, while {} of other networks went on; root cause: the path to that network",
        connections(members.len()),
        within(start, end),
        net.say(),
        others.len()
    );
    Some(MassDrop {
        incident: Incident {
            code: "W702".to_owned(),
            kind: "mass-drop".to_owned(),
            start,
            end,
            connections: ids(all, &members),
            say,
            fix: vec![
                format!(
                    "look at routers, VPN and firewalls between {} and the proxy at that time [D6]",
                    net.say()
                )
                .into(),
                "ping every 25 s and terminate what does not answer, so that such clients are noticed [X1 X9]"
                    .into(),
            ],
        },
        members,
        cause,
    })
}

fn first_fix(all: &[Judged], members: &BTreeSet<usize>) -> Vec<Word> {
    members
        .iter()
        .filter_map(|&i| all.get(i)?.verdict.fix.first())
        .take(1)
        .cloned()
        .collect()
}

fn ids(all: &[Judged], members: &BTreeSet<usize>) -> Vec<String> {
    members
        .iter()
        .filter_map(|&i| Some(all.get(i)?.connection.id.clone()))
        .collect()
}

fn connections(n: usize) -> String {
    format!("{n} connection{}", if n == 1 { "" } else { "s" })
}

fn within(start: Stamp, end: Stamp) -> String {
    let spread = end.at.since(start.at);
    if spread < MILLI_NS.max(start.tick_ns) {
        if start.tick_ns >= SECOND_NS {
            "within one second".to_owned()
        } else {
            "in the same instant".to_owned()
        }
    } else {
        format!("within {}", say_duration(round(spread)))
    }
}

/// To three digits: more were never measured.
fn round(ns: i64) -> i64 {
    let mut unit = MILLI_NS;
    while ns / unit >= 1_000 {
        unit = unit.saturating_mul(10);
    }
    (ns + unit / 2) / unit * unit
}
