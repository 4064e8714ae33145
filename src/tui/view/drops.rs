//! The Drops screen: the list grouped by cause, the selected one's answer beside it, two histograms below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Judged, Tier};
use crate::tui::rows::{self, Group, GroupKey, Row};
use crate::tui::state::State;
use crate::tui::text::{cell, seconds};
use crate::tui::theme::{ACCENT, BOLD, DIM, PLAIN, WARN, verdict};

use super::answer::{draw_answer, draw_detail};
use super::charts::{draw_silent, draw_when};
use super::{Piece, loading, panel, put, put_line, select, top};

struct Plan {
    list: Rect,
    detail: Option<Rect>,
    /// Where there is no room for the detail: the selected row's answer alone.
    answer: Option<Rect>,
    /// Drops over time, silences before the close.
    charts: Option<(Rect, Rect)>,
}

/// `stacked` = nothing stands beside the list, even where there is room.
fn plan(body: Rect, stacked: bool) -> Plan {
    let Rect {
        x,
        y,
        width,
        height,
    } = body;
    if width < 60 || height < 14 {
        let rows = if height >= 7 { 3 } else { 0 };
        let list = Rect {
            height: height - rows,
            ..body
        };
        return Plan {
            list,
            detail: None,
            answer: (rows > 0).then(|| Rect {
                y: y + height - rows,
                height: rows,
                ..body
            }),
            charts: None,
        };
    }
    let wide = width >= 100;
    let charts = if (wide && height >= 18) || height >= 30 {
        5
    } else {
        0
    };
    let main = height - charts;
    let strip = |x, width| Rect {
        x,
        y: y + main,
        width,
        height: charts,
    };
    let left = width * 13 / 20;
    let beside = wide && !stacked;
    let charts = (charts > 0).then(|| (strip(x, left), strip(x + left, width - left)));
    if beside {
        let list = Rect {
            x,
            y,
            width: left,
            height: main,
        };
        return Plan {
            list,
            detail: Some(Rect {
                x: x + left,
                y,
                width: width - left,
                height: main,
            }),
            answer: None,
            charts,
        };
    }
    let below = (main * 2 / 5).clamp(6, 14);
    let list = Rect {
        x,
        y,
        width,
        height: main - below,
    };
    Plan {
        list,
        detail: Some(Rect {
            x,
            y: y + main - below,
            width,
            height: below,
        }),
        answer: None,
        charts,
    }
}

/// Rows of the list at this size of the terminal.
pub fn list_rows((columns, rows): (u16, u16), stacked: bool) -> u16 {
    let screen = Rect {
        x: 0,
        y: 0,
        width: columns,
        height: rows,
    };
    let list = plan(super::body(screen), stacked).list;
    if super::framed(list, screen) {
        list.height.saturating_sub(3)
    } else {
        list.height
    }
}

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let Plan {
        mut list,
        mut detail,
        mut answer,
        mut charts,
    } = plan(body, state.stacked);
    if state.zoom || (state.second && detail.is_none()) {
        (list, detail, charts) = if state.second {
            (Rect::default(), Some(body), None)
        } else {
            (body, None, None)
        };
        answer = None;
    }
    if list.height > 0 {
        draw_list(buffer, list, analysis, state);
    }
    if let Some(area) = detail {
        draw_detail(buffer, area, analysis, state);
    }
    if let Some(area) = answer {
        draw_answer(buffer, area, analysis, state);
    }
    if let Some((when, silent)) = charts {
        draw_when(buffer, when, analysis, state);
        draw_silent(buffer, silent, state);
    }
}

/// Widths of the columns after the name; 0 = not shown.
struct Columns {
    count: usize,
    closer: usize,
    lived: usize,
    silent: usize,
    name: usize,
}

impl Columns {
    fn new(width: u16) -> Self {
        let (count, closer, lived, silent) = match width {
            76.. => (7, 12, 9, 9),
            58..76 => (6, 9, 7, 8),
            44..58 => (6, 8, 0, 8),
            _ => (4, 6, 0, 0),
        };
        let name = usize::from(width).saturating_sub(count + closer + lived + silent + 2);
        Self {
            count,
            closer,
            lived,
            silent,
            name,
        }
    }

    fn pieces(&self, name: &str, cells: [&str; 4]) -> Vec<Piece> {
        let [count, closer, lived, silent] = cells;
        let mut out = vec![(cell(name, self.name, false), PLAIN)];
        out.push((cell(count, self.count, true), PLAIN));
        out.push((format!("  {}", cell(closer, self.closer, false)), PLAIN));
        if self.lived > 0 {
            out.push((cell(lived, self.lived, true), PLAIN));
        }
        if self.silent > 0 {
            out.push((cell(silent, self.silent, true), PLAIN));
        }
        out
    }
}

