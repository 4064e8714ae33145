//! The opening handshake on every leg and in every log -> the `handshake.*` and `config.*` facts.

use super::{CAPTURE, CONFIG, NOBODY, POPULATION, PROXY_LOG, Subject, at, shown};
use crate::diagnose::fact::{Row, Value};
use crate::diagnose::outcome::word;
use crate::model::{
    AppEvent, HopEvent, HopKind, LegObservation, LegProtocol, Request, TunnelLine, UpgradeSetting,
};

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    result(s, row);
    upgrade(s, row);
    upstream(s, row);
    turned_away(s, row);
    neighbours(s, row);
}

fn request(leg: &crate::model::ConnectionLeg) -> Option<&Request> {
    leg.observations.iter().find_map(|o| o.request.as_ref())
}

fn result(s: &Subject<'_>, row: &mut Row) {
    let first = s.c.legs.first();
    let answer = first.and_then(|l| l.observations.iter().find_map(|o| o.response.as_ref()));
    let line = s.c.tunnels.first();
    let mut records = Vec::new();
    let mut witness = NOBODY;
    if let Some(r) = answer {
        witness = witness.and(CAPTURE);
        records.push(at(r.mark));
    }
    if let Some(t) = line {
        witness = witness.and(PROXY_LOG);
        records.push((t.record, t.end));
    }
    if let Some(status) = s.c.request.status {
        let word = if s.c.request.accepted() {
            "accepted"
        } else {
            "refused"
        };
        if records.is_empty() {
            witness.app_log = true;
            records.extend(s.c.app_lines.first().map(|l| (l.record, Some(l.at))));
        }
        // 499: the hop's own word for "the client left before I had an answer".
        let word = if status == 499 || status == 408 || status == 504 {
            "unanswered"
        } else {
            word
        };
        row.set(
            "handshake.status",
            shown(Value::Count(i64::from(status)), witness, records.clone()),
        );
        row.set(
            "handshake.result",
            shown(Value::Word(word), witness, records),
        );
    } else if let Some(leg) = first {
        let midstream = leg
            .observations
            .iter()
            .any(|o| o.protocol == LegProtocol::WebSocketMidstream || o.looks_like_websocket());
        let reset = leg.observations.iter().find_map(|o| o.to_client.rst);
        let asked = leg
            .observations
            .iter()
            .find_map(|o| o.request.as_ref().map(|r| r.mark).or(o.syn));
        if midstream {
            row.set(
                "handshake.result",
                shown(Value::Word("accepted"), CAPTURE, vec![]),
            );
        } else if let Some(rst) = reset {
            row.set(
                "handshake.result",
                shown(Value::Word("reset"), CAPTURE, vec![at(rst.mark)]),
            );
        } else if let Some(mark) = asked {
            row.set(
                "handshake.result",
                shown(Value::Word("unanswered"), CAPTURE, vec![at(mark)]),
            );
        }
    }
    let asked_at = first.and_then(|l| request(l).map(|r| r.mark));
    let done_at = answer.map(|r| r.mark.at).or(s.c.closed.map(|c| c.at));
    if let (Some(from), Some(to)) = (asked_at, done_at) {
        row.set(
            "handshake.waited",
            shown(
                Value::Duration(to.since(from.at).max(0)),
                CAPTURE,
                vec![at(from)],
            ),
        );
    } else if let Some((t, ns)) = line
        .and_then(|t| Some((t, t.life_ns?)))
        .filter(|_| !s.c.request.accepted())
    {
        row.set(
            "handshake.waited",
            shown(Value::Duration(ns), PROXY_LOG, vec![(t.record, t.end)]),
        );
    }
}

fn asks(r: &Request) -> bool {
    r.upgrade
        .as_deref()
        .is_some_and(|u| u.to_ascii_lowercase().contains("websocket"))
}

/// A head cut by the capture's snapshot length shows neither what was asked nor what was left out.
fn whole(r: &Request) -> bool {
    r.upgrade.is_some() || r.key.is_some()
}

fn connection_upgrade(r: &Request) -> bool {
    r.connection.as_deref().is_some_and(|c| {
        c.to_ascii_lowercase()
            .split(',')
            .any(|t| t.trim() == "upgrade")
    })
}

