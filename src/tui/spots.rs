//! Where on the screen each row was drawn -> what a click of the mouse falls on.

use std::cell::RefCell;

use ratatui::layout::Rect;

use crate::model::Analysis;

use super::state::{Screen, State};
use super::update::Effect;

/// What stands at a place of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// A row of the screen's list, or of its second pane.
    Row {
        index: usize,
        second: bool,
    },
    Tab(Screen),
}

/// What the last frame drew where. Views write it while they draw; nothing else in them changes anything.
#[derive(Debug, Default)]
pub(super) struct Spots(RefCell<Vec<(Rect, Spot)>>);

impl Spots {
    pub(super) fn forget(&self) {
        self.0.borrow_mut().clear();
    }

    fn add(&self, area: Rect, spot: Spot) {
        self.0.borrow_mut().push((area, spot));
    }

    /// Row `y` of an area shows this one of a list.
    pub(super) fn row(&self, area: Rect, y: u16, index: usize, second: bool) {
        let row = Rect {
            y: area.y + y,
            height: 1,
            ..area
        };
        self.add(row, Spot::Row { index, second });
    }

    pub(super) fn tab(&self, area: Rect, screen: Screen) {
        self.add(area, Spot::Tab(screen));
    }

    /// The row of the first pane that a click there falls on.
    #[cfg(test)]
    pub(super) fn row_at(&self, (column, row): (u16, u16)) -> Option<usize> {
        match self.at(column, row)? {
            Spot::Row { index, second } => (!second).then_some(index),
            Spot::Tab(_) => None,
        }
    }

    fn at(&self, column: u16, row: u16) -> Option<Spot> {
        let spots = self.0.borrow();
        let mut all = spots.iter().rev();
        all.find(|(area, _)| area.contains((column, row).into()))
            .map(|(_, spot)| *spot)
    }
}

impl State {
    /// A click selects, a second one opens.
    pub(super) fn click(
        &mut self,
        (column, row): (u16, u16),
        twice: bool,
        analysis: &Analysis,
    ) -> Effect {
        self.touched = true;
        self.message = None;
        if self.input.is_some() || self.prompt.is_some() || self.palette.is_some() {
            return Effect::None;
        }
        match self.spots.at(column, row) {
            None => {}
            Some(Spot::Tab(screen)) => {
                use super::keys::Command;
                let command = match screen {
                    Screen::Timeline => Command::Timeline,
                    Screen::Sources => Command::Sources,
                    Screen::Rules => Command::Rules,
                    _ => Command::Drops,
                };
                return self.run(command, analysis);
            }
            Some(Spot::Row { index, second }) => {
                self.second = second;
                self.go_absolute(index, analysis);
                if twice {
                    return self.run(super::keys::Command::Open, analysis);
                }
            }
        }
        Effect::None
    }
}
