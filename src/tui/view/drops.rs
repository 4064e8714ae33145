//! The Drops screen: the list grouped by cause, the selected one's answer beside it, two histograms below.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Judged, Moment, RivalVerdict, SECOND_NS, SourceKind, Tier};
use crate::tui::rows::{self, Group, GroupKey, Row};
use crate::tui::state::State;
use crate::tui::text::{cell, clock, place, seconds, width};
use crate::tui::theme::{ACCENT, BOLD, DIM, GOOD, PLAIN, WARN, verdict};

use super::{Piece, panel, paragraph, put, put_line, select, tier_word, top, wrapped};

struct Plan {
    list: Rect,
    detail: Option<Rect>,
    /// Where there is no room for the detail: the selected row's answer alone.
    answer: Option<Rect>,
    /// Drops over time, silences before the close.
    charts: Option<(Rect, Rect)>,
}

fn plan(body: Rect) -> Plan {
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
    let charts = (charts > 0).then(|| (strip(x, left), strip(x + left, width - left)));
    if wide {
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
pub fn list_rows((columns, rows): (u16, u16)) -> u16 {
    let screen = Rect {
        x: 0,
        y: 0,
        width: columns,
        height: rows,
    };
    let list = plan(super::body(screen)).list;
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
    } = plan(body);
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
    let title = format!(
        "Drops ─ by {} ─ {} {arrow}",
        state.grouping.name(),
        state.sort.name()
    );
    let bottom = match s.hidden {
        0 => String::new(),
        n => format!("{n} clean or open not shown · c shows them"),
    };
    let bottom = match (state.marked.len(), bottom.as_str()) {
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
    if s.is_empty() {
        empty(buffer, inner, analysis, state);
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
                }
            }
            Row::Connection { index, .. } => {
                if let Some(judged) = analysis.connections.get(index) {
                    connection_row(buffer, inner, y, &columns, judged);
                    if u32::try_from(index).is_ok_and(|i| state.marked.contains(&i)) {
                        put(buffer, inner, 0, y, "◆", ACCENT);
                    }
                }
            }
        }
        if at == state.row {
            select(buffer, inner, y);
        }
    }
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
            format!("{} connections, none dropped", s.connections),
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

/// The selected row in one sentence.
fn draw_answer(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let mut lines = Vec::new();
    let group = match state.selected() {
        Some(Row::Group(g)) => state.list.groups.get(g),
        _ => None,
    };
    match (group, state.example(analysis)) {
        (Some(g), _) if g.is_finding() => lines = finding_lines(analysis, g, area.width),
        (_, Some(_)) if state.nothing_dropped() => {
            wrapped(&mut lines, "", &calm(state), area.width, GOOD);
        }
        (_, Some(j)) => wrapped(&mut lines, "", &j.verdict.sentence, area.width, BOLD),
        (_, None) => {}
    }
    paragraph(buffer, area, &lines, 0);
}

/// What became of the connections of a case without a drop.
fn calm(state: &State) -> String {
    let s = &state.summary;
    let mut said = format!("None of {} connections dropped", s.connections);
    if s.clean > 0 {
        said.push_str(&format!(": {} closed as wanted", s.clean));
    }
    if s.open > 0 {
        let lead = if s.clean > 0 { "," } else { ":" };
        said.push_str(&format!(
            "{lead} {} still open when the evidence ends",
            s.open
        ));
    }
    said
}

