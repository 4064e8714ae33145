//! What a rule file says of facts -> conditions and values of the fact's own type.

use super::words::did_you_mean;
use super::{Node, Reader};
use crate::diagnose::fact::{self, FACTS, FactType, NamedDuration, Value};
use crate::diagnose::rule::{Condition, Want, parse_duration, type_name};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

const OPERATORS: &[&str] = &[
    "is", "at_least", "at_most", "between", "near_any", "reaches", "below",
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

impl Reader<'_> {
    pub(super) fn fact(&mut self, name: &str, span: Range<usize>) -> Option<usize> {
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

    pub(super) fn duration(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
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

    pub(super) fn count(&mut self, node: &Node<'_>, key: &str) -> Option<i64> {
        let Some(number) = integer(node.get_ref()) else {
            self.wrong_type(node, key, "a whole number");
            return None;
        };
        Some(number)
    }

    pub(super) fn ratio(&mut self, node: &Node<'_>, key: &str, most: f64) -> Option<f64> {
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
                Some("write 0.02 for two per cent, 0.5 for half".to_owned()),
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
    pub(super) fn want(
        &mut self,
        fact: usize,
        table: &DeTable<'_>,
        span: &Range<usize>,
    ) -> Option<Want> {
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
    pub(super) fn conditions(&mut self, table: &DeTable<'_>, key: &str) -> Vec<Condition> {
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

    /// A fact's value as a sample writes it.
    pub(super) fn value(&mut self, fact: usize, node: &Node<'_>) -> Option<Value> {
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
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else {
        return None;
    };
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
