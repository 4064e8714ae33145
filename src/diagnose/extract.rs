//! One connection among the others -> its row of facts.

use super::fact::{Reading, Row, Value, Witnesses};
use super::population::{Place, Population, Upstream, process_lines};
use super::{handshake, heartbeat, timers};
use crate::model::{
    AppEvent, AppLine, CaseContext, Connection, ConnectionLeg, Direction, HopEvent, HopKind,
    LegObservation, LegProtocol, MILLI_NS, Mark, Moment, RecordRef, Role, SECOND_NS, Stamp,
    TimeoutKind,
};

/// A process that comes up later than this after an end did not come up because of it.
const RESTART_NS: i64 = 120 * SECOND_NS;
/// A returning client is tied to an end up to this long after it.
const RETURN_NS: i64 = 900 * SECOND_NS;

pub(super) const CAPTURE: Witnesses = Witnesses {
    capture: true,
    ..NOBODY
};
pub(super) const PROXY_LOG: Witnesses = Witnesses {
    proxy_log: true,
    ..NOBODY
};
pub(super) const APP_LOG: Witnesses = Witnesses {
    app_log: true,
    ..NOBODY
};
pub(super) const CONFIG: Witnesses = Witnesses {
    config: true,
    ..NOBODY
};
pub(super) const POPULATION: Witnesses = Witnesses {
    population: true,
    ..NOBODY
};
pub(super) const NOBODY: Witnesses = Witnesses {
    capture: false,
    proxy_log: false,
    app_log: false,
    config: false,
    population: false,
};

/// What every extractor looks at.
pub(super) struct Subject<'a> {
    pub(super) index: usize,
    pub(super) c: &'a Connection,
    pub(super) context: &'a CaseContext,
    pub(super) population: &'a Population,
    pub(super) all: &'a [Connection],
    pub(super) place: &'a Place,
    /// `closed`, or the end of the evidence.
    pub(super) until: Moment,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        index: usize,
        all: &'a [Connection],
        context: &'a CaseContext,
        population: &'a Population,
    ) -> Self {
        let c = &all[index];
        let until = c
            .closed
            .map(|s| s.at)
            .or(context.window.map(|w| w.1))
            .unwrap_or(c.sort_at);
        Self {
            index,
            c,
            context,
            population,
            all,
            place: &population.places[index],
            until,
        }
    }

    pub(super) fn observations(
        &self,
    ) -> impl Iterator<Item = (&'a ConnectionLeg, &'a LegObservation)> + use<'a> {
        self.c
            .legs
            .iter()
            .flat_map(|l| l.observations.iter().map(move |o| (l, o)))
    }

    /// The leg at the client, where a capture saw it.
    pub(super) fn client_leg(&self) -> Option<&'a ConnectionLeg> {
        self.c.legs.first().filter(|l| l.from == 0)
    }

    /// Frames can be read on some leg.
    pub(super) fn readable(&self) -> bool {
        self.observations().any(|(_, o)| {
            matches!(
                o.protocol,
                LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
            )
        })
    }
}

pub(super) fn shown(
    value: Value,
    witness: Witnesses,
    records: Vec<(RecordRef, Option<Stamp>)>,
) -> Reading {
    Reading {
        value: Some(value),
        records,
        witness,
    }
}

pub(super) fn at(mark: Mark) -> (RecordRef, Option<Stamp>) {
    (mark.record, Some(Stamp::new(mark.at, 1_000)))
}

pub(super) fn row(s: &Subject<'_>) -> Row {
    let mut row = Row::new();
    handshake::extract(s, &mut row);
    close(s, &mut row);
    timers::extract(s, &mut row);
    heartbeat::extract(s, &mut row);
    client(s, &mut row);
    returns(s, &mut row);
    server(s, &mut row);
    proxy(s, &mut row);
    rest(s, &mut row);
    row
}

// --- the close ---