/// No drop is an answer too, and worth as much as what was looked at.
fn calm_lines(lines: &mut Vec<Vec<Piece>>, analysis: &Analysis, state: &State, columns: u16) {
    wrapped(lines, "", &calm(state), columns, GOOD);
    let count = |kind: fn(&SourceKind) -> bool, one: &str, many: &str| {
        let n = analysis.sources.iter().filter(|s| kind(&s.kind)).count();
        (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { many }))
    };
    let files: Vec<String> = [
        count(|k| k.is_capture(), "capture", "captures"),
        count(|k| matches!(k, SourceKind::Log(_)), "log", "logs"),
        count(
            |k| matches!(k, SourceKind::Config(_)),
            "configuration file",
            "configuration files",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let span = analysis.window.map_or_else(String::new, |(a, b)| {
        format!(
            ", {} to {} UTC ({})",
            clock(a.at, i64::MAX),
            clock(b.at, i64::MAX),
            crate::model::say_duration(b.at.since(a.at))
        )
    });
    let checked = format!(
        "Checked: {}{span}, with the {} rules",
        files.join(", "),
        analysis.rules
    );
    wrapped(lines, "", &checked, columns, PLAIN);
    if !analysis.sources.iter().any(|s| s.kind.is_capture()) {
        wrapped(
            lines,
            "",
            "Without a capture: a connection that no log speaks of is not counted",
            columns,
            WARN,
        );
    }
    for s in &analysis.sources {
        let why = match (&s.reason, s.odd) {
            (Some(reason), _) => reason.clone(),
            (None, 0) => continue,
            (None, odd) => format!("{odd} of {} records not understood", s.records),
        };
        wrapped(lines, "! ", &format!("{}: {why}", s.path), columns, WARN);
    }
    lines.push(Vec::new());
}

fn draw_detail(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let selected = state.selected();
    let group = match selected {
        Some(Row::Group(g)) => state.list.groups.get(g),
        _ => None,
    };
    let calm = state.nothing_dropped() && group.is_some_and(|g| !g.is_finding());
    let title = match (group, state.example(analysis)) {
        (Some(_), _) if calm => "No drop".to_owned(),
        (Some(g), _) => g.label.clone(),
        (None, Some(j)) => {
            let cause = j
                .verdict
                .cause
                .map_or_else(String::new, |c| format!(" ─ {} {}", c.code(), c.id()));
            format!("{}{cause}", j.connection.id)
        }
        (None, None) => String::new(),
    };
    let inner = panel(buffer, area, &title, "", state.second);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let lines = match group {
        Some(g) if g.is_finding() => finding_lines(analysis, g, inner.width),
        _ => state.example(analysis).map_or_else(Vec::new, |j| {
            let mut lines = Vec::new();
            match group {
                Some(g) if calm => {
                    calm_lines(&mut lines, analysis, state, inner.width);
                    lines.push(vec![(format!("{}: {}", g.label, g.members.len()), DIM)]);
                }
                Some(g) if matches!(g.key, GroupKey::Cause(_) | GroupKey::Outcome(_)) => {
                    lines.push(agreement(g))
                }
                Some(g) => {
                    let causes: Vec<String> = g
                        .causes
                        .iter()
                        .map(|(name, n)| format!("{n} {name}"))
                        .collect();
                    wrapped(&mut lines, "", &causes.join(" · "), inner.width, BOLD);
                    lines.push(vec![("the first of them:".to_owned(), DIM)]);
                }
                None => {}
            }
            verdict_lines(&mut lines, j, analysis, inner.width, group.is_none());
            lines
        }),
    };
    paragraph(buffer, inner, &lines, state.scroll);
}

/// How many of a group's verdicts reach the strongest tier.
fn agreement(group: &Group) -> Vec<Piece> {
    let (tier, n) = group.tier;
    let all = group.members.len();
    if matches!(group.key, GroupKey::Outcome(_)) {
        return vec![(format!("{all} of them"), DIM)];
    }
    let more = if n == all {
        format!(" · {n} of {all} drops agree")
    } else {
        format!(" · {n} of {all} drops, the others less")
    };
    vec![tier_word(tier), (more, DIM)]
}

fn finding_lines(analysis: &Analysis, group: &Group, columns: u16) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let (say, fix) = match group.key {
        GroupKey::Incident(i) => match analysis.incidents.get(i) {
            Some(i) => {
                let span = format!(
                    "{}–{} UTC",
                    clock(i.start.at, i.start.tick_ns),
                    clock(i.end.at, i.end.tick_ns)
                );
                lines.push(vec![(span, DIM)]);
                (&i.say, &i.fix)
            }
            None => return lines,
        },
        GroupKey::Finding(i) => match analysis.findings.get(i) {
            Some(f) => (&f.say, &f.fix),
            None => return lines,
        },
        _ => return lines,
    };
    wrapped(&mut lines, "", say, columns, PLAIN);
    fix_lines(&mut lines, fix, columns);
    lines
}

fn fix_lines(lines: &mut Vec<Vec<Piece>>, fix: &[String], columns: u16) {
    for (i, fix) in fix.iter().enumerate() {
        if i == 0 {
            lines.push(Vec::new());
        }
        wrapped(lines, "Fix  ", fix, columns, GOOD);
    }
}

/// The answer, its ground, its rivals, the fix. Every evidence line says where it stands.
fn verdict_lines(
    lines: &mut Vec<Vec<Piece>>,
    j: &Judged,
    analysis: &Analysis,
    columns: u16,
    tier: bool,
) {
    let v = &j.verdict;
    if tier && v.cause.is_some() {
        let about = v.contributing.join(", ");
        lines.push(vec![
            tier_word(v.tier),
            (
                if about.is_empty() {
                    about
                } else {
                    format!(" · {about}")
                },
                DIM,
            ),
        ]);
    }
    wrapped(lines, "", &v.sentence, columns, BOLD);
    if let Some(first) = v.fix.first().filter(|_| columns < 200) {
        wrapped(lines, "Fix  ", first, columns, GOOD);
    }
    if !v.evidence.is_empty() {
        lines.push(Vec::new());
    }
    for e in &v.evidence {
        let place = e.record.map_or_else(String::new, |r| place(analysis, r));
        let lead = if e.supports { "+ " } else { "- " };
        let text = if place.is_empty() {
            e.say.clone()
        } else {
            format!("{}  {place}", e.say)
        };
        wrapped(
            lines,
            lead,
            &text,
            columns,
            if e.supports { PLAIN } else { WARN },
        );
    }
    if !v.rivals.is_empty() || !v.untestable.is_empty() {
        lines.push(Vec::new());
    }
    for r in &v.rivals {
        let lead = match r.verdict {
            RivalVerdict::RuledOut => "✗ ",
            RivalVerdict::Weaker => "○ ",
            RivalVerdict::Untestable => "? ",
        };
        wrapped(
            lines,
            lead,
            &format!(
                "{} {}: {}",
                r.cause.id(),
                r.verdict.name().replace('-', " "),
                r.why
            ),
            columns,
            DIM,
        );
    }
    for u in &v.untestable {
        wrapped(
            lines,
            "? ",
            &format!("{} needs {}", u.cause.id(), u.needs),
            columns,
            DIM,
        );
    }
    for more in v.fix.iter().skip(1) {
        wrapped(lines, "Fix  ", more, columns, GOOD);
    }
}

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

fn draw_when(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
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
    let (first, last) = (clock(Moment(lo), tick), clock(Moment(hi), tick));
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

fn draw_silent(buffer: &mut Buffer, area: Rect, state: &State) {
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
