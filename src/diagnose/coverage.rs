//! Every condition of a pack and every sample in it -> where the condition is shown, refuted and unobserved, and what no sample tries.

use super::eval;
use super::explain::wanted;
use super::fact::{FACTS, FactType, NamedDuration, Reading, Row, Value, Witnesses};
use super::pack::Pack;
use super::rule::{Condition, Rule, Want};
use crate::model::{Cause, Truth};

/// Which part of a rule a condition stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Scope,
    Evidence,
    Contributing,
    Fix,
}

impl Part {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Evidence => "evidence",
            Self::Contributing => "contributing",
            Self::Fix => "fix",
        }
    }
}

/// One condition, and how many samples of the pack show it, refute it and leave it unobserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    pub cause: Cause,
    pub part: Part,
    pub fact: &'static str,
    pub wanted: String,
    pub shown: usize,
    pub refuted: usize,
    pub unobserved: usize,
}

impl Covered {
    /// Tried both ways, and without an answer.
    pub const fn is_whole(&self) -> bool {
        self.shown > 0 && self.refuted > 0 && self.unobserved > 0
    }
}

/// Every condition of a rule, with the part that it stands in.
pub fn conditions(rule: &Rule) -> impl Iterator<Item = (Part, &Condition)> {
    let scope = rule.scope.iter().map(|c| (Part::Scope, c));
    let evidence = rule.evidence.iter().map(|l| (Part::Evidence, &l.condition));
    let contributing = rule
        .contributing
        .iter()
        .flat_map(|c| &c.when)
        .map(|c| (Part::Contributing, c));
    let fixes = rule
        .fixes
        .iter()
        .flat_map(|f| &f.when)
        .map(|c| (Part::Fix, c));
    scope.chain(evidence).chain(contributing).chain(fixes)
}

/// The conditions of the rules that are asked, over all samples of the pack.
pub fn coverage(pack: &Pack) -> Vec<Covered> {
    let rows: Vec<Row> = pack
        .rules
        .iter()
        .flat_map(|r| &r.samples)
        .map(super::rule::Sample::row)
        .collect();
    pack.asked()
        .flat_map(|rule| conditions(rule).map(move |(part, c)| (rule, part, c)))
        .map(|(rule, part, condition)| {
            let count = |truth: Truth| {
                rows.iter()
                    .filter(|row| eval::truth(condition, row) == truth)
                    .count()
            };
            Covered {
                cause: rule.cause,
                part,
                fact: FACTS.get(condition.fact).map_or("", |f| f.name),
                wanted: wanted(condition),
                shown: count(Truth::Shown),
                refuted: count(Truth::Refuted),
                unobserved: count(Truth::Unobserved),
            }
        })
        .collect()
}

/// The row with one fact changed.
fn with(row: &Row, fact: usize, value: Option<Value>) -> Row {
    let mut out = row.clone();
    out.put(
        fact,
        Reading {
            value,
            records: Vec::new(),
            witness: Witnesses {
                capture: true,
                ..Witnesses::default()
            },
        },
    );
    out
}

