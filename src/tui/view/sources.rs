//! The Sources screen: every file, what it was read as, its zone, span, records, odd ones and clock; what was wrong with the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, ClockBasis, Source, SourceKind, ZoneBasis, say_duration};
use crate::tui::state::State;
use crate::tui::text::cell;
use crate::tui::theme::{ACCENT, BAD, BOLD, DIM, GOOD, PLAIN, WARN};

use super::{Piece, loading, panel, paragraph, put, put_line, select, top, wrapped};

pub(super) fn draw(buffer: &mut Buffer, body: Rect, analysis: &Analysis, state: &State) {
    let below = if body.height >= 14 {
        (body.height / 3).clamp(6, 12)
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
        (upper, lower) = (Rect::default(), body);
    }
    if upper.height > 0 {
        list(buffer, upper, analysis, state);
    }
    if lower.height > 0 {
        detail(buffer, lower, analysis, state);
    }
}

struct Columns {
    file: usize,
    kind: usize,
    zone: usize,
    bar: usize,
    records: usize,
    odd: usize,
    clock: usize,
}

impl Columns {
    fn new(width: u16) -> Self {
        let (kind, zone, records, odd, clock) = match width {
            90.. => (15, 15, 9, 7, 18),
            60..90 => (13, 0, 8, 6, 11),
            _ => (0, 0, 7, 5, 0),
        };
        let rest = usize::from(width).saturating_sub(kind + zone + records + odd + clock + 2);
        let bar = if width >= 60 { rest / 2 } else { 0 };
        Self {
            file: rest - bar,
            kind,
            zone,
            bar,
            records,
            odd,
            clock,
        }
    }
}

fn list(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let (used, all, _) = super::files(analysis);
    let mut inner = panel(
        buffer,
        area,
        &format!("Sources ─ {all} files, {used} understood"),
        "",
        !state.second,
    );
    let columns = Columns::new(inner.width);
    let span = analysis.window.map_or_else(String::new, |(a, b)| {
        format!(
            "{}–{}",
            state.clock(a.at, i64::MAX),
            state.clock(b.at, i64::MAX)
        )
    });
    let head = [
        ("  file", columns.file + 2, false),
        ("read as", columns.kind, false),
        ("zone", columns.zone, false),
        (span.as_str(), columns.bar, false),
        ("records", columns.records, true),
        ("odd", columns.odd, true),
        ("clock", columns.clock, true),
    ];
    let line: Vec<Piece> = head
        .iter()
        .map(|(t, w, right)| (cell(t, *w, *right), DIM))
        .collect();
    put_line(buffer, inner, 0, &line);
    inner = Rect {
        y: inner.y + 1,
        height: inner.height.saturating_sub(1),
        ..inner
    };
    let first = top(state.source, analysis.sources.len(), inner.height);
    for (y, (i, source)) in (0..inner.height).zip(analysis.sources.iter().enumerate().skip(first)) {
        row(buffer, inner, y, &columns, (analysis, state), source);
        state.spots.row(inner, y, i, false);
        if i == state.source {
            select(buffer, inner, y);
        }
    }
}

fn row(
    buffer: &mut Buffer,
    area: Rect,
    y: u16,
    c: &Columns,
    (analysis, state): (&Analysis, &State),
    s: &Source,
) {
    // What is not read to its end has no number of records yet.
    let reading = loading::file(state, s).filter(|(glyph, _)| *glyph != loading::DONE);
    let (glyph, style) = match s.kind {
        _ if reading.is_some() => (reading.as_ref().map_or("", |r| r.0), ACCENT),
        SourceKind::Unrecognised => ("✗", BAD),
        SourceKind::Empty => ("○", WARN),
        _ if s.odd > 0 || !s.anomalies.is_empty() || s.reason.is_some() => ("!", WARN),
        _ => ("✓", GOOD),
    };
    let kind = s.compression.map_or_else(
        || s.kind.name().to_owned(),
        |z| format!("{} ({z})", s.kind.name()),
    );
    let line: Vec<Piece> = vec![
        (format!("{glyph} "), style),
        (cell(&s.path, c.file.saturating_sub(1), false) + " ", PLAIN),
        (cell(&kind, c.kind, false), PLAIN),
        (cell(&zone(s), c.zone, false), PLAIN),
        (bar(analysis, s, c.bar), ACCENT),
        (
            cell(
                &reading.map_or_else(|| s.records.to_string(), |r| r.1),
                c.records,
                true,
            ),
            PLAIN,
        ),
        (
            cell(&s.odd.to_string(), c.odd, true),
            if s.odd > 0 { WARN } else { PLAIN },
        ),
        (cell(&offset(s, c.clock >= 18), c.clock, true), PLAIN),
    ];
    put_line(buffer, area, y, &line);
}

fn zone(s: &Source) -> String {
    let Some(zone) = &s.zone else {
        return "–".to_owned();
    };
    let minutes = zone.offset_s / 60;
    let offset = format!(
        "{}{:02}{:02}",
        if minutes < 0 { '-' } else { '+' },
        minutes.abs() / 60,
        minutes.abs() % 60
    );
    match zone.basis {
        ZoneBasis::Epoch => "epoch".to_owned(),
        ZoneBasis::Line => "in each line".to_owned(),
        ZoneBasis::Format => "UTC".to_owned(),
        ZoneBasis::Given => format!("{offset} given"),
        ZoneBasis::Assumed => format!("{offset} assumed"),
        ZoneBasis::Matched => format!("{offset} matched"),
    }
}

