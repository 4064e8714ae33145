//! All connections of a case -> what one of them shares with the others: instants, silences, routes, returns.

use crate::model::{
    AppEvent, AppLine, CaseContext, Connection, Direction, HopEvent, HopKind, LegEventKind,
    LegObservation, LegProtocol, MILLI_NS, Mark, Moment, Role, SECOND_NS, SourceId, Stamp,
    TunnelLine,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// Ends this near to one another are one instant (a dying process closes its sockets within milliseconds).
const INSTANT_NS: i64 = 60 * MILLI_NS;
/// Payload was flowing where the last of it is younger than this.
const FLOWING_NS: i64 = SECOND_NS;
/// Silences this near to one another come from one timer: nginx alone is lazy by 300 ms (NGX_TIMER_LAZY_DELAY).
const TIMER_NS: i64 = 60 * MILLI_NS;

/// Which server a connection was for, as well as the evidence knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Upstream {
    Address(String),
    /// The entry point and the path, where no source names the upstream.
    Route(String),
}

/// One connection's place among the others.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) upstream: Upstream,
    pub(super) route: String,
    pub(super) proxy: Option<IpAddr>,
    pub(super) opened: Option<Stamp>,
    pub(super) closed: Option<Stamp>,
    /// Ended, or left standing, without a Close frame.
    pub(super) unasked: bool,
    pub(super) accepted: bool,
    pub(super) status: Option<u16>,
}

/// A silence that ended several connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recurring {
    pub(super) ns: i64,
    pub(super) count: usize,
}

/// What became of the handshakes of one route.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// The first two that were accepted and of which some record tells.
    pub(super) accepted: [Option<usize>; 2],
    pub(super) refused: usize,
}

#[derive(Debug)]
pub(super) struct Population {
    pub(super) places: Vec<Place>,
    /// Index by connection id.
    pub(super) by_id: HashMap<String, usize>,
    /// Ends in order of time: end, index.
    ends: Vec<(Moment, usize)>,
    /// Beginnings in order of time: where the report puts it, index.
    starts: Vec<(Moment, usize)>,
    routes: HashMap<String, Route>,
    /// Sources that name missed heartbeats.
    pub(super) beat_logs: BTreeSet<SourceId>,
    /// By the address that the client spoke to.
    recurring: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
    /// The same of one direction alone, where the other went on.
    one_way: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
    /// Silences after which a server itself ended its connections, by its listener: since any payload, and since the client spoke.
    by_listener: BTreeMap<Upstream, Vec<Recurring>>,
    /// Total lives after which connections were cut although payload was flowing, by the address that the client spoke to.
    lives: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
    /// The same of what one address, the client of many, ended.
    lives_by_client: BTreeMap<IpAddr, Vec<Recurring>>,
    /// Silences after which one address, the client of many, ended its legs: it is a hop's, and its timer's.
    by_client: HashMap<IpAddr, Vec<Recurring>>,
    /// Addresses of hops between clients and servers.
    hops: HashSet<IpAddr>,
    /// Identities that came from each address of a client.
    identities: HashMap<IpAddr, BTreeSet<String>>,
    /// nginx error logs that write at level info: there a missing line means something.
    pub(super) info_level: bool,
    /// What comes regularly from a server under encryption and is as small as a ping: size and period.
    pub(super) sealed_beats: Vec<SealedBeat>,
    /// Sources of application logs that name closes, and the span they cover.
    app_spans: BTreeMap<SourceId, (Moment, Moment)>,
    /// Upstreams whose connections some application log tells of.
    logged_upstreams: BTreeMap<Upstream, BTreeSet<SourceId>>,
}

