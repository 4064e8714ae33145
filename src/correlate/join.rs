//! Chains of legs and log lines -> drafts of connections: which lines speak of which connection.

use super::clock::first_teardown;
use super::draft::{Draft, Index, Rest};
use super::identity;
use super::legs::{self, Chain};
use crate::model::{
    Attempt, HopEvent, HopKind, HopLine, HopSettings, LegProtocol, Line, MILLI_NS, Moment,
    Response, SECOND_NS, SourceId, Stamp, TunnelLine,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

pub(super) fn drafts(
    chains: Vec<Chain>,
    lines: Vec<Line>,
    settings: &[HopSettings],
) -> (Vec<Draft>, Rest) {
    let mut drafts: Vec<Draft> = keep_attempts(chains)
        .into_iter()
        .map(|chain| Draft {
            chain,
            ..Draft::default()
        })
        .collect();
    let ws_paths = websocket_paths(&drafts, &lines);
    let mut tunnels = Tunnels::new();
    let mut hops = Vec::new();
    let mut flows = Vec::new();
    let mut apps = Vec::new();
    for line in lines {
        match line {
            Line::Tunnel(t) if is_attempt(&t, settings, &ws_paths) => {
                let group = tunnels.entry((t.hop, t.record.source)).or_default();
                group.push(t);
            }
            Line::Tunnel(_) => {}
            Line::Hop(h) if h.hop == HopKind::Firewall => flows.push(h),
            Line::Hop(h) => hops.push(h),
            Line::App(a) => apps.push(a),
        }
    }
    join_tunnels(&mut drafts, tunnels);
    let mut rest = Rest::default();
    super::apps::join(&mut drafts, apps, &mut rest);
    join_hops(&mut drafts, hops, &mut rest);
    super::flows::join(&mut drafts, flows);
    drafts.retain(|d| {
        let tls = d.hop_lines.iter().any(HopLine::is_tls);
        let nothing = d.chain.is_empty() && d.tunnels.is_empty() && d.app_lines.is_empty() && !tls;
        let logged = !d.tunnels.is_empty() || !d.app_lines.is_empty() || tls;
        let unknown = !logged && d.chain.iter().all(could_be_anything);
        if unknown && let Some(o) = d.chain.first().and_then(|l| l.observations.first()) {
            rest.unknown.push(o.first.record);
        }
        !nothing && !unknown
    });
    (drafts, rest)
}

/// Encrypted, with a handshake that was completed or still goes on, and records that any HTTP could have.
fn could_be_anything(leg: &legs::Leg) -> bool {
    leg.observations.iter().all(|o| {
        let failed = o.tls.as_ref().is_some_and(|t| {
            t.failed || !t.established && o.whole_from_start() && first_teardown(o).is_some()
        });
        o.protocol == LegProtocol::Tls && !o.looks_like_websocket() && !failed
    })
}

/// Drops chains that are one thrown-away TCP connection, unless they went where WebSockets are served and came from a client.
fn keep_attempts(chains: Vec<Chain>) -> Vec<Chain> {
    let speaks = |c: &Chain| c.iter().any(legs::asked);
    let entries: BTreeSet<_> = chains
        .iter()
        .filter(|c| speaks(c))
        .map(|c| c[0].server)
        .collect();
    let proxies: BTreeSet<IpAddr> = chains
        .iter()
        .filter(|c| c.len() > 1)
        .map(|c| c[0].server.ip())
        .collect();
    let encrypted = |c: &Chain| {
        c.iter().all(|l| !legs::asked(l))
            && c[0]
                .observations
                .iter()
                .any(|o| o.protocol == LegProtocol::Tls)
    };
    chains
        .into_iter()
        .filter(|c| {
            speaks(c)
                || encrypted(c)
                || (entries.contains(&c[0].server) && !proxies.contains(&c[0].client.ip()))
        })
        .collect()
}

/// A possible pair: the smaller, the better.
pub(super) type Cost = (u32, i64);

/// Takes pairs best first, each side once.
fn assign(mut pairs: Vec<(Cost, usize, usize)>, lines: usize) -> Vec<Option<usize>> {
    pairs.sort_unstable();
    let mut taken = vec![false; pairs.iter().map(|p| p.2 + 1).max().unwrap_or(0)];
    let mut of_line = vec![None; lines];
    for (_, line, draft) in pairs {
        if of_line[line].is_none() && !taken[draft] {
            of_line[line] = Some(draft);
            taken[draft] = true;
        }
    }
    of_line
}

// --- access lines ---

/// The lines of each hop in each source.
type Tunnels = BTreeMap<(HopKind, SourceId), Vec<TunnelLine>>;

/// Which paths speak WebSocket is known by those that did: a refused request to them was an attempt.
fn websocket_paths(drafts: &[Draft], lines: &[Line]) -> HashSet<String> {
    let mut paths = HashSet::new();
    let captured = drafts.iter().filter_map(Draft::uri);
    let logged = lines.iter().filter_map(|line| match line {
        Line::Tunnel(t) if t.says_websocket() => t.uri.as_deref(),
        _ => None,
    });
    for path in captured.chain(logged).map(identity::path) {
        // Nearly always it is one of few.
        if !paths.contains(path) {
            paths.insert(path.to_owned());
        }
    }
    paths
}

fn is_attempt(line: &TunnelLine, settings: &[HopSettings], ws_paths: &HashSet<String>) -> bool {
    match line.attempt(settings) {
        Attempt::Yes => true,
        Attempt::No => false,
        Attempt::OfPath => line
            .uri
            .as_deref()
            .is_some_and(|u| ws_paths.contains(identity::path(u))),
    }
}

fn join_tunnels(drafts: &mut Vec<Draft>, tunnels: Tunnels) {
    // The outermost hop's lines first: they know the client best.
    let mut groups: Vec<((HopKind, SourceId), Vec<TunnelLine>)> = tunnels.into_iter().collect();
    groups.sort_by_key(|((hop, source), lines)| {
        let forwarded =
            lines.iter().filter(|t| !t.forwarded_for.is_empty()).count() * 2 > lines.len();
        let ported = lines.iter().all(|t| t.client_port.is_some());
        (
            forwarded,
            !hop.is_edge(),
            !matches!(hop, HopKind::Alb | HopKind::Haproxy | HopKind::Proxy),
            !ported,
            *source,
        )
    });
    let mut known = Known {
        index: Index::new(drafts),
        blind: Vec::new(),
        captured: drafts.len(),
        last: false,
    };
    let mut groups = groups.into_iter().peekable();
    while let Some((_, lines)) = groups.next() {
        known.last = groups.peek().is_none();
        join_tunnel_group(drafts, &mut known, lines);
    }
}

/// By what drafts are found, while one source after the other adds to them: a folder may hold thousands of logs.
struct Known {
    index: Index,
    /// Those that the line of a hop without an eye for HTTP began.
    blind: Vec<usize>,
    /// As many were begun by captures.
    captured: usize,
    /// No source follows for which anything would have to be found.
    last: bool,
}

fn join_tunnel_group(drafts: &mut Vec<Draft>, known: &mut Known, lines: Vec<TunnelLine>) {
    let index = &known.index;
    let passed_on = PassedOn::new(drafts, &known.blind);
    let carried = Carried::new(&drafts[..known.captured]);
    let mut pairs = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        // Its peer is nobody's client: a hop that stands before it.
        let behind = line.client.is_some_and(|ip| !index.knows(ip));
        if line.hop == HopKind::Client
            && let Some(pair) = as_the_client_saw_it(drafts, line)
        {
            pairs.push((pair.0, i, pair.1));
            continue;
        }
        for &d in index.of_key(line.ws_key.as_deref()) {
            pairs.extend(tunnel_cost(&drafts[d], line, behind).map(|cost| (cost, i, d)));
        }
        for d in index.candidates(
            line.client.iter().chain(&line.forwarded_for),
            identity::of_tunnel(line).as_deref(),
        ) {
            if let Some(cost) = tunnel_cost(&drafts[d], line, behind) {
                pairs.push((cost, i, d));
            }
        }
        if behind {
            let found = passed_on.candidates(drafts, line);
            pairs.extend(found.map(|(cost, d)| (cost, i, d)));
            let found = carried.candidates(drafts, line);
            pairs.extend(found.map(|(cost, d)| (cost, i, d)));
        }
    }
    let of_line = assign(pairs, lines.len());
    for (line, draft) in lines.into_iter().zip(of_line) {
        let d = draft.unwrap_or(drafts.len());
        if draft.is_none() {
            drafts.push(Draft::default());
            if line.is_tcp() {
                known.blind.push(d);
            }
        }
        if known.last {
            drafts[d].add_tunnel(line);
        } else {
            known.index.grow(d, &mut drafts[d], line);
        }
    }
}

