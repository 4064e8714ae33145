//! Rotated sets of captures -> the legs that their vantage points saw, each set read by as many threads as it is worth.

use super::live::Board;
use super::{Progress, Stoppable, note_problem, rotation, steps};
use crate::capture;
use crate::case::Case;
use crate::correlate::Observations;
use crate::model::{Frame, LegObservation, Source, SourceId};
use std::sync::Arc;

/// A set of captures of fewer stored bytes is read by one thread.
const SHARED_BYTES: u64 = 4 * 1024 * 1024;

/// What one thread read of a rotated set: each file's summary, and its share of the vantage points.
pub(super) struct CaptureShare {
    files: Vec<(SourceId, capture::FileSummary, Option<crate::case::Problem>)>,
    vantages: Vec<capture::Vantage>,
}

/// What one rotated set (or one file) gave: each file's summary, and the legs of its vantage points.
#[derive(Default)]
pub(super) struct CaptureResult {
    files: Vec<(SourceId, capture::FileSummary, Option<crate::case::Problem>)>,
    legs: Vec<LegObservation>,
}

pub(super) fn read_captures(
    case: &Case,
    set: &rotation::Set,
    keys: &Arc<capture::KeyLog>,
    (progress, board): (&dyn Progress, &Board),
    mut on_frame: Option<&mut dyn FnMut(Frame)>,
    share: (usize, usize),
) -> CaptureShare {
    let mut files = Vec::new();
    // each with the name of the file it was fed last
    let mut open: Vec<(capture::Vantage, String)> = Vec::new();
    let mut seat = board.seat();
    for file in &set.files {
        progress.reading(file.source, &file.name);
        let at = rotation::continues(
            file,
            open.iter().map(|(v, name)| (v.last_at(), name.as_str())),
        );
        let at = at.unwrap_or_else(|| {
            let vantage = capture::Vantage::new(file.source.0, share, keys);
            open.push((vantage, String::new()));
            open.len() - 1
        });
        let Some((vantage, name)) = open.get_mut(at) else {
            continue;
        };
        file.name.clone_into(name);
        let mut input = Stoppable::new(case, file.source, progress);
        let mut step = steps(&input.inner, file.source, progress);
        let place = (
            set.files.first().map_or(file.source, |f| f.source),
            at,
            share.0,
        );
        let kept = on_frame.is_none();
        let sink: Option<&mut dyn FnMut(Frame)> = match &mut on_frame {
            Some(f) => Some(&mut **f),
            None => None,
        };
        let mut summary = vantage.read(file.source, &mut input, sink, &mut |so_far| {
            step();
            if seat.asked() || so_far.ended {
                seat.legs(place, file.source, so_far);
            }
        });
        step();
        let bytes = case.file(file.source).map_or(0, |f| f.bytes);
        let stopped = input.end(bytes);
        if share.0 == 0 && kept {
            summary.anomalies.extend(stopped);
        }
        files.push((file.source, summary, input.inner.problem().cloned()));
    }
    CaptureShare {
        files,
        vantages: open.into_iter().map(|(vantage, _)| vantage).collect(),
    }
}

/// The shares of one set, put together.
pub(super) fn join_shares(shares: Vec<CaptureShare>) -> CaptureResult {
    let mut shares = shares.into_iter();
    let Some(CaptureShare {
        mut files,
        vantages,
    }) = shares.next()
    else {
        return CaptureResult::default();
    };
    let mut parts: Vec<Vec<capture::Vantage>> = vantages.into_iter().map(|v| vec![v]).collect();
    for share in shares {
        for ((_, summary, _), (_, more, _)) in files.iter_mut().zip(share.files) {
            summary.join(more);
        }
        for (part, vantage) in parts.iter_mut().zip(share.vantages) {
            part.push(vantage);
        }
    }
    CaptureResult {
        files,
        legs: parts
            .into_iter()
            .flat_map(capture::Vantage::finish)
            .collect(),
    }
}

/// As many shares as there are threads without a set of their own; a small file is read sooner than it is shared out.
pub(super) fn shares(set: &rotation::Set, sets: usize, sources: &[Source]) -> usize {
    let bytes: u64 = set
        .files
        .iter()
        .filter_map(|f| sources.get(f.source.0 as usize))
        .map(|s| s.bytes)
        .sum();
    let threads = rayon::current_num_threads() / sets.max(1);
    if bytes < SHARED_BYTES {
        1
    } else {
        threads.clamp(1, capture::LANES)
    }
}

pub(super) fn settle_captures(
    result: CaptureResult,
    sources: &mut [Source],
    observations: &mut Observations,
) {
    for (id, summary, problem) in result.files {
        let Some(source) = sources.get_mut(id.0 as usize) else {
            continue;
        };
        let capture::FileSummary {
            packets,
            used,
            odd,
            first,
            last,
            links: _,
            anomalies,
        } = summary;
        (source.records, source.used, source.odd) = (packets, used, odd);
        (source.first, source.last) = (first, last);
        source.anomalies.extend(anomalies);
        note_problem(source, problem);
    }
    observations.legs.extend(result.legs);
}
