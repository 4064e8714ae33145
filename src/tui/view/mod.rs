//! State and analysis -> one finished screen: header, the screen's own panes, footer; pure functions, window rows only.

mod answer;
mod charts;
pub mod drops;
mod facets;
pub mod help;
pub mod ladder;
mod loading;
mod oddities;
pub mod raw;
pub mod rules;
pub mod sources;
mod story;
pub mod timeline;
pub mod why;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, Widget};

use crate::model::{Analysis, SourceKind, Tier};

use super::export::Ask;
use super::keys;
use super::state::{Screen, State};
use super::text::{cell, fit, there, width, zone_name};
use super::theme::{ACCENT, BAD, BOLD, DIM, PLAIN, SELECTED, WARN};

/// Smaller than this and only a word about it is drawn.
const LEAST: (u16, u16) = (20, 5);

pub fn draw(frame: &mut Frame<'_>, analysis: &Analysis, state: &State) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    state.spots.forget();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        put(
            buffer,
            area,
            0,
            0,
            &format!("needs {}x{}", LEAST.0, LEAST.1),
            PLAIN,
        );
    } else {
        header(buffer, area, analysis, state);
        let body = body(area);
        match state.screen {
            Screen::Drops => drops::draw(buffer, body, analysis, state),
            Screen::Ladder => ladder::draw(buffer, body, analysis, state),
            Screen::Why => why::draw(buffer, body, analysis, state),
            Screen::Raw => raw::draw(buffer, body, analysis, state),
            Screen::Timeline => timeline::draw(buffer, body, analysis, state),
            Screen::Sources => sources::draw(buffer, body, analysis, state),
            Screen::Rules => rules::draw(buffer, body, state),
            Screen::Story => story::draw(buffer, body, analysis, state),
            Screen::Facets => facets::draw(buffer, body, analysis, state),
            Screen::Oddities => oddities::draw(buffer, body, analysis, state),
            Screen::Help => help::draw(buffer, body, state),
        }
        if state.palette.is_some() {
            commands(buffer, body, state);
        }
        let cursor = footer(buffer, area, analysis, state);
        if let Some(x) = cursor {
            frame.set_cursor_position((x, area.bottom().saturating_sub(1)));
        }
    }
    state.options.theme.apply(frame.buffer_mut());
}

/// What header and footer leave.
pub fn body(area: Rect) -> Rect {
    let head = header_rows(area.height);
    Rect {
        x: area.x,
        y: area.y + head,
        width: area.width,
        height: area.height.saturating_sub(head + 1),
    }
}

const fn header_rows(height: u16) -> u16 {
    if height >= 22 { 2 } else { 1 }
}

/// Writes inert text from column `x` of row `y` of an area, cut at its right edge; the column after it.
fn put(buffer: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) -> u16 {
    if y >= area.height || x >= area.width {
        return x;
    }
    let room = usize::from(area.width - x);
    let text = fit(text, room);
    let (end, _) = buffer.set_stringn(area.x + x, area.y + y, &text, room, style);
    end - area.x
}

/// A piece of a line.
type Piece = (String, Style);

fn put_line(buffer: &mut Buffer, area: Rect, y: u16, pieces: &[Piece]) {
    let mut x = 0;
    for (text, style) in pieces {
        x = put(buffer, area, x, y, text, *style);
    }
}

fn select(buffer: &mut Buffer, area: Rect, y: u16) {
    if y < area.height {
        buffer.set_style(
            Rect {
                x: area.x,
                y: area.y + y,
                width: area.width,
                height: 1,
            },
            SELECTED,
        );
    }
}

