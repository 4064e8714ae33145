//! Leg observations of many vantage points -> legs, each once, chained from client to server.

use super::clock::{addresses, first_teardown};
use super::identity;
use super::sealed::{self, is_sealed};
use crate::model::{
    ConnectionLeg, Direction, Fingerprint, LegObservation, LegProtocol, MILLI_NS, Moment, SECOND_NS,
};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// A proxy asks its upstream within this time of being asked, also while its first upstream times out.
const RELAY_NS: i64 = 90 * SECOND_NS;
/// A relayed frame leaves a hop within this time of reaching it.
const FRAME_RELAY_NS: i64 = 250 * MILLI_NS;
/// So many legs of one key, one fingerprint or one proxy are looked at for a leg, the nearest in time.
const NEAREST: usize = 256;

/// One TCP connection, at every vantage point that saw it. `from` is filled in once the chain is known.
pub(super) type Leg = ConnectionLeg;

/// The legs of one connection from the client on.
pub(super) type Chain = Vec<Leg>;

/// Merges the observations of the same leg, then chains legs over proxies.
pub(super) fn chains(observations: Vec<LegObservation>) -> Vec<Chain> {
    let mut legs = merge(observations);
    legs.sort_by_cached_key(|l| (opened(l), l.client, l.server));
    let links = link(&legs);
    let mut has_upper = vec![false; legs.len()];
    for &below in links.values() {
        has_upper[below] = true;
    }
    let mut slots: Vec<Option<Leg>> = legs.into_iter().map(Some).collect();
    let mut chains = Vec::new();
    for (start, relayed) in has_upper.into_iter().enumerate() {
        if relayed {
            continue;
        }
        let mut chain = Vec::new();
        let mut at = Some(start);
        while let Some(i) = at {
            chain.extend(slots[i].take());
            at = links.get(&i).copied();
        }
        for (i, leg) in chain.iter_mut().enumerate() {
            leg.from = i;
        }
        let encrypted = |l: &Leg| {
            l.observations
                .iter()
                .any(|o| matches!(o.protocol, LegProtocol::Tls))
        };
        if chain.iter().any(|l| asked(l) || encrypted(l)) || rejected_at_accept(&chain) {
            chains.push(chain);
        }
    }
    chains
}

/// The leg asked for a WebSocket or carried one.
pub(super) fn asked(leg: &Leg) -> bool {
    leg.observations.iter().any(|o| {
        matches!(
            o.protocol,
            LegProtocol::WebSocket
                | LegProtocol::WebSocketMidstream
                | LegProtocol::UpgradeRefused
                | LegProtocol::UpgradeUnanswered
        )
    })
}

/// A TCP connection that was accepted and thrown away before a byte, or refused: a failed attempt where it went to a port
/// that speaks WebSocket. Which ports do is for the caller to say.
fn rejected_at_accept(chain: &Chain) -> bool {
    chain.len() == 1
        && chain[0].observations.iter().any(|o| {
            o.protocol == LegProtocol::NoPayload && (o.refused || o.to_client.rst.is_some())
        })
}

pub(super) fn opened(leg: &Leg) -> Moment {
    leg.observations
        .iter()
        .map(|o| o.request.as_ref().map_or(o.first.at, |r| r.mark.at))
        .min()
        .unwrap_or_default()
}

/// Some vantage point saw this leg's handshake: TCP's or HTTP's.
pub(super) fn seen_from_start(leg: &Leg) -> bool {
    leg.observations
        .iter()
        .any(|o| o.syn.is_some() || o.request.is_some())
}

pub(super) fn ended(leg: &Leg) -> Moment {
    leg.observations
        .iter()
        .map(|o| o.last.at)
        .max()
        .unwrap_or_default()
}

fn merge(observations: Vec<LegObservation>) -> Vec<Leg> {
    // Streams of one HTTP/2 connection are legs of their own.
    let mut by_tuple: BTreeMap<(SocketAddr, SocketAddr, Option<u32>), Vec<LegObservation>> =
        BTreeMap::new();
    for o in observations {
        let stream = o.http2.map(|h| h.id);
        let key = if !o.sides_certain && by_tuple.contains_key(&(o.server, o.client, stream)) {
            (o.server, o.client, stream)
        } else {
            (o.client, o.server, stream)
        };
        by_tuple.entry(key).or_default().push(o);
    }
    let mut legs = Vec::new();
    for ((client, server, _), mut all) in by_tuple {
        all.sort_by_key(|o| (o.first.at, o.vantage, o.first.record.ordinal));
        let mut here: Vec<Leg> = Vec::new();
        for o in all {
            let same = here.iter_mut().find(|l| {
                l.observations.iter().all(|k| k.vantage != o.vantage)
                    && l.observations.iter().any(|k| same_leg(k, &o))
            });
            match same {
                Some(leg) => leg.observations.push(o),
                None => here.push(Leg {
                    from: 0,
                    client,
                    server,
                    observations: vec![o],
                }),
            }
        }
        legs.append(&mut here);
    }
    legs
}

