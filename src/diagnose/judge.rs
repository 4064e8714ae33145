//! All connections of a case -> a verdict each, and what was found over many of them.

use super::closer::{closer, standing_closer, taken_for_client};
use super::compose::Composer;
use super::eval::{self, Weighed, weigh};
use super::extract::{self, Subject};
use super::extract::{server, timers};
use super::fact::{FACTS, Row};
use super::findings::findings;
use super::incident::incidents;
use super::names::names;
use super::outcome::{self, outcome};
use super::overrides;
use super::pack::Pack;
use super::population::{Population, round_to_timer, to_the_millisecond};
use super::rule::Line;
use crate::model::{
    CaseContext, Cause, Closer, Connection, Evidence, Finding, Incident, Judged, MILLI_NS, Outcome,
    RecordRef, SECOND_NS, Strength, Tier, Truth, Untestable, Verdict, say_duration,
};
use rayon::prelude::*;
use std::fmt::Write as _;
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

/// Judges every connection against the pack. Where someone listens, what of a verdict was told and is nobody's business later is not kept.
pub fn judge(
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
            return (untold(s, beside), None);
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

/// Lives this near to one another are those of one timer.
const ALIKE_NS: i64 = 60 * MILLI_NS;
/// So many lives alike are told of.
const MANY_ALIKE: usize = 5;

/// How many connections lived as long as this one, where its hop logs lives to the millisecond, and how long that is.
fn lived_alike(s: &Subject<'_>) -> Option<(usize, i64)> {
    let life = s.c.tunnels.iter().find_map(to_the_millisecond)?;
    let count = s.population.lived(life - ALIKE_NS, life + ALIKE_NS);
    (count >= MANY_ALIKE).then_some((count, life))
}

/// A proxy's line says that a tunnel was over, and never how: without a sign of a fault that is no drop.
fn untold(s: &Subject<'_>, together: Option<i64>) -> Verdict {
    let alike = lived_alike(s);
    let mut sentence = match (together, alike) {
        (Some(n), _) if n > 1 => format!(
            "it ended in the same moment as {} more, and no source tells how",
            n - 1
        ),
        _ => "it ended, and no source tells how".to_owned(),
    };
    if let Some((count, life)) = alike {
        let life = say_duration(round_to_timer(life));
        let _ = write!(
            sentence,
            ", though {count} connections here lived for {life}: a time-out would end silent ones so"
        );
    }
    sentence.push_str(": not counted as a drop");
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