fn close(s: &Subject<'_>, row: &mut Row) {
    let app_close =
        s.c.app_lines
            .iter()
            .rev()
            .find(|l| matches!(l.what, AppEvent::Close { .. }));
    let first_frame = s
        .observations()
        .flat_map(|(_, o)| {
            [
                (Direction::ToServer, &o.to_server),
                (Direction::ToClient, &o.to_client),
            ]
        })
        .filter_map(|(d, f)| f.close.as_ref().map(|c| (c.mark.at, d, c)))
        .min_by_key(|&(t, d, _)| (t, d));
    let too_big = s.c.app_lines.iter().find(|l| matches!(&l.what, AppEvent::Error { message, code } if says_too_big(message, code.as_deref())));
    if let Some((_, direction, frame)) = first_frame {
        row.set(
            "close.frame",
            shown(Value::Bool(true), CAPTURE, vec![at(frame.mark)]),
        );
        let end = if direction == Direction::ToServer {
            "client"
        } else {
            "server"
        };
        row.set(
            "close.first_from",
            shown(Value::Word(end), CAPTURE, vec![at(frame.mark)]),
        );
        let mut witness = CAPTURE;
        if let Some(AppLine {
            what: AppEvent::Close { code, .. },
            ..
        }) = app_close
        {
            witness.app_log = *code == frame.code;
        }
        row.set(
            "close.code",
            shown(
                Value::Count(i64::from(frame.code.unwrap_or(1005))),
                witness,
                vec![at(frame.mark)],
            ),
        );
    } else if let Some(line) = too_big {
        // The library of the side that refused reports 1006 to its application although it sent 1009.
        row.set(
            "close.frame",
            shown(
                Value::Bool(true),
                APP_LOG,
                vec![(line.record, Some(line.at))],
            ),
        );
        row.set(
            "close.code",
            shown(
                Value::Count(1009),
                APP_LOG,
                vec![(line.record, Some(line.at))],
            ),
        );
    } else if let Some(AppLine {
        what: AppEvent::Close {
            code: Some(code), ..
        },
        record,
        at: stamp,
        ..
    }) = app_close
    {
        let frame = *code != 1006;
        row.set(
            "close.frame",
            shown(Value::Bool(frame), APP_LOG, vec![(*record, Some(*stamp))]),
        );
        if frame {
            row.set(
                "close.code",
                shown(
                    Value::Count(i64::from(*code)),
                    APP_LOG,
                    vec![(*record, Some(*stamp))],
                ),
            );
        }
    } else {
        // A capture that holds a leg to its end, without a hole, and no Close: there was none.
        let whole = s.observations().find(|(_, o)| {
            matches!(
                o.protocol,
                LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
            ) && o.to_client.lost_bytes == 0
                && o.to_server.lost_bytes == 0
        });
        if let Some((_, o)) = whole {
            let mark = first_teardown(o).unwrap_or(o.last);
            row.set(
                "close.frame",
                shown(Value::Bool(false), CAPTURE, vec![at(mark)]),
            );
        }
    }
    if let Some(AppLine {
        what: AppEvent::Close {
            code: Some(code), ..
        },
        record,
        at: stamp,
        ..
    }) = app_close
    {
        row.set(
            "close.reported_server",
            shown(
                Value::Count(i64::from(*code)),
                APP_LOG,
                vec![(*record, Some(*stamp))],
            ),
        );
    }
    if let Some(line) = app_close {
        row.set(
            "close.logged_by_server",
            shown(
                Value::Bool(true),
                APP_LOG,
                vec![(line.record, Some(line.at))],
            ),
        );
    } else if !s.c.app_lines.is_empty()
        && s.place.accepted
        && s.c.closed.is_some()
        && s.population.app_log_covers(&s.place.upstream, s.until)
    {
        // The log speaks of this connection's opening and of others after its end, and never of its end.
        let line = &s.c.app_lines[0];
        row.set(
            "close.logged_by_server",
            shown(
                Value::Bool(false),
                APP_LOG,
                vec![(line.record, Some(line.at))],
            ),
        );
    }
    side(s, row);
}

fn says_too_big(message: &str, code: Option<&str>) -> bool {
    let m = message.to_ascii_lowercase();
    m.contains("max payload")
        || m.contains("message too big")
        || m.contains("message too long")
        || m.contains("read limit")
        || m.contains("too big message")
        || code == Some("WS_ERR_UNSUPPORTED_MESSAGE_LENGTH")
}

