//! What a cell means -> how it looks: 16 colours on the terminal's own background, mono, and ASCII.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::model::{Cause, Outcome, Tier};

/// Views always draw in colour and Unicode; the theme takes away what the terminal should not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// No colours, for `NO_COLOR`: what matters is bold, what is selected is reversed.
    pub mono: bool,
    /// ASCII only.
    pub ascii: bool,
}

pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// By reverse video, never by colour: it shows on every background and without colours.
pub const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
pub const UNDERLINED: Style = Style::new().add_modifier(Modifier::UNDERLINED);
pub const BAD: Style = Style::new().fg(Color::Red);
pub const WARN: Style = Style::new().fg(Color::Yellow);
pub const GOOD: Style = Style::new().fg(Color::Green);
pub const ACCENT: Style = Style::new().fg(Color::Cyan);

/// Glyph and style of a verdict: how sure it is shows in how full the dot is, and stands beside it as a word.
pub fn tier(tier: Tier) -> (&'static str, Style) {
    match tier {
        Tier::Certain => ("●", BAD),
        Tier::Likely => ("◐", BAD),
        Tier::Possible => ("○", WARN),
        Tier::Undecided => ("?", WARN),
    }
}

pub fn verdict(outcome: Outcome, cause: Option<Cause>, of: Tier) -> (&'static str, Style) {
    match (outcome, cause) {
        (Outcome::Clean, _) => ("✓", GOOD),
        (Outcome::Open, _) => ("…", DIM),
        (_, Some(Cause::Undecided) | None) => tier(Tier::Undecided),
        _ => tier(of),
    }
}

impl Theme {
    /// Takes from a finished screen what this theme does without.
    pub fn apply(self, buffer: &mut Buffer) {
        if !self.mono && !self.ascii {
            return;
        }
        for cell in &mut buffer.content {
            if self.mono {
                if cell.fg == Color::Red {
                    cell.modifier.insert(Modifier::BOLD);
                }
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
            }
            if self.ascii && !cell.symbol().is_ascii() {
                let ascii = ascii(cell.symbol());
                cell.set_symbol(ascii);
            }
        }
    }
}

fn ascii(symbol: &str) -> &'static str {
    match symbol {
        "─" | "┄" | "−" | "–" | "╌" => "-",
        "│" | "▏" | "▕" | "▌" => "|",
        "┊" => ":",
        "┌" | "┐" | "└" | "┘" | "├" | "┤" | "┬" | "┴" | "┼" => "+",
        "═" => "=",
        "▶" | "▸" | "›" | "→" => ">",
        "◀" | "◂" | "←" => "<",
        "▾" | "↓" => "v",
        "↑" => "^",
        "↵" => "^",
        "●" => "*",
        "◐" => "+",
        "◆" => "#",
        "━" => "=",
        "▼" => "v",
        "▲" => "^",
        "‹" => "<",
        "○" => "o",
        "✓" => "+",
        "✗" | "×" => "x",
        "…" => "~",
        "·" => "-",
        "±" => "~",
        "≥" => ">",
        "▁" | "▂" => "_",
        "▃" | "▄" => ":",
        "▅" | "▆" => "|",
        "▇" | "█" => "#",
        _ => "?",
    }
}