impl Population {
    pub(super) fn survey(connections: &[Connection], context: &CaseContext) -> Self {
        let mut places: Vec<Place> = connections.iter().map(place).collect();
        told_by_log(connections, &mut places);
        let mut ends: Vec<(Moment, usize)> = places
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((p.closed?.middle(), i)))
            .collect();
        ends.sort_unstable();
        let mut starts: Vec<(Moment, usize)> = connections
            .iter()
            .enumerate()
            .map(|(i, c)| (c.sort_at, i))
            .collect();
        starts.sort_unstable();
        let mut beat_logs = BTreeSet::new();
        let mut app_spans: BTreeMap<SourceId, (Moment, Moment)> = BTreeMap::new();
        let app_lines = connections
            .iter()
            .flat_map(|c| &c.app_lines)
            .chain(&context.app_lines);
        for l in app_lines {
            let span = app_spans
                .entry(l.record.source)
                .or_insert((l.at.at, l.at.at));
            span.0 = span.0.min(l.at.at);
            span.1 = span.1.max(l.at.at);
            if l.what == AppEvent::HeartbeatMissed {
                beat_logs.insert(l.record.source);
            }
        }
        let mut logged_upstreams: BTreeMap<Upstream, BTreeSet<SourceId>> = BTreeMap::new();
        for (c, p) in connections.iter().zip(&places) {
            for l in &c.app_lines {
                logged_upstreams
                    .entry(p.upstream.clone())
                    .or_default()
                    .insert(l.record.source);
            }
        }
        let hop_lines = connections
            .iter()
            .flat_map(|c| &c.hop_lines)
            .chain(&context.hop_lines);
        let info_level = hop_lines.clone().any(|h| {
            matches!(h.level.as_deref(), Some("info" | "notice" | "debug"))
                && h.what != HopEvent::Started
        }) || hop_lines
            .clone()
            .any(|h| h.level.as_deref() == Some("info"));
        let mut identities: HashMap<IpAddr, BTreeSet<String>> = HashMap::new();
        for c in connections {
            if let (Some(ip), Some(who)) = (c.client.ip, &c.client.identity) {
                identities.entry(ip).or_default().insert(who.clone());
            }
        }
        let hops = connections
            .iter()
            .flat_map(|c| c.hops.iter().filter(|h| h.kind.is_proxy()))
            .filter_map(|h| h.address)
            .collect();
        Self {
            lives: lives(connections, &places, |c, p| {
                (c.closer.role != Role::Client).then_some(p.proxy)
            }),
            lives_by_client: lives(connections, &places, |c, _| {
                c.client.ip.filter(|_| c.closer.role == Role::Client)
            }),
            by_client: by_client(connections, &places),
            hops,
            identities,
            by_id: connections
                .iter()
                .enumerate()
                .map(|(i, c)| (c.id.clone(), i))
                .collect(),
            sealed_beats: sealed_beats(connections),
            by_listener: by_listener(connections, &places),
            recurring: recurring(connections, &places),
            one_way: one_way(connections, &places),
            routes: routes(connections, &places),
            beat_logs,
            ends,
            starts,
            places,
            info_level,
            app_spans,
            logged_upstreams,
        }
    }

    /// Connections that begin between two moments, both included, by their index.
    pub(super) fn beginning(&self, from: Moment, to: Moment) -> Vec<usize> {
        let first = self.starts.partition_point(|(at, _)| *at < from);
        let last = self.starts.partition_point(|(at, _)| *at <= to);
        let within = self.starts.get(first..last).unwrap_or_default();
        let mut found: Vec<usize> = within.iter().map(|(_, i)| *i).collect();
        found.sort_unstable();
        found
    }

    /// The handshakes of the route of connection `i`, its own among them.
    pub(super) fn route(&self, i: usize) -> Option<&Route> {
        self.routes.get(&self.places.get(i)?.route)
    }

    /// How many identities came from that address; 0 = none is known.
    pub(super) fn identities(&self, address: IpAddr) -> usize {
        self.identities.get(&address).map_or(0, BTreeSet::len)
    }

    /// A program between clients and servers has that address.
    pub(super) fn is_hop(&self, address: IpAddr) -> bool {
        self.hops.contains(&address)
    }

    /// Total lives at which the hop before or behind this connection's leg ends what flows.
    pub(super) fn lives(&self, proxy: Option<IpAddr>, client: Option<IpAddr>) -> &[Recurring] {
        match self.lives_by_client(client) {
            [] => self.lives.get(&proxy).map_or(&[], Vec::as_slice),
            found => found,
        }
    }

    /// Total lives at which the client at that address, a hop by all that it does, ends what flows.
    pub(super) fn lives_by_client(&self, address: Option<IpAddr>) -> &[Recurring] {
        address
            .and_then(|ip| self.lives_by_client.get(&ip))
            .map_or(&[], Vec::as_slice)
    }

    /// Silences that recur where the client at that address, a hop by all that it does, ends its legs.
    pub(super) fn by_client(&self, address: Option<IpAddr>) -> &[Recurring] {
        address
            .and_then(|ip| self.by_client.get(&ip))
            .map_or(&[], Vec::as_slice)
    }

    /// Connections of the same upstream that ended within one instant of connection `i`, however they did.
    pub(super) fn beside(&self, i: usize) -> impl Iterator<Item = usize> {
        let here = &self.places[i];
        let end = here.closed.map(Stamp::middle);
        let from = end.map_or(self.ends.len(), |e| {
            self.ends
                .partition_point(|&(at, _)| at < e.plus(-INSTANT_NS))
        });
        self.ends[from..]
            .iter()
            .take_while(move |&&(at, _)| end.is_some_and(|e| at <= e.plus(INSTANT_NS)))
            .map(|&(_, j)| j)
            .filter(move |&j| j != i && self.places[j].upstream == here.upstream)
    }

    /// Unasked ends within one instant of connection `i`'s, itself included, of those that `same` holds for.
    pub(super) fn together(&self, i: usize, same: impl Fn(&Place) -> bool) -> Vec<usize> {
        let Some(end) = self.places[i].closed else {
            return Vec::new();
        };
        let reach = INSTANT_NS.max(end.tick_ns);
        let from = self
            .ends
            .partition_point(|&(at, _)| at < end.middle().plus(-reach - SECOND_NS));
        self.ends[from..]
            .iter()
            .take_while(|&&(at, _)| at <= end.middle().plus(reach + SECOND_NS))
            .filter(|&&(at, j)| {
                let p = &self.places[j];
                let tick = p.closed.map_or(0, |s| s.tick_ns);
                let near =
                    at.since(end.middle()).abs() <= INSTANT_NS.max((tick / 2).max(end.tick_ns / 2));
                near && p.unasked && p.accepted && same(p)
            })
            .map(|&(_, j)| j)
            .collect()
    }

    /// Accepted connections that stood at `at` and lived on for a while, of those that `same` holds for.
    pub(super) fn survivors(&self, at: Stamp, same: impl Fn(&Place) -> bool) -> usize {
        let margin = INSTANT_NS.max(at.tick_ns) + 100 * MILLI_NS;
        self.places
            .iter()
            .filter(|p| {
                p.accepted
                    && same(p)
                    && p.opened
                        .is_some_and(|o| o.middle() < at.middle().plus(-margin))
                    && p.closed
                        .is_none_or(|c| c.middle() > at.middle().plus(margin))
            })
            .count()
    }

    pub(super) fn one_way(&self, proxy: Option<IpAddr>) -> &[Recurring] {
        self.one_way.get(&proxy).map_or(&[], Vec::as_slice)
    }

    pub(super) fn by_listener(&self, upstream: &Upstream) -> &[Recurring] {
        self.by_listener.get(upstream).map_or(&[], Vec::as_slice)
    }

    pub(super) fn recurring(&self, proxy: Option<IpAddr>) -> &[Recurring] {
        self.recurring.get(&proxy).map_or(&[], Vec::as_slice)
    }

    /// The application log that speaks of this upstream covers that moment.
    pub(super) fn app_log_covers(&self, upstream: &Upstream, at: Moment) -> bool {
        self.logged_upstreams
            .get(upstream)
            .into_iter()
            .flatten()
            .any(|s| {
                self.app_spans.get(s).is_some_and(|&(from, to)| {
                    from.plus(-SECOND_NS) <= at && at <= to.plus(5 * SECOND_NS)
                })
            })
    }

    pub(super) fn app_sources(&self, upstream: &Upstream) -> Option<&BTreeSet<SourceId>> {
        self.logged_upstreams.get(upstream)
    }
}

