//! One row of facts, weighed against every rule: what holds, what is refuted, what can't be told.

use super::fact::{NamedDuration, Reading, Row, Value, Witnesses};
use super::pack::Pack;
use super::rule::{Condition, Line, Rule, Status, Want};
use crate::model::{Cause, Strength, Tier, Truth};

/// A rule that is not fully shown is in the running from this many bits on.
pub const POSSIBLE_BITS: i32 = 4;

/// How a rule stands for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A condition of its scope is refuted, or a line of evidence takes it out; [`why_out`] says which.
    Out,
    /// Not refuted, and too little is shown. The index is that of the first required line that nothing shows, if any.
    Untestable(Option<usize>),
    /// In the running, at [`Score::tier`].
    Running,
}

/// What takes a rule out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyOut {
    /// A condition of its scope is refuted: index into `scope`.
    Scope(usize),
    /// Index into `evidence`.
    Line(usize),
}

/// How one rule came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    pub cause: Cause,
    pub standing: Standing,
    pub tier: Tier,
    pub bits: i32,
}

/// What the pack makes of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// `None`: nothing holds, the verdict is undecided.
    pub best: Option<Cause>,
    pub tier: Tier,
    /// The rules that were asked: the best first, the others in the running after it, then the rest by code.
    pub scores: Vec<Score>,
    /// Tags of the best rule whose conditions are all shown.
    pub contributing: Vec<String>,
    /// The rule of the user's own that says more of it, by its code.
    pub own: Option<String>,
}

impl Weighed {
    pub fn score(&self, cause: Cause) -> Option<&Score> {
        self.scores.iter().find(|s| s.cause == cause)
    }
    /// The rules in the running beside the best.
    pub fn weaker(&self) -> impl Iterator<Item = &Score> {
        self.scores
            .iter()
            .filter(|s| s.standing == Standing::Running && Some(s.cause) != self.best)
    }
}

/// How a rule came out; one of the user's own is weighed by itself.
pub fn score_of(weighed: &Weighed, rule: &Rule, row: &Row) -> Option<Score> {
    match rule.own {
        Some(_) => Some(score(rule, row)),
        None => weighed.score(rule.cause).copied(),
    }
}

/// Weighs a row against the rules that are asked about such a connection, and then against those of the user's own: one of them speaks
/// where all that it requires is shown, and where its cause is the verdict, or nothing is, or it beats what is.
pub fn weigh(pack: &Pack, row: &Row, handshake_failed: bool) -> Weighed {
    let mut weighed = weigh_built_in(pack, row, handshake_failed);
    let held = pack
        .own
        .iter()
        .filter(|r| r.status != Status::Deprecated && r.phase.asks(handshake_failed))
        .filter(|r| {
            weighed
                .best
                .is_none_or(|best| best == r.cause || r.beats.contains(&best))
        })
        .map(|r| (r, score(r, row)))
        .filter(|(_, s)| s.standing == Standing::Running && s.tier >= Tier::Likely)
        .min_by_key(|(_, s)| std::cmp::Reverse((s.tier, s.bits)));
    if let Some((rule, score)) = held {
        if weighed.best == Some(rule.cause) {
            weighed.tier = weighed.tier.max(score.tier);
        } else {
            weighed.best = Some(rule.cause);
            weighed.tier = score.tier;
            weighed.contributing.clear();
        }
        for c in rule.contributing.iter().filter(|c| all_shown(&c.when, row)) {
            if !weighed.contributing.contains(&c.tag) {
                weighed.contributing.push(c.tag.clone());
            }
        }
        weighed.own.clone_from(&rule.own);
    }
    weighed
}

fn weigh_built_in(pack: &Pack, row: &Row, handshake_failed: bool) -> Weighed {
    let (mut scores, running) = pack.scores(row, handshake_failed);
    if let Some(front) = scores.get_mut(..running) {
        front.sort_by_key(|s| (std::cmp::Reverse((s.tier, s.bits)), s.cause));
    }
    if running > 0 {
        let best = closest(pack, &scores[..running]);
        scores[..=best].rotate_right(1);
    }
    let Some(top) = scores
        .first_mut()
        .filter(|s| s.standing == Standing::Running)
    else {
        return Weighed {
            best: None,
            tier: Tier::Undecided,
            scores,
            contributing: Vec::new(),
            own: None,
        };
    };
    let (best, mut tier) = (top.cause, top.tier);
    // A closer explanation that is still possible keeps the general one from being certain.
    let open = scores[..running].iter().any(|s| pack.beats(s.cause, best));
    if open && tier == Tier::Certain {
        tier = Tier::Likely;
        if let Some(top) = scores.first_mut() {
            top.tier = tier;
        }
    }
    let contributing = pack.rule(best).map_or_else(Vec::new, |rule| {
        rule.contributing
            .iter()
            .filter(|c| all_shown(&c.when, row))
            .map(|c| c.tag.clone())
            .collect()
    });
    Weighed {
        best: Some(best),
        tier,
        scores,
        contributing,
        own: None,
    }
}

