//! The values of a rule file -> texts, flags, words and templates, each checked where it stands.

use super::{Node, Reader, RuleError};
use crate::diagnose::fact::FACTS;
use crate::diagnose::rule::{SLOTS, Slot, Template, is_runbook_row, runbook_rows};
use crate::model::{Cause, Strength};
use std::ops::Range;
use toml::de::DeTable;

/// The nearest of `known` by edit distance, where it is near enough to be meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|k| {
            (
                edit_distance(word, k),
                edit_distance(&lower, &k.to_lowercase()),
                k,
            )
        })
        .filter(|&(d, _, _)| d <= limit)
        .min_by_key(|&(d, folded, k)| (folded, d, k))
        .map(|(_, _, k)| k)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(b.len() + 1);
        next.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut d = (row[j] + usize::from(x != y))
                .min(row[j + 1] + 1)
                .min(next[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                d = d.min(before[j - 1] + 1);
            }
            next.push(d);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

/// `line`, `column` (in characters) of a byte offset, both from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let start = memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |n| n + 1);
    (
        memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
        before[start..].chars().count() + 1,
    )
}

/// Text of a rule file as a terminal can bear it: on one line, without escapes, of a bearable length.
fn inert(text: &str) -> String {
    const LONGEST: usize = 400;
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What to do about a mistake that needs no advice of its own.
fn advice(code: &str) -> &'static str {
    match code {
        "R001" => "`wsdrop rules export DIR` writes rules that read, to start from",
        "R007" => "compare with a fact that is a duration",
        "R015" => "name other causes there",
        "R019" => "tolerances belong to `near_any`, `ratio` to `reaches` and `below`",
        "R028" => "take one of them out",
        "R030" => "write something there, or take the key out",
        _ => "`wsdrop rules export DIR` writes rules that read, to compare with",
    }
}

