//! The text of an nginx configuration -> its directives as a tree, each with its line.

/// A directive: `name args;` or `name args { children }`.
#[derive(Debug, Clone, Default)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) line: u64,
    pub(super) children: Option<Vec<Self>>,
}

impl Directive {
    pub(super) fn arg(&self, i: usize) -> &str {
        self.args.get(i).map_or("", String::as_str)
    }
    pub(super) fn inner(&self) -> &[Self] {
        self.children.as_deref().unwrap_or(&[])
    }
}

/// Something in the text that nginx would refuse.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) line: u64,
    pub(super) what: &'static str,
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// Deeper nesting is refused: nginx's own contexts nest to about six.
const MAX_DEPTH: usize = 32;

struct Scanner<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u64,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        self.line += u64::from(c == '\n');
        Some(c)
    }

    /// The next token and the line it begins on.
    fn token(&mut self, faults: &mut Vec<Fault>) -> Option<(Token, u64)> {
        loop {
            let c = *self.rest.peek()?;
            if c == '#' {
                while self.rest.peek().is_some_and(|c| *c != '\n') {
                    self.next();
                }
            } else if c.is_whitespace() {
                self.next();
            } else {
                break;
            }
        }
        let line = self.line;
        let single = match self.rest.peek()? {
            ';' => Some(Token::End),
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            _ => None,
        };
        if let Some(token) = single {
            self.next();
            return Some((token, line));
        }
        let mut word = String::new();
        if let Some(quote @ ('"' | '\'')) = self.rest.peek().copied() {
            self.next();
            loop {
                match self.next() {
                    None => {
                        faults.push(Fault {
                            line,
                            what: "a string without its closing quote",
                        });
                        break;
                    }
                    Some(c) if c == quote => break,
                    Some('\\') => match self.next() {
                        Some('n') => word.push('\n'),
                        Some('t') => word.push('\t'),
                        Some('r') => word.push('\r'),
                        Some(c @ ('"' | '\'' | '\\')) => word.push(c),
                        Some(c) => word.extend(['\\', c]),
                        None => {}
                    },
                    Some(c) => word.push(c),
                }
            }
            return Some((Token::Word(word), line));
        }
        while let Some(c) = self.rest.peek().copied() {
            if c == '{' && word.ends_with('$') {
                // `${name}` is part of the word.
                while let Some(c) = self.next() {
                    word.push(c);
                    if c == '}' || c == '\n' {
                        break;
                    }
                }
                continue;
            }
            if c.is_whitespace() || matches!(c, ';' | '{' | '}') {
                // `~ ^/a{2}$` is rare enough to want its quotes, which nginx asks for as well.
                break;
            }
            if c == '\\' {
                word.push(c);
                self.next();
                if let Some(c) = self.next() {
                    word.push(c);
                }
                continue;
            }
            word.push(c);
            self.next();
        }
        Some((Token::Word(word), line))
    }

    /// Passes over a block that is another language (`content_by_lua_block { ... }`).
    fn skip_block(&mut self) {
        let mut depth = 1;
        while let Some(c) = self.next() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// The directives of a text.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Vec<Directive> {
    let mut scanner = Scanner {
        rest: text.chars().peekable(),
        line: 1,
    };
    // The block that is open at each depth, with the directive it belongs to.
    let mut open: Vec<(Directive, Vec<Directive>)> = Vec::new();
    let mut top = Vec::new();
    let mut current: Option<Directive> = None;
    while let Some((token, line)) = scanner.token(faults) {
        let place = match open.last_mut() {
            Some((_, children)) => children,
            None => &mut top,
        };
        match token {
            Token::Word(word) => match &mut current {
                Some(directive) => directive.args.push(word),
                None => {
                    current = Some(Directive {
                        name: word,
                        line,
                        ..Directive::default()
                    })
                }
            },
            Token::End => place.extend(current.take()),
            Token::Open => {
                let directive = current.take().unwrap_or_default();
                if directive.name.ends_with("_by_lua_block") || directive.name == "js_content_block"
                {
                    scanner.skip_block();
                } else if open.len() >= MAX_DEPTH {
                    faults.push(Fault {
                        line,
                        what: "blocks nested too deep",
                    });
                    scanner.skip_block();
                } else {
                    open.push((directive, Vec::new()));
                }
            }
            Token::Close => {
                if let Some(directive) = current.take() {
                    faults.push(Fault {
                        line: directive.line,
                        what: "a directive without its semicolon",
                    });
                    place.push(directive);
                }
                match open.pop() {
                    Some((mut directive, children)) => {
                        directive.children = Some(children);
                        match open.last_mut() {
                            Some((_, siblings)) => siblings.push(directive),
                            None => top.push(directive),
                        }
                    }
                    None => faults.push(Fault {
                        line,
                        what: "a closing brace too many",
                    }),
                }
            }
        }
    }
    if let Some(directive) = current {
        faults.push(Fault {
            line: directive.line,
            what: "a directive without its semicolon",
        });
        match open.last_mut() {
            Some((_, children)) => children.push(directive),
            None => top.push(directive),
        }
    }
    while let Some((mut directive, children)) = open.pop() {
        faults.push(Fault {
            line: directive.line,
            what: "a block without its closing brace",
        });
        directive.children = Some(children);
        match open.last_mut() {
            Some((_, siblings)) => siblings.push(directive),
            None => top.push(directive),
        }
    }
    top
}
