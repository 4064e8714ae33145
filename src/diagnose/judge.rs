//! All connections of a case -> a verdict each, and what was found over many of them.

use super::compose::{Composer, Names};
use super::eval::{self, Weighed, weigh};
use super::extract::{self, Subject};
use super::extract::{server, timers};
use super::fact::{FACTS, Row};
use super::findings::findings;
use super::incident::incidents;
use super::outcome::{self, outcome};
use super::overrides;
use super::pack::Pack;
use super::population::Population;
use super::rule::Line;
use crate::model::{
    AppEvent, CaseContext, Cause, Closer, Connection, Direction, Evidence, Finding, HopEvent,
    HopKind, HopLine, Incident, Judged, LegEventKind, LegObservation, Outcome, RecordRef, Role,
    SECOND_NS, Strength, Tier, TimeoutKind, Truth, TunnelLine, Untestable, Verdict,
};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Connections that one thread judges in turn at least: what it told before is told again from memory.
const RUN: usize = 256;

/// Connections that are judged before their verdicts are told.
const TOLD: usize = 8192;

#[derive(Debug, Default)]
pub struct Judgement {
    pub connections: Vec<Judged>,
    pub findings: Vec<Finding>,
    pub incidents: Vec<Incident>,
}

/// Takes verdicts while other connections are still being judged.
pub trait Listener {
    /// All connections, before the first verdict.
    fn begin(&mut self, connections: &[Connection]);
    /// One after the other, in the order of the connections; false ends the work.
    fn judged(&mut self, judged: &Judged) -> bool;
}

/// Judges every connection against the pack.
pub fn judge(connections: Vec<Connection>, context: &CaseContext, pack: &Pack) -> Judgement {
    judge_aloud(connections, context, pack, None)
}

/// The same, where someone may listen: what of a verdict was told and is nobody's business later is not kept.
pub fn judge_aloud(
    mut connections: Vec<Connection>,
    context: &CaseContext,
    pack: &Pack,
    mut listener: Option<&mut dyn Listener>,
) -> Judgement {
    let sources = context.paths.len();
    let taught = (!pack.overrides.timeouts.is_empty()).then(|| pack.overrides.teach(context));
    let context = taught.as_ref().unwrap_or(context);
    if taught.is_some() {
        for connection in &mut connections {
            pack.overrides.name_hops(connection);
        }
    }
    let population = Population::survey(&connections, context);
    let judge_one = |composer: &mut Composer<'_>, i: usize| {
        let subject = Subject::new(i, &connections, context, &population);
        let mut row = extract::row(&subject);
        if taught.is_some() {
            overrides::strip(&mut row, sources);
        }
        let (mut verdict, closer) = one(&subject, &row, composer);
        if subject.c.app_doubtful {
            doubt(&subject, &mut verdict);
        }
        (verdict, closer)
    };
    let judge_some = |range: Range<usize>| {
        range
            .into_par_iter()
            .with_min_len(RUN)
            .map_init(|| Composer::new(pack), judge_one)
            .collect::<Vec<Found>>()
    };
    let all = connections.len();
    let verdicts = match &mut listener {
        None => judge_some(0..all),
        Some(listener) => {
            listener.begin(&connections);
            let mut verdicts = Vec::with_capacity(all);
            for from in (0..all).step_by(TOLD) {
                let some = judge_some(from..all.min(from + TOLD));
                for (connection, found) in connections.iter().skip(from).zip(some) {
                    let mut judged = together(connection.clone(), found);
                    if !listener.judged(&judged) {
                        return Judgement::default();
                    }
                    judged.verdict.forget_grounds();
                    verdicts.push((judged.verdict, Some(judged.connection.closer)));
                }
            }
            verdicts
        }
    };
    let connections: Vec<Judged> = connections
        .into_iter()
        .zip(verdicts)
        .map(|(connection, found)| together(connection, found))
        .collect();
    let mut findings = findings(&connections, context);
    for finding in &mut findings {
        finding.records.retain(|r| (r.source.0 as usize) < sources);
    }
    Judgement {
        findings,
        incidents: incidents(&connections, &population.places, context.window),
        connections,
    }
}

/// A verdict, and who closed the connection where the verdict knows it better.
type Found = (Verdict, Option<Closer>);

