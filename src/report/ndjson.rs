//! An `Analysis` -> one JSON object a line: connections, then findings, then incidents, each with its `type`.

use super::Redactor;
use super::json::v1;
use crate::model::{Analysis, Frame, InertJson, Judged};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Line {
    Connection(Box<v1::Connection>),
    Finding(v1::Finding),
    Incident(v1::Incident),
}

pub fn write(analysis: &Analysis, redactor: &Redactor, out: &mut impl Write) -> io::Result<()> {
    for judged in &analysis.connections {
        write_connection(judged, redactor, out)?;
    }
    write_shared(analysis, redactor, out)
}

/// One connection and its line end.
pub fn write_connection(
    judged: &Judged,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let connection = Box::new(v1::Connection::new(judged, redactor));
    write_line(&Line::Connection(connection), out)
}

/// What stands over many connections: findings and incidents.
pub fn write_shared(
    analysis: &Analysis,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    let findings = analysis
        .findings
        .iter()
        .map(|f| Line::Finding(v1::Finding::new(f, redactor)));
    let incidents = analysis
        .incidents
        .iter()
        .map(|i| Line::Incident(v1::Incident::new(i, redactor)));
    for line in findings.chain(incidents) {
        write_line(&line, out)?;
    }
    Ok(())
}

fn write_line(line: &Line, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(InertJson(&mut *out), line)?;
    out.write_all(b"\n")
}

/// One frame and its line end.
pub fn write_frame(
    frame: &Frame,
    tick_ns: i64,
    redactor: &Redactor,
    out: &mut impl Write,
) -> io::Result<()> {
    serde_json::to_writer(
        InertJson(&mut *out),
        &v1::Frame::new(frame, tick_ns, redactor),
    )?;
    out.write_all(b"\n")
}