/// Boundary twins: the row with the condition's fact as close as can be on either side of what is wanted, and unobserved, everything
/// else held; each with what the condition must say to it. None where the row lacks what the fact is compared with.
pub fn twins(condition: &Condition, row: &Row) -> Vec<(Row, Truth)> {
    let fact = condition.fact;
    let number = |n: i64| match FACTS.get(fact).map(|f| f.kind) {
        Some(FactType::Duration) => Value::Duration(n),
        _ => Value::Count(n),
    };
    let mut out: Vec<(Option<Value>, Truth)> = vec![(None, Truth::Unobserved)];
    let mut put = |value: Value, holds: bool| {
        let truth = if holds { Truth::Shown } else { Truth::Refuted };
        out.push((Some(value), truth));
    };
    match &condition.want {
        Want::Bool(want) => {
            put(Value::Bool(*want), true);
            put(Value::Bool(!*want), false);
        }
        Want::Words(wanted) => {
            if let Some(FactType::Word(all)) = FACTS.get(fact).map(|f| f.kind) {
                for word in all {
                    put(Value::Word(word), wanted.contains(word));
                }
            }
        }
        Want::Counts(counts) => {
            for n in counts {
                put(Value::Count(*n), true);
                for near in [n - 1, n + 1] {
                    put(Value::Count(near), counts.contains(&near));
                }
            }
        }
        Want::AtLeast(n) => {
            put(number(*n), true);
            put(number(n - 1), false);
        }
        Want::AtMost(n) => {
            put(number(*n), true);
            put(number(n + 1), false);
        }
        Want::Between(low, high) => {
            put(number(*low), true);
            put(number(*high), true);
            put(number(low - 1), false);
            put(number(high + 1), false);
        }
        Want::NearAny {
            list,
            ratio,
            at_least_ns,
        } => {
            // A list of one: its neighbours could be near as well.
            let at = match eval::value(row, *list) {
                Some(Value::Durations(all)) if !all.is_empty() => all[0].ns,
                _ => 60_000_000_000,
            };
            let one = NamedDuration {
                ns: at,
                name: "a time-out".to_owned(),
                hop: String::new(),
            };
            let room = eval::tolerance(at, *ratio, *at_least_ns);
            let base = with(row, *list, Some(Value::Durations(vec![one])));
            let mut made: Vec<(Row, Truth)> = Vec::new();
            for (ns, truth) in [
                (at - room, Truth::Shown),
                (at + room, Truth::Shown),
                (at - room - 1, Truth::Refuted),
                (at + room + 1, Truth::Refuted),
            ] {
                made.push((with(&base, fact, Some(Value::Duration(ns))), truth));
            }
            made.push((with(&base, fact, None), Truth::Unobserved));
            return made;
        }
        Want::Reaches { other, ratio } | Want::Below { other, ratio } => {
            let against = eval::duration(row, *other).unwrap_or(60_000_000_000);
            let base = with(row, *other, Some(Value::Duration(against)));
            let edge = (against as f64 * ratio).ceil() as i64;
            let reaches = matches!(condition.want, Want::Reaches { .. });
            let of = |holds: bool| if holds { Truth::Shown } else { Truth::Refuted };
            return vec![
                (with(&base, fact, None), Truth::Unobserved),
                (with(&base, fact, Some(Value::Duration(edge))), of(reaches)),
                (
                    with(&base, fact, Some(Value::Duration(edge - 1))),
                    of(!reaches),
                ),
            ];
        }
    }
    out.into_iter()
        .map(|(value, truth)| (with(row, fact, value), truth))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::rule::Expect;
    use super::*;

    #[test]
    fn every_condition_is_tried_both_ways_and_without_an_answer() {
        let gaps: Vec<String> = coverage(&Pack::builtin())
            .iter()
            .filter(|c| !c.is_whole())
            .map(|c| {
                format!(
                    "{} {}: {} {}: {} shown, {} refuted, {} unobserved",
                    c.cause.id(),
                    c.part.name(),
                    c.fact,
                    c.wanted,
                    c.shown,
                    c.refuted,
                    c.unobserved
                )
            })
            .collect();
        assert!(gaps.is_empty(), "\n{}\n", gaps.join("\n"));
    }

    /// At the very edge, with everything else held, each condition says what it should.
    #[test]
    fn boundary_twins_come_out_on_their_sides() {
        let pack = Pack::builtin();
        let mut tried = 0;
        for rule in pack.asked() {
            for sample in &rule.samples {
                for (_, condition) in conditions(rule) {
                    for (row, truth) in twins(condition, &sample.row()) {
                        tried += 1;
                        assert_eq!(
                            eval::truth(condition, &row),
                            truth,
                            "{}:{}: {} {}",
                            rule.path,
                            sample.line,
                            FACTS[condition.fact].name,
                            wanted(condition)
                        );
                    }
                }
            }
        }
        assert!(tried > 5_000, "{tried}");
    }

    /// Each rule can win: some sample of it fires.
    #[test]
    fn every_rule_can_fire() {
        let pack = Pack::builtin();
        for rule in pack.asked() {
            let fires = rule.samples.iter().any(|s| s.expect == Expect::Fires);
            assert!(fires, "{}", rule.path);
        }
    }
}
