//! One action on the state -> the next state and what the terminal has to do; no terminal in here.

use crate::model::{Analysis, Filter, Raw, RecordRef};

use super::copy;
use super::keys::{self, Command, Key};
use super::palette::Palette;
use super::reasons;
use super::rows::Row;
use super::rungs::{self, Rung};
use super::state::{Input, Screen, State, Times};
use super::text;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Press(Key),
    /// Text that the terminal pasted.
    Paste(String),
    Resize(u16, u16),
    /// Rows up (negative) or down, from the wheel.
    Wheel(isize),
    /// A click at a column and row, and whether it is the second one there.
    Click((u16, u16), bool),
    Loaded(RecordRef, Raw),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    None,
    Leave,
    /// Read no further.
    Stop,
    Suspend,
    Redraw,
    /// Put this on the clipboard.
    Copy(String),
    /// Show this record in the program that is made for it.
    Show(RecordRef),
    /// Read all files again.
    Reload,
    /// Hide tokens, cookies and payload in all that comes, or show them again.
    Veil(bool),
    /// Write what the filter leaves to this path.
    Export {
        format: &'static str,
        path: String,
    },
}

impl State {
    pub fn update(&mut self, action: Action, analysis: &Analysis) -> Effect {
        match action {
            Action::Resize(columns, rows) => {
                self.size = (columns, rows);
                // Even to the same size: a terminal that was small in between has lost what stood outside.
                return Effect::Redraw;
            }
            Action::Loaded(record, raw) => {
                if self.screen == Screen::Raw && self.record == Some(record) {
                    self.field = self.field.min(raw_len(&raw).saturating_sub(1));
                }
                if self.screen == Screen::Oddities {
                    self.note_oddity(record, &raw);
                }
                self.raw = Some((record, raw));
            }
            Action::Wheel(by) => self.go(by, analysis),
            Action::Click(at, twice) => return self.click(at, twice, analysis),
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
        self.touched = true;
        if key == Key::Ctrl('c') {
            return Effect::Leave;
        }
        if self.input.is_some() {
            self.type_filter(key, analysis);
            return Effect::None;
        }
        self.settle(analysis);
        if self.prompt.is_some() {
            return self.type_line(key);
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
        if matches!(
            command,
            Command::Open | Command::Why | Command::NextDrop | Command::Back | Command::Export
        ) {
            self.known |= self.screen.place();
        }
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
            Command::Mark => self.mark(analysis),
            Command::NextMarked => self.next_marked(analysis),
            Command::ClearMarks => self.clear_marks(analysis),
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
            Command::ExportPackets => self.ask_packets(analysis),
            Command::Note => self.ask_note(analysis),
            Command::Show => return self.show_elsewhere(analysis),
            Command::Reload => return Effect::Reload,
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
                    offers: Vec::new(),
                    known: None,
                    before: self.filter.clone(),
                });
            }
            Command::Facets => self.enter_facets(analysis),
            Command::Layout => {
                self.stacked = !self.stacked;
                self.message = Some(
                    if self.stacked {
                        "panes one above the other"
                    } else {
                        "panes side by side where there is room"
                    }
                    .to_owned(),
                );
            }
            Command::Zone => {
                let zones = self.zones(analysis);
                let here = zones.iter().position(|z| *z == self.east_s);
                let next = here.map_or(0, |i| (i + 1) % zones.len());
                self.east_s = zones.get(next).copied().unwrap_or_default();
                let name = text::zone_name(self.east_s);
                self.message = Some(if zones.len() > 1 {
                    format!("times in {name}")
                } else {
                    format!("times in {name}; no file and no --tz names another zone")
                });
            }
            Command::Veil => {
                self.veiled = !self.veiled;
                self.raw = None;
                if let Some(odd) = &mut self.oddities {
                    odd.texts.clear();
                }
                self.message = Some(
                    if self.veiled {
                        "tokens, cookies and payload are hidden; R shows them again"
                    } else {
                        "everything is shown as it was recorded"
                    }
                    .to_owned(),
                );
                return Effect::Veil(self.veiled);
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
                self.clean_chosen = true;
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
            Screen::Drops | Screen::Ladder | Screen::Raw | Screen::Sources | Screen::Rules
                if second =>
            {
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
            Screen::Story => match &mut self.story {
                Some(s) => (&mut s.row, s.chapters.len()),
                None => return,
            },
            Screen::Facets => (&mut self.facet, self.facets.len()),
            Screen::Oddities => match &mut self.oddities {
                Some(odd) => (&mut odd.row, odd.rows.len()),
                None => return,
            },
            Screen::Help => (&mut self.binding, found),
        };
        *cursor = cursor.saturating_add_signed(by).min(len.saturating_sub(1));
    }

    /// Puts the cursor on this row.
    pub(super) fn go_absolute(&mut self, index: usize, analysis: &Analysis) {
        self.go(isize::MIN, analysis);
        self.go(isize::try_from(index).unwrap_or(isize::MAX), analysis);
    }

    /// The place whose keys the help screen lists: the screen below it.
    pub fn help_place(&self) -> keys::Places {
        self.back.last().copied().unwrap_or(Screen::Drops).place()
    }

    pub(super) fn enter(&mut self, screen: Screen) {
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
        } else if self.loading.as_ref().is_some_and(|l| !l.stopped) {
            self.message = Some(super::live::STOPPING.to_owned());
            return Effect::Stop;
        } else if !self.filter.is_empty() {
            self.filter = Filter::default().over(&self.notes);
            self.rebuild(analysis);
            self.message = Some("filter cleared".to_owned());
        }
        Effect::None
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
}

/// Rows that the raw screen's cursor can stand on.
const fn raw_len(raw: &Raw) -> usize {
    match raw {
        Raw::Line { fields, .. } => fields.len(),
        Raw::Packet { tree, .. } => tree.len(),
        Raw::Missing(_) => 0,
    }
}
