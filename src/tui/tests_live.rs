//! An analysis that grows under the reader's eyes -> the place that the screen keeps, and the marks of what may still change.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::model::fixture::{Reader, fixture};
use crate::model::{Analysis, FileProgress, FileState, Loading, RawReader};

use super::keys::Key;
use super::rows::Row;
use super::state::{Screen, State, TuiOptions};
use super::update::{Action, Effect};
use super::view;

/// The first of the connections, as if no more had been read.
fn part(n: usize) -> Analysis {
    let mut analysis = fixture();
    analysis.connections.truncate(n);
    analysis.findings.clear();
    analysis
}

fn loading(read: u64) -> Loading {
    let states = [
        FileState::Read,
        FileState::Reading,
        FileState::Waiting,
        FileState::Read,
        FileState::Read,
        FileState::Read,
    ];
    let files: Vec<FileProgress> = states
        .into_iter()
        .map(|state| FileProgress {
            state,
            bytes: 1_000_000,
            read: match state {
                FileState::Waiting => 0,
                FileState::Reading => read,
                FileState::Read => 1_000_000,
            },
        })
        .collect();
    Loading {
        total: 6_000_000,
        read: files.iter().map(|f| f.read).sum(),
        files,
        rate: 21_000_000,
        stopped: false,
    }
}

fn press(state: &mut State, analysis: &Analysis, keys: &[Key]) -> Effect {
    let mut effect = Effect::None;
    for key in keys {
        effect = state.update(Action::Press(*key), analysis);
        if let Some(record) = state.wants(analysis) {
            state.update(Action::Loaded(record, Reader.read(record)), analysis);
        }
    }
    state.settle(analysis);
    effect
}

fn screen(analysis: &Analysis, state: &State) -> String {
    let mut terminal = Terminal::new(TestBackend::new(state.size.0, state.size.1)).expect("one");
    terminal
        .draw(|frame| view::draw(frame, analysis, state))
        .expect("a frame");
    terminal.backend().to_string()
}

fn id(analysis: &Analysis, index: usize) -> &str {
    &analysis.connections[index].connection.id
}

#[test]
fn the_place_follows_the_connection() {
    let (some, whole) = (part(6), fixture());
    for skipped in 0..4 {
        // The earlier connections come last: every index changes.
        let mut early = some.clone();
        early.connections.drain(..skipped);
        let start = || {
            let mut state = State::new(&early, TuiOptions::default(), (100, 30));
            state.told(Some(loading(500_000)), &early);
            state
        };
        let mut state = start();
        press(
            &mut state,
            &early,
            &[Key::Char('g'), Key::Right, Key::Right],
        );
        let Some(Row::Connection { index, .. }) = state.selected() else {
            panic!("a connection is selected")
        };
        let before = id(&early, index).to_owned();
        press(&mut state, &early, &[Key::Char('m')]);
        state.adopt(&early, &whole);
        let Some(Row::Connection { index, .. }) = state.selected() else {
            panic!("it still is")
        };
        assert_eq!(id(&whole, index), before);
        assert!(state.is_marked(&whole.connections[index]));

        let mut state = start();
        press(
            &mut state,
            &early,
            &[Key::Char('g'), Key::Enter, Key::Char('g'), Key::Down],
        );
        let (before, record) = (
            state.judged(&early).map(|j| j.connection.id.clone()),
            state.ladder_record(&early),
        );
        for (key, deeper) in [(Key::Char('w'), Screen::Why), (Key::Enter, Screen::Raw)] {
            press(&mut state, &early, &[key]);
            if state.screen != deeper {
                continue;
            }
            state.adopt(&early, &whole);
            assert_eq!(state.screen, deeper);
            assert_eq!(
                state.judged(&whole).map(|j| j.connection.id.clone()),
                before
            );
            state.adopt(&whole, &early);
            press(&mut state, &early, &[Key::Esc]);
        }
        assert_eq!(state.screen, Screen::Ladder);
        state.adopt(&early, &whole);
        assert_eq!(state.ladder_record(&whole), record);

        let mut state = start();
        press(&mut state, &early, &[Key::Char('2'), Key::Char('G')]);
        let before = state.on_line(&early).map(|j| j.connection.id.clone());
        state.adopt(&early, &whole);
        assert_eq!(
            state.on_line(&whole).map(|j| j.connection.id.clone()),
            before
        );
    }
}