/// The connection that a browser tells of: it names no address, so the one of its key; else the only one of its target that
/// began and ended when it says. Where there are two, it stays apart.
fn as_the_client_saw_it(drafts: &[Draft], line: &TunnelLine) -> Option<(Cost, usize)> {
    let uri = line.uri.as_deref()?;
    let mut found = drafts.iter().enumerate().filter_map(|(d, draft)| {
        let other = |t: &TunnelLine| t.record.source == line.record.source;
        if draft.tunnels.iter().any(other) {
            return None;
        }
        if let (Some(a), Some(b)) = (line.ws_key.as_deref(), draft.ws_key()) {
            return (a == b).then_some((0, d));
        }
        let granted = draft.refused() == (line.status != Some(101));
        let meets = |a: Option<Stamp>, b: Option<Stamp>| {
            a.zip(b).is_none_or(|(a, b)| a.apart(b) <= SECOND_NS)
        };
        let begun = line.start.zip(draft.opened());
        let fits = granted
            && same_target(draft.uri()?, uri)
            && (begun.is_some() || line.end.zip(draft.over()).is_some())
            && meets(line.start, draft.opened())
            && meets(line.end, draft.over());
        fits.then_some((5, d))
    });
    let first = found.next()?;
    let second = found.next();
    match (first, second) {
        ((0, d), _) | (_, Some((0, d))) => Some(((0, 0), d)),
        ((rank, d), None) => Some(((rank, 0), d)),
        _ => found.find(|f| f.0 == 0).map(|(_, d)| ((0, 0), d)),
    }
}

