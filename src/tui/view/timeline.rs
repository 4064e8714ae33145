//! The Timeline screen: connections as bars over time, window rows only; above them drops per column, process lines and incidents.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::model::{Analysis, Judged, Moment, Outcome, ProcessDid, SECOND_NS};
use crate::tui::happenings::Happening;
use crate::tui::rows;
use crate::tui::state::State;
use crate::tui::text::{cell, place, seconds, width, zone_name};
use crate::tui::theme::{ACCENT, BAD, BOLD, DIM, GOOD, PLAIN, SELECTED, WARN, verdict};

use super::{panel, put, select, top};

/// Incidents that get a row of their own above the bars.
const INCIDENTS: usize = 3;

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let wanted = u16::try_from(state.happenings.len()).unwrap_or(u16::MAX);
    let below = if body.height >= 14 {
        wanted.saturating_add(2).clamp(3, body.height / 3)
    } else {
        0
    };
    let mut upper = Rect {
        height: body.height - below,
        ..body
    };
    let mut lower = Rect {
        y: body.y + upper.height,
        height: below,
        ..body
    };
    if state.zoom || (state.second && below == 0) {
        (upper, lower) = if state.second {
            (Rect::default(), body)
        } else {
            (body, Rect::default())
        };
    }
    if upper.height > 0 {
        chart(buffer, upper, analysis, state);
    }
    if lower.height > 0 {
        list(buffer, lower, analysis, state);
    }
}

/// Times -> columns of the chart.
struct Scale {
    lo: i64,
    hi: i64,
    /// Where the chart begins, and how wide it is.
    x: u16,
    columns: u16,
}

impl Scale {
    /// The column of a moment; `Err` = it lies before or after what is shown, and the column next to it.
    fn column(&self, at: i64) -> Result<u16, u16> {
        let last = self.columns.saturating_sub(1);
        if at < self.lo {
            return Err(0);
        }
        if at > self.hi {
            return Err(last);
        }
        let span = (i128::from(self.hi) - i128::from(self.lo)).max(1);
        let along = (i128::from(at) - i128::from(self.lo)) * i128::from(last) / span;
        Ok(u16::try_from(along).unwrap_or(last).min(last))
    }

    fn clamped(&self, at: i64) -> u16 {
        self.column(at).unwrap_or_else(|edge| edge)
    }

    fn shows(&self, from: i64, to: i64) -> bool {
        to >= self.lo && from <= self.hi
    }
}

fn chart(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let (lo, hi) = state.span;
    let label: u16 = if area.width >= 100 { 34 } else { 12 };
    let columns = area
        .width
        .saturating_sub(label + if area.width >= 60 { 3 } else { 1 });
    let per = hi.saturating_sub(lo) / i64::from(columns.max(1));
    let part = if state.span == state.whole {
        ""
    } else {
        " ─ part of the time"
    };
    let title = format!(
        "Timeline ─ {} connections ─ a column is {}{part}",
        state.lines.len(),
        seconds(per)
    );
    let selected = state.on_line(analysis);
    let bottom = selected.map_or_else(String::new, |j| about(j, state));
    let inner = panel(buffer, area, &title, &bottom, !state.second);
    let scale = Scale {
        lo,
        hi,
        x: label,
        columns: inner.width.saturating_sub(label + 1).max(1),
    };
    let mut y = 0;
    axis(buffer, inner, y, &scale, state);
    y += 1;
    if inner.height >= 8 {
        if state.span != state.whole {
            overview(buffer, inner, y, &scale, state);
            y += 1;
        }
        density(buffer, inner, y, &scale, state);
        y += 1;
        y += process_row(buffer, inner, y, &scale, analysis);
        y += incident_rows(buffer, inner, y, &scale, analysis, state);
    }
    let rows = Rect {
        y: inner.y + y,
        height: inner.height.saturating_sub(y),
        ..inner
    };
    if state.lines.is_empty() {
        let why = if state.filter.is_empty() {
            "no WebSocket connection was found"
        } else {
            "nothing passes the filter"
        };
        put(buffer, rows, 1, 0, why, DIM);
        return;
    }
    // The end of the selected connection goes through all bars: what ended with it shows.
    let cursor = selected
        .and_then(|j| j.connection.closed)
        .and_then(|end| scale.column(end.at.0).ok());
    let guides = guides(&scale, analysis);
    let first = top(state.line, state.lines.len(), rows.height);
    for y in 0..rows.height {
        let at = first + usize::from(y);
        let Some(index) = state.lines.get(at) else {
            break;
        };
        let Some(judged) = analysis.connections.get(*index as usize) else {
            continue;
        };
        for x in &guides {
            put(buffer, rows, scale.x + x, y, "┊", DIM);
        }
        if let Some(x) = cursor {
            put(buffer, rows, scale.x + x, y, "│", ACCENT);
        }
        name(buffer, rows, y, label, judged, state.is_marked(judged));
        bar(buffer, rows, y, &scale, judged);
        state.spots.row(rows, y, at, false);
        if at == state.line {
            select(buffer, rows, y);
        }
    }
}

