//! The odd records of one file: where each stands, what it was called, and as much of it as fits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::Analysis;
use crate::tui::state::State;
use crate::tui::text::{cell, width};
use crate::tui::theme::{DIM, PLAIN, WARN};

use super::{panel, put, select, top};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let Some(odd) = &state.oddities else { return };
    let Some(source) = analysis.source(odd.source) else {
        return;
    };
    let of = match usize::try_from(source.odd) {
        Ok(all) if all > odd.rows.len() => format!("the first {} of {all}", odd.rows.len()),
        _ => odd.rows.len().to_string(),
    };
    let title = format!("{} ─ odd records: {of}", source.path);
    let inner = panel(buffer, body, &title, "", true);
    let kinds = odd
        .rows
        .iter()
        .map(|r| width(&r.0))
        .max()
        .unwrap_or(0)
        .min(24);
    let first = top(odd.row, odd.rows.len(), inner.height);
    let rows = odd.rows.iter().enumerate().skip(first);
    for (y, (i, (kind, record))) in (0..inner.height).zip(rows) {
        let number = record.ordinal.to_string();
        let x = put(buffer, inner, 0, y, &cell(&number, 9, true), DIM);
        let x = put(buffer, inner, x + 2, y, &cell(kind, kinds, false), WARN);
        let text = odd.texts.get(record).map_or("…", String::as_str);
        put(buffer, inner, x + 2, y, text, PLAIN);
        state.spots.row(inner, y, i, false);
        if i == odd.row {
            select(buffer, inner, y);
        }
    }
}