/// Draws a frame where there is room for one, and returns what lies inside it.
fn panel(buffer: &mut Buffer, area: Rect, title: &str, bottom: &str, focus: bool) -> Rect {
    if !framed(area, buffer.area) {
        return area;
    }
    let block = Block::bordered().border_style(if focus { PLAIN } else { DIM });
    let inner = block.inner(area);
    block.render(area, buffer);
    let edge = |y| Rect {
        x: area.x + 1,
        y,
        width: area.width.saturating_sub(3),
        height: 1,
    };
    if !title.is_empty() {
        put(
            buffer,
            edge(area.y),
            0,
            0,
            &format!(" {title} "),
            if focus { BOLD } else { PLAIN },
        );
    }
    if !bottom.is_empty() {
        put(
            buffer,
            edge(area.bottom().saturating_sub(1)),
            0,
            0,
            &format!(" {bottom} "),
            DIM,
        );
    }
    inner
}

/// Frames cost two rows and two columns: small terminals have none.
const fn framed(area: Rect, screen: Rect) -> bool {
    screen.width >= 60 && screen.height >= 16 && area.height >= 4 && area.width >= 30
}

/// The first of `len` rows to draw so that `cursor` is among `height` of them.
fn top(cursor: usize, len: usize, height: u16) -> usize {
    let height = usize::from(height);
    cursor
        .saturating_sub(height / 2)
        .min(len.saturating_sub(height))
}

/// Lines that scroll: the scroll stops where the last line is at the bottom.
fn paragraph(buffer: &mut Buffer, area: Rect, lines: &[Vec<Piece>], scroll: usize) {
    let scroll = scroll.min(lines.len().saturating_sub(usize::from(area.height)));
    for (y, line) in (0..area.height).zip(lines.iter().skip(scroll)) {
        put_line(buffer, area, y, line);
    }
    let below = lines
        .len()
        .saturating_sub(scroll + usize::from(area.height));
    if below > 0 && area.height > 0 && area.width > 12 {
        let note = format!(" {below} more ");
        let x = area
            .width
            .saturating_sub(u16::try_from(width(&note)).unwrap_or(0));
        put(buffer, area, x, area.height - 1, &note, DIM);
    }
}

fn wrapped(lines: &mut Vec<Vec<Piece>>, lead: &str, text: &str, columns: u16, style: Style) {
    let indent = width(lead);
    let room = usize::from(columns).saturating_sub(indent).max(8);
    for (i, part) in super::text::wrap(text, room, 60).into_iter().enumerate() {
        let lead = if i == 0 {
            lead.to_owned()
        } else {
            " ".repeat(indent)
        };
        lines.push(vec![(lead, style), (part, style)]);
    }
}

fn tier_word(tier: Tier) -> Piece {
    let (glyph, style) = super::theme::tier(tier);
    (format!("{glyph} {}", tier.name()), style)
}

/// Sources read, sources there, and whether any needs a look.
fn files(analysis: &Analysis) -> (usize, usize, bool) {
    let used =
        |s: &&crate::model::Source| !matches!(s.kind, SourceKind::Unrecognised | SourceKind::Empty);
    let odd = analysis
        .sources
        .iter()
        .any(|s| s.odd > 0 || !s.anomalies.is_empty() || s.reason.is_some());
    (
        analysis.sources.iter().filter(used).count(),
        analysis.sources.len(),
        odd,
    )
}

