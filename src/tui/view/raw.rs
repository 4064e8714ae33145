//! The raw screen: a log line in its surroundings with what was read from it, or a packet's fields beside its bytes.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Raw};
use crate::tui::state::State;
use crate::tui::text::{cell, place, width, wrap};
use crate::tui::theme::{BOLD, DIM, PLAIN, SELECTED, UNDERLINED, WARN};

use super::{Piece, panel, paragraph, put, select, top, wrapped};

/// More of a payload than this is not laid out as text.
const SHOWN: usize = 64 * 1024;

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let Some(record) = state.record else { return };
    let title = place(analysis, record);
    match state.loaded(record) {
        None => {
            let inner = panel(buffer, body, &title, "", true);
            put(buffer, inner, 1, 0, "reading …", DIM);
        }
        Some(Raw::Missing(why)) => {
            let inner = panel(buffer, body, &title, "", true);
            put(
                buffer,
                inner,
                1,
                0,
                &format!("can't be read any more: {why}"),
                WARN,
            );
        }
        Some(Raw::Line {
            lines,
            focus,
            fields,
        }) => {
            let (upper, lower) = halves(body, state, Split::Rows);
            if upper.height > 0 {
                surroundings(buffer, upper, &title, state, lines, *focus);
            }
            if lower.height > 0 {
                parsed(buffer, lower, state, fields);
            }
        }
        Some(Raw::Packet {
            tree,
            bytes,
            payload,
            ..
        }) => {
            let split = if body.width >= 120 && !state.stacked {
                Split::Columns
            } else {
                Split::Rows
            };
            let (first, second) = halves(body, state, split);
            if first.height > 0 {
                draw_tree(buffer, first, &title, state, tree);
            }
            if second.height > 0 {
                match payload.as_deref().filter(|_| state.payload) {
                    Some(payload) => draw_payload(buffer, second, state, payload),
                    None => {
                        let marked = tree.get(state.field).map_or(0..0, |t| t.2.clone());
                        draw_hex(buffer, second, state, bytes, &marked);
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Split {
    Rows,
    Columns,
}

fn halves(body: Rect, state: &State, split: Split) -> (Rect, Rect) {
    if state.zoom || body.height < 8 {
        return if state.second {
            (Rect::default(), body)
        } else {
            (body, Rect::default())
        };
    }
    match split {
        Split::Rows => {
            let upper = body.height / 2;
            (
                Rect {
                    height: upper,
                    ..body
                },
                Rect {
                    y: body.y + upper,
                    height: body.height - upper,
                    ..body
                },
            )
        }
        Split::Columns => {
            let left = body.width - 78;
            (
                Rect {
                    width: left,
                    ..body
                },
                Rect {
                    x: body.x + left,
                    width: 78,
                    ..body
                },
            )
        }
    }
}

/// The record in full, its neighbours one row each.
fn surroundings(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    state: &State,
    lines: &[(u64, String)],
    focus: usize,
) {
    let inner = panel(buffer, area, title, "", !state.second);
    let digits = lines
        .iter()
        .map(|l| l.0.to_string().len())
        .max()
        .unwrap_or(1);
    let room = usize::from(inner.width).saturating_sub(digits + 3).max(8);
    let mut rows: Vec<(Vec<Piece>, bool)> = Vec::new();
    let mut at = 0;
    for (i, (number, text)) in lines.iter().enumerate() {
        let number = format!("{number:>digits$}");
        if i == focus {
            at = rows.len();
            for (k, part) in wrap(text, room, usize::from(inner.height).max(1))
                .into_iter()
                .enumerate()
            {
                let lead = if k == 0 {
                    format!("{number} ▶ ")
                } else {
                    " ".repeat(digits + 3)
                };
                rows.push((vec![(lead, BOLD), (part, BOLD)], true));
            }
        } else {
            rows.push((
                vec![
                    (format!("{number}   "), DIM),
                    (cell(text, room, false), DIM),
                ],
                false,
            ));
        }
    }
    let first = top(at, rows.len(), inner.height);
    for (y, (pieces, here)) in (0..inner.height).zip(rows.iter().skip(first)) {
        super::put_line(buffer, inner, y, pieces);
        if *here {
            select(buffer, inner, y);
        }
    }
}

fn parsed(buffer: &mut Buffer, area: Rect, state: &State, fields: &[(String, String)]) {
    let inner = panel(buffer, area, "read from it", "", state.second);
    if fields.is_empty() {
        put(buffer, inner, 1, 0, "nothing was read from this line", DIM);
        return;
    }
    let names = fields
        .iter()
        .map(|f| width(&f.0))
        .max()
        .unwrap_or(0)
        .min(24);
    let first = top(state.field, fields.len(), inner.height);
    for (y, (i, (name, value))) in (0..inner.height).zip(fields.iter().enumerate().skip(first)) {
        let x = put(buffer, inner, 1, y, &cell(name, names, false), DIM);
        put(buffer, inner, x + 2, y, value, PLAIN);
        state.spots.row(inner, y, i, false);
        if i == state.field {
            select(buffer, inner, y);
        }
    }
}

fn draw_tree(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    state: &State,
    tree: &[(usize, String, Range<usize>)],
) {
    let inner = panel(buffer, area, title, "", !state.second);
    let first = top(state.field, tree.len(), inner.height);
    for (y, (i, (depth, text, _))) in (0..inner.height).zip(tree.iter().enumerate().skip(first)) {
        let lead = " ".repeat((*depth).min(16) * 2);
        put(
            buffer,
            inner,
            0,
            y,
            &format!(" {lead}{text}"),
            if *depth == 0 { BOLD } else { PLAIN },
        );
        state.spots.row(inner, y, i, false);
        if i == state.field {
            select(buffer, inner, y);
        }
    }
}

/// `0010  4f 4b ...  |OK|` without the frame: offset, bytes, printable ASCII.
pub(super) fn hex_line(offset: usize, chunk: &[u8], per: usize) -> String {
    let mut out = format!("{offset:04x}  ");
    for i in 0..per {
        match chunk.get(i) {
            Some(b) => out.push_str(&format!("{b:02x} ")),
            None => out.push_str("   "),
        }
    }
    out.push(' ');
    out.extend(chunk.iter().map(|b| {
        if (0x20..0x7f).contains(b) {
            char::from(*b)
        } else {
            '.'
        }
    }));
    out
}

fn draw_hex(buffer: &mut Buffer, area: Rect, state: &State, bytes: &[u8], marked: &Range<usize>) {
    let bottom = if marked.is_empty() {
        String::new()
    } else {
        format!("bytes {}–{}", marked.start, marked.end - 1)
    };
    let inner = panel(buffer, area, "bytes", &bottom, state.second);
    let per = if inner.width >= 71 { 16 } else { 8 };
    let rows = bytes.len().div_ceil(per);
    let first = if state.second {
        state
            .scroll
            .min(rows.saturating_sub(usize::from(inner.height)))
    } else {
        top(marked.start / per, rows, inner.height)
    };
    for y in 0..inner.height {
        let offset = (first + usize::from(y)) * per;
        let Some(chunk) = bytes
            .get(offset..bytes.len().min(offset + per))
            .filter(|c| !c.is_empty())
        else {
            break;
        };
        put(buffer, inner, 0, y, &hex_line(offset, chunk, per), PLAIN);
        for i in 0..chunk.len() {
            if marked.contains(&(offset + i)) {
                let style = SELECTED.patch(UNDERLINED);
                let at = |x: usize, width: u16| Rect {
                    x: inner.x + u16::try_from(x).unwrap_or(0),
                    y: inner.y + y,
                    width,
                    height: 1,
                };
                let digits = offset_digits(offset);
                let inside = inner.intersection(at(digits + 2 + i * 3, 2));
                buffer.set_style(inside, style);
                let inside = inner.intersection(at(digits + 2 + per * 3 + 1 + i, 1));
                buffer.set_style(inside, style);
            }
        }
    }
}

fn offset_digits(offset: usize) -> usize {
    format!("{offset:04x}").len()
}

fn draw_payload(buffer: &mut Buffer, area: Rect, state: &State, payload: &[u8]) {
    let inner = panel(
        buffer,
        area,
        "WebSocket payload, unmasked",
        "",
        state.second,
    );
    let head = payload.get(..SHOWN).unwrap_or(payload);
    let text = String::from_utf8_lossy(head);
    let pretty = serde_json::from_slice::<serde_json::Value>(head)
        .and_then(|v| serde_json::to_string_pretty(&v))
        .ok();
    let mut lines = Vec::new();
    for line in pretty.as_deref().unwrap_or(&text).lines().take(2_000) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        wrapped(
            &mut lines,
            &" ".repeat(indent.min(20)),
            line.trim_start_matches(' '),
            inner.width,
            PLAIN,
        );
    }
    if payload.len() > head.len() {
        lines.push(vec![(
            format!("{} more bytes", payload.len() - head.len()),
            DIM,
        )]);
    }
    paragraph(buffer, inner, &lines, state.scroll);
}
