//! A half-typed word of the filter line -> the key or the value it may become, from what the analysis holds.

use std::collections::BTreeSet;

use crate::model::{Analysis, filter};

use super::rows;
use super::state::Input;

/// Connections looked at for values: enough to know them all, few enough to type along.
const LOOKED_AT: usize = 5_000;
const OFFERED: usize = 12;

/// What the word at the cursor may become, and where that word begins.
pub(super) fn candidates(input: &Input, analysis: &Analysis) -> (usize, Vec<String>) {
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
        return (start, keys.map(|k| format!("{k}:")).collect());
    };
    let start = start + key.chars().count() + 1;
    let value = value.to_ascii_lowercase();
    let values = values(key, analysis);
    (
        start,
        values
            .into_iter()
            .filter(|v| v.to_ascii_lowercase().starts_with(&value))
            .take(OFFERED)
            .collect(),
    )
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
    let new: Vec<char> = first.chars().collect();
    input.cursor = start + new.len();
    input.text.splice(start..end, new);
}

fn values(key: &str, analysis: &Analysis) -> BTreeSet<String> {
    let judged = analysis.connections.iter().take(LOOKED_AT);
    let quoted = |t: &str| filter::quoted(t);
    match key {
        "cause" => judged
            .filter_map(|j| j.verdict.cause)
            .map(|c| c.id().to_owned())
            .collect(),
        "rule" => judged
            .filter_map(|j| j.verdict.cause)
            .map(|c| c.code().to_owned())
            .collect(),
        "conf" => ["certain", "likely", "possible", "undecided"]
            .map(str::to_owned)
            .into(),
        "how" => judged
            .map(|j| j.verdict.outcome.name().to_owned())
            .collect(),
        "by" => judged
            .flat_map(|j| [rows::closer(j), j.connection.closer.role.name()])
            .map(quoted)
            .collect(),
        "hop" => judged
            .flat_map(|j| &j.connection.hops)
            .map(|h| quoted(&h.name))
            .collect(),
        "code" => judged
            .filter_map(rows::code)
            .map(|c| c.to_string())
            .collect(),
        "client" => judged
            .filter_map(|j| j.connection.client.ip)
            .map(|i| i.to_string())
            .collect(),
        "host" => judged
            .filter_map(|j| j.connection.request.host.as_deref())
            .map(quoted)
            .collect(),
        "path" => judged
            .filter_map(|j| j.connection.request.uri.as_deref())
            .map(|u| quoted(u.split('?').next().unwrap_or(u)))
            .collect(),
        "file" => analysis.sources.iter().map(|s| quoted(&s.path)).collect(),
        "id" => judged.map(|j| j.connection.id.clone()).collect(),
        _ => BTreeSet::new(),
    }
}
