//! The tests of the rules that came close to one verdict -> a table of what each wanted and what was seen.

use super::super::style::{cut, pad};
use super::super::width_of;
use super::Page;
use crate::model::{Cause, RivalVerdict, Test, Truth};
use std::io::{self, Write};

impl Page<'_> {
    /// How a rule came out: met, ruled out and by what, weaker, not to be tested.
    fn standing(&self, cause: Cause) -> String {
        let v = &self.judged.verdict;
        if v.cause == Some(cause) {
            return format!("the verdict, {}", v.tier.name());
        }
        if let Some(rival) = v.rivals.iter().find(|r| r.cause == cause) {
            let name = match rival.verdict {
                RivalVerdict::RuledOut => "ruled out",
                RivalVerdict::Weaker => "weaker",
                RivalVerdict::Untestable => "untestable",
            };
            return format!("{name}: {}", self.text(&rival.why));
        }
        match v.untestable.iter().find(|u| u.cause == cause) {
            Some(open) => format!("untestable: needs {}", self.text(&open.needs)),
            None => "tested".to_owned(),
        }
    }

    /// What every rule that came close wanted, and what was seen, where.
    pub(super) fn tests(&self, out: &mut impl Write) -> io::Result<()> {
        let tests = &self.judged.verdict.tests;
        if tests.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", self.look.bold("why"))?;
        let longest = |of: &dyn Fn(&Test) -> String| {
            tests.iter().map(|t| width_of(&of(t))).max().unwrap_or(0)
        };
        let wanted_w = longest(&|t| self.text(&t.wanted)).min(40);
        let fact_w = longest(&|t| t.fact.to_string());
        let seen_w = longest(&|t| self.text(&t.seen)).min(24);
        let mut cause = None;
        for test in tests {
            if cause != Some(test.cause) {
                writeln!(
                    out,
                    "  {} {} ({})",
                    test.cause.code(),
                    self.look.bold(test.cause.id()),
                    self.standing(test.cause)
                )?;
                cause = Some(test.cause);
            }
            let mark = match test.truth {
                Truth::Shown => self.look.green(self.look.mark("✓", "y")),
                Truth::Refuted => self.look.red(self.look.mark("✗", "n")),
                Truth::Unobserved => self.look.dim("?"),
            };
            // Nothing is off where it is as wanted.
            let off = test
                .distance
                .as_deref()
                .filter(|_| test.truth == Truth::Refuted)
                .map(|d| format!("off by {}", self.text(d)));
            let places = test.records.iter().take(2).map(|r| self.place(*r));
            let more = test.records.len().saturating_sub(2);
            let more = (more > 0).then(|| format!("and {more} more"));
            let tail: Vec<String> = off.into_iter().chain(places).chain(more).collect();
            let required = if test.required { "required" } else { "" };
            let line = format!(
                "    {mark} {}  {}  {}  {}  {}",
                pad(&self.text(&test.fact), fact_w),
                pad(
                    &cut(&self.text(&test.wanted), wanted_w, self.look),
                    wanted_w
                ),
                pad(required, 8),
                pad(&cut(&self.text(&test.seen), seen_w, self.look), seen_w),
                tail.join(", ")
            );
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
