//! The part of YAML that proxy configurations use -> a tree whose nodes know their lines; what it does not know becomes text.

/// Nesting that no configuration has; it bounds the recursion.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(m) => m.iter().find(|(k, _)| k == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// Down a path of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |n, key| n.get(key))
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match &self.value {
            Value::List(l) => l,
            _ => &[],
        }
    }

    /// What is below, in the order written.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.value {
            Value::Text(_) => Vec::new(),
            Value::Map(m) => m.iter().map(|(_, n)| n).collect(),
            Value::List(l) => l.iter().collect(),
        }
    }
}

struct Line {
    number: u64,
    indent: usize,
    text: String,
}

struct Parser {
    lines: Vec<Line>,
    at: usize,
}

/// `None` where nothing but comments stands.
pub(super) fn parse(text: &str) -> Option<Node> {
    let lines = text
        .lines()
        .enumerate()
        .filter_map(|(n, raw)| {
            let body = uncommented(raw);
            let text = body.trim();
            (!text.is_empty() && text != "---" && text != "..." && !text.starts_with('%')).then(
                || Line {
                    number: n as u64 + 1,
                    indent: body.len() - body.trim_start().len(),
                    text: text.to_owned(),
                },
            )
        })
        .collect();
    let mut parser = Parser { lines, at: 0 };
    let indent = parser.lines.first()?.indent;
    Some(parser.block(indent, 0))
}

/// Without a comment: `#` at the start or after white space, outside quotes.
fn uncommented(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (i, c) in line.char_indices() {
        match (c, quote) {
            ('#', None) if before.is_whitespace() => return line.get(..i).unwrap_or(line),
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) if before.is_whitespace() || "[{,:".contains(before) => {
                quote = Some(c);
            }
            _ => {}
        }
        before = c;
    }
    line
}

/// `key: rest` of a block mapping.
fn key_of(text: &str) -> Option<(String, &str)> {
    if let Some(q) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let rest = text.get(1..)?;
        let (key, rest) = rest.split_once(q)?;
        let rest = rest.trim_start().strip_prefix(':')?;
        return Some((key.to_owned(), rest.trim()));
    }
    if text.starts_with(['{', '[', '-']) {
        return None;
    }
    let end = text.match_indices(':').map(|(i, _)| i).find(|i| {
        text.get(i + 1..)
            .is_some_and(|r| r.is_empty() || r.starts_with([' ', '\t']))
    })?;
    let key = text.get(..end)?.trim();
    Some((key.to_owned(), text.get(end + 1..)?.trim()))
}

impl Parser {
    fn block(&mut self, indent: usize, depth: usize) -> Node {
        let line = self.lines.get(self.at).map_or(0, |l| l.number);
        let is_item = |l: &Line| l.text == "-" || l.text.starts_with("- ");
        if depth > MAX_DEPTH {
            self.skip(indent);
            return Node {
                line,
                value: Value::Text(String::new()),
            };
        }
        if self.lines.get(self.at).is_some_and(is_item) {
            let mut items = Vec::new();
            while let Some(l) = self.lines.get_mut(self.at) {
                if l.indent != indent || !is_item(l) {
                    break;
                }
                // What follows the dash is a line of its own, further in.
                let rest = l.text.get(1..).unwrap_or("").to_owned();
                let inner = rest.trim_start();
                let number = l.number;
                if inner.is_empty() {
                    self.at += 1;
                    items.push(self.below(indent + 1, number, depth));
                } else {
                    l.indent = indent + 1 + (rest.len() - inner.len());
                    l.text = inner.to_owned();
                    let deeper = l.indent;
                    items.push(self.block(deeper, depth + 1));
                }
                self.skip(indent + 1);
            }
            return Node {
                line,
                value: Value::List(items),
            };
        }
        if self
            .lines
            .get(self.at)
            .is_some_and(|l| key_of(&l.text).is_some())
        {
            let mut entries = Vec::new();
            while let Some(l) = self.lines.get(self.at) {
                if l.indent != indent {
                    break;
                }
                let Some((key, rest)) = key_of(&l.text) else {
                    break;
                };
                let rest = rest.to_owned();
                let number = l.number;
                self.at += 1;
                let value = if rest.is_empty() {
                    // A list may stand as far out as its key.
                    let list = self
                        .lines
                        .get(self.at)
                        .filter(|n| n.indent == indent && is_item(n));
                    let from = if list.is_some() { indent } else { indent + 1 };
                    let mut node = self.below(from, number, depth);
                    node.line = number;
                    node
                } else if rest.starts_with(['|', '>']) {
                    self.skip(indent + 1);
                    Node {
                        line: number,
                        value: Value::Text(String::new()),
                    }
                } else {
                    self.inline(rest, number, indent + 1)
                };
                entries.push((key, value));
                self.skip(indent + 1);
            }
            return Node {
                line,
                value: Value::Map(entries),
            };
        }
        match self.lines.get(self.at) {
            Some(l) => {
                let text = l.text.clone();
                self.at += 1;
                self.inline(text, line, indent)
            }
            None => Node {
                line,
                value: Value::Text(String::new()),
            },
        }
    }