/// Drafts that only hops without an eye for HTTP tell of: what a hop behind them logs names the hop before it, and only time ties the two.
struct PassedOn {
    /// End and draft, in order of time.
    ends: Vec<(Moment, usize)>,
}

/// A hop learns of the end within this time of the one before it, beside what the stamps allow.
const PASSED_ON_NS: i64 = 1500 * MILLI_NS;

impl PassedOn {
    /// `begun` are those that such a hop's line began; some of them others may tell of by now.
    fn new(drafts: &[Draft], begun: &[usize]) -> Self {
        let blind = |d: &Draft| d.tunnels.iter().all(TunnelLine::is_tcp);
        let mut ends: Vec<(Moment, usize)> = begun
            .iter()
            .map(|&i| (i, &drafts[i]))
            .filter(|(_, d)| blind(d))
            .filter_map(|(i, d)| Some((d.tunnels.first()?.end?.at, i)))
            .collect();
        ends.sort_unstable();
        Self { ends }
    }

    /// Those whose times fit a line of the hop behind.
    fn candidates<'a>(
        &'a self,
        drafts: &'a [Draft],
        line: &'a TunnelLine,
    ) -> impl Iterator<Item = (Cost, usize)> + 'a {
        let reach = PASSED_ON_NS + SECOND_NS;
        let end = line.end.filter(|_| !line.is_tcp());
        let from = end.map_or(self.ends.len(), |e| {
            self.ends.partition_point(|&(at, _)| at < e.at.plus(-reach))
        });
        self.ends[from..]
            .iter()
            .take_while(move |&&(at, _)| {
                end.is_some_and(|e| at <= e.at.plus(e.tick_ns + PASSED_ON_NS))
            })
            .filter_map(move |&(_, d)| {
                let front = drafts[d].tunnels.first()?;
                let over = front.end?.apart(end?);
                let open = match (front.start, line.start) {
                    (Some(a), Some(b)) => a.apart(b),
                    _ => 0,
                };
                // What the hop behind sent went through the one in front.
                let room = match (front.bytes_to_client, line.bytes_to_client) {
                    (Some(a), Some(b)) => a >= b,
                    _ => true,
                };
                let fits = room && over <= PASSED_ON_NS && open <= PASSED_ON_NS;
                fits.then_some(((8, over.saturating_add(open)), d))
            })
    }
}

/// Captured legs that no line speaks of yet: a hop that passes TCP on names its client and not its own port, and a capture behind it
/// knows the hop for the client. Both the opening and the end tie the two.
struct Carried {
    /// First packet and draft, in order of time.
    opened: Vec<(Moment, usize)>,
}

/// A hop opens its leg within this time of the client's, and ends both within it.
const CARRIED_NS: i64 = 300 * MILLI_NS;

