//! Key sequences and sizes -> what the state and the screen must be.

use std::collections::BTreeMap;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::model::fixture::{Reader, fixture, many};
use crate::model::{Analysis, RawReader};

use super::keys::{self, Key};
use super::rows::{Grouping, Row};
use super::rungs::Rung;
use super::state::{Screen, State, Times, TuiOptions};
use super::theme::Theme;
use super::update::{Action, Effect};
use super::view;

/// `Enter`, `^d`, `Esc`, `Tab`, `PgDn`, arrows; every other word is typed letter by letter.
fn keys_of(text: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    for word in text.split(' ') {
        match word {
            "Enter" => keys.push(Key::Enter),
            "Esc" => keys.push(Key::Esc),
            "Tab" => keys.push(Key::Tab),
            "PgDn" => keys.push(Key::PageDown),
            "Space" => keys.push(Key::Char(' ')),
            "Left" => keys.push(Key::Left),
            "Right" => keys.push(Key::Right),
            "Backspace" => keys.push(Key::Backspace),
            w if w.len() == 2 && w.starts_with('^') => keys.extend(w.chars().last().map(Key::Ctrl)),
            w => keys.extend(w.chars().map(Key::Char)),
        }
    }
    keys
}

pub(super) fn press(state: &mut State, analysis: &Analysis, text: &str) -> Effect {
    let mut effect = Effect::None;
    state.settle(analysis);
    for key in keys_of(text) {
        effect = state.update(Action::Press(key), analysis);
        if let Some(record) = state.wants(analysis) {
            let raw = Reader.read(record);
            state.update(Action::Loaded(record, raw), analysis);
        }
    }
    state.settle(analysis);
    effect
}

pub(super) fn after(keys: &str, size: (u16, u16)) -> (State, Effect) {
    let analysis = fixture();
    let mut state = State::new(&analysis, TuiOptions::default(), size);
    let effect = press(&mut state, &analysis, keys);
    (state, effect)
}

pub(super) fn buffer(analysis: &Analysis, state: &State, (columns, rows): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a test backend");
    terminal
        .draw(|frame| view::draw(frame, analysis, state))
        .expect("a frame");
    terminal.backend().buffer().clone()
}

