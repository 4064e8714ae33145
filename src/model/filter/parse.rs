//! The filter's text -> its tree, with the place of the first thing that is wrong.

use super::value::{duration, net, number, size, time};
use super::{FilterError, KEYS, Key, Node, Test, Text};
use crate::model::verdict::Tier;
use regex::Regex;

/// Nesting deeper than this is refused: nobody types it, and it would only try the stack.
const DEEPEST: usize = 32;

pub(super) fn parse(text: &str) -> Result<Option<Node>, FilterError> {
    let mut parser = Parser {
        chars: text.chars().collect(),
        at: 0,
        depth: 0,
        groups: 0,
    };
    let root = parser.either()?;
    if parser.peek().is_some() {
        return Err(error(
            "nothing opens this parenthesis",
            parser.at,
            "quote it to search for it: \")\"",
        ));
    }
    Ok(root)
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    /// Of nesting in all, and of open parentheses.
    depth: usize,
    groups: usize,
}

/// One word of the text, quotes taken off.
struct Word {
    text: String,
    start: usize,
    pattern: bool,
    quoted: bool,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let here = self
            .chars
            .get(self.at..end)
            .is_some_and(|c| c.iter().copied().eq(word.chars()));
        let over = self
            .chars
            .get(end)
            .is_none_or(|c| c.is_whitespace() || *c == '(' || *c == ')');
        if here && over {
            self.at = end;
        }
        here && over
    }

    fn either(&mut self) -> Result<Option<Node>, FilterError> {
        let mut choices = Vec::new();
        loop {
            let start = self.at;
            match self.all()? {
                Some(node) => choices.push(node),
                None if choices.is_empty() && !self.keyword("OR") => return Ok(None),
                None => {
                    return Err(error(
                        "OR needs something on both sides",
                        start,
                        "(cause:W101 OR cause:W103)",
                    ));
                }
            }
            self.skip_blanks();
            if !self.keyword("OR") {
                break;
            }
        }
        Ok(if choices.len() > 1 {
            Some(Node::Any(choices))
        } else {
            choices.pop()
        })
    }

    fn all(&mut self) -> Result<Option<Node>, FilterError> {
        let mut nodes = Vec::new();
        loop {
            self.skip_blanks();
            let before = self.at;
            match self.peek() {
                None | Some(')') => break,
                Some('O') if self.keyword("OR") => {
                    self.at = before;
                    break;
                }
                Some('A') if self.keyword("AND") => {}
                Some(_) => nodes.push(self.single()?),
            }
        }
        Ok(if nodes.len() > 1 {
            Some(Node::All(nodes))
        } else {
            nodes.pop()
        })
    }

    fn single(&mut self) -> Result<Node, FilterError> {
        let start = self.at;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(error("nested too deep", start, ""));
        }
        let node = match self.peek() {
            Some('-') => {
                self.at += 1;
                if self.peek().is_none_or(char::is_whitespace) {
                    return Err(error(
                        "nothing follows the minus",
                        start,
                        "-word leaves out what has the word",
                    ));
                }
                Node::Not(Box::new(self.single()?))
            }
            Some('(') => {
                self.at += 1;
                self.groups += 1;
                let inside = self.either()?;
                self.groups -= 1;
                self.skip_blanks();
                if self.peek() != Some(')') {
                    return Err(error("this parenthesis is never closed", start, "(a OR b)"));
                }
                self.at += 1;
                inside.ok_or_else(|| error("nothing between the parentheses", start, "(a OR b)"))?
            }
            _ => self.term()?,
        };
        self.depth -= 1;
        Ok(node)
    }

    fn term(&mut self) -> Result<Node, FilterError> {
        let start = self.at;
        let mut end = start;
        while self.chars.get(end).is_some_and(char::is_ascii_alphabetic) {
            end += 1;
        }
        let operator = match (self.chars.get(end), self.chars.get(end + 1)) {
            (Some('>'), Some('=')) => Some(">="),
            (Some('<'), Some('=')) => Some("<="),
            (Some('>'), _) => Some(">"),
            (Some('<'), _) => Some("<"),
            (Some('='), _) => Some("="),
            (Some(':'), _) => Some(":"),
            _ => None,
        };
        let Some(operator) = operator.filter(|_| end > start) else {
            let word = self.word()?;
            return Ok(Node::Anywhere(word.into_text(false)?));
        };
        let name: String = self
            .chars
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .collect::<String>()
            .to_ascii_lowercase();
        let Some(key) = Key::parse(&name) else {
            let near = KEYS
                .iter()
                .map(|k| k.0)
                .min_by_key(|k| distance(k, &name))
                .filter(|k| distance(k, &name) <= 2);
            let help = near.map_or_else(
                || {
                    format!(
                        "keys: {}; quote the word to search for it",
                        KEYS.map_names()
                    )
                },
                |k| format!("did you mean {k}{operator}?"),
            );
            return Err(error(format!("no such key: {name}"), start, help));
        };
        self.at = end + operator.len();
        let word = self.word()?;
        let help = KEYS.iter().find(|k| k.0 == name).map_or("", |k| k.1);
        if word.text.is_empty() {
            return Err(error(
                format!("{name}{operator} needs a value"),
                word.start,
                help,
            ));
        }
        let test = test(key, operator, &word, help)?;
        Ok(Node::Key(key, test))
    }

    fn word(&mut self) -> Result<Word, FilterError> {
        let start = self.at;
        if self.peek() == Some('/')
            && let Some(end) = self.pattern_end()
        {
            let mut text = String::new();
            let inside = self.chars.get(start + 1..end).unwrap_or_default();
            for (i, c) in inside.iter().enumerate() {
                // `\/` is a slash; every other escape is the regex's own.
                if !(*c == '\\' && inside.get(i + 1) == Some(&'/')) {
                    text.push(*c);
                }
            }
            self.at = end + 1;
            return Ok(Word {
                text,
                start,
                pattern: true,
                quoted: false,
            });
        }
        let (mut text, mut quoted) = (String::new(), false);
        while let Some(c) = self.peek() {
            if c.is_whitespace() || (c == ')' && self.groups > 0) {
                break;
            }
            let at = self.at;
            self.at += 1;
            if c != '"' {
                text.push(c);
                continue;
            }
            quoted = true;
            loop {
                let Some(c) = self.peek() else {
                    return Err(error("this quote is never closed", at, "\"two words\""));
                };
                self.at += 1;
                match c {
                    '"' => break,
                    '\\' if matches!(self.peek(), Some('"' | '\\')) => {
                        text.extend(self.peek());
                        self.at += 1;
                    }
                    c => text.push(c),
                }
            }
            break;
        }
        Ok(Word {
            text,
            start,
            pattern: false,
            quoted,
        })
    }

    /// The slash that ends the pattern begun here: unescaped, with a blank, `)` or nothing behind it.
    fn pattern_end(&self) -> Option<usize> {
        let mut i = self.at + 1;
        while let Some(&c) = self.chars.get(i) {
            let over = self
                .chars
                .get(i + 1)
                .is_none_or(|c| c.is_whitespace() || *c == ')');
            if c == '/' && i > self.at + 1 && over {
                return Some(i);
            }
            i += if c == '\\' { 2 } else { 1 };
        }
        None
    }
}

