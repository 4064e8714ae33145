//! Where the reader stands: screens, cursors, filter, order; plain values that views read and `update` changes.

use crate::model::{
    Analysis, Filter, FilterError, Judged, Loading, Moment, Notes, Raw, RecordRef, Summary,
};

use std::collections::BTreeSet;
use std::sync::Arc;

use super::complete::Candidate;
use super::export::Prompt;
use super::facets::Facet;
use super::happenings::{self, Happening};
use super::keys::{self, Places};
use super::oddities::Oddities;
use super::palette::Palette;
use super::rows::{Grouping, List, Row, Sort, Wish};
use super::rulebook::{self, RulePage, RuleRow};
use super::rungs::{self, Rung};
use super::spots::Spots;
use super::story::Story;
use super::text;
use super::theme::Theme;

/// How the UI starts and looks.
#[derive(Debug, Clone, Default)]
pub struct TuiOptions {
    pub theme: Theme,
    /// A filter to start with, already checked by the caller; one that does not parse is shown with its error.
    pub filter: String,
    /// Formats that an export can be written in, by their names.
    pub formats: Vec<&'static str>,
    /// The command that prints the same view: without a filter, and what stands before ` -w FILTER` with one.
    pub again: Option<(String, String)>,
    /// Tell on each screen what to press next, until it was pressed there.
    pub guide: bool,
    /// Marks and notes of former sessions.
    pub notes: Notes,
    /// Take the mouse (wheel, click, double click); off, so that the terminal's own selection works.
    pub mouse: bool,
    /// The zone that times are shown in at first, seconds east of UTC.
    pub east_s: i32,
    /// What the rules say of themselves.
    pub pages: Vec<RulePage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Drops,
    Ladder,
    Why,
    Raw,
    Timeline,
    Sources,
    Rules,
    /// One incident from its first sign to the last return.
    Story,
    /// Values under each key, with counts.
    Facets,
    /// The odd records of one source.
    Oddities,
    Help,
}

impl Screen {
    pub const fn place(self) -> Places {
        match self {
            Self::Drops => keys::DROPS,
            Self::Ladder => keys::LADDER,
            Self::Why => keys::WHY,
            Self::Raw => keys::RAW,
            Self::Timeline => keys::TIMELINE,
            Self::Sources => keys::SOURCES,
            Self::Rules => keys::RULES,
            Self::Story => keys::STORY,
            Self::Facets => keys::FACETS,
            Self::Oddities => keys::ODD,
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
    /// What the word at the cursor may become.
    pub offers: Vec<Candidate>,
    /// The values of one key and how many connections have each, counted once while it is typed.
    pub known: Option<(String, Vec<Candidate>)>,
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
    /// The user said whether clean ones are shown; until then it depends on whether anything dropped.
    pub clean_chosen: bool,
    /// Screens that need no guide any more.
    pub known: Places,
    /// A key was pressed: what is open and selected is the user's from here on.
    pub touched: bool,
    /// How far the reading is, and the first record of each file that is not read to its end.
    pub loading: Option<Loading>,
    pub unread: Vec<Option<Moment>>,
    pub list: List,
    pub row: usize,
    /// Connections that pass the filter, in order of time: indices into `Analysis::connections`, and the Timeline's cursor.
    pub lines: Vec<u32>,
    pub line: usize,
    pub happenings: Vec<Happening>,
    pub happening: usize,
    /// The times that the Timeline shows, nanoseconds since the epoch: all of them, and now.
    pub whole: (i64, i64),
    pub span: (i64, i64),
    pub rules: Vec<RuleRow>,
    pub rule: usize,
    pub facets: Vec<Facet>,
    pub facet: usize,
    pub oddities: Option<Oddities>,
    /// Marks and notes, and the ids of those changed since they were last kept.
    pub notes: Arc<Notes>,
    pub changed: BTreeSet<String>,
    pub drop: Option<Drop>,
    pub story: Option<Story>,
    pub fold: bool,
    pub times: Times,
    /// Times are shown so many seconds east of UTC.
    pub east_s: i32,
    /// Panes lie one above the other even where there is room beside.
    pub stacked: bool,
    /// Tokens, cookies and payload are hidden.
    pub veiled: bool,
    /// Where the last frame drew what.
    pub(super) spots: Spots,
    /// The record of the raw screen, and the one last read.
    pub record: Option<RecordRef>,
    pub raw: Option<(RecordRef, Raw)>,
    pub field: usize,
    /// The raw screen shows the payload as text instead of the packet's bytes.
    pub payload: bool,
    pub source: usize,
    pub query: String,
    pub binding: usize,
    /// The place that a prefix key (`y`, `e`) opened; 0 = none.
    pub prefix: Places,
    pub palette: Option<Palette>,
    pub prompt: Option<Prompt>,
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
            clean_chosen: false,
            known: 0,
            touched: false,
            loading: None,
            unread: Vec::new(),
            list: List::default(),
            row: 0,
            lines: Vec::new(),
            line: 0,
            happenings: happenings::build(analysis),
            happening: 0,
            whole: happenings::whole(analysis),
            span: happenings::whole(analysis),
            rules: Vec::new(),
            rule: 0,
            facets: Vec::new(),
            facet: 0,
            oddities: None,
            notes: Arc::new(options.notes.clone()),
            changed: BTreeSet::new(),
            drop: None,
            story: None,
            fold: true,
            times: Times::ToClose,
            east_s: options.east_s,
            stacked: false,
            veiled: false,
            spots: Spots::default(),
            record: None,
            raw: None,
            field: 0,
            payload: false,
            source: 0,
            query: String::new(),
            binding: 0,
            prefix: 0,
            palette: None,
            prompt: None,
            message: None,
            options,
        };
        match Filter::parse(&state.options.filter) {
            Ok(filter) => state.filter = filter.over(&state.notes),
            Err(e) => state.message = Some(e.to_string()),
        }
        state.clean = state.nothing_dropped();
        state.rebuild(analysis);
        state.open_first();
        state
    }

