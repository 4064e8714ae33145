//! One action on the state -> the next state and what the terminal has to do; no terminal in here.

use crate::model::{Analysis, Filter, Raw, RecordRef};

use super::copy;
use super::edit;
use super::keys::{self, Command, Key};
use super::palette::Palette;
use super::reasons::{self, Reason};
use super::rows::{GroupKey, Row};
use super::rungs::{self, Rung};
use super::state::{Input, Screen, State, Times};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Press(Key),
    /// Text that the terminal pasted.
    Paste(String),
    Resize(u16, u16),
    /// Rows up (negative) or down, from the wheel.
    Wheel(isize),
    Loaded(RecordRef, Raw),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    None,
    Leave,
    Suspend,
    Redraw,
    /// Put this on the clipboard.
    Copy(String),
    /// Write what the filter leaves to this path.
    Export {
        format: &'static str,
        path: String,
    },
}

impl State {
    pub fn update(&mut self, action: Action, analysis: &Analysis) -> Effect {
        match action {
            Action::Resize(columns, rows) => self.size = (columns, rows),
            Action::Loaded(record, raw) => {
                if self.screen == Screen::Raw && self.record == Some(record) {
                    self.field = self.field.min(raw_len(&raw).saturating_sub(1));
                }
                self.raw = Some((record, raw));
            }
            Action::Wheel(by) => self.go(by, analysis),
            Action::Paste(text) => {
                for c in text.chars().filter(|c| !c.is_control()).take(1000) {
                    let typing =
                        self.input.is_some() || self.prompt.is_some() || self.palette.is_some();
                    if typing || self.screen == Screen::Help {
                        self.press(Key::Char(c), analysis);
                    }
                }
            }
            Action::Press(key) => return self.press(key, analysis),
        }
        Effect::None
    }

    fn press(&mut self, key: Key, analysis: &Analysis) -> Effect {
        self.message = None;
        if key == Key::Ctrl('c') {
            return Effect::Leave;
        }
        if self.input.is_some() {
            self.type_filter(key, analysis);
            return Effect::None;
        }
        self.settle(analysis);
        if self.prompt.is_some() {
            return self.type_path(key);
        }
        if self.palette.is_some() {
            return self.type_command(key, analysis);
        }
        if self.screen == Screen::Help && self.type_query(key) {
            return Effect::None;
        }
        let command = keys::lookup(self.place(), key);
        let prefixed = std::mem::take(&mut self.prefix) != 0;
        let Some(command) = command else {
            return Effect::None;
        };
        if prefixed && command == Command::Back {
            return Effect::None;
        }
        self.run(command, analysis)
    }

