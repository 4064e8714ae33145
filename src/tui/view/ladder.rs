//! The evidence ladder: one column per hop, an arrow for each packet that was seen, a dot for each log line, silence as silence.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::model::{
    Analysis, Connection, Direction, Event, EventKind, Judged, MILLI_NS, Moment, Raw, SECOND_NS,
    Stamp,
};
use crate::tui::rungs::Rung;
use crate::tui::state::{Drop, State, Times};
use crate::tui::text::{cell, fit, place, width, zone_name};
use crate::tui::theme::{ACCENT, BAD, BOLD, DIM, GOOD, PLAIN, WARN};

use super::{Piece, panel, paragraph, put, select, top, wrapped};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let (Some(judged), Some(open)) = (state.judged(analysis), &state.drop) else {
        return;
    };
    let below = if body.height >= 17 {
        (body.height / 4).clamp(6, 12)
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
        draw_ladder(buffer, upper, analysis, state, judged, open);
    }
    if lower.height > 0 {
        draw_record(buffer, lower, analysis, state, judged, open);
    }
}

/// Where things stand in a row, as columns from its left edge.
struct Lanes {
    time: u16,
    hops: Vec<u16>,
    step: u16,
    what: u16,
    /// 0 = not shown.
    place: u16,
    width: u16,
}

impl Lanes {
    /// `place` is what the longest place name needs. The words about what happened come before wide lanes.
    fn new(columns: u16, hops: usize, place: u16) -> Self {
        let (time, margin, words, place) = match columns {
            180.. => (14, 4, 76, place.min(40)),
            130..180 => (14, 4, 50, place.min(32)),
            90..130 => (14, 4, 32, place.min(24)),
            70..90 => (14, 3, 30, 0),
            50..70 => (11, 1, 24, 0),
            _ => (11, 1, 11, 0),
        };
        let gaps = u16::try_from(hops.saturating_sub(1)).unwrap_or(1).max(1);
        let room = columns.saturating_sub(time + place + words + 2 * margin);
        let step = (room / gaps).clamp(5, 26);
        let first = time + margin;
        let hops: Vec<u16> = (0..=gaps)
            .map(|i| first.saturating_add(step.saturating_mul(i)))
            .collect();
        let what = hops.last().copied().unwrap_or(first) + margin + 1;
        Self {
            time,
            hops,
            step,
            what,
            place,
            width: columns,
        }
    }

    fn hop(&self, i: usize) -> u16 {
        self.hops
            .get(i)
            .or_else(|| self.hops.last())
            .copied()
            .unwrap_or(self.time)
    }

    const fn what_width(&self) -> u16 {
        self.width
            .saturating_sub(self.what + self.place + if self.place > 0 { 1 } else { 0 })
    }
}

