//! The Why screen: every rule that came close, what it needed, what was seen, and what would settle the rest.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Truth};
use crate::tui::reasons::{self, Reason, Standing};
use crate::tui::state::State;
use crate::tui::text::{cell, fit, place};
use crate::tui::theme::{BAD, BOLD, DIM, GOOD, PLAIN, WARN};

use super::{Piece, panel, paragraph, put, put_line, select, top, wrapped};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let (Some(judged), Some(open)) = (state.judged(analysis), &state.drop) else {
        return;
    };
    let cause = judged.verdict.cause.map_or("no drop", |c| c.code());
    let title = format!(
        "Why {} is {cause}, and what was ruled out",
        judged.connection.id
    );
    let below = if body.height >= 14 { 6 } else { 0 };
    let upper = Rect {
        height: body.height - below,
        ..body
    };
    let inner = panel(buffer, upper, &title, "", true);
    let rows = reasons::rows(judged);
    let (mut list, mut y) = (inner, 0);
    let columns = Columns::new(inner.width);
    if inner.width >= 60 {
        put_line(
            buffer,
            inner,
            0,
            &columns.pieces("  rule", "needs", "seen", "verdict"),
        );
        y = 1;
    }
    list = Rect {
        y: list.y + y,
        height: list.height.saturating_sub(y),
        ..list
    };
    if rows.is_empty() {
        put(
            buffer,
            list,
            2,
            0,
            "nothing was tested: it did not drop",
            PLAIN,
        );
    }
    let first = top(open.reason, rows.len(), list.height);
    for (y, (i, reason)) in (0..list.height).zip(rows.iter().enumerate().skip(first)) {
        row(buffer, list, y, &columns, reason);
        if i == open.reason {
            select(buffer, list, y);
        }
    }
    if below > 0 {
        let lower = Rect {
            y: body.y + upper.height,
            height: below,
            ..body
        };
        detail(buffer, lower, analysis, rows.get(open.reason), judged);
    }
}

struct Columns {
    rule: usize,
    needs: usize,
    seen: usize,
    verdict: usize,
}

impl Columns {
    fn new(width: u16) -> Self {
        let width = usize::from(width);
        let verdict = 11.min(width / 4);
        let rule = if width >= 100 { 30 } else { width / 3 };
        let rest = width.saturating_sub(rule + verdict + 2);
        Self {
            rule,
            needs: rest * 3 / 5,
            seen: rest - rest * 3 / 5,
            verdict,
        }
    }

    fn pieces(&self, rule: &str, needs: &str, seen: &str, verdict: &str) -> Vec<Piece> {
        vec![
            (cell(rule, self.rule, false), DIM),
            (format!("{} ", cell(needs, self.needs, false)), DIM),
            (format!("{} ", cell(seen, self.seen, false)), DIM),
            (cell(verdict, self.verdict, false), DIM),
        ]
    }
}

fn row(buffer: &mut Buffer, area: Rect, y: u16, columns: &Columns, reason: &Reason<'_>) {
    match reason {
        Reason::Rule {
            cause,
            standing,
            why,
        } => {
            let style = match standing {
                Standing::Met => BAD,
                Standing::RuledOut => GOOD,
                Standing::Weaker | Standing::Tested => PLAIN,
                Standing::Untestable => WARN,
            };
            let x = put(buffer, area, 0, y, standing.glyph(), style);
            let name = format!("{} {}", cause.code(), cause.id());
            let word_x = area
                .width
                .saturating_sub(u16::try_from(columns.verdict).unwrap_or(0));
            let room = usize::from(word_x.saturating_sub(x + 2));
            let x = put(buffer, area, x + 1, y, &fit(&name, room), BOLD);
            let room = usize::from(word_x.saturating_sub(x + 3));
            put(buffer, area, x + 2, y, &fit(why, room), PLAIN);
            put(buffer, area, word_x, y, standing.name(), style);
        }
        Reason::Test(t) => {
            let (word, style) = match t.truth {
                Truth::Shown => ("met", GOOD),
                Truth::Refuted => ("not met", BAD),
                Truth::Unobserved => ("not seen", WARN),
            };
            let need = if t.required { "" } else { "(helps) " };
            let mut pieces = columns.pieces(
                &format!("    {}", t.fact.replace('_', " ")),
                &format!("{need}{}", t.wanted),
                &t.seen,
                word,
            );
            for (i, piece) in pieces.iter_mut().enumerate() {
                piece.1 = if i == 3 { style } else { PLAIN };
            }
            put_line(buffer, area, y, &pieces);
        }
        Reason::Needs(_, needs) => {
            put(buffer, area, 4, y, &format!("to test it: {needs}"), DIM);
        }
    }
}

fn detail(
    buffer: &mut Buffer,
    area: Rect,
    analysis: &Analysis,
    reason: Option<&Reason<'_>>,
    judged: &crate::model::Judged,
) {
    let inner = panel(buffer, area, "", "", false);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let mut lines = Vec::new();
    match reason {
        Some(Reason::Rule { cause, why, .. }) => {
            wrapped(
                &mut lines,
                "",
                &format!("{}: a connection that {}", cause.id(), cause.title()),
                inner.width,
                PLAIN,
            );
            wrapped(&mut lines, "", why, inner.width, PLAIN);
        }
        Some(Reason::Test(t)) => {
            let distance = t
                .distance
                .as_ref()
                .map_or_else(String::new, |d| format!(", off by {d}"));
            let text = format!(
                "{}: wanted {}; seen: {}{distance}",
                t.fact.replace('_', " "),
                t.wanted,
                t.seen
            );
            wrapped(&mut lines, "", &text, inner.width, PLAIN);
            let places: Vec<String> = t
                .records
                .iter()
                .take(8)
                .map(|r| place(analysis, *r))
                .collect();
            if !places.is_empty() {
                wrapped(&mut lines, "↵ ", &places.join("  "), inner.width, DIM);
            }
        }
        Some(Reason::Needs(_, needs)) => wrapped(&mut lines, "", needs, inner.width, PLAIN),
        None => {}
    }
    let needs: Vec<&str> = judged
        .verdict
        .untestable
        .iter()
        .map(|u| u.needs.as_str())
        .collect();
    if !needs.is_empty() && !matches!(reason, Some(Reason::Needs(..))) {
        wrapped(
            &mut lines,
            "To be certain: ",
            &needs.join("; "),
            inner.width,
            DIM,
        );
    }
    paragraph(buffer, inner, &lines, 0);
}