    pub(super) fn run(&mut self, command: Command, analysis: &Analysis) -> Effect {
        let page = isize::try_from(self.page()).unwrap_or(1);
        match command {
            Command::Down => self.go(1, analysis),
            Command::Up => self.go(-1, analysis),
            Command::First => self.go(isize::MIN, analysis),
            Command::Last => self.go(isize::MAX, analysis),
            Command::HalfDown => self.go((page / 2).max(1), analysis),
            Command::HalfUp => self.go(-(page / 2).max(1), analysis),
            Command::PageDown => self.go(page, analysis),
            Command::PageUp => self.go(-page, analysis),
            Command::Open => self.open(analysis),
            Command::Expand if self.screen == Screen::Drops => self.expand(),
            Command::Expand => self.open(analysis),
            Command::Collapse if self.screen == Screen::Drops => self.collapse(),
            Command::Collapse | Command::Back => return self.go_back(analysis, false),
            Command::Quit => return self.go_back(analysis, true),
            Command::Leave => return Effect::Leave,
            Command::NextPane | Command::PrevPane => {
                self.second = !self.second;
            }
            Command::Zoom => self.zoom = !self.zoom,
            Command::Drops => {
                self.back.clear();
                self.show(Screen::Drops);
            }
            Command::Timeline => {
                self.point(analysis);
                self.enter(Screen::Timeline);
            }
            Command::Sources => self.enter(Screen::Sources),
            Command::Rules => {
                self.count_rules(analysis);
                self.enter(Screen::Rules);
            }
            Command::Palette => self.palette = Some(Palette::default()),
            Command::Mark => self.mark(),
            Command::NextMarked => self.next_marked(analysis),
            Command::ClearMarks => self.clear_marks(),
            Command::Closer => self.zoom_time(analysis, 2),
            Command::Wider => self.zoom_time(analysis, -2),
            Command::ExportJson
            | Command::ExportNdjson
            | Command::ExportCsv
            | Command::ExportMarkdown
            | Command::ExportHtml => {
                if let Some(format) = command.format() {
                    self.ask_path(format);
                }
            }
            Command::Help => {
                self.query.clear();
                self.binding = 0;
                self.enter(Screen::Help);
            }
            Command::Filter => {
                let text: Vec<char> = self.filter.text().chars().collect();
                self.input = Some(Input {
                    cursor: text.len(),
                    text,
                    error: None,
                    before: self.filter.clone(),
                });
            }
            Command::Only => self.narrow("", analysis),
            Command::Not => self.narrow("-", analysis),
            Command::Why => self.why(analysis),
            Command::Group => {
                self.grouping = self.grouping.next();
                self.rebuild(analysis);
                self.message = Some(format!("grouped by {}", self.grouping.name()));
            }
            Command::Sort => {
                self.sort = self.sort.next();
                self.rebuild(analysis);
                self.message = Some(format!("sorted by {}", self.sort.name()));
            }
            Command::Reverse => {
                self.reverse = !self.reverse;
                self.rebuild(analysis);
            }
            Command::Clean => {
                self.clean = !self.clean;
                self.rebuild(analysis);
            }
            Command::NextDrop => self.step(true, analysis),
            Command::PrevDrop => self.step(false, analysis),
            Command::NextGap => self.seek(true, |r, _| r.is_gap(), "no further silence", analysis),
            Command::PrevGap => {
                self.seek(false, |r, _| r.is_gap(), "no silence before this", analysis)
            }
            Command::NextMatch | Command::PrevMatch => {
                self.find(command == Command::NextMatch, analysis)
            }
            Command::Fold => self.refold(analysis),
            Command::Time => {
                self.times = match self.times {
                    Times::ToClose => Times::Absolute,
                    Times::Absolute => Times::Delta,
                    Times::Delta => Times::ToClose,
                }
            }
            Command::Hex => {
                self.payload = !self.payload;
                self.scroll = 0;
            }
            Command::Copy => self.prefix = keys::COPY,
            Command::Export => self.prefix = keys::EXPORT,
            Command::CopyRow
            | Command::CopyId
            | Command::CopyLine
            | Command::CopyFilter
            | Command::CopyRaw
            | Command::CopyMarkdown => {
                return match copy::text(command, self, analysis) {
                    Some(text) => {
                        let head: String = text
                            .lines()
                            .next()
                            .unwrap_or_default()
                            .chars()
                            .take(40)
                            .collect();
                        self.message = Some(format!("copied {head}"));
                        Effect::Copy(text)
                    }
                    None => {
                        self.message = Some("nothing of that kind here".to_owned());
                        Effect::None
                    }
                };
            }
            Command::Redraw => return Effect::Redraw,
            Command::Suspend => return Effect::Suspend,
        }
        Effect::None
    }

    /// Rows that a page key moves by.
    fn page(&self) -> usize {
        match self.screen {
            Screen::Drops => self.list_height().max(1),
            _ => usize::from(self.size.1).saturating_sub(6).max(1),
        }
    }