/// Two observations of one 4-tuple are of one TCP connection: the same handshake key, or lives that overlap.
fn same_leg(a: &LegObservation, b: &LegObservation) -> bool {
    fn key(o: &LegObservation) -> Option<&str> {
        o.request.as_ref().and_then(|r| r.key.as_deref())
    }
    match (key(a), key(b)) {
        (Some(x), Some(y)) => x == y,
        _ => a.first.at <= b.last.at.plus(SECOND_NS) && b.first.at <= a.last.at.plus(SECOND_NS),
    }
}

/// Where the legs that may lie below a leg are found, without looking at every pair.
struct Below<'a> {
    /// By the address that opened them, in order of opening.
    by_client: HashMap<IpAddr, Vec<usize>, RandomState>,
    /// Those of them without a handshake key: all that a leg with one may have below it, besides the legs of its key.
    keyless: HashMap<IpAddr, Vec<usize>, RandomState>,
    by_key: HashMap<&'a str, Vec<usize>, RandomState>,
    /// By what their client sent, as masked frames are nearly unique: of legs without a handshake key, and of those with one that sent
    /// the same as any of these. Two keys tell by themselves.
    by_print: HashMap<(IpAddr, u64, u64), Vec<usize>, RandomState>,
}

impl<'a> Below<'a> {
    fn index(legs: &'a [Leg]) -> Self {
        let mut below = Self {
            by_client: HashMap::default(),
            keyless: HashMap::default(),
            by_key: HashMap::default(),
            by_print: HashMap::default(),
        };
        let mut keyless: HashSet<(u64, u64), RandomState> = HashSet::default();
        for (i, leg) in legs.iter().enumerate() {
            let ip = leg.client.ip();
            below.by_client.entry(ip).or_default().push(i);
            if let Some(key) = key(leg) {
                below.by_key.entry(key).or_default().push(i);
                continue;
            }
            below.keyless.entry(ip).or_default().push(i);
            keyless.extend(sent_prints(leg).map(|f| (f.hash, f.len)));
        }
        if keyless.is_empty() {
            return below;
        }
        for (i, leg) in legs.iter().enumerate() {
            let ip = leg.client.ip();
            for f in sent_prints(leg).filter(|f| keyless.contains(&(f.hash, f.len))) {
                let group = below.by_print.entry((ip, f.hash, f.len)).or_default();
                if group.last() != Some(&i) {
                    group.push(i);
                }
            }
        }
        below
    }

