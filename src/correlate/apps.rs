//! Application lines -> the drafts they speak of, and connections of their own where nothing else tells of them.

use super::identity;
use super::join::{Cost, Draft, Index, Rest, apart};
use super::legs;
use crate::model::{AppEvent, AppLine, MILLI_NS, Moment, SECOND_NS, SourceId, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// An application notes an opening within this time of the hop before it.
const PEER_NS: i64 = 500 * MILLI_NS;

/// A hop gives a client up within this time of its server's close (nginx's `lingering_time` and `send_timeout` are below it).
const LINGER_NS: i64 = 75 * SECOND_NS;

/// Lines of one application that certainly speak of one connection: by its own id, its session, or one moment.
struct Unit {
    lines: Vec<AppLine>,
    open: Option<Stamp>,
    close: Option<Stamp>,
}

impl Unit {
    fn new(lines: Vec<AppLine>) -> Self {
        let open = lines
            .iter()
            .find(|l| l.what == AppEvent::Open)
            .map(|l| l.at);
        let close = lines
            .iter()
            .find(|l| matches!(l.what, AppEvent::Close { .. }))
            .or_else(|| {
                lines
                    .iter()
                    .find(|l| !matches!(l.what, AppEvent::Open | AppEvent::Other))
            })
            .map(|l| l.at);
        Self { lines, open, close }
    }
    fn identity(&self) -> Option<String> {
        self.lines.iter().find_map(identity::of_app)
    }
    fn clients(&self) -> impl Iterator<Item = &IpAddr> {
        self.lines.iter().flat_map(|l| &l.client)
    }
    fn source(&self) -> SourceId {
        self.lines[0].record.source
    }
    fn names_address_only(&self) -> bool {
        let names = |l: &AppLine| l.connection_id.is_some() || identity::of_app(l).is_some();
        !self.lines.iter().any(names)
    }
    fn first(&self) -> Option<Stamp> {
        self.open
            .or(self.close)
            .or_else(|| self.lines.first().map(|l| l.at))
    }
}

/// What an application that sees only the hop before it says: time alone ties it to what that hop's own peers tell.
struct Behind {
    /// Addresses that no draft knows, each the client of several lines: hops.
    hops: BTreeSet<IpAddr>,
    /// Openings and ends, in order of time.
    opened: Vec<(Stamp, usize)>,
    over: Vec<(Stamp, usize)>,
}

/// An upgrade or an end passes a hop within this time.
const PASS_NS: i64 = 100 * MILLI_NS;
/// Coarser stamps tie nothing by themselves.
const COARSEST_NS: i64 = SECOND_NS;
/// How well the end alone ties what an application says behind a hop.
const OVER: u32 = 8;
/// A hop counts a life from the request, the application from the upgrade, each to the millisecond.
const SAME_LIFE_NS: i64 = 30 * MILLI_NS;
/// So many openings from one unknown address are a hop's.
const HOP_LINES: usize = 3;

impl Behind {
    fn new(drafts: &[Draft], index: &Index, units: &[Unit]) -> Self {
        let mut lines: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for unit in units.iter().filter(|u| u.open.is_some()) {
            if let Some(ip) = unit.clients().next().filter(|ip| !index.knows(**ip)) {
                *lines.entry(*ip).or_default() += 1;
            }
        }
        lines.retain(|_, count| *count >= HOP_LINES);
        let moments = |of: fn(&Draft) -> Option<Stamp>| {
            let mut all: Vec<(Stamp, usize)> = drafts
                .iter()
                .enumerate()
                .filter(|(_, d)| d.chain.len() < 2 && !d.refused())
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
                    .is_some_and(|(a, b)| a != b);
                let ends = unit.close.zip(draft.over()).map_or(0, |(a, b)| apart(a, b));
                let apart = apart(s, at);
                let fits = !other && apart <= PASS_NS && ends <= 15 * PASS_NS;
                // What is known to the millisecond goes first, and a life of the same length.
                let cost = apart.saturating_add(ends / 4).saturating_add(s.tick_ns / 8);
                let cost = cost.saturating_add(lives_differ(draft, unit).unwrap_or(0) / 4);
                fits.then_some(((rank, cost), d))
            })
            .collect()
    }
}

/// When the processes that write each log came up: nothing that was open before is open after.
struct Starts(BTreeMap<SourceId, Vec<Moment>>);

impl Starts {
    fn new(lines: &[AppLine]) -> Self {
        let mut all: BTreeMap<SourceId, Vec<Moment>> = BTreeMap::new();
        for l in lines {
            if matches!(l.what, AppEvent::Listening { .. }) {
                all.entry(l.record.source).or_default().push(l.at.at);
            }
        }
        Self(all)
    }

