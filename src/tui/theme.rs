//! What a cell means -> how it looks: the terminal's own 16 colours, colours for a dark or a light background, mono, and ASCII.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::model::{Cause, Outcome, Tier};

/// What the terminal's background is, as far as it was told: nothing is asked of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ground {
    /// The terminal's own 16 colours, whose shades its owner chose for its background.
    #[default]
    Own,
    Dark,
    Light,
}

/// Views always draw in colour and Unicode; the theme takes away what the terminal should not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// No colours, for `NO_COLOR`: what matters is bold, what is selected is reversed.
    pub mono: bool,
    /// ASCII only.
    pub ascii: bool,
    pub ground: Ground,
    /// The terminal has 256 colours, whose shades are known; without them a told background gets the best of 16.
    pub rich: bool,
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
    /// The theme of this name, `auto`, `dark`, `light` or `mono`; `None` for any other.
    pub fn named(name: &str) -> Option<Self> {
        let (mono, ground) = match name {
            "auto" => (false, Ground::Own),
            "dark" => (false, Ground::Dark),
            "light" => (false, Ground::Light),
            "mono" => (true, Ground::Own),
            _ => return None,
        };
        Some(Self {
            mono,
            ground,
            ..Self::default()
        })
    }

    /// What this theme has for a colour that views draw in.
    const fn shade(self, colour: Color) -> Color {
        match (self.ground, self.rich, colour) {
            (Ground::Dark, true, Color::Red) => Color::Indexed(203),
            (Ground::Dark, true, Color::Yellow) => Color::Indexed(221),
            (Ground::Dark, true, Color::Green) => Color::Indexed(114),
            (Ground::Dark, true, Color::Cyan) => Color::Indexed(80),
            (Ground::Light, true, Color::Red) => Color::Indexed(124),
            (Ground::Light, true, Color::Yellow) => Color::Indexed(94),
            (Ground::Light, true, Color::Green) => Color::Indexed(22),
            (Ground::Light, true, Color::Cyan) => Color::Indexed(24),
            // Of the 16, yellow and cyan are the ones that fade on white.
            (Ground::Light, false, Color::Yellow) => Color::Magenta,
            (Ground::Light, false, Color::Cyan) => Color::Blue,
            _ => colour,
        }
    }

    /// Takes from a finished screen what this theme does without.
    pub fn apply(self, buffer: &mut Buffer) {
        if !self.mono && !self.ascii && self.ground == Ground::Own {
            return;
        }
        for cell in &mut buffer.content {
            if self.mono {
                if cell.fg == Color::Red {
                    cell.modifier.insert(Modifier::BOLD);
                }
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
            } else {
                cell.fg = self.shade(cell.fg);
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
        "░" => ".",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixed part of xterm's 256 colours.
    fn rgb(colour: Color) -> [f64; 3] {
        const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        let Color::Indexed(n @ 16..=231) = colour else {
            panic!("{colour:?} has no fixed shade")
        };
        let n = usize::from(n - 16);
        [n / 36, n / 6 % 6, n % 6].map(|level| f64::from(LEVELS[level]))
    }

    /// WCAG 2.1, relative luminance and contrast ratio.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let luminance = |rgb: [f64; 3]| {
            let [r, g, b] = rgb.map(|c| {
                let c = c / 255.0;
                if c <= 0.03928 {
                    c / 12.92
                } else {
                    ((c + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        if a > b { a / b } else { b / a }
    }

    #[test]
    fn every_colour_reads_on_the_background_that_it_is_for() {
        let check = |name: &str, grounds: &[[f64; 3]]| {
            let theme = Theme {
                rich: true,
                ..Theme::named(name).expect(name)
            };
            for style in [BAD, WARN, GOOD, ACCENT] {
                let colour = theme.shade(style.fg.expect("a colour"));
                for ground in grounds {
                    let ratio = contrast(rgb(colour), *ground);
                    assert!(ratio >= 4.5, "{name}: {colour:?} on {ground:?}: {ratio:.1}");
                }
            }
        };
        check("dark", &[[0.0; 3], [30.0; 3], [0.0, 43.0, 54.0]]);
        check("light", &[[255.0; 3], [253.0, 246.0, 227.0]]);
        assert_eq!(Theme::named("purple"), None);
    }
}