/// What the hops are configured to pass on for this connection's URI: of several, one that does not pass the upgrade on,
/// since one is enough.
fn setting<'a>(s: &Subject<'a>) -> Option<(&'a UpgradeSetting, &'a crate::model::HopSettings)> {
    let uri = s.c.request.uri.as_deref()?;
    s.context
        .settings
        .iter()
        .filter(|h| {
            s.c.hops
                .iter()
                .any(|p| p.kind == h.hop || p.kind == HopKind::Proxy)
        })
        .filter_map(|h| Some((h.route(uri)?.upgrade.as_ref()?, h)))
        .min_by_key(|(u, _)| passes(u))
}

const fn passes(u: &UpgradeSetting) -> bool {
    u.upgrade_header && u.connection_header && u.http_11
}

fn upgrade(s: &Subject<'_>, row: &mut Row) {
    let client_leg = s.client_leg().and_then(request);
    if let Some(r) = client_leg.filter(|r| whole(r)) {
        row.set(
            "handshake.upgrade_asked",
            shown(Value::Bool(asks(r)), CAPTURE, vec![at(r.mark)]),
        );
    } else if let Some((t, asked)) = s.c.tunnels.iter().find_map(|t| Some((t, t.upgrade_asked?))) {
        row.set(
            "handshake.upgrade_asked",
            shown(Value::Bool(asked), PROXY_LOG, vec![(t.record, t.end)]),
        );
    } else if s.c.request.accepted() {
        row.set(
            "handshake.upgrade_asked",
            shown(Value::Bool(true), PROXY_LOG, vec![]),
        );
    }
    // The request as the last hop got it: only a leg behind a proxy, or a path without one, shows what was passed on.
    let proxied = s.c.hops.iter().any(|h| h.kind.is_proxy());
    let inner =
        s.c.legs
            .iter()
            .rev()
            .find(|l| l.from > 0 || !proxied)
            .and_then(|l| Some((request(l)?, l.from + 2 == s.c.hops.len())));
    // A hop behind the leg may still take away what the leg shows.
    let complete =
        |r: &Request| asks(r) && (r.is_http2() || connection_upgrade(r) && r.minor_version >= 1);
    let inner = inner
        .filter(|(r, reached)| *reached || !complete(r))
        .map(|(r, _)| r);
    let configured = setting(s);
    if let Some((u, h)) = configured {
        let record = crate::model::RecordRef {
            source: h.source,
            ordinal: u.line,
            start: 0,
            len: 0,
        };
        row.set(
            "config.upgrade_passed",
            shown(Value::Bool(passes(u)), CONFIG, vec![(record, None)]),
        );
    }
    if s.c.request.accepted() {
        // Whoever answers 101 was asked.
        row.set(
            "handshake.upgrade_passed",
            shown(Value::Bool(true), PROXY_LOG, vec![]),
        );
    } else if let Some(r) = inner.filter(|r| whole(r)) {
        row.set(
            "handshake.upgrade_passed",
            shown(Value::Bool(complete(r)), CAPTURE, vec![at(r.mark)]),
        );
        row.set(
            "handshake.http10",
            shown(Value::Bool(r.minor_version == 0), CAPTURE, vec![at(r.mark)]),
        );
    } else if let Some(t) = s.c.tunnels.iter().find(|t| refused_by_hop(t)) {
        row.set(
            "handshake.upgrade_passed",
            shown(Value::Bool(false), PROXY_LOG, vec![(t.record, t.end)]),
        );
    } else if let Some(r) = envoy_refused(s) {
        row.set(
            "handshake.upgrade_passed",
            shown(Value::Bool(false), CAPTURE, vec![at(r)]),
        );
    } else if let Some((u, h)) = configured {
        let record = crate::model::RecordRef {
            source: h.source,
            ordinal: u.line,
            start: 0,
            len: 0,
        };
        row.set(
            "handshake.upgrade_passed",
            shown(Value::Bool(passes(u)), CONFIG, vec![(record, None)]),
        );
        row.set(
            "handshake.http10",
            shown(Value::Bool(!u.http_11), CONFIG, vec![(record, None)]),
        );
    }
}

/// Envoy answers 403 by itself where a route has no `upgrade_configs` for WebSocket (details `upgrade_failed`).
fn refused_by_hop(t: &TunnelLine) -> bool {
    t.hop == HopKind::Envoy
        && t.status == Some(403)
        && (t
            .termination
            .as_deref()
            .is_some_and(|x| x.contains("upgrade_failed"))
            || t.upstream.is_none())
}