fn first_teardown(o: &LegObservation) -> Option<Mark> {
    [&o.to_server, &o.to_client]
        .into_iter()
        .flat_map(|f| {
            [
                f.close.as_ref().map(|c| c.mark),
                f.fin,
                f.rst.map(|r| r.mark),
            ]
        })
        .flatten()
        .min_by_key(|m| (m.at, m.record.ordinal))
}

fn side(s: &Subject<'_>, row: &mut Row) {
    let acts: Vec<(Moment, Mark, Direction, bool, &ConnectionLeg)> = {
        let mut acts: Vec<_> = s
            .observations()
            .flat_map(|(l, o)| {
                [
                    (Direction::ToServer, &o.to_server),
                    (Direction::ToClient, &o.to_client),
                ]
                .into_iter()
                .flat_map(move |(d, f)| {
                    [
                        f.fin.map(|m| (m.at, m, d, false, l)),
                        f.rst.map(|r| (r.mark.at, r.mark, d, true, l)),
                    ]
                    .into_iter()
                    .flatten()
                })
            })
            .collect();
        acts.sort_by_key(|a| (a.0, a.1.record));
        acts
    };
    let first = acts.first();
    let records: Vec<_> = first.iter().map(|a| at(a.1)).collect();
    let word = match s.c.closer.role {
        Role::Client => Some("client"),
        Role::Proxy => Some("proxy"),
        Role::Server => Some("server"),
        Role::Network => Some("network"),
        Role::None => Some("none"),
        Role::Unknown if s.c.closed.is_none() => Some("none"),
        Role::Unknown => None,
    };
    if let Some(word) = word {
        let witness = if first.is_some() || s.c.closed.is_none() && !s.c.legs.is_empty() {
            CAPTURE
        } else {
            PROXY_LOG
        };
        row.set(
            "close.side",
            shown(Value::Word(word), witness, records.clone()),
        );
    }
    if let (Some((_, _, direction, ..)), Role::Unknown) = (first, s.c.closer.role) {
        row.set(
            "close.far_side",
            shown(
                Value::Bool(*direction == Direction::ToClient),
                CAPTURE,
                records.clone(),
            ),
        );
    }
    let has_frame = s.c.close.from_client.is_some() || s.c.close.from_server.is_some();
    let how = match first {
        _ if has_frame => Some("close-frame"),
        Some((.., true, _)) => Some("rst"),
        Some((.., false, _)) => Some("fin"),
        None if s.c.legs.is_empty() => None,
        None => Some("silent"),
    };
    if let Some(how) = how {
        row.set(
            "close.how",
            shown(Value::Word(how), CAPTURE, records.clone()),
        );
    }
    if let Some((t, mark, direction, true, leg)) = first {
        let foreign = s.c.closer.role == Role::Network;
        let both_ends = leg.observations.len() > 1;
        if foreign || both_ends {
            row.set(
                "close.reset_foreign",
                shown(Value::Bool(foreign), CAPTURE, vec![at(*mark)]),
            );
        }
        // Payload that crossed the leg just before the RST, after a long silence.
        let answered = leg.observations.iter().find_map(|o| {
            let sent = o.flow(direction.opposite()).last_payload?;
            let before = o
                .events
                .iter()
                .filter(|e| e.mark.at < sent.at && e.mark.at.since(sent.at).abs() > 50 * MILLI_NS)
                .map(|e| e.mark.at)
                .max();
            let quiet = before.map(|b| sent.at.since(b))?;
            ((0..500 * MILLI_NS).contains(&t.since(sent.at)) && quiet > 2 * SECOND_NS)
                .then_some(sent)
        });
        let mut records = vec![at(*mark)];
        records.extend(answered.map(at));
        row.set(
            "close.reset_after_silence",
            shown(Value::Bool(answered.is_some()), CAPTURE, records),
        );
    }
}

// --- the client ---

