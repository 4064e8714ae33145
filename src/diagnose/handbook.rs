//! The pack, the runbook and the findings beside it -> one Markdown chapter for the book, and the same for a user's own rules.

use super::beside;
use super::explain::wanted;
use super::fact::FACTS;
use super::pack::Pack;
use super::rule::{Rule, Template};
use super::runbook;
use crate::model::{Severity, catalogue, inert};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const HEAD: &str = "\
<!-- generated: this page is written by `wsdrop rules doc` from the rules in rules/*.toml; change them, not this page -->
# Rules

The runbook that wsdrop follows is data: one file per cause in `rules/`, compiled into the program. Each says which facts it needs,
how strongly each speaks, which other causes it is taken for, where it is blind, and what to do.

`wsdrop explain` lists the rules, `wsdrop explain W101` shows one. Every rule carries samples of its own: `wsdrop rules test` weighs them
against the whole pack, `wsdrop rules lint FILE` reads a rule of yours, `wsdrop rules export DIR` writes the built-in ones to start from.
Codes in brackets, such as [X1], are rows of the [runbook](#the-runbook).
";

/// The whole chapter.
pub fn markdown(pack: &Pack) -> String {
    let mut out = HEAD.to_owned();
    out.push_str("\n| code | cause | severity | a connection ... |\n|---|---|---|---|\n");
    let severities: BTreeMap<&str, Severity> =
        catalogue().map(|(code, _, _, s)| (code, s)).collect();
    for rule in pack.rules.iter().chain(&pack.own) {
        let severity = severities.get(rule.code()).map_or("", |s| s.name());
        let (code, id) = (rule.name(), rule.cause.id());
        let _ = writeln!(
            out,
            "| [{code}](#{}) | `{id}` | {severity} | {} |",
            anchor(code, id),
            cell(rule.cause.title())
        );
    }
    out.push_str("\nOver many connections, or worth knowing without a drop:\n\n| code | name | severity | |\n|---|---|---|---|\n");
    for b in beside::ALL {
        let (id, title, severity) = b.entry();
        let _ = writeln!(
            out,
            "| [{}](#{}) | `{id}` | {} | {title} |",
            b.code,
            anchor(b.code, id),
            severity.name()
        );
    }
    for rule in pack.rules.iter().chain(&pack.own) {
        section(&mut out, rule);
    }
    for b in beside::ALL {
        let (id, title, _) = b.entry();
        let _ = writeln!(out, "\n## {} {id}\n\n*{title}.* {}", b.code, b.meaning);
        list(
            &mut out,
            "Shown by",
            b.shown_by.iter().map(|s| (*s).to_owned()),
        );
        list(
            &mut out,
            "Easily taken for",
            b.taken_for.iter().map(|s| (*s).to_owned()),
        );
        list(&mut out, "Fixes", b.fixes.iter().map(|s| (*s).to_owned()));
        let _ = writeln!(out, "\nRunbook: {}.", b.runbook.join(", "));
    }
    rows(&mut out, pack);
    out
}

/// The id that mdBook gives a heading.
fn anchor(code: &str, id: &str) -> String {
    format!("{}-{id}", code.to_ascii_lowercase())
}

/// Text of a rule as Markdown shows it and never obeys it; code between backticks stays code.
fn prose(text: &str) -> String {
    let text = inert(&text.replace('\n', " "));
    let paired = text.matches('`').count().is_multiple_of(2);
    let mut out = String::with_capacity(text.len());
    let mut code = false;
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let word = |c: char| c.is_alphanumeric();
        match c {
            '`' if paired => {
                code = !code;
                out.push(c);
            }
            c if code => out.push(c),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Inside a word an underscore is itself.
            '_' if word(before) && rest.peek().is_some_and(|next| word(*next)) => out.push(c),
            '[' | ']' | '*' | '_' | '`' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// The same inside a table.
fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}

fn list(out: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n**{title}**\n");
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
}

fn cited(rows: &[String]) -> String {
    format!("[{}]", rows.join(" "))
}

fn section(out: &mut String, rule: &Rule) {
    let _ = writeln!(
        out,
        "\n## {} {}\n\n*{}.* A connection with this cause {}. {}",
        rule.name(),
        rule.cause.id(),
        prose(&rule.title),
        prose(rule.cause.title()),
        prose(&rule.meaning)
    );
    list(
        out,
        "Asked unless",
        rule.scope.iter().map(|c| {
            let name = FACTS.get(c.fact).map_or("", |f| f.name);
            format!("`{name}` is other than {}", prose(&wanted(c)))
        }),
    );
    if !rule.evidence.is_empty() {
        out.push_str("\n| fact | wanted | for | against | |\n|---|---|---|---|---|\n");
        for line in &rule.evidence {
            let name = FACTS.get(line.condition.fact).map_or("", |f| f.name);
            let weight = |s: Option<crate::model::Strength>| s.map_or("", |s| s.name());
            let group = line.group.as_deref().unwrap_or_default();
            let note = match (line.required, group) {
                (true, "") => "needed".to_owned(),
                (true, group) => format!("one of *{}* is needed", cell(group)),
                (false, "") => String::new(),
                (false, group) => format!("*{}* counts once", cell(group)),
            };
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | {} | {note} |",
                cell(&wanted(&line.condition)),
                weight(line.if_true),
                weight(line.if_false)
            );
        }
    }
    list(
        out,
        "Helped along by",
        rule.contributing.iter().map(|c| {
            let when: Vec<String> = c
                .when
                .iter()
                .map(|w| {
                    let name = FACTS.get(w.fact).map_or("", |f| f.name);
                    format!("`{name}` {}", prose(&wanted(w)))
                })
                .collect();
            format!("`{}`: {}", c.tag, when.join(", "))
        }),
    );
    list(
        out,
        "Easily taken for",
        rule.confused_with
            .iter()
            .map(|c| format!("[{} {}](#{})", c.code(), c.id(), anchor(c.code(), c.id()))),
    );
    list(
        out,
        "Blind spots",
        rule.blind_spots.iter().map(|s| prose(s)),
    );
    list(
        out,
        "First checks",
        rule.checks
            .iter()
            .map(|c| format!("{} {}", prose(&c.say), cited(&c.runbook))),
    );
    list(
        out,
        "Fixes",
        rule.fixes.iter().map(|f| {
            let hop = f
                .when_hop
                .or(f.when_stack)
                .map_or_else(String::new, |h| format!("{h}: "));
            let say = f.say.first().map(Template::source).unwrap_or_default();
            format!("{hop}{} {}", prose(&say), cited(&f.runbook))
        }),
    );
    list(
        out,
        "What would settle it",
        rule.drills
            .iter()
            .map(|d| format!("{} {}", prose(&d.needs.source()), cited(&d.runbook))),
    );
    let _ = writeln!(
        out,
        "\nRunbook: {}. Since {}, {}.",
        rule.runbook.join(", "),
        prose(&rule.since),
        rule.status.name()
    );
}

/// Each row of the runbook, and what rests on it.
pub(super) fn resting(pack: &Pack) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut by_row: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for rule in pack.rules.iter().chain(&pack.own) {
        let all = rule
            .runbook
            .iter()
            .chain(rule.fixes.iter().flat_map(|f| &f.runbook))
            .chain(rule.checks.iter().flat_map(|c| &c.runbook))
            .chain(rule.drills.iter().flat_map(|d| &d.runbook));
        for row in all {
            by_row.entry(row).or_default().insert(rule.name());
        }
    }
    for b in beside::ALL {
        for row in b.rows() {
            by_row.entry(row).or_default().insert(b.code);
        }
    }
    for (row, by) in runbook::ELSEWHERE {
        by_row.entry(row).or_default().insert(by);
    }
    by_row
}

