//! The messages of a leg -> whether they had a beat, and lost it while the connection lived on.

use super::readable;
use crate::model::{
    CaseContext, Connection, Direction, Finding, Judged, LegEventKind, MILLI_NS, Moment, Outcome,
    RecordRef, say_duration,
};
use std::collections::BTreeSet;

/// A rhythm is known from this many waits between messages.
const RHYTHM: usize = 6;
/// It stopped when as many of its beats stayed away, and the longest wait before was this many times shorter.
const MISSED_BEATS: i64 = 8;
const LONGER_THAN_EVER: i64 = 3;
/// Pings that were answered after the last message: the connection lives.
const ANSWERED: usize = 2;

/// A stream of messages from the server that had a beat, and lost it while the connection lived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stall {
    beat_ns: i64,
    since: Moment,
    for_ns: i64,
    record: RecordRef,
    /// The client went on asking; else the server used to send of its own accord.
    unanswered: bool,
}

/// W801: open, pings answered, and the messages that came in a steady rhythm stopped.
pub(super) fn silent_stalls(all: &[Judged], context: &CaseContext) -> Option<Finding> {
    let mut found: Vec<(&Judged, Stall)> = all
        .iter()
        .filter(|j| matches!(j.verdict.outcome, Outcome::Open | Outcome::Clean))
        .filter_map(|j| Some((j, stall(&j.connection, context)?)))
        .collect();
    found.sort_by(|(a, s), (b, t)| (s.since, &a.connection.id).cmp(&(t.since, &b.connection.id)));
    let (_, first) = found.first()?;
    let longest = found.iter().map(|(_, s)| s.for_ns).max().unwrap_or(0);
    let n = found.len();
    let (who, were, their) = if n == 1 {
        ("1 connection".to_owned(), "was", "its")
    } else {
        (format!("{n} connections"), "were", "their")
    };
    let how = if found.iter().all(|(_, s)| s.unanswered) {
        "the client's messages got no answer any more"
    } else {
        "the server's messages stopped"
    };
    let beats: BTreeSet<i64> = found.iter().map(|(_, s)| s.beat_ns).collect();
    let beat = match (beats.first(), beats.last()) {
        (Some(a), Some(b)) if b - a > a / 5 => {
            format!("{} to {}", say_duration(*a), say_duration(*b))
        }
        _ => say_duration(first.beat_ns),
    };
    Some(Finding {
        code: "W801".to_owned(),
        kind: "silent-stall".to_owned(),
        say: format!(
            "{who} {were} open and answered pings, but {how}: until then one came every {beat}, \
             {their} silence lasted up to {}",
            say_duration(longest / (10 * MILLI_NS) * (10 * MILLI_NS))
        ),
        hop: None,
        timeout_ns: None,
        connections: found.iter().map(|(j, _)| j.connection.id.clone()).collect(),
        records: found.iter().map(|(_, s)| s.record).take(32).collect(),
        fix: vec![
            "look in the message handler and the publisher for a swallowed exception or a blocked loop at the moment of the last \
             message; the heartbeat does not run through them [F11 Q9]"
                .into(),
            "catch in the handler and close with 1011, so that a dead handler ends its connection [X8]".into(),
            "let the application itself say that it lives: a message every so often that its client waits for [H5]".into(),
        ],
    })
}

fn stall(c: &Connection, context: &CaseContext) -> Option<Stall> {
    let o = readable(c)?;
    let last_down = o.to_client.last_data_frame?;
    let until = c.closed.map(|s| s.at).or(context.window.map(|w| w.1))?;
    let answered = o
        .pings
        .iter()
        .filter(|p| p.sent.at > last_down.at && p.answered.is_some_and(|a| a.at <= until))
        .count();
    if answered < ANSWERED {
        return None;
    }
    let data: Vec<(Moment, Direction)> = o
        .events
        .iter()
        .filter(|e| matches!(e.what, LegEventKind::Data { .. }))
        .map(|e| (e.mark.at, e.direction))
        .collect();
    let down: Vec<Moment> = data
        .iter()
        .filter(|(_, d)| *d == Direction::ToClient)
        .map(|(at, _)| *at)
        .collect();
    let mut waits: Vec<i64> = down
        .windows(2)
        .filter_map(|w| match w {
            [a, b] => Some(b.since(*a)),
            _ => None,
        })
        .collect();
    waits.sort_unstable();
    let beat_ns = waits.get(waits.len() / 2).copied()?;
    let steady = waits
        .iter()
        .filter(|w| **w * 5 >= beat_ns * 3 && **w * 5 <= beat_ns * 8)
        .count();
    if waits.len() < RHYTHM || beat_ns < 20 * MILLI_NS || steady * 4 < waits.len() * 3 {
        return None;
    }
    // Events are kept from the beginning and the end only: the whole must have had that beat too.
    let first = *down.first()?;
    let frames = i64::try_from(o.to_client.data_frames).unwrap_or(i64::MAX);
    let mean = last_down.at.since(first) / (frames - 1).max(1);
    if mean > beat_ns * 2 || mean * 2 < beat_ns {
        return None;
    }
    let longest = waits.last().copied().unwrap_or(0).min(mean * 4);
    let long_enough = |ns: i64| ns >= beat_ns * MISSED_BEATS && ns >= longest * LONGER_THAN_EVER;
    let prompted = prompted(&data);
    if prompted * 5 <= waits.len() {
        // The server spoke of its own accord, once per beat.
        let end = o
            .pings
            .iter()
            .filter_map(|p| p.answered)
            .map(|a| a.at)
            .max()?
            .min(until);
        let for_ns = end.since(last_down.at);
        return long_enough(for_ns).then_some(Stall {
            beat_ns,
            since: last_down.at,
            for_ns,
            record: last_down.record,
            unanswered: false,
        });
    }
    // It answered: then only a client that goes on asking shows that the answers stopped.
    let for_ns = o.to_server.last_data_frame?.at.since(last_down.at);
    let answers = prompted * 5 >= waits.len() * 4;
    let asked_on = o.to_server.data_frames >= o.to_client.data_frames + MISSED_BEATS as u64;
    (answers && asked_on && long_enough(for_ns)).then_some(Stall {
        beat_ns,
        since: last_down.at,
        for_ns,
        record: last_down.record,
        unanswered: true,
    })
}

/// Messages to the client before which, since the one before, the client had sent something.
fn prompted(data: &[(Moment, Direction)]) -> usize {
    let (mut asked, mut n, mut first) = (false, 0, true);
    for (_, direction) in data {
        match direction {
            Direction::ToServer => asked = true,
            Direction::ToClient => {
                n += usize::from(asked && !first);
                (asked, first) = (false, false);
            }
        }
    }
    n
}
