//! Silences, lives and the time-outs of the hops on the path -> the `idle.*`, `life.*`, `timeouts.*` and `traffic.*` facts.

use super::heartbeat::own_idle;
use super::{APP_LOG, CAPTURE, CONFIG, POPULATION, PROXY_LOG, Subject, at, shown};
use crate::diagnose::fact::{NamedDuration, Row, Value, Witnesses};
use crate::diagnose::population::{
    self, DELAYED_CLOSE_NS, Of, Recurring, after_stream, flowing, round_to_timer,
};
use crate::model::{HopEvent, HopKind, MILLI_NS, Mark, Role, SECOND_NS, Timeout, TimeoutKind};

pub(super) fn extract(s: &Subject<'_>, row: &mut Row) {
    if let Some(life) = s.c.duration_ns() {
        let witness = if s.c.legs.is_empty() {
            PROXY_LOG
        } else {
            CAPTURE
        };
        row.set("life.total", shown(Value::Duration(life), witness, vec![]));
    }
    gaps(s, row);
    logged(s, row);
    known(s, row);
}

fn gaps(s: &Subject<'_>, row: &mut Row) {
    let Some(closed) = s.c.closed.filter(|_| !s.c.legs.is_empty()) else {
        return;
    };
    let last = |which: fn(&crate::model::LegObservation) -> Option<Mark>| -> Option<Mark> {
        s.observations()
            .filter_map(|(_, o)| which(o))
            .filter(|m| m.at <= closed.at.plus(MILLI_NS))
            .max_by_key(|m| m.at)
    };
    let to_server = last(|o| o.to_server.last_payload);
    let to_client = last(|o| o.to_client.last_payload);
    let late = [to_server, to_client]
        .into_iter()
        .flatten()
        .map(|m| closed.at.since(m.at))
        .min()
        .map_or(0, |gap| delayed_close(s, gap));
    let since = |m: Mark| (closed.at.since(m.at) - late).max(0);
    for (name, mark) in [
        ("idle.gap_to_server", to_server),
        ("idle.gap_to_client", to_client),
    ] {
        if let Some(m) = mark {
            row.set(name, shown(Value::Duration(since(m)), CAPTURE, vec![at(m)]));
        }
    }
    let Some(m) = [to_server, to_client]
        .into_iter()
        .flatten()
        .max_by_key(|m| m.at)
    else {
        return;
    };
    let gap = since(m);
    row.set(
        "idle.gap_before_close",
        shown(Value::Duration(gap), CAPTURE, vec![at(m)]),
    );
    row.set(
        "traffic.flowing",
        shown(Value::Bool(flowing(s.c, gap)), CAPTURE, vec![at(m)]),
    );
    let off = (gap + SECOND_NS / 2) / SECOND_NS * SECOND_NS - gap;
    let round = gap >= 2 * SECOND_NS - 50 * MILLI_NS && off.abs() <= 30 * MILLI_NS + gap / 2000;
    row.set(
        "idle.round",
        shown(Value::Bool(round), CAPTURE, vec![at(m)]),
    );
}

/// How much of a silence came after Envoy had ended the stream, where only the client's leg was captured.
fn delayed_close(s: &Subject<'_>, gap: i64) -> i64 {
    let by_envoy = s.c.hops.iter().any(|h| h.kind == HopKind::Envoy);
    let behind = s.c.legs.iter().any(|l| l.from > 0);
    if !by_envoy || behind {
        return 0;
    }
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let fits = s
        .context
        .settings
        .iter()
        .filter(|h| h.hop == HopKind::Envoy)
        .filter_map(|h| h.route(uri))
        .flat_map(|r| &r.timeouts)
        .filter(|t| t.kind == TimeoutKind::Idle)
        .any(|t| (gap - DELAYED_CLOSE_NS - t.value_ns).abs() <= 150 * MILLI_NS);
    if fits {
        DELAYED_CLOSE_NS
    } else {
        after_stream(s.c)
    }
}

