//! A verdict -> the rows of the Why screen: each rule that came close, what it needed, what was seen.

use std::collections::BTreeSet;

use crate::model::{Cause, Judged, RivalVerdict, Test, Truth};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The verdict's own cause.
    Met,
    RuledOut,
    Weaker,
    Untestable,
    /// Tested, and no word about why it lost.
    Tested,
}

impl Standing {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::RuledOut => "ruled out",
            Self::Weaker => "weaker",
            Self::Untestable => "untestable",
            Self::Tested => "tested",
        }
    }
    pub const fn glyph(self) -> &'static str {
        match self {
            Self::Met => "✓",
            Self::RuledOut => "✗",
            Self::Weaker => "○",
            Self::Untestable => "?",
            Self::Tested => "·",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Reason<'a> {
    /// A rule begins; `why` says in words what came of it.
    Rule {
        cause: Cause,
        standing: Standing,
        why: &'a str,
    },
    Test {
        test: &'a Test,
        /// Another line of its group held instead: the rule is met although this one is not.
        spared: bool,
    },
    /// What would settle it.
    Needs(Cause, &'a str),
}

pub fn rows(judged: &Judged) -> Vec<Reason<'_>> {
    let v = &judged.verdict;
    let mut rows = Vec::new();
    let mut done = BTreeSet::new();
    let tests = |cause: Cause, met: bool| {
        let mut seen = BTreeSet::new();
        v.tests
            .iter()
            .filter(move |t| t.cause == cause)
            .filter(move |t| seen.insert((&t.fact, &t.wanted)))
            .map(move |test| Reason::Test {
                test,
                spared: met && test.required && test.truth != Truth::Shown,
            })
    };
    if let Some(cause) = v.cause {
        done.insert(cause);
        let standing = if cause == Cause::Undecided {
            Standing::Tested
        } else {
            Standing::Met
        };
        rows.push(Reason::Rule {
            cause,
            standing,
            why: "",
        });
        rows.extend(tests(cause, standing == Standing::Met));
    }
    for rival in &v.rivals {
        let standing = match rival.verdict {
            RivalVerdict::RuledOut => Standing::RuledOut,
            RivalVerdict::Weaker => Standing::Weaker,
            RivalVerdict::Untestable => Standing::Untestable,
        };
        if done.insert(rival.cause) {
            rows.push(Reason::Rule {
                cause: rival.cause,
                standing,
                why: &rival.why,
            });
            rows.extend(tests(rival.cause, false));
        }
    }
    for test in &v.tests {
        if done.insert(test.cause) {
            let refuted = v
                .tests
                .iter()
                .any(|t| t.cause == test.cause && t.required && t.truth == Truth::Refuted);
            let standing = if refuted {
                Standing::RuledOut
            } else {
                Standing::Tested
            };
            rows.push(Reason::Rule {
                cause: test.cause,
                standing,
                why: "",
            });
            rows.extend(tests(test.cause, false));
        }
    }
    for untestable in &v.untestable {
        if done.insert(untestable.cause) {
            rows.push(Reason::Rule {
                cause: untestable.cause,
                standing: Standing::Untestable,
                why: "",
            });
        }
        rows.push(Reason::Needs(untestable.cause, &untestable.needs));
    }
    rows
}
