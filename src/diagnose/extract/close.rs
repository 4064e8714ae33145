//! Close frames, FINs, RSTs and what applications logged of the end -> the `close.*` facts.

use super::{APP_LOG, CAPTURE, POPULATION, PROXY_LOG, Subject, at, shown};
use crate::diagnose::fact::{Row, Value, Witnesses};
use crate::diagnose::population::{Of, Recurring};
use crate::model::{
    AppEvent, AppLine, Connection, ConnectionLeg, Direction, HopEvent, HopKind, LegObservation,
    LegProtocol, MILLI_NS, Mark, Moment, RecordRef, Role, SECOND_NS, Stamp, TunnelLine,
};

/// A record and its time.
type Seen = (RecordRef, Option<Stamp>);

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    let close = |l: &&AppLine| matches!(l.what, AppEvent::Close { .. });
    let coded = |l: &&AppLine| matches!(l.what, AppEvent::Close { code: Some(_), .. });
    // `close 4001` and then `client disconnected`: the line that gives the code tells of both.
    let lines = || s.c.app_lines.iter().rev();
    let app_close = lines().find(coded).or_else(|| lines().find(close));
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
    // The library of the side that refused reports 1006 to its application although it sent another code.
    let refused = s.c.app_lines.iter().find_map(|l| {
        let AppEvent::Error { message, code } = &l.what else {
            return None;
        };
        Some((l, sent_for(message, code.as_deref())?))
    });
    if let Some((_, direction, frame)) = first_frame {
        row.set(
            "close.frame",
            shown(Value::Bool(true), CAPTURE, vec![at(frame.mark)]),
        );
        let end = if by_relay(s, frame.mark) {
            "proxy"
        } else if direction == Direction::ToServer {
            "client"
        } else {
            "server"
        };
        row.set(
            "close.first_from",
            shown(Value::Word(end), CAPTURE, vec![at(frame.mark)]),
        );
        let mut witness = CAPTURE;
        let mut code = frame.code;
        let mut records = vec![at(frame.mark)];
        if let Some(AppLine {
            what: AppEvent::Close { code: told, .. },
            record,
            at: stamp,
            ..
        }) = app_close
        {
            witness.app_log = *told == frame.code;
            // A Close was sent, and of its code only the application's log speaks.
            if frame.hidden && told.is_some_and(|c| c != 1006) {
                (code, witness) = (*told, APP_LOG);
                records.push((*record, Some(*stamp)));
            }
        }
        if !frame.hidden || code.is_some() {
            row.set(
                "close.code",
                shown(
                    Value::Count(i64::from(code.unwrap_or(1005))),
                    witness,
                    records,
                ),
            );
        }
    } else if let Some((line, code)) = refused {
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
                Value::Count(i64::from(code)),
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
    }) = app_close.filter(|l| !made_up(s, l))
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
    } else if let Some(shape) = s.close_shape() {
        row.set(
            "close.frame",
            shown(
                Value::Bool(true),
                CAPTURE,
                vec![at(shape.sent), at(shape.answered)],
            ),
        );
    } else if s.encrypted() {
        // A Close and its answer stand right before the end, and have their sizes.
        if let Some((_, o)) = s.observations().find(|(_, o)| without_close(o)) {
            let mark = first_teardown(o).unwrap_or(o.last);
            row.set(
                "close.frame",
                shown(Value::Bool(false), CAPTURE, vec![at(mark)]),
            );
        }
    } else {
        if let Some(o) = whole(s) {
            let mark = first_teardown(o).unwrap_or(o.last);
            row.set(
                "close.frame",
                shown(Value::Bool(false), CAPTURE, vec![at(mark)]),
            );
        }
    }
    if let (None, Some(shape)) = (first_frame, s.close_shape()) {
        let end = match shape.direction {
            Direction::ToServer => "client",
            Direction::ToClient => "server",
        };
        row.set(
            "close.first_from",
            shown(Value::Word(end), CAPTURE, vec![at(shape.sent)]),
        );
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
    heartbeat_reason(s, row);
    side(s, row);
}

/// This Close is what ended the connection, and a hop in the middle is known to have begun that end.
fn by_relay(s: &Subject<'_>, close: Mark) -> bool {
    let first = s.c.closed.is_some_and(|end| end.at >= close.at);
    first && s.c.closer.role == Role::Proxy
}

