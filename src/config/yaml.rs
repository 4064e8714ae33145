//! The part of YAML that proxies are configured in (block and flow maps and lists, JSON as well) -> a tree with lines.

/// A value and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Scalar(String),
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
    /// Calls `each` for this node and everything in it.
    pub(super) fn walk<'a>(&'a self, each: &mut dyn FnMut(&'a Self)) {
        each(self);
        match &self.value {
            Value::Scalar(_) => {}
            Value::Map(entries) => entries.iter().for_each(|(_, v)| v.walk(each)),
            Value::List(items) => items.iter().for_each(|v| v.walk(each)),
        }
    }
}

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 64;

struct Line<'a> {
    number: u64,
    indent: usize,
    text: &'a str,
}

struct Parser<'a> {
    lines: Vec<Line<'a>>,
    at: usize,
    /// First line that was not understood, and how many.
    odd: Option<(u64, u64)>,
}

/// The tree of a text, and the lines that were not understood: the first one, how many.
pub(super) fn parse(text: &str) -> (Node, Option<(u64, u64)>) {
    let mut lines = Vec::new();
    for (i, full) in text.lines().enumerate() {
        let code = without_comment(full).trim_end();
        let trimmed = code.trim_start();
        if trimmed.is_empty() || trimmed == "---" || trimmed == "..." {
            continue;
        }
        lines.push(Line {
            number: i as u64 + 1,
            indent: code.len() - trimmed.len(),
            text: trimmed,
        });
    }
    let mut parser = Parser {
        lines,
        at: 0,
        odd: None,
    };
    let node = match parser.lines.first().map(|l| l.indent) {
        Some(indent) => parser.block(indent, 0),
        None => Node {
            line: 1,
            value: Value::Map(Vec::new()),
        },
    };
    while let Some(line) = parser.lines.get(parser.at).map(|l| l.number) {
        parser.fault(line);
        parser.at += 1;
    }
    (node, parser.odd)
}

/// `#` after a blank, outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (i, c) in line.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (None, '#') if before.is_whitespace() => return &line[..i],
            _ => {}
        }
        before = c;
    }
    line
}

impl<'a> Parser<'a> {
    fn fault(&mut self, line: u64) {
        let (first, count) = self.odd.unwrap_or((line, 0));
        self.odd = Some((first, count + 1));
    }

