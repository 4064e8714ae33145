//! Drops of the list -> two histograms: when they happened, and how long it was silent before.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Moment, SECOND_NS};
use crate::tui::state::State;
use crate::tui::text::{seconds, width};
use crate::tui::theme::{ACCENT, DIM};

use super::{panel, put};

const BARS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Counts per column of ascending `values` between `lo` and `hi`, both in.
pub(super) fn bins(values: &[i64], lo: i64, hi: i64, columns: u16) -> Vec<usize> {
    let span = i128::from(hi) - i128::from(lo) + 1;
    let edge = |i: u16| {
        lo.saturating_add(
            i64::try_from(span * i128::from(i) / i128::from(columns.max(1))).unwrap_or(i64::MAX),
        )
    };
    let below = |v: i64| values.partition_point(|x| *x < v);
    (0..columns)
        .map(|i| below(edge(i + 1)).saturating_sub(below(edge(i))))
        .collect()
}

pub(super) fn bars(buffer: &mut Buffer, area: Rect, bins: &[usize]) {
    let most = bins.iter().copied().max().unwrap_or_default().max(1);
    let rows = usize::from(area.height);
    for (x, n) in (0..area.width).zip(bins) {
        // Something is never drawn as nothing.
        let eighths = if *n == 0 {
            0
        } else {
            (n * rows * 8 / most).max(1)
        };
        for y in 0..area.height {
            let below = usize::from(area.height - 1 - y) * 8;
            let glyph = BARS
                .get(eighths.saturating_sub(below).min(8))
                .unwrap_or(&" ");
            put(buffer, area, x, y, glyph, ACCENT);
        }
    }
}

pub(super) fn draw_when(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let inner = chart_area(area);
    let closes = &state.list.closes;
    let (lo, hi) = match (analysis.window, closes.first(), closes.last()) {
        (Some((a, b)), Some(first), Some(last)) => (a.at.0.min(*first), b.at.0.max(*last)),
        (None, Some(first), Some(last)) => (*first, *last),
        _ => {
            panel(buffer, area, "When", "", false);
            return;
        }
    };
    let per = (hi - lo) / i64::from(inner.width.max(1));
    panel(
        buffer,
        area,
        &format!("When ─ drops per {}", seconds(per.max(1))),
        "",
        false,
    );
    let chart = Rect {
        height: inner.height.saturating_sub(1),
        ..inner
    };
    bars(buffer, chart, &bins(closes, lo, hi, chart.width));
    let axis = inner.height.saturating_sub(1);
    let tick = if hi - lo < 20 * SECOND_NS {
        1
    } else {
        SECOND_NS
    };
    let (first, last) = (state.clock(Moment(lo), tick), state.clock(Moment(hi), tick));
    put(buffer, inner, 0, axis, &first, DIM);
    put(
        buffer,
        inner,
        inner
            .width
            .saturating_sub(u16::try_from(width(&last)).unwrap_or(0)),
        axis,
        &last,
        DIM,
    );
}

pub(super) fn draw_silent(buffer: &mut Buffer, area: Rect, state: &State) {
    panel(buffer, area, "Silent before the close", "", false);
    let inner = chart_area(area);
    let values = &state.list.silences;
    let Some(hi) = values.last().copied().map(|v| v.max(1)) else {
        let why = match (state.list.closes.len(), state.list.stood) {
            (0, _) => "no drop in the list",
            (_, 0) => "none of these was ever open",
            _ => "no source shows payload",
        };
        put(buffer, inner, 0, 0, why, DIM);
        return;
    };
    let chart = Rect {
        height: inner.height.saturating_sub(1),
        ..inner
    };
    let counts = bins(values, 0, hi, chart.width);
    bars(buffer, chart, &counts);
    // The axis names the peaks, highest first, as far as there is room.
    let mut peaks: Vec<(usize, usize)> = counts
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, n)| *n > 0)
        .collect();
    peaks.sort_by_key(|(x, n)| (std::cmp::Reverse(*n), *x));
    let mut taken: Vec<(usize, usize)> = Vec::new();
    for (x, _) in peaks.into_iter().take(12) {
        let lo = i64::try_from(i128::from(hi + 1) * x as i128 / i128::from(chart.width.max(1)))
            .unwrap_or(0);
        let up =
            i64::try_from(i128::from(hi + 1) * (x as i128 + 1) / i128::from(chart.width.max(1)))
                .unwrap_or(0);
        let (a, b) = (
            values.partition_point(|v| *v < lo),
            values.partition_point(|v| *v < up),
        );
        let Some(middle) = values.get(a + b.saturating_sub(a) / 2) else {
            continue;
        };
        let label = seconds(*middle);
        let start = x.min(usize::from(inner.width).saturating_sub(label.len()));
        let end = start + label.len();
        if taken.iter().all(|(s, e)| end < *s || start > *e) {
            taken.push((start, end));
            put(
                buffer,
                inner,
                u16::try_from(start).unwrap_or(0),
                inner.height.saturating_sub(1),
                &label,
                DIM,
            );
        }
    }
}

const fn chart_area(area: Rect) -> Rect {
    Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    }
}