/// A capture that holds a leg to its end, without a hole, and no Close: there was none.
fn whole<'a>(s: &Subject<'a>) -> Option<&'a LegObservation> {
    let read = |o: &LegObservation| {
        matches!(
            o.protocol,
            LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
        ) && o.to_client.lost_bytes == 0
            && o.to_server.lost_bytes == 0
    };
    s.observations().map(|(_, o)| o).find(|o| read(o))
}

/// A 1005 that the library reports for an end without any Close, as a capture of it shows, or a hop that says what ended it: its timer, or a
/// side that broke off.
fn made_up(s: &Subject<'_>, close: &AppLine) -> bool {
    let none = matches!(
        close.what,
        AppEvent::Close {
            code: Some(1005),
            ..
        }
    );
    let on_the_wire = || whole(s).is_some_and(|o| first_teardown(o).is_some());
    let by_hop = || {
        let cut = |h: &HopEvent| {
            matches!(
                h,
                HopEvent::IdleTimeout | HopEvent::ResetWhileUpgraded | HopEvent::TcpTimeout
            )
        };
        let flagged = |t: &TunnelLine| {
            t.ended_by_timer() == Some(true) || t.hop == HopKind::Haproxy && t.end_came().is_some()
        };
        s.c.tunnels.iter().any(flagged) || s.c.hop_lines.iter().any(|h| cut(&h.what))
    };
    none && (on_the_wire() || by_hop())
}

/// A Close's reason that names a heartbeat which did not come.
fn names_heartbeat(reason: &str) -> bool {
    let r = reason.to_ascii_lowercase();
    let sign = [
        "heartbeat",
        "ping",
        "pong",
        "keepalive",
        "keep-alive",
        "keep alive",
    ];
    let late = [
        "time", "miss", "no ", "lost", "dead", "late", "expire", "fail",
    ];
    sign.iter().any(|w| r.contains(w)) && late.iter().any(|w| r.contains(w))
}

/// What its peer told the server in a Close: the reason, and where that stands.
pub(in crate::diagnose) fn told_server(c: &Connection) -> Option<(&str, Seen, Witnesses)> {
    let frames = c.legs.iter().flat_map(|l| &l.observations);
    let frame = frames
        .filter_map(|o| o.to_server.close.as_ref())
        .min_by_key(|f| f.mark.at)
        .map(|f| (f.reason.as_str(), at(f.mark), CAPTURE));
    frame.or_else(|| {
        c.app_lines.iter().find_map(|l| match &l.what {
            AppEvent::Close {
                code: Some(3000..),
                reason,
            } => Some((reason.as_str(), (l.record, Some(l.at)), APP_LOG)),
            _ => None,
        })
    })
}

/// A client that gave up on its server often says so; others that left in that instant had the same reason.
fn heartbeat_reason(s: &Subject<'_>, row: &mut Row) {
    let own = told_server(s.c).filter(|(reason, ..)| !reason.is_empty());
    let beside = || {
        s.population
            .said_beside(s.index)
            .filter_map(|j| told_server(&s.all[j]))
            .find(|(reason, ..)| names_heartbeat(reason))
            .map(|(_, record, _)| (true, record, POPULATION))
    };
    let unasked = s.place.unasked && s.place.accepted;
    let found = match own {
        Some((reason, record, witness)) => Some((names_heartbeat(reason), record, witness)),
        None if unasked => beside(),
        None => None,
    };
    if let Some((named, record, witness)) = found {
        row.set(
            "close.heartbeat_reason",
            shown(Value::Bool(named), witness, vec![record]),
        );
    }
}

/// The close code that a library sends for what it calls an error of its peer (RFC 6455 7.4.1).
fn sent_for(message: &str, code: Option<&str>) -> Option<u16> {
    if says_too_big(message, code) {
        return Some(1009);
    }
    let m = message.to_ascii_lowercase();
    // Node's `ws` names its reasons; the words are those of `ws`, Python, Go, Rust and Java.
    match code {
        Some("WS_ERR_INVALID_UTF8") => return Some(1007),
        Some(
            "WS_ERR_EXPECTED_FIN"
            | "WS_ERR_EXPECTED_MASK"
            | "WS_ERR_INVALID_CLOSE_CODE"
            | "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH"
            | "WS_ERR_INVALID_OPCODE"
            | "WS_ERR_UNEXPECTED_MASK"
            | "WS_ERR_UNEXPECTED_RSV_1"
            | "WS_ERR_UNEXPECTED_RSV_2_3",
        ) => return Some(1002),
        _ => {}
    }
    if m.contains("invalid utf-8 sequence") || m.contains("invalid utf8 sequence") {
        return Some(1007);
    }
    let broken = [
        "invalid websocket frame",
        "invalid opcode",
        "reserved bits",
        "rsv1 must be clear",
        "rsv2 and rsv3 must be clear",
        "mask must be set",
        "mask must be clear",
        "fin must be set",
        "incorrect masking",
        "bad opcode",
        "bad mask",
        "bad close code",
        "rsv1 set",
        "len > 125 for control",
        "fin not set on control",
        "data before fin",
        "continuation after fin",
        "unmasked frame",
        "unmasked client frame",
    ];
    broken.iter().any(|b| m.contains(b)).then_some(1002)
}

