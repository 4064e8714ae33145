//! How often each client asked, and how long it waited in between -> reconnect storms, with their shape.

use super::{BACK_OFF, MassDrop, connections, ids, round};
use crate::diagnose::population::Place;
use crate::model::{Incident, Judged, MILLI_NS, Moment, Outcome, SECOND_NS, Stamp, say_duration};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// Two waits are the least that show a shape: those between three tries, or the one before the first of two and the one between them.
const TRIES: usize = 3;
/// So many clients without a back-off are felt by a server: a handful that asks once a second is not.
const STORMY: usize = 8;
/// From here on even a client with jitter shows its shape.
const MANY: usize = TRIES + 2;
/// Waits that grow by less than this from the first tries to the last ones do not back off (doubling gives 2 and more).
const GROWTH: f64 = 1.5;
/// A storm opens connections this many times faster than the rest of the case.
const ABOVE_BASELINE: f64 = 3.0;
/// Clients that come back within one and the same moment, with nothing that spreads them.
const HERD: usize = 20;
const HERD_ABOVE_BASELINE: f64 = 10.0;
/// Two tries further apart than this belong to different stories.
const STORY_NS: i64 = 5 * SECOND_NS;
/// A mass drop this long before the first try is what set it off.
const SET_OFF_NS: i64 = 60 * SECOND_NS;

const RESUME: &str =
    "let a reconnect resume its session by a token, so that coming back costs little [X5]";

/// One client's tries after one end: each followed a refusal, the first one a drop or a refusal.
struct Run {
    /// In order of time.
    tries: Vec<usize>,
    start: Moment,
    end: Moment,
    /// From the end before until the first try; `None` where the client came back before that end was noticed.
    first_wait: Option<i64>,
    /// Between the tries.
    waits: Vec<i64>,
    /// The coarsest stamp among them.
    tick_ns: i64,
    before: usize,
}

impl Run {
    /// The mean of the last waits and of the first ones; `None` before two waits are known, and where the stamps are too coarse.
    fn shape(&self) -> Option<(f64, f64)> {
        // A gateway that keeps each try waiting leaves few of them: the wait before the first counts where there is but one more.
        let first_too = self.waits.len() + 1 == TRIES - 1;
        let all: Vec<i64> = self
            .first_wait
            .filter(|_| first_too)
            .into_iter()
            .chain(self.waits.iter().copied())
            .collect();
        let n = all.len();
        if n < TRIES - 1 {
            return None;
        }
        let few = (n / 2).clamp(1, 2);
        let mean = |waits: &[i64]| waits.iter().sum::<i64>() as f64 / waits.len().max(1) as f64;
        let last = mean(all.get(n - n / 2..)?);
        let first = mean(all.get(..few)?);
        let tick = self.tick_ns as f64;
        if first >= 2.0 * tick {
            Some((last, first))
        } else if last - tick >= GROWTH * (first + tick) {
            Some((last, first + tick))
        } else {
            // Several tries fell into one tick at the end too: there the waits are shorter than any stamp can show.
            (self.tries.len() >= MANY && last < tick).then_some((tick, tick))
        }
    }

    fn backs_off(&self) -> Option<bool> {
        let (last, first) = self.shape()?;
        Some(last >= GROWTH * first)
    }
}

