//! Words and marks -> what this output can show: its width, its colours, its characters.

use crate::model::{Outcome, Tier, inert};
use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

/// What an output can show.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub color: bool,
    /// Only ASCII in the frame of the report; text from the input stays as it is.
    pub ascii: bool,
    /// Columns.
    pub width: usize,
}

impl Look {
    pub const PLAIN: Self = Self {
        color: false,
        ascii: false,
        width: 100,
    };

    pub(super) fn paint(self, style: Style, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), text)
    }

    /// One of two forms of the same mark.
    pub(super) const fn mark<'a>(self, fine: &'a str, ascii: &'a str) -> &'a str {
        if self.ascii { ascii } else { fine }
    }

    /// How sure the verdict is, as one character.
    pub(super) fn tier(self, tier: Tier) -> String {
        match tier {
            Tier::Certain => self.red(self.mark("●", "*")),
            Tier::Likely => self.red(self.mark("◐", "!")),
            Tier::Possible => self.yellow(self.mark("○", "-")),
            Tier::Undecided => self.yellow("?"),
        }
    }

    pub(super) fn outcome(self, outcome: Outcome) -> String {
        match outcome {
            Outcome::Drop | Outcome::FailedHandshake => self.red(outcome.name()),
            Outcome::Clean => self.green(outcome.name()),
            Outcome::Open => self.cyan(outcome.name()),
        }
    }

    /// Text from the input, made inert, and in ASCII where that is all there is.
    pub(super) fn text(self, text: &str) -> String {
        let text = inert(text);
        if !self.ascii || text.is_ascii() {
            return text;
        }
        let mut out = String::new();
        for c in text.chars() {
            match c {
                c if c.is_ascii() => out.push(c),
                '\u{2400}'..='\u{241f}' => out.push_str(&format!("\\x{:02x}", c as u32 - 0x2400)),
                '\u{2421}' => out.push_str("\\x7f"),
                '→' => out.push_str("->"),
                '–' | '—' => out.push('-'),
                '…' => out.push_str("..."),
                '≥' => out.push_str(">="),
                '≤' => out.push_str("<="),
                c => out.extend(c.escape_unicode()),
            }
        }
        out
    }
}

/// Columns that a text takes (styles not counted: measure before painting).
pub fn width_of(text: &str) -> usize {
    text.width()
}

/// Filled up with spaces to this many columns.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let gap = columns.saturating_sub(width_of(text));
    format!("{text}{}", " ".repeat(gap))
}

pub(super) fn pad_left(text: &str, columns: usize) -> String {
    let gap = columns.saturating_sub(width_of(text));
    format!("{}{text}", " ".repeat(gap))
}

/// Cut to this many columns; what was cut is marked.
pub(super) fn cut(text: &str, columns: usize, look: Look) -> String {
    if width_of(text) <= columns {
        return text.to_owned();
    }
    let dots = look.mark("…", "...");
    let room = columns.saturating_sub(width_of(dots));
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + w > room {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push_str(dots);
    out
}

/// Lines of at most this many columns, broken at spaces; a longer word is broken where it must.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let mut word = word.to_owned();
        loop {
            let line = lines.last().map_or(0, |l| width_of(l));
            let space = usize::from(line > 0);
            if line + space + width_of(&word) <= columns {
                if let Some(last) = lines.last_mut() {
                    if space > 0 {
                        last.push(' ');
                    }
                    last.push_str(&word);
                }
                break;
            }
            if line > 0 {
                lines.push(String::new());
                continue;
            }
            let mut head = String::new();
            let mut rest = String::new();
            for c in word.chars() {
                let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
                if rest.is_empty() && width_of(&head) + w <= columns {
                    head.push(c)
                } else {
                    rest.push(c)
                }
            }
            if let Some(last) = lines.last_mut() {
                *last = head;
            }
            if rest.is_empty() {
                break;
            }
            lines.push(String::new());
            word = rest;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_of_a_terminal() {
        assert_eq!(pad("漢字", 6), "漢字  ");
        assert_eq!(pad_left("1", 3), "  1");
        assert_eq!(cut("漢字漢字", 5, Look::PLAIN), "漢字…");
        assert_eq!(cut("short", 5, Look::PLAIN), "short");
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl mn", 8), ["abcdefgh", "ijkl mn"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn ascii_output_is_ascii() {
        let look = Look {
            ascii: true,
            ..Look::PLAIN
        };
        assert_eq!(look.text("\x1b[2J → grün"), "\\x1b[2J -> gr\\u{fc}n");
    }
}
