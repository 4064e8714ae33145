//! Application lines -> the drafts they speak of, and connections of their own where nothing else tells of them.

mod units;

use super::draft::{Draft, Index, Rest};
use super::join::{Cost, apart};
use super::legs;
use crate::model::{AppEvent, AppLine, MILLI_NS, SECOND_NS, SourceId, Stamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use units::{Starts, Unit, units};

/// An application notes an opening within this time of the hop before it.
const PEER_NS: i64 = 500 * MILLI_NS;

/// A hop gives a client up within this time of its server's close (nginx's `lingering_time` and `send_timeout` are below it).
const LINGER_NS: i64 = 75 * SECOND_NS;

/// What an application that sees only the hop before it says: time alone ties it to what that hop's own peers tell.
struct Behind {
    /// Addresses that no draft knows, each the client of several connections: hops.
    hops: BTreeSet<IpAddr>,
    /// Openings and ends, in order of time.
    opened: Vec<(Stamp, usize)>,
    over: Vec<(Stamp, usize)>,
}

/// Drafts by the address and port from which a hop reached the upstream.
struct Relayed(HashMap<SocketAddr, Vec<usize>>);

impl Relayed {
    fn new(drafts: &[Draft]) -> Self {
        let mut all: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
        for (i, draft) in drafts.iter().enumerate() {
            for end in own_ends(draft) {
                let end = SocketAddr::new(end.ip().to_canonical(), end.port());
                all.entry(end).or_default().push(i);
            }
        }
        Self(all)
    }

    fn of(&self, unit: &Unit) -> impl Iterator<Item = usize> {
        let peers = unit.lines.iter().filter_map(|l| match *l.client {
            [ip] => Some(SocketAddr::new(ip.to_canonical(), l.client_port?)),
            _ => None,
        });
        let first = peers.take(1);
        first.filter_map(|p| self.0.get(&p)).flatten().copied()
    }
}

/// An upgrade or an end passes a hop within this time.
const PASS_NS: i64 = 100 * MILLI_NS;
/// Coarser stamps tie nothing by themselves.
const COARSEST_NS: i64 = SECOND_NS;
/// How well the end alone ties what an application says behind a hop.
const OVER: u32 = 8;
/// A hop counts a life from the request, the application from the upgrade, each to the millisecond.
const SAME_LIFE_NS: i64 = 30 * MILLI_NS;
/// So many openings or ends of one unknown address are a hop's.
const HOP_LINES: usize = 3;

impl Behind {
    fn new(drafts: &[Draft], index: &Index, units: &[Unit]) -> Self {
        let mut lines: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for unit in units
            .iter()
            .filter(|u| u.open.is_some() || u.close.is_some())
        {
            if let Some(ip) = unit.clients().next().filter(|ip| !index.knows(**ip)) {
                *lines.entry(*ip).or_default() += 1;
            }
        }
        lines.retain(|_, count| *count >= HOP_LINES);
        let moments = |of: fn(&Draft) -> Option<Stamp>| {
            let mut all: Vec<(Stamp, usize)> = drafts
                .iter()
                .enumerate()
                .filter(|(_, d)| !d.refused())
                .filter_map(|(i, d)| Some((of(d).filter(|s| s.tick_ns <= COARSEST_NS)?, i)))
                .collect();
            all.sort_unstable_by_key(|&(s, i)| (s.at, i));
            all
        };
        Self {
            opened: moments(Draft::opened),
            over: moments(Draft::over),
            hops: lines.into_keys().collect(),
        }
    }

    fn candidates(&self, drafts: &[Draft], unit: &Unit) -> Vec<(Cost, usize)> {
        let hop = |ip: &IpAddr| self.hops.contains(ip);
        if !unit.clients().next().is_some_and(hop) {
            return Vec::new();
        }
        let opened = unit.open.map(|at| (&self.opened, at, 7));
        let over = unit.close.map(|at| (&self.over, at, OVER));
        let mut found = Vec::new();
        if let Some((all, at, rank)) = opened {
            found.extend(Self::near(drafts, unit, all, at, rank));
        }
        // A log may tell of the end alone.
        if let Some((all, at, rank)) = over {
            let ends = Self::near(drafts, unit, all, at, rank).into_iter();
            found
                .extend(ends.filter(|&(_, d)| unit.open.is_none() || drafts[d].opened().is_none()));
        }
        found
    }

    fn near(
        drafts: &[Draft],
        unit: &Unit,
        all: &[(Stamp, usize)],
        at: Stamp,
        rank: u32,
    ) -> Vec<(Cost, usize)> {
        let reach = PASS_NS + COARSEST_NS;
        let from = all.partition_point(|(s, _)| s.at < at.at.plus(-reach));
        all[from..]
            .iter()
            .take_while(|(s, _)| s.at <= at.at.plus(at.tick_ns + PASS_NS))
            .filter_map(|&(s, d)| {
                let draft = &drafts[d];
                let other = draft
                    .identity()
                    .zip(unit.identity())
                    .is_some_and(|(a, b)| a != b && !draft.is_named(&b));
                let ends = unit.close.zip(draft.over()).map_or(0, |(a, b)| apart(a, b));
                let apart = apart(s, at);
                let alive = unit.close.is_some_and(|over| draft.heard_after(over));
                // Of several captured legs the last is mostly the server's own, unless it leads to the hop that the application names.
                let leads = draft.chain.len() < 2
                    || draft.chain.last().is_some_and(|leg| {
                        let ip = leg.server.ip().to_canonical();
                        unit.clients().any(|c| *c == ip)
                    });
                let fits = !other && !alive && leads && apart <= PASS_NS && ends <= 15 * PASS_NS;
                // What is known to the millisecond goes first, and a life of the same length.
                let cost = apart.saturating_add(ends / 4).saturating_add(s.tick_ns / 8);
                let cost = cost.saturating_add(lives_differ(draft, unit).unwrap_or(0) / 4);
                fits.then_some(((rank, cost), d))
            })
            .collect()
    }
}

pub(super) fn join(drafts: &mut Vec<Draft>, lines: Vec<AppLine>, rest: &mut Rest) {
    if lines.is_empty() {
        return;
    }
    let mut by_source: BTreeMap<SourceId, Vec<AppLine>> = BTreeMap::new();
    for line in lines {
        let of_connection = matches!(
            line.what,
            AppEvent::Open
                | AppEvent::Close { .. }
                | AppEvent::Error { .. }
                | AppEvent::HeartbeatMissed
                | AppEvent::Idle
                | AppEvent::ReadTimedOut
                | AppEvent::Rejected { .. }
                | AppEvent::Backpressure
                | AppEvent::Exception { .. }
                | AppEvent::Exhausted { .. }
                | AppEvent::Other
        ) && (line.connection_id.is_some()
            || line.session.is_some()
            || !line.client.is_empty()
            || line.uri.is_some());
        if of_connection {
            by_source.entry(line.record.source).or_default().push(line);
        } else {
            rest.app_lines.push(line);
        }
    }
    // Applications that log to several files speak of different connections: best pairs over all of them.
    let starts = Starts::new(&rest.app_lines);
    let mut units: Vec<Unit> = by_source
        .into_values()
        .flat_map(|lines| units(lines, &starts))
        .collect();
    units.sort_by_key(|u| (u.first(), u.lines[0].record));
    let before = ends_before(drafts);
    let index = Index::new(drafts);
    let relayed = Relayed::new(drafts);
    let mut pairs = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let named = index.candidates(unit.clients(), unit.identity().as_deref());
        for d in named.into_iter().chain(relayed.of(unit)) {
            if let Some(cost) = unit_cost(&drafts[d], before[d], unit, &starts) {
                pairs.push((cost, i, d));
            }
        }
    }
    let behind = Behind::new(drafts, &index, &units);
    let mut by_time = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let found = behind.candidates(drafts, unit).into_iter();
        by_time.extend(found.map(|(cost, d)| (cost, i, d)));
    }
    pairs.extend_from_slice(&by_time);
    // Of ends that fall into one tick the order decides.
    let ended = |cost: &Cost, u: usize| units[u].close.filter(|_| cost.0 == OVER).map(|at| at.at);
    pairs.sort_unstable_by_key(|&(cost, u, d)| (cost, ended(&cost, u), u, d));
    // A connection takes one opening and one close, which may come from two units (logs that name only an address).
    let mut has_open = vec![false; drafts.len()];
    let mut has_close = vec![false; drafts.len()];
    // The log of one process has both: what names no more than an address must not be mixed from two.
    let mut log_of: Vec<Option<SourceId>> = vec![None; drafts.len()];
    let mut of_unit = vec![None; units.len()];
    for (_, u, d) in pairs {
        let of_other_log = log_of[d].is_some_and(|s| s != units[u].source());
        if of_unit[u].is_some()
            || units[u].open.is_some() && has_open[d]
            || units[u].close.is_some() && has_close[d]
            || of_other_log && units[u].names_address_only()
        {
            continue;
        }
        log_of[d].get_or_insert(units[u].source());
        has_open[d] |= units[u].open.is_some();
        has_close[d] |= units[u].close.is_some();
        of_unit[u] = Some(d);
    }
    for d in doubtful(&by_time, &of_unit) {
        drafts[d].app_doubtful = true;
    }
    let mut left = Vec::new();
    for (unit, draft) in units.into_iter().zip(of_unit) {
        match draft {
            Some(d) => drafts[d].app_lines.extend(unit.lines),
            None => left.push(unit),
        }
    }
    adopt(drafts, left, &starts, rest);
    for d in drafts {
        d.app_lines.sort_by_key(|l| (l.at, l.record));
    }
}

