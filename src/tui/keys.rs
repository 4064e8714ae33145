//! Key presses -> commands: the one table that dispatch, footer and help all read.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key as the table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    F(u8),
}

impl Key {
    pub fn of(event: KeyEvent) -> Option<Self> {
        Some(match event.code {
            KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => {
                Self::Ctrl(c.to_ascii_lowercase())
            }
            KeyCode::Char(c) if !event.modifiers.contains(KeyModifiers::ALT) => Self::Char(c),
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Esc,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Delete => Self::Delete,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::F(n) => Self::F(n),
            _ => return None,
        })
    }

    pub fn label(self) -> String {
        match self {
            Self::Char(' ') => "Space".to_owned(),
            Self::Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("^{c}"),
            Self::Enter => "↵".to_owned(),
            Self::Esc => "Esc".to_owned(),
            Self::Tab => "Tab".to_owned(),
            Self::BackTab => "S-Tab".to_owned(),
            Self::Backspace => "Backspace".to_owned(),
            Self::Delete => "Del".to_owned(),
            Self::Up => "↑".to_owned(),
            Self::Down => "↓".to_owned(),
            Self::Left => "←".to_owned(),
            Self::Right => "→".to_owned(),
            Self::Home => "Home".to_owned(),
            Self::End => "End".to_owned(),
            Self::PageUp => "PgUp".to_owned(),
            Self::PageDown => "PgDn".to_owned(),
            Self::F(n) => format!("F{n}"),
        }
    }
}

/// Everything a key can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    Open,
    Expand,
    Collapse,
    Filter,
    Only,
    Not,
    Why,
    Group,
    Sort,
    Reverse,
    Clean,
    NextDrop,
    PrevDrop,
    NextGap,
    PrevGap,
    Fold,
    Time,
    Hex,
    NextMatch,
    PrevMatch,
    Copy,
    CopyRow,
    CopyId,
    CopyLine,
    CopyFilter,
    CopyRaw,
    CopyMarkdown,
    Export,
    ExportJson,
    ExportNdjson,
    ExportCsv,
    ExportMarkdown,
    ExportHtml,
    ExportPackets,
    Facets,
    Layout,
    Zone,
    Veil,
    Note,
    Show,
    Reload,
    Mark,
    NextMarked,
    ClearMarks,
    Palette,
    Closer,
    Wider,
    Down,
    Up,
    First,
    Last,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    NextPane,
    PrevPane,
    Zoom,
    Drops,
    Timeline,
    Sources,
    Rules,
    Redraw,
    Suspend,
    Help,
    Back,
    Quit,
    Leave,
}

impl Command {
    pub const ALL: &'static [Self] = &[
        Self::Open,
        Self::Expand,
        Self::Collapse,
        Self::Filter,
        Self::Only,
        Self::Not,
        Self::Why,
        Self::Group,
        Self::Sort,
        Self::Reverse,
        Self::Clean,
        Self::NextDrop,
        Self::PrevDrop,
        Self::NextGap,
        Self::PrevGap,
        Self::Fold,
        Self::Time,
        Self::Hex,
        Self::NextMatch,
        Self::PrevMatch,
        Self::Copy,
        Self::CopyRow,
        Self::CopyId,
        Self::CopyLine,
        Self::CopyFilter,
        Self::CopyRaw,
        Self::CopyMarkdown,
        Self::Export,
        Self::ExportJson,
        Self::ExportNdjson,
        Self::ExportCsv,
        Self::ExportMarkdown,
        Self::ExportHtml,
        Self::ExportPackets,
        Self::Facets,
        Self::Layout,
        Self::Zone,
        Self::Veil,
        Self::Note,
        Self::Show,
        Self::Reload,
        Self::Mark,
        Self::NextMarked,
        Self::ClearMarks,
        Self::Palette,
        Self::Closer,
        Self::Wider,
        Self::Down,
        Self::Up,
        Self::First,
        Self::Last,
        Self::HalfDown,
        Self::HalfUp,
        Self::PageDown,
        Self::PageUp,
        Self::NextPane,
        Self::PrevPane,
        Self::Zoom,
        Self::Drops,
        Self::Timeline,
        Self::Sources,
        Self::Rules,
        Self::Redraw,
        Self::Suspend,
        Self::Help,
        Self::Back,
        Self::Quit,
        Self::Leave,
    ];

    /// What an export writes: the format's name, which is also what its files end in.
    pub const fn format(self) -> Option<&'static str> {
        Some(match self {
            Self::ExportJson => "json",
            Self::ExportNdjson => "ndjson",
            Self::ExportCsv => "csv",
            Self::ExportMarkdown => "md",
            Self::ExportHtml => "html",
            Self::ExportPackets => super::export::PACKETS,
            _ => return None,
        })
    }
}

