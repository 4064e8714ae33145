//! Requests whose URI the capture's snapshot length cut -> the whole URI where a log or another leg knows it, else the path alone.

use super::identity;
use super::legs::Chain;
use crate::model::Line;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is left of a token is the beginning of other tokens as well: as an identity it would tie strangers together.
pub(super) fn complete(chains: &mut [Chain], lines: &[Line]) {
    let is_cut = |c: &Chain| requests(c).any(|r| r.uri_cut);
    if !chains.iter().any(is_cut) {
        return;
    }
    let known = Known::new(chains, lines);
    for chain in chains.iter_mut().filter(|c| is_cut(c)) {
        let own = requests(chain).find(|r| !r.uri_cut).map(|r| r.uri.clone());
        let client = chain.first().map(|l| l.client.ip().to_canonical());
        for request in chain
            .iter_mut()
            .flat_map(|l| &mut l.observations)
            .filter_map(|o| o.request.as_mut())
            .filter(|r| r.uri_cut)
        {
            let whole = own
                .clone()
                .filter(|u| u.starts_with(&request.uri))
                .or_else(|| known.whole(&request.uri, client));
            request.uri = whole.unwrap_or_else(|| identity::path(&request.uri).to_owned());
        }
    }
}

fn requests(chain: &Chain) -> impl Iterator<Item = &crate::model::Request> {
    chain
        .iter()
        .flat_map(|l| &l.observations)
        .filter_map(|o| o.request.as_ref())
}

/// Whole URIs with the clients that asked for them, and sessions that applications name.
struct Known {
    uris: BTreeMap<String, BTreeSet<IpAddr>>,
    sessions: BTreeSet<String>,
}

impl Known {
    fn new(chains: &[Chain], lines: &[Line]) -> Self {
        let mut uris: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut sessions = BTreeSet::new();
        let mut add = |uri: &str, clients: &mut dyn Iterator<Item = IpAddr>| {
            uris.entry(uri.to_owned())
                .or_default()
                .extend(clients.map(|ip| ip.to_canonical()));
        };
        for chain in chains {
            for r in requests(chain).filter(|r| !r.uri_cut) {
                add(&r.uri, &mut chain.iter().map(|l| l.client.ip()));
            }
        }
        for line in lines {
            match line {
                Line::Tunnel(t) => {
                    if let Some(uri) = &t.uri {
                        add(uri, &mut t.client.iter().chain(&t.forwarded_for).copied());
                    }
                }
                Line::App(a) => {
                    if let Some(uri) = &a.uri {
                        add(uri, &mut a.client.iter().copied());
                    }
                    sessions.extend(a.session.clone());
                }
                Line::Hop(_) => {}
            }
        }
        Self { uris, sessions }
    }

    /// The one URI that begins so; of several, the one that this client asked for.
    fn whole(&self, cut: &str, client: Option<IpAddr>) -> Option<String> {
        let begin_so: Vec<_> = self
            .uris
            .range(cut.to_owned()..)
            .take_while(|(uri, _)| uri.starts_with(cut))
            .collect();
        if let [(uri, _)] = begin_so.as_slice() {
            return Some((*uri).clone());
        }
        let mut theirs = begin_so
            .iter()
            .filter(|(_, clients)| client.is_some_and(|ip| clients.contains(&ip)));
        if let (Some((uri, _)), None) = (theirs.next(), theirs.next()) {
            return Some((*uri).clone());
        }
        if !begin_so.is_empty() {
            return None;
        }
        let (front, begun) = cut.rsplit_once('=').filter(|(_, v)| v.len() >= 2)?;
        let mut named = self
            .sessions
            .range(begun.to_owned()..)
            .take_while(|s| s.starts_with(begun));
        match (named.next(), named.next()) {
            (Some(session), None) => Some(format!("{front}={session}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_of_a_cut_uri() {
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let known = Known {
            uris: BTreeMap::from([
                ("/ws?s=alice".to_owned(), BTreeSet::from([ip(1)])),
                ("/ws?s=alina".to_owned(), BTreeSet::from([ip(2)])),
                ("/ws?s=bob".to_owned(), BTreeSet::from([ip(3)])),
            ]),
            sessions: BTreeSet::from(["carol".to_owned(), "dan1".to_owned(), "dan2".to_owned()]),
        };
        for (cut, client, whole) in [
            ("/ws?s=b", 9, Some("/ws?s=bob")),
            ("/ws?s=ali", 2, Some("/ws?s=alina")),
            ("/ws?s=ali", 9, None),
            ("/ws?s=caro", 9, Some("/ws?s=carol")),
            ("/ws?s=dan", 9, None),
            ("/w", 9, None),
            ("/other", 9, None),
        ] {
            assert_eq!(
                known.whole(cut, Some(ip(client))).as_deref(),
                whole,
                "{cut}"
            );
        }
    }
}
