//! Where the reader stands: screens, cursors, filter, order; plain values that views read and `update` changes.

use crate::model::{Analysis, Filter, FilterError, Judged, Raw, RecordRef, Summary};

use super::keys::{self, Places};
use super::rows::{Grouping, List, Row, Sort, Wish};
use super::rungs::{self, Rung};
use super::theme::Theme;

/// How the UI starts and looks.
#[derive(Debug, Clone, Default)]
pub struct TuiOptions {
    pub theme: Theme,
    /// A filter to start with, already checked by the caller; one that does not parse is shown with its error.
    pub filter: String,
    /// Take the mouse (wheel scrolls); off, so that the terminal's own selection works.
    pub mouse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Drops,
    Ladder,
    Why,
    Raw,
    Sources,
    Help,
}

impl Screen {
    pub const fn place(self) -> Places {
        match self {
            Self::Drops => keys::DROPS,
            Self::Ladder => keys::LADDER,
            Self::Why => keys::WHY,
            Self::Raw => keys::RAW,
            Self::Sources => keys::SOURCES,
            Self::Help => keys::HELP,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    ToClose,
    Absolute,
    Delta,
}

/// The filter line while it is typed.
#[derive(Debug, Clone)]
pub struct Input {
    pub text: Vec<char>,
    pub cursor: usize,
    pub error: Option<FilterError>,
    /// What `Esc` brings back.
    pub before: Filter,
}

/// The connection whose ladder, reasons or records are shown.
#[derive(Debug, Clone)]
pub struct Drop {
    pub index: usize,
    pub group: usize,
    pub member: usize,
    pub rungs: Vec<Rung>,
    pub rung: usize,
    pub reason: usize,
}

#[derive(Debug)]
pub struct State {
    pub options: TuiOptions,
    /// Columns and rows.
    pub size: (u16, u16),
    pub summary: Summary,
    pub screen: Screen,
    pub back: Vec<Screen>,
    /// The second pane has the move keys: they scroll it.
    pub second: bool,
    pub zoom: bool,
    pub scroll: usize,
    pub filter: Filter,
    /// The filter was typed and the list not made anew yet: once per frame is enough.
    pub stale: bool,
    pub input: Option<Input>,
    pub grouping: Grouping,
    pub sort: Sort,
    pub reverse: bool,
    pub clean: bool,
    pub list: List,
    pub row: usize,
    pub drop: Option<Drop>,
    pub fold: bool,
    pub times: Times,
    /// The record of the raw screen, and the one last read.
    pub record: Option<RecordRef>,
    pub raw: Option<(RecordRef, Raw)>,
    pub field: usize,
    /// The raw screen shows the payload as text instead of the packet's bytes.
    pub payload: bool,
    pub source: usize,
    pub query: String,
    pub binding: usize,
    /// `y` was pressed.
    pub copying: bool,
    pub message: Option<String>,
}

impl State {
    pub fn new(analysis: &Analysis, options: TuiOptions, size: (u16, u16)) -> Self {
        let mut state = Self {
            size,
            summary: analysis.summary(),
            screen: Screen::Drops,
            back: Vec::new(),
            second: false,
            zoom: false,
            scroll: 0,
            filter: Filter::default(),
            stale: false,
            input: None,
            grouping: Grouping::Cause,
            sort: Sort::Count,
            reverse: false,
            clean: false,
            list: List::default(),
            row: 0,
            drop: None,
            fold: true,
            times: Times::ToClose,
            record: None,
            raw: None,
            field: 0,
            payload: false,
            source: 0,
            query: String::new(),
            binding: 0,
            copying: false,
            message: None,
            options,
        };
        match Filter::parse(&state.options.filter) {
            Ok(filter) => state.filter = filter,
            Err(e) => state.message = Some(e.to_string()),
        }
        if state.summary.drops + state.summary.failed_handshakes == 0 {
            state.clean = true;
        }
        state.rebuild(analysis);
        // The biggest cause lies open where the other causes stay in sight.
        let first = state.list.groups.first().map_or(0, |g| g.members.len());
        if state.list.len() + first <= state.list_height() {
            state.list.place(0, Some(0));
        }
        state
    }

    /// Makes the list anew and keeps the selected row where it still exists.
    pub fn rebuild(&mut self, analysis: &Analysis) {
        let wish = Wish {
            filter: &self.filter,
            grouping: self.grouping,
            sort: self.sort,
            reverse: self.reverse,
            clean: self.clean,
        };
        let mut list = List::build(analysis, &wish);
        self.stale = false;
        let row = list.take_over(&self.list, self.row);
        self.list = list;
        self.row = row
            .unwrap_or_default()
            .min(self.list.len().saturating_sub(1));
        self.scroll = 0;
    }

    /// Makes the list anew if a typed filter asks for it; called before a frame is drawn.
    pub fn settle(&mut self, analysis: &Analysis) {
        if self.stale {
            self.rebuild(analysis);
        }
    }

    /// Where keys are looked up.
    pub const fn place(&self) -> Places {
        if self.copying {
            keys::COPY
        } else {
            self.screen.place()
        }
    }

    pub fn selected(&self) -> Option<Row> {
        self.list.row(self.row)
    }

    pub fn judged<'a>(&self, analysis: &'a Analysis) -> Option<&'a Judged> {
        analysis.connections.get(self.drop.as_ref()?.index)
    }