fn together(mut connection: Connection, (verdict, closer): Found) -> Judged {
    if let Some(closer) = closer {
        connection.closer = closer;
    }
    Judged {
        connection,
        verdict,
    }
}

/// The facts of one connection of a case: what `--why` and the rules' own tests look at.
pub fn facts(index: usize, connections: &[Connection], context: &CaseContext) -> Row {
    let population = Population::survey(connections, context);
    extract::row(&Subject::new(index, connections, context, &population))
}

fn one(s: &Subject<'_>, row: &Row, composer: &mut Composer<'_>) -> (Verdict, Option<Closer>) {
    let pack = composer.pack();
    let mut outcome = outcome(s, row);
    let code = pack.overrides.code(row);
    if code.is_some_and(|c| c.wanted) && outcome == Outcome::Drop {
        outcome = Outcome::Clean;
    }
    if matches!(outcome, Outcome::Clean | Outcome::Open) {
        let code = code.filter(|_| outcome == Outcome::Clean);
        if outcome == Outcome::Clean
            && code.is_none()
            && outcome::count(row, "close.code").is_none()
        {
            return (sealed(row), None);
        }
        let mut verdict = unremarkable(s, row, outcome);
        if let Some(code) = code {
            verdict.sentence.push_str(&format!(" ({})", code.means));
        }
        return (verdict, standing_closer(s, outcome));
    }
    let weighed = weigh(pack, row, outcome == Outcome::FailedHandshake);
    let told = ["close.frame", "close.how", "close.reported_server"];
    let silent = |fact: &&str| row.get(fact).is_none_or(|r| r.value.is_none());
    if outcome == Outcome::Drop && told.iter().all(silent) {
        let beside = only_beside(pack, row, &weighed);
        // A hop's word that the client left first says nothing of a Close before it.
        let left = weighed.tier == Tier::Possible
            && matches!(
                weighed.best,
                Some(Cause::ClientAbort | Cause::ClientHeartbeatTimeout | Cause::ServerRestart)
            );
        if weighed.best.is_none() || beside.is_some() || left {
            return (untold(beside), None);
        }
    }
    let names = names(s);
    let mut verdict = composer.verdict(row, &weighed, &names, outcome);
    // A silence shows which time-out it was; without one, the only time-out configured on the path is the best there is.
    if verdict.cause == Some(Cause::IdleTimeout) && verdict.timeout_ns.is_none() {
        verdict.timeout_ns = names.timeout_ns;
        verdict.timeout_from = names.timeout_name.map(Into::into);
    }
    // A round number, or what an address does over and over: good reasons, and no proof.
    let inferred =
        verdict.timeout_from.as_deref() == Some(timers::WHOLE) || taken_for_client(s, row);
    if inferred {
        verdict.tier = verdict.tier.min(Tier::Likely);
    }
    if let (Some(code), Some(Cause::PolicyClose)) = (code, verdict.cause) {
        verdict.sentence.push_str(&format!(": {}", code.means));
        if let Some(fix) = &code.fix {
            verdict.fix = vec![composer.word(fix)];
        }
    }
    if s.encrypted() {
        cap(&mut verdict, composer);
    }
    // What was to be asked for through that door, only the client knows.
    if verdict.cause == Some(Cause::TlsFailure) && s.c.legs.is_empty() {
        verdict.tier = verdict.tier.min(Tier::Likely);
    }
    let of_a_process = matches!(
        verdict.cause,
        Some(Cause::ServerCrash | Cause::ProxyRestart)
    );
    if of_a_process && gateway_alone(s, row) {
        verdict.tier = verdict.tier.min(Tier::Possible);
    }
    let closer = closer(s, row, &verdict);
    (verdict, closer)
}

/// What the application says of this connection it may say of one beside it: what rests on that is possible at most.
fn doubt(s: &Subject<'_>, verdict: &mut Verdict) {
    let told = |r: RecordRef| s.c.app_lines.iter().any(|l| l.record == r);
    let carried = |e: &Evidence| e.supports && e.strength >= Strength::Strong;
    let by_application = verdict
        .evidence
        .iter()
        .filter(|e| carried(e))
        .any(|e| e.record.is_some_and(told));
    let by_its_words = match verdict.outcome {
        Outcome::Clean => s.c.close.reported_server.is_some(),
        Outcome::Open => s.c.legs.is_empty(),
        _ => false,
    };
    if by_application || by_its_words {
        verdict.tier = verdict.tier.min(Tier::Possible);
        verdict
            .sentence
            .push_str("; the application's lines could be those of another connection beside it");
    }
}