    /// A process of this log came up after `from`, and until `to`.
    fn since(&self, source: SourceId, from: Moment, to: Moment) -> bool {
        let mut starts = self.0.get(&source).into_iter().flatten();
        starts.any(|s| (from..=to).contains(s) && *s != from)
    }

    /// A process of this log came up after `open` and well before `close`.
    fn between(&self, source: SourceId, open: Stamp, close: Stamp) -> bool {
        let starts = self.0.get(&source).into_iter().flatten();
        starts.clone().any(|s| {
            s.since(open.at) > open.tick_ns && close.at.since(*s) > close.tick_ns + SECOND_NS
        })
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
    let mut pairs = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        for d in index.candidates(unit.clients(), unit.identity().as_deref()) {
            if let Some(cost) = unit_cost(&drafts[d], before[d], unit, &starts) {
                pairs.push((cost, i, d));
            }
        }
    }
    let behind = Behind::new(drafts, &index, &units);
    for (i, unit) in units.iter().enumerate() {
        let found = behind.candidates(drafts, unit).into_iter();
        pairs.extend(found.map(|(cost, d)| (cost, i, d)));
    }
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

/// Groups one source's lines: by connection id; else by session between openings; else each moment of an address for itself.
fn units(mut lines: Vec<AppLine>, starts: &Starts) -> Vec<Unit> {
    lines.sort_by_key(|l| (l.at, l.record));
    let mut done = Vec::new();
    let mut by_id: BTreeMap<String, Vec<AppLine>> = BTreeMap::new();
    let mut by_session: BTreeMap<(String, Option<IpAddr>), Vec<AppLine>> = BTreeMap::new();
    let mut by_endpoint: BTreeMap<(Vec<IpAddr>, u16), Vec<AppLine>> = BTreeMap::new();
    let mut by_address: BTreeMap<Vec<IpAddr>, Vec<AppLine>> = BTreeMap::new();
    let mut standing: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    // A session whose every line names the port says which of its connections each is about.
    let ported = |l: &AppLine| l.client_port.is_some() && !l.client.is_empty();
    let unported: BTreeSet<String> = lines
        .iter()
        .filter(|l| !ported(l))
        .filter_map(identity::of_app)
        .collect();
    for line in lines {
        if let Some(id) = line.connection_id.clone() {
            by_id.entry(id).or_default().push(line);
        } else if let Some(session) =
            identity::of_app(&line).filter(|session| !ported(&line) || unported.contains(session))
        {
            let from = whence(standing.entry(session.clone()).or_default(), &line);
            by_session.entry((session, from)).or_default().push(line);
        } else if let (Some(port), false) = (line.client_port, line.client.is_empty()) {
            let name = (line.client.clone(), port);
            by_endpoint.entry(name).or_default().push(line);
        } else {
            by_address
                .entry(line.client.clone())
                .or_default()
                .push(line);
        }
    }
    for lines in by_id.into_values() {
        one_by_one(
            lines,
            |current, line| reused(starts, current, line),
            &mut done,
        );
    }
    let next = |current: &[AppLine], line: &AppLine| {
        let closed = current
            .iter()
            .any(|l| matches!(l.what, AppEvent::Close { .. } | AppEvent::Rejected { .. }));
        let after_close = closed
            && !matches!(
                line.what,
                AppEvent::Close { .. } | AppEvent::Error { .. } | AppEvent::Other
            );
        line.what == AppEvent::Open || after_close
    };
    for lines in by_session.into_values() {
        one_by_one(lines, next, &mut done);
    }
    // Ports come back: an opening begins anew.
    for lines in by_endpoint.into_values() {
        one_by_one(lines, next, &mut done);
    }
    for lines in by_address.into_values() {
        let first = done.len();
        let mut moment: Vec<AppLine> = Vec::new();
        for line in lines {
            let opens = line.what == AppEvent::Open;
            let ends_moment = |m: &[AppLine]| {
                m.iter()
                    .any(|l| l.what == AppEvent::Open || matches!(l.what, AppEvent::Close { .. }))
                    || m.last()
                        .is_some_and(|l| line.at.at.since(l.at.at) > SECOND_NS)
            };
            if !moment.is_empty() && (opens || ends_moment(&moment)) {
                done.push(Unit::new(std::mem::take(&mut moment)));
            }
            moment.push(line);
        }
        if !moment.is_empty() {
            done.push(Unit::new(moment));
        }
        let moments = done.split_off(first);
        done.extend(one_at_a_time(moments));
    }
    done.retain(|u| !u.lines.is_empty());
    done
}

/// An application that counts its connections counts from the start again in its next process: what another process says under an id, or
/// an opening under it after the log's process came up anew, is another connection.
fn reused(starts: &Starts, current: &[AppLine], line: &AppLine) -> bool {
    let pid = current.iter().find_map(|l| l.pid);
    let other_process = pid.zip(line.pid).is_some_and(|(a, b)| a != b);
    let anew = current
        .last()
        .is_some_and(|l| starts.since(l.record.source, l.at.at, line.at.at));
    other_process || line.what == AppEvent::Open && anew
}

/// Cuts lines that share a name wherever `next` says that another connection begins.
fn one_by_one(
    lines: Vec<AppLine>,
    next: impl Fn(&[AppLine], &AppLine) -> bool,
    done: &mut Vec<Unit>,
) {
    let mut current: Vec<AppLine> = Vec::new();
    for line in lines {
        if !current.is_empty() && next(&current, &line) {
            done.push(Unit::new(std::mem::take(&mut current)));
        }
        current.push(line);
    }
    if !current.is_empty() {
        done.push(Unit::new(current));
    }
}

/// The address that a line of a session is about. Many logs name it at the opening alone: what names none is about the oldest of
/// the session's addresses that still stands.
fn whence(standing: &mut Vec<IpAddr>, line: &AppLine) -> Option<IpAddr> {
    let from = line.client.first().or(standing.first()).copied();
    match line.what {
        AppEvent::Open => standing.extend(line.client.first()),
        AppEvent::Close { .. } => {
            if let Some(at) = standing.iter().position(|ip| Some(*ip) == from) {
                standing.remove(at);
            }
        }
        _ => {}
    }
    from.filter(|_| !(line.what == AppEvent::Open && line.client.is_empty()))
}

/// The moments of one address, in order: an opening and the close after it are one connection's where no other one of that address
/// stood in between, and none may have been open before the log began.
fn one_at_a_time(moments: Vec<Unit>) -> Vec<Unit> {
    let opens = moments.iter().filter(|u| u.open.is_some()).count();
    let closes = moments.iter().filter(|u| u.close.is_some()).count();
    if closes > opens {
        return moments;
    }
    let mut done: Vec<Unit> = Vec::new();
    // Where the last opening is, while it alone is open.
    let mut alone: Option<usize> = None;
    let mut standing = 0_usize;
    for unit in moments {
        if unit.open.is_some() {
            standing += 1;
            alone = (standing == 1).then_some(done.len());
        }
        if unit.close.is_some() {
            standing = standing.saturating_sub(1);
        }
        match alone.take_if(|_| unit.open.is_none()) {
            Some(at) => {
                let closed = unit.close.is_some();
                let mut lines = std::mem::take(&mut done[at].lines);
                lines.extend(unit.lines);
                done[at] = Unit::new(lines);
                alone = (!closed).then_some(at);
            }
            None => done.push(unit),
        }
    }
    done
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

/// The peer that the application saw is the client of one of the draft's legs, port and all; `Some(false)`: of a leg from that address, with
/// another port. What names several addresses names the port of one of them, and only an equal one says something.
fn same_endpoint(draft: &Draft, unit: &Unit) -> Option<bool> {
    let line = unit.lines.iter().find(|l| l.client_port.is_some())?;
    let port = line.client_port?;
    let mut legs = draft
        .chain
        .iter()
        .filter(|l| line.client.contains(&l.client.ip().to_canonical()))
        .peekable();
    legs.peek()?;
    let equal = legs.any(|l| l.client.port() == port);
    (equal || line.client.len() == 1).then_some(equal)
}

/// `before` is when the connection of the draft's identity before it was over.
fn unit_cost(draft: &Draft, before: Option<Stamp>, unit: &Unit, starts: &Starts) -> Option<Cost> {
    let ids = (draft.identity(), unit.identity());
    let same_identity = match &ids {
        (Some(a), Some(b)) if a == b => true,
        (Some(_), Some(_)) => return None,
        _ => false,
    };
    let exact = match same_endpoint(draft, unit) {
        Some(false) => return None,
        found => found.is_some(),
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
        _ if exact => 0,
        (true, ..) => u32::from(!shares),
        (_, true, Some(_)) => 2,
        (_, true, None) => 3,
        _ => 5,
    };
    Some((rank, cost))
}

/// What no known connection took: openings and closes of one client paired in order become connections of their own.
fn adopt(drafts: &mut Vec<Draft>, mut left: Vec<Unit>, starts: &Starts, rest: &mut Rest) {
    left.sort_by_key(|u| (u.first(), u.lines[0].record));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Moment, RecordRef};

    fn line(what: AppEvent, client: Option<u8>) -> AppLine {
        AppLine {
            record: RecordRef {
                source: SourceId(0),
                ordinal: 0,
                start: 0,
                len: 0,
            },
            at: Stamp::new(Moment(0), 1),
            what,
            pid: None,
            hostname: None,
            connection_id: None,
            session: Some("s".to_owned()),
            client: client.map(address).into_iter().collect(),
            client_port: None,
            uri: None,
            ws_key: None,
            request_id: None,
        }
    }

    #[test]
    fn an_id_that_is_counted_anew_is_another_connection() {
        let of = |what: AppEvent, ms: i64, pid: Option<u32>| AppLine {
            at: Stamp::new(Moment(ms * MILLI_NS), 1),
            connection_id: Some("c1".to_owned()),
            pid,
            ..line(what, None)
        };
        let close = || AppEvent::Close {
            code: None,
            reason: String::new(),
        };
        let up = |ms: i64| of(AppEvent::Listening { port: None }, ms, None);
        for (name, up, lines, want) in [
            (
                "one life, with a line between that only looks like an opening",
                None,
                vec![
                    of(AppEvent::Open, 1, Some(7)),
                    of(AppEvent::Open, 5, Some(7)),
                    of(close(), 9, Some(7)),
                ],
                vec![3],
            ),
            (
                "killed, and counted anew by the next process",
                None,
                vec![
                    of(AppEvent::Open, 1, Some(7)),
                    of(AppEvent::Open, 5, Some(8)),
                    of(close(), 9, Some(8)),
                ],
                vec![1, 2],
            ),
            (
                "the same in a log without process ids",
                Some(up(3)),
                vec![of(AppEvent::Open, 1, None), of(AppEvent::Open, 5, None)],
                vec![1, 1],
            ),
            (
                "a line of another process, whose opening is not in the log",
                None,
                vec![of(AppEvent::Open, 1, Some(7)), of(close(), 9, Some(8))],
                vec![1, 1],
            ),
        ] {
            let starts = Starts::new(&Vec::from_iter(up));
            let found: Vec<usize> = units(lines, &starts)
                .iter()
                .map(|u| u.lines.len())
                .collect();
            assert_eq!(found, want, "{name}");
        }
    }

    #[test]
    fn an_address_with_its_port_names_one_connection_at_a_time() {
        let of = |what: AppEvent, ms: i64, port: Option<u16>| AppLine {
            at: Stamp::new(Moment(ms * MILLI_NS), 1),
            session: None,
            client_port: port,
            ..line(what, Some(1))
        };
        let close = || AppEvent::Close {
            code: Some(1006),
            reason: String::new(),
        };
        let sizes = |lines: Vec<AppLine>| -> Vec<usize> {
            let mut found: Vec<usize> = units(lines, &Starts::new(&[]))
                .iter()
                .map(|u| u.lines.len())
                .collect();
            found.sort_unstable();
            found
        };
        let both = |first: Option<u16>, second: Option<u16>| {
            vec![
                of(AppEvent::Open, 1, first),
                of(AppEvent::Open, 2, second),
                of(close(), 8_000, first),
                of(close(), 9_000, second),
            ]
        };
        assert_eq!(sizes(both(Some(40_001), Some(40_002))), [2, 2]);
        assert_eq!(
            sizes(both(None, None)),
            [1, 1, 1, 1],
            "an address alone names neither of two that stand"
        );
        let again = vec![
            of(AppEvent::Open, 1, Some(40_001)),
            of(close(), 2, Some(40_001)),
            of(AppEvent::Open, 3, Some(40_001)),
        ];
        assert_eq!(sizes(again), [1, 2], "a port comes back");
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn the_address_that_a_line_without_one_is_about() {
        let close = || AppEvent::Close {
            code: None,
            reason: String::new(),
        };
        let mut standing = Vec::new();
        for (what, named, about) in [
            (AppEvent::Open, Some(1), Some(1)),
            (AppEvent::HeartbeatMissed, None, Some(1)),
            (AppEvent::Open, Some(2), Some(2)),
            (close(), None, Some(1)),
            (AppEvent::Open, None, None),
            (close(), Some(2), Some(2)),
            (close(), None, None),
        ] {
            let found = whence(&mut standing, &line(what.clone(), named));
            assert_eq!(found, about.map(address), "{what:?} {named:?}");
        }
    }
}
