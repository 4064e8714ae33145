//! A half-typed word of the filter line -> the key or the values it may become, with how many connections have each.

use std::collections::BTreeMap;

use crate::model::{Analysis, Judged, filter};

use super::rows;
use super::state::Input;

/// Connections looked at for values: enough to know them all, few enough to type along.
const LOOKED_AT: usize = 5_000;
const OFFERED: usize = 12;

/// What a word may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub text: String,
    /// Connections that have this value; `None` for keys.
    pub count: Option<usize>,
}

/// What the word at the cursor may become, most frequent first, and where that word begins.
pub fn candidates(input: &Input, analysis: &Analysis) -> (usize, Vec<Candidate>) {
    let head = input
        .text
        .get(..input.cursor.min(input.text.len()))
        .unwrap_or_default();
    let start = head
        .iter()
        .rposition(|c| matches!(c, ' ' | '(' | '-'))
        .map_or(0, |i| i + 1);
    let word: String = head.get(start..).unwrap_or_default().iter().collect();
    let Some((key, value)) = word.split_once([':', '=']) else {
        let keys = filter::KEYS
            .iter()
            .map(|k| k.0)
            .filter(|k| !word.is_empty() && k.starts_with(&word));
        let key = |k: &str| Candidate {
            text: format!("{k}:"),
            count: None,
        };
        return (start, keys.map(key).collect());
    };
    let start = start + key.chars().count() + 1;
    let value = value.to_ascii_lowercase();
    let mut found: Vec<Candidate> = values(key, analysis)
        .into_iter()
        .filter(|(v, _)| v.to_ascii_lowercase().starts_with(&value))
        .map(|(text, count)| Candidate {
            text,
            count: Some(count),
        })
        .collect();
    found.sort_by(|a, b| (b.count, &a.text).cmp(&(a.count, &b.text)));
    found.truncate(OFFERED);
    (start, found)
}

/// Takes the first candidate.
pub(super) fn complete(input: &mut Input, analysis: &Analysis) {
    let (start, candidates) = candidates(input, analysis);
    let Some(first) = candidates.first() else {
        return;
    };
    let end = input.cursor.min(input.text.len());
    if start > end {
        return;
    }
    let new: Vec<char> = first.text.chars().collect();
    input.cursor = start + new.len();
    input.text.splice(start..end, new);
}

/// The values that connections have for a key, and how many have each.
fn values(key: &str, analysis: &Analysis) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let known: &[&str] = match key {
        "conf" => &["certain", "likely", "possible", "undecided"],
        "mark" => &["yes", "no"],
        _ => &[],
    };
    counts.extend(known.iter().map(|v| ((*v).to_owned(), 0)));
    for judged in analysis.connections.iter().take(LOOKED_AT) {
        for value in of(key, judged, analysis) {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

/// The values of one connection, each once.
fn of(key: &str, j: &Judged, analysis: &Analysis) -> Vec<String> {
    let quoted = |t: &str| filter::quoted(t);
    let c = &j.connection;
    let mut all: Vec<String> = match key {
        "cause" => j
            .verdict
            .cause
            .map(|c| c.id().to_owned())
            .into_iter()
            .collect(),
        "rule" => j
            .verdict
            .cause
            .map(|c| c.code().to_owned())
            .into_iter()
            .collect(),
        "conf" => j
            .verdict
            .cause
            .map(|_| j.verdict.tier.name().to_owned())
            .into_iter()
            .collect(),
        "how" => vec![j.verdict.outcome.name().to_owned()],
        "by" => vec![quoted(rows::closer(j)), quoted(c.closer.role.name())],
        "hop" => c.hops.iter().map(|h| quoted(&h.name)).collect(),
        "code" => rows::code(j).map(|c| c.to_string()).into_iter().collect(),
        "client" => c.client.ip.map(|i| i.to_string()).into_iter().collect(),
        "host" => c.request.host.as_deref().map(quoted).into_iter().collect(),
        "path" => {
            let uri = c.request.uri.as_deref();
            uri.map(|u| quoted(u.split('?').next().unwrap_or(u)))
                .into_iter()
                .collect()
        }
        "file" => c
            .sources()
            .into_iter()
            .filter_map(|id| analysis.source(id))
            .map(|s| quoted(&s.path))
            .collect(),
        "id" => vec![c.id.clone()],
        _ => Vec::new(),
    };
    all.sort_unstable();
    all.dedup();
    all
}
