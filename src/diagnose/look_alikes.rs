//! Situations that look alike, by name -> the cause that each has to come out as, and the one it must not be taken for.

use super::eval::weigh;
use super::fact::{NamedDuration, Reading, Row, Value, Witnesses};
use super::pack::Pack;
use crate::model::{Cause, SECOND_NS, Tier};

/// A value as the table writes it.
#[derive(Clone, Copy)]
enum V {
    Yes,
    No,
    Is(&'static str),
    Secs(f64),
    Num(i64),
    Of(&'static [f64]),
}

use V::{Is, No, Num, Of, Secs, Yes};

fn ns(seconds: f64) -> i64 {
    (seconds * SECOND_NS as f64) as i64
}

fn row(facts: &[(&'static str, V)]) -> Row {
    let mut row = Row::new();
    for (name, value) in facts {
        let named = |s: &f64| NamedDuration {
            ns: ns(*s),
            name: "a time-out".to_owned(),
            hop: "nginx".to_owned(),
        };
        let value = match *value {
            Yes => Value::Bool(true),
            No => Value::Bool(false),
            Is(word) => Value::Word(word),
            Secs(s) => Value::Duration(ns(s)),
            Num(n) => Value::Count(n),
            Of(all) => Value::Durations(all.iter().map(named).collect()),
        };
        row.set(
            name,
            Reading {
                value: Some(value),
                records: Vec::new(),
                witness: Witnesses {
                    capture: true,
                    ..Witnesses::default()
                },
            },
        );
    }
    row
}

/// A situation: its name, what it is, what it looks like, what is seen.
type Situation = (&'static str, Cause, Cause, &'static [(&'static str, V)]);

use Cause::{
    ClientAbort, ClientNetworkChange, ClientVanished, HalfOpenDuplicate, HandshakeRejected,
    HandshakeTimeout, IdleTimeout, InjectedReset, LifetimeCap, MiddleboxExpiry, MissedHeartbeat,
    MissingUpgrade, ProxyRestart, ResourceExhaustion, ServerCrash, ServerRestart, SlowConsumer,
    UpstreamUnavailable,
};

#[rustfmt::skip]
const SITUATIONS: &[Situation] = &[
    // idle time-out, expiry in a middlebox, cap on the life, missed heartbeat
    ("silent for the proxy's time-out, then its FIN", IdleTimeout, MiddleboxExpiry, &[
        ("idle.gap_before_close", Secs(60.01)), ("timeouts.known", Of(&[60.0])), ("close.side", Is("proxy")), ("close.how", Is("fin")),
        ("close.frame", No), ("close.reset_after_silence", No), ("traffic.flowing", No)]),
    ("silent for longer than any time-out known, then a RST to the next payload", MiddleboxExpiry, IdleTimeout, &[
        ("close.reset_after_silence", Yes), ("middlebox.silence", Secs(412.0)), ("close.how", Is("rst")), ("close.side", Is("network")),
        ("close.frame", No), ("timeouts.known", Of(&[60.0])), ("idle.gap_before_close", Secs(0.001))]),
    ("a firewall refused its packets until the server gave up on it", MiddleboxExpiry, MissedHeartbeat, &[
        ("middlebox.forgot", Yes), ("heartbeat.miss_logged", Yes), ("close.side", Is("server")), ("close.how", Is("fin")), ("close.frame", No)]),
    ("a connection table forgot it, and nobody ever noticed", MiddleboxExpiry, ClientVanished, &[
        ("middlebox.forgot", Yes), ("client.unacked", Yes), ("client.returned", No), ("close.side", Is("none")), ("close.how", Is("silent")),
        ("close.frame", No)]),
    ("the table kept it to its end, and the client is gone", ClientVanished, MiddleboxExpiry, &[
        ("middlebox.forgot", No), ("client.unacked", Yes), ("client.returned", No), ("close.side", Is("none")), ("close.frame", No)]),
    ("cut at a whole hour with messages on their way", LifetimeCap, IdleTimeout, &[
        ("life.total", Secs(3600.2)), ("timeouts.lifetimes", Of(&[3600.0])), ("timeouts.known", Of(&[60.0])), ("idle.gap_before_close", Secs(0.1)),
        ("traffic.flowing", Yes), ("close.side", Is("proxy")), ("close.frame", No)]),
    ("the silence is that of the ping that nobody answered", MissedHeartbeat, IdleTimeout, &[
        ("idle.gap_before_close", Secs(30.0)), ("timeouts.known", Of(&[30.0, 60.0])), ("heartbeat.seen", Yes), ("heartbeat.from", Is("server")),
        ("heartbeat.period", Secs(30.0)), ("heartbeat.unanswered", Num(1)), ("heartbeat.unanswered_for", Secs(30.0)), ("close.side", Is("server")),
        ("close.frame", No)]),
    ("a RST in the middle of traffic that neither end sent", InjectedReset, MiddleboxExpiry, &[
        ("close.reset_after_silence", No), ("close.reset_foreign", Yes), ("close.how", Is("rst")), ("close.side", Is("network")),
        ("close.frame", No)]),
    // crash, drain, restart of a proxy, terminate()
    ("FINs of all sockets of one process, then refused connects", ServerCrash, ServerRestart, &[
        ("server.refused_after", Yes), ("server.ended_together", Num(9)), ("close.side", Is("server")), ("close.frame", No)]),
    ("the same after Close frames with 1001", ServerRestart, ServerCrash, &[
        ("close.frame", Yes), ("close.code", Num(1001)), ("close.first_from", Is("server")), ("server.ended_together", Num(12))]),
    ("FINs of the proxy to clients of every upstream, and a reload in its log", ProxyRestart, ServerCrash, &[
        ("proxy.restarting", Yes), ("proxy.ended_together", Num(20)), ("close.side", Is("proxy")), ("close.frame", No), ("server.died", No)]),
    ("several FINs of the server in one instant, each for a peer that missed its pongs", MissedHeartbeat, ServerCrash, &[
        ("heartbeat.miss_logged", Yes), ("heartbeat.seen", Yes), ("heartbeat.from", Is("server")), ("heartbeat.unanswered", Num(2)),
        ("heartbeat.period", Secs(30.0)), ("heartbeat.unanswered_for", Secs(60.0)), ("server.ended_together", Num(3)), ("close.side", Is("server")),
        ("close.frame", No), ("close.logged_by_server", Yes), ("client.returned_elsewhere", No)]),
    ("an idle time-out of several at once, opened together", IdleTimeout, ProxyRestart, &[
        ("idle.gap_before_close", Secs(7.0)), ("timeouts.known", Of(&[7.0])), ("proxy.ended_together", Num(8)), ("close.side", Is("proxy")),
        ("close.how", Is("fin")), ("close.frame", No)]),
    // client frozen, gone, moved
    ("its kernel acknowledges, its application says nothing", MissedHeartbeat, ClientVanished, &[
        ("heartbeat.unanswered", Num(1)), ("heartbeat.unanswered_for", Secs(2.0)), ("heartbeat.period", Secs(2.0)), ("heartbeat.from", Is("server")),
        ("client.acks_only", Yes), ("client.unacked", No), ("close.side", Is("server"))]),
    ("nothing is acknowledged any more, and nobody comes back", ClientVanished, MissedHeartbeat, &[
        ("client.unacked", Yes), ("client.returned", No), ("close.side", Is("none")), ("close.how", Is("silent"))]),
    ("the same user is back from another address while the old socket stands", ClientNetworkChange, MissedHeartbeat, &[
        ("client.returned_elsewhere", Yes), ("client.returned_before_end", Yes), ("client.unacked", Yes), ("close.side", Is("server")),
        ("close.frame", No), ("heartbeat.unanswered", Num(1))]),
    ("the same user is back from the same address while the old socket stands", HalfOpenDuplicate, ClientNetworkChange, &[
        ("client.returned", Yes), ("client.returned_before_end", Yes), ("client.returned_elsewhere", No), ("half_open.at_server", Yes),
        ("close.side", Is("none"))]),
    ("the client's own FIN, without a Close", ClientAbort, ClientVanished, &[
        ("close.side", Is("client")), ("close.how", Is("fin")), ("close.frame", No)]),
    // slow consumer
    ("a window of zero for seconds, then the server's FIN", SlowConsumer, MissedHeartbeat, &[
        ("client.zero_window", Secs(8.0)), ("close.side", Is("server")), ("close.frame", No)]),
    // handshakes
    ("502: the upstream refused the connect", UpstreamUnavailable, ResourceExhaustion, &[
        ("handshake.result", Is("refused")), ("handshake.status", Num(502)), ("handshake.upstream", Is("refused")), ("handshake.from_server", No)]),
    ("502: the upstream took the connect, and dropped it while others lived on", ResourceExhaustion, UpstreamUnavailable, &[
        ("handshake.result", Is("refused")), ("handshake.status", Num(502)), ("handshake.upstream", Is("closed-early")), ("handshake.turned_away", Yes)]),
    ("401 by the application, whose hop passes upgrades on", HandshakeRejected, MissingUpgrade, &[
        ("handshake.result", Is("refused")), ("handshake.status", Num(401)), ("handshake.from_server", Yes), ("handshake.upgrade_passed", Yes)]),
    ("504: the upstream took the connect and never answered", HandshakeTimeout, UpstreamUnavailable, &[
        ("handshake.result", Is("refused")), ("handshake.status", Num(504)), ("handshake.upstream", Is("timed-out")), ("handshake.waited", Secs(60.0))]),
];

#[test]
fn situations_that_look_alike_are_told_apart() {
    let pack = Pack::builtin();
    let mut said = String::new();
    for (name, is, looks, facts) in SITUATIONS {
        let row = row(facts);
        let failed = facts.iter().any(|(f, _)| *f == "handshake.result");
        let weighed = weigh(&pack, &row, failed);
        let like = weighed.score(*looks);
        let apart = weighed.best == Some(*is) && weighed.tier >= Tier::Likely;
        if !apart {
            said.push_str(&format!(
                "{name}: {:?} ({:?}), and {looks:?} is {like:?}\n",
                weighed.best, weighed.tier
            ));
        }
    }
    assert!(said.is_empty(), "\n{said}");
}

/// One fact decides: without it the situation may be told less surely, and never as its look-alike for sure.
#[test]
fn without_one_fact_no_look_alike_is_certain() {
    let pack = Pack::builtin();
    let mut tried = 0;
    for (name, is, looks, facts) in SITUATIONS {
        for taken in 0..facts.len() {
            let mut less = facts.to_vec();
            let (fact, _) = less.remove(taken);
            let failed = less.iter().any(|(f, _)| *f == "handshake.result");
            let weighed = weigh(&pack, &row(&less), failed);
            tried += 1;
            let general = pack.rule(*is).is_some_and(|r| r.beats.contains(looks));
            let swapped = weighed.best == Some(*looks) && weighed.tier == Tier::Certain;
            assert!(!swapped || general, "{name}, without {fact}");
        }
    }
    assert!(tried > 80, "{tried}");
}
