//! The selected row of Drops -> its answer: the verdict, its ground, its rivals, what fixes it; or what was looked at where nothing dropped.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::{Analysis, Judged, RivalVerdict, SourceKind, Word};
use crate::tui::rows::{Group, GroupKey, Row};
use crate::tui::state::State;
use crate::tui::text::{place, zone_name};
use crate::tui::theme::{ACCENT, BOLD, DIM, GOOD, PLAIN, WARN};

use super::{Piece, panel, paragraph, tier_word, wrapped};

/// The selected row in one sentence.
pub(super) fn draw_answer(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let mut lines = Vec::new();
    let group = match state.selected() {
        Some(Row::Group(g)) => state.list.groups.get(g),
        _ => None,
    };
    match (group, state.example(analysis)) {
        (Some(g), _) if g.is_finding() => lines = finding_lines(analysis, state, g, area.width),
        (_, Some(_)) if state.nothing_dropped() => {
            wrapped(&mut lines, "", &calm(state), area.width, GOOD);
        }
        (_, Some(j)) => wrapped(&mut lines, "", &j.verdict.sentence, area.width, BOLD),
        (_, None) => {}
    }
    paragraph(buffer, area, &lines, 0);
}

/// What became of the connections of a case without a drop.
fn calm(state: &State) -> String {
    let s = &state.summary;
    let dropped = if s.untold > 0 {
        "is known to have dropped"
    } else {
        "dropped"
    };
    let mut said = format!("None of {} connections {dropped}", s.connections);
    let others = s.others();
    if !others.is_empty() {
        said.push_str(&format!(": {others}"));
    }
    said
}

