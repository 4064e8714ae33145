//! Made-up populations -> the incidents that must be told of them, and those that must not.

use super::*;
use crate::diagnose::judge::judge;
use crate::diagnose::made_up::{Came, came};
use crate::diagnose::population::Population;
use crate::model::CaseContext;

const S: i64 = SECOND_NS;

/// Clients that open one a second, all lose their connection to a crash, and come back after these waits; the last try succeeds.
fn crash(clients: usize, waits: impl Fn(usize) -> Vec<i64>) -> Vec<Came> {
    let down = 60_000;
    let mut out = Vec::new();
    for n in 0..clients {
        let first = i64::try_from(n).unwrap() * 1_000;
        out.push(came(n, first, Some(down), Some(Cause::ServerCrash)));
        let mut at = down;
        let waits = waits(n);
        for (i, wait) in waits.iter().enumerate() {
            at += wait;
            let last = i + 1 == waits.len();
            out.push(if last {
                came(n, at, None, None)
            } else {
                came(n, at, Some(at + 1), Some(Cause::UpstreamUnavailable))
            });
            at += i64::from(!last);
        }
    }
    out
}

fn found(all: Vec<Came>) -> Vec<Incident> {
    let end = all.iter().map(|c| c.opened).max().unwrap_or(0) + 10_000;
    let judged: Vec<Judged> = all
        .into_iter()
        .enumerate()
        .map(|(n, c)| c.judged(n))
        .collect();
    let connections: Vec<Connection> = judged.iter().map(|j| j.connection.clone()).collect();
    let places = Population::survey(&connections, &CaseContext::default()).places;
    incidents(&judged, &places, Some((Moment(0), Moment(end * MILLI_NS))))
}

#[track_caller]
fn check(what: &str, all: Vec<Came>, kinds: &[&str]) -> Vec<Incident> {
    let found = found(all);
    let got: Vec<&str> = found.iter().map(|i| i.kind.as_str()).collect();
    assert_eq!(got, kinds, "{what}: {found:#?}");
    for incident in &found {
        assert!(incident.start <= incident.end, "{what}");
        assert!(!incident.connections.is_empty(), "{what}");
        assert!(incident.fix.iter().any(|f| f.contains('[')), "{what}");
    }
    found
}

/// Spread without a random source: a different fraction for each client and try.
fn jitter(client: usize, i: usize) -> i64 {
    i64::try_from((client * 7919 + i * 104_729) % 1_000).unwrap()
}

const BOTH: &[&str] = &["mass-drop", "reconnect-storm"];
const DROP: &[&str] = &["mass-drop"];

#[test]
fn storms_are_told_by_their_shape() {
    let constant = |_| vec![250; 9];
    check("tries without a growing wait", crash(12, constant), BOTH);
    check(
        "constant waits with jitter are no back-off",
        crash(12, |n| (0..9).map(|i| 200 + jitter(n, i) / 5).collect()),
        BOTH,
    );
    check(
        "doubling, with jitter of half a second to one",
        crash(40, |n| {
            (0..5).map(|i| (500 + jitter(n, i) / 2) << i).collect()
        }),
        DROP,
    );
    check(
        "doubling up to a ceiling in a long outage",
        crash(40, |n| {
            (0..30)
                .map(|i| ((1_000 + jitter(n, i)) << i.min(8)).min(30_000))
                .collect()
        }),
        DROP,
    );
    check("too few clients", crash(4, constant), DROP);
    check(
        "a gateway keeps each try waiting: two of them, at once after each end",
        crash(12, |n| {
            vec![150 + jitter(n, 0) / 20, 150 + jitter(n, 1) / 20]
        }),
        BOTH,
    );
    check(
        "two tries that double their wait, with jitter",
        crash(40, |n| {
            (0..2).map(|i| (500 + jitter(n, i) / 2) << i).collect()
        }),
        DROP,
    );
    check(
        "one try each, spread by jitter",
        crash(40, |n| vec![200 + jitter(n, 0) * 4]),
        DROP,
    );
    check(
        "a herd: one try each, in the same moment",
        crash(40, |n| vec![1_000 + jitter(n, 0) / 100]),
        BOTH,
    );
    check(
        "a slow constant retry is nothing out of the ordinary here",
        crash(6, |n| vec![20_000 + jitter(n, 0); 5]),
        DROP,
    );
    let mut coarse = crash(12, constant);
    coarse.iter_mut().for_each(|c| c.tick_ns = S);
    check("stamps of whole seconds", coarse, BOTH);
    let mut coarse = crash(40, |n| {
        (0..6).map(|i| (500 + jitter(n, i) / 2) << i).collect()
    });
    coarse.iter_mut().for_each(|c| c.tick_ns = S);
    check("back-off behind stamps of whole seconds", coarse, DROP);
}