/// Who is the same client: the session, else the chain of reconnects, else an address that no two connections used at a time.
fn clients(all: &[Judged]) -> Vec<String> {
    let mut by_ip: HashMap<IpAddr, Vec<(Moment, Option<Moment>)>> = HashMap::new();
    for Judged { connection: c, .. } in all {
        if let (Some(ip), Some(o)) = (c.client.ip, c.opened) {
            by_ip
                .entry(ip)
                .or_default()
                .push((o.at, c.closed.map(|s| s.at)));
        }
    }
    let shared: BTreeSet<IpAddr> = by_ip
        .into_iter()
        .filter(|(_, spans)| {
            let mut spans = spans.clone();
            spans.sort_unstable();
            spans
                .windows(2)
                .any(|w| w[0].1.is_none_or(|end| end > w[1].0.plus(SECOND_NS)))
        })
        .map(|(ip, _)| ip)
        .collect();
    let mut keys: Vec<String> = Vec::with_capacity(all.len());
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (i, Judged { connection: c, .. }) in all.iter().enumerate() {
        let earlier = c
            .reconnect_of
            .as_deref()
            .and_then(|id| known.get(id))
            .and_then(|&at| keys.get(at))
            .cloned();
        let by_address = c
            .client
            .ip
            .filter(|ip| !shared.contains(ip))
            .map(|ip| format!("address {ip}"));
        let own = c.client.identity.as_ref().map(|id| format!("session {id}"));
        keys.push(
            own.or(earlier)
                .or(by_address)
                .unwrap_or_else(|| format!("connection {}", c.id)),
        );
        known.insert(&c.id, i);
    }
    keys
}

/// When it began; of a refused handshake an access log may tell the end only, which is all but the same.
fn asked(j: &Judged) -> Option<Stamp> {
    let failed = j.verdict.outcome == Outcome::FailedHandshake;
    j.connection
        .opened
        .or(j.connection.closed.filter(|_| failed))
}

fn runs(all: &[Judged]) -> Vec<Run> {
    let keys = clients(all);
    let mut by_client: BTreeMap<&str, Vec<(Stamp, usize)>> = BTreeMap::new();
    for ((i, j), key) in all.iter().enumerate().zip(&keys) {
        if let Some(at) = asked(j) {
            by_client.entry(key).or_default().push((at, i));
        }
    }
    let mut out: Vec<Run> = Vec::new();
    for tries in by_client.values_mut() {
        tries.sort_unstable();
        let mut open: Option<Run> = None;
        for pair in tries.windows(2) {
            let [(_, before), (at, i)] = *pair else {
                continue;
            };
            let Some(last) = all.get(before) else {
                continue;
            };
            let failed = last.verdict.outcome == Outcome::FailedHandshake;
            if !failed {
                // It stood: whatever came before is over, and a new story begins if it dropped.
                out.extend(open.take());
                if last.verdict.outcome != Outcome::Drop {
                    continue;
                }
            }
            let end = last.connection.closed.or(last.connection.opened);
            let wait = end.map(|e| at.at.since(e.at));
            let tick = at.tick_ns.max(end.map_or(0, |e| e.tick_ns));
            match &mut open {
                Some(run) => {
                    run.tries.push(i);
                    run.waits.push(wait.unwrap_or(0).max(0));
                    run.end = at.at;
                    run.tick_ns = run.tick_ns.max(tick);
                }
                None => {
                    open = Some(Run {
                        tries: vec![i],
                        start: at.at,
                        end: at.at,
                        first_wait: wait.filter(|w| *w >= 0),
                        waits: Vec::new(),
                        tick_ns: tick,
                        before,
                    });
                }
            }
        }
        out.extend(open);
    }
    out.sort_by_key(|r| (r.start, r.tries.clone()));
    out
}

pub(super) fn storms(
    all: &[Judged],
    places: &[Place],
    drops: &[MassDrop],
    window: Option<(Moment, Moment)>,
) -> Vec<Incident> {
    let mut stories: Vec<Vec<Run>> = Vec::new();
    let mut until = None;
    for run in runs(all) {
        let joins = until.is_some_and(|u: Moment| run.start <= u.plus(STORY_NS));
        until = Some(if joins {
            until.map_or(run.end, |u| u.max(run.end))
        } else {
            run.end
        });
        match stories.last_mut().filter(|_| joins) {
            Some(story) => story.push(run),
            None => stories.push(vec![run]),
        }
    }
    stories
        .iter()
        .filter_map(|story| storm(all, places, story, drops, window))
        .collect()
}