impl Carried {
    fn new(drafts: &[Draft]) -> Self {
        let mut opened: Vec<(Moment, usize)> = drafts
            .iter()
            .enumerate()
            .filter(|(_, d)| d.tunnels.is_empty())
            .filter_map(|(i, d)| {
                let leg = d.chain.first().filter(|l| legs::seen_from_start(l))?;
                let syn = leg.observations.iter().find_map(|o| o.syn);
                Some((syn.map_or_else(|| legs::opened(leg), |m| m.at), i))
            })
            .collect();
        opened.sort_unstable();
        Self { opened }
    }

    fn candidates<'a>(
        &'a self,
        drafts: &'a [Draft],
        line: &'a TunnelLine,
    ) -> impl Iterator<Item = (Cost, usize)> + 'a {
        let fine = |s: &Stamp| s.tick_ns <= 10 * MILLI_NS;
        let start = line.start.filter(|s| line.is_tcp() && fine(s));
        let from = start.map_or(self.opened.len(), |s| {
            let first = s.at.plus(-20 * MILLI_NS);
            self.opened.partition_point(|&(at, _)| at < first)
        });
        self.opened[from..]
            .iter()
            .take_while(move |&&(at, _)| {
                start.is_some_and(|s| at <= s.at.plus(s.tick_ns + CARRIED_NS))
            })
            .filter_map(move |&(at, d)| {
                let chain = &drafts[d].chain;
                let elsewhere = line.upstream.is_some_and(|u| u != chain[0].server);
                let over = Stamp::new(legs::torn_down(chain)?, 1_000);
                let ends = line.end?.apart(over);
                let fits = !elsewhere && ends <= CARRIED_NS;
                let apart = at.since(start?.at).abs();
                fits.then_some(((9, apart.saturating_add(ends)), d))
            })
    }
}

/// How far a line's times may be from a draft's and still speak of it.
fn slack(a: Stamp, b: Stamp) -> i64 {
    a.tick_ns.max(b.tick_ns) + 2 * SECOND_NS
}

/// A moment that falls on the edge of a second may be noted in the next one.
const EDGE_NS: i64 = 50 * MILLI_NS;

/// How far apart two stamps are. Of whole seconds several fit equally well, and their order decides: those on the edge must not
/// take the place of others.
pub(super) fn apart(a: Stamp, b: Stamp) -> i64 {
    let coarse = a.tick_ns.max(b.tick_ns) >= SECOND_NS;
    let far = a.apart(b);
    if coarse { (far - EDGE_NS).max(0) } else { far }
}

fn distance(a: Option<Stamp>, b: Option<Stamp>) -> Option<i64> {
    Some(apart(a?, b?))
}

