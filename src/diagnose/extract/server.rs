//! What became of the server's process and of the proxy, and who ended together -> the `server.*` and `proxy.*` facts.

use super::{APP_LOG, CAPTURE, NOBODY, POPULATION, PROXY_LOG, Subject, at, shown};
use crate::diagnose::fact::{Row, Value};
use crate::diagnose::population::{
    self, Of, Place, Together, Upstream, closed_before, process_lines,
};
use crate::model::{
    AppEvent, AppLine, Connection, Direction, HopEvent, HopKind, LegEventKind, LegObservation,
    MILLI_NS, Mark, RecordRef, Role, SECOND_NS, Stamp, TimeoutKind,
};

/// A process that comes up later than this after an end did not come up because of it.
const RESTART_NS: i64 = 120 * SECOND_NS;

/// A server's GOAWAY without an error begins an orderly stop (RFC 9113 6.8).
fn sent_away(s: &Subject<'_>) -> Option<Mark> {
    let last = s.c.legs.last()?;
    let server = s.c.hops.get(last.from + 1)?;
    if server.kind.is_proxy() {
        return None;
    }
    let told = |o: &&LegObservation| {
        o.http2
            .is_some_and(|h| h.goaway == Some((Direction::ToClient, 0)))
    };
    let events = last
        .observations
        .iter()
        .filter(told)
        .flat_map(|o| &o.events);
    events
        .filter(|e| matches!(e.what, LegEventKind::GoAway { .. }))
        .map(|e| e.mark)
        .next_back()
}

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
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
    let own_line = s.c.app_lines.iter().find(|l| l.pid.is_some());
    let own_pid = own_line.and_then(|l| l.pid);
    let crash = process.iter().find(|l| {
        matches!(l.what, AppEvent::Crashed { .. }) && near(l, 3 * SECOND_NS, 3 * SECOND_NS)
    });
    let restart = process
        .iter()
        .find(|l| {
            matches!(l.what, AppEvent::Listening { .. })
                && near(l, 0, RESTART_NS)
                && l.at.at > end.at
                && (own_pid.is_none() || l.pid.is_none() || l.pid != own_pid)
                && own_line.is_none_or(|own| successor(s, own, l))
        })
        .filter(|l| !lived_on(s, end) && !worked_on(s, end, l) && !outlived(s, end, l));
    // A code of the application's own has a reason of its own: only a stop that came before it may be that.
    let own_code =
        s.c.close
            .from_server
            .flatten()
            .or(s.c.close.reported_server);
    let after = if own_code.is_some_and(|code| code >= 3000) {
        0
    } else {
        3 * SECOND_NS
    };
    let stopping = process.iter().find(|l| {
        l.what == AppEvent::Stopping
            && near(l, 40 * SECOND_NS, after)
            && (after > 0 || l.at.at <= end.at)
            && !closed_before(s.c, l)
    });
    let one = |l: &&AppLine| vec![(l.record, Some(l.at))];
    let covered = s.population.app_log_covers(upstream, end.middle());
    if let Some(l) = &stopping {
        row.set("server.stopping", shown(Value::Bool(true), APP_LOG, one(l)));
    } else if let Some(mark) = sent_away(s) {
        row.set(
            "server.stopping",
            shown(Value::Bool(true), CAPTURE, vec![at(mark)]),
        );
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
        .find(|l| matches!(l.what, AppEvent::Exception { .. }) || matches!(&l.what, AppEvent::Error { message, code } if !super::close::says_too_big(message, code.as_deref())));
    let exception = exception.or_else(|| unnamed_exception(s, end, &process));
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
    let same = Of::Upstream(s.index);
    let together = s.population.together(s.index, same);
    if s.place.unasked && s.place.accepted {
        let records = ends_of(s, &together);
        row.set(
            "server.ended_together",
            shown(Value::Count(together.count as i64), POPULATION, records),
        );
        let lived = s.population.instants.survivors(end, same);
        // One connection that ended with nobody beside it says nothing of its server.
        // Of those whose log tells the end alone nobody knows whether they stood.
        let maybe_lived = s.population.instants.maybe_lived(s.index, end.at);
        let known = lived > 0 || together.count >= 2 && !maybe_lived;
        if known && !answered_at_once(s, end) && !out_of_sight(s) {
            row.set(
                "server.none_survived",
                shown(Value::Bool(lived == 0), POPULATION, vec![]),
            );
        }
        if s.population.instants.survivors(end, Of::All) > lived {
            row.set(
                "server.others_survived",
                shown(Value::Bool(true), POPULATION, vec![]),
            );
        } else if s.population.instants.others_opened(s.index) {
            row.set(
                "server.others_survived",
                shown(Value::Bool(false), POPULATION, vec![]),
            );
        }
    }
    refused_after(s, row, end);
}