fn draw_ladder(
    buffer: &mut Buffer,
    area: Rect,
    analysis: &Analysis,
    state: &State,
    judged: &Judged,
    open: &Drop,
) {
    let c = &judged.connection;
    let cause = judged.verdict.cause.map_or_else(
        || judged.verdict.outcome.name().to_owned(),
        |cause| {
            format!(
                "{} {} ─ {}",
                cause.code(),
                cause.id(),
                judged.verdict.tier.name()
            )
        },
    );
    let unlisted = if state.fold { "" } else { "unfolded" };
    let inner = panel(
        buffer,
        area,
        &format!("{} ─ {cause}", c.id),
        unlisted,
        !state.second,
    );
    let places = open.rungs.iter().map(|r| match *r {
        Rung::Events { first, count } => width(&rung_place(
            analysis,
            c.events.get(first..first + count).unwrap_or_default(),
        )),
        Rung::Gap { .. } => 0,
    });
    let place = u16::try_from(places.max().unwrap_or_default().max(5)).unwrap_or(u16::MAX);
    let lanes = Lanes::new(inner.width, c.hops.len(), place);
    let zone = zone_name(state.east_s);
    let head = match state.times {
        Times::ToClose if c.closed.is_some() => "to close",
        Times::ToClose => "from start",
        Times::Absolute => &zone,
        Times::Delta => "since above",
    };
    if lanes.width >= 60 {
        let room = usize::from(lanes.time) - 2;
        put(buffer, inner, 1, 0, &fit(head, room), DIM);
    }
    let mut y = 1;
    for (i, hop) in c.hops.iter().enumerate() {
        let name = fit(&hop.name, usize::from(lanes.step).saturating_sub(1).max(4));
        centre(buffer, inner, lanes.hop(i), 0, &name, BOLD);
    }
    if lanes.step >= 14 && inner.height >= 12 {
        for (i, hop) in c.hops.iter().enumerate() {
            if let Some(address) = hop.address {
                centre(
                    buffer,
                    inner,
                    lanes.hop(i),
                    1,
                    &fit(&address.to_string(), usize::from(lanes.step) - 1),
                    DIM,
                );
            }
        }
        y = 2;
    }
    if lanes.width >= 60 {
        put(buffer, inner, lanes.what, 0, "what", DIM);
    }
    if lanes.place > 0 {
        put(
            buffer,
            inner,
            lanes.width - lanes.place,
            0,
            &cell("where", usize::from(lanes.place), true),
            DIM,
        );
    }
    let inner = Rect {
        y: inner.y + y,
        height: inner.height.saturating_sub(y),
        ..inner
    };
    if open.rungs.is_empty() {
        put(
            buffer,
            inner,
            2,
            0,
            "no record of this connection is at hand",
            PLAIN,
        );
        return;
    }
    let gaps = open.rungs.iter().filter(|r| r.is_gap()).count();
    // Where all of it fits, silence takes the room it deserves.
    let airy = open.rungs.len() + 2 * gaps <= usize::from(inner.height);
    let first = if airy {
        0
    } else {
        top(open.rung, open.rungs.len(), inner.height)
    };
    let mut y = 0;
    for (i, rung) in open.rungs.iter().enumerate().skip(first) {
        if y >= inner.height {
            break;
        }
        match *rung {
            Rung::Gap {
                ns,
                unlisted,
                silent,
            } => {
                if airy {
                    rails(buffer, inner, y, &lanes, "┊");
                    y += 1;
                }
                gap(buffer, inner, y, &lanes, &gap_text(c, ns, unlisted, silent));
                state.spots.row(inner, y, i, false);
                if i == open.rung {
                    select(buffer, inner, y);
                }
                if airy {
                    y += 1;
                    rails(buffer, inner, y, &lanes, "┊");
                }
            }
            Rung::Events { first, count } => {
                let events = c.events.get(first..first + count).unwrap_or_default();
                let before = first.checked_sub(1).and_then(|p| c.events.get(p));
                rung_row(
                    buffer,
                    inner,
                    y,
                    &lanes,
                    &Row {
                        analysis,
                        state,
                        judged,
                        events,
                        before,
                    },
                );
                state.spots.row(inner, y, i, false);
                if i == open.rung {
                    put(buffer, inner, 0, y, "▶", PLAIN);
                    select(buffer, inner, y);
                }
            }
        }
        y += 1;
    }
}

fn centre(buffer: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) {
    let half = u16::try_from(width(text) / 2).unwrap_or(0);
    put(buffer, area, x.saturating_sub(half), y, text, style);
}

fn rails(buffer: &mut Buffer, area: Rect, y: u16, lanes: &Lanes, glyph: &str) {
    for x in &lanes.hops {
        put(buffer, area, *x, y, glyph, DIM);
    }
}

fn gap_text(c: &Connection, ns: i64, unlisted: u64, silent: bool) -> String {
    let length = format!("{:.3} s", ns as f64 / SECOND_NS as f64);
    let packets = c.events.iter().any(|e| e.leg.is_some());
    if unlisted > 0 {
        format!("{length} · {unlisted} frames of this connection are not listed")
    } else if silent && packets {
        format!("{length} no payload in either direction")
    } else if packets {
        format!("{length} nothing seen")
    } else {
        format!("{length} without a log line")
    }
}

fn gap(buffer: &mut Buffer, area: Rect, y: u16, lanes: &Lanes, text: &str) {
    rails(buffer, area, y, lanes, "┊");
    let start = lanes.hop(0) + 2;
    put(
        buffer,
        area,
        start,
        y,
        &format!("{text} "),
        BOLD.patch(WARN),
    );
}

/// One rung as it is drawn.
struct Row<'a> {
    analysis: &'a Analysis,
    state: &'a State,
    judged: &'a Judged,
    events: &'a [Event],
    before: Option<&'a Event>,
}

