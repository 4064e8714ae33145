//! A rule -> the page that explains it: what it looks at, what fixes it, and how far a value is from what a line wants.

use super::beside;
use super::eval;
use super::fact::{FACTS, FactType, Row, Value};
use super::handbook;
use super::pack::Pack;
use super::rule::{Condition, Expect, Line, Rule, Sample, Want, type_name};
use super::runbook;
use crate::model::say_duration;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How far a value is from being wanted; 0 = it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance(pub i64);

impl Distance {
    pub(super) fn say(self, fact: usize) -> String {
        match FACTS.get(fact).map(|f| f.kind) {
            Some(FactType::Duration) => say_duration(self.0),
            _ => self.0.to_string(),
        }
    }
}

/// The distance in the fact's unit (nanoseconds or a count); `None` where nothing was seen, or where there is no such thing.
pub fn distance(condition: &Condition, row: &Row) -> Option<Distance> {
    let is = match eval::value(row, condition.fact)? {
        Value::Duration(is) | Value::Count(is) => *is,
        _ => return None,
    };
    let outside = |low: i64, high: i64| low.saturating_sub(is).max(is.saturating_sub(high)).max(0);
    let off = match &condition.want {
        Want::Counts(counts) => counts
            .iter()
            .map(|c| is.saturating_sub(*c).saturating_abs())
            .min()?,
        Want::AtLeast(least) => outside(*least, i64::MAX),
        Want::AtMost(most) => outside(i64::MIN, *most),
        Want::Between(low, high) => outside(*low, *high),
        Want::NearAny {
            list,
            ratio,
            at_least_ns,
        } => match eval::value(row, *list)? {
            Value::Durations(all) => all
                .iter()
                .map(|d| {
                    let room = eval::tolerance(d.ns, *ratio, *at_least_ns);
                    outside(d.ns.saturating_sub(room), d.ns.saturating_add(room))
                })
                .min()?,
            _ => return None,
        },
        Want::Reaches { other, ratio } => {
            let least = eval::duration(row, *other)? as f64 * ratio;
            outside(least.ceil() as i64, i64::MAX)
        }
        Want::Below { other, ratio } => {
            let most = eval::duration(row, *other)? as f64 * ratio;
            outside(i64::MIN, (most.ceil() as i64).saturating_sub(1))
        }
        Want::Bool(_) | Want::Words(_) => return None,
    };
    Some(Distance(off))
}

/// `60.002 s`, `proxy`, `yes`, `1006`.
pub fn say_value(value: &Value) -> String {
    say(value).into_owned()
}

pub(super) fn say(value: &Value) -> Cow<'static, str> {
    match value {
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Duration(ns) => say_duration(*ns).into(),
        Value::Count(n) => n.to_string().into(),
        Value::Word(word) => (*word).into(),
        Value::Durations(all) if all.is_empty() => "none".into(),
        Value::Durations(all) => all
            .iter()
            .map(|d| say_duration(d.ns))
            .collect::<Vec<_>>()
            .join(", ")
            .into(),
    }
}

