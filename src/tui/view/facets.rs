//! The Facets screen: under each key the values that connections have, each with a bar for how many have it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::Analysis;
use crate::tui::state::State;
use crate::tui::text::cell;
use crate::tui::theme::{ACCENT, BOLD, DIM, PLAIN};

use super::{panel, put, select, top};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let title = format!(
        "Facets ─ {} of {} connections pass",
        state.list.shown,
        analysis.connections.len()
    );
    let inner = panel(buffer, body, &title, "", true);
    if state.facets.is_empty() {
        put(buffer, inner, 1, 0, "nothing passes the filter", DIM);
        return;
    }
    let most = state.facets.iter().map(|f| f.count).max().unwrap_or(1);
    let bar = usize::from(inner.width / 4);
    let room = usize::from(inner.width).saturating_sub(8 + 2 + 8 + 2 + bar);
    let longest = state.facets.iter().map(|f| super::width(&f.value)).max();
    let name = room.min(longest.unwrap_or_default().max(12));
    let first = top(state.facet, state.facets.len(), inner.height);
    let rows = state.facets.iter().enumerate().skip(first);
    for (y, (i, facet)) in (0..inner.height).zip(rows) {
        let key = if facet.first || y == 0 { facet.key } else { "" };
        let x = put(buffer, inner, 1, y, &cell(key, 8, false), BOLD);
        let x = put(buffer, inner, x, y, &cell(&facet.value, name, false), PLAIN);
        let count = facet.count.to_string();
        let x = put(buffer, inner, x, y, &cell(&count, 8, true), PLAIN);
        // Something is never drawn as nothing.
        let length = (facet.count * bar / most.max(1)).max(1);
        let x = put(buffer, inner, x + 2, y, &"█".repeat(length), ACCENT);
        if facet.more > 0 {
            let more = format!("{} more values", facet.more);
            put(buffer, inner, x + 1, y, &more, DIM);
        }
        state.spots.row(inner, y, i, false);
        if i == state.facet {
            select(buffer, inner, y);
        }
    }
}
