//! What the Timeline's and the Rules screen's own keys ask for -> the state.

use crate::model::{Analysis, Filter};

use super::rows::Row;
use super::state::{Screen, State};

impl State {
    /// The drops that the selected rule decided.
    pub(super) fn open_rule(&mut self, analysis: &Analysis) {
        let Some(rule) = self.rules.get(self.rule) else {
            return;
        };
        let Some(cause) = rule.cause.filter(|_| rule.hits > 0) else {
            let why = if rule.hits > 0 {
                "it is in the list of the first screen"
            } else {
                "it decided nothing here"
            };
            self.message = Some(why.to_owned());
            return;
        };
        if let Ok(filter) = Filter::parse(&format!("cause:{}", cause.id())) {
            self.filter = filter;
            self.back.clear();
            self.show(Screen::Drops);
            self.row = 0;
            self.rebuild(analysis);
            self.row = 0;
        }
    }

    /// Puts the Timeline's cursor on the connection that was looked at.
    pub(super) fn point(&mut self, analysis: &Analysis) {
        let here = match (self.screen, &self.drop, self.selected()) {
            (Screen::Drops, _, Some(Row::Connection { index, .. })) => Some(index),
            (Screen::Drops, _, Some(Row::Group(g))) => self
                .list
                .groups
                .get(g)
                .and_then(|g| g.members.first().map(|m| *m as usize)),
            (Screen::Ladder | Screen::Why | Screen::Raw, Some(d), _) => Some(d.index),
            _ => None,
        };
        let Some(index) = here.filter(|i| *i < analysis.connections.len()) else {
            return;
        };
        if let Ok(line) = self
            .lines
            .binary_search(&u32::try_from(index).unwrap_or(u32::MAX))
        {
            self.line = line;
        }
    }

    /// Shows less time (`by` > 0) or more, with the selected connection's end in the middle.
    pub(super) fn zoom_time(&mut self, analysis: &Analysis, by: i64) {
        let (lo, hi) = self.span;
        let length = hi.saturating_sub(lo);
        let length = if by > 0 {
            (length / 2).max(1_000_000)
        } else {
            length.saturating_mul(2)
        };
        let middle = self.on_line(analysis).map_or(lo / 2 + hi / 2, |j| {
            let c = &j.connection;
            c.closed.map_or(c.sort_at.0, |s| s.at.0)
        });
        let (first, last) = self.whole;
        if length >= last.saturating_sub(first) {
            self.span = self.whole;
            self.message = Some("all of the time".to_owned());
            return;
        }
        let lo = middle
            .saturating_sub(length / 2)
            .clamp(first, last.saturating_sub(length).max(first));
        self.span = (lo, lo.saturating_add(length));
    }
}