/// A place where keys have a meaning, as a bit.
pub type Places = u16;
pub const DROPS: Places = 1;
pub const LADDER: Places = 2;
pub const WHY: Places = 4;
pub const RAW: Places = 8;
pub const SOURCES: Places = 16;
pub const HELP: Places = 32;
/// After `y`: what to copy.
pub const COPY: Places = 64;
pub const TIMELINE: Places = 128;
pub const RULES: Places = 256;
/// After `e`: in which format.
pub const EXPORT: Places = 512;
/// The story of an incident.
pub const STORY: Places = 1024;
pub const FACETS: Places = 2048;
pub const ODD: Places = 4096;
#[cfg(test)]
const EVERY: [Places; 13] = [
    DROPS, LADDER, WHY, RAW, SOURCES, HELP, COPY, TIMELINE, RULES, EXPORT, STORY, FACETS, ODD,
];
const ONE_DROP: Places = LADDER | WHY | RAW;
const TABS: Places = DROPS | TIMELINE | SOURCES | RULES;
const SCREENS: Places = TABS | ONE_DROP | STORY | FACETS | ODD;
const LISTS: Places = SCREENS | HELP;
/// Where a connection is selected.
const CONNECTION: Places = DROPS | ONE_DROP | TIMELINE;
const PREFIXES: Places = COPY | EXPORT;
const PANES: Places = DROPS | LADDER | RAW | SOURCES | TIMELINE | RULES;

/// One row of the table.
#[derive(Debug)]
pub struct Binding {
    pub keys: &'static [Key],
    pub command: Command,
    /// What `:` and configuration call it.
    pub name: &'static str,
    pub help: &'static str,
    pub places: Places,
    /// Where the footer offers it, and in which word; earlier rows win where room is short.
    pub footer: Places,
    pub word: &'static str,
}

const fn row(
    keys: &'static [Key],
    command: Command,
    name: &'static str,
    help: &'static str,
    places: Places,
    footer: Places,
    word: &'static str,
) -> Binding {
    Binding {
        keys,
        command,
        name,
        help,
        places,
        footer,
        word,
    }
}

use Key::{Char, Ctrl};

