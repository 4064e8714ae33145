//! The Why screen: every rule that came close, what it needed, what was seen, and what would settle the rest.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Test, Tier, Truth};
use crate::tui::reasons::{self, Reason, Standing};
use crate::tui::state::State;
use crate::tui::text::{cell, fit, place, width};
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
    let columns = Columns::new(inner.width, &rows);
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
            DIM,
        );
    }
    let first = top(open.reason, rows.len(), list.height);
    for (y, (i, reason)) in (0..list.height).zip(rows.iter().enumerate().skip(first)) {
        row(buffer, list, y, &columns, reason);
        state.spots.row(list, y, i, false);
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
    /// The rule's column and what was seen are as wide as they must be; what was needed gets the rest.
    fn new(columns: u16, rows: &[Reason<'_>]) -> Self {
        let columns = usize::from(columns);
        let verdict = 11.min(columns / 4);
        let tests = || {
            rows.iter().filter_map(|r| match r {
                Reason::Test { test, .. } => Some(*test),
                Reason::Rule { .. } | Reason::Needs(..) => None,
            })
        };
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let rule = widest(&mut tests().map(|t| width(&fact(t)) + 5))
            .clamp(16, 32)
            .min(columns / 3);
        let rest = columns.saturating_sub(rule + verdict + 2);
        let seen = widest(&mut tests().map(|t| width(&fit(&t.seen, 60))))
            .max(4)
            .min(rest / 2);
        Self {
            rule,
            needs: rest - seen,
            seen,
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

/// A fact's name as words.
fn fact(test: &Test) -> String {
    test.fact.replace(['_', '.'], " ")
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
        Reason::Test { test: t, spared } => {
            let (word, style) = match (t.truth, t.required) {
                (Truth::Shown, true) => ("met", GOOD),
                (Truth::Shown, false) => ("helps", GOOD),
                _ if *spared => ("not needed", DIM),
                (Truth::Refuted, true) => ("not met", BAD),
                (Truth::Refuted, false) => ("no help", DIM),
                (Truth::Unobserved, _) => ("not seen", WARN),
            };
            let mut pieces = columns.pieces(&format!("    {}", fact(t)), &t.wanted, &t.seen, word);
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
        Some(Reason::Test { test: t, .. }) => {
            let distance = t
                .distance
                .as_ref()
                .map_or_else(String::new, |d| format!(", off by {d}"));
            let text = format!(
                "{}: wanted {}; seen: {}{distance}{}",
                t.fact,
                t.wanted,
                t.seen,
                if t.required {
                    ""
                } else {
                    "; not required, it makes the cause surer"
                }
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
        None => wrapped(&mut lines, "", &judged.verdict.sentence, inner.width, PLAIN),
    }
    let needs: Vec<&str> = judged
        .verdict
        .untestable
        .iter()
        .map(|u| &*u.needs)
        .collect();
    if !needs.is_empty() && !matches!(reason, Some(Reason::Needs(..))) {
        let lead = match judged.verdict.tier {
            Tier::Certain => "Certain without: ",
            _ => "To be certain: ",
        };
        wrapped(&mut lines, lead, &needs.join("; "), inner.width, DIM);
    }
    paragraph(buffer, inner, &lines, 0);
}