/// Index of the score that no other in the running beats by declared order; they come sorted by (tier, bits, code).
fn closest(pack: &Pack, running: &[Score]) -> usize {
    let mut best = 0;
    // Orders are free of circles, so that this ends after as many steps as there are rules.
    for _ in 0..running.len() {
        let (cause, tier) = (running[best].cause, running[best].tier);
        let closer = running
            .iter()
            .position(|s| s.tier >= tier.min(Tier::Likely) && pack.beats(s.cause, cause));
        match closer {
            Some(at) => best = at,
            None => break,
        }
    }
    best
}

pub fn all_shown(conditions: &[Condition], row: &Row) -> bool {
    conditions.iter().all(|c| truth(c, row) == Truth::Shown)
}

/// What the row says to each evidence line, in the rule's order.
pub fn truths(rule: &Rule, row: &Row) -> Vec<Truth> {
    rule.evidence
        .iter()
        .map(|l| truth(&l.condition, row))
        .collect()
}

/// Weighs one rule, line by line. The program of a pack does the same for a whole pack at once.
pub fn score(rule: &Rule, row: &Row) -> Score {
    weighed_or_out(rule, row).unwrap_or(Score {
        cause: rule.cause,
        standing: Standing::Out,
        tier: Tier::Undecided,
        bits: 0,
    })
}

/// What takes a rule out, if anything does.
pub fn why_out(rule: &Rule, row: &Row) -> Option<WhyOut> {
    weighed_or_out(rule, row).err()
}

fn weighed_or_out(rule: &Rule, row: &Row) -> Result<Score, WhyOut> {
    let scored = |standing, tier, bits| Score {
        cause: rule.cause,
        standing,
        tier,
        bits,
    };
    if let Some(at) = rule
        .scope
        .iter()
        .position(|c| truth(c, row) == Truth::Refuted)
    {
        return Err(WhyOut::Scope(at));
    }
    let (mut bits, mut missing, mut seen) = (0, None, false);
    let mut doubt = false;
    let mut ground = Witnesses::default();
    let mut seen_on_the_wire = false;
    for members in &rule.groups {
        let lines = || {
            members
                .iter()
                .filter_map(|&at| Some((at, rule.evidence.get(at)?)))
        };
        let Some((first, required)) = lines().next().map(|(at, l)| (at, l.required)) else {
            continue;
        };
        let (mut shown, mut refuted) = (0, 0);
        let (mut strongest, mut against, mut decisive) = (None, None, None);
        for (at, line) in lines() {
            match truth(&line.condition, row) {
                Truth::Shown => {
                    shown += 1;
                    strongest = strongest.max(line.if_true);
                    // Lines without weight are told, and carry nothing.
                    if line.if_true.is_some() {
                        let witness = witnesses(&line.condition, row);
                        ground = ground.and(witness);
                        seen_on_the_wire |=
                            line.if_true == Some(Strength::Decisive) && witness.capture;
                    }
                }
                Truth::Refuted => {
                    refuted += 1;
                    against = against.max(line.if_false);
                    if line.if_false == Some(Strength::Decisive) {
                        decisive = decisive.or(Some(at));
                    }
                }
                Truth::Unobserved => {}
            }
        }
        // A decisive refutation stands, unless a witness of some strength saw the same thing happen.
        if let Some(by) = decisive.filter(|_| strongest < Some(Strength::Strong)) {
            return Err(WhyOut::Line(by));
        }
        if shown > 0 {
            seen = true;
            bits += strength_bits(strongest);
            continue;
        }
        if required {
            if refuted == members.len() {
                return Err(WhyOut::Line(first));
            }
            missing = missing.or(Some(first));
        }
        bits -= strength_bits(against);
        doubt |= against >= Some(Strength::Strong);
    }
    let tier = match missing {
        None if bits >= Strength::Moderate.bits() => {
            let agreed = ground.count() >= 2 || seen_on_the_wire;
            if agreed && !doubt {
                Tier::Certain
            } else {
                Tier::Likely
            }
        }
        _ if seen && bits >= POSSIBLE_BITS => Tier::Possible,
        _ => {
            let standing = Standing::Untestable(missing);
            return Ok(scored(standing, Tier::Undecided, bits));
        }
    };
    Ok(scored(Standing::Running, tier, bits))
}

