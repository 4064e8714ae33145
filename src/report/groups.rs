//! The connections of an `Analysis` -> what every form of report says of them together: groups by cause, medians, the answer in a line.

use super::{Redactor, Selected, Zone};
use crate::model::{
    Analysis, Cause, Judged, Outcome, RecordRef, Role, SECOND_NS, SourceKind, Stamp, Summary, Tier,
    stalled,
};
use std::collections::BTreeMap;

/// Drops and failed handshakes as they are listed: the most frequent cause first (tries of a storm after what set it off), then by time.
/// `show 1` is the first.
pub fn ranked(analysis: &Analysis) -> Vec<&Judged> {
    by_cause(analysis)
        .into_iter()
        .flat_map(|(_, all)| all)
        .collect()
}

pub(super) fn by_cause(analysis: &Analysis) -> Vec<(Cause, Vec<&Judged>)> {
    let mut groups: BTreeMap<Cause, Vec<&Judged>> = BTreeMap::new();
    for judged in analysis.connections.iter().filter(|j| is_drop(j)) {
        groups
            .entry(judged.verdict.cause.unwrap_or(Cause::Undecided))
            .or_default()
            .push(judged);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    // What set a storm off comes before its tries, however many these are.
    groups.sort_by_cached_key(|(cause, all)| {
        let follows = analysis.is_of_a_storm(all.iter().copied());
        (follows, std::cmp::Reverse(all.len()), *cause)
    });
    groups
}

/// How long it stood; a handshake that failed never did.
pub(super) fn lived(judged: &Judged) -> Option<i64> {
    let stood = judged.verdict.outcome != Outcome::FailedHandshake;
    judged.connection.duration_ns().filter(|_| stood)
}

/// The silence before its end, where there was something to be silent on.
pub(super) fn silent(judged: &Judged) -> Option<i64> {
    let stood = judged.verdict.outcome != Outcome::FailedHandshake;
    judged.connection.silence_ns.filter(|_| stood)
}

/// A text in pieces: those between two backticks are code.
pub(super) fn spans(text: &str) -> Vec<(&str, bool)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`')
        && let Some((code, behind)) = after.split_once('`')
    {
        pieces.extend([(before, false), (code, true)]);
        rest = behind;
    }
    pieces.push((rest, false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

pub(super) fn is_drop(judged: &Judged) -> bool {
    matches!(
        judged.verdict.outcome,
        Outcome::Drop | Outcome::FailedHandshake
    )
}

/// The answer in a line: `6 of 12 WebSocket connections dropped`, and what users felt beside it.
pub(super) fn answer(
    analysis: &Analysis,
    summary: &Summary,
    selected: Option<&Selected>,
) -> String {
    let dropped = dropped(summary, selected);
    let stalled = stalled(&analysis.findings);
    if stalled.is_empty() || summary.connections == 0 {
        dropped
    } else {
        format!("{dropped}, {stalled}")
    }
}

fn dropped(summary: &Summary, selected: Option<&Selected>) -> String {
    let Summary {
        connections,
        drops,
        failed_handshakes,
        ..
    } = *summary;
    match (connections, drops, failed_handshakes) {
        (0, ..) => match selected {
            Some(selected) if selected.of > 0 => {
                format!(
                    "none of {} matches",
                    plural(selected.of, "WebSocket connection")
                )
            }
            _ => "no WebSocket connection found".to_owned(),
        },
        (n, 0, 0) => format!(
            "{}, {}",
            plural(n, "WebSocket connection"),
            summary.no_drop()
        ),
        (n, 0, f) => format!(
            "{f} of {} failed in the handshake",
            plural(n, "WebSocket connection")
        ),
        (n, d, 0) => format!("{d} of {} dropped", plural(n, "WebSocket connection")),
        (n, d, f) => format!(
            "{d} of {} dropped, {f} failed in the handshake",
            plural(n, "WebSocket connection")
        ),
    }
}

/// How many files and records were read, and what of them was not understood.
pub(super) fn understood(analysis: &Analysis) -> String {
    let sources = &analysis.sources;
    let records: u64 = sources.iter().map(|s| s.records).sum();
    let odd: u64 = sources.iter().map(|s| s.odd).sum();
    let unread = sources
        .iter()
        .filter(|s| s.kind == SourceKind::Unrecognised)
        .count();
    let mut text = format!(
        "{}, {}",
        plural(sources.len(), "file"),
        plural(records as usize, "record")
    );
    match (odd, unread) {
        (0, 0) => text.push_str(", all understood"),
        (0, n) => text.push_str(&format!(", {n} not read")),
        (n, 0) => text.push_str(&format!(", {n} not understood")),
        (n, m) => text.push_str(&format!(", {n} not understood, {m} not read")),
    }
    text
}

/// `2026-03-14 09:26:01–09:30:47 UTC`: what the evidence covers.
pub(super) fn span(analysis: &Analysis, zone: Zone, dash: &str) -> Option<String> {
    let (start, end) = analysis.window?;
    let end_day = if zone.date(start) == zone.date(end) {
        String::new()
    } else {
        format!("{} ", zone.date(end))
    };
    Some(format!(
        "{} {}{dash}{end_day}{} {}",
        zone.date(start),
        zone.time(start, 0),
        zone.time(end, 0),
        zone.name()
    ))
}

/// The evidence that would settle what is open with how many drops ask for it, the most asked for first.
pub(super) fn needs(analysis: &Analysis) -> Vec<(&str, usize)> {
    let mut needs: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in &analysis.connections {
        let untold = judged.verdict.is_untold();
        if untold || is_drop(judged) && judged.verdict.tier < Tier::Likely {
            let mut own: Vec<&str> = judged
                .verdict
                .untestable
                .iter()
                .map(|u| &*u.needs)
                .collect();
            own.sort_unstable();
            own.dedup();
            for need in own {
                *needs.entry(need).or_insert(0) += 1;
            }
        }
    }
    let mut needs: Vec<_> = needs.into_iter().collect();
    needs.sort_by_key(|&(need, n)| (std::cmp::Reverse(n), need));
    needs
}

/// `edge.pcap#91`, `error.log:1`: hostile text still, as the file's name is.
pub(super) fn place(analysis: &Analysis, record: RecordRef) -> String {
    match analysis.source(record.source) {
        Some(source) if source.kind.is_capture() => format!("{}#{}", source.path, record.ordinal),
        Some(source) => format!("{}:{}", source.path, record.ordinal),
        None => format!("source {}:{}", record.source.0, record.ordinal),
    }
}

/// `21:39:27–21:40:02`, or one moment.
pub(super) fn during(zone: Zone, start: Stamp, end: Stamp, dash: &str) -> String {
    let (from, to) = (zone.time(start, 0), zone.time(end, 0));
    if from == to {
        from
    } else {
        format!("{from}{dash}{to}")
    }
}

/// Where a drop can be looked at: `c-7f3a91: edge.pcap#91, error.log:1`; hostile text still.
pub(super) fn seen(analysis: &Analysis, judged: &Judged) -> String {
    let mut places: Vec<String> = Vec::new();
    for evidence in judged.verdict.evidence.iter().filter(|e| e.supports) {
        let Some(record) = evidence.record else {
            continue;
        };
        let at = place(analysis, record);
        if places.len() < 3 && !places.contains(&at) {
            places.push(at);
        }
    }
    let id = &judged.connection.id;
    if places.is_empty() {
        id.clone()
    } else {
        format!("{id}: {}", places.join(", "))
    }
}

/// A fix without the row of the runbook that it may name at its end, to tell whether two say the same.
pub(super) fn bare(fix: &str) -> String {
    let said = match fix.rsplit_once(" [") {
        Some((said, row)) if row.ends_with(']') => said,
        _ => fix,
    };
    said.trim_end_matches([';', '.', ' ']).to_owned()
}

/// At most this many characters; how many more there were is said.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => {
            let more = text.get(at..).map_or(0, |rest| rest.chars().count());
            format!(
                "{}… ({more} more characters)",
                text.get(..at).unwrap_or_default()
            )
        }
    }
}