impl Reader<'_> {
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let (line, column) = place(self.text, span.start);
        self.errors.push(RuleError {
            code,
            path: inert(self.path),
            line,
            column,
            message: inert(&message.into()),
            help: Some(inert(&help.unwrap_or_else(|| advice(code).to_owned()))),
        });
    }

    pub(super) fn wrong_type(&mut self, node: &Node<'_>, what: &str, wanted: &str) {
        let found = node.get_ref().type_str();
        self.error(
            "R004",
            node.span(),
            format!("`{what}` is {wanted}, not {found}"),
            Some(format!("write {wanted} here")),
        );
    }

    pub(super) fn keys(&mut self, table: &DeTable<'_>, known: &[&str], of: &str) {
        for (key, _) in table {
            let name = key.get_ref();
            if !known.contains(&name.as_ref()) {
                let help = did_you_mean(name, known.iter().copied()).map_or_else(
                    || format!("known keys: {}", known.join(", ")),
                    |k| format!("did you mean `{k}`?"),
                );
                self.error(
                    "R002",
                    key.span(),
                    format!("unknown key `{name}` in {of}"),
                    Some(help),
                );
            }
        }
    }

    pub(super) fn missing(&mut self, span: &Range<usize>, key: &str, of: &str) {
        let help = if key.starts_with('[') {
            format!("add a {key} table")
        } else {
            format!("add `{key} = ...`")
        };
        self.error(
            "R003",
            span.clone(),
            format!("{of} needs `{key}`"),
            Some(help),
        );
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node<'_>, key: &str) -> Option<&'n str> {
        let Some(text) = node.get_ref().as_str() else {
            self.wrong_type(node, key, "a text");
            return None;
        };
        if text.trim().is_empty() {
            self.error("R030", node.span(), format!("`{key}` is empty"), None);
            return None;
        }
        Some(text)
    }

    pub(super) fn need_text<'n>(
        &mut self,
        table: &'n DeTable<'_>,
        key: &str,
        of: &str,
        span: &Range<usize>,
    ) -> Option<&'n str> {
        match table.get(key) {
            Some(node) => self.text(node, key),
            None => {
                self.missing(span, key, of);
                None
            }
        }
    }

    pub(super) fn flag(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        let Some(node) = table.get(key) else {
            return false;
        };
        node.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(node, key, "true or false");
            false
        })
    }

    /// A list of texts, or one text.
    pub(super) fn texts<'n, 'i>(
        &mut self,
        node: &'n Node<'i>,
        key: &str,
    ) -> Vec<(&'n str, Range<usize>)> {
        if node.get_ref().is_str() {
            return self
                .text(node, key)
                .map(|t| (t, node.span()))
                .into_iter()
                .collect();
        }
        let Some(array) = node.get_ref().as_array() else {
            self.wrong_type(node, key, "a list of texts");
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in array.iter() {
            if let Some(text) = self.text(item, key) {
                out.push((text, item.span()));
            }
        }
        if array.is_empty() {
            self.error("R030", node.span(), format!("`{key}` is empty"), None);
        }
        out
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables<'n, 'i>(
        &mut self,
        root: &'n DeTable<'i>,
        key: &str,
    ) -> Vec<(&'n DeTable<'i>, Range<usize>)> {
        let Some(node) = root.get(key) else {
            return Vec::new();
        };
        let Some(array) = node.get_ref().as_array() else {
            self.error(
                "R004",
                node.span(),
                format!("`{key}` is a list of tables"),
                Some(format!("write `[[{key}]]`")),
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => out.push((table, item.span())),
                None => self.wrong_type(item, key, "a table"),
            }
        }
        out
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        node: &Node<'_>,
        key: &str,
        known: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(node, key)?;
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
        let help = did_you_mean(text, names.iter().copied()).map_or_else(
            || format!("known words: {}", names.join(", ")),
            |k| format!("did you mean `{k}`?"),
        );
        self.error(
            "R020",
            node.span(),
            format!("`{key}` is never `{text}`"),
            Some(help),
        );
        None
    }

    pub(super) fn strength(&mut self, table: &DeTable<'_>, key: &str) -> Option<Strength> {
        const ALL: [Strength; 4] = [
            Strength::Weak,
            Strength::Moderate,
            Strength::Strong,
            Strength::Decisive,
        ];
        let node = table.get(key)?;
        let text = self.text(node, key)?;
        let found = ALL.into_iter().find(|s| s.name() == text);
        if found.is_none() {
            let help = did_you_mean(text, ALL.iter().map(|s| s.name())).map_or_else(
                || "known: weak, moderate, strong, decisive".to_owned(),
                |k| format!("did you mean `{k}`?"),
            );
            self.error(
                "R009",
                node.span(),
                format!("`{text}` is no strength"),
                Some(help),
            );
        }
        found
    }

    pub(super) fn cause(&mut self, text: &str, span: Range<usize>) -> Option<Cause> {
        let found = Cause::ALL.iter().copied().find(|c| c.id() == text);
        if found.is_none() {
            let help = did_you_mean(text, Cause::ALL.iter().map(|c| c.id())).map_or_else(
                || "`wsdrop explain` lists the causes".to_owned(),
                |k| format!("did you mean `{k}`?"),
            );
            self.error(
                "R010",
                span,
                format!("no cause is called `{text}`"),
                Some(help),
            );
        }
        found
    }

    pub(super) fn causes(
        &mut self,
        root: &DeTable<'_>,
        key: &str,
        own: Option<Cause>,
    ) -> Vec<Cause> {
        let Some(node) = root.get(key) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (text, span) in self.texts(node, key) {
            let Some(cause) = self.cause(text, span.clone()) else {
                continue;
            };
            if Some(cause) == own {
                self.error("R015", span, format!("`{key}` names the rule itself"), None);
            } else {
                out.push(cause);
            }
        }
        out
    }

    pub(super) fn runbook(
        &mut self,
        table: &DeTable<'_>,
        of: &str,
        span: &Range<usize>,
    ) -> Vec<String> {
        let Some(node) = table.get("runbook") else {
            self.error(
                "R014",
                span.clone(),
                format!("{of} cites no row of the runbook"),
                Some("write `runbook = [\"Q1\"]`".to_owned()),
            );
            return Vec::new();
        };
        let mut out = Vec::new();
        for (text, span) in self.texts(node, "runbook") {
            if is_runbook_row(text) {
                out.push(text.to_owned());
                continue;
            }
            let rows: Vec<String> = runbook_rows().collect();
            let help = did_you_mean(text, rows.iter().map(String::as_str)).map_or_else(
                || "`wsdrop rules doc` lists the rows".to_owned(),
                |k| format!("did you mean `{k}`?"),
            );
            self.error(
                "R013",
                span,
                format!("the runbook has no row `{text}`"),
                Some(help),
            );
        }
        out
    }

    pub(super) fn template(&mut self, text: &str, span: Range<usize>) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(slot) => {
                let names = SLOTS
                    .iter()
                    .map(|(n, _)| *n)
                    .chain(FACTS.iter().map(|f| f.name));
                let help = did_you_mean(&slot, names).map_or_else(
                    || "slots are {hop}, {timeout}, {timeout/2} ... and the names of facts; `{{` is a brace".to_owned(),
                    |k| format!("did you mean `{{{k}}}`?"),
                );
                self.error(
                    "R024",
                    span,
                    format!("nothing fills the slot `{slot}`"),
                    Some(help),
                );
                None
            }
        }
    }

    /// One template, or several of which the last can always be filled where `closed`.
    pub(super) fn templates(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        of: &str,
        span: &Range<usize>,
        closed: bool,
    ) -> Vec<Template> {
        let Some(node) = table.get(key) else {
            self.missing(span, key, of);
            return Vec::new();
        };
        let texts = self.texts(node, key);
        let mut out = Vec::new();
        let last = texts.len().saturating_sub(1);
        for (i, (text, span)) in texts.into_iter().enumerate() {
            let Some(template) = self.template(text, span.clone()) else {
                continue;
            };
            if let Some(slot) = template
                .slots()
                .find(|s| matches!(s, Slot::Value | Slot::Nearest | Slot::NearestName))
            {
                let name = SLOTS
                    .iter()
                    .find(|(_, s)| *s == slot)
                    .map_or("", |(n, _)| n);
                self.error(
                    "R024",
                    span.clone(),
                    format!("`{{{name}}}` belongs to an evidence line"),
                    Some("use `{timeout}` or a fact's name".to_owned()),
                );
            }
            if closed && i == last && template.slots().any(|s| !s.always()) {
                let help = "add a wording after it with no slot but {hop}, {server} and {client}"
                    .to_owned();
                self.error(
                    "R025",
                    span,
                    "the last wording needs what may be unobserved",
                    Some(help),
                );
            }
            out.push(template);
        }
        out
    }
}
