//! The text of an nginx configuration -> its directives as a tree, with what `nginx -T` printed put where it is included.

use super::ConfigSummary;
use globset::GlobBuilder;

/// nginx itself allows no such nesting; it bounds the recursion over the tree.
const MAX_DEPTH: usize = 64;
/// Directives after inclusion: a file that includes itself must end.
const MAX_INCLUDED: usize = 1_000_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Directive {
    pub(super) line: u64,
    pub(super) words: Vec<String>,
    /// What stands between its braces; `None` for a directive that ends with `;`.
    pub(super) block: Option<Vec<Self>>,
}

impl Directive {
    pub(super) fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub(super) fn args(&self) -> &[String] {
        self.words.get(1..).unwrap_or(&[])
    }

    pub(super) fn arg(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }

    pub(super) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or(&[])
    }
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
    /// `# configuration file /etc/nginx/nginx.conf:`, as `nginx -T` prints it.
    File(String),
}

struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: u64,
    at_line_start: bool,
    unclosed: bool,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
            line: 1,
            at_line_start: true,
            unclosed: false,
        }
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn rest_of_line(&mut self) -> String {
        let mut rest = String::new();
        while let Some(&c) = self.chars.peek() {
            if c == '\n' {
                break;
            }
            rest.push(c);
            self.bump();
        }
        rest
    }

    /// The next token and the line it starts on.
    fn next(&mut self) -> Option<(Token, u64)> {
        loop {
            let &c = self.chars.peek()?;
            let line = self.line;
            match c {
                '\n' => {
                    self.bump();
                    self.at_line_start = true;
                }
                c if c.is_whitespace() => {
                    self.bump();
                }
                '#' => {
                    let comment = self.rest_of_line();
                    if let Some(path) = comment
                        .trim_end()
                        .strip_prefix("# configuration file ")
                        .and_then(|p| p.strip_suffix(':'))
                    {
                        return Some((Token::File(path.to_owned()), line));
                    }
                }
                ';' => {
                    self.bump();
                    return Some((Token::End, line));
                }
                '{' => {
                    self.bump();
                    return Some((Token::Open, line));
                }
                '}' => {
                    self.bump();
                    return Some((Token::Close, line));
                }
                '"' | '\'' => {
                    self.at_line_start = false;
                    self.bump();
                    return Some((Token::Word(self.quoted(c)), line));
                }
                _ => {
                    let word = self.word();
                    // The verdict of `nginx -t`, which shells mix into the output of `nginx -T`.
                    if self.at_line_start && word == "nginx:" {
                        self.rest_of_line();
                        continue;
                    }
                    self.at_line_start = false;
                    return Some((Token::Word(word), line));
                }
            }
        }
    }

    fn escape(&mut self, out: &mut String) {
        match self.bump() {
            Some(c @ ('"' | '\'' | '\\')) => out.push(c),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut word = String::new();
        loop {
            match self.bump() {
                None => {
                    self.unclosed = true;
                    return word;
                }
                Some(c) if c == quote => return word,
                Some('\\') => self.escape(&mut word),
                Some(c) => word.push(c),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&c) = self.chars.peek() {
            match c {
                ';' | '{' => break,
                c if c.is_whitespace() => break,
                '\\' => {
                    self.bump();
                    self.escape(&mut word);
                }
                '$' => {
                    word.push(c);
                    self.bump();
                    // `${name}`: these braces open no block.
                    if self.chars.peek() == Some(&'{') {
                        while let Some(&c) = self.chars.peek() {
                            if c.is_whitespace() || c == ';' {
                                break;
                            }
                            word.push(c);
                            self.bump();
                            if c == '}' {
                                break;
                            }
                        }
                    }
                }
                '}' if word.is_empty() => break,
                c => {
                    word.push(c);
                    self.bump();
                }
            }
        }
        word
    }

    /// Past the `}` that closes a block of Lua; braces in its strings and comments close nothing.
    fn skip_lua(&mut self) {
        let mut depth = 1_u32;
        let mut quote = None;
        while let Some(c) = self.bump() {
            match (c, quote) {
                ('\\', Some(_)) => {
                    self.bump();
                }
                (c, Some(q)) if c == q || c == '\n' => quote = None,
                (_, Some(_)) => {}
                ('"' | '\'', None) => quote = Some(c),
                ('-', None) if self.chars.peek() == Some(&'-') => {
                    self.rest_of_line();
                }
                ('{', None) => depth += 1,
                ('}', None) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
        self.unclosed = true;
    }
}

#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The files the text holds: the path `nginx -T` names (empty for a plain file), its directives.
    files: Vec<(String, Vec<Directive>)>,
    /// Where braces or quotes do not close.
    pub(super) unbalanced: Option<u64>,
}

impl Parsed {
    pub(super) fn first(&self) -> &[Directive] {
        self.files
            .iter()
            .map(|f| f.1.as_slice())
            .find(|d| !d.is_empty())
            .unwrap_or(&[])
    }
}

/// A word in no directive yet: the text ends, or a brace closes, without `;`.
fn stray(words: &mut Vec<String>, parsed: &mut Parsed, line: u64) {
    if !words.is_empty() {
        words.clear();
        parsed.unbalanced.get_or_insert(line);
    }
}

pub(super) fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut lexer = Lexer::new(text);
    let mut path = String::new();
    let mut stack: Vec<Directive> = vec![Directive::default()];
    let mut words: Vec<String> = Vec::new();
    let mut start = 1;
    // Blocks beyond the depth that is kept.
    let mut deeper = 0_u64;
    while let Some((token, line)) = lexer.next() {
        match token {
            Token::Word(w) => {
                if words.is_empty() {
                    start = line;
                }
                words.push(w);
            }
            Token::End => {
                if words.is_empty() {
                    continue;
                }
                let directive = Directive {
                    line: start,
                    words: std::mem::take(&mut words),
                    block: None,
                };
                if deeper == 0 {
                    push(&mut stack, directive);
                }
            }
            Token::Open => {
                if words.first().is_some_and(|w| w.ends_with("_by_lua_block")) {
                    words.clear();
                    lexer.skip_lua();
                } else if stack.len() > MAX_DEPTH || deeper > 0 {
                    words.clear();
                    deeper += 1;
                    parsed.unbalanced.get_or_insert(line);
                } else {
                    if words.is_empty() {
                        start = line;
                    }
                    stack.push(Directive {
                        line: start,
                        words: std::mem::take(&mut words),
                        block: Some(Vec::new()),
                    });
                }
            }
            Token::Close => {
                stray(&mut words, &mut parsed, line);
                if deeper > 0 {
                    deeper -= 1;
                } else if stack.len() > 1 {
                    if let Some(done) = stack.pop() {
                        push(&mut stack, done);
                    }
                } else {
                    parsed.unbalanced.get_or_insert(line);
                }
            }
            Token::File(next) => {
                stray(&mut words, &mut parsed, line);
                if stack.len() > 1 {
                    parsed.unbalanced.get_or_insert(line);
                }
                let done = close(&mut stack);
                parsed
                    .files
                    .push((std::mem::replace(&mut path, next), done));
                deeper = 0;
            }
        }
    }
    stray(&mut words, &mut parsed, lexer.line);
    if stack.len() > 1 || deeper > 0 || lexer.unclosed {
        parsed.unbalanced.get_or_insert(lexer.line);
    }
    parsed.files.push((path, close(&mut stack)));
    parsed.files.retain(|f| !f.0.is_empty() || !f.1.is_empty());
    parsed
}

fn push(stack: &mut [Directive], directive: Directive) {
    if let Some(children) = stack.last_mut().and_then(|d| d.block.as_mut()) {
        children.push(directive);
    } else if let Some(root) = stack.last_mut() {
        root.block = Some(vec![directive]);
    }
}

/// Closes what is still open and takes the root's directives.
fn close(stack: &mut Vec<Directive>) -> Vec<Directive> {
    while stack.len() > 1 {
        if let Some(done) = stack.pop() {
            push(stack, done);
        }
    }
    stack
        .first_mut()
        .and_then(|root| root.block.take())
        .unwrap_or_default()
}

/// Files whose directives concern neither routes nor time-outs.
const HARMLESS: &[&str] = &[
    "mime.types",
    "fastcgi_params",
    "fastcgi.conf",
    "uwsgi_params",
    "scgi_params",
    "modules-enabled/*.conf",
];

/// One tree of all that the text holds: every `include` replaced by the files it names, and counted where they are not here.
pub(super) fn joined(parsed: &Parsed, summary: &mut ConfigSummary) -> Vec<Directive> {
    let mut used = vec![false; parsed.files.len()];
    if let Some(first) = used.first_mut() {
        *first = true;
    }
    let mut budget = MAX_INCLUDED;
    let Some((_, main)) = parsed.files.first() else {
        return Vec::new();
    };
    let mut tree = expand(main, parsed, &mut used, &mut budget, 0, summary);
    for i in 0..parsed.files.len() {
        if used.get(i) == Some(&false)
            && let Some((_, extra)) = parsed.files.get(i)
        {
            tree.extend(expand(extra, parsed, &mut used, &mut budget, 0, summary));
        }
    }
    tree
}

fn expand(
    from: &[Directive],
    parsed: &Parsed,
    used: &mut [bool],
    budget: &mut usize,
    depth: usize,
    summary: &mut ConfigSummary,
) -> Vec<Directive> {
    let mut out = Vec::new();
    for d in from {
        if *budget == 0 || depth > 2 * MAX_DEPTH {
            summary.note(
                "include-not-read",
                d.line,
                "files include each other without end",
            );
            break;
        }
        *budget -= 1;
        if d.name() == "include" && d.block.is_none() {
            let found = matching(d.arg(), parsed);
            if found.is_empty() && !HARMLESS.iter().any(|h| d.arg().ends_with(h)) {
                summary.note(
                    "include-not-read",
                    d.line,
                    "settings stand in an included file that is not part of this one; the output of `nginx -T` has them all",
                );
            }
            for i in found {
                if let Some(u) = used.get_mut(i) {
                    *u = true;
                }
                if let Some((_, file)) = parsed.files.get(i) {
                    out.extend(expand(file, parsed, used, budget, depth + 8, summary));
                }
            }
            continue;
        }
        out.push(Directive {
            line: d.line,
            words: d.words.clone(),
            block: d
                .block
                .as_ref()
                .map(|b| expand(b, parsed, used, budget, depth + 1, summary)),
        });
    }
    out
}

/// The files of `nginx -T` that an `include` names, in the order nginx reads them.
fn matching(mask: &str, parsed: &Parsed) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    if parsed.files.iter().all(|f| f.0.is_empty()) {
        return found;
    }
    // Relative to the folder of the main file.
    let main = parsed
        .files
        .iter()
        .find(|f| !f.0.is_empty())
        .map_or("", |f| f.0.as_str());
    let folder = main.rsplit_once('/').map_or("", |(f, _)| f);
    let mask = if mask.starts_with('/') {
        mask.to_owned()
    } else {
        format!("{folder}/{mask}")
    };
    let Ok(glob) = GlobBuilder::new(&mask).literal_separator(true).build() else {
        return found;
    };
    let glob = glob.compile_matcher();
    found.extend((0..parsed.files.len()).filter(|i| {
        parsed
            .files
            .get(*i)
            .is_some_and(|f| !f.0.is_empty() && (f.0 == mask || glob.is_match(&f.0)))
    }));
    found.sort_by_key(|i| parsed.files.get(*i).map(|f| f.0.clone()));
    found
}