#[rustfmt::skip]
pub const TABLE: &[Binding] = &[
    row(&[Key::Enter], Command::Open, "open", "open: a drop's evidence, an incident's story, a record as it stands in its file, a file's odd records, a rule's drops", DROPS | LADDER | WHY | SOURCES | TIMELINE | RULES | STORY | FACETS | ODD, DROPS | LADDER | WHY | SOURCES | TIMELINE | RULES | STORY | FACETS | ODD, "open"),
    row(&[Char('/')], Command::Filter, "filter", "filter (words, key:value, -not, /regex/); Enter keeps it, Esc brings the last one back", DROPS | TIMELINE | FACETS, DROPS | TIMELINE, "filter"),
    row(&[Char('?'), Key::F(1)], Command::Help, "help", "the keys that work here; type to search them", SCREENS, SCREENS, "keys"),
    row(&[Char('w')], Command::Why, "why", "why this verdict: every test of the rule, the rivals, what could not be tested", DROPS | LADDER | RAW | TIMELINE, DROPS | LADDER | TIMELINE, "why"),
    row(&[Key::Right, Char('l')], Command::Expand, "expand", "show the connections of a group; one level deeper elsewhere", DROPS | LADDER | WHY, DROPS, "expand"),
    row(&[Key::Left, Char('h')], Command::Collapse, "collapse", "hide the connections of a group, or go to it; one level up elsewhere", DROPS | ONE_DROP, 0, ""),
    row(&[Char('J')], Command::NextDrop, "next-drop", "the next drop, without leaving this screen", DROPS | ONE_DROP, ONE_DROP, "next drop"),
    row(&[Char('K')], Command::PrevDrop, "previous-drop", "the previous drop, without leaving this screen", DROPS | ONE_DROP, 0, ""),
    row(&[Char('}')], Command::NextGap, "next-gap", "the next silence", LADDER, LADDER, "gap"),
    row(&[Char('{')], Command::PrevGap, "previous-gap", "the previous silence", LADDER, 0, ""),
    row(&[Char('f')], Command::Fold, "fold", "fold or unfold runs of like frames", LADDER, LADDER, "fold"),
    row(&[Char('t')], Command::Time, "time", "times: to the close, UTC, since the line above", LADDER, LADDER, "time"),
    row(&[Char('x')], Command::Hex, "hex", "the payload as text, or the bytes of the packet", RAW, RAW, "text/hex"),
    row(&[Char('=')], Command::Only, "only", "only what is like the selected row", DROPS | FACETS, DROPS | FACETS, "only this"),
    row(&[Char('!')], Command::Not, "not", "leave out what is like the selected row", DROPS | FACETS, FACETS, "not this"),
    row(&[Char('+')], Command::Closer, "closer", "half as much time, around the selected connection", TIMELINE, TIMELINE, "closer"),
    row(&[Char('-')], Command::Wider, "wider", "twice as much time", TIMELINE, TIMELINE, "wider"),
    row(&[Char('a')], Command::Group, "group", "group by: cause, client net, path, hop, code, none", DROPS, DROPS, "group"),
    row(&[Char('s')], Command::Sort, "sort", "sort by the next column", DROPS, DROPS, "sort"),
    row(&[Char('S')], Command::Reverse, "reverse", "reverse the order", DROPS, 0, ""),
    row(&[Char('c')], Command::Clean, "clean", "show connections that closed cleanly or are still open", DROPS, 0, ""),
    row(&[Char('n')], Command::NextMatch, "next-match", "the next match of the filter; the next piece of evidence where none is set", DROPS | LADDER | RAW, RAW, "next record"),
    row(&[Char('N')], Command::PrevMatch, "previous-match", "the previous one", DROPS | LADDER | RAW, 0, ""),
    row(&[Char('y')], Command::Copy, "copy", "copy to the clipboard of your terminal (OSC 52): a second key says what", SCREENS, DROPS | ONE_DROP | TIMELINE, "copy"),
    row(&[Char('y')], Command::CopyRow, "copy-row", "copy the row", COPY, COPY, "row"),
    row(&[Char('i')], Command::CopyId, "copy-id", "copy the connection's id", COPY, COPY, "id"),
    row(&[Char('l')], Command::CopyLine, "copy-place", "copy the record's file:line or file#packet", COPY, COPY, "file:line"),
    row(&[Char('f')], Command::CopyFilter, "copy-wireshark", "copy a Wireshark display filter", COPY, COPY, "Wireshark filter"),
    row(&[Char('r')], Command::CopyRaw, "copy-raw", "copy the record itself (in the raw view)", COPY, COPY, "raw"),
    row(&[Char('m')], Command::CopyMarkdown, "copy-markdown", "copy the verdict as Markdown", COPY, COPY, "Markdown"),
    row(&[Char('e')], Command::Export, "export", "write what passes the filter to a file: a second key says in which format, then the path is asked", SCREENS, TABS, "export"),
    row(&[Char('j')], Command::ExportJson, "export-json", "write JSON", EXPORT, EXPORT, "json"),
    row(&[Char('n')], Command::ExportNdjson, "export-ndjson", "write NDJSON: one connection a line", EXPORT, EXPORT, "ndjson"),
    row(&[Char('c')], Command::ExportCsv, "export-csv", "write CSV", EXPORT, EXPORT, "csv"),
    row(&[Char('m')], Command::ExportMarkdown, "export-markdown", "write Markdown", EXPORT, EXPORT, "Markdown"),
    row(&[Char('h')], Command::ExportHtml, "export-html", "write an HTML page", EXPORT, EXPORT, "html"),
    row(&[Char('p')], Command::ExportPackets, "export-packets", "write the packets of this connection as pcapng, as they were recorded", EXPORT, EXPORT, "packets"),
    row(&[Char('o')], Command::Show, "show", "show the record at its line in $EDITOR, its packet in Wireshark", CONNECTION, LADDER | RAW, "editor"),
    row(&[Char('A')], Command::Note, "note", "note something on the connection; kept, and found by note:word", CONNECTION, 0, ""),
    row(&[Char('m')], Command::Mark, "mark", "mark the connection, or take its mark off; on a group all of it", CONNECTION, 0, ""),
    row(&[Char('\'')], Command::NextMarked, "next-marked", "the next marked connection", CONNECTION, 0, ""),
    row(&[Char('M')], Command::ClearMarks, "clear-marks", "take all marks off", CONNECTION, 0, ""),
    row(&[Char(':')], Command::Palette, "command", "any command by its name", SCREENS, SCREENS, "command"),
    row(&[Char('F')], Command::Facets, "facets", "which values the connections have under each key, and how many have each: Enter keeps only those, ! leaves them out", DROPS | TIMELINE, DROPS, "facets"),
    row(&[Char('j'), Key::Down], Command::Down, "down", "one row down", LISTS, 0, ""),
    row(&[Char('k'), Key::Up], Command::Up, "up", "one row up", LISTS, 0, ""),
    row(&[Char('g'), Key::Home], Command::First, "first", "the first row", LISTS, 0, ""),
    row(&[Char('G'), Key::End], Command::Last, "last", "the last row", LISTS, 0, ""),
    row(&[Ctrl('d')], Command::HalfDown, "half-down", "half a page down", LISTS, 0, ""),
    row(&[Ctrl('u')], Command::HalfUp, "half-up", "half a page up", LISTS, 0, ""),
    row(&[Key::PageDown, Ctrl('f'), Char(' ')], Command::PageDown, "page-down", "a page down", LISTS, 0, ""),
    row(&[Key::PageUp, Ctrl('b'), Char('b')], Command::PageUp, "page-up", "a page up", LISTS, 0, ""),
    row(&[Key::Tab], Command::NextPane, "next-pane", "the other pane: the move keys work there", PANES, RAW | SOURCES | TIMELINE | RULES, "pane"),
    row(&[Key::BackTab], Command::PrevPane, "previous-pane", "the pane before", PANES, 0, ""),
    row(&[Char('z')], Command::Zoom, "zoom", "this pane alone, and back", PANES, 0, ""),
    row(&[Char('1')], Command::Drops, "drops", "the drops", SCREENS, TIMELINE | SOURCES | RULES, "drops"),
    row(&[Char('2')], Command::Timeline, "timeline", "all connections as bars over time, with reloads, restarts, crashes and incidents", SCREENS, DROPS, "timeline"),
    row(&[Char('3')], Command::Sources, "sources", "the files: what each was read as, its clock, what was wrong with it", SCREENS, DROPS, "sources"),
    row(&[Char('4')], Command::Rules, "rules", "the rules: what each decided, what came close, what it would need", SCREENS, DROPS, "rules"),
    row(&[Char('v')], Command::Layout, "layout", "panes side by side, or one above the other", DROPS | RAW, 0, ""),
    row(&[Char('T')], Command::Zone, "zone", "times in UTC, in the zone of --tz, in those that the files name", SCREENS, 0, ""),
    row(&[Char('R')], Command::Veil, "redact", "hide tokens, cookies and payload on all screens, or show them again", SCREENS, 0, ""),
    row(&[Key::F(5)], Command::Reload, "reload", "read the files again", SCREENS, 0, ""),
    row(&[Ctrl('l')], Command::Redraw, "redraw", "draw the screen anew", LISTS, 0, ""),
    row(&[Ctrl('z')], Command::Suspend, "suspend", "back to the shell; fg returns", LISTS, 0, ""),
    row(&[Key::Esc], Command::Back, "back", "one level back; while files are read, no further ones from the first screen", LISTS | PREFIXES, ONE_DROP | TIMELINE | SOURCES | RULES | HELP | STORY | FACETS | ODD | PREFIXES, "back"),
    row(&[Char('q')], Command::Quit, "quit", "one level back; leave from the first screen", SCREENS, DROPS, "quit"),
    row(&[Char('Q'), Ctrl('c')], Command::Leave, "leave", "leave from anywhere", LISTS | PREFIXES, 0, ""),
];