/// The selected connection in one line.
fn about(judged: &Judged, state: &State) -> String {
    let c = &judged.connection;
    let from = state.clock(c.opened.map_or(c.sort_at, |s| s.at), 1);
    let to = c
        .closed
        .map_or_else(|| "open".to_owned(), |s| state.clock(s.at, s.tick_ns));
    let cause = judged.verdict.cause.map_or_else(
        || judged.verdict.outcome.name().to_owned(),
        |c| format!("{} {}", c.code(), c.id()),
    );
    // A refused handshake is a moment, not a life.
    let span = if judged.verdict.outcome == Outcome::FailedHandshake {
        from
    } else {
        format!("{from}–{to}")
    };
    format!("{span} · {cause} · {}", judged.verdict.sentence)
}

fn axis(buffer: &mut Buffer, area: Rect, y: u16, scale: &Scale, state: &State) {
    put(buffer, area, 1, y, &zone_name(state.east_s), DIM);
    let span = scale.hi.saturating_sub(scale.lo);
    let tick = if span < 20 * SECOND_NS { 1 } else { SECOND_NS };
    let label = if tick == 1 { 12 } else { 8 };
    let parts = (scale.columns / (label + 6)).clamp(1, 8);
    for i in 0..=parts {
        let at = i128::from(scale.lo) + i128::from(span) * i128::from(i) / i128::from(parts);
        let text = state.clock(Moment(i64::try_from(at).unwrap_or(scale.hi)), tick);
        // Labels stand to the right of their moment, the last one to the left of it.
        let end = scale.columns.saturating_sub(label);
        let column = scale.columns.saturating_sub(1) * i / parts;
        let x = if i == parts { end } else { column };
        if i == parts || i == 0 || x + label < end {
            put(buffer, area, scale.x + x, y, &text, DIM);
        }
    }
}

/// All of the time in one row, what is shown of it reversed.
fn overview(buffer: &mut Buffer, area: Rect, y: u16, scale: &Scale, state: &State) {
    put(buffer, area, 1, y, "all", DIM);
    let (lo, hi) = state.whole;
    let bins = super::charts::bins(&state.list.closes, lo, hi, scale.columns);
    let strip = Rect {
        x: area.x + scale.x,
        y: area.y + y,
        width: scale.columns,
        height: 1,
    };
    super::charts::bars(buffer, strip, &bins);
    let whole = Scale { lo, hi, ..*scale };
    let (from, to) = (whole.clamped(scale.lo), whole.clamped(scale.hi));
    let shown = Rect {
        x: strip.x + from,
        width: to - from + 1,
        ..strip
    };
    buffer.set_style(shown.intersection(area), SELECTED);
}

