//! Facets, odd records, zones, what is hidden, the mouse, half-typed filters: keys and clicks -> what the state and the screen must be.

use crate::model::fixture::fixture;
use crate::model::{Anomaly, RecordRef, SourceId};

use super::rows::Row;
use super::state::{Screen, State, TuiOptions};
use super::tests::{after, buffer, press, screen};
use super::update::{Action, Effect};

const SIZES: [(u16, u16); 3] = [(40, 10), (80, 24), (120, 40)];

#[test]
fn a_facet_narrows_and_its_counts_follow() {
    for size in SIZES {
        let analysis = fixture();
        let mut state = State::new(&analysis, TuiOptions::default(), size);
        press(&mut state, &analysis, "F");
        assert_eq!(state.screen, Screen::Facets);
        let (count, term) = {
            let facet = &state.facets[1];
            (facet.count, format!("{}:{}", facet.key, facet.value))
        };
        press(&mut state, &analysis, "j Enter");
        assert_eq!(state.filter.text(), term);
        assert_eq!((state.screen, state.list.shown), (Screen::Facets, count));
        let causes: Vec<_> = state.facets.iter().filter(|f| f.key == "cause").collect();
        assert_eq!(causes.len(), 1, "the other causes are gone: {causes:?}");
        press(&mut state, &analysis, "Esc");
        assert_eq!((state.screen, state.list.shown), (Screen::Drops, count));
        press(&mut state, &analysis, "Esc F !");
        assert!(state.filter.text().starts_with("-cause:"));
    }
}

fn with_odd_lines(lines: u64) -> crate::model::Analysis {
    let mut analysis = fixture();
    let source = SourceId(1);
    let records = (1..=lines).map(|n| RecordRef {
        source,
        ordinal: n * 3,
        start: n * 300,
        len: 90,
    });
    let s = analysis.sources.iter_mut().find(|s| s.id == source);
    let s = s.expect("the source");
    s.odd = lines + 1;
    s.anomalies = vec![Anomaly {
        kind: "unknown-line".to_owned(),
        count: lines + 1,
        first_record: 3,
        note: "lines in no known form".to_owned(),
        records: records.collect(),
    }];
    analysis
}

#[test]
fn odd_records_are_listed_with_their_text() {
    let analysis = with_odd_lines(30);
    let at = analysis.sources.iter().position(|s| s.id == SourceId(1));
    for size in SIZES {
        let mut state = State::new(&analysis, TuiOptions::default(), size);
        press(&mut state, &analysis, "3");
        state.source = at.expect("the source");
        press(&mut state, &analysis, "Enter");
        assert_eq!(state.screen, Screen::Oddities);
        // One record is read after each key.
        for _ in 0..70 {
            press(&mut state, &analysis, "j");
        }
        let text = screen(&buffer(&analysis, &state, size));
        assert!(text.contains("90  unknown-line"), "{text}");
        assert!(text.contains("2026/03/14"), "{text}");
        assert!(!text.contains('\x1b'));
        press(&mut state, &analysis, "Enter");
        assert_eq!(state.screen, Screen::Raw);
        assert_eq!(state.record.map(|r| r.ordinal), Some(90));
        press(&mut state, &analysis, "Esc Esc");
        assert_eq!(state.screen, Screen::Sources);
    }
    let (state, _) = after("3 Enter", (80, 24));
    assert_eq!(state.screen, Screen::Sources);
    assert!(state.message.is_some());
}

#[test]
fn times_move_to_the_zones_that_are_named() {
    let analysis = fixture();
    let options = TuiOptions {
        east_s: 19_800,
        ..TuiOptions::default()
    };
    let mut state = State::new(&analysis, options, (120, 40));
    let shown = |state: &State| screen(&buffer(&analysis, state, (120, 40)));
    assert!(shown(&state).contains("+05:30"), "{}", shown(&state));
    assert!(shown(&state).contains("14:56:01"), "{}", shown(&state));
    let mut zones = vec![state.east_s];
    for _ in 1..state.zones(&analysis).len() {
        press(&mut state, &analysis, "T");
        zones.push(state.east_s);
    }
    press(&mut state, &analysis, "T");
    assert_eq!(state.east_s, 19_800, "it goes round");
    assert!(zones.contains(&0), "{zones:?}");
    state.east_s = 0;
    assert!(shown(&state).contains("09:26:01"), "{}", shown(&state));
    press(&mut state, &analysis, "Enter t");
    state.east_s = 19_800;
    let text = shown(&state);
    assert!(text.contains("14:5") && !text.contains(" 09:2"), "{text}");
}

#[test]
fn hiding_is_asked_of_whoever_hands_out_and_is_seen() {
    let analysis = fixture();
    let mut state = State::new(&analysis, TuiOptions::default(), (120, 40));
    assert_eq!(press(&mut state, &analysis, "R"), Effect::Veil(true));
    assert!(state.raw.is_none() && state.veiled);
    press(&mut state, &analysis, "j");
    assert!(screen(&buffer(&analysis, &state, (120, 40))).contains("redacted"));
    assert_eq!(press(&mut state, &analysis, "R"), Effect::Veil(false));
}

