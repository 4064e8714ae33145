//! What was found to speak of one connection -> how it is named, when it began and ended, and how it is found again.

use super::clock::addresses;
use super::identity;
use super::legs::{self, Chain};
use crate::model::{AppEvent, AppLine, HopLine, RecordRef, SECOND_NS, Stamp, TunnelLine};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// What a server sent before it ended a connection is on its wire within this time, clocks that differ a little included.
const HEARD_NS: i64 = 2 * SECOND_NS;

/// Everything that was found to speak of one connection.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) chain: Chain,
    pub(super) tunnels: Vec<TunnelLine>,
    pub(super) hop_lines: Vec<HopLine>,
    pub(super) app_lines: Vec<AppLine>,
    /// They could as well be those of a connection beside it.
    pub(super) app_doubtful: bool,
}

impl Draft {
    /// Most have one line of each log: room for four, as a growing list takes, would be more than all else that is kept of them.
    pub(super) fn add_tunnel(&mut self, line: TunnelLine) {
        self.tunnels.reserve_exact(1);
        self.tunnels.push(line);
    }

    /// Addresses by which a hop may name the client, outermost first.
    pub(super) fn clients(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = Vec::new();
        for leg in &self.chain {
            if let Some(list) = legs::request(leg).and_then(|r| r.forwarded_for.as_deref()) {
                all.extend(addresses(list));
            }
        }
        for t in &self.tunnels {
            all.extend(&t.forwarded_for);
        }
        all.extend(self.in_front().and_then(|t| t.client));
        all.extend(self.chain.iter().map(|l| l.client.ip()));
        all.extend(self.tunnels.iter().filter_map(|t| t.client));
        for a in &self.app_lines {
            all.extend(&a.client);
        }
        // A handshake that failed below HTTP stands in no other log.
        if all.is_empty() {
            all.extend(self.hop_lines.iter().filter_map(|h| h.client));
        }
        for ip in &mut all {
            *ip = ip.to_canonical();
        }
        keep_firsts(&mut all);
        if self.chain.is_empty() {
            return all;
        }
        // What a captured leg of this chain leads to is a hop, although a hop behind it takes it for the client.
        let is_hop = |ip: &IpAddr| {
            self.chain
                .iter()
                .any(|l| l.server.ip().to_canonical() == *ip)
        };
        all.sort_by_key(is_hop);
        all
    }

    /// The line of a hop that passes TCP on, and whose client no captured leg has: it stands before all of them.
    pub(super) fn in_front(&self) -> Option<&TunnelLine> {
        let seen = |ip: IpAddr| {
            self.chain
                .iter()
                .any(|l| l.client.ip().to_canonical() == ip)
        };
        self.tunnels
            .iter()
            .find(|t| t.is_tcp() && !self.chain.is_empty() && t.client.is_some_and(|ip| !seen(ip)))
    }

    pub(super) fn uri(&self) -> Option<&str> {
        self.chain
            .iter()
            .find_map(|l| legs::request(l).map(|r| r.uri.as_str()))
            .or_else(|| self.tunnels.iter().find_map(|t| t.uri.as_deref()))
            .or_else(|| self.app_lines.iter().find_map(|a| a.uri.as_deref()))
    }

    pub(super) fn identity(&self) -> Option<String> {
        self.chain
            .iter()
            .flat_map(|l| &l.observations)
            .find_map(identity::of_leg)
            .or_else(|| self.tunnels.iter().find_map(identity::of_tunnel))
            .or_else(|| self.app_lines.iter().find_map(identity::of_app))
    }

    /// Its request names `who`, be it beside what it is known by.
    pub(super) fn is_named(&self, who: &str) -> bool {
        let asked = self.chain.iter().filter_map(legs::request);
        let asked = asked.map(|r| r.uri.as_str());
        let logged = self.tunnels.iter().filter_map(|t| t.uri.as_deref());
        asked.chain(logged).any(|uri| identity::names(uri, who))
    }

    /// `Sec-WebSocket-Key`, which every handshake has its own of.
    pub(super) fn ws_key(&self) -> Option<&str> {
        let wire = self
            .chain
            .iter()
            .find_map(|l| legs::request(l)?.key.as_deref());
        wire.or_else(|| self.tunnels.iter().find_map(|t| t.ws_key.as_deref()))
    }

    /// When it was asked for, as well as the evidence knows.
    pub(super) fn opened(&self) -> Option<Stamp> {
        let wire = self.chain.iter().find_map(|l| {
            let answered = legs::response(l)
                .map(|r| r.mark)
                .or_else(|| legs::request(l).map(|r| r.mark));
            let syn = l.observations.iter().find_map(|o| o.syn);
            answered.or(syn).map(|m| Stamp::new(m.at, 1_000))
        });
        wire.or_else(|| {
            let lines = self.tunnels.iter().filter_map(|t| t.start);
            let app = self
                .app_lines
                .iter()
                .filter(|a| a.what == AppEvent::Open)
                .map(|a| a.at);
            lines.chain(app).min_by_key(|s| (s.tick_ns, s.at))
        })
    }

