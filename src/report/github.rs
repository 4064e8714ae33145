//! What a gate found -> workflow commands of GitHub Actions: at most one annotation for each rule.

use super::Redactor;
use super::gate::{Entry, Gate};
use super::groups::clip;
use crate::model::{Analysis, Severity, inert};
use std::io::{self, Write};

/// Characters of one message.
const LONGEST: usize = 500;
/// Annotations of one kind that GitHub shows for a step; what comes after them is counted in the last one.
const MOST: usize = 10;

pub fn write(
    analysis: &Analysis,
    gate: &Gate<'_>,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let kind = |entry: &Entry<'_>| match entry.severity {
        _ if entry.fails && gate.failed() => "error",
        Severity::High | Severity::Medium => "warning",
        Severity::Low | Severity::Info => "notice",
    };
    for (n, entry) in gate.entries.iter().enumerate() {
        let Some(first) = entry.items.first() else {
            continue;
        };
        let kind_of = kind(entry);
        let alike = |e: &&Entry<'_>| kind(e) == kind_of;
        let before = gate.entries.iter().take(n).filter(alike).count();
        let all = gate.entries.iter().filter(alike).count();
        if before + 1 == MOST && all > MOST {
            let rest: Vec<&str> = gate
                .entries
                .iter()
                .filter(alike)
                .skip(before)
                .map(|e| e.code)
                .collect();
            let title = property(&format!("{} more rules", rest.len()));
            let said = data(&format!(
                "{}: GitHub shows {MOST} of a kind",
                rest.join(", ")
            ));
            writeln!(out, "::{kind_of} title={title}::{said}")?;
        }
        if before + 1 >= MOST && all > MOST {
            continue;
        }
        let mut said = first.say().to_owned();
        if let Some(fix) = first.fix() {
            said.push_str(&format!(". Fix: {fix}"));
        }
        writeln!(
            out,
            "::{kind_of} {}title={}::{}",
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

    #[test]
    fn no_more_than_a_step_shows() {
        let check = |rules: usize, last: &str| {
            let mut analysis = fabricated();
            let one = analysis.findings[0].clone();
            analysis.incidents.clear();
            analysis.connections.clear();
            analysis.findings = (0..rules)
                .map(|n| {
                    let mut finding = one.clone();
                    finding.code = format!("U{n:02}");
                    finding
                })
                .collect();
            let limit = Limit {
                fail_on: Some(Severity::Info),
                tolerate: 0,
                denied: Vec::new(),
            };
            let gate = Gate::new(&analysis, &limit);
            let mut out = Vec::new();
            write(&analysis, &gate, &Redactor::none(), &mut out).expect("writes to memory");
            let text = String::from_utf8(out).expect("UTF-8");
            let errors: Vec<&str> = text.lines().filter(|l| l.starts_with("::error ")).collect();
            assert_eq!(errors.len(), rules.min(MOST), "{text}");
            assert!(errors.last().is_some_and(|l| l.contains(last)), "{text}");
        };
        check(10, "title=U09 ");
        check(13, "title=4 more rules::U09, U10, U11, U12: ");
    }
}
