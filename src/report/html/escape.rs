//! Text from an input -> text that stands in an HTML page as text, in content and in attributes in double quotes.

use crate::model::inert;

/// Nothing of it is markup, ends an attribute, moves a cursor or turns the direction of the line.
pub(super) fn escape(text: &str) -> String {
    let text = inert(text);
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        for (text, expected) in [
            ("plain", "plain"),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\" onclick='x' `", "&quot; onclick=&#39;x&#39; &#96;"),
            ("&lt;", "&amp;lt;"),
            ("\x1b[2J\u{202e}", "␛[2J\\u{202e}"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}
