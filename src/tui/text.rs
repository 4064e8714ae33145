//! Text and numbers -> what fits a cell range: inert, cut by display width, wrapped by words.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::{Analysis, Moment, RecordRef, SECOND_NS, inert};

pub fn width(text: &str) -> usize {
    text.width()
}

/// Inert, and cut to `width` columns with `…` as the last one.
pub fn fit(text: &str, width: usize) -> String {
    let text = inert(head(text, width));
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        out.push(c);
        used += w;
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// As much of a text of any length as could matter to `width` columns: a line of many megabytes costs nothing.
fn head(text: &str, width: usize) -> &str {
    text.char_indices()
        .nth(width.saturating_mul(4).saturating_add(64))
        .map_or(text, |(i, _)| &text[..i])
}

/// [`fit`], filled up with blanks; on the left where `right` is set.
pub fn cell(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let blanks = " ".repeat(width.saturating_sub(text.width()));
    if right {
        blanks + &text
    } else {
        text + &blanks
    }
}

/// Inert lines of at most `width` columns, broken between words where that is possible; at most `most` of them.
pub fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if width == 0 {
        return lines;
    }
    for paragraph in head(text, width.saturating_mul(most)).lines() {
        let mut line = String::new();
        for word in inert(paragraph).split(' ') {
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                if line.width() + c.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
        if lines.len() >= most {
            break;
        }
    }
    lines.truncate(most);
    lines
}

/// `4ms`, `60.0s`, `2.5m`, `3.0h`: five columns or so.
pub fn seconds(ns: i64) -> String {
    let s = ns as f64 / SECOND_NS as f64;
    match s.abs() {
        a if a < 0.000_5 => "0ms".to_owned(),
        a if a < 0.1 => format!("{:.0}ms", s * 1000.0),
        a if a < 1000.0 => format!("{s:.1}s"),
        a if a < 36_000.0 => format!("{:.1}m", s / 60.0),
        a if a < 864_000.0 => format!("{:.1}h", s / 3600.0),
        _ => format!("{:.1}d", s / 86_400.0),
    }
}

/// `09:26:05` and as many decimals as the tick carries, at most three, so many seconds east of UTC.
pub fn clock(at: Moment, tick_ns: i64, east_s: i32) -> String {
    let format = if tick_ns >= SECOND_NS {
        "%H:%M:%S"
    } else {
        "%H:%M:%S%.3f"
    };
    there(at, east_s).utc().format(format).to_string()
}

/// The moment whose UTC reads as this one does so many seconds east of it.
pub fn there(at: Moment, east_s: i32) -> Moment {
    at.plus(i64::from(east_s) * SECOND_NS)
}

/// `UTC`, `+05:30`.
pub fn zone_name(east_s: i32) -> String {
    if east_s == 0 {
        return "UTC".to_owned();
    }
    let sign = if east_s < 0 { '-' } else { '+' };
    let minutes = east_s.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// `error.log:12` for a line, `edge.pcap#91` for a packet.
pub fn place(analysis: &Analysis, record: RecordRef) -> String {
    analysis.source(record.source).map_or_else(
        || format!("?:{}", record.ordinal),
        |s| {
            format!(
                "{}{}{}",
                s.path,
                if s.kind.is_capture() { '#' } else { ':' },
                record.ordinal
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        let check =
            |text: &str, width: usize, expected: &str| assert_eq!(fit(text, width), expected);
        check("abc", 3, "abc");
        check("abcd", 3, "ab…");
        check("日本語", 6, "日本語");
        check("日本語", 5, "日本…");
        check("日本語", 4, "日…");
        check("a\x1b[31mb", 4, "a␛[…");
        check("abc", 0, "");
        check(&"x".repeat(10_000_000), 4, "xxx…");
    }

    #[test]
    fn durations_are_short_and_zero_has_no_sign() {
        let check = |ns: i64, expected: &str| assert_eq!(seconds(ns), expected, "{ns}");
        check(0, "0ms");
        check(-40_000, "0ms");
        check(-4_000_000, "-4ms");
        check(99_000_000, "99ms");
        check(100_000_000, "0.1s");
        check(60_000_000_000, "60.0s");
        check(1_500_000_000_000, "25.0m");
    }

    #[test]
    fn lines_break_between_words() {
        let check =
            |text: &str, width, expected: &[&str]| assert_eq!(wrap(text, width, 9), expected);
        check("one two three", 7, &["one two", "three"]);
        check("abcdefgh ij", 3, &["abc", "def", "gh", "ij"]);
        check("日本語", 4, &["日本", "語"]);
        check("a", 0, &[]);
    }
}
