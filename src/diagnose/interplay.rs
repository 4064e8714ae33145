//! A whole pack -> rules that get in each other's way, and lines that weigh nothing.

use super::coverage::twins;
use super::eval;
use super::explain::wanted;
use super::fact::FACTS;
use super::lint::RuleError;
use super::pack::Pack;
use super::rule::{Line, Rule, Status};
use crate::model::{Cause, Tier};

/// Where two rules both hold, this many bits between them are no chance.
const MARGIN: i32 = 4;

/// Every such mistake, rule by rule.
pub fn check(pack: &Pack) -> Vec<RuleError> {
    let all = || pack.rules.iter().chain(&pack.own);
    let mut out = Vec::new();
    for (at, rule) in all().enumerate() {
        if rule.status == Status::Deprecated || rule.cause == Cause::Undecided {
            continue;
        }
        out.extend(rule.evidence.iter().filter_map(|l| idle(rule, l)));
        let earlier = all().take(at);
        out.extend(earlier.filter_map(|other| shadowed(rule, other)).take(1));
        out.extend(double(pack, rule));
    }
    out
}

/// A line whose answer changes nothing in any sample of its rule, whatever it is.
fn idle(rule: &Rule, line: &Line) -> Option<RuleError> {
    if line.if_true.is_none() && line.if_false.is_none() && !line.required {
        // Told, and meant to weigh nothing.
        return None;
    }
    let differs = rule.samples.iter().any(|sample| {
        let mut of = twins(&line.condition, &sample.row())
            .into_iter()
            .map(|(row, _)| {
                let score = eval::score(rule, &row);
                (score.standing, score.tier, score.bits)
            });
        let first = of.next();
        of.any(|s| Some(s) != first)
    });
    (!differs).then(|| RuleError {
        code: "R039",
        path: rule.path.clone(),
        line: line.at,
        column: 1,
        message: format!(
            "this line never changes a verdict: {} {}",
            FACTS.get(line.condition.fact).map_or("", |f| f.name),
            wanted(&line.condition)
        ),
        help: Some(
            "give it a strength that counts beside the other lines of its group, add a [[sample]] in which it decides, or take it out"
                .to_owned(),
        ),
    })
}

/// Asks the same as an earlier rule of the same cause: that one is always the one to speak.
fn shadowed(rule: &Rule, other: &Rule) -> Option<RuleError> {
    let conditions = |r: &Rule| {
        let lines = r.evidence.iter().map(|l| l.condition.clone());
        (r.scope.clone(), lines.collect::<Vec<_>>())
    };
    let same = rule.cause == other.cause
        && rule.own.is_some() == other.own.is_some()
        && conditions(rule) == conditions(other);
    same.then(|| RuleError {
        code: "R040",
        path: rule.path.clone(),
        line: 1,
        column: 1,
        message: format!(
            "{} asks the same as {} ({}), which always speaks first",
            rule.name(),
            other.name(),
            other.path
        ),
        help: Some("make one rule of them, or let one ask something else".to_owned()),
    })
}

