//! Text from input -> text that no terminal acts on: control characters, escapes and bidi controls become visible marks.

/// Replaces every character that could move a cursor, change colours, hide or reorder text: C0 and C1 controls and DEL
/// become `\x1b`, bidi controls, zero-width and other format characters become `\u{202e}`. A tab becomes one blank.
pub fn inert(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
                let _ =
                    std::fmt::Write::write_fmt(&mut out, format_args!("\\x{:02x}", u32::from(c)));
            }
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => {
                let _ =
                    std::fmt::Write::write_fmt(&mut out, format_args!("\\u{{{:x}}}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_left() {
        let check = |input: &str, expected: &str| assert_eq!(inert(input), expected);
        check("GET /ws HTTP/1.1", "GET /ws HTTP/1.1");
        check("\x1b[2J\x07", "\\x1b[2J\\x07");
        check("a\tb\r\n", "a b\\x0d\\x0a");
        check("\u{9b}31m", "\\x9b31m");
        check("gpj.\u{202e}exe", "gpj.\\u{202e}exe");
        check("日本 é", "日本 é");
    }
}
