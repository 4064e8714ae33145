//! What machines on the path and browsers recorded beside captures and logs -> lines, legs, and what became of each file.

use super::sniff::Sniffed;
use super::{Options, Progress, Stoppable, note_problem, steps};
use crate::case::Case;
use crate::correlate::Observations;
use crate::model::Source;
use crate::{browser, host};

/// After all else: syslog's dates have no year, and what the other sources saw gives it to them.
pub(super) fn read_hosts(
    case: &Case,
    sniffed: &[Sniffed],
    options: &Options,
    progress: &dyn Progress,
    sources: &mut [Source],
    observations: &mut Observations,
) {
    let host_options = host::HostOptions {
        assumed_zone: options.assumed_zone.unwrap_or_default(),
        near: sources.iter().filter_map(|s| s.last).max().map(|s| s.at),
    };
    for (source, found) in sources.iter_mut().zip(sniffed) {
        let Some(choice) = found.host else { continue };
        let host_options = host::HostOptions {
            assumed_zone: options.zone_of(source).unwrap_or_default(),
            ..host_options
        };
        progress.reading(source.id, &source.path);
        let mut input = Stoppable::new(case, source.id, progress);
        let mut step = steps(&input.inner, source.id, progress);
        let summary = host::read(
            source.id,
            choice,
            host_options,
            &mut input,
            &mut |_| step(),
            &mut |line| observations.lines.push(line),
        );
        step();
        let host::HostSummary {
            records,
            used,
            odd,
            first,
            last,
            zone,
            anomalies,
        } = summary;
        (source.records, source.used, source.odd) = (records, used, odd);
        (source.first, source.last, source.zone) = (first, last, zone);
        let mut zone = source.zone;
        options.tell_zone(source, &mut zone);
        source.zone = zone;
        source.anomalies.extend(anomalies);
        source.anomalies.extend(input.end(source.bytes));
        note_problem(source, input.inner.problem().cloned());
    }
}

/// What browsers recorded of themselves: legs as their sockets showed them, and lines as an access log has them.
pub(super) fn read_browsers(
    case: &Case,
    sniffed: &[Sniffed],
    progress: &dyn Progress,
    sources: &mut [Source],
    observations: &mut Observations,
) {
    for (source, found) in sources.iter_mut().zip(sniffed) {
        let Some(name) = found.browser else { continue };
        progress.reading(source.id, &source.path);
        let mut input = Stoppable::new(case, source.id, progress);
        let mut step = steps(&input.inner, source.id, progress);
        let summary =
            browser::read(
                source.id,
                name,
                &mut input,
                &mut |_| step(),
                &mut |seen| match seen {
                    browser::Seen::Leg(leg) => observations.legs.push(*leg),
                    browser::Seen::Line(line) => observations.lines.push(*line),
                },
            );
        step();
        let browser::BrowserSummary {
            records,
            used,
            odd,
            first,
            last,
            zone,
            vantage,
            anomalies,
        } = summary;
        (source.records, source.used, source.odd) = (records, used, odd);
        (source.first, source.last, source.zone) = (first, last, zone);
        source.vantage = vantage;
        source.anomalies.extend(anomalies);
        source.anomalies.extend(input.end(source.bytes));
        note_problem(source, input.inner.problem().cloned());
    }
}