trait Names {
    fn map_names(&self) -> String;
}

impl Names for [(&str, &str)] {
    fn map_names(&self) -> String {
        self.iter().map(|k| k.0).collect::<Vec<_>>().join(" ")
    }
}

impl Word {
    fn into_text(self, exact: bool) -> Result<Text, FilterError> {
        let compile = |pattern: &str, start| {
            Regex::new(&format!("(?i){pattern}")).map_err(|e| {
                let why = e.to_string();
                let why = why
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                error(
                    format!("bad regular expression: {why}"),
                    start,
                    "quote it to search for it as it stands",
                )
            })
        };
        if self.pattern {
            return Ok(Text::Pattern(compile(&self.text, self.start)?));
        }
        if self.text.contains('*') && !self.quoted {
            let glob = self
                .text
                .split('*')
                .map(regex::escape)
                .collect::<Vec<_>>()
                .join(".*");
            return Ok(Text::Pattern(compile(&format!("^{glob}$"), self.start)?));
        }
        Ok(if exact {
            Text::Is(self.text)
        } else {
            Text::Has(self.text)
        })
    }
}

fn test(key: Key, operator: &str, word: &Word, help: &str) -> Result<Test, FilterError> {
    let wrong = |what: &str| error(format!("{what}: {}", word.text), word.start, help);
    let equal = matches!(operator, ":" | "=");
    let text = word.text.as_str();
    if equal && text == "none" && key != Key::Conf {
        return Ok(Test::Absent);
    }
    match key {
        Key::Alive | Key::Silent | Key::Idle => {
            number(operator, text, duration).ok_or_else(|| wrong("not a duration"))
        }
        Key::Size => number(operator, text, size).ok_or_else(|| wrong("not a size")),
        Key::Code => number(operator, text, |t| Some((t.parse().ok()?, 1)))
            .ok_or_else(|| wrong("not a close code")),
        Key::Time => time(operator, text).ok_or_else(|| wrong("not a time")),
        Key::Conf => {
            let tier = [Tier::Undecided, Tier::Possible, Tier::Likely, Tier::Certain]
                .into_iter()
                .find(|t| t.name().starts_with(&text.to_ascii_lowercase()))
                .ok_or_else(|| wrong("not a confidence (undecided, possible, likely, certain)"))?;
            let step = |by: i8| match (tier, by) {
                (Tier::Undecided, 1) | (Tier::Likely, -1) => Some(Tier::Possible),
                (Tier::Possible, 1) | (Tier::Certain, -1) => Some(Tier::Likely),
                (Tier::Likely, 1) => Some(Tier::Certain),
                (Tier::Possible, -1) => Some(Tier::Undecided),
                _ => None,
            };
            Ok(match operator {
                ">=" => Test::Tiers(tier, Tier::Certain),
                "<=" => Test::Tiers(Tier::Undecided, tier),
                ">" => Test::Tiers(
                    step(1).ok_or_else(|| wrong("nothing is above"))?,
                    Tier::Certain,
                ),
                "<" => Test::Tiers(
                    Tier::Undecided,
                    step(-1).ok_or_else(|| wrong("nothing is below"))?,
                ),
                _ => Test::Tiers(tier, tier),
            })
        }
        _ if !equal => Err(error(
            format!("{operator} compares numbers and times only"),
            word.start,
            help,
        )),
        Key::Client | Key::Server if !word.pattern && net(text).is_some() => net(text)
            .map(|(ip, bits)| Test::Net(ip, bits))
            .ok_or_else(|| wrong("not a net")),
        _ => {
            let word = Word {
                text: text.to_owned(),
                ..*word
            };
            Ok(Test::Text(word.into_text(operator == "=")?))
        }
    }
}

fn error(message: impl Into<String>, column: usize, help: impl Into<String>) -> FilterError {
    FilterError {
        message: message.into(),
        column,
        help: help.into(),
    }
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (corner + usize::from(ca != *cb))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row.last().copied().unwrap_or_default()
}