/// No drop is an answer too, and worth as much as what was looked at.
fn calm_lines(lines: &mut Vec<Vec<Piece>>, analysis: &Analysis, state: &State, columns: u16) {
    wrapped(lines, "", &calm(state), columns, GOOD);
    let count = |kind: fn(&SourceKind) -> bool, one: &str, many: &str| {
        let n = analysis.sources.iter().filter(|s| kind(&s.kind)).count();
        (n > 0).then(|| format!("{n} {}", if n == 1 { one } else { many }))
    };
    let files: Vec<String> = [
        count(|k| k.is_capture(), "capture", "captures"),
        count(|k| matches!(k, SourceKind::Log(_)), "log", "logs"),
        count(
            |k| matches!(k, SourceKind::Config(_)),
            "configuration file",
            "configuration files",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let span = analysis.window.map_or_else(String::new, |(a, b)| {
        format!(
            ", {} to {} {} ({})",
            state.clock(a.at, i64::MAX),
            state.clock(b.at, i64::MAX),
            zone_name(state.east_s),
            crate::model::say_duration(b.at.since(a.at))
        )
    });
    let checked = format!(
        "Checked: {}{span}, with the {} rules",
        files.join(", "),
        analysis.rules
    );
    wrapped(lines, "", &checked, columns, PLAIN);
    if !analysis.sources.iter().any(|s| s.kind.is_capture()) {
        wrapped(
            lines,
            "",
            "Without a capture: a connection that no log speaks of is not counted",
            columns,
            WARN,
        );
    }
    for s in &analysis.sources {
        let why = match (&s.reason, s.odd) {
            (Some(reason), _) => reason.clone(),
            (None, 0) => continue,
            (None, odd) => format!("{odd} of {} records not understood", s.records),
        };
        wrapped(lines, "! ", &format!("{}: {why}", s.path), columns, WARN);
    }
    lines.push(Vec::new());
}

pub(super) fn draw_detail(buffer: &mut Buffer, area: Rect, analysis: &Analysis, state: &State) {
    let selected = state.selected();
    let group = match selected {
        Some(Row::Group(g)) => state.list.groups.get(g),
        _ => None,
    };
    let calm = state.nothing_dropped() && group.is_some_and(|g| !g.is_finding());
    let title = match (group, state.example(analysis)) {
        (Some(_), _) if calm => "No drop".to_owned(),
        (Some(g), _) => g.label.clone(),
        (None, Some(j)) => {
            let cause = j
                .verdict
                .cause
                .map_or_else(String::new, |c| format!(" ─ {} {}", c.code(), c.id()));
            format!("{}{cause}", j.connection.id)
        }
        (None, None) => String::new(),
    };
    let inner = panel(buffer, area, &title, "", state.second);
    let inner = Rect {
        x: inner.x + 1,
        width: inner.width.saturating_sub(2),
        ..inner
    };
    let lines = match group {
        Some(g) if g.is_finding() => finding_lines(analysis, state, g, inner.width),
        _ => state.example(analysis).map_or_else(Vec::new, |j| {
            let mut lines = Vec::new();
            match group {
                Some(g) if calm => {
                    calm_lines(&mut lines, analysis, state, inner.width);
                    lines.push(vec![(format!("{}: {}", g.label, g.members.len()), DIM)]);
                }
                Some(g) if matches!(g.key, GroupKey::Cause(_) | GroupKey::Outcome(_)) => {
                    lines.push(agreement(g))
                }
                Some(g) => {
                    let causes: Vec<String> = g
                        .causes
                        .iter()
                        .map(|(name, n)| format!("{n} {name}"))
                        .collect();
                    wrapped(&mut lines, "", &causes.join(" · "), inner.width, BOLD);
                    lines.push(vec![("the first of them:".to_owned(), DIM)]);
                }
                None => {}
            }
            if group.is_none() && !state.note_of(j).is_empty() {
                wrapped(&mut lines, "note ", state.note_of(j), inner.width, ACCENT);
            }
            verdict_lines(&mut lines, j, analysis, inner.width, group.is_none());
            lines
        }),
    };
    let provisional = |i: &u32| {
        let judged = analysis.connections.get(*i as usize);
        judged.is_some_and(|j| state.provisional(j))
    };
    let may_change = !state.unread.is_empty()
        && match group {
            Some(g) => g.members.iter().any(provisional),
            None => state
                .example(analysis)
                .is_some_and(|j| state.provisional(j)),
        };
    let lines = if may_change {
        let note = "~ what is not read yet may change this".to_owned();
        [vec![vec![(note, WARN)]], lines].concat()
    } else {
        lines
    };
    paragraph(buffer, inner, &lines, state.scroll);
}

/// How many of a group's verdicts reach the strongest tier.
fn agreement(group: &Group) -> Vec<Piece> {
    let (tier, n) = group.tier;
    let all = group.members.len();
    if matches!(group.key, GroupKey::Outcome(_)) {
        return vec![(format!("{all} of them"), DIM)];
    }
    let more = if n == all {
        format!(" · {n} of {all} drops agree")
    } else {
        format!(" · {n} of {all} drops, the others less")
    };
    vec![tier_word(tier), (more, DIM)]
}

fn finding_lines(
    analysis: &Analysis,
    state: &State,
    group: &Group,
    columns: u16,
) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let (say, fix) = match group.key {
        GroupKey::Incident(i) => match analysis.incidents.get(i) {
            Some(i) => {
                let span = format!(
                    "{}–{} {}",
                    state.clock(i.start.at, i.start.tick_ns),
                    state.clock(i.end.at, i.end.tick_ns),
                    zone_name(state.east_s)
                );
                lines.push(vec![(span, DIM)]);
                (&i.say, &i.fix)
            }
            None => return lines,
        },
        GroupKey::Finding(i) => match analysis.findings.get(i) {
            Some(f) => (&f.say, &f.fix),
            None => return lines,
        },
        _ => return lines,
    };
    wrapped(&mut lines, "", say, columns, PLAIN);
    fix_lines(&mut lines, fix, columns);
    lines
}

fn fix_lines(lines: &mut Vec<Vec<Piece>>, fix: &[Word], columns: u16) {
    for (i, fix) in fix.iter().enumerate() {
        if i == 0 {
            lines.push(Vec::new());
        }
        wrapped(lines, "Fix  ", fix, columns, GOOD);
    }
}

/// The answer, its ground, its rivals, the fix. Every evidence line says where it stands.
fn verdict_lines(
    lines: &mut Vec<Vec<Piece>>,
    j: &Judged,
    analysis: &Analysis,
    columns: u16,
    tier: bool,
) {
    let v = &j.verdict;
    if tier && v.cause.is_some() {
        let about = v.contributing.join(", ");
        lines.push(vec![
            tier_word(v.tier),
            (
                if about.is_empty() {
                    about
                } else {
                    format!(" · {about}")
                },
                DIM,
            ),
        ]);
    }
    wrapped(lines, "", &v.sentence, columns, BOLD);
    if let Some(first) = v.fix.first().filter(|_| columns < 200) {
        wrapped(lines, "Fix  ", first, columns, GOOD);
    }
    if !v.evidence.is_empty() {
        lines.push(Vec::new());
    }
    for e in &v.evidence {
        let place = e.record.map_or_else(String::new, |r| place(analysis, r));
        let lead = if e.supports { "+ " } else { "- " };
        let text = if place.is_empty() {
            e.say.to_string()
        } else {
            format!("{}  {place}", e.say)
        };
        wrapped(
            lines,
            lead,
            &text,
            columns,
            if e.supports { PLAIN } else { WARN },
        );
    }
    if !v.rivals.is_empty() || !v.untestable.is_empty() {
        lines.push(Vec::new());
    }
    for r in &v.rivals {
        let lead = match r.verdict {
            RivalVerdict::RuledOut => "✗ ",
            RivalVerdict::Weaker => "○ ",
            RivalVerdict::Untestable => "? ",
        };
        wrapped(
            lines,
            lead,
            &format!(
                "{} {}: {}",
                r.cause.id(),
                r.verdict.name().replace('-', " "),
                r.why
            ),
            columns,
            DIM,
        );
    }
    for u in &v.untestable {
        wrapped(
            lines,
            "? ",
            &format!("{} needs {}", u.cause.id(), u.needs),
            columns,
            DIM,
        );
    }
    for more in v.fix.iter().skip(1) {
        wrapped(lines, "Fix  ", more, columns, GOOD);
    }
}
