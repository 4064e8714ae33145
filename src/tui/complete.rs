//! A half-typed word of the filter line -> the key or the values it may become, with how many connections have each.

use std::collections::BTreeMap;

use crate::model::{Analysis, Judged, filter};

use super::rows;
use super::state::Input;

const OFFERED: usize = 12;

/// What a word may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub text: String,
    /// Connections that have this value; `None` for keys.
    pub count: Option<usize>,
}

/// Where the word at the cursor begins.
fn word_start(input: &Input) -> usize {
    let head = input.text.get(..input.cursor.min(input.text.len()));
    head.unwrap_or_default()
        .iter()
        .rposition(|c| matches!(c, ' ' | '(' | '-'))
        .map_or(0, |i| i + 1)
}

/// The word up to the cursor, and where it begins.
fn word(input: &Input) -> (usize, String) {
    let start = word_start(input);
    let end = input.cursor.clamp(start, input.text.len().max(start));
    let word = input.text.get(start..end).unwrap_or_default();
    (start, word.iter().collect())
}

/// Finds anew what the word at the cursor may become, most frequent first.
pub(super) fn offer(input: &mut Input, analysis: &Analysis) {
    let (_, word) = word(input);
    let Some((key, value)) = word.split_once([':', '=']) else {
        let keys = filter::KEYS
            .iter()
            .map(|k| k.0)
            .filter(|k| !word.is_empty() && k.starts_with(&word));
        let key = |k: &str| Candidate {
            text: format!("{k}:"),
            count: None,
        };
        input.offers = keys.map(key).collect();
        return;
    };
    if input.known.as_ref().is_none_or(|(k, _)| k != key) {
        let mut all: Vec<Candidate> = values(key, analysis)
            .into_iter()
            .map(|(text, count)| Candidate {
                text,
                count: Some(count),
            })
            .collect();
        all.sort_by(|a, b| (b.count, &a.text).cmp(&(a.count, &b.text)));
        input.known = Some((key.to_owned(), all));
    }
    let value = value.to_ascii_lowercase();
    let known = input.known.as_ref().map_or(&[][..], |(_, all)| all);
    let fits = |c: &&Candidate| c.text.to_ascii_lowercase().starts_with(&value);
    input.offers = known.iter().filter(fits).take(OFFERED).cloned().collect();
}

/// Takes the first candidate.
pub(super) fn complete(input: &mut Input) {
    let Some(first) = input.offers.first() else {
        return;
    };
    let (start, word) = word(input);
    let key = word.find([':', '=']).map_or(0, |at| at + 1);
    let start = start + word.get(..key).unwrap_or_default().chars().count();
    let end = input.cursor.min(input.text.len());
    if start > end {
        return;
    }
    let new: Vec<char> = first.text.chars().collect();
    input.cursor = start + new.len();
    input.text.splice(start..end, new);
}

/// The text without the word at the cursor, while that is a key whose value is still to come: nothing is narrowed by half a word.
pub(super) fn without_the_unfinished(input: &Input) -> Option<String> {
    if input.offers.is_empty() {
        return None;
    }
    let start = word_start(input);
    let minus = start > 0 && input.text.get(start - 1) == Some(&'-');
    let (head, rest) = input.text.split_at_checked(start - usize::from(minus))?;
    let tail = rest.iter().skip_while(|c| **c != ' ');
    Some(head.iter().chain(tail).collect())
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
    for judged in &analysis.connections {
        for value in of(key, judged, analysis) {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts
}

/// The values of one connection, each once.
pub(super) fn of(key: &str, j: &Judged, analysis: &Analysis) -> Vec<String> {
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
