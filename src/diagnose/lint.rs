//! The text of a rule file -> a rule, or every mistake in it with its code, place and a way out.

use super::fact::{self, FACTS, FactType, NamedDuration, Value};
use super::rule::{
    Check, Condition, Contributing, Drill, Expect, Fix, HOPS, Line, Phase, Rule, SLOTS, Sample,
    Slot, Status, Template, Want, group, is_runbook_row, parse_duration, runbook_rows, type_name,
};
use crate::model::{Cause, Strength};
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a rule file. Codes are stable; [`CODES`] lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    pub code: &'static str,
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            path,
            line,
            column,
            message,
            help,
        } = self;
        write!(f, "{path}:{line}:{column}: error[{code}]: {message}")?;
        if let Some(help) = help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleError {}

/// Every code and what it means.
pub const CODES: &[(&str, &str)] = &[
    ("R001", "the file is not TOML"),
    ("R002", "an unknown key"),
    ("R003", "a key is missing"),
    ("R004", "a value of the wrong type"),
    ("R005", "an unknown fact"),
    ("R006", "a word that the fact never takes"),
    ("R007", "an operator that does not fit the fact's type"),
    ("R008", "a duration without a unit, or with an unknown one"),
    ("R009", "an unknown strength"),
    ("R010", "an unknown cause"),
    ("R011", "code and cause do not belong together"),
    ("R012", "a code that another rule has"),
    ("R013", "an unknown row of the runbook"),
    ("R014", "no row of the runbook is cited"),
    (
        "R015",
        "a rule named as its own look-alike, or as one it beats",
    ),
    ("R016", "not exactly one operator"),
    ("R017", "bounds that nothing can meet"),
    ("R018", "not a list of durations"),
    ("R019", "a tolerance that is none"),
    ("R020", "an unknown word for a key"),
    ("R021", "no sample in which the rule fires"),
    ("R022", "no near-miss sample"),
    ("R023", "a look-alike without a sample"),
    ("R024", "an unknown slot in a text"),
    ("R025", "the last wording needs what may be unobserved"),
    ("R026", "not a tag"),
    ("R027", "a group whose lines are not alike"),
    ("R028", "the same line twice"),
    ("R029", "no required evidence"),
    ("R030", "an empty text or list"),
    ("R031", "not a version"),
    ("R032", "rules that beat each other in a circle"),
    ("R033", "a sample that does not come out as expected"),
    ("R034", "a rule that cannot win"),
];

const RULE_KEYS: &[&str] = &[
    "code",
    "cause",
    "title",
    "meaning",
    "status",
    "since",
    "phase",
    "replaces",
    "runbook",
    "confused_with",
    "beats",
    "blind_spots",
    "sentence",
    "scope",
    "evidence",
    "contributing",
    "fix",
    "drill",
    "check",
    "sample",
];
const OPERATORS: &[&str] = &[
    "is", "at_least", "at_most", "between", "near_any", "reaches", "below",
];
const LINE_KEYS: &[&str] = &[
    "fact",
    "is",
    "at_least",
    "at_most",
    "between",
    "near_any",
    "reaches",
    "below",
    "tolerance",
    "ratio",
    "required",
    "if_true",
    "if_false",
    "group",
    "say",
    "say_if_false",
];
const CONDITION_KEYS: &[&str] = &[
    "is",
    "at_least",
    "at_most",
    "between",
    "near_any",
    "reaches",
    "below",
    "tolerance",
    "ratio",
];

