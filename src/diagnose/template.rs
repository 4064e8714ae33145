//! A cause and a code -> a rule of the user's own to begin with, made from what the built-in rule of that cause requires.

use super::lint;
use super::pack::BUILTIN;
use crate::model::Cause;
use std::fmt::Write as _;

/// A rule file that reads without a mistake, with what to change in comments; `None` where the cause has no rule to go by.
pub fn own_rule(code: &str, cause: Cause) -> Option<String> {
    let (_, text) = BUILTIN.iter().find(|(path, _)| {
        path.strip_prefix("rules/")
            .and_then(|p| p.strip_suffix(".toml"))
            == Some(cause.id())
    })?;
    let rule = lint::read(cause.id(), text).ok()?;
    // The head, and after it one block for each table.
    let mut blocks: Vec<&str> = Vec::new();
    let mut rest = *text;
    while let Some(at) = rest.get(1..).and_then(|r| r.find("\n[")) {
        let (block, after) = rest.split_at(at + 2);
        blocks.push(block);
        rest = after;
    }
    blocks.push(rest);
    let of = |kind: &'static str| {
        blocks
            .iter()
            .copied()
            .filter(move |b| b.starts_with(kind))
            .map(str::trim)
    };
    let mut out = format!(
        "# A rule of your own: a closer word on some of the connections whose cause is {} {}.\n\
         # `wsdrop rules lint FILE` finds mistakes, `wsdrop report --rules FOLDER ./incident` uses it, and\n\
         # `wsdrop explain {}` shows what the built-in rule asks.\n\
         code = \"{code}\"                  # U and one to four digits, each once\n\
         cause = \"{}\"\n\
         title = \"What happened, in a few words\"\n\
         meaning = \"\"\"\n\
         What happens on the wire and in the logs, for whoever reads `wsdrop explain {code}`.\"\"\"\n\
         status = \"preview\"              # preview | stable | deprecated\n\
         since = \"{}\"\n\
         phase = \"{}\"\n\
         runbook = [{}]               # rows of the runbook that it stands for: `wsdrop explain C1`\n\
         sentence = [\"{{hop}} ended this connection: say here what it means at your place\"]\n\n",
        cause.code(),
        cause.id(),
        cause.code(),
        cause.id(),
        env!("CARGO_PKG_VERSION"),
        phase(rule.phase),
        rule.runbook
            .iter()
            .take(2)
            .map(|r| format!("\"{r}\""))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for block in of("[scope]") {
        let _ = writeln!(
            out,
            "# Refuted, any of these takes the rule out.\n{block}\n"
        );
    }
    out.push_str(
        "# What has to be seen. Narrow it down: another fact, a code of yours, a shorter silence.\n",
    );
    // Without what can take it out, it would speak where the built-in rule is ruled out.
    let decides = |b: &&str| b.contains("required = true") || b.contains("if_false = \"decisive\"");
    for block in of("[[evidence]]").filter(decides) {
        let _ = writeln!(out, "{block}\n");
    }
    out.push_str(
        "# What to do about it. Slots such as {hop}, {timeout} and {ping} are filled in.\n[[fix]]\n",
    );
    let row = rule
        .fixes
        .first()
        .and_then(|f| f.runbook.first())
        .map_or("X1", String::as_str);
    let _ = writeln!(
        out,
        "runbook = [\"{row}\"]\nsay = \"what your runbook says\"\n"
    );
    out.push_str(
        "# Rows of facts and what has to come of them: `wsdrop rules lint` weighs them.\n",
    );
    for expect in ["fires", "near-miss"] {
        let wanted = format!("expect = \"{expect}\"");
        // Look-alikes are for rules that name theirs.
        let alone = |b: &&str| b.contains(&wanted) && !b.contains("like =");
        let sample = of("[[sample]]").find(alone)?;
        let _ = writeln!(out, "{sample}\n");
    }
    Some(out.trim_end().to_owned() + "\n")
}

fn phase(phase: super::rule::Phase) -> &'static str {
    super::rule::Phase::ALL
        .iter()
        .find(|(_, p)| *p == phase)
        .map_or("any", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::pack::{Pack, check_samples};

    #[test]
    fn a_new_rule_of_any_cause_has_no_mistake() {
        for (n, cause) in Cause::ALL.iter().enumerate() {
            let made = own_rule(&format!("U{n}"), *cause);
            if *cause == Cause::Undecided {
                assert_eq!(made, None);
                continue;
            }
            let text = made.unwrap();
            let pack = Pack::with_dir("mine", &[("mine/new.toml".to_owned(), text.clone())]);
            let pack = pack.unwrap_or_else(|e| panic!("{}: {e:?}\n{text}", cause.id()));
            let wrong = check_samples(&pack);
            assert!(wrong.is_empty(), "{}: {wrong:?}", cause.id());
            assert_eq!(pack.own.len(), 1);
        }
    }
}