fn logged(s: &Subject<'_>, row: &mut Row) {
    let line =
        s.c.hop_lines
            .iter()
            .find(|h| h.what == HopEvent::IdleTimeout);
    let timer =
        s.c.tunnels
            .iter()
            .find(|t| t.ended_by_timer() == Some(true));
    // An application that ends silent connections says so.
    if let Some(l) = own_idle(s) {
        let records = vec![(l.record, Some(l.at))];
        row.set("idle.logged", shown(Value::Bool(true), APP_LOG, records));
        return;
    }
    let mut records = Vec::new();
    records.extend(line.map(|h| (h.record, Some(h.at))));
    records.extend(timer.map(|t| (t.record, t.end)));
    if !records.is_empty() {
        row.set("idle.logged", shown(Value::Bool(true), PROXY_LOG, records));
        return;
    }
    if s.c.closed.is_none() {
        return;
    }
    // A hop that names its time-outs, and did not name one here: then it was another hop's, or none.
    let proxies: Vec<HopKind> =
        s.c.hops
            .iter()
            .filter(|h| h.kind.is_proxy())
            .map(|h| h.kind)
            .collect();
    let flags =
        s.c.tunnels
            .iter()
            .any(|t| t.ended_by_timer() == Some(false));
    let nginx_tells = s.population.info_level;
    let all_tell = !proxies.is_empty()
        && proxies.iter().all(|k| match k {
            HopKind::Nginx => nginx_tells,
            HopKind::Haproxy | HopKind::Envoy => flags,
            _ => false,
        });
    if all_tell {
        row.set(
            "idle.logged",
            shown(
                Value::Bool(false),
                PROXY_LOG,
                s.c.tunnels.iter().map(|t| (t.record, t.end)).collect(),
            ),
        );
    }
}

/// Known defaults of hops whose configuration is not in the case: (hop, nanoseconds).
const DEFAULTS: &[(HopKind, i64, &str)] = &[
    (
        HopKind::Nginx,
        60 * SECOND_NS,
        "proxy_read_timeout, nginx's default",
    ),
    (
        HopKind::Alb,
        60 * SECOND_NS,
        "idle_timeout.timeout_seconds, ALB's default",
    ),
    (
        HopKind::Envoy,
        300 * SECOND_NS,
        "stream_idle_timeout, Envoy's default",
    ),
];

/// Defaults that fit where not even the program is known (log-formats: nginx and ALB 60 s, Envoy 300 s, Cloudflare 100 s, CloudFront 600 s).
const ANYBODYS: &[(i64, &str)] = &[
    (60 * SECOND_NS, "60 s, the default of nginx and ALB"),
    (100 * SECOND_NS, "100 s, Cloudflare's"),
    (300 * SECOND_NS, "300 s, Envoy's default"),
    (600 * SECOND_NS, "600 s, CloudFront's"),
];

/// A silence this near to whole seconds may be a timer's: one in thirty is so by chance.
const WHOLE_NS: i64 = 16 * MILLI_NS;
/// The name of a time-out that only its round number speaks for.
pub(in crate::diagnose) const WHOLE: &str = "a whole number of seconds";

