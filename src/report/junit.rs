//! What a gate found -> JUnit XML: one test case for each rule, failed where the gate fails on it.

use super::Redactor;
use super::gate::Gate;
use super::groups::{clip, place};
use crate::model::{Analysis, inert};
use std::io::{self, Write};

/// Items listed below one rule.
const LISTED: usize = 50;
/// Characters of one text from the input.
const LONGEST: usize = 1_000;

pub fn write(
    analysis: &Analysis,
    gate: &Gate<'_>,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let text = |t: &str| escape(&clip(&redactor.text(t), LONGEST));
    let rules = gate.rules();
    // within the tolerance nothing fails
    let fails = |e: &&super::gate::Entry<'_>| e.fails && gate.failed();
    let failures = gate.entries.iter().filter(fails).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\"",
        rules.len()
    );
    writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"wsdrop\" {counts}>\n  <testsuite name=\"wsdrop\" {counts}>"
    )?;
    for (code, name, ..) in rules {
        let case = format!(
            "    <testcase classname=\"wsdrop\" name=\"{} {}\"",
            escape(code),
            escape(name)
        );
        let Some(entry) = gate.entries.iter().find(|e| e.code == code) else {
            writeln!(out, "{case}/>")?;
            continue;
        };
        let element = if fails(&entry) {
            "failure"
        } else {
            "system-out"
        };
        let attributes = if fails(&entry) {
            format!(
                " message=\"{}, {}\" type=\"{}\"",
                entry.count(),
                entry.severity.name(),
                escape(name)
            )
        } else {
            String::new()
        };
        writeln!(out, "{case}>\n      <{element}{attributes}>")?;
        for item in entry.items.iter().take(LISTED) {
            let id = item.id().map_or_else(String::new, |id| format!("{id}: "));
            let at: Vec<String> = item
                .records()
                .iter()
                .take(3)
                .map(|r| place(analysis, *r))
                .collect();
            let at = if at.is_empty() {
                String::new()
            } else {
                format!(" ({})", at.join(", "))
            };
            writeln!(out, "{}", text(&format!("{id}{}{at}", item.say())))?;
        }
        if entry.items.len() > LISTED {
            writeln!(out, "and {} more", entry.items.len() - LISTED)?;
        }
        if let Some(fix) = entry.items.first().and_then(|i| i.fix()) {
            writeln!(out, "fix: {}", text(fix))?;
        }
        writeln!(out, "      </{element}>\n    </testcase>")?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

/// As content and in attributes; characters that XML 1.0 (2.2) does not have are replaced.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in inert(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;
    use crate::report::gate::Limit;
    use crate::report::json::tests::fabricated;

    #[test]
    fn every_rule_is_a_case() {
        let mut analysis = fabricated();
        analysis.connections[0].verdict.sentence = "]]><a b=\"c\"> & \x1b\u{ffff}".to_owned();
        let check = |tolerate: usize, failures: &str| {
            let limit = Limit {
                fail_on: Some(Severity::Medium),
                tolerate,
                denied: Vec::new(),
            };
            let gate = Gate::new(&analysis, &limit);
            let mut out = Vec::new();
            write(&analysis, &gate, &Redactor::none(), &mut out).expect("writes to memory");
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(text.contains(failures), "{text}");
            assert_eq!(text.matches("<testcase").count(), gate.rules().len());
            assert!(text.contains("c-7f3a91: ]]&gt;&lt;a b=&quot;c&quot;&gt; &amp; ␛\u{fffd}"));
            text
        };
        let failed = check(0, "failures=\"2\"");
        assert!(failed.contains("<failure message=\"1 drop, medium\" type=\"idle-timeout\">"));
        let tolerated = check(2, "failures=\"0\"");
        assert!(!tolerated.contains("<failure"));
    }
}