/// A connection that only an application log tells of was for the server that wrote it, where other sources name that one.
fn told_by_log(connections: &[Connection], places: &mut [Place]) {
    let alone = |c: &Connection| c.legs.is_empty() && c.tunnels.is_empty();
    let mut of_log: BTreeMap<SourceId, BTreeSet<Upstream>> = BTreeMap::new();
    for (c, p) in connections.iter().zip(&*places) {
        for l in c.app_lines.iter().filter(|_| !alone(c)) {
            let known = of_log.entry(l.record.source).or_default();
            known.insert(p.upstream.clone());
        }
    }
    for (c, p) in connections.iter().zip(places) {
        let log = c.app_lines.first().map(|l| l.record.source);
        let known = log.filter(|_| alone(c)).and_then(|s| of_log.get(&s));
        if let Some(one) = known.filter(|k| k.len() == 1).and_then(|k| k.first()) {
            p.upstream = one.clone();
        }
    }
}

/// The same log tells of this connection's close well before that line: no difference of clocks, and not its consequence.
pub(super) fn closed_before(c: &Connection, line: &AppLine) -> bool {
    const WRITTEN_NS: i64 = 100 * MILLI_NS;
    c.app_lines.iter().any(|l| {
        l.record.source == line.record.source
            && matches!(l.what, AppEvent::Close { .. })
            && line.at.at.since(l.at.at) > WRITTEN_NS + l.at.tick_ns
    })
}

