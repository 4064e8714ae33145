//! Marks and notes on connections: set, found again, cleared; whoever runs the UI keeps them.

use std::sync::Arc;

use crate::model::{Analysis, Judged, Note};

use super::rows::Row;
use super::state::{Screen, State};

/// Characters of a note.
const LONGEST: usize = 500;

impl State {
    pub fn is_marked(&self, judged: &Judged) -> bool {
        self.notes
            .get(&judged.connection.id)
            .is_some_and(|n| n.marked)
    }

    /// What was noted of a connection; empty = nothing.
    pub fn note_of(&self, judged: &Judged) -> &str {
        let note = self.notes.get(&judged.connection.id);
        note.map_or("", |n| n.text.as_str())
    }

    /// How many connections of this case are marked.
    pub fn marks(&self, analysis: &Analysis) -> usize {
        if self.notes.is_empty() {
            return 0;
        }
        let all = analysis.connections.iter();
        all.filter(|j| self.is_marked(j)).count()
    }

    /// The ids of the connections that a mark would fall on.
    fn under_cursor(&self, analysis: &Analysis) -> Vec<String> {
        let here: Vec<u32> = match self.screen {
            Screen::Drops => match self.selected() {
                Some(Row::Connection { index, .. }) => u32::try_from(index).into_iter().collect(),
                Some(Row::Group(g)) => {
                    let members = self.list.groups.get(g).map(|g| g.members.clone());
                    members.unwrap_or_default()
                }
                None => Vec::new(),
            },
            Screen::Timeline => self.lines.get(self.line).copied().into_iter().collect(),
            _ => {
                let index = self.drop.as_ref().map(|d| u32::try_from(d.index));
                index.into_iter().flatten().collect()
            }
        };
        here.into_iter()
            .filter_map(|i| analysis.connections.get(i as usize))
            .map(|j| j.connection.id.clone())
            .collect()
    }

    /// Changes the notes of some connections; a filter that asks for them is asked anew.
    fn note(&mut self, ids: &[String], change: impl Fn(&mut Note)) {
        let notes = Arc::make_mut(&mut self.notes);
        for id in ids {
            let note = notes.entry(id.clone()).or_default();
            change(note);
            if note.is_empty() {
                notes.remove(id);
            }
            self.changed.insert(id.clone());
        }
        let filter = std::mem::take(&mut self.filter);
        self.stale |= filter.asks_notes();
        self.filter = filter.over(&self.notes);
    }

    pub(super) fn mark(&mut self, analysis: &Analysis) {
        let here = self.under_cursor(analysis);
        if here.is_empty() {
            self.message = Some("no connection stands here".to_owned());
            return;
        }
        let marked = |id: &String| self.notes.get(id).is_some_and(|n| n.marked);
        let all = here.iter().all(marked);
        self.note(&here, |n| n.marked = !all);
        self.message = Some(format!(
            "{} {}, {} in all",
            here.len(),
            if all { "no longer marked" } else { "marked" },
            self.marks(analysis)
        ));
    }

    /// Marks of other cases stay.
    pub(super) fn clear_marks(&mut self, analysis: &Analysis) {
        let all = analysis.connections.iter();
        let marked: Vec<String> = all
            .filter(|j| self.is_marked(j))
            .map(|j| j.connection.id.clone())
            .collect();
        self.message = Some(format!("{} marks taken off", marked.len()));
        self.note(&marked, |n| n.marked = false);
    }

    /// The connection that a note would be about, and what was noted.
    pub(super) fn noted(&self, analysis: &Analysis) -> Option<(String, String)> {
        let judged = match self.screen {
            Screen::Drops => match self.selected()? {
                Row::Connection { index, .. } => analysis.connections.get(index)?,
                Row::Group(_) => return None,
            },
            Screen::Timeline => self.on_line(analysis)?,
            _ => self.judged(analysis)?,
        };
        let id = judged.connection.id.clone();
        Some((id, self.note_of(judged).to_owned()))
    }

    pub(super) fn write_note(&mut self, id: &str, text: &str) {
        let text: String = text.trim().chars().take(LONGEST).collect();
        self.message = Some(if text.is_empty() {
            "no note".to_owned()
        } else {
            "noted".to_owned()
        });
        self.note(&[id.to_owned()], |n| n.text.clone_from(&text));
    }

    /// Goes to the marked connection after this one, in the order of the screen, and round to the first.
    pub(super) fn next_marked(&mut self, analysis: &Analysis) {
        let marked = |index: u32| {
            let judged = analysis.connections.get(index as usize);
            judged.is_some_and(|j| self.is_marked(j))
        };
        if self.screen == Screen::Timeline {
            let next = after(&self.lines, Some(self.line), |i| marked(*i));
            match next {
                Some(line) => self.line = line,
                None => self.none_marked(analysis),
            }
            return;
        }
        let order: Vec<(usize, usize, u32)> = self
            .list
            .groups
            .iter()
            .enumerate()
            .filter(|(_, g)| !g.is_finding())
            .flat_map(|(g, group)| {
                let members = group.members.iter().enumerate();
                members.map(move |(m, i)| (g, m, *i))
            })
            .collect();
        let here = match (self.screen, self.selected(), &self.drop) {
            (Screen::Drops, Some(Row::Connection { group, member, .. }), _) => {
                order.iter().position(|o| (o.0, o.1) == (group, member))
            }
            // before the first of the group, so that it is found too
            (Screen::Drops, Some(Row::Group(group)), _) => order
                .iter()
                .position(|o| o.0 >= group)
                .and_then(|at| at.checked_sub(1)),
            (Screen::Drops, None, _) => None,
            (_, _, Some(d)) => order.iter().position(|o| (o.0, o.1) == (d.group, d.member)),
            (_, _, None) => None,
        };
        let next = after(&order, here, |o| marked(o.2));
        let Some((group, member, _)) = next.and_then(|at| order.get(at)).copied() else {
            self.none_marked(analysis);
            return;
        };
        if self.screen == Screen::Drops {
            self.row = self.list.place(group, Some(member));
            self.scroll = 0;
        } else {
            self.go_to(analysis, group, member);
        }
    }

    fn none_marked(&mut self, analysis: &Analysis) {
        self.message = Some(
            if self.marks(analysis) == 0 {
                "nothing is marked: m marks"
            } else {
                "none of the marked ones is in the list"
            }
            .to_owned(),
        );
    }
}

/// The place of the first that holds after `here`, going round.
fn after<T>(all: &[T], here: Option<usize>, holds: impl Fn(&T) -> bool) -> Option<usize> {
    let start = here.map_or(0, |h| h + 1).min(all.len());
    (start..all.len())
        .chain(0..start)
        .find(|i| all.get(*i).is_some_and(&holds))
}
