//! An `Analysis` -> one JSON document of schema `wsdrop.report/1`.

pub mod v1;

use super::Redactor;
use crate::model::{Analysis, InertJson};
use std::io::{self, Write};

/// The JSON Schema of the document.
pub const SCHEMA: &str = include_str!("report.schema.json");

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