fn rung_row(buffer: &mut Buffer, area: Rect, y: u16, lanes: &Lanes, row: &Row<'_>) {
    let Some(event) = row.events.first() else {
        return;
    };
    let c = &row.judged.connection;
    let time = say_time(c, row.state, event.at, row.before.map(|e| e.at));
    put(
        buffer,
        area,
        1,
        y,
        &cell(&time, usize::from(lanes.time) - 2, true),
        PLAIN,
    );
    rails(buffer, area, y, lanes, "│");
    let evidence = row.judged.verdict.evidence.iter().find(|e| {
        e.record
            .is_some_and(|r| row.events.iter().any(|x| x.record == r))
    });
    let mut style = style_of(event);
    if evidence.is_some() {
        style = style.add_modifier(Modifier::BOLD);
    }
    let say = if row.events.len() > 1 {
        run_text(row.events)
    } else if event.leg.is_none() && event.say.starts_with(|c: char| c.is_ascii_digit()) {
        format!("logged {}", event.say)
    } else {
        event.say.clone()
    };
    let spoken = match (event.leg, event.hop) {
        (Some(_), _) => arrow(buffer, area, y, lanes, c, row.events, &say, style),
        (None, Some(hop)) => {
            put(buffer, area, lanes.hop(hop), y, "●", style);
            false
        }
        (None, None) => false,
    };
    let room = usize::from(lanes.what_width());
    let note = match evidence {
        Some(e) => e.say.to_string(),
        None if spoken => String::new(),
        None => say,
    };
    put(buffer, area, lanes.what, y, &fit(&note, room), style);
    if lanes.place > 0 {
        let text = rung_place(row.analysis, row.events);
        let columns = usize::from(lanes.place);
        put(
            buffer,
            area,
            lanes.width - lanes.place,
            y,
            &cell(&tail(&text, columns), columns, true),
            DIM,
        );
    }
}

/// Where the records of a rung stand; a run has its first and last packet.
fn rung_place(analysis: &Analysis, events: &[Event]) -> String {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return String::new();
    };
    let text = place(analysis, first.record);
    if events.len() > 1 {
        format!("{text}–{}", last.record.ordinal)
    } else {
        text
    }
}

/// The end of a long path tells more than its beginning.
fn tail(text: &str, columns: usize) -> String {
    let over = text.chars().count().saturating_sub(columns);
    if over == 0 {
        text.to_owned()
    } else {
        format!("…{}", text.chars().skip(over + 1).collect::<String>())
    }
}

/// `text ×10`: the word that all of a run begin with, else a general one.
fn run_text(events: &[Event]) -> String {
    let word = |e: &Event| e.say.split(' ').next().unwrap_or_default().to_owned();
    let first = events.first().map(word).unwrap_or_default();
    let same = events.iter().all(|e| word(e) == first);
    let heartbeats = events.iter().all(|e| e.kind == EventKind::Heartbeat);
    let name = match (same, heartbeats) {
        (true, _) => first.as_str(),
        (false, true) => "ping, pong",
        (false, false) => "frames",
    };
    format!("{name} ×{}", events.len())
}

fn style_of(event: &Event) -> Style {
    match event.kind {
        EventKind::Handshake => GOOD,
        EventKind::Data => PLAIN,
        EventKind::Heartbeat => ACCENT,
        EventKind::Close => WARN,
        EventKind::Loss => BAD,
        EventKind::Log => WARN,
        EventKind::Tcp if event.say.starts_with("RST") => BAD,
        EventKind::Tcp if event.say.starts_with("FIN") => WARN,
        EventKind::Tcp => DIM,
    }
}

/// True where the arrow itself has room to say all.
#[expect(
    clippy::too_many_arguments,
    reason = "a place, and what is drawn there"
)]
fn arrow(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    lanes: &Lanes,
    c: &Connection,
    events: &[Event],
    say: &str,
    style: Style,
) -> bool {
    let legs = events
        .iter()
        .filter_map(|e| c.legs.get(e.leg?))
        .map(|l| l.from);
    let (Some(from), Some(to)) = (legs.clone().min(), legs.max()) else {
        return false;
    };
    let (left, right) = (lanes.hop(from), lanes.hop(to + 1));
    let inside = usize::from(right.saturating_sub(left)).saturating_sub(1);
    if inside < 3 {
        return false;
    }
    let data = matches!(events.first().map(|e| e.kind), Some(EventKind::Data));
    let dash = if data { "═" } else { "─" };
    let goes = |d| events.iter().any(|e| e.direction == Some(d));
    let (to_server, to_client) = (goes(Direction::ToServer), goes(Direction::ToClient));
    put(buffer, area, left + 1, y, &dash.repeat(inside), style);
    if to_server {
        put(buffer, area, right - 1, y, "▶", style);
    }
    if to_client {
        put(buffer, area, left + 1, y, "◀", style);
    }
    let room = inside.saturating_sub(2);
    // `GET` or `Close 1000` in the arrow, the rest beside it; half a word says less than the arrow alone.
    let say = &fit(say, 400);
    let words: Vec<&str> = say.split(' ').collect();
    let label = [words.len(), 2, 1]
        .into_iter()
        .filter_map(|n| words.get(..n).map(|w| w.join(" ")))
        .find(|label| width(label) <= room)
        .unwrap_or_default();
    let start = left + 1 + u16::try_from((inside - width(&label)) / 2).unwrap_or(0);
    put(buffer, area, start, y, &label, style);
    width(&label) == width(say)
}

