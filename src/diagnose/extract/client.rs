//! What the client still said, acknowledged and read, and when it came back -> the `client.*` facts.

use super::{APP_LOG, CAPTURE, POPULATION, PROXY_LOG, Subject, at, shown};
use crate::diagnose::fact::{Row, Value};
use crate::model::{
    AppEvent, Connection, ConnectionLeg, Direction, HopEvent, LegObservation, MILLI_NS, Moment,
    Role, SECOND_NS, Stamp,
};

/// A returning client is tied to an end up to this long after it.
const RETURN_NS: i64 = 900 * SECOND_NS;

/// So many identities at one address are no longer one user with several windows.
const SHARED: usize = 3;

/// Where many users share an address, what ends one of their legs there may be no user: a NAT, a balancer.
fn shared_address(s: &Subject<'_>, row: &mut Row) {
    let known = s.c.client.ip.map_or(0, |ip| s.population.identities(ip));
    if known > 0 {
        row.set(
            "client.shared_address",
            shown(Value::Bool(known >= SHARED), POPULATION, vec![]),
        );
    }
}

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    shared_address(s, row);
    if let Some(leg) = s.client_leg() {
        // The vantage point that saw what the client's network did not: unacknowledged bytes.
        let cut = s.until;
        // Who was reset from between is gone by then: what it leaves unacknowledged afterwards says nothing of its network.
        let reset = reset_from_between(s, leg);
        let unacked = leg
            .observations
            .iter()
            .filter_map(|o| o.to_client.unanswered.map(|u| (o, u)))
            .filter(|(_, u)| u.first.at <= cut.plus(SECOND_NS))
            .filter(|(_, u)| reset.is_none_or(|at| u.first.at < at))
            .max_by_key(|(_, u)| u.retransmissions);
        let captured = leg
            .observations
            .iter()
            .any(|o| o.to_client.packets > 0 && o.to_server.packets > 0);
        if let Some((_, u)) = unacked.filter(|(o, u)| {
            let held = o.last.at.max(cut).since(u.first.at);
            u.retransmissions >= 1 && held >= 200 * MILLI_NS
        }) {
            row.set(
                "client.unacked",
                shown(Value::Bool(true), CAPTURE, vec![at(u.first), at(u.last)]),
            );
        } else if captured {
            row.set("client.unacked", shown(Value::Bool(false), CAPTURE, vec![]));
        }
        // Where one vantage point shows bytes that were never acknowledged, it also shows since when: another, nearer to the
        // client, may still see it speak into a dead path.
        let blind = unacked.map(|(o, _)| o);
        let heard = |o: &LegObservation| {
            let last = o
                .to_server
                .last_packet
                .filter(|m| m.at <= cut.plus(50 * MILLI_NS));
            last.or_else(|| {
                o.events
                    .iter()
                    .filter(|e| e.direction == Direction::ToServer && e.mark.at <= cut)
                    .map(|e| e.mark)
                    .max_by_key(|m| m.at)
            })
        };
        let before = match blind {
            Some(o) => heard(o),
            None => leg
                .observations
                .iter()
                .filter_map(heard)
                .max_by_key(|m| m.at),
        };
        if let Some(mark) = before {
            let silent = cut.since(mark.at).max(0);
            row.set(
                "client.silent_for",
                shown(Value::Duration(silent), CAPTURE, vec![at(mark)]),
            );
        }
        let zero = leg
            .observations
            .iter()
            .map(|o| {
                let open_end = o
                    .to_server
                    .zero_window_since
                    .map_or(0, |m| cut.since(m.at).max(0));
                (
                    o.to_server.zero_window_ns.max(open_end),
                    o.to_server.zero_window_since,
                )
            })
            .max_by_key(|z| z.0);
        if let Some((ns, since)) = zero.filter(|_| captured) {
            row.set(
                "client.zero_window",
                shown(
                    Value::Duration(ns),
                    CAPTURE,
                    since.map(at).into_iter().collect(),
                ),
            );
        }
    }
    let lines = &s.c.hop_lines;
    if let Some(line) = lines.iter().find(|h| h.what == HopEvent::TcpTimeout) {
        row.set(
            "client.tcp_gave_up",
            shown(
                Value::Bool(true),
                PROXY_LOG,
                vec![(line.record, Some(line.at))],
            ),
        );
    } else if s.population.info_level {
        row.set(
            "client.tcp_gave_up",
            shown(Value::Bool(false), PROXY_LOG, vec![]),
        );
    }
    let unread = lines
        .iter()
        .find(|h| h.what == HopEvent::ClientTimeout)
        .map(|h| (PROXY_LOG, h.record, h.at))
        .or_else(|| {
            s.c.app_lines
                .iter()
                .find(|a| a.what == AppEvent::Backpressure)
                .map(|a| (APP_LOG, a.record, a.at))
        });
    if let Some((witness, record, stamp)) = unread {
        row.set(
            "client.stopped_reading_logged",
            shown(Value::Bool(true), witness, vec![(record, Some(stamp))]),
        );
    }
}

