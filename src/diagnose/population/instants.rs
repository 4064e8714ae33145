//! Beginnings and ends of all connections, by server, proxy and route, in order of time -> how many ended together with one and how
//! many lived on, without looking at all of them for each.

use super::{INSTANT_NS, Place, Upstream};
use crate::model::{MILLI_NS, Moment, SECOND_NS, Stamp};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Which connections a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::diagnose) enum Of {
    All,
    /// For the same server as this connection.
    Upstream(usize),
    /// Over the same proxy.
    Proxy(usize),
}

/// The same with names for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    All,
    Upstream(u32),
    Proxy(Option<IpAddr>),
}

/// Connections that ended together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::diagnose) struct Together {
    pub(in crate::diagnose) count: usize,
    /// The first of them, in order of their ends.
    pub(in crate::diagnose) first: Vec<usize>,
}

/// So many of those that ended together are named.
const NAMED: usize = 4;

#[derive(Debug, Default)]
pub(in crate::diagnose) struct Instants {
    upstream: Vec<u32>,
    route: Vec<u32>,
    proxy: Vec<Option<IpAddr>>,
    /// Ends that nobody asked for, by the fineness of their stamps: the middle of the stamp, and whose it is.
    unasked: HashMap<Group, BTreeMap<i64, Vec<(Moment, usize)>>>,
    accepted: HashMap<Group, Lives>,
    of_upstream: Vec<Asked>,
    of_route: Vec<Asked>,
    opened: usize,
}

/// Lives of connections that were accepted.
#[derive(Debug, Default)]
struct Lives {
    /// Beginnings of all of them.
    opened: Vec<Moment>,
    /// Ends of those whose beginning is known.
    closed: Vec<Moment>,
    /// Both of those that have both, in order of the beginnings.
    whole: Vec<(Moment, Moment)>,
    /// The same where clocks put the end first.
    turned: Vec<(Moment, Moment)>,
    /// The last end of those of which nothing tells the beginning.
    last_of_unknown: Option<Moment>,
}

/// Who asked for one server, or on one route.
#[derive(Debug, Default)]
struct Asked {
    /// When, as far as it is known.
    at: Vec<Moment>,
    /// The same of those that were refused.
    refused: Vec<Moment>,
    /// The same of those that a gateway refused, at the beginning of the stamp.
    by_gateway: Vec<Moment>,
    /// Where the report puts each.
    listed: Vec<Moment>,
}

fn between(sorted: &[Moment], from: Moment, to: Moment) -> usize {
    let first = sorted.partition_point(|at| *at < from);
    let last = sorted.partition_point(|at| *at <= to);
    last.saturating_sub(first)
}

impl Instants {
    /// `listed` is where the report puts each of the places.
    pub(super) fn new(places: &[Place], listed: impl Iterator<Item = Moment>) -> Self {
        let mut all = Self::default();
        let (mut upstreams, mut routes) = (HashMap::<&Upstream, u32>::new(), HashMap::new());
        for (i, (p, listed)) in places.iter().zip(listed).enumerate() {
            let next = upstreams.len() as u32;
            let upstream = *upstreams.entry(&p.upstream).or_insert(next);
            let next = routes.len() as u32;
            let route = *routes.entry(p.route.as_str()).or_insert(next);
            all.upstream.push(upstream);
            all.route.push(route);
            all.proxy.push(p.proxy);
            all.opened += usize::from(p.opened.is_some());
            for (of, number) in [(&mut all.of_upstream, upstream), (&mut all.of_route, route)] {
                if of.len() <= number as usize {
                    of.push(Asked::default());
                }
                if let Some(asked) = of.get_mut(number as usize) {
                    asked.add(p, listed);
                }
            }
            if !p.accepted {
                continue;
            }
            for group in [Group::All, Group::Upstream(upstream), Group::Proxy(p.proxy)] {
                all.accepted.entry(group).or_default().add(p);
                if let (true, Some(end)) = (p.unasked, p.closed) {
                    let ends = all.unasked.entry(group).or_default();
                    let ends = ends.entry(end.tick_ns).or_default();
                    ends.push((end.middle(), i));
                }
            }
        }
        for asked in all.of_upstream.iter_mut().chain(&mut all.of_route) {
            let Asked {
                at,
                refused,
                by_gateway,
                listed,
            } = asked;
            for list in [at, refused, by_gateway, listed] {
                list.sort_unstable();
            }
        }
        for lives in all.accepted.values_mut() {
            lives.opened.sort_unstable();
            lives.closed.sort_unstable();
            lives.whole.sort_unstable();
        }
        for ends in all.unasked.values_mut().flat_map(BTreeMap::values_mut) {
            ends.sort_unstable();
        }
        all
    }

    fn group(&self, of: Of) -> Option<Group> {
        Some(match of {
            Of::All => Group::All,
            Of::Upstream(i) => Group::Upstream(*self.upstream.get(i)?),
            Of::Proxy(i) => Group::Proxy(*self.proxy.get(i)?),
        })
    }