/// The same, as a capture of both sides of Envoy shows it: a 403 and nothing sent to the upstream.
fn envoy_refused(s: &Subject<'_>) -> Option<crate::model::Mark> {
    let [leg] = s.c.legs.as_slice() else {
        return None;
    };
    let envoy =
        s.c.hops
            .get(leg.from + 1)
            .is_some_and(|h| h.kind == HopKind::Envoy);
    let answer = leg.observations.iter().find_map(|o| o.response.as_ref())?;
    // Other connections' upstream legs are in the captures, so this one's would be as well.
    let both_sides = s
        .all
        .iter()
        .any(|c| c.legs.len() > 1 && c.legs[0].server == leg.server);
    (envoy && answer.status == 403 && both_sides).then_some(answer.mark)
}

fn upstream(s: &Subject<'_>, row: &mut Row) {
    let by_line = s.c.hop_lines.iter().find_map(|h| {
        let word = match h.what {
            HopEvent::UpstreamRefused => "refused",
            HopEvent::UpstreamUnreachable => "unreachable",
            HopEvent::UpstreamClosedEarly => "closed-early",
            HopEvent::HandshakeTimeout => "timed-out",
            HopEvent::NoLiveUpstreams => "none",
            _ => return None,
        };
        Some((word, h))
    });
    let status = s.c.request.status;
    // The leg behind the last known proxy, or one on whose port nobody listened.
    let turned_down = |l: &&crate::model::ConnectionLeg| l.observations.iter().any(|o| o.refused);
    let deepest = s.c.legs.iter().rev().find(|l| l.from > 0 || turned_down(l));
    // RFC 9110 15.6: what answers 502 or 504 is a gateway that speaks of its own upstream, and nothing shows that one.
    let gateway = |o: &&LegObservation| {
        let status = o.response.as_ref().map(|r| r.status);
        !matches!(status, Some(502 | 504))
    };
    let upstream_observation = deepest.and_then(|l| l.observations.first()).filter(gateway);
    let word = upstream_observation.map(|o| {
        let answered = o.response.is_some();
        let asked = o.request.is_some();
        if answered {
            "answered"
        } else if o.refused {
            "refused"
        } else if o.syn_ack.is_none() && o.syn.is_some() {
            "unreachable"
        } else if o.to_client.rst.is_some() || asked && ended_by_server(o) {
            "closed-early"
        } else {
            "timed-out"
        }
    });
    if let (Some(word), Some(o)) = (word, upstream_observation) {
        let witness = if by_line.is_some() {
            CAPTURE.and(PROXY_LOG)
        } else {
            CAPTURE
        };
        let mut records = vec![at(o.response.as_ref().map_or(o.first, |r| r.mark))];
        records.extend(by_line.map(|(_, h)| (h.record, Some(h.at))));
        row.set(
            "handshake.upstream",
            shown(Value::Word(word), witness, records),
        );
    } else if let Some((word, h)) = by_line {
        row.set(
            "handshake.upstream",
            shown(Value::Word(word), PROXY_LOG, vec![(h.record, Some(h.at))]),
        );
    } else if let Some((word, t)) =
        s.c.tunnels
            .iter()
            .rev()
            .find_map(|t| Some((by_flags(t)?, t)))
    {
        row.set(
            "handshake.upstream",
            shown(Value::Word(word), PROXY_LOG, vec![(t.record, t.end)]),
        );
    } else if let Some(l) =
        s.c.app_lines
            .iter()
            .find(|l| matches!(l.what, AppEvent::Rejected { .. } | AppEvent::Open))
    {
        row.set(
            "handshake.upstream",
            shown(
                Value::Word("answered"),
                super::APP_LOG,
                vec![(l.record, Some(l.at))],
            ),
        );
    }
    // Who wrote the refusal.
    let accepted = s.c.request.accepted();
    let Some(status) = status.filter(|_| !accepted) else {
        return;
    };
    let rejected =
        s.c.app_lines
            .iter()
            .find(|l| matches!(l.what, AppEvent::Rejected { .. }));
    if let Some(o) = upstream_observation {
        let own = o.response.as_ref().is_some_and(|r| r.status == status);
        row.set(
            "handshake.from_server",
            shown(Value::Bool(own), CAPTURE, vec![at(o.last)]),
        );
    } else if let Some(l) = rejected {
        row.set(
            "handshake.from_server",
            shown(
                Value::Bool(true),
                super::APP_LOG,
                vec![(l.record, Some(l.at))],
            ),
        );
    } else if let Some(t) =
        s.c.tunnels
            .iter()
            .rev()
            .find(|t| t.upstream_status.is_some())
    {
        // nginx writes its own 502 and 504 into $upstream_status as well.
        let own = t.upstream_status == Some(status) && !matches!(status, 502..=504);
        row.set(
            "handshake.from_server",
            shown(Value::Bool(own), PROXY_LOG, vec![(t.record, t.end)]),
        );
    } else if matches!(status, 499 | 502..=504) {
        let witness = if s.c.legs.is_empty() {
            PROXY_LOG
        } else {
            CAPTURE
        };
        if s.c.hops.iter().any(|h| h.kind.is_proxy()) {
            row.set(
                "handshake.from_server",
                shown(Value::Bool(false), witness, vec![]),
            );
        }
    }
}