    /// Moves the cursor of this screen; both ends stop it.
    fn go(&mut self, by: isize, analysis: &Analysis) {
        let (second, reasons) = (
            self.second,
            self.judged(analysis).map_or(0, |j| reasons::rows(j).len()),
        );
        let raw_len = self.raw.as_ref().map_or(0, |r| raw_len(&r.1));
        let found = keys::search(self.help_place(), &self.query)
            .iter()
            .filter(|b| self.offers(b))
            .count();
        let (cursor, len) = match self.screen {
            // The end of a pane's text is known to its view alone, which holds the scroll there.
            Screen::Drops | Screen::Ladder | Screen::Raw | Screen::Sources if second => {
                (&mut self.scroll, 10_000)
            }
            Screen::Timeline if second => (&mut self.happening, self.happenings.len()),
            Screen::Timeline => (&mut self.line, self.lines.len()),
            Screen::Rules => {
                self.scroll = 0;
                (&mut self.rule, self.rules.len())
            }
            Screen::Drops => {
                self.scroll = 0;
                (&mut self.row, self.list.len())
            }
            Screen::Ladder => match &mut self.drop {
                Some(d) => (&mut d.rung, d.rungs.len()),
                None => return,
            },
            Screen::Why => match &mut self.drop {
                Some(d) => (&mut d.reason, reasons),
                None => return,
            },
            Screen::Raw => {
                self.scroll = 0;
                (&mut self.field, raw_len)
            }
            Screen::Sources => {
                self.scroll = 0;
                (&mut self.source, analysis.sources.len())
            }
            Screen::Help => (&mut self.binding, found),
        };
        *cursor = cursor.saturating_add_signed(by).min(len.saturating_sub(1));
    }

    /// The place whose keys the help screen lists: the screen below it.
    pub fn help_place(&self) -> keys::Places {
        self.back.last().copied().unwrap_or(Screen::Drops).place()
    }

    fn enter(&mut self, screen: Screen) {
        if self.screen != screen {
            self.back.retain(|s| *s != screen);
            self.back.push(self.screen);
            self.show(screen);
        }
    }

    pub(super) const fn show(&mut self, screen: Screen) {
        self.screen = screen;
        self.second = false;
        self.zoom = false;
        self.scroll = 0;
    }

    fn go_back(&mut self, analysis: &Analysis, leave: bool) -> Effect {
        if self.zoom && !leave {
            self.zoom = false;
        } else if let Some(screen) = self.back.pop() {
            self.show(screen);
        } else if self.screen != Screen::Drops {
            self.show(Screen::Drops);
        } else if leave {
            return Effect::Leave;
        } else if !self.filter.is_empty() {
            self.filter = Filter::default();
            self.rebuild(analysis);
            self.message = Some("filter cleared".to_owned());
        }
        Effect::None
    }

    fn open(&mut self, analysis: &Analysis) {
        match self.screen {
            Screen::Drops => {
                let (group, member) = match self.selected() {
                    Some(Row::Connection { group, member, .. }) => (group, member),
                    Some(Row::Group(group)) => (group, 0),
                    None => return,
                };
                if self.visit(analysis, group, member) {
                    self.enter(Screen::Ladder);
                } else {
                    self.open_finding(group, analysis);
                }
            }
            Screen::Ladder => match self.ladder_record(analysis) {
                Some(record) => self.read(record),
                None => self.message = Some("a silence: there is no record of it".to_owned()),
            },
            Screen::Why => {
                let reason = self.drop.as_ref().map_or(0, |d| d.reason);
                let record =
                    self.judged(analysis)
                        .and_then(|j| match reasons::rows(j).get(reason)? {
                            Reason::Test { test, .. } => test.records.first().copied(),
                            Reason::Rule { .. } | Reason::Needs(..) => None,
                        });
                match record {
                    Some(record) => self.read(record),
                    None => self.message = Some("no record stands behind this line".to_owned()),
                }
            }
            Screen::Sources => self.zoom = !self.zoom,
            Screen::Timeline if self.second => {
                let happening = self.happenings.get(self.happening).copied();
                match happening.and_then(|h| h.record(analysis)) {
                    Some(record) => self.read(record),
                    None => self.message = Some("no single record stands behind this".to_owned()),
                }
            }
            Screen::Timeline => {
                if let Some(index) = self.lines.get(self.line).copied()
                    && self.visit_index(analysis, index)
                {
                    self.enter(Screen::Ladder);
                }
            }
            Screen::Rules => self.open_rule(analysis),
            Screen::Raw | Screen::Help => {}
        }
    }

    fn open_finding(&mut self, group: usize, analysis: &Analysis) {
        let record = self.list.groups.get(group).and_then(|g| match g.key {
            GroupKey::Finding(i) => analysis.findings.get(i)?.records.first().copied(),
            _ => None,
        });
        match record {
            Some(record) => self.read(record),
            None => {
                self.message = Some("no single connection or record stands behind this".to_owned())
            }
        }
    }