fn density(buffer: &mut Buffer, area: Rect, y: u16, scale: &Scale, state: &State) {
    put(buffer, area, 1, y, "drops", DIM);
    let closes = &state.list.closes;
    let from = closes.partition_point(|c| *c < scale.lo);
    let to = closes.partition_point(|c| *c <= scale.hi);
    let inside = closes.get(from..to).unwrap_or_default();
    let bins = super::charts::bins(inside, scale.lo, scale.hi, scale.columns);
    let strip = Rect {
        x: area.x + scale.x,
        y: area.y + y,
        width: scale.columns,
        height: 1,
    };
    super::charts::bars(buffer, strip, &bins);
}

pub(super) fn style_of(did: ProcessDid) -> (&'static str, Style) {
    match did {
        ProcessDid::Start => ("▲", GOOD),
        ProcessDid::Reload => ("▼", ACCENT),
        ProcessDid::Stop => ("▼", WARN),
        ProcessDid::Crash => ("✗", BAD),
        ProcessDid::Exhausted => ("!", BAD),
    }
}

/// One row of glyphs where programs began, reloaded, stopped or died; 0 where no log tells of any.
fn process_row(buffer: &mut Buffer, area: Rect, y: u16, scale: &Scale, analysis: &Analysis) -> u16 {
    if analysis.marks.is_empty() {
        return 0;
    }
    put(buffer, area, 1, y, "process", DIM);
    for mark in &analysis.marks {
        if let Ok(x) = scale.column(mark.at.at.0) {
            let (glyph, style) = style_of(mark.did);
            put(buffer, area, scale.x + x, y, glyph, style);
        }
    }
    1
}

fn incident_rows(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    scale: &Scale,
    analysis: &Analysis,
    state: &State,
) -> u16 {
    let shown = analysis
        .incidents
        .iter()
        .filter(|i| scale.shows(i.start.at.0, i.end.at.0))
        .take(INCIDENTS.min(usize::from(area.height / 5)));
    let mut rows = 0;
    for incident in shown {
        let (a, b) = (
            scale.clamped(incident.start.at.0),
            scale.clamped(incident.end.at.0),
        );
        let room = usize::from(scale.x.saturating_sub(2));
        let name = format!("{} {}", incident.code, incident.kind);
        put(buffer, area, 1, y + rows, &cell(&name, room, false), WARN);
        let bar = "━".repeat(usize::from(b - a) + 1);
        put(buffer, area, scale.x + a, y + rows, &bar, BAD);
        let told = format!(" {} connections", incident.connections.len());
        let needed = u16::try_from(width(&told)).unwrap_or(u16::MAX);
        if scale.columns.saturating_sub(b + 1) > needed && state.size.0 >= 60 {
            put(buffer, area, scale.x + b + 1, y + rows, &told, DIM);
        }
        rows += 1;
    }
    rows
}

