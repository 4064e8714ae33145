//! Pings and pongs on the legs, and what applications log of them -> the `heartbeat.*` facts.

use super::{APP_LOG, CAPTURE, POPULATION, Subject, at, shown};
use crate::diagnose::fact::{Row, Value};
use crate::diagnose::population::small_records;
use crate::model::{
    AppEvent, AppLine, Direction, LegObservation, MILLI_NS, Mark, Ping, SECOND_NS, heartbeats,
};

/// The leg nearest to the server that shows both directions: there the server's own view of its peer is seen.
fn nearest_to_server<'a>(s: &Subject<'a>) -> Option<&'a LegObservation> {
    let both = |o: &&LegObservation| {
        o.by_sockets()
            || o.to_server.packets > 0
                && o.to_client.packets > 0
                && (o.to_server.bytes > 0 || o.to_client.bytes > 0)
    };
    s.c.legs
        .iter()
        .rev()
        .flat_map(|l| &l.observations)
        .find(both)
}

/// A capture that read both directions, and no heartbeat in them: what ran out of time was no heartbeat's wait.
fn nobody_beats(s: &Subject<'_>) -> bool {
    s.readable()
        && nearest_to_server(s).is_some_and(|o| {
            let unread = o
                .compression
                .is_some_and(|c| c.to_server.unread + c.to_client.unread > 0);
            o.pings.is_empty() && o.to_client.pings + o.to_server.pings == 0 && !unread
        })
}

/// The line in which the application gave its peer up for a missed heartbeat.
fn missed_beat<'a>(s: &Subject<'a>) -> Option<&'a AppLine> {
    let named =
        s.c.app_lines
            .iter()
            .find(|l| l.what == AppEvent::HeartbeatMissed);
    named.or_else(|| {
        let ran_out = |l: &&AppLine| l.what == AppEvent::ReadTimedOut;
        s.c.app_lines
            .iter()
            .find(ran_out)
            .filter(|_| !nobody_beats(s))
    })
}