/// Fits that differ by less than this are equally good.
const ALIKE_NS: i64 = 5 * MILLI_NS;

/// Drafts that took by time alone what another could have taken as well: one that took nothing, or one that could have had theirs in exchange.
fn doubtful(by_time: &[(Cost, usize, usize)], of_unit: &[Option<usize>]) -> BTreeSet<usize> {
    let fit: HashMap<(usize, usize), Cost> = by_time.iter().map(|&(c, u, d)| ((u, d), c)).collect();
    let taken: HashMap<usize, usize> = of_unit
        .iter()
        .enumerate()
        .filter_map(|(u, d)| Some(((*d)?, u)))
        .collect();
    let alike = |a: Cost, b: Cost| a.0 == b.0 && a.1 <= b.1.saturating_add(ALIKE_NS);
    let mut found = BTreeSet::new();
    for &(other, u, beside) in by_time {
        let Some(own) = of_unit[u].filter(|d| *d != beside) else {
            continue;
        };
        let Some(&cost) = fit.get(&(u, own)) else {
            continue;
        };
        let swaps = match taken.get(&beside) {
            None => true,
            Some(theirs) => fit
                .get(&(*theirs, own))
                .zip(fit.get(&(*theirs, beside)))
                .is_some_and(|(swapped, now)| alike(*swapped, *now)),
        };
        if alike(other, cost) && swaps {
            found.extend([own, beside]);
        }
    }
    found
}

