//! One row of facts, weighed against every rule: what holds, what is refuted, what can't be told.

use super::fact::{NamedDuration, Reading, Row, Value, Witnesses};
use super::pack::Pack;
use super::rule::{Condition, Line, Rule, Want};
use crate::model::{Cause, Strength, Tier, Truth};

/// A rule that is not fully shown is in the running from this many bits on.
pub const POSSIBLE_BITS: i32 = 4;

/// How a rule stands for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A condition of its scope is refuted: index into `scope`.
    OutOfScope(usize),
    /// An evidence line takes it out: index into `evidence`.
    RuledOut(usize),
    /// Not refuted, and too little is shown. The index is that of the first required line that nothing shows, if any.
    Untestable(Option<usize>),
    /// In the running, at [`Score::tier`].
    Running,
}

/// How one rule came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub cause: Cause,
    pub standing: Standing,
    pub tier: Tier,
    pub bits: i32,
    /// Of each evidence line, in the rule's order.
    pub truths: Vec<Truth>,
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

/// Weighs a row against the rules that are asked about such a connection.
pub fn weigh(pack: &Pack, row: &Row, handshake_failed: bool) -> Weighed {
    let mut scores: Vec<Score> = pack
        .asked()
        .filter(|r| r.phase.asks(handshake_failed))
        .map(|rule| score(rule, row))
        .collect();
    scores.sort_by_key(|s| {
        let running = s.standing == Standing::Running;
        (
            !running,
            std::cmp::Reverse((s.tier, if running { s.bits } else { 0 })),
            s.cause,
        )
    });
    let mut running = scores
        .iter()
        .take_while(|s| s.standing == Standing::Running)
        .count();
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
        };
    };
    let (best, mut tier) = (top.cause, top.tier);
    // A closer explanation that is still possible keeps the general one from being certain.
    running = running.min(scores.len());
    let open = scores[..running]
        .iter()
        .any(|s| pack.rule(s.cause).is_some_and(|r| r.beats.contains(&best)));
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
    }
}

/// Index of the score that no other in the running beats by declared order; they come sorted by (tier, bits, code).
fn closest(pack: &Pack, running: &[Score]) -> usize {
    let mut best = 0;
    // Orders are free of circles, so that this ends after as many steps as there are rules.
    for _ in 0..running.len() {
        let (cause, tier) = (running[best].cause, running[best].tier);
        let closer = running.iter().position(|s| {
            s.tier >= tier.min(Tier::Likely)
                && pack.rule(s.cause).is_some_and(|r| r.beats.contains(&cause))
        });
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

/// Weighs one rule.
pub fn score(rule: &Rule, row: &Row) -> Score {
    let truths: Vec<Truth> = rule
        .evidence
        .iter()
        .map(|l| truth(&l.condition, row))
        .collect();
    let scored = |standing, tier, bits| Score {
        cause: rule.cause,
        standing,
        tier,
        bits,
        truths: truths.clone(),
    };
    if let Some(at) = rule
        .scope
        .iter()
        .position(|c| truth(c, row) == Truth::Refuted)
    {
        return scored(Standing::OutOfScope(at), Tier::Undecided, 0);
    }
    let (mut bits, mut missing, mut seen) = (0, None, false);
    let mut doubt = false;
    let mut ground = Witnesses::default();
    let mut seen_on_the_wire = false;
    for (first, line) in rule.evidence.iter().enumerate() {
        let members = members(rule, first);
        if members.first() != Some(&first) {
            continue; // its group was weighed with its first line
        }
        let shown = || {
            members
                .iter()
                .copied()
                .filter(|&i| truths[i] == Truth::Shown)
        };
        let refuted = || {
            members
                .iter()
                .copied()
                .filter(|&i| truths[i] == Truth::Refuted)
        };
        if shown().next().is_some() {
            seen = true;
            bits += shown()
                .map(|i| strength_bits(rule.evidence[i].if_true))
                .max()
                .unwrap_or(0);
            for i in shown() {
                let witness = witnesses(&rule.evidence[i].condition, row);
                // Lines without weight are told, and carry nothing.
                if rule.evidence[i].if_true.is_some() {
                    ground = ground.and(witness);
                }
                seen_on_the_wire |=
                    rule.evidence[i].if_true == Some(Strength::Decisive) && witness.capture;
            }
            continue;
        }
        let against = refuted().map(|i| rule.evidence[i].if_false).max().flatten();
        let all = refuted().count() == members.len();
        if let Some(by) = refuted().find(|&i| rule.evidence[i].if_false == Some(Strength::Decisive))
        {
            return scored(Standing::RuledOut(by), Tier::Undecided, bits);
        }
        if all && line.required {
            return scored(Standing::RuledOut(first), Tier::Undecided, bits);
        }
        bits -= strength_bits(against);
        doubt |= against >= Some(Strength::Strong);
        if line.required {
            missing = missing.or(Some(first));
        }
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
        _ => return scored(Standing::Untestable(missing), Tier::Undecided, bits),
    };
    scored(Standing::Running, tier, bits)
}

/// The lines that stand for the same thing as this one, itself included, ascending.
pub fn members(rule: &Rule, at: usize) -> Vec<usize> {
    match rule.evidence.get(at).and_then(|l| l.group.as_ref()) {
        None => vec![at],
        Some(group) => (0..rule.evidence.len())
            .filter(|&i| rule.evidence[i].group.as_ref() == Some(group))
            .collect(),
    }
}

fn strength_bits(strength: Option<Strength>) -> i32 {
    strength.map_or(0, Strength::bits)
}

fn reading(row: &Row, fact: usize) -> Option<&Reading> {
    row.readings.get(fact)
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