    /// The map, list or scalar that begins at this line with this indent. Always moves on.
    fn block(&mut self, indent: usize, depth: usize) -> Node {
        let Some((number, text)) = self.lines.get(self.at).map(|l| (l.number, l.text)) else {
            return Node {
                line: 0,
                value: Value::Scalar(String::new()),
            };
        };
        if depth > MAX_DEPTH {
            self.fault(number);
            self.at += 1;
            return Node {
                line: number,
                value: Value::Scalar(String::new()),
            };
        }
        if text == "-" || text.starts_with("- ") {
            return self.list(indent, depth);
        }
        if text.starts_with(['{', '[']) {
            self.at += 1;
            return self.flow(number, text);
        }
        if key_of(text).is_some() {
            return self.map(indent, depth);
        }
        self.at += 1;
        Node {
            line: number,
            value: Value::Scalar(scalar(text)),
        }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Node {
        let first = self.lines.get(self.at).map_or(0, |l| l.number);
        let mut items = Vec::new();
        while let Some((number, text)) = self
            .lines
            .get(self.at)
            .filter(|l| l.indent == indent)
            .map(|l| (l.number, l.text))
        {
            let Some(rest) = text
                .strip_prefix('-')
                .filter(|r| r.is_empty() || r.starts_with(' '))
            else {
                break;
            };
            let inner = rest.trim_start();
            if inner.is_empty() {
                self.at += 1;
                items.push(self.nested(indent, number, depth, false));
                continue;
            }
            // What follows the dash begins a block at its own column.
            let column = indent + (text.len() - inner.len());
            if let Some(line) = self.lines.get_mut(self.at) {
                line.indent = column;
                line.text = inner;
            }
            items.push(self.block(column, depth + 1));
        }
        Node {
            line: first,
            value: Value::List(items),
        }
    }

    fn map(&mut self, indent: usize, depth: usize) -> Node {
        let first = self.lines.get(self.at).map_or(0, |l| l.number);
        let mut entries = Vec::new();
        while let Some((number, text, own)) = self
            .lines
            .get(self.at)
            .map(|l| (l.number, l.text, l.indent))
        {
            if own < indent {
                break;
            }
            let parsed = if own == indent { key_of(text) } else { None };
            let Some((key, rest)) = parsed else {
                if own == indent && (text == "-" || text.starts_with("- ")) {
                    break;
                }
                self.fault(number);
                self.at += 1;
                continue;
            };
            self.at += 1;
            // Anchors and tags name nothing that is looked up here.
            let rest = match rest.split_once(' ') {
                Some((word, after)) if word.starts_with(['&', '!']) => after.trim_start(),
                None if rest.starts_with(['&', '!']) => "",
                _ => rest,
            };
            let node = if rest.is_empty() {
                self.nested(indent, number, depth, true)
            } else if rest.starts_with(['|', '>']) {
                while self.lines.get(self.at).is_some_and(|l| l.indent > indent) {
                    self.at += 1;
                }
                Node {
                    line: number,
                    value: Value::Scalar(String::new()),
                }
            } else if rest.starts_with(['{', '[']) {
                self.flow(number, rest)
            } else {
                Node {
                    line: number,
                    value: Value::Scalar(scalar(rest)),
                }
            };
            entries.push((key, node));
        }
        Node {
            line: first,
            value: Value::Map(entries),
        }
    }

    /// The block under a key or dash; a list may stand at the indent of its key.
    fn nested(&mut self, indent: usize, line: u64, depth: usize, of_key: bool) -> Node {
        match self.lines.get(self.at) {
            Some(next) if next.indent > indent => {
                let deeper = next.indent;
                self.block(deeper, depth + 1)
            }
            Some(next)
                if of_key
                    && next.indent == indent
                    && (next.text == "-" || next.text.starts_with("- ")) =>
            {
                self.list(indent, depth + 1)
            }
            _ => Node {
                line,
                value: Value::Scalar(String::new()),
            },
        }
    }

    /// `{ a: b, c: [d] }`, over as many lines as its brackets need.
    fn flow(&mut self, line: u64, first: &'a str) -> Node {
        let mut text: Vec<(char, u64)> = first.chars().map(|c| (c, line)).collect();
        let mut depth = balance(first, 0);
        while depth > 0 {
            let Some(next) = self.lines.get(self.at) else {
                break;
            };
            text.push((' ', next.number));
            text.extend(next.text.chars().map(|c| (c, next.number)));
            depth = balance(next.text, depth);
            self.at += 1;
        }
        let mut at = 0;
        let node = flow_value(&text, &mut at, 0);
        if depth != 0 {
            self.fault(line);
        }
        node.unwrap_or(Node {
            line,
            value: Value::Scalar(String::new()),
        })
    }
}

/// Brackets left open after this text, quotes passed over.
fn balance(text: &str, mut depth: i64) -> i64 {
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(q), c) if c == q && !escaped => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            _ => {}
        }
        escaped = false;
    }
    depth
}

fn flow_value(text: &[(char, u64)], at: &mut usize, depth: usize) -> Option<Node> {
    blank(text, at);
    let (c, line) = *text.get(*at)?;
    if depth > MAX_DEPTH {
        return None;
    }
    match c {
        '{' => {
            *at += 1;
            let mut entries = Vec::new();
            loop {
                blank(text, at);
                match text.get(*at)?.0 {
                    '}' => {
                        *at += 1;
                        return Some(Node {
                            line,
                            value: Value::Map(entries),
                        });
                    }
                    ',' => *at += 1,
                    _ => {
                        let key_line = text.get(*at)?.1;
                        let key = flow_scalar(text, at, true);
                        blank(text, at);
                        let value = if text.get(*at).is_some_and(|(c, _)| *c == ':') {
                            *at += 1;
                            flow_value(text, at, depth + 1)?
                        } else {
                            Node {
                                line: key_line,
                                value: Value::Scalar(String::new()),
                            }
                        };
                        entries.push((key, value));
                    }
                }
            }
        }
        '[' => {
            *at += 1;
            let mut items = Vec::new();
            loop {
                blank(text, at);
                match text.get(*at)?.0 {
                    ']' => {
                        *at += 1;
                        return Some(Node {
                            line,
                            value: Value::List(items),
                        });
                    }
                    ',' => *at += 1,
                    _ => items.push(flow_value(text, at, depth + 1)?),
                }
            }
        }
        _ => Some(Node {
            line,
            value: Value::Scalar(flow_scalar(text, at, false)),
        }),
    }
}