pub(super) fn says_too_big(message: &str, code: Option<&str>) -> bool {
    let m = message.to_ascii_lowercase();
    m.contains("max payload")
        || m.contains("message too big")
        || m.contains("message too long")
        || m.contains("read limit")
        || m.contains("too big message")
        || code == Some("WS_ERR_UNSUPPORTED_MESSAGE_LENGTH")
}

/// An encrypted leg whose last records can't have been a Close and its answer.
fn without_close(o: &LegObservation) -> bool {
    let whole = o.to_server.lost_bytes == 0 && o.to_client.lost_bytes == 0;
    whole && o.looks_like_websocket() && o.tls.as_ref().is_some_and(|t| t.no_close)
}

pub(super) fn first_teardown(o: &LegObservation) -> Option<Mark> {
    let shape = o.tls.as_ref().and_then(|t| t.close_shape);
    [&o.to_server, &o.to_client]
        .into_iter()
        .flat_map(|f| {
            [
                f.close.as_ref().map(|c| c.mark),
                f.ended(),
                f.rst.map(|r| r.mark),
            ]
        })
        .chain([shape.map(|s| s.sent)])
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
                        f.ended().map(|m| (m.at, m, d, false, l)),
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
    // Behind a proxy that ended its side of several connections in one instant: no two clients do that.
    let by_proxy = word.is_none()
        && first.is_some_and(|&(_, _, direction, _, leg)| {
            direction == Direction::ToServer && leg.from > 0 && leg.from + 2 == s.c.hops.len()
        })
        && s.population.together(s.index, Of::Proxy(s.index)).count >= 3;
    if by_proxy {
        row.set(
            "close.side",
            shown(
                Value::Word("proxy"),
                CAPTURE.and(POPULATION),
                records.clone(),
            ),
        );
    }
    // An address from which many came, and whose silences or lives end alike: no client, but the timer of a hop that no source names.
    let timed = word == Some("client") && {
        let is = |all: &[Recurring], ns: Option<i64>| {
            ns.is_some_and(|ns| all.iter().any(|r| r.is_near(ns)))
        };
        is(s.population.by_client(s.c.client.ip), s.c.silence_ns)
            || is(
                s.population.lives_by_client(s.c.client.ip),
                s.c.duration_ns(),
            )
    };
    if timed {
        row.set(
            "close.side",
            shown(
                Value::Word("proxy"),
                CAPTURE.and(POPULATION),
                records.clone(),
            ),
        );
    } else if let Some(word) = word {
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
    let has_frame = s.c.close.from_client.is_some()
        || s.c.close.from_server.is_some()
        || s.close_shape().is_some();
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
                .then_some((sent, quiet))
        });
        let mut records = vec![at(*mark)];
        records.extend(answered.map(|(sent, _)| at(sent)));
        forgotten(row, answered.map(|(_, quiet)| quiet), CAPTURE, &records);
        row.set(
            "close.reset_after_silence",
            shown(Value::Bool(answered.is_some()), CAPTURE, records),
        );
    }
    reset_out_of_sight(s, row);
}

