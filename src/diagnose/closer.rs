//! A connection and its verdict -> who ended it, or refused it, where the cause knows better than what was seen of the end.

use super::extract::{Subject, server as process};
use super::fact::Row;
use super::names::stack;
use super::outcome;
use crate::model::{
    AppEvent, Cause, Closer, Direction, Hop, HopEvent, HopKind, HopLine, LegEventKind,
    LegObservation, Outcome, Role, TunnelLine, Verdict,
};

fn first_proxy<'a>(s: &Subject<'a>) -> Option<&'a Hop> {
    s.c.hops.iter().find(|h| h.kind.is_proxy())
}

fn proxy(s: &Subject<'_>) -> Closer {
    let hop = first_proxy(s);
    Closer {
        role: Role::Proxy,
        hop: hop.map(|h| h.name.clone()),
        address: hop.and_then(|h| h.address),
    }
}

fn server(s: &Subject<'_>) -> Closer {
    Closer {
        role: Role::Server,
        hop: None,
        address: s.c.hops.last().and_then(|h| h.address),
    }
}

const fn client(s: &Subject<'_>) -> Closer {
    Closer {
        role: Role::Client,
        hop: None,
        address: s.c.client.ip,
    }
}

const fn nobody(role: Role) -> Closer {
    Closer {
        role,
        hop: None,
        address: None,
    }
}

/// The closer's address was taken for the client's; what it did over and over shows that it is a hop's.
pub(super) fn taken_for_client(s: &Subject<'_>, row: &Row) -> bool {
    s.c.closer.role == Role::Client && outcome::word(row, "close.side") == Some("proxy")
}

/// Nobody ended what stands.
pub(super) fn standing_closer(s: &Subject<'_>, outcome: Outcome) -> Option<Closer> {
    (outcome == Outcome::Open && s.c.closer.role == Role::Unknown).then_some(nobody(Role::None))
}

/// Where no capture shows who ended it, the cause does.
pub(super) fn closer(s: &Subject<'_>, row: &Row, verdict: &Verdict) -> Option<Closer> {
    if s.c.closed.is_none()
        && verdict.outcome == Outcome::Drop
        && verdict.cause != Some(Cause::ServerCrash)
    {
        return Some(nobody(Role::None));
    }
    if verdict.outcome == Outcome::FailedHandshake {
        return Some(refuser(s, row, verdict.cause));
    }
    let unnamed_proxy = || Closer {
        role: Role::Proxy,
        hop: Some(HopKind::Proxy.name().into()),
        address: s.c.closer.address,
    };
    if taken_for_client(s, row) {
        return Some(unnamed_proxy());
    }
    // A timer beyond an end that nothing names is more often a balancer's than an application's.
    let timed = matches!(verdict.cause, Some(Cause::IdleTimeout | Cause::LifetimeCap));
    let unnamed = timed && s.c.closer.role == Role::Server && stack(s).is_none();
    if unnamed && process::far_end_unknown(s) {
        return Some(unnamed_proxy());
    }
    if s.c.closer.role != Role::Unknown {
        return None;
    }
    let (proxy, server, client) = (|| proxy(s), || server(s), || client(s));
    Some(match verdict.cause? {
        // The application's own timer.
        Cause::IdleTimeout
            if s.c
                .app_lines
                .iter()
                .any(|l| matches!(l.what, AppEvent::Idle | AppEvent::ReadTimedOut)) =>
        {
            server()
        }
        Cause::IdleTimeout | Cause::ProxyRestart | Cause::LifetimeCap => proxy(),
        Cause::MissedHeartbeat
        | Cause::ServerCrash
        | Cause::ServerRestart
        | Cause::ServerException
        | Cause::PolicyClose
        | Cause::MessageTooBig => server(),
        Cause::SlowConsumer if waited_by_proxy(s) => proxy(),
        Cause::SlowConsumer => server(),
        // Who wrote of it refused it.
        Cause::ProtocolError if told_by_server(row) => server(),
        Cause::ClientAbort | Cause::ClientHeartbeatTimeout => client(),
        Cause::MiddleboxExpiry | Cause::InjectedReset => nobody(Role::Network),
        Cause::ClientNetworkChange | Cause::ClientVanished => {
            if outcome::is(row, "heartbeat.miss_logged") {
                server()
            } else if outcome::is(row, "idle.logged") || outcome::is(row, "client.tcp_gave_up") {
                proxy()
            } else if outcome::is(row, "client.unacked") && s.c.legs.len() > 1 {
                // The hop that waited in vain for acknowledgements let go of its other leg.
                proxy()
            } else {
                return None;
            }
        }
        _ => return None,
    })
}