/// A process that died takes longer than this to serve again.
const UP_AGAIN_NS: i64 = SECOND_NS;

/// Ended beyond a hop, no source shows by whom; and who asked for the same right after was served, and nobody refused. A hop that was
/// reloaded leaves it so, with the server behind it alive.
fn answered_at_once(s: &Subject<'_>, end: Stamp) -> bool {
    let far = s.c.closer.role == Role::Unknown && s.c.hops.iter().any(|h| h.kind.is_proxy());
    far && s.population.all_served(s.index, end.middle(), UP_AGAIN_NS)
}

/// Ended somewhere beyond a proxy, and neither a capture behind it nor the application tells of it: whether a proxy or the server behind it
/// went, the client sees the same.
pub(in crate::diagnose) fn out_of_sight(s: &Subject<'_>) -> bool {
    let beyond = s.c.closer.role == Role::Unknown && s.c.hops.iter().any(|h| h.kind.is_proxy());
    beyond && s.c.app_lines.is_empty() && matches!(s.c.legs.as_slice(), [leg] if leg.from == 0)
}

/// Of captures there is none but of the one leg that clients opened, and the application tells nothing: what they spoke to may be the server
/// as well as a proxy in front of it. Where many clients come from one address, that one is the proxy.
pub(in crate::diagnose) fn far_end_unknown(s: &Subject<'_>) -> bool {
    let one_leg = matches!(s.c.legs.as_slice(), [leg] if leg.from == 0);
    let relayed =
        s.c.client
            .ip
            .is_some_and(|ip| s.population.of_client(ip) >= 3);
    one_leg && s.c.app_lines.is_empty() && !relayed
}

/// Many more connections of this server lived on through that end than ended with it: what became of its process later is
/// no news of this end. A process among several behind one address takes a share of them with it.
fn lived_on(s: &Subject<'_>, end: Stamp) -> bool {
    let same = Of::Upstream(s.index);
    let together = s.population.together(s.index, same).count.max(1);
    s.population.instants.survivors(end, same) > together * 3
}

/// The process still wrote of other connections between this end and the line of the process that came after it.
fn worked_on(s: &Subject<'_>, end: Stamp, restart: &AppLine) -> bool {
    let from = end.at.plus(end.tick_ns + SECOND_NS / 2);
    let own_pid = s.c.app_lines.iter().find_map(|l| l.pid);
    let to = restart.at.at;
    s.c.app_lines
        .iter()
        .any(|l| l.record.source == restart.record.source)
        && s.population
            .at_work
            .wrote(restart.record.source, own_pid, from, to)
}

/// More connections of this server than ended here ended in one instant later, and still before the process came up anew: it had lived
/// until then.
fn outlived(s: &Subject<'_>, end: Stamp, restart: &AppLine) -> bool {
    let same = |p: &Place| p.upstream == s.place.upstream;
    let here = s.population.together(s.index, Of::Upstream(s.index));
    let here = here.count.max(1);
    let from = end.at.plus(end.tick_ns + SECOND_NS);
    let to = restart.at.at.plus(restart.at.tick_ns);
    let places = &s.population.places;
    s.population
        .ended_between(from, to)
        .filter(|&i| same(&places[i]) && places[i].accepted)
        .any(|i| s.population.together(i, Of::Upstream(i)).count > here)
}

/// A handler that failed takes its connection along within this time.
const UNNAMED_NS: i64 = 100 * MILLI_NS;

