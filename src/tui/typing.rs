//! Keys that type the filter or the search of the help screen -> another filter, another list.

use crate::model::{Analysis, Filter};

use super::complete;
use super::edit;
use super::keys::Key;
use super::rows::Row;
use super::state::{Screen, State};

impl State {
    /// Adds what the selected row stands for to the filter.
    pub(super) fn narrow(&mut self, sign: &str, analysis: &Analysis) {
        let term = match self.selected() {
            _ if self.screen == Screen::Facets => self.facet_term(),
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
                self.filter = filter.over(&self.notes);
                self.rebuild(analysis);
            }
            Err(e) => self.message = Some(e.to_string()),
        }
    }

    pub(super) fn type_filter(&mut self, key: Key, analysis: &Analysis) {
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
            Key::Tab => complete::complete(input),
            key => {
                if !edit::press(&mut input.text, &mut input.cursor, key) {
                    return;
                }
            }
        }
        complete::offer(input, analysis);
        let text: String = input.text.iter().collect();
        match Filter::parse(&text) {
            Ok(filter) => {
                input.error = None;
                let same = filter.text() == self.filter.text();
                self.filter = filter.over(&self.notes);
                self.stale |= !same;
            }
            // The list stays as the last whole filter made it, a word that is still being typed left out.
            Err(e) => {
                let whole = complete::without_the_unfinished(input);
                input.error = Some(e);
                if let Some(Ok(filter)) = whole.map(|text| Filter::parse(&text)) {
                    self.stale |= filter.text() != self.filter.text();
                    self.filter = filter.over(&self.notes);
                }
            }
        }
    }

    /// On the help screen letters search; true where the key was one of them.
    pub(super) fn type_query(&mut self, key: Key) -> bool {
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