#[test]
fn panes_lie_above_one_another_when_they_are_told_to() {
    let analysis = fixture();
    let mut state = State::new(&analysis, TuiOptions::default(), (120, 40));
    let beside = screen(&buffer(&analysis, &state, (120, 40)));
    assert!(beside.lines().nth(2).is_some_and(|l| l.contains("┐┌")));
    press(&mut state, &analysis, "v j k");
    let stacked = screen(&buffer(&analysis, &state, (120, 40)));
    assert!(
        stacked.lines().nth(2).is_some_and(|l| !l.contains("┐┌")),
        "{stacked}"
    );
    assert!(stacked.contains("Fix  "), "{stacked}");
    press(&mut state, &analysis, "v j k");
    assert_eq!(screen(&buffer(&analysis, &state, (120, 40))), beside);
}

/// Where the cursor of the screen stands.
fn cursor(state: &State) -> usize {
    let drop = state.drop.as_ref();
    match state.screen {
        Screen::Drops => state.row,
        Screen::Ladder => drop.map_or(0, |d| d.rung),
        Screen::Why => drop.map_or(0, |d| d.reason),
        Screen::Raw => state.field,
        Screen::Timeline => state.line,
        Screen::Sources => state.source,
        Screen::Rules => state.rule,
        Screen::Facets => state.facet,
        Screen::Oddities => state.oddities.as_ref().map_or(0, |o| o.row),
        Screen::Story | Screen::Help => 0,
    }
}

/// On every screen: a click puts the cursor on the row that stands there, and that row was drawn reversed when it was the cursor's.
#[test]
fn a_click_selects_the_row_that_it_falls_on() {
    let analysis = with_odd_lines(30);
    for keys in [
        "",
        "Enter",
        "w",
        "2",
        "3",
        "4",
        "F",
        "3 j Enter",
        "Enter Enter",
    ] {
        for size in SIZES {
            let mut state = State::new(&analysis, TuiOptions::default(), size);
            press(&mut state, &analysis, keys);
            let text = screen(&buffer(&analysis, &state, size));
            let place = |y: usize| (4, u16::try_from(y).expect("a row"));
            let reversed = text
                .lines()
                .enumerate()
                .filter(|(_, l)| l.starts_with('»'))
                .find_map(|(y, _)| state.spots.row_at(place(y)));
            assert_eq!(reversed, Some(cursor(&state)), "{keys} {size:?}\n{text}");
            let open = state.screen;
            let mut clicked = 0;
            for y in 0..usize::from(size.1) {
                buffer(&analysis, &state, size);
                let Some(row) = state.spots.row_at(place(y)) else {
                    continue;
                };
                state.update(Action::Click(place(y), false), &analysis);
                assert_eq!(
                    (state.screen, cursor(&state)),
                    (open, row),
                    "{keys} {size:?}"
                );
                clicked += 1;
            }
            assert!(clicked > 2, "{keys} {size:?}: {clicked}\n{text}");
        }
    }
    // The second click opens, and one beside everything does nothing.
    let mut state = State::new(&analysis, TuiOptions::default(), (120, 40));
    buffer(&analysis, &state, (120, 40));
    state.update(Action::Click((4, 5), true), &analysis);
    assert_eq!(state.screen, Screen::Ladder);
    buffer(&analysis, &state, (120, 40));
    state.update(Action::Click((119, 39), true), &analysis);
    assert_eq!(state.screen, Screen::Ladder);
    for (column, expected) in [
        (11, Screen::Timeline),
        (22, Screen::Sources),
        (2, Screen::Drops),
    ] {
        press(&mut state, &analysis, "1");
        buffer(&analysis, &state, (120, 40));
        state.update(Action::Click((column, 1), false), &analysis);
        assert_eq!(state.screen, expected);
    }
}

/// A key whose value is still to come narrows nothing, and leaves what stands beside it.
#[test]
fn half_a_word_narrows_nothing() {
    let analysis = fixture();
    let check = |keys: &str, shown: usize, note: &str| {
        let mut state = State::new(&analysis, TuiOptions::default(), (120, 40));
        press(&mut state, &analysis, keys);
        assert_eq!(state.list.shown + state.list.hidden, shown, "{keys}");
        let text = screen(&buffer(&analysis, &state, (120, 40)));
        let line = text.lines().last().unwrap_or_default();
        assert!(line.contains(note), "{keys}: {line}");
    };
    let all = analysis.connections.len();
    check("/ cause:", all, &format!("{all} of {all} · Tab: "));
    check("/ cause:idle", 4, "idle-timeout (4)");
    check("/ cause:idle-timeout", 4, "4 of ");
    check("/ cause:idle-timeout Space cause:", 4, "4 of ");
    check("/ -cause:", all, "Tab: ");
    check("/ cause:idle-timeout Space -by:", 4, "Tab: ");
    check("/ cause:nonsense", 0, "0 of ");
    // What was completed is a filter like any other.
    let mut state = State::new(&analysis, TuiOptions::default(), (120, 40));
    press(&mut state, &analysis, "/ cause:idl Tab Enter");
    assert_eq!(state.filter.text(), "cause:idle-timeout");
    assert!(matches!(
        state.selected(),
        Some(Row::Group(_) | Row::Connection { .. })
    ));
}