pub(super) fn strength_bits(strength: Option<Strength>) -> i32 {
    strength.map_or(0, Strength::bits)
}

fn reading(row: &Row, fact: usize) -> Option<&Reading> {
    row.at(fact)
}

pub fn value(row: &Row, fact: usize) -> Option<&Value> {
    reading(row, fact)?.value.as_ref()
}

pub fn duration(row: &Row, fact: usize) -> Option<i64> {
    match value(row, fact)? {
        Value::Duration(ns) => Some(*ns),
        _ => None,
    }
}

/// Who stands behind a condition: behind its fact, and behind what it is compared with.
pub fn witnesses(condition: &Condition, row: &Row) -> Witnesses {
    let own = reading(row, condition.fact).map_or_else(Witnesses::default, |r| r.witness);
    let other = match condition.want {
        Want::NearAny { list, .. } => Some(list),
        Want::Reaches { other, .. } | Want::Below { other, .. } => Some(other),
        _ => None,
    };
    own.and(
        other
            .and_then(|o| reading(row, o))
            .map_or_else(Witnesses::default, |r| r.witness),
    )
}

/// What the row says to a condition. A value of a type that the condition can't read says nothing.
pub fn truth(condition: &Condition, row: &Row) -> Truth {
    let Some(value) = value(row, condition.fact) else {
        return Truth::Unobserved;
    };
    let of = |yes: bool| if yes { Truth::Shown } else { Truth::Refuted };
    match (&condition.want, value) {
        (Want::Bool(want), Value::Bool(is)) => of(want == is),
        (Want::Words(words), Value::Word(is)) => of(words.contains(is)),
        (Want::Counts(counts), Value::Count(is)) => of(counts.contains(is)),
        (Want::AtLeast(least), Value::Duration(is) | Value::Count(is)) => of(is >= least),
        (Want::AtMost(most), Value::Duration(is) | Value::Count(is)) => of(is <= most),
        (Want::Between(low, high), Value::Duration(is) | Value::Count(is)) => {
            of((low..=high).contains(&is))
        }
        (
            Want::NearAny {
                list,
                ratio,
                at_least_ns,
            },
            Value::Duration(is),
        ) => match super::eval::value(row, *list) {
            Some(Value::Durations(all)) => of(nearest_in(all, *is, *ratio, *at_least_ns).is_some()),
            _ => Truth::Unobserved,
        },
        (Want::Reaches { other, ratio }, Value::Duration(is)) => {
            duration(row, *other).map_or(Truth::Unobserved, |o| of(*is as f64 >= o as f64 * ratio))
        }
        (Want::Below { other, ratio }, Value::Duration(is)) => {
            duration(row, *other).map_or(Truth::Unobserved, |o| of((*is as f64) < o as f64 * ratio))
        }
        _ => Truth::Unobserved,
    }
}

/// How far from `ns` a value may be to count as near.
pub fn tolerance(ns: i64, ratio: f64, at_least_ns: i64) -> i64 {
    at_least_ns.max((ns as f64 * ratio) as i64)
}

/// The named duration that `is` is near to. Of several equally near (to a tenth of a second) the first in the list,
/// which puts the more telling ones first.
fn nearest_in(
    all: &[NamedDuration],
    is: i64,
    ratio: f64,
    at_least_ns: i64,
) -> Option<&NamedDuration> {
    const STEP_NS: u64 = 100_000_000;
    all.iter()
        .filter(|d| (is.abs_diff(d.ns)) <= tolerance(d.ns, ratio, at_least_ns).unsigned_abs())
        .min_by_key(|d| is.abs_diff(d.ns) / STEP_NS)
}

/// What a `near_any` condition found near, where it holds.
pub fn nearest<'r>(condition: &Condition, row: &'r Row) -> Option<&'r NamedDuration> {
    let Want::NearAny {
        list,
        ratio,
        at_least_ns,
    } = condition.want
    else {
        return None;
    };
    let Some(Value::Durations(all)) = value(row, list) else {
        return None;
    };
    nearest_in(all, duration(row, condition.fact)?, ratio, at_least_ns)
}

/// The time-out that the rule's shown lines point at: the strongest line's.
pub fn timeout<'r>(rule: &Rule, row: &'r Row) -> Option<&'r NamedDuration> {
    let mut lines: Vec<&Line> = rule.evidence.iter().collect();
    lines.sort_by_key(|l| std::cmp::Reverse(l.if_true));
    lines.into_iter().find_map(|l| nearest(&l.condition, row))
}

