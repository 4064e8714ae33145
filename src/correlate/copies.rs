//! Logs that were collected twice -> each line once: a copy of a file, or of a part of it, would make connections of its own.

use crate::model::{Line, Moment, Source};
use std::collections::{BTreeMap, BTreeSet};

/// So many lines have to be the same before anything is taken for a copy: two servers may well write the same few.
const FEW: usize = 4;
/// Lines looked at first, spread over a file.
const PROBES: usize = 16;
/// Of a hundred lines of a copy, the original has this many: the ends of either may be cut off.
const SHARE: usize = 95;

/// The lines of one source, as indices, in order of time.
struct Log {
    source: usize,
    lines: Vec<u32>,
}

/// Takes out what an equal or longer file of the case has as well, and says so at the copy's source.
pub(super) fn drop_copies(lines: &mut Vec<Line>, sources: &mut [Source]) {
    let logs = logs(lines);
    let mut gone = vec![false; lines.len()];
    let mut any = false;
    for (at, copy) in logs.iter().enumerate() {
        let original = logs.iter().enumerate().find_map(|(other, log)| {
            let longer = log.lines.len() > copy.lines.len()
                || log.lines.len() == copy.lines.len() && other < at;
            let found = (longer && other != at).then(|| common(lines, log, copy, &gone))??;
            Some((log.source, found))
        });
        let Some((original, found)) = original else {
            continue;
        };
        let first = found
            .first()
            .and_then(|i| lines.get(*i as usize))
            .map_or(0, |l| l.record().ordinal);
        for i in &found {
            if let Some(gone) = gone.get_mut(*i as usize) {
                *gone = true;
                any = true;
            }
        }
        let path = sources
            .get(original)
            .map_or_else(String::new, |s| s.path.clone());
        if let Some(source) = sources.get_mut(copy.source) {
            let note = format!("lines that {path} has as well: counted once");
            source.anomaly("copied-lines", found.len() as u64, first, note);
        }
    }
    if any {
        let mut gone = gone.into_iter();
        lines.retain(|_| !gone.next().unwrap_or(false));
    }
}

fn logs(lines: &[Line]) -> Vec<Log> {
    let mut by_source: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (i, line) in (0_u32..).zip(lines) {
        by_source.entry(line.record().source.0).or_default().push(i);
    }
    by_source
        .into_iter()
        .filter(|(_, all)| all.len() >= FEW)
        .map(|(source, mut all)| {
            let at = |i: &u32| lines.get(*i as usize).map(moment);
            if !all.is_sorted_by_key(at) {
                all.sort_by_key(at);
            }
            Log {
                source: source as usize,
                lines: all,
            }
        })
        .collect()
}

/// The one moment of a line that its writer stamped it with.
fn moment(line: &Line) -> Moment {
    let stamp = match line {
        Line::Tunnel(t) => t.end.or(t.start),
        Line::Hop(h) => Some(h.at),
        Line::App(a) => Some(a.at),
    };
    stamp.map_or(Moment(i64::MIN), |s| s.at)
}

/// The lines of `copy` that `log` has as well, each of the latter standing for one; `None` where these are no copies.
fn common(lines: &[Line], log: &Log, copy: &Log, gone: &[bool]) -> Option<Vec<u32>> {
    let at = |i: u32| lines.get(i as usize).map(moment);
    let span = |l: &Log| Some((at(*l.lines.first()?)?, at(*l.lines.last()?)?));
    let ((from, to), (first, last)) = (span(log)?, span(copy)?);
    if last < from || to < first {
        return None;
    }
    // Copies keep the order: mostly the line after the last one found is the next.
    let (mut next, mut used) = (0_usize, BTreeSet::<u32>::new());
    let mut find = |wanted: u32, keep: bool| -> bool {
        let Some((line, when)) = lines.get(wanted as usize).zip(at(wanted)) else {
            return false;
        };
        let mut moved = line.clone();
        let mut fits = |place: usize| {
            let Some(&i) = log.lines.get(place).filter(|i| at(**i) == Some(when)) else {
                return false;
            };
            let free = !gone.get(i as usize).copied().unwrap_or(true) && !used.contains(&i);
            free && lines.get(i as usize).is_some_and(|other| {
                *moved.record_mut() = other.record();
                moved == *other
            })
        };
        let begin = log.lines.partition_point(|i| at(*i) < Some(when));
        let end = log.lines.partition_point(|i| at(*i) <= Some(when));
        let found = if fits(next) {
            Some(next)
        } else {
            (begin..end).find(|place| fits(*place))
        };
        if let (Some(place), true) = (found, keep) {
            next = place + 1;
            used.extend(log.lines.get(place));
        }
        found.is_some()
    };
    let step = (copy.lines.len() / PROBES).max(1);
    let probes: Vec<u32> = copy.lines.iter().copied().step_by(step).collect();
    let hits = probes.iter().filter(|i| find(**i, false)).count();
    if hits * 100 < probes.len() * (SHARE - 10) {
        return None;
    }
    let found: Vec<u32> = copy
        .lines
        .iter()
        .copied()
        .filter(|i| find(*i, true))
        .collect();
    (found.len() >= FEW && found.len() * 100 >= copy.lines.len() * SHARE).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppEvent, AppLine, MILLI_NS, RecordRef, SourceId, Stamp};

    fn line(source: u32, ordinal: u64, ms: i64, session: &str) -> Line {
        let record = RecordRef {
            source: SourceId(source),
            ordinal,
            start: ordinal * 40,
            len: 40,
        };
        let at = Stamp::new(Moment(ms * MILLI_NS), MILLI_NS);
        Line::App(AppLine {
            session: Some(session.to_owned()),
            ..AppLine::new(record, at, AppEvent::Open)
        })
    }

    /// A log of `times`, the same session at each; which lines of the case are left, by source.
    #[test]
    fn copies_count_once_and_other_logs_are_left_alone() {
        let check = |logs: &[&[(i64, &str)]], left: &[usize]| {
            let mut lines: Vec<Line> = Vec::new();
            for (source, log) in (0_u32..).zip(logs) {
                for (ordinal, (ms, session)) in (1_u64..).zip(*log) {
                    lines.push(line(source, ordinal, *ms, session));
                }
            }
            drop_copies(&mut lines, &mut []);
            let of = |source: usize| {
                let here = lines
                    .iter()
                    .filter(|l| l.record().source.0 as usize == source);
                here.count()
            };
            let got: Vec<usize> = (0..logs.len()).map(of).collect();
            assert_eq!(got, left, "{logs:?}");
        };
        let whole: &[(i64, &str)] = &[
            (10, "a"),
            (20, "b"),
            (20, "b"),
            (20, "c"),
            (30, "a"),
            (40, "d"),
        ];
        check(&[whole], &[6]);
        check(&[whole, whole], &[6, 0]);
        check(&[whole, whole, whole], &[6, 0, 0]);
        // A part, also where it comes first.
        check(&[&whole[1..], whole], &[0, 6]);
        // The next file of a rotation, and another server's log of the same time.
        check(&[&whole[..3], &whole[3..]], &[3, 3]);
        let other: &[(i64, &str)] = &[(10, "a"), (20, "x"), (25, "b"), (30, "y"), (40, "z")];
        check(&[whole, other], &[6, 5]);
        // Too few to tell: two servers that start and stop together.
        check(&[&whole[..3], &whole[..3]], &[3, 3]);
    }
}