fn blank(text: &[(char, u64)], at: &mut usize) {
    while text.get(*at).is_some_and(|(c, _)| c.is_whitespace()) {
        *at += 1;
    }
}

/// A scalar inside a flow; always moves on.
fn flow_scalar(text: &[(char, u64)], at: &mut usize, key: bool) -> String {
    let mut out = String::new();
    if let Some((quote @ ('"' | '\''), _)) = text.get(*at) {
        *at += 1;
        while let Some((c, _)) = text.get(*at) {
            *at += 1;
            if c == quote {
                break;
            }
            if *c == '\\' && *quote == '"' {
                out.extend(text.get(*at).map(|(c, _)| *c));
                *at += 1;
                continue;
            }
            out.push(*c);
        }
        return out;
    }
    let from = *at;
    while let Some((c, _)) = text.get(*at) {
        let next_blank = text.get(*at + 1).is_none_or(|(c, _)| c.is_whitespace());
        if matches!(c, ',' | '}' | ']') || key && *c == ':' && next_blank {
            break;
        }
        out.push(*c);
        *at += 1;
    }
    if *at == from {
        *at += 1;
    }
    out.trim().to_owned()
}

/// Key and the rest of `key: rest`; `None` where the line has no key.
fn key_of(text: &str) -> Option<(String, &str)> {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        let end = text[1..].find(quote)? + 1;
        let rest = text[end + 1..].trim_start().strip_prefix(':')?;
        return Some((text[1..end].to_owned(), rest.trim()));
    }
    let at = text
        .find(": ")
        .or_else(|| text.ends_with(':').then(|| text.len() - 1))?;
    let key = &text[..at];
    if key.starts_with(['{', '[']) || key.is_empty() {
        return None;
    }
    Some((key.trim().to_owned(), text[at + 1..].trim()))
}

fn scalar(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &[&str], want: Option<(&str, u64)>) {
        let (node, odd) = parse(text);
        assert_eq!(odd, None, "{text}");
        let found = node.at(path).and_then(|n| n.text().map(|t| (t, n.line)));
        assert_eq!(found, want, "{text}: {node:?}");
    }

    #[test]
    fn shapes() {
        check("a:\n  b: 1 # no\n  c: '#x'\n", &["a", "b"], Some(("1", 2)));
        check("a:\n  b: 1\n  c: '#x'\n", &["a", "c"], Some(("#x", 3)));
        check(
            "a: { b: { c: 0.0.0.0, d: 80 }, e: [x, y] }\nf: g",
            &["a", "b", "d"],
            Some(("80", 1)),
        );
        check(
            "{\n \"a\": {\n  \"b\": 5\n }\n}",
            &["a", "b"],
            Some(("5", 3)),
        );
        check(
            "a:\n  \"@type\": type.x/y.Z\n",
            &["a", "@type"],
            Some(("type.x/y.Z", 2)),
        );
        check("t: |\n  x: y\n  z\nb: 1", &["b"], Some(("1", 4)));
    }

    #[test]
    fn lists_at_either_indent() {
        for text in [
            "a:\n- n: 1\n  m: 2\n- n: 3\n",
            "a:\n  - n: 1\n    m: 2\n  - n: 3\n",
            "a:\n  -\n    n: 1\n    m: 2\n  - n: 3\n",
        ] {
            let (node, odd) = parse(text);
            assert_eq!(odd, None);
            let items = node.get("a").map(Node::items).unwrap_or_default();
            assert_eq!(
                items
                    .iter()
                    .map(|i| i.get("n").and_then(Node::text))
                    .collect::<Vec<_>>(),
                [Some("1"), Some("3")]
            );
            assert_eq!(items[0].get("m").and_then(Node::text), Some("2"));
        }
    }
}