/// For each draft, when the connection of the same identity before it was over.
fn ends_before(drafts: &[Draft]) -> Vec<Option<Stamp>> {
    let mut of_identity: BTreeMap<String, Vec<(Stamp, usize)>> = BTreeMap::new();
    for (i, d) in drafts.iter().enumerate() {
        if let (Some(who), Some(over)) = (d.identity(), d.over()) {
            of_identity.entry(who).or_default().push((over, i));
        }
    }
    let mut before = vec![None; drafts.len()];
    for mut ends in of_identity.into_values() {
        ends.sort_by_key(|&(over, i)| (over.at, i));
        for pair in ends.windows(2) {
            if let [(earlier, _), (_, i)] = *pair {
                before[i] = Some(earlier);
            }
        }
    }
    before
}

/// By how much the life that a hop logged differs from the application's.
fn lives_differ(draft: &Draft, unit: &Unit) -> Option<i64> {
    let logged = draft.tunnels.iter().find_map(|t| t.life_ns)?;
    let (open, close) = unit.open.zip(unit.close)?;
    let fine = open.tick_ns.max(close.tick_ns) <= SAME_LIFE_NS;
    fine.then(|| (close.at.since(open.at) - logged).abs())
}

/// The ends that upstreams of the draft's hops saw as their peers, as those hops logged them.
fn own_ends(draft: &Draft) -> impl Iterator<Item = SocketAddr> {
    let logged = draft.tunnels.iter();
    logged.filter_map(|t| t.upstream_local.as_deref().copied())
}

/// The peer that the application saw is the client of one of the draft's legs, port and all, or what a hop logged as its own end;
/// `Some(false)`: of that address, with another port. What names several addresses names the port of one of them, and only an equal one says
/// something.
fn same_endpoint(draft: &Draft, unit: &Unit) -> Option<bool> {
    let line = unit.lines.iter().find(|l| l.client_port.is_some())?;
    let port = line.client_port?;
    let legs = draft.chain.iter().map(|l| l.client);
    let mut ends = legs
        .chain(own_ends(draft))
        .filter(|end| line.client.contains(&end.ip().to_canonical()))
        .peekable();
    ends.peek()?;
    let equal = ends.any(|end| end.port() == port);
    (equal || line.client.len() == 1).then_some(equal)
}

