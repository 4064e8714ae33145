//! The Rules screen: what each rule decided, what it came close to, on what that rested and what it would have needed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::rulebook::RuleRow;
use crate::tui::state::State;
use crate::tui::text::cell;
use crate::tui::theme::{BAD, BOLD, DIM, GOOD, PLAIN, WARN};

use super::{Piece, panel, paragraph, put_line, select, top, wrapped};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, state: &State) {
    let below = if body.height >= 14 {
        (body.height * 2 / 5).clamp(6, 16)
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
        list(buffer, upper, state);
    }
    if lower.height > 0
        && let Some(rule) = state.rules.get(state.rule)
    {
        detail(buffer, lower, state, rule);
    }
}

fn list(buffer: &mut Buffer, upper: Rect, state: &State) {
    let decided = state.rules.iter().filter(|r| r.hits > 0).count();
    let title = format!(
        "Rules ─ {} rules, {decided} decided something",
        state.rules.len()
    );
    let mut inner = panel(buffer, upper, &title, "", !state.second);
    let columns = Columns::new(inner.width);
    if inner.width >= 40 {
        let head = columns.pieces(
            "  rule",
            [
                "decided",
                "certain",
                "likely",
                "possible",
                "weaker",
                "ruled out",
                "can't tell",
            ],
            DIM,
        );
        put_line(buffer, inner, 0, &head);
        inner = Rect {
            y: inner.y + 1,
            height: inner.height.saturating_sub(1),
            ..inner
        };
    }
    let first = top(state.rule, state.rules.len(), inner.height);
    for (y, (i, rule)) in (0..inner.height).zip(state.rules.iter().enumerate().skip(first)) {
        let count = |n: usize| {
            if n == 0 {
                "·".to_owned()
            } else {
                n.to_string()
            }
        };
        let [certain, likely, possible] = rule.tiers.map(count);
        let style = if rule.hits > 0 { BOLD } else { PLAIN };
        let cells = [
            &count(rule.hits),
            &certain,
            &likely,
            &possible,
            &count(rule.weaker),
            &count(rule.ruled_out),
            &count(rule.untestable),
        ];
        let line = columns.pieces(
            &format!("  {} {}", rule.code, rule.name),
            cells.map(String::as_str),
            style,
        );
        put_line(buffer, inner, y, &line);
        state.spots.row(inner, y, i, false);
        if i == state.rule {
            select(buffer, inner, y);
        }
    }
}

/// Widths: the name, then the seven counts; 0 = not shown.
struct Columns {
    name: usize,
    counts: [usize; 7],
}

impl Columns {
    const fn new(width: u16) -> Self {
        let counts: [usize; 7] = match width {
            100.. => [9, 9, 8, 10, 8, 11, 12],
            72..100 => [9, 0, 0, 0, 8, 11, 12],
            _ => [9, 0, 0, 0, 0, 0, 0],
        };
        let [a, b, c, d, e, f, g] = counts;
        let rest = (width as usize).saturating_sub(a + b + c + d + e + f + g + 1);
        Self {
            name: if rest > 48 { 48 } else { rest },
            counts,
        }
    }

    fn pieces(&self, name: &str, cells: [&str; 7], style: Style) -> Vec<Piece> {
        let mut out = vec![(cell(name, self.name, false), style)];
        for (text, width) in cells.iter().zip(self.counts) {
            if width > 0 {
                out.push((cell(text, width, true), style));
            }
        }
        out
    }
}

fn detail(buffer: &mut Buffer, area: Rect, state: &State, rule: &RuleRow) {
    let inner = panel(
        buffer,
        area,
        &format!("{} {}", rule.code, rule.name),
        "",
        state.second,
    );
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let columns = inner.width;
    if let Some(cause) = rule.cause {
        let title = format!("A connection that {}", cause.title());
        wrapped(&mut lines, "", &title, columns, BOLD);
    }
    if let Some((id, say)) = &rule.example {
        wrapped(
            &mut lines,
            "for example  ",
            &format!("{id}: {say}"),
            columns,
            PLAIN,
        );
    }
    if let Some((id, why)) = &rule.near_miss {
        wrapped(
            &mut lines,
            "near miss  ",
            &format!("{id}: {why}"),
            columns,
            PLAIN,
        );
    }
    for say in &rule.says {
        wrapped(&mut lines, "! ", say, columns, WARN);
    }
    for (name, held, all) in &rule.rests_on {
        wrapped(
            &mut lines,
            "+ ",
            &format!("{name}  held {held} of {all} times"),
            columns,
            GOOD,
        );
    }
    for (why, n) in &rule.against {
        wrapped(
            &mut lines,
            "✗ ",
            &format!("ruled out {n}×: {why}"),
            columns,
            PLAIN,
        );
    }
    for (needs, n) in &rule.needs {
        wrapped(
            &mut lines,
            "? ",
            &format!("{n}× it would need {needs}"),
            columns,
            WARN,
        );
    }
    if rule.hits + rule.weaker + rule.ruled_out + rule.untestable == 0 {
        wrapped(
            &mut lines,
            "",
            "nothing in this case comes near it",
            columns,
            DIM,
        );
    }
    if rule.tiers.iter().sum::<usize>() < rule.hits && rule.cause.is_some() {
        let weak = rule.hits - rule.tiers.iter().sum::<usize>();
        wrapped(
            &mut lines,
            "",
            &format!("{weak} of its drops stay undecided"),
            columns,
            BAD,
        );
    }
    if let Some(page) = state.pages().find(|p| p.code == rule.code) {
        lines.push(Vec::new());
        wrapped(&mut lines, "", &page.meaning, columns, PLAIN);
        wrapped(&mut lines, "rule  ", &page.file, columns, DIM);
        for sample in &page.samples {
            wrapped(&mut lines, "sample  ", sample, columns, DIM);
        }
    }
    paragraph(buffer, inner, &lines, state.scroll);
}