/// The proxy gave up on a client that did not read: it says so, or let go of the server, which had not.
fn waited_by_proxy(s: &Subject<'_>) -> bool {
    let told = |h: &HopLine| h.what == HopEvent::ClientTimeout;
    let behind = s.c.legs.last().filter(|l| l.from > 0);
    let ended = |o: &LegObservation, d: Direction| {
        let flow = o.flow(d);
        flow.ended().is_some() || flow.rst.is_some()
    };
    s.c.hop_lines.iter().any(told)
        || behind.is_some_and(|l| {
            let mut seen = l.observations.iter();
            seen.any(|o| ended(o, Direction::ToServer) && !ended(o, Direction::ToClient))
        })
}

/// Envoy names the upstream that its answer came from.
fn answered_behind(t: &TunnelLine) -> bool {
    let own = |state: &str| state.contains("upgrade_failed");
    t.hop == HopKind::Envoy && t.upstream.is_some() && !t.termination.as_deref().is_some_and(own)
}

/// A proxy answered by itself: captures hold both sides of it, and nothing of this connection behind it.
fn unasked(s: &Subject<'_>) -> bool {
    let [leg] = s.c.legs.as_slice() else {
        return false;
    };
    s.all
        .iter()
        .any(|c| c.legs.len() > 1 && c.legs[0].server == leg.server)
}

/// What is known of its Close stands in the application's log.
fn told_by_server(row: &Row) -> bool {
    row.get("close.code")
        .is_some_and(|r| r.witness.app_log && !r.witness.capture)
}

/// The way that a fatal TLS alert went.
fn alerted(s: &Subject<'_>) -> Option<Direction> {
    let mut events = s.observations().flat_map(|(_, o)| &o.events);
    events
        .find(|e| matches!(e.what, LegEventKind::TlsAlert { level: 2, .. }))
        .map(|e| e.direction)
}

/// Who said no, or gave up.
fn refuser(s: &Subject<'_>, row: &Row, cause: Option<Cause>) -> Closer {
    let proxy = first_proxy(s);
    let (by_proxy, server, client) = (|| self::proxy(s), || server(s), || client(s));
    let status = s.c.request.status;
    // 502 to 504 are a proxy's own words whatever its upstream did; a crashed accept is the server's doing.
    match status {
        Some(499) => client(),
        Some(502..=504) => match outcome::word(row, "handshake.upstream") {
            Some("closed-early") => server(),
            _ if status == Some(503) && outcome::is(row, "handshake.from_server") => server(),
            _ if proxy.is_some() => by_proxy(),
            // RFC 9110 15.6: 502 and 504 are a gateway's words, whether or not another source knows of one; so is a 503 for want of an
            // upstream.
            _ if status != Some(503) || cause == Some(Cause::UpstreamUnavailable) => by_proxy(),
            _ => server(),
        },
        Some(_)
            if proxy.is_some() && (outcome::is(row, "proxy.exhausted_logged") || unasked(s)) =>
        {
            by_proxy()
        }
        Some(_) if outcome::is(row, "handshake.from_server") || proxy.is_none() => server(),
        Some(_)
            if row
                .get("handshake.from_server")
                .is_some_and(|r| r.value.is_some()) =>
        {
            by_proxy()
        }
        // Envoy answers a refused upgrade itself; other proxies pass the server's answer on.
        Some(_)
            if proxy.is_some_and(|h| h.kind == HopKind::Envoy)
                && !s.c.tunnels.iter().any(answered_behind) =>
        {
            by_proxy()
        }
        Some(_) => server(),
        None if s.c.legs.is_empty() && s.c.hop_lines.iter().any(HopLine::is_tls) => {
            let left = |h: &HopLine| h.what == HopEvent::TlsLeft;
            if s.c.hop_lines.iter().any(left) {
                client()
            } else {
                by_proxy()
            }
        }
        None => match s.c.closer.role {
            // Whoever sent the alert said no.
            Role::Unknown if alerted(s).is_some() => match alerted(s) {
                Some(Direction::ToServer) => client(),
                _ if proxy.is_some() => by_proxy(),
                _ => server(),
            },
            Role::Unknown => {
                let reset_by_far =
                    s.c.legs
                        .first()
                        .is_some_and(|l| l.observations.iter().any(|o| o.to_client.rst.is_some()));
                if reset_by_far && proxy.is_some() {
                    by_proxy()
                } else {
                    nobody(Role::Unknown)
                }
            }
            _ => s.c.closer.clone(),
        },
    }
}