/// What a screen says, with `»` before rows that are reversed.
pub(super) fn screen(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut out = String::new();
    for y in 0..area.height {
        let reversed =
            (0..area.width).any(|x| buffer[(x, y)].modifier.contains(Modifier::REVERSED));
        out.push(if reversed { '»' } else { ' ' });
        let mut skip = 0;
        for x in 0..area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                out.push_str(symbol);
                skip = super::text::width(symbol).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[test]
fn an_export_names_its_path_before_it_is_written() {
    let analysis = fixture();
    let options = TuiOptions {
        formats: vec!["json", "md"],
        ..TuiOptions::default()
    };
    let check = |keys: &str, expected: Effect, prompt: Option<&str>| {
        let mut state = State::new(&analysis, options.clone(), (80, 24));
        let effect = press(&mut state, &analysis, keys);
        assert_eq!(effect, expected, "{keys}");
        let text = state.prompt.map(|p| p.text.into_iter().collect::<String>());
        assert_eq!(text.as_deref(), prompt, "{keys}");
    };
    let export = |format, path: &str| Effect::Export {
        format,
        path: path.to_owned(),
    };
    check("e j", Effect::None, Some("wsdrop-report.json"));
    check("e j Enter", export("json", "wsdrop-report.json"), None);
    check("e m ^u a.md Enter", export("md", "a.md"), None);
    check("e j Esc", Effect::None, None);
    check("e j ^u Enter", Effect::None, Some(""));
    check("e c", Effect::None, None);
    check(":exmd Enter", Effect::None, Some("wsdrop-report.md"));
    check("2 e j Enter", export("json", "wsdrop-report.json"), None);
    let mut state = State::new(&analysis, options, (80, 24));
    press(&mut state, &analysis, "/ cause:idle-timeout Enter");
    let shown = state.filtered(&analysis);
    assert_eq!(shown.connections.len(), 4);
    assert_eq!(shown.findings.len(), 1);
}

#[test]
fn the_farewell_repeats_the_arguments() {
    let analysis = fixture();
    let check = |keys: &str, again: Option<(&str, &str)>, expected: &str| {
        let options = TuiOptions {
            again: again.map(|(a, b)| (a.to_owned(), b.to_owned())),
            ..TuiOptions::default()
        };
        let mut state = State::new(&analysis, options, (80, 24));
        press(&mut state, &analysis, keys);
        let line = super::run::farewell(&state, &analysis);
        assert_eq!(line.split_once("Same view: ").map(|l| l.1), Some(expected));
    };
    check(
        "/ -code:1006 Enter",
        None,
        "wsdrop report ./incident-0314 -w -code:1006",
    );
    check("", Some(("wsdrop demo", "x")), "wsdrop demo");
    check(
        "/ alive>1s Enter",
        Some(("wsdrop demo", "wsdrop report DIR")),
        "wsdrop report DIR -w 'alive>1s'",
    );
}

#[test]
fn nothing_dropped_says_what_was_looked_at() {
    let mut analysis = fixture();
    analysis.connections.retain(|j| j.verdict.cause.is_none());
    analysis.findings.clear();
    for (columns, rows) in [(80, 24), (120, 40), (40, 10)] {
        let state = State::new(&analysis, TuiOptions::default(), (columns, rows));
        let text = screen(&buffer(&analysis, &state, (columns, rows)));
        assert!(text.contains("none dropped"), "{text}");
        assert!(text.contains("None of 3 connections dropped"), "{text}");
        if columns >= 80 {
            assert!(text.contains("Checked: 2 captures"), "{text}");
        }
        insta::assert_snapshot!(format!("calm_{columns}x{rows}"), text);
    }
}

const SIZES: [(u16, u16); 5] = [(40, 10), (60, 20), (80, 24), (120, 40), (300, 100)];

fn shot(name: &str, keys: &str) {
    let analysis = fixture();
    for (columns, rows) in SIZES {
        let mut state = State::new(&analysis, TuiOptions::default(), (columns, rows));
        press(&mut state, &analysis, keys);
        let text = screen(&buffer(&analysis, &state, (columns, rows)));
        insta::assert_snapshot!(format!("{name}_{columns}x{rows}"), text);
    }
}

#[test]
fn screens_look_as_they_should() {
    shot("drops", "");
    shot("ladder", "Enter");
    shot("ladder_unfolded_absolute", "Enter f t");
    shot("raw_packet", "Enter Enter");
    shot("raw_line", "Enter n Enter k");
    shot("why", "w");
    shot("sources", "3 j j j");
    shot("timeline", "2 j j");
    shot("timeline_lines", "2 Tab j");
    shot("timeline_near", "2 j j + +");
    shot("rules", "4 j");
    shot("palette", ":ex");
    shot("marked", "j m j m");
    shot("help", "?");
    shot("filter_error", "/ hopp:nginx");
    shot("grouped_by_net", "a");
    shot("undecided", "/ cause:undecided Enter Enter");
    shot("noted", "j A odd Enter");
    shot("values", "/ cause:");
    shot("facets", "F j j");
    shot("rules_pane", "4 Tab z");
}

#[test]
fn a_storm_is_one_story() {
    let mut analysis = fixture();
    let id = |n: usize| analysis.connections[n].connection.id.clone();
    let ids: Vec<String> = (0..6).map(id).collect();
    let (old, new) = (id(0), id(8));
    let stamp = |n: usize| analysis.connections[n].connection.closed.expect("an end");
    let (start, end) = (stamp(0), stamp(5));
    // The first one is seen again as a later one.
    analysis.connections[0].connection.reconnected_as = Some(new.clone());
    analysis.connections[8].connection.reconnect_of = Some(old.clone());
    let opened = start.at.plus(2_500_000_000);
    analysis.connections[8].connection.opened = Some(crate::model::Stamp::new(opened, 1));
    analysis.incidents.push(crate::model::Incident {
        code: "W702".to_owned(),
        kind: "mass-drop".to_owned(),
        start,
        end,
        connections: ids,
        say: "6 of 12 connections ended within a minute".to_owned(),
        fix: vec!["drain connections before a stop".into()],
    });
    for size in SIZES {
        let mut state = State::new(&analysis, TuiOptions::default(), size);
        let at = state
            .list
            .groups
            .iter()
            .position(|g| g.label.starts_with("W702"));
        state.row = state.list.place(at.expect("its row"), None);
        press(&mut state, &analysis, "Enter");
        assert_eq!(state.screen, Screen::Story);
        let story = state.story.clone().expect("a story");
        assert_eq!((story.ends.len(), story.returns.len()), (6, 1));
        let text = screen(&buffer(&analysis, &state, size));
        insta::assert_snapshot!(format!("story_{}x{}", size.0, size.1), text);
        for (row, chapter) in story.chapters.iter().enumerate() {
            press(&mut state, &analysis, "Enter");
            match chapter.kind {
                super::story::Kind::Mark(_) => assert_eq!(state.screen, Screen::Raw, "{row}"),
                _ => assert_eq!(state.screen, Screen::Ladder, "{row}"),
            }
            press(&mut state, &analysis, "Esc");
            assert_eq!(state.screen, Screen::Story);
            press(&mut state, &analysis, "j");
        }
        press(&mut state, &analysis, "Esc");
        assert_eq!(state.screen, Screen::Drops);
    }
}

/// Which styles a screen has, row by row: `12 red bold`, plain cells left out.
fn styles(buffer: &Buffer) -> String {
    let area = buffer.area;
    let mut out = String::new();
    for y in 0..area.height {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for x in 0..area.width {
            let cell = &buffer[(x, y)];
            let mut name = match cell.fg {
                Color::Reset => String::new(),
                colour => format!("{colour:?}").to_lowercase(),
            };
            assert_eq!(cell.bg, Color::Reset, "the terminal's own background stays");
            if !cell.modifier.is_empty() {
                name = format!("{name} {:?}", cell.modifier).to_lowercase();
            }
            if !name.is_empty() {
                *counts.entry(name.trim().to_owned()).or_default() += 1;
            }
        }
        let parts: Vec<String> = counts
            .iter()
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        out.push_str(parts.join(", ").trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn themes_look_as_they_should() {
    let analysis = fixture();
    let rich = |name: &str| Theme {
        rich: true,
        ..Theme::named(name).expect(name)
    };
    for (name, theme) in [
        ("auto", Theme::default()),
        ("dark", rich("dark")),
        ("light", rich("light")),
        ("light16", Theme::named("light").expect("light")),
        ("mono", rich("mono")),
    ] {
        let mut all = String::new();
        for (screen, keys) in [("drops", "j m"), ("ladder", "Enter"), ("sources", "3")] {
            for (columns, rows) in SIZES {
                let options = TuiOptions {
                    theme,
                    ..TuiOptions::default()
                };
                let mut state = State::new(&analysis, options, (columns, rows));
                press(&mut state, &analysis, keys);
                let styles = styles(&buffer(&analysis, &state, (columns, rows)));
                all.push_str(&format!("{screen} {columns}x{rows}\n{styles}"));
            }
        }
        insta::assert_snapshot!(format!("styles_{name}"), all);
    }
}

#[test]
fn keys_lead_where_the_table_says() {
    let check = |keys: &str, expected: &dyn Fn(&State) -> bool| {
        for size in [(80, 24), (120, 40), (40, 10)] {
            let (state, _) = after(keys, size);
            assert!(
                expected(&state),
                "{keys} at {size:?}: {:?}",
                (state.screen, state.row, &state.message, &state.back)
            );
        }
    };
    let selected = |s: &State| s.selected();
    check("", &|s| {
        s.row == 0 && s.screen == Screen::Drops && matches!(selected(s), Some(Row::Group(0)))
    });
    check("G g", &|s| s.row == 0);
    check("j k", &|s| s.row == 0);
    check("G", &|s| s.row == s.list.len() - 1);
    check("G j j PgDn ^d Space", &|s| s.row == s.list.len() - 1);
    check("h", &|s| s.list.groups.iter().all(|g| !g.open));
    check("h l l", &|s| {
        matches!(
            selected(s),
            Some(Row::Connection {
                group: 0,
                member: 0,
                ..
            })
        )
    });
    check("h l l h", &|s| matches!(selected(s), Some(Row::Group(0))));
    check("Enter", &|s| s.screen == Screen::Ladder);
    check("Enter Enter", &|s| {
        s.screen == Screen::Raw && s.back == [Screen::Drops, Screen::Ladder]
    });
    check("Enter Enter Esc Esc", &|s| s.screen == Screen::Drops);
    check("Enter Enter q h", &|s| s.screen == Screen::Drops);
    check("Enter w Enter", &|s| {
        s.screen == Screen::Why && s.message.is_some()
    });
    check("Enter w j Enter", &|s| s.screen == Screen::Raw);
    check("Enter J", &|s| {
        s.drop
            .as_ref()
            .is_some_and(|d| d.group == 0 && d.member == 1)
    });
    check("Enter JJJJ", &|s| {
        s.drop
            .as_ref()
            .is_some_and(|d| d.group == 1 && d.member == 0)
    });
    check("Enter JJJJ K", &|s| {
        s.drop
            .as_ref()
            .is_some_and(|d| d.group == 0 && d.member == 3)
    });
    check("Enter K", &|s| {
        s.message.as_deref() == Some("this is the first one")
    });
    check("Enter J Esc", &|s| {
        matches!(
            selected(s),
            Some(Row::Connection {
                group: 0,
                member: 1,
                ..
            })
        )
    });
    check("Enter g }", &|s| {
        s.drop.as_ref().is_some_and(|d| {
            matches!(
                d.rungs[d.rung],
                Rung::Gap {
                    ns: 60_000_000_000,
                    silent: true,
                    ..
                }
            )
        })
    });
    check("Enter g } }", &|s| {
        s.message.as_deref() == Some("no further silence")
    });
    check("Enter G {", &|s| {
        s.drop.as_ref().is_some_and(|d| d.rungs[d.rung].is_gap())
    });
    check("Enter t", &|s| s.times == Times::Absolute);
    check("Enter ttt", &|s| s.times == Times::ToClose);
    check("3", &|s| s.screen == Screen::Sources);
    check("3 1", &|s| s.screen == Screen::Drops && s.back.is_empty());
    check("3 j Esc", &|s| s.screen == Screen::Drops && s.source == 1);
    check("? silence Esc", &|s| {
        s.screen == Screen::Help && s.query.is_empty()
    });
    check("? q", &|s| s.screen == Screen::Help && s.query == "q");
    check("? Esc", &|s| s.screen == Screen::Drops);
    check("a", &|s| s.grouping == Grouping::Net);
    check("aaaaaa", &|s| s.grouping == Grouping::Cause);
    check("c", &|s| {
        s.clean && s.list.shown == 13 && s.list.hidden == 0
    });
    check("/ code:1006 Enter", &|s| {
        s.input.is_none() && s.filter.text() == "code:1006" && s.list.shown == 8
    });
    check("/ code:1006 Enter Esc", &|s| {
        s.filter.is_empty() && s.list.shown == 10
    });
    check("/ code:1006 Esc", &|s| {
        s.filter.is_empty() && s.list.shown == 10
    });
    check("/ code: Enter", &|s| {
        s.input.as_ref().is_some_and(|i| i.error.is_some())
    });
    check("/ cau Tab id Tab Enter", &|s| {
        s.filter.text() == "cause:idle-timeout"
    });
    check("=", &|s| {
        s.filter.text() == "cause:idle-timeout" && s.list.shown == 4
    });
    check("!", &|s| {
        s.filter.text() == "-cause:idle-timeout" && s.list.shown == 6
    });
    check("! !", &|s| {
        s.filter.text() == "-cause:idle-timeout -cause:missed-heartbeat"
    });
    check("y Esc", &|s| s.prefix == 0 && s.screen == Screen::Drops);
    check("2", &|s| {
        s.screen == Screen::Timeline && s.lines.len() == 13
    });
    check("2 G Enter Esc", &|s| {
        s.screen == Screen::Timeline && s.line == s.lines.len() - 1
    });
    check("2 Enter", &|s| s.screen == Screen::Ladder);
    check("2 Tab G Enter", &|s| s.screen == Screen::Raw);
    check("A", &|s| {
        s.prompt.is_none() && s.message.as_deref() == Some("a note is about one connection")
    });
    check("h l l A why so Enter", &|s| {
        s.notes.len() == 1 && s.changed.len() == 1 && s.notes.values().all(|n| n.text == "whyso")
    });
    check("h l l A x Enter A Backspace Enter", &|s| s.notes.is_empty());
    check("h l l m /mark:yes Enter", &|s| s.list.shown == 1);
    check("h l l m /mark:yes Enter m", &|s| s.list.shown == 0);
    check("2 /code:1006 Enter", &|s| {
        s.screen == Screen::Timeline && s.lines.len() == 8
    });
    check("2 +++", &|s| s.span.1 - s.span.0 < s.whole.1 - s.whole.0);
    check("2 +++ ---", &|s| s.span == s.whole);
    check("2 w", &|s| s.screen == Screen::Why);
    check("4", &|s| s.screen == Screen::Rules && !s.rules.is_empty());
    check("4 Enter", &|s| {
        s.screen == Screen::Drops && s.filter.text() == "cause:idle-timeout"
    });
    check("4 G Enter", &|s| {
        s.screen == Screen::Rules && s.message.is_some()
    });
    check(":timel Enter", &|s| s.screen == Screen::Timeline);
    check(":srcs Enter", &|s| s.screen == Screen::Sources);
    check(":why Esc", &|s| {
        s.palette.is_none() && s.screen == Screen::Drops
    });
    check(":xyzzy Enter", &|s| {
        s.palette.is_none() && s.message.is_some()
    });
    check("h l l m", &|s| s.notes.len() == 1);
    check("g m", &|s| s.notes.len() == 4);
    check("g mm", &|s| s.notes.is_empty());
    check("G '", &|s| {
        s.message.as_deref() == Some("nothing is marked: m marks")
    });
    check("h l l m G '", &|s| {
        matches!(
            selected(s),
            Some(Row::Connection {
                group: 0,
                member: 0,
                ..
            })
        )
    });
    check("Enter m J '", &|s| {
        s.drop
            .as_ref()
            .is_some_and(|d| (d.group, d.member) == (0, 0))
    });
    check("g m M", &|s| s.notes.is_empty());
    check("e j", &|s| {
        s.prompt.is_none() && s.message.as_deref() == Some("this build writes no json")
    });
    check("Enter Enter J", &|s| {
        s.screen == Screen::Raw && s.record.is_some_and(|r| r.ordinal == 66)
    });
    check("Tab j j", &|s| s.second && s.scroll == 2 && s.row == 0);
    check("Enter z Esc", &|s| s.screen == Screen::Ladder && !s.zoom);
}

#[test]
fn leaving_and_copying_are_effects() {
    let check =
        |keys: &str, expected: Effect| assert_eq!(after(keys, (80, 24)).1, expected, "{keys}");
    check("q", Effect::Leave);
    check("Enter Enter q", Effect::None);
    check("Enter Enter Q", Effect::Leave);
    check("Enter Enter qqq", Effect::Leave);
    check("/ x ^c", Effect::Leave);
    check("? ^c", Effect::Leave);
    check("^z", Effect::Suspend);
    check("^l", Effect::Redraw);
    check("y i", Effect::Copy("c-9e3779".to_owned()));
    check("Enter y l", Effect::Copy("edge.pcap#26".to_owned()));
    check("j y r", Effect::None);
    check(
        "3 y y",
        Effect::Copy("edge.pcap: pcap, 380 records, 0 odd".to_owned()),
    );
    check(
        "j y f",
        Effect::Copy(
            "(ip.addr == 203.0.113.10 && ip.addr == 10.0.1.20 && tcp.port == 40000 && tcp.port == 80) || \
             (ip.addr == 10.0.1.20 && ip.addr == 10.0.2.30 && tcp.port == 50000 && tcp.port == 8080)"
                .to_owned(),
        ),
    );
    let Effect::Copy(markdown) = after("/ cause:undecided Enter Enter y m", (80, 24)).1 else {
        panic!("no copy")
    };
    assert!(
        markdown.starts_with("**W901 undecided** (undecided)") && !markdown.contains('\x1b'),
        "{markdown}"
    );
}

#[test]
fn every_key_works_everywhere_without_harm() {
    let analysis = fixture();
    let all: Vec<Key> = keys::TABLE
        .iter()
        .flat_map(|b| b.keys)
        .copied()
        .filter(|k| *k != Key::Char('/'))
        .collect();
    for start in [
        "",
        "Enter",
        "Enter Enter",
        "w",
        "3",
        "?",
        "/ ",
        "G",
        "y",
        "/ nothing-has-this Enter",
        "2",
        "2 Tab",
        "2 ++++++++",
        "4",
        "4 G",
        ":",
        "e",
        "m",
    ] {
        for size in [(120, 40), (40, 10), (20, 5), (3, 1), (0, 0)] {
            for first in &all {
                let mut state = State::new(&analysis, TuiOptions::default(), size);
                press(&mut state, &analysis, start);
                for key in [*first, Key::Char('j'), *first, Key::PageDown] {
                    state.update(Action::Press(key), &analysis);
                }
                drop(buffer(&analysis, &state, size));
            }
        }
    }
}

#[test]
fn without_colours_the_selected_row_is_reversed() {
    let analysis = fixture();
    let options = TuiOptions {
        theme: Theme {
            mono: true,
            ..Theme::default()
        },
        ..TuiOptions::default()
    };
    for keys in [
        "",
        "j j",
        "Enter",
        "w",
        "2",
        "3",
        "4",
        ":",
        "?",
        "Enter Enter",
    ] {
        for size in [(80, 24), (40, 10)] {
            let mut state = State::new(&analysis, options.clone(), size);
            press(&mut state, &analysis, keys);
            let buffer = buffer(&analysis, &state, size);
            assert!(
                buffer
                    .content
                    .iter()
                    .all(|c| c.fg == Color::Reset && c.bg == Color::Reset),
                "{keys}: a colour"
            );
            let text = screen(&buffer);
            assert!(text.contains('»'), "{keys} at {size:?}:\n{text}");
        }
    }
}

#[test]
fn ascii_is_ascii() {
    let analysis = fixture();
    let options = TuiOptions {
        theme: Theme {
            ascii: true,
            ..Theme::default()
        },
        ..TuiOptions::default()
    };
    for keys in [
        "",
        "Enter",
        "w",
        "2",
        "j m 2",
        "3",
        "4",
        "?",
        ":",
        "Enter Enter",
        "/ cause:undecided Enter Enter",
    ] {
        let mut state = State::new(&analysis, options.clone(), (120, 40));
        press(&mut state, &analysis, keys);
        let buffer = buffer(&analysis, &state, (120, 40));
        let other: String = buffer
            .content
            .iter()
            .map(|c| c.symbol())
            .filter(|s| !s.is_ascii())
            .collect();
        assert_eq!(other, "", "{keys}");
        let unknown = screen(&buffer).matches("??").count();
        assert_eq!(unknown, 0, "{keys}: glyphs without an ASCII form");
    }
}

#[test]
fn input_text_never_reaches_the_terminal_as_it_is() {
    let analysis = fixture();
    for keys in [
        "/ cause:undecided Enter",
        "/ cause:undecided Enter Enter",
        "/ cause:undecided Enter Enter Enter",
        "2 G",
        "2 Tab G",
    ] {
        for size in [(120, 40), (40, 10)] {
            let mut state = State::new(&analysis, TuiOptions::default(), size);
            press(&mut state, &analysis, keys);
            for cell in &buffer(&analysis, &state, size).content {
                let bad = cell
                    .symbol()
                    .chars()
                    .find(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(c));
                assert_eq!(bad, None, "{keys}");
            }
        }
    }
}

#[test]
fn too_small_a_terminal_says_so_and_q_works() {
    let analysis = fixture();
    let mut state = State::new(&analysis, TuiOptions::default(), (19, 4));
    assert!(screen(&buffer(&analysis, &state, (19, 4))).contains("needs 20x5"));
    assert_eq!(press(&mut state, &analysis, "q"), Effect::Leave);
}

#[test]
fn an_empty_case_says_what_was_read() {
    let mut analysis = fixture();
    analysis.connections.clear();
    analysis.findings.clear();
    let mut state = State::new(&analysis, TuiOptions::default(), (80, 24));
    let text = screen(&buffer(&analysis, &state, (80, 24)));
    assert!(
        text.contains("no WebSocket connection was found") && text.contains("5 of 6 files"),
        "{text}"
    );
    press(&mut state, &analysis, "j Enter w J = G l h y i");
    assert_eq!(state.screen, Screen::Drops);
    analysis = fixture();
    analysis.findings.clear();
    analysis.connections.retain(|j| j.verdict.cause.is_none());
    let state = State::new(&analysis, TuiOptions::default(), (80, 24));
    assert!(state.clean && state.list.shown == 3);
}

#[test]
fn a_hundred_thousand_connections_are_rows_when_they_are_seen() {
    let analysis = many(100_000);
    let mut state = State::new(&analysis, TuiOptions::default(), (80, 24));
    press(&mut state, &analysis, "l G k");
    assert_eq!(state.list.groups[0].members.len(), 25_000);
    assert!(state.list.len() > 25_000);
    let text = screen(&buffer(&analysis, &state, (80, 24)));
    assert!(text.contains('»'), "{text}");
    press(&mut state, &analysis, "g l l Enter");
    assert_eq!(state.screen, Screen::Ladder);
}

#[test]
fn the_farewell_reproduces_the_view() {
    let analysis = fixture();
    let check = |keys: &str, expected: &str| {
        let mut state = State::new(&analysis, TuiOptions::default(), (80, 24));
        press(&mut state, &analysis, keys);
        assert_eq!(super::run::farewell(&state, &analysis), expected);
    };
    check(
        "",
        "8 drops, 2 failed handshakes, 4 causes. Same view: wsdrop report ./incident-0314",
    );
    check(
        "=",
        "8 drops, 2 failed handshakes, 4 causes. Same view: wsdrop report ./incident-0314 -w cause:idle-timeout",
    );
    check(
        "/ alive>55s Enter",
        "8 drops, 2 failed handshakes, 4 causes. Same view: wsdrop report ./incident-0314 -w 'alive>55s'",
    );
}