    /// The connection the selected row stands for: itself, or the first of its group.
    pub fn example<'a>(&self, analysis: &'a Analysis) -> Option<&'a Judged> {
        match self.selected()? {
            Row::Connection { index, .. } => analysis.connections.get(index),
            Row::Group(g) => analysis
                .connections
                .get(*self.list.groups.get(g)?.members.first()? as usize),
        }
    }

    /// The record under the cursor of the ladder.
    pub fn ladder_record(&self, analysis: &Analysis) -> Option<RecordRef> {
        let drop = self.drop.as_ref()?;
        let judged = analysis.connections.get(drop.index)?;
        match *drop.rungs.get(drop.rung)? {
            Rung::Events { first, .. } => Some(judged.connection.events.get(first)?.record),
            Rung::Gap { .. } => None,
        }
    }

    /// The record that the screen would show and that is not read yet.
    pub fn wants(&self, analysis: &Analysis) -> Option<RecordRef> {
        let wanted = match self.screen {
            Screen::Raw => self.record?,
            Screen::Ladder if self.size.1 >= 20 => self.ladder_record(analysis)?,
            _ => return None,
        };
        (self.raw.as_ref().map(|r| r.0) != Some(wanted)).then_some(wanted)
    }

    pub fn loaded(&self, record: RecordRef) -> Option<&Raw> {
        self.raw.as_ref().filter(|r| r.0 == record).map(|r| &r.1)
    }

    /// Rows that the Drops list has at this size; what `view::drops` lays out.
    pub fn list_height(&self) -> usize {
        usize::from(super::view::drops::list_rows(self.size))
    }

    /// Shows another connection of the list on the screen that is open.
    pub fn visit(&mut self, analysis: &Analysis, group: usize, member: usize) -> bool {
        let index = self
            .list
            .groups
            .get(group)
            .and_then(|g| g.members.get(member))
            .map(|i| *i as usize);
        let Some((index, judged)) = index.and_then(|i| Some((i, analysis.connections.get(i)?)))
        else {
            return false;
        };
        let rungs = rungs::build(judged, self.fold);
        let rung = rungs::telling(judged, &rungs);
        self.drop = Some(Drop {
            index,
            group,
            member,
            rungs,
            rung,
            reason: 0,
        });
        self.row = self.list.place(group, Some(member));
        self.scroll = 0;
        true
    }
}
