//! A newer analysis of the same case -> the same place in it: selection, filter and marks follow the connections by their ids.

use std::collections::HashMap;

use crate::model::{Analysis, FileState, Judged, Loading, Moment, SECOND_NS};

use super::happenings;
use super::rows::List;
use super::rungs;
use super::state::{Screen, State};

/// A log line about a connection may be written so long after its end.
const AFTERWORD_NS: i64 = 60 * SECOND_NS;
/// Said when the reader has had enough, and when what was read is judged.
pub(super) const STOPPING: &str = "reading stopped; what was read is being judged";
const STOPPED_SAY: &str = "reading was stopped; 3 tells how much of each file was read";
/// The anomaly of a file that was not read to its end because the user had enough.
const STOPPED: &str = "reading-stopped";

impl State {
    /// How far the reading is; `None` = all is read.
    pub fn told(&mut self, loading: Option<Loading>, analysis: &Analysis) {
        let unread = |s: &&crate::model::Source| {
            let reading = loading
                .as_ref()
                .is_some_and(|l| l.state(s.id) != FileState::Read);
            reading || s.anomalies.iter().any(|a| a.kind == STOPPED)
        };
        self.unread = analysis
            .sources
            .iter()
            .filter(unread)
            .map(|s| s.first.map(|f| f.at))
            .collect();
        // All files are read, and what they say together is not told yet.
        if loading.is_some() && self.unread.is_empty() {
            self.unread.push(None);
        }
        let over = self.loading.is_some() && loading.is_none();
        if over && self.message.as_deref() == Some(STOPPING) {
            self.message = Some(STOPPED_SAY.to_owned());
        }
        self.loading = loading;
    }

    /// A file that may say more about this connection is not read to its end.
    pub fn provisional(&self, judged: &Judged) -> bool {
        let end = judged.connection.closed.map(|c| c.at);
        self.may_change(end)
    }

    /// The same of what ended then; `None` = it had not ended.
    pub fn may_change(&self, end: Option<Moment>) -> bool {
        let covers = |first: &Option<Moment>| match (first, end) {
            (Some(first), Some(end)) => first.0 <= end.0.saturating_add(AFTERWORD_NS),
            _ => true,
        };
        self.unread.iter().any(covers)
    }

    /// Takes a newer analysis in place of `old`.
    pub fn adopt(&mut self, old: &Analysis, new: &Analysis) {
        let index: HashMap<&str, usize> = new
            .connections
            .iter()
            .enumerate()
            .map(|(i, j)| (j.connection.id.as_str(), i))
            .collect();
        let now = |i: usize| {
            let id = old.connections.get(i)?.connection.id.as_str();
            index.get(id).copied()
        };
        if let Some(input) = &mut self.input {
            input.known = None;
            super::complete::offer(input, new);
        }
        self.summary = new.summary();
        self.happenings = happenings::build(new);
        self.happening = self.happening.min(self.happenings.len().saturating_sub(1));
        let whole = happenings::whole(new);
        if self.span == self.whole {
            self.span = whole;
        }
        self.whole = whole;
        if !self.clean_chosen {
            self.clean = self.nothing_dropped();
        }
        if !self.touched {
            // What lies open now is not what the reader chose.
            (self.list, self.row) = (List::default(), 0);
        }
        let record = self.ladder_record(old);
        let line = self.lines.get(self.line).and_then(|i| now(*i as usize));
        let scroll = self.scroll;
        self.rebuild_from(new, &now);
        self.scroll = scroll;
        if let Some(line) = line.and_then(|l| u32::try_from(l).ok()) {
            let last = self.lines.len().saturating_sub(1);
            self.line = self.lines.partition_point(|i| *i < line).min(last);
        }
        self.readopt_drop(record, new, now);
        if !self.rules.is_empty() {
            let code = self.rules.get(self.rule).map(|r| r.code.clone());
            self.rules.clear();
            self.count_rules(new);
            let same = self
                .rules
                .iter()
                .position(|r| Some(&r.code) == code.as_ref());
            self.rule = same.unwrap_or(0);
        }
        if let Some(old) = &self.story {
            let (incident, row) = (old.incident, old.row);
            self.story = super::story::build(new, incident);
            if let Some(story) = &mut self.story {
                story.row = row.min(story.chapters.len().saturating_sub(1));
            } else if self.screen == Screen::Story {
                self.show(Screen::Drops);
            }
        }
        if let Some(old) = self.oddities.take() {
            self.oddities = super::oddities::build(new, old.source);
            match &mut self.oddities {
                Some(odd) => {
                    odd.row = old.row.min(odd.rows.len().saturating_sub(1));
                    odd.texts = old.texts;
                }
                None if self.screen == Screen::Oddities => self.show(Screen::Sources),
                None => {}
            }
        }
        self.source = self.source.min(new.sources.len().saturating_sub(1));
        if !self.touched {
            self.open_first();
        }
    }

    fn readopt_drop(
        &mut self,
        record: Option<crate::model::RecordRef>,
        new: &Analysis,
        now: impl Fn(usize) -> Option<usize>,
    ) {
        let Some(old) = self.drop.take() else { return };
        let deep = |s: &Screen| matches!(s, Screen::Ladder | Screen::Why | Screen::Raw);
        if !deep(&self.screen) && !self.back.iter().any(deep) {
            return;
        }
        let scroll = self.scroll;
        let index = now(old.index).and_then(|i| u32::try_from(i).ok());
        if !index.is_some_and(|i| self.visit_index(new, i)) {
            self.back.clear();
            self.show(Screen::Drops);
            self.message =
                Some("with more read, this connection is told as another one".to_owned());
            return;
        }
        self.scroll = scroll;
        let Some(judged) = self.judged(new) else {
            return;
        };
        if let Some(drop) = &mut self.drop {
            let found = record.and_then(|r| rungs::find(&judged.connection, &drop.rungs, r));
            drop.rung = found.unwrap_or(drop.rung);
            let reasons = super::reasons::rows(judged).len();
            drop.reason = old.reason.min(reasons.saturating_sub(1));
        }
    }
}
