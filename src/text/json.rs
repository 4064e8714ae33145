//! One line of JSON, also of the broken kind that templates write -> its leaves.

/// What a value was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text between the quotes, escapes still in it.
    Text,
    /// Number, `true`, `null`, or what a template left: `-`, nothing.
    Bare,
    /// An object or array: the value is empty, its leaves follow.
    Tree,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) kind: Kind,
    /// Index of the tree this stands in; `usize::MAX` at the top.
    pub(crate) parent: usize,
    pub(crate) depth: u8,
}

impl<'a> Leaf<'a> {
    /// The value without escapes; empty for `null` and `-`.
    pub(crate) fn text(&self) -> std::borrow::Cow<'a, [u8]> {
        if self.kind == Kind::Bare && matches!(self.value, b"null" | b"-") {
            return std::borrow::Cow::Borrowed(b"");
        }
        if memchr::memchr(b'\\', self.value).is_some() {
            std::borrow::Cow::Owned(super::unescape(self.value))
        } else {
            std::borrow::Cow::Borrowed(self.value)
        }
    }
}

/// Nesting and leaves beyond these are refused: no log line needs them.
const MAX_DEPTH: usize = 16;
const MAX_LEAVES: usize = 512;

/// The leaves of an object that fills the line, in order. `false` = it is none, or not a whole one.
pub(crate) fn scan<'a>(line: &'a [u8], leaves: &mut Vec<Leaf<'a>>) -> bool {
    leaves.clear();
    let line = line.trim_ascii();
    if line.first() != Some(&b'{') || line.last() != Some(&b'}') {
        return false;
    }
    let mut open: Vec<(usize, bool)> = vec![(usize::MAX, false)];
    let mut at = 1;
    loop {
        let Some(&(parent, array)) = open.last() else {
            return at == line.len();
        };
        at = blank(line, at);
        let Some(&c) = line.get(at) else { return false };
        if c == b',' {
            at += 1;
            continue;
        }
        if c == if array { b']' } else { b'}' } {
            open.pop();
            at += 1;
            continue;
        }
        let mut key: &[u8] = b"";
        if !array {
            if c != b'"' {
                return false;
            }
            let Some(n) = super::quoted(&line[at + 1..], b'"') else {
                return false;
            };
            key = &line[at + 1..at + 1 + n];
            at = blank(line, at + n + 2);
            if line.get(at) != Some(&b':') {
                return false;
            }
            at = blank(line, at + 1);
        }
        if leaves.len() >= MAX_LEAVES {
            return false;
        }
        let depth = open.len() as u8;
        let index = leaves.len();
        match line.get(at) {
            Some(b'"') => {
                let Some(n) = super::quoted(&line[at + 1..], b'"') else {
                    return false;
                };
                let value = &line[at + 1..at + 1 + n];
                leaves.push(Leaf {
                    key,
                    value,
                    kind: Kind::Text,
                    parent,
                    depth,
                });
                at += n + 2;
            }
            Some(c @ (b'{' | b'[')) => {
                if open.len() >= MAX_DEPTH {
                    return false;
                }
                leaves.push(Leaf {
                    key,
                    value: b"",
                    kind: Kind::Tree,
                    parent,
                    depth,
                });
                open.push((index, *c == b'['));
                at += 1;
            }
            _ => {
                let rest = &line[at..];
                let n = rest
                    .iter()
                    .position(|c| matches!(c, b',' | b'}' | b']'))
                    .unwrap_or(rest.len());
                let value = rest[..n].trim_ascii();
                if value.len() > 64 || memchr::memchr2(b'"', b':', value).is_some() {
                    return false;
                }
                leaves.push(Leaf {
                    key,
                    value,
                    kind: Kind::Bare,
                    parent,
                    depth,
                });
                at += n;
            }
        }
    }
}

fn blank(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Key and raw value of each member of an object's top level, nested values as they stand; ends at what is no JSON.
#[derive(Debug)]
pub(crate) struct Top<'a>(&'a [u8]);

impl<'a> Top<'a> {
    pub(crate) fn new(object: &'a [u8]) -> Self {
        Self(object.trim_ascii().strip_prefix(b"{").unwrap_or(b""))
    }
}