/// Lines of the process that served this connection: the same host where both name one, else the same source.
pub(super) fn process_lines<'a>(
    connection: &'a Connection,
    context: &'a CaseContext,
    sources: Option<&'a BTreeSet<SourceId>>,
    upstream_port: Option<u16>,
) -> impl Iterator<Item = &'a AppLine> {
    let host = connection
        .app_lines
        .iter()
        .find_map(|l| l.hostname.as_deref());
    let pid = connection.app_lines.iter().find_map(|l| l.pid);
    context.app_lines.iter().filter(move |l| {
        let host_fits = match (host, l.hostname.as_deref()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        let source_fits = match sources {
            Some(s) => s.contains(&l.record.source),
            // No log names this upstream: only a line with its port can be about it.
            None => false,
        };
        let port_fits = match (&l.what, upstream_port) {
            (AppEvent::Listening { port: Some(p) }, Some(u)) => *p == u,
            _ => true,
        };
        let by_port = matches!((&l.what, upstream_port), (AppEvent::Listening { port: Some(p) }, Some(u)) if *p == u);
        // The host's own lines name the process that they are about.
        let by_pid = pid.is_some() && l.pid == pid;
        host_fits && port_fits && (source_fits || by_port || by_pid)
    })
}

fn place(c: &Connection) -> Place {
    let path = c
        .request
        .uri
        .as_deref()
        .map_or("", |u| u.split(['?', '#']).next().unwrap_or(u))
        .to_owned();
    let entry = c.legs.first().map(|l| l.server);
    let upstream_leg = c
        .legs
        .last()
        .filter(|l| l.from + 2 == c.hops.len())
        .map(|l| l.server);
    let upstream = upstream_leg.or_else(|| c.tunnels.iter().rev().find_map(|t| t.upstream));
    let route = format!(
        "{} {path}",
        entry.map(|e| e.to_string()).unwrap_or_default()
    );
    let accepted = c.request.accepted()
        || c.legs
            .iter()
            .flat_map(|l| &l.observations)
            .any(|o| o.protocol == LegProtocol::WebSocketMidstream || o.looks_like_websocket())
        || c.request.status.is_none()
            && (c.app_lines.iter().any(|a| a.what == AppEvent::Open)
                || c.tunnels.iter().any(TunnelLine::carried_answer));
    let shape = c
        .legs
        .iter()
        .flat_map(|l| &l.observations)
        .any(|o| o.tls.as_ref().is_some_and(|t| t.close_shape.is_some()));
    let frame = c.close.from_client.is_some() || c.close.from_server.is_some() || shape;
    let told = c.close.reported_server.is_some_and(|code| code != 1006);
    Place {
        upstream: upstream.map_or_else(
            || {
                Upstream::Route(format!(
                    "{} {path}",
                    c.hops
                        .get(1)
                        .and_then(|h| h.address)
                        .map(|a| a.to_string())
                        .unwrap_or_default()
                ))
            },
            |u| Upstream::Address(u.to_string()),
        ),
        route,
        proxy: c
            .hops
            .get(1)
            .filter(|h| h.kind.is_proxy())
            .and_then(|h| h.address)
            .or_else(|| entry.map(|e| e.ip())),
        opened: c.opened,
        closed: c.closed,
        unasked: !frame && !told,
        accepted,
        status: c.request.status,
    }
}