    /// Unasked ends within one instant of that one.
    pub(super) fn together(&self, end: Stamp, of: Of) -> Together {
        let mut found = Together::default();
        let ends = self.group(of).and_then(|group| self.unasked.get(&group));
        let mut first: Vec<(Moment, usize)> = Vec::new();
        for (tick, ends) in ends.into_iter().flatten() {
            let reach = INSTANT_NS.max((tick / 2).max(end.tick_ns / 2));
            let most = INSTANT_NS.max(end.tick_ns) + SECOND_NS;
            let reach = reach.min(most);
            let from = ends.partition_point(|(at, _)| *at < end.middle().plus(-reach));
            let to = ends.partition_point(|(at, _)| *at <= end.middle().plus(reach));
            found.count += to - from;
            first.extend(ends[from..to].iter().take(NAMED));
        }
        first.sort_unstable();
        first.truncate(NAMED);
        found.first = first.into_iter().map(|(_, i)| i).collect();
        found
    }

    /// Accepted connections that stood at `at` and lived on for a while.
    pub(in crate::diagnose) fn survivors(&self, at: Stamp, of: Of) -> usize {
        let (from, to) = around(at);
        let lives = self.group(of).and_then(|group| self.accepted.get(&group));
        lives.map_or(0, |lives| lives.over(from, to))
    }

    /// Of an accepted connection for the same server as `i` it is known that it ended after `at`, and not when it began.
    pub(in crate::diagnose) fn maybe_lived(&self, i: usize, at: Moment) -> bool {
        let group = self.group(Of::Upstream(i));
        group
            .and_then(|group| self.accepted.get(&group)?.last_of_unknown)
            .is_some_and(|last| last > at)
    }

    /// Of a connection for another server than that of `i` it is known when it began.
    pub(in crate::diagnose) fn others_opened(&self, i: usize) -> bool {
        let here = self.asked_beside(i).next();
        here.is_some_and(|asked| self.opened > asked.at.len())
    }

    /// For the server of `i`, then on its route.
    fn asked_beside(&self, i: usize) -> impl Iterator<Item = &Asked> {
        let by_server = self.upstream.get(i).map(|n| (&self.of_upstream, n));
        let by_route = self.route.get(i).map(|n| (&self.of_route, n));
        [by_server, by_route]
            .into_iter()
            .flatten()
            .filter_map(|(of, n)| of.get(*n as usize))
    }

    /// Somebody asked for the server of `i`, or on its route, between two moments, the last one left out; and nobody was refused.
    pub(super) fn all_served(&self, i: usize, from: Moment, to: Moment) -> bool {
        let to = to.plus(-1);
        self.asked_beside(i)
            .any(|asked| between(&asked.at, from, to) > 0)
            && self
                .asked_beside(i)
                .all(|asked| between(&asked.refused, from, to) == 0)
    }

    /// A gateway refused a request on the route of `i` between two moments, both included.
    pub(in crate::diagnose) fn gateway_refused(&self, i: usize, from: Moment, to: Moment) -> bool {
        let route = self
            .route
            .get(i)
            .and_then(|n| self.of_route.get(*n as usize));
        route.is_some_and(|asked| between(&asked.by_gateway, from, to) > 0)
    }

    /// More connections than `own` for the server of `i`, or on its route, are listed between two moments, both included.
    pub(super) fn listed(&self, i: usize, from: Moment, to: Moment, own: usize) -> bool {
        self.asked_beside(i)
            .any(|asked| between(&asked.listed, from, to) > own)
    }

    /// The same server, or the same route.
    pub(super) fn same_target(&self, i: usize, j: usize) -> bool {
        let same = |all: &[u32]| all.get(i).zip(all.get(j)).is_some_and(|(a, b)| a == b);
        same(&self.upstream) || same(&self.route)
    }
}

/// What began before the first of these moments and ended after the second lived on through `at`.
pub(super) fn around(at: Stamp) -> (Moment, Moment) {
    let margin = INSTANT_NS.max(at.tick_ns) + 100 * MILLI_NS;
    (at.middle().plus(-margin), at.middle().plus(margin))
}

impl Asked {
    fn add(&mut self, p: &Place, listed: Moment) {
        self.listed.push(listed);
        if let Some(opened) = p.opened {
            self.at.push(opened.middle());
            if !p.accepted {
                self.refused.push(opened.middle());
            }
            if matches!(p.status, Some(502..=504)) {
                self.by_gateway.push(opened.at);
            }
        }
    }
}

impl Lives {
    fn add(&mut self, p: &Place) {
        match (p.opened.map(Stamp::middle), p.closed) {
            (Some(opened), Some(closed)) => {
                let closed = closed.middle();
                self.opened.push(opened);
                self.closed.push(closed);
                if opened <= closed {
                    self.whole.push((opened, closed));
                } else {
                    self.turned.push((opened, closed));
                }
            }
            (Some(opened), None) => self.opened.push(opened),
            (None, Some(closed)) => {
                self.last_of_unknown = self.last_of_unknown.max(Some(closed.at))
            }
            (None, None) => {}
        }
    }

