//! Judged connections and a change of a ping or a time-out -> which of the drops would not have happened, from the silences measured.

use super::findings::{Heartbeat, heartbeat, idle_timeouts};
use super::population::round_to_timer;
use crate::model::{
    CaseContext, Cause, Connection, ConnectionId, HopKind, Judged, Moment, Outcome, SECOND_NS,
    say_duration,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What is imagined to be different.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// The server pings every so many nanoseconds, and each ping is answered.
    pub ping_ns: Option<i64>,
    /// Idle time-outs by the name of the hop, in nanoseconds.
    pub timeouts: Vec<(String, i64)>,
}

/// What would have become of one drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It would not have happened, as far as the evidence reaches.
    Averted,
    /// The silence would have been shorter than the time-out, and by too little to rely on (runbook row H1).
    Race,
    /// It would have come later, or not at all: what would have been sent in that time is not known.
    PutOff,
    Remains,
}

impl Fate {
    pub const ALL: [Self; 4] = [Self::Averted, Self::Race, Self::PutOff, Self::Remains];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Averted => "averted",
            Self::Race => "race",
            Self::PutOff => "put-off",
            Self::Remains => "remains",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    pub id: ConnectionId,
    pub cause: Cause,
    /// It never upgraded.
    pub failed: bool,
    pub fate: Fate,
    /// The silence that ended it, and the time-out inferred, nanoseconds.
    pub silence_ns: Option<i64>,
    pub timeout_ns: Option<i64>,
    /// The hop whose time-out it was, where one is named.
    pub hop: Option<String>,
    /// One clause, the same for all drops that it is true of.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WhatIf {
    /// Every drop and failed handshake of the case, in its order.
    pub outlooks: Vec<Outlook>,
    /// Names of hops that a time-out can be given for, ascending.
    pub hops: BTreeSet<String>,
}

impl WhatIf {
    pub fn count(&self, fate: Fate) -> usize {
        self.outlooks.iter().filter(|o| o.fate == fate).count()
    }

    /// The time-outs that struck: hop, nanoseconds, drops, the shortest and the longest silence measured. Most drops first.
    pub fn struck(&self) -> Vec<Struck> {
        let mut found: BTreeMap<(String, i64), (usize, Option<(i64, i64)>)> = BTreeMap::new();
        let idle = self
            .outlooks
            .iter()
            .filter(|o| o.cause == Cause::IdleTimeout);
        for o in idle {
            let Some(timeout) = o.timeout_ns else {
                continue;
            };
            let hop = o.hop.clone().unwrap_or_default();
            let (drops, span) = found.entry((hop, timeout)).or_default();
            *drops += 1;
            if let Some(ns) = o.silence_ns {
                let (least, most) = span.unwrap_or((ns, ns));
                *span = Some((least.min(ns), most.max(ns)));
            }
        }
        let mut out: Vec<Struck> = found
            .into_iter()
            .map(|((hop, timeout_ns), (drops, silences))| Struck {
                hop,
                timeout_ns,
                drops,
                silences,
            })
            .collect();
        out.sort_by_key(|s| std::cmp::Reverse(s.drops));
        out
    }

    /// The longest period of a ping that is under half of every time-out that struck.
    pub fn period_ns(&self) -> Option<i64> {
        self.struck().iter().map(|s| s.timeout_ns / 2).min()
    }
}

/// A time-out that ended connections of the case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// Empty where no source names it.
    pub hop: String,
    pub timeout_ns: i64,
    pub drops: usize,
    /// The shortest and the longest silence before its closes, nanoseconds.
    pub silences: Option<(i64, i64)>,
}

pub fn what_if(all: &[Judged], context: &CaseContext, changes: &Changes) -> WhatIf {
    let mut out = WhatIf::default();
    for settings in context.settings.iter().filter(|s| s.hop != HopKind::Proxy) {
        out.hops.insert(settings.hop.name().to_owned());
    }
    for j in all {
        let proxies = j.connection.hops.iter().filter(|h| h.kind.is_proxy());
        out.hops.extend(proxies.map(|h| h.name.to_string()));
        let Some(cause) = j.verdict.cause else {
            continue;
        };
        let (fate, why) = match j.verdict.outcome {
            Outcome::Drop => drop(j, cause, context, changes),
            Outcome::FailedHandshake => (
                Fate::Remains,
                "it never upgraded: neither pings nor an idle time-out had a part in it".to_owned(),
            ),
            Outcome::Clean | Outcome::Open => continue,
        };
        out.outlooks.push(Outlook {
            id: j.connection.id.clone(),
            cause,
            failed: j.verdict.outcome == Outcome::FailedHandshake,
            fate,
            silence_ns: j.connection.silence_ns,
            timeout_ns: j.verdict.timeout_ns,
            hop: j.connection.closer.hop.clone().map(Cow::into_owned),
            why,
        });
    }
    out
}

