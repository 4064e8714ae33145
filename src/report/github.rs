//! What a gate found -> workflow commands of GitHub Actions: at most one annotation for each rule.

use super::Redactor;
use super::gate::{Entry, Gate};
use super::groups::clip;
use crate::model::{Analysis, Severity, inert};
use std::io::{self, Write};

/// Characters of one message.
const LONGEST: usize = 500;

pub fn write(
    analysis: &Analysis,
    gate: &Gate<'_>,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    for entry in &gate.entries {
        let Some(first) = entry.items.first() else {
            continue;
        };
        let kind = match entry.severity {
            _ if entry.fails && gate.failed() => "error",
            Severity::High | Severity::Medium => "warning",
            Severity::Low | Severity::Info => "notice",
        };
        let mut said = first.say().to_owned();
        if let Some(fix) = first.fix() {
            said.push_str(&format!(". Fix: {fix}"));
        }
        writeln!(
            out,
            "::{kind} {}title={}::{}",
            place(analysis, entry),
            property(&format!("{} {}, {}", entry.code, entry.name, entry.count())),
            data(&clip(&redactor.text(&said), LONGEST))
        )?;
    }
    writeln!(out, "{}", gate.verdict())
}

/// The first line of a log or configuration that an item of this rule rests on.
fn place(analysis: &Analysis, entry: &Entry<'_>) -> String {
    let line = entry.items.iter().take(100).find_map(|item| {
        item.records().into_iter().find_map(|record| {
            let source = analysis.source(record.source)?;
            (!source.kind.is_capture()).then(|| (source.path.clone(), record.ordinal))
        })
    });
    line.map_or_else(String::new, |(path, line)| {
        format!("file={},line={line},", property(&path))
    })
}

/// What follows the second `::`. Inert text has no line end, so that it can't begin a command of its own.
fn data(text: &str) -> String {
    inert(text).replace('%', "%25")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gate::Limit;
    use crate::report::json::tests::fabricated;

    #[test]
    fn one_line_for_each_rule() {
        let mut analysis = fabricated();
        analysis.connections[0].verdict.sentence = "100 %\n::error::not mine\r".to_owned();
        let mut second = analysis.connections[0].clone();
        second.connection.id = "c-000001".to_owned();
        analysis.connections.push(second);
        let limit = Limit {
            fail_on: Some(Severity::Medium),
            tolerate: 0,
            denied: Vec::new(),
        };
        let gate = Gate::new(&analysis, &limit);
        let mut out = Vec::new();
        write(&analysis, &gate, &Redactor::none(), &mut out).expect("writes to memory");
        let text = String::from_utf8(out).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(
            lines[0].starts_with(
                "::error title=W101 idle-timeout%2C 2 drops::100 %25␊::error::not mine␍. Fix: "
            ),
            "{text}"
        );
        assert!(lines[2].starts_with("::notice "), "{text}");
        assert!(lines[3].starts_with("failed: 3 findings"), "{text}");
    }
}
