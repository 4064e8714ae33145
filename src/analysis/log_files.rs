//! A log of the case -> its lines and what became of it, in one piece or in parts, in its own zone.

use super::live::Board;
use super::sniff::Sniffed;
use super::{Options, Progress, Silent, Stoppable, parts, steps};
use crate::case::Case;
use crate::logs::{self, LogOptions};
use crate::model::{Line, LocalZone, Moment, Source, SourceId, SourceKind, ZoneBasis};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) type LogResult = (logs::LogSummary, Vec<Line>, Option<crate::case::Problem>);

/// What one log is read with: its own zone, and the layout that its lines showed.
pub(super) fn options_of<'a>(
    source: &Source,
    found: &Sniffed,
    options: &Options,
    shared: &'a LogOptions,
) -> Cow<'a, LogOptions> {
    let zone = options.zone_of(source).unwrap_or_default();
    if zone == shared.assumed_zone && found.layout.is_none() {
        return Cow::Borrowed(shared);
    }
    let mut own = shared.clone();
    own.assumed_zone = zone;
    if let Some(layout) = &found.layout {
        own.nginx_formats
            .push(("by content".to_owned(), layout.clone()));
    }
    Cow::Owned(own)
}

pub(super) fn read_log(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
    (progress, board): (&dyn Progress, &Board),
) -> LogResult {
    progress.reading(source.id, &source.path);
    let mut seat = board.seat();
    if let Some(parts) = parts::of(case, source, choice, parts::PART)
        && let Some(read) = parts::read(case, source, choice, options, &parts, progress)
    {
        seat.lines(source.id, &read.1, Some(&read.0));
        return read;
    }
    let mut input = Stoppable::new(case, source.id, progress);
    let mut step = steps(&input.inner, source.id, progress);
    let mut lines = Vec::new();
    let mut summary = logs::read(
        source.id,
        choice,
        options,
        &mut input,
        &mut |_| step(),
        &mut |line| {
            lines.push(line);
            if seat.asked() {
                seat.lines(source.id, &lines, None);
            }
        },
    );
    step();
    seat.lines(source.id, &lines, Some(&summary));
    summary.anomalies.extend(input.end(source.bytes));
    (summary, lines, input.inner.problem().cloned())
}

/// nginx writes its error log in the host's local time without naming it, and its access log with the zone: where all that
/// name one name the same, the error logs are read again in that zone.
pub(super) fn in_their_zone(
    case: &Case,
    sources: &[Source],
    sniffed: &[Sniffed],
    read: Vec<(SourceId, LogResult)>,
    log_options: &LogOptions,
) -> Vec<(SourceId, LogResult)> {
    let kind = |id: &SourceId| sources.get(id.0 as usize).map(|s| s.kind);
    let zones: BTreeSet<i32> = read
        .iter()
        .filter(|(id, _)| kind(id) == Some(SourceKind::Log("nginx-access")))
        .filter_map(|(_, (summary, ..))| summary.zone.as_ref())
        .filter(|zone| zone.basis == ZoneBasis::Line)
        .map(|zone| zone.offset_s)
        .collect();
    let mut zones = zones.into_iter();
    let (Some(offset_s), None) = (zones.next(), zones.next()) else {
        return read;
    };
    let zone = LocalZone::Fixed(offset_s);
    if zone == log_options.assumed_zone {
        return read;
    }
    let there = LogOptions {
        assumed_zone: zone,
        ..log_options.clone()
    };
    read.into_par_iter()
        .map(|(id, result)| {
            let assumed = result
                .0
                .zone
                .as_ref()
                .is_some_and(|z| z.basis == ZoneBasis::Assumed);
            let place = id.0 as usize;
            let again = sources
                .get(place)
                .zip(sniffed.get(place))
                .and_then(|(source, found)| {
                    let ours = assumed && source.kind == SourceKind::Log("nginx-error");
                    Some((source, found.log.as_ref().filter(|_| ours)?))
                });
            let Some((source, choice)) = again else {
                return (id, result);
            };
            (
                id,
                read_log(case, source, choice, &there, (&Silent, &Board::default())),
            )
        })
        .collect()
}

/// Syslog's dates have no year: where a file has no other date, it is read again beside what the other sources saw.
pub(super) fn in_their_year(
    case: &Case,
    sources: &[Source],
    sniffed: &[Sniffed],
    read: Vec<(SourceId, LogResult)>,
    (options, shared): (&Options, &LogOptions),
) -> Vec<(SourceId, LogResult)> {
    let lacks = |summary: &logs::LogSummary| summary.anomalies.iter().any(|a| a.kind == "no-year");
    if !read.iter().any(|(_, (summary, ..))| lacks(summary)) {
        return read;
    }
    let of_logs = read.iter().filter_map(|(_, (summary, ..))| summary.last);
    let of_others = sources.iter().filter_map(|s| s.last);
    let near: Option<Moment> = of_logs.chain(of_others).map(|s| s.at).max();
    if near.is_none() {
        return read;
    }
    read.into_par_iter()
        .map(|(id, result)| {
            let place = id.0 as usize;
            let known = sources.get(place).zip(sniffed.get(place));
            let again = known
                .filter(|_| lacks(&result.0))
                .and_then(|(source, found)| {
                    let there = LogOptions {
                        near,
                        ..options_of(source, found, options, shared).into_owned()
                    };
                    let choice = found.log.as_ref()?;
                    let mut again =
                        read_log(case, source, choice, &there, (&Silent, &Board::default()));
                    options.tell_zone(source, &mut again.0.zone);
                    Some(again)
                });
            (id, again.unwrap_or(result))
        })
        .collect()
}