fn drop(j: &Judged, cause: Cause, context: &CaseContext, changes: &Changes) -> (Fate, String) {
    match cause {
        Cause::IdleTimeout => idle(j, context, changes),
        Cause::MiddleboxExpiry => expiry(j, changes),
        Cause::ClientHeartbeatTimeout => client_timer(j, changes),
        Cause::LifetimeCap => remains("it was cut at a fixed age, whatever flowed"),
        Cause::MissedHeartbeat
        | Cause::ClientNetworkChange
        | Cause::ClientVanished
        | Cause::HalfOpenDuplicate => {
            remains("its client was gone or frozen: nobody was there to answer")
        }
        Cause::Undecided => remains("its cause is not known"),
        _ => remains("no silence ended it"),
    }
}

fn remains(why: &str) -> (Fate, String) {
    (Fate::Remains, why.to_owned())
}

/// An idle time-out: what the smallest time-out of the path would be, and how long the silences under it.
fn idle(j: &Judged, context: &CaseContext, changes: &Changes) -> (Fate, String) {
    let c = &j.connection;
    let Some(hit) = j.verdict.timeout_ns.or(c.silence_ns) else {
        return remains("no source shows how long it was silent");
    };
    let closer = c.closer.hop.clone().unwrap_or_default();
    let mut path: BTreeMap<String, i64> = BTreeMap::new();
    // A hop whose program is not known goes by the name that it was given.
    let named = |kind: HopKind| {
        let of_kind = c.hops.iter().find(|h| h.kind == kind);
        match of_kind.filter(|_| kind == HopKind::Proxy) {
            Some(hop) => hop.name.clone(),
            None => kind.name().into(),
        }
    };
    for t in idle_timeouts(c, context) {
        let least = path
            .entry(named(t.settings.hop).to_string())
            .or_insert(t.timeout.value_ns);
        *least = (*least).min(t.timeout.value_ns);
    }
    // What struck is what is in force, whatever a file says.
    path.retain(|_, ns| *ns >= hit);
    path.insert(closer.to_string(), hit);
    for (hop, ns) in &changes.timeouts {
        if let Some(old) = path.get_mut(hop) {
            *old = *ns;
        }
    }
    let Some((next, hop)) = path.into_iter().map(|(hop, ns)| (ns, hop)).min() else {
        return remains("no time-out is known on its path");
    };
    let hop = if hop.is_empty() {
        "a hop".to_owned()
    } else {
        hop
    };
    let one_way = j
        .verdict
        .contributing
        .iter()
        .any(|t| t == "heartbeat-one-way");
    let beat = heartbeat(c);
    match wait(c, beat, one_way, changes) {
        Wait::Every(ns) => under(ns, next, &hop),
        Wait::Unknown(why) if next <= hit => remains(&why),
        Wait::Unknown(_) => later(c, next - hit, &hop, next, context),
    }
}

enum Wait {
    /// Something is sent at least this often.
    Every(i64),
    /// What would have been sent after the silence that was cut short is not known, and why the change does not tell.
    Unknown(String),
}

fn wait(c: &Connection, beat: Option<Heartbeat>, one_way: bool, changes: &Changes) -> Wait {
    if one_way {
        return Wait::Unknown(
            "pings flowed already, and nothing came back in the direction that the hop counts: they have to be answered".to_owned(),
        );
    }
    let running = beat.filter(|b| {
        // A heartbeat that had stopped before the end keeps nothing alive.
        let end = c.closed.map(|s| s.at);
        end.is_none_or(|end| end.since(b.last) <= b.period_ns + b.period_ns / 2)
    });
    match (changes.ping_ns, beat, running) {
        (Some(ping), Some(b), None) if b.period_ns <= ping => Wait::Unknown(
            "pings flowed at least that often and stopped: their period is not what failed"
                .to_owned(),
        ),
        (Some(ping), _, Some(b)) => Wait::Every(ping.min(round_to_timer(b.period_ns))),
        (Some(ping), _, None) => Wait::Every(ping),
        (None, _, Some(b)) => Wait::Every(round_to_timer(b.period_ns)),
        (None, ..) => Wait::Unknown("the time-out that struck stays as it is".to_owned()),
    }
}