#[test]
fn a_storm_is_one_story_with_its_members() {
    let found = check("storm", crash(12, |_| vec![250; 9]), BOTH);
    let storm = &found[1];
    assert_eq!(storm.connections.len(), 12 * 9);
    assert_eq!(storm.start.at, Moment(60_250 * MILLI_NS));
    for part in [
        "12 clients asked 108 times",
        "every 250 ms without jitter",
        "no back-off",
        "96 were refused",
        "W501 server-crash",
    ] {
        assert!(storm.say.contains(part), "no {part:?} in {:?}", storm.say);
    }
    assert!(storm.fix[0].contains("[X4]"));
}

#[test]
fn refusals_alone_make_a_storm_too() {
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(came(100 + n, i64::try_from(n).unwrap() * 5_000, None, None));
        for i in 0..8 {
            let at = 80_000 + i * 300 + i64::try_from(n).unwrap();
            all.push(came(n, at, Some(at + 2), Some(Cause::UpstreamUnavailable)));
        }
    }
    let found = check("nothing stood before", all, &["reconnect-storm"]);
    assert!(found[0].say.contains("with 502"), "{}", found[0].say);
}

#[test]
fn mass_drops_name_what_their_members_share() {
    let two = [Cause::ServerCrash; 2].map(Some);
    let of = |n: usize, cause: Option<Cause>, at: i64| came(n, 0, Some(at), cause);
    check(
        "two are a coincidence",
        vec![of(1, two[0], 9_000), of(2, two[1], 9_001)],
        &[],
    );
    check(
        "idle time-outs strike each at its own moment",
        (0..9)
            .map(|n| of(n, Some(Cause::IdleTimeout), 9_000))
            .collect(),
        &[],
    );
    check(
        "three ends without a cause, while many more went on",
        (0..30)
            .map(|n| {
                let gone = n < 3;
                came(
                    n,
                    0,
                    gone.then_some(9_000),
                    gone.then_some(Cause::Undecided),
                )
            })
            .collect(),
        &[],
    );
    let found = check(
        "three of a process, while many more went on",
        (0..30)
            .map(|n| {
                let gone = n < 3;
                came(
                    n,
                    0,
                    gone.then_some(9_000),
                    gone.then_some(Cause::ServerCrash),
                )
            })
            .collect(),
        DROP,
    );
    assert!(
        found[0]
            .say
            .starts_with("3 of 30 connections ended in the same instant")
    );
    assert_eq!(*found[0].fix[0], *"the drop's own fix");
    check(
        "a drain that takes its time",
        (0..6)
            .map(|n| {
                of(
                    n,
                    Some(Cause::ServerRestart),
                    9_000 + 900 * i64::try_from(n).unwrap(),
                )
            })
            .collect(),
        DROP,
    );
    check(
        "two crashes a minute apart",
        (0..8)
            .map(|n| {
                of(
                    n,
                    Some(Cause::ServerCrash),
                    if n < 4 { 9_000 } else { 69_000 },
                )
            })
            .collect(),
        &["mass-drop", "mass-drop"],
    );
}

#[test]
fn a_lost_network_is_known_by_those_who_went_on() {
    let clients = |inside_go_on: usize| -> Vec<Came> {
        (0..16)
            .map(|n| {
                let lost = n < 8;
                let gone = lost && n >= inside_go_on;
                let mut c = came(
                    n,
                    0,
                    gone.then_some(9_000 + i64::try_from(n).unwrap() * 100),
                    gone.then_some(Cause::MissedHeartbeat),
                );
                let n = u8::try_from(n).unwrap();
                c.ip = if lost {
                    [198, 51, 100, n]
                } else {
                    [203, 0, 113, n]
                };
                c
            })
            .collect()
    };
    let found = check("all of one network", clients(0), DROP);
    assert!(
        found[0].say.contains("the client network 198.51.100.0/24"),
        "{}",
        found[0].say
    );
    check("one of that network went on", clients(1), &[]);
}

/// Whatever comes, it is judged in bounded time and without a panic.
#[test]
fn odd_populations_are_borne() {
    assert!(
        judge(
            Vec::new(),
            &CaseContext::default(),
            &crate::diagnose::Pack::builtin(),
            None
        )
        .incidents
        .is_empty()
    );
    let mut odd = crash(12, |_| vec![0; 4]);
    for c in &mut odd {
        c.session = "the same for all".to_owned();
    }
    check("one token for everybody is one client", odd, DROP);
    let mut far = crash(6, |_| vec![250; 4]);
    far.push(came(1, i64::MAX / S, None, None));
    found(far);
}