    /// The biggest cause lies open where the other causes stay in sight.
    pub(super) fn open_first(&mut self) {
        let first = self.list.groups.first().map_or(0, |g| g.members.len());
        let open = self.list.groups.first().is_some_and(|g| g.open);
        if !open && self.list.len() + first <= self.list_height() {
            self.list.place(0, Some(0));
        }
    }

    /// There are connections, and none of them dropped or failed.
    pub const fn nothing_dropped(&self) -> bool {
        let s = &self.summary;
        s.connections > 0 && s.drops + s.failed_handshakes == 0
    }

    /// Makes the list anew and keeps the selected row where it still exists.
    pub fn rebuild(&mut self, analysis: &Analysis) {
        self.rebuild_from(analysis, &Some);
    }

    /// The same after the connections changed their places; `now` tells the new ones.
    pub(super) fn rebuild_from(
        &mut self,
        analysis: &Analysis,
        now: &dyn Fn(usize) -> Option<usize>,
    ) {
        let wish = Wish {
            filter: &self.filter,
            grouping: self.grouping,
            sort: self.sort,
            reverse: self.reverse,
            clean: self.clean,
        };
        let mut list = List::build(analysis, &wish);
        self.stale = false;
        let row = list.take_over(&self.list, self.row, now);
        self.list = list;
        self.row = row
            .unwrap_or_default()
            .min(self.list.len().saturating_sub(1));
        self.scroll = 0;
        let here = self.lines.get(self.line).copied();
        let passes = |i: &u32| {
            let judged = analysis.connections.get(*i as usize);
            judged.is_some_and(|j| self.filter.is_empty() || self.filter.matches(j, analysis))
        };
        let all = u32::try_from(analysis.connections.len()).unwrap_or(u32::MAX);
        self.lines = (0..all).filter(passes).collect();
        // The analysis is in order of time, and so are the lines.
        self.line = here
            .map_or(0, |h| self.lines.partition_point(|i| *i < h))
            .min(self.lines.len().saturating_sub(1));
        self.recount(analysis);
    }

    /// Counts what the rules did; once, when it is first looked at.
    pub fn count_rules(&mut self, analysis: &Analysis) {
        if self.rules.is_empty() {
            self.rules = rulebook::build(analysis);
        }
    }

    /// Makes the list anew if a typed filter asks for it; called before a frame is drawn.
    pub fn settle(&mut self, analysis: &Analysis) {
        if self.stale {
            self.rebuild(analysis);
        }
    }

    /// What to press next, for one who sees this screen for the first time.
    pub const fn guide(&self) -> Option<&'static str> {
        if !self.options.guide || self.known & self.screen.place() != 0 {
            return None;
        }
        match self.screen {
            Screen::Drops => Some("Enter shows its evidence, w why it is called so"),
            Screen::Ladder => {
                Some("Enter shows the record itself, J the next drop, w why this verdict")
            }
            Screen::Why => {
                Some("Enter shows a record, Esc goes back, e h writes a page for colleagues")
            }
            _ => None,
        }
    }

    /// Where keys are looked up.
    pub const fn place(&self) -> Places {
        if self.prefix == 0 {
            self.screen.place()
        } else {
            self.prefix
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
            Screen::Oddities => return self.unread_oddity(),
            _ => return None,
        };
        (self.raw.as_ref().map(|r| r.0) != Some(wanted)).then_some(wanted)
    }

    /// A time as this session shows it, as finely as it was told.
    pub fn clock(&self, at: Moment, tick_ns: i64) -> String {
        text::clock(at, tick_ns, self.east_s)
    }

    /// What the rules say of themselves.
    pub fn pages(&self) -> impl Iterator<Item = &RulePage> {
        self.options.pages.iter()
    }

    /// The zones that times can be shown in: UTC, the one asked for, and those that files name.
    pub(super) fn zones(&self, analysis: &Analysis) -> Vec<i32> {
        let named = analysis.sources.iter().filter_map(|s| s.zone);
        let all = [0, self.options.east_s].into_iter();
        let mut zones = Vec::new();
        for zone in all.chain(named.map(|z| z.offset_s)) {
            if !zones.contains(&zone) {
                zones.push(zone);
            }
        }
        zones
    }

    pub fn loaded(&self, record: RecordRef) -> Option<&Raw> {
        self.raw.as_ref().filter(|r| r.0 == record).map(|r| &r.1)
    }

    /// Rows that the Drops list has at this size; what `view::drops` lays out.
    pub fn list_height(&self) -> usize {
        usize::from(super::view::drops::list_rows(self.size, self.stacked))
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

    /// [`Self::visit`] by the connection's index; one that the list leaves out is let in.
    pub fn visit_index(&mut self, analysis: &Analysis, index: u32) -> bool {
        for clean in [self.clean, true] {
            if clean != self.clean {
                self.clean = clean;
                self.rebuild(analysis);
            }
            let found = self.list.groups.iter().enumerate().find_map(|(g, group)| {
                let member = group.members.iter().position(|m| *m == index)?;
                (!group.is_finding()).then_some((g, member))
            });
            if let Some((group, member)) = found {
                return self.visit(analysis, group, member);
            }
        }
        false
    }

    /// The connection under the Timeline's cursor.
    pub fn on_line<'a>(&self, analysis: &'a Analysis) -> Option<&'a Judged> {
        analysis
            .connections
            .get(*self.lines.get(self.line)? as usize)
    }
}