/// Something every `ns`, under a time-out of `limit`: half is safe, more is a race (runbook rows H1, H2).
fn under(ns: i64, limit: i64, hop: &str) -> (Fate, String) {
    let (every, limit_said) = (say_duration(ns), say_duration(limit));
    if ns.saturating_mul(2) <= limit {
        (
            Fate::Averted,
            format!("a ping every {every} leaves {hop}'s {limit_said} room enough"),
        )
    } else if ns < limit {
        (
            Fate::Race,
            format!(
                "a ping every {every} is more than half of {hop}'s {limit_said}: a late one is too late"
            ),
        )
    } else {
        (
            Fate::Remains,
            format!("a ping every {every} comes too late for {hop}'s {limit_said}"),
        )
    }
}

/// Without a heartbeat only this is known: it would have stood so much longer.
fn later(
    c: &Connection,
    by_ns: i64,
    hop: &str,
    next: i64,
    context: &CaseContext,
) -> (Fate, String) {
    let until = c.closed.map(|s| s.at.plus(by_ns));
    let end: Option<Moment> = context.window.map(|w| w.1);
    match (until, end) {
        (Some(until), Some(end)) if until > end => (
            Fate::PutOff,
            format!(
                "{hop} would still wait when the evidence ends; whether something is sent within its {} is not known",
                say_duration(next)
            ),
        ),
        _ => (
            Fate::PutOff,
            format!(
                "{hop} would have waited {} longer; what was sent in that time is not known",
                say_duration(by_ns)
            ),
        ),
    }
}

/// A table on the way forgot it: within the silence, nobody knows when.
fn expiry(j: &Judged, changes: &Changes) -> (Fate, String) {
    let Some(ping) = changes.ping_ns else {
        return remains("a table on the way forgot it, which no hop's time-out changes");
    };
    if let Some(limit) = j.verdict.timeout_ns {
        return under(ping, limit, "the table on the way");
    }
    match j.connection.silence_ns {
        Some(silence) if ping < silence => (
            Fate::Race,
            "a table on the way forgot it somewhere in a silence longer than that period: when, is not known"
                .to_owned(),
        ),
        Some(_) => remains("the silence in which a table on the way forgot it was shorter than that period"),
        None => remains("no source shows how long it was silent"),
    }
}

