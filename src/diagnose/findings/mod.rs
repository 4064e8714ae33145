//! Judged connections and the settings of their hops -> what is worth knowing and is no drop: time-outs that recur, streams that stall,
//! heartbeats and configuration that will cost a connection some day.

mod leak;
mod pressure;
mod risk;
mod stall;
#[cfg(test)]
mod tests;

use super::extract::timers;
use crate::model::{
    CaseContext, Cause, Connection, Direction, Finding, HopKind, HopSettings, Judged,
    LegObservation, LegProtocol, MILLI_NS, Moment, RecordRef, Route, Timeout, TimeoutKind, Word,
    say_duration,
};
pub use leak::socket_leaks;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// All findings of the case, by code, then by what they speak of.
pub(super) fn findings(all: &[Judged], context: &CaseContext) -> Vec<Finding> {
    let mut out = recurring_timeouts(all);
    out.extend(stall::silent_stalls(all, context));
    let beats: Vec<Option<Heartbeat>> = all.iter().map(|j| heartbeat(&j.connection)).collect();
    out.extend(risk::heartbeat_risks(all, &beats, context));
    out.extend(risk::upgrade_risks(all, context));
    out.extend(leak::leaks(all));
    out.extend(risk::timeout_risks(all, &beats, context));
    out.extend(pressure::pressure(all, context));
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
        ) && (o.by_sockets() || o.to_server.packets > 0 && o.to_client.packets > 0)
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

/// A time-out's name that says where it is written: `proxy_read_timeout, nginx.conf:31`.
fn names_a_place(name: &str) -> bool {
    name.rsplit_once(':')
        .is_some_and(|(_, line)| !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()))
}

/// What sets the idle time-out of a hop, for whoever has not seen its configuration.
fn knob(hop: &str) -> Option<&'static str> {
    const KNOBS: &[(&str, &str)] = &[
        ("nginx", "proxy_read_timeout"),
        (
            "haproxy",
            "`timeout tunnel`, else `timeout client` and `server`,",
        ),
        ("alb", "idle_timeout.timeout_seconds"),
        ("envoy", "stream_idle_timeout"),
        (
            "apache",
            "the larger of `Timeout` and ProxyPass' `timeout=`",
        ),
    ];
    let found = KNOBS.iter().find(|(name, _)| hop.contains(name));
    found.map(|(_, knob)| *knob)
}

/// How far apart the silences lie that were measured: `, measured 59.99 s to 60.04 s in 6`.
fn spread(members: &[&Judged], timeout: i64) -> String {
    let near = |ns: &i64| (ns - timeout).abs() <= timeout / 20;
    let silences = || {
        members
            .iter()
            .filter_map(|j| j.connection.silence_ns)
            .filter(near)
    };
    let tenth = |ns: i64| {
        let unit = 10 * MILLI_NS;
        say_duration((ns + unit / 2) / unit * unit)
    };
    match (silences().min(), silences().max(), silences().count()) {
        (Some(least), Some(most), n) if n >= 2 => {
            let (least, most) = (tenth(least), tenth(most));
            if least == most {
                format!(", measured {least} in each of {n}")
            } else {
                format!(", measured {least} to {most} in {n}")
            }
        }
        _ => String::new(),
    }
}

/// W703: one time-out that ended two or more connections.
fn recurring_timeouts(all: &[Judged]) -> Vec<Finding> {
    let mut groups: BTreeMap<(i64, Option<Cow<'_, str>>, Option<Word>), Vec<&Judged>> =
        BTreeMap::new();
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
            let who = hop.clone().unwrap_or_else(|| "a hop".into());
            let written = from.as_ref().filter(|f| names_a_place(f));
            let knob = hop.as_deref().and_then(knob).filter(|_| written.is_none());
            let set_by = match (&from, knob) {
                (Some(from), Some(knob)) => format!(" ({from}; {knob} sets it)"),
                (Some(from), None) => format!(" ({from})"),
                (None, Some(knob)) => format!(" ({knob} sets it)"),
                (None, None) => String::new(),
            };
            let spread = spread(&members, ns);
            Finding {
                code: "W703".to_owned(),
                kind: "recurring-timeout".to_owned(),
                say: format!(
                    "{who} ended {} connections after {} of silence{spread}{set_by}",
                    members.len(),
                    say_duration(ns)
                ),
                hop: hop.map(Cow::into_owned),
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
