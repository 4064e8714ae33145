//! What a gate found -> SARIF 2.1.0 (OASIS): one run, every rule, one result for each drop, finding and incident.

use super::Redactor;
use super::gate::{Gate, Item};
use super::groups::clip;
use crate::model::{Analysis, InertJson, RecordRef, Severity, inert};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Locations of one result.
const PLACES: usize = 10;
/// Characters of one message.
const LONGEST: usize = 2_000;

pub fn write(
    analysis: &Analysis,
    gate: &Gate<'_>,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let rules = gate.rules();
    let mut results = Vec::new();
    for entry in &gate.entries {
        let index = rules.iter().position(|r| r.0 == entry.code);
        for item in &entry.items {
            let mut result = json!({
                "ruleId": inert(entry.code),
                "ruleIndex": index,
                "level": level(entry.severity),
                "kind": "fail",
                "message": { "text": message(*item, redactor) },
                "locations": places(analysis, *item),
            });
            if let Value::Object(map) = &mut result {
                if let Some(id) = item.id() {
                    // the same connection has the same id in every run: consumers match results by it
                    map.insert(
                        "partialFingerprints".into(),
                        json!({ "wsdropConnection/v1": id }),
                    );
                }
                let tier = item.tier().map(|t| t.name());
                map.insert(
                    "properties".into(),
                    json!({ "severity": entry.severity.name(), "tier": tier }),
                );
            }
            results.push(result);
        }
    }
    let rules: Vec<Value> = rules
        .iter()
        .map(|(code, name, title, severity)| {
            json!({
                "id": inert(code),
                "name": inert(name),
                "shortDescription": { "text": escape(&format!("{name}: {title}")) },
                "help": { "text": format!("wsdrop explain {code}") },
                "defaultConfiguration": { "level": level(*severity) },
                "properties": { "severity": severity.name() },
            })
        })
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "wsdrop",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(InertJson(&mut *out), &document)?;
    out.write_all(b"\n")
}

/// SARIF 2.1.0, 3.27.10.
const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

fn message(item: Item<'_>, redactor: &Redactor) -> String {
    let fix = item
        .fix()
        .map_or_else(String::new, |fix| format!(". Fix: {fix}"));
    escape(&clip(
        &redactor.text(&format!("{}{fix}", item.say())),
        LONGEST,
    ))
}

/// A message without links and placeholders (SARIF 2.1.0, 3.11.5 and 3.11.6).
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in inert(text).chars() {
        match c {
            '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '{' => out.push_str("{{"),
            '}' => out.push_str("}}"),
            c => out.push(c),
        }
    }
    out
}

/// Lines of logs and configuration as regions; a packet has no line, so that a capture is named as a whole.
fn places(analysis: &Analysis, item: Item<'_>) -> Vec<Value> {
    let (mut lines, mut captures) = (Vec::new(), Vec::new());
    for record in item.records() {
        let Some(source) = analysis.source(record.source) else {
            continue;
        };
        let RecordRef { ordinal, .. } = record;
        let uri = uri(&source.path);
        if source.kind.is_capture() {
            captures.push(json!({
                "physicalLocation": { "artifactLocation": { "uri": uri } },
                "message": { "text": format!("packet {ordinal}") },
            }));
        } else {
            lines.push(json!({
                "physicalLocation": {
                    "artifactLocation": { "uri": uri },
                    "region": { "startLine": ordinal.max(1) },
                },
            }));
        }
    }
    lines.extend(captures);
    lines.truncate(PLACES);
    lines
}

/// A path as a relative reference (RFC 3986, 4.2).
pub(super) fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::gate::Limit;
    use crate::report::json::tests::fabricated;

    #[test]
    fn what_consumers_ask_for_is_there() {
        let mut analysis = fabricated();
        let mut lined = analysis.connections[0].verdict.evidence[0].clone();
        lined.record = Some(analysis.connections[0].connection.events[3].record);
        analysis.connections[0].verdict.evidence.push(lined);
        analysis.connections[0].verdict.sentence = "[a](b) {0} \x1b[2J\u{202e}".to_owned();
        let limit = Limit {
            fail_on: Some(Severity::Medium),
            tolerate: 0,
            denied: Vec::new(),
        };
        let gate = Gate::new(&analysis, &limit);
        let mut out = Vec::new();
        write(&analysis, &gate, &Redactor::none(), &mut out).expect("writes to memory");
        let document: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(document["version"], "2.1.0");
        let run = &document["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
        let results = run["results"].as_array().expect("results");
        assert_eq!(results.len(), 3, "a drop, an incident, a finding");
        for result in results {
            let index = result["ruleIndex"].as_u64().expect("a number") as usize;
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(result["message"]["text"].is_string());
        }
        let drop = &results[0];
        assert_eq!(drop["ruleId"], "W101");
        assert_eq!(drop["level"], "warning");
        assert_eq!(
            drop["partialFingerprints"]["wsdropConnection/v1"],
            "c-7f3a91"
        );
        let place = &drop["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "logs/error.log");
        assert_eq!(place["region"]["startLine"], 1);
        assert!(
            drop["message"]["text"]
                .as_str()
                .expect("text")
                .starts_with("\\[a\\](b) {{0}} ␛\\[2J\\\\u{{202e}}")
        );
    }

    #[test]
    fn paths_are_references() {
        assert_eq!(uri("a b/ü#1?.log"), "a%20b/%C3%BC%231%3F.log");
    }
}
