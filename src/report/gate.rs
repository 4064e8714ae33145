//! An `Analysis` and a limit -> whether it passes, what of it fails, and the page that says so.

use super::groups::place;
use super::style::{pad, pad_left, wrap};
use super::{Look, Redactor};
use crate::model::{Analysis, Finding, Incident, Judged, RecordRef, Severity, Tier, catalogue};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// From where on something fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// `None` = nothing fails by its severity.
    pub fail_on: Option<Severity>,
    /// So many at or above it are let through.
    pub tolerate: usize,
    /// Codes of rules that fail whatever their severity, and however many are tolerated.
    pub denied: Vec<String>,
}

/// One thing found: a drop, a finding or an incident.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'a> {
    Drop(&'a Judged),
    Finding(&'a Finding),
    Incident(&'a Incident),
}

impl<'a> Item<'a> {
    /// The connection's id, for a drop.
    pub(super) fn id(self) -> Option<&'a str> {
        match self {
            Self::Drop(judged) => Some(&judged.connection.id),
            Self::Finding(_) | Self::Incident(_) => None,
        }
    }

    pub(super) fn say(self) -> &'a str {
        match self {
            Self::Drop(judged) => &judged.verdict.sentence,
            Self::Finding(finding) => &finding.say,
            Self::Incident(incident) => &incident.say,
        }
    }

    pub(super) fn fix(self) -> Option<&'a str> {
        let fix = match self {
            Self::Drop(judged) => &judged.verdict.fix,
            Self::Finding(finding) => &finding.fix,
            Self::Incident(incident) => &incident.fix,
        };
        fix.first().map(|f| &**f)
    }

    pub(super) fn tier(self) -> Option<Tier> {
        match self {
            Self::Drop(judged) => Some(judged.verdict.tier),
            Self::Finding(_) | Self::Incident(_) => None,
        }
    }

    /// The records it rests on, in their order, each once.
    pub(super) fn records(self) -> Vec<RecordRef> {
        let all: Vec<RecordRef> = match self {
            Self::Drop(judged) => judged
                .verdict
                .evidence
                .iter()
                .filter(|e| e.supports)
                .filter_map(|e| e.record)
                .collect(),
            Self::Finding(finding) => finding.records.clone(),
            Self::Incident(_) => Vec::new(),
        };
        let mut once: Vec<RecordRef> = Vec::new();
        for record in all {
            if !once.contains(&record) {
                once.push(record);
            }
        }
        once
    }
}

/// All that one rule found.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) code: &'a str,
    pub(super) name: &'a str,
    pub(super) severity: Severity,
    /// At or above the limit, or denied.
    pub(super) fails: bool,
    pub(super) items: Vec<Item<'a>>,
}

impl Entry<'_> {
    /// `4 drops`, `1 finding`.
    pub(super) fn count(&self) -> String {
        let word = match self.items.first() {
            Some(Item::Drop(_)) => "drop",
            _ => "finding",
        };
        super::groups::plural(self.items.len(), word)
    }
}

/// What the limit says of an analysis.
#[derive(Debug)]
pub struct Gate<'a> {
    /// The most severe first, then the most frequent.
    pub(super) entries: Vec<Entry<'a>>,
    limit: &'a Limit,
    at_limit: usize,
    denied: usize,
}

