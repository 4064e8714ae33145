//! Heartbeats and configuration -> what will cost a connection some day, with the line that says so.

use super::{Configured, Heartbeat, at_line, idle_timeouts, routes};
use crate::diagnose::population::round_to_timer;
use crate::model::{
    CaseContext, Cause, Finding, HopKind, Judged, Outcome, Route, SECOND_NS, say_duration,
};
use std::collections::{BTreeMap, HashMap};

/// W802: a heartbeat that keeps too little room under a known time-out of its path.
pub(super) fn heartbeat_risks(
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
            let ns = learnt.get(&*h.name)?;
            Some((
                *ns,
                1,
                h.name.to_string(),
                "as seen in this case".to_owned(),
            ))
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
                    )
                    .into(),
                    format!(
                        "or raise the time-out above {}: twice the period [H2 X2]",
                        say_duration(period.saturating_mul(2))
                    )
                    .into(),
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
            let least = out.entry(&**hop).or_insert(ns);
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
pub(super) fn upgrade_risks(all: &[Judged], context: &CaseContext) -> Vec<Finding> {
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
            let passes = upgrade.http_11 && upgrade.upgrade_header && upgrade.connection_header;
            if !(nginx || passes) {
                missing.push(if settings.hop == HopKind::Apache {
                    "`upgrade=websocket`"
                } else {
                    "`upgrade_configs` with `upgrade_type: websocket`"
                });
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
                    match settings.hop {
                        HopKind::Nginx =>
                            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                             proxy_set_header Connection \"upgrade\";",
                        HopKind::Apache =>
                            "`upgrade=websocket` behind the backend's URL (2.4.47 and later), or a `ws://` backend",
                        _ => "upgrade_configs: [{upgrade_type: websocket}]",
                    }
                )
                .into()],
            });
        }
    }
    out
}

/// W804: a configured time-out that is shorter than the heartbeat which should keep the connections behind it alive.
pub(super) fn timeout_risks(
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
                    )
                    .into(),
                    format!("or ping every {} or less [H1 X1]", say_duration(value / 2)).into(),
                ],
            }
        })
        .collect()
}
