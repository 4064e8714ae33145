//! Marked connections: set, found again and cleared; they live as long as the session.

use crate::model::Analysis;

use super::rows::Row;
use super::state::{Screen, State};

impl State {
    /// The connections that a mark would fall on.
    fn under_cursor(&self) -> Vec<u32> {
        match self.screen {
            Screen::Drops => match self.selected() {
                Some(Row::Connection { index, .. }) => vec![index],
                Some(Row::Group(g)) => {
                    let members = self.list.groups.get(g).map(|g| g.members.clone());
                    return members.unwrap_or_default();
                }
                None => Vec::new(),
            },
            Screen::Timeline => return self.lines.get(self.line).copied().into_iter().collect(),
            _ => self.drop.iter().map(|d| d.index).collect(),
        }
        .into_iter()
        .filter_map(|i| u32::try_from(i).ok())
        .collect()
    }

    pub(super) fn mark(&mut self) {
        let here = self.under_cursor();
        if here.is_empty() {
            self.message = Some("no connection stands here".to_owned());
            return;
        }
        let all = here.iter().all(|i| self.marked.contains(i));
        for i in &here {
            if all {
                self.marked.remove(i);
            } else {
                self.marked.insert(*i);
            }
        }
        self.message = Some(format!(
            "{} {}, {} in all",
            here.len(),
            if all { "no longer marked" } else { "marked" },
            self.marked.len()
        ));
    }

    pub(super) fn clear_marks(&mut self) {
        self.message = Some(format!("{} marks taken off", self.marked.len()));
        self.marked.clear();
    }

    /// Goes to the marked connection after this one, in the order of the screen, and round to the first.
    pub(super) fn next_marked(&mut self, analysis: &Analysis) {
        if self.screen == Screen::Timeline {
            let next = after(&self.lines, Some(self.line), |i| self.marked.contains(i));
            match next {
                Some(line) => self.line = line,
                None => self.none_marked(),
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
        let next = after(&order, here, |o| self.marked.contains(&o.2));
        let Some((group, member, _)) = next.and_then(|at| order.get(at)).copied() else {
            self.none_marked();
            return;
        };
        if self.screen == Screen::Drops {
            self.row = self.list.place(group, Some(member));
            self.scroll = 0;
        } else {
            self.go_to(analysis, group, member);
        }
    }

    fn none_marked(&mut self) {
        self.message = Some(
            if self.marked.is_empty() {
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
