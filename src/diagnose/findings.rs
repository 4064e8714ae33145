//! Judged connections and the settings of their hops -> what is worth knowing and is no drop: time-outs that recur, streams that stall,
//! heartbeats and configuration that will cost a connection some day.

use super::extract::timers;
use super::population::round_to_timer;
use crate::model::{
    CaseContext, Cause, Connection, Direction, Finding, HopKind, HopSettings, Judged, LegEventKind,
    LegObservation, LegProtocol, MILLI_NS, Moment, Outcome, RecordRef, Route, SECOND_NS, Timeout,
    TimeoutKind, say_duration,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A rhythm is known from this many waits between messages.
const RHYTHM: usize = 6;
/// It stopped when as many of its beats stayed away, and the longest wait before was this many times shorter.
const MISSED_BEATS: i64 = 8;
const LONGER_THAN_EVER: i64 = 3;
/// Pings that were answered after the last message: the connection lives.
const ANSWERED: usize = 2;

/// All findings of the case, by code, then by what they speak of.
pub(super) fn findings(all: &[Judged], context: &CaseContext) -> Vec<Finding> {
    let mut out = recurring_timeouts(all);
    out.extend(silent_stalls(all, context));
    let beats: Vec<Option<Heartbeat>> = all.iter().map(|j| heartbeat(&j.connection)).collect();
    out.extend(heartbeat_risks(all, &beats, context));
    out.extend(upgrade_risks(all, context));
    out.extend(timeout_risks(all, &beats, context));
    out
}

/// The pings of a connection, as the leg nearest to the server shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heartbeat {
    /// The middle one of the waits between pings of the side that sends more of them.
    pub(super) period_ns: i64,
    pub(super) from: Direction,
    /// Its pings were answered, all but the last ones perhaps.
    pub(super) answered: bool,
    /// When the last one was sent.
    pub(super) last: Moment,
    pub(super) record: RecordRef,
}

pub(super) fn heartbeat(c: &Connection) -> Option<Heartbeat> {
    let o = readable(c)?;
    let of = |direction| -> Vec<_> {
        o.pings
            .iter()
            .filter(|p| p.direction == direction)
            .collect()
    };
    let (down, up) = (of(Direction::ToClient), of(Direction::ToServer));
    let (from, pings) = if down.len() >= up.len() {
        (Direction::ToClient, down)
    } else {
        (Direction::ToServer, up)
    };
    let mut waits: Vec<i64> = pings
        .windows(2)
        .filter_map(|w| match w {
            [a, b] => Some(b.sent.at.since(a.sent.at)),
            _ => None,
        })
        .collect();
    waits.sort_unstable();
    let period_ns = waits.get(waits.len() / 2).copied().filter(|ns| *ns > 0)?;
    let last = pings.last()?.sent;
    let answered = pings.iter().filter(|p| p.answered.is_some()).count();
    Some(Heartbeat {
        period_ns,
        from,
        answered: answered * 2 >= pings.len(),
        last: last.at,
        record: last.record,
    })
}

/// The leg nearest to the server whose frames can be read in both directions.
fn readable(c: &Connection) -> Option<&LegObservation> {
    c.legs.iter().rev().flat_map(|l| &l.observations).find(|o| {
        matches!(
            o.protocol,
            LegProtocol::WebSocket | LegProtocol::WebSocketMidstream
        ) && o.to_server.packets > 0
            && o.to_client.packets > 0
            && o.to_server.lost_bytes == 0
            && o.to_client.lost_bytes == 0
    })
}

/// A time-out that is configured on the path of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Configured<'a> {
    pub(super) settings: &'a HopSettings,
    pub(super) route: &'a Route,
    pub(super) timeout: &'a Timeout,
}

impl Configured<'_> {
    /// `proxy_read_timeout, nginx.conf:31`.
    pub(super) fn name(&self, context: &CaseContext) -> String {
        let path = context.paths.get(self.settings.source.0 as usize);
        timers::name(self.timeout, path, self.settings.hop)
    }

    fn record(&self) -> Option<RecordRef> {
        self.timeout.line.map(|line| at_line(self.settings, line))
    }
}

