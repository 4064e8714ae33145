//! A connection and its facts -> whether it ended as its users wanted.

use super::extract::Subject;
use super::fact::{Row, Value};
use super::population::{Of, closed_before};
use crate::model::{AppEvent, LegObservation, MILLI_NS, Outcome, SECOND_NS};

/// What kept silent for less than this at the end of the evidence is not gone.
const GONE_NS: i64 = 2 * SECOND_NS;

/// A server that goes closes its connections one right after the other.
const TOGETHER_NS: i64 = 400 * MILLI_NS;

pub(super) fn outcome(s: &Subject<'_>, row: &Row) -> Outcome {
    if !s.place.accepted {
        return handshake(s, row);
    }
    match (
        s.c.closed,
        word(row, "close.first_from"),
        count(row, "close.code"),
    ) {
        (None, ..) => standing(s, row),
        (Some(_), Some("server"), Some(1000 | 1005)) if gave_up(s, row) => Outcome::Drop,
        // RFC 6455 7.4.1: 1000 is the normal end; a Close without a code is one by agreement; 1001 from a client is a page left.
        (Some(_), _, Some(1000 | 1005)) => Outcome::Clean,
        (Some(_), Some("client"), Some(1001)) => Outcome::Clean,
        // Who closed first is a guess by the sizes of records, and both sides send 1001.
        (Some(_), Some("server"), Some(1001)) if s.encrypted() => going_away(s),
        (Some(_), Some("server"), Some(_)) => Outcome::Drop,
        (Some(_), None, Some(1001)) => going_away(s),
        // A Close handshake under encryption: its code is not known, and nothing says that it was unwanted.
        (Some(_), Some(_), None) if s.close_shape().is_some() || hidden_close(s) => Outcome::Clean,
        (Some(_), ..) => Outcome::Drop,
    }
}

/// A server that closes a dead peer politely (Engine.IO does) ends no connection as its users wanted: the application names the missed
/// heartbeat, or a ping stands unanswered and so does the Close.
fn gave_up(s: &Subject<'_>, row: &Row) -> bool {
    let unanswered = s.c.close.from_client.is_none()
        && s.readable()
        && count(row, "heartbeat.unanswered").is_some_and(|n| n > 0);
    is(row, "heartbeat.miss_logged") || unanswered
}

/// A Close was seen, and no source tells its code.
fn hidden_close(s: &Subject<'_>) -> bool {
    s.observations()
        .flat_map(|(_, o)| [&o.to_server.close, &o.to_client.close])
        .flatten()
        .any(|c| c.hidden)
}

/// A handshake without a 101 failed, unless it is still waiting when the evidence ends.
fn handshake(s: &Subject<'_>, row: &Row) -> Outcome {
    let waiting = word(row, "handshake.result") == Some("unanswered")
        && s.c.request.status.is_none()
        && s.c.closed.is_none();
    if waiting {
        Outcome::Open
    } else {
        Outcome::FailedHandshake
    }
}

/// Never ended on the record: open, unless the client is gone for all to see.
fn standing(s: &Subject<'_>, row: &Row) -> Outcome {
    let silent = duration(row, "client.silent_for").unwrap_or(0);
    let unacked = is(row, "client.unacked") && silent >= GONE_NS;
    let came_back = is(row, "client.returned_before_end") && is(row, "client.returned");
    let forgotten = is(row, "middlebox.forgot");
    if unacked || came_back || forgotten || unheard(s) || is(row, "server.died") {
        Outcome::Drop
    } else {
        Outcome::Open
    }
}

/// The client goes on sending, and nothing of it is acknowledged any more.
fn unheard(s: &Subject<'_>) -> bool {
    s.client_leg().is_some_and(|leg| {
        let whole = |o: &&LegObservation| o.to_client.packets > 0 && o.to_server.packets > 0;
        leg.observations
            .iter()
            .filter(whole)
            .filter_map(|o| Some((o, o.to_server.unanswered?)))
            .any(|(o, u)| u.retransmissions >= 2 && o.last.at.since(u.first.at) >= GONE_NS)
    })
}

/// A 1001 that only an application log tells of: a page left, or a server that went. A server takes all its connections along.
fn going_away(s: &Subject<'_>) -> Outcome {
    let Some(end) = s.c.closed else {
        return Outcome::Open;
    };
    let together = s.population.at_work.leaving(end, TOGETHER_NS);
    // Who goes takes all along; of pages that were left at once others stay.
    let same = Of::Upstream(s.index);
    let together = if s.population.instants.survivors(end, same) > together {
        0
    } else {
        together
    };
    let stopping = s.context.app_lines.iter().any(|l| {
        l.what == AppEvent::Stopping
            && (-SECOND_NS..=40 * SECOND_NS).contains(&end.middle().since(l.at.middle()))
            && !closed_before(s.c, l)
    });
    let reason = s.c.app_lines.iter().any(|l| match &l.what {
        AppEvent::Close { reason, .. } => {
            let r = reason.to_ascii_lowercase();
            [
                "restart",
                "shutdown",
                "shutting",
                "drain",
                "deploy",
                "going down",
                "stopping",
            ]
            .iter()
            .any(|w| r.contains(w))
        }
        _ => false,
    });
    // Its own log notes the stop after it: those that ended together after that went for another reason.
    let before_stop = s
        .context
        .app_lines
        .iter()
        .filter(|l| l.what == AppEvent::Stopping && closed_before(s.c, l))
        .any(|l| l.at.middle().since(end.middle()) <= 3 * SECOND_NS);
    if stopping || reason || together >= 3 && !before_stop {
        Outcome::Drop
    } else {
        Outcome::Clean
    }
}

pub(super) fn is(row: &Row, fact: &str) -> bool {
    matches!(
        row.get(fact).and_then(|r| r.value.as_ref()),
        Some(Value::Bool(true))
    )
}

pub(super) fn word(row: &Row, fact: &str) -> Option<&'static str> {
    match row.get(fact)?.value {
        Some(Value::Word(w)) => Some(w),
        _ => None,
    }
}

pub(super) fn count(row: &Row, fact: &str) -> Option<i64> {
    match row.get(fact)?.value {
        Some(Value::Count(n)) => Some(n),
        _ => None,
    }
}

pub(super) fn duration(row: &Row, fact: &str) -> Option<i64> {
    match row.get(fact)?.value {
        Some(Value::Duration(ns)) => Some(ns),
        _ => None,
    }
}