    /// When it was over, as well as the evidence knows.
    pub(super) fn over(&self) -> Option<Stamp> {
        if let Some(at) = legs::torn_down(&self.chain) {
            return Some(Stamp::new(at, 1_000));
        }
        let lines = self.tunnels.iter().filter_map(|t| t.end);
        let app = self
            .app_lines
            .iter()
            .filter(|a| matches!(a.what, AppEvent::Close { .. }))
            .map(|a| a.at);
        let told = lines.chain(app).min_by_key(|s| (s.tick_ns, s.at));
        // Who gives a peer up for its silence terminates it, also where no line of a close follows.
        told.or_else(|| {
            let given_up =
                |a: &&AppLine| matches!(a.what, AppEvent::HeartbeatMissed | AppEvent::ReadTimedOut);
            self.app_lines.iter().rev().find(given_up).map(|a| a.at)
        })
        .or_else(|| {
            let mut tls = self.hop_lines.iter().filter(|h| h.is_tls());
            tls.next().map(|h| h.at)
        })
    }

    /// Its server was heard well after this moment, on the leg nearest to it: no server that had ended the connection then.
    pub(super) fn heard_after(&self, at: Stamp) -> bool {
        let nearest = self.chain.last().into_iter().flat_map(|l| &l.observations);
        nearest
            .filter_map(|o| o.to_client.last_payload)
            .any(|m| m.at.since(at.at) > at.tick_ns + HEARD_NS)
    }

    /// A handshake that no 101 answered.
    pub(super) fn refused(&self) -> bool {
        // Over HTTP/2 a yes is a 200.
        let statuses: Vec<u16> = self
            .chain
            .iter()
            .filter_map(|l| legs::response(l).map(|r| if r.upgraded() { 101 } else { r.status }))
            .chain(self.tunnels.iter().filter_map(|t| t.status))
            .collect();
        !statuses.is_empty() && !statuses.contains(&101)
    }
}

/// Each once, where it stands first. Mostly there are one or two, which need no set.
fn keep_firsts(all: &mut Vec<IpAddr>) {
    if all.len() > 16 {
        let mut seen = BTreeSet::new();
        all.retain(|ip| seen.insert(*ip));
        return;
    }
    let mut kept = 0;
    for i in 0..all.len() {
        if !all[..kept].contains(&all[i]) {
            all.swap(kept, i);
            kept += 1;
        }
    }
    all.truncate(kept);
}

/// Lines that no connection took.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) hop_lines: Vec<HopLine>,
    pub(super) app_lines: Vec<AppLine>,
    /// First packets of encrypted legs that nothing shows to be WebSockets.
    pub(super) unknown: Vec<RecordRef>,
}

/// What a draft is found by.
#[derive(Default)]
struct Named {
    clients: Vec<IpAddr>,
    token: Option<String>,
    key: Option<String>,
}

impl Named {
    fn by(draft: &Draft) -> Self {
        Self {
            clients: draft.clients(),
            token: draft.identity(),
            key: draft.ws_key().map(str::to_owned),
        }
    }
}

/// Finds drafts by address or token without looking at all of them.
pub(super) struct Index {
    by_ip: HashMap<IpAddr, Vec<usize>>,
    by_token: HashMap<String, Vec<usize>>,
    by_key: HashMap<String, Vec<usize>>,
}

impl Index {
    pub(super) fn new(drafts: &[Draft]) -> Self {
        let mut index = Self {
            by_ip: HashMap::new(),
            by_token: HashMap::new(),
            by_key: HashMap::new(),
        };
        for (i, d) in drafts.iter().enumerate() {
            index.add(i, d, &Named::default());
        }
        index
    }

    /// Finds a draft by what the line names as well, which it gets.
    pub(super) fn grow(&mut self, i: usize, draft: &mut Draft, line: TunnelLine) {
        let before = Named::by(draft);
        draft.add_tunnel(line);
        self.add(i, draft, &before);
    }

    /// Finds a draft by all that it names and was not known to name `before`.
    fn add(&mut self, i: usize, draft: &Draft, before: &Named) {
        let now = Named::by(draft);
        for ip in now
            .clients
            .into_iter()
            .filter(|ip| !before.clients.contains(ip))
        {
            self.by_ip.entry(ip).or_default().push(i);
        }
        for (of, name, known) in [
            (&mut self.by_token, now.token, &before.token),
            (&mut self.by_key, now.key, &before.key),
        ] {
            if let Some(name) = name.filter(|_| known.is_none()) {
                of.entry(name).or_default().push(i);
            }
        }
    }

    /// Drafts of this handshake key.
    pub(super) fn of_key(&self, key: Option<&str>) -> &[usize] {
        let found = key.and_then(|k| self.by_key.get(k));
        found.map_or(&[], Vec::as_slice)
    }

    /// Some draft's client has this address.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.by_ip.contains_key(&ip.to_canonical())
    }

    pub(super) fn candidates<'a>(
        &self,
        ips: impl Iterator<Item = &'a IpAddr>,
        token: Option<&str>,
    ) -> Vec<usize> {
        let mut all: Vec<usize> = Vec::new();
        let by_token = token.and_then(|t| self.by_token.get(t));
        if let Some(found) = by_token {
            all.extend(found);
        }
        for ip in ips {
            all.extend(self.by_ip.get(&ip.to_canonical()).into_iter().flatten());
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}