/// No frame of it could be read: sizes and times carry a likely cause at most.
fn cap(verdict: &mut Verdict, composer: &mut Composer<'_>) {
    verdict.tier = verdict.tier.min(Tier::Likely);
    verdict
        .sentence
        .push_str(", as the sizes and times of its encrypted records tell");
    for rival in &mut verdict.untestable {
        let in_frames = matches!(
            rival.cause,
            Cause::MissedHeartbeat
                | Cause::ClientHeartbeatTimeout
                | Cause::ServerRestart
                | Cause::ServerException
                | Cause::MessageTooBig
                | Cause::ProtocolError
                | Cause::PolicyClose
        );
        if in_frames {
            rival.needs = composer.word(&format!("{KEYS}, or {}", rival.needs));
        }
    }
}

/// From the client's side alone a proxy that stopped and a server that died look alike, unless a gateway says right after that what is
/// behind it is gone.
fn gateway_alone(s: &Subject<'_>, row: &Row) -> bool {
    let told = s.c.closed.is_some_and(|c| {
        let from = c.at.plus(-c.tick_ns);
        let to = from.plus(30 * SECOND_NS);
        s.population.instants.gateway_refused(s.index, from, to)
    });
    let behind = told && outcome::is(row, "server.refused_after");
    let announced = outcome::is(row, "server.stopping") || outcome::is(row, "proxy.restarting");
    server::far_end_unknown(s) && !behind && !announced
}

/// The closer's address was taken for the client's; what it did over and over shows that it is a hop's.
fn taken_for_client(s: &Subject<'_>, row: &Row) -> bool {
    s.c.closer.role == Role::Client && outcome::word(row, "close.side") == Some("proxy")
}

fn unremarkable(s: &Subject<'_>, row: &Row, outcome: Outcome) -> Verdict {
    let sentence = match (outcome, outcome::count(row, "close.code")) {
        (Outcome::Clean, Some(1005)) => "closed by agreement, without a close code".to_owned(),
        (Outcome::Clean, Some(code)) => format!("closed as wanted, close code {code}"),
        (Outcome::Open, _) if !s.place.accepted => {
            "its handshake was still waiting when the evidence ends".to_owned()
        }
        _ => "still open when the evidence ends".to_owned(),
    };
    // Both sides send 1001, and one library's word does not say who.
    let tier = match outcome::count(row, "close.code") {
        Some(1001) if outcome::word(row, "close.first_from").is_none() => Tier::Likely,
        // Some libraries report 1005 where others say 1006 (uvicorn does): only the wire tells.
        Some(1005) if outcome::word(row, "close.first_from").is_none() => Tier::Likely,
        _ => Tier::Certain,
    };
    Verdict {
        sentence,
        tier,
        ..plain(outcome)
    }
}

/// A verdict about a connection that did not drop.
const fn plain(outcome: Outcome) -> Verdict {
    Verdict {
        outcome,
        cause: None,
        tier: Tier::Certain,
        sentence: String::new(),
        contributing: Vec::new(),
        timeout_ns: None,
        timeout_from: None,
        evidence: Vec::new(),
        rivals: Vec::new(),
        untestable: Vec::new(),
        fix: Vec::new(),
        tests: Vec::new(),
        own_rule: None,
    }
}

/// A Close handshake that only sizes of encrypted records show.
fn sealed(row: &Row) -> Verdict {
    let by_client = outcome::word(row, "close.first_from") == Some("client");
    let (tier, sentence) = if by_client {
        (
            Tier::Likely,
            "the client closed it with a Close frame, by the sizes of its last records; the code is encrypted",
        )
    } else {
        (
            Tier::Undecided,
            "the server closed it with a Close frame, by the sizes of its last records; the code is encrypted: not counted as a drop",
        )
    };
    Verdict {
        tier,
        sentence: sentence.to_owned(),
        untestable: vec![Untestable {
            cause: Cause::Undecided,
            needs: format!("{KEYS}, or the application's log with close codes").into(),
        }],
        ..plain(Outcome::Clean)
    }
}

/// What opens an encrypted leg.
const KEYS: &str = "the TLS secrets of this connection (SSLKEYLOGFILE)";