fn known(s: &Subject<'_>, row: &mut Row) {
    let mut candidates: Vec<NamedDuration> = Vec::new();
    let mut lifetimes: Vec<NamedDuration> = Vec::new();
    let mut witness = Witnesses::default();
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let mut records = Vec::new();
    let mut configured_hops: Vec<HopKind> = Vec::new();
    for settings in &s.context.settings {
        let on_path = s.c.hops.iter().any(|h| h.kind == settings.hop)
            || s.c.hops.iter().any(|h| h.kind == HopKind::Proxy)
            || s.c.hops.len() <= 2;
        // A capture from beyond a hop may not show it: its configuration still counts where nothing contradicts it.
        let Some(route) = settings
            .route(uri)
            .filter(|_| on_path || s.context.settings.len() <= 2)
        else {
            continue;
        };
        configured_hops.push(settings.hop);
        for t in &route.timeouts {
            let named = NamedDuration {
                ns: t.value_ns,
                name: name(
                    t,
                    s.context.paths.get(settings.source.0 as usize),
                    settings.hop,
                ),
                hop: settings.hop.name().to_owned(),
            };
            let record = crate::model::RecordRef {
                source: settings.source,
                ordinal: t.line.unwrap_or(0),
                start: 0,
                len: 0,
            };
            match t.kind {
                // It would have said so.
                TimeoutKind::Idle if denied(s, settings.hop) => {}
                TimeoutKind::Idle => {
                    witness = witness.and(CONFIG);
                    if t.line.is_some() {
                        records.push((record, None));
                    }
                    candidates.push(named);
                }
                TimeoutKind::Lifetime => lifetimes.push(named),
                _ => {}
            }
        }
    }
    let mut flagged =
        s.c.tunnels
            .iter()
            .filter(|t| t.hop == HopKind::Envoy && t.termination.is_some());
    if let Some(t) = flagged
        .clone()
        .find(|t| t.ended_by_age())
        .or(flagged.next())
    {
        row.set(
            "life.age_logged",
            shown(
                Value::Bool(t.ended_by_age()),
                PROXY_LOG,
                vec![(t.record, t.end)],
            ),
        );
    }
    let near_life = |r: &Recurring| s.c.duration_ns().is_some_and(|l| r.is_near(l));
    let caps = s.population.lives(s.place.proxy, s.c.client.ip);
    // Where no capture shows what crossed it last, a life as long as an idle time-out of its path is that of a connection that was silent.
    let silent = |r: &&Recurring| {
        let is_idle = |c: &NamedDuration| r.is_near(c.ns);
        s.c.silence_ns.is_none() && candidates.iter().any(is_idle)
    };
    for r in caps.iter().filter(|r| near_life(r)).filter(|r| !silent(r)) {
        lifetimes.push(NamedDuration {
            ns: r.ns,
            name: format!("lived by {} connections of this case", r.count),
            hop: String::new(),
        });
    }
    // What ended connections of a listener at that listener's hands says nothing of those that another hop ended.
    let own_listener = match s.c.closer.role {
        Role::Server => s.population.by_listener(&s.place.upstream),
        _ => &[],
    };
    let silences = s.population.recurring(s.place.proxy);
    let by_client = s.population.by_client(s.c.client.ip);
    for r in silences.iter().chain(by_client).chain(own_listener) {
        if candidates
            .iter()
            .any(|c| (c.ns - r.ns).abs() <= 500 * MILLI_NS)
        {
            continue;
        }
        witness = witness.and(POPULATION);
        candidates.push(NamedDuration {
            ns: r.ns,
            name: format!("seen {} times in this case", r.count),
            hop: String::new(),
        });
    }
    for r in s.population.one_way(s.place.proxy) {
        if !candidates
            .iter()
            .any(|c| (c.ns - r.ns).abs() <= 500 * MILLI_NS)
        {
            witness = witness.and(POPULATION);
            candidates.push(NamedDuration {
                ns: r.ns,
                name: format!("one direction silent, seen {} times in this case", r.count),
                hop: String::new(),
            });
        }
    }
    one_way(s, row);
    let unconfigured: Vec<HopKind> =
        s.c.hops
            .iter()
            .map(|h| h.kind)
            .filter(|k| k.is_proxy() && !configured_hops.contains(k))
            .collect();
    for (hop, ns, name) in DEFAULTS {
        if unconfigured.contains(hop) && !denied(s, *hop) {
            candidates.push(NamedDuration {
                ns: *ns,
                name: (*name).to_owned(),
                hop: hop.name().to_owned(),
            });
        }
    }
    if configured_hops.is_empty() {
        for (ns, name) in ANYBODYS {
            if !candidates.iter().any(|c| c.ns == *ns) {
                candidates.push(NamedDuration {
                    ns: *ns,
                    name: (*name).to_owned(),
                    hop: String::new(),
                });
            }
        }
    }
    let all_configured = !configured_hops.is_empty()
        && s.c
            .hops
            .iter()
            .filter(|h| h.kind.is_proxy())
            .all(|h| configured_hops.contains(&h.kind));
    room(s, row, &candidates, all_configured);
    lived_timer(s, row, &candidates);
    // A single silence of whole seconds may be a timer that nobody told of.
    if let Some(gap) = s.c.silence_ns.filter(|g| *g >= 2 * SECOND_NS) {
        let rounded = round_to_timer(gap);
        let whole = rounded % SECOND_NS == 0 && (gap - rounded).abs() <= WHOLE_NS;
        // What ended with others in one instant ended for what befell all of them.
        let alone = s.population.together(s.index, Of::All).count <= 1;
        let unexplained = !candidates
            .iter()
            .any(|c| (c.ns - gap).abs() <= 500 * MILLI_NS + gap / 50);
        if whole && alone && unexplained && configured_hops.is_empty() {
            candidates.push(NamedDuration {
                ns: rounded,
                name: WHOLE.to_owned(),
                hop: String::new(),
            });
        }
    }
    if !candidates.is_empty() {
        row.set(
            "timeouts.known",
            shown(Value::Durations(candidates), witness, records),
        );
    }
    if !lifetimes.is_empty() {
        let learnt = caps.iter().any(near_life);
        let of_lives = if learnt { POPULATION } else { CONFIG };
        row.set(
            "timeouts.lifetimes",
            shown(Value::Durations(lifetimes), of_lives, vec![]),
        );
    }
}