fn at_line(settings: &HopSettings, line: u64) -> RecordRef {
    RecordRef {
        source: settings.source,
        ordinal: line,
        start: 0,
        len: 0,
    }
}

/// The configured idle time-outs of the hops that a connection went through, as far as the evidence shows the hops.
pub(super) fn idle_timeouts<'a>(
    c: &Connection,
    context: &'a CaseContext,
) -> impl Iterator<Item = Configured<'a>> {
    let routes: Vec<(&HopSettings, &Route)> = routes(c, context).collect();
    routes.into_iter().flat_map(|(settings, route)| {
        route
            .timeouts
            .iter()
            .filter(|t| t.kind == TimeoutKind::Idle && t.value_ns > 0)
            .map(move |timeout| Configured {
                settings,
                route,
                timeout,
            })
    })
}

fn routes<'a>(
    c: &Connection,
    context: &'a CaseContext,
) -> impl Iterator<Item = (&'a HopSettings, &'a Route)> {
    let uri = c.request.uri.clone().unwrap_or_default();
    let kinds: Vec<HopKind> = c.hops.iter().map(|h| h.kind).collect();
    let few = context.settings.len() <= 2;
    context.settings.iter().filter_map(move |s| {
        // A capture from beyond a hop does not show it, nor does a log that is not there.
        let on_path =
            kinds.contains(&s.hop) || kinds.contains(&HopKind::Proxy) || kinds.len() <= 2 || few;
        Some((s, s.route(&uri).filter(|_| on_path)?))
    })
}