/// Two rules that are both shown need a declared order or a clear margin, or chance decides.
fn double(pack: &Pack, rule: &Rule) -> Vec<RuleError> {
    let mut out = Vec::new();
    for sample in &rule.samples {
        let weighed = eval::weigh(pack, &sample.row(), sample.handshake_failed(rule));
        let Some(best) = weighed.best.and_then(|b| pack.rule(b)) else {
            continue;
        };
        let Some(first) = weighed.score(best.cause) else {
            continue;
        };
        for other in weighed.weaker().filter(|s| s.tier >= Tier::Likely) {
            if first.bits - other.bits < MARGIN && !best.beats.contains(&other.cause) {
                out.push(RuleError {
                    code: "R041",
                    path: rule.path.clone(),
                    line: sample.line,
                    column: 1,
                    message: format!(
                        "`{}` and `{}` both hold for this sample, and nothing says which is closer",
                        best.cause.id(),
                        other.cause.id()
                    ),
                    help: Some(format!(
                        "name the other one in `beats` of the closer explanation, or tell them apart by {MARGIN} bits"
                    )),
                });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pack: &Pack) -> Vec<String> {
        check(pack).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_built_in_rules_leave_each_other_room() {
        let found = said(&Pack::builtin());
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    /// The matrix of every sample against every rule: whatever fires beside the expected one is beaten by it, or far behind.
    #[test]
    fn every_sample_fires_its_own_rule_alone() {
        use crate::diagnose::rule::Expect;
        let pack = Pack::builtin();
        let (mut cells, mut beside) = (0, Vec::new());
        for rule in pack.asked() {
            for sample in rule.samples.iter().filter(|s| s.expect == Expect::Fires) {
                let weighed = eval::weigh(&pack, &sample.row(), sample.handshake_failed(rule));
                cells += weighed.scores.len();
                assert_eq!(
                    weighed.best,
                    Some(rule.cause),
                    "{}:{}",
                    rule.path,
                    sample.line
                );
                let first = weighed.score(rule.cause).map_or(0, |s| s.bits);
                let others = weighed
                    .weaker()
                    .filter(|s| s.tier >= weighed.tier && first - s.bits < MARGIN);
                beside.extend(
                    others
                        .filter(|s| !rule.beats.contains(&s.cause))
                        .map(|s| format!("{}:{}: {}", rule.path, sample.line, s.cause.id())),
                );
            }
        }
        assert!(cells > 1_000, "{cells}");
        assert!(beside.is_empty(), "\n{}\n", beside.join("\n"));
    }

    const OWN: &str = r#"
code = "U1"
cause = "policy-close"
title = "t"
meaning = "m"
status = "preview"
since = "0.1.0"
phase = "established"
runbook = ["C18"]
sentence = ["s"]

[[evidence]]
fact = "close.code"
is = [4410]
required = true
if_true = "decisive"
if_false = "decisive"
say = "4410"

[[fix]]
runbook = ["X5"]
say = "f"

[[sample]]
expect = "fires"
facts = { "close.frame" = true, "close.code" = 4410, "close.first_from" = "server" }

[[sample]]
expect = "near-miss"
facts = { "close.frame" = true, "close.code" = 4411, "close.first_from" = "server" }
"#;

    #[test]
    fn what_gets_in_the_way_is_named_with_its_line() {
        let check = |files: &[(&str, String)], expected: &[(&str, &str)]| {
            let files: Vec<(String, String)> = files
                .iter()
                .map(|(p, t)| ((*p).to_owned(), t.clone()))
                .collect();
            let pack = Pack::with_dir("mine", &files).unwrap();
            let found = said(&pack);
            assert_eq!(found.len(), expected.len(), "{found:#?}");
            for (found, (place, part)) in found.iter().zip(expected) {
                assert!(found.starts_with(place) && found.contains(part), "{found}");
            }
        };
        check(&[("one.toml", OWN.to_owned())], &[]);
        let twin = OWN.replace("\"U1\"", "\"U2\"");
        check(
            &[("one.toml", OWN.to_owned()), ("two.toml", twin)],
            &[(
                "two.toml:1:1: error[R040]",
                "U2 asks the same as U1 (one.toml)",
            )],
        );
        // A weaker witness of what a stronger one of its group says already.
        let idle = OWN.replace(
            "[[fix]]",
            "[[evidence]]\nfact = \"close.reported_server\"\nis = [1006]\nif_false = \"weak\"\ngroup = \"told\"\nsay = \"x\"\n\n\
             [[evidence]]\nfact = \"close.frame\"\nis = true\nif_true = \"strong\"\ngroup = \"told\"\nsay = \"y\"\n\n[[fix]]",
        );
        check(
            &[("one.toml", idle)],
            &[("one.toml:20:1: error[R039]", "close.reported_server")],
        );
    }
}