    fn read(&mut self, record: RecordRef) {
        self.record = Some(record);
        self.field = 0;
        self.payload = false;
        self.enter(Screen::Raw);
    }

    fn expand(&mut self) {
        match self.selected() {
            Some(Row::Group(g)) => {
                let Some(group) = self.list.groups.get_mut(g) else {
                    return;
                };
                if group.open && !group.members.is_empty() {
                    self.row += 1;
                } else {
                    group.open = !group.members.is_empty();
                    self.list.measure();
                }
            }
            Some(Row::Connection { .. }) => {
                self.message = Some("Enter opens its evidence".to_owned())
            }
            None => {}
        }
    }

    fn collapse(&mut self) {
        let (group, fold) = match self.selected() {
            Some(Row::Group(g)) => (g, true),
            Some(Row::Connection { group, .. }) => (group, false),
            None => return,
        };
        if let Some(g) = self.list.groups.get_mut(group)
            && fold
        {
            g.open = false;
            self.list.measure();
        }
        self.row = self.list.place(group, None);
    }

    fn why(&mut self, analysis: &Analysis) {
        if self.screen == Screen::Timeline {
            match self.lines.get(self.line).copied() {
                Some(index) if self.visit_index(analysis, index) => {}
                _ => return,
            }
        }
        if self.screen == Screen::Drops {
            let (group, member) = match self.selected() {
                Some(Row::Connection { group, member, .. }) => (group, member),
                Some(Row::Group(group)) => (group, 0),
                None => return,
            };
            if !self.visit(analysis, group, member) {
                self.message = Some("no single connection stands behind this".to_owned());
                return;
            }
        }
        if self.drop.is_some() {
            self.enter(Screen::Why);
        }
    }

    fn step(&mut self, forward: bool, analysis: &Analysis) {
        let (group, member) = match (self.screen, &self.drop, self.selected()) {
            (Screen::Drops, _, Some(Row::Connection { group, member, .. })) => {
                (group, Some(member))
            }
            (Screen::Drops, _, Some(Row::Group(group))) => (group, None),
            (Screen::Ladder | Screen::Why | Screen::Raw, Some(d), _) => (d.group, Some(d.member)),
            _ => return,
        };
        let Some((group, member)) = self.list.step(group, member, forward) else {
            self.message = Some(
                if forward {
                    "this is the last one"
                } else {
                    "this is the first one"
                }
                .to_owned(),
            );
            return;
        };
        if self.screen == Screen::Drops {
            self.row = self.list.place(group, Some(member));
            self.scroll = 0;
        } else {
            self.go_to(analysis, group, member);
        }
    }

    /// Shows another connection on the screen that is open.
    pub(super) fn go_to(&mut self, analysis: &Analysis, group: usize, member: usize) {
        if self.visit(analysis, group, member)
            && self.screen == Screen::Raw
            && let Some(record) = self.ladder_record(analysis)
        {
            self.record = Some(record);
            self.field = 0;
        }
    }

    /// Moves the ladder's cursor to the next rung that `wanted` holds for.
    fn seek(
        &mut self,
        forward: bool,
        wanted: impl Fn(Rung, &[RecordRef]) -> bool,
        none: &str,
        analysis: &Analysis,
    ) {
        let Some(judged) = self.judged(analysis) else {
            return;
        };
        let Some(drop) = &mut self.drop else { return };
        let events = &judged.connection.events;
        let holds = |i: &usize| {
            drop.rungs.get(*i).is_some_and(|r| match *r {
                Rung::Events { first, count } => {
                    let records: Vec<RecordRef> = events
                        .iter()
                        .skip(first)
                        .take(count)
                        .map(|e| e.record)
                        .collect();
                    wanted(*r, &records)
                }
                Rung::Gap { .. } => wanted(*r, &[]),
            })
        };
        let found = if forward {
            (drop.rung + 1..drop.rungs.len()).find(holds)
        } else {
            (0..drop.rung).rev().find(holds)
        };
        match found {
            Some(rung) => drop.rung = rung,
            None => self.message = Some(none.to_owned()),
        }
    }