impl<'a> Gate<'a> {
    pub fn new(analysis: &'a Analysis, limit: &'a Limit) -> Self {
        let mut found: BTreeMap<&str, (&str, Vec<Item<'a>>)> = BTreeMap::new();
        for judged in &analysis.connections {
            if let Some(cause) = judged.verdict.cause {
                let entry = found
                    .entry(cause.code())
                    .or_insert((cause.id(), Vec::new()));
                entry.1.push(Item::Drop(judged));
            }
        }
        for incident in &analysis.incidents {
            let entry = found
                .entry(&incident.code)
                .or_insert((&incident.kind, Vec::new()));
            entry.1.push(Item::Incident(incident));
        }
        for finding in &analysis.findings {
            let entry = found
                .entry(&finding.code)
                .or_insert((&finding.kind, Vec::new()));
            entry.1.push(Item::Finding(finding));
        }
        let (mut at_limit, mut denied) = (0, 0);
        let mut entries: Vec<Entry<'a>> = found
            .into_iter()
            .map(|(code, (name, items))| {
                let severity = analysis.severity(code);
                let is_denied = limit.denied.iter().any(|d| d == code);
                let above = limit.fail_on.is_some_and(|least| severity >= least);
                if is_denied {
                    denied += items.len();
                } else if above {
                    at_limit += items.len();
                }
                Entry {
                    code,
                    name,
                    severity,
                    fails: is_denied || above,
                    items,
                }
            })
            .collect();
        entries.sort_by_key(|e| {
            (
                std::cmp::Reverse(e.severity),
                std::cmp::Reverse(e.items.len()),
                e.code,
            )
        });
        Self {
            entries,
            limit,
            at_limit,
            denied,
        }
    }

    pub fn failed(&self) -> bool {
        self.denied > 0 || self.at_limit > self.limit.tolerate
    }

    /// The rules that an entry may be of, those not met included.
    pub(super) fn rules(&self) -> Vec<(&'a str, &'a str, &'a str, Severity)> {
        let mut rules: Vec<(&str, &str, &str, Severity)> = catalogue().collect();
        for rule in &mut rules {
            if let Some(entry) = self.entries.iter().find(|e| e.code == rule.0) {
                rule.3 = entry.severity;
            }
        }
        for entry in &self.entries {
            if !rules.iter().any(|r| r.0 == entry.code) {
                rules.push((entry.code, entry.name, entry.name, entry.severity));
            }
        }
        rules
    }

    /// `failed: 4 findings at or above medium, 0 tolerated`.
    pub fn verdict(&self) -> String {
        let word = if self.failed() { "failed" } else { "passed" };
        let mut said = match self.limit.fail_on {
            None => format!("{word}: no severity fails"),
            Some(least) => format!(
                "{word}: {} at or above {}, {} tolerated",
                super::groups::plural(self.at_limit, "finding"),
                least.name(),
                self.limit.tolerate
            ),
        };
        if !self.limit.denied.is_empty() {
            said.push_str(&format!(
                "; {} of {}",
                super::groups::plural(self.denied, "finding"),
                self.limit.denied.join(", ")
            ));
        }
        said
    }

    /// One line for each rule that found something, and the verdict last; `quiet`: the verdict alone.
    pub fn write(
        &self,
        analysis: &Analysis,
        redactor: &Redactor,
        look: Look,
        quiet: bool,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let text = |t: &str| look.text(&redactor.text(t));
        if !quiet && !self.entries.is_empty() {
            writeln!(out)?;
            for entry in &self.entries {
                let mark = if entry.fails {
                    look.red(look.mark("✗", "x"))
                } else {
                    look.dim(look.mark("·", "."))
                };
                writeln!(
                    out,
                    "{mark} {}  {} {}  {}",
                    pad(entry.severity.name(), 6),
                    entry.code,
                    look.bold(&pad(&text(entry.name), 24)),
                    pad_left(&entry.count(), 11),
                )?;
                if let Some(first) = entry.items.first().filter(|_| entry.fails) {
                    let id = first.id().map_or_else(String::new, |id| format!("{id}: "));
                    let at = first.records().first().map_or_else(String::new, |record| {
                        format!(" ({})", place(analysis, *record))
                    });
                    let say = text(&format!("{id}{}{at}", first.say()));
                    for line in wrap(&say, look.width.saturating_sub(10)) {
                        writeln!(out, "          {line}")?;
                    }
                    for line in first.fix().iter().flat_map(|fix| {
                        wrap(
                            &format!("fix: {}", text(fix)),
                            look.width.saturating_sub(10),
                        )
                    }) {
                        writeln!(out, "          {line}")?;
                    }
                }
            }
            writeln!(out)?;
        }
        let verdict = self.verdict();
        let verdict = if self.failed() {
            look.red(&verdict)
        } else {
            look.green(&verdict)
        };
        writeln!(out, "{verdict}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    #[test]
    fn a_limit_is_kept() {
        let analysis = fabricated();
        // one W101 (medium), one W701 (medium), one W703 (info)
        #[track_caller]
        fn check(
            analysis: &Analysis,
            fail_on: Option<Severity>,
            tolerate: usize,
            denied: &[&str],
            failed: bool,
        ) {
            let limit = Limit {
                fail_on,
                tolerate,
                denied: denied.iter().map(|d| (*d).to_owned()).collect(),
            };
            let gate = Gate::new(analysis, &limit);
            assert_eq!(gate.failed(), failed, "{}", gate.verdict());
        }
        check(&analysis, Some(Severity::Medium), 0, &[], true);
        check(&analysis, Some(Severity::Medium), 1, &[], true);
        check(&analysis, Some(Severity::Medium), 2, &[], false);
        check(&analysis, Some(Severity::Info), 2, &[], true);
        check(&analysis, Some(Severity::High), 0, &[], false);
        check(&analysis, None, 0, &[], false);
        check(&analysis, None, 9, &["W703"], true);
        check(&analysis, Some(Severity::High), 0, &["W999"], false);
    }

    #[test]
    fn the_page_of_a_gate() {
        let analysis = fabricated();
        let limit = Limit {
            fail_on: Some(Severity::Medium),
            tolerate: 0,
            denied: vec!["W703".to_owned()],
        };
        let mut out = Vec::new();
        Gate::new(&analysis, &limit)
            .write(&analysis, &Redactor::none(), Look::PLAIN, false, &mut out)
            .expect("writes to memory");
        insta::assert_snapshot!("gate", String::from_utf8(out).expect("UTF-8"));
    }
}
