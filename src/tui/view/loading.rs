//! How far the reading is -> the first line of the screen while it goes on, and a list of the files with how far each is.

use crate::model::{Analysis, FileState, Loading, Source};
use crate::tui::state::State;
use crate::tui::text::{cell, fit, width};
use crate::tui::theme::{ACCENT, DIM, GOOD, PLAIN};

use super::Piece;

/// The sign of a file that is read to its end.
pub(super) const DONE: &str = "✓";
/// The bar of one file.
const BAR: usize = 18;

/// `./incident · reading 2/4 files · 61 % · 212 MB/s · 3 s left    Esc stops`: as much of it as the row holds.
pub(super) fn headline(
    analysis: &Analysis,
    state: &State,
    loading: &Loading,
    columns: u16,
) -> String {
    let (read, all) = loading.counted();
    let percent = loading.percent();
    let s = &state.summary;
    let so_far = match (s.connections, s.drops + s.failed_handshakes) {
        (0, _) => String::new(),
        (n, d) => format!("{d} of {n} dropped so far"),
    };
    let judging = loading.stopped || (read == all && percent == 100);
    let doing = if judging {
        "judging what was read".to_owned()
    } else {
        format!("reading {read}/{all} files · {percent} %")
    };
    let speed = match (judging, loading.rate, loading.left_s()) {
        (true, ..) | (_, 0, _) | (_, _, None) => String::new(),
        (_, rate, Some(left)) => format!("{} · {} left", per_second(rate), time(left)),
    };
    let stops = if loading.stopped { "" } else { "Esc stops" };
    let root = fit(&analysis.root, usize::from(columns) / 3);
    let ways: [&[&str]; 5] = [
        &["wsdrop", &root, &doing, &speed, &so_far],
        &[&root, &doing, &speed, &so_far],
        &[&doing, &speed, &so_far],
        &[&doing, &speed],
        &[&doing],
    ];
    let room = usize::from(columns).saturating_sub(2);
    let said = ways.iter().find_map(|parts| {
        let parts: Vec<&str> = parts.iter().copied().filter(|p| !p.is_empty()).collect();
        let line = parts.join(" · ");
        (width(&line) + 2 + width(stops) <= room).then_some(line)
    });
    let Some(said) = said else {
        return doing;
    };
    let gap = room.saturating_sub(width(&said) + width(stops));
    format!("{said}{}{stops}", " ".repeat(gap))
}

/// `212 MB/s`.
fn per_second(rate: u64) -> String {
    match rate {
        r if r >= 10_000_000 => format!("{} MB/s", r / 1_000_000),
        r => format!("{:.1} MB/s", r as f64 / 1e6),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s.div_ceil(60)),
        s => format!("{} h", s.div_ceil(3600)),
    }
}

/// How far a file is: a glyph and a word or two.
pub(super) fn file(state: &State, source: &Source) -> Option<(&'static str, String)> {
    let loading = state.loading.as_ref()?;
    let file = loading.files.get(source.id.0 as usize)?;
    Some(match file.state {
        FileState::Waiting => ("·", "waiting".to_owned()),
        FileState::Reading => {
            let part = u128::from(file.read) * 100 / u128::from(file.bytes.max(1));
            ("◐", format!("{} %", part.min(100)))
        }
        FileState::Read => (DONE, "read".to_owned()),
    })
}

/// The files that are being read, those first; at most `most` rows, the last of them saying what is left out.
pub(super) fn files_rows(
    analysis: &Analysis,
    state: &State,
    columns: u16,
    most: usize,
) -> Vec<Vec<Piece>> {
    let Some(loading) = &state.loading else {
        return Vec::new();
    };
    let rank = |s: &&Source| match loading.state(s.id) {
        FileState::Reading => 0,
        FileState::Waiting => 1,
        FileState::Read => 2,
    };
    let mut files: Vec<&Source> = analysis.sources.iter().collect();
    files.sort_by_key(rank);
    // One row stays blank between the list and the files.
    let most = most.saturating_sub(1).min(files.len());
    let shown = if most < files.len() {
        most.saturating_sub(1)
    } else {
        most
    };
    let bar = if columns >= 60 { BAR } else { 0 };
    let name = usize::from(columns).saturating_sub(bar + 16).min(48);
    let row = |s: &&Source| -> Vec<Piece> {
        let (glyph, word) = file(state, s).unwrap_or(("·", String::new()));
        let progress = loading.files.get(s.id.0 as usize).copied();
        let progress = progress.unwrap_or_default();
        let full = if progress.state == FileState::Read {
            bar
        } else {
            let part = u128::from(progress.read) * bar as u128;
            usize::try_from(part / u128::from(progress.bytes.max(1))).unwrap_or(bar)
        };
        let full = full.min(bar);
        let style = match progress.state {
            FileState::Waiting => DIM,
            FileState::Reading => ACCENT,
            FileState::Read => GOOD,
        };
        vec![
            (format!("  {glyph} "), style),
            (cell(&s.path, name, false), PLAIN),
            (format!(" {}", "█".repeat(full)), ACCENT),
            ("░".repeat(bar - full), DIM),
            (format!(" {word}"), style),
        ]
    };
    let mut rows: Vec<Vec<Piece>> = files.iter().take(shown).map(row).collect();
    if shown < files.len() && most > 0 {
        let note = format!("    and {} more", files.len() - shown);
        rows.push(vec![(note, DIM)]);
    }
    rows
}
