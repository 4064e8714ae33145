//! A log's lines -> what each says of a tunnel, a hop or an application.

use crate::model::{Anomaly, Line, SourceId, Stamp, Zone};
use std::io::Read;

/// What the reader of logs has to know beside the bytes.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// nginx `log_format` definitions by name, from the case's configuration and the command line.
    pub nginx_formats: Vec<(String, String)>,
    /// Seconds east of UTC for stamps without a zone.
    pub assumed_offset_s: i32,
}

/// A format that fits a file, with what it learnt from the file's first lines.
#[derive(Debug, Clone)]
pub struct Choice {
    /// As registered in `FORMATS`.
    pub name: &'static str,
}

#[derive(Debug, Clone, Default)]
pub struct LogSummary {
    /// Lines that are not blank: `records = used + odd`.
    pub records: u64,
    pub used: u64,
    pub odd: u64,
    pub first: Option<Stamp>,
    pub last: Option<Stamp>,
    pub zone: Option<Zone>,
    pub anomalies: Vec<Anomaly>,
}

/// The format that reads the first lines of this file, by content alone; `forced` names one (`--as`).
pub fn sniff(_head: &[u8], _options: &LogOptions, _forced: Option<&str>) -> Option<Choice> {
    None
}

/// Reads a whole log.
pub fn read(
    _source: SourceId,
    _choice: &Choice,
    _options: &LogOptions,
    _input: &mut dyn Read,
    _progress: &mut dyn FnMut(u64),
    _emit: &mut dyn FnMut(Line),
) -> LogSummary {
    LogSummary::default()
}

/// Field and value of everything that was read from one line, for the Raw view.
pub fn fields(_choice: &Choice, _options: &LogOptions, _line: &[u8]) -> Vec<(String, String)> {
    Vec::new()
}
