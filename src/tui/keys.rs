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
    Sources,
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
        Self::Sources,
        Self::Redraw,
        Self::Suspend,
        Self::Help,
        Self::Back,
        Self::Quit,
        Self::Leave,
    ];
}

/// A place where keys have a meaning, as a bit.
pub type Places = u8;
pub const DROPS: Places = 1;
pub const LADDER: Places = 2;
pub const WHY: Places = 4;
pub const RAW: Places = 8;
pub const SOURCES: Places = 16;
pub const HELP: Places = 32;
/// After `y`: what to copy.
pub const COPY: Places = 64;
const ONE_DROP: Places = LADDER | WHY | RAW;
const SCREENS: Places = DROPS | ONE_DROP | SOURCES;
const LISTS: Places = SCREENS | HELP;

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
    row(&[Key::Enter], Command::Open, "open", "open: a drop's evidence, a record as it stands in its file", DROPS | LADDER | WHY | SOURCES, DROPS | LADDER | WHY, "open"),
    row(&[Char('/')], Command::Filter, "filter", "filter (words, key:value, -not, /regex/); Enter keeps it, Esc brings the last one back", DROPS, DROPS, "filter"),
    row(&[Char('?'), Key::F(1)], Command::Help, "help", "the keys that work here; type to search them", SCREENS, SCREENS, "keys"),
    row(&[Char('w')], Command::Why, "why", "why this verdict: every test of the rule, the rivals, what could not be tested", DROPS | LADDER | RAW, DROPS | LADDER, "why"),
    row(&[Key::Right, Char('l')], Command::Expand, "expand", "show the connections of a group; one level deeper elsewhere", DROPS | LADDER | WHY, DROPS, "expand"),
    row(&[Key::Left, Char('h')], Command::Collapse, "collapse", "hide the connections of a group, or go to it; one level up elsewhere", DROPS | ONE_DROP, 0, ""),
    row(&[Char('J')], Command::NextDrop, "next-drop", "the next drop, without leaving this screen", DROPS | ONE_DROP, ONE_DROP, "next drop"),
    row(&[Char('K')], Command::PrevDrop, "previous-drop", "the previous drop, without leaving this screen", DROPS | ONE_DROP, 0, ""),
    row(&[Char('}')], Command::NextGap, "next-gap", "the next silence", LADDER, LADDER, "gap"),
    row(&[Char('{')], Command::PrevGap, "previous-gap", "the previous silence", LADDER, 0, ""),
    row(&[Char('f')], Command::Fold, "fold", "fold or unfold runs of like frames", LADDER, LADDER, "fold"),
    row(&[Char('t')], Command::Time, "time", "times: to the close, UTC, since the line above", LADDER, LADDER, "time"),
    row(&[Char('x')], Command::Hex, "hex", "the payload as text, or the bytes of the packet", RAW, RAW, "text/hex"),
    row(&[Char('=')], Command::Only, "only", "only what is like the selected row", DROPS, DROPS, "only this"),
    row(&[Char('!')], Command::Not, "not", "leave out what is like the selected row", DROPS, 0, ""),
    row(&[Char('a')], Command::Group, "group", "group by: cause, client net, path, hop, code, none", DROPS, DROPS, "group"),
    row(&[Char('s')], Command::Sort, "sort", "sort by the next column", DROPS, DROPS, "sort"),
    row(&[Char('S')], Command::Reverse, "reverse", "reverse the order", DROPS, 0, ""),
    row(&[Char('c')], Command::Clean, "clean", "show connections that closed cleanly or are still open", DROPS, 0, ""),
    row(&[Char('n')], Command::NextMatch, "next-match", "the next match of the filter; the next piece of evidence where none is set", DROPS | LADDER | RAW, RAW, "next record"),
    row(&[Char('N')], Command::PrevMatch, "previous-match", "the previous one", DROPS | LADDER | RAW, 0, ""),
    row(&[Char('y')], Command::Copy, "copy", "copy to the clipboard of your terminal (OSC 52): a second key says what", DROPS | ONE_DROP | SOURCES, DROPS | ONE_DROP, "copy"),
    row(&[Char('y')], Command::CopyRow, "copy-row", "copy the row", COPY, COPY, "row"),
    row(&[Char('i')], Command::CopyId, "copy-id", "copy the connection's id", COPY, COPY, "id"),
    row(&[Char('l')], Command::CopyLine, "copy-place", "copy the record's file:line or file#packet", COPY, COPY, "file:line"),
    row(&[Char('f')], Command::CopyFilter, "copy-wireshark", "copy a Wireshark display filter", COPY, COPY, "Wireshark filter"),
    row(&[Char('r')], Command::CopyRaw, "copy-raw", "copy the record itself (in the raw view)", COPY, COPY, "raw"),
    row(&[Char('m')], Command::CopyMarkdown, "copy-markdown", "copy the verdict as Markdown", COPY, COPY, "Markdown"),
    row(&[Char('j'), Key::Down], Command::Down, "down", "one row down", LISTS, 0, ""),
    row(&[Char('k'), Key::Up], Command::Up, "up", "one row up", LISTS, 0, ""),
    row(&[Char('g'), Key::Home], Command::First, "first", "the first row", LISTS, 0, ""),
    row(&[Char('G'), Key::End], Command::Last, "last", "the last row", LISTS, 0, ""),
    row(&[Ctrl('d')], Command::HalfDown, "half-down", "half a page down", LISTS, 0, ""),
    row(&[Ctrl('u')], Command::HalfUp, "half-up", "half a page up", LISTS, 0, ""),
    row(&[Key::PageDown, Ctrl('f'), Char(' ')], Command::PageDown, "page-down", "a page down", LISTS, 0, ""),
    row(&[Key::PageUp, Ctrl('b'), Char('b')], Command::PageUp, "page-up", "a page up", LISTS, 0, ""),
    row(&[Key::Tab], Command::NextPane, "next-pane", "the other pane: there the move keys scroll", DROPS | LADDER | RAW | SOURCES, RAW | SOURCES, "pane"),
    row(&[Key::BackTab], Command::PrevPane, "previous-pane", "the pane before", DROPS | LADDER | RAW | SOURCES, 0, ""),
    row(&[Char('z')], Command::Zoom, "zoom", "this pane alone, and back", DROPS | LADDER | RAW | SOURCES, 0, ""),
    row(&[Char('1')], Command::Drops, "drops", "the drops", SCREENS, SOURCES, "drops"),
    row(&[Char('3')], Command::Sources, "sources", "the files: what each was read as, its clock, what was wrong with it", SCREENS, DROPS, "sources"),
    row(&[Ctrl('l'), Key::F(5)], Command::Redraw, "redraw", "draw the screen anew", LISTS, 0, ""),
    row(&[Ctrl('z')], Command::Suspend, "suspend", "back to the shell; fg returns", LISTS, 0, ""),
    row(&[Key::Esc], Command::Back, "back", "one level back", LISTS | COPY, ONE_DROP | SOURCES | HELP | COPY, "back"),
    row(&[Char('q')], Command::Quit, "quit", "one level back; leave from the first screen", SCREENS, DROPS, "quit"),
    row(&[Char('Q'), Ctrl('c')], Command::Leave, "leave", "leave from anywhere", LISTS | COPY, 0, ""),
];

/// What `key` asks for at `place`.
pub fn lookup(place: Places, key: Key) -> Option<Command> {
    TABLE
        .iter()
        .find(|b| b.places & place != 0 && b.keys.contains(&key))
        .map(|b| b.command)
}

/// What the footer offers at `place`, most useful first: key, word.
pub fn footer(place: Places) -> impl Iterator<Item = (String, &'static str)> {
    TABLE
        .iter()
        .filter(move |b| b.footer & place != 0)
        .filter_map(|b| Some((b.keys.first()?.label(), b.word)))
}

/// The rows that work at `place` and hold every word of `query` in key, name or help.
pub fn search(place: Places, query: &str) -> Vec<&'static Binding> {
    let place = if place & ONE_DROP != 0 || place & DROPS != 0 {
        place | COPY
    } else {
        place
    };
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
        for place in [DROPS, LADDER, WHY, RAW, SOURCES, HELP, COPY] {
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
        for place in [DROPS, LADDER, WHY, RAW, SOURCES, HELP, COPY] {
            assert!(footer(place).count() > 0, "no footer at {place}");
        }
    }
}