/// What dropped, and of what: as much of it as the row holds, the answer always.
fn headline(analysis: &Analysis, state: &State, columns: u16) -> String {
    let s = &state.summary;
    let (used, all, odd) = files(analysis);
    let n = s.connections;
    let (whole, answer) = match (n, s.drops, s.failed_handshakes) {
        (0, ..) => ("no WebSocket connection found".to_owned(), String::new()),
        (_, 0, 0) => {
            let stalled = crate::model::stalled(&analysis.findings);
            let besides = if stalled.is_empty() {
                stalled
            } else {
                format!(", {stalled}")
            };
            (
                format!("{n} connections, {}{besides}", s.no_drop()),
                String::new(),
            )
        }
        (_, 0, f) => (
            format!("{f} of {n} failed in the handshake"),
            format!("{f} of {n} failed"),
        ),
        (_, d, 0) => (format!("{d} of {n} dropped"), String::new()),
        (_, d, f) => (
            format!("{d} of {n} dropped, {f} failed in the handshake"),
            format!("{d} of {n} dropped, {f} failed"),
        ),
    };
    let answer = if answer.is_empty() {
        whole.clone()
    } else {
        answer
    };
    let read = format!("{used}/{all} files{}", if odd { ", see 3" } else { " ✓" });
    let span = analysis.window.map(|(first, last)| {
        let day = there(first.at, state.east_s).utc().format("%Y-%m-%d");
        let (first, last) = (
            state.clock(first.at, i64::MAX),
            state.clock(last.at, i64::MAX),
        );
        format!("{day} {first}–{last}")
    });
    let root = Some(fit(&analysis.root, usize::from(columns) / 3));
    let wsdrop = Some("wsdrop".to_owned());
    let (whole, answer, read) = (Some(whole), Some(answer), Some(read));
    let ways: [&[&Option<String>]; 6] = [
        &[&wsdrop, &root, &span, &whole, &read],
        &[&root, &span, &whole, &read],
        &[&root, &whole, &read],
        &[&root, &answer, &read],
        &[&whole, &read],
        &[&answer, &read],
    ];
    let say = |parts: &[&Option<String>]| {
        let parts: Vec<&str> = parts.iter().filter_map(|p| p.as_deref()).collect();
        parts.join(" · ")
    };
    ways.into_iter()
        .map(say)
        .find(|line| width(line) + 2 <= usize::from(columns))
        .unwrap_or_else(|| say(&[&answer]))
}

fn header(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let line = match &state.loading {
        Some(l) => loading::headline(analysis, state, l, area.width),
        None => headline(analysis, state, area.width),
    };
    put(buffer, area, 1, 0, &line, BOLD);
    if header_rows(area.height) < 2 {
        return;
    }
    let mut x = 1;
    let tabs = [
        (Screen::Drops, "1 Drops"),
        (Screen::Timeline, "2 Timeline"),
        (Screen::Sources, "3 Sources"),
        (Screen::Rules, "4 Rules"),
    ];
    let open = if tabs.iter().any(|t| t.0 == state.screen) {
        state.screen
    } else {
        Screen::Drops
    };
    let deep = matches!(state.screen, Screen::Ladder | Screen::Why | Screen::Raw);
    for (screen, name) in tabs {
        // The way to a connection needs the room that the other screens' names take.
        if deep && screen != open && area.width < 110 {
            continue;
        }
        let here = screen == open;
        let end = put(buffer, area, x, 1, name, if here { BOLD } else { DIM });
        let tab = Rect {
            x: area.x + x,
            y: area.y + 1,
            width: end - x,
            height: 1,
        };
        state.spots.tab(tab, screen);
        x = end + 1;
    }
    if deep && let (Some(j), Some(d)) = (state.judged(analysis), &state.drop) {
        let group = state.list.groups.get(d.group);
        let of = group.map_or(0, |g| g.members.len());
        let label = group.map_or("", |g| g.label.as_str());
        put(
            buffer,
            area,
            x,
            1,
            &format!("› {label} › {}   {} of {of}", j.connection.id, d.member + 1),
            PLAIN,
        );
        if let Some(guide) = state.guide() {
            let columns = u16::try_from(width(guide) + 1).unwrap_or(u16::MAX);
            if area.width > x + 50 + columns {
                put(buffer, area, area.width - columns, 1, guide, ACCENT);
            }
        }
        return;
    }
    if let Some(guide) = state.guide() {
        let room = area.width.saturating_sub(x + 2);
        let from = room.saturating_sub(u16::try_from(width(guide)).unwrap_or(u16::MAX));
        put(buffer, area, x + 1 + from, 1, guide, ACCENT);
        return;
    }
    let filter = if state.filter.is_empty() {
        "no filter".to_owned()
    } else {
        format!("filter {}", state.filter.text())
    };
    let veil = if state.veiled { "redacted · " } else { "" };
    let note = format!("{veil}{filter} · {} ", zone_name(state.east_s));
    let from = area
        .width
        .saturating_sub(u16::try_from(width(&note)).unwrap_or(u16::MAX))
        .max(x + 1);
    put(
        buffer,
        area,
        from,
        1,
        &note,
        if state.filter.is_empty() { DIM } else { ACCENT },
    );
}