/// W703: one time-out that ended two or more connections.
fn recurring_timeouts(all: &[Judged]) -> Vec<Finding> {
    let mut groups: BTreeMap<(i64, Option<String>, Option<String>), Vec<&Judged>> = BTreeMap::new();
    for j in all
        .iter()
        .filter(|j| j.verdict.cause == Some(Cause::IdleTimeout))
    {
        if let Some(ns) = j.verdict.timeout_ns {
            let key = (
                ns,
                j.connection.closer.hop.clone(),
                j.verdict.timeout_from.clone(),
            );
            groups.entry(key).or_default().push(j);
        }
    }
    groups
        .into_iter()
        .filter(|(_, members)| members.len() >= 2)
        .map(|((ns, hop, from), members)| {
            let who = hop.clone().unwrap_or_else(|| "a hop".to_owned());
            let set_by = from.as_ref().map(|f| format!(" ({f})")).unwrap_or_default();
            Finding {
                code: "W703".to_owned(),
                kind: "recurring-timeout".to_owned(),
                say: format!(
                    "{who} ended {} connections after {} of silence{set_by}",
                    members.len(),
                    say_duration(ns)
                ),
                hop,
                timeout_ns: Some(ns),
                fix: members
                    .first()
                    .map(|j| j.verdict.fix.clone())
                    .unwrap_or_default(),
                connections: members.iter().map(|j| j.connection.id.clone()).collect(),
                records: Vec::new(),
            }
        })
        .collect()
}

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
fn silent_stalls(all: &[Judged], context: &CaseContext) -> Option<Finding> {
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
                .to_owned(),
            "catch in the handler and close with 1011, so that a dead handler ends its connection [X8]".to_owned(),
            "let the application itself say that it lives: a message every so often that its client waits for [H5]".to_owned(),
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

/// W802: a heartbeat that keeps too little room under a known time-out of its path.
fn heartbeat_risks(
    all: &[Judged],
    beats: &[Option<Heartbeat>],
    context: &CaseContext,
) -> Vec<Finding> {
    let learnt = learnt(all);
    let mut groups: BTreeMap<(i64, String, String, i64), Vec<(&Judged, Heartbeat)>> =
        BTreeMap::new();
    for (j, beat) in all.iter().zip(beats) {
        let Some(beat) = beat.filter(|b| b.answered) else {
            continue;
        };
        let c = &j.connection;
        let configured = idle_timeouts(c, context).map(|t| {
            (
                t.timeout.value_ns,
                // What is written says more than what was seen.
                0_u8,
                t.settings.hop.name().to_owned(),
                t.name(context),
            )
        });
        let seen = c.hops.iter().filter_map(|h| {
            let ns = learnt.get(h.name.as_str())?;
            Some((*ns, 1, h.name.clone(), "as seen in this case".to_owned()))
        });
        let Some((timeout, _, hop, name)) = configured.chain(seen).min() else {
            continue;
        };
        let period = round_to_timer(beat.period_ns);
        if period.saturating_mul(2) > timeout.saturating_add(timeout / 50) {
            groups
                .entry((timeout, hop, name, period))
                .or_default()
                .push((j, beat));
        }
    }
    groups
        .into_iter()
        .map(|((timeout, hop, name, period), members)| {
            let n = members.len();
            let alive = members
                .iter()
                .filter(|(j, _)| matches!(j.verdict.outcome, Outcome::Open | Outcome::Clean))
                .count();
            let room = if period >= timeout {
                "longer than"
            } else {
                "more than half of"
            };
            let survived = match alive {
                0 => String::new(),
                a if a == n => "; none of them was cut yet: their messages kept them alive".to_owned(),
                a => format!("; {a} of them were not cut yet"),
            };
            Finding {
                code: "W802".to_owned(),
                kind: "heartbeat-risk".to_owned(),
                say: format!(
                    "the pings of {n} connection{} come every {}, {room} the {} after which {hop} closes what is silent \
                     ({name}){survived}",
                    if n == 1 { "" } else { "s" },
                    say_duration(period),
                    say_duration(timeout),
                ),
                hop: Some(hop),
                timeout_ns: Some(timeout),
                connections: members.iter().map(|(j, _)| j.connection.id.clone()).collect(),
                records: members.iter().map(|(_, b)| b.record).take(8).collect(),
                fix: vec![
                    format!(
                        "ping every {} or less: under half of {} [H1 X1]",
                        say_duration(timeout / 2),
                        say_duration(timeout)
                    ),
                    format!(
                        "or raise the time-out above {}: twice the period [H2 X2]",
                        say_duration(period.saturating_mul(2))
                    ),
                ],
            }
        })
        .collect()
}

/// The smallest time-out that each hop showed by ending connections.
fn learnt(all: &[Judged]) -> BTreeMap<&str, i64> {
    let mut out = BTreeMap::new();
    for j in all
        .iter()
        .filter(|j| j.verdict.cause == Some(Cause::IdleTimeout))
    {
        if let (Some(hop), Some(ns)) = (&j.connection.closer.hop, j.verdict.timeout_ns) {
            let least = out.entry(hop.as_str()).or_insert(ns);
            *least = (*least).min(ns);
        }
    }
    out
}

/// Words in a path that hardly anything but WebSocket goes by.
const SPOKEN_AS: &[&str] = &[
    "ws",
    "wss",
    "websocket",
    "websockets",
    "socket.io",
    "engine.io",
    "sockjs",
    "cable",
    "signalr",
    "live",
];

/// W804: a route that WebSockets go by, and that does not pass on what they need.
fn upgrade_risks(all: &[Judged], context: &CaseContext) -> Vec<Finding> {
    let mut by_route: HashMap<*const Route, Vec<&Judged>> = HashMap::new();
    for j in all {
        for (_, route) in routes(&j.connection, context) {
            by_route.entry(route).or_default().push(j);
        }
    }
    let mut out = Vec::new();
    for settings in &context.settings {
        for route in &settings.routes {
            let Some(upgrade) = &route.upgrade else {
                continue;
            };
            let nginx = settings.hop == HopKind::Nginx;
            let mut missing = Vec::new();
            if !nginx && !(upgrade.http_11 && upgrade.upgrade_header && upgrade.connection_header) {
                missing.push("`upgrade_configs` with `upgrade_type: websocket`");
            }
            if nginx && !upgrade.http_11 {
                missing.push("`proxy_http_version 1.1` (1.0 is the default before nginx 1.29.7)");
            }
            if nginx && !upgrade.upgrade_header {
                missing.push("`proxy_set_header Upgrade $http_upgrade`");
            }
            if nginx && !upgrade.connection_header {
                missing.push("`proxy_set_header Connection \"upgrade\"`");
            }
            if missing.is_empty() {
                continue;
            }
            let through = by_route
                .get(&std::ptr::from_ref(route))
                .map_or(&[][..], Vec::as_slice);
            let by_name = route
                .prefix
                .split('/')
                .any(|part| SPOKEN_AS.contains(&part.to_ascii_lowercase().as_str()));
            if through.is_empty() && !by_name {
                continue;
            }
            let failed = through
                .iter()
                .filter(|j| j.verdict.cause == Some(Cause::MissingUpgrade))
                .count();
            let seen = match through.len() {
                0 => "WebSocket by its name, and none came here".to_owned(),
                n => format!(
                    "{n} connection{} asked for an upgrade here, {failed} failed for it",
                    if n == 1 { "" } else { "s" }
                ),
            };
            let file = context
                .paths
                .get(settings.source.0 as usize)
                .map_or("", String::as_str);
            out.push(Finding {
                code: "W804".to_owned(),
                kind: "config-risk".to_owned(),
                say: format!(
                    "{} ({file}:{}) does not pass the upgrade on: {} {} missing or wrong; {seen}",
                    route.name,
                    upgrade.line,
                    missing.join(", "),
                    if missing.len() == 1 { "is" } else { "are" },
                ),
                hop: Some(settings.hop.name().to_owned()),
                timeout_ns: None,
                connections: through.iter().map(|j| j.connection.id.clone()).collect(),
                records: vec![at_line(settings, upgrade.line)],
                fix: vec![format!(
                    "in {} ({file}:{}): {} [X3]",
                    route.name,
                    route.line.unwrap_or(upgrade.line),
                    if nginx {
                        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                         proxy_set_header Connection \"upgrade\";"
                    } else {
                        "upgrade_configs: [{upgrade_type: websocket}]"
                    }
                )],
            });
        }
    }
    out
}

/// W804: a configured time-out that is shorter than the heartbeat which should keep the connections behind it alive.
fn timeout_risks(
    all: &[Judged],
    beats: &[Option<Heartbeat>],
    context: &CaseContext,
) -> Vec<Finding> {
    /// Source, line of the directive or of its route, directive, value.
    type Key = (u32, u64, String, i64);
    let mut groups: BTreeMap<Key, (Configured<'_>, Vec<&Judged>, i64)> = BTreeMap::new();
    for (j, beat) in all.iter().zip(beats) {
        let Some(beat) = beat else { continue };
        let period = round_to_timer(beat.period_ns);
        for t in idle_timeouts(&j.connection, context).filter(|t| t.timeout.value_ns < period) {
            let line = t.timeout.line.or(t.route.line).unwrap_or(0);
            let key = (
                t.settings.source.0,
                line,
                t.timeout.directive.clone(),
                t.timeout.value_ns,
            );
            let (_, members, least) = groups.entry(key).or_insert_with(|| (t, Vec::new(), period));
            members.push(j);
            *least = (*least).min(period);
        }
    }
    groups
        .into_values()
        .map(|(t, members, period)| {
            let n = members.len();
            let value = t.timeout.value_ns;
            let hop = t.settings.hop.name();
            let place = match (t.timeout.line, t.route.line) {
                (None, Some(line)) => {
                    let path = context.paths.get(t.settings.source.0 as usize);
                    format!(
                        "{} of {} ({}:{line})",
                        t.timeout.directive,
                        t.route.name,
                        path.map_or("", String::as_str)
                    )
                }
                _ => t.name(context),
            };
            Finding {
                code: "W804".to_owned(),
                kind: "config-risk".to_owned(),
                say: format!(
                    "{place} is {}, and the heartbeat of {n} connection{} through it comes every {} only: {hop} closes them between \
                     two pings whenever nothing else is sent",
                    say_duration(value),
                    if n == 1 { "" } else { "s" },
                    say_duration(period),
                ),
                hop: Some(hop.to_owned()),
                timeout_ns: Some(value),
                connections: members.iter().map(|j| j.connection.id.clone()).collect(),
                records: t.record().into_iter().collect(),
                fix: vec![
                    format!(
                        "raise {} to {} or more: twice the heartbeat's period [H2 X2]",
                        t.timeout.directive,
                        say_duration(period.saturating_mul(2).max(2 * SECOND_NS))
                    ),
                    format!("or ping every {} or less [H1 X1]", say_duration(value / 2)),
                ],
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{at, came, nginx, seen};
    use crate::model::UpgradeSetting;

    fn context(settings: Vec<HopSettings>) -> CaseContext {
        CaseContext {
            settings,
            paths: vec!["nginx.conf".to_owned()],
            window: Some((at(0), at(120_000))),
            ..CaseContext::default()
        }
    }

    fn standing(messages: &[(i64, bool)], pings: &[(i64, bool)]) -> Judged {
        let mut j = came(1, 0, None, None).judged(1);
        j.connection.legs.push(seen(messages, pings));
        j
    }

    /// Pings every two seconds over two minutes.
    fn pings(answered: bool) -> Vec<(i64, bool)> {
        (1..60).map(|n| (n * 2_000, answered)).collect()
    }

    fn every(ms: i64, from: i64, to: i64, down: bool) -> Vec<(i64, bool)> {
        (0..)
            .map(|n| from + n * ms)
            .take_while(|t| *t <= to)
            .map(|t| (t, down))
            .collect()
    }

    #[test]
    fn a_stall_is_a_lost_beat_of_a_connection_that_lives() {
        let check = |what: &str, messages: &[(i64, bool)], pings: &[(i64, bool)], stalled: bool| {
            let found = silent_stalls(&[standing(messages, pings)], &context(Vec::new()));
            assert_eq!(found.is_some(), stalled, "{what}: {found:?}");
            if let Some(f) = found {
                assert_eq!(
                    (f.code.as_str(), f.connections.len()),
                    ("W801", 1),
                    "{what}"
                );
            }
        };
        let live = pings(true);
        let pushed = every(400, 500, 20_000, true);
        check("pushes that stopped", &pushed, &live, true);
        check(
            "pushes that went on",
            &every(400, 500, 119_500, true),
            &live,
            false,
        );
        check("nobody answers the pings", &pushed, &pings(false), false);
        check("no pings at all", &pushed, &[], false);
        check(
            "a few messages and then none",
            &every(400, 500, 2_000, true),
            &live,
            false,
        );
        check(
            "messages without a beat",
            &(0..30)
                .map(|n: i64| (500 + n * n * 20, true))
                .collect::<Vec<_>>(),
            &live,
            false,
        );
        check(
            "a beat of minutes, one late",
            &every(15_000, 500, 110_000, true),
            &live,
            false,
        );
        // A question, then an answer.
        let talk = |asked: i64, answered: i64| -> Vec<(i64, bool)> {
            let mut all = every(1_000, 500, asked, false);
            all.extend(every(1_000, 501, answered, true));
            all.sort_unstable();
            all
        };
        check(
            "the client fell silent, and so did the answers",
            &talk(20_000, 20_001),
            &live,
            false,
        );
        check(
            "the client goes on asking, and nothing comes back",
            &talk(119_000, 20_001),
            &live,
            true,
        );
        let mut dropped = standing(&pushed, &live);
        dropped.verdict.outcome = Outcome::Drop;
        assert_eq!(
            silent_stalls(&[dropped], &context(Vec::new())),
            None,
            "a drop has its own verdict"
        );
    }

    #[test]
    fn a_heartbeat_needs_twice_its_period() {
        let check = |what: &str, period: i64, timeout: i64, written: bool, codes: &[&str]| {
            let beat: Vec<(i64, bool)> = (1..6).map(|n| (n * period, true)).collect();
            let found = findings(
                &[standing(&[], &beat)],
                &context(vec![nginx(timeout, written)]),
            );
            let got: Vec<&str> = found.iter().map(|f| f.code.as_str()).collect();
            assert_eq!(got, codes, "{what}: {found:#?}");
            found
        };
        check("less than half", 25_000, 60_000, true, &[]);
        check("half, to the tick", 30_003, 60_000, true, &[]);
        let risky = check("more than half", 40_000, 60_000, true, &["W802"]);
        assert!(
            risky[0].say.contains("(proxy_read_timeout, nginx.conf:34)"),
            "{}",
            risky[0].say
        );
        assert!(risky[0].fix[0].starts_with("ping every 30 s or less"));
        let late = check(
            "longer than the time-out",
            70_000,
            60_000,
            true,
            &["W802", "W804"],
        );
        assert!(
            late[1]
                .say
                .starts_with("proxy_read_timeout, nginx.conf:34 is 60 s"),
            "{}",
            late[1].say
        );
        assert_eq!(late[1].records[0].ordinal, 34);
        let unwritten = check(
            "a default has no line of its own",
            70_000,
            60_000,
            false,
            &["W802", "W804"],
        );
        assert!(
            unwritten[1]
                .say
                .starts_with("proxy_read_timeout of location /ws (nginx.conf:30) is 60 s"),
            "{}",
            unwritten[1].say
        );
    }

    #[test]
    fn a_time_out_that_struck_counts_where_no_configuration_is() {
        let mut cut = came(2, 0, Some(60_000), Some(Cause::IdleTimeout)).judged(2);
        cut.connection.closer.hop = Some("nginx".to_owned());
        cut.verdict.timeout_ns = Some(60 * SECOND_NS);
        let beat: Vec<(i64, bool)> = (1..4).map(|n| (n * 40_000, true)).collect();
        let all = [standing(&[], &beat), cut.clone()];
        let found = findings(&all, &context(Vec::new()));
        assert_eq!(
            found.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(),
            ["W802"]
        );
        assert!(
            found[0].say.contains("as seen in this case"),
            "{}",
            found[0].say
        );
        let twice = findings(&[cut.clone(), cut], &context(Vec::new()));
        assert_eq!(twice[0].code, "W703");
        assert_eq!(twice[0].connections.len(), 2);
    }

    #[test]
    fn a_location_without_the_upgrade_is_a_risk_where_websockets_go() {
        let check = |prefix: &str, uri: &str, good: [bool; 3], risks: usize| {
            let mut settings = nginx(60_000, true);
            settings.routes[0].prefix = prefix.to_owned();
            settings.routes[0].upgrade = Some(UpgradeSetting {
                http_11: good[0],
                upgrade_header: good[1],
                connection_header: good[2],
                line: 31,
            });
            let mut j = came(1, 0, Some(9), None).judged(1);
            j.connection.request.uri = Some(uri.to_owned());
            let found = upgrade_risks(&[j], &context(vec![settings]));
            assert_eq!(found.len(), risks, "{prefix} {uri} {good:?}: {found:?}");
            for f in &found {
                assert!(f.say.contains("nginx.conf:31"), "{}", f.say);
                assert!(f.fix[0].contains("nginx.conf:30"), "{}", f.fix[0]);
            }
        };
        check("/chat", "/chat?x=1", [true; 3], 0);
        check("/chat", "/chat?x=1", [true, false, true], 1);
        check("/chat", "/other", [true, false, true], 0);
        check("/ws", "/other", [true, true, false], 1);
        check("/api/socket.io/", "/other", [false, true, true], 1);
        check("/news", "/other", [false; 3], 0);
    }
}