/// One line of the table: what all drops of a cause have in common.
pub(super) struct CauseRow<'a> {
    pub(super) cause: Cause,
    pub(super) tier: Tier,
    pub(super) closer: String,
    /// Medians, nanoseconds.
    pub(super) lived: Option<i64>,
    pub(super) silent: Option<i64>,
    pub(super) fix: Option<&'a str>,
    /// A drop that stands for the others: as sure as the group, with the group's fix, the first of those.
    pub(super) example: Option<&'a Judged>,
}

impl<'a> CauseRow<'a> {
    pub(super) fn new(cause: Cause, all: &[&'a Judged]) -> Self {
        let median = |mut values: Vec<i64>| {
            values.sort_unstable();
            values.get(values.len() / 2).copied()
        };
        let closers = frequent(all.iter().map(|j| closer(j)));
        let closer = match closers.as_slice() {
            [] => String::new(),
            [(only, _)] => only.clone(),
            [(first, _), rest @ ..] => format!("{first} +{}", rest.len()),
        };
        // of equally frequent tiers the weaker one: a group is not surer than its members
        let tier = frequent(all.iter().map(|j| j.verdict.tier))
            .first()
            .map_or(Tier::Undecided, |&(tier, _)| tier);
        let first_fix = |j: &'a Judged| j.verdict.fix.first().map(|f| &**f);
        let fix = frequent(all.iter().filter_map(|j| first_fix(j)))
            .first()
            .map(|f| f.0);
        Self {
            cause,
            tier,
            example: all
                .iter()
                .min_by_key(|j| std::cmp::Reverse((j.verdict.tier == tier, first_fix(j) == fix)))
                .copied(),
            closer,
            lived: median(all.iter().filter_map(|j| lived(j)).collect()),
            silent: median(all.iter().filter_map(|j| silent(j)).collect()),
            fix,
        }
    }
}

/// Values with how often they came, the most frequent first, ties in their own order.
pub(super) fn frequent<T: Ord>(values: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    counts
}

/// Who closed it, as a column shows it: the hop's name, else the role.
pub(super) fn closer(judged: &Judged) -> String {
    let closer = &judged.connection.closer;
    match (&closer.hop, closer.role) {
        (Some(hop), _) => hop.to_string(),
        (None, Role::None) => "nobody".to_owned(),
        (None, role) => role.name().to_owned(),
    }
}

/// `203.0.113.7:40000`, as much of it as is known, never anything made up.
pub(super) fn client(judged: &Judged, redactor: &Redactor) -> String {
    let client = &judged.connection.client;
    match (client.ip, client.port) {
        (Some(ip), Some(port)) if ip.is_ipv6() && !redactor.what().ips => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{}:{port}", redactor.ip(ip)),
        (Some(ip), None) => redactor.ip(ip),
        (None, _) => "unknown client".to_owned(),
    }
}

/// `60.0s`, `350ms`, `4.2m`: a column's width.
pub(super) fn short(ns: i64) -> String {
    // tenths of a second: what is rounded to nothing has no sign
    let ns = if ns.abs() < SECOND_NS / 20 { 0 } else { ns };
    let seconds = ns as f64 / SECOND_NS as f64;
    match seconds {
        s if s.abs() < 600.0 => format!("{s:.1}s"),
        s if s.abs() < 7_200.0 => format!("{:.1}m", s / 60.0),
        s => format!("{:.1}h", s / 3_600.0),
    }
}

pub(super) fn plural(n: usize, word: &str) -> String {
    if n == 1 {
        format!("1 {word}")
    } else {
        format!("{n} {word}s")
    }
}
