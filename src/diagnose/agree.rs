//! A row and a pack -> whether the engine, the plain weighing of each rule and the explanation say the same of it.

use super::eval::{self, score};
use super::explain;
use super::fact::Row;
use super::pack::Pack;
use super::told::Told;
use crate::model::Truth;

/// The first thing that they say differently.
pub fn disagreement(pack: &Pack, row: &Row, handshake_failed: bool) -> Option<String> {
    let (scores, running) = pack.scores(row, handshake_failed);
    let weighed = eval::weigh(pack, row, handshake_failed);
    let asked = pack.asked().filter(|r| r.phase.asks(handshake_failed));
    if scores.len() != asked.count() || weighed.scores.len() != scores.len() {
        return Some(format!("{} rules weighed", scores.len()));
    }
    let mut told = Told::default();
    for (at, found) in scores.iter().enumerate() {
        let Some(rule) = pack.rule(found.cause) else {
            return Some(format!("no rule for {}", found.cause.id()));
        };
        let plain = score(rule, row);
        if *found != plain {
            return Some(format!(
                "{}: {found:?}, and line by line {plain:?}",
                rule.path
            ));
        }
        if (at < running) != (found.standing == eval::Standing::Running) {
            return Some(format!(
                "{}: at place {at} of {running} in the running",
                rule.path
            ));
        }
        for (line, test) in rule.evidence.iter().zip(told.why_not(rule, row)) {
            let truth = eval::truth(&line.condition, row);
            let distance = explain::distance(&line.condition, row);
            let near = distance.is_none_or(|d| (d.0 == 0) == (truth == Truth::Shown));
            let unseen = *test.seen != *"not observed" || truth == Truth::Unobserved;
            if test.truth != truth || !near || !unseen {
                return Some(format!("{}: {test:?}, and it is {truth:?}", rule.path));
            }
        }
    }
    let best = weighed.scores.first().filter(|_| running > 0);
    (best.map(|b| b.cause) != weighed.best)
        .then(|| format!("{:?} leads, and {:?} is the verdict", best, weighed.best))
}
