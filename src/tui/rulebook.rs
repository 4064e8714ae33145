//! Verdicts -> one row for each rule: what it decided, what it came close to, and on what that rested.

use std::collections::BTreeMap;

use crate::model::{Analysis, Cause, RivalVerdict, Tier, Truth};

/// Different texts counted for one rule; more are not told apart.
const TEXTS: usize = 200;

/// What a rule says of itself, whatever the case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulePage {
    pub code: String,
    /// The file it was read from.
    pub file: String,
    pub meaning: String,
    /// Rows of facts and what must come of each: `fires: idle.gap_before_close = 60 s, ...`.
    pub samples: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct RuleRow {
    /// `None` for what is found over many connections.
    pub cause: Option<Cause>,
    pub code: String,
    pub name: String,
    /// Connections whose verdict it is, or findings of this kind.
    pub hits: usize,
    /// Of those: certain, likely, possible.
    pub tiers: [usize; 3],
    /// Connections for which it held, and another rule held better.
    pub weaker: usize,
    pub ruled_out: usize,
    pub untestable: usize,
    /// What its verdicts rest on: test, times it held, times it was made.
    pub rests_on: Vec<(String, usize, usize)>,
    /// What ruled it out, what it would need: text, times.
    pub against: Vec<(String, usize)>,
    pub needs: Vec<(String, usize)>,
    /// What findings of this kind say.
    pub says: Vec<String>,
    /// The surest connection that it decided, and one that it came near to without deciding it: id, what was said.
    pub example: Option<(String, String)>,
    pub near_miss: Option<(String, String)>,
}

#[derive(Default)]
struct Tally<'a> {
    tiers: [usize; 3],
    hits: usize,
    weaker: usize,
    ruled_out: usize,
    untestable: usize,
    /// Helping or required, fact, what is wanted -> times it held, times it was made.
    tests: Tests<'a>,
    against: BTreeMap<&'a str, usize>,
    needs: BTreeMap<&'a str, usize>,
    example: Option<(Tier, String, String)>,
    near_miss: Option<(String, String)>,
}

type Tests<'a> = BTreeMap<(bool, &'a str, &'a str), (usize, usize)>;

fn count<'a>(texts: &mut BTreeMap<&'a str, usize>, text: &'a str) {
    if let Some(n) = texts.get_mut(text) {
        *n += 1;
    } else if texts.len() < TEXTS {
        texts.insert(text, 1);
    }
}

/// Those that decided something first, then those that came close.
pub fn build(analysis: &Analysis) -> Vec<RuleRow> {
    let mut tallies: BTreeMap<Cause, Tally<'_>> =
        Cause::ALL.iter().map(|c| (*c, Tally::default())).collect();
    for judged in &analysis.connections {
        let v = &judged.verdict;
        if let Some(tally) = v.cause.and_then(|c| tallies.get_mut(&c)) {
            tally.hits += 1;
            let surer = |known: &(Tier, String, String)| known.0 >= v.tier;
            if !tally.example.as_ref().is_some_and(surer) {
                let id = judged.connection.id.clone();
                tally.example = Some((v.tier, id, v.sentence.clone()));
            }
            match v.tier {
                Tier::Certain => tally.tiers[0] += 1,
                Tier::Likely => tally.tiers[1] += 1,
                Tier::Possible => tally.tiers[2] += 1,
                Tier::Undecided => {}
            }
            let mut made = std::collections::BTreeSet::new();
            for t in v.tests.iter().filter(|t| Some(t.cause) == v.cause) {
                if !made.insert((&t.fact, &t.wanted)) {
                    continue;
                }
                let key = (!t.required, &*t.fact, &*t.wanted);
                let (held, all) = tally.tests.entry(key).or_default();
                *held += usize::from(t.truth == Truth::Shown);
                *all += 1;
            }
        }
        for rival in &v.rivals {
            let Some(tally) = tallies.get_mut(&rival.cause) else {
                continue;
            };
            // Near is what held where another held better; what was ruled out is counted.
            if rival.verdict == RivalVerdict::Weaker && tally.near_miss.is_none() {
                tally.near_miss = Some((judged.connection.id.clone(), rival.why.to_string()));
            }
            match rival.verdict {
                RivalVerdict::Weaker => tally.weaker += 1,
                RivalVerdict::RuledOut => {
                    tally.ruled_out += 1;
                    count(&mut tally.against, &rival.why);
                }
                RivalVerdict::Untestable => tally.untestable += 1,
            }
        }
        for untestable in &v.untestable {
            if let Some(tally) = tallies.get_mut(&untestable.cause) {
                if !v
                    .rivals
                    .iter()
                    .any(|r| r.cause == untestable.cause && r.verdict == RivalVerdict::Untestable)
                {
                    tally.untestable += 1;
                }
                count(&mut tally.needs, &untestable.needs);
            }
        }
    }
    let mut rows: Vec<RuleRow> = tallies
        .into_iter()
        .map(|(cause, tally)| RuleRow {
            cause: Some(cause),
            code: cause.code().to_owned(),
            name: cause.id().to_owned(),
            hits: tally.hits,
            tiers: tally.tiers,
            weaker: tally.weaker,
            ruled_out: tally.ruled_out,
            untestable: tally.untestable,
            rests_on: rests_on(tally.tests),
            against: most(tally.against),
            needs: most(tally.needs),
            says: Vec::new(),
            example: tally.example.map(|(_, id, say)| (id, say)),
            near_miss: tally.near_miss,
        })
        .collect();
    rows.extend(beside(analysis));
    rows.sort_by(|a, b| {
        let weight = |r: &RuleRow| (r.hits, r.weaker, r.untestable, r.ruled_out);
        weight(b).cmp(&weight(a)).then_with(|| a.code.cmp(&b.code))
    });
    rows
}