/// What a condition wants, in words: `at least 1`, `near one of timeouts.known, within 2 % or 500 ms`.
pub fn wanted(condition: &Condition) -> String {
    let number = |n: i64| match FACTS.get(condition.fact).map(|f| f.kind) {
        Some(FactType::Duration) => say_duration(n),
        _ => n.to_string(),
    };
    let name = |at: usize| FACTS.get(at).map_or("", |f| f.name);
    let times = |ratio: f64| {
        if ratio == 1.0 {
            String::new()
        } else {
            format!("{ratio} x ")
        }
    };
    match &condition.want {
        Want::Bool(true) => "yes".to_owned(),
        Want::Bool(false) => "no".to_owned(),
        Want::Words(words) => words.join(" or "),
        Want::Counts(counts) => counts
            .iter()
            .map(i64::to_string)
            .collect::<Vec<_>>()
            .join(" or "),
        Want::AtLeast(n) => format!("at least {}", number(*n)),
        Want::AtMost(n) => format!("at most {}", number(*n)),
        Want::Between(low, high) => format!("from {} to {}", number(*low), number(*high)),
        Want::NearAny {
            list,
            ratio,
            at_least_ns,
        } => {
            let percent = format!("{:.2}", ratio * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            format!(
                "near one of {}, within {percent} % or {}",
                name(*list),
                say_duration(*at_least_ns)
            )
        }
        Want::Reaches { other, ratio } => format!("at least {}{}", times(*ratio), name(*other)),
        Want::Below { other, ratio } => format!("below {}{}", times(*ratio), name(*other)),
    }
}

/// One line per rule: code, cause, title.
pub fn list(pack: &Pack) -> String {
    let mut out = String::new();
    for rule in pack.rules.iter().chain(&pack.own) {
        let _ = writeln!(
            out,
            "{}  {:<25} {}",
            rule.name(),
            rule.cause.id(),
            rule.title
        );
    }
    out
}

/// A row of the runbook, and what rests on it.
fn row_page(pack: &Pack, row: &str, words: &str) -> String {
    let mut out = format!("{row}: {words}\n");
    let resting = handbook::resting(pack);
    let lines = resting.get(row).into_iter().flatten().map(|by| {
        pack.find(by).map_or_else(
            || match beside::find(by) {
                Some(b) => format!("{by} {}: {}", b.entry().0, b.entry().1),
                None => (*by).to_owned(),
            },
            |rule| format!("{by} {}: {}", rule.cause.id(), rule.title),
        )
    });
    section(&mut out, "Rests on it", lines);
    out
}

/// The page of one rule: meaning, what it needs, look-alikes, blind spots, first checks, fixes, drill paths, an example.
pub fn page(rule: &Rule) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}: {}\n", rule.name(), rule.cause.id(), rule.title);
    let _ = writeln!(
        out,
        "A connection with this cause {}.\n{}\n",
        rule.cause.title(),
        rule.meaning
    );

    if !rule.scope.is_empty() {
        out.push_str("Asked unless\n");
        for c in &rule.scope {
            let spec = &FACTS[c.fact];
            let _ = writeln!(out, "  {} is other than {}", spec.name, wanted(c));
        }
        out.push('\n');
    }
    if !rule.evidence.is_empty() {
        out.push_str("What it looks at\n");
    }
    let mut told: Vec<usize> = Vec::new();
    for at in 0..rule.evidence.len() {
        if told.contains(&at) {
            continue;
        }
        let group = rule.members(at);
        if group.len() > 1 {
            let need = if rule.evidence[at].required {
                "needed: one of"
            } else {
                "counts once"
            };
            let _ = writeln!(
                out,
                "  {} ({need})",
                rule.evidence[at].group.as_deref().unwrap_or_default()
            );
        }
        for &i in group {
            line(&mut out, &rule.evidence[i], group.len() > 1);
        }
        told.extend(group);
    }
    section(
        &mut out,
        "Helped along by",
        rule.contributing.iter().map(|c| {
            let when: Vec<String> = c
                .when
                .iter()
                .map(|c| format!("{} {}", FACTS[c.fact].name, wanted(c)))
                .collect();
            format!("{}: {}", c.tag, when.join(", "))
        }),
    );
    section(
        &mut out,
        "Easily taken for",
        rule.confused_with.iter().map(|c| {
            let order = if rule.beats.contains(c) {
                "; where both hold, this is the closer explanation"
            } else {
                ""
            };
            format!(
                "{} {}: a connection that {}{order}",
                c.code(),
                c.id(),
                c.title()
            )
        }),
    );
    section(&mut out, "Blind spots", rule.blind_spots.iter().cloned());
    section(
        &mut out,
        "First checks",
        rule.checks
            .iter()
            .map(|c| format!("{} [{}]", c.say, c.runbook.join(" "))),
    );
    section(
        &mut out,
        "What fixes it",
        rule.fixes.iter().map(|f| {
            let hop = f
                .when_hop
                .or(f.when_stack)
                .map_or_else(String::new, |h| format!("{h}: "));
            let say = f
                .say
                .first()
                .map(super::rule::Template::source)
                .unwrap_or_default();
            format!("{hop}{say} [{}]", f.runbook.join(" "))
        }),
    );
    section(
        &mut out,
        "What would settle it",
        rule.drills
            .iter()
            .map(|d| format!("{} [{}]", d.needs.source(), d.runbook.join(" "))),
    );
    if let Some(sample) = rule.samples.iter().find(|s| s.expect == Expect::Fires) {
        section(&mut out, "For example", example(sample));
    }
    let _ = writeln!(
        out,
        "\nRunbook rows {}; since {}; {}",
        rule.runbook.join(" "),
        rule.since,
        rule.status.name()
    );
    out
}

fn line(out: &mut String, line: &Line, indent: bool) {
    let spec = &FACTS[line.condition.fact];
    let pad = if indent { "    " } else { "  " };
    let need = if line.required && !indent {
        ", needed"
    } else {
        ""
    };
    let weigh = |label: &str, s: Option<crate::model::Strength>| {
        s.map_or_else(String::new, |s| format!(", {label} {}", s.name()))
    };
    let _ = writeln!(
        out,
        "{pad}{} = {}{need}{}{}\n{pad}    {}; seen in {}",
        spec.name,
        wanted(&line.condition),
        weigh("for", line.if_true),
        weigh("else against", line.if_false),
        spec.asks,
        spec.needs,
    );
}

fn section(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for line in lines {
        let _ = writeln!(out, "  - {line}");
    }
}

