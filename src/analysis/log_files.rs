//! A log of the case -> its lines and what became of it, in one piece or in parts, in its own zone.

use super::live::Board;
use super::sniff::Sniffed;
use super::{Options, Progress, Quiet, Stoppable, parts, steps};
use crate::case::Case;
use crate::logs::{self, LogOptions, LogSummary};
use crate::model::{
    Line, LocalZone, Moment, SECOND_NS, Source, SourceId, SourceKind, Zone, ZoneBasis, add_anomaly,
};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) type LogResult = (LogSummary, Vec<Line>, Option<crate::case::Problem>);

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

/// With `spare`, there are threads that have no log of their own to read.
pub(super) fn read_log(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
    (progress, board): (&dyn Progress, &Board),
    spare: bool,
) -> LogResult {
    progress.reading(source.id, &source.path);
    let mut seat = board.seat();
    if let Some(parts) = parts::of(case, source, choice, parts::PART)
        && let Some(read) = parts::read(case, source, choice, options, &parts, progress)
    {
        seat.lines(source.id, &read.1, Some(&read.0));
        return read;
    }
    let bytes = if spare {
        case.reader_ahead(source.id)
    } else {
        case.reader(source.id)
    };
    let mut input = Stoppable::of(bytes, source.id, progress);
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
    (shared, progress): (&LogOptions, &dyn Progress),
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
    if zone == shared.assumed_zone {
        return read;
    }
    read_again(
        case,
        sources,
        sniffed,
        read,
        progress,
        |source, _, summary| {
            let assumed = |zone: &Zone| zone.basis == ZoneBasis::Assumed;
            let ours = summary.zone.as_ref().is_some_and(assumed)
                && source.kind == SourceKind::Log("nginx-error");
            ours.then(|| LogOptions {
                assumed_zone: zone,
                ..shared.clone()
            })
        },
    )
}

/// 2 July 2000, 00:00 UTC: every day of that leap year is nearer to it than to another year's.
const MIDDLE_OF_2000: Moment = Moment(962_496_000 * SECOND_NS);

/// Syslog's dates have no year: where a file has no other date, it is read again beside what the other sources saw.
pub(super) fn in_their_year(
    case: &Case,
    sources: &[Source],
    sniffed: &[Sniffed],
    read: Vec<(SourceId, LogResult)>,
    (options, shared, progress): (&Options, &LogOptions, &dyn Progress),
) -> Vec<(SourceId, LogResult)> {
    let lacks = |summary: &LogSummary| summary.anomalies.iter().any(|a| a.kind == "no-year");
    if !read.iter().any(|(_, (summary, ..))| lacks(summary)) {
        return read;
    }
    let of_logs = read.iter().filter_map(|(_, (summary, ..))| summary.last);
    let of_others = sources.iter().filter_map(|s| s.last);
    let known: Option<Moment> = of_logs.chain(of_others).map(|s| s.at).max();
    // Nothing in the case tells a year: that in which the file was last written is the likeliest.
    let written = || {
        let lacking = read.iter().filter(|(_, (summary, ..))| lacks(summary));
        lacking.filter_map(|(id, _)| case.modified(*id)).max()
    };
    let (near, by) = match known.or_else(written) {
        Some(at) => (at, "by when the file was last written"),
        None => (MIDDLE_OF_2000, "to have one"),
    };
    let near = Some(near);
    let lacking = read
        .iter()
        .filter(|(_, (summary, ..))| known.is_none() && lacks(summary));
    let assumed: BTreeSet<SourceId> = lacking.map(|(id, _)| *id).collect();
    let mut read = read_again(
        case,
        sources,
        sniffed,
        read,
        progress,
        |source, found, summary| {
            lacks(summary).then(|| LogOptions {
                near,
                ..options_of(source, found, options, shared).into_owned()
            })
        },
    );
    for (id, (summary, ..)) in &mut read {
        if assumed.contains(id) {
            let year = summary
                .last
                .map(|s| s.rfc3339())
                .and_then(|s| s.get(..4).map(str::to_owned));
            let year = year.unwrap_or_else(|| "another".to_owned());
            let note = format!(
                "no source of the case tells a year: {year} is assumed, {by}; days and times are as written"
            );
            add_anomaly(
                &mut summary.anomalies,
                "assumed-year",
                summary.records,
                1,
                note,
            );
        }
        if let Some(source) = sources.get(id.0 as usize) {
            options.tell_zone(source, &mut summary.zone);
        }
    }
    read
}

/// Reads those logs once more that `otherwise` has other options for. Nobody waits for that to be told of; whoever stopped the reading
/// keeps what was read.
fn read_again(
    case: &Case,
    sources: &[Source],
    sniffed: &[Sniffed],
    read: Vec<(SourceId, LogResult)>,
    progress: &dyn Progress,
    otherwise: impl Fn(&Source, &Sniffed, &LogSummary) -> Option<LogOptions> + Sync,
) -> Vec<(SourceId, LogResult)> {
    if progress.stopped() {
        return read;
    }
    let again = |id: SourceId, summary: &LogSummary| {
        let place = id.0 as usize;
        let (source, found) = sources.get(place).zip(sniffed.get(place))?;
        let choice = found.log.as_ref()?;
        let options = otherwise(source, found, summary)?;
        let alone = (&Quiet(progress) as &dyn Progress, &Board::default());
        Some(read_log(case, source, choice, &options, alone, false))
    };
    read.into_par_iter()
        .map(|(id, result)| (id, again(id, &result.0).unwrap_or(result)))
        .collect()
}