/// The client itself waits for something from the server.
fn client_timer(j: &Judged, changes: &Changes) -> (Fate, String) {
    let Some(ping) = changes.ping_ns else {
        return remains("the client's own timer ended it, which no hop's time-out changes");
    };
    if heartbeat(&j.connection).is_some_and(|b| b.period_ns <= ping) {
        return remains(
            "pings flowed at least that often and stopped: their period is not what failed",
        );
    }
    match j.verdict.timeout_ns.or(j.connection.silence_ns) {
        Some(limit) if limit > SECOND_NS / 10 => under(ping, limit, "the client"),
        _ => remains("no source shows how long the client waited"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::made_up::{at, came, nginx, seen};

    /// A connection that nginx's 60 s ended, with pings every `period` seconds until its end or until `stopped`.
    fn idle_drop(period_s: Option<i64>, stopped: bool) -> Judged {
        let mut j = came(1, 0, Some(300_000), Some(Cause::IdleTimeout)).judged(1);
        j.connection.closer.hop = Some("nginx".into());
        j.connection.silence_ns = Some(60 * SECOND_NS);
        j.verdict.timeout_ns = Some(60 * SECOND_NS);
        if let Some(period) = period_s {
            let last = if stopped { 100_000 } else { 299_000 };
            let pings: Vec<(i64, bool)> = (1..)
                .map(|n| (n * period * 1_000, true))
                .take_while(|p| p.0 < last)
                .collect();
            j.connection.legs.push(seen(&[], &pings));
        }
        j
    }

    fn context(end_s: i64) -> CaseContext {
        CaseContext {
            settings: vec![nginx(60_000, true)],
            paths: vec!["nginx.conf".to_owned()],
            window: Some((at(0), at(end_s * 1_000))),
            ..CaseContext::default()
        }
    }

    fn changes(ping_s: Option<i64>, nginx_s: Option<i64>) -> Changes {
        Changes {
            ping_ns: ping_s.map(|s| s * SECOND_NS),
            timeouts: nginx_s
                .map(|s| ("nginx".to_owned(), s * SECOND_NS))
                .into_iter()
                .collect(),
        }
    }

    #[track_caller]
    fn check(what: &str, j: Judged, ping_s: Option<i64>, nginx_s: Option<i64>, fate: Fate) {
        let found = what_if(&[j], &context(1_000), &changes(ping_s, nginx_s));
        let [outlook] = found.outlooks.as_slice() else {
            panic!("{what}: {found:?}");
        };
        assert_eq!(outlook.fate, fate, "{what}: {}", outlook.why);
        assert!(found.hops.contains("nginx"), "{what}");
    }

    #[test]
    fn an_idle_time_out_under_other_circumstances() {
        use Fate::{Averted, PutOff, Race, Remains};
        let silent = || idle_drop(None, false);
        check("ping under half", silent(), Some(25), None, Averted);
        check("half", silent(), Some(30), None, Averted);
        check("more than half", silent(), Some(40), None, Race);
        check("as long as the time-out", silent(), Some(60), None, Remains);
        check(
            "longer time-out, no heartbeat",
            silent(),
            None,
            Some(300),
            PutOff,
        );
        check(
            "time-out beyond the evidence",
            silent(),
            None,
            Some(3_600),
            PutOff,
        );
        check("both", silent(), Some(40), Some(300), Averted);
        check("shorter time-out", silent(), None, Some(30), Remains);
        check("shorter time-out, ping", silent(), Some(25), Some(30), Race);
        check(
            "slow pings that flow",
            idle_drop(Some(70), false),
            None,
            Some(300),
            Averted,
        );
        check(
            "slow pings, a little longer",
            idle_drop(Some(70), false),
            None,
            Some(100),
            Race,
        );
        check(
            "slow pings, faster ones",
            idle_drop(Some(70), false),
            Some(25),
            None,
            Averted,
        );
        check(
            "pings that stopped",
            idle_drop(Some(20), true),
            Some(25),
            None,
            Remains,
        );
        let mut one_way = idle_drop(Some(20), false);
        one_way.verdict.contributing = vec!["heartbeat-one-way".to_owned()];
        check("pings that do not count", one_way, Some(10), None, Remains);
    }

    #[test]
    fn another_hop_on_the_path_is_the_next_to_close() {
        let mut far = nginx(90_000, true);
        far.hop = HopKind::Haproxy;
        let mut context = context(10_000);
        context.settings.push(far);
        let found = what_if(
            &[idle_drop(None, false)],
            &context,
            &changes(None, Some(3_600)),
        );
        assert_eq!(found.outlooks[0].fate, Fate::PutOff);
        assert!(
            found.outlooks[0]
                .why
                .starts_with("haproxy would have waited 30 s longer"),
            "{}",
            found.outlooks[0].why
        );
        assert_eq!(found.hops.iter().collect::<Vec<_>>(), ["haproxy", "nginx"]);
    }

    #[test]
    fn other_causes_are_told_as_they_are() {
        use Fate::{Averted, Race, Remains};
        let of = |cause: Cause, timeout_s: Option<i64>| {
            let mut j = idle_drop(None, false);
            j.verdict.cause = Some(cause);
            j.verdict.timeout_ns = timeout_s.map(|s| s * SECOND_NS);
            j
        };
        check(
            "a crash",
            of(Cause::ServerCrash, None),
            Some(5),
            None,
            Remains,
        );
        check(
            "a client that is gone",
            of(Cause::ClientVanished, None),
            Some(5),
            None,
            Remains,
        );
        check(
            "a table that forgot",
            of(Cause::MiddleboxExpiry, None),
            Some(25),
            None,
            Race,
        );
        check(
            "a table that is known",
            of(Cause::MiddleboxExpiry, Some(350)),
            Some(25),
            None,
            Averted,
        );
        check(
            "a table, and nginx",
            of(Cause::MiddleboxExpiry, None),
            None,
            Some(900),
            Remains,
        );
        check(
            "the client's timer",
            of(Cause::ClientHeartbeatTimeout, Some(45)),
            Some(20),
            None,
            Averted,
        );
        let mut failed = came(2, 0, Some(1), Some(Cause::UpstreamUnavailable)).judged(2);
        failed.connection.closer.hop = Some("nginx".into());
        check("a handshake", failed, Some(5), Some(900), Remains);
        let clean = came(3, 0, Some(9), None).judged(3);
        assert_eq!(
            what_if(&[clean], &context(10), &changes(Some(1), None)).outlooks,
            []
        );
    }
}
