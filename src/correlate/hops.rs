//! Addresses, log lines, headers and configuration of a case -> which program stands at which address, and each connection's path.

use super::draft::Draft;
use super::legs;
use crate::model::{Hop, HopKind, HopSettings, TunnelLine};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What stands where, over the whole case.
#[derive(Debug, Default)]
pub(super) struct Places {
    kinds: BTreeMap<IpAddr, HopKind>,
    /// Addresses that open legs on behalf of others.
    relays: BTreeSet<IpAddr>,
    /// Addresses that were seen to answer, and never to relay.
    ends: BTreeSet<IpAddr>,
}

/// A hop whose program an HTTP header gives away.
fn by_header(value: &str) -> Option<HopKind> {
    let v = value.to_ascii_lowercase();
    if v.starts_with("nginx") || v.starts_with("openresty") {
        Some(HopKind::Nginx)
    } else if v.starts_with("envoy") || v.starts_with("istio-envoy") {
        Some(HopKind::Envoy)
    } else if v.starts_with("awselb") {
        Some(HopKind::Alb)
    } else if v.starts_with("apache") {
        Some(HopKind::Apache)
    } else if v.starts_with("caddy") {
        Some(HopKind::Caddy)
    } else if v.starts_with("cloudflare") {
        Some(HopKind::Cloudflare)
    } else if v.starts_with("cloudfront") {
        Some(HopKind::CloudFront)
    } else {
        None
    }
}

impl Places {
    pub(super) fn survey(drafts: &[Draft], settings: &[HopSettings]) -> Self {
        let mut places = Self::default();
        let mut servers = BTreeSet::new();
        for d in drafts {
            for pair in d.chain.windows(2) {
                if pair[0].server.ip() == pair[1].client.ip() {
                    places.relays.insert(pair[1].client.ip());
                }
            }
            servers.extend(d.chain.iter().map(|l| l.server.ip()));
        }
        // A log line that names this leg's client was written by this leg's server.
        let mut votes: BTreeMap<IpAddr, BTreeMap<HopKind, usize>> = BTreeMap::new();
        for d in drafts {
            if let (Some(t), Some(leg)) = (d.in_front(), d.chain.first()) {
                *votes
                    .entry(leg.client.ip())
                    .or_default()
                    .entry(t.hop)
                    .or_default() += 1;
            }
            for t in &d.tunnels {
                let leg = d
                    .chain
                    .iter()
                    .find(|l| names(t, l.client.ip(), Some(l.client.port())))
                    .or_else(|| {
                        d.chain
                            .iter()
                            .find(|l| t.client_port.is_none() && names(t, l.client.ip(), None))
                    });
                if let Some(leg) = leg {
                    *votes
                        .entry(leg.server.ip())
                        .or_default()
                        .entry(t.hop)
                        .or_default() += 1;
                }
                if let (Some(up), Some(leg)) = (
                    t.upstream,
                    d.chain.iter().find(|l| Some(l.server) == t.upstream),
                ) {
                    // The upstream's own leg: its client is the hop that wrote the line.
                    *votes
                        .entry(leg.client.ip())
                        .or_default()
                        .entry(t.hop)
                        .or_default() += 1;
                    let _ = up;
                }
            }
        }
        for (ip, kinds) in votes {
            if let Some((&kind, _)) = kinds
                .iter()
                .max_by_key(|&(k, n)| (*n, std::cmp::Reverse(*k)))
            {
                places.kinds.insert(ip, kind);
            }
        }
        for s in settings {
            for listen in &s.listen {
                if let Some(ip) = listen
                    .rsplit_once(':')
                    .and_then(|(h, _)| h.trim_matches(['[', ']']).parse::<IpAddr>().ok())
                    && servers.contains(&ip)
                {
                    places.kinds.entry(ip).or_insert(s.hop);
                }
            }
        }
        places.read_headers(drafts);
        // One kind of proxy is configured and one relay is unnamed: they belong together.
        let configured: BTreeSet<HopKind> = settings.iter().map(|s| s.hop).collect();
        let unnamed: Vec<IpAddr> = places
            .relays
            .iter()
            .copied()
            .filter(|ip| !places.kinds.contains_key(ip))
            .collect();
        let left: Vec<HopKind> = configured
            .into_iter()
            .filter(|k| !places.kinds.values().any(|v| v == k))
            .collect();
        if let ([ip], [kind]) = (unnamed.as_slice(), left.as_slice()) {
            places.kinds.insert(*ip, *kind);
        }
        for ip in servers {
            if !places.relays.contains(&ip) && !places.kinds.contains_key(&ip) {
                places.ends.insert(ip);
            }
        }
        places
    }