/// Whether an idle time-out can have come at all: only said where the path's time-outs are configured.
fn room(s: &Subject<'_>, row: &mut Row, candidates: &[NamedDuration], configured: bool) {
    let smallest = candidates.iter().map(|c| c.ns).min().filter(|_| configured);
    let life =
        s.c.duration_ns()
            .or_else(|| s.c.tunnels.iter().find_map(|t| t.life_ns));
    if own_idle(s).is_some() {
        // Its own timer is in no configuration.
        return;
    }
    if let (Some(t), Some(life)) = (smallest, life) {
        let tick =
            s.c.closed
                .map_or(0, |c| c.tick_ns)
                .max(s.c.opened.map_or(0, |o| o.tick_ns));
        row.set(
            "idle.had_room",
            shown(
                Value::Bool(life + tick + 300 * MILLI_NS >= t),
                CONFIG.and(PROXY_LOG),
                vec![],
            ),
        );
    }
}

/// A timer fires no earlier than it was set, and on a busy host this much later.
const FIRES_LATE_NS: i64 = 60 * MILLI_NS;
const FIRES_EARLY_NS: i64 = 3 * MILLI_NS;

/// A hop without flags logged a life that is, to the millisecond, one of its idle time-outs: how many of the case did so.
fn lived_timer(s: &Subject<'_>, row: &mut Row, candidates: &[NamedDuration]) {
    let found = s.c.tunnels.iter().find_map(|t| {
        let life = population::to_the_millisecond(t)?;
        let timer = candidates.iter().find(|n| {
            let late = life - n.ns;
            n.hop == t.hop.name() && (-FIRES_EARLY_NS..=FIRES_LATE_NS).contains(&late)
        })?;
        Some((t, timer.ns))
    });
    if let Some((t, ns)) = found {
        let count = s.population.lived(ns - FIRES_EARLY_NS, ns + FIRES_LATE_NS);
        row.set(
            "idle.lived_timer",
            shown(
                Value::Count(count as i64),
                PROXY_LOG.and(CONFIG),
                vec![(t.record, t.end)],
            ),
        );
    }
}

/// A hop that counts one direction only (CloudFront does): the same silence of one side ended several connections while the
/// other side went on.
fn one_way(s: &Subject<'_>, row: &mut Row) {
    let all = s.population.one_way(s.place.proxy);
    let recurs = |fact: &str| {
        let reading = row.get(fact)?;
        let Some(Value::Duration(ns)) = reading.value else {
            return None;
        };
        let hit = all.iter().any(|r| r.is_near(ns));
        hit.then(|| reading.records.clone())
    };
    let sides = [
        ("client", recurs("idle.gap_to_server")),
        ("server", recurs("idle.gap_to_client")),
    ];
    let found = sides
        .into_iter()
        .find_map(|(side, records)| Some((side, records?)));
    if let Some((side, records)) = found {
        row.set(
            "idle.silent_side",
            shown(Value::Word(side), CAPTURE.and(POPULATION), records.clone()),
        );
        row.set(
            "idle.one_way",
            shown(Value::Bool(true), CAPTURE.and(POPULATION), records),
        );
    }
}

/// A hop that writes into each line which of its timers ended it, and wrote of none here.
fn denied(s: &Subject<'_>, hop: HopKind) -> bool {
    let mut lines = s.c.tunnels.iter().filter(|t| t.hop == hop).peekable();
    matches!(hop, HopKind::Haproxy | HopKind::Envoy)
        && lines.peek().is_some()
        && lines.all(|t| t.ended_by_timer() == Some(false))
}

/// `proxy_read_timeout, nginx.conf:31`.
pub(in crate::diagnose) fn name(t: &Timeout, path: Option<&String>, hop: HopKind) -> String {
    match (t.line, path) {
        (Some(line), Some(path)) => format!("{}, {path}:{line}", t.directive),
        (Some(line), None) => format!("{}, line {line}", t.directive),
        (None, _) => format!("{}, {}'s default", t.directive, hop.name()),
    }
}