fn tunnel_cost(draft: &Draft, line: &TunnelLine, behind: bool) -> Option<Cost> {
    // Two hops of one program on one path are possible, two lines of one file about one connection are not.
    if draft
        .tunnels
        .iter()
        .any(|t| t.record.source == line.record.source)
    {
        return None;
    }
    let exact = |ip: IpAddr, port: u16| {
        line.client == Some(ip.to_canonical()) && line.client_port == Some(port)
    };
    let start = line.start.or(line.end)?;
    let end = line.end.or(line.start)?;
    let open = draft.opened();
    let over = draft.over();
    let d_open = distance(line.start, open);
    let d_over = distance(line.end, over);
    let spread = d_open
        .unwrap_or(0)
        .min(d_over.unwrap_or(i64::MAX))
        .min(i64::MAX / 4);
    if let (Some(a), Some(draft_key)) = (line.ws_key.as_deref(), draft.ws_key()) {
        return (a == draft_key).then_some((0, 0));
    }
    if draft
        .chain
        .iter()
        .any(|l| exact(l.client.ip(), l.client.port()))
    {
        // Ports come back: the times have to meet as well.
        let leg = draft
            .chain
            .iter()
            .find(|l| exact(l.client.ip(), l.client.port()))?;
        let lives = start.at <= legs::ended(leg).plus(60 * SECOND_NS)
            && end.at >= legs::opened(leg).plus(-5 * SECOND_NS);
        let began = line.start.is_none_or(|s| {
            let off = s.at.since(legs::opened(leg));
            // A leg whose beginning the capture missed may be as old as it likes.
            off.abs() < 5 * SECOND_NS || off < 0 && !legs::seen_from_start(leg)
        });
        return (lives && began).then_some((1, spread));
    }
    // A port that is known on both sides and differs is another connection, unless a hop lies between.
    if let (Some(port), [leg]) = (line.client_port, draft.chain.as_slice())
        && line.client == Some(leg.client.ip().to_canonical())
        && leg.client.port() != port
    {
        return None;
    }
    if let (Some(port), Some(known)) = (
        line.client_port,
        draft
            .tunnels
            .iter()
            .find(|t| t.client == line.client)
            .and_then(|t| t.client_port),
    ) && port != known
    {
        return None;
    }
    if draft.refused() != (line.status != Some(101))
        && line.status.is_some()
        && (draft.opened().is_some() && (draft.refused() || has_101(draft)))
    {
        return None;
    }
    let clients = draft.clients();
    // A hop behind another one sees the same peer for every client: who was forwarded tells them apart.
    let inner = draft
        .chain
        .iter()
        .skip(1)
        .any(|l| line.client == Some(l.client.ip().to_canonical()));
    let peer = line
        .client
        .iter()
        .filter(|_| !inner || line.forwarded_for.is_empty());
    let shares_client = peer
        .chain(&line.forwarded_for)
        .any(|ip| clients.contains(&ip.to_canonical()));
    if inner && !shares_client && !line.forwarded_for.is_empty() {
        return None;
    }
    let same_uri = match (draft.uri(), line.uri.as_deref()) {
        (Some(a), Some(b)) => {
            if !same_target(a, b) {
                return None;
            }
            identity::token(a).is_some() && identity::token(b).is_some()
        }
        _ => false,
    };
    let chained = draft
        .tunnels
        .iter()
        .any(|t| t.upstream.is_some_and(|u| Some(u.ip()) == line.client) || t.hop != line.hop);
    let tied = shares_client || same_uri && (chained || behind || !draft.chain.is_empty());
    if !tied {
        return None;
    }
    let near_open = line
        .start
        .zip(open)
        .is_some_and(|(a, b)| a.middle().since(b.middle()).abs() <= slack(a, b));
    let near_over = line
        .end
        .zip(over)
        .is_some_and(|(a, b)| a.middle().since(b.middle()).abs() <= slack(a, b));
    // A hop may learn of the end much later than another (unacknowledged data): then the opening has to fit.
    let fits = near_open
        || near_over && (line.start.is_none() || open.is_none())
        || line.start.is_none()
            && over.is_none()
            && open.is_some_and(|o| o.at <= end.at.plus(end.tick_ns))
        || line.start.is_none()
            && same_uri
            && open.is_some_and(|o| o.at <= end.at.plus(end.tick_ns))
            && over.is_none_or(|o| end.at.plus(end.tick_ns) >= o.at);
    // The hop that wrote the line named its own peer: the client itself, or the hop before it.
    let names_peer = shares_client
        || draft
            .chain
            .iter()
            .any(|l| line.client == Some(l.server.ip().to_canonical()));
    let rank = match (same_uri, names_peer) {
        (true, true) if near_open || near_over => 2,
        // A connection that was caught in its middle names nobody, and its end may say enough.
        (false, true) if near_over && draft.uri().is_none() => 3,
        (true, true) => 4,
        (true, false) => 5,
        (false, _) => 6,
    };
    let cost = match (d_open, d_over) {
        (Some(a), Some(b)) => a.min(b).saturating_add(a.max(b) / 64),
        (Some(a), None) | (None, Some(a)) => a,
        // Nothing to compare: any draft whose end or opening agrees comes first.
        (None, None) => 60 * SECOND_NS,
    };
    fits.then_some((rank, cost))
}

fn has_101(draft: &Draft) -> bool {
    draft
        .chain
        .iter()
        .any(|l| legs::response(l).is_some_and(Response::upgraded))
        || draft.tunnels.iter().any(|t| t.status == Some(101))
}

/// Two URIs that name one target: equal, or the same token where one is absolute or was rewritten on the way.
fn same_target(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (identity::token(a), identity::token(b)) {
        (Some(x), Some(y)) => x == y,
        (None, None) => a.ends_with(b) || b.ends_with(a) || identity::path(a) == identity::path(b),
        // A log or a cut packet may leave the query out.
        (None, Some(_)) => !a.contains('?') && a == identity::path(b),
        (Some(_), None) => !b.contains('?') && b == identity::path(a),
    }
}