/// `before` is when the connection of the draft's identity before it was over.
fn unit_cost(draft: &Draft, before: Option<Stamp>, unit: &Unit, starts: &Starts) -> Option<Cost> {
    let ids = (draft.identity(), unit.identity());
    let exact = match same_endpoint(draft, unit) {
        Some(false) => return None,
        found => found.is_some(),
    };
    let same_identity = match &ids {
        (Some(a), Some(b)) if a == b || draft.is_named(b) => true,
        // The same peer, port and all, may be known by another name here.
        (Some(_), Some(_)) if !exact => return None,
        _ => false,
    };
    let clients = draft.clients();
    let shares = exact
        || unit.clients().next().is_none()
        || unit
            .clients()
            .any(|ip| clients.contains(&ip.to_canonical()));
    let (open, over) = (draft.opened(), draft.over());
    // Another hop's address beside the same session and the same opening is the peer that the application saw; where a log tells of the
    // end alone, the same end.
    let by_peer = || {
        let near = |(a, b): (Stamp, Stamp)| {
            a.middle().since(b.middle()).abs() <= a.tick_ns.max(b.tick_ns) + PEER_NS
        };
        let agree = match unit.open.zip(open) {
            Some(openings) => near(openings),
            None => unit.close.zip(over).is_some_and(near),
        };
        same_identity && agree
    };
    if !shares && !by_peer() {
        return None;
    }
    if let (Some(a), Some(b)) = (unit.open, over)
        && !same_identity
        && starts.between(unit.source(), a, b)
    {
        return None;
    }
    let rejected = unit
        .lines
        .iter()
        .any(|l| matches!(l.what, AppEvent::Rejected { .. }));
    if draft.refused() && (unit.open.is_some() || !rejected && unit.close.is_some()) {
        return None;
    }
    if unit.close.is_some_and(|at| draft.heard_after(at)) {
        return None;
    }
    let slack_ns = |a: Stamp, b: Stamp| {
        a.tick_ns.max(b.tick_ns)
            + if same_identity {
                3 * SECOND_NS
            } else {
                1500 * MILLI_NS
            }
    };
    let d_open = unit
        .open
        .zip(open)
        .map(|(a, b)| (a.middle().since(b.middle()).abs(), slack_ns(a, b)));
    let d_over = unit
        .close
        .zip(over)
        .map(|(a, b)| (a.middle().since(b.middle()), slack_ns(a, b)));
    let mut cost = 0_i64;
    let mut said = false;
    if let Some((d, limit)) = d_open {
        if d > limit {
            return None;
        }
        cost = cost.saturating_add(d);
        said = true;
    }
    match d_over {
        // The server may end long before the client's leg does; with an identity or a fitting opening that is no contradiction.
        Some((d, limit)) if d.abs() <= limit => {
            cost = cost.saturating_add(d.abs() / 4);
            said = true;
        }
        Some((d, _)) if said || same_identity => cost = cost.saturating_add(d.abs() / 64),
        // A hop in front may hold on to a client that stopped reading: the worst fit of all, and of a whole life only.
        Some((d, _)) if (-LINGER_NS..0).contains(&d) && unit.open.is_some() && open.is_none() => {
            return Some((6, d.abs()));
        }
        Some(_) => return None,
        None => {}
    }
    if !said {
        // Only bounds are left: an opening before the known end, a close after the known opening.
        let inside = match (unit.open, unit.close, open, over) {
            (Some(a), _, _, Some(b)) => a.at <= b.at.plus(b.tick_ns),
            (None, Some(a), Some(b), _) => a.at.plus(a.tick_ns) >= b.at,
            // The capture began in the middle of it, and it goes on.
            (Some(a), None, None, None) if !draft.chain.is_empty() => draft
                .chain
                .iter()
                .all(|l| !legs::seen_from_start(l) && a.at <= legs::opened(l).plus(a.tick_ns)),
            _ => same_identity,
        };
        if !inside
            || !same_identity
                && (draft.chain.is_empty() && draft.tunnels.iter().any(|t| t.start.is_some()))
        {
            return None;
        }
        // Who comes back has lost the connection before, and comes back soon.
        if let (Some(open), Some(before)) = (unit.open, before) {
            let after = open.at.since(before.at);
            return (after >= -before.tick_ns.max(open.tick_ns)).then_some((4, after.abs()));
        }
        // Of several that may be its opening, the oldest: what never ends on the record is more likely young.
        if let Some(open) = unit.open.filter(|_| !same_identity) {
            return Some((5, open.at.0));
        }
        cost = cost.saturating_add(SECOND_NS);
    }
    if lives_differ(draft, unit).is_some_and(|d| d <= SAME_LIFE_NS) {
        cost /= 16;
    }
    // Many end in one instant, few open in one.
    let rank = match (same_identity, said, d_open) {
        // A line that closes may be one of two about the same end: the one whose opening is known has it.
        _ if exact => u32::from(unit.open.is_none()),
        (true, ..) => u32::from(!shares),
        (_, true, Some(_)) => 2,
        (_, true, None) => 3,
        _ => 5,
    };
    Some((rank, cost))
}