/// Facts that say how many others ended in that moment, and nothing of how any of them did.
const BESIDE: &[&str] = &[
    "server.ended_together",
    "server.none_survived",
    "server.others_survived",
    "proxy.ended_together",
];

/// How many ended in the same moment, where a verdict that is only possible rests on that alone: clients leave together as well, when a page is
/// closed or a shift ends.
fn only_beside(pack: &Pack, row: &Row, weighed: &Weighed) -> Option<i64> {
    let rule = pack.rule(weighed.best.filter(|_| weighed.tier == Tier::Possible)?)?;
    let carried =
        |line: &&Line| line.if_true.is_some() && eval::truth(&line.condition, row) == Truth::Shown;
    let beside = |line: &Line| {
        FACTS
            .get(line.condition.fact)
            .is_some_and(|f| BESIDE.contains(&f.name))
    };
    let alone = rule.evidence.iter().filter(carried).all(beside);
    let together = ["server.ended_together", "proxy.ended_together"];
    let most = together.iter().filter_map(|f| outcome::count(row, f)).max();
    most.filter(|_| alone)
}

/// A proxy's line says that a tunnel was over, and never how: without a sign of a fault that is no drop.
fn untold(together: Option<i64>) -> Verdict {
    let sentence = match together {
        Some(n) if n > 1 => format!(
            "it ended in the same moment as {} more, and no source tells how: not counted as a drop",
            n - 1
        ),
        _ => "it ended, and no source tells how: not counted as a drop".to_owned(),
    };
    Verdict {
        tier: Tier::Undecided,
        sentence,
        untestable: vec![Untestable {
            cause: Cause::Undecided,
            needs: "the application's log with close codes, or a capture of any leg".into(),
        }],
        ..plain(Outcome::Clean)
    }
}

fn standing_closer(s: &Subject<'_>, outcome: Outcome) -> Option<Closer> {
    (outcome == Outcome::Open && s.c.closer.role == Role::Unknown).then_some(Closer {
        role: Role::None,
        hop: None,
        address: None,
    })
}

fn names(s: &Subject<'_>) -> Names {
    let proxy = s.c.hops.iter().find(|h| h.kind.is_proxy());
    let hop =
        s.c.closer
            .hop
            .clone()
            .or_else(|| proxy.map(|h| h.name.clone()))
            .map(Cow::into_owned);
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let mut best: Option<(i64, String)> = None;
    let mut location: Option<(bool, String)> = None;
    for settings in &s.context.settings {
        let Some(route) = settings.route(uri) else {
            continue;
        };
        let path = s.context.paths.get(settings.source.0 as usize);
        if let (Some(line), Some(path)) = (route.line, path) {
            // The place to change is that of the hop that ended it, where its settings are known.
            let own = hop
                .as_deref()
                .is_some_and(|h| h.contains(settings.hop.name()));
            if location.as_ref().is_none_or(|(known, _)| own && !known) {
                location = Some((own, format!("{} ({path}:{line})", route.name)));
            }
        }
        for t in route
            .timeouts
            .iter()
            .filter(|t| t.kind == TimeoutKind::Idle)
        {
            if best.as_ref().is_none_or(|(ns, _)| t.value_ns < *ns) {
                best = Some((t.value_ns, timers::name(t, path, settings.hop)));
            }
        }
    }
    let (timeout_ns, timeout_name) = best.unzip();
    Names {
        hop,
        server: s
            .c
            .hops
            .last()
            .and_then(|h| h.address)
            .map(|a| format!("the server {a}")),
        client: s.c.client.ip.map(|ip| format!("the client {ip}")),
        location: location.map(|(_, place)| place),
        timeout_ns,
        timeout_name,
        stack: stack(s),
    }
}