/// A server or proxy at the end of its descriptors or connections drops the new one at once, and keeps what it has.
fn turned_away(s: &Subject<'_>, row: &mut Row) {
    let Some(moment) = s.c.closed.or(s.c.opened) else {
        return;
    };
    let by_server = word(row, "handshake.upstream") == Some("closed-early");
    let reading = if by_server {
        row.get("handshake.upstream")
    } else if dropped_by_proxy(s, row) {
        row.get("handshake.result")
    } else {
        return;
    };
    let reading = reading.cloned().unwrap_or_default();
    let lived = s.population.survivors_beside(s.index, moment);
    row.set(
        "handshake.turned_away",
        shown(
            Value::Bool(lived > 0),
            reading.witness.and(POPULATION),
            reading.records,
        ),
    );
}

/// Reset before any answer, or answered 500 by the proxy itself, and nothing was sent to the upstream although captures
/// show the upstream legs of others.
fn dropped_by_proxy(s: &Subject<'_>, row: &Row) -> bool {
    let [leg] = s.c.legs.as_slice() else {
        return false;
    };
    let proxy =
        s.c.hops
            .get(leg.from + 1)
            .is_some_and(|h| h.kind.is_proxy());
    let reset = word(row, "handshake.result") == Some("reset");
    let both_sides = || {
        s.all
            .iter()
            .any(|c| c.legs.len() > 1 && c.legs[0].server == leg.server)
    };
    reset || proxy && s.c.request.status == Some(500) && both_sides()
}

/// HAProxy's termination state and Envoy's response flags, where they speak of the handshake.
fn by_flags(t: &TunnelLine) -> Option<&'static str> {
    let state = t.termination.as_deref()?;
    match t.hop {
        HopKind::Haproxy if state.starts_with("SC") => Some("refused"),
        HopKind::Haproxy if state.starts_with("sH") || state.starts_with("sC") => Some("timed-out"),
        HopKind::Haproxy if state.starts_with("SH") => Some("closed-early"),
        HopKind::Haproxy if state.starts_with("sQ") => Some("none"),
        HopKind::Envoy => {
            let flag = |f: &str| state.split([' ', ',']).any(|x| x == f);
            if flag("UF") {
                Some("refused")
            } else if flag("UT") {
                Some("timed-out")
            } else if flag("UH") || flag("NR") {
                Some("none")
            } else if flag("UC") && t.status != Some(101) {
                Some("closed-early")
            } else {
                None
            }
        }
        _ if t.status == Some(101) => Some("answered"),
        _ => None,
    }
}

fn neighbours(s: &Subject<'_>, row: &mut Row) {
    let Some(route) = s.population.route(s.index) else {
        return;
    };
    let other = route.accepted.iter().flatten().find(|i| **i != s.index);
    let accepted = other
        .and_then(|i| s.all.get(*i)?.events.first())
        .map(|e| (e.record, Some(e.at)));
    let refused = route.refused - usize::from(!s.place.accepted);
    if let Some(record) = accepted {
        row.set(
            "handshake.route_works",
            shown(Value::Bool(true), POPULATION, vec![record]),
        );
    } else if refused > 0 {
        row.set(
            "handshake.route_works",
            shown(Value::Bool(false), POPULATION, vec![]),
        );
    }
}

/// The server's FIN came first, or alone.
fn ended_by_server(o: &LegObservation) -> bool {
    match (o.to_client.fin, o.to_server.fin) {
        (Some(server), Some(client)) => server.at <= client.at,
        (server, _) => server.is_some(),
    }
}
