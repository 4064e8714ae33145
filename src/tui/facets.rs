//! Connections that pass the filter -> which values they have under each key, and how many have each: a filter to be picked, not typed.

use std::collections::BTreeMap;

use crate::model::{Analysis, Filter, Judged, filter};

use super::complete;
use super::rows::{self, is_drop};
use super::state::{Screen, State};

/// Keys that have few values, or whose frequent values tell something.
const KEYS: [&str; 9] = [
    "cause", "conf", "by", "hop", "code", "how", "client", "path", "host",
];
/// Values of one key.
const MOST: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    pub key: &'static str,
    /// As a filter has it, quoted where it must be.
    pub value: String,
    pub count: usize,
    /// The first of its key.
    pub first: bool,
    /// Values of its key that are left out; told on the last one.
    pub more: usize,
}

/// Most frequent values first; a key under which nothing is known is left out.
pub fn build(analysis: &Analysis, filter: &Filter, clean: bool) -> Vec<Facet> {
    let mut counts: BTreeMap<&'static str, BTreeMap<String, usize>> = BTreeMap::new();
    let mut shown = 0;
    let passing = analysis
        .connections
        .iter()
        .filter(|j| (clean || is_drop(j)) && filter.matches(j, analysis));
    for judged in passing {
        shown += 1;
        for key in KEYS {
            for value in values(key, judged, analysis) {
                *counts.entry(key).or_default().entry(value).or_default() += 1;
            }
        }
    }
    let mut rows = Vec::new();
    for key in KEYS {
        let mut all: Vec<_> = counts.remove(key).into_iter().flatten().collect();
        // A hop that is on every path chooses nothing.
        all.retain(|(_, count)| key != "hop" || *count < shown);
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let more = all.len().saturating_sub(MOST);
        all.truncate(MOST);
        let last = all.len().saturating_sub(1);
        rows.extend(
            all.into_iter()
                .enumerate()
                .map(|(i, (value, count))| Facet {
                    key,
                    value,
                    count,
                    first: i == 0,
                    more: if i == last { more } else { 0 },
                }),
        );
    }
    rows
}

/// Clients count by their network, the rest as completion has it.
fn values(key: &str, judged: &Judged, analysis: &Analysis) -> Vec<String> {
    match key {
        "client" => {
            let ip = judged.connection.client.ip;
            ip.map(rows::net).into_iter().collect()
        }
        "by" => vec![filter::quoted(rows::closer(judged))],
        _ => complete::of(key, judged, analysis),
    }
}

impl State {
    pub(super) fn enter_facets(&mut self, analysis: &Analysis) {
        self.facets = build(analysis, &self.filter, self.clean);
        self.facet = 0;
        self.enter(Screen::Facets);
    }

    /// Counts anew after the filter or the connections changed; the cursor stays at its value where that is still there.
    pub(super) fn recount(&mut self, analysis: &Analysis) {
        if self.screen != Screen::Facets && !self.back.contains(&Screen::Facets) {
            return;
        }
        let here = self.facets.get(self.facet).cloned();
        self.facets = build(analysis, &self.filter, self.clean);
        let same = here.and_then(|h| {
            let mut all = self.facets.iter();
            all.position(|f| (f.key, &f.value) == (h.key, &h.value))
        });
        self.facet = same.unwrap_or(self.facet.min(self.facets.len().saturating_sub(1)));
    }

    /// The filter's word for the value under the cursor.
    pub(super) fn facet_term(&self) -> Option<String> {
        let facet = self.facets.get(self.facet)?;
        Some(format!("{}:{}", facet.key, facet.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::fixture;

    /// Every value is a filter that leaves as many as were counted.
    #[test]
    fn a_facet_is_a_filter_and_its_count_is_what_passes() {
        let analysis = fixture();
        for (typed, clean) in [("", false), ("", true), ("-code:1006", false)] {
            let filter = Filter::parse(typed).expect("a filter");
            let facets = build(&analysis, &filter, clean);
            assert!(facets.len() > 5, "{facets:?}");
            for facet in facets {
                let text = format!("{typed} {}:{}", facet.key, facet.value);
                let filter = Filter::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                let passes = analysis
                    .connections
                    .iter()
                    .filter(|j| (clean || is_drop(j)) && filter.matches(j, &analysis))
                    .count();
                assert_eq!(passes, facet.count, "{text}");
            }
        }
    }
}