#[test]
fn what_is_gone_leads_back_to_the_list() {
    let (some, whole) = (part(6), fixture());
    let mut without = whole.clone();
    let mut state = State::new(&some, TuiOptions::default(), (100, 30));
    press(&mut state, &some, &[Key::Enter, Key::Enter]);
    let gone = state.judged(&some).expect("one").connection.id.clone();
    without.connections.retain(|j| j.connection.id != gone);
    state.adopt(&some, &without);
    assert_eq!((state.screen, state.back.len()), (Screen::Drops, 0));
    assert!(state.message.is_some() && state.drop.is_none());
}

#[test]
fn verdicts_are_provisional_until_all_that_could_change_them_is_read() {
    let whole = fixture();
    let mut state = State::new(&whole, TuiOptions::default(), (120, 40));
    let provisional = |state: &State| {
        let all = whole.connections.iter();
        all.filter(|j| state.provisional(j)).count()
    };
    let all = whole.connections.len();
    assert_eq!(provisional(&state), 0);
    state.told(Some(loading(0)), &whole);
    assert_eq!(provisional(&state), all);
    // All files are read, the last word is not spoken.
    let mut last = loading(1_000_000);
    for file in &mut last.files {
        file.state = FileState::Read;
    }
    state.told(Some(last.clone()), &whole);
    assert_eq!(provisional(&state), all);
    state.told(None, &whole);
    assert_eq!(provisional(&state), 0);
    // A file that begins only after most of them can say nothing of those.
    let mut later = whole.clone();
    let end = whole
        .connections
        .iter()
        .filter_map(|j| j.connection.closed)
        .max();
    let end = end.expect("one ended").at;
    for source in &mut later.sources {
        if let Some(first) = &mut source.first {
            first.at = end;
        }
    }
    last.files[1].state = FileState::Reading;
    state.told(Some(last), &later);
    let n = provisional(&state);
    assert!(n > 0 && n < all, "{n}");
    // Reading was stopped: what a file holds beyond that stays unknown.
    later.sources[1].anomaly("reading-stopped", 1, 0, "stopped");
    state.told(None, &later);
    assert_eq!(provisional(&state), n);
}

#[test]
fn the_screen_while_files_are_read() {
    for size in [(40, 10), (60, 20), (80, 24), (120, 40), (300, 100)] {
        let (none, some) = (part(0), part(5));
        let mut state = State::new(&none, TuiOptions::default(), size);
        state.told(Some(loading(0)), &none);
        let first = screen(&none, &state);
        state.adopt(&none, &some);
        state.told(Some(loading(610_000)), &some);
        let shots = format!("{first}\n{}", screen(&some, &state));
        insta::assert_snapshot!(format!("loading_{}x{}", size.0, size.1), shots);
        // The last word: no mark is left, and the biggest cause lies open, as at a start with all at hand.
        let whole = fixture();
        state.adopt(&some, &whole);
        state.told(None, &whole);
        let fresh = State::new(&whole, TuiOptions::default(), size);
        assert_eq!(screen(&whole, &state), screen(&whole, &fresh));
    }
}

#[test]
fn escape_stops_the_reading_once() {
    let some = part(6);
    let mut state = State::new(&some, TuiOptions::default(), (80, 24));
    state.told(Some(loading(1)), &some);
    assert_eq!(
        press(&mut state, &some, &[Key::Enter, Key::Esc]),
        Effect::None
    );
    assert_eq!(press(&mut state, &some, &[Key::Esc]), Effect::Stop);
    let stopped = Loading {
        stopped: true,
        ..loading(1)
    };
    state.told(Some(stopped.clone()), &some);
    let said = |state: &State| state.message.clone().unwrap_or_default();
    assert!(said(&state).contains("is being judged"));
    // Once it is judged, that is no longer said.
    state.told(None, &some);
    assert!(
        said(&state).starts_with("reading was stopped"),
        "{}",
        said(&state)
    );
    state.told(Some(stopped), &some);
    assert_eq!(press(&mut state, &some, &[Key::Esc]), Effect::None);
    let text = screen(&some, &state);
    assert!(text.contains("judging what was read"), "{text}");
    assert_eq!(press(&mut state, &some, &[Key::Char('q')]), Effect::Leave);
}