/// The bottom row; where the text cursor stands, if one is shown.
fn footer(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) -> Option<u16> {
    let row = Rect {
        x: area.x,
        y: area.bottom() - 1,
        width: area.width,
        height: 1,
    };
    if let Some(input) = &state.input {
        return Some(filter_line(buffer, row, analysis, state, input));
    }
    if let Some(prompt) = &state.prompt {
        let (lead, note) = match &prompt.ask {
            Ask::Path(format) => (
                format!("write {format} to: "),
                "Enter writes it, Esc does not; a file that exists is left alone",
            ),
            Ask::Note(id) => (format!("note on {id}: "), "Enter keeps it, Esc does not"),
        };
        return Some(typed(
            buffer,
            row,
            &lead,
            (&prompt.text, prompt.cursor),
            note,
        ));
    }
    if let Some(palette) = &state.palette {
        let note = "Enter does it  Esc back";
        return Some(typed(
            buffer,
            row,
            ":",
            (&palette.text, palette.cursor),
            note,
        ));
    }
    if let Some(message) = &state.message {
        put(buffer, row, 1, 0, message, WARN);
        return None;
    }
    if state.screen == Screen::Help {
        let x = put(buffer, row, 1, 0, "search: ", DIM);
        let x = put(buffer, row, x, 0, &state.query, BOLD);
        put(buffer, row, x + 2, 0, "Esc back", DIM);
        return Some(x);
    }
    let hints: Vec<(String, &str)> = keys::footer(state.place(), |b| state.offers(b)).collect();
    // The way out always has its place at the right.
    let (out, rest): (Vec<_>, Vec<_>) = hints
        .into_iter()
        .partition(|(_, w)| matches!(*w, "quit" | "back"));
    let out = out
        .first()
        .map_or_else(String::new, |(k, w)| format!("{k} {w} "));
    let out_x = row
        .width
        .saturating_sub(u16::try_from(width(&out)).unwrap_or(0));
    let mut x = 1;
    match state.prefix {
        keys::COPY => x = put(buffer, row, x, 0, "copy  ", BOLD),
        keys::EXPORT => x = put(buffer, row, x, 0, "export as  ", BOLD),
        _ => {}
    }
    for (key, word) in rest {
        let key = spelled(key, state);
        if usize::from(x) + width(&key) + 1 + width(word) + 2 > usize::from(out_x) {
            break;
        }
        x = put(buffer, row, x, 0, &key, BOLD);
        x = put(buffer, row, x + 1, 0, word, DIM) + 2;
    }
    put(buffer, row, out_x, 0, &out, PLAIN);
    None
}

/// A key as this terminal can show it: without the sign for Enter, which ASCII has not.
fn spelled(key: String, state: &State) -> String {
    if state.options.theme.ascii {
        key.replace('↵', "Enter")
            .replace('→', "Right")
            .replace('←', "Left")
    } else {
        key
    }
}

/// A line that is being typed, and what may be done with it; where the text cursor stands.
fn typed(
    buffer: &mut Buffer,
    row: Rect,
    lead: &str,
    (text, cursor): (&[char], usize),
    note: &str,
) -> u16 {
    let x = put(buffer, row, 1, 0, lead, BOLD);
    let room = usize::from(row.width.saturating_sub(x + 1)).max(8);
    let skip = cursor.saturating_sub(room.saturating_sub(2));
    let part = |n: usize| -> String { text.iter().skip(skip).take(n).collect() };
    let before = fit(&part(cursor.saturating_sub(skip)), room);
    let end = put(buffer, row, x, 0, &part(room), PLAIN);
    put(buffer, row, end + 3, 0, note, DIM);
    let column = x + u16::try_from(width(&before)).unwrap_or(0);
    column.min(row.width.saturating_sub(1))
}