    fn find(&mut self, forward: bool, analysis: &Analysis) {
        match self.screen {
            Screen::Drops => self.step(forward, analysis),
            Screen::Raw => {
                self.seek(
                    forward,
                    |r, _| !r.is_gap(),
                    "no further record of this connection",
                    analysis,
                );
                if let Some(record) = self.ladder_record(analysis)
                    && self.record != Some(record)
                {
                    self.record = Some(record);
                    self.field = 0;
                }
            }
            _ => {
                let Some(judged) = self.judged(analysis) else {
                    return;
                };
                let telling: Vec<RecordRef> = judged
                    .verdict
                    .evidence
                    .iter()
                    .filter_map(|e| e.record)
                    .collect();
                let wanted =
                    |_: Rung, records: &[RecordRef]| records.iter().any(|r| telling.contains(r));
                self.seek(forward, wanted, "no further evidence", analysis);
            }
        }
    }

    fn refold(&mut self, analysis: &Analysis) {
        self.fold = !self.fold;
        let here = self.ladder_record(analysis);
        let Some(judged) = self.judged(analysis) else {
            return;
        };
        let Some(drop) = &mut self.drop else { return };
        drop.rungs = rungs::build(judged, self.fold);
        drop.rung = here
            .and_then(|r| rungs::find(&judged.connection, &drop.rungs, r))
            .unwrap_or_else(|| drop.rung.min(drop.rungs.len().saturating_sub(1)));
    }

    /// Adds what the selected row stands for to the filter.
    fn narrow(&mut self, sign: &str, analysis: &Analysis) {
        let term = match self.selected() {
            Some(Row::Group(g)) => self
                .list
                .groups
                .get(g)
                .and_then(|g| g.filter(self.grouping)),
            Some(Row::Connection { index, .. }) => analysis.connections.get(index).map(|j| {
                let ip = j.connection.client.ip;
                ip.map_or_else(
                    || format!("id:{}", j.connection.id),
                    |ip| format!("client:{ip}"),
                )
            }),
            None => None,
        };
        let Some(term) = term else {
            self.message = Some("no filter says what this row stands for".to_owned());
            return;
        };
        let old = self.filter.text();
        let text = match old {
            "" => format!("{sign}{term}"),
            _ if old.contains(" OR ") => format!("({old}) {sign}{term}"),
            _ => format!("{old} {sign}{term}"),
        };
        match Filter::parse(&text) {
            Ok(filter) => {
                self.filter = filter;
                self.rebuild(analysis);
            }
            Err(e) => self.message = Some(e.to_string()),
        }
    }

    fn type_filter(&mut self, key: Key, analysis: &Analysis) {
        let Some(input) = &mut self.input else { return };
        match key {
            Key::Enter if input.error.is_some() => return,
            Key::Enter => {
                self.input = None;
                return;
            }
            Key::Esc => {
                let before = input.before.clone();
                self.input = None;
                self.filter = before;
                self.rebuild(analysis);
                return;
            }
            Key::Tab => super::complete::complete(input, analysis),
            key => {
                if !edit::press(&mut input.text, &mut input.cursor, key) {
                    return;
                }
            }
        }
        let text: String = input.text.iter().collect();
        match Filter::parse(&text) {
            Ok(filter) => {
                input.error = None;
                let same = filter.text() == self.filter.text();
                self.filter = filter;
                self.stale |= !same;
            }
            // The list stays as the last whole filter made it.
            Err(e) => input.error = Some(e),
        }
    }

    /// On the help screen letters search; true where the key was one of them.
    fn type_query(&mut self, key: Key) -> bool {
        match key {
            Key::Char(c) => self.query.push(c),
            Key::Backspace if !self.query.is_empty() => {
                self.query.pop();
            }
            Key::Esc if !self.query.is_empty() => self.query.clear(),
            Key::Enter | Key::Backspace => {}
            _ => return false,
        }
        self.binding = 0;
        true
    }
}

/// Rows that the raw screen's cursor can stand on.
const fn raw_len(raw: &Raw) -> usize {
    match raw {
        Raw::Line { fields, .. } => fields.len(),
        Raw::Packet { tree, .. } => tree.len(),
        Raw::Missing(_) => 0,
    }
}
