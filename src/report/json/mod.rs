//! An `Analysis` -> one JSON document of schema `wsdrop.report/1`.

pub mod v1;

use super::Redactor;
use crate::model::{Analysis, InertJson};
use std::io::{self, Write};

/// The JSON Schema of the document.
pub const SCHEMA: &str = include_str!("report.schema.json");

/// The JSON Schema of one line of the same as NDJSON: a connection, a finding or an incident, told apart by `type`.
pub fn line_schema() -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    let mut defs = report.get("$defs").cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for kind in ["connection", "finding", "incident"] {
        if let Some(line) = defs.get_mut(kind) {
            if let Some(properties) = line.get_mut("properties").and_then(|p| p.as_object_mut()) {
                properties.insert("type".to_owned(), serde_json::json!({"const": kind}));
            }
            if let Some(required) = line.get_mut("required").and_then(|r| r.as_array_mut()) {
                required.push("type".into());
            }
        }
        lines.push(serde_json::json!({"$ref": format!("#/$defs/{kind}")}));
    }
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "wsdrop.report-line/1",
        "title": "a line of wsdrop report --format ndjson",
        "oneOf": lines,
        "$defs": defs,
    })
}

pub fn write(analysis: &Analysis, redactor: &Redactor, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(InertJson(&mut *out), &v1::Report::new(analysis, redactor))?;
    out.write_all(b"\n")
}

/// The sources alone: what `wsdrop sources --json` prints.
pub fn write_sources(
    analysis: &Analysis,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let report = v1::Report::new(analysis, redactor);
    let sources = v1::SourcesReport {
        schema: "wsdrop.sources/1",
        tool: report.tool,
        window: report.window,
        sources: report.sources,
    };
    serde_json::to_writer_pretty(InertJson(&mut *out), &sources)?;
    out.write_all(b"\n")
}

/// One connection, as it stands in the report; with `why` also the tests of the rules that came close.
pub fn write_connection(
    judged: &crate::model::Judged,
    redactor: &Redactor,
    why: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let connection = v1::ConnectionAndTests {
        connection: v1::Connection::new(judged, redactor),
        tests: why.then(|| v1::tests(judged, redactor)),
    };
    serde_json::to_writer_pretty(InertJson(&mut *out), &connection)?;
    out.write_all(b"\n")
}

#[cfg(test)]
pub(crate) mod tests;
