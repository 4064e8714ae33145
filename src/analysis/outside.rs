//! Logs that lie wholly before `--since` or after `--until`, seen by their first and last records -> left unread, and said to be.

use super::sniff::Sniffed;
use super::span::TimeSpec;
use super::{Options, Progress, options_of};
use crate::case::Case;
use crate::logs::{self, LogOptions};
use crate::model::{Moment, OUTSIDE, SECOND_NS, Source, Stamp, ZoneBasis};
use rayon::prelude::*;
use std::io::Read;

/// Two clocks may differ, and the line of a connection's beginning stands before that of its end: a file is left out that ends this long
/// before the window, or begins this long after it.
const MARGIN_NS: i64 = 3_600 * SECOND_NS;
/// The zone of a file's stamps may be another than the one that was assumed (UTC-12 to UTC+14).
const ZONE_NS: i64 = 14 * 3_600 * SECOND_NS;
/// Bytes at a file's end in which its last records lie.
const TAIL_BYTES: usize = 64 * 1024;

/// Takes the files that need not be read off `sniffed`, and writes into their sources why.
pub(super) fn leave_out(
    case: &Case,
    options: &Options,
    log_options: &LogOptions,
    sources: &mut [Source],
    sniffed: &mut [Sniffed],
    progress: &dyn Progress,
) {
    // Words that count from the last record mean what they mean when all is read. That it is not before what is seen of the files now
    // is enough for `since`.
    let since = match &options.since {
        Some(TimeSpec::At(at)) => Some(*at),
        Some(from_last) => {
            let logs = sources.par_iter().zip(&*sniffed);
            let all = logs.filter_map(|(source, found)| {
                let own = options_of(source, found, options, log_options);
                let ahead = options.clock_of(source).unwrap_or_default();
                Some(reached(case, source, found.log.as_ref()?, &own)?.plus(-ahead))
            });
            all.max().map(|last| from_last.resolve(last))
        }
        None => None,
    };
    let until = match &options.until {
        Some(TimeSpec::At(at)) => Some(*at),
        _ => None,
    };
    if since.is_none() && until.is_none() {
        return;
    }
    sources
        .par_iter_mut()
        .zip(sniffed)
        .for_each(|(source, found)| {
            let Some(choice) = found.log.as_ref().filter(|_| !progress.stopped()) else {
                return;
            };
            let own = options_of(source, found, options, log_options);
            // The window is in the reference's time, and the file's stamps in that of a clock that the user knows.
            let ahead = options.clock_of(source).unwrap_or_default();
            let there = |moment: Option<Moment>| moment.map(|m| m.plus(ahead));
            let (since, until) = (there(since), there(until));
            let outside = is_outside(case, source, choice, &own, since, until);
            if let Some(Outside { seen, side }) = outside {
                found.log = None;
                (source.first, source.last) = seen;
                let told = match seen {
                    (Some(first), Some(last)) => {
                        format!("{} to {}", first.rfc3339(), last.rfc3339())
                    }
                    (Some(first), None) => format!("from {} on", first.rfc3339()),
                    (None, last) => {
                        last.map_or_else(String::new, |l| format!("to {}", l.rfc3339()))
                    }
                };
                let say = format!("not read: its records ({told}) lie {side}");
                source.anomaly(OUTSIDE, 1, 0, say.clone());
                source.reason = Some(say);
            }
        });
}

/// A moment that a log's records reach for sure: with other zones and clocks than those assumed it may be later.
fn reached(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
) -> Option<Moment> {
    // Of a compressed file the beginning has to do: its end costs as much as the whole.
    let bytes = if source.compression.is_some() {
        case.head(source.id).0
    } else {
        let (tail, whole) = tail(case, source)?;
        if whole {
            tail
        } else {
            after_line(&tail).to_vec()
        }
    };
    let seen = glance(source, choice, options, &bytes);
    Some(seen.last?.at.plus(-margin(&seen)))
}

/// What a part of a log says of its time.
fn glance(
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
    bytes: &[u8],
) -> logs::LogSummary {
    logs::read(
        source.id,
        choice,
        options,
        &mut &bytes[..],
        &mut |_| (),
        &mut |_| (),
    )
}

/// How far a file's stamps may be off.
fn margin(seen: &logs::LogSummary) -> i64 {
    match seen.zone.as_ref().map(|z| z.basis) {
        Some(ZoneBasis::Assumed) => MARGIN_NS + ZONE_NS,
        _ => MARGIN_NS,
    }
}

struct Outside {
    seen: (Option<Stamp>, Option<Stamp>),
    side: &'static str,
}

fn is_outside(
    case: &Case,
    source: &Source,
    choice: &logs::Choice,
    options: &LogOptions,
    since: Option<Moment>,
    until: Option<Moment>,
) -> Option<Outside> {
    let (head, problem) = case.head(source.id);
    if problem.is_some() {
        return None;
    }
    let begin = glance(source, choice, options, &head);
    let margin = margin(&begin);
    let first = begin.first?;
    if until.is_some_and(|until| first.at > until.plus(margin)) {
        return Some(Outside {
            seen: (Some(first), None),
            side: "after --until",
        });
    }
    let since = since?;
    // What begins in the window needs no look at its end.
    if first.at >= since.plus(-margin) {
        return None;
    }
    let (tail, whole) = tail(case, source)?;
    let tail = if whole {
        tail.as_slice()
    } else {
        after_line(&tail)
    };
    let end = glance(source, choice, options, tail);
    let last = end.last?;
    (last.at < since.plus(-margin)).then_some(Outside {
        seen: (Some(first), Some(last)),
        side: "before --since",
    })
}

/// The last bytes of a file, and whether they are all of it; a compressed one is unpacked for them, which is most of the work of reading it,
/// but nothing of it is kept. `None` where it could not be read to its end.
fn tail(case: &Case, source: &Source) -> Option<(Vec<u8>, bool)> {
    if source.compression.is_none() {
        let start = source.bytes.saturating_sub(TAIL_BYTES as u64);
        let tail = case.read_span(source.id, start, TAIL_BYTES).ok()?;
        return Some((tail, start == 0));
    }
    let mut reader = case.reader(source.id);
    let mut bytes = vec![0; TAIL_BYTES * 4];
    let (mut filled, mut whole) = (0, true);
    loop {
        if filled == bytes.len() {
            bytes.copy_within(filled - TAIL_BYTES.., 0);
            (filled, whole) = (TAIL_BYTES, false);
        }
        match reader.read(bytes.get_mut(filled..)?).ok()? {
            0 => break,
            n => filled += n,
        }
    }
    if reader.problem().is_some() {
        return None;
    }
    bytes.truncate(filled);
    Some((bytes, whole))
}

/// Without the line that begins before the bytes do.
fn after_line(bytes: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', bytes).map_or(b"", |at| bytes.get(at + 1..).unwrap_or_default())
}
