//! Made-up connections -> the findings that must be told of them, and those that must not.

use super::risk::upgrade_risks;
use super::stall::silent_stalls;
use super::*;
use crate::diagnose::made_up::{at, came, nginx, seen};
use crate::model::{Outcome, SECOND_NS, UpgradeSetting};

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
    cut.connection.closer.hop = Some("nginx".into());
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
        j.connection.request.uri = Some(uri.into());
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