/// What `key` asks for at `place`.
pub fn lookup(place: Places, key: Key) -> Option<Command> {
    TABLE
        .iter()
        .find(|b| b.places & place != 0 && b.keys.contains(&key))
        .map(|b| b.command)
}

/// What the footer offers at `place`, most useful first: key, word.
pub fn footer(
    place: Places,
    offered: impl Fn(&Binding) -> bool,
) -> impl Iterator<Item = (String, &'static str)> {
    TABLE
        .iter()
        .filter(move |b| b.footer & place != 0 && offered(b))
        .filter_map(|b| Some((b.keys.first()?.label(), b.word)))
}

/// `place` with what its prefix keys lead to.
fn with_prefixes(place: Places) -> Places {
    let leads = |command, to| {
        let works = |b: &Binding| b.command == command && b.places & place != 0;
        if TABLE.iter().any(works) { to } else { 0 }
    };
    place | leads(Command::Copy, COPY) | leads(Command::Export, EXPORT)
}

/// The prefix key that comes before a row that is not of `place` itself.
pub fn prefix(binding: &Binding, place: Places) -> &'static str {
    match binding.places & (COPY | EXPORT) {
        _ if binding.places & place != 0 => "",
        COPY => "y ",
        EXPORT => "e ",
        _ => "",
    }
}