/// Tries per second from `start` to `end`, of `tries`, and of everything else in the case.
fn rates(
    all: &[Judged],
    window: Option<(Moment, Moment)>,
    (start, end): (Moment, Moment),
) -> (f64, f64) {
    let seconds = |ns: i64| ns.max(SECOND_NS) as f64 / SECOND_NS as f64;
    let (mut inside, mut outside) = (0_usize, 0_usize);
    for j in all {
        if let Some(o) = asked(j) {
            if start <= o.at && o.at <= end {
                inside += 1;
            } else {
                outside += 1;
            }
        }
    }
    let whole = window.map_or(0, |(from, to)| to.since(from));
    let during = end.since(start);
    (
        inside as f64 / seconds(during),
        outside as f64 / seconds(whole.saturating_sub(during)),
    )
}

fn storm(
    all: &[Judged],
    places: &[Place],
    story: &[Run],
    drops: &[MassDrop],
    window: Option<(Moment, Moment)>,
) -> Option<Incident> {
    let shaped: Vec<(&Run, bool)> = story
        .iter()
        .filter_map(|r| Some((r, r.backs_off()?)))
        .collect();
    let (last, first) = shaped
        .iter()
        .filter_map(|(r, _)| r.shape())
        .fold((0.0, 0.0), |(a, b), (l, f)| (a + l, b + f));
    let steady: Vec<&Run> = shaped
        .iter()
        .filter(|(_, backs_off)| !backs_off)
        .map(|(r, _)| *r)
        .collect();
    // All together, or many that tried for long: with jitter the few waits of a single client say little.
    let long = |r: &&Run| r.tries.len() >= MANY;
    let long_steady = steady.iter().copied().filter(long).count();
    let long_all = shaped.iter().map(|(r, _)| *r).filter(long).count();
    let no_back_off = steady.len() >= STORMY
        && (last < GROWTH * first || (long_steady >= STORMY && long_steady * 2 >= long_all));
    let herd = herd(story, drops);
    let members: Vec<&Run> = if no_back_off {
        steady
    } else {
        herd.as_ref().map(|h| h.0.clone())?
    };
    let start = members.iter().map(|r| r.start).min()?;
    let end = members
        .iter()
        .map(|r| if no_back_off { r.end } else { r.start })
        .max()?;
    let (rate, baseline) = rates(all, window, (start, end));
    let factor = if no_back_off {
        ABOVE_BASELINE
    } else {
        HERD_ABOVE_BASELINE
    };
    if rate < 1.0 || rate < factor * baseline {
        return None;
    }
    let tries: BTreeSet<usize> = members
        .iter()
        .flat_map(|r| {
            r.tries
                .iter()
                .copied()
                .take(if no_back_off { usize::MAX } else { 1 })
        })
        .collect();
    let refused = tries
        .iter()
        .filter(|&&i| {
            all.get(i)
                .is_some_and(|j| j.verdict.outcome == Outcome::FailedHandshake)
        })
        .count();
    let shape = if no_back_off {
        let mut waits: Vec<i64> = members.iter().flat_map(|r| &r.waits).copied().collect();
        waits.sort_unstable();
        let middle = waits.get(waits.len() / 2).copied().unwrap_or(0);
        let tick = members.iter().map(|r| r.tick_ns).max().unwrap_or(0);
        if middle >= 2 * tick {
            format!(
                "about every {}{}, the last wait no longer than the first: no back-off",
                say_duration(round(middle)),
                spread(&waits, middle),
            )
        } else {
            "as fast at the end as at the beginning: no back-off".to_owned()
        }
    } else {
        let wait = herd.map_or(0, |h| h.1);
        format!(
            "all {} after they were dropped: no jitter",
            say_duration(round(wait))
        )
    };
    let stamp = |at: Moment| {
        let tick = members.iter().map(|r| r.tick_ns).max().unwrap_or(MILLI_NS);
        Stamp::new(at, tick)
    };
    let per_second = |r: f64| {
        if r >= 10.0 {
            format!("{r:.0}")
        } else {
            format!("{r:.1}")
        }
    };
    let cause = set_off(all, places, &members, drops, start);
    let say = format!(
        "{} clients asked {} times within {}, {shape}; {} connections a second where the rest of the case has {}; \
         {refused} were refused; {cause}",
        members.len(),
        tries.len(),
        say_duration(round(end.since(start).max(MILLI_NS))),
        per_second(rate),
        per_second(baseline),
    );
    Some(Incident {
        code: "W701".to_owned(),
        kind: "reconnect-storm".to_owned(),
        start: stamp(start),
        end: stamp(end),
        connections: ids(all, &tries),
        say,
        fix: vec![BACK_OFF.into(), RESUME.into()],
    })
}