/// Reads one rule. `path` is only named in messages.
pub fn read(path: &str, text: &str) -> Result<Rule, Vec<RuleError>> {
    let mut reader = Reader {
        path,
        text,
        errors: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            let message = format!("this is not TOML: {}", e.message());
            reader.error("R001", e.span().unwrap_or(0..0), message, None);
            return Err(reader.errors);
        }
    };
    let span = 0..0;
    let rule = reader.rule(table.get_ref(), &span);
    reader.errors.sort_by_key(|e| (e.line, e.column, e.code));
    match rule {
        Some(rule) if reader.errors.is_empty() => Ok(rule),
        _ => Err(reader.errors),
    }
}

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
fn place(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (
        before.matches('\n').count() + 1,
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

type Node<'i> = Spanned<DeValue<'i>>;

struct Reader<'t> {
    path: &'t str,
    text: &'t str,
    errors: Vec<RuleError>,
}

impl Reader<'_> {
    fn error(
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
            help: help.map(|h| inert(&h)),
        });
    }

    fn wrong_type(&mut self, node: &Node<'_>, what: &str, wanted: &str) {
        let found = node.get_ref().type_str();
        self.error(
            "R004",
            node.span(),
            format!("`{what}` is {wanted}, not {found}"),
            None,
        );
    }

    fn keys(&mut self, table: &DeTable<'_>, known: &[&str], of: &str) {
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

    fn missing(&mut self, span: &Range<usize>, key: &str, of: &str) {
        self.error("R003", span.clone(), format!("{of} needs `{key}`"), None);
    }

    fn text<'n>(&mut self, node: &'n Node<'_>, key: &str) -> Option<&'n str> {
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

    fn need_text<'n>(
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

    fn flag(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        let Some(node) = table.get(key) else {
            return false;
        };
        node.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(node, key, "true or false");
            false
        })
    }

    /// A list of texts, or one text.
    fn texts<'n, 'i>(&mut self, node: &'n Node<'i>, key: &str) -> Vec<(&'n str, Range<usize>)> {
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
    fn tables<'n, 'i>(
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

    fn word<T: Copy>(
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

    fn strength(&mut self, table: &DeTable<'_>, key: &str) -> Option<Strength> {
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

    fn cause(&mut self, text: &str, span: Range<usize>) -> Option<Cause> {
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

    fn causes(&mut self, root: &DeTable<'_>, key: &str, own: Option<Cause>) -> Vec<Cause> {
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

    fn runbook(&mut self, table: &DeTable<'_>, of: &str, span: &Range<usize>) -> Vec<String> {
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
            let help = did_you_mean(text, rows.iter().map(String::as_str))
                .map(|k| format!("did you mean `{k}`?"));
            self.error(
                "R013",
                span,
                format!("the runbook has no row `{text}`"),
                help,
            );
        }
        out
    }

    fn template(&mut self, text: &str, span: Range<usize>) -> Option<Template> {
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
    fn templates(
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

    fn fact(&mut self, name: &str, span: Range<usize>) -> Option<usize> {
        let found = fact::index(name);
        if found.is_none() {
            let help = did_you_mean(name, FACTS.iter().map(|f| f.name)).map_or_else(
                || {
                    "the catalogue of facts is closed: `wsdrop explain` names those in use"
                        .to_owned()
                },
                |k| format!("did you mean `{k}`?"),
            );
            self.error(
                "R005",
                span,
                format!("no fact is called `{name}`"),
                Some(help),
            );
        }
        found
    }

    fn duration(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
        match node.get_ref() {
            DeValue::String(text) => {
                let found = parse_duration(text);
                if found.is_none() {
                    let help = Some("units are ns, us, ms, s, m, h: \"60s\", \"250ms\"".to_owned());
                    self.error(
                        "R008",
                        node.span(),
                        format!("`{text}` is no duration"),
                        help,
                    );
                }
                found
            }
            DeValue::Integer(number) => {
                let help = Some(format!("write \"{number}s\" or \"{number}ms\""));
                self.error(
                    "R008",
                    node.span(),
                    format!("`{key}` is a duration, and {number} has no unit"),
                    help,
                );
                None
            }
            DeValue::Float(number) => {
                let help = Some(format!("write \"{number}s\" or \"{number}ms\""));
                self.error(
                    "R008",
                    node.span(),
                    format!("`{key}` is a duration, and {number} has no unit"),
                    help,
                );
                None
            }
            _ => {
                self.wrong_type(node, key, "a duration such as \"60s\"");
                None
            }
        }
    }

    fn count(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
        let Some(number) = integer(node.get_ref()) else {
            self.wrong_type(node, key, "a whole number");
            return None;
        };
        Some(number)
    }

    fn ratio(&mut self, node: &Node<'_>, key: &str, most: f64) -> Option<f64> {
        let number = match node.get_ref() {
            DeValue::Float(f) => f.as_str().parse().ok(),
            value => integer(value).map(|n| n as f64),
        };
        let Some(number) = number else {
            self.wrong_type(node, key, "a number");
            return None;
        };
        if !(number > 0.0 && number <= most) {
            self.error(
                "R019",
                node.span(),
                format!("`{key}` is above 0 and at most {most}, not {number}"),
                None,
            );
            return None;
        }
        Some(number)
    }

    /// A number of the fact's own type.
    fn bound(&mut self, fact: usize, node: &Node<'_>, key: &str) -> Option<i64> {
        match FACTS[fact].kind {
            FactType::Duration => self.duration(node, key),
            FactType::Count => self.count(node, key),
            kind => {
                self.operator_misfit(fact, node.span(), key, kind);
                None
            }
        }
    }

    fn operator_misfit(&mut self, fact: usize, span: Range<usize>, key: &str, kind: FactType) {
        let fits = match kind {
            FactType::Bool | FactType::Word(_) => "is",
            FactType::Count => "is, at_least, at_most, between",
            FactType::Duration => "at_least, at_most, between, near_any, reaches, below",
            FactType::Durations => "none: name it in `near_any`",
        };
        let name = FACTS[fact].name;
        self.error(
            "R007",
            span,
            format!("`{key}` does not fit `{name}`, a {}", type_name(kind)),
            Some(format!("operators that fit: {fits}")),
        );
    }

    fn is(&mut self, fact: usize, node: &Node<'_>) -> Option<Want> {
        let spec = &FACTS[fact];
        match spec.kind {
            FactType::Bool => {
                let found = node.get_ref().as_bool();
                if found.is_none() {
                    self.wrong_type(node, spec.name, "true or false");
                }
                found.map(Want::Bool)
            }
            FactType::Word(words) => {
                let mut out = Vec::new();
                for (text, span) in self.texts(node, spec.name) {
                    match words.iter().find(|w| **w == text) {
                        Some(word) => out.push(*word),
                        None => self.unknown_word(fact, words, text, span),
                    }
                }
                Some(Want::Words(out))
            }
            FactType::Count => {
                if let Some(array) = node.get_ref().as_array() {
                    let mut out = Vec::new();
                    for item in array.iter() {
                        out.extend(self.count(item, spec.name));
                    }
                    if array.is_empty() {
                        self.error("R030", node.span(), "an empty list holds nothing", None);
                    }
                    return Some(Want::Counts(out));
                }
                self.count(node, spec.name).map(|n| Want::Counts(vec![n]))
            }
            kind => {
                self.operator_misfit(fact, node.span(), "is", kind);
                None
            }
        }
    }

    fn unknown_word(
        &mut self,
        fact: usize,
        words: &[&'static str],
        text: &str,
        span: Range<usize>,
    ) {
        let help = did_you_mean(text, words.iter().copied()).map_or_else(
            || format!("its words: {}", words.join(", ")),
            |k| format!("did you mean `{k}`?"),
        );
        self.error(
            "R006",
            span,
            format!("`{}` is never `{text}`", FACTS[fact].name),
            Some(help),
        );
    }

    /// The one operator of a condition.
    fn want(&mut self, fact: usize, table: &DeTable<'_>, span: &Range<usize>) -> Option<Want> {
        let used: Vec<(&str, &Node<'_>)> = OPERATORS
            .iter()
            .filter_map(|o| table.get(*o).map(|n| (*o, n)))
            .collect();
        let &[(operator, node)] = used.as_slice() else {
            let message = format!("{} operators where one is needed", used.len());
            self.error(
                "R016",
                span.clone(),
                message,
                Some(format!("write one of {}", OPERATORS.join(", "))),
            );
            return None;
        };
        for (key, only) in [
            ("tolerance", &["near_any"][..]),
            ("ratio", &["reaches", "below"]),
        ] {
            if let Some(extra) = table.get(key).filter(|_| !only.contains(&operator)) {
                self.error(
                    "R019",
                    extra.span(),
                    format!("`{key}` belongs to {}", only.join(" and ")),
                    None,
                );
            }
        }
        let kind = FACTS[fact].kind;
        match operator {
            "is" => self.is(fact, node),
            "at_least" => self.bound(fact, node, operator).map(Want::AtLeast),
            "at_most" => self.bound(fact, node, operator).map(Want::AtMost),
            "between" => {
                let Some([low, high]) = node
                    .get_ref()
                    .as_array()
                    .map(|a| a.iter().collect::<Vec<_>>())
                    .and_then(|v| <[_; 2]>::try_from(v).ok())
                else {
                    self.wrong_type(node, operator, "two bounds, [low, high]");
                    return None;
                };
                let (low, high) = (
                    self.bound(fact, low, operator)?,
                    self.bound(fact, high, operator)?,
                );
                if low > high {
                    self.error(
                        "R017",
                        node.span(),
                        "the lower bound is above the upper one",
                        Some("swap them".to_owned()),
                    );
                    return None;
                }
                Some(Want::Between(low, high))
            }
            _ if !matches!(kind, FactType::Duration) => {
                self.operator_misfit(fact, node.span(), operator, kind);
                None
            }
            "near_any" => self.near_any(table, node),
            _ => {
                let name = self.text(node, operator)?;
                let other = self.fact(name, node.span())?;
                if !matches!(FACTS[other].kind, FactType::Duration) {
                    let message = format!(
                        "`{operator}` compares with a duration, and `{name}` is a {}",
                        type_name(FACTS[other].kind)
                    );
                    self.error("R007", node.span(), message, None);
                    return None;
                }
                let ratio = match table.get("ratio") {
                    Some(node) => self.ratio(node, "ratio", 1000.0)?,
                    None => 1.0,
                };
                Some(if operator == "reaches" {
                    Want::Reaches { other, ratio }
                } else {
                    Want::Below { other, ratio }
                })
            }
        }
    }

    fn near_any(&mut self, table: &DeTable<'_>, node: &Node<'_>) -> Option<Want> {
        let name = self.text(node, "near_any")?;
        let list = self.fact(name, node.span())?;
        if !matches!(FACTS[list].kind, FactType::Durations) {
            let lists: Vec<&str> = FACTS
                .iter()
                .filter(|f| f.kind == FactType::Durations)
                .map(|f| f.name)
                .collect();
            let help = did_you_mean(name, lists.iter().copied()).map_or_else(
                || format!("lists: {}", lists.join(", ")),
                |k| format!("did you mean `{k}`?"),
            );
            self.error(
                "R018",
                node.span(),
                format!(
                    "`{name}` is a {}, not a list of durations",
                    type_name(FACTS[list].kind)
                ),
                Some(help),
            );
            return None;
        }
        let Some(tolerance) = table.get("tolerance") else {
            let help =
                Some("write `tolerance = { ratio = 0.02, at_least = \"500ms\" }`".to_owned());
            self.error("R019", node.span(), "`near_any` needs a tolerance", help);
            return None;
        };
        let Some(inner) = tolerance.get_ref().as_table() else {
            self.wrong_type(tolerance, "tolerance", "a table { ratio, at_least }");
            return None;
        };
        self.keys(inner, &["ratio", "at_least"], "tolerance");
        let (Some(ratio), Some(at_least)) = (inner.get("ratio"), inner.get("at_least")) else {
            self.error(
                "R019",
                tolerance.span(),
                "a tolerance has both `ratio` and `at_least`",
                None,
            );
            return None;
        };
        Some(Want::NearAny {
            list,
            ratio: self.ratio(ratio, "ratio", 0.2)?,
            at_least_ns: self.duration(at_least, "at_least")?,
        })
    }

    /// `"close.frame" = false`, `"close.code" = [1001, 1012]`, `"idle.gap" = { at_least = "10s" }`.
    fn conditions(&mut self, table: &DeTable<'_>, key: &str) -> Vec<Condition> {
        let Some(node) = table.get(key) else {
            return Vec::new();
        };
        let Some(inner) = node.get_ref().as_table() else {
            self.wrong_type(node, key, "a table of facts");
            return Vec::new();
        };
        let mut out = Vec::new();
        for (name, value) in inner {
            let Some(fact) = self.fact(name.get_ref(), name.span()) else {
                continue;
            };
            let want = match value.get_ref().as_table() {
                Some(table) => {
                    self.keys(table, CONDITION_KEYS, "a condition");
                    self.want(fact, table, &value.span())
                }
                None => self.is(fact, value),
            };
            out.extend(want.map(|want| Condition { fact, want }));
        }
        out
    }

    fn line(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Line> {
        self.keys(table, LINE_KEYS, "[[evidence]]");
        let required = self.flag(table, "required");
        let (if_true, if_false) = (
            self.strength(table, "if_true"),
            self.strength(table, "if_false"),
        );
        let group = table.get("group").and_then(|node| self.tag(node, "group"));
        let say = self
            .need_text(table, "say", "[[evidence]]", span)
            .map(str::to_owned);
        let say = say.and_then(|text| {
            self.template(
                &text,
                table.get("say").map_or_else(|| span.clone(), Spanned::span),
            )
        });
        let say_if_false = match table.get("say_if_false") {
            Some(node) => self
                .text(node, "say_if_false")
                .and_then(|t| self.template(t, node.span())),
            None => None,
        };
        let name = self.need_text(table, "fact", "[[evidence]]", span)?;
        let fact = self.fact(
            name,
            table
                .get("fact")
                .map_or_else(|| span.clone(), Spanned::span),
        )?;
        let want = self.want(fact, table, span)?;
        Some(Line {
            condition: Condition { fact, want },
            required,
            if_true,
            if_false,
            group,
            say: say?,
            say_if_false,
        })
    }

    fn tag(&mut self, node: &Node<'_>, key: &str) -> Option<String> {
        let text = self.text(node, key)?;
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            self.error(
                "R026",
                node.span(),
                format!("`{text}` is no tag"),
                Some("lower-case letters, digits and `-`".to_owned()),
            );
            return None;
        }
        Some(text.to_owned())
    }

    fn sample(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Option<Sample> {
        self.keys(table, &["expect", "like", "facts"], "[[sample]]");
        let expect = match table.get("expect") {
            Some(node) => self.word(node, "expect", Expect::ALL),
            None => {
                self.missing(span, "expect", "[[sample]]");
                None
            }
        };
        let like = match table.get("like") {
            Some(node) => self
                .text(node, "like")
                .and_then(|t| self.cause(t, node.span())),
            None => None,
        };
        let Some(node) = table.get("facts") else {
            self.missing(span, "facts", "[[sample]]");
            return None;
        };
        let Some(inner) = node.get_ref().as_table() else {
            self.wrong_type(node, "facts", "a table of facts");
            return None;
        };
        let mut facts = Vec::new();
        for (name, value) in inner {
            let Some(fact) = self.fact(name.get_ref(), name.span()) else {
                continue;
            };
            facts.extend(self.value(fact, value).map(|v| (fact, v)));
        }
        facts.sort_by_key(|(fact, _)| *fact);
        Some(Sample {
            expect: expect?,
            like,
            facts,
            line: place(self.text, span.start).0,
        })
    }

    /// A fact's value as a sample writes it.
    fn value(&mut self, fact: usize, node: &Node<'_>) -> Option<Value> {
        let spec = &FACTS[fact];
        match spec.kind {
            FactType::Bool => {
                let found = node.get_ref().as_bool();
                if found.is_none() {
                    self.wrong_type(node, spec.name, "true or false");
                }
                found.map(Value::Bool)
            }
            FactType::Duration => self.duration(node, spec.name).map(Value::Duration),
            FactType::Count => self.count(node, spec.name).map(Value::Count),
            FactType::Word(words) => {
                let text = self.text(node, spec.name)?;
                match words.iter().find(|w| **w == text) {
                    Some(word) => Some(Value::Word(word)),
                    None => {
                        self.unknown_word(fact, words, text, node.span());
                        None
                    }
                }
            }
            FactType::Durations => {
                let Some(array) = node.get_ref().as_array() else {
                    self.wrong_type(node, spec.name, "a list of durations");
                    return None;
                };
                let mut out = Vec::new();
                for item in array.iter() {
                    let ns = self.duration(item, spec.name)?;
                    out.push(NamedDuration {
                        ns,
                        name: crate::model::say_duration(ns),
                        hop: String::new(),
                    });
                }
                Some(Value::Durations(out))
            }
        }
    }

    fn fix(&mut self, table: &DeTable<'_>, span: &Range<usize>) -> Fix {
        self.keys(table, &["runbook", "when_hop", "when", "say"], "[[fix]]");
        let hops: Vec<(&'static str, &'static str)> = HOPS.iter().map(|h| (*h, *h)).collect();
        let when_hop = table
            .get("when_hop")
            .and_then(|node| self.word(node, "when_hop", &hops));
        Fix {
            runbook: self.runbook(table, "[[fix]]", span),
            when_hop,
            when: self.conditions(table, "when"),
            say: self.templates(table, "say", "[[fix]]", span, true),
        }
    }

    fn rule(&mut self, root: &DeTable<'_>, top: &Range<usize>) -> Option<Rule> {
        self.keys(root, RULE_KEYS, "a rule");
        let of = "a rule";
        let cause = match root.get("cause") {
            Some(node) => self
                .text(node, "cause")
                .and_then(|t| self.cause(t, node.span())),
            None => {
                self.missing(top, "cause", of);
                None
            }
        };
        if let (Some(code), Some(cause)) = (self.need_text(root, "code", of, top), cause)
            && code != cause.code()
        {
            let span = root.get("code").map_or(0..0, Spanned::span);
            self.error(
                "R011",
                span,
                format!("`{}` has the code {}, not {code}", cause.id(), cause.code()),
                Some(format!("write `code = \"{}\"`", cause.code())),
            );
        }
        let title = self.need_text(root, "title", of, top).map(str::to_owned);
        let meaning = self.need_text(root, "meaning", of, top).map(str::to_owned);
        let since = self.need_text(root, "since", of, top).map(str::to_owned);
        if let (Some(since), Some(node)) = (&since, root.get("since"))
            && !(since.split('.').count() == 3
                && since.split('.').all(|n| n.parse::<u32>().is_ok()))
        {
            self.error(
                "R031",
                node.span(),
                format!("`{since}` is no version"),
                Some("write \"0.1.0\"".to_owned()),
            );
        }
        let status = self.need_word(root, "status", Status::ALL, top);
        let phase = self.need_word(root, "phase", Phase::ALL, top);
        let runbook = self.runbook(root, of, top);
        let confused_with = self.causes(root, "confused_with", cause);
        let beats = self.causes(root, "beats", cause);
        let blind_spots = match root.get("blind_spots") {
            Some(node) => self
                .texts(node, "blind_spots")
                .into_iter()
                .map(|(t, _)| t.to_owned())
                .collect(),
            None => Vec::new(),
        };
        let sentence = self.templates(root, "sentence", of, top, true);
        let scope = self.conditions(root, "scope");
        let undecided = cause == Some(Cause::Undecided);
        let evidence = self.evidence(root, top, undecided);

        let mut contributing = Vec::new();
        for (table, span) in self.tables(root, "contributing") {
            self.keys(table, &["tag", "when", "say"], "[[contributing]]");
            let say = match table.get("say") {
                Some(node) => self
                    .text(node, "say")
                    .and_then(|t| self.template(t, node.span())),
                None => None,
            };
            if !table.contains_key("when") {
                self.missing(&span, "when", "[[contributing]]");
            }
            let when = self.conditions(table, "when");
            match table.get("tag") {
                Some(node) => contributing.extend(self.tag(node, "tag").map(|tag| Contributing {
                    tag,
                    when,
                    say,
                })),
                None => self.missing(&span, "tag", "[[contributing]]"),
            }
        }
        let mut fixes = Vec::new();
        for (table, span) in self.tables(root, "fix") {
            fixes.push(self.fix(table, &span));
        }
        if fixes.is_empty() && !undecided {
            self.missing(top, "[[fix]]", of);
        }
        let mut drills = Vec::new();
        for (table, span) in self.tables(root, "drill") {
            self.keys(table, &["runbook", "needs"], "[[drill]]");
            let runbook = self.runbook(table, "[[drill]]", &span);
            let needs = self.templates(table, "needs", "[[drill]]", &span, true);
            drills.extend(
                needs
                    .into_iter()
                    .next()
                    .map(|needs| Drill { runbook, needs }),
            );
        }
        let mut checks = Vec::new();
        for (table, span) in self.tables(root, "check") {
            self.keys(table, &["runbook", "say"], "[[check]]");
            let runbook = self.runbook(table, "[[check]]", &span);
            checks.extend(
                self.need_text(table, "say", "[[check]]", &span)
                    .map(|say| Check {
                        runbook,
                        say: say.to_owned(),
                    }),
            );
        }
        let mut samples = Vec::new();
        let tables = self.tables(root, "sample");
        let whole = tables.len();
        for (table, span) in tables {
            samples.extend(self.sample(table, &span));
        }
        if samples.len() == whole {
            self.sample_set(root, &samples, &confused_with, undecided, top);
        }
        Some(Rule {
            path: self.path.to_owned(),
            cause: cause?,
            title: title?,
            meaning: meaning?,
            status: status?,
            since: since?,
            phase: phase?,
            replaces: self.flag(root, "replaces"),
            runbook,
            confused_with,
            beats,
            blind_spots,
            sentence,
            scope,
            groups: group(&evidence),
            evidence,
            contributing,
            fixes,
            drills,
            checks,
            samples,
        })
    }

    fn need_word<T: Copy>(
        &mut self,
        root: &DeTable<'_>,
        key: &str,
        known: &[(&'static str, T)],
        top: &Range<usize>,
    ) -> Option<T> {
        let Some(node) = root.get(key) else {
            self.missing(top, key, "a rule");
            return None;
        };
        self.word(node, key, known)
    }

    fn evidence(&mut self, root: &DeTable<'_>, top: &Range<usize>, undecided: bool) -> Vec<Line> {
        let mut out: Vec<Line> = Vec::new();
        let tables = self.tables(root, "evidence");
        let whole = tables.len();
        for (table, span) in tables {
            let Some(line) = self.line(table, &span) else {
                continue;
            };
            if out
                .iter()
                .any(|l| l.condition == line.condition && l.group == line.group)
            {
                self.error(
                    "R028",
                    span.clone(),
                    format!(
                        "the same line about `{}` twice",
                        FACTS[line.condition.fact].name
                    ),
                    None,
                );
            }
            if let Some(other) = out
                .iter()
                .find(|l| l.group.is_some() && l.group == line.group)
                && other.required != line.required
            {
                let group = line.group.as_deref().unwrap_or_default();
                self.error(
                    "R027",
                    span,
                    format!("of group `{group}` one line is required and another is not"),
                    Some("lines of a group stand for each other: mark all, or none".to_owned()),
                );
            }
            out.push(line);
        }
        if undecided || out.len() < whole {
            return out;
        }
        if !out.iter().any(|l| l.required) {
            self.error(
                "R029",
                top.clone(),
                "no evidence line is required: the rule would hold for anything",
                Some("add `required = true`".to_owned()),
            );
        } else if !out.iter().any(|l| l.required && l.if_true.is_some()) {
            self.error(
                "R034",
                top.clone(),
                "no required line carries weight: the rule cannot win",
                Some("give a required line an `if_true`".to_owned()),
            );
        }
        out
    }

    fn sample_set(
        &mut self,
        root: &DeTable<'_>,
        samples: &[Sample],
        confused_with: &[Cause],
        undecided: bool,
        top: &Range<usize>,
    ) {
        if undecided {
            if !samples.iter().any(|s| s.expect == Expect::Undecided) {
                self.error(
                    "R021",
                    top.clone(),
                    "no sample in which nothing wins",
                    Some("add a [[sample]] with `expect = \"undecided\"`".to_owned()),
                );
            }
            return;
        }
        if !samples.iter().any(|s| s.expect == Expect::Fires) {
            self.error(
                "R021",
                top.clone(),
                "no sample in which the rule fires",
                Some("add a [[sample]] with `expect = \"fires\"`".to_owned()),
            );
        }
        if !samples.iter().any(|s| s.expect == Expect::NearMiss) {
            self.error(
                "R022",
                top.clone(),
                "no near-miss sample",
                Some("add a [[sample]] with `expect = \"near-miss\"`".to_owned()),
            );
        }
        for cause in confused_with {
            if !samples.iter().any(|s| s.like == Some(*cause)) {
                let span = root.get("confused_with").map_or(0..0, Spanned::span);
                let help = format!("add a [[sample]] with `like = \"{}\"`", cause.id());
                self.error(
                    "R023",
                    span,
                    format!("the look-alike `{}` has no sample", cause.id()),
                    Some(help),
                );
            }
        }
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else {
        return None;
    };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