/// Required tests first, those that held most often first; what never held is no ground.
fn rests_on(tests: Tests<'_>) -> Vec<(String, usize, usize)> {
    let mut all: Vec<_> = tests
        .into_iter()
        .filter(|(_, (held, _))| *held > 0)
        .map(|((helping, fact, wanted), times)| {
            let name = format!("{}: {wanted}", fact.replace(['_', '.'], " "));
            ((helping, name), times)
        })
        .collect();
    all.sort_by_key(|((helping, name), (held, _))| {
        (*helping, std::cmp::Reverse(*held), name.clone())
    });
    all.into_iter()
        .map(|((_, name), (held, all))| (name, held, all))
        .collect()
}

fn most(texts: BTreeMap<&str, usize>) -> Vec<(String, usize)> {
    let mut all: Vec<_> = texts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    all.truncate(5);
    all.into_iter()
        .map(|(text, n)| (text.to_owned(), n))
        .collect()
}

/// Incidents and findings, by their code.
fn beside(analysis: &Analysis) -> Vec<RuleRow> {
    let incidents = analysis
        .incidents
        .iter()
        .map(|i| (&i.code, &i.kind, &i.say));
    let findings = analysis.findings.iter().map(|f| (&f.code, &f.kind, &f.say));
    let mut rows: BTreeMap<&str, RuleRow> = BTreeMap::new();
    for (code, kind, say) in incidents.chain(findings) {
        let row = rows.entry(code).or_default();
        row.code.clone_from(code);
        row.name.clone_from(kind);
        row.hits += 1;
        if row.says.len() < TEXTS {
            row.says.push(say.clone());
        }
    }
    rows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::fixture;

    #[test]
    fn rules_are_counted_by_what_they_decided() {
        let rows = build(&fixture());
        let said: Vec<String> = rows
            .iter()
            .filter(|r| r.hits > 0)
            .map(|r| format!("{} {}", r.code, r.hits))
            .collect();
        let summary = fixture().summary();
        assert_eq!(said.len(), summary.by_cause.len() + 1, "{said:?}");
        for (cause, n) in summary.by_cause {
            assert!(said.contains(&format!("{} {n}", cause.code())), "{said:?}");
        }
        assert!(said.contains(&"W703 1".to_owned()));
        assert_eq!(rows.len(), Cause::ALL.len() + 1);
        let idle = rows.iter().find(|r| r.code == "W101").expect("the rule");
        assert!(!idle.rests_on.is_empty());
        assert!(idle.rests_on.iter().all(|(_, held, all)| held <= all));
    }
}