// --- error-log lines ---

fn join_hops(drafts: &mut Vec<Draft>, hops: Vec<HopLine>, rest: &mut Rest) {
    if hops.is_empty() {
        return;
    }
    let mut by_serial: HashMap<(HopKind, u64), Vec<usize>> = HashMap::new();
    for (i, d) in drafts.iter().enumerate() {
        for t in &d.tunnels {
            if let Some(serial) = t.serial {
                by_serial.entry((t.hop, serial)).or_default().push(i);
            }
        }
    }
    let index = Index::new(drafts);
    // Who failed at the door of a hop through which WebSockets go came for one, as far as anybody can tell.
    let doors: BTreeSet<HopKind> = drafts
        .iter()
        .flat_map(|d| &d.tunnels)
        .filter(|t| t.status == Some(101))
        .map(|t| t.hop)
        .collect();
    let mut failed: Vec<Draft> = Vec::new();
    for line in hops {
        let of_one = line.client.is_some() || line.serial.is_some() && line.uri.is_some();
        if !of_one {
            rest.hop_lines.push(line);
            continue;
        }
        let token = line.uri.as_deref().and_then(identity::token);
        // nginx numbers its connections anew after a restart: serial and client have to agree.
        let numbered = line
            .serial
            .and_then(|s| by_serial.get(&(line.hop, s)))
            .into_iter()
            .flatten()
            .copied();
        let mut candidates: Vec<(Cost, usize)> = numbered
            .filter_map(|d| hop_cost(&drafts[d], &line).map(|c| ((0, c.1), d)))
            .collect();
        if candidates.is_empty() {
            candidates = index
                .candidates(line.client.iter(), token.as_deref())
                .into_iter()
                .filter_map(|d| hop_cost(&drafts[d], &line).map(|c| (c, d)))
                .collect();
        }
        // Tries of one second have a line each.
        let told = |d: usize| drafts[d].hop_lines.iter().any(|h| h.what == line.what);
        let best = candidates
            .into_iter()
            .min_by_key(|&((rank, off), d)| (rank, told(d), off, d));
        match best {
            Some((_, d)) => drafts[d].hop_lines.push(line),
            None if line.is_tls() && doors.contains(&line.hop) => failed.push(Draft {
                hop_lines: vec![line],
                ..Draft::default()
            }),
            None => rest.hop_lines.push(line),
        }
    }
    drafts.extend(failed);
    for d in drafts {
        d.hop_lines.sort_by_key(|l| (l.at, l.record));
    }
    rest.hop_lines.sort_by_key(|l| (l.at, l.record));
}

fn hop_cost(draft: &Draft, line: &HopLine) -> Option<Cost> {
    let clients = draft.clients();
    if let Some(ip) = line.client
        && !clients.contains(&ip.to_canonical())
    {
        return None;
    }
    if let (Some(a), Some(b)) = (draft.uri(), line.uri.as_deref())
        && !same_target(a, b)
    {
        return None;
    }
    let handshake = matches!(
        line.what,
        HopEvent::UpstreamRefused
            | HopEvent::UpstreamUnreachable
            | HopEvent::UpstreamClosedEarly
            | HopEvent::HandshakeTimeout
            | HopEvent::ClientLeftEarly
            | HopEvent::NoLiveUpstreams
            | HopEvent::WorkerConnections
    );
    let established = matches!(
        line.what,
        HopEvent::IdleTimeout
            | HopEvent::ClientTimeout
            | HopEvent::ResetWhileUpgraded
            | HopEvent::TcpTimeout
    );
    if handshake && has_101(draft) || established && draft.refused() {
        return None;
    }
    let at = line.at.middle();
    let open = draft.opened().map(Stamp::middle);
    let over = draft.over().map(Stamp::middle);
    let nearest = [open.filter(|_| handshake), over]
        .into_iter()
        .flatten()
        .map(|m: Moment| at.since(m).abs())
        .min();
    let limit = line.at.tick_ns + 2 * SECOND_NS;
    match nearest {
        Some(d) if d <= limit => Some((1, (d - line.at.tick_ns / 2 - EDGE_NS).max(0))),
        // Nothing tells when it ended: inside its life is enough. A hop may also act on a leg long after another one ended.
        _ if established && open.is_some_and(|o| o <= at) => Some((3, nearest.unwrap_or(0))),
        None if open.is_none() => Some((4, 0)),
        _ => None,
    }
}