/// Reloads, stops and crashes go through all rows, so that what ended at them shows: their columns.
fn guides(scale: &Scale, analysis: &Analysis) -> Vec<u16> {
    let mut columns: Vec<u16> = analysis
        .marks
        .iter()
        .filter(|m| m.did != ProcessDid::Start)
        .filter_map(|m| scale.column(m.at.at.0).ok())
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

fn name(buffer: &mut Buffer, area: Rect, y: u16, label: u16, judged: &Judged, marked: bool) {
    let v = &judged.verdict;
    let (glyph, style) = verdict(v.outcome, v.cause, v.tier);
    if marked {
        put(buffer, area, 0, y, "◆", ACCENT);
    }
    put(buffer, area, 1, y, glyph, style);
    let room = usize::from(label.saturating_sub(4));
    let name = if label >= 24 {
        format!("{} {}", judged.connection.id, rows::client(judged))
    } else {
        judged.connection.id.clone()
    };
    put(buffer, area, 3, y, &cell(&name, room, false), PLAIN);
}

fn bar(buffer: &mut Buffer, area: Rect, y: u16, scale: &Scale, judged: &Judged) {
    let c = &judged.connection;
    let v = &judged.verdict;
    let from = c.opened.map_or(c.sort_at, |s| s.at).0;
    let to = c.closed.map_or(i64::MAX, |s| s.at.0).max(from);
    let (glyph, style) = verdict(v.outcome, v.cause, v.tier);
    let mut at = |x: u16, text: &str, style| {
        put(buffer, area, scale.x + x, y, text, style);
    };
    if !scale.shows(from, to) {
        let last = scale.columns.saturating_sub(1);
        if to < scale.lo {
            at(0, "‹", DIM);
        } else {
            at(last, "›", DIM);
        }
        return;
    }
    let (a, b) = (scale.clamped(from), scale.clamped(to));
    let line = if v.outcome == Outcome::Drop {
        PLAIN
    } else {
        DIM
    };
    let silent = rows::silent(judged).filter(|_| c.closed.is_some());
    let quiet = silent
        .map_or(b, |s| scale.clamped(to.saturating_sub(s)))
        .max(a);
    at(a, &"━".repeat(usize::from(quiet - a) + 1), line);
    if quiet < b {
        at(quiet + 1, &"┄".repeat(usize::from(b - quiet)), DIM);
    }
    match (
        c.closed.is_some() || v.outcome == Outcome::FailedHandshake,
        scale.column(to),
    ) {
        (true, Ok(b)) => at(b, glyph, style),
        _ => at(b, "›", DIM),
    }
}

fn list(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let title = format!("Incidents and process lines ─ {}", state.happenings.len());
    let inner = panel(buffer, area, &title, "", state.second);
    if state.happenings.is_empty() {
        let none = "no incident, and no log speaks of a start, reload, stop or crash";
        put(buffer, inner, 1, 0, none, DIM);
        return;
    }
    let first = if state.second {
        top(state.happening, state.happenings.len(), inner.height)
    } else {
        // Beside the bars: what happened around the selected connection's end.
        let end = state.on_line(analysis).map_or(Moment(0), |j| {
            j.connection.closed.map_or(j.connection.sort_at, |s| s.at)
        });
        let near = state
            .happenings
            .partition_point(|h| h.at(analysis) <= end)
            .saturating_sub(1);
        top(near, state.happenings.len(), inner.height)
    };
    for y in 0..inner.height {
        let at = first + usize::from(y);
        let Some(happening) = state.happenings.get(at) else {
            break;
        };
        happening_row(buffer, inner, y, (analysis, state), *happening);
        state.spots.row(inner, y, at, true);
        if state.second && at == state.happening {
            select(buffer, inner, y);
        }
    }
}

fn happening_row(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    (analysis, state): (&Analysis, &State),
    what: Happening,
) {
    match what {
        Happening::Mark(i) => {
            let Some(mark) = analysis.marks.get(i) else {
                return;
            };
            let (glyph, style) = style_of(mark.did);
            let x = put(
                buffer,
                area,
                1,
                y,
                &cell(&state.clock(mark.at.at, mark.at.tick_ns), 13, false),
                DIM,
            );
            put(buffer, area, x, y, glyph, style);
            let more = match mark.lines {
                0 | 1 => String::new(),
                n => format!(" ×{n}"),
            };
            let place = place(analysis, mark.record);
            let from = area
                .width
                .saturating_sub(u16::try_from(width(&place) + 1).unwrap_or(u16::MAX));
            let room = Rect {
                width: from.saturating_sub(1),
                ..area
            };
            put(
                buffer,
                room,
                x + 2,
                y,
                &format!("{}{more}", mark.say),
                PLAIN,
            );
            if from > x + 12 {
                put(buffer, area, from, y, &place, DIM);
            }
        }
        Happening::Incident(i) => {
            let Some(incident) = analysis.incidents.get(i) else {
                return;
            };
            let at = state.clock(incident.start.at, incident.start.tick_ns);
            let x = put(buffer, area, 1, y, &cell(&at, 13, false), DIM);
            let x = put(buffer, area, x, y, "! ", BAD);
            let x = put(
                buffer,
                area,
                x,
                y,
                &format!("{} {}  ", incident.code, incident.kind),
                BOLD,
            );
            put(buffer, area, x, y, &incident.say, PLAIN);
        }
    }
}