    /// Those that began before `from` and did not end until `to`.
    fn over(&self, from: Moment, to: Moment) -> usize {
        let begun = self.opened.partition_point(|at| *at < from);
        let ended = self.closed.partition_point(|at| *at <= to);
        // Of those that ended, who began later was not counted as begun.
        let first = self.whole.partition_point(|(opened, _)| *opened < from);
        let last = self.whole.partition_point(|(opened, _)| *opened <= to);
        let within = self.whole[first..last].iter();
        let later = within.filter(|(_, closed)| *closed <= to).count();
        let turned = self.turned.iter();
        let later = later
            + turned
                .filter(|(opened, closed)| *opened >= from && *closed <= to)
                .count();
        begun - (ended - later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By looking at all of them.
    fn plainly(places: &[Place], i: usize, same: impl Fn(&Place) -> bool) -> (Vec<usize>, usize) {
        let end = places[i].closed.expect("an end");
        let mut together: Vec<(Moment, usize)> = Vec::new();
        for (j, p) in places.iter().enumerate() {
            let Some(closed) = p.closed else { continue };
            let apart = closed.middle().since(end.middle()).abs();
            let near = apart <= INSTANT_NS.max((closed.tick_ns / 2).max(end.tick_ns / 2))
                && apart <= INSTANT_NS.max(end.tick_ns) + SECOND_NS;
            if near && p.unasked && p.accepted && same(p) {
                together.push((closed.middle(), j));
            }
        }
        together.sort_unstable();
        let (from, to) = around(end);
        let lived = places.iter().filter(|p| {
            p.accepted
                && same(p)
                && p.opened.is_some_and(|o| o.middle() < from)
                && p.closed.is_none_or(|c| c.middle() > to)
        });
        (
            together.into_iter().map(|(_, j)| j).collect(),
            lived.count(),
        )
    }

    #[test]
    fn what_an_index_finds_is_what_looking_at_all_finds() {
        let mut state = 7_u64;
        let mut below = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        let ticks = [1_000, MILLI_NS, SECOND_NS, 5 * SECOND_NS];
        let places: Vec<Place> = (0..400)
            .map(|_| {
                let tick = ticks[below(4) as usize];
                let mut stamp = |most_ms: u64| {
                    let at = below(most_ms) as i64 * MILLI_NS / tick * tick;
                    Some(Stamp::new(Moment(at), tick)).filter(|_| below(8) > 0)
                };
                let (opened, closed) = (stamp(20_000), stamp(30_000));
                let name = below(3);
                Place {
                    upstream: Upstream::Address(name.to_string()),
                    route: below(2).to_string(),
                    proxy: Some(IpAddr::from([10, 0, 0, below(2) as u8])),
                    opened,
                    closed,
                    unasked: below(4) > 0,
                    accepted: below(4) > 0,
                    status: Some(if below(9) == 0 { 502 } else { 101 }),
                }
            })
            .collect();
        let instants = Instants::new(&places, places.iter().map(|_| Moment(0)));
        for (i, p) in places.iter().enumerate() {
            let Some(end) = p.closed else { continue };
            for (of, same) in [
                (Of::All, &(|_: &Place| true) as &dyn Fn(&Place) -> bool),
                (Of::Upstream(i), &|q: &Place| q.upstream == p.upstream),
                (Of::Proxy(i), &|q: &Place| q.proxy == p.proxy),
            ] {
                let (together, lived) = plainly(&places, i, same);
                let found = instants.together(end, of);
                assert_eq!(found.count, together.len(), "{i} {of:?}");
                assert_eq!(
                    found.first,
                    together[..together.len().min(NAMED)],
                    "{i} {of:?}"
                );
                assert_eq!(instants.survivors(end, of), lived, "{i} {of:?}");
            }
            let beside = |q: &&Place| q.upstream == p.upstream || q.route == p.route;
            let (from, to) = (end.middle(), end.middle().plus(SECOND_NS));
            let mut asked = places
                .iter()
                .filter(beside)
                .filter(|q| q.opened.is_some_and(|o| (from..to).contains(&o.middle())))
                .peekable();
            let served = asked.peek().is_some() && asked.all(|q| q.accepted);
            assert_eq!(instants.all_served(i, from, to), served, "{i}");
            let gateway = places.iter().any(|q| {
                q.route == p.route
                    && matches!(q.status, Some(502..=504))
                    && q.opened.is_some_and(|o| (from..=to).contains(&o.at))
            });
            assert_eq!(instants.gateway_refused(i, from, to), gateway, "{i}");
            let others = places
                .iter()
                .any(|q| q.upstream != p.upstream && q.opened.is_some());
            assert_eq!(instants.others_opened(i), others, "{i}");
            let maybe = places.iter().any(|q| {
                q.upstream == p.upstream
                    && q.accepted
                    && q.opened.is_none()
                    && q.closed.is_some_and(|c| c.at > end.at)
            });
            assert_eq!(instants.maybe_lived(i, end.at), maybe, "{i}");
        }
    }
}