fn offset(s: &Source, spread: bool) -> String {
    if s.first.is_none() {
        return "–".to_owned();
    }
    match s.clock.basis {
        ClockBasis::Reference => "reference".to_owned(),
        ClockBasis::Assumed => "as it is".to_owned(),
        ClockBasis::Measured if spread => format!(
            "{} ±{}",
            signed(s.clock.offset_ns),
            say_duration(s.clock.spread_ns)
        ),
        ClockBasis::Measured | ClockBasis::Given => signed(s.clock.offset_ns),
    }
}

fn signed(ns: i64) -> String {
    if ns == 0 {
        return "same".to_owned();
    }
    format!("{}{}", if ns > 0 { "+" } else { "" }, say_duration(ns))
}

/// `449 bytes`, `2.0 GB`.
fn size(bytes: u64) -> String {
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..100_000 => format!("{bytes} bytes"),
        100_000..100_000_000 => format!("{:.1} MB", of(1_000_000)),
        _ => format!("{:.1} GB", of(1_000_000_000)),
    }
}

/// The part of the case's window that a source covers.
fn bar(analysis: &Analysis, s: &Source, columns: usize) -> String {
    let blank = " ".repeat(columns);
    let (Some((a, b)), Some(first), Some(last)) = (analysis.window, s.first, s.last) else {
        return blank;
    };
    let room = columns.saturating_sub(2);
    let span = i128::from(b.at.since(a.at)).max(1);
    let at = |m: crate::model::Moment| {
        usize::try_from((i128::from(m.since(a.at)) * room as i128 / span).clamp(0, room as i128))
            .unwrap_or(0)
    };
    let (from, to) = (at(first.at).min(room.saturating_sub(1)), at(last.at));
    let length = to.saturating_sub(from).max(1);
    cell(
        &format!("{}{}", " ".repeat(from), "█".repeat(length)),
        columns,
        false,
    )
}

fn detail(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let Some(s) = analysis.sources.get(state.source) else {
        return;
    };
    let inner = panel(buffer, area, &s.path, "", state.second);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let from = s
        .vantage
        .as_ref()
        .map_or_else(String::new, |v| format!(", recorded at {v}"));
    // Of what is being read there is no last word.
    let reading = loading::file(state, s).filter(|(glyph, _)| *glyph != loading::DONE);
    let so_far = if reading.is_some() { " so far" } else { "" };
    let about = format!(
        "{}{from}; {}, {} records{so_far}: {} understood, {} odd",
        s.kind.name(),
        size(s.bytes),
        s.records,
        s.used,
        s.odd
    );
    wrapped(&mut lines, "", &about, inner.width, BOLD);
    if let Some(reason) = &s.reason {
        wrapped(&mut lines, "", reason, inner.width, WARN);
    }
    if let (Some(first), Some(last)) = (s.first, s.last) {
        let clock = match s.clock.basis {
            ClockBasis::Reference => "its clock is the reference".to_owned(),
            ClockBasis::Measured => format!(
                "its clock {}, measured from {} connections, ±{}",
                match s.clock.offset_ns {
                    0 => "agrees with the reference".to_owned(),
                    ns => format!("is {} off", signed(ns)),
                },
                s.clock.pairs,
                say_duration(s.clock.spread_ns)
            ),
            ClockBasis::Given => {
                format!("its clock is {} off, as given", signed(s.clock.offset_ns))
            }
            ClockBasis::Assumed => {
                "no connection was seen here and elsewhere: its clock is taken as right".to_owned()
            }
        };
        wrapped(
            &mut lines,
            "",
            &format!("{} to {}; {clock}", first.rfc3339(), last.rfc3339()),
            inner.width,
            PLAIN,
        );
    }
    if s.zone
        .as_ref()
        .is_some_and(|z| z.basis == ZoneBasis::Assumed)
    {
        let text = format!(
            "no zone in its stamps: {} is assumed; change: --assume-tz {}=ZONE",
            zone(s),
            s.path
        );
        wrapped(&mut lines, "", &text, inner.width, WARN);
    }
    // What is told as the reason is not told again.
    let told = |note: &str| s.reason.as_deref() == Some(note);
    for a in s.anomalies.iter().filter(|a| !told(&a.note)) {
        let at = if a.first_record > 0 {
            format!(", first at {}", a.first_record)
        } else {
            String::new()
        };
        wrapped(
            &mut lines,
            "! ",
            &format!("{} ×{}{at}: {}", a.kind, a.count, a.note),
            inner.width,
            WARN,
        );
    }
    if s.anomalies.is_empty() && s.reason.is_none() && s.odd == 0 {
        let say = format!("nothing odd{so_far}");
        wrapped(&mut lines, "", &say, inner.width, GOOD);
    }
    paragraph(buffer, inner, &lines, state.scroll);
    if inner.height == 0 {
        put(buffer, area, 0, 0, &s.path, PLAIN);
    }
}