/// Silences that ended two or more connections behind the same address, densest groups first.
fn recurring(
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

/// Envoy's `delayed_close_timeout`: its FIN to the client stands this long after the end of the stream (default 1 s).
pub(super) const DELAYED_CLOSE_NS: i64 = SECOND_NS;

/// How long after the end of the stream that Envoy logged for its timer the client's leg, the only one captured, was closed.
pub(super) fn after_stream(c: &Connection) -> i64 {
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
fn one_way(
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
pub(super) fn flowing(c: &Connection, silence_ns: i64) -> bool {
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

/// Heartbeats that fail at once end lives alike too: so many are asked for where no capture shows payload until the end.
const LOGGED_LIVES: usize = 5;

/// Lives that ended three or more connections in the middle of their traffic, at different moments, and most of those cut so, by
/// what `whose` names of a connection.
fn lives<K: Ord + Clone>(
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
fn routes(connections: &[Connection], places: &[Place]) -> HashMap<String, Route> {
    let mut routes: HashMap<String, Route> = HashMap::new();
    for (i, (c, p)) in connections.iter().zip(places).enumerate() {
        let route = match routes.get_mut(&p.route) {
            Some(route) => route,
            None => routes.entry(p.route.clone()).or_default(),
        };
        if !p.accepted {
            route.refused += 1;
        } else if !c.events.is_empty()
            && let Some(free) = route.accepted.iter_mut().find(|a| a.is_none())
        {
            *free = Some(i);
        }
    }
    routes
}

fn by_client(connections: &[Connection], places: &[Place]) -> HashMap<IpAddr, Vec<Recurring>> {
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

/// Small records of one size that come from a server in regular steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SealedBeat {
    pub(super) len: u32,
    pub(super) period_ns: i64,
}

/// A ping of a few bytes with its frame head and what TLS adds to it.
const PING_RECORD: u32 = 64;

/// What a server sent in records as small as a ping, by size.
pub(super) fn small_records(o: &LegObservation) -> BTreeMap<u32, Vec<Mark>> {
    let mut by_len: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
    for e in o
        .events
        .iter()
        .filter(|e| e.direction == Direction::ToClient)
    {
        if let LegEventKind::TlsRecord { len } = e.what
            && let Some(len) = u32::try_from(len).ok().filter(|len| *len <= PING_RECORD)
        {
            by_len.entry(len).or_default().push(e.mark);
        }
    }
    by_len
}

fn sealed_beats(connections: &[Connection]) -> Vec<SealedBeat> {
    let sealed = |o: &&LegObservation| o.protocol == LegProtocol::Tls && o.looks_like_websocket();
    let mut found: Vec<SealedBeat> = connections
        .iter()
        .flat_map(|c| &c.legs)
        .flat_map(|l| &l.observations)
        .filter(sealed)
        .flat_map(small_records)
        .filter_map(|(len, marks)| {
            let mut gaps: Vec<i64> = marks.windows(2).map(|w| w[1].at.since(w[0].at)).collect();
            gaps.sort_unstable();
            let period_ns = gaps.get(gaps.len() / 2).copied()?;
            let steady = gaps
                .iter()
                .filter(|g| (*g - period_ns).abs() <= TIMER_NS + period_ns / 20)
                .count();
            let regular = gaps.len() >= 2 && steady * 3 >= gaps.len() * 2;
            (regular && period_ns >= SECOND_NS).then_some(SealedBeat { len, period_ns })
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Silences of three and more connections that their server ended by itself while no ping of it stood unanswered: the timer of its listener.
fn by_listener(connections: &[Connection], places: &[Place]) -> BTreeMap<Upstream, Vec<Recurring>> {
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
        let moments: BTreeSet<i64> = silences[i..j]
            .iter()
            .map(|&(_, at)| at.0 / (200 * MILLI_NS))
            .collect();
        if moments.len() >= 2 {
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
pub(super) fn round_to_timer(ns: i64) -> i64 {
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