/// The line in which the application ended the connection for its silence.
pub(super) fn own_idle<'a>(s: &Subject<'a>) -> Option<&'a AppLine> {
    let named = s.c.app_lines.iter().find(|l| l.what == AppEvent::Idle);
    named.or_else(|| {
        let ran_out = |l: &&AppLine| l.what == AppEvent::ReadTimedOut;
        s.c.app_lines
            .iter()
            .find(ran_out)
            .filter(|_| nobody_beats(s))
    })
}

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    if let Some(l) = missed_beat(s) {
        row.set(
            "heartbeat.miss_logged",
            shown(Value::Bool(true), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    } else if s
        .c
        .app_lines
        .iter()
        .any(|l| matches!(l.what, AppEvent::Close { .. }))
        && logs_misses(s)
    {
        // This application names missed heartbeats where they happen, and named none here.
        row.set(
            "heartbeat.miss_logged",
            shown(Value::Bool(false), APP_LOG, vec![]),
        );
    }
    // Without keys, regular pairs of small records are pings and pongs; where there are none, pings may still have been.
    let inferred = |o: &LegObservation| o.tls.as_ref().is_some_and(|t| t.inferred_pings);
    if !s.readable() && !s.observations().any(|(_, o)| inferred(o)) {
        if !sealed_in_vain(s, row) {
            spoke_to_the_end(s, row);
        }
        return;
    }
    let Some(o) = nearest_to_server(s) else {
        return;
    };
    let pings: Vec<&Ping> = o
        .pings
        .iter()
        .filter(|p| p.sent.at <= s.until.plus(50 * MILLI_NS))
        .collect();
    let seen = !pings.is_empty() || o.to_client.pings + o.to_server.pings > 0;
    // A short text whose compression could not be undone may be one.
    let unread = o
        .compression
        .is_some_and(|c| c.to_server.unread + c.to_client.unread > 0);
    if !seen && unread {
        return;
    }
    row.set(
        "heartbeat.seen",
        shown(
            Value::Bool(seen),
            CAPTURE,
            pings.last().map(|p| at(p.sent)).into_iter().collect(),
        ),
    );
    if !seen {
        return;
    }
    let from_server = pings
        .iter()
        .filter(|p| p.direction == Direction::ToClient)
        .count();
    let from_client = pings.len() - from_server;
    let from = match (from_server, from_client) {
        (0, _) => "client",
        (_, 0) => "server",
        _ => "both",
    };
    row.set("heartbeat.from", shown(Value::Word(from), CAPTURE, vec![]));
    let main = if from_server > 0 {
        Direction::ToClient
    } else {
        Direction::ToServer
    };
    // Beats of two kinds have two periods: the one that beats most is meant.
    let most = heartbeats(o)
        .into_iter()
        .find(|h| h.direction == main)
        .map(|h| h.kind);
    let main_pings: Vec<&&Ping> = pings
        .iter()
        .filter(|p| p.direction == main && most.is_none_or(|kind| kind == p.kind))
        .collect();
    let mut gaps: Vec<i64> = main_pings
        .windows(2)
        .map(|w| w[1].sent.at.since(w[0].sent.at))
        .collect();
    gaps.sort_unstable();
    let period = gaps.get(gaps.len() / 2).copied();
    if let Some(period) = period {
        row.set(
            "heartbeat.period",
            shown(
                Value::Duration(period),
                CAPTURE,
                main_pings
                    .iter()
                    .rev()
                    .take(2)
                    .map(|p| at(p.sent))
                    .collect(),
            ),
        );
    }
    unanswered(s, row, o, &pings, period);
    acks_only(s, row);
}

/// Under encryption: the last that crossed the leg is a small record of the server, of a size that comes regularly here, and the end came
/// one such step later. A heartbeat that nobody answered ends so; an idle time-out lets an answered one pass.
fn sealed_in_vain(s: &Subject<'_>, row: &mut Row) -> bool {
    let Some(closed) = s.c.closed else {
        return false;
    };
    for (_, o) in s.observations().filter(|(_, o)| o.looks_like_websocket()) {
        let heard = o.to_server.last_payload.filter(|m| m.at <= closed.at);
        for (len, marks) in small_records(o) {
            let open: Vec<Mark> = marks
                .into_iter()
                .filter(|m| m.at <= closed.at && heard.is_none_or(|h| h.at < m.at))
                .collect();
            let (Some(first), Some(last)) = (open.first(), open.last()) else {
                continue;
            };
            let spoken = o.to_client.last_payload.map(|m| m.at);
            let quiet = closed.at.since(last.at);
            let beat = s.population.sealed_beats.iter().find(|b| {
                b.len == len && (b.period_ns - quiet).abs() <= 100 * MILLI_NS + b.period_ns / 20
            });
            let Some(beat) = beat.filter(|_| spoken.is_none_or(|at| at <= last.at)) else {
                continue;
            };
            let records: Vec<_> = open.iter().map(|m| at(*m)).take(3).collect();
            let set = [
                ("heartbeat.seen", Value::Bool(true)),
                ("heartbeat.from", Value::Word("server")),
                ("heartbeat.period", Value::Duration(beat.period_ns)),
                ("heartbeat.unanswered", Value::Count(open.len() as i64)),
                (
                    "heartbeat.unanswered_for",
                    Value::Duration(closed.at.since(first.at)),
                ),
            ];
            for (fact, value) in set {
                row.set(fact, shown(value, CAPTURE.and(POPULATION), records.clone()));
            }
            return true;
        }
    }
    false
}

/// Nobody waits in vain for a server that speaks: whatever of it was a ping, it had not stopped.
fn spoke_to_the_end(s: &Subject<'_>, row: &mut Row) {
    let last = s
        .observations()
        .filter(|(_, o)| o.looks_like_websocket())
        .filter_map(|(_, o)| o.to_client.last_payload)
        .max_by_key(|m| m.at);
    if let Some(mark) = last.filter(|m| s.until.since(m.at) < SECOND_NS) {
        row.set(
            "heartbeat.stopped",
            shown(Value::Bool(false), CAPTURE, vec![at(mark)]),
        );
    }
}

fn unanswered(
    s: &Subject<'_>,
    row: &mut Row,
    o: &LegObservation,
    pings: &[&Ping],
    period: Option<i64>,
) {
    // Only where a pong would have been seen: no hole in the flow that carries it.
    let whole = o.to_server.lost_bytes == 0 && o.to_client.lost_bytes == 0;
    // Of a kind that nobody answers no answer is missed.
    let server_pings: Vec<&&Ping> = pings
        .iter()
        .filter(|p| p.direction == Direction::ToClient && p.kind.answers())
        .collect();
    if whole && !server_pings.is_empty() {
        let open: Vec<_> = server_pings
            .iter()
            .rev()
            .take_while(|p| p.answered.is_none_or(|a| a.at > s.until))
            // A ping sent as the connection ended had no time to be answered.
            .filter(|p| s.until.since(p.sent.at) > 250 * MILLI_NS)
            .collect();
        let records: Vec<_> = open.iter().rev().map(|p| at(p.sent)).take(3).collect();
        row.set(
            "heartbeat.unanswered",
            shown(Value::Count(open.len() as i64), CAPTURE, records.clone()),
        );
        if let Some(first) = open.last() {
            row.set(
                "heartbeat.unanswered_for",
                shown(
                    Value::Duration(s.until.since(first.sent.at)),
                    CAPTURE,
                    records,
                ),
            );
        }
    }
    // A client whose pings were answered, and then no more.
    let answered = |p: &&&Ping| p.answered.is_some_and(|a| a.at <= s.until);
    let client_pings: Vec<&&Ping> = pings
        .iter()
        .filter(|p| p.direction == Direction::ToServer && p.kind.answers())
        .collect();
    if whole && client_pings.iter().any(&answered) {
        let open: Vec<_> = client_pings
            .iter()
            .rev()
            .take_while(|p| !answered(p))
            .filter(|p| s.until.since(p.sent.at) > 250 * MILLI_NS)
            .collect();
        let records: Vec<_> = open.iter().rev().map(|p| at(p.sent)).take(3).collect();
        row.set(
            "heartbeat.client_unanswered",
            shown(Value::Count(open.len() as i64), CAPTURE, records),
        );
    }
    if let (Some(period), Some(last)) = (period, server_pings.last()) {
        let quiet = s.until.since(last.sent.at);
        let stopped = server_pings.len() >= 2 && quiet > period * 3 / 2 + SECOND_NS / 2;
        row.set(
            "heartbeat.stopped",
            shown(Value::Bool(stopped), CAPTURE, vec![at(last.sent)]),
        );
    }
}

/// The client's kernel acknowledges pings that its application does not answer: frozen, not gone.
fn acks_only(s: &Subject<'_>, row: &mut Row) {
    let Some(leg) = s.client_leg() else { return };
    // Of pings that are only inferred no acknowledgements are known.
    let inferred = |o: &&LegObservation| o.tls.as_ref().is_some_and(|t| t.inferred_pings);
    for o in leg
        .observations
        .iter()
        .filter(|o| !inferred(o) && !o.by_sockets())
    {
        let open: Vec<&Ping> = o
            .pings
            .iter()
            .filter(|p| {
                p.direction == Direction::ToClient
                    && p.kind.answers()
                    && p.sent.at <= s.until
                    && p.answered.is_none_or(|a| a.at > s.until)
            })
            .filter(|p| s.until.since(p.sent.at) > 250 * MILLI_NS)
            .collect();
        if open.is_empty() {
            continue;
        }
        let acked = open
            .iter()
            .filter(|p| p.acked.is_some_and(|a| a.at <= s.until))
            .count();
        row.set(
            "client.acks_only",
            shown(
                Value::Bool(acked == open.len()),
                CAPTURE,
                vec![at(open[0].sent)],
            ),
        );
        return;
    }
}

/// Some application log of the case writes a line when a heartbeat is missed.
fn logs_misses(s: &Subject<'_>) -> bool {
    let mut lines = s.c.app_lines.iter();
    lines.any(|l| s.population.beat_logs.contains(&l.record.source))
}