    /// The block on the next lines if it stands at least this far in, else nothing.
    fn below(&mut self, from: usize, line: u64, depth: usize) -> Node {
        match self.lines.get(self.at).map(|l| l.indent) {
            Some(indent) if indent >= from => self.block(indent, depth + 1),
            _ => Node {
                line,
                value: Value::Text(String::new()),
            },
        }
    }

    fn skip(&mut self, indent: usize) {
        while self.lines.get(self.at).is_some_and(|l| l.indent >= indent) {
            self.at += 1;
        }
    }

    /// A scalar, or a flow collection that may go on over the next lines.
    fn inline(&mut self, text: String, line: u64, indent: usize) -> Node {
        // Anchors and tags name a value; they are no part of it.
        let mut text = text;
        while text.starts_with(['&', '!']) {
            text = text
                .split_once(' ')
                .map_or("", |(_, r)| r.trim_start())
                .to_owned();
        }
        if text.is_empty() {
            return self.below(indent, line, 0);
        }
        if !text.starts_with(['{', '[']) {
            return Node {
                line,
                value: Value::Text(unquoted(&text)),
            };
        }
        let mut parts = vec![(line, text)];
        let mut open = balance(&parts[0].1);
        while open > 0 {
            let Some(next) = self.lines.get(self.at) else {
                break;
            };
            open += balance(&next.text);
            parts.push((next.number, next.text.clone()));
            self.at += 1;
        }
        let chars: Vec<(char, u64)> = parts
            .iter()
            .flat_map(|(n, t)| t.chars().chain([' ']).map(move |c| (c, *n)))
            .collect();
        let mut flow = Flow { chars, at: 0 };
        flow.value(0)
    }
}

fn balance(text: &str) -> i64 {
    let mut quote = None;
    let mut open = 0;
    for c in text.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            ('{' | '[', None) => open += 1,
            ('}' | ']', None) => open -= 1,
            _ => {}
        }
    }
    open
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    for q in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(q).and_then(|t| t.strip_suffix(q)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

struct Flow {
    chars: Vec<(char, u64)>,
    at: usize,
}

impl Flow {
    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.0.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).map(|c| c.0)
    }

    fn value(&mut self, depth: usize) -> Node {
        let first = self.peek();
        let line = self
            .chars
            .get(self.at)
            .or_else(|| self.chars.last())
            .map_or(0, |c| c.1);
        let value = match first {
            Some('{') if depth < MAX_DEPTH => {
                self.at += 1;
                let mut entries = Vec::new();
                while let Some(c) = self.peek() {
                    match c {
                        '}' => {
                            self.at += 1;
                            break;
                        }
                        ',' | ':' | ']' => self.at += 1,
                        _ => {
                            let key = self.scalar(true);
                            let node = if self.peek() == Some(':') {
                                self.at += 1;
                                self.value(depth + 1)
                            } else {
                                Node {
                                    line,
                                    value: Value::Text(String::new()),
                                }
                            };
                            entries.push((key, node));
                        }
                    }
                }
                Value::Map(entries)
            }
            Some('[') if depth < MAX_DEPTH => {
                self.at += 1;
                let mut items = Vec::new();
                while let Some(c) = self.peek() {
                    match c {
                        ']' => {
                            self.at += 1;
                            break;
                        }
                        ',' | '}' | ':' => self.at += 1,
                        _ => items.push(self.value(depth + 1)),
                    }
                }
                Value::List(items)
            }
            Some(',' | '}' | ']') | None => Value::Text(String::new()),
            Some(_) => Value::Text(self.scalar(false)),
        };
        Node { line, value }
    }

    /// Always goes on by at least one character.
    fn scalar(&mut self, key: bool) -> String {
        let mut out = String::new();
        if let Some(&(q @ ('"' | '\''), _)) = self.chars.get(self.at) {
            self.at += 1;
            while let Some(&(c, _)) = self.chars.get(self.at) {
                self.at += 1;
                if c == q {
                    break;
                }
                out.push(c);
            }
            return out;
        }
        while let Some(&(c, _)) = self.chars.get(self.at) {
            let next = self.chars.get(self.at + 1).map_or(' ', |n| n.0);
            let ends = matches!(c, ',' | '}' | ']')
                || (key && c == ':' && (next.is_whitespace() || "\"'{[".contains(next)));
            if ends && !out.is_empty() {
                break;
            }
            out.push(c);
            self.at += 1;
        }
        out.trim().to_owned()
    }
}