/// The rows that work at `place` and hold every word of `query` in key, name or help.
pub fn search(place: Places, query: &str) -> Vec<&'static Binding> {
    let place = with_prefixes(place);
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    TABLE
        .iter()
        .filter(|b| b.places & place != 0)
        .filter(|b| {
            let keys = b
                .keys
                .iter()
                .map(|k| k.label())
                .collect::<Vec<_>>()
                .join(" ");
            words.iter().all(|w| {
                b.name.contains(w.as_str())
                    || b.help.to_lowercase().contains(w.as_str())
                    || keys.contains(w.as_str())
            })
        })
        .collect()
}

/// The rows that work at `place`, those whose name `typed` abbreviates best first, then those whose help speaks of it.
pub fn fuzzy(place: Places, typed: &str) -> Vec<&'static Binding> {
    let place = with_prefixes(place);
    let typed: String = typed.to_lowercase().split_whitespace().collect();
    let mut found: Vec<(usize, usize, &Binding)> = TABLE
        .iter()
        .enumerate()
        .filter(|(_, b)| b.places & place != 0 && b.command != Command::Palette)
        .filter_map(|(i, b)| {
            let by_help =
                || (typed.len() > 2 && b.help.to_lowercase().contains(&typed)).then_some(10_000);
            Some((distance(b.name, &typed).or_else(by_help)?, i, b))
        })
        .collect();
    let none = typed.is_empty();
    found.sort_by_key(|(distance, i, _)| (if none { 0 } else { *distance }, *i));
    found.into_iter().map(|f| f.2).collect()
}

/// How far the letters of `typed`, in their order, lie apart in `name`; `None` where they are not all in it. Letters that begin
/// a word of it cost nothing.
fn distance(name: &str, typed: &str) -> Option<usize> {
    let mut cost = 0;
    let mut rest = name.char_indices();
    let mut before: Option<usize> = None;
    for wanted in typed.chars() {
        let (at, _) = rest.find(|(_, c)| *c == wanted)?;
        let begins = at == 0 || name.as_bytes().get(at - 1) == Some(&b'-');
        let follows = before.is_some_and(|b| b + 1 == at);
        if !begins && !follows {
            cost += 10;
        }
        cost += at.saturating_sub(before.map_or(0, |b| b + 1));
        before = Some(at);
    }
    Some(cost * 10 + name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_command_has_a_row_and_every_row_a_key_and_a_help_line() {
        for command in Command::ALL {
            assert_eq!(
                TABLE.iter().filter(|b| b.command == *command).count(),
                1,
                "{command:?}"
            );
        }
        assert_eq!(TABLE.len(), Command::ALL.len());
        let names: HashSet<_> = TABLE.iter().map(|b| b.name).collect();
        assert_eq!(names.len(), TABLE.len());
        for b in TABLE {
            assert!(
                !b.keys.is_empty() && !b.help.is_empty() && b.places != 0,
                "{}",
                b.name
            );
        }
    }

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for place in EVERY {
            let mut seen = HashSet::new();
            for b in TABLE.iter().filter(|b| b.places & place != 0) {
                for key in b.keys {
                    assert!(seen.insert(*key), "{} twice at {place}", key.label());
                }
            }
        }
    }

    #[test]
    fn what_the_footer_offers_works_where_it_offers_it() {
        for b in TABLE {
            assert_eq!(
                b.footer & !b.places,
                0,
                "{} is offered where it does nothing",
                b.name
            );
            assert_eq!(b.footer == 0, b.word.is_empty(), "{}", b.name);
        }
        for place in EVERY {
            assert!(footer(place, |_| true).count() > 0, "no footer at {place}");
        }
    }

    #[test]
    fn a_few_letters_find_a_command() {
        let check = |place, typed: &str, expected: &str| {
            assert_eq!(
                fuzzy(place, typed).first().map(|b| b.name),
                Some(expected),
                "{typed}"
            );
        };
        check(DROPS, "", "open");
        check(DROPS, "why", "why");
        check(DROPS, "ej", "export-json");
        check(DROPS, "exhtml", "export-html");
        check(DROPS, "cm", "copy-markdown");
        check(LADDER, "nd", "next-drop");
        check(DROPS, "clipboard", "copy");
        check(SOURCES, "tl", "timeline");
        assert!(fuzzy(DROPS, "fold").iter().all(|b| b.name != "fold"));
        assert!(fuzzy(DROPS, "xyzzy").is_empty());
    }
}