fn client(s: &Subject<'_>, row: &mut Row) {
    if let Some(leg) = s.client_leg() {
        // The vantage point that saw what the client's network did not: unacknowledged bytes.
        let cut = s.until;
        let unacked = leg
            .observations
            .iter()
            .filter_map(|o| o.to_client.unanswered.map(|u| (o, u)))
            .filter(|(_, u)| u.first.at <= cut.plus(SECOND_NS))
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

fn returns(s: &Subject<'_>, row: &mut Row) {
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
    let elsewhere = match (s.c.client.ip, next.client.ip) {
        (Some(a), Some(b)) => Some(a != b),
        _ => None,
    };
    if let Some(elsewhere) = elsewhere {
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

// --- the server ---

fn server(s: &Subject<'_>, row: &mut Row) {
    let Some(end) = s.c.closed else {
        outlived_by_its_process(s, row);
        return;
    };
    let upstream = &s.place.upstream;
    let port = match upstream {
        Upstream::Address(a) => a.rsplit_once(':').and_then(|(_, p)| p.parse().ok()),
        Upstream::Route(_) => None,
    };
    let sources = s.population.app_sources(upstream);
    let near = |l: &AppLine, before: i64, after: i64| {
        let d = l.at.middle().since(end.middle());
        (-before - l.at.tick_ns..=after + l.at.tick_ns).contains(&d)
    };
    let process: Vec<&AppLine> = process_lines(s.c, s.context, sources, port).collect();
    let own_pid = s.c.app_lines.iter().find_map(|l| l.pid);
    let crash = process.iter().find(|l| {
        matches!(l.what, AppEvent::Crashed { .. }) && near(l, 3 * SECOND_NS, 3 * SECOND_NS)
    });
    let restart = process.iter().find(|l| {
        matches!(l.what, AppEvent::Listening { .. })
            && near(l, 0, RESTART_NS)
            && l.at.at > end.at
            && (own_pid.is_none() || l.pid.is_none() || l.pid != own_pid)
    });
    let stopping = process
        .iter()
        .find(|l| l.what == AppEvent::Stopping && near(l, 40 * SECOND_NS, 3 * SECOND_NS));
    let one = |l: &&AppLine| vec![(l.record, Some(l.at))];
    let covered = s.population.app_log_covers(upstream, end.middle());
    if let Some(l) = &stopping {
        row.set("server.stopping", shown(Value::Bool(true), APP_LOG, one(l)));
    }
    if let Some(l) = &restart {
        row.set(
            "server.restarted",
            shown(Value::Bool(true), APP_LOG, one(l)),
        );
    } else if covered && own_pid.is_some() {
        row.set(
            "server.restarted",
            shown(Value::Bool(false), APP_LOG, vec![]),
        );
    }
    let close_logged =
        s.c.app_lines
            .iter()
            .find(|l| matches!(l.what, AppEvent::Close { .. }));
    if let Some(l) = &crash {
        row.set("server.died", shown(Value::Bool(true), APP_LOG, one(l)));
    } else if let (Some(l), None, None) = (&restart, stopping, close_logged) {
        row.set("server.died", shown(Value::Bool(true), APP_LOG, one(l)));
    } else if let Some(l) = close_logged {
        row.set(
            "server.died",
            shown(Value::Bool(false), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    }
    let exception = s
        .c
        .app_lines
        .iter()
        .find(|l| matches!(l.what, AppEvent::Exception { .. }) || matches!(&l.what, AppEvent::Error { message, code } if !says_too_big(message, code.as_deref())));
    if let Some(l) = exception {
        row.set(
            "server.exception_logged",
            shown(Value::Bool(true), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    } else if covered {
        row.set(
            "server.exception_logged",
            shown(Value::Bool(false), APP_LOG, vec![]),
        );
    }
    let exhausted = s
        .c
        .app_lines
        .iter()
        .chain(process.iter().copied())
        .find(|l| {
            matches!(l.what, AppEvent::Exhausted { .. }) && near(l, 5 * SECOND_NS, 5 * SECOND_NS)
        });
    if let Some(l) = exhausted {
        row.set(
            "server.exhausted_logged",
            shown(Value::Bool(true), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    }
    let same = |p: &Place| p.upstream == *upstream;
    let together = s.population.together(s.index, same);
    if s.place.unasked && s.place.accepted {
        let records = ends_of(s, &together);
        row.set(
            "server.ended_together",
            shown(Value::Count(together.len() as i64), POPULATION, records),
        );
        let lived = s.population.survivors(end, same);
        // One connection that ended with nobody beside it says nothing of its server.
        if lived > 0 || together.len() >= 2 {
            row.set(
                "server.none_survived",
                shown(Value::Bool(lived == 0), POPULATION, vec![]),
            );
        }
        let elsewhere = s.population.survivors(end, |p| p.upstream != *upstream);
        if elsewhere > 0 {
            row.set(
                "server.others_survived",
                shown(Value::Bool(true), POPULATION, vec![]),
            );
        } else if s
            .all
            .iter()
            .zip(&s.population.places)
            .any(|(c, p)| p.upstream != *upstream && c.opened.is_some())
        {
            row.set(
                "server.others_survived",
                shown(Value::Bool(false), POPULATION, vec![]),
            );
        }
    }
    refused_after(s, row, end, upstream);
}

/// Nobody logged its end, and the process that served it is another one by now: it ended with the old one.
fn outlived_by_its_process(s: &Subject<'_>, row: &mut Row) {
    let Some(last) = s.c.app_lines.last() else {
        return;
    };
    let upstream = &s.place.upstream;
    let sources = s.population.app_sources(upstream);
    let restart = process_lines(s.c, s.context, sources, None).find(|l| {
        matches!(l.what, AppEvent::Listening { .. })
            && l.at.at > last.at.at
            && (last.pid.is_some() && l.pid.is_some() && l.pid != last.pid)
    });
    if let (Some(l), true) = (restart, s.c.legs.is_empty()) {
        let records = vec![(l.record, Some(l.at))];
        row.set(
            "server.restarted",
            shown(Value::Bool(true), APP_LOG, records.clone()),
        );
        row.set("server.died", shown(Value::Bool(true), APP_LOG, records));
    }
}

fn ends_of(s: &Subject<'_>, group: &[usize]) -> Vec<(RecordRef, Option<Stamp>)> {
    group
        .iter()
        .filter(|&&j| j != s.index)
        .take(3)
        .filter_map(|&j| {
            let c = &s.all[j];
            let end = c.closed?;
            c.events
                .iter()
                .find(|e| e.at.at >= end.at.plus(-MILLI_NS))
                .map(|e| (e.record, Some(e.at)))
        })
        .collect()
}

fn refused_after(s: &Subject<'_>, row: &mut Row, end: Stamp, upstream: &Upstream) {
    let after = |at: Moment| (0..=30 * SECOND_NS).contains(&at.since(end.at.plus(-end.tick_ns)));
    let same_target = |i: usize| {
        let p = &s.population.places[i];
        p.upstream == *upstream || p.route == s.place.route
    };
    let mut witness = NOBODY;
    let mut records = Vec::new();
    let mut asked = false;
    for (i, c) in s.all.iter().enumerate() {
        if i == s.index || !same_target(i) || !after(c.sort_at) {
            continue;
        }
        asked = true;
        let p = &s.population.places[i];
        let refused_line = c
            .hop_lines
            .iter()
            .find(|h| h.what == HopEvent::UpstreamRefused);
        let refused_leg = c
            .legs
            .iter()
            .flat_map(|l| &l.observations)
            .find(|o| o.refused);
        if let Some(h) = refused_line {
            witness.proxy_log = true;
            records.push((h.record, Some(h.at)));
        } else if let Some(o) = refused_leg {
            witness.capture = true;
            records.push(at(o.first));
        } else if matches!(p.status, Some(502 | 503)) {
            witness = witness.and(if c.legs.is_empty() {
                PROXY_LOG
            } else {
                CAPTURE
            });
            records.extend(c.events.last().map(|e| (e.record, Some(e.at))));
        }
    }
    records.truncate(3);
    if !records.is_empty() {
        row.set(
            "server.refused_after",
            shown(Value::Bool(true), witness, records),
        );
    } else if asked {
        row.set(
            "server.refused_after",
            shown(Value::Bool(false), POPULATION, vec![]),
        );
    }
}

// --- the proxy ---

fn proxy(s: &Subject<'_>, row: &mut Row) {
    let Some(end) = s.c.closed else { return };
    let drains: Vec<i64> = s
        .context
        .settings
        .iter()
        .flat_map(|h| &h.routes)
        .flat_map(|r| &r.timeouts)
        .filter(|t| t.kind == TimeoutKind::Drain)
        .map(|t| t.value_ns)
        .collect();
    let on_path: Vec<HopKind> = s.c.hops.iter().map(|h| h.kind).collect();
    let explains = |what: HopEvent, d: i64, tick: i64| {
        let slack = tick + SECOND_NS;
        match what {
            HopEvent::Exiting | HopEvent::Stopped | HopEvent::WorkerKilled => {
                (-slack..=slack).contains(&d)
            }
            HopEvent::Draining | HopEvent::Reload => {
                (0..=slack).contains(&d) && drains.is_empty()
                    || drains.iter().any(|&t| (d - t).abs() <= slack)
            }
            _ => false,
        }
    };
    let lines: Vec<_> = s
        .context
        .hop_lines
        .iter()
        .filter(|h| on_path.contains(&h.hop) || on_path.contains(&HopKind::Proxy))
        .collect();
    let line = lines
        .iter()
        .find(|h| explains(h.what, end.middle().since(h.at.middle()), h.at.tick_ns));
    let lifecycle_logged = lines
        .iter()
        .any(|h| matches!(h.level.as_deref(), Some("notice" | "info")));
    if let Some(h) = line {
        row.set(
            "proxy.restarting",
            shown(Value::Bool(true), PROXY_LOG, vec![(h.record, Some(h.at))]),
        );
    } else if lifecycle_logged {
        row.set(
            "proxy.restarting",
            shown(Value::Bool(false), PROXY_LOG, vec![]),
        );
    }
    if s.place.unasked && s.place.accepted {
        let together = s.population.together(s.index, |p| p.proxy == s.place.proxy);
        row.set(
            "proxy.ended_together",
            shown(
                Value::Count(together.len() as i64),
                POPULATION,
                ends_of(s, &together),
            ),
        );
    }
    let exhausted = s.c.hop_lines.iter().chain(&s.context.hop_lines).find(|h| {
        matches!(
            h.what,
            HopEvent::WorkerConnections | HopEvent::DescriptorsExhausted
        ) && h.at.middle().since(s.c.sort_at).abs() <= h.at.tick_ns + 2 * SECOND_NS
    });
    if let Some(h) = exhausted {
        row.set(
            "proxy.exhausted_logged",
            shown(Value::Bool(true), PROXY_LOG, vec![(h.record, Some(h.at))]),
        );
    }
}

// --- the rest ---

fn rest(s: &Subject<'_>, row: &mut Row) {
    if let Some((_, o)) = s.observations().find(|(_, o)| !o.violations.is_empty()) {
        row.set(
            "frames.violation",
            shown(Value::Bool(true), CAPTURE, vec![at(o.last)]),
        );
    } else if s.readable() {
        row.set(
            "frames.violation",
            shown(Value::Bool(false), CAPTURE, vec![]),
        );
    }
    let too_big = s.c.app_lines.iter().find(|l| matches!(&l.what, AppEvent::Error { message, code } if says_too_big(message, code.as_deref())));
    if let Some(l) = too_big {
        row.set(
            "message.too_big_logged",
            shown(Value::Bool(true), APP_LOG, vec![(l.record, Some(l.at))]),
        );
    }
    let standing = s.c.closed.is_none() && s.place.accepted;
    row.set(
        "half_open.at_server",
        shown(
            Value::Bool(standing),
            if s.c.legs.is_empty() {
                PROXY_LOG
            } else {
                CAPTURE
            },
            vec![],
        ),
    );
    let tls = s
        .observations()
        .find(|(_, o)| o.protocol == LegProtocol::Tls);
    if let Some((_, o)) = tls {
        let alerted = o.events.iter().any(|e| {
            matches!(
                e.what,
                crate::model::LegEventKind::TlsAlert { level: 2, .. }
            )
        });
        let early = o.to_client.bytes < 200
            && o.to_client
                .fin
                .or(o.to_client.rst.map(|r| r.mark))
                .is_some();
        row.set(
            "tls.failed",
            shown(Value::Bool(alerted && early), CAPTURE, vec![at(o.last)]),
        );
    }
}