/// A reset that only a proxy's error log tells of: no capture stands where it came in. Where the server's own capture shows
/// the leg untouched, the server did not send it.
fn reset_out_of_sight(s: &Subject<'_>, row: &mut Row) {
    let on_the_wire = s
        .observations()
        .any(|(_, o)| o.to_client.rst.is_some() || o.to_server.rst.is_some());
    let line =
        s.c.hop_lines
            .iter()
            .find(|h| h.what == HopEvent::ResetWhileUpgraded);
    let (Some(line), Some(closed), false) = (line, s.c.closed, on_the_wire) else {
        return;
    };
    let record = (line.record, Some(line.at));
    if s.c.legs.is_empty() {
        row.set(
            "close.how",
            shown(Value::Word("rst"), PROXY_LOG, vec![record]),
        );
        // The application goes on writing and has not noticed: the RST that the hop got from its side was not the application's.
        let unnoticed = row
            .get("close.logged_by_server")
            .is_some_and(|r| matches!(r.value, Some(Value::Bool(false))));
        // A process that died noticed nothing either: its kernel sent it.
        let own = |l: &AppLine| {
            s.c.app_lines
                .iter()
                .any(|a| a.record.source == l.record.source)
        };
        let died = s.context.app_lines.iter().any(|l| {
            let after = l.at.at.since(closed.at);
            own(l)
                && matches!(
                    l.what,
                    AppEvent::Listening { .. } | AppEvent::Crashed { .. }
                )
                && (-3 * SECOND_NS..120 * SECOND_NS).contains(&after)
        });
        if line.from_upstream() == Some(true) && unnoticed && !died {
            row.set(
                "close.reset_foreign",
                shown(Value::Bool(true), APP_LOG.and(PROXY_LOG), vec![record]),
            );
        }
    }
    let server_leg = s.c.legs.last().filter(|l| l.from + 2 == s.c.hops.len());
    if let Some(leg) = server_leg {
        let untouched = leg.observations.iter().all(|o| first_teardown(o).is_none());
        row.set(
            "close.reset_foreign",
            shown(Value::Bool(untouched), CAPTURE.and(PROXY_LOG), vec![record]),
        );
    }
    let Some(leg) = s.client_leg() else { return };
    let woke = leg.observations.iter().find_map(|o| {
        let sent = o.to_server.last_payload.filter(|m| m.at <= closed.at)?;
        let before = o
            .events
            .iter()
            .filter(|e| e.mark.at < sent.at.plus(-50 * MILLI_NS))
            .map(|e| e.mark.at)
            .max()?;
        let quiet = sent.at.since(before);
        let fits = closed.at.since(sent.at) < 500 * MILLI_NS && quiet > 2 * SECOND_NS;
        fits.then_some((sent, quiet))
    });
    if let Some((sent, quiet)) = woke {
        let records = [record, at(sent)];
        forgotten(row, Some(quiet), CAPTURE.and(PROXY_LOG), &records);
        row.set(
            "close.reset_after_silence",
            shown(
                Value::Bool(true),
                CAPTURE.and(PROXY_LOG),
                vec![record, at(sent)],
            ),
        );
    }
}

/// The silence before a first payload that was answered with a RST.
fn forgotten(row: &mut Row, quiet: Option<i64>, witness: Witnesses, records: &[Seen]) {
    if let Some(quiet) = quiet {
        row.set(
            "middlebox.silence",
            shown(Value::Duration(quiet), witness, records.to_vec()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{names_heartbeat, sent_for};

    #[test]
    fn reasons_that_name_a_heartbeat() {
        for (reason, expected) in [
            ("heartbeat timeout", true),
            ("Ping timed out", true),
            ("no pong received", true),
            ("keep-alive missed", true),
            ("shipping closed", false),
            ("heartbeat", false),
            ("session timeout", false),
            ("", false),
        ] {
            assert_eq!(names_heartbeat(reason), expected, "{reason}");
        }
    }

    #[test]
    fn codes_that_a_library_sent_and_did_not_report() {
        for (message, code, want) in [
            ("Max payload size exceeded", None, Some(1009)),
            (
                "Invalid WebSocket frame: invalid opcode 3",
                Some("WS_ERR_INVALID_OPCODE"),
                Some(1002),
            ),
            (
                "Invalid WebSocket frame: invalid UTF-8 sequence",
                None,
                Some(1007),
            ),
            (
                "Invalid WebSocket frame: MASK must be set",
                None,
                Some(1002),
            ),
            ("websocket: bad MASK", None, Some(1002)),
            ("websocket: bad opcode 3", None, Some(1002)),
            ("websocket: read limit exceeded", None, Some(1009)),
            ("read ECONNRESET", Some("ECONNRESET"), None),
            ("invalid token", None, None),
        ] {
            assert_eq!(sent_for(message, code), want, "{message}");
        }
    }
}
