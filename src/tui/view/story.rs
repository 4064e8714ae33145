//! The story of an incident: what it was and what to do, ends and returns over time, and the moments it is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Moment, SECOND_NS};
use crate::tui::state::State;
use crate::tui::story::{Kind, Story};
use crate::tui::text::{cell, place, seconds, width};
use crate::tui::theme::{BAD, BOLD, DIM, GOOD, PLAIN};

use super::charts::{bars, bins};
use super::{Piece, panel, put, put_line, select, top, wrapped};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let Some(story) = &state.story else { return };
    let Some(incident) = analysis.incidents.get(story.incident) else {
        return;
    };
    let title = format!(
        "{} {} ─ {} connections",
        incident.code,
        incident.kind,
        incident.connections.len()
    );
    let inner = panel(buffer, body, &title, "", true);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    wrapped(&mut lines, "", &incident.say, inner.width, BOLD);
    wrapped(&mut lines, "", &story.sum, inner.width, PLAIN);
    for fix in &incident.fix {
        wrapped(&mut lines, "Fix  ", fix, inner.width, GOOD);
    }
    // The moments are what is moved through: they keep half of the screen.
    let most = usize::from(inner.height / 2).max(1);
    lines.truncate(most);
    for (y, line) in (0..inner.height).zip(&lines) {
        put_line(buffer, inner, y, line);
    }
    let mut y = u16::try_from(lines.len()).unwrap_or(inner.height) + 1;
    if inner.height >= y + 8 && inner.width >= 40 {
        y += charts(buffer, inner, y, (state, story));
    }
    let list = Rect {
        y: inner.y + y.min(inner.height),
        height: inner.height.saturating_sub(y),
        ..inner
    };
    moments(buffer, list, analysis, state, story);
}

/// Two rows of bars on one scale of time; the rows taken.
fn charts(buffer: &mut Buffer, area: Rect, y: u16, (state, story): (&State, &Story)) -> u16 {
    let label = 10;
    let (lo, hi) = story.span();
    let columns = area.width.saturating_sub(label);
    for (i, (name, moments)) in [("ended", &story.ends), ("came back", &story.returns)]
        .into_iter()
        .enumerate()
    {
        let row = y + u16::try_from(i).unwrap_or(0);
        put(buffer, area, 0, row, name, DIM);
        let chart = Rect {
            x: area.x + label,
            y: area.y + row,
            width: columns,
            height: 1,
        };
        bars(buffer, chart, &bins(moments, lo, hi, columns));
    }
    let tick = if hi - lo < 20 * SECOND_NS {
        1
    } else {
        SECOND_NS
    };
    let (first, last) = (state.clock(Moment(lo), tick), state.clock(Moment(hi), tick));
    put(buffer, area, label, y + 2, &first, DIM);
    let x = area
        .width
        .saturating_sub(u16::try_from(width(&last)).unwrap_or(0));
    put(buffer, area, x, y + 2, &last, DIM);
    4
}

fn moments(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State, story: &Story) {
    let start = analysis
        .incidents
        .get(story.incident)
        .map_or(Moment(0), |i| i.start.at);
    let first = top(story.row, story.chapters.len(), area.height);
    for y in 0..area.height {
        let at = first + usize::from(y);
        let Some(chapter) = story.chapters.get(at) else {
            break;
        };
        let (glyph, style) = match chapter.kind {
            Kind::Mark(i) => analysis
                .marks
                .get(i)
                .map_or(("·", DIM), |m| super::timeline::style_of(m.did)),
            Kind::Ended => ("●", BAD),
            Kind::Returned => ("○", GOOD),
        };
        let since = chapter.at.since(start);
        let sign = if since < 0 { "−" } else { "+" };
        let delta = format!("{sign}{}", seconds(since.saturating_abs()));
        let mut x = put(
            buffer,
            area,
            0,
            y,
            &cell(&state.clock(chapter.at, 1), 13, false),
            DIM,
        );
        if area.width >= 60 {
            x = put(buffer, area, x, y, &cell(&delta, 9, true), DIM) + 1;
        }
        x = put(buffer, area, x, y, glyph, style);
        x = put(buffer, area, x + 1, y, &chapter.say, PLAIN);
        if let Kind::Mark(i) = chapter.kind
            && let Some(mark) = analysis.marks.get(i)
        {
            let place = place(analysis, mark.record);
            let from = area
                .width
                .saturating_sub(u16::try_from(width(&place)).unwrap_or(u16::MAX));
            if from > x + 1 {
                put(buffer, area, from, y, &place, DIM);
            }
        }
        state.spots.row(area, y, at, false);
        if at == story.row {
            select(buffer, area, y);
        }
    }
}