    /// Legs that may lie below `legs[upper]`, ascending, each once, into `found`.
    fn candidates(&self, legs: &[Leg], upper: usize, found: &mut Vec<usize>) {
        let leg = &legs[upper];
        let (start, ip) = (opened(leg), leg.server.ip());
        let key = key(leg);
        found.clear();
        let opened_there = if key.is_some() {
            &self.keyless
        } else {
            &self.by_client
        };
        if let Some(group) = opened_there.get(&ip) {
            let from = group.partition_point(|&j| opened(&legs[j]) < start.plus(-RELAY_NS));
            let to = group.partition_point(|&j| opened(&legs[j]) <= start.plus(RELAY_NS));
            found.extend(nearest(&group[from..to], |j| opened(&legs[j]) < start));
        }
        if let Some(group) = key.and_then(|k| self.by_key.get(k)) {
            found.extend(nearest(group, |j| j < upper));
        }
        if !self.by_print.is_empty() {
            for f in sent_prints(leg) {
                if let Some(group) = self.by_print.get(&(ip, f.hash, f.len)) {
                    found.extend(nearest(group, |j| j < upper));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// Of a group in order of time the members around the place where `before` ends: a group that shares a key because its client has
/// a broken random generator, or a storm of refused connects, must not cost the square of its size.
fn nearest(group: &[usize], before: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
    let here = group.partition_point(|&j| before(j));
    let from = here.saturating_sub(NEAREST / 2);
    let to = group.len().min(here + NEAREST / 2);
    group[from..to].iter().copied()
}

fn sent_prints(leg: &Leg) -> impl Iterator<Item = &Fingerprint> {
    leg.observations
        .iter()
        .flat_map(|o| &o.fingerprints)
        .filter(|f| f.direction == Direction::ToServer)
}

/// For each leg the one that its server opened on its behalf: best pairs first, each leg used once each way.
fn link(legs: &[Leg]) -> HashMap<usize, usize> {
    let below = Below::index(legs);
    let mut pairs = Vec::new();
    let mut found = Vec::new();
    for (i, upper) in legs.iter().enumerate() {
        below.candidates(legs, i, &mut found);
        for &j in &found {
            if i == j || (upper.client, upper.server) == (legs[j].client, legs[j].server) {
                continue;
            }
            if let Some(score) = relay_score(upper, &legs[j]) {
                let distance = opened(&legs[j]).since(opened(upper)).abs();
                pairs.push((std::cmp::Reverse(score), distance, i, j));
            }
        }
    }
    pairs.sort_unstable();
    let (mut upper_used, mut below_used) = (vec![false; legs.len()], vec![false; legs.len()]);
    let mut links = HashMap::new();
    for (_, _, i, j) in pairs {
        if !upper_used[i] && !below_used[j] && !reaches(&links, j, i) {
            upper_used[i] = true;
            below_used[j] = true;
            links.insert(i, j);
        }
    }
    links
}

fn reaches(links: &HashMap<usize, usize>, from: usize, to: usize) -> bool {
    let mut at = Some(from);
    for _ in 0..16 {
        match at {
            Some(i) if i == to => return true,
            Some(i) => at = links.get(&i).copied(),
            None => return false,
        }
    }
    true
}

pub(super) fn request(leg: &Leg) -> Option<&crate::model::Request> {
    leg.observations.iter().find_map(|o| o.request.as_ref())
}

fn key(leg: &Leg) -> Option<&str> {
    request(leg).and_then(|r| r.key.as_deref())
}

pub(super) fn response(leg: &Leg) -> Option<&crate::model::Response> {
    leg.observations.iter().find_map(|o| o.response.as_ref())
}

/// How sure it is that `below` was opened for `upper`; `None` = it was not.
fn relay_score(upper: &Leg, below: &Leg) -> Option<u32> {
    if is_sealed(upper) != is_sealed(below) {
        return sealed::relay_score(upper, below);
    }
    let neighbours = upper.server.ip() == below.client.ip();
    if let (Some(a), Some(b)) = (request(upper), request(below)) {
        if let (Some(x), Some(y)) = (&a.key, &b.key) {
            if x != y {
                return None;
            }
            // The same key on both sides; where addresses don't meet, a NAT or an unseen hop lies between, and time tells the order.
            let forward = b.mark.at.since(a.mark.at) >= -50 * MILLI_NS;
            let deeper = neighbours || (forward && !addresses_meet(below, upper));
            return deeper.then_some(if neighbours { 1000 } else { 900 });
        }
        if !neighbours {
            return None;
        }
        let after = b.mark.at.since(a.mark.at);
        if !(-50 * MILLI_NS..RELAY_NS).contains(&after)
            || identity::path(&a.uri) != identity::path(&b.uri) && a.uri != b.uri
        {
            return None;
        }
        let forwarded = b
            .forwarded_for
            .as_deref()
            .map(addresses)
            .unwrap_or_default();
        let named = forwarded.contains(&upper.client.ip().to_canonical());
        return (a.uri == b.uri || named).then_some(500 + u32::from(named) * 100);
    }
    if !neighbours {
        return None;
    }
    // Without handshakes on both sides, only relayed bytes tell; a refused connect has none, only its moment.
    let shared = shared_frames(upper, below);
    if shared > 0 {
        return Some(300 + shared.min(100));
    }
    let silent_below = below
        .observations
        .iter()
        .all(|o| o.protocol == LegProtocol::NoPayload);
    let asked_at = request(upper)?.mark.at;
    let after = opened(below).since(asked_at);
    let until = response(upper).map_or(ended(upper), |r| r.mark.at);
    let inside = after >= -20 * MILLI_NS && opened(below) <= until.plus(20 * MILLI_NS);
    (silent_below && inside && response(upper).is_none_or(|r| !r.upgraded())).then_some(100)
}

fn addresses_meet(a: &Leg, b: &Leg) -> bool {
    a.server.ip() == b.client.ip()
}

/// Frames that are on both legs, in the right order of time: masks make each of the client's nearly unique.
fn shared_frames(upper: &Leg, below: &Leg) -> u32 {
    let mut shared = 0;
    for a in upper.observations.iter().flat_map(|o| &o.fingerprints) {
        let mate = below
            .observations
            .iter()
            .flat_map(|o| &o.fingerprints)
            .any(|b| {
                let relayed = match a.direction {
                    Direction::ToServer => b.at.since(a.at),
                    Direction::ToClient => a.at.since(b.at),
                };
                a.hash == b.hash
                    && a.len == b.len
                    && a.direction == b.direction
                    && (-5 * MILLI_NS..FRAME_RELAY_NS).contains(&relayed)
            });
        // Unmasked control frames look alike on every connection: they count little.
        shared += u32::from(mate)
            * if a.direction == Direction::ToServer {
                10
            } else {
                1
            };
    }
    shared
}

/// Nothing but what the last capture held: the moment of the first Close, FIN or RST on any leg of a chain.
pub(super) fn torn_down(chain: &[Leg]) -> Option<Moment> {
    chain
        .iter()
        .flat_map(|l| &l.observations)
        .filter_map(first_teardown)
        .map(|m| m.at)
        .min()
}
