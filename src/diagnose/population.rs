//! All connections of a case -> what one of them shares with the others: instants, silences, routes, returns.

mod at_work;
mod instants;
mod recurring;
mod sealed;

use super::extract::told_server;
use crate::model::{
    AppEvent, AppLine, CaseContext, Connection, HopEvent, HopKind, LegProtocol, MILLI_NS, Moment,
    RecordRef, Role, SECOND_NS, SourceId, Stamp, TunnelLine,
};
use at_work::AtWork;
use instants::Instants;
use recurring::{by_client, by_listener, by_packet, lives, one_way};
use sealed::{SealedBeat, sealed_beats};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

pub(super) use instants::{Of, Together};
pub(super) use recurring::{
    DELAYED_CLOSE_NS, Recurring, after_stream, flowing, packet_silence, round_to_timer,
};
pub(super) use sealed::small_records;

/// Ends this near to one another are one instant (a dying process closes its sockets within milliseconds).
const INSTANT_NS: i64 = 60 * MILLI_NS;

/// Which server a connection was for, as well as the evidence knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// The same of those whose client said in a Close why it left.
    said: Vec<(Moment, usize)>,
    pub(super) instants: Instants,
    pub(super) at_work: AtWork,
    /// The coarsest stamp of an end.
    coarsest_ns: i64,
    /// Where the report puts each.
    starts: Vec<Moment>,
    /// Connections that were refused by a server which is gone, or by its gateway, in order of time: where the report puts it, index.
    refused: Vec<(Moment, usize)>,
    /// Whether proxies' logs and captures tell of any of them.
    pub(super) refused_told: (bool, bool),
    /// How many connections each client's address has.
    of_client: HashMap<IpAddr, usize>,
    routes: HashMap<String, Route>,
    /// Sources that name missed heartbeats.
    pub(super) beat_logs: BTreeSet<SourceId>,
    /// By the address that the client spoke to.
    recurring: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
    /// The same of one direction alone, where the other went on.
    one_way: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
    /// The same of every packet, where TCP's keep-alive went on behind the payload.
    by_packet: BTreeMap<Option<IpAddr>, Vec<Recurring>>,
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
    /// Lives that hops without flags logged to the millisecond, shortest first.
    lived: Vec<i64>,
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
        let says = |i: usize| connections.get(i).is_some_and(|c| told_server(c).is_some());
        let said = ends.iter().copied().filter(|&(_, i)| says(i)).collect();
        let mut refused: Vec<(Moment, usize)> = Vec::new();
        let mut refused_told = (false, false);
        for (i, c) in connections.iter().enumerate() {
            let Some(told) = refused_after(c) else {
                continue;
            };
            refused.push((c.sort_at, i));
            refused_told.0 |= !told.captured;
            refused_told.1 |= told.captured;
        }
        refused.sort_unstable();
        let mut of_client: HashMap<IpAddr, usize> = HashMap::new();
        for ip in connections.iter().filter_map(|c| c.client.ip) {
            *of_client.entry(ip).or_default() += 1;
        }
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
            if matches!(l.what, AppEvent::HeartbeatMissed | AppEvent::ReadTimedOut) {
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
        // What nginx writes at notice says nothing of the level below it.
        let info_level = hop_lines
            .clone()
            .any(|h| matches!(h.level.as_deref(), Some("info" | "debug")));
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
        let mut lived: Vec<i64> = connections
            .iter()
            .filter_map(|c| c.tunnels.iter().find_map(to_the_millisecond))
            .collect();
        lived.sort_unstable();
        Self {
            lived,
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
            by_packet: by_packet(connections, &places),
            recurring: recurring::recurring(connections, &places),
            one_way: one_way(connections, &places),
            routes: routes(connections, &places),
            beat_logs,
            ends,
            said,
            at_work: AtWork::new(connections),
            coarsest_ns: places
                .iter()
                .filter_map(|p| p.closed)
                .map(|s| s.tick_ns)
                .max()
                .unwrap_or(0),
            instants: Instants::new(&places, connections.iter().map(|c| c.sort_at)),
            starts: connections.iter().map(|c| c.sort_at).collect(),
            refused,
            refused_told,
            of_client,
            places,
            info_level,
            app_spans,
            logged_upstreams,
        }
    }

    /// Connections of an upstream that were over between two moments.
    pub(super) fn ending(&self, from: Moment, to: Moment, upstream: &Upstream) -> Vec<usize> {
        let first = self.ends.partition_point(|&(at, _)| at < from);
        self.ends[first..]
            .iter()
            .take_while(|&&(at, _)| at <= to)
            .map(|&(_, j)| j)
            .filter(|&j| self.places[j].upstream == *upstream)
            .collect()
    }

    /// How many connections lived from `least` to `most`, by the log of a hop that tells it to the millisecond.
    pub(super) fn lived(&self, least: i64, most: i64) -> usize {
        let before = |ns: i64| self.lived.partition_point(|l| *l < ns);
        before(most + 1).saturating_sub(before(least))
    }

    /// Connections for the server of `i`, or on its route, that begin between two moments, both included, and were refused because that
    /// server is gone, in order of time; `None` = no other connection begins there.
    pub(super) fn refused_between(
        &self,
        i: usize,
        from: Moment,
        to: Moment,
    ) -> Option<impl Iterator<Item = usize>> {
        let own = self
            .starts
            .get(i)
            .is_some_and(|at| (from..=to).contains(at));
        if !self.instants.listed(i, from, to, usize::from(own)) {
            return None;
        }
        let first = self.refused.partition_point(|(at, _)| *at < from);
        let within = self.refused.get(first..).unwrap_or_default();
        Some(
            within
                .iter()
                .take_while(move |(at, _)| *at <= to)
                .map(|(_, j)| *j)
                .filter(move |&j| j != i && self.instants.same_target(i, j)),
        )
    }

    /// How many connections came from that address.
    pub(super) fn of_client(&self, address: IpAddr) -> usize {
        self.of_client.get(&address).copied().unwrap_or(0)
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

    /// Connections of the same upstream whose clients said why they left, and which ended within one instant of connection `i`.
    pub(super) fn said_beside(&self, i: usize) -> impl Iterator<Item = usize> {
        let here = &self.places[i];
        let end = here.closed.map(Stamp::middle);
        let from = end.map_or(self.said.len(), |e| {
            self.said
                .partition_point(|&(at, _)| at < e.plus(-INSTANT_NS))
        });
        self.said[from..]
            .iter()
            .take_while(move |&&(at, _)| end.is_some_and(|e| at <= e.plus(INSTANT_NS)))
            .map(|&(_, j)| j)
            .filter(move |&j| j != i && self.places[j].upstream == here.upstream)
    }

    /// Connections that ended after `from` and before `to`, by the beginnings of their stamps.
    pub(super) fn ended_between(&self, from: Moment, to: Moment) -> impl Iterator<Item = usize> {
        // In order of the middles, which lie half a tick behind.
        let first = self.ends.partition_point(|(at, _)| *at <= from);
        let last = to.plus(self.coarsest_ns / 2);
        let within = self.ends[first..]
            .iter()
            .take_while(move |(at, _)| *at < last);
        let inside = move |s: Stamp| s.at > from && s.at < to;
        within
            .map(|&(_, i)| i)
            .filter(move |&i| self.places[i].closed.is_some_and(inside))
    }

    /// Unasked ends within one instant of connection `i`'s, itself included.
    pub(super) fn together(&self, i: usize, of: Of) -> Together {
        let end = self.places.get(i).and_then(|p| p.closed);
        end.map_or_else(Together::default, |end| self.instants.together(end, of))
    }

    /// Somebody asked for the server of `i`, or on its route, within that time from `from` on; and nobody was refused.
    pub(super) fn all_served(&self, i: usize, from: Moment, within_ns: i64) -> bool {
        self.instants.all_served(i, from, from.plus(within_ns))
    }

    /// Accepted connections of the same server or route as `i` that stood at `at` and lived on for a while, counted one by one: for the few
    /// that were turned away.
    pub(super) fn survivors_beside(&self, i: usize, at: Stamp) -> usize {
        let (from, to) = instants::around(at);
        let lived = |p: &Place| {
            p.accepted
                && p.opened.is_some_and(|o| o.middle() < from)
                && p.closed.is_none_or(|c| c.middle() > to)
        };
        self.places
            .iter()
            .enumerate()
            .filter(|&(j, p)| lived(p) && self.instants.same_target(i, j))
            .count()
    }

    pub(super) fn one_way(&self, proxy: Option<IpAddr>) -> &[Recurring] {
        self.one_way.get(&proxy).map_or(&[], Vec::as_slice)
    }

    pub(super) fn by_packet(&self, proxy: Option<IpAddr>) -> &[Recurring] {
        self.by_packet.get(&proxy).map_or(&[], Vec::as_slice)
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

/// The life of an upgraded request by a hop that logs it to the millisecond and never says that a timer of its own ended it.
pub(super) fn to_the_millisecond(t: &TunnelLine) -> Option<i64> {
    let tells = matches!(
        t.hop,
        HopKind::Nginx | HopKind::Alb | HopKind::AppGateway | HopKind::Iis
    );
    let silent = t.status == Some(101) && t.termination.is_none();
    t.life_ns.filter(|_| tells && silent)
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

/// What says that a server was gone.
pub(super) struct Refused {
    pub(super) record: Option<(RecordRef, Option<Stamp>)>,
    /// A capture tells of it, and not the log of a proxy.
    pub(super) captured: bool,
}

/// Nobody listened any more, or a gateway had nobody to ask.
pub(super) fn refused_after(c: &Connection) -> Option<Refused> {
    let line = c
        .hop_lines
        .iter()
        .find(|h| h.what == HopEvent::UpstreamRefused);
    let leg = || {
        let mut all = c.legs.iter().flat_map(|l| &l.observations);
        all.find(|o| o.refused)
    };
    let (record, captured) = if let Some(h) = line {
        (Some((h.record, Some(h.at))), false)
    } else if let Some(o) = leg() {
        let at = Stamp::new(o.first.at, 1_000);
        (Some((o.first.record, Some(at))), true)
    } else if matches!(c.request.status, Some(502 | 503)) {
        let last = c.events.last().map(|e| (e.record, Some(e.at)));
        (last, !c.legs.is_empty())
    } else {
        return None;
    };
    Some(Refused { record, captured })
}

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