/// An application that closes a connection tells of it again once the library has: what it kicked, what the read returned, that it is gone.
const ECHO_NS: i64 = 50 * MILLI_NS;

/// Connections whose opening and end one log tells of, by what that log calls them: when they ended there, in order.
struct Told(BTreeMap<Called, Vec<(Stamp, usize)>>);

/// What a log calls a connection that it knows by its peer alone.
type Called = (SourceId, Vec<IpAddr>, Option<u16>);

fn called(line: &AppLine) -> Called {
    (line.record.source, line.client.clone(), line.client_port)
}

impl Told {
    fn new(drafts: &[Draft]) -> Self {
        let mut all: BTreeMap<Called, Vec<(Stamp, usize)>> = BTreeMap::new();
        for (i, d) in drafts.iter().enumerate() {
            let opened = d.app_lines.iter().find(|l| l.what == AppEvent::Open);
            let Some(source) = opened.map(|l| l.record.source) else {
                continue;
            };
            let closed = d
                .app_lines
                .iter()
                .find(|l| l.record.source == source && matches!(l.what, AppEvent::Close { .. }));
            if let Some(l) = closed.filter(|l| !l.client.is_empty()) {
                all.entry(called(l)).or_default().push((l.at, i));
            }
        }
        for ends in all.values_mut() {
            ends.sort_unstable_by_key(|&(at, i)| (at.at, i));
        }
        Self(all)
    }

    /// The connection that this close without an opening tells of once more.
    fn echo_of(&self, unit: &Unit) -> Option<usize> {
        let line = unit.lines.first().filter(|_| unit.names_address_only())?;
        let at = unit.close?;
        let ends = self.0.get(&called(line))?;
        let from = ends.partition_point(|(e, _)| at.at.since(e.at) > ECHO_NS + at.tick_ns);
        let (end, draft) = ends.get(from)?;
        (end.at.since(at.at) <= ECHO_NS + at.tick_ns).then_some(*draft)
    }
}

/// What no known connection took: openings and closes of one client paired in order become connections of their own.
fn adopt(drafts: &mut Vec<Draft>, mut left: Vec<Unit>, starts: &Starts, rest: &mut Rest) {
    left.sort_by_key(|u| (u.first(), u.lines[0].record));
    let told = Told::new(drafts);
    // (source, client, identity) -> drafts that are open and wait for their close, oldest first.
    type Waiting = BTreeMap<(SourceId, Vec<IpAddr>, Option<String>), Vec<usize>>;
    let mut waiting: Waiting = BTreeMap::new();
    for unit in left {
        let line = &unit.lines[0];
        let key = (line.record.source, line.client.clone(), unit.identity());
        let whole = unit.lines.iter().any(|l| l.connection_id.is_some());
        if unit.open.is_some() {
            let open_ended = unit.close.is_none() && !whole;
            drafts.push(Draft {
                app_lines: unit.lines,
                ..Draft::default()
            });
            if open_ended {
                waiting.entry(key).or_default().push(drafts.len() - 1);
            }
        } else if let Some(d) = waiting.get_mut(&key).and_then(|w| {
            let over = unit.first();
            w.retain(|&d| {
                let open = drafts[d].app_lines.first().map(|l| l.at);
                open.zip(over)
                    .is_none_or(|(a, b)| !starts.between(unit.source(), a, b))
            });
            (!w.is_empty()).then(|| w.remove(0))
        }) {
            drafts[d].app_lines.extend(unit.lines);
        } else if let Some(d) = told.echo_of(&unit) {
            drafts[d].app_lines.extend(unit.lines);
        } else if unit
            .lines
            .iter()
            .any(|l| matches!(l.what, AppEvent::Close { .. } | AppEvent::Rejected { .. }))
        {
            // Its opening lies before the log begins.
            drafts.push(Draft {
                app_lines: unit.lines,
                ..Draft::default()
            });
        } else {
            rest.app_lines.extend(unit.lines);
        }
    }
    rest.app_lines.sort_by_key(|l| (l.at, l.record));
}