/// The commands that what was typed after `:` may mean, at the bottom of the body.
fn commands(buffer: &mut Buffer, body: Rect, state: &State) {
    let found = state.commands();
    let pick = state.palette.as_ref().map_or(0, |p| p.pick);
    let most = (body.height / 2).clamp(3, 12);
    let rows = u16::try_from(found.len().max(1)).unwrap_or(most).min(most);
    let rule = u16::from(body.height > rows + 2);
    let area = Rect {
        y: body.bottom().saturating_sub(rows + rule),
        height: (rows + rule).min(body.height),
        ..body
    };
    ratatui::widgets::Clear.render(area, buffer);
    if rule > 0 {
        put(
            buffer,
            area,
            0,
            0,
            &"─".repeat(usize::from(area.width)),
            DIM,
        );
    }
    let list = Rect {
        y: area.y + rule,
        height: area.height.saturating_sub(rule),
        ..area
    };
    if found.is_empty() {
        put(buffer, list, 1, 0, "no command of that name here", DIM);
    }
    let first = top(pick, found.len(), list.height);
    for (y, (i, b)) in (0..list.height).zip(found.iter().enumerate().skip(first)) {
        let key = b.keys.first().map_or_else(String::new, |k| k.label());
        let key = format!("{}{key}", keys::prefix(b, state.screen.place()));
        let key = spelled(key, state);
        let x = put(buffer, list, 1, y, &cell(b.name, 17, false), BOLD);
        let x = put(buffer, list, x, y, &cell(&key, 6, false), ACCENT);
        put(buffer, list, x, y, b.help, DIM);
        if i == pick {
            select(buffer, list, y);
        }
    }
}

fn filter_line(
    buffer: &mut Buffer,
    row: Rect,
    analysis: &Analysis,
    state: &State,
    input: &super::state::Input,
) -> u16 {
    let values: Vec<String> = input
        .offers
        .iter()
        .map(|c| match c.count {
            Some(n) if n > 0 => format!("{} ({n})", c.text),
            _ => c.text.clone(),
        })
        .collect();
    // A value that is still to come is no mistake as long as there are some to choose from.
    let error = input
        .error
        .as_ref()
        .filter(|e| values.is_empty() || e.column < input.text.len());
    let note = match error {
        Some(e) if e.help.is_empty() => format!("^ {}", e.message),
        Some(e) => format!("^ {} ({})", e.message, e.help),
        None => {
            let hits = state.list.shown + state.list.hidden;
            let hits = format!("{hits} of {}", analysis.connections.len());
            if values.is_empty() {
                hits
            } else {
                format!("{hits} · Tab: {}", values.join(" "))
            }
        }
    };
    let room = usize::from(row.width) * 3 / 5;
    let skip = input.cursor.saturating_sub(room.saturating_sub(4));
    let x = put(buffer, row, 0, 0, "/", BOLD);
    let text: String = input.text.iter().skip(skip).take(room).collect();
    let before: String = input
        .text
        .iter()
        .skip(skip)
        .take(input.cursor - skip.min(input.cursor))
        .collect();
    let cursor = x + u16::try_from(width(&fit(&before, room))).unwrap_or(0);
    let mut end = x;
    // The character that the error is about is shown reversed: a caret without a row of its own.
    let column = error.map(|e| e.column);
    for (i, c) in text.chars().enumerate() {
        let style = if column == Some(i + skip) {
            BAD.patch(SELECTED)
        } else {
            PLAIN
        };
        end = put(buffer, row, end, 0, c.encode_utf8(&mut [0; 4]), style);
    }
    if column.is_some_and(|c| c >= input.text.len()) {
        end = put(buffer, row, end, 0, " ", BAD.patch(SELECTED));
    }
    put(
        buffer,
        row,
        end + 2,
        0,
        &note,
        if error.is_some() { BAD } else { DIM },
    );
    cursor.min(row.width.saturating_sub(1))
}
