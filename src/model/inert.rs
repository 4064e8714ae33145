//! Text from an input -> text that a terminal shows and never obeys: escapes, bidi overrides and invisible characters become visible.

use std::io::{self, Write};

/// The same text with every character that could move the cursor, recolour, reorder or hide something replaced by a visible one:
/// C0 and DEL by their control pictures (`ESC` -> `␛`), everything else by its code (`\u{202e}`).
pub fn inert(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('?')),
            '\u{7f}' => out.push('\u{2421}'),
            c if is_treacherous(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// C1 controls, bidi controls, zero-width and other characters that show nothing but change what is shown.
const fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Passes JSON on with every treacherous character of its strings as `\uXXXX` (RFC 8259 7): the same values for programs, and nothing
/// for a terminal to obey. C0 is escaped by JSON itself. Whole characters come in every write, as serde_json makes them.
#[derive(Debug)]
pub struct InertJson<W>(pub W);

impl<W: Write> Write for InertJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = match str::from_utf8(bytes) {
            Ok(text) if !text.is_ascii() => text,
            _ => {
                self.0.write_all(bytes)?;
                return Ok(bytes.len());
            }
        };
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_treacherous(c)) {
            let (before, from) = rest.split_at(at);
            self.0.write_all(before.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(self.0, "\\u{unit:04x}")?;
            }
            rest = from.get(c.len_utf8()..).unwrap_or_default();
        }
        self.0.write_all(rest.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_values_and_shows_its_traps() {
        let value = serde_json::json!({ "a\u{202e}b": "x\u{9b}31m \u{e0041}é漢\u{1b}" });
        let mut out = Vec::new();
        serde_json::to_writer(InertJson(&mut out), &value).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"a\\u202eb\":\"x\\u009b31m \\udb40\\udc41é漢\\u001b\"}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(inert(input), expected);
        assert_eq!(inert(expected), expected, "what is inert stays as it is");
    }

    #[test]
    fn what_a_terminal_would_obey_becomes_visible() {
        check("plain text, ~!", "plain text, ~!");
        check("grüße ✓ 漢字", "grüße ✓ 漢字");
        check("\x1b[2Jgone", "␛[2Jgone");
        check("\x1b]0;title\x07", "␛]0;title␇");
        check("a\r\nb\tc\0", "a␍␊b␉c␀");
        check("del\x7f", "del␡");
        check("csi\u{9b}31m", "csi\\u{9b}31m");
        check("abc\u{202e}gpj.exe", "abc\\u{202e}gpj.exe");
        check("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}");
        check("line\u{2028}sep", "line\\u{2028}sep");
        check("tag\u{e0041}", "tag\\u{e0041}");
    }
}