impl<'a> Iterator for Top<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.0[blank(self.0, 0)..];
        let rest = rest.strip_prefix(b",").unwrap_or(rest);
        let rest = rest[blank(rest, 0)..].strip_prefix(b"\"")?;
        let n = super::quoted(rest, b'"')?;
        let (key, rest) = (&rest[..n], &rest[n + 1..]);
        let rest = rest[blank(rest, 0)..].strip_prefix(b":")?;
        let rest = &rest[blank(rest, 0)..];
        let end = match rest.first()? {
            b'"' => super::quoted(&rest[1..], b'"')? + 2,
            b'{' | b'[' => nested(rest)?,
            _ => memchr::memchr2(b',', b'}', rest)?,
        };
        self.0 = &rest[end..];
        Some((key, rest[..end].trim_ascii_end()))
    }
}

/// Bytes of the object or list that begins here.
fn nested(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => at += super::quoted(&text[at + 1..], b'"')? + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// One object, over however many lines, and nothing else.
pub(crate) fn is_one(text: &[u8]) -> bool {
    text.first() == Some(&b'{') && nested(text) == Some(text.len())
}

/// The text of a raw value: a string without its quotes and escapes, anything else as it stands.
pub(crate) fn plain(value: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    match value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""))
    {
        Some(text) if memchr::memchr(b'\\', text).is_some() => {
            std::borrow::Cow::Owned(super::unescape(text))
        }
        Some(text) => std::borrow::Cow::Borrowed(text),
        None => std::borrow::Cow::Borrowed(value),
    }
}

/// `err.message`: the leaf's keys from the top, for the Raw view.
pub(crate) fn path(leaves: &[Leaf<'_>], index: usize) -> String {
    let mut parts = Vec::new();
    let mut next = index;
    while let Some(leaf) = leaves.get(next) {
        parts.push(String::from_utf8_lossy(leaf.key).into_owned());
        next = leaf.parent;
    }
    parts.reverse();
    parts.join(".")
}

/// Field and value of every leaf.
pub(crate) fn fields(line: &[u8]) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    if !scan(line, &mut leaves) {
        return Vec::new();
    }
    (0..leaves.len())
        .filter(|i| leaves[*i].kind != Kind::Tree)
        .map(|i| (path(&leaves, i), super::string(&leaves[i].text())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: Option<&[(&str, &str)]>) {
        let mut leaves = Vec::new();
        let whole = scan(line.as_bytes(), &mut leaves);
        assert_eq!(whole, want.is_some(), "{line}");
        if let Some(want) = want {
            let got = fields(line.as_bytes());
            let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn members_of_the_top_level() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let got: Vec<_> = Top::new(text.as_bytes())
                .map(|(k, v)| (super::super::string(k), super::super::string(&plain(v))))
                .collect();
            let got: Vec<_> = got.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(got, want, "{text}");
        };
        check(
            "{ \"a\" : \"x\\n\", \"b\":{\"c\":[1,\"}\"]},\n\"d\": 7 }",
            &[("a", "x\n"), ("b", "{\"c\":[1,\"}\"]}"), ("d", "7")],
        );
        check("{\"a\":1,\"b\":{\"c\"", &[("a", "1")]);
        check("[1]", &[]);
    }

    #[test]
    fn whole_and_broken_lines() {
        check(
            r#"{"a":1,"b":"x\"y","c":{"d":[1,{"e":"f"}]}}"#,
            Some(&[("a", "1"), ("b", "x\"y"), ("c.d.", "1"), ("c.d..e", "f")]),
        );
        check(
            r#"{"a":,"b":-,"c":"\x22"}"#,
            Some(&[("a", ""), ("b", ""), ("c", "\"")]),
        );
        check("{}", Some(&[]));
        check(r#"{"type":"order","items":[1,2"#, None);
        check(r#"{"a":1}x"#, None);
        check(r#"{"a":1}}"#, None);
        check("{ sessionId: '7f', code: 1 }", None);
        check(
            &format!("{}{}", r#"{"a":"#.repeat(40), "}".repeat(40)),
            None,
        );
    }
}
