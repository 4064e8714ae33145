//! The help screen: the keys that work on the screen below it, from the key table, searched as you type.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::keys;
use crate::tui::state::State;
use crate::tui::text::cell;
use crate::tui::theme::{BOLD, DIM, PLAIN};

use super::{panel, put, select, top};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, state: &State) {
    let mut found = keys::search(state.help_place(), &state.query);
    found.retain(|b| state.offers(b));
    let inner = panel(buffer, body, "Keys here ─ type to search", "", true);
    if found.is_empty() {
        put(buffer, inner, 1, 0, "no key has that", DIM);
    }
    let first = top(state.binding, found.len(), inner.height);
    for (y, (i, b)) in (0..inner.height).zip(found.iter().enumerate().skip(first)) {
        let mut keys = b
            .keys
            .iter()
            .map(|k| k.label())
            .collect::<Vec<_>>()
            .join(" ");
        keys.insert_str(0, keys::prefix(b, state.help_place()));
        let keys = super::spelled(keys, state);
        let x = put(buffer, inner, 1, y, &cell(&keys, 12, false), BOLD);
        let x = if inner.width >= 110 {
            put(buffer, inner, x + 1, y, &cell(b.name, 16, false), DIM)
        } else {
            x
        };
        put(buffer, inner, x + 1, y, b.help, PLAIN);
        if i == state.binding {
            select(buffer, inner, y);
        }
    }
}