    /// `Server:` names the last hop that wrote the header: the deepest leg that still carries it ends there.
    fn read_headers(&mut self, drafts: &[Draft]) {
        for d in drafts {
            let deepest = d.chain.iter().rev().find_map(|l| {
                legs::response(l)
                    .and_then(|r| r.server.as_deref())
                    .and_then(by_header)
                    .map(|k| (l.server.ip(), k))
            });
            if let Some((ip, kind)) = deepest {
                self.kinds.entry(ip).or_insert(kind);
            }
        }
    }

    fn kind(&self, ip: IpAddr) -> Option<HopKind> {
        self.kinds
            .get(&ip)
            .copied()
            .or_else(|| self.relays.contains(&ip).then_some(HopKind::Proxy))
    }

    /// The path of one connection, client first, server last; and for each of the draft's legs the index of its client hop.
    /// `clients` are the addresses that the draft names its client by.
    pub(super) fn path(&self, draft: &Draft, clients: &[IpAddr]) -> (Vec<Hop>, Vec<usize>) {
        let outer = clients.first().copied();
        let mut hops = Vec::new();
        let mut from = Vec::new();
        // What the client wrote tells of no hop between it and the server.
        let mut tunnels: Vec<&TunnelLine> = draft
            .tunnels
            .iter()
            .filter(|t| t.hop != HopKind::Client)
            .collect();
        tunnels.sort_by_key(|t| {
            (
                t.client != outer,
                !t.hop.is_edge(),
                !matches!(t.hop, HopKind::Alb | HopKind::Haproxy | HopKind::Proxy),
                t.record,
            )
        });
        let Some(first) = draft.chain.first() else {
            hops.reserve_exact(tunnels.len() + 2);
            hops.push(hop(HopKind::Client, outer));
            if tunnels.is_empty() && draft.app_lines.is_empty() {
                hops.extend(draft.hop_lines.first().map(|h| hop(h.hop, None)));
            }
            for (i, t) in tunnels.iter().enumerate() {
                // The next hop inwards sees this one's address.
                hops.push(hop(t.hop, tunnels.get(i + 1).and_then(|n| n.client)));
            }
            let server = tunnels.last().and_then(|t| t.upstream).map(|u| u.ip());
            // A format that names no peer (Envoy's own) shows in the list what this hop added itself.
            if tunnels.len() == 1
                && !tunnels[0].forwarded_for.is_empty()
                && tunnels[0].client.is_some_and(|peer| Some(peer) != outer)
            {
                hops.insert(1, hop(HopKind::Proxy, tunnels[0].client));
            }
            hops.push(hop(HopKind::Server, server));
            return (hops, from);
        };
        hops.push(hop(HopKind::Client, outer));
        let behind = outer.is_some_and(|o| o != first.client.ip().to_canonical());
        if behind {
            hops.push(hop(
                self.kind(first.client.ip()).unwrap_or(HopKind::Proxy),
                Some(first.client.ip()),
            ));
        }
        for leg in &draft.chain {
            let client = leg.client.ip();
            let last = hops.len() - 1;
            if hops[last].address != Some(client) && (behind || last != 0) {
                // The chain jumps over a hop that no capture saw (a NAT, another network).
                if hops[last].kind == HopKind::Server {
                    hops[last].kind = HopKind::Proxy;
                    hops[last].name = HopKind::Proxy.name().into();
                }
                let relay = self.kind(client).unwrap_or(HopKind::Proxy);
                if hops[last].address.is_some_and(|a| self.relays.contains(&a))
                    || hops[last].kind.is_proxy()
                {
                    hops[last].address = Some(client);
                    hops[last].kind = relay;
                    hops[last].name = relay.name().into();
                }
            }
            from.push(hops.len() - 1);
            let kind = self.kind(leg.server.ip()).unwrap_or(HopKind::Server);
            hops.push(hop(kind, Some(leg.server.ip())));
        }
        let end = hops.len() - 1;
        let last_leg = draft.chain.last().map(|l| l.server.ip());
        // A last hop that is a proxy has a server behind it that no capture saw.
        if hops[end].kind.is_proxy() {
            let upstream = tunnels
                .iter()
                .rev()
                .find_map(|t| t.upstream.map(|u| u.ip()))
                .filter(|ip| Some(*ip) != last_leg);
            // Further proxies that only their logs tell of lie between.
            for t in &tunnels {
                let known = hops.iter().any(|h| h.kind == t.hop);
                if !known
                    && t.client
                        .is_some_and(|c| Some(c) == hops[hops.len() - 1].address)
                {
                    hops.push(hop(t.hop, None));
                }
            }
            hops.push(hop(HopKind::Server, upstream));
        }
        (hops, from)
    }
}

fn names(t: &TunnelLine, ip: IpAddr, port: Option<u16>) -> bool {
    t.client == Some(ip.to_canonical()) && (port.is_none() || t.client_port == port)
}

fn hop(kind: HopKind, address: Option<IpAddr>) -> Hop {
    Hop {
        kind,
        name: kind.name().into(),
        address,
    }
}