/// The runbook's tables, each row with what rests on it.
fn rows(out: &mut String, pack: &Pack) {
    let by_row = resting(pack);
    out.push_str(
        "\n## The runbook\n\nEvery row, and what rests on it: rules, or the part of the program that does what it asks.\n",
    );
    for table in runbook::TABLES {
        let _ = writeln!(
            out,
            "\n### {}. {}\n\n| row | | rests on it |\n|---|---|---|",
            table.letter, table.title
        );
        for (n, text) in table.rows.iter().enumerate() {
            let name = format!("{}{}", table.letter, n + 1);
            let rules = by_row.get(name.as_str()).map_or_else(String::new, |r| {
                r.iter().copied().collect::<Vec<_>>().join(", ")
            });
            let _ = writeln!(out, "| {name} | {} | {rules} |", text.replace('|', "\\|"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::rule::runbook_rows;

    #[test]
    fn the_chapter_has_every_rule_and_every_row() {
        let pack = Pack::builtin();
        let text = markdown(&pack);
        for rule in pack.rules.iter().chain(&pack.own) {
            assert!(text.contains(&format!("\n## {} {}\n", rule.code(), rule.cause.id())));
        }
        for row in runbook_rows() {
            assert!(text.contains(&format!("\n| {row} | ")), "{row}");
        }
    }

    /// The chapter's own tables, read back: `(row, words, what rests on it)`.
    fn read_back(chapter: &str) -> Vec<(String, String, String)> {
        let (_, runbook) = chapter.split_once("\n## The runbook\n").unwrap();
        runbook
            .lines()
            .filter(|l| l.starts_with("| ") && !l.starts_with("| row "))
            .map(|l| {
                let cells: Vec<&str> = l.trim_matches('|').split(" | ").map(str::trim).collect();
                let [row, words, by] = cells.as_slice() else {
                    panic!("{l}");
                };
                let plain = |s: &str| s.replace("\\|", "|");
                (plain(row), plain(words), plain(by))
            })
            .collect()
    }

    /// Round trip: the tables come out of the chapter as they went in, each row with the rules whose sections name it.
    #[test]
    fn the_runbook_comes_back_out_of_the_chapter() {
        let chapter = markdown(&Pack::builtin());
        let rows = read_back(&chapter);
        let expected: Vec<(String, String)> = runbook_rows()
            .map(|r| {
                let words = runbook::row(&r).unwrap_or_default().to_owned();
                (r, words)
            })
            .collect();
        let words: Vec<(String, String)> =
            rows.iter().map(|r| (r.0.clone(), r.1.clone())).collect();
        assert_eq!(words, expected);
        let before_tables = chapter.split("\n## The runbook\n").next().unwrap();
        let mut sections: BTreeMap<&str, &str> = BTreeMap::new();
        for section in before_tables.split("\n## ").skip(1) {
            sections.insert(section.split(' ').next().unwrap(), section);
        }
        for (row, _, by) in &rows {
            assert!(
                !by.is_empty(),
                "nothing rests on {row}: cite it in a rule, fix, check or drill"
            );
            // A citation stands in brackets, or in the section's last line.
            let names_row = |section: &str| {
                let last = section.lines().filter_map(|l| l.strip_prefix("Runbook: "));
                let bracketed = section
                    .split('[')
                    .skip(1)
                    .filter_map(|s| s.split(']').next());
                last.chain(bracketed)
                    .flat_map(|s| s.split(|c: char| !c.is_ascii_alphanumeric()))
                    .any(|word| word == row)
            };
            for (code, section) in &sections {
                assert_eq!(
                    by.split(", ").any(|b| b == *code),
                    names_row(section),
                    "{row} and {code}"
                );
            }
        }
    }

    /// Every link of the chapter to itself has a heading to land on.
    #[test]
    fn links_lead_to_headings() {
        let text = markdown(&Pack::builtin());
        let headings: BTreeSet<String> = text
            .lines()
            .filter_map(|l| l.strip_prefix("## "))
            .map(|h| h.to_lowercase().replace(' ', "-"))
            .collect();
        for link in text
            .split("](#")
            .skip(1)
            .filter_map(|l| l.split(')').next())
        {
            assert!(headings.contains(link), "{link}");
        }
    }

    #[test]
    fn what_a_rule_says_stays_text() {
        for (text, shown) in [
            (
                "<b>*x*</b> a|b [y](z)\n\u{1b}[0m",
                "&lt;b&gt;\\*x\\*&lt;/b&gt; a\\|b \\[y\\](z) \u{241b}\\[0m",
            ),
            (
                "proxy_read_timeout, _this_",
                "proxy_read_timeout, \\_this\\_",
            ),
            ("the `error_log <b>` level", "the `error_log <b>` level"),
            ("one ` alone <b>", "one \\` alone &lt;b&gt;"),
        ] {
            assert_eq!(cell(text), shown, "{text}");
        }
    }
}