fn draw_list(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let s = &state.list;
    let arrow = if state.reverse { "↑" } else { "↓" };
    let title = if state.unread.is_empty() {
        format!(
            "Drops ─ by {} ─ {} {arrow}",
            state.grouping.name(),
            state.sort.name()
        )
    } else {
        "Drops ─ provisional ~ until every file over that time is read".to_owned()
    };
    let bottom = match s.hidden {
        0 => String::new(),
        n => format!("{n} clean or open not shown · c shows them"),
    };
    let bottom = match (state.marks(analysis), bottom.as_str()) {
        (0, _) => bottom,
        (n, "") => format!("{n} marked"),
        (n, _) => format!("{n} marked · {bottom}"),
    };
    let mut inner = panel(buffer, area, &title, &bottom, !state.second);
    let columns = Columns::new(inner.width);
    if inner.width < area.width {
        let head: Vec<Piece> = columns
            .pieces(
                "  cause / connection",
                ["drops", "closed by", "lived", "silent"],
            )
            .into_iter()
            .map(|(text, _)| (text, DIM))
            .collect();
        put_line(buffer, inner, 0, &head);
        inner = Rect {
            y: inner.y + 1,
            height: inner.height.saturating_sub(1),
            ..inner
        };
    }
    // Where the list leaves room, the files that are being read stand below it.
    let free = usize::from(inner.height).saturating_sub(s.len());
    let files = loading::files_rows(analysis, state, inner.width, free);
    let rows = u16::try_from(files.len()).unwrap_or(0);
    for (y, line) in (inner.height - rows.min(inner.height)..).zip(&files) {
        put_line(buffer, inner, y, line);
    }
    if s.is_empty() {
        if state.loading.is_none() {
            empty(buffer, inner, analysis, state);
        }
        return;
    }
    let first = top(state.row, s.len(), inner.height);
    for y in 0..inner.height {
        let at = first + usize::from(y);
        let Some(row) = s.row(at) else { break };
        match row {
            Row::Group(g) => {
                if let Some(group) = s.groups.get(g) {
                    group_row(buffer, inner, y, &columns, group);
                    let members = group.members.iter();
                    let mut judged = members.filter_map(|i| analysis.connections.get(*i as usize));
                    if !state.unread.is_empty() && judged.any(|j| state.provisional(j)) {
                        provisional(buffer, inner, y, &columns);
                    }
                }
            }
            Row::Connection { index, .. } => {
                if let Some(judged) = analysis.connections.get(index) {
                    connection_row(buffer, inner, y, &columns, judged);
                    if state.provisional(judged) {
                        provisional(buffer, inner, y, &columns);
                    }
                    if state.is_marked(judged) {
                        put(buffer, inner, 0, y, "◆", ACCENT);
                    }
                }
            }
        }
        state.spots.row(inner, y, at, false);
        if at == state.row {
            select(buffer, inner, y);
        }
    }
}

/// No last word on half the evidence: the mark stands in place of the one that says how sure it is.
fn provisional(buffer: &mut Buffer, area: Rect, y: u16, columns: &Columns) {
    let x = if columns.lived > 0 { 2 } else { 1 };
    put(buffer, area, x, y, "~", WARN);
}

fn empty(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let s = &state.summary;
    let lines: &[String] = &if s.connections == 0 {
        let (used, all, _) = super::files(analysis);
        vec![
            "no WebSocket connection was found".to_owned(),
            format!("{used} of {all} files were understood · 3 shows what each was read as"),
        ]
    } else if state.filter.is_empty() {
        vec![
            format!("{} connections, {}", s.connections, s.no_drop()),
            "c shows them · 3 shows what was read".to_owned(),
        ]
    } else {
        vec![
            "nothing passes the filter".to_owned(),
            "/ changes it · Esc clears it".to_owned(),
        ]
    };
    for (y, line) in (1..).zip(lines) {
        put(buffer, area, 2, y, line, PLAIN);
    }
}

fn group_row(buffer: &mut Buffer, area: Rect, y: u16, columns: &Columns, group: &Group) {
    let arrow = match (group.members.is_empty(), group.open) {
        (true, _) => " ",
        (false, true) => "▾",
        (false, false) => "▸",
    };
    let (glyph, style) = match &group.key {
        GroupKey::Incident(_) | GroupKey::Finding(_) => ("!", WARN),
        GroupKey::Outcome(o) => verdict(*o, None, Tier::Certain),
        _ => crate::tui::theme::tier(group.tier.0),
    };
    let dash = |v: Option<i64>| v.map_or_else(|| "–".to_owned(), seconds);
    let (name, mixed) = &group.closer;
    let closer = format!("{name}{}", if *mixed { " …" } else { "" });
    let count = group.members.len().to_string();
    let name = if columns.lived > 0 {
        format!("{arrow}   {}", group.label)
    } else {
        format!("{arrow}  {}", group.label)
    };
    let mut pieces = columns.pieces(
        &name,
        [&count, &closer, &dash(group.lived), &dash(group.silent)],
    );
    if let Some(first) = pieces.first_mut() {
        first.1 = BOLD;
    }
    put_line(buffer, area, y, &pieces);
    put(
        buffer,
        area,
        if columns.lived > 0 { 2 } else { 1 },
        y,
        glyph,
        style,
    );
}

fn connection_row(buffer: &mut Buffer, area: Rect, y: u16, columns: &Columns, judged: &Judged) {
    let (glyph, style) = verdict(
        judged.verdict.outcome,
        judged.verdict.cause,
        judged.verdict.tier,
    );
    let dash = |v: Option<i64>| v.map_or_else(|| "–".to_owned(), seconds);
    let silent = dash(rows::silent(judged));
    let lead = if columns.lived > 0 { "    " } else { "   " };
    let name = format!("{lead}{} {}", judged.connection.id, rows::client(judged));
    let closer = if columns.silent > 0 {
        rows::closer(judged)
    } else {
        &silent
    };
    let pieces = columns.pieces(&name, ["", closer, &dash(rows::lived(judged)), &silent]);
    put_line(buffer, area, y, &pieces);
    put(
        buffer,
        area,
        if columns.lived > 0 { 2 } else { 1 },
        y,
        glyph,
        style,
    );
}