/// When a reset that neither end sent reached the client.
fn reset_from_between(s: &Subject<'_>, leg: &ConnectionLeg) -> Option<Moment> {
    let foreign = s.c.closer.role == Role::Network;
    leg.observations
        .iter()
        .filter_map(|o| o.to_client.rst)
        .map(|r| r.mark.at)
        .min()
        .filter(|_| foreign)
}

/// Whether it came back from another address: `None` where the two addresses are not of one kind.
fn elsewhere(s: &Subject<'_>, next: &Connection) -> Option<bool> {
    // One log names both by the same address: its own peer did not change, whatever other sources know of one of them.
    let named_alike = s.c.app_lines.iter().any(|a| {
        !a.client.is_empty()
            && next
                .app_lines
                .iter()
                .any(|b| b.record.source == a.record.source && b.client == a.client)
    });
    if named_alike {
        return Some(false);
    }
    let (here, there) = s.c.client.ip.zip(next.client.ip)?;
    // A hop's address stands where nothing names the client behind it.
    let hop = s.population.is_hop(here) || s.population.is_hop(there);
    (here == there || !hop).then_some(here != there)
}

pub(super) fn returns(s: &Subject<'_>, row: &mut Row) {
    if s.c.client.identity.is_none() {
        return;
    }
    let next =
        s.c.reconnected_as
            .as_ref()
            .and_then(|id| s.population.by_id.get(id))
            .map(|&i| &s.all[i]);
    let witness = if s.c.legs.is_empty() {
        PROXY_LOG
    } else {
        CAPTURE
    };
    let Some(next) = next.filter(|n| n.sort_at.since(s.until) < RETURN_NS || s.c.closed.is_none())
    else {
        row.set(
            "client.returned",
            shown(Value::Bool(false), witness, vec![]),
        );
        row.set(
            "client.returned_elsewhere",
            shown(Value::Bool(false), witness, vec![]),
        );
        row.set(
            "client.returned_before_end",
            shown(Value::Bool(false), witness, vec![]),
        );
        return;
    };
    // Two tabs of one user live side by side: life on the old connection after the new one opened is no return.
    let alive_after = s.observations().any(|(l, o)| {
        l.from == 0
            && o.to_server
                .last_payload
                .is_some_and(|m| m.at > next.sort_at.plus(SECOND_NS))
    });
    let records: Vec<_> = next
        .events
        .first()
        .map(|e| (e.record, Some(e.at)))
        .into_iter()
        .collect();
    let returned = !alive_after;
    row.set(
        "client.returned",
        shown(Value::Bool(returned), witness, records.clone()),
    );
    if let Some(elsewhere) = elsewhere(s, next) {
        row.set(
            "client.returned_elsewhere",
            shown(Value::Bool(returned && elsewhere), witness, records.clone()),
        );
    }
    let closed = s.c.closed.map(Stamp::middle);
    let tolerance = s.c.closed.map_or(0, |c| c.tick_ns / 2);
    let before = closed.is_none_or(|c| next.sort_at.plus(tolerance) < c);
    row.set(
        "client.returned_before_end",
        shown(Value::Bool(returned && before), witness, records.clone()),
    );
    let last_sign = s
        .client_leg()
        .and_then(|l| {
            l.observations
                .iter()
                .filter_map(|o| o.to_server.last_packet)
                .map(|m| m.at)
                .max()
        })
        .filter(|t| *t <= next.sort_at);
    let from = last_sign.or(closed.filter(|c| *c <= next.sort_at));
    if let (true, Some(from)) = (returned, from) {
        row.set(
            "client.return_delay",
            shown(Value::Duration(next.sort_at.since(from)), witness, records),
        );
    }
}