/// The samples of a rule, one line each: what must come of it, and of which facts.
pub fn samples(rule: &Rule) -> Vec<String> {
    let say = |sample: &Sample| {
        let what = match (sample.expect, sample.like) {
            (_, Some(like)) => format!("looks like it, is {}", like.id()),
            (Expect::Fires, None) => "fires".to_owned(),
            (Expect::NearMiss, None) => "near miss".to_owned(),
            (Expect::RuledOut, None) => "ruled out".to_owned(),
            (Expect::Undecided, None) => "undecided".to_owned(),
        };
        format!("{what}: {}", example(sample).join(", "))
    };
    rule.samples.iter().map(say).collect()
}

fn example(sample: &Sample) -> Vec<String> {
    sample
        .facts
        .iter()
        .map(|(fact, value)| format!("{} = {}", FACTS[*fact].name, say_value(value)))
        .collect()
}

/// The catalogue of facts: name, type, question, what can answer it.
pub fn facts() -> String {
    let mut out = String::new();
    for spec in FACTS {
        let kind = match spec.kind {
            FactType::Word(words) => words.join("|"),
            kind => type_name(kind).to_owned(),
        };
        let _ = writeln!(
            out,
            "{} ({kind}): {}; needs {}",
            spec.name, spec.asks, spec.needs
        );
    }
    out
}

/// What `wsdrop explain [NAME]` prints; `Err` carries the advice for an unknown name.
pub fn explain(pack: &Pack, name: Option<&str>) -> Result<String, String> {
    let Some(name) = name else {
        let mut out = list(pack);
        for b in beside::ALL {
            let (id, title, _) = b.entry();
            let _ = writeln!(out, "{}  {id:<25} {title}", b.code);
        }
        return Ok(out);
    };
    if let Some(rule) = pack.find(name) {
        return Ok(page(rule));
    }
    if let Some(b) = beside::find(name) {
        return Ok(beside::page(b));
    }
    let row = name.to_ascii_uppercase();
    if let Some(words) = runbook::row(&row) {
        return Ok(row_page(pack, &row, words));
    }
    let all = pack.rules.iter().chain(&pack.own);
    let known = all.flat_map(|r| [r.name(), r.cause.id()]);
    let known = known.chain(beside::ALL.iter().flat_map(|b| [b.code, b.entry().0]));
    let help = super::lint::did_you_mean(name, known).map_or_else(
        || "`wsdrop explain` lists them all".to_owned(),
        |k| format!("did you mean `{k}`?"),
    );
    Err(format!(
        "no rule or cause is called `{}`; {help}",
        name.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Cause;

    #[test]
    fn every_rule_has_its_page() {
        let pack = Pack::builtin();
        for rule in &pack.rules {
            let page = page(rule);
            for part in [rule.code(), rule.cause.id(), &rule.title, &rule.runbook[0]] {
                assert!(page.contains(part), "{}: no {part} in\n{page}", rule.path);
            }
            for cause in &rule.confused_with {
                assert!(
                    page.contains(cause.id()),
                    "{}: no {}",
                    rule.path,
                    cause.id()
                );
            }
        }
        assert_eq!(list(&pack).lines().count(), Cause::ALL.len());
    }

    #[test]
    fn names_are_found_by_code_and_cause_and_misspellings_are_advised() {
        let pack = Pack::builtin();
        for name in ["W101", "w101", "idle-timeout", "IDLE-TIMEOUT"] {
            assert!(
                explain(&pack, Some(name)).is_ok_and(|t| t.starts_with("W101 idle-timeout")),
                "{name}"
            );
        }
        let said = explain(&pack, Some("idle-timeuot")).unwrap_err();
        assert!(said.contains("did you mean `idle-timeout`?"), "{said}");
        assert!(
            explain(&pack, Some("\u{1b}[31m"))
                .unwrap_err()
                .contains("lists them all")
        );
        let all = explain(&pack, None).unwrap();
        assert!(all.starts_with(&list(&pack)) && all.contains("\nW804  config-risk "));
        let row = explain(&pack, Some("x1")).unwrap();
        assert!(
            row.starts_with("X1: ") && row.contains("W101 idle-timeout"),
            "{row}"
        );
        assert!(explain(&pack, Some("X99")).is_err());
    }

    #[test]
    fn what_is_wanted_is_said_in_words() {
        let pack = Pack::builtin();
        let said: Vec<String> = pack
            .rules
            .iter()
            .flat_map(|r| r.evidence.iter().map(|l| wanted(&l.condition)))
            .collect();
        for expected in [
            "near one of timeouts.known, within 2 % or 500 ms",
            "at least 0.2 x heartbeat.period",
            "proxy or server",
            "from 3000 to 4999",
            "at least 1 s",
            "yes",
            "no",
        ] {
            assert!(
                said.iter().any(|s| s == expected),
                "no {expected:?} in {said:?}"
            );
        }
    }
}