/// The moment that times are told against.
fn origin(c: &Connection) -> Moment {
    c.closed.or(c.opened).map_or(c.sort_at, |s| s.at)
}

fn say_time(c: &Connection, state: &State, at: Stamp, before: Option<Stamp>) -> String {
    let ns = match state.times {
        Times::Absolute => return state.clock(at.at, at.tick_ns),
        Times::ToClose => at.at.since(origin(c)),
        Times::Delta => match before {
            Some(before) => at.at.since(before.at),
            None => return "first".to_owned(),
        },
    };
    offset(ns, at.tick_ns)
}

/// `−63.855s`, `−0.412ms` within a hundredth of a second, `−1 ±1s` where the source rounds to seconds.
fn offset(ns: i64, tick_ns: i64) -> String {
    let seconds = ns.unsigned_abs() as f64 / SECOND_NS as f64;
    let text = if tick_ns >= SECOND_NS {
        format!("{seconds:.0}")
    } else if ns != 0 && seconds < 0.01 {
        let decimals = if tick_ns >= MILLI_NS { 0 } else { 3 };
        format!("{:.decimals$}ms", seconds * 1000.0)
    } else {
        format!("{seconds:.3}s")
    };
    let zero = text.chars().all(|c| !c.is_ascii_digit() || c == '0');
    let sign = match ns {
        _ if zero => "",
        ..0 => "−",
        _ => "+",
    };
    if tick_ns >= SECOND_NS {
        format!("{sign}{text} ±{}s", tick_ns / SECOND_NS)
    } else {
        format!("{sign}{text}")
    }
}

fn draw_record(
    buffer: &mut Buffer,
    area: Rect,
    analysis: &Analysis,
    state: &State,
    judged: &Judged,
    open: &Drop,
) {
    let c = &judged.connection;
    let Some(rung) = open.rungs.get(open.rung) else {
        return;
    };
    let event = match *rung {
        Rung::Events { first, .. } => c.events.get(first),
        Rung::Gap { .. } => None,
    };
    let title = event.map_or_else(|| "silence".to_owned(), |e| place(analysis, e.record));
    let inner = panel(buffer, area, &title, "", state.second);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let Some(event) = event else {
        wrapped(&mut lines, "", &judged.verdict.sentence, inner.width, PLAIN);
        paragraph(buffer, inner, &lines, state.scroll);
        return;
    };
    let mut about = event.at.rfc3339();
    if let Some(leg) = event.leg.and_then(|l| c.legs.get(l)) {
        let (a, b) = match event.direction {
            Some(Direction::ToClient) => (leg.server, leg.client),
            _ => (leg.client, leg.server),
        };
        about = format!("{about}  {a} → {b}");
    } else if let Some(hop) = event.hop.and_then(|h| c.hops.get(h)) {
        about = format!("{about}  {}", hop.name);
    }
    wrapped(
        &mut lines,
        "",
        &format!("{about}  {}", event.say),
        inner.width,
        BOLD,
    );
    for e in judged
        .verdict
        .evidence
        .iter()
        .filter(|e| e.record == Some(event.record))
    {
        wrapped(
            &mut lines,
            if e.supports { "+ " } else { "- " },
            &e.say,
            inner.width,
            PLAIN,
        );
    }
    match state.loaded(event.record) {
        Some(Raw::Line {
            lines: all, focus, ..
        }) => {
            if let Some((_, text)) = all.get(*focus) {
                wrapped(&mut lines, "", text, inner.width, DIM);
            }
        }
        Some(Raw::Packet { bytes, .. }) => {
            for (row, chunk) in bytes.chunks(16).enumerate().take(256) {
                lines.push(vec![(super::raw::hex_line(row * 16, chunk, 16), DIM)]);
            }
        }
        Some(Raw::Missing(why)) => wrapped(
            &mut lines,
            "can't be read any more: ",
            why,
            inner.width,
            WARN,
        ),
        None => {}
    }
    paragraph(buffer, inner, &lines, state.scroll);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_say_no_more_than_the_source_knows() {
        let check = |ns: i64, tick: i64, expected: &str| assert_eq!(offset(ns, tick), expected);
        check(-63_855_000_000, 1_000, "−63.855s");
        check(-412_000, 1_000, "−0.412ms");
        check(-10_000_000, 1_000, "−0.010s");
        check(3_000_000, MILLI_NS, "+3ms");
        check(0, 1_000, "0.000s");
        check(-100, 1, "0.000ms");
        check(-400_000_000, SECOND_NS, "0 ±1s");
        check(-1_200_000_000, SECOND_NS, "−1 ±1s");
    }
}