#[cfg(test)]
mod tests {
    use super::super::chance::Chance;
    use super::super::fact::FACTS;
    use super::super::pack::Pack;
    use super::super::rule::Expect;
    use super::super::{agree, compose};
    use super::*;
    use crate::model::{Outcome, SECOND_NS};

    fn row(facts: &[(&'static str, Value)], witness: Witnesses) -> Row {
        let mut row = Row::new();
        for (name, value) in facts {
            row.set(
                name,
                Reading {
                    value: Some(value.clone()),
                    records: Vec::new(),
                    witness,
                },
            );
        }
        row
    }

    fn seconds(s: f64) -> Value {
        Value::Duration((s * SECOND_NS as f64) as i64)
    }

    fn timeouts(all: &[(f64, &str)]) -> Value {
        let named = |&(s, name): &(f64, &str)| NamedDuration {
            ns: (s * SECOND_NS as f64) as i64,
            name: name.to_owned(),
            hop: "nginx".to_owned(),
        };
        Value::Durations(all.iter().map(named).collect())
    }

    const CAPTURE: Witnesses = Witnesses {
        capture: true,
        proxy_log: false,
        app_log: false,
        config: false,
        population: false,
    };
    const APP: Witnesses = Witnesses {
        capture: false,
        proxy_log: false,
        app_log: true,
        config: false,
        population: false,
    };

    #[test]
    fn an_idle_time_out_names_hop_value_and_place() {
        let row = row(
            &[
                ("idle.gap_before_close", seconds(60.002)),
                (
                    "timeouts.known",
                    timeouts(&[
                        (60.0, "proxy_read_timeout, nginx.conf:31"),
                        (300.0, "timeout tunnel"),
                    ]),
                ),
                ("close.side", Value::Word("proxy")),
                ("close.frame", Value::Bool(false)),
                ("heartbeat.seen", Value::Bool(false)),
            ],
            CAPTURE,
        );
        let pack = Pack::builtin();
        let weighed = weigh(&pack, &row, false);
        let names = compose::Names {
            hop: Some("nginx".to_owned()),
            ..compose::Names::default()
        };
        let verdict = compose::Composer::new(&pack).verdict(&row, &weighed, &names, Outcome::Drop);
        assert_eq!(
            (verdict.cause, verdict.tier),
            (Some(Cause::IdleTimeout), Tier::Certain)
        );
        assert_eq!(
            verdict.sentence,
            "nginx closed this connection after 60.002 s of silence (proxy_read_timeout, nginx.conf:31)"
        );
        assert_eq!(verdict.timeout_ns, Some(60 * SECOND_NS));
        assert_eq!(
            verdict.timeout_from.as_deref(),
            Some("proxy_read_timeout, nginx.conf:31")
        );
        assert_eq!(verdict.contributing, ["no-heartbeat"]);
        assert_eq!(
            *verdict.fix[0],
            *"ping every 25 s: under half of 60 s (proxy_read_timeout, nginx.conf:31)"
        );
        assert!(
            verdict.fix[1].contains("proxy_read_timeout, nginx.conf:31"),
            "{:?}",
            verdict.fix
        );
        assert!(!verdict.rivals.is_empty() && !verdict.evidence.is_empty());
        let gap = verdict
            .tests
            .iter()
            .find(|t| t.fact == "idle.gap_before_close")
            .unwrap();
        assert_eq!(
            (gap.truth, gap.distance.as_deref()),
            (Truth::Shown, Some("0 us"))
        );
    }

    #[test]
    fn one_log_alone_makes_no_verdict_certain() {
        let pack = Pack::builtin();
        for (witness, expected) in [(APP, Tier::Likely), (APP.and(CAPTURE), Tier::Certain)] {
            let back = ("client.returned_elsewhere", Value::Bool(false));
            let row = row(
                &[("heartbeat.miss_logged", Value::Bool(true)), back],
                witness,
            );
            let weighed = weigh(&pack, &row, false);
            assert_eq!(
                (weighed.best, weighed.tier),
                (Some(Cause::MissedHeartbeat), expected)
            );
        }
    }

    #[test]
    fn a_closer_explanation_that_is_open_keeps_the_general_one_from_being_certain() {
        let pack = Pack::builtin();
        let row = row(
            &[("heartbeat.miss_logged", Value::Bool(true))],
            APP.and(CAPTURE),
        );
        let weighed = weigh(&pack, &row, false);
        assert_eq!(
            (weighed.best, weighed.tier),
            (Some(Cause::MissedHeartbeat), Tier::Likely)
        );
        assert!(
            weighed
                .weaker()
                .any(|s| s.cause == Cause::ClientNetworkChange && s.tier == Tier::Possible)
        );
    }

    #[test]
    fn an_empty_row_is_undecided_and_says_what_would_help() {
        let pack = Pack::builtin();
        for failed in [false, true] {
            let row = Row::new();
            let weighed = weigh(&pack, &row, failed);
            assert_eq!((weighed.best, weighed.tier), (None, Tier::Undecided));
            let outcome = if failed {
                Outcome::FailedHandshake
            } else {
                Outcome::Drop
            };
            let verdict = compose::Composer::new(&pack).verdict(
                &row,
                &weighed,
                &compose::Names::default(),
                outcome,
            );
            assert_eq!(verdict.cause, Some(Cause::Undecided));
            assert_eq!(verdict.evidence.len(), 1);
            assert!(verdict.untestable.len() > 4);
            assert!(verdict.untestable.iter().all(|u| !u.needs.is_empty()));
        }
    }

    #[test]
    fn of_equally_near_time_outs_the_first_is_named() {
        let all = timeouts(&[(60.0, "configured"), (60.01, "recurring"), (61.0, "far")]);
        let Value::Durations(all) = all else {
            unreachable!()
        };
        let name = |s: f64| {
            nearest_in(&all, (s * SECOND_NS as f64) as i64, 0.02, SECOND_NS / 2)
                .map(|d| d.name.clone())
        };
        assert_eq!(name(60.02).as_deref(), Some("configured"));
        assert_eq!(name(61.1).as_deref(), Some("far"));
        assert_eq!(name(64.0), None);
    }

    /// Half like connections there are, half like none.
    fn rows(pack: &Pack, n: usize) -> Vec<(Row, bool)> {
        let mut chance = Chance::default();
        let mut rows = chance.connections(pack, n / 2);
        rows.extend((0..n / 2).map(|n| (chance.row(), n % 2 == 0)));
        rows
    }

    /// The engine, the plain weighing of one rule and the explanation's words come from different code, and must not part.
    #[test]
    fn explanation_and_engine_agree() {
        let pack = Pack::builtin();
        for (n, (row, failed)) in rows(&pack, 4_000).iter().enumerate() {
            let said = agree::disagreement(&pack, row, *failed);
            assert_eq!(said, None, "row {n}");
        }
    }

    /// Every verdict says something, whatever the facts.
    #[test]
    fn every_verdict_is_complete() {
        let pack = Pack::builtin();
        for (row, failed) in &rows(&pack, 800) {
            let weighed = weigh(&pack, row, *failed);
            let outcome = if *failed {
                Outcome::FailedHandshake
            } else {
                Outcome::Drop
            };
            let verdict = compose::Composer::new(&pack).verdict(
                row,
                &weighed,
                &compose::Names::default(),
                outcome,
            );
            let filled = !verdict.sentence.contains('\u{7b}');
            assert!(filled && !verdict.sentence.is_empty());
            assert!(verdict.evidence.iter().any(|e| e.supports));
            assert!(!verdict.rivals.is_empty() || !verdict.untestable.is_empty());
            assert!(
                verdict
                    .rivals
                    .iter()
                    .all(|r| Some(r.cause) != verdict.cause && !r.why.is_empty())
            );
            assert!(verdict.fix.iter().all(|f| !f.is_empty()));
            assert_eq!(
                verdict.cause == Some(Cause::Undecided),
                verdict.tier == Tier::Undecided
            );
        }
    }

    /// Taking facts away from a sample that fires may weaken its verdict, and never names another cause as surely.
    #[test]
    fn a_missing_fact_never_swaps_a_cause_for_a_certain_one() {
        let pack = Pack::builtin();
        for rule in &pack.rules {
            for sample in rule.samples.iter().filter(|s| s.expect == Expect::Fires) {
                let failed = sample.handshake_failed(rule);
                let whole = weigh(&pack, &sample.row(), failed);
                for taken in 0..sample.facts.len() {
                    let mut less = sample.row();
                    less.put(sample.facts[taken].0, Reading::default());
                    let weighed = weigh(&pack, &less, failed);
                    let swapped =
                        weighed.best.is_some_and(|b| b != rule.cause) && weighed.tier >= whole.tier;
                    let general = weighed.best.is_some_and(|b| rule.beats.contains(&b));
                    assert!(
                        !swapped || general,
                        "{} without {}: {:?} {:?}",
                        rule.path,
                        FACTS[sample.facts[taken].0].name,
                        weighed.best,
                        weighed.tier
                    );
                }
            }
        }
    }
}
