//! A line of a configuration -> its words, quotes taken off.

/// How a program's configuration quotes.
pub(super) struct Quoting {
    pub(super) quotes: [char; 2],
    /// Between these a backslash takes the next character as it is.
    pub(super) escapes: fn(char) -> bool,
    /// What begins a comment where a word could begin.
    pub(super) comment: Option<char>,
}

impl Quoting {
    pub(super) fn words(&self, line: &str) -> Vec<String> {
        let mut out = Vec::new();
        let mut chars = line.chars().peekable();
        while let Some(&c) = chars.peek() {
            if c.is_whitespace() {
                chars.next();
                continue;
            }
            if Some(c) == self.comment {
                break;
            }
            let mut word = String::new();
            if self.quotes.contains(&c) {
                chars.next();
                while let Some(n) = chars.next() {
                    match n {
                        '\\' if (self.escapes)(c) => word.extend(chars.next()),
                        n if n == c => break,
                        n => word.push(n),
                    }
                }
            } else {
                while let Some(n) = chars.next_if(|n| !n.is_whitespace()) {
                    word.push(n);
                }
            }
            out.push(word);
        }
        out
    }
}