/// The library or server of the application: by its own header, else by a path that only it uses.
fn stack(s: &Subject<'_>) -> Option<&'static str> {
    /// A part of the `Server` header, in lower case.
    const HEADERS: &[(&str, &str)] = &[
        ("uvicorn", "uvicorn"),
        ("daphne", "daphne"),
        ("tornadoserver", "tornado"),
        (" websockets/", "python-websockets"),
        ("cowboy", "phoenix"),
    ];
    const PATHS: &[(&str, &str)] = &[("/socket.io/", "socket.io"), ("/signalr", "signalr")];
    let uri = s.c.request.uri.as_deref().unwrap_or("");
    let by_path = PATHS.iter().find(|(part, _)| uri.contains(part));
    let headers = s
        .observations()
        .filter_map(|(_, o)| o.response.as_ref()?.server.as_deref());
    by_path
        .or_else(|| {
            headers
                .map(str::to_ascii_lowercase)
                .find_map(|h| HEADERS.iter().find(|(part, _)| h.contains(part)))
        })
        .map(|(_, stack)| *stack)
}

/// Where no capture shows who ended it, the cause does.
fn closer(s: &Subject<'_>, row: &Row, verdict: &Verdict) -> Option<Closer> {
    let none = Closer {
        role: Role::None,
        hop: None,
        address: None,
    };
    if s.c.closed.is_none()
        && verdict.outcome == Outcome::Drop
        && verdict.cause != Some(Cause::ServerCrash)
    {
        return Some(none);
    }
    if verdict.outcome == Outcome::FailedHandshake {
        return Some(refuser(s, row, verdict.cause));
    }
    if taken_for_client(s, row) {
        return Some(Closer {
            role: Role::Proxy,
            hop: Some(HopKind::Proxy.name().into()),
            address: s.c.closer.address,
        });
    }
    // A timer beyond an end that nothing names is more often a balancer's than an application's.
    let timed = matches!(verdict.cause, Some(Cause::IdleTimeout | Cause::LifetimeCap));
    let unnamed = timed && s.c.closer.role == Role::Server && stack(s).is_none();
    if unnamed && server::far_end_unknown(s) {
        return Some(Closer {
            role: Role::Proxy,
            hop: Some(HopKind::Proxy.name().into()),
            address: s.c.closer.address,
        });
    }
    if s.c.closer.role != Role::Unknown {
        return None;
    }
    let proxy = || {
        let hop = s.c.hops.iter().find(|h| h.kind.is_proxy());
        Closer {
            role: Role::Proxy,
            hop: hop.map(|h| h.name.clone()),
            address: hop.and_then(|h| h.address),
        }
    };
    let server = || Closer {
        role: Role::Server,
        hop: None,
        address: s.c.hops.last().and_then(|h| h.address),
    };
    let client = || Closer {
        role: Role::Client,
        hop: None,
        address: s.c.client.ip,
    };
    let network = || Closer {
        role: Role::Network,
        hop: None,
        address: None,
    };
    Some(match verdict.cause? {
        // The application's own timer.
        Cause::IdleTimeout
            if s.c
                .app_lines
                .iter()
                .any(|l| matches!(l.what, AppEvent::Idle | AppEvent::ReadTimedOut)) =>
        {
            server()
        }
        Cause::IdleTimeout | Cause::ProxyRestart | Cause::LifetimeCap => proxy(),
        Cause::MissedHeartbeat
        | Cause::ServerCrash
        | Cause::ServerRestart
        | Cause::ServerException
        | Cause::PolicyClose
        | Cause::MessageTooBig => server(),
        Cause::SlowConsumer if waited_by_proxy(s) => proxy(),
        Cause::SlowConsumer => server(),
        // Who wrote of it refused it.
        Cause::ProtocolError if told_by_server(row) => server(),
        Cause::ClientAbort | Cause::ClientHeartbeatTimeout => client(),
        Cause::MiddleboxExpiry | Cause::InjectedReset => network(),
        Cause::ClientNetworkChange | Cause::ClientVanished => {
            if outcome::is(row, "heartbeat.miss_logged") {
                server()
            } else if outcome::is(row, "idle.logged") || outcome::is(row, "client.tcp_gave_up") {
                proxy()
            } else if outcome::is(row, "client.unacked") && s.c.legs.len() > 1 {
                // The hop that waited in vain for acknowledgements let go of its other leg.
                proxy()
            } else {
                return None;
            }
        }
        _ => return None,
    })
}

/// The proxy gave up on a client that did not read: it says so, or let go of the server, which had not.
fn waited_by_proxy(s: &Subject<'_>) -> bool {
    let told = |h: &HopLine| h.what == HopEvent::ClientTimeout;
    let behind = s.c.legs.last().filter(|l| l.from > 0);
    let ended = |o: &LegObservation, d: Direction| {
        let flow = o.flow(d);
        flow.ended().is_some() || flow.rst.is_some()
    };
    s.c.hop_lines.iter().any(told)
        || behind.is_some_and(|l| {
            let mut seen = l.observations.iter();
            seen.any(|o| ended(o, Direction::ToServer) && !ended(o, Direction::ToClient))
        })
}

/// Envoy names the upstream that its answer came from.
fn answered_behind(t: &TunnelLine) -> bool {
    let own = |state: &str| state.contains("upgrade_failed");
    t.hop == HopKind::Envoy && t.upstream.is_some() && !t.termination.as_deref().is_some_and(own)
}

/// A proxy answered by itself: captures hold both sides of it, and nothing of this connection behind it.
fn unasked(s: &Subject<'_>) -> bool {
    let [leg] = s.c.legs.as_slice() else {
        return false;
    };
    s.all
        .iter()
        .any(|c| c.legs.len() > 1 && c.legs[0].server == leg.server)
}

/// What is known of its Close stands in the application's log.
fn told_by_server(row: &Row) -> bool {
    row.get("close.code")
        .is_some_and(|r| r.witness.app_log && !r.witness.capture)
}

/// The way that a fatal TLS alert went.
fn alerted(s: &Subject<'_>) -> Option<Direction> {
    let mut events = s.observations().flat_map(|(_, o)| &o.events);
    events
        .find(|e| matches!(e.what, LegEventKind::TlsAlert { level: 2, .. }))
        .map(|e| e.direction)
}

/// Who said no, or gave up.
fn refuser(s: &Subject<'_>, row: &Row, cause: Option<Cause>) -> Closer {
    let proxy = s.c.hops.iter().find(|h| h.kind.is_proxy());
    let by_proxy = || Closer {
        role: Role::Proxy,
        hop: proxy.map(|h| h.name.clone()),
        address: proxy.and_then(|h| h.address),
    };
    let server = || Closer {
        role: Role::Server,
        hop: None,
        address: s.c.hops.last().and_then(|h| h.address),
    };
    let client = || Closer {
        role: Role::Client,
        hop: None,
        address: s.c.client.ip,
    };
    let status = s.c.request.status;
    // 502 to 504 are a proxy's own words whatever its upstream did; a crashed accept is the server's doing.
    match status {
        Some(499) => client(),
        Some(502..=504) => match outcome::word(row, "handshake.upstream") {
            Some("closed-early") => server(),
            _ if status == Some(503) && outcome::is(row, "handshake.from_server") => server(),
            _ if proxy.is_some() => by_proxy(),
            // RFC 9110 15.6: 502 and 504 are a gateway's words, whether or not another source knows of one; so is a 503 for want of an
            // upstream.
            _ if status != Some(503) || cause == Some(Cause::UpstreamUnavailable) => by_proxy(),
            _ => server(),
        },
        Some(_)
            if proxy.is_some() && (outcome::is(row, "proxy.exhausted_logged") || unasked(s)) =>
        {
            by_proxy()
        }
        Some(_) if outcome::is(row, "handshake.from_server") || proxy.is_none() => server(),
        Some(_)
            if row
                .get("handshake.from_server")
                .is_some_and(|r| r.value.is_some()) =>
        {
            by_proxy()
        }
        // Envoy answers a refused upgrade itself; other proxies pass the server's answer on.
        Some(_)
            if proxy.is_some_and(|h| h.kind == HopKind::Envoy)
                && !s.c.tunnels.iter().any(answered_behind) =>
        {
            by_proxy()
        }
        Some(_) => server(),
        None if s.c.legs.is_empty() && s.c.hop_lines.iter().any(HopLine::is_tls) => {
            let left = |h: &HopLine| h.what == HopEvent::TlsLeft;
            if s.c.hop_lines.iter().any(left) {
                client()
            } else {
                by_proxy()
            }
        }
        None => match s.c.closer.role {
            // Whoever sent the alert said no.
            Role::Unknown if alerted(s).is_some() => match alerted(s) {
                Some(Direction::ToServer) => client(),
                _ if proxy.is_some() => by_proxy(),
                _ => server(),
            },
            Role::Unknown => {
                let reset_by_far =
                    s.c.legs
                        .first()
                        .is_some_and(|l| l.observations.iter().any(|o| o.to_client.rst.is_some()));
                if reset_by_far && proxy.is_some() {
                    by_proxy()
                } else {
                    Closer {
                        role: Role::Unknown,
                        hop: None,
                        address: None,
                    }
                }
            }
            _ => s.c.closer.clone(),
        },
    }
}
