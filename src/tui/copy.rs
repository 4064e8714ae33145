//! What is selected -> text for the clipboard, inert: what is pasted into a shell or a chat must not act there.

use crate::model::{Analysis, Judged, Raw, RecordRef, inert};

use super::keys::Command;
use super::rows::{self, Row};
use super::state::{Screen, State};
use super::text::{place, seconds};

pub(super) fn text(command: Command, state: &State, analysis: &Analysis) -> Option<String> {
    let judged = match state.screen {
        Screen::Drops => state.example(analysis),
        Screen::Timeline => state.on_line(analysis),
        Screen::Sources | Screen::Rules | Screen::Story | Screen::Facets | Screen::Oddities => None,
        _ => state.judged(analysis),
    };
    match command {
        Command::CopyRow => row(state, analysis, judged),
        Command::CopyId => judged.map(|j| inert(&j.connection.id)),
        Command::CopyLine => record(state, analysis).map(|r| inert(&place(analysis, r))),
        Command::CopyFilter => match (state.screen, state.record) {
            (Screen::Raw, Some(record)) if in_capture(record, analysis) => {
                Some(record.display_filter())
            }
            _ => judged.and_then(|j| j.connection.display_filter()),
        },
        Command::CopyMarkdown => judged.map(|j| markdown(j, analysis)),
        Command::CopyRaw => match state.loaded(record(state, analysis)?)? {
            Raw::Line { lines, focus, .. } => lines.get(*focus).map(|l| inert(&l.1)),
            Raw::Packet { bytes, .. } => Some(bytes.iter().map(|b| format!("{b:02x}")).collect()),
            Raw::Missing(_) => None,
        },
        _ => None,
    }
}

fn in_capture(record: RecordRef, analysis: &Analysis) -> bool {
    analysis
        .source(record.source)
        .is_some_and(|s| s.kind.is_capture())
}

pub(super) fn record(state: &State, analysis: &Analysis) -> Option<RecordRef> {
    match state.screen {
        Screen::Raw => state.record,
        Screen::Ladder => state.ladder_record(analysis),
        Screen::Drops => state
            .example(analysis)?
            .verdict
            .evidence
            .iter()
            .find_map(|e| e.record),
        Screen::Why => state
            .judged(analysis)?
            .verdict
            .evidence
            .iter()
            .find_map(|e| e.record),
        Screen::Timeline => match state.second {
            true => state.happenings.get(state.happening)?.record(analysis),
            false => state
                .on_line(analysis)?
                .verdict
                .evidence
                .iter()
                .find_map(|e| e.record),
        },
        Screen::Story => {
            let story = state.story.as_ref()?;
            match story.chapters.get(story.row)?.kind {
                super::story::Kind::Mark(i) => analysis.marks.get(i).map(|m| m.record),
                _ => None,
            }
        }
        Screen::Oddities => state.oddity(),
        Screen::Sources | Screen::Rules | Screen::Facets | Screen::Help => None,
    }
}

fn row(state: &State, analysis: &Analysis, judged: Option<&Judged>) -> Option<String> {
    if state.screen == Screen::Sources {
        return analysis.sources.get(state.source).map(|s| {
            inert(&format!(
                "{}: {}, {} records, {} odd",
                s.path,
                s.kind.name(),
                s.records,
                s.odd
            ))
        });
    }
    if state.screen == Screen::Rules {
        return state.rules.get(state.rule).map(|r| {
            inert(&format!(
                "{} {}: decided {}, held but weaker {}, ruled out {}, untestable {}",
                r.code, r.name, r.hits, r.weaker, r.ruled_out, r.untestable
            ))
        });
    }
    if state.screen == Screen::Facets {
        let facet = state.facets.get(state.facet)?;
        return Some(inert(&format!(
            "{}:{}, {} connections",
            facet.key, facet.value, facet.count
        )));
    }
    if let (Screen::Oddities, Some(odd)) = (state.screen, &state.oddities) {
        let (kind, record) = odd.rows.get(odd.row)?;
        let text = odd.texts.get(record).map_or("", String::as_str);
        return Some(format!(
            "{} {kind} {text}",
            inert(&place(analysis, *record))
        ));
    }
    if let (Screen::Story, Some(story)) = (state.screen, &state.story) {
        let chapter = story.chapters.get(story.row)?;
        return Some(inert(&format!("{} {}", chapter.at.rfc3339(1), chapter.say)));
    }
    if let (Screen::Drops, Some(Row::Group(g))) = (state.screen, state.selected()) {
        return state
            .list
            .groups
            .get(g)
            .map(|g| inert(&format!("{}, {} connections", g.label, g.members.len())));
    }
    if let (Screen::Ladder, Some(record), Some(j)) = (state.screen, record(state, analysis), judged)
    {
        let event = j.connection.events.iter().find(|e| e.record == record)?;
        return Some(inert(&format!(
            "{} {} {}",
            event.at.rfc3339(),
            event.say,
            place(analysis, record)
        )));
    }
    let j = judged?;
    let cause = j.verdict.cause.map_or_else(
        || j.verdict.outcome.name().to_owned(),
        |c| format!("{} {}", c.code(), c.id()),
    );
    let lived = rows::lived(j).map_or_else(|| "?".to_owned(), seconds);
    let silent = rows::silent(j).map_or_else(|| "?".to_owned(), seconds);
    Some(inert(&format!(
        "{} {} {cause} ({}), closed by {}, lived {lived}, silent {silent}",
        j.connection.id,
        rows::client(j),
        j.verdict.tier.name(),
        rows::closer(j)
    )))
}

fn markdown(j: &Judged, analysis: &Analysis) -> String {
    let clean = |text: &str| {
        let mut out = String::new();
        for c in inert(text).chars() {
            if "\\`*_[]<>|#".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    let v = &j.verdict;
    let cause = v.cause.map_or_else(
        || v.outcome.name().to_owned(),
        |c| format!("{} {}", c.code(), c.id()),
    );
    let mut out = format!(
        "**{cause}** ({}) {}: {}\n",
        v.tier.name(),
        clean(&j.connection.id),
        clean(&v.sentence)
    );
    for e in &v.evidence {
        let place = e.record.map_or_else(String::new, |r| {
            format!(" ({})", clean(&place(analysis, r)))
        });
        out.push_str(&format!(
            "- {}{}{place}\n",
            if e.supports { "" } else { "against: " },
            clean(&e.say)
        ));
    }
    for r in &v.rivals {
        out.push_str(&format!(
            "- {} {}: {}\n",
            r.verdict.name(),
            r.cause.id(),
            clean(&r.why)
        ));
    }
    for f in &v.fix {
        out.push_str(&format!("- fix: {}\n", clean(f)));
    }
    out
}
