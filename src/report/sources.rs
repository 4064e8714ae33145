//! The sources of an `Analysis` -> a table: what each file is, its span, its zone, its clock, and why it was not used.

use super::style::{cut, pad, pad_left, wrap};
use super::{Look, Redactor, Zone, width_of};
use crate::model::{Analysis, ClockBasis, MILLI_NS, Source, SourceKind, ZoneBasis, say_duration};
use std::io::{self, Write};

pub fn write(
    analysis: &Analysis,
    redactor: &Redactor,
    look: Look,
    zone: Zone,
    out: &mut impl Write,
) -> io::Result<()> {
    let sources = &analysis.sources;
    let used = sources.iter().filter(|s| s.used > 0).count();
    writeln!(
        out,
        "{}",
        look.bold(&format!("{} files, {used} used", sources.len()))
    )?;
    let rows: Vec<[String; 8]> = sources.iter().map(|s| row(s, look, zone)).collect();
    let heading = [
        "file", "read as", "first", "last", "records", "odd", "zone", "clock",
    ]
    .map(ToOwned::to_owned);
    let mut widths = heading.each_ref().map(|h| width_of(h));
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    // what is left for the file's name when everything else has its room
    let rest: usize = widths.iter().skip(1).sum::<usize>() + 2 * widths.len() + 2;
    if let Some(first) = widths.first_mut() {
        *first = (*first).min(look.width.saturating_sub(rest).max(16));
    }
    let line = |row: &[String; 8]| {
        let mut text = String::new();
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let cell = cut(cell, width, look);
            let cell = if matches!(at, 4 | 5) {
                pad_left(&cell, width)
            } else {
                pad(&cell, width)
            };
            text.push_str(&cell);
            text.push_str("  ");
        }
        text.trim_end().to_owned()
    };
    writeln!(out, "  {}", look.dim(&line(&heading)))?;
    for (source, row) in sources.iter().zip(&rows) {
        let mark = match source.kind {
            SourceKind::Unrecognised | SourceKind::Empty => look.red(look.mark("✗", "x")),
            _ if source.used == 0 => look.yellow(look.mark("▲", "!")),
            _ if source.odd > 0 || source.reason.is_some() => look.yellow(look.mark("▲", "!")),
            _ => look.green(look.mark("✓", "+")),
        };
        writeln!(out, "{mark} {}", line(row))?;
        let text = |t: &str| look.text(&redactor.text(t));
        let mut notes: Vec<String> = source
            .vantage
            .iter()
            .map(|v| format!("recorded at {}", text(v)))
            .collect();
        if !source.fields.is_empty() {
            let pairs: Vec<String> = source
                .fields
                .iter()
                .map(|(meaning, key)| format!("{meaning}={key}"))
                .collect();
            notes.push(text(&format!("read as {}", pairs.join(", "))));
        }
        notes.extend(source.reason.iter().map(|r| text(r)));
        for anomaly in source
            .anomalies
            .iter()
            .filter(|a| source.reason.as_ref() != Some(&a.note))
        {
            let at = match (anomaly.first_record, source.kind.is_capture()) {
                (0, _) => String::new(),
                (n, true) => format!(", first at packet {n}"),
                (n, false) => format!(", first at line {n}"),
            };
            let note = if anomaly.note.is_empty() {
                String::new()
            } else {
                format!(": {}", anomaly.note)
            };
            notes.push(text(&format!(
                "{}, {} times{at}{note}",
                anomaly.kind, anomaly.count
            )));
        }
        for note in notes {
            for line in wrap(&note, look.width.saturating_sub(6)) {
                writeln!(out, "      {}", look.dim(&line))?;
            }
        }
    }
    Ok(())
}

fn row(source: &Source, look: Look, zone: Zone) -> [String; 8] {
    let kind = match source.compression {
        Some(packed) => format!("{} ({packed})", source.kind.name()),
        None => source.kind.name().to_owned(),
    };
    let time = |stamp: Option<crate::model::Stamp>| {
        stamp.map_or_else(String::new, |s| {
            format!("{} {}", zone.date(s), zone.time(s, 3))
        })
    };
    let written = source.zone.as_ref().map_or_else(String::new, |z| {
        let offset = Zone(z.offset_s).name();
        match z.basis {
            ZoneBasis::Epoch => "epoch".to_owned(),
            ZoneBasis::Line => "in each line".to_owned(),
            ZoneBasis::Format => offset,
            ZoneBasis::Given => format!("{offset}, given"),
            ZoneBasis::Assumed => format!("{offset}, assumed"),
            ZoneBasis::Matched => format!("{offset}, matched"),
        }
    });
    let offset = {
        let ns = source.clock.offset_ns;
        let sign = if ns > 0 { "+" } else { "" };
        if ns.abs() < MILLI_NS / 10 {
            "0 s".to_owned()
        } else {
            format!("{sign}{}", say_duration(ns))
        }
    };
    let clock = match source.clock.basis {
        _ if source.first.is_none() => String::new(),
        ClockBasis::Reference => "reference".to_owned(),
        ClockBasis::Measured => {
            let pm = look.mark("±", "+-");
            let drift = match source.clock.drift_ppb {
                0 => String::new(),
                ppb => format!(", {:+.0} ppm", ppb as f64 / 1000.0),
            };
            format!(
                "{} {pm}{}{drift}",
                offset,
                say_duration(source.clock.spread_ns)
            )
        }
        ClockBasis::Given => format!("{}, given", offset),
        ClockBasis::Assumed => format!("{}, assumed", offset),
    };
    [
        look.text(&source.path),
        kind,
        time(source.first),
        time(source.last),
        source.records.to_string(),
        source.odd.to_string(),
        written,
        clock,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::tests::fabricated;

    #[test]
    fn every_file_has_its_line() {
        let mut out = Vec::new();
        write(
            &fabricated(),
            &Redactor::none(),
            Look {
                width: 120,
                ..Look::PLAIN
            },
            Zone(0),
            &mut out,
        )
        .expect("writes to memory");
        insta::assert_snapshot!("sources", String::from_utf8(out).expect("UTF-8"));
    }
}