/// An exception that names no connection belongs to the one that ended at that moment: the only one, or the one whose close stands
/// nearest to it in the log of both.
fn unnamed_exception<'a>(
    s: &Subject<'_>,
    end: Stamp,
    process: &[&'a AppLine],
) -> Option<&'a AppLine> {
    let exceptions: Vec<&AppLine> = process
        .iter()
        .copied()
        .filter(|l| {
            let apart = l.at.middle().since(end.middle()).abs();
            matches!(l.what, AppEvent::Exception { .. })
                && apart <= (l.at.tick_ns.max(end.tick_ns) / 2).max(UNNAMED_NS)
        })
        .collect();
    // Who ended beside it may be all there are: only an exception makes that a question.
    if exceptions.is_empty() || !s.place.unasked || !s.place.accepted {
        return None;
    }
    let reach = UNNAMED_NS + SECOND_NS.min(end.tick_ns);
    let together = s.population.ending(
        end.middle().plus(-reach),
        end.middle().plus(reach),
        &s.place.upstream,
    );
    let lines_off = |c: &Connection, l: &AppLine| {
        let closes = c.app_lines.iter().filter(|a| {
            a.record.source == l.record.source && matches!(a.what, AppEvent::Close { .. })
        });
        closes
            .map(|a| {
                let apart = a.at.middle().since(l.at.middle()).abs();
                (a.record.ordinal.abs_diff(l.record.ordinal), apart)
            })
            .min()
    };
    let nearest = |l: &AppLine| {
        lines_off(s.c, l).is_some_and(|own| {
            let others = together.iter().filter(|&&j| j != s.index);
            others
                .filter_map(|&j| lines_off(&s.all[j], l))
                .all(|other| other > own)
        })
    };
    exceptions
        .into_iter()
        .find(|l| together.len() == 1 || nearest(l))
}

/// A process that came up took the place of the one that wrote `own`: it writes to the same log, or listens where that one did. Another
/// log's process is a neighbour otherwise.
fn successor(s: &Subject<'_>, own: &AppLine, came_up: &AppLine) -> bool {
    let port = |l: &AppLine| match l.what {
        AppEvent::Listening { port } => port,
        _ => None,
    };
    let own_port = s
        .context
        .app_lines
        .iter()
        .filter(|l| l.record.source == own.record.source && l.pid == own.pid)
        .find_map(port);
    came_up.record.source == own.record.source || own_port.is_some() && own_port == port(came_up)
}

/// Nobody logged its end, and the process that served it is another one by now: it ended with the old one.
fn outlived_by_its_process(s: &Subject<'_>, row: &mut Row) {
    let Some(last) = s.c.app_lines.last() else {
        return;
    };
    let upstream = &s.place.upstream;
    let sources = s.population.app_sources(upstream);
    // A log without process ids is one process's: who starts to listen in it again is the next one.
    let another = |l: &AppLine| match (last.pid, l.pid) {
        (Some(a), Some(b)) => a != b && successor(s, last, l),
        (None, None) => l.record.source == last.record.source,
        _ => false,
    };
    let restart = process_lines(s.c, s.context, sources, None).find(|l| {
        matches!(l.what, AppEvent::Listening { .. }) && l.at.at > last.at.at && another(l)
    });
    if let (Some(l), true) = (restart, s.c.legs.is_empty()) {
        let records = vec![(l.record, Some(l.at))];
        row.set(
            "server.restarted",
            shown(Value::Bool(true), APP_LOG, records.clone()),
        );
        let stopping = process_lines(s.c, s.context, sources, None)
            .find(|a| a.what == AppEvent::Stopping && a.at.at > last.at.at && a.at.at <= l.at.at);
        match stopping {
            Some(a) => row.set(
                "server.stopping",
                shown(Value::Bool(true), APP_LOG, vec![(a.record, Some(a.at))]),
            ),
            None => row.set("server.died", shown(Value::Bool(true), APP_LOG, records)),
        }
    }
}

fn ends_of(s: &Subject<'_>, group: &Together) -> Vec<(RecordRef, Option<Stamp>)> {
    group
        .first
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

fn refused_after(s: &Subject<'_>, row: &mut Row, end: Stamp) {
    let from = end.at.plus(-end.tick_ns);
    let refused = s
        .population
        .refused_between(s.index, from, from.plus(30 * SECOND_NS));
    let asked = refused.is_some();
    let mut witness = NOBODY;
    let mut records = Vec::new();
    let (by_log, by_capture) = s.population.refused_told;
    for c in refused.into_iter().flatten().map(|i| &s.all[i]) {
        let Some(told) = population::refused_after(c) else {
            continue;
        };
        witness.proxy_log |= !told.captured;
        witness.capture |= told.captured;
        records.extend(told.record);
        // Of a storm of refusals the first tell all there is to tell.
        if records.len() >= 3 && witness.proxy_log == by_log && witness.capture == by_capture {
            break;
        }
    }
    records.truncate(3);
    if !records.is_empty() && lived_on(s, end) {
        return;
    }
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

pub(super) fn proxy(s: &Subject<'_>, row: &mut Row) {
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
        let together = s.population.together(s.index, Of::Proxy(s.index));
        // Where who ended them is open, that they ended together says it of nobody.
        let witness = if answered_at_once(s, end) {
            NOBODY
        } else {
            POPULATION
        };
        row.set(
            "proxy.ended_together",
            shown(
                Value::Count(together.count as i64),
                witness,
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