/// How far the waits lie around their middle one, leaving out the tenth at either end: jitter, or none.
fn spread(sorted: &[i64], middle: i64) -> String {
    let n = sorted.len();
    let at = |i: usize| sorted.get(i).copied().unwrap_or(middle);
    let half = (at(n.saturating_sub(1 + n / 10)) - at(n / 10)) / 2;
    match half * 100 / middle.max(1) {
        0..5 => " without jitter".to_owned(),
        percent => format!(" with a jitter of {percent} % either way"),
    }
}

/// Clients of one mass drop that came back in one moment, and how long after it. Stamps of whole seconds cannot show it.
fn herd<'a>(story: &'a [Run], drops: &[MassDrop]) -> Option<(Vec<&'a Run>, i64)> {
    drops.iter().find_map(|d| {
        let mut back: Vec<(i64, &Run)> = story
            .iter()
            .filter(|r| d.members.contains(&r.before) && r.tick_ns < 100 * MILLI_NS)
            .filter_map(|r| Some((r.first_wait?, r)))
            .collect();
        back.sort_by_key(|(wait, r)| (*wait, r.start));
        let n = back.len();
        let at = |i: usize| back.get(i).map(|(wait, _)| *wait);
        let (low, middle, high) = (at(n / 10)?, at(n / 2)?, at(n.checked_sub(1 + n / 10)?)?);
        let together = high - low <= (middle / 10).max(50 * MILLI_NS);
        (n >= HERD && n * 2 >= d.members.len() && together)
            .then(|| (back.iter().map(|(_, r)| *r).collect(), middle))
    })
}

/// What the storm came after.
fn set_off(
    all: &[Judged],
    places: &[Place],
    members: &[&Run],
    drops: &[MassDrop],
    start: Moment,
) -> String {
    let earlier = drops.iter().filter(|d| {
        let before = start.since(d.incident.start.at);
        (0..=SET_OFF_NS).contains(&before) && members.iter().any(|r| d.members.contains(&r.before))
    });
    if let Some(d) = earlier.max_by_key(|d| (d.incident.start, d.cause)) {
        let before = start.since(d.incident.start.at);
        let when = if before < d.incident.start.tick_ns.max(MILLI_NS) {
            "just".to_owned()
        } else {
            say_duration(round(before))
        };
        return format!(
            "after the drop of {} ({} {}) {when} before",
            connections(d.members.len()),
            d.cause.code(),
            d.cause.id(),
        );
    }
    let mut answers: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    for i in members.iter().flat_map(|r| &r.tries) {
        let refused = all
            .get(*i)
            .is_some_and(|j| j.verdict.outcome == Outcome::FailedHandshake);
        if let Some(p) = places.get(*i).filter(|_| refused) {
            *answers.entry(p.status).or_default() += 1;
        }
    }
    match answers.into_iter().max_by_key(|&(status, n)| (n, status)) {
        Some((Some(status), n)) => {
            format!("after handshakes that were refused ({n} with {status})")
        }
        Some((None, n)) => format!("after handshakes that were not answered ({n})"),
        None => "what set it off is not in the evidence".to_owned(),
    }
}
