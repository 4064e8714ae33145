//! What stands under the cursor -> the screen that is one level deeper: a connection, a record, a story, a group.

use crate::model::{Analysis, RecordRef};

use super::copy;
use super::happenings::Happening;
use super::reasons::{self, Reason};
use super::rows::{GroupKey, Row};
use super::state::{Screen, State};
use super::story::{self, Kind};
use super::update::Effect;

impl State {
    pub(super) fn open(&mut self, analysis: &Analysis) {
        match self.screen {
            Screen::Drops => {
                let (group, member) = match self.selected() {
                    Some(Row::Connection { group, member, .. }) => (group, member),
                    Some(Row::Group(group)) => (group, 0),
                    None => return,
                };
                let group_key = match self.selected() {
                    Some(Row::Group(g)) => self.list.groups.get(g).map(|g| g.key.clone()),
                    _ => None,
                };
                if let Some(GroupKey::Incident(i)) = group_key {
                    self.tell(i, analysis);
                } else if self.visit(analysis, group, member) {
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
            Screen::Sources => self.open_source(analysis),
            Screen::Oddities => {
                if let Some(record) = self.oddity() {
                    self.read(record);
                }
            }
            Screen::Facets => self.narrow("", analysis),
            Screen::Timeline if self.second => {
                let happening = self.happenings.get(self.happening).copied();
                if let Some(Happening::Incident(i)) = happening {
                    self.tell(i, analysis);
                    return;
                }
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
            Screen::Story => self.open_chapter(analysis),
            Screen::Raw | Screen::Help => {}
        }
    }

    /// The record here in an editor, or in Wireshark.
    pub(super) fn show_elsewhere(&mut self, analysis: &Analysis) -> Effect {
        match copy::record(self, analysis) {
            Some(record) => Effect::Show(record),
            None => {
                self.message = Some("no record stands here".to_owned());
                Effect::None
            }
        }
    }

    /// The story of an incident.
    pub(super) fn tell(&mut self, incident: usize, analysis: &Analysis) {
        self.story = story::build(analysis, incident);
        if self.story.is_some() {
            self.enter(Screen::Story);
        }
    }

    pub(super) fn open_chapter(&mut self, analysis: &Analysis) {
        let chapter = self.story.as_ref().and_then(|s| s.chapters.get(s.row));
        let Some(chapter) = chapter else { return };
        let first = chapter.connections.first().copied();
        match (chapter.kind, first) {
            (Kind::Mark(i), _) => {
                if let Some(mark) = analysis.marks.get(i) {
                    self.read(mark.record);
                }
            }
            (_, Some(index)) if self.visit_index(analysis, index) => self.enter(Screen::Ladder),
            _ => self.message = Some("none of them is in the list".to_owned()),
        }
    }

    pub(super) fn open_finding(&mut self, group: usize, analysis: &Analysis) {
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

    pub(super) fn read(&mut self, record: RecordRef) {
        self.record = Some(record);
        self.field = 0;
        self.payload = false;
        self.enter(Screen::Raw);
    }

    pub(super) fn expand(&mut self) {
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

    pub(super) fn collapse(&mut self) {
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

    pub(super) fn why(&mut self, analysis: &Analysis) {
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
}
