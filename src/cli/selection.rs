//! `-w`, `--min-confidence` and `--allow` as typed -> the connections that a command speaks of.

use super::args::{Confidence, Selection};
use super::failure::Failure;
use crate::diagnose::Pack;
use crate::model::{Analysis, BESIDE, Cause, Filter, Tier, inert};
use crate::report::{Selected, width_of};

/// What was asked for, checked.
#[derive(Debug)]
pub(super) struct Chosen {
    filters: Vec<Filter>,
    at_least: Option<Tier>,
    allowed: Vec<String>,
    /// As typed, for whoever reads the report.
    by: String,
}

impl Chosen {
    pub(super) fn new(args: &Selection, pack: &Pack) -> Result<Self, Failure> {
        let Selection {
            filters,
            min_confidence,
            allow,
        } = args;
        let mut by: Vec<String> = filters
            .iter()
            .map(|f| format!("-w {}", super::meaning::quote(f)))
            .collect();
        let at_least = min_confidence.map(|c| match c {
            Confidence::Possible => Tier::Possible,
            Confidence::Likely => Tier::Likely,
            Confidence::Certain => Tier::Certain,
        });
        by.extend(at_least.map(|t| format!("--min-confidence {}", t.name())));
        let allowed = allow
            .iter()
            .map(|name| rule("--allow", name, pack))
            .collect::<Result<Vec<_>, _>>()?;
        by.extend(allowed.iter().map(|code| format!("--allow {code}")));
        let filters: Vec<Filter> = filters
            .iter()
            .map(|text| parse(text))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            filters: with_notes(filters)?,
            at_least,
            allowed,
            by: by.join(" "),
        })
    }

    /// Nothing is left out.
    pub(super) const fn is_all(&self) -> bool {
        self.by.is_empty()
    }

    /// Leaves out what was not asked for, and says what is left.
    pub(super) fn apply(&self, analysis: &mut Analysis) -> Option<Selected> {
        if self.is_all() {
            return None;
        }
        let of = analysis.connections.len();
        let allowed = |code: &str| self.allowed.iter().any(|a| a == code);
        analysis.retain(|judged, analysis| {
            let verdict = &judged.verdict;
            let strong = verdict.cause.is_none() || self.at_least.is_none_or(|t| verdict.tier >= t);
            strong
                && !verdict.cause.is_some_and(|c| allowed(c.code()))
                && self.filters.iter().all(|f| f.matches(judged, analysis))
        });
        analysis.findings.retain(|f| !allowed(&f.code));
        analysis.incidents.retain(|i| !allowed(&i.code));
        Some(Selected {
            shown: analysis.connections.len(),
            of,
            by: self.by.clone(),
        })
    }

    /// All filters as one, for a view that goes on filtering.
    #[cfg(feature = "tui")]
    pub(super) fn filter(&self) -> String {
        let given: Vec<&str> = self
            .filters
            .iter()
            .filter(|f| !f.is_empty())
            .map(Filter::text)
            .collect();
        match given.as_slice() {
            [one] => (*one).to_owned(),
            several => several
                .iter()
                .map(|f| format!("({f})"))
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// The same without the filters, for a view that has its own.
    #[cfg(feature = "tui")]
    pub(super) fn without_filters(mut self) -> Self {
        self.filters.clear();
        if self.at_least.is_none() && self.allowed.is_empty() {
            self.by.clear();
        }
        self
    }
}

/// Filters that ask for marks or notes get those that the terminal UI keeps.
fn with_notes(filters: Vec<Filter>) -> Result<Vec<Filter>, Failure> {
    if !filters.iter().any(Filter::asks_notes) {
        return Ok(filters);
    }
    let notes = match super::kept::folder() {
        Some(folder) => super::kept::load(&folder)
            .map_err(|why| Failure::usage(format!("marks and notes can't be read: {why}")))?,
        None => crate::model::Notes::new(),
    };
    let notes = std::sync::Arc::new(notes);
    Ok(filters.into_iter().map(|f| f.over(&notes)).collect())
}

fn parse(text: &str) -> Result<Filter, Failure> {
    Filter::parse(text).map_err(|e| {
        let before: String = text.chars().take(e.column).collect();
        let caret = format!("{}^", " ".repeat(width_of(&inert(&before))));
        let failure = Failure::usage(format!("-w: {}", e.message))
            .because(text)
            .because(caret)
            .help("wsdrop help filters    lists the keys");
        if e.help.is_empty() {
            failure
        } else {
            failure.help(e.help)
        }
    })
}

/// A rule's code, from its code or its name.
pub(super) fn rule(flag: &str, name: &str, pack: &Pack) -> Result<String, Failure> {
    if let Some(cause) = Cause::parse(name) {
        return Ok(cause.code().to_owned());
    }
    if let Some((code, ..)) = BESIDE
        .iter()
        .find(|(code, id, ..)| code.eq_ignore_ascii_case(name) || *id == name)
    {
        return Ok((*code).to_owned());
    }
    if let Some(rule) = pack.find(name) {
        return Ok(rule.code().to_owned());
    }
    Err(Failure::usage(format!("{flag} {name}: no such rule")).help("wsdrop rules list"))
}
