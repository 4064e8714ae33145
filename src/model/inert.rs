//! Text from an input -> text that a terminal shows and never obeys: escapes, bidi overrides and invisible characters become visible.

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

#[cfg(test)]
mod tests {
    use super::*;

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
